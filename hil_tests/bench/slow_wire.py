"""A TCP wire between clients and one controller whose bytes wait for virtual time.

Latency, jitter, bandwidth, lost segments, cuts, and a gateway that repeats or swaps frames: all drawn from a
seed, so two runs pass the same bytes at the same times. A lost segment is what TCP lets its user see of it: a
stall, and everything behind it waits. Time is told to a tick. It refuses threads and the host's clock, and
to lose or alter a byte: what arrives is what was sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from .controller import Controller
from .errors import ConditionNotMet, ModbusSilent
from .lockstep import Lockstep
from .modbus import ModbusTcp
from .provisioning import Device

TICK_MS = 100  # of the bench that a test gets which needs such a wire
SEGMENT_BYTES = 1460
OVERHEAD_BYTES = 40  # headers of IP and TCP
FIRST_TIMEOUT_S = 1.0  # RFC 6298; doubled at each loss of the same segment
LONGEST_TIMEOUT_S = 60.0
GIVES_UP_S = 924.6  # Linux, tcp_retries2 = 15: the end that has sent is told then, the other is not
HELD_S = 1.0  # a frame that waits to be passed behind the next, where none comes
TURN_BYTES = 260  # what a controller reads in one turn
PATIENCE_S = 60.0
LINGER_0 = struct.pack("ii", 1, 0)  # closing sends RST
END, RESET = b"", None  # what can pass besides bytes


@dataclass(frozen=True)
class Conditions:
    """What the wire is like, the same both ways.

    latency_s: one way. jitter_s: up to so much more for each segment; none overtakes another. loss: share of
    segments that are lost, each time they are sent. bandwidth_bit_s: None is without limit. The last two are
    no wire's doing but a broken gateway's: share of Modbus TCP frames that it passes twice, or behind the
    frame that comes next.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    bandwidth_bit_s: float | None = None
    gateway_repeats: float = 0.0
    gateway_swaps: float = 0.0


@dataclass
class Segment:
    """data: bytes, END (no more from there) or RESET."""

    data: bytes | None
    sent_s: float
    due_s: float


class Gateway:
    """Cuts a stream into Modbus TCP frames and passes some of them twice, or behind the next."""

    def __init__(self, conditions: Conditions, draws: random.Random) -> None:
        self._conditions = conditions
        self._draws = draws
        self._rest = b""
        self._held: bytes | None = None
        self._held_s = 0.0

    def passed(self, data: bytes, now_s: float) -> bytes:
        self._rest += data
        out = b""
        while len(self._rest) >= 6:
            length = 6 + int.from_bytes(self._rest[4:6], "big")
            if len(self._rest) < length:
                break
            frame, self._rest = self._rest[:length], self._rest[length:]
            if self._held is None and self._draws.random() < self._conditions.gateway_swaps:
                self._held, self._held_s = frame, now_s
                continue
            out += frame * (2 if self._draws.random() < self._conditions.gateway_repeats else 1)
            out += self._let_go()
        return out

    def overdue(self, now_s: float) -> bytes:
        """Return a frame that waited for the next one in vain."""
        return self._let_go() if now_s - self._held_s >= HELD_S else b""

    def _let_go(self) -> bytes:
        frame, self._held = self._held or b"", None
        return frame


