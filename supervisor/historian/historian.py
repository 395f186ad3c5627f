"""Record every poll of the town and answer what a point has done over time.

A reader of `latest`: it refuses to talk to a device, to wait for the disk on the event loop, and to
keep polling from going on when the disk is full.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from firmware.substation import registers

from ..clock import Clock
from ..database import cannot_open, sqlite3
from ..errors import Refused
from ..field.poller import phase
from ..latest import Latest, Link
from ..site import Site
from .layout import current_layout, sample_words
from .series import Series, thin
from .store import MIN_FREE_BYTES, HistoryState, HistoryStore

MAX_POINTS = 20_000


class Historian:
    """History of one site in one file."""

    def __init__(
        self,
        path: Path,
        site: Site,
        latest: Latest,
        clock: Clock,
        *,
        quota_bytes: int | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        self._site = site
        self._latest = latest
        self._clock = clock
        try:
            self._store = HistoryStore(
                path,
                [device.id for device in site.devices],
                phase,
                quota_bytes=quota_bytes,
                min_free_bytes=min_free_bytes,
            )
            self._layouts = {
                profile: self._store.layout_id(current_layout(profile)) for profile in registers.PROFILES
            }
        except sqlite3.Error as error:
            raise cannot_open(path, error) from error
        self._profiles = {device.id: device.profile for device in site.devices}
        self._recorded_s: dict[str, float] = {}
        self._unsubscribe = latest.subscribe(self.record)

    @property
    def state(self) -> HistoryState:
        """Return how recording goes; state.recording is False on a full disk."""
        return self._store.state

    def points(self, profile: str) -> tuple[str, ...]:
        """Return the names of the points whose history is kept."""
        return current_layout(profile).points

    def record(self, device_id: str) -> None:
        """Queue the device's newest sample, unless it is recorded already or the device did not answer."""
        read_s = self._latest.read_s(device_id, "inputs")
        if self._recorded_s.get(device_id) == read_s or self._latest.device(device_id).link is not Link.ok:
            return
        self._recorded_s[device_id] = read_s
        utc_ms = int((self._clock.utc().timestamp() - (self._clock.monotonic() - read_s)) * 1000)
        self._store.add(
            device_id, utc_ms, self._layouts[self._profiles[device_id]], sample_words(self._latest, device_id)
        )

    async def series(
        self, device_id: str, point: str, start: datetime, end: datetime, max_points: int = 1000
    ) -> Series:
        """Return a point's utc_s, minimum, mean and maximum between two aware times, in at most max_points.

        Raises NotFound for a device or point without history, Refused for a span that makes no sense.
        """
        self._site.device(device_id)
        if start.tzinfo is None or end.tzinfo is None or not start < end:
            raise Refused(
                "bad_span", "start and end need a time zone, and start comes first; nothing was read."
            )
        if not 1 <= max_points <= MAX_POINTS:
            raise Refused("bad_span", f"points must lie between 1 and {MAX_POINTS}; nothing was read.")
        current_layout(self._profiles[device_id]).require(point)
        start_s, end_s = start.astimezone(UTC).timestamp(), end.astimezone(UTC).timestamp()

        def read() -> Series:
            utc_ms, values = self._store.samples(
                device_id, point, int(start_s * 1000), int(np.ceil(end_s * 1000))
            )
            return thin(utc_ms / 1000.0, values, start_s, end_s, max_points)

        return await asyncio.to_thread(read)

    async def flush(self) -> None:
        """Wait until everything recorded so far is in the file or was dropped."""
        await asyncio.to_thread(self._store.flush)

    async def close(self) -> None:
        """Stop recording and close the file; nothing queued is lost."""
        self._unsubscribe()
        await asyncio.to_thread(self._store.close)
