"""From a street layout to the files of an example town: network, town, site; the weather is the caller's.

Supply and return lie in one trench, so every pipe is made twice. Sizes follow the rules of `sizing`; what
those rules cannot know (time constants, water contents) is an estimate, named here. It invents no geometry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_ext import fluid
from core_ext.network import Network

from . import sizing
from .town import FORMAT, Town

FloatArray = NDArray[np.float64]

# Estimates, one place for all example towns.
STROKE_S = 120.0  # AMV 10/20 class actuator: 14-15 s/mm over 7-10 mm
RANGEABILITY = 50.0
LEAKAGE = 0.0005  # of kvs
BACKLASH = 0.01  # of the stroke
EXCHANGER_WATER_KG = (0.2, 2e-5)  # per side: constant + per watt of design heat
EXCHANGER_METAL_J_K = (1250.0, 0.03)  # 2.5 kg + 0.06 kg/kW of stainless steel at 500 J/(kg K)
RADIATOR_WATER_KG_W = 0.008  # 8 l per kW of radiator, pipes included
RADIATOR_METAL_FACTOR = 1.3  # steel adds to the water's heat capacity
AIR_TO_MASS = 8.0  # room air to structure, times the loss coefficient
VENTILATION_SHARE = 0.4  # of the loss coefficient, straight from the room air
AIR_CAPACITY_SHARE = 0.1  # of the whole capacity: air, furniture, plaster
PUMP_RESERVE = 1.2  # head at design flow over the head needed
PUMP_EFFICIENCY = 0.6  # hydraulic power over electric power, constant
SOURCE_RESERVE = 1.25
SOURCE_LAG_S = 120.0
# Orders may take this much a day. Forty let an attacker push a room of 20 degC at -10 outside to 17.95 degC,
# thirty keep it above 18 (measured by the bench's worst-case story).
DEFICIT_BUDGET_KH = 30.0
HOLDING_PRESSURE_PA = 300e3  # static pressure at the plant's return, 3 bar


@dataclass(frozen=True)
class Consumer:
    """A house to be supplied: where it stands and what it needs at design outdoor temperature."""

    id: str
    name: str
    node: int
    design_heat_w: float
    area: str
    priority: int
    time_constant_h: float
    radiator_reserve: float


@dataclass(frozen=True)
class Layout:
    """Streets: a tree of trenches fed at `root`. Lengths m, coordinates m east and north of the plant."""

    x_m: FloatArray
    y_m: FloatArray
    elevation_m: FloatArray
    from_row: NDArray[np.int64]
    to_row: NDArray[np.int64]
    length_m: FloatArray
    root: int
    consumers: Sequence[Consumer]


@dataclass(frozen=True)
class TownTexts:
    """What the files say about themselves."""

    name: str
    about: str
    synthetic: bool
    timezone: str
    design_outdoor_c: float
    ground_temp_c: float
    areas: Mapping[str, str]


def write_town(
    layout: Layout, texts: TownTexts, folder: Path, *, largest_plant_dp_pa: float = np.inf
) -> dict[str, float]:
    """Size the town, write `network.json`, `town.json` and `site.toml`, return its main figures.

    Where the plant would need more than `largest_plant_dp_pa` at design flow, pipes are sized for a lower
    loss. Raises ValueError when the streets are not one tree or something needs a size beyond the series; no
    file is written then.
    """
    heat = np.array([c.design_heat_w for c in layout.consumers])
    mean_c = (sizing.PRIMARY_SUPPLY_C + sizing.PRIMARY_RETURN_C) / 2.0
    cp = float(fluid.heat_capacity_j_kgk(mean_c))
    flow = heat / (cp * (sizing.PRIMARY_SUPPLY_C - sizing.PRIMARY_RETURN_C))
    demand = np.zeros(len(layout.x_m))
    np.add.at(demand, [c.node for c in layout.consumers], flow)
    pipe_flow, parent = sizing.tree_flows_kg_s(layout.from_row, layout.to_row, demand, layout.root)
    for limit in sizing.LOWER_LIMITS_PA_M:
        sizes = [sizing.size_pipe(abs(float(m)), sizing.PRIMARY_SUPPLY_C, limit) for m in pipe_flow]
        dp = _differential_pressure_pa(layout, sizes, pipe_flow, parent)
        needed_pa = sizing.INDEX_DP_PA - float(min(dp[c.node] for c in layout.consumers))
        if needed_pa <= largest_plant_dp_pa:
            break
    else:
        raise ValueError(
            f"even at {limit} Pa/m the plant would need {needed_pa / 1e5:.1f} bar; no file was written. "
            "Give the town a second plant or allow more"
        )
    total_kg_s = float(flow.sum())

    loss_w = float(
        sum(
            s.linear_loss_w_mk * length * (t - texts.ground_temp_c)
            for s, length in zip(sizes, layout.length_m, strict=True)
            for t in (sizing.PRIMARY_SUPPLY_C, sizing.PRIMARY_RETURN_C)
        )
    )
    network = _network(layout, texts, sizes, flow, needed_pa, loss_w)
    town = _town(layout, texts, sizes, flow, needed_pa, loss_w, limit)
    Town.build(town, network)  # refuses what the reader would refuse
    folder.mkdir(parents=True, exist_ok=True)
    network.write(folder / "network.json")
    _write_json(folder / "town.json", town)
    (folder / "site.toml").write_text(_site(layout, texts, town), encoding="utf-8")
    return {
        "consumers": len(layout.consumers),
        "design_heat_kw": round(float(heat.sum()) / 1e3, 1),
        "design_loss_kw": round(loss_w / 1e3, 1),
        "design_flow_kg_s": round(total_kg_s, 3),
        "trench_m": round(float(layout.length_m.sum()), 1),
        "plant_dp_design_bar": round(needed_pa / 1e5, 3),
        "pressure_loss_limit_pa_m": limit,
        "largest_dn": max(s.dn for s in sizes),
    }


def _differential_pressure_pa(
    layout: Layout, sizes: Sequence[sizing.PipeSize], flow: FloatArray, parent: NDArray[np.int64]
) -> FloatArray:
    """Differential pressure at every node relative to the plant's, from the friction of supply and return."""
    loss = np.array(
        [
            length
            * (
                sizing.pressure_loss_pa_m(float(m), size.inner_diameter_m, sizing.PRIMARY_SUPPLY_C)
                + sizing.pressure_loss_pa_m(float(m), size.inner_diameter_m, sizing.PRIMARY_RETURN_C)
            )
            for m, size, length in zip(flow, sizes, layout.length_m, strict=True)
        ]
    )
    dp = np.full(len(layout.x_m), np.nan)
    dp[layout.root] = 0.0
    for node in range(len(dp)):
        way, at = [], node
        while np.isnan(dp[at]):
            way.append(at)
            edge = parent[at]
            at = int(layout.from_row[edge] if layout.to_row[edge] == at else layout.to_row[edge])
        for step in reversed(way):
            dp[step] = dp[at] - loss[parent[step]]
            at = step
    return dp


