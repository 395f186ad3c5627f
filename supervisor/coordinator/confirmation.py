"""Readings that two polls in a row agree on: the only ones the coordinator acts upon.

It refuses a reading that is not good, that stands alone, or that jumped more between two polls than the
town can move.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from ..latest import Latest, Link

POLLS = 2
# How far two polls may differ and still confirm each other (own estimates): a control valve of 120 s
# stroke and a pressure loop of 10 s move less than this within one poll cycle of 10 s.
SPREAD = {"primary_dp_bar": 0.30, "plant_dp_bar": 0.50}
SPREAD_SHARE = 0.30


@dataclass(frozen=True)
class Confirmed:
    """A confirmed value, the newest of its polls, with the monotonic second of that poll."""

    value: float
    at_s: float


class Confirmation:
    """Notes every completed poll of the named points."""

    def __init__(self, latest: Latest, points: dict[str, tuple[str, ...]], monotonic: object) -> None:
        """`points` names the points to watch by device id; `monotonic` is the clock's function."""
        self._latest = latest
        self._points = points
        self._monotonic = monotonic
        self._polls: dict[tuple[str, str], deque[tuple[float, float | None]]] = {
            (device, point): deque(maxlen=POLLS) for device, names in points.items() for point in names
        }
        self._unsubscribe = latest.subscribe(self._polled)

    def close(self) -> None:
        """Stop listening."""
        self._unsubscribe()

    def _polled(self, device: str) -> None:
        link = self._latest.device(device).link
        for point in self._points.get(device, ()):
            reading = self._latest.point(device, point)
            good = link is Link.ok and reading.quality.live and reading.value is not None
            now = self._monotonic()  # type: ignore[operator]
            polls = self._polls[device, point]
            # a slow tier leaves a value untouched: the same reading twice confirms nothing
            read_at = now - reading.age_s if math.isfinite(reading.age_s) else -math.inf
            if good and polls and polls[-1][1] is not None and abs(polls[-1][0] - read_at) < 1e-6:
                continue
            polls.append((read_at, reading.value if good else None))

    def of(self, device: str, point: str, *, within_s: float) -> Confirmed | None:
        """Return the confirmed value, or None; both polls must lie within the last `within_s` seconds."""
        polls = self._polls.get((device, point))
        if polls is None or len(polls) < POLLS:
            return None
        now = self._monotonic()  # type: ignore[operator]
        values: list[float] = []
        for at, value in polls:
            if value is None or now - at > within_s:
                return None
            values.append(value)
        spread = max(SPREAD.get(point, 0.0), SPREAD_SHARE * max(abs(value) for value in values))
        if max(values) - min(values) > spread:
            return None
        return Confirmed(values[-1], polls[-1][0])

    def all(self, devices: Iterable[str], point: str, *, within_s: float) -> dict[str, float]:
        """Return the confirmed values of a point by device."""
        found = {device: self.of(device, point, within_s=within_s) for device in devices}
        return {device: reading.value for device, reading in found.items() if reading is not None}
