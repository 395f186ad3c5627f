"""Give many controllers back to their own curves with keys of a new epoch, and prove what each of them is.

It refuses to begin with a site file, a key file or a baseline that does not fit, to send an order whose fate
is open a second time before its receipt was looked at, to call a station back on a reading without a MAC,
and to let one that is silent hold up the others. A check sends challenges and nothing else.
"""

import hashlib
import json
import os
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from firmware.substation import order_frame, registers
from supervisor.field import credentials
from supervisor.field.identity import Identity
from supervisor.site import Device, Site, SiteMistakes

from .controller import (
    REMEDIES,
    Address,
    Controller,
    GatewayAddress,
    OrderInDoubt,
    SecureAddress,
    SerialAddress,
    engineering_value,
)
from .errors import FAILED, INTERRUPTED, UNREACHABLE, WRONG_USE, ToolError
from .json_file import read_json
from .key_file import KeyFile
from .whole_file import write_whole

FORMAT = "toplovod-restore/1"
SLOTS = (order_frame.SUPERVISOR, order_frame.STANDBY)  # the ones that may give every point back
AT_ONCE = 16  # stations that are spoken to at the same time
VISIT_S = 20.0  # after so long nothing more is asked in one visit; a step of it lasts up to 3 s
FOLLOW_S = 10.0  # between two looks at a station on its way back
AGAIN_S = (10.0, 20.0, 40.0, 60.0)  # until a silent or refusing station is tried again; the last one repeats
CHECK_TRIES = 2
TELL_S = 5.0
BELOW_ATTAINABLE_K = 3.0
OWN_CURVE, ORDER, MANUAL, SERVICE, SAFE_START, UNAUTHENTICATED = range(6)  # control_mode_number
MODES = ("own curve", "order", "manual", "service", "safe start", "unauthenticated")
# No later try can change these: the site file, the key file or the release has to.
FINAL = frozenset(
    ("no_address", "not_ours", "unknown_map", "unknown_profile", "other_device", "other_profile", "no_key",
     "keys_older", "keys_too_far", "same_device")
)  # fmt: skip
WAITING, ON_THE_WAY, BACK, SILENT, REFUSED = "waiting", "on_the_way", "back", "silent", "refused"
PROVEN = "proven"  # as far as a check goes


@dataclass(frozen=True)
class Target:
    """A station as the site file names it. device_id: "" where the file pins none."""

    id: str
    name: str
    area: str
    profile: str
    device_id: str
    address: Address | SerialAddress | None
    unit: int

    @property
    def line(self) -> str:
        """What its neighbours behind the same gateway or on the same RS-485 line share with it."""
        return str(self.address)

    @property
    def turn(self) -> tuple[bool, bytes]:
        """Its place in the order: pump stations first, then as the ids have it and no street."""
        who = bytes.fromhex(self.device_id) if self.device_id else self.id.encode()
        return self.profile != registers.PUMP_STATION, hashlib.sha256(b"restore" + who).digest()


@dataclass(frozen=True)
class Proof:
    """A status block whose MAC verified. readings: by register name, None for no valid reading."""

    device_id: str
    map_hash: int
    limits_hash: int
    firmware_hash: int
    control_mode: int
    sensor_faults: int
    alarms: tuple[str, ...]
    uptime_s: int
    boot_count: int
    readings: dict[str, float | int | None]

    @property
    def mode(self) -> str:
        return MODES[self.control_mode] if self.control_mode < len(MODES) else str(self.control_mode)

    @property
    def missing_k(self) -> float | None:
        """How far the supply is below what the own curve asks for and the network can give.

        In the mode "own curve" the set-point followed is the own curve's. None where no reading tells.
        """
        wanted, supply = (
            self.readings.get(name)
            for name in ("secondary_supply_temp_effective_c", "secondary_supply_temp_c")
        )
        if wanted is None or supply is None:
            return None
        network = self.readings.get("primary_supply_temp_c")
        return round((wanted if network is None else min(wanted, network)) - supply, 2)

    def as_json(self) -> dict[str, Any]:
        return {
            "map_hash": f"{self.map_hash:08x}", "limits_hash": f"{self.limits_hash:08x}",
            "firmware_hash": f"{self.firmware_hash:08x}", "control_mode": self.mode,
            "alarms": list(self.alarms), "sensor_fault_bits": self.sensor_faults, "uptime_s": self.uptime_s,
            "boot_count": self.boot_count, "readings": self.readings,
        }  # fmt: skip


