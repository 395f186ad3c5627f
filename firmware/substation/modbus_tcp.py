"""The sockets of the Modbus server: who may stay connected, and the bytes of each.

Four clients that speak are served; two more places are a lobby for those who have not said anything
yet. The longest idle one leaves first, and a silent crowd only ever pushes out itself. It refuses to
wait for a client that does not read: others are served meanwhile, and it is the next to go.

One task serves all, with two buffers in all: a request makes no new ones. Only a frame that came in
pieces, or an answer that was not taken, is kept aside.
"""

import select
import socket
import sys
from time import ticks_diff, ticks_ms

from .modbus_events import Waiter, events
from .modbus_server import RESPONSE_BYTES

MASTERS = 4
LOBBY = 2
PLACES = MASTERS + LOBBY
RECEIVE_BYTES = 260  # one of the longest frames, or 21 reads: then the other clients get their turn
TCP_NODELAY = 1  # without it 16 pipelined requests fall from 50 300 to 359 answers a second
IPPROTO_TCP = 6
PIECES_WITHIN_MS = 1_000  # RTU over TCP knows no silence, so a frame in pieces that stay away is dropped


def _ipv4(address):
    """Return the peer's address as an integer; 0 when it is no IPv4 address."""
    if isinstance(address, tuple):
        parts = address[0].split(".")
        if len(parts) != 4:
            return 0
        value = 0
        for part in parts:
            value = (value << 8) | int(part)
        return value
    return int.from_bytes(bytes(address)[4:8], "big")  # the unix port hands out a raw sockaddr_in


class Place:
    """One connection's place; it is also its seat among the events."""

    def __init__(self, waiter):
        self.waiter = waiter
        self.ready = 0
        self.sock = None
        self.framing = None  # ModbusServer or Rtu: where a frame ends, and its answer
        self.source = 0
        self.spoke = False
        self.heard = 0  # the server's turn when it last said something
        self.rest = None  # the beginning of a frame, or whole frames behind an answer that was not taken
        self.rest_ms = 0
        self.unsent = None


class _Listener:
    """A port that is listened on; a seat as well."""

    def __init__(self, waiter, sock, framing):
        self.waiter = waiter
        self.ready = 0
        self.sock = sock
        self.framing = framing


