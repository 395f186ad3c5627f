"""Hold the secondary supply temperature by moving the primary control valve.

The supervisor may ask for another temperature, less flow or a cooler return. If it falls silent the
loop goes back to its own heating curve: a house must stay warm without the network. It refuses to let
any order reach past frost protection or the supply maximum.

Who decides over the valve, the strongest first:
  supply far above its maximum   close                                             (limiter 4)
  supply sensor lost             30 % open                                         (limiter 5)
  frost protection               supply controller alone, limiters off             (limiter 3)
  no heat wanted                 closed
  power has just come back       closed until the end stop is sure: the position is known from then on
  otherwise                      the smallest of supply, return and flow controller (0, 1, 2)

FALLBACKS, one row for each lost sensor (S1):
  outdoor            supply setpoint 50 degC, pump runs        Samson TROVIS 557x [firmware.md R19]
  secondary supply   valve to 30 %, pump runs                  Samson TROVIS 557x [firmware.md R19]
  primary return     return limit off                          Samson, Siemens RVL481 4.4.2
  primary flow       flow limit off; heat not counted          heat before tariff [ours]
  primary supply     nothing in the loop; heat not counted
  secondary return   frost watched by the supply sensor alone
  room               nothing in the loop                       Siemens RVL481: error, goes on
  primary dp         low-dp alarm off
"""

from time import ticks_diff, ticks_ms

from . import alarms
from .energy import Energy, heat_w
from .fixed_point import FULL_BP
from .heating_curve import supply_setpoint_mc
from .pi_controller import PI
from .valve import Valve

OUTDOOR_LOST_SUPPLY_MC = 50_000
SUPPLY_LOST_POSITION_BP = 3_000

# limiter numbers, as the register tells them
NO_LIMITER, RETURN, FLOW, FROST, MAXIMUM, FALLBACK = range(6)

POWER_ON = 1  # machine.PWRON_RESET
NEUTRAL_MK = 200  # an error this small moves nothing: 12 steps of the converter
OVERSHOOT_MK = 5_000  # above the supply maximum the valve closes, whatever any controller says [estimate]
FROST_RELEASE_MK = 5_000
SUMMER_HYSTERESIS_MK = 1_000
PUMP_AFTERRUN_MS = 120_000
PUMP_IDLE_MS = 24 * 3_600_000  # Samson 5573: exercise after 24 h idle
PUMP_EXERCISE_MS = 60_000
RETURN_BAND_MK = 60_000  # slower and softer than the supply controller it overrules [estimate]
RETURN_INTEGRAL_MS = 180_000
FLOW_INTEGRAL_MS = 30_000
HEADROOM_BP = 300  # what a controller that is overruled may want more than it gets
LOW_DP_MBAR = 300  # the least that keeps a valve in command [domain.md: 0.3-0.5 bar at the critical consumer]
LOW_DP_FOR_MS = 60_000
ASTRAY_FOR_MS = 600_000
MAX_STEP_MS = 10_000  # a longer gap between steps is not integrated

# positions in sensors.SUBSTATION_INPUTS
(
    OUTDOOR, PRIMARY_SUPPLY, PRIMARY_RETURN, SECONDARY_SUPPLY, SECONDARY_RETURN, ROOM, PRIMARY_DP,
    PRIMARY_FLOW,
) = range(8)  # fmt: skip


