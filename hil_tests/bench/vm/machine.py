"""MicroPython's `machine` for the board named `emulated`: its pins end in the bench's plant.

It has what that board has and no more: no timers, no radio. An unknown pin may be driven,
but nothing is wired to it.
"""

import io

import virtual_time
from bench_link import PIN_BUTTON, link

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

WDT_LONGEST_MS = 8388  # RP2040: the longest watchdog period of its 24-bit counter [firmware.md S4]


class Pin:
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, id, mode=-1, pull=-1, value=None):
        self.id = id
        self._level = 0
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, value=None):
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            if self.id == PIN_BUTTON:
                return 0 if link.button_down() else 1
            return self._level
        self._level = 1 if level else 0
        if self.id in link.on_since:
            link.switch(self.id, self._level)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    high = on
    low = off

    def toggle(self):
        self.value(1 - self._level)


class ADC:
    def __init__(self, pin):
        channel = pin.id if isinstance(pin, Pin) else pin
        if not 0 <= channel <= 14:
            raise ValueError("the emulated board has ADC channels 0 to 14")
        self._channel = channel

    def read_u16(self):
        return link.counts(self._channel)


class PWM:
    def __init__(self, pin, freq=0, duty_u16=None, duty_ns=None):
        self._id = pin.id if isinstance(pin, Pin) else pin
        self._freq = freq
        if duty_u16 is not None:
            self.duty_u16(duty_u16)

    def init(self, freq=0, duty_u16=None):
        if freq:
            self._freq = freq
        if duty_u16 is not None:
            self.duty_u16(duty_u16)

    def freq(self, hz=None):
        if hz is None:
            return self._freq
        self._freq = hz

    def duty_u16(self, duty=None):
        if duty is None:
            return link.duty.get(self._id, 0)
        if not 0 <= duty <= 65535:
            raise ValueError("duty_u16 lies between 0 and 65535")
        if self._id in link.duty:
            link.duty[self._id] = duty
        elif self._id in link.on_since:  # a pump: it stands near either end of the duty, whatever its profile
            link.switch(self._id, 1 if 3277 < duty < 62258 else 0)

    def deinit(self):
        if self._id in link.duty:
            link.duty[self._id] = 0


_GET_FILENO = 10  # stream request: the file that poll() shall look at


class UART(io.IOBase):
    """RS-485 (1) or M-Bus (0), where the bench has laid a line. Bytes go at once, whatever the speed.

    Opened with another speed, parity or number of bits than the line has, it makes garbage of every byte,
    both ways. Stop bits are not judged: a receiver looks at the first.
    """

    def __init__(self, id, baudrate=9600, bits=8, parity=None, stop=1, tx=None, rx=None, timeout=0,
                 timeout_char=0, rxbuf=256, txbuf=256):  # fmt: skip
        if id not in (0, 1):
            raise ValueError("the emulated board has UART 0 and 1 only")
        if id not in link.uarts:
            raise ValueError("nothing is connected to UART %d; start the board with a line there" % id)
        self._line = link.uarts[id]
        self._foreign = (baudrate, bits, parity) != link.line_settings[id]

    def ioctl(self, request, argument):
        return self._line.fileno() if request == _GET_FILENO else -22

    def readinto(self, buffer, count=-1):
        got = self._line.readinto(buffer) if count < 0 else self._line.readinto(buffer, count)
        if self._foreign and got:
            _garble(buffer, got)
        return got

    def write(self, buffer, first=0, count=-1):
        """Send count bytes from first on. What a line that nobody reads does not take is lost."""
        data = memoryview(buffer)[first : first + count if count >= 0 else len(buffer)]
        if self._foreign:
            data = bytearray(data)
            _garble(data, len(data))
        return self._line.write(data)


def _garble(buffer, count):
    for i in range(count):
        buffer[i] = buffer[i] << 1 & 0xFF ^ 0x5A  # loses a bit of each, as a wrong speed does


class WDT:
    """Cannot be stopped once made; bites in virtual time, even while the program is stuck in a sleep."""

    def __init__(self, id=0, timeout=5000):
        if not 1 <= timeout <= WDT_LONGEST_MS:
            raise ValueError("the watchdog's timeout lies between 1 and 8388 ms")
        self._timeout_ms = timeout
        self.feed()

    def feed(self):
        link.bite_ms = link.now_ms + self._timeout_ms


class RTC:
    def __init__(self, id=0):
        pass

    def datetime(self, when=None):
        if when is None:
            y, mo, d, h, mi, s, wd, _ = virtual_time.gmtime(virtual_time.time())
            return (y, mo, d, wd, h, mi, s, 0)
        y, mo, d, _, h, mi, s, _ = when
        virtual_time.set_clock(virtual_time.mktime((y, mo, d, h, mi, s, 0, 0)))


def unique_id():
    return link.device_id


def reset_cause():
    return link.reset_cause


def reset():
    """As on the RP2040, whose program resets itself by its watchdog and is told so afterwards."""
    link.reset(WDT_RESET)


def soft_reset():
    link.reset(SOFT_RESET)


def freq(hz=None):
    return 125_000_000


def idle():
    link.block_until(link.now_ms + 1)
