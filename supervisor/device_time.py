"""Keep the controllers' own time: one that does not know it, or is off, is told by a signed order.

Schedules, holidays and legionella days of a controller need its clock, which nothing keeps through a power
cut. It refuses to tell a time that this machine's own clock gives reason to doubt, to tell a town in
step, and to repeat itself quickly: every order is a record in the controller's event log, and flash wears.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.substation import registers

from .clock import PRIORITY_TIME, Clock
from .courier import SHOWN_WITHIN_S
from .errors import Unavailable
from .field.poller import phase
from .latest import Latest as LatestValues
from .latest import Link, Quality
from .orders import TIME_POINT, Order
from .setpoints import Desk
from .site import Site

POINT = "unix_time_s"
PERIOD_S = 2.0
# Schedules are told in minutes: half of one. A quartz of 50 ppm takes a week for it. [estimate]
LIMIT_S = 30
SPREAD_CYCLES = 6  # cycles of polling over which a town is told after an outage [estimate]
AT_ONCE = 10  # orders in one period: 5 000 controllers in 17 minutes, a tenth of the bus [estimate]
AGAIN_S, AGAIN_MAX_S = 60.0, 3600.0  # the pause after an order that did not help doubles [estimate]
EARLIEST_S = int(registers.BY_NAME[TIME_POINT].low)  # nothing of this was made before; firmware holds it too
STEADY_S = 86_400.0  # a clock that went back is believed after a day without a jump [estimate]


class OwnTime:
    """Judges this machine's clock. `newest_record` is the newest time that an earlier run left on disk."""

    def __init__(self, clock: Clock, newest_record: datetime | None = None) -> None:
        self._clock = clock
        now = clock.monotonic()
        self._trusted_s = newest_record.timestamp() - now if newest_record is not None else -math.inf
        """The largest difference of UTC and monotonic seconds so far: it falls only when UTC goes back."""
        self._doubted_s = math.inf
        self._since = now

    def doubt(self) -> str | None:
        """Return why the time of this machine is to be told to nobody, for people; None for no reason."""
        utc_s, now = self._clock.utc().timestamp(), self._clock.monotonic()
        if utc_s < EARLIEST_S:
            return f"{_text(utc_s)} < {_text(EARLIEST_S)}"
        offset_s = utc_s - now
        if offset_s >= self._trusted_s - LIMIT_S:
            self._trusted_s = max(self._trusted_s, offset_s)
            self._doubted_s = math.inf
            return None
        if abs(offset_s - self._doubted_s) > LIMIT_S:  # went back, or moved again since
            self._doubted_s, self._since = offset_s, now
        if now - self._since >= STEADY_S:
            self._trusted_s = offset_s
            return None
        return f"{_text(utc_s)} < {_text(self._trusted_s + now)}"


@dataclass
class _Watch:
    """What is known of one controller's clock."""

    known: bool | None = None  # None: never read
    off_s: int | None = None  # ahead of ours; None where that cannot be said
    wrong_since: float = math.inf
    tries: int = 0
    next_s: float = -math.inf
    read_again_s: float = -math.inf  # readings before this moment do not show the last order yet
    told_utc: datetime | None = None

    @property
    def wrong(self) -> bool:
        return self.wrong_since < math.inf