def _network(
    layout: Layout,
    texts: TownTexts,
    sizes: Sequence[sizing.PipeSize],
    flow: FloatArray,
    plant_dp_pa: float,
    loss_w: float,
) -> Network:
    nodes = [f"{side}{row:04d}" for side in "sr" for row in range(len(layout.x_m))]
    ends = [(int(a), int(b)) for a, b in zip(layout.from_row, layout.to_row, strict=True)]
    pipes: dict[str, list[Any]] = {
        "id": [f"{side}p{row:04d}" for side in "sr" for row in range(len(ends))],
        "from_node": [f"s{a:04d}" for a, _ in ends] + [f"r{b:04d}" for _, b in ends],
        "to_node": [f"s{b:04d}" for _, b in ends] + [f"r{a:04d}" for a, _ in ends],
        "length_m": [round(float(x), 4) for x in layout.length_m] * 2,
        "inner_diameter_m": [s.inner_diameter_m for s in sizes] * 2,
        "roughness_m": [sizing.ROUGHNESS_M] * (2 * len(ends)),
        "linear_loss_w_mk": [round(s.linear_loss_w_mk, 6) for s in sizes] * 2,
        "temp_c": [sizing.PRIMARY_SUPPLY_C] * len(ends) + [sizing.PRIMARY_RETURN_C] * len(ends),
    }
    consumers = layout.consumers
    return Network(
        {
            "nodes": {
                "id": nodes,
                "elevation_m": [round(float(z), 2) for z in layout.elevation_m] * 2,
                "x_m": [round(float(x), 2) for x in layout.x_m] * 2,
                "y_m": [round(float(y), 2) for y in layout.y_m] * 2,
            },
            "pipes": pipes,
            "consumers": {
                "id": [c.id for c in consumers],
                "supply_node": [f"s{c.node:04d}" for c in consumers],
                "return_node": [f"r{c.node:04d}" for c in consumers],
                "mode": ["flow"] * len(consumers),
                "mass_flow_kg_s": [round(float(m), 6) for m in flow],
                "heat_w": [round(c.design_heat_w, 1) for c in consumers],
                "supply_temp_c": [sizing.PRIMARY_SUPPLY_C] * len(consumers),
                "return_temp_c": [sizing.PRIMARY_RETURN_C] * len(consumers),
                "priority": [c.priority for c in consumers],
                "min_dp_pa": [sizing.INDEX_DP_PA] * len(consumers),
                "max_flow_kg_s": [round(1.3 * float(m), 6) for m in flow],
            },
            "sources": {
                "id": ["plant"],
                "return_node": [f"r{layout.root:04d}"],
                "supply_node": [f"s{layout.root:04d}"],
                "dp_pa": [round(plant_dp_pa, 1)],
                "return_pressure_pa": [HOLDING_PRESSURE_PA],
                "supply_temp_c": [sizing.PRIMARY_SUPPLY_C],
                "max_heat_w": [round(SOURCE_RESERVE * (sum(c.design_heat_w for c in consumers) + loss_w), 0)],
            },
        },
        name=texts.name,
    )


