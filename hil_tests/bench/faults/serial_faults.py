"""Faults of the RS-485 line, byte by byte, proved by what stood on the line and what came back.

The controller is a slave there: it must keep silent to what is no frame of its own, and never act on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from firmware.substation import registers

from ..modbus_oracle import crc16
from .injector import Injector
from .lines import UNIT, rtu
from .rig import FaultRig

LINE = frozenset({"clock.virtual", "bus.rtu"})
Spoil = Callable[[bytes, FaultRig], bytes]


def good(frame: bytes) -> bool:
    """Whether these bytes, all of them, are a frame to the controller's unit."""
    return len(frame) >= 4 and frame[0] == UNIT and crc16(frame[:-2]) == frame[-2:]


class Spoiled(Injector):
    """Every frame of the master goes through `spoil`. answered: some frame may still be answered."""

    needs = LINE

    def __init__(self, rig: FaultRig, spoil: Spoil, *, answered: bool = False) -> None:
        super().__init__(rig)
        self._spoil = spoil
        self._answered = answered

    def inject(self) -> None:
        master = self.rig.master
        self._from = len(master.on_line)
        self._silent, self._right = master.silent, master.right
        master.spoil.append(self._on_the_way)

    def remove(self) -> None:
        self.rig.master.spoil.remove(self._on_the_way)

    def _on_the_way(self, frame: bytes) -> bytes:
        return self._spoil(frame, self.rig)

    def prove(self) -> str:
        master = self.rig.master
        pairs = list(zip(master.meant[self._from :], master.on_line[self._from :], strict=True))
        changed = sum(meant != line for meant, line in pairs)
        silent, right = master.silent - self._silent, master.right - self._right
        seen = len(pairs) >= 2 and changed == len(pairs)
        if not self._answered:
            seen = seen and not any(good(line) for _, line in pairs) and silent > 0
        return self.seen(
            seen,
            f"{changed} of {len(pairs)} frames are others on the line; {silent} silences, {right} answers",
        )


def flipped(bits: int) -> Spoil:
    """1 to 3 bits: a CRC of 16 bits sees all of them."""

    def spoil(frame: bytes, rig: FaultRig) -> bytes:
        data = bytearray(frame)
        for bit in rig.random.choice(8 * len(frame), bits, replace=False):
            data[bit // 8] ^= 1 << (bit % 8)
        return bytes(data)

    return spoil


def truncated(share: float) -> Spoil:
    return lambda frame, rig: frame[: min(len(frame) - 1, math.ceil(len(frame) * share))]


def doubled(frame: bytes, rig: FaultRig) -> bytes:
    return frame + frame


def for_others(frame: bytes, rig: FaultRig) -> bytes:
    """The same request and somebody else's answer to it, with another unit's number."""
    answer = b"\x04\x08" + bytes(int(byte) for byte in rig.random.integers(0, 256, 8))
    return rtu(frame[1:-2], 17) + rtu(answer, 17)


def noise(before: int, inside: int) -> Spoil:
    """Random bytes before the frame, and over so many of its own."""

    def spoil(frame: bytes, rig: FaultRig) -> bytes:
        data = bytearray(int(byte) for byte in rig.random.integers(0, 256, before)) + bytearray(frame)
        for at in rig.random.choice(len(frame), inside, replace=False):
            data[before + int(at)] ^= 1 + int(rig.random.integers(0, 255))
        return bytes(data)

    return spoil


def broken(count: int) -> Spoil:
    """A line held low: zeros are all a receiver can make of it."""
    return lambda frame, rig: b"\0" * count


def other_parity(frame: bytes, rig: FaultRig) -> bytes:
    """Even against odd parity: what a receiver drops depends on its chip; here half the characters."""
    return bytes(byte for byte in frame if byte.bit_count() % 2)


def half_baud(frame: bytes, rig: FaultRig) -> bytes:
    """Sent at half the speed of the receiver, which sees every bit twice, a character in two."""
    wide = bytearray()
    for byte in frame:
        bits = sum(0b11 << 2 * i for i in range(8) if byte >> i & 1)
        wide += bits.to_bytes(2, "little")
    return bytes(wide)


class OrderTwice(Injector):
    """A signed order reaches the controller, and a second later the same bytes again."""

    needs = LINE

    def inject(self) -> None:
        rig = self.rig
        self.before = {name: int(rig.read(name)) for name in ("accepted_order_count", "refused_replay_count")}
        words = rig.talk(lambda controller: controller.order_words({"curve_shift_sp_k": -1.0}, lease_s=300))
        pdu = bytes((16,)) + _head(len(words)) + b"".join(word.to_bytes(2, "big") for word in words)
        self._frame = rtu(pdu)
        self._sent = 0
        rig.master.spoil.append(self._instead)
        self._from = len(rig.master.on_line)

    def remove(self) -> None:
        self.rig.master.spoil.remove(self._instead)

    def _instead(self, frame: bytes) -> bytes:
        self._sent += 1
        return self._frame if self._sent <= 2 else frame

    def prove(self) -> str:
        times = self.rig.master.on_line[self._from :].count(self._frame)
        return self.seen(times == 2, f"the same {len(self._frame)} bytes {times} times on the line")


def _head(words: int) -> bytes:
    return registers.ORDER_MAILBOX.to_bytes(2, "big") + words.to_bytes(2, "big") + bytes((2 * words,))
