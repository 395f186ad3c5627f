"""Judges a heat meter by itself and by the controller's own sensors, reading by reading.

It only tells, by bits: which of two disagreeing instruments lies, a person must see. What one reading shows
may be the moment's doing, so three in a row are wanted. It refuses to judge without flow and without a
temperature difference, where a meter may say anything.

Limits of a meter of class 2 (EN 1434; MID annex VI): flow 5 % at most, calculator 0.5 % + dTmin/dT, sensors
0.5 % + 3 dTmin/dT, with dTmin = 3 K.
"""

from time import ticks_diff, ticks_ms

from . import mbus_records as records
from .energy import heat_w

# Bits of meter status: what the meter's line, the meter, and this module say.
(
    SILENT, REFUSED, APPLICATION, POWER_LOW, PERMANENT, TEMPORARY, ERROR_FLAGS, CONTRADICTS_POWER,
    CONTRADICTS_SENSORS, SWAPPED, STUCK, NEGATIVE_FLOW, REPLACED,
) = range(13)  # fmt: skip
LOST = 1 << SILENT | 1 << REFUSED
DOUBTFUL = (
    1 << APPLICATION | 1 << PERMANENT | 1 << TEMPORARY | 1 << CONTRADICTS_POWER | 1 << CONTRADICTS_SENSORS
    | 1 << SWAPPED | 1 << STUCK | 1 << NEGATIVE_FLOW
)  # fmt: skip

IN_A_ROW = 3
SMALLEST_DIFFERENCE_MK = 3_000  # dTmin
# Parts in a thousand. 50 flow, 5 calculator, 5 sensors; 40 for the heat coefficient of water, which between
# 10 and 130 degC differs so much from energy.heat_w's (EN 1434-1: 1.163 to 1.107 Wh/(l K)).
STEADY_PERMILLE = 50 + 5 + 5 + 40
BY_DIFFERENCE = 1000 * (1 + 3) * SMALLEST_DIFFERENCE_MK // 100  # (1 + 3) % x dTmin/dT in permille x mK
# What the last digits of flow, power and temperatures make of it [estimate]; a large meter's power has more.
LAST_DIGITS_W = 500
# Two sensors in one pipe: class B at 80 degC 0.7 K each (IEC 60751), pockets, and water that has moved on
# between the meter's look and ours [estimate]
SENSORS_MK = 5_000
BACKWARDS_MK = 2_000  # as doubt.COLDER_MK
MOVED_MK = 5_000  # the own sensor moved so far and the meter's numbers not at all [estimate]
# Heat without a count: three of a house's coarsest usual steps, 10 kWh [estimate], or of the meter's own.
STUCK_WH = 30_000
STUCK_STEPS = 3


