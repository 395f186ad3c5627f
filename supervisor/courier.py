"""What carries orders to their controllers and keeps them: sent, proved, renewed, resolved, ended.

It refuses to renew anything that was not evaluated since the start, to call an order accepted or effective
without the controller's own proof, and to guess: an order whose answer did not come stays *unknown* until a
receipt resolves it. Whether an order may be given at all is the desk's business (`setpoints.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from typing import Any

from firmware.substation import order_frame, registers

from .access import Access
from .audit import Audit
from .clock import Clock
from .database import Connection, Database
from .errors import NotFound, Refusal, Unavailable
from .field.errors import DeviceLost, FieldRefused, FieldTimeout, UnknownMap
from .field.identity import Identity
from .field.outbox import Outbox
from .latest import Latest, Link
from .orders import (
    ACCEPTED,
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
    UNKNOWN,
    Order,
    load,
    store,
)
from .signer import Signed, Signer, Wish
from .site import LEASE_OF, Device, Site

PERIOD_S = 2.0  # one control period of the devices
RESOLVE_EVERY_S = 10.0
RENEW_AGAIN_S = 10.0
LEASE_LOST_SLACK_S = 5.0
COMMAND_DOUBT_S = 120.0  # own choice: four times as long as its frame can still be taken
# A controller puts an accepted order into its readings with its next control step; until two of those have
# passed, a reading without the lease says nothing.
SHOWN_WITHIN_S = 2 * PERIOD_S
KEPT_ENDED = 2000  # ended orders kept in memory; all are on disk
MANUAL_MODE, SERVICE_MODE = 2, 3  # control_mode_number


class Courier:
    """Has every order of this supervisor; all methods run on the event loop."""

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
    ) -> None:
        self._site = site
        self._latest = latest
        self._state = state
        self._signer = signer
        self._audit = audit
        self._access = access
        self._outbox = outbox
        self._clock = clock
        self._orders: dict[str, Order] = {}
        self._settled: dict[str, asyncio.Event] = {}
        self._turns: dict[str, asyncio.Event] = {}
        self._next_id = 1
        self._proofs = 0

    # -- life ----------------------------------------------------------------------------------------

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

    async def step(self) -> None:
        """Renew, prove, resolve and expire: once every control period."""
        now = self._clock.monotonic()
        renew: list[Order] = []
        jobs: list[tuple[str, Coroutine[Any, Any, None]]] = []
        for order in [order for order in self._orders.values() if order.active]:
            if order.state in HOLDING:
                await self._follow(order, now, jobs)
                if order.state in HOLDING and self.renewal_due(order, now):
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
            await self.renew(renew)
        self._forget()

    # -- readers -------------------------------------------------------------------------------------

    def kept(self) -> tuple[Order, ...]:
        """Return every order in memory: all that are active, and the newest of those that ended."""
        return tuple(self._orders.values())

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

    def current(self, device_id: str, point: str) -> Order | None:
        """Return the newest order for the point that may have an effect."""
        found = [
            order
            for order in self._orders.values()
            if order.device_id == device_id and order.point == point and order.active and not order.release
        ]
        return max(found, key=lambda order: int(order.id), default=None)

    def unix_s(self) -> int:
        """Return what a controller is told when it is told the time."""
        return round(self._clock.utc().timestamp())

    # -- an order's way ------------------------------------------------------------------------------

    async def start(
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
                order.raw = self.unix_s()
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

    # -- watching ------------------------------------------------------------------------------------

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

    # -- renewals ------------------------------------------------------------------------------------

    async def renew(self, orders: list[Order]) -> None:
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

    def renew_at(self, order: Order) -> float:
        """Return when the lease is at half, spread by the device's id over an eighth of the lease."""
        spread = int.from_bytes(hashlib.sha256(order.device_id.encode()).digest()[:4], "big") / 2**32
        return order.lease_end_s - order.lease_s * (0.5 + 0.125 * spread)

    def renewal_due(self, order: Order, now: float) -> bool:
        """Say whether an operator's order in force is to be renewed now."""
        if order.owner != OPERATOR or order.release or now < order.next_try_s or not order.evaluated:
            return False
        # the last lease ends with the wish: nothing is renewed for less than half a lease
        return now >= self.renew_at(order) and order.valid_until_s > order.lease_end_s + 1.0

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

    # -- small parts ---------------------------------------------------------------------------------

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


def _not_sent(order: Order, refusal: Refusal) -> str:
    text = f"{refusal.message} Nothing was sent."
    if order.release:
        text += " The lease ends by itself when nobody renews it."
    return text
