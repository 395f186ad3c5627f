"""Counts the pulses of a meter's contact by interrupt.

It refuses bounce: edges closer than DEBOUNCE_MS are one. Never run on real hardware so far.
"""

from time import ticks_diff, ticks_ms

import machine

DEBOUNCE_MS = 20  # reed contacts bounce for a few ms; the fastest meters pulse at some 10 Hz [estimate]


class Counter:
    def __init__(self, pin):
        self.count = 0
        self._at = ticks_ms()
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._edge, machine.Pin.IRQ_FALLING)

    def _edge(self, _):
        now = ticks_ms()
        if ticks_diff(now, self._at) >= DEBOUNCE_MS:
            self.count += 1
        self._at = now
