"""Turn every refusal into the one form a client gets: code, message, what_now, changed.

It refuses to leak: an error nobody foresaw becomes `internal_error`, its trace goes to the log only. The
message is for a person, in the language of the request; the service's own English sentence, with the names of
registers and files, stays beside it as `detail`.
Who opened an address in a browser gets the same as a page, everybody else as JSON.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import Refusal, TooMany
from ..hmi import catalogue

log = logging.getLogger(__name__)

LANGUAGE_COOKIE = "toplovod_language"


def language_of(request: Request) -> str:
    """Return the language chosen by cookie, else by the browser's wish."""
    return catalogue.choose(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))


def body(language: str, status: int, code: str, detail: str, changed: bool, **facts: Any) -> dict[str, Any]:
    """Return the one form of a refusal."""
    known = catalogue.strings(language)
    message = catalogue.text(language, f"error.{code}", **facts) if f"error.{code}" in known else detail
    now = f"error.{code}.now"
    what_now = catalogue.text(language, now if now in known else f"error.status.{status}.now", **facts)
    return {
        "code": code,
        "message": message,
        "what_now": what_now,
        "changed": changed,
        "detail": detail,
        **facts,
    }


ProblemPage = Callable[[str, int, dict[str, Any]], Response]
"""Makes the page of a refusal from language, status and the body above."""


def wants_page(request: Request) -> bool:
    """Say whether a person opened this address: scripts do not ask for HTML, and the API has no pages."""
    accepted = request.headers.get("accept", "")
    return request.method == "GET" and "text/html" in accepted and not request.url.path.startswith("/api/")


def refusal_response(request: Request, refusal: Refusal) -> JSONResponse:
    """Return the response of a refusal a service raised."""
    headers = {}
    if isinstance(refusal, TooMany) and "retry_after_s" in refusal.facts:
        headers["Retry-After"] = str(max(1, round(float(refusal.facts["retry_after_s"]))))
    status = refusal.http_status
    content = body(
        language_of(request), status, refusal.code, refusal.message, refusal.changed, **refusal.facts
    )
    return JSONResponse(content, status, headers=headers)


def install(app: FastAPI, page: ProblemPage) -> None:
    """Register the handlers: refusals, unreadable requests, unknown paths and the unforeseen."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        answer = refusal_response(request, error)
        if wants_page(request):
            return page(language_of(request), answer.status_code, json.loads(bytes(answer.body)))
        return answer

    async def unreadable(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        where = ", ".join(
            f"{'.'.join(str(part) for part in item['loc'] if part != 'body') or 'body'}: {item['msg']}"
            for item in error.errors()
        )
        detail = f"The request cannot be read ({where}); nothing was done."
        content = body(language_of(request), 422, "bad_request", detail, False, where=where)
        return JSONResponse(content, 422)

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = {404: "no_such_address", 405: "wrong_method"}.get(
            error.status_code, f"http_{error.status_code}"
        )
        detail = f"{request.method} {request.url.path}: {error.detail}; nothing was done."
        content = body(
            language_of(request), error.status_code, code, detail, False,
            method=request.method, path=request.url.path,
        )  # fmt: skip
        if wants_page(request):
            return page(language_of(request), error.status_code, content)
        return JSONResponse(content, error.status_code, headers=error.headers)

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        detail = "An error nobody foresaw; whether anything was changed is not known. The log has its trace."
        return JSONResponse(body(language_of(request), 500, "internal_error", detail, True), 500)

    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, plain)
    app.add_exception_handler(Exception, unforeseen)
