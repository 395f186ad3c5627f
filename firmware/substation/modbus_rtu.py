"""RTU frames: unit, PDU and CRC. Where one ends, whether it is whole, and what is answered.

A matching CRC is not enough: of 60 000 truncated frames 57 passed it. So a frame must also have the
length that its function code gives it. It refuses to answer another unit or a broadcast, and to take a
broken frame for more than noise: that is counted (FC 8/12), but it is no refusal and no alarm.

    response = what answer() leaves in out[6:], and its length: unit, PDU, CRC
"""

from array import array

LONGEST = 256
SHORTEST = 4
WAIT = 0
DROP = -1  # nothing here can be told apart: forget it
NO_RULE = -1  # a function whose length the protocol does not give
UNIT_AT = 6  # the response's unit in out; the PDU stands behind it, as behind a TCP header


def _table():
    rows = array("H", bytes(512))  # a list of 256 would want 2 kB of heap in one piece
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        rows[byte] = crc
    return rows


_TABLE = _table()


def crc(buffer, at, end):
    """Return the CRC-16 of buffer[at:end]; its low byte goes first on the wire."""
    value = 0xFFFF
    rows = _TABLE
    while at < end:
        value = (value >> 8) ^ rows[(value ^ buffer[at]) & 0xFF]
        at += 1
    return value


def crc_holds(buffer, at, end):
    """Say whether the last two bytes of buffer[at:end] are the CRC of the others."""
    value = crc(buffer, at, end - 2)
    return buffer[end - 2] == value & 0xFF and buffer[end - 1] == value >> 8


def request_length(buffer, at, end):
    """Return the length of the request that begins at `at`, CRC included; WAIT when too little is here.

    NO_RULE for a function without a rule. FC 8 is taken with one word of data, as nearly all of it is.
    """
    have = end - at
    if have < 2:
        return WAIT
    function = buffer[at + 1]
    if 1 <= function <= 6 or function == 8:
        return 8
    if function == 15 or function == 16:
        return 9 + buffer[at + 6] if have > 6 else WAIT
    if function == 23:
        return 13 + buffer[at + 10] if have > 10 else WAIT
    if function == 20 or function == 21:
        return 5 + buffer[at + 2] if have > 2 else WAIT
    if function == 22:
        return 10
    if function == 24:
        return 6
    if function == 17 or function == 7 or function == 11 or function == 12:
        return 4
    if function == 43:
        if have < 5:  # the byte behind the function is the type, not the CRC of a frame that has none
            return WAIT
        return 7 if buffer[at + 2] == 14 else NO_RULE
    return NO_RULE


def response_length(buffer, at, end):
    """Return the length of another unit's response that begins at `at`; WAIT when that can't be told."""
    if end - at < 3:
        return WAIT
    function = buffer[at + 1]
    if function & 0x80:
        return 5
    if function in (1, 2, 3, 4, 17, 20, 21, 23):
        return 5 + buffer[at + 2]
    if function in (5, 6, 8, 15, 16, 11):
        return 8
    if function == 22:
        return 10
    return 5 if function == 7 else WAIT


def _is_echo(buffer, at, have):
    """Say whether this may be an FC 8/0 of several words, whose length only the frame's end tells."""
    return buffer[at + 1] == 8 and have > 8 and have & 1 == 0 and buffer[at + 2] == 0 and buffer[at + 3] == 0


class Rtu:
    """unit: ours, 1 to 247. server: answers the PDUs."""

    response_begins = UNIT_AT
    drops_stale = True

    def __init__(self, server, unit):
        self._server = server
        self._unit = unit
        self.diagnostics = server.diagnostics

    def frame_length(self, buffer, at, end):
        """Find a frame in a stream that knows no silence (RTU over TCP); return its length, WAIT or DROP.

        A function without a length rule, or an echo (FC 8/0) of several words, is as long as what came
        in one piece.
        """
        length = request_length(buffer, at, end)
        have = end - at
        if length > LONGEST:
            return DROP
        if length > have or length == WAIT:
            return WAIT
        if length > 0 and crc_holds(buffer, at, at + length):
            return length
        if (length == NO_RULE or _is_echo(buffer, at, have)) and SHORTEST <= have <= LONGEST:
            if crc_holds(buffer, at, end):
                return have
        elif length == NO_RULE and have < SHORTEST:
            return WAIT
        return DROP

    def lost(self, source):
        """Count what could not be told apart; True: the next frame may be better."""
        self.diagnostics.broken += 1
        return True

    def answer(self, frame, at, length, out, source):
        """Write the response to the frame at `at`, whose CRC holds; return its length, 0 for silence."""
        self.diagnostics.frames += 1
        unit = frame[at]
        if unit == 0:
            self._server.broadcast(source)
            return 0
        if unit != self._unit:
            return 0
        done = UNIT_AT + 1 + self._server.respond(frame, at + 1, length - 3, out, False, source)
        out[UNIT_AT] = unit
        value = crc(out, UNIT_AT, done)
        out[done] = value & 0xFF
        out[done + 1] = value >> 8
        return done + 2 - UNIT_AT

    def find_last(self, buffer, end, source):
        """Return where the frame that awaits an answer begins in what came between two silences, or -1.

        That is the last one. What stands before it, whole frames of ours or of others, came while the
        controller was busy: whoever sent those has given up by now. Broadcasts among them are counted.
        """
        at = 0
        while end - at >= SHORTEST:
            length = self._own_length(buffer, at, end)
            if length <= 0 and buffer[at] != self._unit and buffer[at] != 0:
                if end - at <= LONGEST and crc_holds(buffer, at, end):
                    return at  # another unit's, whatever it is
                length = response_length(buffer, at, end)
                if not (0 < length <= end - at and length <= LONGEST and crc_holds(buffer, at, at + length)):
                    length = WAIT
            if length <= 0:
                break
            if at + length == end:
                return at
            self.diagnostics.frames += 1
            if buffer[at] == 0:
                self._server.broadcast(source)
            at += length
        self.diagnostics.broken += 1
        return -1

    def _own_length(self, buffer, at, end):
        """Return the length of the whole request at `at`, or WAIT when there is none."""
        length = request_length(buffer, at, end)
        have = end - at
        if 0 < length <= have and length <= LONGEST and crc_holds(buffer, at, at + length):
            return length
        free = length == NO_RULE or _is_echo(buffer, at, have)
        if free and have <= LONGEST and crc_holds(buffer, at, end):
            return have
        return WAIT
