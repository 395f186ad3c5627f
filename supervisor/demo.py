"""Run the supervisor as a member of a simulated town: virtual time, people of this run, one login link.

Started by the demo as `python -m supervisor.demo`, never by `serve`, which does not import it: the route
that opens a session without a password exists only here, works once, for five minutes and from this
machine only. Everything else is the supervisor as it is served.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import uvloop
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from .access import EVERYWHERE, OPERATOR, VIEWER
from .api.security import client_of, give_cookie
from .app import serve
from .clock import LockstepClock
from .coordinator import AUTOMATIC
from .errors import NotFound, Refusal
from .settings import LOOPBACK, Settings, bind, is_loopback
from .site import Site
from .station import Station

LINK_S = 300.0
LINK_USER = "demo"
PEOPLE_FILE = "demo-people.json"

log = logging.getLogger(__name__)


class LoginLink:
    """A secret address that opens one session for the demo's operator."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self.token = secrets.token_urlsafe(32)
        self._ends = time.monotonic() + LINK_S
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/login/link/{token}", self._open, methods=["GET"])

    async def _open(self, request: Request, token: str) -> Response:
        used = not self.token
        good = secrets.compare_digest(token, self.token) and time.monotonic() < self._ends
        if not good or used or not is_loopback(client_of(request)):
            raise NotFound(
                "login_link_ended",
                "This login link was used, is older than five minutes or is not for this machine; "
                "nobody was logged in.",
            )
        self.token = ""
        session = await self._station.access.open_session(LINK_USER, client_of(request))
        # a page of our own, because a strict cookie is not sent along a redirect from another site
        response = HTMLResponse(
            '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
            '<title>Toplovod</title><p><a href="/">Toplovod</a>'
        )
        give_cookie(request, response, session)
        return response


async def add_people(station: Station, folder: Path) -> None:
    """Give the demo its people: a viewer and an operator for each area, and an operator for all.

    The passwords are random and stand in a file of the data folder that only its owner can read.
    """
    people = {LINK_USER: {EVERYWHERE: OPERATOR}}
    for area in station.site.areas:
        for role in (VIEWER, OPERATOR):
            people[f"{role}-{area.id}"] = {area.id: role}
    known = {user.name for user in station.access.users()}
    written: dict[str, Any] = {}
    for name, roles in people.items():
        password = secrets.token_urlsafe(18)
        if name in known:
            await station.access.set_password(name, password, by="demo")
        else:
            await station.access.add_user(name, password, roles, by="demo")
        written[name] = {"password": password, "roles": roles}
    write_private(folder / PEOPLE_FILE, json.dumps(written, indent=1) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, whole or not at all."""
    draft = path.with_suffix(path.suffix + ".part")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


class LockstepMember:
    """This process's end of the bench's clock: a line asks for a time, another says it is reached."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def join(cls, address: str) -> tuple[LockstepMember, datetime, float]:
        """Join at HOST:PORT; return the member, the epoch and the time now in seconds since it."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        member = cls(reader, writer)
        await member.say({"member": "supervisor"})
        hello = await member.hear()
        if hello is None:
            raise ConnectionError(f"the bench at {address} closed the line; nothing was started")
        return member, datetime.fromisoformat(hello["epoch_utc"]), hello["now_ms"] / 1000.0

    async def say(self, message: dict[str, Any]) -> None:
        """Send one line."""
        self._writer.write(json.dumps(message).encode() + b"\n")
        await self._writer.drain()

    async def hear(self) -> dict[str, Any] | None:
        """Return the next line, None when the bench has gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        message: dict[str, Any] | None = json.loads(line) if line else None
        return message

    async def follow(self, clock: LockstepClock, station: Station) -> None:
        """Go where the bench goes, until it ends."""
        while (message := await self.hear()) is not None:
            t_ms = message["advance_ms"]
            await clock.advance(t_ms / 1000.0)
            await self.say({"done_ms": t_ms, "bus_sha256": station.poller.bus_sha256()})


async def run(arguments: argparse.Namespace) -> None:
    """Join the clock, start the station and answer until the bench or a signal ends it."""
    site = Site.load(arguments.site)
    settings = Settings(data=arguments.data, port=arguments.port, history_min_free_bytes=0)
    listener = bind(LOOPBACK, arguments.port)
    member, epoch, now_s = await LockstepMember.join(arguments.lockstep)
    clock = LockstepClock(epoch, now_s)
    station = Station(site, settings, clock)
    await station.start()
    ended = asyncio.Event()
    try:
        first_start = not station.access.users()
        await add_people(station, arguments.data)
        if first_start:  # the demo shows the closed loop; later starts keep what people chose
            for area in site.areas:
                await station.coordinator.set_mode(LINK_USER, area.id, AUTOMATIC, "start of the demo")
        link = LoginLink(station)
        address = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        write_private(arguments.login_token_file, f"{address}/login/link/{link.token}\n")

        async def follow() -> None:
            try:
                await member.follow(clock, station)
            finally:
                ended.set()

        following = asyncio.create_task(follow())
        await serve(station, listener, settings, extra_routers=[link.router], until=ended)
        if following.done():
            following.result()  # a run that stood still ends with its reason
        else:
            following.cancel()
    finally:
        await station.stop()


def main() -> None:
    """Read the arguments and run; exit 0 when the bench ended, 1 when a part failed, 2 on wrong use."""
    parser = argparse.ArgumentParser(prog="python -m supervisor.demo", description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lockstep", required=True, metavar="HOST:PORT")
    parser.add_argument("--login-token-file", type=Path, required=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        uvloop.run(run(parser.parse_args()))
    except Refusal as refusal:
        print(f"{refusal.code}: {refusal.message}", file=sys.stderr)
        sys.exit(getattr(refusal, "exit_status", 1))


if __name__ == "__main__":
    main()
