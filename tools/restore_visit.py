"""One visit of `toplovod restore` to one station: give it back, and have it prove what it is.

It refuses to send an order whose fate is open a second time before its receipt was looked at, and to take a
reading without a MAC for a proof.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware.substation import order_frame, registers
from supervisor.field.identity import Identity

from .controller import (
    REMEDIES,
    Address,
    Controller,
    OrderInDoubt,
    SerialAddress,
    engineering_value,
)
from .errors import UNREACHABLE, ToolError
from .key_file import KeyFile

VISIT_S = 20.0  # after so long nothing more is asked in one visit; a step of it lasts up to 3 s
BELOW_ATTAINABLE_K = 3.0
OWN_CURVE, ORDER, MANUAL, SERVICE, SAFE_START, UNAUTHENTICATED = range(6)  # control_mode_number
MODES = ("own curve", "order", "manual", "service", "safe start", "unauthenticated")


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
