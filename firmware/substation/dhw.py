"""Domestic hot water: what every kind of it shares. Instantaneous and storage build on it.

What is wanted: the schedule's temperature, never below the floor, never above the scald limit but while
legionella are killed. It refuses to be switched off from outside: no setpoint of it is a register, and no
order reaches it (S5). Software is never the only scald protection: a mixing valve or a thermostat of EN 14597
stands in every wiring plan.
"""

from . import alarms
from .circulation import Circulation
from .fixed_point import FULL_BP
from .heating_circuit import POWER_ON, guessed_wrong, make_valve
from .legionella import Legionella
from .limiters import ValveLimiter
from .local_time import Week
from .pi_controller import PI
from .precedence import DHW_VALVE, FALLBACK, MAXIMUM, NO_LIMITER
from .pump import Pump

WHICH = 2  # the board's number of valve and charging pump
REST, HEATING, LEGIONELLA, SCALD, LOST, WARM = range(6)
SCALD_RELEASE_MK = 5_000
LEGIONELLA_EXCESS_MK = 8_000  # above its temperature the scald protection acts then as well [estimate]
HEADROOM_BP = 300

PARALLEL, ABSOLUTE, SLIDING, SET_BACK = range(4)
PRIORITIES = ("parallel", "absolute", "sliding", "set_back")
SLIDING_FREE_MK = 3_000  # so much too cold DHW may be before heating gives way
SLIDING_BAND_MK = 10_000  # and over so much more it gives way altogether [estimate]
PRIORITY_PAUSE_MS = 600_000  # heating is given back for so long when the priority lasted too long [estimate]


