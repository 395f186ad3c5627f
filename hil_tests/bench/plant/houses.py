"""The substations and houses of a town from the control valve to the room, all at once.

What the network gives (flow and supply temperature) comes in, the primary return temperature goes out. Which
network it is, or whether there is one at all, is of no concern here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core_ext import fluid

from . import sizing
from .building import Buildings, Radiators, radiator_conductance_w_kn, thermostat_share
from .exchanger import Exchangers
from .town import Substations
from .valve import Valves

FloatArray = NDArray[np.float64]

# Heat capacity of all water in the plant; between 40 and 80 degC it varies by 0.4 %, at which we stop.
WATER_TEMP_C = 60.0
PLATE_FLOW_EXPONENT = 0.7  # film coefficient over flow in plate exchangers (text-book value)


class Houses:
    """State of every substation and house; starts with closed valves and rooms at their setpoints."""

    def __init__(self, substations: Substations, outdoor_temp_c: float) -> None:
        s = substations
        self.count = len(s)
        self.cp_j_kgk = float(fluid.heat_capacity_j_kgk(WATER_TEMP_C))
        self.valves = Valves(
            s.valve_kvs_m3_h, s.valve_stroke_s, s.valve_backlash, s.valve_leakage, s.valve_rangeability
        )
        self._exchanger_kv = s.exchanger_kv_m3_h
        self.throttled: FloatArray = np.ones(self.count)
        """What is left of the exchanger's kv, 1 = all: air, or dirt in the strainer (a fault to inject)."""
        self.exchangers = Exchangers(
            s.exchanger_ua_w_k,
            s.exchanger_primary_water_kg * self.cp_j_kgk,
            s.exchanger_secondary_water_kg * self.cp_j_kgk,
            s.exchanger_metal_j_k,
            self.cp_j_kgk,
            primary_design_kg_s=s.design_flow_kg_s,
            secondary_design_kg_s=s.secondary_flow_kg_s,
            flow_exponent=PLATE_FLOW_EXPONENT,
            initial_temp_c=30.0,
        )
        conductance = radiator_conductance_w_kn(
            s.radiator_heat_w,
            s.secondary_flow_kg_s * (s.radiator_heat_w / s.design_heat_w),
            self.cp_j_kgk,
            sizing.SECONDARY_SUPPLY_C,
            sizing.INDOOR_C,
        )
        self.radiators = Radiators(conductance, s.radiator_capacity_j_k, self.cp_j_kgk, 30.0)
        self.buildings = Buildings(
            s.building_air_to_outdoor_w_k,
            s.building_air_to_mass_w_k,
            s.building_mass_to_outdoor_w_k,
            s.building_air_j_k,
            s.building_mass_j_k,
            s.internal_gain_w,
            s.thermostat_setpoint_c,
            outdoor_temp_c,
        )
        self._secondary_design = s.secondary_flow_kg_s
        self.thermostat_setpoint_c: FloatArray = s.thermostat_setpoint_c.copy()
        self._band = s.thermostat_band_k
        self.secondary_flow_kg_s: FloatArray = np.zeros(self.count)
        self.heat_to_building_w: FloatArray = np.zeros(self.count)
        """Mean heat given by the radiators in the last step."""
        self.primary_heat_w: FloatArray = np.zeros(self.count)
        """Mean heat taken from the network in the last step."""

    def move_valves(self, open_s: FloatArray, close_s: FloatArray) -> FloatArray:
        """Run the actuators and return kv of valve and exchanger in series, m3/h."""
        self.valves.step(open_s, close_s)
        valve = self.valves.kv_m3_h()
        kv: FloatArray = valve / np.sqrt(1.0 + (valve / (self._exchanger_kv * self.throttled)) ** 2)
        return kv

    def step(
        self,
        dt_s: float,
        primary_kg_s: FloatArray,
        primary_supply_c: FloatArray,
        pump_share: FloatArray,
        outdoor_c: float,
    ) -> FloatArray:
        """Advance by dt_s and return the mean temperature of the primary water that left.

        `pump_share`: part of the step the circulation pump ran, 0..1.
        """
        room = self.buildings.room_c
        flow = self._secondary_design * pump_share
        self.secondary_flow_kg_s = flow * thermostat_share(room, self.thermostat_setpoint_c, self._band)
        exchangers = self.exchangers
        exchangers.step(
            dt_s, primary_kg_s, primary_supply_c, self.secondary_flow_kg_s, self.radiators.return_c
        )
        heat = self.radiators.step(dt_s, self.secondary_flow_kg_s, exchangers.secondary_supply_c, room)
        self.heat_to_building_w = heat
        self.buildings.step(dt_s, heat, outdoor_c)
        self.primary_heat_w = primary_kg_s * self.cp_j_kgk * (primary_supply_c - exchangers.primary_return_c)
        return exchangers.primary_return_c

    def stored_j(self) -> float:
        """Heat in exchangers, radiators and buildings, counted from 0 degC, J."""
        return self.exchangers.stored_j() + self.radiators.stored_j() + self.buildings.stored_j()
