"""Move a three-point valve to a position, and know where it is without being told.

The position is estimated from the time the relays were on, and made sure of at the end stops by
driving on a little. It refuses moves too small to be worth a relay's life (dead band).
"""

from time import ticks_diff, ticks_ms

from .fixed_point import FULL_BP

DEAD_BAND_BP = 100  # 1 % of the stroke: 0.35 to 1.5 s of the usual actuators (35 to 150 s)
SHORTEST_PULSE_MS = 200  # below this a synchronous motor does not move for sure [estimate]
OVERDRIVE_BP = 1000  # 10 % of the stroke beyond an end stop, then the relay rests


class Valve:
    """stroke_ms: time from end to end. position_bp: where it is taken to stand until an end stop is seen.
    which: the board's number of the valve.

    Nobody tells where the valve stands at the start. It is known for sure once the motor's travel since
    then spans more than a stroke: whatever the start, the last move has then ended at a stop.
    """

    def __init__(self, board, stroke_ms, position_bp=FULL_BP // 2, which=0):
        self._board = board
        self._which = which
        self._stroke_ms = stroke_ms
        self._dead_band_ms = max(SHORTEST_PULSE_MS, stroke_ms * DEAD_BAND_BP // FULL_BP)
        self._overdrive_ms = stroke_ms * OVERDRIVE_BP // FULL_BP
        self._estimate_ms = self._ms_of(position_bp)
        self._beyond_ms = 0  # driven into the end stop so far
        self._travel_ms = self._travel_low_ms = self._travel_high_ms = 0  # since boot, until synced
        self._direction = 0
        self._since = ticks_ms()
        self.spared = False  # the travel budget is spent: smaller moves are let be
        self.starts = 0  # of the motor, since boot
        self.synced = False  # an end stop was reached for sure since boot
        board.valve(0, which)

    @property
    def position_bp(self):
        # in two steps of a hundred: at once 108 s of stroke would leave the 30 bits of a small integer
        hundred = self._estimate_ms * 100
        percent = hundred // self._stroke_ms
        return percent * 100 + (hundred - percent * self._stroke_ms) * 100 // self._stroke_ms

    def _ms_of(self, bp):
        """Return the travel from closed to a position, by parts that stay small integers."""
        whole_ms = self._stroke_ms // FULL_BP
        return bp * whole_ms + bp * (self._stroke_ms - whole_ms * FULL_BP) // FULL_BP

    def recentre(self):
        """Take the valve for half open: the estimate has come to an end that the valve has not seen."""
        self._account()
        self._estimate_ms = self._stroke_ms // 2

    def reassure(self):
        """At an end stop: drive the whole way to it once more. The valve may be where nobody thinks it is."""
        if self._estimate_ms in (0, self._stroke_ms):
            self._beyond_ms = -self._stroke_ms

    def _account(self):
        """Book the time the motor ran since the last call."""
        now = ticks_ms()
        if self._direction:
            ran = ticks_diff(now, self._since) * self._direction
            if not self.synced:
                self._search(ran)
            estimate = self._estimate_ms + ran
            if estimate < 0:
                self._beyond_ms -= estimate
                estimate = 0
            elif estimate > self._stroke_ms:
                self._beyond_ms += estimate - self._stroke_ms
                estimate = self._stroke_ms
            elif 0 < estimate < self._stroke_ms:
                self._beyond_ms = 0
            self._estimate_ms = estimate
        self._since = now

    def _search(self, ran):
        """Widen the travel seen since boot; a span above the stroke means: at the stop now."""
        travel = self._travel_ms = self._travel_ms + ran
        if travel < self._travel_low_ms:
            self._travel_low_ms = travel
        elif travel > self._travel_high_ms:
            self._travel_high_ms = travel
        else:
            return
        if self._travel_high_ms - self._travel_low_ms >= self._stroke_ms + self._overdrive_ms:
            self.synced = True
            self._estimate_ms = self._stroke_ms if ran > 0 else 0
            self._beyond_ms = self._overdrive_ms

    def _to_stop_ms(self, direction):
        """Return how long the motor must still run to be sure of the end stop."""
        if not self.synced:
            seen = self._travel_ms - self._travel_low_ms
            if direction < 0:
                seen = self._travel_high_ms - self._travel_ms
            return self._stroke_ms + self._overdrive_ms - seen
        end_ms = self._stroke_ms if direction > 0 else 0
        left_ms = (end_ms - self._estimate_ms) * direction
        return left_ms + self._overdrive_ms if left_ms else self._overdrive_ms - self._beyond_ms

    def _drive(self, direction):
        self._account()
        if direction != self._direction:
            self._direction = direction
            self._board.valve(direction, self._which)
            if direction:
                self.starts += 1

    def move_to(self, target_bp, period_ms):
        """Start this period's move towards target_bp; return after how many ms to call hold(), 0 = never.

        0 and 10 000 mean the end stops themselves. A move longer than the period goes on in the next.
        """
        self._account()
        if target_bp <= 0 or target_bp >= FULL_BP:
            direction = 1 if target_bp > 0 else -1
            left_ms = self._to_stop_ms(direction)
            if left_ms <= 0:
                self._drive(0)
                return 0
        else:
            distance_ms = self._ms_of(target_bp) - self._estimate_ms
            direction = 1 if distance_ms > 0 else -1
            left_ms = distance_ms * direction
            band_ms = self._dead_band_ms
            if left_ms < (2 * band_ms if self.spared else band_ms):
                self._drive(0)
                return 0
        self._drive(direction)
        return left_ms if left_ms < period_ms else 0

    def hold(self):
        """Stop the motor where it is."""
        self._drive(0)
