"""Rules by which an example town is sized: pipes, valves, exchangers, radiators, buildings, the plant pump.

Every rule states its source or says that it is an estimate of ours. Nothing is read from or written to a file
here, and no rule is tuned to a wanted result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core_ext import fluid

FloatArray = NDArray[np.float64]

# Pre-insulated steel pipe: nominal width, inner diameter m, steel wall m, casing m (insulation series 2).
# Dimensions as tabulated in the MIT-licensed package digripy 0.1.1 (Fraunhofer), there as rigid pipe "PJP".
DN_SERIES: tuple[tuple[int, float, float, float], ...] = (
    (20, 0.0216, 0.00265, 0.110),
    (25, 0.0285, 0.0026, 0.110),
    (32, 0.0372, 0.0026, 0.125),
    (40, 0.0431, 0.0026, 0.125),
    (50, 0.0545, 0.0029, 0.140),
    (65, 0.0703, 0.0029, 0.160),
    (80, 0.0825, 0.0032, 0.180),
    (100, 0.1071, 0.0036, 0.225),
    (125, 0.1325, 0.0036, 0.250),
    (150, 0.1603, 0.0040, 0.280),
    (200, 0.2101, 0.0045, 0.355),
    (250, 0.2630, 0.0050, 0.450),
    (300, 0.3127, 0.0056, 0.500),
    (350, 0.3444, 0.0056, 0.560),
    (400, 0.3938, 0.0063, 0.630),
    (450, 0.4446, 0.0063, 0.670),
    (500, 0.4954, 0.0063, 0.800),
    (600, 0.5958, 0.0071, 0.900),
    (700, 0.6950, 0.0080, 1.000),
    (800, 0.7954, 0.0088, 1.100),
    (900, 0.8940, 0.0100, 1.200),
    (1000, 0.9940, 0.0110, 1.300),
)

# R5-like series of valve makers (Danfoss AVQ: 1.6 to 25; the ends are an estimate)
KVS_SERIES: tuple[float, ...] = (
    0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0, 6.3, 10.0, 16.0, 25.0, 40.0, 63.0, 100.0, 160.0,
)  # fmt: skip

ROUGHNESS_M = 1e-4  # steel, aged lightly: 0.05 mm new, 0.1 to 0.5 mm aged
PRESSURE_LOSS_LIMIT_PA_M = 150.0  # middle of the 100 to 200 Pa/m used in practice
# Tried in turn where one pump would need more than a town's largest plant dp.
LOWER_LIMITS_PA_M: tuple[float, ...] = (150.0, 125.0, 100.0, 80.0, 60.0, 50.0, 40.0, 30.0, 20.0)
INSULATION_W_MK = 0.027  # polyurethane foam, 0.024 to 0.030 (EN 13941)
SOIL_W_MK = 1.5  # 1.0 to 2.0 (EN 13941)
AXIS_DEPTH_M = 0.8  # estimate
STEEL_J_M3K = 7850.0 * 470.0  # carbon steel, text-book values

INDEX_DP_PA = 60e3  # what the worst-placed house must have: 0.6 bar, within 0.4 to 1.0 bar of practice
EXCHANGER_DP_PA = 10e3  # primary side at design flow (estimate)

PRIMARY_SUPPLY_C = 80.0  # regime 80/45 at design outdoor temperature, 65 degC supply when mild
PRIMARY_RETURN_C = 45.0
PRIMARY_SUPPLY_MILD_C = 65.0
SECONDARY_SUPPLY_C = 55.0  # renovated radiators 55/40
SECONDARY_RETURN_C = 40.0
INDOOR_C = 20.0


@dataclass(frozen=True)
class PipeSize:
    """One size of the series, with what it loses to the ground."""

    dn: int
    inner_diameter_m: float
    wall_heat_capacity_j_mk: float
    linear_loss_w_mk: float


def pressure_loss_pa_m(mass_flow_kg_s: float, diameter_m: float, temp_c: float) -> float:
    """Friction loss per metre, Pa/m, with Swamee and Jain's friction factor (laminar below Re 2320)."""
    density = float(fluid.density_kg_m3(temp_c))
    viscosity = float(fluid.viscosity_pa_s(temp_c))
    flow = abs(mass_flow_kg_s)
    reynolds = 4.0 * flow / (np.pi * diameter_m * viscosity)
    if reynolds < 1.0:
        return 0.0
    if reynolds < 2320.0:
        friction = 64.0 / reynolds
    else:
        friction = 0.25 / np.log10(ROUGHNESS_M / (3.7 * diameter_m) + 5.74 / reynolds**0.9) ** 2
    velocity = flow / (density * np.pi / 4.0 * diameter_m**2)
    return float(friction / diameter_m * density / 2.0 * velocity**2)


