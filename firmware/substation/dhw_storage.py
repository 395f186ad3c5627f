"""DHW in a tank: heated by a coil in it, or charged over an exchanger outside.

Charging begins when the top has become too cold and ends when the bottom is hot, or the top where there is
no sensor below. It refuses to stir a hot tank with cold water: the pump of an exchanger outside waits until
its outlet is hotter than the tank, and runs on while the heat left in it is of use.
"""

from .dhw import HEATING, Dhw

RELEASE_MK = 2_000  # so much hotter than the top the outlet must be for the pump to start [estimate]
AFTERRUN_MK = 1_000  # and so much for it to run on


class StorageDhw(Dhw):
    """A tank with an exchanger outside, charged by the pump, or with a coil whose water the pump drives."""

    band_mk, integral_ms = 60_000, 60_000  # slower than a tap: nobody feels it [estimate]

    def __init__(self, board, bank, settings, sensors, limits, alarm_bits, persistence, local_time, spread_s):
        super().__init__(
            board, bank, settings, sensors, limits, alarm_bits, persistence, local_time, spread_s
        )
        self._external = settings.dhw == "storage_charging"
        self._top_at = sensors.place("dhw_tank_top_temp_c")
        self._bottom_at = sensors.place("dhw_tank_bottom_temp_c")
        self._hysteresis_mk = settings.fixed("dhw_hysteresis_k")
        self._excess_mk = settings.fixed("dhw_charging_excess_k")
        self._charging = False
        self._flowing = False

    def _ends(self):
        """Return (top, bottom) with one standing for the other where it is lost."""
        top_mc = self._value[self._top_at]
        bottom_mc = self._value[self._bottom_at]
        return (bottom_mc if top_mc is None else top_mc), (top_mc if bottom_mc is None else bottom_mc)

    def _blind(self):
        return self._ends()[0] is None

    def _decide_demand(self, dt_ms):
        top_mc, bottom_mc = self._ends()
        if top_mc is None:
            self._charging = False
        elif top_mc < self.wanted_mc - self._hysteresis_mk or self.legionella.running:
            self._charging = True
        elif bottom_mc >= self.wanted_mc:
            self._charging = False
        self.active = self._charging

    def _controlled(self, dt_ms):
        self.state = HEATING
        error_mk = self.setpoint_mc() - self.supply_mc
        return self._limited(self._pi.step(error_mk, dt_ms), error_mk, dt_ms)

    def _run_pump(self, dt_ms):
        supply_mc = self.supply_mc
        top_mc, _ = self._ends()
        if supply_mc is None or top_mc is None or self._scalding or self.manual_bp is not None:
            self._flowing = False
            self.pump.stop_now()
            return
        ahead_mk = supply_mc - top_mc
        flowed = self._flowing
        if self._external:
            if ahead_mk > RELEASE_MK:
                self._flowing = self.active or self._flowing
            elif ahead_mk < AFTERRUN_MK:
                self._flowing = False
            # at the start the exchanger is as cold as its water: a pump that waits for heat waits for ever
            # unless the valve opens first, which it does
        else:
            self._flowing = self.active or (self._flowing and ahead_mk > AFTERRUN_MK)
        if flowed and not self._flowing:  # the pump's own afterrun would stir colder water into the tank
            self.pump.stop_now()
        else:
            self.pump.wanted(self._flowing, dt_ms)