@dataclass
class Seen:
    """What one visit brought."""

    error: ToolError | None = None
    answered: bool = False
    device_id: str = ""
    epoch: int | None = None  # the lowest the controller took when the visit began; not proved
    shut_out: bool = False  # a receipt under the new keys came: older ones are worth nothing any more
    released: bool = False
    held: tuple[str, ...] = ()  # points that a technician holds
    doubt: OrderInDoubt | None = None
    proof: Proof | None = None
    heats: bool = True  # False: it stands by its own decision, because it is warm enough


class Visit(Protocol):
    def __call__(self, target: Target, *, order: bool, doubt: OrderInDoubt | None) -> Seen:
        """Speak to one station; never raises."""


@dataclass
class Row:
    """One station's way so far. Times in seconds since the beginning."""

    target: Target
    state: str = WAITING
    code: str = ""
    what: str = ""
    answered: bool = False
    device_id: str = ""
    epoch_before: int | None = None
    shut_out: bool = False
    released_s: float | None = None
    back_s: float | None = None
    held: tuple[str, ...] = ()
    doubt: OrderInDoubt | None = None
    proof: Proof | None = None
    heats: bool = True
    tries: int = 0
    due_s: float = 0.0
    differs: list[str] = field(default_factory=list)
    compared: bool = False

    def as_json(self) -> dict[str, Any]:
        target = self.target
        return {
            "id": target.id, "name": target.name, "area": target.area, "profile": target.profile,
            "address": "" if target.address is None else str(target.address), "unit": target.unit,
            "device_id": self.device_id or target.device_id, "state": self.state, "code": self.code or None,
            "message": self.what or None, "answered": self.answered, "epoch_before": self.epoch_before,
            "old_keys_shut_out": self.shut_out, "released_s": self.released_s, "back_s": self.back_s,
            "held": list(self.held), "heats": self.heats, "compared": self.compared, "differs": self.differs,
            "proof": None if self.proof is None else self.proof.as_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """How far it is; a station that was released and then falls silent counts as both."""

    stations: int
    released: int
    shut_out: int
    proven: int
    back: int
    silent: int
    refused: int

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Counts":
        return cls(
            len(rows),
            sum(row.released_s is not None for row in rows),
            sum(row.shut_out for row in rows),
            sum(row.proof is not None for row in rows),
            sum(row.state == BACK for row in rows),
            sum(row.state == SILENT for row in rows),
            sum(row.state == REFUSED for row in rows),
        )


# what is asked of the files, before anything is sent


def targets_of(
    site_path: Path, only: Sequence[str] = (), area: str | None = None, data: Path | None = None
) -> tuple[Site, list[Target]]:
    """Return the site and its stations in the order they are given back. ToolError, all wrong use.

    data: the supervisor's data folder, whose tls/ is shown to stations behind TLS.
    """
    try:
        site = Site.load(site_path)
    except SiteMistakes as mistakes:
        raise _wrong("site_mistakes", f"{mistakes.message}\nNothing was sent.") from mistakes
    if area is not None and area not in {known.id for known in site.areas}:
        raise _wrong(
            "unknown_area",
            f"{area!r} is no area of {site_path}; nothing was sent. Areas: "
            f"{', '.join(known.id for known in site.areas) or 'none'}",
        )
    unknown = [wanted for wanted in only if wanted not in {device.id for device in site.devices}]
    if unknown:
        raise _wrong(
            "unknown_station",
            f"{', '.join(unknown)}: not in {site_path}; nothing was sent. See its ids there.",
        )
    chosen = [
        device
        for device in site.devices
        if (area is None or device.area == area) and (not only or device.id in only)
    ]
    if not chosen:
        raise _wrong("no_station", f"no station of {site_path} is meant by that; nothing was sent")
    behind = [device.id for device in chosen if device.tls]
    if behind and data is None:
        raise _wrong(
            "needs_tls",
            f"{', '.join(behind)}: behind TLS; nothing was sent. Add --data DIR, in whose tls/ the "
            "supervisor's certificate is, or make one there: toplovod tls client",
        )
    shown = credentials.context(data) if behind and data is not None else None
    if shown is not None and not shown.get_ca_certs():
        raise _wrong(
            "no_certificate",
            f"{data}/{credentials.FOLDER}: no certificate there that can be used; nothing was sent. Make its "
            "files: toplovod tls client",
        )
    return site, sorted((_target(device, shown) for device in chosen), key=lambda target: target.turn)


def _target(device: Device, tls: ssl.SSLContext | None) -> Target:
    address: Address | SerialAddress | None
    if not device.assigned:
        address = None
    elif device.transport == "rtu":
        address = SerialAddress(
            device.host, device.baudrate, device.parity, 2 if device.parity == "none" else 1
        )
    elif device.transport == "rtu-over-tcp":
        address = GatewayAddress(device.host, device.port)
    elif device.tls and tls is not None:
        address = SecureAddress(device.host, device.port, tls)
    else:
        address = Address(device.host, device.port)
    return Target(device.id, device.name, device.area, device.profile, device.device_id, address, device.unit)


def check_keys(keys: KeyFile, path: Path, targets: Sequence[Target]) -> None:
    """ToolError wrong_slot, keys_lack: before anything is sent."""
    if keys.slot not in SLOTS:
        raise _wrong(
            "wrong_slot",
            f"{path}: keys of slot {order_frame.SLOTS[keys.slot]}, which may not give every point back; "
            "nothing was sent. Take the supervisor's or the standby's: toplovod keys recover",
        )
    lacking = [target.id for target in targets if target.device_id and target.device_id not in keys.devices]
    if lacking:
        shown = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
        raise _wrong(
            "keys_lack",
            f"{path}: no key for {shown}; nothing was sent. Export the keys from the vault that knows them "
            "(toplovod keys export), correct device_id in the site file, or name the others with --only",
        )


def _wrong(code: str, message: str) -> ToolError:
    return ToolError(code, message, exit_status=WRONG_USE)


# what was so in peace time


def write_record(path: Path, site: Site, rows: Sequence[Row]) -> int:
    """Write what was proved, whole or not at all, and return of how many stations. ToolError cannot_write."""
    stations = {
        row.target.id: {
            "device_id": row.proof.device_id,
            "profile": row.target.profile,
            **{name: row.proof.as_json()[name] for name in ("map_hash", "limits_hash", "firmware_hash")},
        }
        for row in sorted(rows, key=lambda row: row.target.id)
        if row.proof is not None
    }
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"format": FORMAT, "site": site.name, "taken": taken, "stations": stations}
    write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return len(stations)


