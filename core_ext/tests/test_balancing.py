"""Balancing: the round trip to 1e-9, and curtailment against a brute-force search on small networks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from ..balancing import Balance, balance, balanced_network
from ..network import BadNetwork, Network
from ..solver import HydraulicSolver
from .made_networks import WATER_75, district
from .test_newton import numpy_friction


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("friction", ["swamee-jain", "colebrook", "epanet"])
def test_solving_with_the_found_valves_gives_the_targets(seed: int, friction: str) -> None:
    net = district(seed, streets=50, loops=6, mode="flow")
    found = balance(net, friction=friction)
    assert found.feasible and found.obstacles == ()
    assert found.mass_flow_kg_s.tolist() == net.consumers["mass_flow_kg_s"].tolist()
    result = HydraulicSolver(balanced_network(net, found), friction=friction).solve()
    flow = result.mass_flow_kg_s["consumers"]
    assert np.abs(flow / found.mass_flow_kg_s - 1).max() <= 1e-9
    # the index consumer keeps exactly its minimum, nobody less
    assert found.dp_margin_pa.min() == pytest.approx(0.0, abs=1e-3)
    assert found.dp_margin_pa[net.consumers.row(found.index_consumer)] == found.dp_margin_pa.min()
    assert found.dp_pa - found.dp_margin_pa == pytest.approx(np.full(49, 3e4), rel=1e-12)
    power = found.source_dp_pa[0] * found.source_mass_flow_kg_s[0] / WATER_75.density_kg_m3
    assert found.pump_power_w == pytest.approx(power, rel=1e-9)


def test_less_head_would_not_do() -> None:
    net = district(3, mode="flow")
    found = balance(net)
    assert balance(net, limits={"max_dp_pa": found.source_dp_pa[0] * (1 + 1e-9)}).feasible
    short = balance(net, limits={"max_dp_pa": found.source_dp_pa[0] - 10.0})
    assert not short.feasible
    assert short.delivered_fraction.min() > 0.99


def test_heat_targets_become_flows_and_the_solver_keeps_its_state() -> None:
    net = district(4, mode="valve")
    solver = HydraulicSolver(net)
    before = solver.solve().pressure_pa.copy()
    heat = np.linspace(1e4, 4e4, net.consumers.rows)
    found = solver.balance({"heat_w": heat, "supply_temp_c": 80.0, "return_temp_c": 45.0, "min_dp_pa": 2e4})
    assert found.mass_flow_kg_s == pytest.approx(heat / (WATER_75.cp_j_kgk * 35.0), rel=1e-12)
    assert found.heat_w == pytest.approx(heat, rel=1e-12)
    assert solver.solve().pressure_pa == pytest.approx(before, rel=1e-9)
    applied = solver.solve(**dict[str, Any](found.settings())).mass_flow_kg_s["consumers"]
    assert applied == pytest.approx(found.mass_flow_kg_s, rel=1e-9)


def test_changes_made_to_the_solver_count() -> None:
    net = district(5, mode="flow")
    solver = HydraulicSolver(net)
    length = net.pipes["length_m"] * 2.0
    solver.solve(pipes_length_m=length)
    longer = balance(net.changed(pipes_length_m=length))
    assert solver.balance().kv_m3_h == pytest.approx(longer.kv_m3_h, rel=1e-9)


def test_a_whole_valve_that_is_too_small_needs_more_head() -> None:
    net = district(6, mode="flow")
    plain = balance(net)
    kvs = np.full(net.consumers.rows, 25.0)
    row = net.consumers.row(plain.index_consumer)
    kvs[row] = 0.5 * plain.kv_m3_h[row]
    found = balance(net, limits={"kvs_m3_h": kvs})
    assert found.source_dp_pa[0] > plain.source_dp_pa[0]
    assert found.opening[row] == pytest.approx(1.0, rel=1e-6)
    assert (found.opening <= 1.0 + 1e-9).all()


def test_nobody_taking_anything_needs_no_head() -> None:
    net = district(1, mode="flow", mass_flow_kg_s=0.0)
    found = balance(net)
    assert found.feasible and found.index_consumer == "" and found.source_dp_pa[0] == 0.0
    assert (found.kv_m3_h == 0.0).all()


def test_a_consumer_cut_off_is_named_and_the_rest_is_served() -> None:
    net = district(1, streets=12, loops=0, mode="flow")
    leaf = int(np.flatnonzero(~np.isin(net.pipes["to_node"], net.pipes["from_node"]))[0])
    node = str(net.pipes["to_node"][leaf])
    is_open = np.ones(net.pipes.rows, bool)
    is_open[leaf] = False
    found = balance(net.changed(pipes_open=is_open))
    lost = [o for o in found.obstacles if o.code == "not_connected"]
    assert [o.consumer for o in lost] == [f"c{node[1:]}"]
    served = np.array([i != lost[0].consumer for i in net.consumers.ids])
    assert (found.delivered_fraction[served] == 1.0).all()
    assert found.delivered_fraction[~served].tolist() == [0.0]


@pytest.mark.parametrize("sides", [("s",), ("r",), ("s", "r")], ids=["supply", "return", "both"])
@pytest.mark.parametrize("missing", [False, True], ids=["closed", "missing"])
@pytest.mark.parametrize("objective", ["keep", "power"])
def test_a_street_cut_off_is_named(sides: tuple[str, ...], missing: bool, objective: str) -> None:
    """Whether its pipes are closed or were forgotten in the file; the rest is served."""
    net = district(2, streets=20, loops=0, mode="flow")
    ends = list(zip(net.pipes["from_node"], net.pipes["to_node"], strict=True))
    up = {b: a for a, b in ends if str(a).startswith("s")}

    def way(node: str) -> list[str]:
        return [node] if node == "s0" else [node, *way(up[node])]

    behind = {corner: [f"c{node[1:]}" for node in up if corner in way(node)] for corner in up}
    corner = next(c for c, houses in behind.items() if 3 <= len(houses) <= 12)
    gone = {(up[corner], corner)} if "s" in sides else set()
    gone |= {(f"r{corner[1:]}", f"r{up[corner][1:]}")} if "r" in sides else set()
    stays = np.array([pair not in gone for pair in ends])
    tables: dict[str, Any] = dict(net.tables)
    if missing:
        tables["pipes"] = {name: column[stays] for name, column in net.pipes.items()}
    else:
        tables["pipes"] = dict(net.pipes) | {"open": stays}
    found = balance(Network(tables, fluid=net.fluid), objective=objective)
    assert sorted(o.consumer for o in found.obstacles) == sorted(behind[corner])
    assert {o.code for o in found.obstacles} == {"not_connected"}
    served = np.array([name not in behind[corner] for name in net.consumers.ids])
    assert found.delivered_fraction.tolist() == served.astype(float).tolist()
    assert found.dp_margin_pa[served].min() == pytest.approx(0.0, abs=0.1)


def test_two_sources_keep_their_split_and_all_are_raised() -> None:
    net = district(7, streets=30, loops=6, mode="flow")
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    tables["sources"] = {
        "id": ["west", "east"],
        "return_node": ["r0", "r29"],
        "supply_node": ["s0", "s29"],
        "dp_pa": [1.0e5, 1.02e5],
        "return_pressure_pa": [2e5, np.nan],
    }
    both = Network(tables, fluid=WATER_75)
    found = balance(both)
    assert found.source_dp_pa[1] - found.source_dp_pa[0] == pytest.approx(2e3, rel=1e-9)
    assert found.dp_margin_pa.min() == pytest.approx(0.0, abs=1e-3)
    result = HydraulicSolver(balanced_network(both, found)).solve()
    assert result.mass_flow_kg_s["consumers"] == pytest.approx(found.mass_flow_kg_s, rel=1e-9)


# -- curtailment ---------------------------------------------------------------------------------

TARGET = np.array([1.2, 0.8, 1.5])
LENGTH = np.array([200.0, 150.0, 250.0])
DIAMETER = np.array([0.0545, 0.0372, 0.0431])


def fork(shape: str, priority: list[int] | None = None, **source: float) -> Network:
    """Three consumers: in a row ("row"), or the second and third on branches of their own ("star")."""
    upstream = {"row": [0, 1, 2], "star": [0, 0, 1]}[shape]
    return Network(
        nodes={"id": [f"s{i}" for i in range(4)] + [f"r{i}" for i in range(4)]},
        pipes={
            "id": [f"ps{i}" for i in range(3)] + [f"pr{i}" for i in range(3)],
            "from_node": [f"s{a}" for a in upstream] + ["r1", "r2", "r3"],
            "to_node": ["s1", "s2", "s3"] + [f"r{a}" for a in upstream],
            "length_m": np.tile(LENGTH, 2),
            "inner_diameter_m": np.tile(DIAMETER, 2),
        },
        consumers={
            "id": ["c1", "c2", "c3"],
            "supply_node": ["s1", "s2", "s3"],
            "return_node": ["r1", "r2", "r3"],
            "mode": "flow",
            "mass_flow_kg_s": TARGET,
            "priority": priority or [1, 1, 1],
            "min_dp_pa": 1e4,
            "supply_temp_c": 80.0,
            "return_temp_c": 50.0,
        },
        sources={
            "id": ["plant"],
            "return_node": ["r0"],
            "supply_node": ["s0"],
            "dp_pa": [1e5],
            "return_pressure_pa": [1e5],
            **{k: [v] for k, v in source.items()},
        },
        fluid=WATER_75,
    )


def pipe_drop(row: int, flow: float) -> float:
    """Supply and return together, plain formula."""
    area = np.pi * DIAMETER[row] ** 2 / 4
    reynolds = flow / area * DIAMETER[row] / WATER_75.viscosity_pa_s
    if reynolds < 1e-9:
        return 0.0
    f = numpy_friction("swamee-jain", reynolds, 1e-4 / (3.7 * DIAMETER[row]))
    return float(2 * f * LENGTH[row] / DIAMETER[row] * flow**2 / (2 * WATER_75.density_kg_m3 * area**2))


def needed_head(shape: str, flow: np.ndarray) -> float:
    """Head that keeps 1e4 Pa at everyone who takes flow."""
    upstream = {"row": [-1, 0, 1], "star": [-1, -1, 0]}[shape]
    carried = flow.copy()
    for row in (2, 1, 0):
        if upstream[row] >= 0:
            carried[upstream[row]] += carried[row]
    lost = np.zeros(3)
    for row in range(3):
        lost[row] = pipe_drop(row, carried[row]) + (lost[upstream[row]] if upstream[row] >= 0 else 0.0)
    return float(np.max(np.where(flow > 0, lost + 1e4, 0.0)))


def best_by_search(shape: str, priority: list[int], head: float, heat: float, step: float) -> np.ndarray:
    """Lexicographic max-min per priority over every combination of fractions on a grid."""
    grid = np.append(np.arange(0.0, 1.0, step), 1.0)
    best: tuple[Any, ...] = ()
    answer = np.zeros(3)
    levels = sorted(set(priority))
    per_kg = WATER_75.cp_j_kgk * 30.0
    for fractions in itertools.product(grid, repeat=3):
        fraction = np.array(fractions)
        flow = fraction * TARGET
        if flow.sum() * per_kg > heat * (1 + 1e-12):
            continue
        key = tuple(
            tuple(sorted(fraction[[i for i in range(3) if priority[i] == level]])) for level in levels
        )
        if key > best and needed_head(shape, flow) <= head:
            best, answer = key, fraction
    return answer


@pytest.mark.parametrize("shape", ["row", "star"])
@pytest.mark.parametrize("priority", [[1, 1, 1], [2, 1, 1], [1, 1, 2], [3, 2, 1]])
@pytest.mark.parametrize(("head_share", "heat_share"), [(0.5, 9.0), (0.75, 9.0), (9.0, 0.6), (0.7, 0.7)])
def test_curtailment_is_the_best_of_all(
    shape: str, priority: list[int], head_share: float, heat_share: float
) -> None:
    step = 0.04
    head = 1e4 + head_share * (needed_head(shape, TARGET) - 1e4)
    heat = heat_share * float(TARGET.sum()) * WATER_75.cp_j_kgk * 30.0
    found = balance(fork(shape, priority, max_heat_w=heat), limits={"max_dp_pa": head})
    search = best_by_search(shape, priority, head, heat, step)
    ours = found.delivered_fraction
    # feasible, by the plain formula
    assert needed_head(shape, ours * TARGET) <= head * (1 + 1e-6)
    assert float(np.sum(ours * TARGET)) * WATER_75.cp_j_kgk * 30.0 <= heat * (1 + 1e-9)
    # never worse than anything on the grid, level by level
    for level in sorted(set(priority)):
        members = [i for i in range(3) if priority[i] == level]
        mine, grid = np.sort(ours[members]), np.sort(search[members])
        worse = np.flatnonzero(mine < grid - 1e-9)
        better = np.flatnonzero(mine > grid + 1e-9)
        assert not len(worse) or (len(better) and better[0] < worse[0])
        if len(better) or len(worse):
            break
    # and not far above what the grid can see
    assert np.sort(ours)[0] <= np.sort(search)[0] + step + 1e-9 or len(set(priority)) > 1
    assert not found.feasible
    assert {o.consumer for o in found.obstacles} == {f"c{i + 1}" for i in range(3) if ours[i] < 1.0 - 1e-9}
    assert all("plant" in o.limit for o in found.obstacles)


def test_a_consumers_own_limit_and_the_flow_of_the_source() -> None:
    net = fork("row")
    own = balance(net, {"max_flow_kg_s": [np.nan, 0.4, np.nan]})
    assert own.delivered_fraction == pytest.approx([1.0, 0.5, 1.0])
    assert [o.code for o in own.obstacles] == ["consumer_max_flow"]
    shared = balance(net, limits={"max_flow_kg_s": 0.5 * TARGET.sum()})
    assert shared.delivered_fraction == pytest.approx([0.5] * 3, rel=1e-8)
    assert {o.code for o in shared.obstacles} == {"source_max_flow_kg_s"}
    solved = HydraulicSolver(balanced_network(net, shared)).solve()
    assert solved.mass_flow_kg_s["consumers"] == pytest.approx(0.5 * TARGET, rel=1e-8)


@pytest.mark.parametrize(
    ("targets", "limits", "code"),
    [
        ({"flow": 1.0}, {}, "unknown_key"),
        ({}, {"max_head": 1.0}, "unknown_key"),
        ({"mass_flow_kg_s": [1.0]}, {}, "wrong_length"),
        ({"mass_flow_kg_s": -1.0}, {}, "bad_target"),
        ({"mass_flow_kg_s": [0.1, np.inf, 0.1]}, {}, "bad_target"),
        ({"mass_flow_kg_s": [np.nan, 0.1, 0.1]}, {}, "bad_target"),
        ({}, {"pump_efficiency": 0.0}, "bad_efficiency"),
        ({"heat_w": 1e4, "supply_temp_c": 40.0, "return_temp_c": 40.0}, {}, "bad_target"),
        ({"min_dp_pa": 0.0, "mass_flow_kg_s": 1.0}, {}, "no_dp_left"),
        ({}, {"kvs_m3_h": 0.0}, "bad_kvs"),
        ({}, {"kvs_m3_h": [np.nan, 25.0, -1.0]}, "bad_kvs"),
    ],
)
def test_wrong_questions_are_refused(targets: dict[str, Any], limits: dict[str, Any], code: str) -> None:
    with pytest.raises(BadNetwork) as caught:
        balance(fork("row"), targets, limits)
    assert caught.value.code == code


def test_no_source_no_balance() -> None:
    net = fork("row")
    tables: dict[str, dict[str, Any]] = {name: dict(t) for name, t in net.tables.items() if name != "sources"}
    with pytest.raises(BadNetwork) as caught:
        balance(Network(tables, fluid=WATER_75))
    assert caught.value.code == "no_source"


def test_the_answer_can_be_kept() -> None:
    solver = HydraulicSolver(fork("row"))
    first: Balance = solver.balance()
    kv = first.kv_m3_h.copy()
    solver.balance({"mass_flow_kg_s": 0.1})
    assert first.kv_m3_h.tolist() == kv.tolist()
