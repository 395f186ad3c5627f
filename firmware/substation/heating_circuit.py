"""Hold one heating circuit's supply temperature by moving its primary control valve.

What it follows: the own curve, moved by the schedule and the room, then what orders ask for, then the
engineering limits, then frost protection. Who decides over the valve stands in `precedence`, what is done
without a sensor in `fallbacks`. It refuses to let any order reach past frost protection or the maximum.
"""

from .fallbacks import OUTDOOR_LOST_SUPPLY_MC, SUPPLY_LOST_POSITION_BP
from .fixed_point import FULL_BP
from .heating_curve import line
from .limiters import ValveLimiter
from .pi_controller import PI
from .precedence import FALLBACK, FROST, HEATING_VALVE, MAXIMUM, NO_LIMITER, PRIORITY, PUMP_STANDS
from .pump import Pump

POWER_ON = 1  # machine.PWRON_RESET
NEUTRAL_MK = 200  # an error this small moves nothing: 12 steps of the converter
OVERSHOOT_MK = 5_000  # above the supply maximum the valve closes, whatever any controller says [estimate]
FROST_RELEASE_MK = 5_000
ROOM_FROST_MC = 5_000  # a room colder than this is heated whatever the season or the hour [domain.md FG5]
SUMMER_HYSTERESIS_MK = 1_000
SETTLED_MK = 2_000  # so near its set-point the supply says that the room is the curve's own doing [estimate]
HEADROOM_BP = 300  # what a controller that is overruled may want more than it gets
# Power back to a whole town: its valves open over a third of the ten minutes of ending leases [estimate].
START_SPREAD_MS = 333  # for each second of those
VALVE_IDLE_MS = 7 * 24 * 3_600_000  # [estimate]
EXERCISE_BP = 500
EXERCISE_MS = 60_000


def of_circuit(name, number):
    """Return the register's name for circuit 0 or 1: the second's carry a 2 after the first word."""
    if not number:
        return name
    first, rest = name.split("_", 1)
    return first + "2_" + rest


