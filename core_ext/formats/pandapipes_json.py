"""pandapipes JSON (written by `pandapipes.to_json`): hydraulics of junctions, pipes, grids, loads and pumps.

Junction numbers become node ids, or names where the net was written from here; elements out of service are
left out. It needs neither pandas nor pandapipes and refuses by name what has no counterpart: pumps given by
polynomials, compressors, pressure controllers, gases, elements it does not know, consumers whose flow follows
from temperatures that only a thermal run knows. Heights are taken less the weight of the air, so that
pressures are pandapipes' own.
"""

from __future__ import annotations

import json
import math
from operator import itemgetter
from typing import Any

from ..network import BadNetwork, HydraulicFluid, Network
from ..solver import REFERENCE_TEMP_C
from .valve_loss import kv_of_loss

KELVIN = 273.15
GRAVITY_M_S2 = 9.81  # pandapipes' own constant
# pandapipes counts pressures from the air's at each height, by the barometric formula with these constants
AIR_AT_SEA_PA, AIR_GRADIENT_K_M, AIR_AT_SEA_K, AIR_EXPONENT = 101_325.0, 0.0065, 288.15, 5.255
HIGHEST_M = 40_000.0  # the formula ends at 44 km
MARK = "toplovod"  # in a document written from here: names are ids, row numbers are ours
OF_SOURCE = "of_source"  # column: this grid only makes up the water of a circulation pump
REFUSED = {
    "pump": "its head is a polynomial of a pump type",
    "compressor": "compressors are for gases",
    "press_control": "pandapipes' pressure control also lifts, which no valve does",
    "pressure_control": "pandapipes' pressure control also lifts, which no valve does",
    "water_tank": "tanks are not known",
}
READ = (
    "junction", "pipe", "valve", "ext_grid", "sink", "source", "mass_storage", "heat_exchanger",
    "flow_control", "heat_consumer", "circ_pump_pressure", "circ_pump_mass",
)  # fmt: skip

CIRCLE = ("return_junction", "flow_junction")

Row = dict[str, Any]


def _rows(document: dict[str, Any], table: str) -> list[Row]:
    """Rows of a data frame in split orient, with the index as `index`; [] if the net has none."""
    frame = document.get(table)
    if not isinstance(frame, dict) or "_object" not in frame:
        return []
    parts = frame["_object"]
    if isinstance(parts, str):
        parts = json.loads(parts)
    return [
        {**dict(zip(parts["columns"], data, strict=True)), "index": str(index), "table": table}
        for index, data in zip(parts["index"], parts["data"], strict=True)
    ]


def _in_service(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.get("in_service", True)]


def _value(row: Row, key: str, default: float = math.nan) -> float:
    value = row.get(key)
    return default if value is None else float(value)


def _refuse_unknown(content: dict[str, Any], where: str) -> None:
    """Raise BadNetwork for rows of any other table that is tied to junctions."""
    for table, frame in content.items():
        if not (isinstance(frame, dict) and frame.get("_class") == "DataFrame"):
            continue
        if table in READ or table.startswith(("res_", "_")) or table.endswith("_geodata"):
            continue
        for row in _in_service(_rows(content, table)):
            if any(name == "junction" or name.endswith("_junction") for name in row):
                raise BadNetwork(
                    f"{table} {row['index']} of {where}",
                    "this kind of element is not known",
                    "Replace it before saving the net.",
                    "element_refused",
                )


def _fluid(document: dict[str, Any], temp_k: float, where: str) -> HydraulicFluid:
    fluid = document.get("fluid")
    try:
        content = fluid["_object"] if isinstance(fluid, dict) else json.loads(str(fluid))
        content = json.loads(content) if isinstance(content, str) else content
        properties = content["all_properties"]
        if content.get("fluid_type") == "gas":
            raise BadNetwork(
                f"file {where}", "the fluid is a gas", "Only liquids are solved here.", "gas_refused"
            )
        density = _property(properties["density"], temp_k)
        viscosity = _property(properties["viscosity"], temp_k)
        heat = _property(properties["heat_capacity"], temp_k)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadNetwork):
            raise
        raise BadNetwork(
            f"file {where}",
            f"the fluid is not understood ({error})",
            "Save the net with its fluid.",
            "bad_fluid",
        ) from None
    # pandapipes' own water has J/(kg K); the nets made for OpenModelica have kJ
    return HydraulicFluid(density, viscosity, heat * 1000.0 if heat < 100.0 else heat, GRAVITY_M_S2)


