"""Turn a wish into a signed order, and a receipt into proof; the only holder of order keys.

It refuses whatever a valid login must not be able to do: values outside the engineering limits, a
controller that is not the one of this place, a map it does not know, more houses at once than one
person may change, and any order whose intent is not in the audit.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from firmware.substation import order_frame, registers

from .audit import Audit
from .database import Connection, Database
from .errors import Conflict, NotFound, Refused, TooMany, Unavailable
from .field.event_log import Seal, decode_seal
from .field.identity import Identity
from .orders import TIME_POINT
from .site import Device, Site

MAP_HASH = registers.map_hash()
KEY_FORMAT = "toplovod-keys/1"
NOT_AFTER_AHEAD_S = 30  # of the 60 s a controller admits: an order in doubt is decided half a minute later
COUNTER_BLOCK = 256  # counters reserved at once; a restart skips at most these, of a permitted 65 536
FLEET_WINDOW_S = 600.0  # own estimate
FLEET_DEVICES = 25  # own estimate: what one person may mean to change by hand in ten minutes
FLEET_SHARE = 0.10  # own estimate, for areas of more than 250 controllers


class _Clock(Protocol):
    def utc(self) -> datetime: ...
    def monotonic(self) -> float: ...


@dataclass(frozen=True)
class Wish:
    """What shall be signed: values in engineering units, lease 0 to release the points or for a command."""

    device: str
    values: tuple[tuple[str, float], ...]
    lease_s: int
    actor: str
    owner: str  # operator, coordinator or clock
    reason: str = ""
    order_ids: tuple[str, ...] = ()
    approved_by: str = ""
    restore: bool = False  # restore-last-good: admitted by the emergency journal

    @property
    def command(self) -> bool:
        """Say whether this does something at once instead of holding a point."""
        return any(registers.BY_NAME[point].access == registers.COMMAND for point, _ in self.values)


@dataclass(frozen=True)
class Signed:
    """An order ready for the bus; `audit_seq` is its intent's row."""

    words: tuple[int, ...]
    counter: int
    not_after_s: int
    lease_s: int
    device_id: str
    boot_nonce: bytes
    audit_seq: int


