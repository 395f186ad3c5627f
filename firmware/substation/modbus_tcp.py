"""The sockets of the Modbus server: who may stay connected, and the bytes of each.

Four clients that speak are served; two more places are a lobby for those who have not said anything
yet. The longest idle one leaves first, and a silent crowd only ever pushes out itself. It refuses to
wait for a client that does not read: others are served meanwhile, and it is the next to go.

One task belongs to each place for good, with its buffers; a request makes no new ones.
"""

import asyncio
import socket
import sys

MASTERS = 4
LOBBY = 2
PLACES = MASTERS + LOBBY
RECEIVE_BYTES = 520  # two of the longest frames: what comes in one segment is answered in one go
LONGEST = 260
FRAMES_IN_A_ROW = 16  # then the other tasks get their turn
TCP_NODELAY = 1  # without it 16 pipelined requests fall from 50 300 to 359 answers a second
IPPROTO_TCP = 6


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


class _Readable:
    """Wait for a socket inside one task: `await` it to be woken when there is something to read."""

    def __init__(self, sock):
        self._sock = sock

    def __iter__(self):
        yield asyncio.core._io_queue.queue_read(self._sock)

    __await__ = __iter__


class _Writable:
    def __init__(self, sock):
        self._sock = sock

    def __iter__(self):
        yield asyncio.core._io_queue.queue_write(self._sock)

    __await__ = __iter__


class Place:
    """One connection's place: its socket, its buffers, and when it was last heard."""

    def __init__(self):
        self.sock = None
        self.task = None
        self.source = 0
        self.spoke = False
        self.heard = 0  # the server's turn when it last said something
        self.received = bytearray(RECEIVE_BYTES)
        self.view = memoryview(self.received)
        self.out = bytearray(LONGEST)
        self.out_view = memoryview(self.out)


class ModbusTcp:
    def __init__(self, server, address, port, bank, clients, progress):
        self._server = server
        self._address = address
        self._port = port
        self._bank = bank
        self._clients = clients  # the Point that shows how many are connected
        self._progress = progress
        self._places = [Place() for _ in range(PLACES)]
        self._listener = None
        self.count = 0
        self._turn = 0

    async def run(self):
        """Accept clients for ever. Whatever ends it, every socket is closed, so it can be run again."""
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(socket.getaddrinfo(self._address, self._port)[0][-1])
            listener.listen(PLACES)
            listener.setblocking(False)
            print("modbus: listening on %s:%d" % (self._address, self._port))
            readable = _Readable(listener)
            while True:
                await readable
                try:
                    sock, address = listener.accept()
                except OSError:
                    continue  # the client left before we looked
                await self._admit(sock, _ipv4(address))
        finally:
            listener.close()
            for place in self._places:
                if place.task is not None:
                    place.task.cancel()

    async def _admit(self, sock, source):
        place = self._free_place()
        if place is None:
            place = self._longest_idle(False) or self._longest_idle(True)
            place.task.cancel()
            while place.sock is not None:
                await asyncio.sleep_ms(0)
        sock.setblocking(False)
        try:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        except (OSError, ValueError):
            pass  # a chip with its own TCP sends at once
        place.sock = sock
        place.source = source
        place.spoke = False
        self._hear(place)
        self._count(1)
        place.task = asyncio.create_task(self._serve(place))

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
            self._longest_idle(True).task.cancel()
        place.spoke = True

    async def _serve(self, place):
        sock = place.sock
        server = self._server
        received = place.received
        readable = _Readable(sock)
        have = 0
        try:
            while True:
                await readable
                got = sock.readinto(received if have == 0 else place.view[have:])
                if got is None:
                    continue
                if got == 0:
                    return
                have += got
                at = 0
                frames = 0
                while True:
                    length = server.frame_length(received, at, have)
                    if length <= 0:
                        break
                    if not place.spoke:
                        self._make_master(place)
                    self._hear(place)
                    size = server.answer(received, at, length, place.out, place.source)
                    at += length
                    if size:
                        sent = sock.write(place.out, size)
                        if sent != size:
                            await self._send_rest(place, sent or 0, size)
                    frames += 1
                    if frames == FRAMES_IN_A_ROW:
                        frames = 0
                        await asyncio.sleep_ms(0)
                if length < 0:
                    server.malformed(place.source)
                    return
                if at:
                    if at < have:
                        received[: have - at] = place.view[at:have]
                    have -= at
                    await asyncio.sleep_ms(0)
        except OSError:
            pass  # the client reset the connection
        except asyncio.CancelledError:
            pass  # its place is wanted
        except Exception as error:  # a fault of ours must not take the other clients along
            sys.print_exception(error)
            self._progress.restarted()
        finally:
            sock.close()
            place.sock = None
            self._count(-1)

    async def _send_rest(self, place, sent, size):
        writable = _Writable(place.sock)
        while sent < size:
            await writable
            more = place.sock.write(place.out_view[sent:size])
            if more is not None:
                sent += more
