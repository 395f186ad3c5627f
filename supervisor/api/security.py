"""Who is asking: the session's cookie, the CSRF header on writes, the Origin, and the response headers.

It refuses to decide who may do what: rights are the desk's and access's. It refuses every write without
the header our own pages send, and every page that would load anything from another host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access import Session, User
from ..errors import NotAllowed

SESSION_COOKIE = "toplovod_session"
CSRF_HEADER = "X-Toplovod-CSRF"
BODY_MOST_BYTES = 64 * 1024  # the largest request is an order with a reason of 500 characters

# 'self' covers the WebSocket of the same host; data: is for nothing but uPlot's none; no inline, no eval.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
}


@dataclass(frozen=True)
class Person:
    """Who is logged in at this workplace."""

    user: User
    session: Session
    token: str

    @property
    def name(self) -> str:
        """Return the account's name."""
        return self.user.name


def client_of(connection: HTTPConnection) -> str:
    """Return the workplace's address."""
    return connection.client.host if connection.client else "unknown"


def person_of(connection: HTTPConnection) -> Person:
    """Return who is logged in. Raises NotLoggedIn."""
    token = connection.cookies.get(SESSION_COOKIE, "")
    access = connection.app.state.station.access
    session = access.session(token)
    return Person(access.user(session.user), session, token)


def check_origin(connection: HTTPConnection) -> None:
    """Raise NotAllowed where a browser says that another site is asking."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host", ""):
        raise NotAllowed(
            "foreign_origin",
            f"This request comes from a page of {origin}; nothing was done. Open our own page.",
        )


async def reader(request: Request) -> Person:
    """Admit a request that only reads."""
    return person_of(request)


async def writer(request: Request) -> Person:
    """Admit a request that may change something: our own page, with the session's own token."""
    check_origin(request)
    person = person_of(request)
    request.app.state.station.access.check_csrf(person.session, request.headers.get(CSRF_HEADER, ""))
    return person


Reader = Annotated[Person, Depends(reader)]
Writer = Annotated[Person, Depends(writer)]


def give_cookie(request: Request, response: Response, session: Session) -> None:
    """Hand the session to the browser; scripts cannot read it, other sites cannot send it."""
    response.set_cookie(
        SESSION_COOKIE, session.token, httponly=True, samesite="strict", path="/",
        secure=request.url.scheme == "https",
    )  # fmt: skip


def take_cookie(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


class SecurityHeaders:
    """Adds HEADERS to every response, forbids caching of all but static files, and bounds request bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # static files may be kept but must be asked for: an update shows at the next page, never half
        caching = "no-cache" if str(scope["path"]).startswith("/static/") else "no-store"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", caching)
            await send(message)

        await self._app(scope, _bounded(receive), send_with_headers)


def _bounded(receive: Receive) -> Callable[[], Awaitable[Message]]:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message: dict[str, Any] = dict(await receive())
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > BODY_MOST_BYTES:
                return {"type": "http.disconnect"}
        return message

    return bounded
