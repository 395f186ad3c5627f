"""What an order is, from preview to its end, and how it is kept in state.sqlite.

It refuses to decide anything: states and rows only. Values are kept as the register's integers, so what
is read back after a crash is exactly what was signed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from firmware.substation import registers

from .database import Connection
from .field.units import unit_of

OPERATOR = "operator"
COORDINATOR = "coordinator"
CLOCK = "clock"  # the supervisor itself, telling a controller the time
CLOCK_USER = "supervisor clock"
TIME_POINT = "unix_time_set_s"  # the one command that this supervisor orders

EXECUTED = "executed"  # on our disk, not yet on the bus
SENT = "sent"  # intent audited, frame on its way
ACCEPTED = "accepted"  # an authentic receipt says so
PENDING = "pending"  # accepted, not yet effective: ramping, limited or delayed
EFFECTIVE = "effective"  # the loop follows it
REFUSED = "refused"  # by us or by the controller; nothing changed there
FAILED = "failed"  # never arrived, or its lease was lost at the controller
EXPIRED = "expired"  # its lease ended
UNKNOWN = "unknown"  # intent without result
RELEASED = "released"  # taken back, or replaced by a newer order
DONE = "done"  # a command that an authentic receipt proves; it has no lease

IN_FLIGHT = (EXECUTED, SENT)
HOLDING = (ACCEPTED, PENDING, EFFECTIVE)
ACTIVE = (*IN_FLIGHT, *HOLDING, UNKNOWN)
ENDED = (REFUSED, FAILED, EXPIRED, RELEASED, DONE)


@dataclass
class Order:
    """One order for one point. `value` is in the point's unit, `old` what was effective at its preview.

    `lease_end_s` and `valid_until_s` are monotonic seconds of the clock, the others UTC. An operator's
    order is renewed until `valid_until_s`; a release and a command have lease_s 0.
    """

    id: str
    device_id: str
    point: str
    raw: int
    old: float | None
    lease_s: int
    owner: str
    user: str
    reason: str
    state: str
    executed_utc: datetime
    changed_utc: datetime
    code: str = ""
    message: str = ""
    lease_end_s: float = 0.0
    valid_until_s: float = 0.0
    lease_end_utc: datetime | None = None
    valid_until_utc: datetime | None = None
    proof: str = ""
    audit_seq: int = 0
    controller: str = ""
    boot_nonce: bytes = b""
    counter: int = 0
    not_after_s: int = 0
    approved_by: str = ""
    restore: bool = False
    accepted_s: float = 0.0
    evaluated: bool = True  # False after a restart, until a fresh reading shows the lease is still ours
    next_try_s: float = field(default=0.0)

    @property
    def value(self) -> float:
        """Return the value in the point's unit."""
        return float(registers.from_raw(registers.BY_NAME[self.point], self.raw))

    @property
    def release(self) -> bool:
        """Say whether this order gives a point back."""
        return self.lease_s == 0 and not self.command

    @property
    def command(self) -> bool:
        """Say whether this order is done at once instead of holding a point."""
        return self.point == TIME_POINT

    @property
    def active(self) -> bool:
        """Say whether the order may still have, or get, an effect."""
        return self.state in ACTIVE

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "id": self.id,
            "device_id": self.device_id,
            "point": self.point,
            "value": self.value,
            "old": self.old,
            "unit": unit_of(self.point),
            "lease_s": self.lease_s,
            "release": self.release,
            "owner": self.owner,
            "user": self.user,
            "approved_by": self.approved_by,
            "reason": self.reason,
            "state": self.state,
            "code": self.code,
            "message": self.message,
            "proof": self.proof,
            "executed_utc": self.executed_utc.isoformat(),
            "changed_utc": self.changed_utc.isoformat(),
            "lease_end_utc": self.lease_end_utc.isoformat() if self.lease_end_utc else None,
            "valid_until_utc": self.valid_until_utc.isoformat() if self.valid_until_utc else None,
            "audit_seq": self.audit_seq,
        }


def store(connection: Connection, order: Order) -> None:
    """Write the order's row; the caller commits."""
    connection.execute(
        "INSERT OR REPLACE INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            order.id, order.device_id, order.point, order.raw, repr(order.old), order.lease_s, order.owner,
            order.user, order.reason, order.state, order.code, order.message, order.executed_utc.isoformat(),
            order.changed_utc.isoformat(), _text(order.lease_end_utc), _text(order.valid_until_utc),
            order.proof, order.audit_seq, order.controller, order.boot_nonce, order.counter,
            order.not_after_s,
        ),
    )  # fmt: skip


def load(row: Any, utc: datetime, monotonic: float) -> Order:
    """Return the order of a row; its leases are counted from now on by the monotonic clock."""
    lease_end, valid_until = _time(row["lease_end"]), _time(row["valid_until"])

    def seconds(when: datetime | None) -> float:
        return monotonic + (when - utc) / timedelta(seconds=1) if when else 0.0

    return Order(
        id=row["id"],
        device_id=row["device"],
        point=row["point"],
        raw=int(row["raw"]),
        old=None if row["old"] == "None" else float(row["old"]),
        lease_s=int(row["lease_s"]),
        owner=row["owner"],
        user=row["user"],
        reason=row["reason"],
        state=row["state"],
        code=row["code"],
        message=row["message"],
        executed_utc=datetime.fromisoformat(row["executed"]),
        changed_utc=datetime.fromisoformat(row["changed"]),
        lease_end_utc=lease_end,
        valid_until_utc=valid_until,
        lease_end_s=seconds(lease_end),
        valid_until_s=seconds(valid_until),
        proof=row["proof"],
        audit_seq=int(row["audit_seq"]),
        controller=row["device_id"],
        boot_nonce=bytes(row["boot_nonce"]),
        counter=int(row["counter"]),
        not_after_s=int(row["not_after_s"]),
        accepted_s=monotonic,
        evaluated=False,
    )


def _text(when: datetime | None) -> str:
    return when.isoformat() if when else ""


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