class Judge:
    """One meter's history. step() is called with every good reading."""

    def __init__(self):
        self._power_bad = self._sensors_bad = self._swapped = self._same = 0
        self._told = None
        self._own_low = self._own_high = None
        self._energy_wh = self._identity = None
        self._uncounted = 0  # W x ms since the meter's sum last rose
        self._at = 0
        self._replaced = False

    def step(self, reading, own_supply_mc, own_return_mc):
        """Return the bits of this reading. own: what the controller's sensors say, None = nothing."""
        value = reading.value
        bits = _of_status(reading)
        flow_l_h = value[records.FLOW]
        supply_mc = value[records.SUPPLY]
        return_mc = value[records.RETURN]
        if flow_l_h is not None and flow_l_h < 0:
            bits |= 1 << NEGATIVE_FLOW
        flows = flow_l_h is not None and flow_l_h > 0
        self._power_bad = _count(self._power_bad, flows and _power_is_wrong(value, reading.step))
        if self._power_bad >= IN_A_ROW:
            bits |= 1 << CONTRADICTS_POWER
        far = swapped = False
        if flows and supply_mc is not None and return_mc is not None:
            far = _far(supply_mc, own_supply_mc) or _far(return_mc, own_return_mc)
            swapped = supply_mc < return_mc - BACKWARDS_MK
            if far and own_supply_mc is not None and own_return_mc is not None:
                swapped = swapped or not (_far(supply_mc, own_return_mc) or _far(return_mc, own_supply_mc))
        self._sensors_bad = _count(self._sensors_bad, far)
        self._swapped = _count(self._swapped, swapped)
        if self._swapped >= IN_A_ROW:
            bits |= 1 << SWAPPED
        elif self._sensors_bad >= IN_A_ROW:
            bits |= 1 << CONTRADICTS_SENSORS
        if self._stands_still(value, own_supply_mc) or self._does_not_count(value, reading.step):
            bits |= 1 << STUCK
        if self._is_another(reading):
            bits |= 1 << REPLACED
        return bits

    def _stands_still(self, value, own_supply_mc):
        """Say whether the meter repeats itself while the own supply sensor moves."""
        told = (value[records.FLOW], value[records.POWER], value[records.SUPPLY], value[records.RETURN])
        if told != self._told or own_supply_mc is None or value[records.SUPPLY] is None:
            self._told = told
            self._same = 0
            self._own_low = self._own_high = own_supply_mc
            return False
        self._same = min(self._same + 1, IN_A_ROW)
        if self._own_low is None:
            self._own_low = self._own_high = own_supply_mc
        self._own_low = min(self._own_low, own_supply_mc)
        self._own_high = max(self._own_high, own_supply_mc)
        return self._same >= IN_A_ROW and self._own_high - self._own_low >= MOVED_MK

    def _does_not_count(self, value, step):
        """Say whether the meter's own power should have moved its own sum long ago."""
        now = ticks_ms()
        passed_ms = max(0, ticks_diff(now, self._at))  # below 0: lost for a week
        self._at = now
        energy_wh = value[records.ENERGY]
        if energy_wh is None or energy_wh != self._energy_wh:
            self._uncounted = 0
        elif value[records.POWER] is not None:
            self._uncounted += max(0, value[records.POWER]) * passed_ms
        return self._uncounted >= max(STUCK_WH, STUCK_STEPS * step[records.ENERGY]) * 3_600_000

    def _is_another(self, reading):
        """Say whether number or sum show another meter than before; it stays said until a restart."""
        energy_wh = reading.value[records.ENERGY]
        if energy_wh is not None:
            if self._energy_wh is not None and energy_wh < self._energy_wh:
                self._replaced = True
            self._energy_wh = energy_wh
        if reading.identity is not None:
            if self._identity is not None and reading.identity != self._identity:
                self._replaced = True
            self._identity = reading.identity
        return self._replaced


def _of_status(reading):
    """Return the bits for the status byte (EN 13757-3) and the error flags that the meter told."""
    status = reading.status
    bits = 1 << APPLICATION if status & 0x03 else 0
    if status & 0x04:
        bits |= 1 << POWER_LOW
    if status & 0x08:
        bits |= 1 << PERMANENT
    if status & 0x10:
        bits |= 1 << TEMPORARY
    if reading.value[records.FLAGS]:
        bits |= 1 << ERROR_FLAGS
    return bits


def _count(before, wrong):
    return min(before + 1, IN_A_ROW) if wrong else 0


def _far(told_mc, own_mc):
    return own_mc is not None and not -SENSORS_MK <= told_mc - own_mc <= SENSORS_MK


def _power_is_wrong(value, step):
    """Say whether the power told lies outside what flow and temperatures told allow for class 2."""
    power_w, flow_l_h = value[records.POWER], value[records.FLOW]
    supply_mc, return_mc = value[records.SUPPLY], value[records.RETURN]
    if power_w is None or supply_mc is None or return_mc is None:
        return False
    difference_mk = supply_mc - return_mc
    if difference_mk < SMALLEST_DIFFERENCE_MK:
        return False
    expected_w = heat_w(flow_l_h, supply_mc, return_mc)
    permille = STEADY_PERMILLE + BY_DIFFERENCE // difference_mk
    allowed_w = expected_w * permille // 1000 + max(LAST_DIGITS_W, step[records.POWER])
    return not -allowed_w <= power_w - expected_w <= allowed_w
