"""M-Bus master for up to five heat meters: one question on the line at a time, looked at every LOOK_MS.

A look reads what has come, judges it, and at most sends the next frame; it never waits. Because a meter
must begin its answer within 330 bit times + 50 ms (EN 13757-2; 1.15 s at 300 Bd), silence between two looks
means that nothing more will come: no timer runs, at any speed. It refuses to ask more often than a meter's
battery allows.
"""

from time import ticks_add, ticks_diff, ticks_ms

from . import mbus_link as link
from .mbus_records import CI_LONG_HEADER, Reading, decode

LOOK_MS = 2_000
MOST_LOOKS = 8  # 16 s: the longest answer takes 9.6 s at 300 Bd; whoever talks longer is cut off
TRIES = 3  # EN 13757-2: the question and two repetitions
MOST_TELEGRAMS = 4  # of one reading, where a meter tells its values in parts
SILENT_AGAIN_MS = 60_000  # a mains meter that is silent or broken is asked this often at most
FIRST_BATTERY_MS = (
    300_000  # a controller that restarts over and over must not drain a battery by its first questions
)
STAGGER_MS = 10_000  # between the first questions to two meters: a read takes 4 s

IDLE, RESETTING, SELECTING, READING = range(4)


class Meter:
    """One meter on the line. identity: its eight bytes where it is selected by number, else None."""

    def __init__(self, address, identity, interval_ms, battery, due):
        self.address = link.SELECTED if identity else address
        self.identity = identity
        self.interval_ms = interval_ms
        self.battery = battery
        self.due = due
        self.fcb = link.FCB
        self.begun = False  # it was reset, and its frame count bit is known
        self.cause = 0  # why the last reading failed; OK when it did not
        self.questions = 0  # answers it was asked to send: what its battery feels


class Master:
    """line: readinto(buffer) and write(buffer), neither waiting. wired: rows of (address, identity,
    interval_s, battery). told(place, reading) is called with every good reading, failed(place, cause) after
    the last try.
    """

    def __init__(self, line, wired, told, failed):
        self._line = line
        self._told = told
        self._failed = failed
        now = ticks_ms()
        self.meters = []
        for address, identity, interval_s, battery in wired:
            wait_ms = STAGGER_MS * len(self.meters) + (FIRST_BATTERY_MS if battery else 0)
            self.meters.append(Meter(address, identity, interval_s * 1000, battery, ticks_add(now, wait_ms)))
        self._reading = Reading()
        self._buffer = bytearray(link.LONGEST_B + link.LEAD_B)
        self._view = memoryview(self._buffer)
        self._state = IDLE
        self._place = 0
        self._have = self._seen = self._looks = self._tries = self._telegrams = 0
        self._frame = b""

    def look(self):
        """Take what has come and do the next thing, whatever it is; call it every LOOK_MS."""
        if self._state == IDLE:
            self._line.readinto(self._buffer)  # nobody was asked: noise
            self._begin()
            return
        if self._have < len(self._buffer):
            self._have += self._line.readinto(self._view[self._have :]) or 0
        else:
            self._line.readinto(self._buffer)  # more than any answer: drained, and no frame any more
        self._looks += 1
        silent = self._have == self._seen
        self._seen = self._have
        if self._state == READING:
            cause, at, end = link.find_answer(self._buffer, self._have)
            if cause == link.OK:
                cause = self._answered(at, end)
                if cause == link.OK:
                    return
        else:
            cause = link.acknowledged(self._buffer, self._have, self._frame)
            # only a meter that is still selected answers a reset of the selection
            if cause == link.OK or (self._state == RESETTING and self.meters[self._place].identity):
                self._acknowledged()
                return
        if silent or self._looks >= MOST_LOOKS:
            self._again(link.GARBLED if cause == link.PARTIAL else cause)

    def _begin(self):
        """Ask the meter that has been due for longest, if any."""
        now = ticks_ms()
        longest = -1
        for place in range(len(self.meters)):
            waited = ticks_diff(now, self.meters[place].due)
            if waited > longest:
                longest = waited
                self._place = place
        if longest < 0:
            return
        meter = self.meters[self._place]
        meter.due = ticks_add(now, meter.interval_ms)
        self._tries = self._telegrams = 0
        self._reading.clear()
        if meter.identity or not meter.begun:
            self._send(RESETTING, link.short_frame(link.SND_NKE, meter.address))
        else:
            self._ask(meter)

    def _send(self, state, frame):
        self._state = state
        self._frame = frame
        self._have = self._seen = self._looks = 0
        if state == READING:
            self.meters[self._place].questions += 1
        self._line.write(frame)

    def _ask(self, meter):
        self._send(READING, link.short_frame(link.REQ_UD2 | meter.fcb, meter.address))

    def _acknowledged(self):
        meter = self.meters[self._place]
        self._tries = 0
        meter.fcb = link.FCB
        meter.begun = True
        if self._state == RESETTING and meter.identity:
            self._send(SELECTING, link.select_frame(meter.identity))
        else:
            self._ask(meter)

    def _again(self, cause):
        """Repeat the frame, or give the meter up until it is due again."""
        self._tries += 1
        if self._tries < TRIES:
            self._send(self._state, self._frame)
        else:
            self._give_up(cause)

    def _give_up(self, cause):
        meter = self.meters[self._place]
        meter.begun = False
        meter.cause = cause
        if not meter.battery and meter.interval_ms < SILENT_AGAIN_MS:
            meter.due = ticks_add(ticks_ms(), SILENT_AGAIN_MS)
        self._state = IDLE
        self._failed(self._place, cause)

    def _answered(self, at, end):
        """Take a whole answer; return OK when it was dealt with, else why it is none of this meter's."""
        meter = self.meters[self._place]
        buffer = self._buffer
        if meter.identity is None:
            if buffer[at + 1] != meter.address:
                return link.ADDRESS
        elif (
            buffer[at + 2] != CI_LONG_HEADER or end < at + 15 or not _matches(buffer, at + 3, meter.identity)
        ):
            return link.ADDRESS
        reading = self._reading
        cause = decode(buffer, at + 2, end, reading)
        if cause:  # it would say the same again
            self._give_up(cause)
            return link.OK
        self._telegrams += 1
        meter.fcb ^= link.FCB
        if reading.more:
            if not reading.whole and self._telegrams < MOST_TELEGRAMS:
                self._tries = 0
                self._ask(meter)
                return link.OK
            meter.begun = False  # back to its first telegram by a reset
        meter.cause = link.OK
        self._state = IDLE
        self._told(self._place, reading)
        return link.OK


def _matches(buffer, at, identity):
    """Say whether the eight bytes of a header are the meter selected; F digits and FF bytes match any."""
    for i in range(link.IDENTITY_BYTES):
        wanted = identity[i]
        if i >= 4:
            if wanted not in (0xFF, buffer[at + i]):
                return False
            continue
        difference = wanted ^ buffer[at + i]
        if (wanted & 0x0F != 0x0F and difference & 0x0F) or (wanted < 0xF0 and difference & 0xF0):
            return False
    return True
