"""The clock driver: plant, controllers and members move together, one tick after the other.

A late member slows everyone and nobody runs free. One tick: the plant steps with the last outputs, the
controllers run everything due up to the new time, then each member (the supervisor) does the same over
its own real sockets. It refuses to guess: a member that answers wrongly stops the run.
"""

from __future__ import annotations

import hashlib
import json
import selectors
import socket
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol, Self

from .board_io import BoardInputs, BoardOutputs
from .errors import ConditionNotMet, MemberFailed
from .fleet import Fleet

TICK_MS = 2_000  # the firmware's control period
EPOCH_UTC = datetime(2026, 1, 12, tzinfo=UTC)
LONGEST_LINE_B = 65_536
HELLO_DEADLINE_S = 2.0  # whoever knocks and says nothing may hold the clock no longer


class Plant(Protocol):
    """What the clock needs of a plant; `hil_tests.bench.plant` holds the real ones."""

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        """Let dt_s pass with what the boards did meanwhile; return what the pins see then."""

    def sense(self) -> BoardInputs:
        """Return what the pins see now, without letting time pass."""


class Member:
    """A process that joined the clock over newline JSON."""

    def __init__(self, link: socket.socket, deadline_s: float) -> None:
        self._link = link
        self._rest = b""
        link.settimeout(HELLO_DEADLINE_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name = str(self.read().get("member", ""))
        if not self.name:
            raise MemberFailed("a member joined without a name; it was not let in")
        link.settimeout(deadline_s)

    def send(self, message: dict[str, Any]) -> None:
        self._link.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def read(self) -> dict[str, Any]:
        """Return the next line's object. ConnectionError when the member is gone."""
        while b"\n" not in self._rest:
            part = self._link.recv(65_536)
            if not part:
                raise ConnectionError("closed")
            self._rest += part
            if len(self._rest) > LONGEST_LINE_B:
                raise MemberFailed("a member sent a line that does not end; it was dropped")
        line, self._rest = self._rest.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError as error:
            raise MemberFailed(f"a member sent a line that is not JSON ({error}); the run stopped") from None
        if not isinstance(message, dict):
            raise MemberFailed("a member sent JSON that is not an object; the run stopped")
        return message

    def gone(self) -> bool:
        """Say whether the process has closed its line, without taking anything from it."""
        try:
            return not self._link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._link.close()


class Lockstep:
    """Drives one plant, one fleet and any members.

    speed: simulated seconds per real second, None = as fast as everybody can. seed and build being
    equal, `sha256` is equal after equal ticks and equal questions.
    """

    def __init__(self, plant: Plant, fleet: Fleet, *, tick_ms: int = TICK_MS, speed: float | None = None,
                 epoch_utc: datetime = EPOCH_UTC, member_deadline_s: float = 120.0) -> None:  # fmt: skip
        self.plant = plant
        self.fleet = fleet
        self.tick_ms = tick_ms
        self.speed = speed
        self.epoch_utc = epoch_utc
        self.now_ms = 0
        self.outputs = BoardOutputs.idle(len(fleet.boards))
        self.inputs = BoardInputs.unconnected(len(fleet.boards))
        self.members: list[Member] = []
        self.recorders: list[Callable[[Lockstep], None]] = []
        """Called after every tick, when plant, fleet and members stand at `now_ms`."""
        self.adjust_inputs: list[Callable[[BoardInputs], None]] = []
        """Faults of the wiring: each may change what the plant put on the pins, in place."""
        self._digest = hashlib.sha256()
        self._bus_digest = hashlib.sha256()
        self._member_deadline_s = member_deadline_s
        self._door: socket.socket | None = None
        self._pace_from: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    @property
    def sha256(self) -> str:
        """Digest of every output of every controller so far, in device order, and of all bytes on the bus."""
        return hashlib.sha256(self._digest.digest() + self._bus_digest.digest()).hexdigest()

    @property
    def outputs_sha256(self) -> str:
        """Digest of every output of every controller so far, whoever asked them what."""
        return self._digest.hexdigest()

    def note_bus(self, data: bytes, sent: bool) -> None:
        """Take bytes that a client of the bench sent to a controller, or got from one, into the digest."""
        self._bus_digest.update(struct.pack(">?I", sent, len(data)) + data)

    @property
    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.epoch_utc.timestamp() + self.now_ms / 1000.0, UTC)

    # members

    def open_door(self) -> tuple[str, int]:
        """Let members join from now on; return the address for their --lockstep."""
        if self._door is None:
            self._door = socket.create_server(("127.0.0.1", 0))
            self._door.setblocking(False)
        host, port = self._door.getsockname()[:2]
        return str(host), int(port)

    def wait_for_member(self, name: str, deadline_s: float, still_coming: Callable[[], bool]) -> bool:
        """Wait in real time, the clock standing, until the member has joined; False when it will not."""
        until = time.monotonic() + deadline_s
        assert self._door is not None, "open_door() first"
        for member in [m for m in self.members if m.gone()]:
            self._drop(member)  # else one that was killed since the last tick would pass for the one awaited
        with selectors.DefaultSelector() as selector:
            selector.register(self._door, selectors.EVENT_READ)
            while not any(member.name == name for member in self.members):
                if time.monotonic() > until or not still_coming():
                    return False
                selector.select(0.2)
                self._let_in()
        return True

    def _let_in(self) -> None:
        if self._door is None:
            return
        while True:
            try:
                link, _ = self._door.accept()
            except BlockingIOError:
                return
            try:
                member = Member(link, self._member_deadline_s)
                member.send(
                    {"epoch_utc": self.epoch_utc.isoformat().replace("+00:00", "Z"), "now_ms": self.now_ms}
                )
            except (OSError, MemberFailed):
                link.close()
                continue
            self.members.append(member)

    def _advance_members(self) -> None:
        """Send the new time to all, then wait for each; one that has gone is dropped."""
        self._let_in()
        told = []
        for member in list(self.members):
            try:
                member.send({"advance_ms": self.now_ms})
            except OSError:
                self._drop(member)
                continue
            told.append(member)
        for member in told:
            try:
                answer = member.read()
            except TimeoutError:
                raise MemberFailed(
                    f"{member.name}: not done with {self.now_ms} ms after {self._member_deadline_s:g} s; "
                    "the run stopped"
                ) from None
            except OSError:
                self._drop(member)
                continue
            if answer.get("done_ms") != self.now_ms:
                raise MemberFailed(f"{member.name}: answered {answer} to {self.now_ms} ms; the run stopped")
            if answer.get("bus_sha256"):
                self._bus_digest.update(str(answer["bus_sha256"]).encode())

    def _drop(self, member: Member) -> None:
        member.close()
        self.members.remove(member)

    # time

    def power_on(self) -> None:
        """Put the plant's first state on the pins and switch every board on. No time passes."""
        self.inputs = self.plant.sense()
        self._spoil_inputs()
        self.fleet.on(inputs=self.inputs)

    def step(self, *, measure_heap: bool = False) -> None:
        """Run one tick for everybody."""
        self.inputs = self.plant.step(self.tick_ms / 1000.0, self.outputs)
        self._spoil_inputs()
        self.now_ms += self.tick_ms
        self.outputs = self.fleet.exchange(self.now_ms, self.inputs, measure_heap=measure_heap)
        self._digest.update(self.fleet.reports.tobytes())
        self._advance_members()
        for record in self.recorders:
            record(self)

    def _spoil_inputs(self) -> None:
        for change in self.adjust_inputs:
            change(self.inputs)

    def run_for(self, seconds: float) -> None:
        """Run that much virtual time, rounded up to whole ticks."""
        until_ms = self.now_ms + round(seconds * 1000)
        while self.now_ms < until_ms:
            self.step()
            self.pace()

    def run_until(self, condition: Callable[[], bool], within_s: float) -> None:
        """Run until the condition holds after a tick. ConditionNotMet when it does not within the time."""
        until_ms = self.now_ms + round(within_s * 1000)
        while not condition():
            if self.now_ms >= until_ms:
                raise ConditionNotMet(
                    f"still not so after {within_s:g} s of virtual time (now {self.now_ms / 1000:g} s)"
                )
            self.step()
            self.pace()

    def pace(self) -> None:
        """Wait until the wall clock has caught up. Time lost to a slow tick is not made up in a rush."""
        if self.speed is None:
            return
        now = time.monotonic()
        if self._pace_from is None:
            self._pace_from = (now, self.now_ms)
            return
        since, from_ms = self._pace_from
        due = since + (self.now_ms - from_ms) / 1000.0 / self.speed
        if due > now:
            time.sleep(due - now)
        elif now - due > 1.0:
            self._pace_from = (now, self.now_ms)

    def close(self) -> None:
        for member in list(self.members):
            self._drop(member)
        if self._door is not None:
            self._door.close()
            self._door = None
        self.fleet.close()