def read_record(path: Path) -> dict[str, dict[str, str]]:
    """Return the stations of a record by id. ToolError baseline_unreadable."""
    content = read_json(path, "baseline_unreadable", "nothing was sent")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _wrong("baseline_unreadable", f"{path}: not of format {FORMAT}; nothing was sent")
    stations = content.get("stations")
    wanted = ("device_id", "limits_hash", "firmware_hash")
    if not isinstance(stations, dict) or not all(
        isinstance(row, dict) and all(isinstance(row.get(name), str) for name in wanted)
        for row in stations.values()
    ):
        raise _wrong("baseline_unreadable", f"{path}: its stations are malformed; nothing was sent")
    return stations


def compare(rows: Iterable[Row], baseline: dict[str, dict[str, str]]) -> None:
    """Note at each proven row what differs from the record."""
    for row in rows:
        then = baseline.get(row.target.id)
        if row.proof is None or then is None:
            continue
        now = row.proof.as_json() | {"device_id": row.proof.device_id}
        row.compared = True
        row.differs = [
            f"{what} {now[name]} instead of {then[name]}"
            for name, what in (
                ("device_id", "device"),
                ("firmware_hash", "firmware"),
                ("limits_hash", "limits"),
            )
            if now[name] != then[name]
        ]


# one visit


