"""The live socket: one binary frame per tick for the page that is open.

Text from the client subscribes, nothing else; it refuses to carry orders. It closes with 4401 when the
session ends or is revoked, and with 1008 what does not come from our own pages.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from ..errors import NotAllowed, NotLoggedIn, Refusal
from .live import TICK_S, Subscription, Ticker
from .security import check_origin, person_of

log = logging.getLogger(__name__)

router = APIRouter()

SESSION_ENDED = 4401
POLICY = 1008
SUBSCRIPTION_MOST_CHARS = 200_000  # 5 000 device ids by name
SEND_WITHIN_S = 15.0  # a client that takes longer for one frame is gone
WATCH_S = 30.0  # how long an open faceplate keeps its controller in the fast tier
WATCH_EVERY_S = 10.0


@router.websocket("/ws")
async def live(socket: WebSocket) -> None:
    """Send this page's frames until it closes, or its session ends."""
    try:
        check_origin(socket)
    except NotAllowed:
        await socket.close(POLICY)
        return
    await socket.accept()
    ticker: Ticker = socket.app.state.ticker
    page = _Page(socket, ticker)
    ticker.clients += 1
    try:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(page.listen())
            await page.send()
            listening.cancel()
    except* (WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
        log.debug("a screen has left")
    finally:
        ticker.clients -= 1


class _Page:
    def __init__(self, socket: WebSocket, ticker: Ticker) -> None:
        self._socket = socket
        self._ticker = ticker
        self._station: Any = socket.app.state.station
        self._subscription: Subscription | None = None
        self._changed = asyncio.Event()
        self._watched_at = 0.0

    async def listen(self) -> None:
        """Take subscriptions; ends with WebSocketDisconnect."""
        while True:
            text = await self._socket.receive_text()
            try:
                if len(text) > SUBSCRIPTION_MOST_CHARS:
                    raise ValueError("too long")
                message = json.loads(text)["subscribe"]
                self._subscription = Subscription.parse(message, self._station.latest)
            except Refusal as refusal:
                await self._socket.send_text(json.dumps({"error": refusal.as_dict()}))
            except (ValueError, KeyError, TypeError):
                await self._socket.send_text(
                    json.dumps(
                        {
                            "error": {
                                "code": "bad_subscription",
                                "message": "The text is no subscription; nothing is sent.",
                                "changed": False,
                            }
                        }
                    )
                )
            else:
                self._watched_at = 0.0
                self._changed.set()

    async def send(self) -> None:
        """Send one frame per tick; returns when the session has ended."""
        while True:
            try:
                person_of(self._socket)  # asked every tick: a revoked session ends here within one
            except (NotLoggedIn, Refusal):
                await self._socket.close(SESSION_ENDED)
                return
            if self._subscription is not None:
                self._watch(self._subscription)
                async with asyncio.timeout(SEND_WITHIN_S):
                    await self._socket.send_bytes(self._ticker.frame(self._subscription))
            await self._next_tick()

    async def _next_tick(self) -> None:
        rest = TICK_S - time.monotonic() % TICK_S
        self._changed.clear()
        try:
            async with asyncio.timeout(rest):
                await self._changed.wait()  # a new subscription is answered at once
        except TimeoutError:
            pass

    def _watch(self, subscription: Subscription) -> None:
        now = time.monotonic()
        if subscription.watched and now - self._watched_at > WATCH_EVERY_S:
            self._watched_at = now
            for device_id in subscription.watched[:4]:
                self._station.poller.watch(device_id, WATCH_S)
