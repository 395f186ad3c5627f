"""Derivatives against finite differences of the solver itself, forwards and backwards, in many networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ..network import LINK_ENDS, BadNetwork, FloatArray, Network
from ..sensitivity import COLUMNS
from ..solver import HydraulicResult, HydraulicSolver, SolverBusy
from .made_networks import WATER_75, district, looped_mesh

BAR = 1e5


def everything(seed: int) -> Network:
    """Two plants of different kind, a booster, valves of several kinds, consumers of all three modes."""
    rng = np.random.default_rng(seed)
    net = district(seed, streets=16, loops=4)
    tables = {name: {c: list(v) for c, v in t.items()} for name, t in net.tables.items()}
    nodes = {"id": [*tables["nodes"]["id"], "b", "v", "w"]}
    nodes["elevation_m"] = [*tables["nodes"]["elevation_m"], 3.0, 4.0, 5.0]
    nodes["mass_injection_kg_s"] = [0.0] * len(nodes["id"])
    nodes["mass_injection_kg_s"][4] = -0.3
    mode = ["flow" if i % 3 == 0 else "heat" if i % 3 == 1 else "valve" for i in range(15)]
    return Network(
        nodes=nodes,
        pipes={
            "id": [*tables["pipes"]["id"], "pb", "pv", "pw"],
            "from_node": [*tables["pipes"]["from_node"], "b", "v", "w"],
            "to_node": [*tables["pipes"]["to_node"], "s9", "r4", "r7"],
            "length_m": [*tables["pipes"]["length_m"], 30.0, 20.0, 10.0],
            "inner_diameter_m": [*tables["pipes"]["inner_diameter_m"], 0.0703, 0.0431, 0.0431],
            "loss_coefficient": rng.choice([0.0, 0.8, 3.0], len(tables["pipes"]["id"]) + 3),
        },
        valves={
            "id": ["bypass", "percent", "check", "limit", "loss"],
            "from_node": ["s4", "s7", "s9", "s11", "s2"],
            "to_node": ["v", "w", "s11", "r11", "s6"],
            "kind": ["throttle", "throttle", "check", "flow_limit", "throttle"],
            "kv_m3_h": [3.0, 3.0, 60.0, 9.0, np.nan],
            "loss_coefficient": [np.nan] * 4 + [20.0],
            "diameter_m": [np.nan] * 4 + [0.0703],
            "opening": [0.6, 0.4, 1.0, 1.0, 1.0],
            "setting": [np.nan, np.nan, np.nan, 0.2, np.nan],
            "characteristic": ["linear", "equal-percentage", "linear", "linear", "linear"],
        },
        pumps={"id": ["boost"], "from_node": ["s8"], "to_node": ["b"], "curve": ["c"], "speed": [0.9]},
        curves={"id": ["c", "c", "c"], "mass_flow_kg_s": [0.0, 3.0, 6.0], "dp_pa": [9e4, 7e4, 2e4]},
        consumers={
            "id": tables["consumers"]["id"],
            "supply_node": tables["consumers"]["supply_node"],
            "return_node": tables["consumers"]["return_node"],
            "mode": mode,
            "mass_flow_kg_s": rng.uniform(0.05, 0.5, 15),
            "kv_m3_h": rng.uniform(0.5, 3.0, 15),
            "heat_w": rng.uniform(1e4, 6e4, 15),
            "supply_temp_c": 80.0,
            "return_temp_c": 45.0,
            "max_flow_kg_s": [0.05 if i in (2, 8) else np.nan for i in range(15)],
        },
        sources={
            "id": ["lift", "both", "pushed"],
            "return_node": ["r0", "r13", "r15"],
            "supply_node": ["s0", "s13", "s15"],
            "dp_pa": [2.5e5, np.nan, np.nan],
            "mass_flow_kg_s": [np.nan, np.nan, 0.8],
            "supply_pressure_pa": [np.nan, 5.5e5, np.nan],
            "return_pressure_pa": [2.5e5, 2.4e5, np.nan],
        },
        fluid=WATER_75,
    )


def regulated(_seed: int = 0) -> Network:
    """A loop fed by two reservoirs, with a reducing, a sustaining and a differential-pressure valve in it."""
    return Network(
        nodes={
            "id": ["r", "a", "b", "c", "d", "e", "f", "g"],
            "fixed_pressure_pa": [6 * BAR, *[np.nan] * 4, 1 * BAR, np.nan, np.nan],
            "mass_injection_kg_s": [0.0, 0.0, 0.0, -1.0, -0.6, 0.0, 0.0, -0.4],
        },
        pipes={
            "id": ["p1", "p2", "p3", "p4", "p5"],
            "from_node": ["r", "b", "c", "d", "a"],
            "to_node": ["a", "c", "d", "f", "g"],
            "length_m": [200.0, 150.0, 180.0, 90.0, 120.0],
            "inner_diameter_m": [0.0703, 0.0545, 0.0545, 0.0545, 0.0545],
        },
        valves={
            "id": ["prv", "psv", "dpc", "thr"],
            "from_node": ["a", "f", "g", "d"],
            "to_node": ["b", "e", "d", "e"],
            "kind": ["pressure_reducing", "pressure_sustaining", "dp_control", "throttle"],
            "kv_m3_h": [40.0, 30.0, 30.0, 1.0],
            "setting": [4 * BAR, 2 * BAR, 1.5 * BAR, np.nan],
            "sense_from": ["", "", "g", ""],
            "sense_to": ["", "", "c", ""],
        },
        fluid=WATER_75,
    )


@dataclass
class Case:
    name: str
    net: Network
    friction: str = "swamee-jain"


CASES = [
    Case("everything", everything(3)),
    Case("everything colebrook", everything(5), "colebrook"),
    Case("tree of imposed flows", district(2, streets=14, loops=0, mode="flow")),
    Case("looped mesh", looped_mesh(4)),
    Case("epanet's laws", looped_mesh(6, nodes=20, loops=5), "epanet"),
    Case("regulated", regulated()),
]


def solve(solver: HydraulicSolver, column: str, values: Any) -> HydraulicResult:
    changes: dict[str, Any] = {column: values}
    return solver.solve(tol=1e-7, **changes)


def values(result: HydraulicResult) -> tuple[FloatArray, FloatArray]:
    return np.concatenate([result.mass_flow_kg_s[t] for t in LINK_ENDS]), result.pressure_pa.copy()


def columns_of(net: Network) -> list[str]:
    """Every column of the network that has rows and, in some row, a value."""
    out = []
    for column in COLUMNS:
        table, _, name = column.partition("_")
        if net.tables[table].rows and np.isfinite(net.tables[table][name]).any():
            out.append(column)
    return out


def finite_difference(
    solver: HydraulicSolver, column: str, row: int
) -> tuple[FloatArray, FloatArray, float] | None:
    """Flows and pressures by one row, with the step; None where the value may not move or limits change."""
    column_values = solver._columns[column].copy()
    value = column_values[row]
    if not np.isfinite(value):
        return None
    # pressures are large beside what they drive
    step = (1e-5 if column.endswith("_pa") else 2e-4) * (abs(value) if value else 1.0)
    at = solver.solve().certificate.active_limits
    ends, same = [], True
    for sign in (-1.0, 1.0):
        moved = column_values.copy()
        moved[row] = value + sign * step
        try:
            result = solve(solver, column, moved)
        except BadNetwork:
            # an opening above 1, a roughness below 0
            return None
        same &= result.certificate.active_limits == at
        ends.append(values(result))
    solve(solver, column, column_values)
    flow, pressure = ((ends[1][i] - ends[0][i]) / (2.0 * step) for i in (0, 1))
    return (flow, pressure, step) if same else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_derivatives_are_the_solvers_own_differences(case: Case) -> None:
    solver = HydraulicSolver(case.net, case.friction)
    solver.solve(tol=1e-7)
    compared = moving = 0
    for column in columns_of(case.net):
        rows = range(case.net.tables[column.partition("_")[0]].rows)
        answer = solver.sensitivity(column)
        assert answer.rows == tuple(rows)
        flows = np.concatenate([answer.mass_flow_kg_s[t] for t in LINK_ENDS])
        for row in rows:
            measured = finite_difference(solver, column, row)
            if measured is None:
                continue
            flow, pressure, step = measured
            # a solution is good to 1e-8 kg/s and 1e-6 Pa; a link without resistance counts as 1e-6 Pa s/kg
            stiff = 1e-6 * np.abs(flow).max()
            for got, want, noise in (
                (flows[:, row], flow, 1e-8 / step),
                (answer.pressure_pa[:, row], pressure, 1e-6 / step + stiff),
            ):
                size = np.abs(want).max()
                assert np.abs(got - want).max() <= 1e-5 * size + noise, (column, row)
                moving += bool(size > 100.0 * noise)
            compared += 1
    assert compared >= 20
    assert moving >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_backwards_says_the_same_as_forwards(case: Case) -> None:
    solver = HydraulicSolver(case.net, case.friction)
    solver.solve()
    rng = np.random.default_rng(1)
    by_flow = {t: rng.normal(size=case.net.tables[t].rows) for t in LINK_ENDS}
    by_pressure = rng.normal(size=case.net.nodes.rows) * 1e-5
    columns = columns_of(case.net)
    gradient = solver.gradient(columns, mass_flow=by_flow, pressure=by_pressure)
    for column in columns:
        answer = solver.sensitivity(column)
        forward = sum(by_flow[t] @ answer.mass_flow_kg_s[t] for t in LINK_ENDS)
        forward = forward + by_pressure @ answer.pressure_pa
        assert gradient[column] == pytest.approx(
            forward, rel=1e-9, abs=1e-12 * np.abs(forward).max() + 1e-300
        )


def test_pump_energy_answers_to_the_set_point() -> None:
    solver = HydraulicSolver(everything(3))
    result = solver.solve(tol=1e-7)
    columns = [
        "sources_dp_pa",
        "pumps_speed",
        "consumers_mass_flow_kg_s",
        "valves_opening",
        "sources_supply_pressure_pa",
    ]
    gradient = solver.pump_power_gradient(columns, result)
    checked = 0
    for column in columns:
        before = solver._columns[column].copy()
        for row in range(len(before)):
            if not np.isfinite(before[row]) or (column == "valves_opening" and before[row] == 1.0):
                continue
            step = 1e-5 * before[row]
            power = []
            for sign in (-1.0, 1.0):
                moved = before.copy()
                moved[row] += sign * step
                power.append(solver.pump_power(solve(solver, column, moved)))
            solve(solver, column, before)
            want = (power[1] - power[0]) / (2.0 * step)
            assert gradient[column][row] == pytest.approx(
                want, rel=1e-5, abs=1e-7 * result.pressure_pa.max() / 1e3
            )
            checked += 1
    assert checked >= 15


def test_questions_without_a_meaning_are_refused() -> None:
    solver = HydraulicSolver(district(1))
    with pytest.raises(RuntimeError, match="before asking"):
        solver.sensitivity("consumers_kv_m3_h")
    solver.solve()
    wrong: list[Any] = [("pipes_linear_loss_w_mk", None), ("nothing", None), ("consumers_kv_m3_h", [10_000])]
    for column, rows in wrong:
        with pytest.raises(BadNetwork):
            solver.sensitivity(column, rows)
    with pytest.raises(BadNetwork):
        solver.gradient(["consumers_kv_m3_h"], mass_flow={"pipes": np.zeros(3)})
    with pytest.raises(BadNetwork):
        solver.gradient(["consumers_kv_m3_h"], mass_flow={"nodes": np.zeros(3)})
    with pytest.raises(BadNetwork):
        solver.gradient(["consumers_kv_m3_h"], pressure=np.zeros(3))
    with solver._lock, pytest.raises(SolverBusy):
        solver.sensitivity("consumers_kv_m3_h")


def test_asking_changes_nothing() -> None:
    solver = HydraulicSolver(everything(3))
    before = values(solver.solve())
    solver.sensitivity("consumers_kv_m3_h")
    solver.gradient(["pumps_speed"], pressure=np.ones(solver._nodes))
    after = solver.solve()
    assert after.iterations == 0
    for a, b in zip(before, values(after), strict=True):
        assert np.array_equal(a, b)
