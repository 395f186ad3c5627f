"""Taps of one house: who draws when, with the sensor and the safety thermostat of its water heater.

It hangs on the network water that a house gets; what it draws does not change the pressures of the
network, as one tap hardly does. It refuses to run without the independent thermostat that every wiring
plan has (docs/boards.md).
"""

from __future__ import annotations

import numpy as np

from core_ext import fluid

from ...acceptance import limit
from .column import FloatArray
from .houses import WATER_TEMP_C
from .water_heater import COLD_C, STROKE_S, WaterHeaters

DRAW_KG_S = 0.15  # within the steps of 0.1 to 0.3 l/s of a level III test (hil.md G8)
DRAW_S, PAUSE_S = 180.0, 120.0  # taps open and closed in turn [estimate]
DESIGN_SUPPLY_C, DESIGN_RETURN_C = 72.0, 25.0  # 70 to 75 in summer (domain.md 4.2); return [estimate]
KVS_M3_H = 1.6  # R5 step next above 0.9 at 0.6 bar and design flow
SENSOR_LAG_S = 3.0  # in the water itself [estimate]
THERMOSTAT_C = limit("dhw-hot")
THERMOSTAT_LAG_S = 2.0  # capillary in the exchanger's outlet [estimate]
THERMOSTAT_DIFFERENCE_K = 8.0  # it gives the actuator back so far below [estimate]
SPRING_S = 10.0  # an actuator with spring return is shut so long after its supply is cut [estimate]

__all__ = ["STROKE_S", "THERMOSTAT_C", "TapWater"]


class TapWater:
    """State of one house's hot water. Temperatures degC, flows kg/s."""

    def __init__(self) -> None:
        self.heater = WaterHeaters(1, DRAW_KG_S, DESIGN_SUPPLY_C, DESIGN_RETURN_C, KVS_M3_H)
        self.exchangers, self.valves = self.heater.exchangers, self.heater.valves
        self.density = float(fluid.density_kg_m3(WATER_TEMP_C))
        self.throttled = 1.0
        """What is left of the flow through the primary side, 1 = all (a fault to inject)."""
        self.time_s = 0.0
        self.draw_kg_s = 0.0
        self.primary_kg_s = 0.0
        self.tap_c = 30.0
        """What leaves the exchanger, mean of the last step."""
        self.sensor_c = 30.0
        self.over_s = 0.0
        """How long the water drawn has now been above the limit without a break."""
        self.over_most_s = 0.0
        self.last_draw_end_c = float("nan")
        """What left the exchanger at the end of the newest draw."""
        self.last_draw_return_c = float("nan")
        """What went back to the network at that time."""
        self.thermostat_open = False
        """The safety thermostat has cut the actuator's supply; its spring shuts the valve."""
        self.trips = 0
        self._thermostat_c = 30.0

    def step(self, dt_s: float, open_s: float, close_s: float, dp_pa: float, supply_c: float) -> None:
        """Advance by dt_s with what the relays did and what the house gets from the network."""
        before = self.draw_kg_s
        self.time_s += dt_s
        drawing = self.time_s % (DRAW_S + PAUSE_S) < DRAW_S
        self.draw_kg_s = DRAW_KG_S if drawing else 0.0
        if before > 0.0 and not drawing:
            self.last_draw_end_c = self.tap_c
            self.last_draw_return_c = float(self.exchangers.primary_return_c[0])
        valves = self.valves
        if self.thermostat_open:  # no supply: the motor is dead and the spring drives
            valves.motor = np.maximum(valves.motor - dt_s / SPRING_S, 0.0)
            if not valves.stuck[0]:
                valves.position = np.minimum(valves.position, valves.motor)
            open_s = close_s = 0.0
        kv = float(self.heater.move_valves(open_s, close_s)[0]) * self.throttled
        self.primary_kg_s = kv * float(np.sqrt(max(dp_pa, 0.0) / 1e5 * 1000.0 * self.density)) / 3600.0
        self.heater.step(dt_s, self.primary_kg_s, supply_c, self.draw_kg_s, COLD_C)
        self.tap_c = float(self.exchangers.secondary_supply_c[0])
        out_c = float(self.exchangers.secondary_out_c[0])
        self.sensor_c += (out_c - self.sensor_c) * float(-np.expm1(-dt_s / SENSOR_LAG_S))
        self._watch(dt_s, out_c)
        self.over_s = self.over_s + dt_s if self.draw_kg_s > 0.0 and self.tap_c > THERMOSTAT_C else 0.0
        self.over_most_s = max(self.over_most_s, self.over_s)

    def _watch(self, dt_s: float, out_c: float) -> None:
        self._thermostat_c += (out_c - self._thermostat_c) * float(-np.expm1(-dt_s / THERMOSTAT_LAG_S))
        if self._thermostat_c > THERMOSTAT_C and not self.thermostat_open:
            self.thermostat_open = True
            self.trips += 1
        elif self._thermostat_c < THERMOSTAT_C - THERMOSTAT_DIFFERENCE_K:
            self.thermostat_open = False

    @property
    def draw_m3_h(self) -> float:
        return self.draw_kg_s * 3600.0 / self.density

    @property
    def primary_m3_h(self) -> float:
        return self.primary_kg_s * 3600.0 / self.density

    @property
    def position(self) -> FloatArray:
        return self.valves.position