def _property(entry: Any, temp_k: float) -> float:
    kind, content = entry["_class"], entry["_object"]
    content = json.loads(content) if isinstance(content, str) else content
    if kind == "FluidPropertyConstant":
        return float(content["value"])
    if kind == "FluidPropertyLinear":
        return float(content["slope"]) * temp_k + float(content["offset"])
    if kind == "FluidPropertyInterExtra":
        getter = content.get("prop_getter", content)
        if isinstance(getter, dict) and "_object" in getter:
            getter = getter["_object"]
            getter = json.loads(getter) if isinstance(getter, str) else getter
        x, y = (_numbers(getter[key]) for key in ("x", "y"))
        at = min(max(sum(1 for value in x if value < temp_k), 1), len(x) - 1)
        return y[at - 1] + (y[at] - y[at - 1]) * (temp_k - x[at - 1]) / (x[at] - x[at - 1])
    raise ValueError(f"property class {kind}")


def less_air_m(height_m: float, density_kg_m3: float, node: str) -> float:
    """The height at which pressures counted from one air pressure are those pandapipes counts from the local.

    The air's weight, 0.12 % of water's, is taken off the height. Raises BadNetwork, naming the node, beyond
    40 km.
    """
    if not abs(height_m) <= HIGHEST_M:
        raise BadNetwork(
            f"node {node}", f"its height is {height_m:g} m, where no air is", "Give metres.", "bad_height"
        )
    air_pa = AIR_AT_SEA_PA * (1.0 - height_m * AIR_GRADIENT_K_M / AIR_AT_SEA_K) ** AIR_EXPONENT
    return height_m + float(air_pa - AIR_AT_SEA_PA) / (density_kg_m3 * GRAVITY_M_S2)


def _numbers(values: Any) -> list[float]:
    if isinstance(values, dict):
        values = values["_object"]
    if isinstance(values, str):
        values = json.loads(values)
    return [float(value["_object"] if isinstance(value, dict) else value) for value in values]


