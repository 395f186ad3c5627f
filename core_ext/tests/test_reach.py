"""Who is cut off by the loss of a link, against a search in the network without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..network import Network, Table
from ..reach import Reach, toward
from ..solver import HydraulicSolver
from .made_networks import district
from .test_plants import town
from .test_sensitivity import everything


def blocked(table: str, columns: Table, row: int) -> bool:
    """A valve that is open, but of no width or for no flow."""
    if table != "valves" or columns["kind"][row] == "curve":
        return False
    return bool(
        columns["kv_m3_h"][row] == 0 or (columns["kind"][row] == "flow_limit" and not columns["setting"][row])
    )


def searched(
    net: Network, lost_link: tuple[str, int] | None, without_source: int = -1
) -> npt.NDArray[np.bool_]:
    """Consumers with an end in a part without source, fixed pressure or water fed in."""
    ends = []
    for table in ("pipes", "valves", "pumps"):
        columns = net.tables[table]
        for row in range(columns.rows):
            runs = {"pipes": "open", "valves": "opening", "pumps": "speed"}[table]
            if columns[runs][row] > 0 and not blocked(table, columns, row) and (table, row) != lost_link:
                ends.append(
                    (net.nodes.row(columns["from_node"][row]), net.nodes.row(columns["to_node"][row]))
                )
    first, second = np.array(ends).T
    nodes = net.nodes.rows
    _, part = connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(nodes, nodes)))
    alive = set(part[np.isfinite(net.nodes["fixed_pressure_pa"]) | (net.nodes["mass_injection_kg_s"] > 0.0)])
    for row in range(net.sources.rows):
        if row != without_source:
            alive |= {part[net.nodes.row(net.sources[end][row])] for end in ("supply_node", "return_node")}
    return np.array(
        [
            any(part[net.nodes.row(node)] not in alive for node in pair)
            for pair in zip(net.consumers["supply_node"], net.consumers["return_node"], strict=True)
        ]
    )


def valves_shut(net: Network) -> Iterator[Network]:
    """Every valve shut by its opening, then those that have one by their kv, the limiter by its setting."""
    yield net.changed(valves_opening=np.zeros(net.valves.rows))
    yield net.changed(valves_kv_m3_h=np.where(np.isnan(net.valves["kv_m3_h"]), np.nan, 0.0))
    yield net.changed(valves_setting=np.zeros(net.valves.rows))


def behind_a_valve(**valve: Any) -> HydraulicSolver:
    """A district whose plant feeds its supply through one valve alone."""
    net = district(1, 8, 0)
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    tables["nodes"] = {"id": [*net.nodes.ids, "plant out"]}
    tables["sources"]["supply_node"] = ["plant out"]
    tables["valves"] = {"id": ["v"], "from_node": ["plant out"], "to_node": ["s0"], "kv_m3_h": [60.0]} | valve
    return HydraulicSolver(Network(tables, fluid=net.fluid))


@pytest.mark.parametrize(
    "net",
    [district(1, 14, 0), district(2, 25, 3), district(3, 40, 12), everything(3)],
    ids=["tree", "few loops", "many loops", "everything"],
)
def test_every_link_and_every_source(net: Network) -> None:
    shut = np.ones(net.pipes.rows, np.bool_)
    shut[net.pipes.rows // 3] = False
    cut = 0
    everything_open = np.ones(net.pipes.rows, np.bool_)
    states = [net.changed(pipes_open=is_open) for is_open in (everything_open, shut)]
    if net.valves.rows:
        states += [*valves_shut(net)]
    for state in states:
        solver = HydraulicSolver(state)
        reach = Reach(solver)
        assert reach.without(-1).tolist() == searched(state, None).tolist()
        for table in ("pipes", "valves", "pumps"):
            for row in range(net.tables[table].rows):
                lost = reach.without(solver._slices[table].start + row)
                assert lost.tolist() == searched(state, (table, row)).tolist(), (table, row)
                cut += int(lost.sum())
        for row in range(net.sources.rows):
            assert Reach(solver, row).without(-1).tolist() == searched(state, None, row).tolist()
    assert cut > 0


@pytest.mark.parametrize(
    ("valve", "shut"),
    [
        ({}, False),
        ({"opening": [0.0]}, True),
        ({"opening": [1e-6]}, False),
        ({"kv_m3_h": [0.0]}, True),
        ({"kind": ["flow_limit"], "setting": [0.0]}, True),
        ({"kind": ["flow_limit"], "setting": [0.1]}, False),
        ({"kind": ["pressure_reducing"], "setting": [3e5]}, False),
        ({"kind": ["pressure_reducing"], "setting": [3e5], "opening": [0.0]}, True),
    ],
)
def test_a_shut_valve_is_no_way(valve: dict[str, Any], shut: bool) -> None:
    solver = behind_a_valve(**valve)
    lost = Reach(solver).without(-1)
    assert lost.tolist() == [shut] * solver.net.consumers.rows
    flow = solver.solve().mass_flow_kg_s["consumers"]
    # a part without flow keeps what rounding leaves, 1e-23 kg/s; the open ones carry grams
    assert (np.abs(flow) < 1e-15).tolist() == lost.tolist()


def test_a_valve_shut_in_the_solver_counts_not_the_one_in_the_file() -> None:
    solver = behind_a_valve()
    solver.solve(valves_opening=[0.0])
    assert Reach(solver).without(-1).all()


@pytest.mark.parametrize(("injection", "alive"), [(-0.2, False), (0.2, True)])
def test_who_only_takes_water_out_feeds_nobody(injection: float, alive: bool) -> None:
    net = district(1, 8, 0)
    way = np.ones(net.pipes.rows, np.bool_)
    way[[r for r in range(net.pipes.rows) if net.pipes["to_node"][r] == "s3"]] = False
    feed = np.zeros(net.nodes.rows)
    feed[net.nodes.row("s3")] = injection
    state = net.changed(pipes_open=way, nodes_mass_injection_kg_s=feed)
    lost = Reach(HydraulicSolver(state)).without(-1)
    assert lost.tolist() == searched(state, None).tolist()
    assert lost[net.consumers.row("c3")] == (not alive)


def test_the_other_side_of_a_link_can_be_the_one_that_dies() -> None:
    """The plant stands behind the link as the search comes to it: all but its own side is lost."""
    net = district(5, 10, 0)
    far = net.changed(sources_supply_node=["s9"], sources_return_node=["r9"])
    lost = Reach(HydraulicSolver(far)).without(next(
        row for row in range(far.pipes.rows) if far.pipes["to_node"][row] == "s9"
    ))  # fmt: skip
    assert lost.tolist() == [name != "c9" for name in far.consumers.ids]


def test_two_pipes_side_by_side_stand_in_for_each_other() -> None:
    net = district(1, 6, 0)
    tables: dict[str, Any] = {name: dict(table) for name, table in net.tables.items()}
    first = {name: column[:1] for name, column in net.pipes.items()} | {"id": ["beside"]}
    tables["pipes"] = {name: [*column, *first[name]] for name, column in net.pipes.items()}
    double = Network(tables, fluid=net.fluid)
    alone, doubled = HydraulicSolver(net), HydraulicSolver(double)
    first_row = alone._slices["pipes"].start
    assert Reach(alone).without(first_row).any()
    assert not Reach(doubled).without(first_row).any()
    assert not Reach(doubled).without(first_row + net.pipes.rows).any()


def test_a_plant_that_is_gone_joins_nothing() -> None:
    """Two towns with a common return: without its plant one of them has no supply, whatever the other has."""
    net = town(3, plants=2, streets=12, loops=0)
    way = np.ones(net.pipes.rows, np.bool_)
    # the supply pipe that leads to the second plant's own street
    way[[r for r in range(net.pipes.rows) if net.pipes["to_node"][r] == "s11"]] = False
    state = net.changed(pipes_open=way)
    lost = Reach(HydraulicSolver(state), 1).without(-1)
    assert lost.tolist() == searched(state, None, 1).tolist()
    assert lost[net.consumers.row("c11")] and not lost.all()


def test_flow_that_turned_round_does_not_count() -> None:
    assert toward(np.array([1.0, -0.5, -2.0, 3.0]), np.array([2.0, 1.0, -1.0, 0.0])).tolist() == [
        1.0,
        0,
        2.0,
        0,
    ]
