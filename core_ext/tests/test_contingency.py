"""N-1 against the same outages made one by one in networks of their own; verdicts, order, progress."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ..contingency import Contingencies
from ..network import BadNetwork, Network
from ..result import SolverBusy
from ..solver import HydraulicSolver
from .made_networks import district
from .test_sensitivity import everything


def changed(net: Network, **columns: dict[str, Any]) -> Network:
    tables: dict[str, Any] = {name: dict(table) | columns.get(name, {}) for name, table in net.tables.items()}
    return Network(**tables, fluid=net.fluid)


def row_of(study: Contingencies, label: str) -> int:
    return [study.label(i) for i in range(len(study))].index(label)


def test_every_outage_is_what_the_network_without_the_element_says() -> None:
    net = everything(3)
    solver = HydraulicSolver(net)
    signed = solver.solve().mass_flow_kg_s["consumers"].copy()
    before = np.abs(signed)
    study = solver.contingencies(workers=2)
    assert len(study) == net.pipes.rows + 1 + 3
    supply = [net.nodes.row(n) for n in net.consumers["supply_node"]]
    back = [net.nodes.row(n) for n in net.consumers["return_node"]]
    for i in range(len(study)):
        table, row = study.table[i], int(study.row[i])
        if table == "sources":
            keep = np.arange(net.sources.rows) != row
            other = changed(net, sources={c: net.sources[c][keep] for c in net.sources})
        else:
            column = "open" if table == "pipes" else "speed"
            values = net.tables[table][column].copy()
            values[row] = 0
            other = changed(net, **{table: {column: values}})
        alone = HydraulicSolver(other).solve()
        # water that runs backwards through a house serves nobody
        flow = np.maximum(alone.mass_flow_kg_s["consumers"] * np.sign(signed), 0.0)
        lost = ~(alone.pressure_known[supply] & alone.pressure_known[back]) | (flow <= 1e-6 * before)
        assert study.converged[i]
        assert study.cut_off[i] == lost.sum()
        got = np.where(lost, 0.0, np.minimum(flow, before)).sum() / before.sum()
        assert study.delivered_share[i] == pytest.approx(got, rel=1e-6)
        if study.worst_consumer[i] >= 0:
            at = study.worst_consumer[i]
            dp = alone.pressure_pa[supply[at]] - alone.pressure_pa[back[at]]
            assert study.worst_margin_pa[i] == pytest.approx(dp, abs=1.0)
        assert study.highest_pressure_pa[i] == pytest.approx(
            alone.pressure_pa[alone.pressure_known].max(), abs=1.0
        )


def test_a_tree_is_cut_off_behind_each_pipe_and_a_loop_is_not() -> None:
    tree = HydraulicSolver(district(4, streets=12, loops=0, mode="flow")).contingencies(["pipes"])
    assert (tree.cut_off >= 1).all()
    assert {tree.verdict(i) for i in range(len(tree))} == {"cut off"}
    assert tree.cut_off[row_of(tree, "pipe ps0")] == tree.cut_off[row_of(tree, "pipe pr0")]
    meshed = HydraulicSolver(district(4, streets=12, loops=9, mode="flow", min_dp_pa=0.0)).contingencies(
        ["pipes"]
    )
    assert (meshed.cut_off == 0).sum() > (tree.cut_off == 0).sum()


def test_natural_circulation_behind_a_closed_pipe_is_no_supply() -> None:
    """Supply warmer than return on sloping ground: water creeps round through the houses, without heat."""
    net = district(4, streets=12, loops=0, supply_temp_c=80.0, return_temp_c=45.0)
    warm = np.where(np.char.startswith(net.pipes["id"].astype(str), "ps"), 80.0, 45.0)
    # without a fluid of its own for the whole network, so that every pipe has the density of its temperature
    solver = HydraulicSolver(Network(net.changed(pipes_temp_c=warm).tables))
    before = solver.solve().mass_flow_kg_s["consumers"].copy()
    study = solver.contingencies(["pipes"])
    first = row_of(study, "pipe ps0")
    is_open = np.ones(net.pipes.rows, np.bool_)
    is_open[study.row[first]] = False
    creeps = np.abs(solver.copy().solve(pipes_open=is_open).mass_flow_kg_s["consumers"]) / before
    behind = creeps < 0.5
    assert creeps[behind].max() > 1e-4
    assert study.cut_off[first] == behind.sum() > 1
    # the heat that is missing is that of the flow that is missing: all have the same temperatures
    heat = float(before.sum()) * solver.fluid.cp_j_kgk * 35.0
    assert study.heat_not_served_w == pytest.approx((1.0 - study.delivered_share) * heat, rel=1e-9, abs=1e-6)


def test_without_temperatures_the_heat_is_not_known() -> None:
    study = HydraulicSolver(district(4, streets=6)).contingencies(["pipes"])
    assert np.isnan(study.heat_not_served_w).all()


def test_the_worst_comes_first() -> None:
    study = HydraulicSolver(district(4, streets=20, loops=3)).contingencies()
    order = study.ranked()
    assert sorted(order.tolist()) == list(range(len(study)))
    share = study.delivered_share[order]
    assert (np.diff(share) >= -1e-9).all()
    # the only plant holds the pressure: nothing is left without it
    assert study.delivered_share[row_of(study, "source plant")] == 0.0
    assert study.verdict(int(order[0])) == "cut off"


def test_workers_progress_and_the_solver_itself() -> None:
    solver = HydraulicSolver(district(4, streets=20, loops=3))
    solver.solve()
    seen: list[tuple[int, int]] = []
    one = solver.contingencies(workers=1)
    two = solver.contingencies(workers=2, progress=lambda done, of: seen.append((done, of)))
    for name in ("delivered_share", "cut_off", "short", "worst_consumer", "worst_margin_pa"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert seen[-1] == (len(two), len(two))
    assert solver.solve().iterations == 0


def test_elements_out_of_service_and_wrong_questions() -> None:
    net = district(4, streets=8, loops=2)
    is_open = np.ones(net.pipes.rows, np.bool_)
    is_open[[7, 8]] = False
    solver = HydraulicSolver(net)
    solver.solve(pipes_open=is_open)
    study = solver.contingencies(["pipes"])
    assert set(study.row.tolist()) == set(range(net.pipes.rows)) - {7, 8}
    with pytest.raises(BadNetwork, match="no outages"):
        solver.contingencies(["consumers"])
    with solver._lock, pytest.raises(SolverBusy):
        solver.contingencies()