class ModbusTcp:
    """ports: (port, framing) of each listener, port 0: none. framing: a ModbusServer for TCP, or an Rtu."""

    def __init__(self, ports, address, bank, clients, progress):
        self._ports = ports
        self._address = address
        self._bank = bank
        self._clients = clients  # the Point that shows how many are connected
        self._progress = progress
        self._waiter = Waiter()
        self._places = [Place(self._waiter) for _ in range(PLACES)]
        self._listeners = []
        self._events = events()
        self._received = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._received)
        self._out = bytearray(RESPONSE_BYTES)
        self.count = 0
        self._turn = 0

    def run(self):
        """Serve clients for ever. Whatever ends it, every socket is closed, so it can be run again."""
        waiter = self._waiter
        try:
            for port, framing in self._ports:
                if port:
                    self._listen(port, framing)
            while True:
                waiter.wait()
                yield
                for listener in self._listeners:
                    if listener.ready:
                        listener.ready = 0
                        self._accept(listener)
                for place in self._places:
                    if place.ready and place.sock is not None:
                        place.ready = 0
                        self._attend(place)
        finally:
            waiter.waiting = False
            for place in self._places:
                if place.sock is not None:
                    self._close(place)
            while self._listeners:
                sock = self._listeners.pop().sock
                self._events.leave(sock)
                sock.close()

    def _listen(self, port, framing):
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(socket.getaddrinfo(self._address, port)[0][-1])
            sock.listen(PLACES)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        listener = _Listener(self._waiter, sock, framing)
        self._listeners.append(listener)
        self._events.enter(sock, listener, select.POLLIN)
        print("modbus: listening on %s:%d" % (self._address, port))

    def _accept(self, listener):
        try:
            sock, address = listener.sock.accept()
        except OSError:
            return  # the client left before we looked
        source = _ipv4(address)
        if not self._welcome(listener, source):
            sock.close()
            return
        place = self._free_place()
        if place is None:
            place = self._longest_idle(False) or self._longest_idle(True)
            self._close(place)
        sock.setblocking(False)
        try:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except (OSError, ValueError):
            pass  # a chip with its own TCP sends at once
        sock = self._dress(listener, place, sock)
        place.sock = sock
        place.framing = listener.framing
        place.source = source
        place.spoke = False
        place.ready = 0
        self._hear(place)
        self._count(1)
        self._events.enter(sock, place, select.POLLIN)

    # What a port behind TLS does differently.

    def _welcome(self, listener, source):
        return True

    def _dress(self, listener, place, sock):
        return sock

    def _free_place(self):
        for place in self._places:
            if place.sock is None:
                return place
        return None

    def _longest_idle(self, spoke):
        """Return the place, among those that have or have not spoken, that was silent longest."""
        found = None
        for place in self._places:
            if (
                place.sock is not None
                and place.spoke == spoke
                and (found is None or place.heard < found.heard)
            ):
                found = place
        return found

    def _hear(self, place):
        self._turn += 1
        place.heard = self._turn

    def _count(self, change):
        self.count += change
        self._bank.put(self._clients, self.count)

    def _make_master(self, place):
        """The first request: a fifth master takes the place of the longest idle one."""
        masters = 0
        for other in self._places:
            if other.sock is not None and other.spoke:
                masters += 1
        if masters >= MASTERS:
            self._close(self._longest_idle(True))
        place.spoke = True

    def _close(self, place):
        sock = place.sock
        place.sock = place.rest = place.unsent = None
        self._events.leave(sock)
        sock.close()
        self._count(-1)

    def _attend(self, place):
        """Serve one client until it has nothing more to say just now; close it when it is gone or lost."""
        try:
            if not self._serve(place):
                self._close(place)
        except OSError:
            self._close(place)  # the client reset the connection
        except Exception as error:  # a fault of ours must not take the other clients along
            sys.print_exception(error)
            self._progress.restarted()
            self._close(place)

    def _serve(self, place):
        """Answer what one reading brings; False when the connection is over."""
        sock = place.sock
        received = self._received
        have = 0
        if place.rest is not None:
            have = len(place.rest)
            received[:have] = place.rest
        if place.unsent is not None:
            if not self._send_unsent(place):
                return True
        else:
            got = sock.readinto(self._view[have:] if have else received)
            if got is None:
                return True
            if got == 0:
                return False
            if have and place.framing.drops_stale and self._stale(place):
                received[:got] = bytes(received[have : have + got])
                have = 0
                place.framing.diagnostics.broken += 1
            have += got
        place.rest = None
        return self._answer_all(place, have)

    def _stale(self, place):
        return ticks_diff(ticks_ms(), place.rest_ms) > PIECES_WITHIN_MS

    def _answer_all(self, place, have):
        framing = place.framing
        received = self._received
        out = self._out
        begins = framing.response_begins
        at = 0
        while True:
            length = framing.frame_length(received, at, have)
            if length <= 0:
                break
            if not place.spoke:
                self._make_master(place)
            self._hear(place)
            size = framing.answer(received, at, length, out, place.source)
            at += length
            if size:
                sent = place.sock.write(out, begins, size)
                if sent != size:
                    place.unsent = bytes(out[begins + (sent or 0) : begins + size])
                    self._events.modify(place.sock, select.POLLOUT)
                    break
        if length < 0:
            return framing.lost(place.source)
        if at < have:
            place.rest = bytes(received[at:have])
            place.rest_ms = ticks_ms()
        return True

    def _send_unsent(self, place):
        """Send what was not taken; True when all is gone and the next frame may be looked at."""
        sent = place.sock.write(place.unsent)
        if sent != len(place.unsent):
            if sent:
                place.unsent = place.unsent[sent:]
            return False
        place.unsent = None
        self._events.modify(place.sock, select.POLLIN)
        return True
