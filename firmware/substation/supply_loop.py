"""A substation: its heating circuits, its DHW, and the limits they share, stepped in one order.

Parts that site.json does not name are not loaded. If the supervisor falls silent everything goes on by its
own curves: a house must stay warm without the network. Who decides over an actuator stands in
`precedence`, what is done without a sensor in `fallbacks`. It refuses to wait: a step takes what is there.
"""

from time import ticks_add, ticks_diff, ticks_ms

from . import alarms
from .doubt import Pair
from .energy import Energy
from .fixed_point import FULL_BP
from .following import LOW_DP_MBAR, Following
from .heating_circuit import HeatingCircuit, of_circuit
from .limiters import Limits
from .travel import Travel

LOW_DP_FOR_MS = 60_000
LAST_OF_DHW_MS = 60_000  # what DHW sent back is so long in the pipe and in its sensor [estimate]
MAX_STEP_MS = 10_000  # a longer gap between steps is not integrated


class SupplyLoop:
    """All its parts are made by the caller; step() runs one period and never waits."""

    def __init__(
        self,
        board,
        bank,
        settings,
        sensors,
        influences,
        deficit,
        alarm_bits,
        persistence,
        spread_s,
        clock=None,
    ):
        self._board = board
        self._sensors = sensors
        self._value = sensors.value
        self._shift_ask = influences["curve_shift_sp_k"]
        self._deficit = deficit
        self._alarms = alarm_bits
        self._dp_at = sensors.place("primary_dp_bar")
        self._outdoor_at = sensors.place("outdoor_temp_c")
        self._limits = Limits(bank, settings, sensors, influences)
        self._local_time = None
        if settings.uses_time:
            from .local_time import LocalTime

            self._local_time = LocalTime(clock, settings.utc_offset_min, settings.summer_time)
        self.circuits = tuple(
            HeatingCircuit(
                board, bank, settings, sensors, self._limits,
                None if number else influences["secondary_supply_temp_sp_c"], number, spread_s,
                self._local_time, persistence,
            )
            for number in range(settings.circuits)
        )  # fmt: skip
        self.valve = self.circuits[0].valve
        valves = [circuit.valve for circuit in self.circuits]
        self.dhw = None
        if settings.dhw != "none":
            self.dhw = make_dhw(settings)(
                board, bank, settings, sensors, self._limits, alarm_bits, persistence, self._local_time,
                spread_s,
            )  # fmt: skip
            valves.append(self.dhw.valve)
        self._movers = self.circuits if self.dhw is None else self.circuits + (self.dhw,)
        most = settings.option("valve_starts_hour_maximum_count")
        self._travels = [
            Travel(bank, mover.valve, bank.point(name + "_starts_hour_count"),
                   bank.point(name + "_starts_day_count"), most)
            for mover, name in zip(self._movers, valve_names(settings))
        ]  # fmt: skip
        self._pairs = [Pair(sensors, "primary_supply_temp_c", "primary_return_temp_c", self.valve)]
        for number in range(len(self.circuits)):
            supply, back = (of_circuit("secondary_%s_temp_c" % end, number) for end in ("supply", "return"))
            self._pairs.append(Pair(sensors, supply, back, self.circuits[number].valve))
        self._doubt_point = bank.point("sensor_doubt_bits")
        self._time_point = bank.point("local_time_number")
        self._bank = bank
        self._due = [None] * len(valves)  # when each valve's motor has to stop
        self._valves = tuple(valves)
        self._following = Following(self._limits, sensors, self.circuits, self.dhw, self._valves)
        self._energy = Energy(
            persistence, bank, bank.point("primary_heat_kw"), bank.point("primary_energy_kwh")
        )
        self._low_dp_ms = 0
        self._stepped = ticks_ms()
        self.remote = False  # somebody's lease, or its way back, is in force

    def use_meters(self, meters):
        """Let the flow that a heat meter tells go before the sensor's. meters: with flow_l_h()."""
        self._limits.meters = meters

    def hands(self):
        """Return what may be put by hand, in the order of manual.NAMES; None for what is not there."""
        first = self.circuits[0]
        second = self.circuits[1] if len(self.circuits) > 1 else None
        return (first, second, self.dhw, first.pump, None if second is None else second.pump)

    def save_when_due(self, now_s):
        self._energy.save_when_due(now_s)
        for mover in self._movers:
            mover.save_when_due(now_s)

    def hold(self):
        """Stop the motors whose move is done; return after how many ms to call again, 0 = not needed."""
        now = ticks_ms()
        nearest = 0
        for i in range(len(self._valves)):
            due = self._due[i]
            if due is None:
                continue
            left = ticks_diff(due, now)
            if left <= 0:
                self._due[i] = None
                self._valves[i].hold()
            elif not nearest or left < nearest:
                nearest = left
        return nearest

    def stop(self):
        """Leave every output so that a reset finds the valves where they are, and keep the budget."""
        for valve in self._valves:
            valve.hold()
        self._deficit.keep()

    def step(self, now_s, period_ms):
        """Run one period; return after how many ms hold() is due, 0 = not in this period."""
        now = ticks_ms()
        dt_ms = ticks_diff(now, self._stepped)
        self._stepped = now
        if dt_ms > MAX_STEP_MS:
            dt_ms = MAX_STEP_MS
        self._sensors.read()
        local = self._local_time
        if local is not None:
            local.step()
            self._bank.put(self._time_point, local.minute if local.valid else None)
        spent = self._deficit.spent
        shift_mk = self._shift_ask.step(0, now_s, dt_ms, spent)
        dhw = self.dhw
        self._limits.step(now_s, dt_ms, spent, dhw is not None and dhw.active)
        ceiling_bp, given_up_mk = FULL_BP, 0
        if dhw is not None:
            dhw.step(now_s, dt_ms)
            limits = self._limits
            limits.dhw_takes_ms = (
                LAST_OF_DHW_MS if dhw.valve.position_bp else max(0, limits.dhw_takes_ms - dt_ms)
            )
            ceiling_bp, given_up_mk = dhw.yields(dt_ms)
        remote = self._shift_ask.away or self._limits.away
        frost = False
        for circuit in self.circuits:
            circuit.ceiling_bp = ceiling_bp
            circuit.given_up_mk = given_up_mk
            circuit.step(now_s, dt_ms, shift_mk, spent)
            remote = remote or circuit.asked
            frost = frost or circuit.frost
        self.remote = remote
        self._alarms.set(alarms.FROST_PROTECTION, frost)
        nearest = self._move(ticks_ms(), period_ms)
        self._book_deficit(dt_ms)
        self._watch(dt_ms)
        return nearest

    def _move(self, now, period_ms):
        nearest = 0
        movers = self._movers
        for i in range(len(movers)):
            hold_ms = movers[i].move(period_ms)
            self._due[i] = ticks_add(now, hold_ms) if hold_ms else None
            if hold_ms and (not nearest or hold_ms < nearest):
                nearest = hold_ms
        return nearest

    def _book_deficit(self, dt_ms):
        """Count what remote influence takes: a lower setpoint, or a tighter limiter that bites.

        Of two circuits the one that is deprived more counts.
        """
        worst_mk = 0
        for circuit in self.circuits:
            if not circuit.heating:
                continue
            below_mk = circuit.own_mc - circuit.given_up_mk - circuit.setpoint_mc if self.remote else 0
            supply_mc = circuit.supply_mc
            if supply_mc is not None and self._limits.tightened(circuit.limiter):
                below_mk = max(below_mk, circuit.own_mc - supply_mc)
            worst_mk = max(worst_mk, below_mk)
        self._deficit.step(worst_mk, self._value[self._outdoor_at], dt_ms)
        self._alarms.set(alarms.DEFICIT_BUDGET_SPENT, self._deficit.spent)

    def _watch(self, dt_ms):
        """Heat, energy, and the alarms that judge the hydraulics."""
        limits = self._limits
        spent = False
        for travel in self._travels:
            travel.step(dt_ms)
            spent = spent or travel.spent
        self._alarms.set(alarms.TRAVEL_BUDGET, spent)
        doubt = 0
        for pair in self._pairs:
            doubt |= pair.step(dt_ms)
        self._bank.put(self._doubt_point, doubt)
        self._alarms.set(alarms.SENSOR_DOUBT, doubt != 0)
        self._energy.step(limits.heat_now_w, dt_ms)
        self._alarms.set(alarms.SENSOR_LOST, self._sensors.fault_bits != 0)
        dp_mbar = self._value[self._dp_at]
        if dp_mbar is not None and dp_mbar < LOW_DP_MBAR:
            self._low_dp_ms = min(self._low_dp_ms + dt_ms, LOW_DP_FOR_MS)
        else:
            self._low_dp_ms = 0
        self._alarms.set(alarms.LOW_DP, self._low_dp_ms >= LOW_DP_FOR_MS)
        self._alarms.set(alarms.VALVE_NOT_FOLLOWING, self._following.step(dt_ms))


def valve_names(settings):
    """Return what the registers call the valves of this site, in the loop's order."""
    names = ["valve", "valve2"][: settings.circuits]
    return names if settings.dhw == "none" else names + ["dhw_valve"]


def make_dhw(settings):
    """Return the class of the site's kind of DHW; the others are not loaded."""
    if settings.dhw == "instantaneous":
        from .dhw_instantaneous import InstantaneousDhw

        return InstantaneousDhw
    from .dhw_storage import StorageDhw

    return StorageDhw