class Dhw:
    """supply_mc: what leaves the exchanger. active: DHW takes heat now."""

    band_mk, integral_ms = 35_000, 35_000  # Siemens RVL481 over an exchanger: Xp 35 K, Tn 35 s [hil.md 2.3]

    def __init__(self, board, bank, settings, sensors, limits, alarm_bits, persistence, local_time, spread_s):
        fixed = settings.fixed
        self._bank = bank
        self._value = sensors.value
        self._alarms = alarm_bits
        self._limits = limits
        self._local = local_time
        self._supply_at = sensors.place("dhw_supply_temp_c")
        self._return_at = sensors.place("secondary_return_temp_c")
        self._comfort_mc = fixed("dhw_comfort_temp_c")
        self._setback_mc = fixed("dhw_setback_temp_c")
        self._floor_mc = fixed("dhw_floor_temp_c")
        self._scald_mc = fixed("dhw_scald_limit_temp_c")
        week = settings.schedule(2)
        self._week = Week(week, settings.holidays) if week else None
        self._priority = PRIORITIES.index(settings.priority)
        self._heating_setback_mk = fixed("dhw_heating_setback_k")
        self._priority_max_ms = fixed("dhw_priority_maximum_s") * 1000
        self._priority_ms = 0
        self._seek_stop = board.reset_cause == POWER_ON
        self.valve = make_valve(board, settings, "dhw_valve_kind", "dhw_valve_stroke_s", WHICH)
        self.pump = Pump(board, WHICH, bank, bank.point("dhw_pump_out_number"), spread_s)
        self.legionella = Legionella(bank, settings, sensors, persistence, local_time)
        self.circulation = Circulation(board, bank, settings, spread_s, local_time)
        self._pi = PI(self.band_mk, self.integral_ms)
        self._pi.track(0 if self._seek_stop else self.valve.position_bp, 0)
        self._limiter = ValveLimiter(limits, self.valve, own=True)
        self._ranks = [getattr(self, "_" + row) for row in DHW_VALVE]
        self._valve_point = bank.point("dhw_valve_position_out_pct")
        self._wanted_point = bank.point("dhw_temp_effective_c")
        self._state_point = bank.point("dhw_state_number")
        self._limiter_point = bank.point("dhw_active_limiter_number")
        self._target_bp = 0
        self.manual_bp = None  # where a technician has put the valve
        self._scalding = False
        self._was_hot = False  # since legionella were killed the line was never below its usual limit
        self._excess_mk = 0  # the charging line may be so much hotter than the tank
        self.limiter = NO_LIMITER
        self.state = REST
        self.active = False
        self.wanted_mc = self._comfort_mc

    @property
    def supply_mc(self):
        """The temperature leaving the exchanger as measured, or None."""
        return self._value[self._supply_at]

    def step(self, now_s, dt_ms):
        """Decide for this period; move() drives the valve."""
        self.legionella.step(now_s, dt_ms)
        killing = self.legionella.running
        self._limits.suspended = killing
        self.wanted_mc = self._wanted(killing)
        self._bank.put(self._wanted_point, self.wanted_mc)
        self._watch_scald(killing)
        self.circulation.step(killing, dt_ms)
        self._decide_demand(dt_ms)
        for rank in self._ranks:
            target_bp = rank(dt_ms)
            if target_bp is not None:
                break
        self._target_bp = target_bp
        self._run_pump(dt_ms)
        if self.state == HEATING and killing:
            self.state = LEGIONELLA
        self._bank.put(self._state_point, self.state)
        self._bank.put(self._limiter_point, self.limiter)
        self._alarms.set(alarms.SCALD_LIMIT, self._scalding)
        self._alarms.set(alarms.LEGIONELLA_FAILED, self.legionella.failed)

    def move(self, period_ms):
        """Start this period's move; return after how many ms valve.hold() is due, 0 = not in this period."""
        hold_ms = self.valve.move_to(self._target_bp, period_ms)
        self._bank.put(self._valve_point, self.valve.position_bp)
        return hold_ms

    def _wanted(self, killing):
        wanted_mc = self._comfort_mc
        if self._week is not None and self._local.valid and not self._week.end_of_period(self._local):
            wanted_mc = self._setback_mc
        wanted_mc = max(wanted_mc, self._floor_mc)
        wanted_mc = min(wanted_mc, self._scald_mc)
        return max(wanted_mc, self.legionella.temp_mc) if killing else wanted_mc

    def _watch_scald(self, killing):
        limit_mc = self._scald_mc + self._excess_mk
        supply_mc = self.supply_mc
        self._was_hot = killing or (self._was_hot and supply_mc is not None and supply_mc > limit_mc)
        if self._was_hot:
            limit_mc = max(limit_mc, self.legionella.temp_mc + self._excess_mk + LEGIONELLA_EXCESS_MK)
        if supply_mc is None:
            self._scalding = False
        elif supply_mc > limit_mc:
            self._scalding = True
        elif supply_mc < limit_mc - SCALD_RELEASE_MK:
            self._scalding = False

    def _scald(self, dt_ms):
        if not self._scalding:
            return None
        self.state = SCALD
        return self._close(MAXIMUM)

    def _lost(self, dt_ms):
        if self.supply_mc is not None and not self._blind():
            return None
        self.state = LOST
        return self._close(FALLBACK)

    def _end_stop(self, dt_ms):
        if self.valve.synced:
            return None
        if self._seek_stop:
            self.state = REST
            return self._close(NO_LIMITER)
        if self.active and guessed_wrong(self.valve):
            self._pi.track(self.valve.position_bp, 0)
        return None

    def _manual(self, dt_ms):
        if self.manual_bp is None:
            return None
        self.state = REST
        self._close(NO_LIMITER)
        self._pi.track(self.manual_bp, 0)
        return self.manual_bp

    def _decide_demand(self, dt_ms):
        """Set active; each kind of DHW has its own."""
        raise NotImplementedError

    def _run_pump(self, dt_ms):
        """Switch the charging pump, where there is one."""

    def _controlled(self, dt_ms):
        """Return the position that the DHW controller and the limiters want."""
        raise NotImplementedError

    def _blind(self):
        """Whether what is lost leaves nothing to go by."""
        return False

    def _no_demand(self, dt_ms):
        if self.active:
            return None
        self.state = REST
        return self._close(NO_LIMITER)

    def _close(self, limiter):
        self.limiter = limiter
        self._limiter.off()
        self._pi.track(0, 0)
        self.active = False
        return 0

    def _limited(self, wanted_bp, error_mk, dt_ms):
        """Return the position after the limiters of the substation."""
        target_bp = self._limiter.position(wanted_bp, self._value[self._return_at], dt_ms)
        self.limiter = self._limiter.number
        if self.limiter:
            self._pi.yield_to(min(FULL_BP, target_bp + HEADROOM_BP), error_mk)
        return target_bp

    def yields(self, dt_ms):
        """Return (the widest position, 0.001 K of set-back) that heating is left with in this period."""
        if not self.active or self._priority == PARALLEL:
            # a gap between two draw-offs neither ends heating's turn nor gives hot water another whole one
            if self._priority_ms < 0:
                self._priority_ms = min(0, self._priority_ms + dt_ms)
            else:
                self._priority_ms = max(0, self._priority_ms - dt_ms)
            return FULL_BP, 0
        if self._priority_ms >= self._priority_max_ms:
            self._priority_ms = -PRIORITY_PAUSE_MS  # heating has its turn
        self._priority_ms += dt_ms
        if self._priority_ms <= 0:
            return FULL_BP, 0
        if self._priority == ABSOLUTE:
            return 0, 0
        if self._priority == SET_BACK:
            return FULL_BP, self._heating_setback_mk
        supply_mc = self.supply_mc
        missing_mk = 0 if supply_mc is None else self.setpoint_mc() - supply_mc - SLIDING_FREE_MK
        share = max(0, min(SLIDING_BAND_MK, missing_mk))
        return FULL_BP - share * FULL_BP // SLIDING_BAND_MK, 0

    def setpoint_mc(self):
        """The temperature the exchanger shall have now."""
        return self.wanted_mc + self._excess_mk

    def save_when_due(self, now_s):
        self.legionella.save_when_due(now_s)
