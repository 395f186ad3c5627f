"""Hold the newest value of every point with its quality and age: one array per profile.

The poller writes here; historian, alarms, coordinator and screens only read. It refuses to make an old
or doubtful number look live: quality is worked out when it is asked for, so that a value grows stale by
itself when nobody writes any more (V4). It never talks to a device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from firmware.substation import registers

from .clock import Clock
from .errors import NotFound
from .field.blocks import (
    BLOCKS,
    FUNCTIONS,
    METER_NUMBERS,
    METER_QUANTITIES,
    METER_SILENT,
    METERS,
    OPTIONAL_SENSORS,
    VALUE_BLOCKS,
    Decoder,
)
from .field.identity import Identity
from .site import Device, Site

MANUAL_MODE = 2  # control_mode_number
STALE_AFTER_CYCLES = 2.5
LOST_AFTER_CYCLES = 3.0
LOST_AFTER_FAILURES = 3


class Quality(IntEnum):
    """How far a value may be trusted; the numbers are sent to screens and only ever appended to."""

    good = 0
    stale = 1  # read too long ago
    lost = 2  # the controller does not answer; this is its last word
    failed_sensor = 3  # the controller itself says that there is no valid reading
    manual = 4  # an actuator under manual control at the device
    substituted = 5  # typed in by a person
    unknown = 6  # never read

    @property
    def live(self) -> bool:
        """Say whether automatic decisions may use the value."""
        return self is Quality.good


class Link(IntEnum):
    """How a controller answers; the numbers are sent to screens and only ever appended to."""

    ok = 0
    late = 1  # the last poll failed, or the first answer is still awaited
    lost = 2
    unknown_map = 3  # answers with a register map we do not have: identity only, never written
    wrong_device = 4  # answers as a different device than the site file says


@dataclass(frozen=True)
class Reading:
    """One value as it stands now; value is None where nothing valid was ever read."""

    value: float | None
    quality: Quality
    age_s: float
    utc: datetime | None


@dataclass(frozen=True)
class DeviceState:
    """What is known about a controller as a whole; times are UTC, None = never."""

    device_id: str
    link: Link
    last_ok_utc: datetime | None
    last_ok_age_s: float
    failures: int
    error: str
    identity: Identity | None
    boots: int | None
    uptime_s: int | None
    restarts_seen: int


@dataclass(frozen=True)
class Snapshot:
    """All devices of a profile at one moment; rows = devices, columns = points."""

    profile: str
    device_ids: tuple[str, ...]
    points: tuple[str, ...]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    age_s: NDArray[np.float64]
    """(devices, points), seconds; inf where never read."""
    link: NDArray[np.uint8]
    device_age_s: NDArray[np.float64]

    def column(self, point: str) -> int:
        """Return the column of a point. Raises NotFound."""
        try:
            return self.points.index(point)
        except ValueError:
            raise NotFound("unknown_point", f"a {self.profile} has no point {point!r}.") from None


class _Table:
    """The arrays of one profile."""

    def __init__(self, profile: str, devices: Sequence[Device], site: Site) -> None:
        self.profile = profile
        self.device_ids = tuple(device.id for device in devices)
        self.row = {device_id: row for row, device_id in enumerate(self.device_ids)}
        blocks = [BLOCKS[profile][name] for name in VALUE_BLOCKS[profile]]
        self.points = tuple(point for block in blocks for point in block.points)
        self.column = {point: column for column, point in enumerate(self.points)}
        self.decoders = {block.name: Decoder(block) for block in blocks}
        self.columns = {
            block.name: slice(self.column[block.points[0]], self.column[block.points[-1]] + 1)
            for block in blocks
        }
        shape = (len(devices), len(self.points))
        self.values = np.full(shape, np.nan)
        self.quality = np.full(shape, Quality.unknown, dtype=np.uint8)
        self.read_s = np.full(shape, -np.inf)
        self.words = {block.name: np.zeros((len(devices), block.count), dtype=np.uint16) for block in blocks}
        self.substituted = np.zeros(shape, dtype=np.bool_)
        slow = {"setpoints", "config", "beside", METERS}
        self.stale_after_s = np.empty(len(self.points))
        for block in blocks:
            cycle = site.polling.slow_s if block.name in slow else site.polling.cycle_s
            self.stale_after_s[self.columns[block.name]] = STALE_AFTER_CYCLES * cycle
        # what an actuator does is no sign of the loop's wish while somebody moves it by hand
        self.moved_by_hand = np.array(["_out_" in p or "_effective_" in p for p in self.points])
        self.mode_column = self.column["control_mode_number"]
        self.optional_sensor = np.array([p in OPTIONAL_SENSORS for p in BLOCKS[profile][FUNCTIONS].points])


_METER_POINTS = BLOCKS[registers.SUBSTATION][METERS].points
_METER_COLUMNS = {
    number: slice(
        _METER_POINTS.index(f"meter{number}_energy_kwh"),
        _METER_POINTS.index(f"meter{number}_question_count") + 1,
    )
    for number in METER_NUMBERS
}
_METER_TOLD = np.array(
    [point.removeprefix("meter1_") in METER_QUANTITIES for point in _METER_POINTS[_METER_COLUMNS[1]]]
)
_METER_STATUS = _METER_POINTS.index("meter1_status_bits")


def _judge_meters(values: NDArray[np.float64], quality: NDArray[np.uint8]) -> None:
    """Hide meters that are not there, and let nothing look live that a silent one told before."""
    for columns in _METER_COLUMNS.values():
        of_meter = quality[columns]  # a view
        if of_meter[-1] == Quality.unknown:  # nobody ever asked it
            of_meter[:] = Quality.unknown
            continue
        status = values[columns][_METER_STATUS]
        if not np.isnan(status) and int(status) & METER_SILENT:
            of_meter[_METER_TOLD & (of_meter == Quality.good)] = Quality.stale


class _Contact:
    """Changing facts about one controller."""

    def __init__(self) -> None:
        self.last_ok_s: float | None = None
        self.last_ok_utc: datetime | None = None
        self.failures = 0
        self.error = ""
        self.refusal: Link | None = None
        self.identity: Identity | None = None
        self.restarts_seen = 0


class Latest:
    """The newest values of a whole site. All methods run on the event loop's thread."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._site = site
        self._clock = clock
        self._started_s = clock.monotonic()
        self._tables = {
            registers.SUBSTATION: _Table(registers.SUBSTATION, site.substations, site),
            registers.PUMP_STATION: _Table(registers.PUMP_STATION, site.stations, site),
        }
        self._contacts = {device.id: _Contact() for device in site.devices}
        self._profiles = {device.id: device.profile for device in site.devices}
        self._subscribers: list[Callable[[str], None]] = []
        self.version = 0
        """Rises with every change."""

    # -- readers -----------------------------------------------------------------------------------
    def points(self, profile: str) -> tuple[str, ...]:
        """Return the names of the points of a profile, in column order."""
        return self._tables[profile].points

    def device_ids(self, profile: str) -> tuple[str, ...]:
        """Return the site ids of the devices of a profile, in row order."""
        return self._tables[profile].device_ids

    def profile(self, device_id: str) -> str:
        """Return the profile of a device. Raises NotFound."""
        return self._find(device_id)[0].profile

    def point(self, device_id: str, name: str) -> Reading:
        """Return one value as it stands now. Raises NotFound for a device or point that does not exist."""
        table, row = self._find(device_id)
        column = table.column.get(name)
        if column is None:
            raise NotFound("unknown_point", f"{device_id} has no point {name!r}; see docs/registers.md.")
        return self._reading(table, row, column, self._link(device_id), self._clock.monotonic())

    def row(self, device_id: str) -> dict[str, Reading]:
        """Return all points of a device. Raises NotFound."""
        table, row = self._find(device_id)
        link = self._link(device_id)
        now = self._clock.monotonic()
        return {name: self._reading(table, row, column, link, now) for name, column in table.column.items()}

    def device(self, device_id: str) -> DeviceState:
        """Return what is known about a controller. Raises NotFound."""
        self._find(device_id)
        contact = self._contacts[device_id]
        now = self._clock.monotonic()
        identity = contact.identity
        age = float("inf") if contact.last_ok_s is None else now - contact.last_ok_s
        return DeviceState(
            device_id=device_id,
            link=self._link(device_id),
            last_ok_utc=contact.last_ok_utc,
            last_ok_age_s=age,
            failures=contact.failures,
            error=contact.error,
            identity=identity,
            boots=identity.boot_count if identity else None,
            uptime_s=identity.uptime_at(now) if identity else None,
            restarts_seen=contact.restarts_seen,
        )

    def snapshot(self, profile: str, columns: Sequence[int] | None = None) -> Snapshot:
        """Return copies of the values of a profile with the qualities of this moment.

        columns: only these, in this order, by their places in `points`; all when None.
        """
        table = self._tables[profile]
        now = self._clock.monotonic()
        wanted = slice(None) if columns is None else np.array(columns, dtype=np.intp)
        age = now - table.read_s[:, wanted]
        link = np.array([self._link(device_id) for device_id in table.device_ids], dtype=np.uint8)
        last_ok = (self._contacts[device_id].last_ok_s for device_id in table.device_ids)
        device_age = np.array([np.inf if s is None else now - s for s in last_ok])
        quality = table.quality[:, wanted].copy()
        by_hand = table.values[:, table.mode_column] == MANUAL_MODE
        manual = by_hand[:, None] & table.moved_by_hand[None, wanted]
        quality[manual & (quality == Quality.good)] = Quality.manual
        known = quality != Quality.unknown
        stale = age > table.stale_after_s[wanted]
        quality[known & stale & (quality != Quality.failed_sensor)] = Quality.stale
        silent = (link != Link.ok) & (link != Link.late)
        quality[known & silent[:, None]] = Quality.lost
        points = table.points if columns is None else tuple(table.points[place] for place in columns)
        values = table.values[:, wanted].copy()
        return Snapshot(profile, table.device_ids, points, values, quality, age, link, device_age)

    def read_of(
        self, profile: str, point: str
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]:
        """Return copies of one point of all devices as last read: value, quality then, monotonic time.

        A whole snapshot of 5 000 devices takes 30 ms; this takes none that counts. Raises NotFound.
        """
        table = self._tables[profile]
        column = table.column.get(point)
        if column is None:
            raise NotFound("unknown_point", f"a {profile} has no point {point!r}.")
        return table.values[:, column].copy(), table.quality[:, column].copy(), table.read_s[:, column].copy()

    def words(self, device_id: str, block: str) -> NDArray[np.uint16]:
        """Return a copy of the raw words of a block ("status", "inputs", …) as last read."""
        table, row = self._find(device_id)
        words: NDArray[np.uint16] = table.words[block][row].copy()
        return words

    def read_s(self, device_id: str, block: str) -> float:
        """Return the monotonic time at which a block was last read, in seconds; -inf = never."""
        table, row = self._find(device_id)
        return float(table.read_s[row, table.columns[block].start])

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the device id after each poll, answered or lost; returns the way to unsubscribe."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            self._subscribers.remove(callback)

        return unsubscribe

    # -- writers: the poller, and a person who types a value in ------------------------------------------
    def store(self, device_id: str, block: str, words: Sequence[int]) -> None:
        """Take the words of one block, just read."""
        table, row = self._find(device_id)
        values, read, inside = table.decoders[block].decode(words)
        columns = table.columns[block]
        quality = np.where(inside, Quality.good, Quality.failed_sensor).astype(np.uint8)
        if block in ("setpoints", "config"):  # nobody holds a lease: empty, and that is no fault
            quality[~read] = Quality.good
        elif block == FUNCTIONS:  # a sensor that never measured is not there
            seen = table.optional_sensor & (table.quality[row, columns] != Quality.unknown)
            quality[~read & ~seen] = Quality.unknown
        elif block == METERS:
            quality[~read] = Quality.unknown  # a meter tells what its maker gave it to tell
            _judge_meters(values, quality)
        kept = table.substituted[row, columns]
        table.values[row, columns] = np.where(kept, table.values[row, columns], values)
        table.quality[row, columns] = np.where(kept, np.uint8(Quality.substituted), quality)
        table.read_s[row, columns] = self._clock.monotonic()
        table.words[block][row] = words
        self.version += 1

    def substitute(self, device_id: str, point: str, value: float | None) -> None:
        """Put a person's value in the place of the reading; None gives the reading back."""
        table, row = self._find(device_id)
        column = table.column.get(point)
        if column is None:
            raise NotFound("unknown_point", f"{device_id} has no point {point!r}; nothing was changed.")
        table.substituted[row, column] = value is not None
        if value is None:
            table.values[row, column] = np.nan
            table.quality[row, column] = Quality.unknown
            table.read_s[row, column] = -np.inf
        else:
            table.values[row, column] = value
            table.quality[row, column] = Quality.substituted
            table.read_s[row, column] = self._clock.monotonic()
        self.version += 1

    def identified(self, device_id: str, identity: Identity) -> None:
        """Take an identity block; a lower uptime or another boot nonce counts as a restart."""
        contact = self._contacts[device_id]
        before = contact.identity
        if before is not None and before.boot_nonce != identity.boot_nonce:
            contact.restarts_seen += 1
            self._forget_functions(device_id)
        contact.identity = identity
        self.version += 1

    def answered(self, device_id: str, refusal: Link | None = None, error: str = "") -> None:
        """Note a completed poll; refusal names why only the identity may be read."""
        contact = self._contacts[device_id]
        contact.last_ok_s = self._clock.monotonic()
        contact.last_ok_utc = self._clock.utc()
        contact.failures = 0
        contact.error = error
        contact.refusal = refusal
        self._tell(device_id)

    def missed(self, device_id: str, error: str) -> None:
        """Note a poll without an answer."""
        contact = self._contacts[device_id]
        contact.failures += 1
        contact.error = error
        self._tell(device_id)

    # -- inside ------------------------------------------------------------------------------------
    def _forget_functions(self, device_id: str) -> None:
        """Know no more of what the site has: it may have been provisioned anew."""
        table, row = self._find(device_id)
        columns = table.columns[FUNCTIONS]
        gone = ~table.substituted[row, columns]
        table.values[row, columns] = np.where(gone, np.nan, table.values[row, columns])
        table.quality[row, columns] = np.where(gone, np.uint8(Quality.unknown), table.quality[row, columns])

    def _tell(self, device_id: str) -> None:
        self.version += 1
        for callback in list(self._subscribers):
            callback(device_id)

    def _find(self, device_id: str) -> tuple[_Table, int]:
        profile = self._profiles.get(device_id)
        if profile is None:
            raise NotFound("unknown_device", f"{device_id!r} is not in the site file; nothing was changed.")
        table = self._tables[profile]
        return table, table.row[device_id]

    def _link(self, device_id: str) -> Link:
        contact = self._contacts[device_id]
        since = self._started_s if contact.last_ok_s is None else contact.last_ok_s
        silent_s = self._clock.monotonic() - since
        if (
            contact.failures >= LOST_AFTER_FAILURES
            or silent_s > LOST_AFTER_CYCLES * self._site.polling.cycle_s
        ):
            return Link.lost
        if contact.refusal is not None:
            return contact.refusal
        return Link.late if contact.failures or contact.last_ok_s is None else Link.ok

    def _reading(self, table: _Table, row: int, column: int, link: Link, now: float) -> Reading:
        quality = Quality(int(table.quality[row, column]))
        if quality is Quality.unknown:
            return Reading(None, quality, float("inf"), None)
        age = float(now - table.read_s[row, column])
        if (
            quality is Quality.good
            and table.moved_by_hand[column]
            and table.values[row, table.mode_column] == MANUAL_MODE
        ):
            quality = Quality.manual
        if age > table.stale_after_s[column] and quality is not Quality.failed_sensor:
            quality = Quality.stale
        if link not in (Link.ok, Link.late):
            quality = Quality.lost
        value = float(table.values[row, column])
        return Reading(
            None if np.isnan(value) else value, quality, age, self._clock.utc() - timedelta(seconds=age)
        )
