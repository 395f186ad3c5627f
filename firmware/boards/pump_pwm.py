"""A circulation pump commanded by the duty of pulses, and what it tells of itself in the same way.

Loaded only where site.json has such a pump. Figures: Grundfos UPM3 data sheet, PWM input profiles A (heating)
and C (solar); feedback: UPML data sheet. A broken command wire reads as no pulses: a heating pump then turns
at its fastest, a solar one stops. It refuses to stop a heating pump by the last per cent of the duty, where
noise would let it start. Never run on a real pump so far.
"""

from time import ticks_diff, ticks_us

import machine

PWM_HZ = 1_000  # a pump takes 100 to 4 000 Hz; as the 0-10 V outputs, which may share a timer with it
PWM_FULL = 65_535
HEATING, SOLAR = range(2)
# basis points of the duty that (stop, turn slowest, turn fastest)
STOP_BP, SLOWEST_BP, FASTEST_BP = (9_800, 0), (8_400, 1_500), (1_000, 9_000)

# what pump_state() says
RUNS, STANDBY, WARNING, ELECTRICAL, BLOCKED, NO_SIGNAL = range(1, 7)
# 75 Hz within 5 %, and 2 % more for our own clock and edges [estimate]
SHORTEST_US, LONGEST_US = 12_450, 14_300
# The pump says 95 standby, 90 blocked, 85 electrical fault, 75 warning, up to 70 its power, each within 2
# points: the bounds lie in the middle between two.
ABOVE_BP = ((9_250, STANDBY), (8_750, BLOCKED), (8_000, ELECTRICAL), (7_250, WARNING))


class Feedback:
    """Measures by interrupt; both edges only take the time, so nothing is on the heap."""

    def __init__(self, pin):
        self._rose = self._fell = ticks_us()
        self._high_us = self._period_us = 0
        self._edges = self._seen = 0
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._edge, machine.Pin.IRQ_RISING | machine.Pin.IRQ_FALLING)

    def _edge(self, pin):
        now = ticks_us()
        self._edges = (self._edges + 1) & 0xFFFF
        if not pin.value():
            self._fell = now
            return
        self._high_us = ticks_diff(self._fell, self._rose)
        self._period_us = ticks_diff(now, self._rose)
        self._rose = now

    def state(self):
        """Return what the pump says; without pulses since the last time, or with others, NO_SIGNAL."""
        edges, high_us, period_us = self._edges, self._high_us, self._period_us
        alive = edges != self._seen
        self._seen = edges
        if not alive or not SHORTEST_US <= period_us <= LONGEST_US or not 0 <= high_us <= period_us:
            return NO_SIGNAL
        duty_bp = high_us * 10_000 // period_us
        for bound_bp, state in ABOVE_BP:
            if duty_bp > bound_bp:
                return state
        return RUNS


class PwmPump:
    """Stands in the place of a pump's relay. feedback: None where it could not be made."""

    def __init__(self, pin, profile, speed_bp, feedback):
        self._stop_bp = STOP_BP[profile]
        slowest_bp = SLOWEST_BP[profile]
        self._run_bp = slowest_bp + (FASTEST_BP[profile] - slowest_bp) * speed_bp // 10_000
        self._feedback = feedback
        self._pwm = machine.PWM(machine.Pin(pin), freq=PWM_HZ, duty_u16=self._stop_bp * PWM_FULL // 10_000)

    def value(self, level):
        self._pwm.duty_u16((self._run_bp if level else self._stop_bp) * PWM_FULL // 10_000)

    def state(self):
        return NO_SIGNAL if self._feedback is None else self._feedback.state()
