"""Scenario batches: the same answers as one by one, whoever solves them; failures, limits, progress."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ..batch import Base, BatchResult, Buffers, Worker
from ..network import LINK_ENDS, BadNetwork, FloatArray, Network
from ..result import HydraulicResult, NotConverged, SolverBusy
from ..solver import HydraulicSolver
from .made_networks import WATER_75, district, looped_mesh
from .test_regulators import line


def stacks(solver: HydraulicSolver, scenarios: int, *keys: str) -> dict[str, Any]:
    rng = np.random.default_rng(len(keys) + scenarios)
    return {
        key: solver._columns[key] * rng.uniform(0.8, 1.25, (scenarios, len(solver._columns[key])))
        for key in keys
    }


def same_as_one_by_one(solver: HydraulicSolver, batch: BatchResult, changes: dict[str, FloatArray]) -> None:
    """To the certified tolerance: one by one begins elsewhere."""
    assert len(batch) == len(next(iter(changes.values())))
    for i, outcome in enumerate(batch):
        single: dict[str, Any] = {key: stack[i] for key, stack in changes.items()}
        alone = solver.copy().solve(**single)
        assert isinstance(outcome, HydraulicResult)
        for table in LINK_ENDS:
            assert outcome.mass_flow_kg_s[table] == pytest.approx(
                alone.mass_flow_kg_s[table], rel=1e-7, abs=2e-8
            )
            assert np.array_equal(outcome.mass_flow_kg_s[table], batch.mass_flow_kg_s[table][i])
        assert outcome.pressure_pa == pytest.approx(alone.pressure_pa, rel=1e-9, abs=1e-3)
        assert np.array_equal(outcome.pressure_known, alone.pressure_known)
        assert outcome.certificate == alone.certificate
        assert outcome.residual_pressure_pa <= 1e-5
        assert batch.converged[i]


def two_pumps() -> Network:
    """Two pumps side by side lift water from a low reservoir to a high one; each has a check."""
    return Network(
        nodes={"id": ["low", "b", "mid", "high"], "fixed_pressure_pa": [1e5, np.nan, np.nan, 3e5]},
        pipes={
            "id": ["p", "q"],
            "from_node": ["b", "mid"],
            "to_node": ["mid", "high"],
            "length_m": [200.0, 100.0],
            "inner_diameter_m": [0.0825, 0.0825],
        },
        pumps={
            "id": ["u", "v"], "from_node": ["low"] * 2, "to_node": ["b"] * 2, "curve": ["c"] * 2,
            "speed": [1.0, 1.0],
        },
        curves={"id": ["c"] * 3, "mass_flow_kg_s": [0.0, 3.0, 6.0], "dp_pa": [4e5, 3.6e5, 2e5]},
        fluid=WATER_75,
    )  # fmt: skip


CASES: list[tuple[str, Any, tuple[str, ...]]] = [
    ("valves", district(3), ("consumers_kv_m3_h", "sources_dp_pa")),
    ("flows", district(3, mode="flow"), ("consumers_mass_flow_kg_s", "nodes_mass_injection_kg_s")),
    ("limits", district(3, max_flow_kg_s=0.3), ("consumers_max_flow_kg_s", "consumers_kv_m3_h")),
    ("geometry", looped_mesh(2, nodes=20), ("pipes_length_m", "pipes_inner_diameter_m")),
    ("heights", looped_mesh(2, nodes=20), ("nodes_elevation_m",)),
    ("set-point", line("pressure_reducing", 2e5), ("valves_setting",)),
]


@pytest.mark.parametrize(("net", "keys"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_batch_says_what_each_scenario_alone_says(net: Any, keys: tuple[str, ...]) -> None:
    solver = HydraulicSolver(net)
    changes = stacks(solver, 23, *keys)
    batch = solver.solve_batch(workers=2, **changes)
    same_as_one_by_one(solver, batch, changes)


@pytest.mark.parametrize("keys", [("consumers_kv_m3_h",), ("pipes_length_m",)])
def test_neither_workers_nor_order_change_a_digit(keys: tuple[str, ...]) -> None:
    solver = HydraulicSolver(district(5, streets=40))
    changes = stacks(solver, 70, *keys)
    answers = [solver.solve_batch(workers=n, **changes) for n in (1, 2, 3)]
    turned: dict[str, Any] = {key: stack[::-1] for key, stack in changes.items()}
    answers.append(solver.solve_batch(workers=2, **turned))
    flows = [a.mass_flow_kg_s["pipes"] for a in answers]
    flows[3] = flows[3][::-1]
    for other in flows[1:]:
        assert np.array_equal(flows[0], other)


def in_lanes(
    solver: HydraulicSolver, changes: dict[str, Any], warm: bool = True, flow_tol: float = 0.0
) -> tuple[Buffers, int]:
    """Results of one worker, and how many scenarios came to them side by side."""
    stacks = {key: np.ascontiguousarray(stack, np.float64) for key, stack in changes.items()}
    count = len(next(iter(stacks.values())))
    limits = solver._limits(1e9 if flow_tol else None, flow_tol)
    worker = Worker(Base(solver, stacks, limits, warm), stacks, limits)
    buffers = Buffers(count, solver._links, solver._nodes)
    worker.run(0, count, buffers)
    return buffers, worker.scenarios.in_lanes


VALVES = district(5, streets=40)
LANE_CASES: list[tuple[str, Network, tuple[str, ...], bool, str]] = [
    (f"{name}, {'from a solution' if warm else 'cold'}", net, keys, warm, "swamee-jain")
    for warm in (True, False)
    for name, net, keys in (
        ("valves", VALVES, ("consumers_kv_m3_h", "sources_dp_pa")),
        ("flows", district(5, streets=40, mode="flow"), ("consumers_mass_flow_kg_s",)),
        ("injections", looped_mesh(3, nodes=60), ("nodes_mass_injection_kg_s",)),
        ("pumps", two_pumps(), ("nodes_mass_injection_kg_s", "pumps_speed")),
    )
]
LANE_CASES += [
    (friction, VALVES, ("consumers_kv_m3_h",), False, friction)
    for friction in ("colebrook", "pandapipes", "nikuradse")
]


@pytest.mark.parametrize(
    ("net", "keys", "warm", "friction"), [c[1:] for c in LANE_CASES], ids=[c[0] for c in LANE_CASES]
)
def test_side_by_side_comes_to_what_each_comes_to_alone(
    net: Network, keys: tuple[str, ...], warm: bool, friction: str
) -> None:
    solver = HydraulicSolver(net, friction=friction)
    changes = stacks(solver, 19, *keys)
    if "pumps_speed" in changes:
        # both alike: none is to be shut by the other
        changes["pumps_speed"] = np.repeat(changes["pumps_speed"][:, :1], 2, axis=1)
        changes["nodes_mass_injection_kg_s"] = np.linspace(-1.0, 1.0, 19)[:, None] * [0.0, 0.0, 1.0, 0.0]
    together, count = in_lanes(solver, changes, warm)
    assert count == 19
    assert (together.residual[:, 0] <= solver._default_tol_pa).all()
    assert (together.residual[:, 1] <= 1e-8).all()
    for i in range(19):
        alone = solver.copy().solve(**{key: stack[i] for key, stack in changes.items()})
        assert together.flow[i] == pytest.approx(alone._flow, rel=1e-7, abs=2e-8)
        assert together.pressure[i] == pytest.approx(alone.pressure_pa, rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("flow_tol", [0.0, 1e-5])
def test_neighbours_change_no_digit_of_a_scenario(warm: bool, flow_tol: float) -> None:
    """Alone in its lane, beside others, beside slow ones, beside some that are solved by themselves."""
    solver = HydraulicSolver(district(5, streets=40))
    kv = stacks(solver, 13, "consumers_kv_m3_h")["consumers_kv_m3_h"]
    kv[3] *= 1e-2  # takes more steps than its neighbours
    kv[5, 4] = 0.0  # shut: another topology, which goes by itself
    kv[9, 2:9] *= 300.0
    whole, count = in_lanes(solver, {"consumers_kv_m3_h": kv}, warm, flow_tol)
    assert count == 12
    assert whole.iterations[[3, 9]].max() > np.median(whole.iterations)
    for rows in ([0], [3], [5], [9], [12], [11, 3, 0], [5, 2, 9, 1, 5, 7, 8, 12, 6, 10]):
        part, _ = in_lanes(solver, {"consumers_kv_m3_h": kv[rows]}, warm, flow_tol)
        for at, row in enumerate(rows):
            assert np.array_equal(part.flow[at], whole.flow[row])
            assert np.array_equal(part.pressure[at], whole.pressure[row])
            assert np.array_equal(part.residual[at], whole.residual[row])
            assert part.iterations[at] == whole.iterations[row]


def test_what_differs_in_more_than_numbers_goes_by_itself() -> None:
    """Shut links, limits and regulators are no work for lanes; neither is a value that no law has."""
    solver = HydraulicSolver(district(3))
    kv = np.tile(solver._columns["consumers_kv_m3_h"], (3, 1))
    kv[0, 0] = kv[2, 5] = 0.0
    assert in_lanes(solver, {"consumers_kv_m3_h": kv})[1] == 1
    limited = HydraulicSolver(district(3, max_flow_kg_s=0.3))
    assert in_lanes(limited, stacks(limited, 3, "consumers_kv_m3_h"))[1] == 0
    regulated = HydraulicSolver(line("pressure_reducing", 2e5))
    assert in_lanes(regulated, stacks(regulated, 3, "sources_supply_pressure_pa"))[1] == 0


def test_a_lane_that_runs_into_a_limit_is_solved_by_itself() -> None:
    """A pump too slow to lift would run backwards and is held shut by its check; the others stay in lanes."""
    solver = HydraulicSolver(two_pumps())
    speed = np.ones((4, 2))
    speed[1, 0], speed[2, 1] = 0.97, 0.5
    for warm in (True, False):
        found, count = in_lanes(solver, {"pumps_speed": speed}, warm)
        assert count == 3
        assert (found.status == 0).all()
        for i in range(4):
            alone = solver.copy().solve(pumps_speed=speed[i])
            assert found.flow[i] == pytest.approx(alone._flow, rel=1e-7, abs=2e-8)
        assert found.flow[2, 3] == 0.0  # pipes p and q come first, then pumps u and v


def test_the_solver_stays_as_it_was() -> None:
    solver = HydraulicSolver(district(3))
    before = solver.solve().pressure_pa.copy()
    solver.solve_batch(**stacks(solver, 5, "consumers_kv_m3_h"))
    after = solver.solve()
    assert after.iterations == 0
    assert np.array_equal(before, after.pressure_pa)


def test_limits_that_only_some_scenarios_have() -> None:
    solver = HydraulicSolver(district(3))
    free = solver.solve().mass_flow_kg_s["consumers"]
    most = np.full((4, len(free)), np.nan)
    most[1] = free / 2.0
    most[3, 5] = free[5] / 3.0
    batch = solver.solve_batch(consumers_max_flow_kg_s=most, workers=1)
    assert batch.mass_flow_kg_s["consumers"][0] == pytest.approx(free, rel=1e-7)
    assert batch.mass_flow_kg_s["consumers"][1] == pytest.approx(free / 2.0, rel=1e-7)
    last = batch[3]
    assert isinstance(last, HydraulicResult)
    assert last.certificate.active_limits == ("consumer c6",)
    same_as_one_by_one(solver, batch, {"consumers_max_flow_kg_s": most})


def test_one_failure_of_each_kind_stops_nothing() -> None:
    net = district(1, streets=8, loops=0)
    solver = HydraulicSolver(net)
    kv = np.tile(net.consumers["kv_m3_h"], (5, 1))
    kv[1, 2] = -1.0
    kv[2, 3] = np.nan
    batch = solver.solve_batch(consumers_kv_m3_h=kv, workers=2)
    assert [type(outcome) for outcome in batch] == [
        HydraulicResult, BadNetwork, BadNetwork, HydraulicResult, HydraulicResult,
    ]  # fmt: skip
    assert "consumer c3" in str(batch[1]) and "consumer c4" in str(batch[2])
    assert batch.converged.tolist() == [True, False, False, True, True]
    assert not batch.pressure_pa[1].any() and not batch.pressure_known[1].any()
    assert set(batch.errors) == {1, 2}


def test_contradictions_come_back_as_not_converged_with_a_certificate() -> None:
    net = district(1, streets=6, loops=0)
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    # a second plant beside the first, and nothing that would say who carries what
    tables["sources"] = {
        "id": ["a", "b"], "return_node": ["r0", "r0"], "supply_node": ["s0", "s0"], "dp_pa": [4e5, 4e5],
        "return_pressure_pa": [2e5, np.nan],
    }  # fmt: skip
    solver = HydraulicSolver(Network(**tables, fluid=net.fluid))
    batch = solver.solve_batch(sources_dp_pa=[[4e5, 4e5], [4e5, 3e5]])
    assert isinstance(batch[0], HydraulicResult)
    assert batch[0].certificate.unique == "unknown"
    outcome = batch[1]
    assert isinstance(outcome, NotConverged)
    assert not outcome.certificate.converged


def test_islands_are_named_in_the_scenario_that_has_them() -> None:
    solver = HydraulicSolver(district(1, streets=8, loops=0, mode="flow"))
    is_open = np.ones((3, solver.net.pipes.rows), np.bool_)
    is_open[1, 0] = False
    batch = solver.solve_batch(pipes_open=is_open)
    for i, parts in enumerate((0, 1, 0)):
        outcome = batch[i]
        assert isinstance(outcome, HydraulicResult)
        assert len(outcome.certificate.islands) == parts
        assert bool(outcome.certificate.unserved) == bool(parts)
    same_as_one_by_one(solver, batch, {"pipes_open": is_open.astype(float)})


def test_progress_counts_to_the_end() -> None:
    solver = HydraulicSolver(district(1))
    for workers in (1, 2):
        seen: list[tuple[int, int]] = []
        solver.solve_batch(
            workers=workers,
            progress=lambda done, of, seen=seen: seen.append((done, of)),  # type: ignore[misc]
            **stacks(solver, 50, "consumers_kv_m3_h"),
        )
        assert seen[-1] == (50, 50)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert len(seen) > 2 or workers > 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"consumers_kv_m3_h": np.ones(29)},
        {"consumers_kv_m3_h": np.ones((3, 5))},
        {"consumers_kv_m3_h": np.ones((3, 29)), "sources_dp_pa": np.ones((2, 1))},
        {"consumers_mode": np.ones((3, 29))},
        {"nothing": np.ones((3, 29))},
        {"consumers_kv_m3_h": [["a", "b"]]},
    ],
)
def test_what_no_scenario_can_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadNetwork):
        HydraulicSolver(district(1)).solve_batch(**changes)


def test_a_busy_solver_and_no_workers() -> None:
    solver = HydraulicSolver(district(1))
    with solver._lock, pytest.raises(SolverBusy):
        solver.solve_batch(sources_dp_pa=[[4e5]])
    with pytest.raises(ValueError, match="at least one"):
        solver.solve_batch(sources_dp_pa=[[4e5]], workers=0)


def test_a_slice_and_the_end_of_a_batch() -> None:
    solver = HydraulicSolver(district(1))
    batch = solver.solve_batch(sources_dp_pa=[[1e5], [2e5], [3e5]])
    first, last = batch[0], batch[-1]
    assert isinstance(first, HydraulicResult) and isinstance(last, HydraulicResult)
    assert last.pressure_pa[0] == pytest.approx(5e5)
    assert len(batch[1:]) == 2
    with pytest.raises(IndexError):
        batch[3]
