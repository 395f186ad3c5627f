"""What constant flows tend to: closed forms, long runs, and the analytic tables pandapipes ships."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapipes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..bench.cases import GROUND_C, INLET_C, _supply_half
from ..bench.districts import make_district
from ..thermal import BadTransport, ThermalTransport

TABLES = Path(pandapipes.__file__).parent / "test" / "data"
KELVIN = 273.15


def network(ends: list[tuple[int, int]], nodes: int, **columns: Any) -> dict[str, dict[str, Any]]:
    links = len(ends)
    pipes = {
        "length_m": [100.0] * links,
        "inner_diameter_m": [0.05] * links,
        "linear_loss_w_mk": [0.3] * links,
    } | columns
    return {
        "nodes": {"id": [str(i) for i in range(nodes)]},
        "pipes": {
            "id": [f"p{i}" for i in range(links)],
            "from_node": [str(a) for a, _ in ends],
            "to_node": [str(b) for _, b in ends],
            **pipes,
        },
    }


def table(name: str) -> list[list[str]]:
    lines = (TABLES / f"Temperature_{name}_an.csv").read_text().split()
    return [line.split(";") for line in lines]


# what pandapipes' analytic tables were made with: alpha 5 W/(m2 K), 75 mm, cp 4182 J/(kg K), 293 K outside
CASES: dict[str, tuple[list[tuple[int, int]], list[float], dict[int, float]]] = {
    "tee_2ab_1zu": ([(0, 1), (1, 2), (1, 3)], [2.0, 1.0, 1.0], {0: 350.0}),
    "tee_2zu_1ab": ([(0, 2), (1, 2), (2, 3)], [0.5, 0.5, 1.0], {0: 350.0, 1: 350.0}),
    "2zu_2ab": ([(0, 2), (1, 2), (2, 3), (2, 4)], [1.0, 1.0, 1.0, 1.0], {0: 350.0, 1: 300.0}),
    "masche_1load": ([(0, 1), (1, 2), (1, 3), (3, 2)], [1.0, 0.606421, 0.393579, 0.393579], {0: 350.0}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backwards", [False, True])
def test_agrees_with_the_analytic_tables_of_pandapipes(name: str, backwards: bool) -> None:
    ends, flows, inflow_k = CASES[name]
    rows = table(name)
    column = rows[0].index("T")
    expected = np.array([float(row[column]) for row in rows[1:]])
    transport = _table_transport([(b, a) for a, b in ends] if backwards else ends, len(expected), 2500.0)
    inflow = np.full(len(expected), np.nan)
    for node, temp_k in inflow_k.items():
        inflow[node] = temp_k - KELVIN
    sign = -1.0 if backwards else 1.0
    steady = transport.steady(sign * np.array(flows), inflow)
    assert steady.node_temp_c + KELVIN == pytest.approx(expected, abs=2e-6)


def test_agrees_with_the_analytic_table_along_one_pipe() -> None:
    rows = table("one_pipe")
    column, length = rows[0].index("T"), rows[0].index("l")
    expected = np.array([float(row[column]) for row in rows[1:]])
    assert [float(row[length]) for row in rows[1:]] == [1000.0 * k for k in range(7)]
    transport = _table_transport([(i, i + 1) for i in range(6)], 7, 1000.0)
    steady = transport.steady(np.ones(6), np.array([330.0 - KELVIN] + [np.nan] * 6))
    assert steady.node_temp_c + KELVIN == pytest.approx(expected, abs=2e-6)


def _table_transport(ends: list[tuple[int, int]], nodes: int, length_m: float) -> ThermalTransport:
    links = len(ends)
    cp = ThermalTransport(network([(0, 1)], 2)).heat_capacity_j_kgk
    loss = 5.0 * np.pi * 0.075 * cp / 4182.0  # the same exponent with our heat capacity
    columns = {
        "length_m": [length_m] * links,
        "inner_diameter_m": [0.075] * links,
        "linear_loss_w_mk": [loss] * links,
    }
    return ThermalTransport(network(ends, nodes, **columns), ground_temp_c=293.0 - KELVIN)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_long_run_ends_at_the_steady_temperatures(seed: int) -> None:
    random = np.random.default_rng(seed)
    nodes, links = 8, 13
    ends = [(int(random.integers(0, i)), i) for i in range(1, nodes)]
    ends += [(int(a), int(b)) for a, b in random.integers(0, nodes, (links - nodes + 1, 2))]
    net = network(
        ends,
        nodes,
        length_m=random.uniform(1.0, 60.0, links),
        inner_diameter_m=random.uniform(0.02, 0.08, links),
        linear_loss_w_mk=random.uniform(0.05, 1.0, links),
    )
    flow = random.choice([-1.0, 1.0, 1.0, 0.0], links) * random.uniform(0.1, 1.0, links)
    inflow = random.uniform(20.0, 90.0, nodes)
    transport = ThermalTransport(net, initial_temp_c=50.0, ground_temp_c=random.uniform(2.0, 15.0, links))
    steady = transport.steady(flow, inflow)
    for _ in range(50):
        transport.step(1e6, flow, inflow)  # pipes that stand cool for days
    for _ in range(500):
        transport.step(60.0, flow, inflow)
    assert transport.node_temp_c == pytest.approx(steady.node_temp_c, abs=1e-6)
    assert transport.loss_j / 60.0 == pytest.approx(steady.loss_w.sum(), rel=1e-9)


def test_a_circle_of_flow_is_solved_at_once() -> None:
    """n1 -> n2 -> n3 -> n1 with inflow at n0; three unknown mixtures, here by hand."""
    net = network([(0, 1), (1, 2), (2, 3), (3, 1)], 4)
    transport = ThermalTransport(net, ground_temp_c=10.0)
    flow = np.array([0.2, 0.9, 0.9, 0.7])
    steady = transport.steady(flow, np.array([85.0, np.nan, np.nan, np.nan]))
    keep = np.exp(-30.0 / (flow * transport.heat_capacity_j_kgk))
    first = 75.0 * keep[0]
    # e1 = (0.2 first + 0.7 e3 k3)/0.9, e3 = e1 k1 k2
    e1 = 0.2 * first / (0.9 - 0.7 * keep[1] * keep[2] * keep[3])
    exact = 10.0 + np.array([75.0, e1, e1 * keep[1], e1 * keep[1] * keep[2]])
    assert steady.node_temp_c == pytest.approx(exact, abs=1e-10)
    assert steady.to_temp_c[0] == pytest.approx(10.0 + first, abs=1e-10)
    assert steady.loss_w.sum() == pytest.approx(
        0.2 * transport.heat_capacity_j_kgk * (85.0 - steady.node_temp_c[3]), rel=1e-10
    )


def test_what_stands_reaches_the_grounds_temperature() -> None:
    transport = ThermalTransport(
        network([(0, 1), (1, 2), (2, 3)], 4), ground_temp_c=[6.0, 8.0, 12.0], initial_temp_c=60.0
    )
    steady = transport.steady(np.array([0.5, 0.0, 0.0]), np.array([80.0, np.nan, np.nan, np.nan]))
    assert steady.node_temp_c[2:] == pytest.approx([10.0, 12.0])
    assert steady.node_temp_c[1] > 75.0
    assert steady.from_temp_c[1:] == pytest.approx([8.0, 12.0])
    assert steady.loss_w[1:] == pytest.approx([0.0, 0.0])
    for _ in range(3000):
        transport.step(600.0, np.array([0.5, 0.0, 0.0]), np.array([80.0, np.nan, np.nan, np.nan]))
    assert transport.node_temp_c == pytest.approx(steady.node_temp_c, abs=1e-6)


def test_a_closed_circle_without_losses_keeps_what_it_has() -> None:
    net = network([(0, 1), (1, 2), (2, 0)], 3, linear_loss_w_mk=[0.0] * 3)
    transport = ThermalTransport(net, initial_temp_c=55.0)
    steady = transport.steady(np.full(3, 0.4))
    assert steady.node_temp_c == pytest.approx(np.full(3, 55.0), abs=1e-9)


def test_water_of_unknown_temperature_is_refused_by_name() -> None:
    transport = ThermalTransport(network([(0, 1), (1, 2)], 3))
    with pytest.raises(BadTransport, match=r"node 0: 0\.5 kg/s enter"):
        transport.steady(np.array([0.5, 0.5]))
    with pytest.raises(BadTransport, match="not finite"):
        transport.steady(np.array([np.nan, 0.5]), 80.0)


def test_a_day_at_sixty_seconds_ends_within_two_millikelvin_of_the_steady_state() -> None:
    """On the supply half of a district of 3 000 links with loops; measured 1e-9 mK."""
    district = make_district(3_000, 0.05)
    net, flow = _supply_half(district)
    transport = ThermalTransport(net, initial_temp_c=GROUND_C, ground_temp_c=GROUND_C)
    inflow = np.full(net.nodes.rows, np.nan)
    inflow[district.plants] = INLET_C
    for _ in range(24 * 60):
        transport.step(60.0, flow, inflow)
    steady = transport.steady(flow, inflow)
    served = steady.node_temp_c[district.houses]
    assert np.abs(transport.node_temp_c[district.houses] - served).max() <= 2e-3
    assert np.ptp(served) > 5.0  # a case in which temperatures differ
