"""Give each screen the points of its page, as one frame per tick, encoded once for all who look at the same.

It refuses to send what nobody subscribed to, and to queue: a slow client is sent the newest frame when it
is ready again, never the ones it missed.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware.substation import registers

from ..clock import LockstepClock
from ..errors import Refused
from ..latest import Latest, Snapshot
from ..site import Site
from .frame import Block, Head, encode

TICK_S = 0.5  # real seconds between frames: 2 Hz, inside the 1-4 Hz a person can follow
SPEED_OVER_S = 5.0  # the shown speed is a mean over this many real seconds
KEPT_FRAMES = 64


@dataclass(frozen=True)
class Part:
    """What is wanted of one profile: rows of `latest` and columns of it."""

    profile: str
    rows: tuple[int, ...] | None  # None = all, in the site's order
    columns: tuple[int, ...]


@dataclass(frozen=True)
class Subscription:
    """What one page shows. `number` is the page's own; equal parts share their frames."""

    number: int
    parts: tuple[Part, ...]
    watched: tuple[str, ...] = ()

    @classmethod
    def parse(cls, message: Any, latest: Latest) -> Subscription:
        """Read {"number": n, "profiles": {profile: {"points": […], "devices": […]?}}}.

        Raises Refused naming the profile, device or point that does not exist; nothing is subscribed then.
        """
        try:
            number = int(message["number"]) & 0xFFFF
            wanted: Mapping[str, Any] = message["profiles"]
            parts = []
            watched: list[str] = []
            for profile, want in wanted.items():
                if profile not in registers.PROFILES:
                    raise _unknown("profile", profile)
                points, ids = latest.points(profile), latest.device_ids(profile)
                columns = tuple(_place(points, str(name), "point") for name in want["points"])
                rows = None
                if want.get("devices") is not None:
                    rows = tuple(_place(ids, str(name), "device") for name in want["devices"])
                    if len(rows) == 1:
                        watched.append(ids[rows[0]])
                parts.append(Part(profile, rows, columns))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Refused(
                "bad_subscription",
                "The subscription cannot be read; nothing is sent. It needs a number and profiles "
                "with points.",
            ) from None
        return cls(number, tuple(parts), tuple(watched))


def _place(names: tuple[str, ...], name: str, what: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise _unknown(what, name) from None


def _unknown(what: str, name: str) -> Refused:
    return Refused(
        "bad_subscription", f"There is no {what} {name[:80]!r}; nothing is sent until that is mended."
    )


class Ticker:
    """Makes the frames of all screens; called from the event loop only."""

    def __init__(self, station: Any) -> None:
        self._station = station
        self._site: Site = station.site
        self._latest: Latest = station.latest
        self._simulated = isinstance(station.clock, LockstepClock)
        self._tick = -1
        self._head: Head | None = None
        self._snapshots: dict[tuple[str, tuple[int, ...]], Snapshot] = {}
        self._frames: OrderedDict[Subscription, bytes] = OrderedDict()
        self._pace: deque[tuple[float, float]] = deque()
        self.clients = 0
        self.frames_sent = 0

    def frame(self, subscription: Subscription) -> bytes:
        """Return the frame of this tick for a subscription."""
        tick = int(time.monotonic() / TICK_S)
        if tick != self._tick:
            self._tick = tick
            self._snapshots.clear()
            self._frames.clear()
            self._head = self._make_head(tick)
        found = self._frames.get(subscription)
        if found is None:
            assert self._head is not None
            blocks = [self._block(part) for part in subscription.parts]
            found = self._frames[subscription] = encode(self._head, subscription.number, blocks)
            if len(self._frames) > KEPT_FRAMES:
                self._frames.popitem(last=False)
        self.frames_sent += 1
        return found

    def _make_head(self, tick: int) -> Head:
        alarms = in_hand(self._station)
        return Head(
            sequence=tick,
            utc_s=self._station.clock.utc().timestamp(),
            simulated=self._simulated,
            speed=self._speed(),
            alarms_version=alarms.version,
            orders_version=orders_version(self._station),
            unacknowledged=alarms.unacknowledged,
            active=alarms.active,
        )

    def _speed(self) -> float:
        if not self._simulated:
            return 1.0
        self._pace.append((time.monotonic(), self._station.clock.monotonic()))
        while len(self._pace) > 2 and self._pace[-1][0] - self._pace[0][0] > SPEED_OVER_S:
            self._pace.popleft()
        real = self._pace[-1][0] - self._pace[0][0]
        return (self._pace[-1][1] - self._pace[0][1]) / real if real > 0 else 0.0

    def _block(self, part: Part) -> Block:
        wanted = (part.profile, part.columns)
        snapshot = self._snapshots.get(wanted)
        if snapshot is None:
            snapshot = self._snapshots[wanted] = self._latest.snapshot(*wanted)
        rows = slice(None) if part.rows is None else np.array(part.rows, dtype=np.intp)
        ages = snapshot.age_s[rows]
        # the age of the youngest shown point: blocks of a device are read together or not at all
        age = ages.min(axis=1) if ages.size else np.full(len(ages), np.inf)
        return Block(
            profile=registers.PROFILES.index(part.profile) + 1,
            values=snapshot.values[rows].astype(np.float32),
            age_s=age.astype(np.float32),
            quality=snapshot.quality[rows],
            link=snapshot.link[rows],
        )


@dataclass(frozen=True)
class InHand:
    """The alarms in hand, counted: by priority 1, 2, 3, and how many nobody has acknowledged."""

    version: int
    unacknowledged: int
    active: tuple[int, int, int]


def in_hand(station: Any) -> InHand:
    """Count the alarms in hand; what another alarm explains counts with that one."""
    active = [0, 0, 0]
    unacknowledged = 0
    for alarm in station.alarms.active():
        if not alarm.cause_id:
            active[min(3, max(1, alarm.priority)) - 1] += 1
            unacknowledged += alarm.needs_acknowledgement
    return InHand(station.alarms.version, unacknowledged, (active[0], active[1], active[2]))


def orders_version(station: Any) -> int:
    """Return a number that changes whenever an order does."""
    orders = station.desk.orders()
    return hash(tuple((order.id, order.state, order.changed_utc) for order in orders[:400])) & 0xFFFFFFFF