def _town(
    layout: Layout,
    texts: TownTexts,
    sizes: Sequence[sizing.PipeSize],
    flow: FloatArray,
    plant_dp_pa: float,
    loss_w: float,
    limit_pa_m: float,
) -> dict[str, Any]:
    total = float(flow.sum())
    design_head = PUMP_RESERVE * plant_dp_pa
    shutoff = design_head / 0.8
    curve_flow = np.array(
        [0.0, total, 1.6 * total]
    )  # three points: the core fits head = a - b flow^c through them
    curve_dp = shutoff * (1.0 - 0.2 * (curve_flow / total) ** 2)
    walls = [round(s.wall_heat_capacity_j_mk, 2) for s in sizes] * 2
    heat = sum(c.design_heat_w for c in layout.consumers)
    return {
        "format": FORMAT,
        "name": texts.name,
        "synthetic": texts.synthetic,
        "about": texts.about,
        "ground_temp_c": texts.ground_temp_c,
        "design": {
            "outdoor_temp_c": texts.design_outdoor_c,
            "primary_supply_temp_c": sizing.PRIMARY_SUPPLY_C,
            "primary_return_temp_c": sizing.PRIMARY_RETURN_C,
            "secondary_supply_temp_c": sizing.SECONDARY_SUPPLY_C,
            "secondary_return_temp_c": sizing.SECONDARY_RETURN_C,
            "pressure_loss_limit_pa_m": limit_pa_m,
            "index_dp_pa": sizing.INDEX_DP_PA,
        },
        "pump_station": {
            "id": "plant",
            "name": "Heat plant and network pump",
            "supply_node": f"s{layout.root:04d}",
            "return_node": f"r{layout.root:04d}",
            "holding_pressure_pa": HOLDING_PRESSURE_PA,
            "pump_flow_kg_s": [round(float(m), 4) for m in curve_flow],
            "pump_dp_pa": [round(float(p), 1) for p in curve_dp],
            "pump_efficiency": PUMP_EFFICIENCY,
            "source_max_heat_w": round(SOURCE_RESERVE * (heat + loss_w), 0),
            "source_lag_s": SOURCE_LAG_S,
            "controller_config": {
                "curve_cold_outdoor_temp_c": texts.design_outdoor_c,
                "curve_cold_supply_temp_c": sizing.PRIMARY_SUPPLY_C,
                "curve_warm_outdoor_temp_c": 15.0,
                "curve_warm_supply_temp_c": sizing.PRIMARY_SUPPLY_MILD_C,
                "own_plant_dp_bar": round(plant_dp_pa / 1e5, 2),
                "plant_dp_minimum_bar": 0.4,
                "plant_dp_maximum_bar": round(shutoff / 1e5, 2),
                "plant_supply_temp_minimum_c": 60.0,
                "plant_supply_temp_maximum_c": 90.0,
                "pump_speed_minimum_pct": 25.0,
            },
        },
        "substations": [
            substation_row(
                consumer,
                float(m),
                float(layout.x_m[consumer.node]),
                float(layout.y_m[consumer.node]),
                texts.design_outdoor_c,
            )
            for consumer, m in zip(layout.consumers, flow, strict=True)
        ],
        "pipe_wall_j_mk": {
            f"{side}p{row:04d}": walls[row] for side in "sr" for row in range(len(layout.length_m))
        },
    }


