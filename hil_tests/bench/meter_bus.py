"""The M-Bus between one controller and its heat meters, with the faults a cellar knows.

The meters are slaves by EN 13757-2: acknowledge a reset, answer a request, repeat the last answer when the
frame count bit has not changed, and keep silent to everything else. Bytes take the time that the baud rate
asks for. It refuses to look at what the controller makes of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from .lockstep import Lockstep
from .plant.heat_meter import HeatMeter
from .serial_line import MeterLine

ACK = b"\xe5"
FAULTS = ("silent", "garbage", "checksum", "wrong address", "noisy", "application error")
CHARACTER_BITS = 11
RESPONSE_BITS, RESPONSE_S = 330, 0.05  # the longest a slave may wait before it answers, EN 13757-2
NOISE_BIT_RATE = 0.002  # of a noisy line: three of four answers of 80 bytes have an error
NETWORK_LAYER = 0xFD

Truth = Callable[[], tuple[float, float, float]]
"""What stands in the pipe now: flow in m3/h, supply and return in degC."""


@dataclass
class Slave:
    """One meter on the bus, at a primary address; it can be selected by its number as well."""

    meter: HeatMeter
    address: int
    truth: Truth
    fault: str = ""
    """One of FAULTS, or nothing."""
    reads: int = 0
    """Telegrams it was asked for and sent: what costs its battery something."""
    selected: bool = False
    _bit: int | None = None
    _next: int = 0
    _last: bytes = b""
    _queue: list[bytes] = field(default_factory=list)

    def answer(self, frame: bytes) -> bytes:
        """Return the bytes that this slave sends to one whole frame; nothing where it keeps silent."""
        if frame[0] == 0x68:
            return self._select(frame)
        control, address = frame[1], frame[2]
        if address != self.address and not (address == NETWORK_LAYER and self.selected):
            if address == NETWORK_LAYER and control == 0x40:
                self.selected = False
            return b""
        if control == 0x40:
            self._bit = None
            self._next = 0
            self._queue = []
            if address == NETWORK_LAYER:
                self.selected = False
            return ACK
        if control & 0xDF != 0x5B:
            return b""
        return self._respond(control >> 5 & 1)

    def _select(self, frame: bytes) -> bytes:
        if frame[4] & 0xDF != 0x53 or frame[5] != NETWORK_LAYER or frame[6] != 0x52:
            return b""
        own = self.meter.header()[1:9]
        self.selected = all(
            _nibbles_fit(wanted, mine) if place < 4 else wanted in (0xFF, mine)
            for place, (wanted, mine) in enumerate(zip(frame[7:15], own, strict=True))
        )
        self._bit = None
        self._next = 0
        self._queue = []
        return ACK if self.selected else b""

    def _respond(self, bit: int) -> bytes:
        self.reads += 1
        if bit == self._bit:  # the master did not get it
            return self._last
        self._bit = bit
        if self._next >= len(self._queue):
            self._queue = self.meter.telegrams()
            self._next = 0
        data = b"\x70\x08" if self.fault == "application error" else self._queue[self._next]
        self._next += 1
        address = self.address % 250 + 1 if self.fault == "wrong address" else self.address
        body = bytes((0x08, address)) + data
        check = sum(body) + (1 if self.fault == "checksum" else 0)
        self._last = bytes((0x68, len(body), len(body), 0x68)) + body + bytes((check & 0xFF, 0x16))
        return self._last


def _nibbles_fit(wanted: int, mine: int) -> bool:
    return all(w in (0xF, m) for w, m in ((wanted >> 4, mine >> 4), (wanted & 0xF, mine & 0xF)))


def frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Split what a master sent into whole frames and the rest that has not ended; noise is passed over."""
    whole = []
    while data:
        if data[0] == 0x10:
            if len(data) < 5:
                break
            if data[4] == 0x16 and (data[1] + data[2]) & 0xFF == data[3]:
                whole.append(data[:5])
                data = data[5:]
                continue
        elif data[0] == 0x68:
            if len(data) < 4:
                break
            length = data[1] + 6
            if data[1] == data[2] and data[3] == 0x68:
                if len(data) < length:
                    break
                if data[length - 1] == 0x16 and sum(data[4 : length - 2]) & 0xFF == data[length - 2]:
                    whole.append(data[:length])
                    data = data[length:]
                    continue
        data = data[1:]
    return whole, data


class MeterBus:
    """All slaves on one line; put `advance` among the clock's recorders."""

    def __init__(self, line: MeterLine, slaves: list[Slave], baud: int = 2400, seed: int = 0) -> None:
        for slave in slaves:
            if slave.fault and slave.fault not in FAULTS:
                raise ValueError(f"{slave.fault!r} is no fault of a meter; known: {', '.join(FAULTS)}")
        self.line = line
        self.slaves = slaves
        self.baud = baud
        self.asked: list[tuple[int, bytes]] = []
        """(virtual ms, frame) of everything the controller sent."""
        self._random = random.Random(seed)
        self._now_ms = 0
        self._rest = b""
        self._sending = b""
        self._credit = 0.0

    def advance(self, clock: Lockstep) -> None:
        """Let the meters measure what has flowed since the last call, and carry bytes both ways."""
        dt_s = (clock.now_ms - self._now_ms) / 1000.0
        self._now_ms = clock.now_ms
        for slave in self.slaves:
            slave.meter.step(dt_s, *slave.truth())
        whole, self._rest = frames(self._rest + self.line.take())
        for frame in whole:
            self.asked.append((self._now_ms, frame))
            for slave in self.slaves:
                self._send(slave, slave.answer(frame))
        self._carry(clock.tick_ms / 1000.0)

    def _send(self, slave: Slave, data: bytes) -> None:
        if not data or slave.fault == "silent":
            return
        if slave.fault == "garbage":
            data = self._random.randbytes(len(data))
        elif slave.fault == "noisy":
            data = bytes(byte ^ self._noise() for byte in data)
        if not self._sending:
            self._credit = -RESPONSE_S - RESPONSE_BITS / self.baud
        self._sending += data

    def _noise(self) -> int:
        return sum(1 << bit for bit in range(8) if self._random.random() < NOISE_BIT_RATE)

    def _carry(self, dt_s: float) -> None:
        """Give the board what the line carries in the coming dt_s: nothing before the slave's pause is over.

        A board that looks in the middle of a tick would see some of it too early; this one looks at its end.
        """
        self._credit += dt_s
        count = max(0, int(self._credit * self.baud / CHARACTER_BITS))
        if not self._sending or not count:
            return
        part, self._sending = self._sending[:count], self._sending[count:]
        self._credit -= len(part) * CHARACTER_BITS / self.baud
        self.line.give(part)
