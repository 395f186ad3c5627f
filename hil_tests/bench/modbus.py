"""A small Modbus TCP client for tests: it sends exactly the bytes it is told and judges nothing.

The product's own client is pymodbus; a test needs one that can also send what no client should. It
refuses to retry: a lost answer is an error with a name.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from .errors import ModbusException, ModbusSilent

READ_HOLDING = 3
READ_INPUT = 4
WRITE_MANY = 16
READ_WRITE = 23
Noted = Callable[[bytes, bool], None]
"""Told of bytes on the bus, and whether they were sent (or else received): Lockstep.note_bus."""


def not_noted(data: bytes, sent: bool) -> None:
    """For a bus that belongs to no clock."""


class ModbusTcp:
    """One connection. `deadline_s` is real time: the controller answers at once, its clock standing.

    noted: is told every byte that is sent, and that is received in full.
    """

    def __init__(
        self, host: str, port: int, unit: int = 1, deadline_s: float = 10.0, noted: Noted = not_noted
    ) -> None:
        self._noted = noted
        self._peer = f"{host}:{port} unit {unit}"
        self._unit = unit
        self._tid = 0
        self.socket = socket.create_connection((host, port), timeout=deadline_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    def send(self, raw: bytes) -> None:
        """Send these bytes and nothing else."""
        self._noted(raw, True)
        self.socket.sendall(raw)

    def receive(self, count: int) -> bytes:
        """Return exactly `count` bytes. ModbusSilent when the line closes or stays silent."""
        parts = b""
        while len(parts) < count:
            try:
                part = self.socket.recv(count - len(parts))
            except TimeoutError:
                raise ModbusSilent(f"{self._peer}: no answer within the deadline") from None
            except ConnectionError as error:
                raise ModbusSilent(f"{self._peer}: the connection broke ({error})") from error
            if not part:
                raise ModbusSilent(f"{self._peer}: the controller closed the connection")
            parts += part
        self._noted(parts, False)
        return parts

    def frame(self, pdu: bytes, unit: int | None = None) -> bytes:
        """Return the PDU behind a fresh MBAP header."""
        self._tid = (self._tid + 1) & 0xFFFF
        return struct.pack(">HHHB", self._tid, 0, len(pdu) + 1, self._unit if unit is None else unit) + pdu

    def answer(self) -> bytes:
        """Return the PDU of the next answer, exceptions included."""
        _tid, _protocol, length, _unit = struct.unpack(">HHHB", self.receive(7))
        return self.receive(length - 1)

    def exchange(self, pdu: bytes, unit: int | None = None) -> bytes:
        """Send one request and return the answer's PDU, exceptions included."""
        self.send(self.frame(pdu, unit))
        return self.answer()

    def request(self, pdu: bytes) -> bytes:
        """Send one request and return the answer's PDU. ModbusException where it is refused."""
        answer = self.exchange(pdu)
        if answer[0] != pdu[0]:
            raise ModbusException(answer[0] & 0x7F, answer[1])
        return answer

    def _read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        answer = self.request(struct.pack(">BHH", function, address, count))
        return struct.unpack(f">{count}H", answer[2:])

    def read_input(self, address: int, count: int = 1) -> tuple[int, ...]:
        return self._read(READ_INPUT, address, count)

    def read_holding(self, address: int, count: int = 1) -> tuple[int, ...]:
        return self._read(READ_HOLDING, address, count)

    def write_many(self, address: int, words: Sequence[int]) -> None:
        head = struct.pack(">BHHB", WRITE_MANY, address, len(words), 2 * len(words))
        self.request(head + struct.pack(f">{len(words)}H", *words))

    def read_write(self, read: int, count: int, write: int, words: Sequence[int]) -> tuple[int, ...]:
        """FC 23: write `words`, then read `count` holding or mailbox registers at `read`."""
        head = struct.pack(">BHHHHB", READ_WRITE, read, count, write, len(words), 2 * len(words))
        answer = self.request(head + struct.pack(f">{len(words)}H", *words))
        return struct.unpack(f">{count}H", answer[2:])