def size_pipe(mass_flow_kg_s: float, temp_c: float, limit_pa_m: float = PRESSURE_LOSS_LIMIT_PA_M) -> PipeSize:
    """The smallest size of DN_SERIES whose friction loss stays within the limit.

    Raises ValueError when even the largest is too small.
    """
    for dn, inner, wall, casing in DN_SERIES:
        if pressure_loss_pa_m(mass_flow_kg_s, inner, temp_c) <= limit_pa_m:
            return PipeSize(
                dn, inner, wall_heat_capacity_j_mk(inner, wall), linear_loss_w_mk(inner, wall, casing)
            )
    raise ValueError(
        f"{mass_flow_kg_s:.0f} kg/s needs more than DN {DN_SERIES[-1][0]}; nothing was sized. "
        "Feed the town from more plants"
    )


def wall_heat_capacity_j_mk(inner_m: float, wall_m: float) -> float:
    """Heat capacity of the steel wall per metre of pipe, J/(m K)."""
    return float(np.pi * wall_m * (inner_m + wall_m) * STEEL_J_M3K)


def linear_loss_w_mk(inner_m: float, wall_m: float, casing_m: float) -> float:
    """Heat loss per metre and kelvin above the ground, W/(m K): insulation and soil in series.

    The mutual warming of supply and return is left out, which overstates the loss by a few per cent.
    """
    insulation = np.log(casing_m / (inner_m + 2.0 * wall_m)) / (2.0 * np.pi * INSULATION_W_MK)
    soil = np.log(4.0 * AXIS_DEPTH_M / casing_m) / (2.0 * np.pi * SOIL_W_MK)
    return float(1.0 / (insulation + soil))


def kv_m3_h(mass_flow_kg_s: float, dp_pa: float, temp_c: float) -> float:
    """kv that passes the flow at the differential pressure; dp = 1e5 * 3600^2 m^2 / (1000 rho kv^2)."""
    density = float(fluid.density_kg_m3(temp_c))
    return float(3600.0 * mass_flow_kg_s * np.sqrt(1e5 / (1000.0 * density * dp_pa)))


@dataclass(frozen=True)
class ValveSize:
    """A control valve and the fixed resistance of the exchanger in series with it."""

    kvs_m3_h: float
    exchanger_kv_m3_h: float
    authority: float


def size_valve(mass_flow_kg_s: float, temp_c: float) -> ValveSize:
    """The smallest kvs of the series that passes the design flow, exchanger included, at INDEX_DP_PA.

    `authority` is the open valve's share of the pressure drop over valve and exchanger at design flow; the
    rule gives at least 0.5 for every size because the series' step of 1.6 bounds the oversizing.
    """
    exchanger_kv = kv_m3_h(mass_flow_kg_s, EXCHANGER_DP_PA, temp_c)
    needed = kv_m3_h(mass_flow_kg_s, INDEX_DP_PA - EXCHANGER_DP_PA, temp_c)
    for kvs in KVS_SERIES:
        if kvs >= needed:
            valve_dp = (INDEX_DP_PA - EXCHANGER_DP_PA) * (needed / kvs) ** 2
            return ValveSize(kvs, exchanger_kv, valve_dp / (valve_dp + EXCHANGER_DP_PA))
    raise ValueError(
        f"kv {needed:.0f} m3/h is more than the largest valve of the series ({KVS_SERIES[-1]:.0f}); "
        "nothing was sized. Split the consumer"
    )


def exchanger_ua_w_k(heat_w: float) -> float:
    """UA, W/K, that carries 1.1 times the heat between 80/45 and 55/40 degC (10 % reserve: estimate)."""
    warm_end = PRIMARY_SUPPLY_C - SECONDARY_SUPPLY_C
    cold_end = PRIMARY_RETURN_C - SECONDARY_RETURN_C
    return float(1.1 * heat_w * np.log(warm_end / cold_end) / (warm_end - cold_end))


def tree_flows_kg_s(
    from_row: NDArray[np.int64], to_row: NDArray[np.int64], demand_kg_s: FloatArray, root: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Flow in each edge of a tree fed at `root`; for each node the edge towards the root (there -1).

    Flows count positive in the direction of the edge. Raises ValueError when the edges are not one tree.
    """
    nodes = len(demand_kg_s)
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(nodes)]
    for edge, (a, b) in enumerate(zip(from_row.tolist(), to_row.tolist(), strict=True)):
        neighbours[a].append((b, edge))
        neighbours[b].append((a, edge))
    parent_edge = np.full(nodes, -1, dtype=np.int64)
    order = [root]
    seen = {root}
    for node in order:
        for other, edge in neighbours[node]:
            if other not in seen:
                seen.add(other)
                parent_edge[other] = edge
                order.append(other)
    if len(seen) != nodes or len(from_row) != nodes - 1:
        raise ValueError(
            f"{nodes} nodes and {len(from_row)} pipes, {len(seen)} nodes reached from the plant: "
            "not one tree; nothing was sized. Remove the loops or the islands"
        )
    through = demand_kg_s.astype(np.float64).copy()
    flow = np.zeros(len(from_row))
    for node in reversed(order[1:]):
        edge = parent_edge[node]
        away = to_row[edge] == node
        flow[edge] = through[node] if away else -through[node]
        through[from_row[edge] if away else to_row[edge]] += through[node]
    return flow, parent_edge
