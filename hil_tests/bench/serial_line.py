"""The serial lines of one emulated board, each with one end that is the board's UART.

RS-485 is a pty, whose other end is a path for any client. The line to the heat meters is a socket pair inside
the bench: what is written there can be read at once, so a run in virtual time is the same every time. Both
ends stay open as long as the line; a board may restart. Lines carry content and silence, not electricity:
`baud` and `parity` (even, odd, none; 8 bits) say how everybody else on the line speaks, and a UART of the
board that is set otherwise makes garbage of every byte (vm/machine.py). They count from the next boot on.
"""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import tty

RTU_BAUD = 19_200
METER_BAUD = 2_400


class SerialLine:
    """`path` is what a client opens; `board_end` is the file number that the board's process inherits."""

    def __init__(self) -> None:
        self.baud, self.parity = RTU_BAUD, "even"
        self.board_end, self._client_end = pty.openpty()
        tty.setraw(self._client_end)  # kept open: a pty without a client would hang up on the board
        os.set_blocking(self.board_end, False)
        self.path = os.ttyname(self._client_end)

    def close(self) -> None:
        for handle in (self.board_end, self._client_end):
            os.close(handle)


class MeterLine:
    """`board_end` is the file number that the board's process inherits."""

    def __init__(self) -> None:
        self.baud, self.parity = METER_BAUD, "even"
        self._board, self._meters = socket.socketpair()
        self._board.setblocking(False)
        self._meters.setblocking(False)
        self.board_end = self._board.fileno()

    def take(self) -> bytes:
        """Return what the board has sent since the last look."""
        try:
            return self._meters.recv(4096)
        except BlockingIOError:
            return b""

    def give(self, data: bytes) -> None:
        """Put bytes where the board reads them. What it never takes is lost beyond the line's own buffer."""
        with contextlib.suppress(BlockingIOError):
            self._meters.send(data)

    def close(self) -> None:
        self._board.close()
        self._meters.close()