class SupplyLoop:
    """All its parts are made by the caller; step() runs one period and never waits."""

    def __init__(
        self, board, bank, settings, sensors, influences, deficit, alarm_bits, persistence, spread_s
    ):
        fixed = settings.fixed
        self._board = board
        self._bank = bank
        self._sensors = sensors
        self._value = sensors.value
        self._supply_ask = influences["secondary_supply_temp_sp_c"]
        self._flow_ask = influences["primary_flow_limit_sp_m3_h"]
        self._return_ask = influences["primary_return_limit_sp_c"]
        self._shift_ask = influences["curve_shift_sp_k"]
        self._deficit = deficit
        self._alarms = alarm_bits
        self._cold_outdoor_mc = fixed("curve_cold_outdoor_temp_c")
        self._cold_supply_mc = fixed("curve_cold_supply_temp_c")
        self._warm_outdoor_mc = fixed("curve_warm_outdoor_temp_c")
        self._warm_supply_mc = fixed("curve_warm_supply_temp_c")
        self._minimum_mc = fixed("supply_temp_minimum_c")
        self._maximum_mc = fixed("supply_temp_maximum_c")
        self._contract_l_h = fixed("contract_flow_limit_m3_h")
        self._return_limit_mc = fixed("return_limit_temp_c")
        self._frost_outdoor_mc = fixed("frost_outdoor_temp_c")
        self._frost_supply_mc = fixed("frost_supply_temp_c")
        # After a reset without loss of power the valve is held: it goes on from an assumed half.
        self._seek_stop = board.reset_cause == POWER_ON
        self.valve = Valve(
            board, fixed("valve_stroke_s") * 1000, FULL_BP if self._seek_stop else FULL_BP // 2
        )
        self._supply_pi = PI(settings.proportional_band_mk, settings.integral_time_ms)
        self._supply_pi.track(self.valve.position_bp, 0)
        self._return_pi = PI(RETURN_BAND_MK, RETURN_INTEGRAL_MS)
        self._flow_pi = PI(2 * max(500, self._contract_l_h), FLOW_INTEGRAL_MS)
        self._energy = Energy(
            persistence, bank, bank.point("primary_heat_kw"), bank.point("primary_energy_kwh")
        )
        self._limiter_point = bank.point("active_limiter_number")
        self._valve_point = bank.point("valve_position_out_pct")
        self._pump_point = bank.point("secondary_pump_out_number")
        self._own_point = bank.point("own_curve_temp_c")
        self._supply_point = bank.point("secondary_supply_temp_effective_c")
        self._limiter = NO_LIMITER
        self._heating = True
        self._frost = False
        self._pump_on = False
        self._afterrun_ms = 0
        self._idle_ms = -1000 * spread_s  # exercises are spread over a town like everything else
        self._low_dp_ms = 0
        self._astray_ms = 0
        self._stepped = ticks_ms()
        self.remote = False  # somebody's lease, or its way back, is in force

    def save_when_due(self, now_s):
        self._energy.save_when_due(now_s)

    def hold(self):
        """Stop the valve's motor: the move of this period is done."""
        self.valve.hold()

    def stop(self):
        """Leave every output so that a reset finds the valve where it is."""
        self._board.valve(0)

    def step(self, now_s, period_ms):
        """Run one period; return after how many ms hold() is due, 0 = not in this period."""
        now = ticks_ms()
        dt_ms = ticks_diff(now, self._stepped)
        self._stepped = now
        if dt_ms > MAX_STEP_MS:
            dt_ms = MAX_STEP_MS
        self._sensors.read()
        setpoint_mc, own_mc = self._setpoint(now_s, dt_ms)
        target_bp = self._position(setpoint_mc, dt_ms)
        self._run_pump(dt_ms)
        hold_ms = self._move(target_bp, period_ms)
        self._book_deficit(setpoint_mc, own_mc, dt_ms)
        self._watch(dt_ms)
        return hold_ms

    def _setpoint(self, now_s, dt_ms):
        """Return (what the loop follows, what it would follow without remote influence), 0.001 degC."""
        outdoor_mc = self._value[OUTDOOR]
        if outdoor_mc is None:
            own_mc = OUTDOOR_LOST_SUPPLY_MC
        else:
            own_mc = supply_setpoint_mc(
                outdoor_mc,
                self._cold_outdoor_mc,
                self._cold_supply_mc,
                self._warm_outdoor_mc,
                self._warm_supply_mc,
            )
        own_mc = self._within(own_mc)
        self._bank.put(self._own_point, own_mc)
        spent = self._deficit.spent
        shift_mk = self._shift_ask.step(0, now_s, dt_ms, spent)
        asked_mc = self._supply_ask.step(self._within(own_mc + shift_mk), now_s, dt_ms, spent)
        self._flow_l_h = self._flow_ask.step(self._contract_l_h, now_s, dt_ms, spent)
        self._return_mc = self._return_ask.step(self._return_limit_mc, now_s, dt_ms, spent)
        setpoint_mc = self._within(asked_mc)
        if setpoint_mc < self._frost_supply_mc:
            setpoint_mc = self._frost_supply_mc
        self._bank.put(self._supply_point, setpoint_mc)
        self.remote = (
            self._supply_ask.away or self._shift_ask.away or self._flow_ask.away or self._return_ask.away
        )
        return setpoint_mc, own_mc

    def _within(self, mc):
        if mc > self._maximum_mc:
            return self._maximum_mc
        return mc if mc > self._minimum_mc else self._minimum_mc

    def _watch_frost(self):
        """Frost protection starts at the limit and ends a little above it."""
        supply_mc = self._value[SECONDARY_SUPPLY]
        return_mc = self._value[SECONDARY_RETURN]
        coldest_mc = supply_mc if return_mc is None else return_mc
        if supply_mc is not None and supply_mc < coldest_mc:
            coldest_mc = supply_mc
        if coldest_mc is None:
            self._frost = False
        elif coldest_mc < self._frost_supply_mc:
            self._frost = True
        elif coldest_mc > self._frost_supply_mc + FROST_RELEASE_MK:
            self._frost = False
        self._alarms.set(alarms.FROST_PROTECTION, self._frost)

    def _watch_season(self):
        outdoor_mc = self._value[OUTDOOR]
        if outdoor_mc is None or outdoor_mc < self._warm_outdoor_mc or self._supply_ask.owner:
            self._heating = True
        elif outdoor_mc > self._warm_outdoor_mc + SUMMER_HYSTERESIS_MK:
            self._heating = False

    def _position(self, setpoint_mc, dt_ms):
        """Return where the valve should stand, in basis points."""
        self._watch_frost()
        self._watch_season()
        supply_mc = self._value[SECONDARY_SUPPLY]
        if supply_mc is None:
            self._limiter = FALLBACK
            self._supply_pi.track(SUPPLY_LOST_POSITION_BP, 0)
            # a position is worth something only once an end stop has been seen
            return SUPPLY_LOST_POSITION_BP if self.valve.synced else 0
        if self._frost and setpoint_mc < self._frost_supply_mc + FROST_RELEASE_MK:
            setpoint_mc = self._frost_supply_mc + FROST_RELEASE_MK
        error_mk = setpoint_mc - supply_mc
        if -NEUTRAL_MK <= error_mk <= NEUTRAL_MK:
            error_mk = 0
        if supply_mc > self._maximum_mc + OVERSHOOT_MK:
            self._limiter = MAXIMUM
            self._supply_pi.track(0, error_mk)
            return 0
        if not self._heating and not self._frost:
            self._limiter = NO_LIMITER
            self._supply_pi.track(0, error_mk)
            return 0
        if not self.valve.synced:
            if self._seek_stop and not self._frost:
                self._limiter = NO_LIMITER
                self._supply_pi.track(0, error_mk)
                return 0
            if not 0 < self.valve.position_bp < FULL_BP:  # the assumed half was wrong: go on from another
                self.valve.recentre()
                self._supply_pi.track(self.valve.position_bp, error_mk)
        wanted_bp = self._supply_pi.step(error_mk, dt_ms)
        if self._frost:
            self._limiter = FROST
            return wanted_bp
        target_bp = wanted_bp
        limiter = NO_LIMITER
        return_mc = self._value[PRIMARY_RETURN]
        if return_mc is not None:
            limit_bp = self._limit(self._return_pi, self._return_mc - return_mc, RETURN, wanted_bp, dt_ms)
            if limit_bp < target_bp:
                target_bp = limit_bp
                limiter = RETURN
        flow_l_h = self._value[PRIMARY_FLOW]
        if flow_l_h is not None:
            limit_bp = self._limit(self._flow_pi, self._flow_l_h - flow_l_h, FLOW, wanted_bp, dt_ms)
            if limit_bp < target_bp:
                target_bp = limit_bp
                limiter = FLOW
        if limiter:
            self._supply_pi.yield_to(min(FULL_BP, target_bp + HEADROOM_BP), error_mk)
        self._limiter = limiter
        return target_bp

    def _limit(self, limiter_pi, room, number, wanted_bp, dt_ms):
        """Return the position a limiter allows; one that has room and does not act only stands ready."""
        if room > 0 and self._limiter != number:
            limiter_pi.track(wanted_bp, 0)
            return FULL_BP
        return limiter_pi.step(room, dt_ms)

    def _run_pump(self, dt_ms):
        outdoor_mc = self._value[OUTDOOR]
        wanted = self._heating or self._frost or outdoor_mc is None or outdoor_mc < self._frost_outdoor_mc
        if wanted:
            self._afterrun_ms = PUMP_AFTERRUN_MS
        elif self._afterrun_ms > 0:
            self._afterrun_ms -= dt_ms
            wanted = True
        elif self._idle_ms >= PUMP_IDLE_MS:
            self._afterrun_ms = PUMP_EXERCISE_MS
            wanted = True
        self._idle_ms = 0 if wanted else self._idle_ms + dt_ms
        if wanted != self._pump_on:
            self._pump_on = wanted
            self._board.pump(wanted)
        self._bank.put(self._pump_point, 1 if wanted else 0)
        self._bank.put(self._limiter_point, self._limiter)

    def _move(self, target_bp, period_ms):
        hold_ms = self.valve.move_to(target_bp, period_ms)
        self._bank.put(self._valve_point, self.valve.position_bp)
        return hold_ms

    def _book_deficit(self, setpoint_mc, own_mc, dt_ms):
        """Count what remote influence takes: a lower setpoint, or a tighter limiter that bites."""
        below_mk = own_mc - setpoint_mc if self.remote else 0
        supply_mc = self._value[SECONDARY_SUPPLY]
        if supply_mc is not None and (
            (self._limiter == FLOW and self._flow_l_h < self._contract_l_h)
            or (self._limiter == RETURN and self._return_mc < self._return_limit_mc)
        ):
            below_mk = max(below_mk, own_mc - supply_mc)
        self._deficit.step(below_mk if self._heating else 0, self._value[OUTDOOR], dt_ms)
        self._alarms.set(alarms.DEFICIT_BUDGET_SPENT, self._deficit.spent)

    def _watch(self, dt_ms):
        """Heat, energy, and the alarms that judge the hydraulics."""
        value = self._value
        flow_l_h = value[PRIMARY_FLOW]
        self._energy.step(heat_w(flow_l_h, value[PRIMARY_SUPPLY], value[PRIMARY_RETURN]), dt_ms)
        self._alarms.set(alarms.SENSOR_LOST, self._sensors.fault_bits != 0)
        dp_mbar = value[PRIMARY_DP]
        if dp_mbar is not None and dp_mbar < LOW_DP_MBAR:
            self._low_dp_ms = min(self._low_dp_ms + dt_ms, LOW_DP_FOR_MS)
        else:
            self._low_dp_ms = 0
        self._alarms.set(alarms.LOW_DP, self._low_dp_ms >= LOW_DP_FOR_MS)
        position_bp = self.valve.position_bp
        astray = False
        if flow_l_h is not None and self.valve.synced:
            if position_bp == 0:  # closed for sure, yet a twentieth of the contract flows
                astray = flow_l_h > max(50, self._contract_l_h // 20)
            elif position_bp == FULL_BP and dp_mbar is not None:  # open, pressure there, yet nothing flows
                astray = dp_mbar > LOW_DP_MBAR and flow_l_h == 0
        self._astray_ms = min(self._astray_ms + dt_ms, ASTRAY_FOR_MS) if astray else 0
        self._alarms.set(alarms.VALVE_NOT_FOLLOWING, self._astray_ms >= ASTRAY_FOR_MS)
