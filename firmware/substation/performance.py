"""How well the running program controls, so that the next one can be compared with it.

It refuses to count what is not the controller's doing: the time after a start, time without demand, with a
limiter at work, without a reading, with network water that is not warm enough, or with the valve fully open
and still too little: then the network is too cold. Whole numbers all the way: 0.001 K, or 0.1 mbar.
"""

WINDOW_S = 3_600  # of demand; the loop of a 120 s valve settles in some ten minutes [estimate]
HEAD_MK = 3_000  # network water must be this much warmer than the supply setpoint [estimate]
SETTLING_S = 900  # after a start, left out
MOVED_BP = 500  # of a position or speed
WIDE_BP = 9_900  # a valve as good as open, a pump as good as at full speed
MANUAL = 2  # control_mode_number: what a hand does is not the program's doing
WINDOWS = 4  # the worst of the last ones is what the next program is measured by
NO_OUTDOOR = -32768
NO_READING = (0x8000, 0xFFFF)

# wanted, measured, what it is made from, who decides, whether there is demand, what moves
HOUSE = (
    "secondary_supply_temp_effective_c", "secondary_supply_temp_c", "primary_supply_temp_c",
    "active_limiter_number", "secondary_pump_out_number", "valve_position_out_pct",
)  # fmt: skip
STATION = (
    "plant_dp_effective_bar", "plant_dp_bar", "plant_dp_effective_bar", "active_limiter_number",
    "plant_flow_m3_h", "pump_speed_out_pct",
)  # fmt: skip


class Performance:
    """Mean absolute control error over full windows of demand. house: False for a pump station."""

    def __init__(self, bank, house):
        self._bank = bank
        self._house = house
        self._watched = [bank.point(name) for name in (HOUSE if house else STATION)]
        self._mode_point = bank.point("control_mode_number")
        self._fault_point = bank.point("sensor_fault_bits")
        self._outdoor_point = bank.point("outdoor_temp_c")
        self._first_position = None
        self._age_s = 0
        self._sum = 0
        self._seconds = 0
        self._windows = [0] * WINDOWS
        self.moved = False
        self.demand = False
        self.stands = False  # the pump, or the water; nobody knows without a reading
        self.last_mk = 0  # of the last full window
        self.heated_at_raw = NO_OUTDOOR  # outdoor temperature, 0.01 K, of the last full window

    @property
    def faults(self):
        """The sensors that are lost now, as bits."""
        return self._bank.raw(self._fault_point)

    @property
    def worst_mk(self):
        """The worst of the last full windows, 0 = there was none."""
        return max(self._windows)

    @property
    def outdoor_raw(self):
        """The outdoor temperature in 0.01 K, NO_OUTDOOR without a reading."""
        raw = self._bank.raw(self._outdoor_point)
        return raw - 65536 if raw & 0x8000 else raw

    def step(self, seconds):
        """Take notice of some seconds; True when they filled a window."""
        raw = self._bank.raw
        wanted, measured, source, limiter, running, position = [raw(point) for point in self._watched]
        self._age_s += seconds
        if self._first_position is None:
            self._first_position = position
        self.moved = self.moved or abs(position - self._first_position) >= MOVED_BP
        self.stands = running == 0
        self.demand = (
            running not in (0, 0xFFFF)
            and self._age_s > SETTLING_S
            and limiter == 0
            and raw(self._mode_point) != MANUAL
            and wanted not in NO_READING
            and measured not in NO_READING
            and source not in NO_READING
            and (not self._house or 10 * (source - wanted) >= HEAD_MK)
            and not (position >= WIDE_BP and measured < wanted)
        )
        if not self.demand:
            return False
        self._sum += 10 * abs(wanted - measured) * seconds
        self._seconds += seconds
        if self._seconds < WINDOW_S:
            return False
        self.last_mk = self._sum // self._seconds
        self._windows = self._windows[1:] + [self.last_mk]
        self.heated_at_raw = self.outdoor_raw
        self._sum = self._seconds = 0
        return True

    def restart(self):
        """Begin the window anew."""
        self._sum = self._seconds = 0