def from_pandapipes(document: dict[str, Any], where: str) -> Network:
    """The hydraulic network in a pandapipes document. Raises BadNetwork."""
    content = document["_object"]
    content = json.loads(content) if isinstance(content, str) else content
    for table, why in REFUSED.items():
        for row in _in_service(_rows(content, table)):
            raise BadNetwork(
                f"{table} {row['index']} of {where}",
                why,
                "Replace it before saving the net.",
                f"{table}_refused",
            )
    _refuse_unknown(content, where)
    marked = MARK in content
    junctions = _in_service(_rows(content, "junction"))
    for row in junctions:
        row["id"] = _name(row, marked, row["index"])
    temps = [_value(row, "tfluid_k", KELVIN + REFERENCE_TEMP_C) for row in junctions]
    fluid = _fluid(content, sum(temps) / max(len(temps), 1), where)
    for row in junctions:
        row["z_m"] = less_air_m(_value(row, "height_m", 0.0), fluid.density_kg_m3, row["id"])
    geodata = {row["index"]: row for row in _rows(content, "junction_geodata")}
    number = {row["index"]: at for at, row in enumerate(junctions)}
    injection = [0.0] * len(junctions)
    fixed = [math.nan] * len(junctions)

    def at(table: str, row: Row, key: str) -> int:
        name = str(row[key])
        if name not in number:
            raise BadNetwork(
                f"{table} {row['index']} of {where}",
                f"{key} {name} is no junction in service",
                "Take the element out of service too.",
                "unknown_node",
            )
        return number[name]

    def ends(row: Row, first: str = "from_junction", second: str = "to_junction") -> Row:
        return {
            "id": _name(row, marked, f"{row['table']} {row['index']}"),
            "from_node": junctions[at(row["table"], row, first)]["id"],
            "to_node": junctions[at(row["table"], row, second)]["id"],
        }

    def pin(table: str, row: Row, key: str, pressure: float) -> None:
        node = at(table, row, key)
        if not math.isnan(fixed[node]) and fixed[node] != pressure:
            raise BadNetwork(
                f"{table} {row['index']} of {where}",
                f"junction {row[key]} has two different pressures",
                "Leave one.",
                "pressure_fixed_twice",
            )
        fixed[node] = pressure

    for row in _in_service(_rows(content, "ext_grid")):
        if "p" in str(row.get("type", "pt")) and not (marked and row.get(OF_SOURCE)):
            pin("ext_grid", row, "junction", _value(row, "p_bar") * 1e5)
    for table, sign in (("sink", -1.0), ("mass_storage", -1.0), ("source", 1.0)):
        for row in _in_service(_rows(content, table)):
            injection[at(table, row, "junction")] += (
                sign * _value(row, "mdot_kg_per_s", 0.0) * _value(row, "scaling", 1.0)
            )

    pipes: list[Row] = []
    valves: list[Row] = []
    consumers: list[tuple[int, Row]] = []
    sources: list[tuple[int, Row]] = []
    closed_pipes: dict[str, bool] = {}
    extra_loss: dict[str, list[tuple[float, float]]] = {}
    for row in _rows(content, "valve"):
        opened = bool(row.get("opened", True)) and bool(row.get("in_service", True))
        width = _value(row, "inner_diameter_mm", _value(row, "diameter_m") * 1e3) * 1e-3
        if row.get("et", "ju") == "pi":
            closed_pipes[str(row["element"])] = closed_pipes.get(str(row["element"]), False) or not opened
            extra_loss.setdefault(str(row["element"]), []).append(
                (_value(row, "loss_coefficient", 0.0), width)
            )
            continue
        first, second = ("junction", "element") if "element" in row else ("from_junction", "to_junction")
        if not opened and (str(row[first]) not in number or str(row[second]) not in number):
            continue
        valves.append(
            ends(row, first, second)
            | {
                "loss_coefficient": _value(row, "loss_coefficient", 0.0),
                "diameter_m": width,
                "opening": float(opened),
            }
        )
    for row in _rows(content, "heat_exchanger"):
        if marked:
            consumers.append((int(row["index"]), _valve_consumer(row, ends(row))))
    for row in [] if marked else _in_service(_rows(content, "heat_exchanger")):
        valves.append(
            ends(row)
            | {
                "loss_coefficient": _value(row, "loss_coefficient", 0.0),
                "diameter_m": _value(row, "inner_diameter_mm", _value(row, "diameter_m") * 1e3) * 1e-3,
                "opening": 1.0,
            }
        )
    for row in _rows(content, "pipe"):
        # elsewhere a pipe out of service may end at junctions that are out of service too
        if not (marked or row.get("in_service", True)):
            continue
        width = _value(row, "inner_diameter_mm", _value(row, "diameter_m") * 1e3) * 1e-3
        outer = _value(row, "outer_diameter_mm") * 1e-3
        loss = _value(row, "loss_coefficient", 0.0)
        for more, diameter in extra_loss.get(row["index"], []):
            loss += more * (width / diameter) ** 4
        u = _value(row, "u_w_per_m2k", _value(row, "alpha_w_per_m2k", 0.0))
        pipes.append(
            {
                **ends(row),
                "id": _name(row, marked, row["index"]),
                "length_m": _value(row, "length_km") * 1e3,
                "inner_diameter_m": width,
                "roughness_m": _value(row, "k_mm", 0.1) * 1e-3,
                "loss_coefficient": loss,
                "linear_loss_w_mk": u * math.pi * (width if math.isnan(outer) else outer),
                "open": bool(row.get("in_service", True)) and not closed_pipes.get(row["index"], False),
                "temp_c": _value(row, "temp_c"),
            }
        )
    for row in _in_service(_rows(content, "flow_control")):
        if row.get("control_active", True):
            flow = _value(row, "controlled_mdot_kg_per_s")
            consumers.append((int(row["index"]), _consumer(row, ends(row), "flow", flow=flow)))
        else:
            valves.append(ends(row) | {"loss_coefficient": 0.0, "diameter_m": 0.1, "opening": 1.0})
    for row in _in_service(_rows(content, "heat_consumer")):
        consumers.append((int(row["index"]), _heat_consumer(row, ends(row), where)))
    for row in _in_service(_rows(content, "circ_pump_pressure")):
        if row.get("control_dp"):
            raise BadNetwork(
                f"circ_pump_pressure {row['index']} of {where}",
                "control_dp is set",
                "Give p_flow_bar and plift_bar.",
                "control_dp_refused",
            )
        supply = _value(row, "p_flow_bar") * 1e5
        # the lift counts without the difference in height
        rise = (
            junctions[at("circ_pump_pressure", row, "flow_junction")]["z_m"]
            - junctions[at("circ_pump_pressure", row, "return_junction")]["z_m"]
        )
        lift = _value(row, "plift_bar") * 1e5 - fluid.density_kg_m3 * GRAVITY_M_S2 * rise
        given = {
            "supply_pressure_pa": supply,
            "return_pressure_pa": supply - lift,
            "mass_flow_kg_s": math.nan,
        }
        sources.append(
            (int(row["index"]), _source(row, ends(row, "return_junction", "flow_junction")) | given)
        )
    for row in _in_service(_rows(content, "circ_pump_mass")):
        pin("circ_pump_mass", row, "flow_junction", _value(row, "p_flow_bar") * 1e5)
        given = {
            "supply_pressure_pa": math.nan,
            "return_pressure_pa": math.nan,
            "mass_flow_kg_s": _value(row, "mdot_flow_kg_per_s"),
        }
        sources.append(
            (int(row["index"]), _source(row, ends(row, "return_junction", "flow_junction")) | given)
        )
    if marked:
        # rows of one of our tables lie in several of theirs, under their own numbers
        consumers.sort(key=itemgetter(0))
        sources.sort(key=itemgetter(0))

    def columns(rows: list[Row]) -> dict[str, list[Any]]:
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    return Network(
        {
            "nodes": {
                "id": [row["id"] for row in junctions],
                "elevation_m": [row["z_m"] for row in junctions],
                "x_m": [_value(geodata.get(row["index"], {}), "x") for row in junctions],
                "y_m": [_value(geodata.get(row["index"], {}), "y") for row in junctions],
                "mass_injection_kg_s": injection,
                "fixed_pressure_pa": fixed,
            },
            "pipes": columns(pipes),
            "valves": columns(valves),
            "consumers": columns([row for _, row in consumers]),
            "sources": columns([row for _, row in sources]),
        },
        fluid=fluid,
        name=str(content.get("name") or ""),
    )