class DeviceTime:
    """Compares each controller's clock with ours as polls bring it, and orders the time where it is wrong."""

    def __init__(self, site: Site, latest: LatestValues, desk: Desk, clock: Clock, own: OwnTime) -> None:
        self._latest = latest
        self._desk = desk
        self._clock = clock
        self._own = own
        self._cycle_s = site.polling.cycle_s
        self._watches = {device.id: _Watch() for device in site.devices}
        self._wrong: dict[str, _Watch] = {}  # those of them that are to be told
        self._seen_s: dict[str, NDArray[np.float64]] = {}  # by profile: the newest reading that was judged

    async def run(self) -> None:
        """Look and tell every period."""
        due = self._clock.monotonic()
        while True:
            await self.step()
            due = max(due + PERIOD_S, self._clock.monotonic())
            await self._clock.sleep_until(due, PRIORITY_TIME)

    async def step(self) -> None:
        """Do once what run() does every period."""
        doubt = self._own.doubt()
        for profile in registers.PROFILES:
            self._look(profile, believed=doubt is None)
        if doubt is None:
            await self._tell()

    # -- readers ----------------------------------------------------------------------------------
    def without_time(self) -> Mapping[str, dict[str, Any]]:
        """Return the controllers that answered last without knowing the time."""
        return {name: {} for name, watch in self._wrong.items() if not watch.known}

    def with_wrong_time(self) -> Mapping[str, dict[str, Any]]:
        """Return the controllers whose clock is off, with how far."""
        return {name: {"off_s": watch.off_s} for name, watch in self._wrong.items() if watch.known}

    def of(self, device_id: str) -> dict[str, Any]:
        """Return one controller's clock as JSON values; `state` is unread, unknown, wrong or right."""
        watch = self._watches[device_id]
        state = "unread" if watch.known is None else "unknown" if not watch.known else "right"
        return {
            "state": "wrong" if state == "right" and watch.wrong else state,
            "off_s": watch.off_s,
            "limit_s": LIMIT_S,
            "told_utc": watch.told_utc.isoformat() if watch.told_utc else None,
            "withheld": self._own.doubt(),
        }

    # -- inside -----------------------------------------------------------------------------------
    def _look(self, profile: str, *, believed: bool) -> None:
        names = self._latest.device_ids(profile)
        values, quality, read_s = self._latest.read_of(profile, POINT)
        now, utc_s = self._clock.monotonic(), self._clock.utc().timestamp()
        seen_s = self._seen_s.setdefault(profile, np.full(len(names), -np.inf))
        good = quality == Quality.good
        fresh = (read_s > seen_s) & (good | (quality == Quality.failed_sensor))
        seen_s[fresh] = read_s[fresh]
        for row in np.flatnonzero(fresh).tolist():
            watch = self._watches[names[row]]
            if read_s[row] <= watch.read_again_s:
                continue
            known = bool(good[row])
            if watch.known and not known:  # it has restarted: another matter than before
                watch.tries, watch.next_s = 0, -math.inf
            watch.known = known
            if not known:
                watch.off_s = None
            elif believed:
                watch.off_s = round(float(values[row]) - (utc_s - now + float(read_s[row])))
            else:
                continue  # without a clock of our own nobody else's can be judged
            if watch.known and abs(watch.off_s or 0) <= LIMIT_S:
                watch.wrong_since = math.inf
                self._wrong.pop(names[row], None)
                if now >= watch.next_s:
                    watch.tries = 0
            elif not watch.wrong:
                watch.wrong_since = now
                self._wrong[names[row]] = watch

    async def _tell(self) -> None:
        now = self._clock.monotonic()
        due = []
        for device, watch in self._wrong.items():
            if self._latest.device(device).link is Link.ok:
                turn = watch.wrong_since + phase(device) * SPREAD_CYCLES * self._cycle_s
                if max(turn, watch.next_s) <= now:
                    due.append((max(turn, watch.next_s), device))
        started: list[tuple[str, Order]] = []
        for _, device in sorted(due)[:AT_ONCE]:
            watch = self._watches[device]
            watch.tries += 1
            watch.next_s = now + min(AGAIN_S * 2.0 ** min(watch.tries - 1, 16), AGAIN_MAX_S)
            old_s = self._latest.point(device, POINT).value if watch.known else None
            reason = "unknown" if not watch.known else f"off by {watch.off_s} s"
            try:
                order = await self._desk.tell_time(device, old_s, reason)
            except Unavailable:
                continue  # no audit, no write: audit_stopped says so
            if order is None:  # another order is on its way there, or there is no key
                watch.tries -= 1
            else:
                started.append((device, order))
        for device, order in started:
            ended = await self._desk.settled(order.id)
            watch = self._watches[device]
            watch.read_again_s = self._clock.monotonic() + SHOWN_WITHIN_S
            if ended.proof:
                watch.told_utc = self._clock.utc()


def _text(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
