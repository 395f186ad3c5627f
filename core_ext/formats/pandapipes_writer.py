"""The network as pandapipes JSON, which `pandapipes.from_json` loads; pandapipes itself is not needed.

Ids become names, rows keep their numbers, and a mark in the document lets the reader take both back. Columns
that pandapipes has no use for but keeps (temperatures of consumers, costs of sources) ride along under our
names. It refuses by name what pandapipes has no element for rather than lose it: pumps, regulators, check
valves, limits that act, pressure differences without a pressure, Hazen-Williams pipes, water of its own in a
pipe. Heights are scaled by the ratio of the fluid's gravity to pandapipes' 9.81, and the weight of the air is
added that pandapipes takes off, so that pressures stay.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ..network import BadNetwork, HydraulicFluid, Network, Table
from ..solver import REFERENCE_TEMP_C, SHUT_BELOW
from .pandapipes_json import GRAVITY_M_S2, KELVIN, MARK, OF_SOURCE, less_air_m
from .valve_loss import VALVE_DIAMETER_M, loss_of_kv, standing_loss

# the format of pandapipes 0.16; later ones convert it when they load it
VERSION, FORMAT_VERSION = "0.16.0", "0.14.0"
START_PRESSURE_BAR = 5.0  # where pandapipes begins to iterate when nothing is fixed
RIDING = {
    "consumers": (
        "supply_temp_c",
        "return_temp_c",
        "priority",
        "min_dp_pa",
        "max_flow_kg_s",
        "mass_flow_kg_s",
        "heat_w",
        "kv_m3_h",
    ),
    "sources": ("max_heat_w", "cost_per_mwh", "co2_per_mwh"),
    "pipes": ("temp_c",),
}
OF_MODE = {"flow": "mass_flow_kg_s", "valve": "kv_m3_h", "heat": "heat_w"}
COMPONENTS = {
    "junction": ("junction_component", "Junction"),
    "pipe": ("pipe_component", "Pipe"),
    "valve": ("valve_component", "Valve"),
    "sink": ("sink_component", "Sink"),
    "source": ("source_component", "Source"),
    "flow_control": ("flow_control_component", "FlowControlComponent"),
    "heat_consumer": ("heat_consumer_component", "HeatConsumer"),
    "heat_exchanger": ("heat_exchanger_component", "HeatExchanger"),
    "circ_pump_mass": ("circulation_pump_mass_component", "CirculationPumpMass"),
    "circ_pump_pressure": ("circulation_pump_pressure_component", "CirculationPumpPressure"),
    "ext_grid": ("ext_grid_component", "ExtGrid"),
}
TEXT = ("name", "type", "et", "std_type")
FLAGS = ("in_service", "opened", "control_active", OF_SOURCE)
WHOLE = (
    "from_junction",
    "to_junction",
    "junction",
    "element",
    "return_junction",
    "flow_junction",
    "sections",
)

Row = dict[str, Any]


def to_pandapipes(net: Network) -> dict[str, Any]:
    """The network as a pandapipes document. Raises BadNetwork for what pandapipes cannot express."""
    _refuse(net)
    fluid = net.fluid or HydraulicFluid.water(REFERENCE_TEMP_C)
    heights = [
        _with_air_m(height * (fluid.gravity_m_s2 / GRAVITY_M_S2), fluid.density_kg_m3, node)
        for height, node in zip(net.nodes["elevation_m"].tolist(), net.nodes.ids, strict=True)
    ]
    number = {name: row for row, name in enumerate(net.nodes.ids)}
    frames: dict[str, list[Row]] = {name: [] for name in COMPONENTS}
    frames["pipe"] = [_pipe(net, row, number) for row in range(net.pipes.rows)]
    frames["valve"] = [_valve(net, row, number) for row in range(net.valves.rows)]
    for row in range(net.consumers.rows):
        table, entry = _consumer(net, row, number)
        frames[table].append(entry)
    makes_up: dict[int, float] = {}
    for row in range(net.sources.rows):
        table, entry = _source(net, row, number)
        frames[table].append(entry)
        makes_up[entry["flow_junction"]] = entry["p_flow_bar"]
    places: list[Row] = []
    pressures = net.nodes["fixed_pressure_pa"][np.isfinite(net.nodes["fixed_pressure_pa"])]
    start = float(pressures.max()) * 1e-5 if pressures.size else START_PRESSURE_BAR
    for row, name in enumerate(net.nodes.ids):
        pressure = float(net.nodes["fixed_pressure_pa"][row])
        frames["junction"].append(
            {
                "index": row,
                "name": name,
                "pn_bar": start if math.isnan(pressure) else pressure * 1e-5,
                "tfluid_k": KELVIN + REFERENCE_TEMP_C,
                "height_m": heights[row],
                "in_service": True,
                "type": "junction",
            }
        )
        x, y = float(net.nodes["x_m"][row]), float(net.nodes["y_m"][row])
        if not (math.isnan(x) and math.isnan(y)):
            places.append({"index": row, "x": x, "y": y})
        # a circulation pump of pandapipes holds a pressure, but only a grid beside it takes and gives water
        if not math.isnan(pressure) or row in makes_up:
            frames["ext_grid"].append(
                {
                    "index": row,
                    "name": name,
                    "junction": row,
                    "p_bar": makes_up[row] if math.isnan(pressure) else pressure * 1e-5,
                    "t_k": KELVIN + REFERENCE_TEMP_C,
                    "in_service": True,
                    "type": "p",
                    OF_SOURCE: math.isnan(pressure),
                }
            )
        injection = float(net.nodes["mass_injection_kg_s"][row])
        if injection != 0.0:
            frames["source" if injection > 0.0 else "sink"].append(
                {
                    "index": row,
                    "name": name,
                    "junction": row,
                    "mdot_kg_per_s": abs(injection),
                    "scaling": 1.0,
                    "in_service": True,
                    "type": "source" if injection > 0.0 else "sink",
                }
            )
    content: dict[str, Any] = {
        "fluid": _fluid(fluid),
        "converged": False,
        "name": net.name,
        "version": VERSION,
        "format_version": FORMAT_VERSION,
        "sector": "all",
        MARK: 1,
        "component_list": [
            {"_module": f"pandapipes.component_models.{module}", "_class": kind, "_object": "{}"}
            for table, (module, kind) in COMPONENTS.items()
            if frames[table]
        ],
    }
    content |= {table: _frame(rows) for table, rows in frames.items() if rows}
    if places:
        content["junction_geodata"] = _frame(places)
    return {"_module": "pandapipes.pandapipes_net", "_class": "pandapipesNet", "_object": content}


def _with_air_m(height_m: float, density_kg_m3: float, node: str) -> float:
    """The height in pandapipes of which `less_air_m` makes a height. Raises BadNetwork beyond 40 km."""
    found = height_m
    for _ in range(60):
        # the air weighs a thousandth of the water: every round brings three digits
        step = height_m - less_air_m(found, density_kg_m3, node)
        found += step
        if abs(step) <= 1e-15 * abs(height_m):
            break
    return found


def _refusal(element: str, reason: str, code: str) -> BadNetwork:
    return BadNetwork(element, f"pandapipes has no {reason}", "Write toplovod-network/1 JSON instead.", code)


def _refuse(net: Network) -> None:
    """Raise BadNetwork for the first element without a counterpart."""
    for pump in net.pumps.ids:
        raise _refusal(
            f"pump {pump}", "pump whose flow may turn, or whose head is no polynomial", "pump_refused"
        )
    for curve in net.curves.ids:
        raise _refusal(f"curve {curve}", "place for a curve", "curve_refused")
    for row, valve in enumerate(net.valves.ids):
        if net.valves["kind"][row] != "throttle":
            raise _refusal(f"valve {valve}", f"valve of kind {net.valves['kind'][row]}", "valve_refused")
    for row, pipe in enumerate(net.pipes.ids):
        if not math.isnan(net.pipes["hazen_williams_c"][row]):
            raise _refusal(f"pipe {pipe}", "friction by hazen_williams_c", "hazen_williams_refused")
        if net.fluid is None and not math.isnan(net.pipes["temp_c"][row]):
            raise _refusal(f"pipe {pipe}", "water of its own temperature in a pipe", "temperature_refused")
    sources = net.sources
    held: dict[str, str] = {}
    fixed = dict(zip(net.nodes.ids, net.nodes["fixed_pressure_pa"].tolist(), strict=True))
    for row, source in enumerate(sources.ids):
        supply, back = str(sources["supply_node"][row]), float(sources["return_pressure_pa"][row])
        if supply in held:
            raise _refusal(f"source {source}", f"second pump that feeds node {supply}", "source_refused")
        held[supply] = source
        if not math.isnan(fixed[str(sources["return_node"][row])]):
            raise _refusal(f"source {source}", "circulation pump from a fixed pressure", "source_refused")
        if math.isnan(sources["mass_flow_kg_s"][row]):
            if math.isnan(back):
                raise _refusal(f"source {source}", "circulation pump without a pressure", "source_refused")
        elif not math.isnan(back) or math.isnan(fixed[supply]):
            raise _refusal(
                f"source {source}", "given flow unless it holds the supply pressure", "source_refused"
            )
    consumers = net.consumers
    for row, consumer in enumerate(consumers.ids):
        limit = float(consumers["max_flow_kg_s"][row])
        if not math.isnan(limit) and not _imposed_flow(net, row) <= limit:
            raise _refusal(f"consumer {consumer}", "consumer with a flow limit", "limit_refused")


def _imposed_flow(net: Network, row: int) -> float:
    """The flow a consumer asks for, kg/s; NaN in mode valve."""
    consumers = net.consumers
    if consumers["mode"][row] == "flow":
        return float(consumers["mass_flow_kg_s"][row])
    if consumers["mode"][row] == "valve":
        return math.nan
    fluid = net.fluid or HydraulicFluid.water(REFERENCE_TEMP_C)
    drop = float(consumers["supply_temp_c"][row] - consumers["return_temp_c"][row])
    return float(consumers["heat_w"][row]) / (fluid.cp_j_kgk * drop)


def _riding(table: Table, row: int) -> Row:
    return {name: float(table[name][row]) for name in RIDING[table.name]}


def _pipe(net: Network, row: int, number: dict[str, int]) -> Row:
    pipes = net.pipes
    width = float(pipes["inner_diameter_m"][row])
    return {
        "index": row,
        "name": pipes.ids[row],
        "from_junction": number[pipes["from_node"][row]],
        "to_junction": number[pipes["to_node"][row]],
        "std_type": None,
        "length_km": float(pipes["length_m"][row]) / 1e3,
        "inner_diameter_mm": width * 1e3,
        "outer_diameter_mm": width * 1e3,
        "k_mm": float(pipes["roughness_m"][row]) * 1e3,
        "loss_coefficient": float(pipes["loss_coefficient"][row]),
        "u_w_per_m2k": float(pipes["linear_loss_w_mk"][row]) / (math.pi * width),
        "text_k": math.nan,
        "sections": 1,
        "in_service": bool(pipes["open"][row]),
        "type": "pipe",
    } | _riding(pipes, row)


def _valve(net: Network, row: int, number: dict[str, int]) -> Row:
    valves = net.valves
    loss, width, shut = standing_loss(valves, row)
    return {
        "index": row,
        "name": valves.ids[row],
        "junction": number[valves["from_node"][row]],
        "element": number[valves["to_node"][row]],
        "et": "ju",
        "inner_diameter_mm": width * 1e3,
        "opened": not shut,
        "loss_coefficient": loss,
        "type": "valve",
    }


def _consumer(net: Network, row: int, number: dict[str, int]) -> tuple[str, Row]:
    consumers = net.consumers
    entry: Row = {
        "index": row,
        "name": consumers.ids[row],
        "from_junction": number[consumers["supply_node"][row]],
        "to_junction": number[consumers["return_node"][row]],
    }
    heat = float(consumers["heat_w"][row])
    mode = consumers["mode"][row]
    riding = {"in_service": True, "type": "consumer"} | _riding(consumers, row)
    # what the element itself says does not ride beside it, where an edit in pandapipes would leave it behind
    riding[OF_MODE[mode]] = math.nan
    if mode == "flow":
        riding["heat_w"] = math.nan
    if mode == "valve":
        kv = float(consumers["kv_m3_h"][row])
        shut = kv < SHUT_BELOW
        own = {
            "inner_diameter_mm": VALVE_DIAMETER_M * 1e3,
            "qext_w": 0.0 if math.isnan(heat) else heat,
            "loss_coefficient": 0.0 if shut else loss_of_kv(kv, VALVE_DIAMETER_M),
        }
        return "heat_exchanger", entry | own | riding | {"in_service": not shut}
    flow = float(consumers["mass_flow_kg_s"][row]) if mode == "flow" else math.nan
    if mode == "flow" and math.isnan(heat):
        return "flow_control", entry | {"controlled_mdot_kg_per_s": flow, "control_active": True} | riding
    drop = float(consumers["supply_temp_c"][row] - consumers["return_temp_c"][row])
    own = {
        "qext_w": heat,
        "controlled_mdot_kg_per_s": flow,
        "deltat_k": drop if mode == "heat" else math.nan,
        "treturn_k": math.nan,
    }
    return "heat_consumer", entry | own | riding


def _source(net: Network, row: int, number: dict[str, int]) -> tuple[str, Row]:
    sources = net.sources
    supply = str(sources["supply_node"][row])
    temp = float(sources["supply_temp_c"][row])
    pressure = float(sources["supply_pressure_pa"][row])
    back, lift = float(sources["return_pressure_pa"][row]), float(sources["dp_pa"][row])
    flow = float(sources["mass_flow_kg_s"][row])
    fluid = net.fluid or HydraulicFluid.water(REFERENCE_TEMP_C)
    height = net.nodes["elevation_m"]
    rise = float(height[number[supply]] - height[number[sources["return_node"][row]]])
    rise_pa = fluid.density_kg_m3 * fluid.gravity_m_s2 * rise
    if not math.isnan(flow):
        pressure = float(net.nodes["fixed_pressure_pa"][number[supply]])
    elif math.isnan(pressure):
        pressure = back + lift - rise_pa
    else:
        # a lift, as dp_pa, counts without the difference in height
        lift = pressure - back + rise_pa
    entry: Row = {
        "index": row,
        "name": sources.ids[row],
        "return_junction": number[sources["return_node"][row]],
        "flow_junction": number[supply],
        "p_flow_bar": pressure * 1e-5,
        "t_flow_k": temp + KELVIN,
    }
    riding = {"in_service": True, "type": "p" if math.isnan(temp) else "pt"} | _riding(sources, row)
    if math.isnan(flow):
        return "circ_pump_pressure", entry | {"plift_bar": lift * 1e-5} | riding
    return "circ_pump_mass", entry | {"mdot_flow_kg_per_s": flow} | riding


def _frame(rows: list[Row]) -> dict[str, Any]:
    """A pandas data frame in split orient; columns of ours that are never given stay away."""
    ours = {name for names in RIDING.values() for name in names}
    columns = [
        name
        for name in rows[0]
        if name != "index" and not (name in ours and all(_absent(row[name]) for row in rows))
    ]

    def kind(name: str) -> str:
        return (
            "object" if name in TEXT else "bool" if name in FLAGS else "int64" if name in WHOLE else "float64"
        )

    parts = {
        "columns": columns,
        "index": [row["index"] for row in rows],
        "data": [[None if _absent(row[name]) else row[name] for name in columns] for row in rows],
    }
    return {
        "_module": "pandas.core.frame",
        "_class": "DataFrame",
        "_object": json.dumps(parts, ensure_ascii=False, allow_nan=False),
        "orient": "split",
        "dtype": {name: kind(name) for name in columns},
        "is_multiindex": False,
        "is_multicolumn": False,
    }


def _absent(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _fluid(fluid: HydraulicFluid) -> dict[str, Any]:
    values = {
        "density": fluid.density_kg_m3,
        "viscosity": fluid.viscosity_pa_s,
        "heat_capacity": fluid.cp_j_kgk,
    }
    module = "pandapipes.properties.fluids"
    properties = {
        name: {
            "_module": module,
            "_class": "FluidPropertyConstant",
            "_object": json.dumps({"value": value, "warn_dependent_variables": False}),
        }
        for name, value in values.items()
    }
    content = {"name": "liquid", "fluid_type": "liquid", "is_gas": False, "all_properties": properties}
    return {"_module": module, "_class": "Fluid", "_object": json.dumps(content)}
