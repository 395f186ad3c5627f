"""Hold the differential pressure across the plant by the pump's speed, and ask for a supply temperature.

Orders may move both inside the site's limits. If the supervisor falls silent the pressure stays until
the houses have moved, then both walk back to the station's own values. It refuses to stop the pump.
What is done without a sensor stands in `fallbacks`.
"""

from time import ticks_diff, ticks_ms

from . import alarms
from .energy import Energy, heat_w
from .fallbacks import DP_LOST_SPEED_BP, PLANT_OUTDOOR_LOST_MC
from .fixed_point import FULL_BP
from .heating_curve import line
from .pi_controller import PI
from .precedence import FALLBACK, NO_LIMITER

DP_BAND_MBAR = 20_000  # pressure follows speed within a period, so the proportional gain stays below one
DP_INTEGRAL_MS = 10_000
LOW_DP_SHARE_PCT = 80
LOW_DP_FOR_MS = 60_000
DEMAND_SPAN_MC = 130_000  # 100 % of the 0-10 V output
MAX_STEP_MS = 10_000

# positions in sensors.PUMP_STATION_INPUTS
OUTDOOR, PLANT_SUPPLY, PLANT_RETURN, PLANT_DP, PLANT_FLOW = range(5)


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
        self._speed_pi = PI(DP_BAND_MBAR, DP_INTEGRAL_MS, low_bp=fixed("pump_speed_minimum_pct"))
        # a pump that starts at a known middle finds its pressure within a minute from either side
        self._speed_pi.track(max(DP_LOST_SPEED_BP, fixed("pump_speed_minimum_pct")), 0)
        self._energy = Energy(persistence, bank, bank.point("plant_heat_kw"), bank.point("plant_energy_kwh"))
        self._limiter_point = bank.point("active_limiter_number")
        self._speed_point = bank.point("pump_speed_out_pct")
        self._demand_point = bank.point("plant_supply_temp_out_c")
        self._low_dp_ms = 0
        self._stepped = ticks_ms()
        self.remote = False

    def save_when_due(self, now_s):
        self._energy.save_when_due(now_s)

    def hold(self):
        """Nothing moves between two steps."""
        return 0

    def stop(self):
        """Leave the outputs: the pump keeps turning until the reset sets them anew."""

    def step(self, now_s, period_ms):
        """Run one period; always 0, because nothing has to be switched before the next."""
        now = ticks_ms()
        dt_ms = ticks_diff(now, self._stepped)
        self._stepped = now
        if dt_ms > MAX_STEP_MS:
            dt_ms = MAX_STEP_MS
        self._sensors.read()
        value = self._value
        dp_setpoint_mbar = self._dp_ask.step(self._own_dp_mbar, now_s, dt_ms, False)
        supply_mc = self._supply_ask.step(self._own_supply_mc(value[OUTDOOR]), now_s, dt_ms, False)
        self.remote = self._dp_ask.away or self._supply_ask.away
        speed_bp = self._speed(dp_setpoint_mbar, dt_ms)
        self._board.pump_speed(speed_bp)
        self._bank.put(self._speed_point, speed_bp)
        self._board.heat_demand(supply_mc * FULL_BP // DEMAND_SPAN_MC)
        self._bank.put(self._demand_point, supply_mc)
        self._watch(dp_setpoint_mbar, dt_ms)
        return 0

    def _own_supply_mc(self, outdoor_mc):
        own_mc = line(self._curve, PLANT_OUTDOOR_LOST_MC if outdoor_mc is None else outdoor_mc)
        return min(max(own_mc, self._supply_minimum_mc), self._supply_maximum_mc)

    def _speed(self, dp_setpoint_mbar, dt_ms):
        dp_mbar = self._value[PLANT_DP]
        if dp_mbar is None:
            self._bank.put(self._limiter_point, FALLBACK)
            speed_bp = max(self._speed_pi.output_bp, DP_LOST_SPEED_BP)
            self._speed_pi.track(speed_bp, 0)
            return speed_bp
        self._bank.put(self._limiter_point, NO_LIMITER)
        return self._speed_pi.step(dp_setpoint_mbar - dp_mbar, dt_ms)

    def _watch(self, dp_setpoint_mbar, dt_ms):
        value = self._value
        self._energy.step(heat_w(value[PLANT_FLOW], value[PLANT_SUPPLY], value[PLANT_RETURN]), dt_ms)
        self._alarms.set(alarms.SENSOR_LOST, self._sensors.fault_bits != 0)
        dp_mbar = value[PLANT_DP]
        if dp_mbar is not None and dp_mbar < dp_setpoint_mbar * LOW_DP_SHARE_PCT // 100:
            self._low_dp_ms = min(self._low_dp_ms + dt_ms, LOW_DP_FOR_MS)
        else:
            self._low_dp_ms = 0
        self._alarms.set(alarms.LOW_DP, self._low_dp_ms >= LOW_DP_FOR_MS)
