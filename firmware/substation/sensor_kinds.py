"""The rarer sensors: NTC, 0-10 V, DS18B20 and pulse inputs. Loaded only where site.json names one.

It refuses to tell a broken wire from zero on a 0-10 V input, because that signal has no live zero: where the
loss must be seen, use 4-20 mA.

NTC 10 kohm: R(T) = R25 exp(B (1/T - 1/298.15)) with B = 3977 K, the curve of the usual 10K3977 pocket sensors
[general knowledge, to be checked against the sensor's sheet].
"""

from time import ticks_diff, ticks_ms

from .sensors import NTC, ONE_WIRE, PULSES, TEMPERATURE_HIGH_MC, TEMPERATURE_LOW_MC, VOLTAGE

NTC_OHM, NTC_B_K = 10_000, 3977
E = 2.718281828459045
# Knots every 2.5 K: the chord is off by at most B (2.5 K)^2 / (8 T^2), 0.06 K at -40 degC and 0.02 K at 100.
NTC_STEP_MC = 2_500
NTC_KNOTS = 77  # -40 to 150 degC

VOLTAGE_FULL_MV = 10_000
VOLTAGE_FAULT_MV = 10_500

PULSE_WINDOW_MS = 10_000  # at least so long is counted: one pulse more or less is then an error told below
PULSE_SILENCE_MS = 120_000  # so long without a pulse the flow is zero
ML_PER_MS_TO_L_H = 3_600


def ntc_mohm(temp_mc):
    """Return the resistance of the NTC at temp_mc, in mohm."""
    kelvin = temp_mc / 1000 + 273.15
    return int(round(1000 * NTC_OHM * E ** (NTC_B_K * (1 / kelvin - 1 / 298.15))))


class Ntc:
    """The characteristic as knots; mc() is whole numbers only."""

    def __init__(self):
        self._knots = [ntc_mohm(TEMPERATURE_LOW_MC + i * NTC_STEP_MC) for i in range(NTC_KNOTS)]

    def mc(self, mohm):
        """Return the temperature in 0.001 degC, or None for open, short or out of range."""
        knots = self._knots
        if mohm > knots[0] or mohm < knots[-1]:
            return None
        low, high = 0, NTC_KNOTS - 1
        while high - low > 1:
            middle = (low + high) // 2
            if knots[middle] >= mohm:
                low = middle
            else:
                high = middle
        span = knots[low] - knots[high]
        mc = TEMPERATURE_LOW_MC + low * NTC_STEP_MC + (knots[low] - mohm) * NTC_STEP_MC // span
        return min(mc, TEMPERATURE_HIGH_MC)


class Pulses:
    """Flow from a counter of pulses, each worth ml: from pulse to pulse, and less the longer none comes."""

    def __init__(self, ml):
        self._ml = ml
        self._seen = None  # the counter's state at the last look
        self._count = self._since = 0  # its state, and the time, of the pulse that the window began with
        self._last = 0  # when the last pulse was seen
        self.l_h = 0

    def step(self, count):
        """Take the counter's state, a number that only rises; return l/h, or None while there is none."""
        now = ticks_ms()
        if count is None or self._seen is None or count < self._seen:
            self._seen = self._count = count  # the first look, or a counter that began anew
            self._since = self._last = now
            return None if count is None else self.l_h
        if count > self._seen:
            self._seen = count
            self._last = now
            passed = ticks_diff(now, self._since)
            if passed >= PULSE_WINDOW_MS:
                self.l_h = (count - self._count) * self._ml * ML_PER_MS_TO_L_H // passed
                self._count = count
                self._since = now
            return self.l_h
        silent = ticks_diff(now, self._last)
        if silent >= PULSE_SILENCE_MS:
            self.l_h = 0
            self._count = count
            self._since = self._last = now
        elif silent > 0:  # a flow that were larger would have brought a pulse by now
            self.l_h = min(self.l_h, self._ml * ML_PER_MS_TO_L_H // silent)
        return self.l_h


class OtherKinds:
    """What the inputs need that are neither Pt1000 nor 4-20 mA."""

    def __init__(self, board, inputs):
        self._board = board
        self._ntc = Ntc()
        self._pulses = {i: Pulses(row[3]) for i, row in enumerate(inputs) if row[2] == PULSES}
        self._span = [row[3] for row in inputs]

    def sample(self, i, kind, channel):
        """Return the reading of input i in fixed_point units, or None."""
        board = self._board
        if kind == NTC:
            return self._ntc.mc(board.resistance_mohm(channel))
        if kind == VOLTAGE:
            mv = board.voltage_mv(channel)
            return None if mv > VOLTAGE_FAULT_MV else mv * self._span[i] // VOLTAGE_FULL_MV
        if kind == ONE_WIRE:
            mc = board.one_wire_mc(channel)
            return mc if mc is not None and TEMPERATURE_LOW_MC <= mc <= TEMPERATURE_HIGH_MC else None
        return self._pulses[i].step(board.pulse_count(channel))
