"""Put a running station behind HTTP: routes, screens, live socket, and the one table of refusals.

It refuses to decide: routes translate, `api.refusals` turns each refusal into a status and a sentence.
Its own documentation pages stay off; the ones behind the login are made from our own assets.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from .api import documentation, metrics, refusals, routes, ws
from .api.live import Ticker
from .api.security import SecurityHeaders
from .hmi import pages
from .settings import Settings
from .station import Station

SHUTDOWN_S = 3  # open live sockets are cut after this long


def create_app(station: Station, *, extra_routers: Sequence[APIRouter] = ()) -> FastAPI:
    """Return the application of a station; extra_routers come first (the demo's login link)."""
    app = FastAPI(title="Toplovod", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.station = station
    app.state.ticker = Ticker(station)
    refusals.install(app, pages.problem_page)
    app.add_middleware(SecurityHeaders)
    for router in extra_routers:
        app.include_router(router)
    app.include_router(routes.router)
    app.include_router(documentation.router)
    app.include_router(metrics.router)
    app.include_router(ws.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    return app


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the station is stopped after the last request."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    station: Station,
    listener: socket.socket,
    settings: Settings,
    *,
    extra_routers: Sequence[APIRouter] = (),
    when_up: Callable[[], None] | None = None,
    until: asyncio.Event | None = None,
) -> None:
    """Answer on the listener until SIGTERM, SIGINT or the event; the station keeps running after it."""
    options: dict[str, Any] = {}
    if settings.tls_cert is not None and settings.tls_key is not None:
        options = {"ssl_certfile": str(settings.tls_cert), "ssl_keyfile": str(settings.tls_key)}
    config = uvicorn.Config(
        create_app(station, extra_routers=extra_routers),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # a client may not say by itself where it comes from
        ws_max_size=256 * 1024,
        timeout_graceful_shutdown=SHUTDOWN_S,
        **options,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    watcher = asyncio.create_task(_when(until, end)) if until is not None else None
    try:
        if when_up is not None:
            when_up()
        await server.serve(sockets=[listener])
    finally:
        if watcher is not None:
            watcher.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _when(event: asyncio.Event, then: Callable[[], None]) -> None:
    await event.wait()
    then()
