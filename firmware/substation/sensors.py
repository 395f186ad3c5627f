"""Turn what is measured at a sensor's terminals into temperatures, pressure and flow.

It refuses to guess: an open or shorted sensor, a cut current loop or a reading outside the sensor's
range gives None, after a short patience with a loose contact. What the loops do then stands in
`fallbacks`.

Pt1000: IEC 60751, R(t) = R0 (1 + A t + B t^2 + C (t - 100) t^3), the last term below 0 degC only.
4-20 mA: NAMUR NE 43, below 3.6 mA or above 21 mA is a fault, 3.8 to 20.5 mA measures.
"""

R0_MOHM = 1_000_000
A = 3.9083e-3
B = -5.775e-7
C = -4.183e-12

# Knots every 10 K. Between them the curve bulges above its chord by at most |B| R0 (h/2)^2 = 14.4 mohm
# = 3.8 mK; correcting by that parabola leaves less than 0.2 mK.
KNOT_FIRST_MC = -50_000
KNOT_STEP_MC = 10_000
KNOTS = 23  # up to 170 degC
BULGE_MOHM = 57.75  # |B| R0 h^2 at full scale of f (1 - f)

TEMPERATURE_LOW_MC = -40_000  # what the registers can tell, and what the sensors are built for
TEMPERATURE_HIGH_MC = 150_000
FAULT_LOW_UA = 3_600
FAULT_HIGH_UA = 21_000
ZERO_UA = 4_000
SPAN_UA = 16_000

PATIENCE = 3  # bad samples in a row before a sensor counts as lost: 6 s
RECOVERY = 5  # good samples in a row before it is trusted again: 10 s

PT1000, LOOP, NTC, VOLTAGE, ONE_WIRE, PULSES = range(6)  # as named in site_functions.KINDS
NO_PLACE = -1  # where an input that is not wired reads: always None, and no fault
JUMP_MK = 40_000  # no pipe changes so fast in 2 s [estimate]


def resistance_mohm(temp_c):
    """Return the resistance of a Pt1000 at temp_c, in mohm (IEC 60751)."""
    ratio = 1 + A * temp_c + B * temp_c * temp_c
    if temp_c < 0:
        ratio += C * (temp_c - 100) * temp_c * temp_c * temp_c
    return int(round(R0_MOHM * ratio))


_knots = [resistance_mohm((KNOT_FIRST_MC + i * KNOT_STEP_MC) // 1000) for i in range(KNOTS)]


def pt1000_mc(mohm):
    """Return the temperature of a Pt1000 in 0.001 degC, or None for open, short or out of range."""
    if mohm <= _knots[0] or mohm >= _knots[KNOTS - 1]:
        return None
    i = 0
    step = 16  # the largest power of two below KNOTS
    while step:
        if i + step < KNOTS and _knots[i + step] <= mohm:
            i += step
        step >>= 1
    low = _knots[i]
    rise = _knots[i + 1] - low
    along = (mohm - low) * KNOT_STEP_MC // rise
    bulge = 5775 * (along * (KNOT_STEP_MC - along) // 10_000) // 1_000_000  # mohm above the chord
    mc = KNOT_FIRST_MC + i * KNOT_STEP_MC + (mohm - bulge - low) * KNOT_STEP_MC // rise
    return mc if TEMPERATURE_LOW_MC <= mc <= TEMPERATURE_HIGH_MC else None


def loop_value(ua, span):
    """Return 0..span for 4-20 mA given in uA, or None for a fault (NAMUR NE 43)."""
    if ua < FAULT_LOW_UA or ua > FAULT_HIGH_UA:
        return None
    if ua <= ZERO_UA:
        return 0
    # by parts that stay small integers: a plant's 500 m3/h would leave 30 bits at once
    whole = span // SPAN_UA
    return (ua - ZERO_UA) * whole + (ua - ZERO_UA) * (span - whole * SPAN_UA) // SPAN_UA


def _nothing(*_):
    """Stands for the kinds and dampings that no input of this site has."""


class Sensors:
    """The inputs of one controller. After read(), value[place] is the reading in fixed_point units.

    inputs: rows of site_functions. filters: {register: time constant in ms} of damped inputs.
    """

    def __init__(self, board, bank, inputs, filters=None):
        self._board = board
        self._bank = bank
        self._names = [row[0] for row in inputs]
        self._channel = [row[1] for row in inputs]
        self._kind = [row[2] for row in inputs]
        self._span = [row[3] for row in inputs]
        self._points = [bank.point(name) for name in self._names]
        self._fault_point = bank.point("sensor_fault_bits")
        count = len(inputs)
        self.value = [None] * (count + 1)  # the last stays None: NO_PLACE
        self._trust = [-RECOVERY] * count  # above 0: patience left; below 0: good samples still wanted
        self._sample = [None] * count
        self._other = self._damp = _nothing
        if any(kind > LOOP for kind in self._kind):
            from .sensor_kinds import OtherKinds

            self._other = OtherKinds(board, inputs).sample
        if filters:
            from .damping import Damping

            self._damp = Damping(self._names, filters).step
        self.fault_bits = 0  # bit = the board's channel
        self._first = True

    def place(self, name):
        """Return where the reading of this register stands in value. Only while booting."""
        return self._names.index(name) if name in self._names else NO_PLACE

    def bit(self, place):
        """Return the input's bit in sensor_fault_bits."""
        return 1 << self._channel[place]

    def read(self):
        """Sample every input once, publish, and keep the result in value."""
        board = self._board
        board.sample()
        faults = 0
        for i in range(len(self._channel)):
            channel = self._channel[i]
            kind = self._kind[i]
            if kind == PT1000:
                sample = pt1000_mc(board.resistance_mohm(channel))
            elif kind == LOOP:
                sample = loop_value(board.current_ua(channel), self._span[i])
            else:
                sample = self._other(i, kind, channel)
            value = self._judge(i, self._plausible(i, kind, sample))
            if self._damp is not _nothing:
                value = self._damp(i, value)
            self.value[i] = value
            self._bank.put(self._points[i], value)
            if value is None:
                faults |= 1 << channel
        self._first = False
        self.fault_bits = faults
        self._bank.put(self._fault_point, faults)

    def _plausible(self, i, kind, sample):
        """Return the sample, or None when a temperature jumped as no water can."""
        before = self._sample[i]
        self._sample[i] = sample
        if sample is None or before is None or kind in (LOOP, VOLTAGE, PULSES):
            return sample
        return sample if -JUMP_MK <= sample - before <= JUMP_MK else None

    def _judge(self, i, sample):
        """Return what to believe: the sample, the last good one for PATIENCE samples, or None."""
        trust = self._trust[i]
        if sample is not None:
            if self._first or trust > 0:
                trust = PATIENCE
            elif trust < 0:  # lost: counts up to zero through RECOVERY good samples
                trust += 1
                if trust == 0:
                    trust = PATIENCE
            self._trust[i] = trust
            return sample if trust > 0 else None
        if trust > 1:
            self._trust[i] = trust - 1
            return self.value[i]
        self._trust[i] = -RECOVERY
        return None
