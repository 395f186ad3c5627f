"""The serial line of one emulated board: a pty whose one end is the board's UART, the other a tty path.

Both ends stay open as long as the line, so a client may come and go and a board may restart. Bytes
arrive at once, whatever the baud rate: the line carries content and silence, not electricity.
"""

from __future__ import annotations

import os
import pty
import tty


class SerialLine:
    """`path` is what a client opens; `board_end` is the file number that the board's process inherits."""

    def __init__(self) -> None:
        self.board_end, self._client_end = pty.openpty()
        tty.setraw(self._client_end)  # kept open: a pty without a client would hang up on the board
        os.set_blocking(self.board_end, False)
        self.path = os.ttyname(self._client_end)

    def close(self) -> None:
        for handle in (self.board_end, self._client_end):
            os.close(handle)
