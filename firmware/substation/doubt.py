"""Readings that contradict each other: supply and return the wrong way round for long.

It only tells, by alarm and bits: two sensors swapped at the terminals look like this, and so does one that
has come out of its pocket. Which of them lies, a person must see. It refuses to judge while nothing flows.
"""

from .sensors import NO_PLACE

COLDER_MK = 2_000  # class B sensors differ by 0.6 K at 60 degC, pockets and pipes by more [estimate]
FOR_MS = 1_800_000
OPEN_BP = 2_000  # below this the primary may stand still


class Pair:
    """supply, back: registers of the two readings. valve: whose opening makes it flow."""

    def __init__(self, sensors, supply, back, valve):
        self._value = sensors.value
        self._supply_at = sensors.place(supply)
        self._return_at = sensors.place(back)
        self._valve = valve
        self._ms = 0
        self.bits = 0
        if self._supply_at != NO_PLACE and self._return_at != NO_PLACE:
            self.bits = sensors.bit(self._supply_at) | sensors.bit(self._return_at)

    def step(self, dt_ms):
        """Return the bits of the pair when it has contradicted itself for long enough, else 0."""
        supply_mc = self._value[self._supply_at]
        return_mc = self._value[self._return_at]
        wrong = (
            supply_mc is not None
            and return_mc is not None
            and self._valve.position_bp >= OPEN_BP
            and supply_mc < return_mc - COLDER_MK
        )
        self._ms = min(FOR_MS, self._ms + dt_ms) if wrong else 0
        return self.bits if self._ms >= FOR_MS else 0
