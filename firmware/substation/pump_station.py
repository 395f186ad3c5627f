"""Hold the differential pressure across the plant by the pump's speed, and ask for a supply temperature.

Orders may move both inside the site's limits. If the supervisor falls silent the pressure stays until
the houses have moved, then both walk back to the station's own values: a fixed pressure, or the one that the
index consumer needs. It refuses to stop the pumps, but for one that would run dry.
What is done without a sensor stands in `fallbacks`.
"""

from time import ticks_diff, ticks_ms

from . import alarms
from .energy import Energy, heat_w
from .fallbacks import DP_LOST_SPEED_BP, PLANT_OUTDOOR_LOST_MC
from .fixed_point import FULL_BP
from .heating_curve import line
from .pi_controller import PI
from .plant_pumps import PlantPumps
from .precedence import FALLBACK, NO_LIMITER, PLANT_PUMP

DP_BAND_MBAR = 20_000  # pressure follows speed within a period, so the proportional gain stays below one
DP_INTEGRAL_MS = 10_000
INDEX_INTEGRAL_MS = (
    120_000  # so long a lasting error of the index takes to move the plant by as much [estimate]
)
INDEX_SLEW_MBAR_MIN = 200  # as the leases': an index that is lost gives back no faster
FLOW_INTEGRAL_MS = 20_000
SUCTION_BAND_MBAR = 4_000
SUCTION_INTEGRAL_MS = 20_000
DRY_FOR_MS = 10_000
WET_FOR_MS = 60_000  # so long the pressure must be back before a pump starts again [estimate]
WET_ABOVE_MBAR = 200
HELD_BACK_SHARE_PCT = 25  # cavitation: no slower than this share of full speed [estimate]
LOW_DP_SHARE_PCT = 80
LOW_DP_FOR_MS = 60_000
DEMAND_SPAN_MC = 130_000  # 100 % of the 0-10 V output
MAX_STEP_MS = 10_000

# inputs, in the order of PLACES
OUTDOOR, PLANT_SUPPLY, PLANT_RETURN, PLANT_DP, PLANT_FLOW, INDEX_DP, SUCTION = range(7)
PLACES = (
    "outdoor_temp_c", "plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar", "plant_flow_m3_h",
    "index_dp_bar", "suction_pressure_bar",
)  # fmt: skip
IN_ORDER, HELD_BACK, DRY, SUCTION_LOST = range(4)