class HeatingCircuit:
    """number: 0 or 1. ask: the influence on the supply temperature, or None for a circuit without one."""

    def __init__(
        self, board, bank, settings, sensors, limits, ask, number, spread_s, local_time, persistence
    ):
        def name(register):
            return of_circuit(register, number)

        self._bank = bank
        self._value = sensors.value
        self._outdoor_at = sensors.place("outdoor_temp_c")
        self._supply_at = sensors.place(name("secondary_supply_temp_c"))
        self._return_at = sensors.place(name("secondary_return_temp_c"))
        self._room_at = sensors.place(name("room_temp_c"))
        self._ask = ask
        self._curve = settings.curve(number)
        summer_mc = settings.option(name("summer_outdoor_temp_c"))
        self._summer_mc = self._curve[-2] if summer_mc is None else summer_mc
        self._minimum_mc = settings.fixed(name("supply_temp_minimum_c"))
        self._maximum_mc = settings.fixed(name("supply_temp_maximum_c"))
        self._frost_outdoor_mc = settings.fixed("frost_outdoor_temp_c")
        self._frost_supply_mc = settings.fixed("frost_supply_temp_c")
        # after power came back: shut until the end stop is sure (1 ms), and for so long then
        self._shut_ms = 1 + spread_s * START_SPREAD_MS if board.reset_cause == POWER_ON else 0
        self.valve = make_valve(board, settings, name("valve_kind"), name("valve_stroke_s"), number)
        self._pi = PI(*settings.controller(number))
        self._pi.track(self.valve.position_bp, 0)
        self._limiter = ValveLimiter(limits, self.valve)
        self.pump = Pump(board, number, bank, bank.point(name("secondary_pump_out_number")), spread_s)
        self._schedule = self._room = self._feedback = None
        for row in settings.pump_pwm:
            if row[0] == number and row[3]:
                from .pump_feedback import PumpFeedback

                self._feedback = PumpFeedback(board, bank, number, self.pump)
        if settings.schedule(number):
            from .comfort import Comfort

            self._schedule = Comfort(bank, settings, number, local_time)
        if settings.option(name("room_influence_pct")) is not None:
            from .room import Room

            self._room = Room(bank, settings, number, persistence)
        self._ranks = [getattr(self, "_" + row) for row in HEATING_VALVE]
        self._limiter_point = bank.point(name("active_limiter_number"))
        self._valve_point = bank.point(name("valve_position_out_pct"))
        self._own_point = bank.point(name("own_curve_temp_c"))
        self._supply_point = bank.point(name("secondary_supply_temp_effective_c"))
        self._valve_idle_ms = -1000 * spread_s
        self._exercise_ms = 0
        self._season = True
        self._cold_room = False
        self._target_bp = 0
        self.manual_bp = None  # where a technician has put the valve
        self.limiter = NO_LIMITER
        self.heating = True  # the season, the schedule and the room want heat
        self.frost = False
        self.own_mc = self.setpoint_mc = OUTDOOR_LOST_SUPPLY_MC
        self.ceiling_bp = FULL_BP  # what the priority of DHW leaves
        self.given_up_mk = 0  # by how much the priority of DHW lowers the setpoint

    @property
    def supply_mc(self):
        """The supply temperature as measured, or None."""
        return self._value[self._supply_at]

    @property
    def asked(self):
        """Whether an order for this circuit, or the way back from it, is in force."""
        return self._ask is not None and self._ask.away

    def step(self, now_s, dt_ms, shift_mk, spent):
        """Decide for this period; move() drives the valve."""
        self._follow(now_s, dt_ms, shift_mk, spent)
        self._watch_frost()
        self._watch_season()
        self._target_bp = self._position(dt_ms)
        self._run_pump(dt_ms)

    def move(self, period_ms):
        """Start this period's move; return after how many ms valve.hold() is due, 0 = not in this period."""
        hold_ms = self.valve.move_to(self._target_bp, period_ms)
        self._bank.put(self._valve_point, self.valve.position_bp)
        return hold_ms

    def _follow(self, now_s, dt_ms, shift_mk, spent):
        outdoor_mc = self._value[self._outdoor_at]
        room_mc = self._value[self._room_at]
        own_mc = OUTDOOR_LOST_SUPPLY_MC if outdoor_mc is None else line(self._curve, outdoor_mc)
        comfort = True
        if self._schedule is not None:
            shift = self._schedule.step(outdoor_mc, room_mc)
            comfort = self._schedule.comfort
            if not self._cold_room:  # frost is no time to save
                own_mc += shift
        if self._room is not None:
            supply_mc = self._value[self._supply_at]
            settled = (
                self.heating and comfort and not self.frost and not self.limiter and not self.asked
                and not shift_mk and not self.given_up_mk and self.manual_bp is None
                and outdoor_mc is not None and supply_mc is not None
                and -SETTLED_MK <= self.setpoint_mc - supply_mc <= SETTLED_MK
            )  # fmt: skip
            own_mc += self._room.step(room_mc, comfort, settled, dt_ms)
        own_mc = self._within(own_mc)
        self.own_mc = own_mc
        self._bank.put(self._own_point, own_mc)
        asked_mc = self._within(own_mc + shift_mk)
        if self._ask is not None:
            asked_mc = self._ask.step(asked_mc, now_s, dt_ms, spent)
        setpoint_mc = self._within(asked_mc)
        if self.given_up_mk:
            setpoint_mc = self._within(setpoint_mc - self.given_up_mk)
        if setpoint_mc < self._frost_supply_mc:
            setpoint_mc = self._frost_supply_mc
        self.setpoint_mc = setpoint_mc
        self._bank.put(self._supply_point, setpoint_mc)

    def _within(self, mc):
        if mc > self._maximum_mc:
            return self._maximum_mc
        return mc if mc > self._minimum_mc else self._minimum_mc

    def _watch_frost(self):
        """Frost protection starts at the limit and ends a little above it; a cold room starts it as well."""
        supply_mc = self._value[self._supply_at]
        return_mc = self._value[self._return_at]
        room_mc = self._value[self._room_at]
        coldest_mc = supply_mc if return_mc is None else return_mc
        if supply_mc is not None and supply_mc < coldest_mc:
            coldest_mc = supply_mc
        if coldest_mc is None:
            self.frost = False
        elif coldest_mc < self._frost_supply_mc:
            self.frost = True
        elif coldest_mc > self._frost_supply_mc + FROST_RELEASE_MK:
            self.frost = False
        self._cold_room = room_mc is not None and room_mc < ROOM_FROST_MC

    def _watch_season(self):
        outdoor_mc = self._value[self._outdoor_at]
        ordered = self._ask is not None and self._ask.owner
        if outdoor_mc is None or outdoor_mc < self._summer_mc or ordered:
            heating = True
        elif outdoor_mc > self._summer_mc + SUMMER_HYSTERESIS_MK:
            heating = False
        else:
            heating = self._season
        self._season = heating
        if self._room is not None and self._room.too_warm and not ordered:
            heating = False
        self.heating = heating or self._cold_room

    def _position(self, dt_ms):
        """Return where the valve should stand: the first rank that answers decides."""
        supply_mc = self._value[self._supply_at]
        setpoint_mc = self.setpoint_mc
        if self.frost and setpoint_mc < self._frost_supply_mc + FROST_RELEASE_MK:
            setpoint_mc = self._frost_supply_mc + FROST_RELEASE_MK
        error_mk = 0 if supply_mc is None else setpoint_mc - supply_mc
        if -NEUTRAL_MK <= error_mk <= NEUTRAL_MK:
            error_mk = 0
        for rank in self._ranks:
            target_bp = rank(supply_mc, error_mk, dt_ms)
            if target_bp is not None:
                break
        if target_bp:
            self._valve_idle_ms = 0
        else:
            self._valve_idle_ms += dt_ms
        self._bank.put(self._limiter_point, self.limiter)
        return target_bp

    def _decide(self, limiter, target_bp, error_mk):
        self.limiter = limiter
        self._limiter.off()
        self._pi.track(target_bp, error_mk)
        return target_bp

    def _over_maximum(self, supply_mc, error_mk, dt_ms):
        if supply_mc is not None and supply_mc > self._maximum_mc + OVERSHOOT_MK:
            return self._decide(MAXIMUM, 0, error_mk)
        return None

    def _pump_stands(self, supply_mc, error_mk, dt_ms):
        if not self.pump.stands:
            return None
        # in frost the exchanger keeps what a valve hardly open gives it
        return self._decide(PUMP_STANDS, EXERCISE_BP if self.frost else 0, error_mk)

    def _supply_lost(self, supply_mc, error_mk, dt_ms):
        if supply_mc is not None:
            return None
        # in summer the pump stands, and what stood in the circuit would come out as hot as the network
        lost_bp = SUPPLY_LOST_POSITION_BP if self.heating or self.frost else 0
        self._decide(FALLBACK, lost_bp, 0)
        # a position is worth something only once an end stop has been seen
        return lost_bp if self.valve.synced else 0

    def _frost(self, supply_mc, error_mk, dt_ms):
        if not self.frost:
            return None
        self._go_on_from_a_guess(error_mk)
        self.limiter = FROST
        self._limiter.off()
        return self._pi.step(error_mk, dt_ms)

    def _manual(self, supply_mc, error_mk, dt_ms):
        # after a power cut no position is worth anything before the end stop is sure
        if self.manual_bp is None or (self._shut_ms > 0 and not self.valve.synced):
            return None
        return self._decide(NO_LIMITER, self.manual_bp, error_mk)

    def _no_heat(self, supply_mc, error_mk, dt_ms):
        return None if self.heating else self._decide(NO_LIMITER, 0, error_mk)

    def _exercise(self, supply_mc, error_mk, dt_ms):
        if self._exercise_ms > 0:
            self._exercise_ms -= dt_ms
        elif self._valve_idle_ms >= VALVE_IDLE_MS:
            self._exercise_ms = EXERCISE_MS
        if self.heating or self._exercise_ms <= 0:
            return None
        return self._decide(NO_LIMITER, EXERCISE_BP, error_mk)

    def _end_stop(self, supply_mc, error_mk, dt_ms):
        if self._shut_ms > 0:
            if self.valve.synced:
                self._shut_ms -= dt_ms
            return self._decide(NO_LIMITER, 0, error_mk)
        if self.valve.synced:
            return None
        self._go_on_from_a_guess(error_mk)
        return None

    def _go_on_from_a_guess(self, error_mk):
        if guessed_wrong(self.valve):
            self._pi.track(self.valve.position_bp, error_mk)

    def _controlled(self, supply_mc, error_mk, dt_ms):
        wanted_bp = self._pi.step(error_mk, dt_ms)
        target_bp = self._limiter.position(wanted_bp, self._value[self._return_at], dt_ms)
        limiter = self._limiter.number
        if self.ceiling_bp < target_bp:
            target_bp = self.ceiling_bp
            limiter = PRIORITY
        if limiter:
            self._pi.yield_to(min(FULL_BP, target_bp + HEADROOM_BP), error_mk)
        self.limiter = limiter
        return target_bp

    def _run_pump(self, dt_ms):
        outdoor_mc = self._value[self._outdoor_at]
        cold = outdoor_mc is None or outdoor_mc < self._frost_outdoor_mc
        asked = self.heating or self._exercise_ms > 0
        if self.pump.manual_bp is not None:
            asked = self.pump.manual_bp > 0
        self.pump.wanted(asked or self.frost or cold, dt_ms)
        if self._feedback is not None:
            self._feedback.step(dt_ms)

    def save_when_due(self, now_s):
        if self._room is not None:
            self._room.save_when_due(now_s)


def guessed_wrong(valve):
    """Move an estimate that came to an end the valve has not seen, and say so: the half was wrong."""
    wrong = not valve.synced and not 0 < valve.position_bp < FULL_BP
    if wrong:
        valve.recentre()
    return wrong


def make_valve(board, settings, kind, stroke, which):
    """Return the actuator that site.json names: three relays' time, or a voltage.

    After a reset without loss of power it is held, and goes on from an assumed half.
    """
    power_on = board.reset_cause == POWER_ON
    if settings.kind(kind) == "analog":
        from .valve_analog import AnalogValve

        return AnalogValve(board, settings.fixed(stroke) * 1000, 0 if power_on else FULL_BP // 2, which)
    from .valve import Valve

    start_bp = FULL_BP if power_on else FULL_BP // 2  # open, until the way to the end stop has been driven
    return Valve(board, settings.fixed(stroke) * 1000, start_bp, which)
