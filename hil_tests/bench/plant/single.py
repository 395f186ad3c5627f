"""Substations, or pump stations, each at a supply of its own: no network between them, everything settable.

For emulated controllers without a town and for tests of one device. What a network would do to its
neighbours is left out on purpose: a test that needs it takes TownPlant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core_ext import fluid

from ..board_io import (
    OUTDOOR,
    PLANT_RETURN,
    PLANT_SUPPLY,
    PRIMARY_RETURN,
    PRIMARY_SUPPLY,
    PT1000_CHANNELS,
    PUMP_STATION_FLOW_RANGE_M3_H,
    ROOM,
    SECONDARY_RETURN,
    SECONDARY_SUPPLY,
    SUBSTATION_FLOW_RANGE_M3_H,
    BoardInputs,
    BoardOutputs,
)
from . import sizing
from .houses import WATER_TEMP_C, Houses
from .sensors import Sensors
from .town import Substations, substation_columns
from .town_maker import Consumer, substation_row
from .town_plant import HIGHEST_DEMAND_C, PUMP_RAMP_S

FloatArray = NDArray[np.float64]

DESIGN_OUTDOOR_C = -12.0
DESIGN_HEAT_W = 15e3


def substations(count: int, design_heat_w: ArrayLike = DESIGN_HEAT_W) -> Substations:
    """Like houses sized by the rules of the example towns, named house-01 and so on."""
    heats = np.broadcast_to(np.asarray(design_heat_w, dtype=np.float64), (count,))
    cp = float(fluid.heat_capacity_j_kgk((sizing.PRIMARY_SUPPLY_C + sizing.PRIMARY_RETURN_C) / 2.0))
    rows = []
    for number, heat in enumerate(heats.tolist(), start=1):
        consumer = Consumer(f"house-{number:02d}", f"House {number}", 0, heat, "single", 1, 90.0, 1.15)
        flow = heat / (cp * (sizing.PRIMARY_SUPPLY_C - sizing.PRIMARY_RETURN_C))
        rows.append(substation_row(consumer, flow, 0.0, 0.0, DESIGN_OUTDOOR_C))
    return substation_columns(rows)


class SinglePlant:
    """`count` substations, or given ones, each at its own fixed supply.

    Settable at any time, one number for all or one per device: `outdoor_temp_c` (one for all),
    `primary_supply_temp_c`, `primary_dp_bar`, `button`. Sensor faults: `plant.sensors.fail(device, channel,
    kind)`. threads: how many step the houses at once; the bits do not depend on it.
    """

    def __init__(
        self,
        count: int = 1,
        seed: int = 0,
        *,
        houses: Substations | None = None,
        outdoor_temp_c: float = 0.0,
        primary_supply_temp_c: ArrayLike = 75.0,
        primary_dp_bar: ArrayLike = 0.6,
        tolerance_share: float = 0.5,
        threads: int = 1,
    ) -> None:
        data = houses if houses is not None else substations(count)
        self.devices = len(data)
        self.substations = data
        self.outdoor_temp_c = outdoor_temp_c
        self.primary_supply_temp_c: ArrayLike = primary_supply_temp_c
        self.primary_dp_bar: ArrayLike = primary_dp_bar
        self.button: ArrayLike = False
        self.time_s = 0.0
        self.houses = Houses(data, outdoor_temp_c, threads=threads)
        self._density = float(fluid.density_kg_m3(WATER_TEMP_C))
        self.sensors = Sensors(
            self.devices, SUBSTATION_FLOW_RANGE_M3_H, seed, tolerance_share=tolerance_share
        )
        self.primary_flow_kg_s: FloatArray = np.zeros(self.devices)
        self.primary_energy_j: FloatArray = np.zeros(self.devices)
        self.building_energy_j: FloatArray = np.zeros(self.devices)
        self._inputs = BoardInputs.unconnected(self.devices)
        self._truth = np.zeros((self.devices, PT1000_CHANNELS))

    @property
    def room_temp_c(self) -> FloatArray:
        """Room temperature of each house."""
        return self.houses.buildings.room_c

    @property
    def secondary_supply_temp_c(self) -> FloatArray:
        """Heating circuit supply of each house at the end of the step."""
        return self.houses.exchangers.secondary_out_c

    @property
    def primary_return_temp_c(self) -> FloatArray:
        """Network water leaving each substation, mean of the last step."""
        return self.houses.exchangers.primary_return_c

    @property
    def valve_position(self) -> FloatArray:
        """True stem positions, 0..1."""
        return self.houses.valves.position

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        """Advance by dt_s; returns what the pins see. The returned object is reused by the next step."""
        if len(outputs.open_s) != self.devices:
            raise ValueError(
                f"outputs are for {len(outputs.open_s)} boards, this plant has {self.devices}; "
                "nothing was changed"
            )
        self.time_s += dt_s
        supply_c = np.asarray(self.primary_supply_temp_c, float) + np.zeros(self.devices)
        dp_bar = np.asarray(self.primary_dp_bar, float) + np.zeros(self.devices)
        kv = self.houses.move_valves(outputs.open_s, outputs.close_s)
        # dp = 1e5 * 3600^2 m^2 / (1000 rho kv^2)
        self.primary_flow_kg_s = kv * np.sqrt(np.maximum(dp_bar, 0.0) * 1000.0 * self._density) / 3600.0
        self.houses.step(
            dt_s, self.primary_flow_kg_s, supply_c, outputs.pump_on_s / dt_s, self.outdoor_temp_c
        )
        self.primary_energy_j += self.houses.primary_heat_w * dt_s
        self.building_energy_j += self.houses.heat_to_building_w * dt_s
        truth = self._truth
        truth[:, OUTDOOR] = self.outdoor_temp_c
        truth[:, PRIMARY_SUPPLY] = supply_c
        truth[:, PRIMARY_RETURN] = self.houses.exchangers.primary_out_c
        truth[:, SECONDARY_SUPPLY] = self.houses.exchangers.secondary_out_c
        truth[:, SECONDARY_RETURN] = self.houses.radiators.return_c
        truth[:, ROOM] = self.houses.buildings.room_c
        flow_m3_h = self.primary_flow_kg_s * (3600.0 / self._density)
        self.sensors.step(dt_s, truth, dp_bar, flow_m3_h, self._inputs)
        self._inputs.button[:] = self.button
        return self._inputs


class SinglePumpStation:
    """`count` pump stations, each pumping through one fixed resistance; the heat plant follows its demand.

    Settable: `outdoor_temp_c`, `return_temp_c`, `button`, and the resistance as `design_flow_kg_s` at
    `design_dp_pa`.
    """

    def __init__(self, count: int = 1, seed: int = 0, *, outdoor_temp_c: float = 0.0) -> None:
        self.devices = count
        self.outdoor_temp_c = outdoor_temp_c
        self.return_temp_c: ArrayLike = sizing.PRIMARY_RETURN_C
        self.design_flow_kg_s: ArrayLike = 5.0
        self.design_dp_pa: ArrayLike = 2e5
        self.button: ArrayLike = False
        self.time_s = 0.0
        self.pump_speed: FloatArray = np.zeros(count)
        self.supply_temp_c: FloatArray = np.full(count, sizing.PRIMARY_RETURN_C)
        self.plant_dp_pa: FloatArray = np.zeros(count)
        self.plant_flow_kg_s: FloatArray = np.zeros(count)
        connected = np.ones((count, PT1000_CHANNELS), dtype=np.bool_)
        connected[:, PLANT_RETURN + 1 :] = False
        self.sensors = Sensors(count, PUMP_STATION_FLOW_RANGE_M3_H, seed, connected)
        self._inputs = BoardInputs.unconnected(count)
        self._truth = np.zeros((count, PT1000_CHANNELS))

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        """Advance by dt_s; returns what the pins see. The returned object is reused by the next step."""
        if len(outputs.open_s) != self.devices:
            raise ValueError(
                f"outputs are for {len(outputs.open_s)} boards, this plant has {self.devices}; "
                "nothing was changed"
            )
        self.time_s += dt_s
        ramp = dt_s / PUMP_RAMP_S
        wanted = np.where(outputs.pump_on_s > 0.0, np.clip(outputs.pump_speed, 0.0, 1.0), 0.0)
        self.pump_speed = self.pump_speed + np.clip(wanted - self.pump_speed, -ramp, ramp)
        # pump: 1.5 times the design head at shut-off, 1.2 times at design flow; network: dp = R m^2
        flow = np.asarray(self.design_flow_kg_s, float) + np.zeros(self.devices)
        dp = np.asarray(self.design_dp_pa, float) + np.zeros(self.devices)
        share = self.pump_speed * np.sqrt(1.5 / 1.3)
        self.plant_flow_kg_s = flow * share
        self.plant_dp_pa = dp * share**2
        demand_c = np.clip(outputs.heat_demand, 0.0, 1.0) * HIGHEST_DEMAND_C
        back = np.asarray(self.return_temp_c, float) + np.zeros(self.devices)
        target = np.maximum(demand_c, back)
        self.supply_temp_c = self.supply_temp_c + (target - self.supply_temp_c) * -np.expm1(-dt_s / 120.0)
        truth = self._truth
        truth[:, OUTDOOR] = self.outdoor_temp_c
        truth[:, PLANT_SUPPLY] = self.supply_temp_c
        truth[:, PLANT_RETURN] = back
        density = float(fluid.density_kg_m3(WATER_TEMP_C))
        self.sensors.step(
            dt_s, truth, self.plant_dp_pa / 1e5, self.plant_flow_kg_s * (3600.0 / density), self._inputs
        )
        self._inputs.button[:] = self.button
        return self._inputs
