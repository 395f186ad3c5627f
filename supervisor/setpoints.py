"""The desk: the one door through which people and the coordinator change setpoints.

It refuses orders without a right in the device's area, orders whose preview no longer shows the state
of things, and plant-level changes by one person alone. Releasing always works. What becomes of an order
once it was given is the courier's business (`courier.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from firmware.substation import order_frame, registers

from .access import Access
from .audit import Audit
from .clock import PRIORITY_DESK, Clock
from .courier import MANUAL_MODE, PERIOD_S, SERVICE_MODE, Courier
from .database import Connection, Database
from .effects import effect_of
from .errors import Conflict, NotFound, Refused, Unavailable
from .field.outbox import Outbox
from .field.units import unit_of
from .latest import Latest, Link, Quality
from .orders import (
    CLOCK,
    CLOCK_USER,
    COORDINATOR,
    HOLDING,
    IN_FLIGHT,
    OPERATOR,
    TIME_POINT,
    UNKNOWN,
    Order,
)
from .signer import Signer
from .site import LEASE_OF, Device, Site

PREVIEW_S = 120.0  # real seconds a person has to read a preview (own estimate)
HOLD_S = 4 * 3600.0  # how long a point that was taken back is kept from the coordinator (own estimate)
VALID_MAX_S = 7 * 86400.0  # a wish longer than a week belongs into the controller's own settings
LEASE_OWNERS = ("", *order_frame.SLOTS, "unauthenticated")  # of the owner registers

# How far the effective value may have moved between preview and execute (own estimates: more would
# surprise the person who read the preview; weather compensation moves less within two minutes).
DRIFT = {"°C": 2.0, "K": 1.0, "bar": 0.15, "m³/h": 0.2}
DRIFT_SHARE = 0.1


@dataclass(frozen=True)
class Preview:
    """What an order would do. `hash` executes it once, by this person, within `expires_utc` (real time)."""

    hash: str
    user: str
    device_id: str
    point: str
    unit: str
    old: float | None
    old_owner: str
    new: float
    low: float
    high: float
    lease_s: int
    valid_s: float
    effect: dict[str, Any]
    warnings: tuple[dict[str, str], ...]
    needs_second_person: bool
    expires_utc: datetime
    approved_by: str = ""
    raw: int = 0
    base: tuple[Any, ...] = ()
    expires: float = field(default=0.0, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "hash": self.hash,
            "user": self.user,
            "device_id": self.device_id,
            "point": self.point,
            "unit": self.unit,
            "old": self.old,
            "old_owner": self.old_owner,
            "new": self.new,
            "low": self.low,
            "high": self.high,
            "lease_s": self.lease_s,
            "valid_s": self.valid_s,
            "effect": self.effect,
            "warnings": list(self.warnings),
            "needs_second_person": self.needs_second_person,
            "approved_by": self.approved_by,
            "expires_utc": self.expires_utc.isoformat(),
        }


@dataclass(frozen=True)
class Lease:
    """A point's lease as the controller shows it; `owner` is a key slot's name, operator or coordinator."""

    point: str
    owner: str
    value: float | None
    effective: float | None
    seconds_left: int | None
    quality: Quality

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "point": self.point,
            "unit": unit_of(self.point),
            "owner": self.owner,
            "value": self.value,
            "effective": self.effective,
            "seconds_left": self.seconds_left,
            "quality": self.quality.name,
        }


@dataclass(frozen=True)
class Wanted:
    """What the coordinator wants of one point, with its reason in words and numbers."""

    device_id: str
    point: str
    value: float
    lease_s: int = order_frame.LEASE_DEFAULT_S
    reason: str = ""


class Desk:
    """Decides which orders are given; `courier` carries them. All methods run on the event loop."""

    def __init__(
        self,
        site: Site,
        latest: Latest,
        state: Database,
        signer: Signer,
        audit: Audit,
        access: Access,
        outbox: Outbox,
        clock: Clock,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._site = site
        self._latest = latest
        self._state = state
        self._signer = signer
        self._audit = audit
        self._access = access
        self.courier = Courier(site, latest, state, signer, audit, access, outbox, clock)
        self._clock = clock
        self._now = now
        self._previews: dict[str, Preview] = {}
        self._under_way: dict[str, Preview] = {}
        """Executed, and their orders not listed yet: what a page waits for is always in one of the lists."""
        self._holds: dict[tuple[str, str], tuple[str, datetime]] = {}

    # -- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Load what was promised before; what was under way when the last run ended reads unknown."""
        for row in self._state.read("SELECT * FROM holds"):
            self._holds[row["device"], row["point"]] = (row["user"], datetime.fromisoformat(row["until"]))
        await self.courier.open()

    async def run(self) -> None:
        """Renew, prove, resolve and expire, every control period."""
        due = self._clock.monotonic()
        while True:
            await self.step()
            due += PERIOD_S
            now = self._clock.monotonic()
            if due < now:  # missed periods are skipped, never caught up
                due = now + PERIOD_S
            await self._clock.sleep_until(due, PRIORITY_DESK)

    async def step(self) -> None:
        """Do once what run() does every period."""
        await self.courier.step()

    # -- people -------------------------------------------------------------------------------

    def preview(
        self,
        user: str,
        device_id: str,
        point: str,
        value: float,
        lease_s: int = order_frame.LEASE_DEFAULT_S,
        *,
        release: bool = False,
        valid_s: float | None = None,
    ) -> Preview:
        """Show what an order would do; nothing is sent.

        `value` in the point's unit; the order is renewed until `valid_s` seconds from its execution
        (default one lease). With `release` the point is given back and value counts for nothing.
        Raises NotAllowed, NotFound, Refused (limits, lease) or Unavailable (old value not known).
        """
        device = self._site.device(device_id)
        self._access.check(user, "release" if release else "order", device.area)
        low, high = device.setpoint_range(point)
        state = self._latest.device(device_id)
        if state.link is Link.unknown_map or state.link is Link.wrong_device:
            raise Refused(
                "never_written",
                f"{device_id} is not the controller, or not the register map, this supervisor knows "
                f"({state.link.name}); nothing was sent.",
            )
        old, owner, base = self._old(device_id, point)
        if release:
            lease_s, value = 0, self._release_value(device, point)
        else:
            if old is None:
                raise Unavailable(
                    "old_value_unknown",
                    f"{device_id}: {point} cannot be read now ({state.link.name}), so no change can be "
                    "previewed; nothing was sent.",
                )
            self._check_value(device, point, value, lease_s, low, high)
        valid = float(valid_s if valid_s is not None else lease_s)
        if not 0 <= valid <= VALID_MAX_S:
            raise Refused(
                "valid_out_of_range",
                f"{device_id}: an order holds for at most {VALID_MAX_S / 86400:.0f} days; nothing was sent.",
            )
        raw = registers.to_raw(registers.BY_NAME[point], value)
        new = float(registers.from_raw(registers.BY_NAME[point], raw))
        expires = self._now() + PREVIEW_S
        content = [
            device_id, point, repr(old), raw, repr(low), repr(high), lease_s, repr(valid), base, user,
            secrets.token_hex(8),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        plant = device.profile == registers.PUMP_STATION
        effect = effect_of(self._latest, device_id, point, new) if not release else {}
        preview = Preview(
            hash=digest,
            user=user,
            device_id=device_id,
            point=point,
            unit=unit_of(point),
            old=old,
            old_owner=owner,
            new=new,
            low=low,
            high=high,
            lease_s=lease_s,
            valid_s=valid,
            effect=effect,
            warnings=tuple(self._warnings(device, point, release)),
            needs_second_person=plant and not release,
            expires_utc=datetime.fromtimestamp(expires, UTC),
            raw=raw,
            base=base,
            expires=expires,
        )
        for digest_old in [p.hash for p in self._previews.values() if p.expires < self._now()]:
            del self._previews[digest_old]
        self._previews[preview.hash] = preview
        return preview

    async def approve(self, user: str, preview_hash: str) -> Preview:
        """Let a second person agree to exactly this preview. Raises Conflict for the same person."""
        preview = self._preview_of(preview_hash)
        device = self._site.device(preview.device_id)
        self._access.check(user, "approve", device.area)
        if user == preview.user:
            raise Conflict(
                "same_person",
                f"{user} has made this preview; somebody else must approve it. Nothing was sent.",
            )
        await self._audit.note(
            {
                "actor": user,
                "device": device.id,
                "what": "approved",
                "preview": preview_hash,
                "for": preview.user,
            }
        )
        approved = Preview(**{**preview.__dict__, "approved_by": user})
        self._previews[preview_hash] = approved
        return approved

    def for_second_person(self) -> list[Preview]:
        """Return the previews that take a second person, until they lapse or their orders are listed.

        Oldest first; `approved_by` tells those that nobody has agreed to yet from those on their way.
        """
        now = self._now()
        kept = [p for p in self._previews.values() if p.expires >= now] + list(self._under_way.values())
        return sorted((p for p in kept if p.needs_second_person), key=lambda p: p.expires)

    async def execute(self, user: str, preview_hash: str, reason: str = "") -> Order:
        """Send what was previewed; returns once the order is on disk and on its way.

        Raises Conflict (preview_expired, state_changed, second_person_needed), NotAllowed, or Unavailable
        (audit_unavailable); then nothing was sent.
        """
        preview = self._preview_of(preview_hash)
        device = self._site.device(preview.device_id)
        self._access.check(user, "order" if preview.lease_s else "release", device.area)
        if user not in (preview.user, preview.approved_by):
            raise Conflict(
                "not_your_preview",
                f"This preview was made by {preview.user}; nothing was sent. Make your own.",
            )
        if preview.needs_second_person and not preview.approved_by:
            raise Conflict(
                "second_person_needed",
                f"{device.id} moves the whole town: a second person must approve this preview first; "
                "nothing was sent.",
            )
        if preview.lease_s:
            self._check_unchanged(preview)
        self._under_way[preview_hash] = self._previews.pop(preview_hash)
        try:
            return await self.courier.start(
                device, preview.point, preview.raw, preview.lease_s, OPERATOR, preview.user, reason,
                old=preview.old, valid_s=preview.valid_s, approved_by=preview.approved_by,
                preview=preview_hash,
            )  # fmt: skip
        finally:
            del self._under_way[preview_hash]

    async def release(self, user: str, device_id: str, point: str, reason: str = "") -> Order:
        """Give a point back to the controller's own curve; one person, no preview, also without audit disk.

        A point the coordinator held is kept from it for four hours.
        """
        device = self._site.device(device_id)
        self._access.check(user, "release", device.area)
        device.setpoint_range(point)
        current = self.courier.current(device_id, point)
        if current is not None and current.owner == COORDINATOR:
            await self.hold(user, device_id, point, HOLD_S)
        raw = registers.to_raw(registers.BY_NAME[point], self._release_value(device, point))
        old, _, _ = self._old(device_id, point)
        return await self.courier.start(device, point, raw, 0, OPERATOR, user, reason, old=old)

    async def restore_last_good(self, user: str, device_id: str, point: str, reason: str = "") -> Order:
        """Order again the newest value that was effective before the present one; one person is enough.

        Raises NotFound where there is none.
        """
        device = self._site.device(device_id)
        self._access.check(user, "order", device.area)
        current = self.courier.current(device_id, point)
        rows = self._state.read(
            "SELECT raw FROM orders WHERE device=? AND point=? AND lease_s>0 AND proof IN ('status_block',"
            " 'poll') AND raw<>? ORDER BY CAST(id AS INTEGER) DESC LIMIT 1",
            (device_id, point, current.raw if current is not None else -1_000_000),
        )
        if not rows:
            raise NotFound(
                "no_last_good",
                f"{device_id}: {point} has no earlier value that was effective; nothing was sent. "
                "Release the point instead.",
            )
        raw = int(rows[0]["raw"])
        value = float(registers.from_raw(registers.BY_NAME[point], raw))
        low, high = device.setpoint_range(point)
        self._check_value(device, point, value, order_frame.LEASE_DEFAULT_S, low, high)
        old, _, _ = self._old(device_id, point)
        return await self.courier.start(
            device, point, raw, order_frame.LEASE_DEFAULT_S, OPERATOR, user, reason, old=old, restore=True
        )

    async def hold(self, user: str, device_id: str, point: str, seconds: float) -> None:
        """Keep a point from the coordinator for some time; 0 gives it back to the coordinator."""
        device = self._site.device(device_id)
        self._access.check(user, "release", device.area)
        until = self._clock.utc() + timedelta(seconds=seconds)
        if seconds > 0:
            self._holds[device_id, point] = (user, until)
        else:
            self._holds.pop((device_id, point), None)

        def job(connection: Connection) -> None:
            connection.execute("DELETE FROM holds WHERE device=? AND point=?", (device_id, point))
            if seconds > 0:
                connection.execute(
                    "INSERT INTO holds VALUES (?,?,?,?)", (device_id, point, user, until.isoformat())
                )

        # a full disk must not keep a person from taking a point back: memory holds it meanwhile
        with contextlib.suppress(Unavailable):
            await self._state.write(job)

    def held_by(self, device_id: str, point: str) -> str:
        """Return who keeps this point from the coordinator, or an empty text."""
        current = self.courier.current(device_id, point)
        if current is not None and current.owner == OPERATOR and not current.release:
            return current.user
        user, until = self._holds.get((device_id, point), ("", self._clock.utc()))
        return user if until > self._clock.utc() else ""

    # -- the coordinator ----------------------------------------------------------------------

    async def coordinate(self, area: str, orders: Sequence[Wanted]) -> list[Order]:
        """Bring the coordinator's wishes of one area to the bus; evaluated now, so renewed now.

        A point a person holds is left alone. A wish equal to the order in force is renewed in the second
        half of its lease and otherwise left. Returns one order for each wish that was not left out.
        """
        started: list[Order] = []
        renew: list[Order] = []
        now = self._clock.monotonic()
        for wanted in orders:
            device = self._site.device(wanted.device_id)
            if device.area != area:
                raise Refused(
                    "wrong_area", f"{device.id} is not in area {area}; nothing was sent.", device=device.id
                )
            if self.held_by(device.id, wanted.point):
                continue
            low, high = device.setpoint_range(wanted.point)
            self._check_value(device, wanted.point, wanted.value, wanted.lease_s, low, high)
            raw = registers.to_raw(registers.BY_NAME[wanted.point], wanted.value)
            current = self.courier.current(device.id, wanted.point)
            if current is not None and current.owner == COORDINATOR and current.raw == raw:
                started.append(current)
                if current.state in HOLDING and now >= self.courier.renew_at(current):
                    renew.append(current)
                continue
            if current is not None and current.state in (*IN_FLIGHT, UNKNOWN):
                continue  # one order at a time for a point: wait for the answer
            old, _, _ = self._old(device.id, wanted.point)
            started.append(
                await self.courier.start(
                    device, wanted.point, raw, wanted.lease_s, COORDINATOR, "coordinator", wanted.reason,
                    old=old,
                )
            )  # fmt: skip
        for order in started:
            await self.settled(order.id)
        if renew:
            await self.courier.renew(renew)
        return started

    async def coordinator_releases(self, area: str) -> list[Order]:
        """Give back every point of the area that the coordinator holds; for its switching off."""
        started = []
        for order in [o for o in self.courier.kept() if o.state in HOLDING and o.owner == COORDINATOR]:
            device = self._site.device(order.device_id)
            if device.area != area:
                continue
            raw = registers.to_raw(registers.BY_NAME[order.point], self._release_value(device, order.point))
            started.append(
                await self.courier.start(
                    device, order.point, raw, 0, COORDINATOR, "coordinator", "off", old=order.value
                )
            )
        return started

    # -- the clock ----------------------------------------------------------------------------

    async def tell_time(self, device_id: str, old_s: float | None, reason: str) -> Order | None:
        """Tell a controller the time of this supervisor's clock; `old_s` is what it had, None for nothing.

        None, and nothing is sent, without a key for it, and while an order of its is under way or in doubt:
        the receipt of this one would overwrite that one's. Raises Unavailable: no audit, no write.
        """
        device = self._site.device(device_id)
        identity = self._latest.device(device_id).identity
        if identity is None or not self._signer.holds_key(identity.device_id_hex):
            return None
        mine = [order.state for order in self.courier.kept() if order.device_id == device_id]
        if any(state in (*IN_FLIGHT, UNKNOWN) for state in mine):
            return None
        if self._audit.failure is not None:
            raise Unavailable("audit_unavailable", f"{device_id}: {self._audit.failure}; nothing was sent.")
        return await self.courier.start(
            device, TIME_POINT, self.courier.unix_s(), 0, CLOCK, CLOCK_USER, reason, old=old_s
        )

    # -- readers ------------------------------------------------------------------------------

    def orders(self, device_id: str | None = None, active_only: bool = False) -> list[Order]:
        """Return orders, newest first."""
        return [
            order
            for order in sorted(self.courier.kept(), key=lambda order: -int(order.id))
            if (device_id is None or order.device_id == device_id) and (order.active or not active_only)
        ]

    def order(self, order_id: str) -> Order:
        """Return one order. Raises NotFound."""
        return self.courier.order(order_id)

    async def settled(self, order_id: str) -> Order:
        """Wait until the order is no longer on its way, and return it."""
        return await self.courier.settled(order_id)

    def leases(self, device_id: str) -> list[Lease]:
        """Return the leases of a device's points as it shows them itself."""
        device = self._site.device(device_id)
        leases = []
        for point in device.setpoints:
            rows = LEASE_OF[point]
            effective = self._latest.point(device_id, rows.effective)
            slot = self._latest.point(device_id, rows.owner)
            left = self._latest.point(device_id, rows.seconds_left)
            owner = _owner_name(slot.value)
            current = self.courier.current(device_id, point)
            if current is not None and owner == order_frame.SLOTS[self._signer.slot]:
                owner = current.owner
            value = current.value if current is not None and not current.release else None
            seconds = None if left.value is None else int(left.value)
            leases.append(Lease(point, owner, value, effective.value, seconds, effective.quality))
        return leases

    # -- small parts --------------------------------------------------------------------------

    def _old(self, device_id: str, point: str) -> tuple[float | None, str, tuple[Any, ...]]:
        """Return the effective value, its owner's name, and what an execution compares."""
        rows = LEASE_OF[point]
        effective = self._latest.point(device_id, rows.effective)
        slot = self._latest.point(device_id, rows.owner)
        current = self.courier.current(device_id, point)
        owner = _owner_name(slot.value)
        if current is not None:
            owner = current.owner
        base = (slot.value, current.id if current is not None else "")
        readable = effective.quality in (Quality.good, Quality.manual)
        return (effective.value if readable else None), owner, base

    def _release_value(self, device: Device, point: str) -> float:
        """Return the value words of a release: a harmless one, the controller looks at the point only."""
        low, high = device.setpoint_range(point)
        reading = self._latest.point(device.id, LEASE_OF[point].effective)
        value = reading.value if reading.value is not None else low
        return min(high, max(low, value))

    def _check_value(
        self, device: Device, point: str, value: float, lease_s: int, low: float, high: float
    ) -> None:
        if not order_frame.LEASE_MIN_S <= lease_s <= order_frame.LEASE_MAX_S:
            raise Refused(
                "lease_out_of_range",
                f"{device.id}: a lease is {order_frame.LEASE_MIN_S} to {order_frame.LEASE_MAX_S} s, "
                f"not {lease_s} s; nothing was sent.",
            )
        if not low <= value <= high:  # also False for NaN
            raise Refused(
                "beyond_limits",
                f"{device.id}: {point} = {value:g} refused, allowed {low:g} to {high:g}; nothing was sent.",
                low=low,
                high=high,
            )

    def _preview_of(self, preview_hash: str) -> Preview:
        preview = self._previews.get(preview_hash)
        if preview is None or preview.expires < self._now():
            self._previews.pop(preview_hash, None)
            raise Conflict(
                "preview_expired",
                "This preview is used, too old or from before a restart; nothing was sent. Preview again.",
            )
        return preview

    def _check_unchanged(self, preview: Preview) -> None:
        old, _, base = self._old(preview.device_id, preview.point)
        allowed = max(DRIFT.get(preview.unit, 0.0), DRIFT_SHARE * abs(preview.old or 0.0))
        moved = old is None or preview.old is None or abs(old - preview.old) > allowed
        if moved or base != preview.base:
            shown = "unknown" if old is None else f"{old:g} {preview.unit}"
            raise Conflict(
                "state_changed",
                f"{preview.device_id}: {preview.point} was {preview.old:g} {preview.unit} in the preview and "
                f"is {shown} now, or somebody else ordered it; nothing was sent. Preview again.",
            )

    def _warnings(self, device: Device, point: str, release: bool) -> Iterable[dict[str, str]]:
        """Yield {"code", "message"} for what a person should know before executing."""
        current = self.courier.current(device.id, point)
        if current is not None and current.state == UNKNOWN:
            yield {"code": "in_doubt", "message": f"order {current.id} for this point is still in doubt"}
        if current is not None and current.owner == COORDINATOR and not release:
            yield {"code": "takes_over", "message": "the coordinator holds this point; you take it over"}
        if self._latest.device(device.id).link is not Link.ok:
            yield {"code": "link_not_ok", "message": f"{device.id} does not answer regularly"}
        mode = self._latest.point(device.id, "control_mode_number")
        if mode.value in (MANUAL_MODE, SERVICE_MODE):
            yield {"code": "manual", "message": f"{device.id} is in manual or service mode"}
        used = self._latest.point(device.id, "deficit_used_kh")
        budget = self._latest.point(device.id, "deficit_budget_kh")
        if used.value is not None and budget.value and used.value >= 0.8 * budget.value:
            yield {
                "code": "budget_nearly_spent",
                "message": f"{used.value:.0f} of {budget.value:.0f} K·h of the deficit budget are used",
            }


def _owner_name(slot_number: float | None) -> str:
    """Return who an owner register means: 0 is nobody, else key slot + 1, behind them who needs no key."""
    number = int(slot_number or 0)
    return LEASE_OWNERS[number] if number < len(LEASE_OWNERS) else ""
