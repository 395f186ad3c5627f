"""The way of the water from a plant to one consumer and back, with the pressures along it.

It follows the strongest flow from the consumer to where the water comes from, and to where it goes. It solves
nothing, and where several ways are possible it shows one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import fluid
from .network import LINK_ENDS, FloatArray, HydraulicFluid, Network
from .result import HydraulicResult

# weaker flows are rounding, kg/s
STANDING_KG_S = 1e-12
CARRYING = ("pipes", "valves", "pumps", "sources")


@dataclass(frozen=True, slots=True)
class PressureLine:
    """Nodes from the plant to the consumer: distance from the plant, gauge pressure, elevation of each."""

    nodes: tuple[str, ...]
    distance_m: FloatArray
    pressure_pa: FloatArray
    elevation_m: FloatArray


@dataclass(frozen=True, slots=True)
class PressurePath:
    """Supply and return line of one consumer.

    `source` is the plant that its supply comes from, "" where the way ends elsewhere. `static_pa`: gauge
    pressure at the nodes of the supply line with no flow at all, held by what fixes a pressure; None where
    nothing does. `boiling_pa`: gauge pressure at which water of `hottest_c` (warmest source, else consumer)
    boils; NaN where no supply temperature is given.
    """

    consumer: str
    source: str
    supply: PressureLine
    back: PressureLine
    static_pa: FloatArray | None
    hottest_c: float
    boiling_pa: float


def consumer_dp(net: Network, pressure_pa: FloatArray, medium: HydraulicFluid) -> FloatArray:
    """What every consumer has between supply and return, Pa, the difference of their heights taken out."""
    supply = [net.nodes.row(n) for n in net.consumers["supply_node"]]
    back = [net.nodes.row(n) for n in net.consumers["return_node"]]
    height = net.nodes["elevation_m"]
    lift = medium.density_kg_m3 * medium.gravity_m_s2 * (height[supply] - height[back])
    drop: FloatArray = pressure_pa[supply] - pressure_pa[back] + lift
    return drop


def dp_margin(net: Network, result: HydraulicResult, medium: HydraulicFluid) -> FloatArray:
    """What every consumer has above its min_dp_pa, Pa; NaN without flow or without known pressure."""
    margin = consumer_dp(net, result.pressure_pa, medium) - net.consumers["min_dp_pa"]
    known = [
        result.pressure_known[net.nodes.row(a)] and result.pressure_known[net.nodes.row(b)]
        for a, b in zip(net.consumers["supply_node"], net.consumers["return_node"], strict=True)
    ]
    takes = np.abs(result.mass_flow_kg_s["consumers"]) > STANDING_KG_S
    return np.where(takes & np.array(known, np.bool_), margin, np.nan)


def index_consumer(margin_pa: FloatArray) -> int:
    """Row of the worst-placed consumer, -1 where nobody takes anything."""
    return int(np.nanargmin(margin_pa)) if np.isfinite(margin_pa).any() else -1


def path_to(
    net: Network, result: HydraulicResult, consumer: int, medium: HydraulicFluid
) -> PressurePath | None:
    """The path of one consumer (row); None where it takes nothing or stands at the plant itself."""
    if not abs(float(result.mass_flow_kg_s["consumers"][consumer])) > STANDING_KG_S:
        return None
    flows = _Flows(net, result)
    supply, source = flows.follow(str(net.consumers["supply_node"][consumer]), upstream=True)
    back, _ = flows.follow(str(net.consumers["return_node"][consumer]), upstream=False)
    if len(supply.nodes) < 2 or len(back.nodes) < 2:
        return None
    hottest = _hottest(net)
    boils = float("nan")
    if fluid.LOWEST_TEMP_C <= hottest <= fluid.HIGHEST_TEMP_C:
        boils = float(fluid.saturation_pressure_pa(hottest)) - fluid.ATMOSPHERE_PA
    return PressurePath(
        consumer=str(net.consumers["id"][consumer]),
        source=source,
        supply=supply,
        back=back,
        static_pa=_static(net, source, supply.elevation_m, medium),
        hottest_c=hottest,
        boiling_pa=boils,
    )


class _Flows:
    """Which link brings most water to every node, and which takes most away."""

    def __init__(self, net: Network, result: HydraulicResult) -> None:
        self.net, self.result = net, result
        first, second, flow, length = [], [], [], []
        for table in CARRYING:
            a, b = LINK_ENDS[table]
            columns = net.tables[table]
            first += [net.nodes.row(n) for n in columns[a]]
            second += [net.nodes.row(n) for n in columns[b]]
            flow.append(result.mass_flow_kg_s[table])
            length.append(columns["length_m"] if table == "pipes" else np.zeros(columns.rows))
        carried = np.concatenate(flow)
        forward = carried > 0.0
        begin, end = np.array(first, np.intp), np.array(second, np.intp)
        self.tail, self.head = np.where(forward, begin, end), np.where(forward, end, begin)
        self.length = np.concatenate(length)
        self.first_source = len(carried) - net.sources.rows
        weak_first = np.argsort(np.abs(carried), kind="stable")
        weak_first = weak_first[np.abs(carried[weak_first]) > STANDING_KG_S]
        self.brings, self.takes = (
            self._strongest(self.head, weak_first),
            self._strongest(self.tail, weak_first),
        )

    def _strongest(self, at: npt.NDArray[np.intp], weak_first: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        best = np.full(self.net.nodes.rows, -1, np.intp)
        best[at[weak_first]] = weak_first
        return best

    def follow(self, node: str, upstream: bool) -> tuple[PressureLine, str]:
        """The line from where the water comes from (or goes to) to this node, and the source it ends at."""
        link_of, next_of = (self.brings, self.tail) if upstream else (self.takes, self.head)
        at = self.net.nodes.row(node)
        nodes, metres, source = [at], [0.0], ""
        seen = {at}
        while (link := int(link_of[at])) >= 0:
            if link >= self.first_source:
                source = str(self.net.sources["id"][link - self.first_source])
                break
            at = int(next_of[link])
            if at in seen:
                break
            seen.add(at)
            nodes.append(at)
            metres.append(metres[-1] + float(self.length[link]))
        nodes.reverse()
        rows = np.array(nodes, np.intp)
        line = PressureLine(
            tuple(str(self.net.nodes["id"][row]) for row in nodes),
            metres[-1] - np.array(metres[::-1]),
            self.result.pressure_pa[rows],
            self.net.nodes["elevation_m"][rows],
        )
        return line, source


def _hottest(net: Network) -> float:
    for temps in (net.sources["supply_temp_c"], net.consumers["supply_temp_c"]):
        if np.isfinite(temps).any():
            return float(np.nanmax(temps))
    return float("nan")


def _static(net: Network, source: str, elevation_m: FloatArray, medium: HydraulicFluid) -> FloatArray | None:
    """Pressure with no flow, held by the path's own plant, else by any plant, else by a node."""
    holding = net.sources["return_pressure_pa"]
    rows = np.flatnonzero(np.isfinite(holding))
    if source and np.isfinite(holding[net.sources.row(source)]):
        rows = np.array([net.sources.row(source)])
    if len(rows):
        held, node = float(holding[rows[0]]), net.nodes.row(str(net.sources["return_node"][rows[0]]))
    else:
        fixed = net.nodes["fixed_pressure_pa"]
        if not np.isfinite(fixed).any():
            return None
        node = int(np.argmax(np.isfinite(fixed)))
        held = float(fixed[node])
    weight = medium.density_kg_m3 * medium.gravity_m_s2
    static: FloatArray = held + weight * (float(net.nodes["elevation_m"][node]) - elevation_m)
    return static
