"""Faults of TCP connections, by a client of their own; virtual time stands while sockets are served.

They are proved by the kernel's table of connections or by the bytes that come back. The kernel here cannot
lose packets (no netem): a client that vanished is one that keeps its connection and says nothing.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from ..provisioning import MODBUS_HOST
from .injector import Injector
from .lines import CLOSE_WAIT, ESTABLISHED, READ_PDU, TIME_WAIT, clients, connections
from .rig import FaultRig

DEADLINE_S = 60.0  # real time; a busy machine is no fault of the controller
MASTERS, LOBBY = 4, 2  # docs/modbus.md
PLACES = MASTERS + LOBBY
ANSWER_B = 9 + 8
LONG = struct.pack(">HHHB", 1, 0, 254, 1) + b"\x04" + bytes(252)  # the longest frame there is


def frame(tid: int, pdu: bytes = READ_PDU) -> bytes:
    return struct.pack(">HHHB", tid, 0, len(pdu) + 1, 1) + pdu


class TcpFault(Injector):
    needs = frozenset({"clock.virtual", "bus.tcp"})

    def __init__(self, rig: FaultRig) -> None:
        super().__init__(rig)
        self.port = rig.controller.device.port
        self.open: list[socket.socket] = []
        self.ports: set[int] = set()
        """The own ports of its connections, by which the kernel's table tells them from those of others."""

    def inject(self) -> None:
        self.before = connections(self.port)
        self.each_tick()

    def remove(self) -> None:
        for link in self.open:
            link.close()
        self.open.clear()

    def connect(self) -> socket.socket | None:
        """Return one more connection, or None where the controller refuses it at once."""
        try:
            link = socket.create_connection((MODBUS_HOST, self.port), timeout=DEADLINE_S)
        except OSError:
            return None
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ports.add(link.getsockname()[1])
        return link

    def known(self, state: int) -> int:
        """Return how many of its connections are in this state; CLOSE_WAIT: the controller has left."""
        return len(clients(self.port, state) & self.ports)


class Vanished(TcpFault):
    """`each` clients more in every tick, up to `most`, that never say a word and never close."""

    held_most = PLACES

    def __init__(self, rig: FaultRig, each: int, most: int) -> None:
        super().__init__(rig)
        self._each, self._most = each, most

    def each_tick(self) -> None:
        for _ in range(min(self._each, self._most - len(self.open))):
            link = self.connect()
            if link is not None:
                self.open.append(link)
                self.greet(link)

    def greet(self, link: socket.socket) -> None:
        """What a client does once it is connected."""

    def prove(self) -> str:
        held, given_up = self.known(ESTABLISHED), self.known(CLOSE_WAIT)
        said = max((carried(link)[0] for link in self.open), default=0)
        return self.seen(
            held + given_up == self._most and 0 < held <= self.held_most and said == 0,
            f"{self._most} connections in the kernel's table that no byte has left, at most {self.held_most} "
            "of them held",
        )


class Crowd(Vanished):
    """As many as fill the table, or three times as many; each asks once, has its answer, and stays.

    One waits for its answer before the next comes: who is the longest idle then is no matter of chance.
    """

    held_most = MASTERS

    def greet(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError):
            link.sendall(frame(1))
            _read(link, ANSWER_B)

    def prove(self) -> str:
        held, given_up = self.known(ESTABLISHED), self.known(CLOSE_WAIT)
        answered = sum(carried(link) == (len(frame(1)), ANSWER_B) for link in self.open)
        return self.seen(
            held + given_up == answered == self._most and 0 < held <= self.held_most,
            f"{self._most} connections in the kernel's table, each asked once and was answered, at most "
            f"{self.held_most} of them held",
        )


class Resets(TcpFault):
    """Connections that end by a reset in the middle of a frame."""

    def __init__(self, rig: FaultRig, each: int) -> None:
        super().__init__(rig)
        self._each = each
        self._done = 0

    def each_tick(self) -> None:
        for _ in range(self._each):
            link = self.connect()
            if link is None:
                continue
            with contextlib.suppress(OSError):  # where the controller left first
                link.sendall(frame(1)[:9])
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()
            self._done += 1

    def prove(self) -> str:
        # others may end in order meanwhile, as a master does that only asks whether it is served
        waiting = self.known(TIME_WAIT)
        left = connections(self.port, ESTABLISHED) - self.before
        return self.seen(
            self._done > 0 and waiting == 0 and left <= 0,
            f"{self._done} connections gone, {waiting} ended in order",
        )


