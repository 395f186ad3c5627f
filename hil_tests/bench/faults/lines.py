"""The serial lines and sockets around the controller of a fault rig, each watched at its far end.

`WatchedMeterLine` and `SerialMaster` note what really went over the wire; a fault changes the bytes on
their way and notes nothing. They refuse to know what the controller makes of them.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path

from ..modbus_oracle import crc16
from ..serial_line import MeterLine

READ_PDU = bytes.fromhex("04 0028 0004")  # outdoor temperature and what follows it
UNIT = 1


class WatchedMeterLine(MeterLine):
    """Stands between the line of one board and its meters. Times in virtual seconds."""

    def __init__(self, inner: MeterLine, now_s: Callable[[], float]) -> None:
        self._inner = inner
        self._now_s = now_s
        self.spoil_question: list[Callable[[bytes], bytes]] = []
        self.spoil_answer: list[Callable[[bytes], bytes]] = []
        self.questions: list[tuple[float, bytes]] = []
        """What the board has sent, before any fault."""
        self.answers: list[tuple[float, bytes]] = []
        """What has reached the board."""
        self.meant: list[tuple[float, bytes]] = []
        """What the meters have sent."""

    def take(self) -> bytes:
        data = self._inner.take()
        if data:
            self.questions.append((self._now_s(), data))
            for spoil in self.spoil_question:
                data = spoil(data)
        return data

    def give(self, data: bytes) -> None:
        self.meant.append((self._now_s(), data))
        for spoil in self.spoil_answer:
            data = spoil(data)
        self.put(data)

    def put(self, data: bytes) -> None:
        """Let bytes reach the board as they are."""
        if data:
            self.answers.append((self._now_s(), data))
            self._inner.give(data)

    def close(self) -> None:
        """The fleet closes the line itself."""


def since(log: list[tuple[float, bytes]], begun_s: float) -> bytes:
    """Return all bytes that went by after a moment, in their order."""
    return b"".join(data for at_s, data in log if at_s > begun_s)


def rtu(pdu: bytes, unit: int = UNIT) -> bytes:
    return bytes((unit,)) + pdu + crc16(bytes((unit,)) + pdu)


class SerialMaster:
    """A Modbus master on the RS-485 line that asks once in every tick and judges what comes."""

    def __init__(self, path: str) -> None:
        self._tty = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self._poll = select.poll()
        self._poll.register(self._tty, select.POLLIN)
        self.spoil: list[Callable[[bytes], bytes]] = []
        self.meant: list[bytes] = []
        """The frames it wanted to send."""
        self.on_line: list[bytes] = []
        """What stood on the line in their place."""
        self.right = self.wrong = self.silent = 0
        self._asked = False

    def step(self, request: bytes | None = None) -> bytes:
        """Take and judge the answer to the request before, then send the next; return what came."""
        got = b""
        while self._poll.poll(0):
            got += os.read(self._tty, 1024)
        if self._asked:
            if not got:
                self.silent += 1
            elif len(got) >= 4 and got[0] == UNIT and crc16(got[:-2]) == got[-2:]:
                self.right += 1
            else:
                self.wrong += 1
        frame = rtu(READ_PDU) if request is None else request
        sent = frame
        for spoil in self.spoil:
            sent = spoil(sent)
        self.meant.append(frame)
        self.on_line.append(sent)
        if sent:
            os.write(self._tty, sent)
        self._asked = True
        return got

    def close(self) -> None:
        os.close(self._tty)


ESTABLISHED, TIME_WAIT, CLOSE_WAIT = 1, 6, 8


def clients(port: int, state: int = ESTABLISHED) -> frozenset[int]:
    """Return the own ports of all connections to this port of the machine that are in a state."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[3], 16) == state and int(fields[2].rsplit(":", 1)[1], 16) == port:
            found.add(int(fields[1].rsplit(":", 1)[1], 16))
    return frozenset(found)


def connections(port: int, state: int = ESTABLISHED) -> int:
    """Return how many connections to this port of the machine the kernel knows in that state."""
    return len(clients(port, state))