def _name(row: Row, marked: bool, default: str) -> str:
    """The id of an element: its name in a net of ours, if it has one."""
    return str(row["name"]) if marked and row.get("name") is not None else default


def _consumer(row: Row, ends: Row, mode: str, flow: float = math.nan, heat: float = math.nan) -> Row:
    return {
        "id": ends["id"],
        "supply_node": ends["from_node"],
        "return_node": ends["to_node"],
        "mode": mode,
        "mass_flow_kg_s": _value(row, "mass_flow_kg_s") if math.isnan(flow) else flow,
        "kv_m3_h": _value(row, "kv_m3_h"),
        "heat_w": heat,
        "supply_temp_c": _value(row, "supply_temp_c"),
        "return_temp_c": _value(row, "return_temp_c"),
        "priority": _value(row, "priority", 1.0),
        "min_dp_pa": _value(row, "min_dp_pa", 0.0),
        "max_flow_kg_s": _value(row, "max_flow_kg_s"),
    }


def _valve_consumer(row: Row, ends: Row) -> Row:
    """A heat exchanger in a net of ours: a consumer whose valve is given."""
    heat = _value(row, "qext_w")
    # pandapipes has no heat exchanger without a heat: our own column tells none from none asked for
    if heat == 0.0 and math.isnan(_value(row, "heat_w")):
        heat = math.nan
    consumer = _consumer(row, ends, "valve", heat=heat)
    loss, width_m = _value(row, "loss_coefficient", 0.0), _value(row, "inner_diameter_mm") * 1e-3
    consumer["kv_m3_h"] = kv_of_loss(loss, width_m) if row.get("in_service", True) else 0.0
    return consumer


def _heat_consumer(row: Row, ends: Row, where: str) -> Row:
    flow, heat = _value(row, "controlled_mdot_kg_per_s"), _value(row, "qext_w")
    drop, back = _value(row, "deltat_k"), _value(row, "treturn_k") - KELVIN
    if not math.isnan(flow):
        return _consumer(row, ends, "flow", flow=flow, heat=heat)
    if math.isnan(heat) or math.isnan(drop):
        raise BadNetwork(
            f"heat_consumer {row['index']} of {where}",
            "its flow follows from temperatures that only a thermal run knows",
            "Give controlled_mdot_kg_per_s, or qext_w with deltat_k.",
            "heat_consumer_refused",
        )
    if math.isnan(back):
        # only the difference matters for the flow; the level is the reference supply temperature
        back = _value(row, "return_temp_c", REFERENCE_TEMP_C - drop)
    supply = _value(row, "supply_temp_c")
    if not math.isclose(supply - back, drop, rel_tol=1e-12):
        supply = back + drop
    return _consumer(row, ends, "heat", heat=heat) | {"supply_temp_c": supply, "return_temp_c": back}


def _source(row: Row, ends: Row) -> Row:
    return {
        "id": ends["id"],
        "return_node": ends["from_node"],
        "supply_node": ends["to_node"],
        "supply_temp_c": _value(row, "t_flow_k") - KELVIN,
        "max_heat_w": _value(row, "max_heat_w"),
        "cost_per_mwh": _value(row, "cost_per_mwh"),
        "co2_per_mwh": _value(row, "co2_per_mwh"),
    }
