"""Input files written from here: EPANET 2.3, live, finds the same flows; read back, the net is the same."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..formats.valve_loss import standing_loss
from ..network import SCHEMA, BadNetwork, HydraulicFluid, Network
from ..solver import EPANET_GRAVITY_M_S2, HydraulicSolver
from .made_networks import WATER_75, district, looped_mesh
from .test_epanet_files import SHIPPED, TOWN, VARIANTS

if sys.version_info >= (3, 13):
    pytest.skip("owa-epanet has wheels up to Python 3.12 only", allow_module_level=True)

from ..bench.epanet_files import BAR, EpanetRefuses, epanet_answer, solve_tightly

FLUID = HydraulicFluid(WATER_75.density_kg_m3, WATER_75.viscosity_pa_s, 4190.0, EPANET_GRAVITY_M_S2)
WEIGHT = FLUID.density_kg_m3 * FLUID.gravity_m_s2


def every_element(**changes: Any) -> Network:
    """A chain of nodes between two fixed pressures, with one link of every kind the two share."""
    ids = ["high", *"abcdefghijkl", "low"]
    rows = len(ids)
    tables: dict[str, dict[str, Any]] = {
        "nodes": {
            "id": ids,
            "elevation_m": np.linspace(12.0, 0.0, rows),
            "x_m": np.arange(rows) / 3.0,
            "y_m": np.arange(rows) / 7.0,
            "mass_injection_kg_s": [0.0, *[-0.4, 0.25] * 6, 0.0],
            "fixed_pressure_pa": [9e5, *[math.nan] * 12, 1e5],
        },
        "pipes": {
            "id": ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "shut"],
            "from_node": ["high", "b", "d", "f", "h", "j", "l", "a"],
            "to_node": ["a", "c", "e", "g", "i", "k", "low", "l"],
            "length_m": np.linspace(50.0, 90.0, 8),
            "inner_diameter_m": 0.1071,
            "roughness_m": 2e-4,
            "loss_coefficient": [0.0, 1.5] * 4,
            "open": [True] * 7 + [False],
        },
        "valves": {
            "id": ["kv", "k", "half", "percentage", "check", "back", "limit", "curve", "gone", "wide"],
            "from_node": ["a", "a", "c", "c", "e", "a", "g", "i", "a", "k"],
            "to_node": ["b", "b", "d", "d", "f", "high", "h", "j", "low", "l"],
            "kind": [
                "throttle", "throttle", "throttle", "throttle", "check", "check", "flow_limit", "curve",
                "throttle", "throttle",
            ],
            "kv_m3_h": [40.0, math.nan, 60.0, 90.0, 55.0, 30.0, math.nan, math.nan, 5.0, math.nan],
            "loss_coefficient": [math.nan, 12.0, *[math.nan] * 4, 3.0, math.nan, math.nan, 0.0],
            "diameter_m": [math.nan, 0.08, *[math.nan] * 4, 0.1, math.nan, math.nan, 0.1],
            "opening": [1.0, 1.0, 0.5, 0.8, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0],
            "characteristic": ["linear", "linear", "linear", "equal-percentage", *["linear"] * 6],
            "setting": [*[math.nan] * 6, 3.5, *[math.nan] * 3],
            "curve": [*[""] * 7, "loss", "", ""],
        },
        "pumps": {"id": ["u"], "from_node": ["f"], "to_node": ["g"], "curve": ["gain"], "speed": [0.9]},
        "curves": {
            "id": ["gain", "gain", "gain", "gain", "loss", "loss", "loss"],
            "mass_flow_kg_s": [0.0, 3.0, 6.0, 12.0, 1.0, 4.0, 8.0],
            "dp_pa": [1.6e5, 1.5e5, 1.2e5, 4e4, 1e3, 9e3, 5e4],
        },
    }  # fmt: skip
    for table, columns in changes.items():
        tables[table] = tables.get(table, {}) | columns
    return Network(tables, fluid=FLUID)


def regulated(kind: str, setting: float) -> Network:
    net = every_element()
    valves: dict[str, Any] = {name: net.valves[name].copy() for name in net.valves}
    row = net.valves.row("limit")
    valves["kind"][row], valves["setting"][row] = kind, setting
    return Network({**net.tables, "valves": valves}, fluid=FLUID)


def heating() -> Network:
    """Consumers of all modes, a limit that acts, and a plant with a pressure difference."""
    net = district(5, streets=14, loops=3, mode="valve")
    rows = net.consumers.rows
    mode = np.array(["valve", "flow", "heat"] * rows, dtype=object)[:rows]
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    tables["consumers"] |= {
        "mode": mode,
        "heat_w": 9e4,
        "supply_temp_c": 80.0,
        "return_temp_c": 50.0,
        "max_flow_kg_s": np.where(np.arange(rows) % 6 == 0, 0.05, np.nan),
    }
    return Network(tables, fluid=FLUID)


def from_town(*changes: tuple[str, str]) -> Network:
    from ..formats.epanet_inp import parse_inp

    text = TOWN
    for old, new in changes:
        text = text.replace(old, new)
    return parse_inp(text, "town")


NETS: dict[str, Callable[[], Network]] = {
    "every element": every_element,
    "reducing": lambda: regulated("pressure_reducing", 3.5e5),
    "sustaining": lambda: regulated("pressure_sustaining", 6.5e5),
    "other gravity": lambda: Network(dict(every_element().tables), fluid=WATER_75),
    "Hazen-Williams": lambda: Network(
        dict(every_element(pipes={"roughness_m": math.nan, "hazen_williams_c": 120.0}).tables), fluid=WATER_75
    ),
    "heating": heating,
    **{f"mesh {seed}": partial(looped_mesh, seed) for seed in range(3)},
    **{path.stem: partial(Network.read, path) for path in SHIPPED},
    **{f"town: {name}": partial(from_town, *changes) for name, changes in VARIANTS.items()},
}


@pytest.mark.parametrize("name", NETS)
def test_epanet_finds_the_networks_flows(name: str, tmp_path: Path) -> None:
    net = NETS[name]()
    path = tmp_path / "n.inp"
    net.write(path)
    theirs = epanet_answer(path, (net.fluid or WATER_75).density_kg_m3)
    assert theirs.relative_error <= BAR
    result = solve_tightly(HydraulicSolver(net, friction="epanet"))
    most = max(abs(flow) for flow in theirs.flow_kg_s.values())
    turned = set(net.valves["id"][net.valves["id"] == net.valves["from_node"]])
    compared = 0
    for table in ("pipes", "valves", "pumps", "consumers"):
        for link, flow in zip(net.tables[table].ids, result.mass_flow_kg_s[table].tolist(), strict=True):
            if link in theirs.flow_kg_s:
                compared += 1
                if table == "pipes" and f"{link}:check" in turned:
                    flow = -flow
                assert abs(flow - theirs.flow_kg_s[link]) <= BAR * most + theirs.stray_kg_s, (table, link)
    assert compared >= net.pipes.rows + net.pumps.rows
    # what EPANET lets through closed links is little
    assert theirs.stray_kg_s <= 1e-4 * most


def shared(net: Network) -> Network:
    """What of a network without consumers and sources an input file can say."""
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    values = [standing_loss(net.valves, row) for row in range(net.valves.rows)]
    curve = net.valves["kind"] == "curve"
    fluid = net.fluid
    assert fluid is not None
    tables["valves"] |= {
        "kv_m3_h": math.nan,
        "loss_coefficient": np.where(curve, 0.0, [loss for loss, _, _ in values]),
        "diameter_m": np.where(curve, 0.1, [width for _, width, _ in values]),
        "opening": [float(not shut) for _, _, shut in values],
        "characteristic": "linear",
    }
    fixed = net.nodes["fixed_pressure_pa"]
    head = fixed / (fluid.density_kg_m3 * fluid.gravity_m_s2)
    tables["nodes"] |= {
        "elevation_m": net.nodes["elevation_m"] + np.where(np.isfinite(head), head, 0.0),
        "fixed_pressure_pa": np.where(np.isfinite(fixed), 0.0, np.nan),
        "mass_injection_kg_s": np.where(np.isfinite(fixed), 0.0, net.nodes["mass_injection_kg_s"]),
    }
    return Network(tables, fluid=fluid)


def by_id(net: Network, table: str) -> dict[str, dict[str, Any]]:
    columns = net.tables[table]
    return {
        f"{name} {columns['mass_flow_kg_s'][row]:.6f}" if table == "curves" else name: {
            column: columns[column][row] for column in columns if column != "mass_flow_kg_s"
        }
        for row, name in enumerate(columns.ids)
    }


# consumers become demands, another gravity other heights, a tank a reservoir and so another inner node
CHANGED = (
    "heating", "other gravity", "Hazen-Williams", "town: full tank", "town: full tank gives",
    "town: full tank before a pump",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NETS if name not in CHANGED])
def test_reading_gives_back_what_was_written(name: str, tmp_path: Path) -> None:
    net = NETS[name]()
    if net.fluid is not FLUID and net.fluid is not None:
        net = Network(
            dict(net.tables),
            fluid=HydraulicFluid(
                net.fluid.density_kg_m3, net.fluid.viscosity_pa_s, 4186.0, EPANET_GRAVITY_M_S2
            ),
        )
    path = tmp_path / "n.inp"
    net.write(path)
    again = Network.read(path)
    wanted = shared(net)
    assert again.fluid is not None and wanted.fluid is not None
    assert again.fluid.density_kg_m3 == pytest.approx(wanted.fluid.density_kg_m3, rel=1e-15)
    assert again.fluid.viscosity_pa_s == pytest.approx(wanted.fluid.viscosity_pa_s, rel=1e-15)
    # a kv comes back as the coefficient that EPANET's rounding makes the same of
    rounding = {
        valve: 1.0 if math.isnan(kv) else 1.0 + 1.2e-4
        for valve, kv in zip(net.valves.ids, net.valves["kv_m3_h"], strict=True)
    }
    for table, spec in SCHEMA.items():
        got, given = by_id(again, table), by_id(wanted, table)
        if table == "curves":
            used = set(net.valves["curve"]) | set(net.pumps["curve"])
            given = {key: row for key, row in given.items() if row["id"] in used}
            got = {key: row for key, row in got.items() if key in given}
        assert got.keys() == given.keys(), table
        for key, row in got.items():
            for column, kind in spec.items():
                if column == "mass_flow_kg_s" and table == "curves":
                    continue
                value, other = row[column], given[key][column]
                if kind.kind == "float":
                    rel = 1e-12 if column != "loss_coefficient" or rounding.get(key, 1.0) == 1.0 else 2e-4
                    assert value == pytest.approx(other, rel=rel, abs=1e-9, nan_ok=True), (table, key, column)
                else:
                    assert value == other, (table, key, column)


def renamed(table: str, row: int, name: str) -> Network:
    net = every_element()
    columns: dict[str, Any] = {column: net.tables[table][column].copy() for column in net.tables[table]}
    columns["id"][row] = name
    return Network({**net.tables, table: columns}, fluid=FLUID)


def with_valve(**values: Any) -> Network:
    """every_element with its flow limit replaced."""
    net = every_element()
    valves: dict[str, Any] = {name: net.valves[name].copy() for name in net.valves}
    row = net.valves.row("limit")
    for name, value in values.items():
        valves[name][row] = value
    return Network({**net.tables, "valves": valves}, fluid=FLUID)


def fed_by_flow_alone() -> Network:
    """A district whose plant gives a flow and holds no pressure."""
    net = district(1, streets=6, loops=0, mode="flow")
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    flow = float(net.consumers["mass_flow_kg_s"].sum())
    tables["sources"] = {"id": ["p"], "return_node": ["r0"], "supply_node": ["s0"], "mass_flow_kg_s": [flow]}
    return Network(tables, fluid=net.fluid)


def with_lone(fixed_pressure_pa: float) -> Network:
    """Every element, and a node that no link reaches."""
    net = every_element()
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    lone = {"id": "lone", "fixed_pressure_pa": fixed_pressure_pa}
    tables["nodes"] = {name: [*column, lone.get(name, 0.0)] for name, column in net.nodes.items()}
    return Network(tables, fluid=net.fluid)


REFUSED = {
    "nothing fixes a pressure": (fed_by_flow_alone, "nodes", "no_fixed_pressure"),
    "lone node": (lambda: with_lone(math.nan), "node lone", "node_refused"),
    "constant head": (
        lambda: every_element(pumps={"curve": [""], "fixed_dp_pa": [1e4]}), "pump u", "pump_refused",
    ),
    "flat pump curve": (
        lambda: every_element(curves={"dp_pa": [1.6e5, 1.6e5, 1.2e5, 4e4, 1e3, 9e3, 5e4]}),
        "pump u", "pump_refused",
    ),
    "pressure difference": (
        lambda: with_valve(kind="dp_control", setting=1e5, sense_from="g", sense_to="h"),
        "valve limit", "valve_refused",
    ),
    "sensing elsewhere": (
        lambda: with_valve(kind="pressure_reducing", setting=1e5, sense_to="i"),
        "valve limit", "valve_refused",
    ),
    "limit at a reservoir": (lambda: with_valve(from_node="high"), "valve limit", "valve_refused"),
    "check without loss": (
        lambda: with_valve(kind="check", loss_coefficient=0.0), "valve limit", "valve_refused",
    ),
    "source of constant head": (
        lambda: every_element(
            sources={"id": ["s"], "return_node": ["b"], "supply_node": ["c"], "dp_pa": [1e4]}
        ),
        "source s", "source_refused",
    ),
    "same id": (lambda: renamed("pipes", 2, "kv"), "pipe kv", "id_refused"),
    "blank in an id": (lambda: renamed("pipes", 2, "p 3"), "id 'p 3'", "id_refused"),
    "bracket": (lambda: renamed("pipes", 2, "[p3]"), "id '[p3]'", "id_refused"),
    "long id": (lambda: renamed("pipes", 2, "č" * 16), f"id '{'č' * 16}'", "id_refused"),
    "one roughness missing": (
        lambda: every_element(
            pipes={"roughness_m": [2e-4] * 7 + [math.nan], "hazen_williams_c": [math.nan] * 7 + [100.0]}
        ),
        "pipe shut", "pipe_refused",
    ),
    "temperatures": (
        lambda: Network(dict(every_element(pipes={"temp_c": 60.0}).tables)), "pipe p1", "temperature_refused",
    ),
    "thin fluid": (
        lambda: Network(dict(every_element().tables), fluid=HydraulicFluid(1000.0, 1e-7)),
        "fluid", "fluid_refused",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_epanet_lacks_is_refused_by_name(name: str, tmp_path: Path) -> None:
    make, element, code = REFUSED[name]
    with pytest.raises(BadNetwork) as caught:
        make().write(tmp_path / "n.inp")
    assert (caught.value.element, caught.value.code) == (element, code)
    assert list(tmp_path.iterdir()) == []


def test_epanet_itself_opens_a_lone_reservoir_but_no_lone_junction(tmp_path: Path) -> None:
    path = tmp_path / "n.inp"
    with_lone(1e5).write(path)
    assert len(epanet_answer(path).flow_kg_s) > 0
    written = path.read_text()
    for gone, why in (("lone",), "unconnected"), (("high", "low", "lone"), "no tanks or reservoirs"):
        kept = [line for line in written.splitlines() if not line.startswith(tuple(f"{n} " for n in gone))]
        at = kept.index("[JUNCTIONS]") + 1
        path.write_text("\n".join([*kept[:at], *(f"{name} 0 0" for name in gone), *kept[at:]]))
        with pytest.raises(EpanetRefuses, match=why):
            epanet_answer(path)


@pytest.mark.parametrize("kind", ["FCV", "PRV", "PSV"])
def test_epanet_itself_takes_no_regulator_at_a_reservoir(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "n.inp"
    path.write_text(TOWN.replace("V2 J1 J4 100 FCV", f"V2 R1 J4 100 {kind}"))
    with pytest.raises(EpanetRefuses):
        epanet_answer(path)
    net = Network.read(path)
    with pytest.raises(BadNetwork, match="reservoir"):
        net.write(path)
