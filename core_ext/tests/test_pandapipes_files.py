"""pandapipes JSON written from here: pandapipes loads it and computes the same; read back, it is the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..formats.valve_loss import standing_loss
from ..network import SCHEMA, BadNetwork, HydraulicFluid, Network
from ..solver import HydraulicSolver
from .made_networks import WATER_75, district, looped_mesh

pandapipes = pytest.importorskip("pandapipes", reason="pandapipes is a development dependency")

PANDAPIPES_GRAVITY = 9.81
FLUID = HydraulicFluid(WATER_75.density_kg_m3, WATER_75.viscosity_pa_s, 4190.0, PANDAPIPES_GRAVITY)


def heating(seed: int = 3) -> Network:
    """A district with every kind of consumer, throttles, a closed pipe and valve, heights, and a leak."""
    net = district(seed, mode="flow")
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    rows = net.consumers.rows
    assert rows >= 13
    heat = 1e5 + 1e3 * np.arange(rows)
    heat[3::6] = np.nan
    # of those with a valve one asks for no heat, and of one nothing is known
    heat[[2, 8]] = np.nan, 0.0
    flow = np.linspace(0.5, 1.5, rows)
    flow[[1, 4]] = np.nan
    tables["consumers"] |= {
        "id": [f"house {row} č" for row in range(rows)],
        "mode": ["flow", "heat", "valve", "flow", "valve", "heat"] * (rows // 6) + ["flow"] * (rows % 6),
        "mass_flow_kg_s": flow,
        "heat_w": heat,
        "kv_m3_h": np.where(np.arange(rows) % 6 == 4, 0.0, 3.0),
        "supply_temp_c": 80.0,
        "return_temp_c": 50.0,
        "priority": np.arange(rows) % 3,
        "min_dp_pa": 5e4,
        "max_flow_kg_s": np.where(np.arange(rows) % 6 == 0, 99.0, np.nan),
    }
    tables["sources"] = {
        "id": ["plant"],
        "return_node": net.sources["return_node"][:1],
        "supply_node": net.sources["supply_node"][:1],
        "supply_pressure_pa": [8e5],
        "return_pressure_pa": [2e5],
        "supply_temp_c": [90.0],
        "max_heat_w": [5e7],
        "cost_per_mwh": [31.0],
    }
    fixed = net.nodes["fixed_pressure_pa"].copy()
    fixed[:] = np.nan
    tables["nodes"]["fixed_pressure_pa"] = fixed
    tables["nodes"]["elevation_m"] = np.linspace(0.0, 12.0, net.nodes.rows)
    tables["nodes"]["x_m"] = np.arange(net.nodes.rows) / 3.0
    tables["nodes"]["y_m"] = np.where(np.arange(net.nodes.rows) == 4, np.nan, 1.0 / 7.0)
    injection = np.zeros(net.nodes.rows)
    injection[3], injection[5] = -0.25, 0.125
    tables["nodes"]["mass_injection_kg_s"] = injection
    supply = [str(node) for node in net.consumers["supply_node"]]
    back = [str(node) for node in net.consumers["return_node"]]
    tables["valves"] = {
        "id": ["bypass", "by kv", "by half", "percentage", "shut"],
        "from_node": [supply[0], supply[1], supply[2], supply[3], supply[4]],
        "to_node": [back[0], back[1], back[2], back[3], back[4]],
        "kv_m3_h": [math.nan, 1.5, 2.5, 6.0, 1.0],
        "loss_coefficient": [4e4, math.nan, math.nan, math.nan, math.nan],
        "diameter_m": [0.05, math.nan, math.nan, math.nan, math.nan],
        "opening": [1.0, 1.0, 0.5, 0.4, 0.0],
        "characteristic": ["linear", "linear", "linear", "equal-percentage", "linear"],
    }
    return Network(tables, fluid=FLUID, name='town "Š"')


def fed_by_flow() -> Network:
    """Plants with a given flow: one holds the supply pressure, beside it a node of fixed pressure."""
    net = looped_mesh(4, nodes=30, loops=8)
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    fixed = net.nodes["fixed_pressure_pa"].copy()
    at = int(np.flatnonzero(np.isfinite(fixed))[0])
    free = [str(net.nodes["id"][row]) for row in np.flatnonzero(np.isnan(fixed))]
    tables["sources"] = {
        "id": ["pump"],
        "return_node": [free[3]],
        "supply_node": [net.nodes["id"][at]],
        "mass_flow_kg_s": [1.75],
    }
    return Network(tables, fluid=FLUID)


def mesh(seed: int) -> Network:
    return Network(dict(looped_mesh(seed, nodes=60, loops=20).tables), fluid=FLUID)


CASES: dict[str, Callable[[], Network]] = {
    "heating": heating,
    "fed by flow": fed_by_flow,
    **{f"mesh {seed}": partial(mesh, seed) for seed in (0, 1, 2, 4)},
}


def their_solution(path: Path) -> Any:
    net = pandapipes.from_json(str(path))
    pandapipes.pipeflow(
        net, friction_model="swamee-jain", tol_p=1e-11, tol_m=1e-11, tol_res=1e-9, max_iter_hyd=200
    )
    return net


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # pandapipes' own, where nothing flows
@pytest.mark.parametrize("case", CASES)
def test_pandapipes_computes_the_same(case: str, tmp_path: Path) -> None:
    net = CASES[case]()
    path = tmp_path / "n.pandapipes.json"
    net.write(path)
    theirs = their_solution(path)
    solver = HydraulicSolver(net, friction="pandapipes")
    result = solver.solve(tol=1e-7)
    flow = result.mass_flow_kg_s["pipes"]
    other = theirs.res_pipe.mdot_from_kg_per_s.to_numpy()
    diameter = net.pipes["inner_diameter_m"]
    reynolds = 4 * np.abs(flow) / (math.pi * diameter * FLUID.viscosity_pa_s)
    # between, form "pandapipes" is linear: Swamee-Jain at such Re has more than one answer
    assert not ((reynolds > 1e-3) & (reynolds < 64)).any()
    fast = reynolds > 4000
    assert fast.sum() >= 10
    assert (np.abs(flow - other)[fast] <= 1e-9 * np.abs(flow)[fast]).all()
    pressure = theirs.res_junction.p_bar.to_numpy() * 1e5
    assert np.abs(pressure - result.pressure_pa).max() <= 1e-9 * np.abs(result.pressure_pa).max()
    for table, kinds in (("flow_control", ("flow",)), ("heat_exchanger", ("valve",))):
        rows = theirs[table].index.to_numpy() if table in theirs else np.zeros(0, int)
        ours = result.mass_flow_kg_s["consumers"][rows.astype(int)]
        if len(rows):
            assert set(net.consumers["mode"][rows]) == set(kinds)
            got = np.nan_to_num(theirs[f"res_{table}"].mdot_from_kg_per_s.to_numpy())
            assert got == pytest.approx(ours, rel=1e-9, abs=1e-12)


def shared(net: Network) -> Network:
    """What of a network pandapipes can say: valves by what they let through, sources by their pressures."""
    again = Network(dict(net.tables), fluid=net.fluid, name=net.name)
    values = [standing_loss(net.valves, row) for row in range(net.valves.rows)]
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in again.tables.items()}
    tables["valves"] |= {
        "kv_m3_h": math.nan,
        "loss_coefficient": [loss for loss, _, _ in values],
        "diameter_m": [width for _, width, _ in values],
        "opening": [float(not shut) for _, _, shut in values],
        "characteristic": "linear",
    }
    return Network(tables, fluid=net.fluid, name=net.name)


def assert_alike(got: Network, wanted: Network, digits: float) -> None:
    """Equal but for the last digits that a change of unit costs."""
    assert (got.fluid, got.name) == (wanted.fluid, wanted.name)
    for table, spec in SCHEMA.items():
        assert got.tables[table].rows == wanted.tables[table].rows, table
        for name, column in spec.items():
            a, b = got.tables[table][name], wanted.tables[table][name]
            if column.kind == "float":
                np.testing.assert_allclose(a, b, rtol=digits, atol=digits, err_msg=f"{table} {name}")
            else:
                assert a.tolist() == b.tolist(), (table, name)


@pytest.mark.parametrize("case", CASES)
def test_reading_gives_back_what_was_written(case: str, tmp_path: Path) -> None:
    net = CASES[case]()
    path = tmp_path / "n.pandapipes.json"
    net.write(path)
    first = Network.read(path)
    assert_alike(first, shared(net), 1e-14)
    # pandapipes itself writes 15 places behind the point: of a length in km, 1e-12 m
    pandapipes.to_json(pandapipes.from_json(str(path)), str(path))
    assert_alike(Network.read(path), first, 2e-12)


def test_a_balance_asks_for_the_same_after_the_round_trip(tmp_path: Path) -> None:
    net = district(2, mode="flow")
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    tables["consumers"] |= {
        "mode": ["valve"] * net.consumers.rows,
        "kv_m3_h": 2.0,
        "supply_temp_c": 80.0,
        "return_temp_c": 50.0,
    }
    net = Network(tables, fluid=FLUID)
    wanted = HydraulicSolver(net).balance().mass_flow_kg_s
    assert (wanted > 0.0).all()
    path = tmp_path / "n.pandapipes.json"
    net.write(path)
    found = HydraulicSolver(Network.read(path)).balance()
    assert found.mass_flow_kg_s == pytest.approx(wanted, rel=1e-9)


def test_a_heat_given_in_pandapipes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "n.pandapipes.json"
    heating().write(path)
    theirs = pandapipes.from_json(str(path))
    theirs.heat_exchanger.loc[2, "qext_w"] = 7e3
    theirs.heat_exchanger.loc[14, "qext_w"] = 0.0
    pandapipes.to_json(theirs, str(path))
    assert Network.read(path).consumers["heat_w"][[2, 8, 14]].tolist() == [7e3, 0.0, 0.0]


def test_heights_make_up_for_gravity(tmp_path: Path) -> None:
    net = Network(dict(heating().tables), fluid=WATER_75)
    path = tmp_path / "n.pandapipes.json"
    net.write(path)
    again = Network.read(path)
    assert again.fluid is not None
    assert again.fluid.gravity_m_s2 == PANDAPIPES_GRAVITY
    ours = HydraulicSolver(net, friction="pandapipes").solve().pressure_pa
    assert HydraulicSolver(again, friction="pandapipes").solve().pressure_pa == pytest.approx(ours, abs=1e-3)


def changed(net: Network, **columns: Any) -> Network:
    return net.changed(**columns)


@pytest.mark.parametrize(
    ("change", "element", "code"),
    [
        (
            {"pumps": {"id": ["u"], "from_node": [0], "to_node": [1], "fixed_dp_pa": [1e4]}},
            "pump u", "pump_refused",
        ),
        ({"curves": {"id": ["c"], "mass_flow_kg_s": [1.0], "dp_pa": [1e4]}}, "curve c", "curve_refused"),
        (
            {"valves": {"id": ["v"], "from_node": [0], "to_node": [1], "kind": ["check"], "kv_m3_h": [1.0]}},
            "valve v", "valve_refused",
        ),
        (
            {"valves": {"id": ["v"], "from_node": [0], "to_node": [1], "kind": ["pressure_reducing"],
                        "kv_m3_h": [1.0], "setting": [1e5]}},
            "valve v", "valve_refused",
        ),
        (
            {"sources": {"id": ["s"], "return_node": [0], "supply_node": [1], "dp_pa": [1e5]}},
            "source s", "source_refused",
        ),
        (
            {"sources": {"id": ["s"], "return_node": [0], "supply_node": [1], "mass_flow_kg_s": [1.0]}},
            "source s", "source_refused",
        ),
        (
            {"sources": {"id": ["s", "t"], "return_node": [0, 2], "supply_node": [1, 1],
                         "supply_pressure_pa": 6e5, "return_pressure_pa": 2e5}},
            "source t", "source_refused",
        ),
        (
            {"consumers": {"id": ["k"], "supply_node": [0], "return_node": [1], "mass_flow_kg_s": [2.0],
                           "max_flow_kg_s": [1.0]}},
            "consumer k", "limit_refused",
        ),
        (
            {"consumers": {"id": ["k"], "supply_node": [0], "return_node": [1], "mode": ["valve"],
                           "kv_m3_h": [2.0], "max_flow_kg_s": [100.0]}},
            "consumer k", "limit_refused",
        ),
    ],
)  # fmt: skip
def test_what_pandapipes_lacks_is_refused_by_name(
    change: dict[str, dict[str, Any]], element: str, code: str, tmp_path: Path
) -> None:
    net = mesh(1)
    free = [str(net.nodes["id"][row]) for row in np.flatnonzero(np.isnan(net.nodes["fixed_pressure_pa"]))]
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    for table, columns in change.items():
        ends = {
            name: [free[at] for at in values] for name, values in columns.items() if name.endswith("_node")
        }
        tables[table] = columns | ends
    with pytest.raises(BadNetwork) as caught:
        Network(tables, fluid=FLUID).write(tmp_path / "n.pandapipes.json")
    assert (caught.value.element, caught.value.code) == (element, code)
    assert list(tmp_path.iterdir()) == []


def test_pipes_that_pandapipes_lacks_are_refused_by_name(tmp_path: Path) -> None:
    net = mesh(1)
    hazen = net.changed(pipes_hazen_williams_c=np.full(net.pipes.rows, 120.0))
    warm = Network(dict(net.changed(pipes_temp_c=np.full(net.pipes.rows, 60.0)).tables))
    for wrong, code in ((hazen, "hazen_williams_refused"), (warm, "temperature_refused")):
        with pytest.raises(BadNetwork) as caught:
            wrong.write(tmp_path / "n.pandapipes.json")
        assert caught.value.code == code
        assert caught.value.element == f"pipe {net.pipes.ids[0]}"


@pytest.mark.parametrize(
    ("table", "code"), [("press_control", "press_control_refused"), ("gadget", "element_refused")]
)
def test_unknown_elements_are_not_passed_over(table: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "n.pandapipes.json"
    mesh(1).write(path)
    document = json.loads(path.read_text())
    parts = {"columns": ["name", "from_junction", "to_junction"], "index": [0], "data": [[None, 0, 1]]}
    document["_object"][table] = {
        "_module": "pandas.core.frame",
        "_class": "DataFrame",
        "_object": json.dumps(parts),
        "orient": "split",
    }
    path.write_text(json.dumps(document))
    with pytest.raises(BadNetwork) as caught:
        Network.read(path)
    assert caught.value.code == code
