"""The whole emulated town: weather, heat plant, network, substations, houses and the sensors on their boards.

One step moves valves and pump, solves the network's hydraulics with the project's own core, carries heat
through supply pipes, exchangers, houses and return pipes, and ends with what the controllers' pins see. It is
the truth the controllers are judged by: no order and no measurement error ever changes it, and it decides
nothing.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core_ext import fluid
from core_ext.network import Network
from core_ext.solver import HydraulicSolver
from core_ext.thermal import ThermalTransport

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
from .houses import WATER_TEMP_C, Houses
from .pressure_holding import MAKE_UP_TEMP_C, PressureHolding
from .sensors import Sensors
from .town import BadTown, Town
from .weather import Weather

FloatArray = NDArray[np.float64]

HIGHEST_DEMAND_C = 130.0  # full scale of the heat source's supply temperature demand
PUMP_RAMP_S = 10.0  # frequency converter from standstill to full speed (estimate)


class OutdoorAir(Protocol):
    """Anything that knows the outdoor temperature; Weather does."""

    def outdoor_temp_c(self, time_s: float) -> float:
        """Temperature so many seconds after the start, degC."""


class TownPlant:
    """A town in motion. Devices: the substations in the order of the town, then the pump station.

    `weather`: a Weather or the like, or one constant outdoor temperature. `seed` draws the sensors' errors.
    `start_s`: where in the weather to begin. Same arguments and same outputs give bitwise the same run on the
    same build.
    """

    def __init__(
        self, town: Town, weather: OutdoorAir | float, seed: int = 0, *, start_s: float = 0.0
    ) -> None:
        self.town = town
        self.weather: OutdoorAir = Weather.constant(weather) if isinstance(weather, int | float) else weather
        self.time_s = start_s
        """Seconds since the start of the weather."""
        self.outdoor_temp_c = self.weather.outdoor_temp_c(start_s)
        count = len(town.substations)
        self.devices = count + 1
        self.houses = Houses(town.substations, self.outdoor_temp_c)
        self.cp_j_kgk = self.houses.cp_j_kgk
        self._density = float(fluid.density_kg_m3(WATER_TEMP_C))
        self._build_network(town)

        connected = np.ones((self.devices, PT1000_CHANNELS), dtype=np.bool_)
        connected[count, PLANT_RETURN + 1 :] = False
        flow_range = np.full(self.devices, SUBSTATION_FLOW_RANGE_M3_H)
        flow_range[count] = PUMP_STATION_FLOW_RANGE_M3_H
        self.sensors = Sensors(self.devices, flow_range, seed, connected)
        """Call `.fail(device, channel, kind)` on it to break one."""
        self._inputs = BoardInputs.unconnected(self.devices)
        self._truth = np.zeros((self.devices, PT1000_CHANNELS))
        self._dp_bar = np.zeros(self.devices)
        self._flow_m3_h = np.zeros(self.devices)

        self.pump_speed = 0.0
        self.pump_tripped = False
        """A fault to inject: the pump runs out and does not start again until this is False."""
        self.source_available = 1.0
        """Share of the source's largest heat that is there (a fault to inject)."""
        self.cold_pipe_kg: FloatArray = np.zeros(count)
        """Cold water that still stands in each service pipe (a fault to inject): it comes first."""
        self.cold_pipe_c: FloatArray = np.full(count, town.ground_temp_c)
        self.plant_supply_temp_c = float(town.network.pipes["temp_c"][0])
        self._source_c = self.plant_supply_temp_c
        self.plant_return_temp_c = float(self.return_pipes.node_temp_c[self._plant_return])
        self.plant_dp_pa = 0.0
        self.plant_flow_kg_s = 0.0
        """What the pump sends out; `plant_back_flow_kg_s` of it comes back from the network."""
        self.plant_back_flow_kg_s = 0.0
        self.suction_pressure_pa = self.holding.pressure_pa
        """Pressure before the pump, at the plant's return."""
        self.primary_flow_kg_s: FloatArray = np.zeros(count)
        self.primary_dp_pa: FloatArray = np.zeros(count)
        self.primary_supply_temp_c: FloatArray = self.supply_pipes.node_temp_c[self._supply_rows].copy()
        self.source_heat_w = 0.0
        self.loss_w = 0.0
        self.pump_power_w = 0.0
        self.index_dp_pa = 0.0
        """Differential pressure at the worst-placed substation, Pa."""
        self.source_energy_j = 0.0
        self.loss_energy_j = 0.0
        self.building_energy_j = 0.0
        self.pump_energy_j = 0.0
        self.lost_energy_j = 0.0
        """Heat that left with lost water, above what made it up brought along."""
        self._stored_at_start = self._water_j()

    # -- what the run is judged by -----------------------------------------------------------------

    @property
    def room_temp_c(self) -> FloatArray:
        """Room temperature of each house."""
        return self.houses.buildings.room_c

    @property
    def heat_to_building_w(self) -> FloatArray:
        """Heat given by the radiators of each house, mean of the last step."""
        return self.houses.heat_to_building_w

    @property
    def primary_heat_w(self) -> FloatArray:
        """Heat each substation took from the network, mean of the last step."""
        return self.houses.primary_heat_w

    @property
    def primary_return_temp_c(self) -> FloatArray:
        """Network water leaving each substation, mean of the last step."""
        return self.houses.exchangers.primary_return_c

    @property
    def secondary_supply_temp_c(self) -> FloatArray:
        """Heating circuit supply of each house at the end of the step."""
        return self.houses.exchangers.secondary_out_c

    @property
    def secondary_return_temp_c(self) -> FloatArray:
        """Heating circuit return of each house."""
        return self.houses.radiators.return_c

    @property
    def valve_position(self) -> FloatArray:
        """True stem positions, 0..1."""
        return self.houses.valves.position

    @property
    def index_substation(self) -> str:
        """Id of the worst-placed substation."""
        return self.town.substations.id[int(np.argmin(self.primary_dp_pa))]

    def energy_balance_error_j(self) -> float:
        """Heat of the source less losses, heat to rooms and the change of what water and metal store, J."""
        stored = self._water_j() - self._stored_at_start
        return (
            self.source_energy_j - self.loss_energy_j - self.lost_energy_j - self.building_energy_j - stored
        )

    # -- faults of the pipes -----------------------------------------------------------------------

    def leak(self, node: str, kv_m3_h: float) -> None:
        """Let water out at a node, as through a valve of this kv into the open; 0 mends it.

        Raises ValueError for a node that the network lacks, or a kv that cannot be; nothing is changed then.
        """
        if node not in self._node_rows:
            raise ValueError(f"{node} is no node of {self.town.name}; nothing was changed")
        if not (np.isfinite(kv_m3_h) and kv_m3_h >= 0.0):
            raise ValueError(f"a leak's kv cannot be {kv_m3_h} m3/h; nothing was changed")
        if not self._leaks:  # not before: a town without leaks need not refresh one more table every step
            (self._injection,) = self._solver.bind("nodes_mass_injection_kg_s")
            self._return_inflow[self._plant_return] = MAKE_UP_TEMP_C
        self._leaks[self._node_rows[node]] = kv_m3_h

    def node_pressure_pa(self, node: str) -> float:
        """Pressure at a node in the last step, gauge."""
        return self._gauge_pa(self._node_rows[node])

    def _gauge_pa(self, row: int) -> float:
        # flows depend on differences alone, so that the network is solved at its first holding pressure
        return (
            float(self._pressure[row]) + self.holding.pressure_pa - self.town.pump_station.holding_pressure_pa
        )

    def _lose_water(self, dt_s: float) -> None:
        """What runs out in this step, at the pressures of the last; pressure holding replaces what it can."""
        lost = 0.0
        for row, kv in self._leaks.items():
            out = leak_kg_s(kv, self._gauge_pa(row), self._density)
            self._injection[row] = -out
            lost += out
        self.holding.step(dt_s, lost)
        self.suction_pressure_pa = self.holding.pressure_pa

    # -- the step ----------------------------------------------------------------------------------

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        """Advance by dt_s with what the boards did meanwhile; returns what their pins see then.

        With 0 s it only looks. The returned object is reused by the next step. Raises ValueError for outputs
        of another town or time running backwards (nothing is changed), BadWeather at the end of the weather
        and NotConverged of the hydraulics (the state is then not to be used).
        """
        count = self.devices - 1
        if len(outputs.open_s) != self.devices:
            raise ValueError(
                f"outputs are for {len(outputs.open_s)} boards, this town has {self.devices}; "
                "nothing was changed"
            )
        if not dt_s >= 0.0:
            raise ValueError(f"dt_s is {dt_s}; time does not run backwards. Nothing was changed")
        self.outdoor_temp_c = self.weather.outdoor_temp_c(self.time_s + dt_s)
        if dt_s == 0.0:
            return self._sense(0.0)
        self.time_s += dt_s

        self._kv[:] = self.houses.move_valves(outputs.open_s[:count], outputs.close_s[:count])
        enabled = outputs.pump_on_s[count] > 0.0 and not self.pump_tripped
        wanted = float(np.clip(outputs.pump_speed[count], 0.0, 1.0)) if enabled else 0.0
        ramp = dt_s / PUMP_RAMP_S
        self.pump_speed += min(max(wanted - self.pump_speed, -ramp), ramp)
        self._speed[0] = self.pump_speed
        if self._leaks:
            self._lose_water(dt_s)
        result = self._solver.tick()
        self._pressure = pressure = result.pressure_pa
        np.subtract(pressure[self._supply_nodes], pressure[self._return_nodes], out=self.primary_dp_pa)
        self.index_dp_pa = float(self.primary_dp_pa.min())
        pipe_flow = result.mass_flow_kg_s["pipes"]
        consumed = result.mass_flow_kg_s["consumers"]
        flow = np.maximum(consumed, 0.0)
        self.primary_flow_kg_s = flow
        self.plant_flow_kg_s = float(result.mass_flow_kg_s["pumps"][0])
        self.plant_dp_pa = float(pressure[self._plant_nodes[0]] - pressure[self._plant_nodes[1]])

        self.plant_back_flow_kg_s = float(pipe_flow[self._back_pipe_rows] @ self._back_pipe_signs)

        self._supply_inflow[self._plant_supply] = self.plant_supply_temp_c
        to_supply, to_return = self._entering(consumed) if self._leaks else (None, None)
        supply = self.supply_pipes.step(
            dt_s, pipe_flow[self._supply_pipe_rows], self._supply_inflow, inflow_kg_s=to_supply
        )
        self.primary_supply_temp_c = supply[self._supply_rows]
        if self.cold_pipe_kg.any():
            cold = self.cold_pipe_kg > 0.0
            self.primary_supply_temp_c = np.where(cold, self.cold_pipe_c, self.primary_supply_temp_c)
            self.cold_pipe_kg = np.maximum(self.cold_pipe_kg - flow * dt_s, 0.0)
        returned = self.houses.step(
            dt_s, flow, self.primary_supply_temp_c, outputs.pump_on_s[:count] / dt_s, self.outdoor_temp_c
        )
        self._mix_returns(flow, returned)
        back = self.return_pipes.step(
            dt_s, pipe_flow[self._return_pipe_rows], self._return_inflow, inflow_kg_s=to_return
        )
        self.plant_return_temp_c = float(back[self._plant_return])
        if self._leaks:
            self._cool_by_make_up(dt_s, supply, back)
        self._account(dt_s)
        self._heat_water(dt_s, float(outputs.heat_demand[count]))
        return self._sense(dt_s)

    def sense(self) -> BoardInputs:
        """Return what the pins see now, without letting time pass: a board looks at power-on.

        The returned object is reused by the next step.
        """
        return self._sense(0.0)

    def _entering(self, consumed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Water that enters supply and return pipes at each node: a leak may let it out there at once."""
        supply, back = np.zeros(len(self._supply_inflow)), np.zeros(len(self._return_inflow))
        np.add.at(supply, self._supply_rows, np.maximum(-consumed, 0.0))
        np.add.at(back, self._return_rows, np.maximum(consumed, 0.0))
        supply[self._plant_supply] += max(self.plant_flow_kg_s, 0.0)
        back[self._plant_return] += max(-self.plant_back_flow_kg_s, 0.0)
        return supply, back

    def _cool_by_make_up(self, dt_s: float, supply: FloatArray, back: FloatArray) -> None:
        """Cold water joins the return before the source; what ran out took its heat along."""
        out = max(self.plant_flow_kg_s, 0.0)
        come = min(max(self.plant_back_flow_kg_s, 0.0), out)
        if out > 0.0:
            self.plant_return_temp_c = (come * self.plant_return_temp_c + (out - come) * MAKE_UP_TEMP_C) / out
        for row in self._leaks:
            side, place = self._heat_rows[row]
            temp_c = float((supply if side else back)[place])
            self.lost_energy_j -= self._injection[row] * self.cp_j_kgk * (temp_c - MAKE_UP_TEMP_C) * dt_s

    def _account(self, dt_s: float) -> None:
        flow = max(self.plant_flow_kg_s, 0.0)
        self.source_heat_w = flow * self.cp_j_kgk * (self.plant_supply_temp_c - self.plant_return_temp_c)
        loss_j = self.supply_pipes.loss_j + self.return_pipes.loss_j
        self.loss_w = loss_j / dt_s
        self.pump_power_w = (
            flow * max(self.plant_dp_pa, 0.0) / self._density / self.town.pump_station.pump_efficiency
        )
        self.source_energy_j += self.source_heat_w * dt_s
        self.loss_energy_j += loss_j
        self.building_energy_j += float(self.houses.heat_to_building_w.sum()) * dt_s
        self.pump_energy_j += self.pump_power_w * dt_s

    def _heat_water(self, dt_s: float, demand: float) -> None:
        """Supply temperature of the next step: follows the demand with a lag, within the source's heat."""
        station = self.town.pump_station
        target = float(np.clip(demand, 0.0, 1.0)) * HIGHEST_DEMAND_C
        self._source_c += (target - self._source_c) * -np.expm1(-dt_s / station.source_lag_s)
        capacity = max(self.plant_flow_kg_s, 0.0) * self.cp_j_kgk
        limit = self._source_c
        if capacity > 0.0:
            limit = self.plant_return_temp_c + self.source_available * station.source_max_heat_w / capacity
        # the source cannot cool the water either
        self.plant_supply_temp_c = max(self.plant_return_temp_c, min(self._source_c, limit))

    def _mix_returns(self, flow: FloatArray, temp_c: FloatArray) -> None:
        """Return temperature at each node where water comes back; several houses may share one."""
        rows, size = self._return_rows, len(self._return_inflow)
        mass = np.bincount(rows, flow, size)
        heat = np.bincount(rows, flow * temp_c, size)
        np.divide(heat, mass, out=self._return_inflow, where=mass > 0.0)

    def _sense(self, dt_s: float) -> BoardInputs:
        count = self.devices - 1
        truth = self._truth
        truth[:, OUTDOOR] = self.outdoor_temp_c
        truth[:count, PRIMARY_SUPPLY] = self.primary_supply_temp_c
        truth[:count, PRIMARY_RETURN] = self.houses.exchangers.primary_out_c
        truth[:count, SECONDARY_SUPPLY] = self.houses.exchangers.secondary_out_c
        truth[:count, SECONDARY_RETURN] = self.houses.radiators.return_c
        truth[:count, ROOM] = self.houses.buildings.room_c
        truth[count, PLANT_SUPPLY] = self.plant_supply_temp_c
        truth[count, PLANT_RETURN] = self.plant_return_temp_c
        self._dp_bar[:count] = self.primary_dp_pa / 1e5
        self._dp_bar[count] = self.plant_dp_pa / 1e5
        self._flow_m3_h[:count] = self.primary_flow_kg_s * (3600.0 / self._density)
        self._flow_m3_h[count] = self.plant_flow_kg_s * (3600.0 / self._density)
        self.sensors.step(dt_s, truth, self._dp_bar, self._flow_m3_h, self._inputs)
        return self._inputs

    def _water_j(self) -> float:
        return (
            self.supply_pipes.stored_j
            + self.return_pipes.stored_j
            + self.houses.exchangers.stored_j()
            + self.houses.radiators.stored_j()
        )

    # -- building ----------------------------------------------------------------------------------

    def _build_network(self, town: Town) -> None:
        net, station = town.network, town.pump_station
        nodes = net.nodes
        rows = {name: row for row, name in enumerate(nodes.ids)}
        fixed = nodes["fixed_pressure_pa"].copy()
        fixed[rows[station.return_node]] = station.holding_pressure_pa
        consumers = {
            "id": net.consumers.ids,
            "supply_node": list(town.substations.supply_node),
            "return_node": list(town.substations.return_node),
            "mode": ["valve"] * len(town.substations),
            "kv_m3_h": town.substations.valve_kvs_m3_h * town.substations.valve_leakage,
        }
        tables: dict[str, dict[str, Any]] = {
            name: dict(net.tables[name]) for name in ("nodes", "pipes", "valves", "curves")
        }
        tables["nodes"]["fixed_pressure_pa"] = fixed
        # Level ground: only differential pressures are used here, and heights would cancel in them but for
        # the buoyancy of the warm supply. That (0.2 kPa in Schutterwald against 60 kPa) is left out: with the
        # pump standing it drives water backwards through substations, which they are not modelled for.
        tables["nodes"]["elevation_m"] = np.zeros(nodes.rows)
        if net.pumps.rows:
            raise BadTown(f"{town.name}: booster pumps in the network are not emulated yet. Take them out")
        tables["consumers"] = consumers
        # one pump in place of the source: the dp in the file is the supervisor's view, the curve the truth
        tables["pumps"] = {
            "id": [station.id],
            "from_node": [station.return_node],
            "to_node": [station.supply_node],
            "curve": ["plant-pump"],
        }
        curve = tables["curves"]
        points = len(station.pump_flow_kg_s)
        tables["curves"] = {
            "id": [*curve["id"], *["plant-pump"] * points],
            "mass_flow_kg_s": [*curve["mass_flow_kg_s"], *station.pump_flow_kg_s],
            "dp_pa": [*curve["dp_pa"], *station.pump_dp_pa],
        }
        self._solver = HydraulicSolver(Network(tables, name=town.name))
        self._kv, self._speed = self._solver.bind("consumers_kv_m3_h", "pumps_speed")
        self._node_rows = rows
        self._leaks: dict[int, float] = {}  # node row: kv; one that was mended stays, with 0
        self._pressure = fixed.copy()  # of the last step; before it nobody leaks
        self._pressure[np.isnan(fixed)] = station.holding_pressure_pa

        side = _supply_side(net, station.supply_node)
        if side[rows[station.return_node]]:
            raise BadTown(f"{town.name}: supply and return are joined by pipes or valves. Separate them")
        if net.valves.rows:
            raise BadTown(f"{town.name}: valves in the network are not emulated yet. Take them out")
        pipe_side = np.array([side[rows[str(node)]] for node in net.pipes["from_node"]])
        self._supply_pipe_rows = np.flatnonzero(pipe_side)
        self._return_pipe_rows = np.flatnonzero(~pipe_side)
        self.supply_pipes, supply_at = self._transport(town, side, self._supply_pipe_rows)
        self.return_pipes, return_at = self._transport(town, ~side, self._return_pipe_rows)
        s = town.substations
        self._supply_rows = np.array([supply_at[node] for node in s.supply_node])
        self._return_rows = np.array([return_at[node] for node in s.return_node])
        self._supply_nodes = np.array([rows[node] for node in s.supply_node])
        self._return_nodes = np.array([rows[node] for node in s.return_node])
        self._plant_nodes = (rows[station.supply_node], rows[station.return_node])
        self._plant_supply = supply_at[station.supply_node]
        self._plant_return = return_at[station.return_node]
        self._heat_rows = {
            row: (True, supply_at[node]) if side[row] else (False, return_at[node])
            for node, row in rows.items()
        }
        ends = net.pipes["to_node"] == station.return_node
        starts = net.pipes["from_node"] == station.return_node
        self._back_pipe_rows = np.flatnonzero(ends | starts)
        self._back_pipe_signs = np.where(ends[self._back_pipe_rows], 1.0, -1.0)
        area_m2 = np.pi / 4.0 * net.pipes["inner_diameter_m"] ** 2
        self.holding = PressureHolding(
            station.holding_pressure_pa, float((area_m2 * net.pipes["length_m"]).sum()), self._density
        )
        self._supply_inflow = np.full(len(supply_at), np.nan)
        self._return_inflow = np.full(len(return_at), np.nan)

    def _transport(
        self, town: Town, nodes: NDArray[np.bool_], pipes: NDArray[np.intp]
    ) -> tuple[ThermalTransport, dict[str, int]]:
        ids = [name for name, here in zip(town.network.nodes.ids, nodes, strict=True) if here]
        table = town.network.pipes
        columns = ("id", "from_node", "to_node", "length_m", "inner_diameter_m", "linear_loss_w_mk", "temp_c")
        transport = ThermalTransport(
            {"nodes": {"id": ids}, "pipes": {name: table[name][pipes] for name in columns}},
            ground_temp_c=town.ground_temp_c,
            wall_heat_capacity_j_mk=town.pipe_wall_j_mk[pipes],
            reference_temp_c=WATER_TEMP_C,
        )
        return transport, {name: row for row, name in enumerate(ids)}


def leak_kg_s(kv_m3_h: float, pressure_pa: float, density_kg_m3: float) -> float:
    """Water that a hole of this kv lets out against the open air; nothing comes in where it is sucked."""
    bar = max(pressure_pa, 0.0) / 1e5
    return kv_m3_h * float(np.sqrt(bar * 1000.0 * density_kg_m3)) / 3600.0


def _supply_side(net: Network, supply_node: str) -> NDArray[np.bool_]:
    """Nodes reached from the plant's supply through pipes and valves, not through consumers or sources."""
    rows = {name: row for row, name in enumerate(net.nodes.ids)}
    neighbours: list[list[int]] = [[] for _ in rows]
    for table in (net.pipes, net.valves):
        for a, b in zip(table["from_node"], table["to_node"], strict=True):
            neighbours[rows[str(a)]].append(rows[str(b)])
            neighbours[rows[str(b)]].append(rows[str(a)])
    side = np.zeros(len(rows), dtype=np.bool_)
    todo = [rows[supply_node]]
    side[todo[0]] = True
    while todo:
        for other in neighbours[todo.pop()]:
            if not side[other]:
                side[other] = True
                todo.append(other)
    return side
