"""pandapipes JSON (written by `pandapipes.to_json`): hydraulics of junctions, pipes, grids, loads and pumps.

Junction numbers become node ids; elements out of service are left out. It needs neither pandas nor pandapipes
and refuses by name what has no counterpart: pumps given by polynomials, compressors, pressure controllers,
gases, consumers whose flow follows from temperatures that only a thermal run knows.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ..network import BadNetwork, HydraulicFluid, Network
from ..solver import REFERENCE_TEMP_C

KELVIN = 273.15
GRAVITY_M_S2 = 9.81  # pandapipes' own constant
REFUSED = {
    "pump": "its head is a polynomial of a pump type",
    "compressor": "compressors are for gases",
    "pressure_control": "pressure control is not solved",
    "water_tank": "tanks are not known",
}

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
        {**dict(zip(parts["columns"], data, strict=True)), "index": str(index)}
        for index, data in zip(parts["index"], parts["data"], strict=True)
    ]


def _in_service(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.get("in_service", True)]


def _value(row: Row, key: str, default: float = math.nan) -> float:
    value = row.get(key)
    return default if value is None else float(value)


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
    junctions = _in_service(_rows(content, "junction"))
    temps = [_value(row, "tfluid_k", KELVIN + REFERENCE_TEMP_C) for row in junctions]
    fluid = _fluid(content, sum(temps) / max(len(temps), 1), where)
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
        if "p" in str(row.get("type", "pt")):
            pin("ext_grid", row, "junction", _value(row, "p_bar") * 1e5)
    for table, sign in (("sink", -1.0), ("mass_storage", -1.0), ("source", 1.0)):
        for row in _in_service(_rows(content, table)):
            injection[at(table, row, "junction")] += (
                sign * _value(row, "mdot_kg_per_s", 0.0) * _value(row, "scaling", 1.0)
            )

    pipes: list[Row] = []
    valves: list[Row] = []
    consumers: list[Row] = []
    sources: list[Row] = []
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
        if not opened:
            continue
        valves.append(
            _ends("valve", row, junctions[at("valve", row, first)], junctions[at("valve", row, second)])
            | {"loss_coefficient": _value(row, "loss_coefficient", 0.0), "diameter_m": width}
        )
    for row in _in_service(_rows(content, "heat_exchanger")):
        valves.append(
            _ends(
                "heat_exchanger",
                row,
                junctions[at("heat_exchanger", row, "from_junction")],
                junctions[at("heat_exchanger", row, "to_junction")],
            )
            | {
                "loss_coefficient": _value(row, "loss_coefficient", 0.0),
                "diameter_m": _value(row, "inner_diameter_mm", _value(row, "diameter_m") * 1e3) * 1e-3,
            }
        )
    for row in _in_service(_rows(content, "pipe")):
        width = _value(row, "inner_diameter_mm", _value(row, "diameter_m") * 1e3) * 1e-3
        outer = _value(row, "outer_diameter_mm") * 1e-3
        loss = _value(row, "loss_coefficient", 0.0)
        for more, diameter in extra_loss.get(row["index"], []):
            loss += more * (width / diameter) ** 4
        u = _value(row, "u_w_per_m2k", _value(row, "alpha_w_per_m2k", 0.0))
        pipes.append(
            {
                "id": row["index"],
                "from_node": junctions[at("pipe", row, "from_junction")]["index"],
                "to_node": junctions[at("pipe", row, "to_junction")]["index"],
                "length_m": _value(row, "length_km") * 1e3,
                "inner_diameter_m": width,
                "roughness_m": _value(row, "k_mm", 0.1) * 1e-3,
                "loss_coefficient": loss,
                "linear_loss_w_mk": u * math.pi * (width if math.isnan(outer) else outer),
                "open": not closed_pipes.get(row["index"], False),
            }
        )
    for row in _in_service(_rows(content, "flow_control")):
        ends = _ends(
            "flow_control",
            row,
            junctions[at("flow_control", row, "from_junction")],
            junctions[at("flow_control", row, "to_junction")],
        )
        if row.get("control_active", True):
            consumers.append(_consumer(ends, "flow", flow=_value(row, "controlled_mdot_kg_per_s")))
        else:
            valves.append(ends | {"loss_coefficient": 0.0, "diameter_m": 0.1})
    for row in _in_service(_rows(content, "heat_consumer")):
        consumers.append(_heat_consumer(row, junctions, at, where))
    for row in _in_service(_rows(content, "circ_pump_pressure")):
        if row.get("control_dp"):
            raise BadNetwork(
                f"circ_pump_pressure {row['index']} of {where}",
                "control_dp is set",
                "Give p_flow_bar and plift_bar.",
                "control_dp_refused",
            )
        supply = _value(row, "p_flow_bar") * 1e5
        sources.append(
            _source(row, junctions, at, "circ_pump_pressure")
            | {
                "supply_pressure_pa": supply,
                "return_pressure_pa": supply - _value(row, "plift_bar") * 1e5,
                "mass_flow_kg_s": math.nan,
            }
        )
    for row in _in_service(_rows(content, "circ_pump_mass")):
        pin("circ_pump_mass", row, "flow_junction", _value(row, "p_flow_bar") * 1e5)
        sources.append(
            _source(row, junctions, at, "circ_pump_mass")
            | {
                "supply_pressure_pa": math.nan,
                "return_pressure_pa": math.nan,
                "mass_flow_kg_s": _value(row, "mdot_flow_kg_per_s"),
            }
        )

    def columns(rows: list[Row]) -> dict[str, list[Any]]:
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    return Network(
        {
            "nodes": {
                "id": [row["index"] for row in junctions],
                "elevation_m": [_value(row, "height_m", 0.0) for row in junctions],
                "x_m": [_value(geodata.get(row["index"], {}), "x") for row in junctions],
                "y_m": [_value(geodata.get(row["index"], {}), "y") for row in junctions],
                "mass_injection_kg_s": injection,
                "fixed_pressure_pa": fixed,
            },
            "pipes": columns(pipes),
            "valves": columns(valves),
            "consumers": columns(consumers),
            "sources": columns(sources),
        },
        fluid=fluid,
        name=str(content.get("name") or ""),
    )


def _ends(table: str, row: Row, first: Row, second: Row) -> Row:
    return {"id": f"{table} {row['index']}", "from_node": first["index"], "to_node": second["index"]}


def _consumer(ends: Row, mode: str, flow: float = math.nan, heat: float = math.nan, **temps: float) -> Row:
    return {
        "id": ends["id"],
        "supply_node": ends["from_node"],
        "return_node": ends["to_node"],
        "mode": mode,
        "mass_flow_kg_s": flow,
        "heat_w": heat,
        "supply_temp_c": temps.get("supply", math.nan),
        "return_temp_c": temps.get("back", math.nan),
    }


def _heat_consumer(row: Row, junctions: list[Row], at: Any, where: str) -> Row:
    ends = _ends(
        "heat_consumer",
        row,
        junctions[at("heat_consumer", row, "from_junction")],
        junctions[at("heat_consumer", row, "to_junction")],
    )
    flow, heat = _value(row, "controlled_mdot_kg_per_s"), _value(row, "qext_w")
    drop, back = _value(row, "deltat_k"), _value(row, "treturn_k") - KELVIN
    if not math.isnan(flow):
        return _consumer(ends, "flow", flow=flow, heat=heat)
    if math.isnan(heat) or math.isnan(drop):
        raise BadNetwork(
            f"heat_consumer {row['index']} of {where}",
            "its flow follows from temperatures that only a thermal run knows",
            "Give controlled_mdot_kg_per_s, or qext_w with deltat_k.",
            "heat_consumer_refused",
        )
    if math.isnan(back):
        # only the difference matters for the flow; the level is the reference supply temperature
        back = REFERENCE_TEMP_C - drop
    return _consumer(ends, "heat", heat=heat, supply=back + drop, back=back)


def _source(row: Row, junctions: list[Row], at: Any, table: str) -> Row:
    return {
        "id": f"{table} {row['index']}",
        "return_node": junctions[at(table, row, "return_junction")]["index"],
        "supply_node": junctions[at(table, row, "flow_junction")]["index"],
        "supply_temp_c": _value(row, "t_flow_k") - KELVIN,
    }
