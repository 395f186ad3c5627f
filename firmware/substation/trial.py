"""Whether a new image controls no worse than the one before it (S10). Loaded only while one is on trial.

It refuses to judge what is not the image's doing (see `performance`): a silent supervisor and a cold network
count for nothing. It never waits for ever, and it does not take the image's word that no heat is wanted
where the program before was heating.

  control error over an hour of demand, no worse than before       confirmed
  the same, but worse                                              given up
  nothing runs for OFF_S, and it is no warmer outside than when
    the program before was heating                                 given up
  no demand for IDLE_S, sensors answer, valve moved                provisional; judged when demand comes
  a sensor lost that answered before the update                    nothing is decided while it lasts
"""

from .performance import NO_OUTDOOR
from .slots import WORSE, Slots

OFF_S = 12 * 3_600  # longer than a night's set-back [estimate]
IDLE_S = 24 * 3_600
WORSE_SHARE = 4  # a quarter more error than before [estimate]
WORSE_MK = 500  # and half a kelvin, for loops that were nearly without error [estimate]
UNKNOWN_MK = 2_000  # the error allowed where nothing is known of the program before [estimate]

WAIT, CONFIRM, GIVE_UP, PROVISIONAL = range(4)


class Trial:
    """slots: the record as it is at the start of the trial."""

    def __init__(self, slots):
        before_mk = slots.worst_mk
        self._allowed_mk = before_mk + before_mk // WORSE_SHARE + WORSE_MK if before_mk else UNKNOWN_MK
        self._before_faults = slots.faults
        self._heated_at_raw = slots.outdoor_raw
        self._idle_s = 0
        self._off_s = 0

    def judge(self, seconds, performance):
        """Take notice of some seconds of control; return what is to be done."""
        full = performance.step(seconds)
        if performance.faults & ~self._before_faults:
            performance.restart()
            return WAIT
        outdoor_raw = performance.outdoor_raw
        as_cold = NO_OUTDOOR != outdoor_raw <= self._heated_at_raw != NO_OUTDOOR
        self._off_s = self._off_s + seconds if performance.stands and as_cold else 0
        if self._off_s >= OFF_S:
            return GIVE_UP
        if performance.demand:
            self._idle_s = 0
            if not full:
                return WAIT
            return CONFIRM if performance.last_mk <= self._allowed_mk else GIVE_UP
        self._idle_s += seconds
        if self._idle_s >= IDLE_S and performance.moved:
            self._idle_s = 0
            return PROVISIONAL
        return WAIT

    def step(self, seconds, performance, persistence, publish, reset):
        """Judge, keep the verdict, act on it; True when the trial is over."""
        verdict = self.judge(seconds, performance)
        if verdict == WAIT:
            return False
        slots = Slots(persistence)
        if verdict == GIVE_UP:
            print("update: control is worse than before; going back")
            if slots.give_up(WORSE):
                reset()
            return False
        if verdict == PROVISIONAL:
            slots.call_provisional()
        elif slots.confirm():
            print("update: version %d is confirmed" % slots.version[slots.active])
        else:
            return False  # the flash refused: the next window decides again
        publish(slots)
        return verdict == CONFIRM
