"""Modbus/TCP Security: the same server behind TLS, and what the role of a client's certificate lets it do.

Loaded only where site.json has a `tls_port`. Both sides show certificates of one authority. A role is the
name of a key slot, and its holder may bring orders of that slot and no other; with another role, or none,
it may read. A role only narrows: an order needs its MAC all the same. It refuses to wait for a handshake:
each is taken further when the client has sent something, one that stands still sits in the lobby, and
after the first few there is one in PACE_MS, because its arithmetic holds up everything else for as long
as it takes.
"""

from time import ticks_add, ticks_diff, ticks_ms

import tls

from . import refusals as causes
from .certificate import read
from .modbus_server import CLOSE, HEADER, ILLEGAL_FUNCTION
from .modbus_tcp import ModbusTcp
from .order_frame import SLOTS

FILES = ("tls.crt", "tls.key", "tls.ca")  # DER: ours, its key, the authority's
FILE_HIGH_B = 4096
PACE_MS = 1_000  # one handshake costs up to 0.12 s on a busy host: an eighth of the time at the worst
BURST = 4  # as many masters as there are may come back at once
READER = len(SLOTS)


class Entitled:
    """The framing of a client whose role is known. slot: whose orders it may bring, READER for none."""

    drops_stale = False
    response_begins = 0

    def __init__(self, server, slot, refusals):
        self._server = server
        self._slot = slot
        self._refusals = refusals
        self.diagnostics = server.diagnostics
        self.frame_length = server.frame_length
        self.lost = server.lost

    def answer(self, frame, at, length, out, source):
        """As ModbusServer.answer(); what the role does not cover is an illegal function."""
        if length <= HEADER or self._may(frame, at + HEADER, length - HEADER):
            return self._server.answer(frame, at, length, out, source)
        self._refusals.note(causes.TLS, source)
        out[0:4] = frame[at : at + 4]
        out[4], out[5], out[6] = 0, 3, frame[at + 6]
        out[7] = frame[at + HEADER] | 0x80
        out[8] = ILLEGAL_FUNCTION
        return HEADER + 2

    def _may(self, frame, pdu, size):
        """Say whether the role covers this request. What never acts, or is refused to all, passes."""
        function = frame[pdu]
        if function == 16:
            head = 6
        elif function == 23:
            if size < 10:
                return True  # refused as malformed
            head = 10
            if (frame[pdu + 5] << 8) | frame[pdu + 6] == self._server.challenge_mailbox:
                return True  # a challenge only reads
        else:
            # of an update that an order has opened: whoever may open one may fill it
            return function != 21 or self._slot < SLOTS.index("utility")
        return size < head + 2 or frame[pdu + head + 1] == self._slot


class _Door:
    """The framing of a client whose handshake is not over: nothing it says can be a request."""

    drops_stale = False
    response_begins = 0

    def __init__(self, refusals):
        self._refusals = refusals

    def frame_length(self, buffer, at, end):
        return CLOSE

    def lost(self, source):
        self._refusals.note(causes.TLS, source)
        return False


def context(folder=""):
    """Return a TLS context of the files in a folder, and the unix time at which the own certificate ends.

    OSError or ValueError when they are not all whole.
    """
    content = []
    for name in FILES:
        with open(folder + name, "rb") as file:
            content.append(file.read(FILE_HIGH_B))
    ends_s = read(content[0])[1]
    made = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(content[0], content[1])
    made.load_verify_locations(content[2])
    made.verify_mode = tls.CERT_REQUIRED  # type: ignore[attr-defined]  # the stubs lack it
    return made, ends_s


class ModbusTls(ModbusTcp):
    """ModbusTcp with one more port. server: a ModbusServer. clock: by whose time certificates end.

    commands: told the latest time that may be set.
    """

    def __init__(self, ports, address, bank, clients, progress, server, tls_port, refusals, clock, commands):
        self._refusals = refusals
        self._clock = clock
        self._door = _Door(refusals)
        self._entitled = [Entitled(server, slot, refusals) for slot in range(READER + 1)]
        self._due = ticks_ms()
        self._context = self._open(tls_port, commands)
        if self._context is not None:
            ports += ((tls_port, self._door),)
        super().__init__(ports, address, bank, clients, progress)

    def _open(self, port, commands):
        """Return the context, or None, told on the console, without the files it takes."""
        try:
            made, commands.latest_s = context()
        except (OSError, ValueError) as error:
            print("tls: %s cannot be used (%s); port %d stays closed" % (", ".join(FILES), error, port))
            return None
        made.verify_callback = self._verify
        return made

    def _verify(self, certificate, depth):
        """Called by the library in a handshake; an exception in here would hang it [firmware.md 3]."""
        try:
            role, ends_s = read(certificate)
            now_s = self._clock.unix_s()
            if now_s and now_s > ends_s:
                print("tls: a certificate that has expired")
                return 1
            if depth == 0:
                slot = SLOTS.index(role) if role in SLOTS else READER
                self._shaking.framing = self._entitled[slot]
            return 0
        except Exception as error:
            print("tls: a certificate that cannot be read:", error)
            return 1

    def _admitted(self):
        """Say whether one more handshake may begin now: BURST at once, then one in PACE_MS."""
        now = ticks_ms()
        behind = ticks_diff(self._due, now)
        if behind > (BURST + 1) * PACE_MS:  # never so far: the ticks have gone round half since the last one
            behind = 0
        if behind > BURST * PACE_MS:
            return False
        self._due = ticks_add(self._due if behind > 0 else now, PACE_MS)
        return True

    def _dress(self, listener, place, sock):
        place.under = None
        if listener.framing is not self._door:
            return sock
        place.under = sock
        return self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)

    def _welcome(self, listener, source):
        if listener.framing is not self._door or self._admitted():
            return True
        self._refusals.note(causes.TLS, source)
        return False

    def _close(self, place):
        super()._close(place)
        if place.under is not None:
            place.under.close()  # the library leaves it open when a handshake has failed

    def _serve(self, place):
        if place.framing is not self._door:
            return super()._serve(place)
        self._shaking = place  # whose handshake is taken further: the library does not say it
        try:
            return super()._serve(place)
        except (OSError, ValueError):  # the library's own words for what is wrong with a certificate
            self._refusals.note(causes.TLS, place.source)
            return False
