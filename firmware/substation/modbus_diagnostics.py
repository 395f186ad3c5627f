"""What Modbus tells about the device itself: counters (FC 8), server id (FC 17), identification (FC 43/14).

Everything here is readable by anyone and changes nothing. It refuses what would act: restarting the
communication, listen-only mode, clearing counters. One set of counters serves all lines of the device.

Counters, 16 bits on the wire, from 0 at every boot, numbered as the sub-functions of FC 8:
  11 whole frames seen      12 frames broken (CRC, length, timing)      13 exceptions answered
  14 frames for this unit   15 of these without an answer               16, 17, 18 always 0
"""

SUB_ECHO = 0
SUB_REGISTER = 2  # the diagnostic register: no bit is defined for this device
SUB_FIRST_COUNTER = 11
SUB_LAST_COUNTER = 18
# restart, ASCII delimiter, listen only, clear counters, clear overrun: these would act
ACTING = (1, 3, 4, 10, 20)

MEI_DEVICE = 14
BASIC, REGULAR, EXTENDED, ONE_OBJECT = 1, 2, 3, 4
CONFORMITY = 0x82  # basic and regular objects, as a stream or one at a time
BASIC_OBJECTS = 3  # object ids 0, 1, 2
RUNNING = 0xFF

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3


class Diagnostics:
    """objects: ((object id, bytes), ...) in rising order, ids 0 to 2 first. profile: the server id, 0..255.

    Answers are written to out from byte 8 on; each method returns the length of the response PDU, or minus
    the exception code.
    """

    def __init__(self, objects, profile):
        self._objects = objects
        self._profile = profile
        self.frames = 0
        self.broken = 0
        self.exceptions = 0
        self.own = 0
        self.unanswered = 0

    def _counter(self, number):
        if number == 11:
            return self.frames
        if number == 12:
            return self.broken
        if number == 13:
            return self.exceptions
        if number == 14:
            return self.own
        return self.unanswered if number == 15 else 0

    def diagnose(self, frame, pdu, size, out):
        """Answer FC 8, but for the sub-functions in ACTING."""
        if size < 5 or size & 1 == 0:
            return -ILLEGAL_VALUE
        sub = (frame[pdu + 1] << 8) | frame[pdu + 2]
        if sub == SUB_ECHO:
            for i in range(1, size):  # a slice would cost heap
                out[7 + i] = frame[pdu + i]
            return size
        if sub != SUB_REGISTER and not SUB_FIRST_COUNTER <= sub <= SUB_LAST_COUNTER:
            return -ILLEGAL_FUNCTION
        if size != 5 or frame[pdu + 3] or frame[pdu + 4]:
            return -ILLEGAL_VALUE
        count = 0 if sub == SUB_REGISTER else self._counter(sub)
        out[8] = sub >> 8
        out[9] = sub & 0xFF
        out[10] = (count >> 8) & 0xFF
        out[11] = count & 0xFF
        return 5

    def server_id(self, size, out):
        """Answer FC 17: the profile's number, running, then product code and revision as text."""
        if size != 1:
            return -ILLEGAL_VALUE
        out[9] = self._profile
        out[10] = RUNNING
        at = _put(out, 11, self._objects[1][1])
        out[at] = 0x20
        at = _put(out, at + 1, self._objects[2][1])
        out[8] = at - 9
        return at - 7

    def identify(self, frame, pdu, size, out):
        """Answer FC 43: device identification only (MEI type 14)."""
        if size < 2:
            return -ILLEGAL_VALUE
        if frame[pdu + 1] != MEI_DEVICE:
            return -ILLEGAL_FUNCTION
        if size != 4 or not BASIC <= frame[pdu + 2] <= ONE_OBJECT:
            return -ILLEGAL_VALUE
        code = frame[pdu + 2]
        wanted = frame[pdu + 3]
        out[8] = MEI_DEVICE
        out[9] = code
        out[10] = CONFORMITY
        out[11] = out[12] = 0  # nothing follows: all objects fit into one answer
        out[13] = 0
        at = 14
        first = self._position(wanted)
        last = BASIC_OBJECTS if code == BASIC else len(self._objects)
        if code == ONE_OBJECT:
            if first < 0:
                return -ILLEGAL_ADDRESS
            last = first + 1
        elif first < 0 or first >= last:
            first = 0  # an unknown start begins at the beginning, says the protocol
        while first < last:
            number, text = self._objects[first]
            out[at] = number
            out[at + 1] = len(text)
            at = _put(out, at + 2, text)
            out[13] += 1
            first += 1
        return at - 7

    def _position(self, wanted):
        for i in range(len(self._objects)):
            if self._objects[i][0] == wanted:
                return i
        return -1


def _put(out, at, text):
    """Copy text into out; return the place behind it."""
    for byte in text:
        out[at] = byte
        at += 1
    return at
