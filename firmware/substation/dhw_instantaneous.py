"""Instantaneous DHW: the tap's flow moves the valve at once, the temperature corrects what that misses.

A draw-off is seen by its flow. Without a flow sensor it is seen by a falling temperature, and the exchanger
is never left to cool. It refuses to wait for the temperature: with a 30 s actuator that alone takes four
times as long to come back into its band [hil.md 3].
"""

from .dhw import HEATING, WARM, Dhw
from .fixed_point import FULL_BP
from .pi_controller import PI

TAP_L_H = 60  # a litre in a minute is a draw-off [estimate]
COLD_MC = 10_000  # cold water [estimate]
PRIMARY_LOST_MC = 70_000  # the summer's supply [domain.md 4.2: DHW floor 70-75]
APPROACH_MK = 15_000  # so far above cold water the primary leaves a good exchanger [estimate]
DP_LOST_MBAR = 1_000
KEEP_BELOW_MK = 5_000  # without draw-off the exchanger is kept so far below, and comes back by itself
# A loop that circulates takes the exchanger through a narrow band in minutes: one of 2.5 K meant three times
# as many motor starts [emulated house].
KEEP_BAND_MK = 4_000
# By a valve so far open: 5 % warmed the outlet past the hysteresis in seconds and left the loop cold, 80
# motor starts in an hour and a half; 2 % let the service pipe and its meter stand in summer [emulated house].
# Where it does not do, because of the valve's curve or play, a hundredth more a minute.
KEEP_BP = 300
KEEP_MOST_BP = 1_000
KEEP_WAIT_MS = 60_000  # so long an opening is given to warm the exchanger [estimate]
# A service pipe that has cooled has to run out before any controller can help: it is kept as warm as the
# exchanger in comfort periods. Where that does not do, the network is cold or the sensor sits elsewhere.
HOLD_MOST_MS = 900_000  # ten litres come in some ten minutes [emulated house]
HOLD_PAUSE_MS = 3_600_000  # [estimate]
CORRECTION_BP = 6_000  # share of the feed-forward that the temperature may take
# and add: a motor at a quarter of its speed asks for that, or half a kv left [emulated faults]
CORRECTION_MORE_BP = 40_000
# The correction is a share of the feed-forward, so that the gain follows the flow: 45 K above cold water for
# the whole of it is a static gain of one, and these bands stay well below [estimate].
CORRECTION_BAND_MK = 90_000
CORRECTION_INTERVAL_MS = 25_000
# A tap that stays so cold though the valve stands where it was told is no matter of tuning: a motor much
# slower than told has left it behind [emulated faults]. The correction then goes so many times as fast.
SHORT_MK = 5_000  # VDI 6003 level I [hil.md A1]
SHORT_MS = 10_000  # the exchanger's lag [estimate]
SHORT_TIMES = 4
THERE_BP = 200
# An exchanger that grew cold while the valve had to stay shut (end stop, scald limit) is filled from below:
# that it is cold is no fault of the feed-forward, and what the correction gathers by it scalds soon after.
# The first seconds of a tap make even an exchanger that was kept warm 5 to 13 K colder than wanted: it stands
# KEEP_BELOW_MK below, and the cold water is there before the valve has moved [emulated house]. What is colder
# than that was not kept warm.
FILLING_MK = 15_000
FILLED_MK = 5_000
FILLING_MS = 30_000  # the actuator's way and the exchanger's lag [estimate]
FILLING_BP = -2_500  # at 2 l/min the feed-forward alone is so much too much [emulated exchanger]
# What stood in the exchanger is hot and passes the return sensor first: a return limit that shut the valve
# for it would leave the tap cold for a minute and a half [emulated house].
STANDING_MS = 30_000
BLIND_BAND_MK = 200_000  # without a flow sensor the gain must suit the smallest draw-off [estimate]
BLIND_INTEGRAL_MS = 30_000
BLIND_END_MK = 4_000  # so much too hot, nothing is drawn any more
LOOP_MK = (
    5_000  # what circulation may lose on its way round, made up for while legionella are killed [estimate]
)
SWING_MK = 1_000  # what a valve's dead band swings the outlet by: a run that aims lower is never held [rig]


