"""Give many controllers back to their own curves with keys of a new epoch, and follow each until it is back.

It refuses to call a station back on a reading without a MAC, and to let one that is silent hold up the
others. A check sends challenges and nothing else.
"""

import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from .controller import OrderInDoubt
from .errors import FAILED, INTERRUPTED, UNREACHABLE, ToolError
from .restore_visit import (
    BELOW_ATTAINABLE_K,
    MANUAL,
    ORDER,
    OWN_CURVE,
    SAFE_START,
    SERVICE,
    UNAUTHENTICATED,
    Proof,
    Seen,
    Target,
)

AT_ONCE = 16  # stations that are spoken to at the same time
FOLLOW_S = 10.0  # between two looks at a station on its way back
AGAIN_S = (10.0, 20.0, 40.0, 60.0)  # until a silent or refusing station is tried again; the last one repeats
CHECK_TRIES = 2
TELL_S = 5.0
# No later try can change these: the site file, the key file or the release has to.
FINAL = frozenset(
    ("no_address", "not_ours", "unknown_map", "unknown_profile", "other_device", "other_profile", "no_key",
     "keys_older", "keys_too_far", "same_device")
)  # fmt: skip
WAITING, ON_THE_WAY, BACK, SILENT, REFUSED = "waiting", "on_the_way", "back", "silent", "refused"
PROVEN = "proven"  # as far as a check goes


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