def substation_row(
    consumer: Consumer, flow_kg_s: float, x_m: float, y_m: float, design_outdoor_c: float
) -> dict[str, Any]:
    """One row of `substations` in town.json: everything behind the house's two pipes, sized by the rules."""
    heat = consumer.design_heat_w
    valve = sizing.size_valve(flow_kg_s, sizing.PRIMARY_SUPPLY_C)
    radiator_cp = float(
        fluid.heat_capacity_j_kgk((sizing.SECONDARY_SUPPLY_C + sizing.SECONDARY_RETURN_C) / 2.0)
    )
    loss_w_k = heat / (sizing.INDOOR_C - design_outdoor_c)
    through_mass = (1.0 - VENTILATION_SHARE) * loss_w_k
    air_to_mass = AIR_TO_MASS * loss_w_k
    capacity = loss_w_k * consumer.time_constant_h * 3600.0
    radiator_heat = consumer.radiator_reserve * heat
    density = float(fluid.density_kg_m3(sizing.PRIMARY_RETURN_C))
    return {
        "id": consumer.id,
        "name": consumer.name,
        "area": consumer.area,
        "priority": consumer.priority,
        "supply_node": f"s{consumer.node:04d}",
        "return_node": f"r{consumer.node:04d}",
        "x_m": round(x_m, 2),
        "y_m": round(y_m, 2),
        "design_heat_w": round(heat, 1),
        "design_flow_kg_s": round(flow_kg_s, 6),
        "valve_kvs_m3_h": valve.kvs_m3_h,
        "valve_authority": round(valve.authority, 3),
        "valve_stroke_s": STROKE_S,
        "valve_rangeability": RANGEABILITY,
        "valve_leakage": LEAKAGE,
        "valve_backlash": BACKLASH,
        "exchanger_kv_m3_h": round(valve.exchanger_kv_m3_h, 4),
        "exchanger_ua_w_k": round(sizing.exchanger_ua_w_k(heat), 2),
        "exchanger_primary_water_kg": round(EXCHANGER_WATER_KG[0] + EXCHANGER_WATER_KG[1] * heat, 4),
        "exchanger_secondary_water_kg": round(EXCHANGER_WATER_KG[0] + EXCHANGER_WATER_KG[1] * heat, 4),
        "exchanger_metal_j_k": round(EXCHANGER_METAL_J_K[0] + EXCHANGER_METAL_J_K[1] * heat, 1),
        "secondary_flow_kg_s": round(
            heat / (radiator_cp * (sizing.SECONDARY_SUPPLY_C - sizing.SECONDARY_RETURN_C)), 6
        ),
        "radiator_heat_w": round(radiator_heat, 1),
        "radiator_capacity_j_k": round(
            RADIATOR_METAL_FACTOR * RADIATOR_WATER_KG_W * radiator_heat * radiator_cp, 0
        ),
        "building_air_to_outdoor_w_k": round(VENTILATION_SHARE * loss_w_k, 4),
        "building_air_to_mass_w_k": round(air_to_mass, 4),
        "building_mass_to_outdoor_w_k": round(1.0 / (1.0 / through_mass - 1.0 / air_to_mass), 4),
        "building_air_j_k": round(AIR_CAPACITY_SHARE * capacity, 0),
        "building_mass_j_k": round((1.0 - AIR_CAPACITY_SHARE) * capacity, 0),
        "building_time_constant_h": round(consumer.time_constant_h, 1),
        "internal_gain_w": 0.0,
        "thermostat_setpoint_c": sizing.INDOOR_C,
        "thermostat_band_k": 2.0,
        "controller_config": {
            "curve_cold_outdoor_temp_c": design_outdoor_c,
            "curve_cold_supply_temp_c": sizing.SECONDARY_SUPPLY_C,
            "curve_warm_outdoor_temp_c": 15.0,
            "curve_warm_supply_temp_c": 30.0,
            "supply_temp_minimum_c": 20.0,
            "supply_temp_maximum_c": 65.0,
            "contract_flow_limit_m3_h": round(1.3 * flow_kg_s * 3600.0 / density, 3),
            "return_limit_temp_c": 50.0,
            "valve_stroke_s": STROKE_S,
            "frost_outdoor_temp_c": 2.0,
            "frost_supply_temp_c": 10.0,
        },
    }


