"""Comfort or set-back by the week's schedule, beginning early enough and ending early where that suffices.

It refuses to save heat without knowing the time: then it is always comfort (S11).
"""

from .heating_circuit import of_circuit
from .local_time import Week

COMFORT, SET_BACK, HOLIDAY, EARLY_START, EARLY_STOP, NO_TIME = range(6)

# Heating up begins so early for each kelvin the room is too cold, or by the weather where no room is
# measured: at the cold end the longest time, at the warm end none [estimate].
MIN_PER_K = 30
COLD_MC = -15_000
WARM_MC = 15_000
ROOM_READY_MK = 250  # so close to comfort the room may be for the heating to end early [estimate]


class Comfort:
    """number: heating circuit 0 or 1. step() gives the shift of the supply, 0.001 K, never above 0."""

    def __init__(self, bank, settings, number, local_time):
        self._bank = bank
        self._local = local_time
        self._week = Week(settings.schedule(number), settings.holidays)
        self._setback_mk = settings.fixed(of_circuit("curve_setback_k", number))
        self._room_mc = settings.fixed(of_circuit("room_comfort_temp_c", number))
        self._start_max_min = settings.fixed(of_circuit("optimum_start_maximum_s", number)) // 60
        self._stop_max_min = settings.fixed(of_circuit("optimum_stop_maximum_s", number)) // 60
        self._point = bank.point(of_circuit("schedule_mode_number", number))
        self.mode = NO_TIME

    @property
    def comfort(self):
        return self.mode in (COMFORT, EARLY_START, NO_TIME)

    def step(self, outdoor_mc, room_mc):
        """Return what the schedule adds to the supply setpoint now."""
        self.mode = self._decide(outdoor_mc, room_mc)
        self._bank.put(self._point, self.mode)
        return 0 if self.comfort else -self._setback_mk

    def _decide(self, outdoor_mc, room_mc):
        local = self._local
        if not local.valid:
            return NO_TIME
        left = self._week.end_of_period(local)
        if left:
            return EARLY_STOP if left <= self._stop_min(outdoor_mc, room_mc) else COMFORT
        wait = self._week.next_start(local)
        if wait is not None and wait <= self._start_min(outdoor_mc, room_mc):
            return EARLY_START
        return HOLIDAY if self._week.holiday(local.day) else SET_BACK

    def _start_min(self, outdoor_mc, room_mc):
        longest = self._start_max_min
        if not longest:
            return 0
        if room_mc is not None:
            missing_mk = self._room_mc - room_mc
            return min(longest, max(0, missing_mk * MIN_PER_K // 1000))
        return longest * self._cold_share(outdoor_mc) // 1000

    def _stop_min(self, outdoor_mc, room_mc):
        longest = self._stop_max_min
        if not longest or (room_mc is not None and room_mc < self._room_mc - ROOM_READY_MK):
            return 0
        return longest * (1000 - self._cold_share(outdoor_mc)) // 1000

    def _cold_share(self, outdoor_mc):
        """Return 1000 at the cold end, 0 at the warm end; an unknown weather counts as cold."""
        if outdoor_mc is None or outdoor_mc <= COLD_MC:
            return 1000
        return max(0, (WARM_MC - outdoor_mc) * 1000 // (WARM_MC - COLD_MC))
