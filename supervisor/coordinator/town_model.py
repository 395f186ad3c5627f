"""The network as the coordinator sees it: what pressure each house should show, and its share of the flow.

It refuses to guess where a device stands in the network: one without a consumer of its name or node takes
no part. Solving runs where the caller puts it; nothing here touches a loop, a clock or a device.

Share: the design heat scaled by outdoor temperature between 20 °C indoors (no heating) and the design
outdoor temperature, the heat signature of reference/domain.md reduced to its line; flow follows from the
measured supply and the design return temperature, so a house that cools badly takes more than its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core_ext import Balance, HydraulicSolver, Network
from core_ext.network import HydraulicFluid

from ..errors import Refused
from ..site import Device

INDOOR_TEMP_C = 20.0
LEAST_SHARE = 0.15  # of the design heat: hot water and losses remain on a warm day (own estimate)
LEAST_SPREAD_K = 10.0
WATER = HydraulicFluid.water(60.0)  # meters count volume between supply and return temperature


@dataclass(frozen=True)
class Shares:
    """Flow that each house may take, m3/h by device id, and what the network needs for it."""

    flow_m3_h: Mapping[str, float]
    delivered: Mapping[str, float]  # fraction of the share that the network can bring
    source_dp_bar: float
    index_device: str
    pump_power_kw: float
    feasible: bool
    obstacles: tuple[str, ...]


class TownModel:
    """The network of a site with its devices. Not safe for two threads at once."""

    def __init__(self, net: Network, substations: Sequence[Device], design_outdoor_temp_c: float) -> None:
        self._net = net
        self._design_outdoor_c = design_outdoor_temp_c
        rows = {str(name): row for row, name in enumerate(net.consumers["id"])}
        by_node = {str(node): row for row, node in enumerate(net.consumers["supply_node"])}
        self.rows: dict[str, int] = {}
        for device in substations:
            row = rows.get(device.id, by_node.get(device.node) if device.node else None)
            if row is not None:
                self.rows[device.id] = row
        self._names = {row: device for device, row in self.rows.items()}
        count = net.consumers.rows
        # what each house takes is imposed, so its own mode and limit count for nothing here
        self._flow_net = net.changed(
            consumers_mode=["flow"] * count,
            consumers_mass_flow_kg_s=np.zeros(count),
            consumers_max_flow_kg_s=np.full(count, np.nan),
        )
        self._solver = HydraulicSolver(self._flow_net)
        supply, back = net.consumers["supply_node"], net.consumers["return_node"]
        # a network drawn before its consumers has none: the type must not come from an empty list
        self._supply = np.array([net.nodes.row(str(node)) for node in supply], dtype=np.intp)
        self._return = np.array([net.nodes.row(str(node)) for node in back], dtype=np.intp)
        self._design_flow = self._design_flows()

    def _design_flows(self) -> NDArray[np.float64]:
        consumers = self._net.consumers
        spread = np.maximum(consumers["supply_temp_c"] - consumers["return_temp_c"], LEAST_SPREAD_K)
        by_heat = consumers["heat_w"] / (WATER.cp_j_kgk * spread)
        flow = np.where(np.isfinite(by_heat), by_heat, consumers["mass_flow_kg_s"])
        if not np.isfinite(flow).all():
            name = consumers["id"][int(np.argmax(~np.isfinite(flow)))]
            raise Refused(
                "network_without_demand",
                f"consumer {name} of the network has neither heat_w nor mass_flow_kg_s; the coordinator "
                "was not started. Add one of them to the network file.",
            )
        return np.asarray(flow, dtype=np.float64)

    def load(self, outdoor_temp_c: float) -> float:
        """Return the share of the design heat that this outdoor temperature asks for."""
        span = INDOOR_TEMP_C - self._design_outdoor_c
        return float(np.clip((INDOOR_TEMP_C - outdoor_temp_c) / span, LEAST_SHARE, 1.2))

    def expected_dp_bar(
        self, plant_dp_bar: float, flow_m3_h: Mapping[str, float], load: float
    ) -> dict[str, float]:
        """Return the differential pressure that each house should show, bar.

        Houses without a confirmed flow count with their share. Raises core_ext.NotConverged.
        """
        flow = self._design_flow * load
        for device, value in flow_m3_h.items():
            if device in self.rows:
                flow[self.rows[device]] = max(0.0, value) * WATER.density_kg_m3 / 3600.0
        sources = self._net.sources.rows
        result = self._solver.solve(
            consumers_mass_flow_kg_s=flow, sources_dp_pa=np.full(sources, plant_dp_bar * 1e5)
        )
        pressure = result.pressure_pa
        dp = (pressure[self._supply] - pressure[self._return]) / 1e5
        return {device: float(dp[row]) for device, row in self.rows.items()}

    def shares(
        self,
        load: float,
        supply_temp_c: Mapping[str, float],
        *,
        min_dp_bar: float,
        max_source_dp_bar: float,
    ) -> Shares:
        """Balance the network for every house's share of the heat.

        Raises core_ext.NotConverged or BadNetwork. Flows in m3/h, pressures in bar, power in kW.
        """
        consumers = self._net.consumers
        supply = np.array(consumers["supply_temp_c"], dtype=np.float64)
        for device, value in supply_temp_c.items():
            if device in self.rows:
                supply[self.rows[device]] = value
        design = np.maximum(consumers["supply_temp_c"] - consumers["return_temp_c"], LEAST_SPREAD_K)
        spread = np.maximum(supply - consumers["return_temp_c"], LEAST_SPREAD_K)
        target = self._design_flow * load * np.where(np.isfinite(design / spread), design / spread, 1.0)
        found: Balance = self._solver.balance(
            {
                "mass_flow_kg_s": target,
                "min_dp_pa": min_dp_bar * 1e5,
                "supply_temp_c": supply,
            },
            {"max_dp_pa": max_source_dp_bar * 1e5},
        )
        to_m3_h = 3600.0 / WATER.density_kg_m3
        return Shares(
            flow_m3_h={
                device: float(found.flow_limit_kg_s[row] * to_m3_h) for device, row in self.rows.items()
            },
            delivered={device: float(found.delivered_fraction[row]) for device, row in self.rows.items()},
            source_dp_bar=float(np.max(found.source_dp_pa)) / 1e5,
            index_device=self._names.get(
                next((r for r, n in enumerate(consumers["id"]) if str(n) == found.index_consumer), -1), ""
            ),
            pump_power_kw=found.pump_power_w / 1e3,
            feasible=found.feasible,
            obstacles=tuple(str(obstacle) for obstacle in found.obstacles),
        )
