"""MicroPython's `machine` for the board on a serial line: fixed resistors stand in for its sensors.

Its time is the host's. It has no plant. Its watchdog is board.py's: the program only says on the control
line that it starts or feeds it, so that it works whatever the program does. `settings`
(JSON): "device_id" (16 hex digits) and "counts" (eight ADC readings, 0 to 65535). `terminals`, where there is
such a file: eight readings as 16 bits, low byte first, that stand instead of "counts"; at 16 whether the
button is down; from 32 the levels of pins 0 to 31, written when they change.
"""

import os
import sys
import time

import vfs

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_BUTTON = 20
LEVELS_AT = 32
CHANNELS = 8

settings = {}
terminals = None
_word = bytearray(2)
_byte = bytearray(1)
control = None  # the line to board.py, which cannot tell a reset from a program's end
cause = PWRON_RESET  # of the last reset, as board.py tells it
rtc_offset_us = 0  # the clock's offset from the host's, as board.py keeps it


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
        self._level = 1 if pull == Pin.PULL_UP else 0
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is None:
            if self.id == PIN_BUTTON and terminals is not None:
                terminals.seek(16)
                terminals.readinto(_byte)
                return 0 if _byte[0] else 1
            return self._level
        level = 1 if level else 0
        if level != self._level and terminals is not None and 0 <= self.id < 32:
            _byte[0] = level
            terminals.seek(LEVELS_AT + self.id)
            terminals.write(_byte)
        self._level = level

    __call__ = value


def counts(channel):
    """Return what the converter reads at an input, 65535 at 3.3 V."""
    if terminals is not None:
        terminals.seek(2 * channel)
        terminals.readinto(_word)
        return _word[0] | _word[1] << 8
    return settings["counts"][channel]


class ADC:
    def __init__(self, channel):
        self._channel = channel.id if isinstance(channel, Pin) else channel
        if not 0 <= self._channel < CHANNELS:
            raise ValueError("this board has ADC channels 0 to 7")

    def read_u16(self):
        return counts(self._channel)


class PWM:
    def __init__(self, pin, freq=0, duty_u16=0):
        self._duty = duty_u16

    def duty_u16(self, duty=None):
        if duty is None:
            return self._duty
        self._duty = duty

    def deinit(self):
        self._duty = 0


def tell(word):
    if control is not None:  # a program that is measured without a board has no such line
        control.write(word)


class WDT:
    feeds = 0
    made = False

    def __init__(self, id=0, timeout=5000):
        if id != 0 or not 1 <= timeout <= 8388:  # the RP2040's counter has 24 bits
            raise ValueError("timeout exceeds 8388")
        WDT.made = True
        tell(b"W%d." % timeout)

    def feed(self):
        WDT.feeds += 1
        tell(b"F")


_PARTS = {"I2C": "/vm_parts/i2c.py", "RTC": "/vm_board/rtc.py", "Timer": "/vm_board/timer.py"}
_bench = vfs.VfsPosix(__file__.rsplit("/", 2)[0])  # `/` will be the board's flash


def __getattr__(name):
    """Read a part that few programs need, when the first one asks for it."""
    if name not in _PARTS:
        raise AttributeError(name)
    names = {"__name__": name, "CHANNELS": CHANNELS, "counts": counts, "now_us": time.ticks_us}
    with _bench.open(_PARTS[name], "r") as file:
        exec(file.read(), names)
    globals()[name] = names[name]
    return names[name]


def unique_id():
    text = settings["device_id"]
    return bytes(int(text[i : i + 2], 16) for i in range(0, 16, 2))


def reset_cause():
    return cause


def reset():
    try:
        control.write(b"R")
        # the VM was asked to stay for a REPL, and would after sys.exit() in main.py
        os.system("kill -9 $PPID")
    finally:  # an interrupt cannot stop a reset
        sys.exit(0)


def soft_reset():
    sys.exit(0)