def _write_json(path: Path, town: Mapping[str, Any]) -> None:
    """One line for each substation, so that a change shows as one line."""
    lines = ["{"]
    for key, value in town.items():
        if key == "substations":
            rows = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f'  "{key}": [\n{rows}\n  ],')
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},")
    lines[-1] = lines[-1].rstrip(",")
    path.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")


def _site(layout: Layout, texts: TownTexts, town: Mapping[str, Any]) -> str:
    out = [
        f"# Site file of {texts.name}. Addresses with port 0 are filled in when emulated controllers start.",
        "[site]",
        f'name = "{texts.name}"',
        f'timezone = "{texts.timezone}"',
        'network = "network.json"',
        'weather = "weather.csv"',
        f"synthetic = {str(texts.synthetic).lower()}",
        f"design_outdoor_temp_c = {texts.design_outdoor_c}",
        "",
    ]
    for identifier, name in texts.areas.items():
        out += ["[[area]]", f'id = "{identifier}"', f'name = "{name}"', ""]
    station = town["pump_station"]
    config = station["controller_config"]
    areas = next(iter(texts.areas))
    out += [
        "[[pump_station]]",
        f'id = "{station["id"]}"',
        f'name = "{station["name"]}"',
        'transport = "tcp"',
        'address = "127.0.0.1:0"',
        "unit = 1",
        'profile = "pump_station"',
        f'node = "{station["supply_node"]}"',
        f'return_node = "{station["return_node"]}"',
        f'source = "{station["id"]}"',
        f'area = "{areas}"',
        "priority = 1",
        f"x_m = {layout.x_m[layout.root]:.2f}",
        f"y_m = {layout.y_m[layout.root]:.2f}",
        "limits = { " + ", ".join(f"{k} = {config[k]}" for k in config if k.startswith("plant_")) + " }",
        "",
    ]
    for row in town["substations"]:
        config = row["controller_config"]
        names = (
            "supply_temp_minimum_c",
            "supply_temp_maximum_c",
            "contract_flow_limit_m3_h",
            "return_limit_temp_c",
        )
        out += [
            "[[substation]]",
            f'id = "{row["id"]}"',
            f'name = "{row["name"]}"',
            'transport = "tcp"',
            'address = "127.0.0.1:0"',
            "unit = 1",
            'profile = "substation"',
            f'node = "{row["supply_node"]}"',
            f'return_node = "{row["return_node"]}"',
            f'area = "{row["area"]}"',
            f"priority = {row['priority']}",
            f"x_m = {row['x_m']}",
            f"y_m = {row['y_m']}",
            f"deficit_budget_kh = {DEFICIT_BUDGET_KH}",
            "limits = { " + ", ".join(f"{k} = {config[k]}" for k in names) + " }",
            "",
        ]
    out += [
        "[coordinator]",
        f"index_dp_sp_bar = {sizing.INDEX_DP_PA / 1e5}",
        "",
        "[alarms]",
        "low_dp_bar = 0.4",
        "low_dp_delay_s = 120",
        "lost_communication_s = 60",
        "",
    ]
    return "\n".join(out)
