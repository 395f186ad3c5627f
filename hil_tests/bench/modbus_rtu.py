"""A small Modbus RTU client for tests: one frame out, one frame back, by the length its function code tells.

It refuses to guess where a frame ends by silence, which differs between a pty and a wire, and to repeat.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

from .errors import ConditionNotMet, ModbusException, ModbusSilent
from .modbus import Noted, not_noted

ANSWER_WITHIN_S = 5.0  # of the target's time; a controller answers within 0.2 s [hil.md A12]
FIXED = {5: 8, 6: 8, 15: 8, 16: 8, 8: 8, 22: 10}  # bytes of a whole answer; the others tell it in their third


class Line(Protocol):
    """A serial line in either sense: bytes at once, none where none have come."""

    def read(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


def crc(data: bytes) -> bytes:
    """Return the check bytes of a frame, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


class ModbusRtu:
    """run_until: lets the target's time pass until a condition holds."""

    def __init__(self, line: Line, run_until: Callable[[Callable[[], bool], float], None],
                 unit: int = 1, noted: Noted = not_noted) -> None:  # fmt: skip
        self._noted = noted
        self._line = line
        self._run_until = run_until
        self._unit = unit

    def close(self) -> None:
        self._line.close()

    def send(self, data: bytes) -> None:
        """Send these bytes and nothing else."""
        self._noted(data, True)
        self._line.write(data)

    def exchange(self, pdu: bytes) -> bytes:
        """Send one request and return the answer's PDU, exceptions included. ModbusSilent."""
        self._line.read()  # a late answer to an earlier question is not this one's
        got = b""
        head = bytes((self._unit,)) + pdu
        self.send(head + crc(head))

        def whole() -> bool:
            nonlocal got
            got += self._line.read()
            return len(got) >= _length(got)

        try:
            self._run_until(whole, ANSWER_WITHIN_S)
        except ConditionNotMet:
            raise ModbusSilent(
                f"unit {self._unit} on the serial line: {got.hex() or 'nothing'} within {ANSWER_WITHIN_S:g} s"
            ) from None
        self._noted(got, False)
        frame = got[: _length(got)]
        if crc(frame[:-2]) != frame[-2:] or frame[0] != self._unit:
            raise ModbusSilent(f"unit {self._unit} on the serial line: a damaged answer, {got.hex()}")
        return frame[1:-2]

    def read_input(self, address: int, count: int = 1) -> tuple[int, ...]:
        answer = self.exchange(struct.pack(">BHH", 4, address, count))
        if answer[0] != 4:
            raise ModbusException(answer[0] & 0x7F, answer[1])
        return struct.unpack(f">{count}H", answer[2:])


def _length(frame: bytes) -> int:
    if len(frame) < 3:
        return 5
    if frame[1] & 0x80:
        return 5
    return FIXED.get(frame[1], 5 + frame[2])
