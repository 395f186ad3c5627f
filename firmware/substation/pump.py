"""A circulation pump: runs while wanted and a little longer, and turns once a day when it rests.

It refuses to stand still for weeks: a pump that never turns seizes. The exercises of a town are spread,
because each device begins its count elsewhere.
"""

AFTERRUN_MS = 120_000
IDLE_MS = 24 * 3_600_000  # Samson 5573: exercise after 24 h idle
EXERCISE_MS = 60_000


class Pump:
    """which: the board's number of the pump. spread_s: by how much later than others it is exercised."""

    stands = False  # it is told to run and says that it does not: see pump_feedback

    def __init__(self, board, which, bank, point, spread_s):
        self._board = board
        self._which = which
        self._bank = bank
        self._point = point
        self._idle_ms = -1000 * spread_s
        self._afterrun_ms = 0
        self.manual_bp = None  # what a technician wants of it: 0 is off
        self.on = False

    def wanted(self, asked, dt_ms):
        """Take the wish of this period into account and switch."""
        run = self._demand(asked) or self._afterrun(dt_ms) or self._exercise()
        self._idle_ms = 0 if run else self._idle_ms + dt_ms
        if run != self.on:
            self.on = run
            self._board.pump(run, self._which)
        self._bank.put(self._point, 1 if run else 0)

    def _demand(self, asked):
        if asked:
            self._afterrun_ms = AFTERRUN_MS
        return asked

    def _afterrun(self, dt_ms):
        if self._afterrun_ms <= 0:
            return False
        self._afterrun_ms -= dt_ms
        return True

    def _exercise(self):
        if self._idle_ms < IDLE_MS:
            return False
        self._afterrun_ms = EXERCISE_MS
        return True

    def stop_now(self):
        """Switch off without afterrun: whoever calls knows that running on would do harm."""
        self._afterrun_ms = 0
        if self.on:
            self.on = False
            self._board.pump(False, self._which)
        self._bank.put(self._point, 0)