def root(number):
    """Return the whole square root of a whole number."""
    if number < 2:
        return number
    guess = number
    better = (guess + 1) // 2
    while better < guess:
        guess = better
        better = (guess + number // guess) // 2
    return guess


class InstantaneousDhw(Dhw):
    def __init__(self, board, bank, settings, sensors, limits, alarm_bits, persistence, local_time, spread_s):
        super().__init__(
            board, bank, settings, sensors, limits, alarm_bits, persistence, local_time, spread_s
        )
        self._flow_at = sensors.place("dhw_flow_m3_h")
        self._primary_at = sensors.place("primary_supply_temp_c")
        self._dp_at = sensors.place("primary_dp_bar")
        self._kv_l_h = settings.fixed("dhw_valve_flow_m3_h")
        self._pi = PI(BLIND_BAND_MK, BLIND_INTEGRAL_MS)
        self._pi.track(0 if self._seek_stop else self.valve.position_bp, 0)
        self._correction = PI(CORRECTION_BAND_MK, CORRECTION_INTERVAL_MS, -CORRECTION_BP, CORRECTION_MORE_BP)
        self._correction.track(0, 0)
        self._tapping = False
        self._keeping = False
        self._keep_ms = 0
        self._hold_ms = 0  # the pipe has been warmed for so long; below 0 that is given up for so long
        self._filling_ms = 0
        self._standing_ms = 0
        self._short_ms = 0

    def _wanted(self, killing):
        wanted_mc = super()._wanted(killing)
        if killing and self.supply_mc is not None:
            coldest_mc = self.legionella.coldest_mc()
            if coldest_mc is not None:  # the farthest place that is measured shall be hot enough
                wanted_mc += max(SWING_MK, min(LOOP_MK, self.supply_mc - coldest_mc))
        return wanted_mc

    def feed_forward_bp(self):
        """Return where the valve has to stand for the flow drawn now, by the exchanger's heat balance."""
        flow_l_h = self._value[self._flow_at]
        if flow_l_h is None:
            return 0
        primary_mc = self._value[self._primary_at]
        if primary_mc is None or self._limits.contradicted:
            primary_mc = PRIMARY_LOST_MC
        dp_mbar = self._value[self._dp_at]
        if dp_mbar is None:
            dp_mbar = DP_LOST_MBAR
        cooled_mk = max(10_000, primary_mc - COLD_MC - APPROACH_MK)
        primary_l_h = flow_l_h * max(0, self.wanted_mc - COLD_MC) // cooled_mk
        open_l_h = self._kv_l_h * root(max(100, dp_mbar) * 1000) // 1000  # kv at this dp
        return min(FULL_BP, primary_l_h * FULL_BP // max(1, open_l_h))

    def _decide_demand(self, dt_ms):
        flow_l_h = self._value[self._flow_at]
        supply_mc = self.supply_mc
        if flow_l_h is not None:
            tapping = flow_l_h >= TAP_L_H
        else:
            hot_mc = self.wanted_mc + (BLIND_END_MK if self._tapping else 0)
            tapping = supply_mc is not None and supply_mc < hot_mc
        if self.legionella.running:
            tapping = True  # the circulation carries the heat away
        if tapping and not self._tapping:
            self._correction.track(self._correction.output_bp, 0)
            self._standing_ms = STANDING_MS
        self._standing_ms = max(0, self._standing_ms - dt_ms)
        self._limiter.standing = self._standing_ms > 0
        self._tapping = self.active = tapping

    def _no_demand(self, dt_ms):
        if self._tapping:
            return None
        warm_mc = self.wanted_mc - KEEP_BELOW_MK
        coldest_mc = self._coldest_mc(warm_mc, dt_ms)
        if coldest_mc < warm_mc:
            self._keeping = True
            self._keep_ms = min(self._keep_ms + dt_ms, KEEP_WAIT_MS * (KEEP_MOST_BP - KEEP_BP) // 100)
        elif coldest_mc > warm_mc + KEEP_BAND_MK:
            self._keeping = False
            self._keep_ms = 0
        super()._no_demand(dt_ms)
        if not self._keeping or not self.valve.synced:
            return 0
        self.state = WARM
        return self._limited(KEEP_BP + self._keep_ms // KEEP_WAIT_MS * 100, 0, dt_ms)

    def _coldest_mc(self, warm_mc, dt_ms):
        """Return the exchanger's temperature, or that of the service pipe where it has to be warmed."""
        supply_mc = self.supply_mc
        pipe_mc = self._value[self._primary_at]
        if self._hold_ms < 0:
            self._hold_ms = min(0, self._hold_ms + dt_ms)
            return supply_mc
        # the exchanger is as warm as it may become without a draw-off, or the period asks for less
        if pipe_mc is None or not warm_mc <= supply_mc < self.wanted_mc or self.wanted_mc < self._comfort_mc:
            return supply_mc
        if pipe_mc < warm_mc:
            self._hold_ms += dt_ms
            if self._hold_ms > HOLD_MOST_MS:
                self._hold_ms = -HOLD_PAUSE_MS
                return supply_mc
        elif not self._keeping:
            self._hold_ms = 0
        return min(supply_mc, pipe_mc)

    def _controlled(self, dt_ms):
        error_mk = self.wanted_mc - self.supply_mc
        if self.state != HEATING and error_mk > FILLING_MK:
            self._filling_ms = FILLING_MS
        self.state = HEATING
        # a feed-forward needs a position that is known: after a reset, the temperature alone until it is
        if self._value[self._flow_at] is None or self.legionella.running or not self.valve.synced:
            return self._limited(self._pi.step(error_mk, dt_ms), error_mk, dt_ms)
        ahead_bp = self.feed_forward_bp()
        if self._filling_ms > 0:
            self._filling_ms = self._filling_ms - dt_ms if error_mk > FILLED_MK else 0
            self._correction.track(FILLING_BP, error_mk + error_mk * dt_ms // CORRECTION_INTERVAL_MS)
        there = -THERE_BP <= self._target_bp - self.valve.position_bp <= THERE_BP
        self._short_ms = self._short_ms + dt_ms if there and error_mk > SHORT_MK else 0
        hurry = SHORT_TIMES if self._short_ms > SHORT_MS else 1  # the correction alone: no limiter hurries
        before_bp = self._correction.output_bp
        wanted_bp = ahead_bp * (FULL_BP + self._correction.step(error_mk, dt_ms * hurry)) // FULL_BP
        within_bp = max(0, min(FULL_BP, wanted_bp))
        target_bp = self._limited(within_bp, error_mk, dt_ms)
        # Nothing winds up behind a stop or a limiter. What a limiter takes is no fault of the feed-forward:
        # the correction waits as it was, or the tap would stay cold long after the limiter has let go.
        if target_bp != within_bp:
            self._correction.track(before_bp, error_mk)
        elif within_bp != wanted_bp:
            self._correction.track((within_bp - ahead_bp) * FULL_BP // max(1, ahead_bp), error_mk)
        self._pi.track(target_bp, error_mk)  # it goes on from here, should the flow be lost
        return target_bp
