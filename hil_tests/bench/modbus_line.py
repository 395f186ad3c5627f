"""A controller's Modbus lines, held beside the oracle: what is sent is judged by what comes back.

Virtual time stands while sockets are served, so the oracle's registers stay true until the clock is moved;
then they are read again. It refuses to wait for an answer that the oracle does not expect: silence is
proven by the next answer being right.
"""

from __future__ import annotations

import os
import select
import socket
from types import TracebackType
from typing import Self

from .modbus_fuzz import LOOPBACK, read_again, state_of
from .modbus_oracle import Device, Oracle
from .station import Bench

ANSWER_DEADLINE_S = 20.0
SILENCE_MS = 5  # more than 3.5 characters at 19200 baud, which are 2.005 ms


class JudgedTcp:
    """One connection whose every byte is foreseen. rtu: its frames are RTU, to the port for those."""

    def __init__(self, judged: JudgedController, port: int, *, rtu: bool = False) -> None:
        self._judged = judged
        self._oracle = judged.oracle
        self._port = port
        self._rtu = rtu
        self._rest = b""
        self._link = self._connect()
        judged.wait_until_seen()  # or a client before this one still counts as connected
        self.closed = 0

    def _connect(self) -> socket.socket:
        link = socket.create_connection(("127.0.0.1", self._port), timeout=ANSWER_DEADLINE_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._link.close()

    def exchange(self, frame: bytes) -> None:
        """Send the bytes; assert that exactly the foreseen answer comes, or the foreseen end."""
        expected, closed = self._foresee(frame)
        self._link.sendall(frame)
        got = self._receive(len(expected))
        assert got == expected, f"{frame.hex()}: expected {expected.hex()}, got {got.hex()}"
        if self._rtu and not expected:
            self._judged.wait_until_seen()  # RTU frames that arrive together are judged together
        if closed:
            try:
                end = self._link.recv(1)
            except ConnectionError:
                end = b""
            assert end == b"", f"{frame.hex()}: the connection should be over"
            self._link.close()
            self._rest = b""
            self.closed += 1
            self._link = self._connect()

    def _foresee(self, frame: bytes) -> tuple[bytes, bool]:
        stream, expected = self._rest + frame, b""
        while stream:
            if self._rtu:
                answer, used = self._oracle.rtu_stream(stream, LOOPBACK)
                closed = False
            else:
                answer, used, closed = self._oracle.tcp(stream, LOOPBACK)
            expected += answer
            stream = stream[used:]
            if closed:
                return expected, True
            if not used:
                break
        self._rest = stream
        return expected, False

    def _receive(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            try:
                part = self._link.recv(count - len(got))
            except (TimeoutError, ConnectionError):
                break  # what is missing shows in the comparison
            if not part:
                break
            got += part
        return got

    def settle(self) -> None:
        """End a frame that the controller still waits for, so that the next one is seen as a whole."""
        if self._rest:
            self._link.close()
            self._rest = b""
            self._link = self._connect()
            self._judged.wait_until_seen()


class JudgedSerial:
    """The controller's serial line, whose every byte is foreseen; silence is virtual time."""

    def __init__(self, path: str, oracle: Oracle) -> None:
        self._oracle = oracle
        self._tty = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self._poll = select.poll()
        self._poll.register(self._tty, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        os.close(self._tty)

    def send(self, data: bytes) -> None:
        os.write(self._tty, data)

    def received(self) -> bytes:
        """Return what has come. Everything due is there once the clock has been moved."""
        got = b""
        while self._poll.poll(0):
            got += os.read(self._tty, 1024)
        return got

    def expected(self, between: bytes) -> bytes:
        """Return the oracle's answer to what was sent between two silences."""
        return self._oracle.rtu(between)


class JudgedController:
    """A controller on the bench with an oracle that knows its state. Needs a bench with rtu=True."""

    def __init__(self, bench: Bench, rtu_port: int, revision: str) -> None:
        self.bench = bench
        self.controller = bench.start_controller(rtu_tcp_port=rtu_port)
        self.rtu_port = rtu_port
        self._plain = self.controller.connect()
        self.device: Device = state_of(self.controller.device, "emulated", revision, self._plain.exchange)
        self.oracle = Oracle(self.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._plain.close()

    def tcp(self) -> JudgedTcp:
        return JudgedTcp(self, self.controller.device.port)

    def rtu_over_tcp(self) -> JudgedTcp:
        return JudgedTcp(self, self.rtu_port, rtu=True)

    def serial(self) -> JudgedSerial:
        return JudgedSerial(self.bench.fleet.serial_lines[self.controller.position].path, self.oracle)

    def read_again(self) -> None:
        """Bring the oracle up to date after time has passed or a client has come or gone."""
        read_again(self.device, self.controller.device.profile, self._plain.exchange)

    def wait_until_seen(self) -> None:
        """Return once the controller has looked at everything that was sent before.

        It looks at all its clients in turn: in one it may first have to accept the client, in the next it
        reads what that sent, and the third answer is given when both are over.
        """
        for _ in range(3):
            assert self._plain.exchange(b"\x08\0\0\0\0") == b"\x08\0\0\0\0"
            self.device.seen += 1
            self.device.own += 1

    def pass_silence(self, silence_ms: int = SILENCE_MS) -> None:
        """Let the serial line be silent; the plant's values stand still meanwhile."""
        clock = self.bench.clock
        clock.now_ms += silence_ms
        clock.outputs = clock.fleet.exchange(clock.now_ms, clock.inputs)

    def exchange_serial(self, line: JudgedSerial, frame: bytes) -> None:
        """Send one frame, pass the silence, assert that the foreseen answer came, or none."""
        expected = line.expected(frame)
        line.send(frame)
        self.pass_silence()
        got = line.received()
        assert got == expected, f"{frame.hex()}: expected {expected.hex()}, got {got.hex()}"
        self.read_again()
