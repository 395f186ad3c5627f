"""The bench's line for a board of which every terminal ends in a plant: second circuit, DHW, circulation.

Each frame of `bench_link` is followed by one of this module: readings of the converters 8 to 14 to the board,
times and starts of the further relays back. The same layouts stand in `hil_tests/bench/house_fleet.py`. It
refuses to change what `bench_link` does with time, power and resets.
"""

import struct

import bench_link
from bench_link import PIN_CLOSE, PIN_OPEN, PIN_PUMP, Link

FIRST_CHANNEL = 8
READINGS = "<7H"  # of the converters 8 to 14
RELAYS = "<6H9B"  # ms each further relay was on, then the starts of all nine
PIN_VALVE2_OPEN, PIN_VALVE2_CLOSE, PIN_PUMP2 = 6, 7, 2
PIN_DHW_OPEN, PIN_DHW_CLOSE, PIN_CIRCULATION = 13, 15, 27
MORE = (PIN_VALVE2_OPEN, PIN_VALVE2_CLOSE, PIN_DHW_OPEN, PIN_DHW_CLOSE, PIN_PUMP2, PIN_CIRCULATION)
ALL = (PIN_OPEN, PIN_CLOSE, PIN_PUMP) + MORE  # noqa: RUF005 - MicroPython has no star here


class HouseLink(Link):
    def __init__(self, host, port, index):
        super().__init__(host, port, index)
        self._readings = bytearray(struct.calcsize(READINGS))
        self._read(self._readings)
        self._relays = bytearray(struct.calcsize(RELAYS))
        self._starts_at = struct.calcsize("<6H")
        for pin in MORE:
            self.on_since[pin] = -1
            self.on_ms[pin] = 0

    def counts(self, channel):
        """Return the converter's 16-bit reading of channel 0..14."""
        if channel < FIRST_CHANNEL:
            return super().counts(channel)
        return struct.unpack_from("<H", self._readings, 2 * (channel - FIRST_CHANNEL))[0]

    def switch(self, pin, on):
        if on and self.on_since[pin] < 0:
            self._relays[self._starts_at + ALL.index(pin)] += 1
        super().switch(pin, on)

    def take_grant(self):
        super().take_grant()
        self._read(self._readings)

    def _send(self, kind, flags, heap, free=0):
        # before bench_link's own frame, which may tell some of these relays as well
        for i in range(len(MORE)):
            struct.pack_into("<H", self._relays, 2 * i, self._take_on_ms(MORE[i]))
        super()._send(kind, flags, heap, free)
        self.socket.write(self._relays)
        for i in range(self._starts_at, len(self._relays)):
            self._relays[i] = 0


def connect(host, port, index):
    """Make the line, and wire the converters that no plant drives otherwise to this one."""
    bench_link.link = HouseLink(host, port, index)
    import machine  # it takes the line from bench_link as it is loaded

    getattr(machine, "BRIDGED", {}).clear()
    return bench_link.link


bench_link.connect = connect
