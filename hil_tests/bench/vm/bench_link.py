"""The line between one emulated controller and the bench: virtual time, pin images, resets.

Time moves only as far as the bench has granted. It refuses to run ahead, and it never looks at the
host's clock. The two frames of an exchange are fixed in size and live in buffers made once, so a tick
costs no heap. The same layouts stand in `hil_tests/bench/fleet.py`.

    VM    -> bench  HELLO   which device this is
    bench -> VM     START   time, reset cause, device id, entropy, converter counts
    VM    -> bench  REPORT  everything due was done, outputs; or RESET, and the bench pulls the plug
    bench -> VM     GRANT   time may run to t; converter counts, button
"""

import gc
import socket
import struct

HELLO = "<HHI"  # magic, protocol, device index
START = "<BBHQ8s32s15H"  # kind, reset cause, button, t_ms, device id, entropy, ADC counts
GRANT = "<BBHQ15H"  # kind, flags, button, t_ms, ADC counts
# kind, flags or cause, free block, t_ms, PWM 13 and 14, heap; then for each of RELAYS the ms that it was on,
# four bytes each, and how often it was switched on, one byte each
REPORT = "<BBHQHHI"
MAGIC = 0x7450
PROTOCOL = 1
KIND_REPORT = 1
KIND_RESET = 2
FLAG_MEASURE_HEAP = 1  # in a grant: collect, then tell the live heap
FLAG_ENDED = 1  # in a report: main.py came to its end, only the watchdog is left
FOREVER_MS = 1 << 62

PIN_OPEN = 10
PIN_CLOSE = 11
PIN_PUMP = 12
PIN_DHW_OPEN = 13  # a relay of a substation; a pump station drives the pin by PWM
PIN_DHW_CLOSE = 15
PIN_VALVE2_OPEN = 6
PIN_VALVE2_CLOSE = 7
PIN_PUMP2 = 2
PIN_CIRCULATION = 27
RELAYS = (
    PIN_OPEN, PIN_CLOSE, PIN_PUMP, PIN_VALVE2_OPEN, PIN_VALVE2_CLOSE, PIN_DHW_OPEN, PIN_DHW_CLOSE, PIN_PUMP2,
    PIN_CIRCULATION,
)  # fmt: skip
PIN_PUMP_SPEED = 13
PIN_HEAT_DEMAND = 14
PIN_BUTTON = 20
FREE_UNIT_B = 64


def _largest_free():
    """Return the largest block that the heap can still give, in units of FREE_UNIT_B."""
    low, high = 0, gc.mem_free() // FREE_UNIT_B + 1
    while high - low > 1:
        middle = (low + high) // 2
        try:
            bytearray(middle * FREE_UNIT_B)
            low = middle
        except MemoryError:
            high = middle
    gc.collect()
    return low


