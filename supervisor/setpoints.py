"""The desk: the one door through which people and the coordinator change setpoints.

It refuses orders without a right in the device's area, orders whose preview no longer shows the state
of things, plant-level changes by one person alone, and to renew anything that was not evaluated since
the start. It never calls an order accepted or effective without the controller's own proof, and an
order whose answer did not come stays *unknown* until a receipt resolves it. Releasing always works.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from firmware.substation import order_frame, registers

from .access import Access
from .audit import Audit
from .clock import PRIORITY_DESK, Clock
from .database import Connection, Database
from .effects import effect_of
from .errors import Conflict, NotFound, Refusal, Refused, Unavailable
from .field.errors import DeviceLost, FieldRefused, FieldTimeout, UnknownMap
from .field.identity import Identity
from .field.outbox import Outbox
from .field.units import unit_of
from .latest import Latest, Link, Quality
from .orders import (
    ACCEPTED,
    CLOCK,
    CLOCK_USER,
    COORDINATOR,
    DONE,
    EFFECTIVE,
    EXECUTED,
    EXPIRED,
    FAILED,
    HOLDING,
    IN_FLIGHT,
    OPERATOR,
    PENDING,
    REFUSED,
    RELEASED,
    SENT,
    TIME_POINT,
    UNKNOWN,
    Order,
    load,
    store,
)
from .signer import Signed, Signer, Wish
from .site import LEASE_OF, Device, Site

PERIOD_S = 2.0  # one control period of the devices
PREVIEW_S = 120.0  # real seconds a person has to read a preview (own estimate)
HOLD_S = 4 * 3600.0  # how long a point that was taken back is kept from the coordinator (own estimate)
RESOLVE_EVERY_S = 10.0
RENEW_AGAIN_S = 10.0
VALID_MAX_S = 7 * 86400.0  # a wish longer than a week belongs into the controller's own settings
LEASE_LOST_SLACK_S = 5.0
COMMAND_DOUBT_S = 120.0  # own choice: four times as long as its frame can still be taken
# A controller puts an accepted order into its readings with its next control step; until two of those have
# passed, a reading without the lease says nothing.
SHOWN_WITHIN_S = 2 * PERIOD_S
KEPT_ENDED = 2000  # ended orders kept in memory; all are on disk
MANUAL_MODE, SERVICE_MODE = 2, 3  # control_mode_number
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
    """Keeps every order of this supervisor; all methods run on the event loop."""

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
        self._outbox = outbox
        self._clock = clock
        self._now = now
        self._orders: dict[str, Order] = {}
        self._settled: dict[str, asyncio.Event] = {}
        self._previews: dict[str, Preview] = {}
        self._turns: dict[str, asyncio.Event] = {}
        self._holds: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._next_id = 1
        self._proofs = 0

    # -- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Load what was promised before; what was under way when the last run ended reads unknown."""
        utc, now = self._clock.utc(), self._clock.monotonic()
        newest = self._state.read("SELECT max(CAST(id AS INTEGER)) AS id FROM orders")
        self._next_id = int(newest[0]["id"] or 0) + 1
        rows = self._state.read(
            "SELECT * FROM (SELECT * FROM orders ORDER BY executed DESC, CAST(id AS INTEGER) DESC LIMIT ?)"
            " ORDER BY CAST(id AS INTEGER)",
            (KEPT_ENDED,),
        )
        for row in rows:
            self._orders[row["id"]] = load(row, utc, now)
        for row in self._state.read("SELECT * FROM holds"):
            self._holds[row["device"], row["point"]] = (row["user"], datetime.fromisoformat(row["until"]))
        doubtful = [order for order in self._orders.values() if order.state in IN_FLIGHT]
        for order in doubtful:
            self._set(order, UNKNOWN, "restarted", "the supervisor stopped before the answer was written")
        if doubtful:
            await self._audit.note(
                {
                    "actor": "supervisor",
                    "what": "in_doubt_after_restart",
                    "orders": [order.id for order in doubtful],
                }
            )
            await self._keep(*doubtful)

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
        now = self._clock.monotonic()
        renew: list[Order] = []
        jobs: list[tuple[str, Coroutine[Any, Any, None]]] = []
        for order in [order for order in self._orders.values() if order.active]:
            if order.state in HOLDING:
                await self._follow(order, now, jobs)
                if order.state in HOLDING and self._renewal_due(order, now):
                    renew.append(order)
            elif order.state == UNKNOWN:
                # a command has no lease: its receipt is asked for until a newer one must have overwritten it
                ends_s = order.lease_end_s + (COMMAND_DOUBT_S if order.command else 0.0)
                if order.lease_end_s and now >= ends_s:
                    self._set(order, EXPIRED, "lease_ended", "its lease would have ended by now")
                    await self._keep(order)
                elif now >= order.next_try_s and self._link(order.device_id) is Link.ok:
                    order.next_try_s = now + RESOLVE_EVERY_S
                    jobs.append((f"resolve {order.id}", self._resolve(order)))
        await self._together(jobs)
        if renew:
            await self._renew(renew)
        self._forget()

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

    def awaiting_second_person(self) -> list[Preview]:
        """Return the previews a second person has still to agree to, oldest first."""
        waiting = [p for p in self._previews.values() if p.needs_second_person and p.expires >= self._now()]
        return sorted((p for p in waiting if not p.approved_by), key=lambda p: p.expires)

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
        del self._previews[preview_hash]
        return await self._start(
            device, preview.point, preview.raw, preview.lease_s, OPERATOR, preview.user, reason,
            old=preview.old, valid_s=preview.valid_s, approved_by=preview.approved_by, preview=preview_hash,
        )  # fmt: skip

    async def release(self, user: str, device_id: str, point: str, reason: str = "") -> Order:
        """Give a point back to the controller's own curve; one person, no preview, also without audit disk.

        A point the coordinator held is kept from it for four hours.
        """
        device = self._site.device(device_id)
        self._access.check(user, "release", device.area)
        device.setpoint_range(point)
        current = self._current(device_id, point)
        if current is not None and current.owner == COORDINATOR:
            await self.hold(user, device_id, point, HOLD_S)
        raw = registers.to_raw(registers.BY_NAME[point], self._release_value(device, point))
        old, _, _ = self._old(device_id, point)
        return await self._start(device, point, raw, 0, OPERATOR, user, reason, old=old)

    async def restore_last_good(self, user: str, device_id: str, point: str, reason: str = "") -> Order:
        """Order again the newest value that was effective before the present one; one person is enough.

        Raises NotFound where there is none.
        """
        device = self._site.device(device_id)
        self._access.check(user, "order", device.area)
        current = self._current(device_id, point)
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
        return await self._start(
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
        current = self._current(device_id, point)
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
            current = self._current(device.id, wanted.point)
            if current is not None and current.owner == COORDINATOR and current.raw == raw:
                started.append(current)
                if current.state in HOLDING and now >= self._renew_at(current):
                    renew.append(current)
                continue
            if current is not None and current.state in (*IN_FLIGHT, UNKNOWN):
                continue  # one order at a time for a point: wait for the answer
            old, _, _ = self._old(device.id, wanted.point)
            started.append(
                await self._start(
                    device, wanted.point, raw, wanted.lease_s, COORDINATOR, "coordinator", wanted.reason,
                    old=old,
                )
            )  # fmt: skip
        for order in started:
            await self.settled(order.id)
        if renew:
            await self._renew(renew)
        return started

    async def coordinator_releases(self, area: str) -> list[Order]:
        """Give back every point of the area that the coordinator holds; for its switching off."""
        started = []
        for order in [o for o in self._orders.values() if o.state in HOLDING and o.owner == COORDINATOR]:
            device = self._site.device(order.device_id)
            if device.area != area:
                continue
            raw = registers.to_raw(registers.BY_NAME[order.point], self._release_value(device, order.point))
            started.append(
                await self._start(
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
        mine = [order.state for order in self._orders.values() if order.device_id == device_id]
        if any(state in (*IN_FLIGHT, UNKNOWN) for state in mine):
            return None
        if self._audit.failure is not None:
            raise Unavailable("audit_unavailable", f"{device_id}: {self._audit.failure}; nothing was sent.")
        return await self._start(device, TIME_POINT, self._unix_s(), 0, CLOCK, CLOCK_USER, reason, old=old_s)

    def _unix_s(self) -> int:
        return round(self._clock.utc().timestamp())

    # -- readers ------------------------------------------------------------------------------

    def orders(self, device_id: str | None = None, active_only: bool = False) -> list[Order]:
        """Return orders, newest first."""
        return [
            order
            for order in sorted(self._orders.values(), key=lambda order: -int(order.id))
            if (device_id is None or order.device_id == device_id) and (order.active or not active_only)
        ]

    def order(self, order_id: str) -> Order:
        """Return one order. Raises NotFound."""
        found = self._orders.get(order_id)
        if found is None:
            rows = self._state.read("SELECT * FROM orders WHERE id=?", (order_id,))
            if not rows:
                raise NotFound("unknown_order", f"There is no order {order_id!r}.")
            found = load(rows[0], self._clock.utc(), self._clock.monotonic())
        return found

    async def settled(self, order_id: str) -> Order:
        """Wait until the order is no longer on its way, and return it."""
        event = self._settled.get(order_id)
        if event is not None:
            await self._clock.wait(event)
        return self.order(order_id)

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
            current = self._current(device_id, point)
            if current is not None and owner == order_frame.SLOTS[self._signer.slot]:
                owner = current.owner
            value = current.value if current is not None and not current.release else None
            seconds = None if left.value is None else int(left.value)
            leases.append(Lease(point, owner, value, effective.value, seconds, effective.quality))
        return leases

    # -- an order's way -----------------------------------------------------------------------

    async def _start(
        self,
        device: Device,
        point: str,
        raw: int,
        lease_s: int,
        owner: str,
        user: str,
        reason: str,
        *,
        old: float | None,
        valid_s: float = 0.0,
        approved_by: str = "",
        restore: bool = False,
        preview: str = "",
    ) -> Order:
        """Put a new order on disk and on its way. Raises Unavailable: then nothing was sent."""
        utc, now = self._clock.utc(), self._clock.monotonic()
        valid_s = max(valid_s, float(lease_s))
        order = Order(
            id=str(self._next_id),
            device_id=device.id,
            point=point,
            raw=raw,
            old=old,
            lease_s=lease_s,
            owner=owner,
            user=user,
            reason=reason[:500],
            state=EXECUTED,
            executed_utc=utc,
            changed_utc=utc,
            valid_until_s=now + valid_s,
            valid_until_utc=utc + timedelta(seconds=valid_s) if lease_s else None,
            approved_by=approved_by,
            restore=restore,
        )
        self._next_id += 1
        emergency = order.release or restore
        # a person's request is on record with its preview before anything else happens; the signer adds
        # the intent with the very words
        if owner == OPERATOR:
            try:
                await self._audit.note(
                    {
                        "actor": user,
                        "device": device.id,
                        "what": "executed",
                        "order": order.id,
                        "point": point,
                        "raw": raw,
                        "lease_s": lease_s,
                        "reason": order.reason,
                        "preview": preview,
                        "approved_by": approved_by,
                    }
                )
            except Unavailable as error:
                if not emergency:
                    raise Unavailable(
                        "audit_unavailable",
                        f"{device.id}: the audit cannot be written, so nothing was sent. "
                        "Release and restore-last-good still work. Free disk space, then repeat.",
                    ) from error
        try:
            await self._keep(order)
        except Unavailable:
            if not emergency:
                raise
        self._orders[order.id] = order
        self._settled[order.id] = asyncio.Event()
        self._clock.spawn(f"order {int(order.id):08d}", self._carry(order))
        return order

    async def _carry(self, order: Order) -> None:
        """Take one order to its controller, in turn with others for the same one."""
        before = self._turns.get(order.device_id)
        mine = self._turns[order.device_id] = asyncio.Event()
        try:
            if before is not None:
                await self._clock.wait(before)
            try:
                await self._send(order)
            except Refusal as refusal:
                # what the audit or the state file could not take is not lost in silence: it is shown
                if order.state in IN_FLIGHT:
                    self._set(order, UNKNOWN if order.counter else FAILED, refusal.code, refusal.message)
        finally:
            mine.set()
            if self._turns.get(order.device_id) is mine:
                del self._turns[order.device_id]
            event = self._settled.pop(order.id, None)
            if event is not None:
                event.set()

    async def _send(self, order: Order, again: bool = True) -> None:
        emergency = order.release or order.restore
        for doubtful in self._earlier(order):
            if doubtful.state == UNKNOWN:  # its receipt is about to be overwritten: read it first
                await self._resolve(doubtful)
        try:
            identity = await self._outbox.identity(order.device_id)
            if order.command:  # the time now, not when its turn was asked for
                order.raw = self._unix_s()
            signed = await self._signer.sign(self._wish(order), identity)
        except (DeviceLost, FieldTimeout, FieldRefused, UnknownMap) as refusal:
            await self._end(order, FAILED, refusal.code, _not_sent(order, refusal))
            return
        except Refusal as refusal:
            state = FAILED if isinstance(refusal, Unavailable) else REFUSED
            await self._end(order, state, refusal.code, refusal.message)
            return
        order.audit_seq, order.counter, order.not_after_s = (
            signed.audit_seq,
            signed.counter,
            signed.not_after_s,
        )
        order.controller, order.boot_nonce = signed.device_id, signed.boot_nonce
        order.lease_end_s = self._clock.monotonic() + order.lease_s
        order.lease_end_utc = self._clock.utc() + timedelta(seconds=order.lease_s)
        self._set(order, SENT, "", "")
        try:
            await self._keep(order)
        except Unavailable as refusal:
            if not emergency:
                order.counter = 0
                await self._result(order, {"state": FAILED, "code": refusal.code})
                raise
        try:
            receipt = await self._outbox.send(order.device_id, signed.words, self._signer.slot)
        except FieldRefused as refusal:
            if again and await self._may_try_again(order, identity):
                await self._result(order, {"state": "refused_frame", "code": refusal.exception_code})
                await self._send(order, again=False)
                return
            await self._end(order, REFUSED, "device_refused_frame", refusal.message, audited=True)
            return
        except FieldTimeout as refusal:
            if refusal.in_doubt:
                order.next_try_s = self._clock.monotonic() + RESOLVE_EVERY_S
                await self._end(
                    order, UNKNOWN, "no_answer",
                    f"{order.device_id} did not answer; whether the order arrived is being found out",
                    audited=True,
                )  # fmt: skip
            else:
                await self._end(order, FAILED, refusal.code, _not_sent(order, refusal), audited=True)
            return
        except (DeviceLost, UnknownMap) as refusal:
            await self._end(order, FAILED, refusal.code, _not_sent(order, refusal), audited=True)
            return
        await self._judge(order, self._signer.check_receipt(signed, receipt.words))

    async def _may_try_again(self, order: Order, identity: Identity) -> bool:
        """Say whether a frame that did not verify may be made anew: the old one never can verify again.

        Either the controller has restarted since its identity was read, or its counter is ahead of ours.
        """
        try:
            fresh = await self._outbox.identity(order.device_id)
            if fresh.boot_nonce != identity.boot_nonce:
                return True
            receipt = await self._outbox.receipt(order.device_id, self._signer.slot)
        except (DeviceLost, FieldTimeout, FieldRefused, UnknownMap):
            return False
        known = self._signer.read_receipt(order.controller, order.boot_nonce, receipt.words)
        if known is None or known.counter < order.counter:
            return False
        await self._signer.learn_counter(order.controller, order.boot_nonce, known.counter)
        return True

    async def _judge(self, order: Order, receipt: Any) -> None:
        """Draw the order's state from its receipt; None is no proof of anything."""
        if receipt is None:
            order.next_try_s = self._clock.monotonic() + RESOLVE_EVERY_S
            await self._end(
                order, UNKNOWN, "no_proof",
                f"{order.device_id} answered without a receipt of this order; it may have arrived",
                audited=True,
            )  # fmt: skip
            return
        if receipt.result != order_frame.ACCEPTED:
            code = (
                order_frame.RESULTS[receipt.result]
                if receipt.result < len(order_frame.RESULTS)
                else "refused"
            )
            await self._end(
                order, REFUSED, code,
                f"{order.device_id} refused the order ({code.replace('_', ' ')}); nothing was changed there",
                audited=True,
            )  # fmt: skip
            return
        order.proof = "receipt"
        order.accepted_s = self._clock.monotonic()
        for other in self._earlier(order):
            if other.state in HOLDING:
                self._set(other, RELEASED, "superseded", f"replaced by order {order.id}")
            elif not other.counter:
                self._set(other, FAILED, "not_sent", "it never left this supervisor")
            else:
                # the newer receipt has overwritten the older one; it can have no effect any more
                self._set(
                    other, RELEASED, "superseded_in_doubt",
                    f"replaced by order {order.id}; whether it was in force before is not known",
                )  # fmt: skip
            await self._keep_if_possible(other)
        held = RELEASED if order.release else DONE if order.command else ACCEPTED
        await self._end(order, held, "", "", audited=True)

    def _earlier(self, order: Order) -> list[Order]:
        """Return older orders for the same point that may have an effect and are not on their way."""
        return [
            other
            for other in self._orders.values()
            if int(other.id) < int(order.id)
            and (other.device_id, other.point) == (order.device_id, order.point)
            and other.state in (*HOLDING, UNKNOWN)
        ]

    async def _end(self, order: Order, state: str, code: str, message: str, *, audited: bool = False) -> None:
        """Set a state that is reported: result into the audit, then the row."""
        row = {"state": state, "code": code, "order": order.id}
        if audited and order.audit_seq:
            await self._result(order, row)
        elif not audited:
            with contextlib.suppress(Unavailable):
                await self._audit.note({"actor": "supervisor", "device": order.device_id, **row})
        self._set(order, state, code, message)
        await self._keep_if_possible(order)

    async def _result(self, order: Order, row: dict[str, Any]) -> None:
        with contextlib.suppress(Unavailable):  # shown as audit_stopped; the intent is there without result
            await self._audit.result(order.audit_seq, {"actor": order.user, "device": order.device_id, **row})

    # -- watching -----------------------------------------------------------------------------

    async def _follow(
        self, order: Order, now: float, jobs: list[tuple[str, Coroutine[Any, Any, None]]]
    ) -> None:
        """Compare an accepted order with what the controller shows since."""
        if now >= order.lease_end_s:
            self._set(order, EXPIRED, "lease_ended", "its lease has ended")
            await self._keep_if_possible(order)
            return
        rows = LEASE_OF[order.point]
        owner = self._latest.point(order.device_id, rows.owner)
        effective = self._latest.point(order.device_id, rows.effective)
        if not (owner.quality.live and effective.quality.live):
            return
        if now - owner.age_s <= order.accepted_s:
            return  # read before the controller had the order
        left = self._latest.point(order.device_id, rows.seconds_left)
        ours = owner.value == self._signer.slot + 1 and bool(left.value)
        if not ours:
            if now - owner.age_s <= order.accepted_s + SHOWN_WITHIN_S:
                return
            if now < order.lease_end_s - LEASE_LOST_SLACK_S:
                self._set(
                    order, FAILED, "lease_lost",
                    f"{order.device_id} no longer holds this lease: it restarted, or another key slot has "
                    "the point; it follows its own rules",
                )  # fmt: skip
                await self._audit.note(
                    {
                        "actor": "supervisor",
                        "device": order.device_id,
                        "what": "lease_lost",
                        "order": order.id,
                    }
                )
                await self._keep_if_possible(order)
            return
        order.evaluated = True
        register = registers.BY_NAME[rows.effective]
        reached = effective.value is not None and abs(effective.value - order.value) <= 1.5 * register.scale
        if reached and order.state != EFFECTIVE:
            if rows.effective in registers.STATUS_POINTS[self._site.device(order.device_id).profile]:
                jobs.append((f"prove {order.id}", self._prove(order, rows.effective)))
            else:
                order.proof = "poll"
                self._set(order, EFFECTIVE, "", "")
                await self._keep_if_possible(order)
        elif not reached and order.state != PENDING:
            self._set(order, PENDING, "not_effective", "accepted; the controller ramps or limits it")
            await self._keep_if_possible(order)

    async def _prove(self, order: Order, effective: str) -> None:
        """Ask for the status block with a challenge of our own; only its MAC proves the effect."""
        self._proofs += 1
        challenge = self._signer.challenge(order.controller, f"{order.id} {order.counter} {self._proofs}")
        try:
            block = await self._outbox.status(order.device_id, self._signer.slot, challenge)
        except (DeviceLost, FieldTimeout, FieldRefused, UnknownMap):
            return  # asked again in the next period
        status = self._signer.read_status(order.controller, challenge, block.words)
        if status is None or status.boot_nonce != order.boot_nonce:
            return
        points = registers.STATUS_POINTS[self._site.device(order.device_id).profile]
        register = registers.BY_NAME[effective]
        raw = registers.raw_of_words(register, (status.words[points.index(effective)],))
        value = registers.from_raw(register, raw)
        if value is not None and abs(value - order.value) <= 1.5 * register.scale:
            order.proof = "status_block"
            self._set(order, EFFECTIVE, "", "")
            await self._keep_if_possible(order)

    async def _resolve(self, order: Order) -> None:
        """Find out by the controller's own receipt what became of an order in doubt."""
        if not order.counter:
            await self._end(order, FAILED, "not_sent", "it never left this supervisor; nothing was sent")
            return
        try:
            identity = await self._outbox.identity(order.device_id)
            if identity.boot_nonce != order.boot_nonce:
                await self._end(
                    order, FAILED, "restarted_device",
                    f"{order.device_id} has restarted since; it follows its own rules", audited=True,
                )  # fmt: skip
                return
            answer = await self._outbox.receipt(order.device_id, self._signer.slot)
        except (DeviceLost, FieldTimeout, FieldRefused, UnknownMap):
            return
        receipt = self._signer.read_receipt(order.controller, order.boot_nonce, answer.words)
        if receipt is None:
            return  # no proof of anything; asked again
        if receipt.counter == order.counter:
            await self._judge(order, receipt)
        elif (
            receipt.counter < order.counter
            and identity.uptime_at(self._clock.monotonic()) > order.not_after_s
        ):
            await self._end(
                order, FAILED, "never_arrived",
                f"{order.device_id} never accepted the order and no longer can", audited=True,
            )  # fmt: skip
        # a higher counter has overwritten the receipt: it stays unknown until its lease would have ended

    # -- renewals -----------------------------------------------------------------------------

    def _renew_at(self, order: Order) -> float:
        """Return when the lease is at half, spread by the device's id over an eighth of the lease."""
        spread = int.from_bytes(hashlib.sha256(order.device_id.encode()).digest()[:4], "big") / 2**32
        return order.lease_end_s - order.lease_s * (0.5 + 0.125 * spread)

    def _renewal_due(self, order: Order, now: float) -> bool:
        if order.owner != OPERATOR or order.release or now < order.next_try_s or not order.evaluated:
            return False
        # the last lease ends with the wish: nothing is renewed for less than half a lease
        return now >= self._renew_at(order) and order.valid_until_s > order.lease_end_s + 1.0

    def _may_renew(self, order: Order) -> str:
        """Return why an order in force may not be renewed now, or an empty text."""
        if self._link(order.device_id) is not Link.ok:
            return "device_lost"
        mode = self._latest.point(order.device_id, "control_mode_number")
        if not mode.quality.live or mode.value in (MANUAL_MODE, SERVICE_MODE):
            return "manual"
        if order.owner == OPERATOR:
            try:
                self._access.check(order.user, "order", self._site.device(order.device_id).area)
            except Refusal as refusal:
                return refusal.code
        return ""

    async def _renew(self, orders: list[Order]) -> None:
        """Renew leases under one audit row; what cannot be renewed now is tried again until it ends."""
        now = self._clock.monotonic()
        for order in orders:
            order.next_try_s = now + RENEW_AGAIN_S
        ready = [order for order in orders if not self._may_renew(order)]
        identities: dict[str, Identity] = {}

        async def ask(device_id: str) -> None:
            with contextlib.suppress(DeviceLost, FieldTimeout, FieldRefused, UnknownMap):
                identities[device_id] = await self._outbox.identity(device_id)

        devices = dict.fromkeys(order.device_id for order in ready)
        await self._together([(f"renew identity {device}", ask(device)) for device in devices])
        ready = [order for order in ready if order.device_id in identities]
        if not ready:
            return
        wishes = [(self._wish(order), identities[order.device_id]) for order in ready]
        try:
            outcomes = await self._signer.sign_renewals(wishes)
        except Unavailable:
            return  # no audit, no write: the leases run out unless it comes back in time
        results: dict[str, str] = {}
        seqs = {outcome.audit_seq for outcome in outcomes if isinstance(outcome, Signed)}

        async def carry(order: Order, signed: Signed) -> None:
            try:
                receipt = await self._outbox.send(order.device_id, signed.words, self._signer.slot)
            except (DeviceLost, FieldTimeout, FieldRefused, UnknownMap) as refusal:
                results[order.id] = refusal.code
                return
            read = self._signer.check_receipt(signed, receipt.words)
            if read is None:
                results[order.id] = "no_proof"
            elif read.result != order_frame.ACCEPTED:
                results[order.id] = order_frame.RESULTS[read.result]
                order.valid_until_s = now  # the controller's no is final for this wish
                order.message = f"not renewed: {results[order.id].replace('_', ' ')}"
            elif order.state in HOLDING:
                results[order.id] = ACCEPTED
                order.counter, order.not_after_s = signed.counter, signed.not_after_s
                order.controller, order.boot_nonce = signed.device_id, signed.boot_nonce
                order.lease_end_s = self._clock.monotonic() + order.lease_s
                order.lease_end_utc = self._clock.utc() + timedelta(seconds=order.lease_s)

        jobs: list[tuple[str, Coroutine[Any, Any, None]]] = []
        for order, outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, Signed):
                jobs.append((f"renew {int(order.id):08d}", carry(order, outcome)))
            else:
                results[order.id] = getattr(outcome, "code", "refused")
        await self._together(jobs)
        for seq in seqs:
            with contextlib.suppress(Unavailable):
                await self._audit.result(
                    seq, {"actor": "supervisor", "what": "renewals", "results": dict(sorted(results.items()))}
                )
        await self._keep_if_possible(*ready)

    # -- small parts --------------------------------------------------------------------------

    async def _together(self, jobs: Iterable[tuple[str, Coroutine[Any, Any, None]]]) -> None:
        """Run jobs at once and wait for all on the clock, as lockstep demands."""
        running = list(jobs)
        if not running:
            return
        left = len(running)
        done = asyncio.Event()

        async def run(coroutine: Coroutine[Any, Any, None]) -> None:
            nonlocal left
            try:
                await coroutine
            finally:
                left -= 1
                if left == 0:
                    done.set()

        for name, coroutine in running:
            self._clock.spawn(name, run(coroutine))
        await self._clock.wait(done)

    def _wish(self, order: Order) -> Wish:
        return Wish(
            order.device_id, ((order.point, order.value),), order.lease_s, order.user, order.owner,
            order.reason, (order.id,), order.approved_by, order.restore,
        )  # fmt: skip

    def _set(self, order: Order, state: str, code: str, message: str) -> None:
        order.state, order.code, order.message = state, code, message
        order.changed_utc = self._clock.utc()

    async def _keep(self, *orders: Order) -> None:
        def job(connection: Connection) -> None:
            for order in orders:
                store(connection, order)

        await self._state.write(job)

    async def _keep_if_possible(self, *orders: Order) -> None:
        """Keep states that the controller can tell again; a full disk must not stop the watching."""
        with contextlib.suppress(Unavailable):
            await self._keep(*orders)

    def _forget(self) -> None:
        ended = [order for order in self._orders.values() if not order.active]
        for order in ended[: max(0, len(ended) - KEPT_ENDED)]:
            del self._orders[order.id]

    def _link(self, device_id: str) -> Link:
        return self._latest.device(device_id).link

    def _current(self, device_id: str, point: str) -> Order | None:
        """Return the newest order for the point that may have an effect."""
        found = [
            order
            for order in self._orders.values()
            if order.device_id == device_id and order.point == point and order.active and not order.release
        ]
        return max(found, key=lambda order: int(order.id), default=None)

    def _old(self, device_id: str, point: str) -> tuple[float | None, str, tuple[Any, ...]]:
        """Return the effective value, its owner's name, and what an execution compares."""
        rows = LEASE_OF[point]
        effective = self._latest.point(device_id, rows.effective)
        slot = self._latest.point(device_id, rows.owner)
        current = self._current(device_id, point)
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
        current = self._current(device.id, point)
        if current is not None and current.state == UNKNOWN:
            yield {"code": "in_doubt", "message": f"order {current.id} for this point is still in doubt"}
        if current is not None and current.owner == COORDINATOR and not release:
            yield {"code": "takes_over", "message": "the coordinator holds this point; you take it over"}
        if self._link(device.id) is not Link.ok:
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


def _not_sent(order: Order, refusal: Refusal) -> str:
    text = f"{refusal.message} Nothing was sent."
    if order.release:
        text += " The lease ends by itself when nobody renews it."
    return text