class Way:
    """One direction of one connection: first in, first out, each at its time."""

    def __init__(self, conditions: Conditions, draws: random.Random) -> None:
        self.waiting: deque[Segment] = deque()
        self.ended = False
        """END or RESET was sent: nothing follows."""
        self._conditions = conditions
        self._draws = draws
        self._free_s = 0.0  # when the line has sent all before
        self._last_s = 0.0
        self._gateway: Gateway | None = None
        if conditions.gateway_repeats or conditions.gateway_swaps:
            self._gateway = Gateway(conditions, draws)

    def send(self, data: bytes | None, now_s: float) -> None:
        if self.ended:
            return
        self.ended = data in (END, RESET)
        if data and self._gateway is not None:
            data = self._gateway.passed(data, now_s)
            if not data:
                return
        self._queue(data, now_s)

    def look_after(self, now_s: float) -> None:
        """Let the gateway pass what waited for another frame in vain."""
        if self._gateway is not None and (late := self._gateway.overdue(now_s)):
            self._queue(late, now_s)

    def _queue(self, data: bytes | None, now_s: float) -> None:
        pieces: list[bytes | None] = [data]
        if data:
            pieces = [data[at : at + SEGMENT_BYTES] for at in range(0, len(data), SEGMENT_BYTES)]
        for piece in pieces:
            self._last_s = max(self._last_s, self._arrival_s(len(piece or b""), now_s))
            self.waiting.append(Segment(piece, now_s, self._last_s))

    def delay_s(self) -> float:
        """Draw how long the next segment is under way."""
        return self._conditions.latency_s + self._draws.random() * self._conditions.jitter_s

    def _arrival_s(self, size: int, now_s: float) -> float:
        begin_s = max(now_s, self._free_s)
        if self._conditions.bandwidth_bit_s is not None:
            begin_s += (size + OVERHEAD_BYTES) * 8 / self._conditions.bandwidth_bit_s
            self._free_s = begin_s
        timeout_s, stalled_s = FIRST_TIMEOUT_S, 0.0
        while self._draws.random() < self._conditions.loss:
            stalled_s += timeout_s
            timeout_s = min(2 * timeout_s, LONGEST_TIMEOUT_S)
        return begin_s + stalled_s + self.delay_s()

    def hold(self, until_s: float) -> None:
        """Send nothing before."""
        self._free_s = max(self._free_s, until_s)

    def mended(self, now_s: float) -> None:
        """What should have come while the line was cut comes with its next retransmission."""
        if not self.waiting or self.waiting[0].due_s > now_s:
            return
        due_s, timeout_s = self.waiting[0].due_s, FIRST_TIMEOUT_S
        while due_s <= now_s:
            due_s += timeout_s
            timeout_s = min(2 * timeout_s, LONGEST_TIMEOUT_S)
        for segment in self.waiting:
            segment.due_s = max(segment.due_s, due_s)
        self._last_s = max(self._last_s, due_s)

    def due(self, now_s: float) -> bool:
        return bool(self.waiting) and self.waiting[0].due_s <= now_s


class Connection:
    """A client's end `near`, the controller's end `far` (None until the client's SYN has arrived)."""

    def __init__(self, near: socket.socket, number: int, conditions: Conditions, seed: int) -> None:
        self.near: socket.socket | None = near
        self.far: socket.socket | None = None
        self.number = number
        self.there = Way(conditions, random.Random(f"slow wire {seed} {number} there"))
        self.back = Way(conditions, random.Random(f"slow wire {seed} {number} back"))
        self.arrives_s: float | None = None


