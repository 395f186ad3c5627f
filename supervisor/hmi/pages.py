"""The pages' shells: top bar, alarm line and empty places that the ES modules fill; login without script.

It refuses to show anything of the town to somebody who is not logged in, and to send anybody to another
host after a login.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import Response

from ..api.refusals import LANGUAGE_COOKIE, body, language_of
from ..api.security import (
    Person,
    check_origin,
    client_of,
    give_cookie,
    person_of,
    take_cookie,
)
from ..errors import NotLoggedIn, Refusal
from . import catalogue

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"

PAGES = (
    ("1", "/", "map"),
    ("2", "/table", "table"),
    ("3", "/alarms", "alarms"),
    ("4", "/trend", "trend"),
    ("5", "/coordinator", "coordinator"),
)
SHAPES = {
    1: "M2 2 H18 V18 H2 Z",
    2: "M10 1 L19.2 18.5 H0.8 Z",
    3: "M10 1.5 A8.5 8.5 0 1 1 9.99 1.5 Z",
}
# Fetched while the sheet is still being read: without it the imports are found one level after the other.
COMMON_MODULES = (
    "shell", "alarm_store", "api", "bands", "dom", "format", "frame", "indicator", "keys", "live", "site",
    "strings", "symbols",
)  # fmt: skip
MODULES = {
    "map": ("map_page", "map_view", "trend_plot"),
    "table": ("table_page", "virtual_table"),
    "alarms": ("alarms_page",),
    "substation": ("substation_page", "mimic", "trend_plot"),
    "trend": ("trend_page", "trend_plot"),
    "coordinator": ("coordinator_page", "trend_plot"),
}

router = APIRouter(include_in_schema=False)

_environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, language: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page; `t` inside it is the catalogue in that language."""

    def t(key: str, **holes: Any) -> str:
        return catalogue.text(language, key, **holes)

    content = _environment.get_template(template).render(language=language, t=t, **values)
    return HTMLResponse(content, status)


def problem_page(language: str, status: int, problem: dict[str, Any]) -> Response:
    """Return the page of a refusal; problem is its JSON body."""
    return render("problem.html", language, status, problem=problem)


def own_path(wanted: str) -> str:
    """Return a path of our own to go to, whatever was asked for."""
    parts = urlsplit(wanted)
    if parts.scheme or parts.netloc or not wanted.startswith("/") or wanted[1:2] in ("/", "\\"):
        return "/"
    return wanted


def _embedded(strings: Any) -> Markup:
    # inside a script element only "<" can end it early
    return Markup(json.dumps(strings, ensure_ascii=False).replace("<", "\\u003c"))


def _here(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query


def _shell(request: Request, page: str, **values: Any) -> Response:
    language = language_of(request)
    try:
        person = person_of(request)
    except NotLoggedIn as refusal:
        ended = "&ended=1" if refusal.code != "not_logged_in" else ""
        return RedirectResponse(f"/login?next={quote(_here(request), safe='')}{ended}", 303)
    return _page(request, page, person, language, **values)


def _page(request: Request, page: str, person: Person, language: str, **values: Any) -> Response:
    site = request.app.state.station.site
    other = next(code for code in catalogue.LANGUAGES if code != language)
    return render(
        f"{page}.html",
        language,
        page=page,
        title=f"page.{page}",
        pages=PAGES,
        shapes=SHAPES,
        modules=(*COMMON_MODULES, *MODULES[page]),
        place=site.name,
        timezone=site.timezone,
        user=person.name,
        csrf=person.session.csrf,
        here=quote(_here(request), safe=""),
        other_language=other,
        strings_json=_embedded({"language": language, "strings": catalogue.strings(language)}),
        **values,
    )


@router.get("/")
async def overview(request: Request) -> Response:
    """The map."""
    return _shell(request, "map")


@router.get("/table")
async def table(request: Request) -> Response:
    """Every house as a row."""
    return _shell(request, "table")


@router.get("/alarms")
async def alarms(request: Request) -> Response:
    """The alarms in hand."""
    return _shell(request, "alarms")


@router.get("/trend")
async def trend(request: Request) -> Response:
    """Readings over time."""
    return _shell(request, "trend")


@router.get("/coordinator")
async def coordinator(request: Request) -> Response:
    """What the coordinator wants and why."""
    try:
        person = person_of(request)
    except NotLoggedIn:
        return _shell(request, "coordinator", areas=[])
    site = request.app.state.station.site
    areas = [area.id for area in site.areas if person.user.can("coordinator_mode", area.id)]
    return _shell(request, "coordinator", areas=areas)


@router.get("/substation/{device_id}")
async def substation(request: Request, device_id: str) -> Response:
    """The faceplate of one controller."""
    language = language_of(request)
    try:
        person = person_of(request)
        site = request.app.state.station.site
        device = site.device(device_id)
    except NotLoggedIn:
        return RedirectResponse(f"/login?next={quote(_here(request), safe='')}", 303)
    return _page(
        request, "substation", person, language,
        device=device, area=site.area(device.area).name, may_order=person.user.can("order", device.area),
    )  # fmt: skip


@router.get("/login")
async def login_page(request: Request, next: str = "/", ended: bool = False) -> Response:
    """The form; works without script."""
    language = language_of(request)
    notice = catalogue.text(language, "login.ended") if ended else ""
    return _login(request, language, own_path(next), notice=notice)


@router.post("/login")
async def login(
    request: Request,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=2048)] = "/",
) -> Response:
    """Open a session and go where the person wanted to go."""
    language = language_of(request)
    try:
        check_origin(request)
        session = await request.app.state.station.access.login(name, password, client_of(request))
    except Refusal as refusal:
        status = refusal.http_status
        problem = body(language, status, refusal.code, refusal.message, refusal.changed, **refusal.facts)
        return _login(request, language, own_path(next), problem=problem, status=status, name=name)
    response = RedirectResponse(own_path(next), 303)
    give_cookie(request, response, session)
    return response


@router.post("/logout")
async def logout(request: Request, csrf: Annotated[str, Form(max_length=128)] = "") -> Response:
    """End the session, from a form."""
    response = RedirectResponse("/login", 303)
    try:
        check_origin(request)
        person = person_of(request)
        request.app.state.station.access.check_csrf(person.session, csrf)
    except NotLoggedIn:
        return response
    await request.app.state.station.access.logout(person.token)
    take_cookie(response)
    return response


@router.get("/favicon.ico")
async def icon() -> Response:
    """Browsers ask for it on pages that name no icon, such as the demo's login link."""
    return RedirectResponse("/static/icon.svg", 301)


@router.get("/language/{code}")
async def language(request: Request, code: str, next: str = "/") -> Response:
    """Choose the language of this browser."""
    response = RedirectResponse(own_path(next), 303)
    if code in catalogue.LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, code, max_age=365 * 86400, samesite="lax", path="/")
    return response


def _login(
    request: Request,
    language: str,
    next: str,
    *,
    notice: str = "",
    problem: dict[str, Any] | None = None,
    status: int = 200,
    name: str = "",
) -> Response:
    return render(
        "login.html", language, status,
        place=request.app.state.station.site.name, languages=catalogue.LANGUAGES, notice=notice,
        problem=problem, next=next, name=name, here=quote(f"/login?next={quote(next, safe='')}", safe=""),
    )  # fmt: skip
