"""Whether a new image controls no worse than the one before it (S10). Loaded only while one is on trial.

It refuses to judge what is not the image's doing: a silent supervisor counts for nothing, and time with
network water too cold to heat with, or without a reading of the supply, is left out. It never waits for
ever: without demand, sensors that all answer and a valve that moved make an image provisional.

  control error over WINDOW_S of demand, no worse than before   confirmed
  the same, but worse                                           given up
  nothing to judge for IDLE_S, sensors answer, valve moved      provisional; judged when demand comes
  a sensor lost that answered before the update                 nothing is decided while it lasts
"""

WINDOW_S = 3_600  # of demand; the loop of a 120 s valve settles in some ten minutes [estimate]
SETTLING_S = 900  # after a start, left out
IDLE_S = 24 * 3_600
WORSE_SHARE = 4  # a quarter more error than before [estimate]
WORSE_MK = 500  # and half a kelvin, for loops that were nearly without error [estimate]
UNKNOWN_MK = 2_000  # the error allowed where nothing is known of the program before [estimate]
HEAD_MK = 3_000  # network water must be this much warmer than the supply setpoint [estimate]

WAIT, CONFIRM, GIVE_UP, PROVISIONAL = range(4)


class ErrorMean:
    """Mean absolute control error over the last full window of demand, mK; whole numbers all the way."""

    def __init__(self):
        self._sum = 0  # mK s
        self._seconds = 0
        self.last_mk = 0  # of the last window that was full, 0 = none yet
        self.windows = 0

    def add(self, error_mk, seconds):
        """Count an error that stood for some seconds; True when that filled a window."""
        self._sum += abs(error_mk) * seconds
        self._seconds += seconds
        if self._seconds < WINDOW_S:
            return False
        self.last_mk = self._sum // self._seconds
        self.windows += 1
        self._sum = self._seconds = 0
        return True


class Proving:
    """One trial. before_mk: the error of the program before, 0 = unknown; before_faults: its lost sensors."""

    def __init__(self, before_mk, before_faults):
        self._allowed_mk = before_mk + before_mk // WORSE_SHARE + WORSE_MK if before_mk else UNKNOWN_MK
        self._before_faults = before_faults
        self._mean = ErrorMean()
        self._idle_s = 0
        self._age_s = 0
        self._moved = False

    def step(self, seconds, demand, error_mk, head_mk, faults, moved):
        """Take notice of some seconds of control.

        demand: heat is wanted and nothing but the supply controller decides. error_mk: setpoint minus
        supply, None without a reading. head_mk: network supply minus setpoint, None without a reading.
        faults: sensors lost now, as bits. moved: the valve followed its drive.
        """
        self._age_s += seconds
        self._moved = self._moved or moved
        if faults & ~self._before_faults:
            return WAIT
        if demand and error_mk is not None and head_mk is not None and head_mk >= HEAD_MK:
            self._idle_s = 0
            if self._age_s <= SETTLING_S or not self._mean.add(error_mk, seconds):
                return WAIT
            return CONFIRM if self._mean.last_mk <= self._allowed_mk else GIVE_UP
        self._idle_s += seconds
        if self._idle_s >= IDLE_S and self._moved:
            self._idle_s = 0
            return PROVISIONAL
        return WAIT