class SlowWire:
    """Listens at `port` of the loopback; bytes pass when the clock moves, and when somebody calls `carry`.

    A client connects at once, and its first bytes wait for the round trip that connecting takes. sha256 is
    the digest of all that was delivered, and when.
    """

    def __init__(self, clock: Lockstep, device: Device, conditions: Conditions, seed: int) -> None:
        self._clock = clock
        self._device = device
        self._conditions = conditions
        self._seed = seed
        self._digest = hashlib.sha256()
        self._connections: list[Connection] = []
        self._count = 0
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._recorder = self._at_tick  # one bound method, so that it can be taken out again
        clock.recorders.append(self._recorder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        """Take the wire away: every connection ends."""
        if self._recorder in self._clock.recorders:
            self._clock.recorders.remove(self._recorder)
        for one in self._connections:
            for end in (one.near, one.far):
                if end is not None:
                    end.close()
        self._connections.clear()
        self._listener.close()

    # what a test may do to it

    def cut(self) -> None:
        """Let nothing pass from now on, and nobody know: every connection is half open."""
        self.carry()
        self._is_cut = True

    def mend(self) -> None:
        """Let bytes pass again; what waits comes with its next retransmission."""
        self.carry()
        self._is_cut = False
        for one in self._connections:
            one.there.mended(self._now_s)
            one.back.mended(self._now_s)

    def reset(self) -> None:
        """Reset every connection at both ends, at once."""
        self.carry()
        for one in self._connections:
            self._end(one, near=True, reset=True)
            self._end(one, near=False, reset=True)
        self._connections.clear()
        self._serve(0)

    def client(self, patience_s: float = PATIENCE_S) -> PatientTcp:
        """Return a client at the near end that lets virtual time pass while it waits. Its user closes it."""
        return PatientTcp(self, self._clock, patience_s)

    def controller(self, patience_s: float = PATIENCE_S) -> FarController:
        """Return the controller as a master at the near end sees it."""
        return FarController(self, self._device, self._clock, patience_s)

    # how it works

    @property
    def _now_s(self) -> float:
        return self._clock.now_ms / 1000.0

    def _at_tick(self, clock: Lockstep) -> None:
        self.carry()

    def carry(self) -> None:
        """Take what was sent up to now, deliver what is due by now, and what comes of that, until none is."""
        moved = True
        while moved:
            self._let_in()
            moved = False
            for one in list(self._connections):
                self._take(one)
                moved = self._deliver(one) or moved
        self._forget_ended()

    def _let_in(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except BlockingIOError:
                return
            near.setblocking(False)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one = Connection(near, self._count, self._conditions, self._seed)
            self._count += 1
            one.arrives_s = self._now_s + one.there.delay_s()
            one.there.hold(one.arrives_s + one.back.delay_s())
            self._connections.append(one)

    def _take(self, one: Connection) -> None:
        for way, end in ((one.there, one.near), (one.back, one.far)):
            way.look_after(self._now_s)
            while end is not None and not way.ended:
                try:
                    data: bytes | None = end.recv(65_536)
                except BlockingIOError:
                    break
                except ConnectionError:
                    data = RESET
                way.send(data, self._now_s)

    def _deliver(self, one: Connection) -> bool:
        """Deliver what is due; say whether something was."""
        if self._is_cut:
            self._give_up(one)
            return False
        moved = False
        if one.arrives_s is not None and one.arrives_s <= self._now_s:
            one.arrives_s = None
            moved = True
            self._arrive(one)
        while one.arrives_s is None and one.there.due(self._now_s) and self._pass(one, near=False):
            moved = True
            self._take(one)
        while one.back.due(self._now_s) and self._pass(one, near=True):
            moved = True
        return moved

    def _arrive(self, one: Connection) -> None:
        try:
            one.far = socket.create_connection((self._device.host, self._device.port), timeout=10.0)
        except ConnectionRefusedError:
            one.back.send(RESET, self._now_s)
            return
        one.far.setblocking(False)
        one.far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._serve(0)

    def _pass(self, one: Connection, *, near: bool) -> bool:
        """Hand the first segment to an end; False where that does not take it now."""
        way, back, end = (one.back, one.there, one.near) if near else (one.there, one.back, one.far)
        segment = way.waiting.popleft()
        data = segment.data
        if end is None:
            if data is not RESET:
                back.send(RESET, self._now_s)  # nobody is there any more
        elif data:
            try:
                taken = end.send(data)
            except BlockingIOError:
                taken = 0
            except OSError:
                taken = len(data)  # that end has gone, and says so when it is read
            if taken < len(data):
                segment.data = data[taken:]
                way.waiting.appendleft(segment)
            data = data[:taken]
            if not data:
                return False
        elif data is RESET or back.ended:
            self._end(one, near=near, reset=data is RESET)
        else:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_WR)
        what = b"reset" if data is RESET else data
        self._digest.update(struct.pack(">QI?I", self._clock.now_ms, one.number, near, len(what)) + what)
        if not near:
            self._serve(len(data or b""))
        return True

    def _end(self, one: Connection, *, near: bool, reset: bool) -> None:
        end = one.near if near else one.far
        if end is not None:
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
            end.close()
        if near:
            one.near = None
        else:
            one.far = None

    def _give_up(self, one: Connection) -> None:
        """Tell an end that has sent into a cut line for too long; the other goes on believing."""
        for way, near in ((one.there, True), (one.back, False)):
            if way.waiting and self._now_s - way.waiting[0].sent_s > GIVES_UP_S:
                way.waiting.clear()
                way.ended = True
                self._end(one, near=near, reset=True)

    def _forget_ended(self) -> None:
        """Close what has ended both ways, or has nobody left."""
        for one in list(self._connections):
            done = one.there.ended and one.back.ended and not one.there.waiting and not one.back.waiting
            if done or (one.near is None and one.far is None):
                self._end(one, near=True, reset=False)
                self._end(one, near=False, reset=False)
                self._connections.remove(one)

    def _serve(self, size: int) -> None:
        """Let the controller look at what has come, its clock standing: what it answers is sent now.

        A grant of no time is answered once everything that had come is looked at, some bytes a turn; to be
        accepted takes a turn as well.
        """
        fleet = self._clock.fleet
        reports, mischief = fleet.reports.copy(), fleet.mischief
        fleet.mischief = 0
        for _ in range(3 + size // TURN_BYTES):
            fleet.exchange(self._clock.now_ms, self._clock.inputs)
        fleet.reports[:] = reports
        fleet.mischief = mischief


class PatientTcp(ModbusTcp):
    """A client at the near end of a slow wire: while it waits for an answer, virtual time passes.

    `strays` counts answers that belong to no question, or to one that was given up. Bytes are noted to the
    clock, as every client's of the bench are.
    """

    def __init__(self, wire: SlowWire, clock: Lockstep, patience_s: float) -> None:
        super().__init__("127.0.0.1", wire.port, noted=clock.note_bus)
        self._wire = wire
        self._run_until: Callable[[Callable[[], bool], float], None] = clock.run_until
        self._patience_s = patience_s
        self._got = b""
        self._ended = ""
        self.strays = 0
        wire.carry()

    def send(self, raw: bytes) -> None:
        super().send(raw)
        self._wire.carry()

    def receive(self, count: int) -> bytes:
        """Return exactly `count` bytes. ModbusSilent when the line ends, or after so much virtual time."""
        try:
            self._run_until(lambda: self._has(count), self._patience_s)
        except ConditionNotMet:
            raise ModbusSilent(f"{self._peer}: no answer within {self._patience_s:g} s") from None
        if len(self._got) < count:
            raise ModbusSilent(f"{self._peer}: {self._ended}")
        part, self._got = self._got[:count], self._got[count:]
        self._noted(part, False)
        return part

    def ended(self) -> bool:
        """Say whether the connection is over, as this end was told."""
        return self._has(1 << 30)

    def answer(self) -> bytes:
        """Return the PDU of the answer to the newest question; others are strays."""
        while True:
            tid, _protocol, length, _unit = struct.unpack(">HHHB", self.receive(7))
            pdu = self.receive(length - 1)
            if tid == self._tid:
                return pdu
            self.strays += 1

    def _has(self, count: int) -> bool:
        self._wire.carry()
        self.socket.setblocking(False)
        try:
            while len(self._got) < count and not self._ended:
                part = self.socket.recv(65_536)
                self._got += part
                self._ended = "" if part else "the connection was closed"
        except BlockingIOError:
            pass
        except OSError as error:
            self._ended = f"the connection broke ({error})"
        return len(self._got) >= count or bool(self._ended)


class FarController(Controller):
    """A controller as a master behind the wire sees it: readings, orders and receipts, each in its time."""

    def __init__(self, wire: SlowWire, device: Device, clock: Lockstep, patience_s: float) -> None:
        super().__init__(device, 0, clock.note_bus)
        self._wire = wire
        self._patience_s = patience_s

    def connect(self) -> PatientTcp:
        return self._wire.client(self._patience_s)

    def client(self) -> PatientTcp:
        made = super().client()
        assert isinstance(made, PatientTcp)
        return made
