"""Kill legionella by heat, once a day or a week, and keep the proof: held how long, how cold at the coldest.

The coldest of tank and circulation counts, without a break: a dip begins the time anew. A run that can no
longer hold long enough in the time left tells so at once, not at its end. It refuses to call a run passed
that it has not measured. The alarm of a failed run stands until one has passed [firmware.md R9, R10].

Without valid time a run begins when the interval has passed since the last one, counted in time of running
and kept in flash (S11).

Flash: saved when a run begins and ends, and every six hours: at most 6 writes a day.
"""

NEVER, RUNNING, PASSED, NOT_HELD, SENSOR_LOST = range(5)
RECORD = "legionella"
RECORD_BYTES = 13
SAVE_EVERY_S = 21_600
TOLERANCE_MK = 500  # of the sensor and its pocket: held counts from so little below [estimate]
UNKNOWN_AGE_S = 0xFFFFFFFE
MISSED_S = 86_400
LOST_FOR_MS = 300_000  # so long nothing may be measured in a run


class Legionella:
    ONLY_BOOTING = ("_load",)

    def __init__(self, bank, settings, sensors, persistence, local_time):
        fixed = settings.fixed
        self._bank = bank
        self._value = sensors.value
        self._places = [
            place
            for place in (
                sensors.place(name)
                for name in ("dhw_tank_top_temp_c", "dhw_tank_bottom_temp_c", "dhw_circulation_temp_c")
            )
            if place >= 0
        ] or [sensors.place("dhw_supply_temp_c")]
        self._persistence = persistence
        self._local = local_time
        self.temp_mc = fixed("legionella_temp_c")
        self._hold_ms = fixed("legionella_hold_s") * 1000
        self._longest_ms = fixed("legionella_duration_maximum_s") * 1000
        self._interval_s = fixed("legionella_interval_s")
        self._day = fixed("legionella_day_number")
        self._minute = fixed("legionella_start_number")
        self._points = [
            bank.point(name)
            for name in (
                "legionella_result_number", "legionella_held_s", "legionella_minimum_temp_c",
                "legionella_started_age_s", "legionella_passed_age_s",
            )
        ]  # fmt: skip
        self.result = NEVER
        self.held_ms = 0
        self.minimum_mc = None
        self._started_age_s = 0  # a new device waits for one interval, unless the hour comes first
        self._passed_age_s = UNKNOWN_AGE_S
        self._load()
        self._residue_ms = 0
        self._run_ms = 0
        self._lost_ms = 0
        self._began_on = None  # the local day of the last run by the clock
        self._saved_s = 0
        self.running = False
        self.failed = self.result in (NOT_HELD, SENSOR_LOST)  # or bound to fail: told early

    def _load(self):
        saved = self._persistence.load(RECORD)
        if saved and len(saved) == RECORD_BYTES and saved[0] <= SENSOR_LOST:
            # a run that a power cut ended did not hold
            self.result = NOT_HELD if saved[0] == RUNNING else saved[0]
            self.held_ms = int.from_bytes(saved[1:3], "big") * 1000
            minimum_ck = int.from_bytes(saved[3:5], "big")
            self.minimum_mc = minimum_ck * 10 if minimum_ck else None
            self._started_age_s = int.from_bytes(saved[5:9], "big")
            self._passed_age_s = int.from_bytes(saved[9:13], "big")

    def _save(self):
        minimum_ck = 0 if self.minimum_mc is None else max(0, self.minimum_mc // 10)
        self._persistence.save(
            RECORD,
            bytes((self.result,))
            + min(65534, self.held_ms // 1000).to_bytes(2, "big")
            + minimum_ck.to_bytes(2, "big")
            + self._started_age_s.to_bytes(4, "big")
            + self._passed_age_s.to_bytes(4, "big"),
        )

    def coldest_mc(self):
        """Return the coldest place that is measured, or None."""
        coldest_mc = None
        for place in self._places:
            mc = self._value[place]
            if mc is not None and (coldest_mc is None or mc < coldest_mc):
                coldest_mc = mc
        return coldest_mc

    def step(self, now_s, dt_ms):
        """Age, begin and judge; running says whether DHW shall be hot enough to kill."""
        gathered = self._residue_ms + dt_ms
        self._residue_ms = gathered % 1000
        seconds = gathered // 1000
        self._started_age_s = min(UNKNOWN_AGE_S, self._started_age_s + seconds)
        if self._passed_age_s != UNKNOWN_AGE_S:
            self._passed_age_s = min(UNKNOWN_AGE_S - 1, self._passed_age_s + seconds)
        if self.running:
            self._judge(dt_ms)
        elif self._due():
            self._begin()
        self._publish()

    def _due(self):
        local = self._local
        if local is None or not local.valid:
            return self._started_age_s >= self._interval_s
        if self._started_age_s >= self._interval_s + MISSED_S:
            return True  # the hour was missed, say without power
        if self._day != 7 and local.weekday != self._day:
            return False
        return local.minute == self._minute and self._began_on != local.day

    def _begin(self):
        self.running = True
        self.result = RUNNING
        self.held_ms = self._run_ms = self._lost_ms = 0
        self.minimum_mc = None
        self._started_age_s = 0
        self._began_on = self._local.day if self._local is not None and self._local.valid else None
        self._save()

    def _judge(self, dt_ms):
        self._run_ms += dt_ms
        coldest_mc = self.coldest_mc()
        if coldest_mc is not None:
            self._lost_ms = 0
        if coldest_mc is None:
            self.held_ms = 0
            self._lost_ms += dt_ms
            if self._lost_ms >= LOST_FOR_MS:
                self._end(SENSOR_LOST)
                return
        elif coldest_mc < self.temp_mc - TOLERANCE_MK:
            self.held_ms = 0
            self.minimum_mc = None
        else:
            self.held_ms += dt_ms
            if self.minimum_mc is None or coldest_mc < self.minimum_mc:
                self.minimum_mc = coldest_mc
        if self.held_ms >= self._hold_ms:
            self._end(PASSED)
        elif self._run_ms >= self._longest_ms:
            self._end(NOT_HELD)
        elif self._longest_ms - self._run_ms < self._hold_ms - self.held_ms:
            self.failed = True

    def _end(self, result):
        self.running = False
        self.result = result
        self.failed = result != PASSED
        if result == PASSED:
            self._passed_age_s = 0
        self._save()

    def _publish(self):
        values = (
            self.result,
            self.held_ms // 1000,
            self.minimum_mc,
            self._started_age_s,
            None if self._passed_age_s == UNKNOWN_AGE_S else self._passed_age_s,
        )
        for i in range(len(values)):
            self._bank.put(self._points[i], values[i])

    def save_when_due(self, now_s):
        if now_s - self._saved_s >= SAVE_EVERY_S:
            self._saved_s = now_s
            self._save()
