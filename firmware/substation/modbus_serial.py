"""Modbus RTU on a serial line: bytes in, silences measured, one answer after a whole frame.

A frame ends with 3.5 characters of silence and is broken by more than 1.5 inside. Silence counts only
where it was seen: the line was looked at after that time and nothing had come. Reading late, because the
control task was at work, therefore breaks no frame; two frames read at once are told apart by their
lengths. It refuses to answer before the silence is over, to a broadcast, or to what is broken.
"""

import select
from time import ticks_add, ticks_diff, ticks_ms, ticks_us

from .modbus_events import Seat, Waiter, events
from .modbus_server import RESPONSE_BYTES

BUFFER_BYTES = 512  # two of the longest frames; what does not fit is noise
CHUNK_BYTES = 32
CHARACTER_BITS = 11  # start, 8 data, parity or a second stop bit, stop
FAST_BAUD = 19_200  # above it the silences no longer shrink: serial line guide V1.02, 2.5.1.1
FAST_T15_US = 750
FAST_T35_US = 1_750
SOURCE = 1  # 0.0.0.1 in the refusals: the serial line has no addresses


def silences_us(baud):
    """Return (T1.5, T3.5) in microseconds."""
    if baud > FAST_BAUD:
        return FAST_T15_US, FAST_T35_US
    character_us = CHARACTER_BITS * 1_000_000
    return (3 * character_us // 2 + baud - 1) // baud, (7 * character_us // 2 + baud - 1) // baud


class ModbusSerial:
    """uart: read without waiting (timeout 0) and fit for poll(). rtu: finds frames and answers them."""

    def __init__(self, uart, rtu, baud):
        self._uart = uart
        self._rtu = rtu
        self._t15_us, self._t35_us = silences_us(baud)
        self._buffer = bytearray(BUFFER_BYTES)
        self._chunk = bytearray(CHUNK_BYTES)
        self._out = bytearray(RESPONSE_BYTES)
        self._have = 0

    def run(self):
        """Listen for ever. Whatever ends it, it can be run again."""
        uart = self._uart
        waiter = Waiter()
        seat = Seat(waiter)
        watched = events()
        watched.enter(uart, seat, select.POLLIN)
        t15_us, t35_us = self._t15_us, self._t35_us
        broken = gap = False
        last_us = left_us = 0
        self._have = 0
        try:
            while True:
                if self._have or broken:
                    # one more than whole milliseconds: the present one is already under way
                    waiter.wait_until(ticks_add(ticks_ms(), left_us // 1000 + 1))
                else:
                    waiter.wait()
                yield
                waiter.waiting = False
                now_us = ticks_us()
                if seat.ready:
                    seat.ready = 0
                    if self._read():
                        # more than 1.5 characters after the last byte, less than 3.5: no frame has that
                        broken = broken or gap or self._have > BUFFER_BYTES
                        gap = False
                        last_us = now_us
                        left_us = t15_us
                        continue
                silent_us = ticks_diff(now_us, last_us)
                gap = silent_us > t15_us and self._have > 0
                left_us = (t35_us if gap else t15_us) - silent_us
                if silent_us >= t35_us and (self._have or broken):
                    if broken:
                        self._rtu.lost(SOURCE)
                    else:
                        self._answer()
                    self._have = 0
                    broken = gap = False
        finally:
            waiter.waiting = False
            watched.leave(uart)

    def _read(self):
        """Take what is there; return how much. Beyond the buffer it is counted and thrown away."""
        have = self._have
        if have == 0:
            got = self._uart.readinto(self._buffer)
            self._have = got or 0
            return self._have
        chunk = self._chunk
        got = self._uart.readinto(chunk) or 0
        buffer = self._buffer
        for i in range(got):
            if have < BUFFER_BYTES:
                buffer[have] = chunk[i]
            have += 1
        self._have = min(have, BUFFER_BYTES + 1)
        return got

    def _answer(self):
        at = self._rtu.find_last(self._buffer, self._have, SOURCE)
        if at < 0:
            return
        size = self._rtu.answer(self._buffer, at, self._have - at, self._out, SOURCE)
        if size:
            self._uart.write(self._out, self._rtu.response_begins, size)