class Link:
    """One controller's side of the exchange. All times in ms since the bench's epoch."""

    def __init__(self, host, port, index):
        self.socket = socket.socket()
        self.socket.connect(socket.getaddrinfo(host, port)[0][-1])
        self.socket.setsockopt(6, 1, 1)  # TCP_NODELAY; the unix port names no constants
        self.socket.write(struct.pack(HELLO, MAGIC, PROTOCOL, index))
        frame = bytearray(struct.calcsize(START))
        self._read(frame)
        start = struct.unpack(START, frame)
        self.reset_cause = start[1]
        self.now_ms = self.boot_ms = self.until_ms = start[3]
        self.device_id = start[4]
        self.entropy = start[5]
        self.bite_ms = FOREVER_MS
        self.first_tick = 0  # what the tick counter says at the start
        self.ended = 0
        self.gone = False  # the bench closed the line
        self.uarts = {}  # number: the end of a line that stands for the UART's pins
        self.line_settings = {}  # number: (baud, bits, parity) of that line, as machine.UART wants them
        # relay: switched on at (ms) or -1, and the time it was on since the last report
        self.on_since = dict.fromkeys(RELAYS, -1)
        self.on_ms = dict.fromkeys(RELAYS, 0)
        self.duty = {PIN_PUMP_SPEED: 0, PIN_HEAT_DEMAND: 0}
        self.reported = False
        self._started = False  # a relay was switched on since the last report
        self._measure = False
        self.mischief = None  # the module of that name, where this board can be broken from inside
        self._grant = bytearray(struct.calcsize(GRANT))
        self._relays_at = struct.calcsize(REPORT)
        self._starts_at = self._relays_at + 4 * len(RELAYS)
        self._report = bytearray(self._starts_at + len(RELAYS))
        struct.pack_into(GRANT, self._grant, 0, 0, 0, start[2], self.now_ms, *start[6:])
        self._counts_at = struct.calcsize("<BBHQ")

    def _read(self, frame):
        if self.socket.readinto(frame) != len(frame):
            self.gone = True
            raise SystemExit(0)

    def counts(self, channel):
        """Return the converter's 16-bit reading of channel 0..14."""
        return struct.unpack_from("<H", self._grant, self._counts_at + 2 * channel)[0]

    def button_down(self):
        return self._grant[2] != 0

    def switch(self, pin, on):
        """Switch a relay at the present instant, keeping account of the time it was on."""
        since = self.on_since[pin]
        if on:
            if since < 0:
                self.on_since[pin] = self.now_ms
                at = self._starts_at + RELAYS.index(pin)
                self._report[at] = min(self._report[at] + 1, 255)
                self._started = True
        elif since >= 0:
            self.on_ms[pin] += self.now_ms - since
            self.on_since[pin] = -1

    def _tell_relays(self):
        """Put into the report how long each relay was on since the last one, and begin to count anew."""
        now_ms, report = self.now_ms, self._report  # in pairs: four at once would make a tuple
        on_since, on_ms = self.on_since, self.on_ms
        at = self._relays_at
        for pin in RELAYS:
            total = on_ms[pin]
            since = on_since[pin]
            if since >= 0:
                total += now_ms - since
                on_since[pin] = now_ms
            if total or report[at] or report[at + 1] or report[at + 2]:  # else it says 0 already
                on_ms[pin] = 0
                struct.pack_into("<I", report, at, total)
            at += 4

    def move_to(self, t_ms):
        """Let time run to t_ms, which lies inside the grant, unless the watchdog bites before."""
        if t_ms > self.bite_ms:
            self.now_ms = self.bite_ms
            self.reset(3)
        self.now_ms = t_ms

    def report(self):
        """Tell the bench that everything due inside the grant has been done."""
        heap = free = 0
        if self._measure:
            gc.collect()
            heap = gc.mem_alloc()
            free = _largest_free()
        self._send(KIND_REPORT, self.ended, heap, free)
        self.reported = True

    def _send(self, kind, flags, heap, free=0):
        struct.pack_into(
            REPORT, self._report, 0, kind, flags, free, self.now_ms, self.duty[PIN_PUMP_SPEED],
            self.duty[PIN_HEAT_DEMAND], heap,
        )  # fmt: skip
        self._tell_relays()
        self.socket.write(self._report)
        if self._started and self.now_ms != self.boot_ms:  # the first report's the bench does not count
            self._started = False
            for at in range(self._starts_at, len(self._report)):
                self._report[at] = 0

    def take_grant(self):
        """Read the next grant; waits for it when it has not come yet."""
        self._read(self._grant)
        self.until_ms = struct.unpack_from("<Q", self._grant, 4)[0]
        self._measure = self._grant[1] & FLAG_MEASURE_HEAP
        self.reported = False
        if self.mischief is not None:
            self.mischief.act(self._grant[1] & ~FLAG_MEASURE_HEAP)

    def block_until(self, t_ms):
        """Let time run to t_ms with the program standing still, as a blocking sleep does."""
        while t_ms > self.until_ms:
            self.move_to(self.until_ms)
            if not self.reported:
                self.report()
            self.take_grant()
        self.move_to(t_ms)

    def reset(self, cause):
        """Stop here for good: no handler and no `finally` of the program may run after a reset."""
        self._send(KIND_RESET, cause, 0)
        while True:
            self.take_grant()  # no grant comes: the bench ends this process and starts a new one


link = None


def connect(host, port, index):
    global link
    link = Link(host, port, index)
    return link