class Visits:
    """Speaks to stations with one key file. May be called from several threads at once."""

    def __init__(self, keys: KeyFile, now_s: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._now_s = now_s

    def __call__(self, target: Target, *, order: bool, doubt: OrderInDoubt | None) -> Seen:
        seen = Seen(doubt=doubt)
        try:
            self._visit(target, order, seen)
        except ToolError as reason:
            seen.error = reason
        except Exception as reason:  # whatever one of them answers, the others are given back
            seen.error = ToolError(
                "device_odd", f"{target.address}: {type(reason).__name__}: {reason}", changed=True
            )
        return seen

    def _visit(self, target: Target, order: bool, seen: Seen) -> None:
        ends_s = self._now_s() + VISIT_S
        assert target.address is not None
        with Controller(target.address, target.unit) as controller:
            identity = self._identity(controller, target, seen)
            if order:
                self._release(controller, identity, seen, ends_s)
            self._in_time(controller, ends_s)
            seen.proof = self._prove(controller, identity)
            cold = (seen.proof.missing_k or 0.0) > BELOW_ATTAINABLE_K
            if cold and seen.proof.control_mode == OWN_CURVE:
                seen.heats = bool(
                    controller.value("secondary_pump_out_number") or controller.value("active_limiter_number")
                )

    def _in_time(self, controller: Controller, ends_s: float) -> None:
        if self._now_s() > ends_s:
            raise ToolError(
                "unreachable",
                f"{controller.address} unit {controller.unit}: it answers too slowly, a visit ends after "
                f"{VISIT_S:g} s",
                exit_status=UNREACHABLE,
            )

    def _identity(self, controller: Controller, target: Target, seen: Seen) -> Identity:
        identity = controller.identity()
        seen.answered = True
        seen.device_id = identity.device_id_hex
        seen.epoch = identity.key_epochs[self._keys.slot]
        if target.device_id and identity.device_id_hex != target.device_id:
            raise ToolError(
                "other_device",
                f"{controller.address} unit {controller.unit}: {identity.device_id_hex} answers, the site "
                f"file says {target.device_id}; nothing was sent. One of the two is wrong: toplovod read "
                f"{controller.address}",
            )
        controller.known_identity()
        if identity.profile != target.profile:
            raise ToolError(
                "other_profile",
                f"{controller.address}: a {identity.profile} answers, the site file says {target.profile}; "
                "nothing was sent. Correct the site file.",
            )
        return identity

    def _release(self, controller: Controller, identity: Identity, seen: Seen, ends_s: float) -> None:
        """Give every point back, or all but those that somebody of a higher rank holds."""
        points: dict[str, float | None] = {
            row.name: None
            for row in registers.BY_PROFILE[identity.profile]
            if row.access == registers.SETPOINT
        }
        held: list[str] = []
        result = None
        if seen.doubt is not None:
            result = controller.outcome(self._keys, seen.doubt)
            seen.doubt = None
        while points:
            self._in_time(controller, ends_s)
            if result is None:
                try:
                    result = controller.order(self._keys, points, 0, release=True)
                except OrderInDoubt as doubt:
                    seen.doubt = doubt
                    raise
                except ToolError as reason:
                    raise self._explained(reason, identity, controller) from reason
            seen.shut_out = True
            if result.accepted:
                seen.released = True
                break
            if result.result != "refused_lease" or result.detail not in points:
                raise ToolError(
                    result.result,
                    f"{controller.address}: {result.result}, nothing was given back, and older keys are shut "
                    f"out all the same (receipt verified). {REMEDIES.get(result.result, '')}".rstrip(),
                    changed=True,
                )
            held.append(result.detail)
            del points[result.detail]
            result = None
        seen.held = tuple(held)

    def _explained(self, reason: ToolError, identity: Identity, controller: Controller) -> ToolError:
        """Return why an order was not taken for genuine, as far as the floor of the epochs tells."""
        if reason.code != "order_refused":
            return reason
        floor, epoch = identity.key_epochs[self._keys.slot], self._keys.epoch
        where = f"{controller.address}: it takes no keys below epoch {floor}, these are of epoch {epoch}"
        if epoch < floor:
            return ToolError(
                "keys_older",
                f"{where}; nothing was changed. Take the newest key file: toplovod keys export",
            )
        if epoch > floor + order_frame.EPOCH_JUMP:
            return ToolError(
                "keys_too_far",
                f"{where}, and it follows {order_frame.EPOCH_JUMP} at most; nothing was changed. Provision "
                "it anew over USB with this epoch in its settings: toplovod provision",
            )
        return ToolError(
            "order_refused",
            f"{controller.address}: it does not take these keys for its own (exception 02): another vault, "
            "or the order came too late. Nothing was changed. toplovod read shows its refusal counters.",
        )

    def _prove(self, controller: Controller, identity: Identity) -> Proof:
        slot, challenge = self._keys.slot, os.urandom(8)
        points = registers.STATUS_POINTS[identity.profile]
        key = self._keys.key_for(identity.device_id_hex)
        count = order_frame.status_words(len(points))
        try:
            block = controller.challenge(slot, challenge, registers.STATUS_BLOCK, count)
            status = order_frame.decode_status(key, identity.device_id, challenge, block)
        except order_frame.BadFrame as reason:
            floor = identity.key_epochs[slot]
            why = (
                f"it still answers with keys of epoch {floor}, these are of epoch {self._keys.epoch}"
                if floor < self._keys.epoch
                else "another vault, or somebody answers in its place"
            )
            raise ToolError(
                "status_not_genuine", f"{controller.address}: its status is not proved by these keys: {why}"
            ) from reason
        except ToolError as reason:
            if reason.code != "no_such_block":
                raise
            raise ToolError(
                "no_root_key",
                f"{controller.address}: it has no key to prove its status with: toplovod provision",
            ) from reason
        readings: dict[str, float | int | None] = {}
        for name, word in zip(points, status.words, strict=True):
            row = registers.BY_NAME[name]
            readings[name] = engineering_value(row, registers.raw_of_words(row, (word,)))
        bits = status.alarm_bits
        return Proof(
            identity.device_id_hex, status.map_hash, status.limits_hash, status.firmware_hash,
            status.control_mode, status.sensor_faults,
            tuple(name for index, name in enumerate(registers.ALARM_BITS) if bits >> index & 1),
            status.uptime_s, int.from_bytes(status.boot_nonce[:4], "big"), readings,
        )  # fmt: skip


# all of them


class Workers:
    """Visits in threads, a few at a time, and the clock they go by."""

    def __init__(self) -> None:
        self._pool = futures.ThreadPoolExecutor(AT_ONCE, "restore")
        self._begun: set[futures.Future[tuple[Row, Seen]]] = set()

    def now_s(self) -> float:
        return time.monotonic()

    def begin(self, row: Row, visit: Callable[[], Seen]) -> None:
        """Let a thread make this visit."""
        self._begun.add(self._pool.submit(lambda: (row, visit())))

    def finished(self, until_s: float | None) -> list[tuple[Row, Seen]]:
        """Wait for the next visit to end, no longer than until this moment (None: as long as it takes)."""
        left_s = None if until_s is None else max(0.0, until_s - self.now_s())
        if not self._begun:
            Event().wait(left_s or 0.0)
            return []
        done, self._begun = futures.wait(self._begun, left_s, futures.FIRST_COMPLETED)
        return [visit.result() for visit in done]


class Clockwork(Protocol):
    """What `Workers` does, for a test whose visits take no time."""

    def now_s(self) -> float: ...
    def begin(self, row: Row, visit: Callable[[], Seen]) -> None: ...
    def finished(self, until_s: float | None) -> list[tuple[Row, Seen]]: ...


class Restoration:
    """One run over all stations. check: challenges alone. tell: is told how far it is, every few seconds."""

    def __init__(
        self,
        targets: Sequence[Target],
        visit: Visit,
        *,
        over_s: float,
        within_s: float,
        check: bool = False,
        workers: Clockwork | None = None,
        tell: Callable[[float, Counts], None] = lambda passed_s, counts: None,
    ) -> None:
        self._visit = visit
        self._workers = workers or Workers()
        self._check = check
        self._within_s = within_s
        self._tell = tell
        gap_s = 0.0 if check else over_s / len(targets)
        self.rows = [Row(target, due_s=number * gap_s) for number, target in enumerate(targets)]
        self.interrupted = False
        self.passed_s = 0.0
        self._under_way: set[str] = set()  # ids
        self._begin_s = self._workers.now_s()
        self._told_s, self._told = 0.0, Counts.of(())
        self._owners: dict[str, Row] = {}
        for row in self.rows:
            if row.target.address is None:
                row.state, row.code = REFUSED, "no_address"
                row.what = "it has no address in the site file: write it there, then run this again"

    @property
    def counts(self) -> Counts:
        return Counts.of(self.rows)

    def run(self) -> None:
        """Give all of them back and follow them; Ctrl-C ends it with what is known by then."""
        try:
            while True:
                self.passed_s = self._workers.now_s() - self._begin_s
                if not self._check and self.passed_s >= self._within_s:
                    break
                self._begin_what_is_due()
                if not self._under_way and all(self._is_done(row) for row in self.rows):
                    break
                for row, seen in self._workers.finished(self._begin_s + self._next_s()):
                    self._note(row, seen)
                self._tell_now_and_then()
        except KeyboardInterrupt:
            self.interrupted = True
        while self._under_way and (ended := self._workers.finished(None)):  # each has its own deadline
            for row, seen in ended:
                self._note(row, seen)
        self.passed_s = self._workers.now_s() - self._begin_s
        for row in self.rows:
            if row.state == WAITING:
                row.code = "not_reached"
                row.what = "its turn did not come" if not self.interrupted else "not tried yet"

    def _is_done(self, row: Row) -> bool:
        return row.state in (BACK, PROVEN) or row.code in FINAL or (self._check and row.tries >= CHECK_TRIES)

    def _waiting(self) -> list[Row]:
        """Return who is to be visited and is not, first those that were never tried."""
        busy = {row.target.line for row in self.rows if row.target.id in self._under_way}
        rows = [
            row
            for row in self.rows
            if not self._is_done(row) and row.target.id not in self._under_way and row.target.line not in busy
        ]
        return sorted(rows, key=lambda row: (row.tries > 0, row.due_s))

    def _begin_what_is_due(self) -> None:
        lines: set[str] = set()
        for row in self._waiting():
            if len(self._under_way) >= AT_ONCE:
                return
            if row.due_s > self.passed_s or row.target.line in lines:
                continue
            lines.add(row.target.line)
            self._under_way.add(row.target.id)
            row.tries += 1
            self._workers.begin(row, self._visiting(row))

    def _visiting(self, row: Row) -> Callable[[], Seen]:
        order = not self._check and (row.released_s is None or bool(row.held))
        target, doubt = row.target, row.doubt
        return lambda: self._visit(target, order=order, doubt=doubt)

    def _next_s(self) -> float:
        """Return when there is something to do even if no visit ends."""
        ends = self._told_s + TELL_S
        if not self._check:
            ends = min(ends, self._within_s)
        if len(self._under_way) >= AT_ONCE:
            return ends
        return min([ends, *(row.due_s for row in self._waiting())])

    def _tell_now_and_then(self) -> None:
        passed_s = self._workers.now_s() - self._begin_s
        counts = self.counts
        if passed_s - self._told_s >= TELL_S and counts != self._told:
            self._told_s, self._told = passed_s, counts
            self._tell(passed_s, counts)
        elif passed_s - self._told_s >= TELL_S:
            self._told_s = passed_s

    def _note(self, row: Row, seen: Seen) -> None:
        now_s = round(self._workers.now_s() - self._begin_s, 1)
        self._under_way.discard(row.target.id)
        row.answered = row.answered or seen.answered
        row.device_id = seen.device_id or row.device_id
        row.shut_out = row.shut_out or seen.shut_out
        row.doubt = seen.doubt
        if row.epoch_before is None:
            row.epoch_before = seen.epoch
        if seen.released and row.released_s is None:
            row.released_s = now_s
        if seen.proof is not None:
            row.proof, row.heats = seen.proof, seen.heats
        if seen.proof is not None or seen.released:
            row.held = seen.held
        self._judge(row, seen, now_s)

    def _judge(self, row: Row, seen: Seen, now_s: float) -> None:
        """Decide how the station stands, and when it is looked at again."""
        owner = self._owners.setdefault(row.device_id, row) if row.device_id else row
        error = seen.error
        if owner is not row:
            error = ToolError(
                "same_device",
                f"{row.target.address} answers as {row.device_id}, and so does {owner.target.id} at "
                f"{owner.target.address}: one of the two addresses in the site file is wrong",
            )
        if error is not None:
            row.state = SILENT if error.exit_status == UNREACHABLE else REFUSED
            row.code, row.what = error.code, error.message
            row.due_s = now_s + AGAIN_S[min(row.tries, len(AGAIN_S)) - 1]
            return
        row.code = row.what = ""
        if self._check:
            row.state = PROVEN
            return
        assert row.proof is not None
        row.code, row.what = why_not_back(row.proof, row.held, row.heats)
        row.state = ON_THE_WAY if row.code else BACK
        row.due_s = now_s + FOLLOW_S
        if row.state == BACK and row.back_s is None:
            row.back_s = now_s


def why_not_back(proof: Proof, held: Sequence[str] = (), heats: bool = True) -> tuple[str, str]:
    """Return a code and a sentence; both empty for a station that runs its own curve and is warm."""
    if held:
        return "held", (
            f"a technician holds {', '.join(held)}; the rest is given back. It ends with the lease: toplovod "
            "read shows how long"
        )
    if proof.control_mode == ORDER:
        return "order", "an order stands, or it is on its way back from one, at 2 K a minute at most"
    if proof.control_mode == MANUAL:
        return "manual", "actuators are by hand, which a technician at the device has done; 30 min at most"
    if proof.control_mode == SERVICE:
        return "service", "service mode: somebody pressed the button at the device within 15 min"
    if proof.control_mode == SAFE_START:
        return "safe_start", "it runs on defaults, its settings were refused: toplovod commission"
    if proof.control_mode == UNAUTHENTICATED:
        return "unauthenticated", (
            "a master without keys holds a point by legacy mode: docs/security.md. Stop that master first"
        )
    if proof.control_mode != OWN_CURVE:
        return "unknown_mode", f"control mode {proof.control_mode} is not known to this release"
    if "secondary_supply_temp_effective_c" not in proof.readings:
        return "", ""  # a pump station: its own values are in force
    if proof.missing_k is None:
        return (
            "no_reading",
            "on its own curve, but its supply temperature has no valid reading: toplovod commission",
        )
    if proof.missing_k > BELOW_ATTAINABLE_K and heats:
        supply = proof.readings["secondary_supply_temp_c"]
        return "cold", (
            f"on its own curve, supply {supply:.1f} °C, {proof.missing_k:.1f} K below what its curve and the "
            "network allow: toplovod read shows the active limiter"
        )
    return "", ""


def exit_status(restoration: Restoration) -> int:
    """Return 0 all back (or proven) and as the baseline has it, 1 some not, 3 none answered, 130 Ctrl-C."""
    rows = restoration.rows
    if restoration.interrupted:
        return INTERRUPTED
    if not any(row.answered for row in rows):
        return UNREACHABLE
    good = all(row.state in (BACK, PROVEN) and not row.differs for row in rows)
    return 0 if good else FAILED
