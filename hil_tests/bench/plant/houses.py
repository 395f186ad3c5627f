"""The substations and houses of a town from the control valve to the room, all at once.

What the network gives (flow and supply temperature) comes in, the primary return temperature goes out. Which
network it is, or whether there is one at all, is of no concern here.

`Houses` steps in the compiled kernel of core_ext.substations. `PlainHouses` is the same in plain arrays,
model by model as their files tell it: the measure of the kernel, in its tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core_ext import fluid
from core_ext.substations import Constants, SubstationBlock

from . import exchanger, sizing
from .building import (
    CELLS,
    LEAST_THERMOSTAT_SHARE,
    RADIATOR_EXPONENT,
    Buildings,
    Radiators,
    radiator_conductance_w_kn,
    thermostat_share,
)
from .column import Column, FloatArray
from .exchanger import Exchangers
from .town import Substations
from .valve import Valves

# Heat capacity of all water in the plant; between 40 and 80 degC it varies by 0.4 %, at which we stop.
WATER_TEMP_C = 60.0
PLATE_FLOW_EXPONENT = 0.7  # film coefficient over flow in plate exchangers (text-book value)


# Attributes of the models whose rows in the block have another name
ROW_NAMES = {
    "_log_range": "log_range", "_primary_design": "primary_design_kg_s",
    "_secondary_design": "secondary_design_kg_s", "_exchanger_kv": "fixed_kv_m3_h", "cell_c": "cell_0_c",
    "_band": "thermostat_band_k", "secondary_flow_kg_s": "secondary_kg_s",
}  # fmt: skip


def constants(cp_j_kgk: float) -> Constants:
    """What the kernel has to know of these models."""
    return Constants(
        cp_j_kgk,
        PLATE_FLOW_EXPONENT,
        RADIATOR_EXPONENT,
        LEAST_THERMOSTAT_SHARE,
        exchanger.PRIMARY_PULL,
        exchanger.SECONDARY_PULL,
        exchanger.OVERSHOOT,
        exchanger.LEAST_FLOW_KG_S,
    )


def lay_into(block: SubstationBlock, *models: Any) -> None:
    """Move the columns of these models into the rows of a block, which steps them from then on."""
    for model in models:
        for kind in type(model).__mro__:
            for name, column in vars(kind).items():
                if isinstance(column, Column):
                    row = ROW_NAMES.get(name, name)
                    column.move(model, block.rows(row, CELLS) if name == "cell_c" else block.row(row))
    block.settle()


class PlainHouses:
    """State of every substation and house; starts with closed valves and rooms at their setpoints."""

    throttled = Column()
    """What is left of the exchanger's kv, 1 = all: air, or dirt in the strainer (a fault to inject)."""
    thermostat_setpoint_c, secondary_flow_kg_s = Column(), Column()
    heat_to_building_w = Column()
    """Mean heat given by the radiators in the last step."""
    primary_heat_w = Column()
    """Mean heat taken from the network in the last step."""
    _exchanger_kv, _band = Column(), Column()

    def __init__(self, substations: Substations, outdoor_temp_c: float) -> None:
        s = substations
        self.count = len(s)
        self.cp_j_kgk = float(fluid.heat_capacity_j_kgk(WATER_TEMP_C))
        self.valves = Valves(
            s.valve_kvs_m3_h, s.valve_stroke_s, s.valve_backlash, s.valve_leakage, s.valve_rangeability
        )
        self._exchanger_kv = s.exchanger_kv_m3_h
        self.throttled = np.ones(self.count)
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
        self.thermostat_setpoint_c = s.thermostat_setpoint_c
        self._band = s.thermostat_band_k
        self.secondary_flow_kg_s = self.heat_to_building_w = self.primary_heat_w = np.zeros(self.count)

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


class Houses(PlainHouses):
    """The same, stepped by the kernel. threads, level: see `SubstationBlock`.

    What `move_valves` and `step` return is written again by the next step.
    """

    def __init__(
        self, substations: Substations, outdoor_temp_c: float, *, threads: int = 1, level: str | None = None
    ) -> None:
        super().__init__(substations, outdoor_temp_c)
        self._block = block = SubstationBlock(
            self.count, constants(self.cp_j_kgk), threads=threads, level=level
        )
        lay_into(block, self, self.valves, self.exchangers, self.radiators, self.buildings)
        self._open, self._close, self._kv = block.row("open_s"), block.row("close_s"), block.row("kv_m3_h")
        self._flow, self._inlet = block.row("primary_kg_s"), block.row("primary_in_c")
        self._pump = block.row("pump_share")

    def move_valves(self, open_s: FloatArray, close_s: FloatArray) -> FloatArray:
        """Run the actuators and return kv of valve and exchanger in series, m3/h."""
        self._open[:] = open_s
        self._close[:] = close_s
        self._block.move()
        return self._kv

    def step(
        self,
        dt_s: float,
        primary_kg_s: FloatArray,
        primary_supply_c: FloatArray,
        pump_share: FloatArray,
        outdoor_c: float,
    ) -> FloatArray:
        """Advance by dt_s and return the mean temperature of the primary water that left."""
        self._flow[:] = primary_kg_s
        self._inlet[:] = primary_supply_c
        self._pump[:] = pump_share
        self._block.step(dt_s, outdoor_c)
        return self.exchangers.primary_return_c