@dataclass(frozen=True)
class KeyFile:
    """The slot keys of this supervisor, by controller identity."""

    slot: int
    epoch: int
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> KeyFile:
        """Read a key file. Raises Unavailable: absent, readable by others, or not of the format."""
        remedy = (
            "No order can be signed; reading and history go on. "
            f"Export it: toplovod keys export supervisor --out {path} --vault FILE"
        )
        try:
            mode = path.stat().st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise Unavailable(
                    "key_file_exposed",
                    f"{path.name} may be read by others (mode {stat.S_IMODE(mode):04o}); nothing was read. "
                    f"Set chmod 600 {path.name}, and rotate the keys if others use this machine.",
                )
            content = json.loads(path.read_text())
            if content["format"] != KEY_FORMAT:
                raise ValueError(f"format {content['format']!r}")
            keys = {str(name): bytes.fromhex(key) for name, key in content["devices"].items()}
            if any(len(key) != 32 for key in keys.values()):
                raise ValueError("a key is not 32 bytes long")
            return cls(order_frame.SLOTS.index(content["slot"]), int(content["epoch"]), keys)
        except OSError as error:
            raise Unavailable(
                "key_file_missing", f"{path.name} cannot be read ({error.strerror}). {remedy}"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # the text of the error may quote the file; only its kind is repeated
            raise Unavailable(
                "key_file_broken",
                f"{path.name} is not a {KEY_FORMAT} file ({type(error).__name__}). {remedy}",
            ) from None


class Signer:
    """Holds keys, limits, fleet rules and counters; asks the audit before every signature."""

    def __init__(self, keys: KeyFile, site: Site, state: Database, audit: Audit, clock: _Clock) -> None:
        self._keys = keys
        self._site = site
        self._state = state
        self._audit = audit
        self._clock = clock
        self._counters: dict[str, tuple[bytes, int, int]] = {}  # device id: begun, last used, reserved
        self._changes: dict[tuple[str, str], deque[tuple[float, str]]] = {}
        self._bound = {row["device"]: row["device_id"] for row in state.read("SELECT * FROM bindings")}

    @property
    def slot(self) -> int:
        """Return the key slot whose keys these are."""
        return self._keys.slot

    # -- signing ------------------------------------------------------------------------------

    async def sign(self, wish: Wish, identity: Identity) -> Signed:
        """Check the wish, put its intent into the audit and return the frame.

        Raises Refused, Conflict, TooMany or Unavailable; then nothing was signed and nothing may be sent.
        """
        key, pairs = await self._admit(wish, identity)
        emergency = (wish.lease_s == 0 or wish.restore) and not wish.command
        counter = await self._next_counter(identity, emergency=emergency)
        not_after = identity.uptime_at(self._clock.monotonic()) + NOT_AFTER_AHEAD_S
        row = {"actor": wish.actor, "device": wish.device, **_row(wish, pairs, identity, counter, not_after)}
        seq = await self._audit.intent(row, emergency=emergency)
        return self._frame(key, pairs, wish, identity, counter, not_after, seq)

    async def sign_renewals(self, wishes: Sequence[tuple[Wish, Identity]]) -> list[Signed | Exception]:
        """Sign a batch under one audit row; a wish that is not admitted yields its refusal in place.

        Raises Unavailable when the audit cannot take the row; then none was signed.
        """
        outcomes: list[Signed | Exception | None] = [None] * len(wishes)
        ready: list[tuple[int, bytes, tuple[tuple[int, tuple[int, ...]], ...], int, int]] = []
        rows = []
        for index, (wish, identity) in enumerate(wishes):
            try:
                key, pairs = await self._admit(wish, identity)
                counter = await self._next_counter(identity)
            except (Refused, Conflict, TooMany, Unavailable, NotFound) as refusal:
                outcomes[index] = refusal
                continue
            not_after = identity.uptime_at(self._clock.monotonic()) + NOT_AFTER_AHEAD_S
            ready.append((index, key, pairs, counter, not_after))
            rows.append({"device": wish.device, **_row(wish, pairs, identity, counter, not_after)})
        if rows:
            seq = await self._audit.intent(
                {"actor": "supervisor", "device": "", "what": "renewals", "batch": rows}
            )
            for index, key, pairs, counter, not_after in ready:
                wish, identity = wishes[index]
                outcomes[index] = self._frame(key, pairs, wish, identity, counter, not_after, seq)
        return [outcome for outcome in outcomes if outcome is not None]

    def _frame(
        self,
        key: bytes,
        pairs: tuple[tuple[int, tuple[int, ...]], ...],
        wish: Wish,
        identity: Identity,
        counter: int,
        not_after: int,
        seq: int,
    ) -> Signed:
        order = order_frame.Order(self._keys.slot, self._keys.epoch, counter, not_after, wish.lease_s, pairs)
        frame = order_frame.encode_order(
            key, identity.device_id, identity.map_hash, identity.boot_nonce, order
        )
        return Signed(
            words_of(frame),
            counter,
            not_after,
            wish.lease_s,
            identity.device_id_hex,
            identity.boot_nonce,
            seq,
        )

    async def _admit(
        self, wish: Wish, identity: Identity
    ) -> tuple[bytes, tuple[tuple[int, tuple[int, ...]], ...]]:
        device = self._site.device(wish.device)
        if identity.map_hash != MAP_HASH:
            raise Refused(
                "unknown_map",
                f"{device.id} serves a register map this supervisor does not know "
                f"({identity.map_hash:08x}); nothing was sent. Update one of the two.",
            )
        if identity.profile != device.profile:
            raise Refused(
                "wrong_profile",
                f"{device.id} is a {device.profile} in the site file but the controller says "
                f"{identity.profile}; nothing was sent. Correct the site file.",
            )
        await self._check_binding(device, identity.device_id_hex)
        key = self._keys.keys.get(identity.device_id_hex)
        if key is None:
            raise Refused(
                "no_key",
                f"{device.id}: no key for controller {identity.device_id_hex}; nothing was sent. "
                "Export its key with: toplovod keys export",
            )
        if not 1 <= len(wish.values) <= order_frame.MAX_PAIRS:
            raise Refused("no_values", f"{device.id}: an order has 1 to 16 points; nothing was sent.")
        if wish.command:
            self._check_command(device, wish)
        elif wish.lease_s != 0:
            self._check_limits(device, wish)
            self._check_fleet(device, wish)
        return key, tuple(_pair(point, value) for point, value in wish.values)

    async def _check_binding(self, device: Device, answered: str) -> None:
        wanted = device.device_id or self._bound.get(device.id, "")
        if not wanted:
            utc = self._clock.utc().isoformat()

            def bind(connection: Connection) -> None:
                connection.execute(
                    "INSERT OR IGNORE INTO bindings VALUES (?,?,?)", (device.id, answered, utc)
                )

            with contextlib.suppress(Unavailable):  # the next order binds it
                await self._state.write(bind)
            self._bound[device.id] = answered
        elif wanted != answered:
            raise Refused(
                "wrong_controller",
                f"{device.id}: controller {answered} answers at its address, expected {wanted}; nothing was "
                "sent. Check the wiring and the address, or set device_id in the site file.",
            )

    def _check_limits(self, device: Device, wish: Wish) -> None:
        if not order_frame.LEASE_MIN_S <= wish.lease_s <= order_frame.LEASE_MAX_S:
            raise Refused(
                "lease_out_of_range",
                f"{device.id}: a lease is {order_frame.LEASE_MIN_S} to {order_frame.LEASE_MAX_S} s, "
                f"not {wish.lease_s} s; nothing was sent.",
            )
        for point, value in wish.values:
            low, high = device.setpoint_range(point)
            if not low <= value <= high:
                raise Refused(
                    "beyond_limits",
                    f"{device.id}: {point} = {value:g} refused, allowed {low:g} to {high:g}; "
                    "nothing was sent.",
                    low=low,
                    high=high,
                )

    def _check_command(self, device: Device, wish: Wish) -> None:
        """Admit the time alone: updates and actuators by hand are other people's and other keys'."""
        row = registers.BY_NAME[TIME_POINT]
        if wish.lease_s or [point for point, _ in wish.values] != [TIME_POINT]:
            raise Refused(
                "not_our_command",
                f"{device.id}: of all commands this supervisor orders the time alone, by itself and without "
                "a lease; nothing was sent.",
            )
        if not row.low <= wish.values[0][1] <= row.high:
            raise Refused(
                "time_implausible",
                f"{device.id}: {wish.values[0][1]:.0f} s since 1970 is no time that a controller takes; "
                "nothing was sent. Set the clock of this machine.",
            )

    def _check_fleet(self, device: Device, wish: Wish) -> None:
        if wish.owner != "operator":
            return
        now = self._clock.monotonic()
        changes = self._changes.setdefault((wish.actor, device.area), deque())
        while changes and changes[0][0] < now - FLEET_WINDOW_S:
            changes.popleft()
        size = sum(1 for other in self._site.devices if other.area == device.area)
        allowed = max(FLEET_DEVICES, int(FLEET_SHARE * size))
        touched = {name for _, name in changes}
        if not wish.approved_by and device.id not in touched and len(touched) >= allowed:
            raise TooMany(
                "area_rate_limit",
                f"{device.id}: {wish.actor} has changed {len(touched)} controllers of area {device.area} "
                f"within {FLEET_WINDOW_S / 60:.0f} min; nothing was sent. "
                "Let a second person approve this change, or wait.",
                retry_after_s=round(changes[0][0] + FLEET_WINDOW_S - now),
            )
        changes.append((now, device.id))

    def holds_key(self, device_id: str) -> bool:
        """Say whether orders for this controller can be signed at all."""
        return device_id in self._keys.keys

    # -- counters -----------------------------------------------------------------------------

    def _begun(self, nonce: bytes) -> bytes:
        """Return with what a count begins: a boot of the controller, and an epoch of the key."""
        return nonce + self._keys.epoch.to_bytes(2, "big")

    async def _next_counter(self, identity: Identity, *, emergency: bool = False) -> int:
        name = identity.device_id_hex
        begun = self._begun(identity.boot_nonce)
        known = self._counters.get(name)
        if known is None:
            rows = self._state.read("SELECT boot_nonce, reserved FROM counters WHERE device_id=?", (name,))
            if rows and bytes(rows[0]["boot_nonce"]) == begun:
                # everything reserved may have been sent before the restart
                known = (begun, int(rows[0]["reserved"]), int(rows[0]["reserved"]))
        if known is None or known[0] != begun:
            known = (begun, 0, 0)
        nonce, used, reserved = known
        used += 1
        self._counters[name] = (nonce, used, reserved)
        if used > reserved:
            reserved = used + COUNTER_BLOCK - 1
            self._counters[name] = (nonce, used, reserved)
            try:
                await self._reserve(name, nonce, reserved)
            except Unavailable:
                # a release with a full disk: after a restart the controller's receipt teaches the counter
                if not emergency:
                    self._counters[name] = (nonce, used - 1, used - 1)
                    raise
        return used

    async def _reserve(self, device_id: str, begun: bytes, reserved: int) -> None:
        def job(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO counters VALUES (?,?,?) ON CONFLICT (device_id) DO UPDATE SET"
                " boot_nonce=excluded.boot_nonce, reserved=excluded.reserved",
                (device_id, begun, reserved),
            )

        await self._state.write(job)

    async def learn_counter(self, device_id: str, nonce: bytes, counter: int) -> bool:
        """Take over a higher counter that an authentic receipt proves; True when it was higher.

        After a restore from a backup the state is older than the controller's memory.
        """
        begun = self._begun(nonce)
        at, used, _ = self._counters.get(device_id, (begun, 0, 0))
        if at == begun and counter <= used:
            return False
        self._counters[device_id] = (begun, counter, counter)
        await self._reserve(device_id, begun, counter)
        return True

    def challenge(self, device_id: str, label: str) -> bytes:
        """Return 8 bytes that nobody without the key can foresee; a label is used once."""
        key = self._keys.keys.get(device_id, b"")
        return bytes(order_frame.hmac_sha256(key, b"TVC1" + label.encode())[:8])

    # -- proof --------------------------------------------------------------------------------

    def read_receipt(self, device_id: str, nonce: bytes, words: Sequence[int]) -> Any:
        """Return the order_frame.Receipt in 16 words; None without a MAC of this controller and boot."""
        key = self._keys.keys.get(device_id)
        if key is None:
            return None
        try:
            return order_frame.decode_receipt(key, bytes.fromhex(device_id), nonce, bytes_of(words))
        except order_frame.BadFrame:
            return None

    def check_receipt(self, signed: Signed, words: Sequence[int]) -> Any:
        """Return the receipt of exactly this order, or None: then the order stays in doubt."""
        receipt = self.read_receipt(signed.device_id, signed.boot_nonce, words)
        if receipt is None or (receipt.slot, receipt.counter) != (self._keys.slot, signed.counter):
            return None
        return receipt

    def read_status(self, device_id: str, challenge: bytes, words: Sequence[int]) -> Any:
        """Return the order_frame.Status in the words, or None where MAC or challenge are not right."""
        key = self._keys.keys.get(device_id)
        if key is None:
            return None
        try:
            return order_frame.decode_status(key, bytes.fromhex(device_id), challenge, bytes_of(words))
        except (order_frame.BadFrame, IndexError):
            return None

    def read_seal(self, device_id: str, challenge: bytes, words: Sequence[int]) -> Seal:
        """Return the seal of a controller's event log; `genuine` is None without a key for it."""
        key = self._keys.keys.get(device_id)
        return decode_seal(bytes_of(words), bytes.fromhex(device_id), key, self._keys.slot, challenge)


def words_of(frame: bytes) -> tuple[int, ...]:
    """Return the 16-bit words of a frame."""
    return tuple((frame[i] << 8) | frame[i + 1] for i in range(0, len(frame), 2))


def bytes_of(words: Sequence[int]) -> bytes:
    """Return the bytes of 16-bit words."""
    return b"".join(word.to_bytes(2, "big") for word in words)


def _pair(point: str, value: float) -> tuple[int, tuple[int, ...]]:
    register = registers.BY_NAME[point]
    return register.address, registers.words_of_raw(register, registers.to_raw(register, value))


def _row(
    wish: Wish,
    pairs: tuple[tuple[int, tuple[int, ...]], ...],
    identity: Identity,
    counter: int,
    not_after: int,
) -> dict[str, Any]:
    """Return the audit's view of an order: register words, no floats."""
    return {
        "what": "time" if wish.command else "release" if wish.lease_s == 0 else "order",
        "points": [
            {"point": point, "register": address, "words": list(words)}
            for (point, _), (address, words) in zip(wish.values, pairs, strict=True)
        ],
        "lease_s": wish.lease_s,
        "owner": wish.owner,
        "for": wish.actor,
        "reason": wish.reason,
        "approved_by": wish.approved_by,
        "orders": list(wish.order_ids),
        "controller": identity.device_id_hex,
        "boot": identity.boot_nonce.hex(),
        "counter": counter,
        "not_after_s": not_after,
    }
