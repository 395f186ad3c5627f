"""The list of the API's operations as one plain page, from the application's own schema, behind the login.

It refuses to load anything from elsewhere: FastAPI's own pages fetch their scripts from a foreign host and
stay off.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.responses import Response

from ..errors import NotLoggedIn
from ..hmi.pages import render
from .refusals import language_of
from .security import Reader, person_of

router = APIRouter(prefix="/api/v1", include_in_schema=False)

VERSION = "1"


def schema_of(app: Any) -> dict[str, Any]:
    """Return the OpenAPI schema of an application; made once."""
    if not app.openapi_schema:
        app.openapi_schema = get_openapi(
            title="Toplovod API",
            version=VERSION,
            routes=app.routes,
            description="Errors have one form: code, message, what_now, changed.",
        )
        app.openapi_schema["components"] = app.openapi_schema.get("components", {}) | {
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "toplovod_session"}}
        }
    schema: dict[str, Any] = app.openapi_schema
    return schema


@router.get("/openapi.json")
async def openapi(request: Request, person: Reader) -> JSONResponse:
    """Return the schema."""
    return JSONResponse(schema_of(request.app))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the page."""
    try:
        person_of(request)
    except NotLoggedIn:
        return RedirectResponse("/login?next=/api/v1/docs", 303)
    schema = schema_of(request.app)
    return render(
        "documentation.html",
        language_of(request),
        place=request.app.state.station.site.name,
        schema=schema,
        groups=list(_groups(schema).items()),
    )


def _groups(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(
                {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "text": operation.get("description", operation.get("summary", "")),
                    "fields": [*_parameters(operation), *_body_fields(schema, operation)],
                }
            )
    return groups


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter["name"],
            "where": parameter["in"],
            "type": _type(parameter.get("schema", {})),
            "required": parameter.get("required", False),
        }
        for parameter in operation.get("parameters", ())
    ]


def _body_fields(schema: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return []
    body = content["schema"]
    if "$ref" in body:
        body = schema["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]]
    required = body.get("required", ())
    return [
        {"name": name, "where": "body", "type": _type(field), "required": name in required}
        for name, field in body.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "anyOf" in field:
        return " | ".join(_type(part) for part in field["anyOf"] if part.get("type") != "null")
    kind = str(field.get("format") or field.get("type", "any"))
    limits = [
        f"{sign} {field[key]}"
        for key, sign in (("minimum", "≥"), ("maximum", "≤"), ("maxLength", "≤ length"))
        if key in field
    ]
    return f"{kind} {', '.join(limits)}".strip()
