"""The way from a plant to a consumer and back: distances, pressures, heights, in trees and in meshes."""

from __future__ import annotations

import numpy as np
import pytest

from .. import fluid
from ..network import Network
from ..pressure_path import consumer_dp, dp_margin, index_consumer, path_to
from ..solver import HydraulicSolver
from .made_networks import WATER_75, district
from .test_balancing import LENGTH, fork
from .test_plants import boosted, town


def test_a_row_of_houses() -> None:
    net = fork("row")
    solver = HydraulicSolver(net)
    result = solver.solve()
    path = path_to(net, result, 2, WATER_75)
    assert path is not None and (path.consumer, path.source) == ("c3", "plant")
    assert path.supply.nodes == ("s0", "s1", "s2", "s3") and path.back.nodes == ("r0", "r1", "r2", "r3")
    assert path.supply.distance_m.tolist() == [0.0, *np.cumsum(LENGTH)]
    assert path.back.distance_m.tolist() == path.supply.distance_m.tolist()
    for line in (path.supply, path.back):
        rows = [net.nodes.row(n) for n in line.nodes]
        assert line.pressure_pa.tolist() == result.pressure_pa[rows].tolist()
    # supply falls towards the house, the return rises
    assert (np.diff(path.supply.pressure_pa) < 0.0).all() and (np.diff(path.back.pressure_pa) > 0.0).all()
    assert path.hottest_c == 80.0
    assert path.boiling_pa == pytest.approx(float(fluid.saturation_pressure_pa(80.0)) - fluid.ATMOSPHERE_PA)


def test_heights_are_taken_out_of_what_a_consumer_has() -> None:
    """Supply and return of a house on different floors: the same differential pressure at the same flows."""
    net = district(2, streets=12)
    flat = consumer_dp(net, HydraulicSolver(net).solve().pressure_pa, WATER_75)
    height = net.nodes["elevation_m"].copy()
    height[[net.nodes.row(n) for n in ("s3", "r7")]] += 9.0
    tall = net.changed(nodes_elevation_m=height)
    assert consumer_dp(tall, HydraulicSolver(tall).solve().pressure_pa, WATER_75) == pytest.approx(
        flat, abs=1e-3
    )


def test_the_pressure_at_rest_follows_the_ground() -> None:
    net = town(3, plants=2)
    solver = HydraulicSolver(net)
    result = solver.solve()
    worst = index_consumer(dp_margin(net, result, solver.fluid))
    path = path_to(net, result, worst, solver.fluid)
    assert path is not None and path.static_pa is not None
    # what stands still is what the solver says of the network without heads and without flow
    still = net.changed(sources_dp_pa=[0.0, 0.0], consumers_mass_flow_kg_s=np.zeros(net.consumers.rows))
    at_rest = HydraulicSolver(still).solve().pressure_pa[[net.nodes.row(n) for n in path.supply.nodes]]
    assert path.static_pa == pytest.approx(at_rest, abs=1e-3)


def test_in_a_mesh_the_way_ends_at_the_plant_that_feeds_most() -> None:
    net = town(5, plants=3, loops=8)
    solver = HydraulicSolver(net)
    result = solver.solve()
    flow, ends = result.mass_flow_kg_s["pipes"], {}
    for row in range(net.pipes.rows):
        ends[frozenset((net.pipes["from_node"][row], net.pipes["to_node"][row]))] = row
    seen = set()
    for consumer in range(net.consumers.rows):
        path = path_to(net, result, consumer, solver.fluid)
        if path is None:
            # it stands where a plant does
            nodes = set(net.sources["supply_node"])
            assert net.consumers["supply_node"][consumer] in nodes
            continue
        seen.add(path.source)
        assert path.supply.nodes[0] == net.sources["supply_node"][net.sources.row(path.source)]
        for a, b in zip(path.supply.nodes[:-1], path.supply.nodes[1:], strict=True):
            row = ends[frozenset((a, b))]
            assert (flow[row] > 0.0) == (net.pipes["from_node"][row] == a)
        length = [
            net.pipes["length_m"][ends[frozenset(e)]]
            for e in zip(path.supply.nodes, path.supply.nodes[1:], strict=False)
        ]
        assert path.supply.distance_m[-1] == pytest.approx(sum(length))
    assert len(seen) > 1


def test_a_booster_on_the_way_is_a_step() -> None:
    net = boosted(fixed_dp_pa=[2e4])
    solver = HydraulicSolver(net)
    result = solver.solve()
    path = path_to(net, result, net.consumers.rows - 1, solver.fluid)
    assert path is not None
    step = np.diff(path.supply.pressure_pa)[np.diff(path.supply.distance_m) == 0.0]
    height = np.diff(path.supply.elevation_m)[np.diff(path.supply.distance_m) == 0.0]
    weight = solver.fluid.density_kg_m3 * solver.fluid.gravity_m_s2
    assert step + weight * height == pytest.approx([2e4], abs=1e-3)


def test_who_takes_nothing_has_neither_margin_nor_way() -> None:
    net = district(3, mode="flow").changed(consumers_mass_flow_kg_s=[0.0, *[0.2] * 28])
    solver = HydraulicSolver(net)
    result = solver.solve()
    margin = dp_margin(net, result, solver.fluid)
    assert np.isnan(margin[0]) and np.isfinite(margin[1:]).all()
    assert index_consumer(margin) == int(np.argmin(margin[1:])) + 1
    assert path_to(net, result, 0, solver.fluid) is None
    assert index_consumer(np.full(3, np.nan)) == -1


def test_nothing_is_known_where_nothing_is_given() -> None:
    net = district(1)
    island = net.changed(sources_return_pressure_pa=[np.nan])
    result = HydraulicSolver(island).solve()
    assert np.isnan(dp_margin(island, result, WATER_75)).all()
    path = path_to(island, result, 3, WATER_75)
    assert path is not None and path.static_pa is None and np.isnan(path.boiling_pa)


def test_a_fixed_node_holds_the_pressure_where_no_plant_does() -> None:
    net = district(1)
    fixed = np.full(net.nodes.rows, np.nan)
    fixed[net.nodes.row("r0")] = 2e5
    other: Network = net.changed(sources_return_pressure_pa=[np.nan], nodes_fixed_pressure_pa=fixed)
    paths = [path_to(one, HydraulicSolver(one).solve(), 5, WATER_75) for one in (net, other)]
    assert paths[0] is not None and paths[1] is not None
    assert paths[1].static_pa == pytest.approx(paths[0].static_pa)