class PumpStation:
    """All its parts are made by the caller; step() runs one period and never waits."""

    def __init__(self, board, bank, settings, sensors, influences, alarm_bits, persistence):
        fixed = settings.fixed
        self._board = board
        self._bank = bank
        self._sensors = sensors
        self._value = sensors.value
        self._dp_ask = influences["plant_dp_sp_bar"]
        self._supply_ask = influences["plant_supply_temp_sp_c"]
        self._alarms = alarm_bits
        self._dp_minimum_mbar = fixed("plant_dp_minimum_bar")
        self._dp_maximum_mbar = fixed("plant_dp_maximum_bar")
        self._own_dp_mbar = min(max(fixed("own_plant_dp_bar"), self._dp_minimum_mbar), self._dp_maximum_mbar)
        self._supply_minimum_mc = fixed("plant_supply_temp_minimum_c")
        self._supply_maximum_mc = fixed("plant_supply_temp_maximum_c")
        self._curve = settings.curve(0)
        self._place = [sensors.place(name) for name in PLACES]
        self._index_own_mbar = settings.option("index_dp_own_bar")
        self._suction_minimum_mbar = settings.option("suction_pressure_minimum_bar")
        self._dry_mbar = settings.option("dry_run_pressure_bar")
        self._least_l_h = settings.option("plant_flow_minimum_m3_h")
        self._flow_pi = PI(2 * max(1000, self._least_l_h or 0), FLOW_INTEGRAL_MS)
        self._suction_pi = PI(SUCTION_BAND_MBAR, SUCTION_INTEGRAL_MS, FULL_BP * HELD_BACK_SHARE_PCT // 100)
        self._suction_pi.track(FULL_BP, 0)
        self._ranks = [getattr(self, "_" + PLANT_PUMP[k]) for k in range(len(PLANT_PUMP) - 1, -1, -1)]
        self._index_mbar = 0  # what the index consumer adds
        self._index_residue = 0
        self._holding_back = self._dry_now = self._least_bites = False
        self._dry_ms = 0
        self._speed_bp = 0  # what the pumps were told last
        self._slowest_bp = fixed("pump_speed_minimum_pct")
        self.pumps = PlantPumps(board, bank, settings, persistence)
        self._speed_pi = PI(DP_BAND_MBAR, DP_INTEGRAL_MS, low_bp=self._slowest_bp)
        # a pump that starts at a known middle finds its pressure within a minute from either side
        self._speed_pi.track(max(DP_LOST_SPEED_BP, self._slowest_bp), 0)
        self._energy = Energy(persistence, bank, bank.point("plant_heat_kw"), bank.point("plant_energy_kwh"))
        self._limiter_point = bank.point("active_limiter_number")
        self._state_point = bank.point("pump_state_number")
        self._least_point = bank.point("plant_flow_minimum_bites_number")
        self._index_point = bank.point("index_dp_correction_bar")
        self._reserve_point = bank.point("dp_reserve_bar")
        self._demand_point = bank.point("plant_supply_temp_out_c")
        self._setpoint_mbar = self._own_dp_mbar
        self.manual_bp = None  # the speed a technician has put
        self._low_dp_ms = 0
        self._stepped = ticks_ms()
        self.remote = False

    def save_when_due(self, now_s):
        self._energy.save_when_due(now_s)
        self.pumps.save_when_due(now_s)

    def hold(self):
        """Nothing moves between two steps."""
        return 0

    def stop(self):
        """Leave the pumps as a reset leaves them, however long it takes to come."""
        self.pumps.stop()

    def step(self, now_s, period_ms):
        """Run one period; always 0, because nothing has to be switched before the next."""
        now = ticks_ms()
        dt_ms = ticks_diff(now, self._stepped)
        self._stepped = now
        if dt_ms > MAX_STEP_MS:
            dt_ms = MAX_STEP_MS
        self._sensors.read()
        own_dp_mbar = self._own_dp_mbar + self._index(dt_ms)
        self._setpoint_mbar = self._dp_ask.step(own_dp_mbar, now_s, dt_ms, False)
        supply_mc = self._supply_ask.step(self._own_supply_mc(self._read(OUTDOOR)), now_s, dt_ms, False)
        self.remote = self._dp_ask.away or self._supply_ask.away
        speed_bp = 0
        for rank in self._ranks:  # the weakest first: each takes what the one before wants
            speed_bp = rank(speed_bp, dt_ms)
        self._speed_bp = speed_bp
        self.pumps.step(speed_bp, dt_ms)
        self._board.heat_demand(supply_mc * FULL_BP // DEMAND_SPAN_MC)
        self._bank.put(self._demand_point, supply_mc)
        self._watch(dt_ms)
        return 0

    def _own_supply_mc(self, outdoor_mc):
        own_mc = line(self._curve, PLANT_OUTDOOR_LOST_MC if outdoor_mc is None else outdoor_mc)
        return min(max(own_mc, self._supply_minimum_mc), self._supply_maximum_mc)

    def _read(self, which):
        return self._value[self._place[which]]

    def _index(self, dt_ms):
        """Return what the index consumer adds to the own pressure: more while it has too little."""
        index_mbar = self._read(INDEX_DP)
        own_mbar = self._index_own_mbar
        if own_mbar is None:
            return 0
        if index_mbar is None:
            reach = INDEX_SLEW_MBAR_MIN * dt_ms + self._index_residue
            step = reach // 60_000
            self._index_residue = reach - step * 60_000
            if self._index_mbar > 0:
                self._index_mbar = max(0, self._index_mbar - step)
            else:
                self._index_mbar = min(0, self._index_mbar + step)
            self._bank.put(self._reserve_point, None)
        else:
            if self.manual_bp is None and self._follows(own_mbar - index_mbar):
                gathered = (own_mbar - index_mbar) * dt_ms + self._index_residue
                step = gathered // INDEX_INTEGRAL_MS
                self._index_residue = gathered - step * INDEX_INTEGRAL_MS
                low, high = (
                    self._dp_minimum_mbar - self._own_dp_mbar,
                    self._dp_maximum_mbar - self._own_dp_mbar,
                )
                self._index_mbar = min(high, max(low, self._index_mbar + step))
            self._bank.put(self._reserve_point, index_mbar - own_mbar)
        self._bank.put(self._index_point, self._index_mbar)
        return self._index_mbar

    def _follows(self, missing_mbar):
        """Say whether the index would see what is learnt from it: not while something else has the speed."""
        if self._dp_ask.away or self._dry_now or self._holding_back or self._read(PLANT_DP) is None:
            return False
        if missing_mbar > 0:
            return self._speed_bp < FULL_BP
        return self._speed_bp > self._slowest_bp and not self._least_bites

    def _controlled(self, speed_bp, dt_ms):
        dp_mbar = self._read(PLANT_DP)
        self._bank.put(self._limiter_point, NO_LIMITER)
        if dp_mbar is None:
            return self._speed_pi.output_bp
        return self._speed_pi.step(self._setpoint_mbar - dp_mbar, dt_ms)

    def hands(self):
        """Return what a technician may put by hand, in the order of manual.NAMES."""
        return (None, None, None, self, None)

    def _manual(self, speed_bp, dt_ms):
        if self.manual_bp is None:
            return speed_bp
        self._least_bites = False
        dp_mbar = self._read(PLANT_DP)
        self._speed_pi.track(self.manual_bp, 0 if dp_mbar is None else self._setpoint_mbar - dp_mbar)
        return self.manual_bp

    def _least_flow(self, speed_bp, dt_ms):
        flow_l_h = self._read(PLANT_FLOW)
        least_l_h = self._least_l_h
        if least_l_h is None or flow_l_h is None or self._dry_now:
            self._least_bites = False
        elif flow_l_h < least_l_h or self._least_bites:
            if not self._least_bites:
                self._flow_pi.track(speed_bp, 0)
            elif self._holding_back:
                self._flow_pi.yield_to(self._speed_bp, 0)
            floor_bp = self._flow_pi.step(least_l_h - flow_l_h, dt_ms)
            self._least_bites = floor_bp > speed_bp
            if self._least_bites:
                speed_bp = floor_bp
        self._bank.put(self._least_point, 1 if self._least_bites else 0)
        return speed_bp

    def _dp_lost(self, speed_bp, dt_ms):
        if self._read(PLANT_DP) is not None:
            return speed_bp
        self._bank.put(self._limiter_point, FALLBACK)
        # its own speed alone is kept: what the least flow added goes when it is no longer needed
        self._speed_pi.track(max(self._speed_pi.output_bp, DP_LOST_SPEED_BP), 0)
        return max(speed_bp, DP_LOST_SPEED_BP)

    def _cavitation(self, speed_bp, dt_ms):
        suction_mbar = self._read(SUCTION)
        state = IN_ORDER
        if self._suction_minimum_mbar is None:
            pass
        elif suction_mbar is None:
            state = SUCTION_LOST
            self._holding_back = False
        else:
            room_mbar = suction_mbar - self._suction_minimum_mbar
            if room_mbar < 0 or self._holding_back:
                if not self._holding_back:
                    self._suction_pi.track(speed_bp, 0)
                most_bp = self._suction_pi.step(room_mbar, dt_ms)
                self._holding_back = most_bp < speed_bp
                if self._holding_back:
                    state = HELD_BACK
                    speed_bp = most_bp
                    if self._read(PLANT_DP) is not None:  # else nothing would bring it back
                        self._speed_pi.yield_to(speed_bp, 0)
        self._bank.put(self._state_point, state)
        return speed_bp

    def _dry(self, speed_bp, dt_ms):
        suction_mbar = self._read(SUCTION)
        if self._dry_mbar is None or suction_mbar is None:
            self._dry_now = False
            self._dry_ms = 0
        elif not self._dry_now:
            self._dry_ms = self._dry_ms + dt_ms if suction_mbar < self._dry_mbar else 0
            if self._dry_ms >= DRY_FOR_MS:
                self._dry_now = True
                self._dry_ms = 0
        else:
            self._dry_ms = self._dry_ms + dt_ms if suction_mbar > self._dry_mbar + WET_ABOVE_MBAR else 0
            if self._dry_ms >= WET_FOR_MS:
                self._dry_now = False
                self._dry_ms = 0
        self._alarms.set(alarms.DRY_RUN, self._dry_now)
        if not self._dry_now:
            return speed_bp
        self._bank.put(self._state_point, DRY)
        dp_mbar = self._read(PLANT_DP)
        missing_mbar = 0 if dp_mbar is None else self._setpoint_mbar - dp_mbar
        self._speed_pi.track(max(DP_LOST_SPEED_BP, self._slowest_bp), missing_mbar)
        return 0

    def _watch(self, dt_ms):
        heat = heat_w(self._read(PLANT_FLOW), self._read(PLANT_SUPPLY), self._read(PLANT_RETURN))
        self._energy.step(heat, dt_ms)
        self._alarms.set(alarms.SENSOR_LOST, self._sensors.fault_bits != 0)
        dp_mbar = self._read(PLANT_DP)
        if dp_mbar is not None and dp_mbar < self._setpoint_mbar * LOW_DP_SHARE_PCT // 100:
            self._low_dp_ms = min(self._low_dp_ms + dt_ms, LOW_DP_FOR_MS)
        else:
            self._low_dp_ms = 0
        self._alarms.set(alarms.LOW_DP, self._low_dp_ms >= LOW_DP_FOR_MS)
