"""One or two plant pumps: which runs, which leads, and for how long each has run.

The second pump joins when the first turns nearly at full speed for a minute, and leaves when both turn
slowly. They change places when their running times have come apart; the next starts before the last one
stops. It refuses to change while both are needed.

Flash: the running times are saved once an hour.
"""

JOIN_BP = 9_500
JOIN_FOR_MS = 60_000
LEAVE_BP = 5_000
LEAVE_FOR_MS = 300_000
OVERLAP_MS = 30_000  # both run while they change places [estimate]
RECORD = "pumps"
RECORD_BYTES = 9
SAVE_EVERY_S = 3_600


class PlantPumps:
    def __init__(self, board, bank, settings, persistence):
        self._board = board
        self._bank = bank
        self._persistence = persistence
        self.count = settings.pumps
        self._change_s = settings.option("pump_change_s")
        self._speed_points = (bank.point("pump_speed_out_pct"), bank.point("pump2_speed_out_pct"))
        self._run_points = (bank.point("pump_run_s"), bank.point("pump2_run_s"))
        self._lead_point = bank.point("lead_pump_number")
        self.run_s = [0, 0]
        self.lead = 0
        saved = persistence.load(RECORD)
        if saved and len(saved) == RECORD_BYTES:
            self.run_s = [int.from_bytes(saved[0:4], "big"), int.from_bytes(saved[4:8], "big")]
            self.lead = saved[8] & 1 if self.count == 2 else 0
        self._saved_s = 0
        self._residue_ms = [0, 0]
        self._on = [False, False]
        self._on[self.lead] = True
        self._join_ms = self._leave_ms = self._overlap_ms = 0
        self._enabled = False

    def step(self, speed_bp, dt_ms):
        """Turn the pumps that are needed at speed_bp; 0 stops all, and takes the enable from them."""
        if self.count == 2 and speed_bp:
            self._decide(speed_bp, dt_ms)
        if speed_bp:
            self._enable(True)  # first: a drive that is told a speed without it may report a fault
        for number in range(self.count):
            bp = speed_bp if self._on[number] else 0
            self._board.pump_speed(bp, number)
            self._bank.put(self._speed_points[number], bp)
            if bp:
                gathered = self._residue_ms[number] + dt_ms
                self._residue_ms[number] = gathered % 1000
                self.run_s[number] += gathered // 1000
            self._bank.put(self._run_points[number], self.run_s[number])
        self._bank.put(self._lead_point, self.lead + 1)
        if not speed_bp:
            self._enable(False)

    def _enable(self, on):
        """Close or open the relay without which no drive turns: 0 V alone is no stop for all of them."""
        if on != self._enabled:
            self._enabled = on
            self._board.pump(on, 0)

    def stop(self):
        """Leave the pumps standing, without an enable."""
        for number in range(self.count):
            self._board.pump_speed(0, number)
        self._enable(False)

    def _decide(self, speed_bp, dt_ms):
        other = 1 - self.lead
        if self._overlap_ms > 0:
            self._overlap_ms -= dt_ms
            if self._overlap_ms <= 0:
                self._on[other] = False
            return
        if not self._on[other]:
            self._leave_ms = 0
            self._join_ms = self._join_ms + dt_ms if speed_bp >= JOIN_BP else 0
            if self._join_ms >= JOIN_FOR_MS:
                self._on[other] = True
                self._join_ms = 0
            elif self.run_s[self.lead] - self.run_s[other] >= self._change_s:
                self.lead = other
                self._on[other] = True
                self._overlap_ms = OVERLAP_MS
            return
        self._leave_ms = self._leave_ms + dt_ms if speed_bp < LEAVE_BP else 0
        if self._leave_ms >= LEAVE_FOR_MS:
            self._on[other] = False

    def save_when_due(self, now_s):
        if now_s - self._saved_s >= SAVE_EVERY_S:
            self._saved_s = now_s
            self._persistence.save(
                RECORD,
                self.run_s[0].to_bytes(4, "big") + self.run_s[1].to_bytes(4, "big") + bytes((self.lead,)),
            )
