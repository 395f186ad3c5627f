"""A wire between supervisor and one controller that somebody may tap or cut.

It passes bytes both ways, keeps the order frames it has seen, and can keep an order or its answer to
itself: what a broken line does by chance, and a thief on the line on purpose. It refuses to change what
it passes.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from firmware.substation import registers

from .modbus import READ_WRITE

PASS = "pass"
KEEP_ORDER = "keep order"  # the order never reaches the controller
KEEP_ANSWER = "keep answer"  # the controller obeys, and nobody hears of it

MBAP = struct.Struct(">HHHB")
Way = Callable[[socket.socket, socket.socket], None]


class Relay:
    """Listens at `port` of the loopback and passes on to the controller's. Threads, because it is a wire.

    sniff: keep every frame in `frames`, with the way it went.
    """

    def __init__(self, host: str, port: int, *, sniff: bool = False) -> None:
        self.mode = PASS
        self.frames: list[tuple[str, bytes]] = []
        self._sniff = sniff
        self.orders: list[tuple[int, ...]] = []
        """The words of every order frame that came from the supervisor, kept ones included."""
        self.kept = threading.Event()
        """Set once an order or an answer was kept."""
        self._target = (host, port)
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name=f"relay {port}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Cut the wire: every connection ends."""
        _end(self._listener)
        with self._lock:
            sockets = list(self._sockets)
        for open_socket in sockets:
            _end(open_socket)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=10.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {near, far}
            for way in (self._requests, self._answers):
                threading.Thread(target=self._carry, args=(way, near, far), daemon=True).start()

    def _carry(
        self, way: Callable[[socket.socket, socket.socket], None], near: socket.socket, far: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):
            way(near, far)
        _end(near)
        _end(far)
        with self._lock:
            self._sockets -= {near, far}

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        while frame := _frame(near):
            if self._sniff:
                self.frames.append((">", frame))
            words = _order(frame)
            if words is not None:
                self.orders.append(words)
                if self.mode == KEEP_ORDER:
                    self.kept.set()
                    continue
            far.sendall(frame)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        while frame := _frame(far):
            if self._sniff:
                self.frames.append(("<", frame))
            if self.mode == KEEP_ANSWER and frame[MBAP.size] == READ_WRITE:
                self.kept.set()
                continue
            near.sendall(frame)


def _frame(source: socket.socket) -> bytes:
    """Return one Modbus TCP frame, empty when the line has ended."""
    head = source.recv(MBAP.size, socket.MSG_WAITALL)
    if len(head) < MBAP.size:
        return b""
    length = MBAP.unpack(head)[2] - 1
    body = source.recv(length, socket.MSG_WAITALL)
    return head + body if len(body) == length else b""


def _order(frame: bytes) -> tuple[int, ...] | None:
    """Return the words an FC 23 request writes into the order mailbox, None for any other frame."""
    pdu = frame[MBAP.size :]
    if pdu[0] != READ_WRITE:
        return None
    _, _, address, count, _ = struct.unpack_from(">HHHHB", pdu, 1)
    if address != registers.ORDER_MAILBOX:
        return None
    return struct.unpack_from(f">{count}H", pdu, 10)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