class OneLink(TcpFault):
    """A client with one connection, made anew in the next tick where the controller has ended it."""

    def __init__(self, rig: FaultRig) -> None:
        super().__init__(rig)
        self._link: socket.socket | None = None

    def each_tick(self) -> None:
        if self._link is None:
            self._link = self.connect()
            if self._link is None:
                return
            self.open.append(self._link)
            self.begin()
        try:
            self.speak(self._link)
        except OSError:  # it has lost its power, or gave the place to another
            self.open.remove(self._link)
            self._link.close()
            self._link = None

    def begin(self) -> None:
        """Called when a connection has been made."""

    def speak(self, link: socket.socket) -> None:
        raise NotImplementedError


class Split(OneLink):
    """A request in pieces; between two of them the controller's clock may move by a tick."""

    def __init__(self, rig: FaultRig, *, ticks_between: bool) -> None:
        super().__init__(rig)
        self._slow = ticks_between
        self._at = 0
        self._early = 0
        self.answered = 0
        self.pieces = 0

    def begin(self) -> None:
        self._at = 0

    def speak(self, link: socket.socket) -> None:
        whole = frame(7)
        while True:
            link.sendall(whole[self._at : self._at + 1])
            self.pieces += 1
            self._at += 1
            if self._at == len(whole):
                got = _read(link, ANSWER_B)
                self.answered += got[:2] == b"\0\x07" and len(got) == ANSWER_B
                self._at = 0
                return
            self._early += _waiting(link)
            if self._slow:
                return

    def prove(self) -> str:
        return self.seen(
            self.pieces >= 12 and self._early == 0,
            f"{self.pieces} pieces of a byte, {self.answered} answers, none before the last piece",
        )


class Pipelined(OneLink):
    """`count` requests in one segment, in every tick; ids: one for each, or the same for all."""

    def __init__(self, rig: FaultRig, count: int, *, same_id: bool) -> None:
        super().__init__(rig)
        self._ids = [9] * count if same_id else list(range(1, count + 1))
        self.segments = 0
        self.told: list[int] = []

    def speak(self, link: socket.socket) -> None:
        link.sendall(b"".join(frame(tid) for tid in self._ids))
        self.segments += 1
        got = _read(link, ANSWER_B * len(self._ids))
        self.told = [
            int.from_bytes(got[at : at + 2], "big") for at in range(0, len(got) - ANSWER_B + 1, ANSWER_B)
        ]

    def prove(self) -> str:
        one = len(set(self.told)) == 1
        same = len(set(self._ids)) == 1
        return self.seen(
            self.segments > 0 and len(self.told) > 1 and one == same,
            f"{len(self._ids)} requests in a segment, answers to {self.told[:4]} and so on",
        )

    def all_answered(self) -> bool:
        return self.told == self._ids


class Loris(TcpFault):
    """Clients that send a byte of a frame in every tick and never its end."""

    def __init__(self, rig: FaultRig, clients: int) -> None:
        super().__init__(rig)
        self._clients = clients
        self.sent_of: dict[socket.socket, int] = {}

    def each_tick(self) -> None:
        while len(self.open) < self._clients:
            link = self.connect()
            if link is None:
                return
            self.open.append(link)
            self.sent_of[link] = 0
        for link in list(self.open):
            try:
                link.sendall(LONG[self.sent_of[link] : self.sent_of[link] + 1])
                self.sent_of[link] += 1
            except OSError:
                pass
            if not _alive(link):
                self.open.remove(link)
                link.close()

    def prove(self) -> str:
        held = clients(self.port, ESTABLISHED) & self.ports
        begun = [
            sent
            for sent, got in (carried(link) for link in self.open if link.getsockname()[1] in held)
            if 0 < sent < len(LONG) and got == 0
        ]
        least = min(self._clients, LOBBY)
        return self.seen(
            len(begun) >= least,
            f"at least {least} connections in the kernel's table with a part of a frame taken and no answer",
        )


CARRIED_AT = 120  # tcpi_bytes_acked and tcpi_bytes_received in Linux' struct tcp_info


def carried(link: socket.socket) -> tuple[int, int]:
    """Return the bytes that the other side has taken and has sent, as the kernel counts them."""
    told = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, CARRIED_AT + 16)
    taken, received = struct.unpack_from("=QQ", told, CARRIED_AT)
    # the first octet that is acknowledged is the SYN, the last one that comes is the FIN
    return max(0, taken - 1), received - (told[0] == CLOSE_WAIT)


def _waiting(link: socket.socket) -> int:
    """Return 1 where bytes have come."""
    link.setblocking(False)
    try:
        return int(bool(link.recv(1, socket.MSG_PEEK)))
    except BlockingIOError:
        return 0
    finally:
        link.settimeout(DEADLINE_S)


def _alive(link: socket.socket) -> bool:
    link.setblocking(False)
    try:
        return bool(link.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        link.settimeout(DEADLINE_S)


def _read(link: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        try:
            part = link.recv(count - len(got))
        except OSError:
            break
        if not part:
            break
        got += part
    return got
