"""The symbolic kernels against plain-numpy elimination of the same graph, and what the layout promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .._ordering import eliminate_by_levels, peel
from ..layout import LANES, PIPES, UNCOUPLED, Layout, make_layout


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    n = draw(st.integers(0, 40))
    ends = st.integers(-1, n - 1) if n else st.just(-1)
    pairs = draw(st.lists(st.tuples(ends, ends), max_size=120))
    return n, np.array(pairs, np.int32).reshape(-1, 2)


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_columns_are_those_of_elimination_and_levels_do_not_touch(graph: tuple[int, np.ndarray]) -> None:
    n, pairs = graph
    order, level, start, rows = eliminate_by_levels(n, pairs[:, 0].copy(), pairs[:, 1].copy())
    assert sorted(order) == list(range(n))
    assert (np.diff(level) >= 0).all()
    level_of = dict(zip(order.tolist(), level.tolist(), strict=True))
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for a, b in pairs.tolist():
        if a >= 0 and b >= 0 and a != b:
            neighbours[a].add(b)
            neighbours[b].add(a)
    for k, v in enumerate(order.tolist()):
        column = rows[start[k] : start[k + 1]].tolist()
        assert set(column) == neighbours[v]
        assert len(column) == len(neighbours[v])
        assert all(level_of[a] > level[k] for a in column)
        for a in column:
            neighbours[a] |= neighbours[v]
            neighbours[a] -= {a, v}


def test_a_ladder_fills_little_in_few_levels() -> None:
    rng = np.random.default_rng(1)
    n = 2000
    parent = np.array([rng.integers(max(0, i - 30), i) for i in range(1, n)], np.int32)
    child = np.arange(1, n, dtype=np.int32)
    # supply tree, return tree, a rung at every street
    first = np.concatenate([parent, parent + n, np.arange(n, dtype=np.int32)]).astype(np.int32)
    second = np.concatenate([child, child + n, np.arange(n, 2 * n, dtype=np.int32)]).astype(np.int32)
    _order, level, start, _rows = eliminate_by_levels(2 * n, first, second)
    assert start[-1] < 3.2 * 2 * n
    assert level[-1] < 150


@pytest.mark.parametrize("n", [3, 9, 30])
def test_a_complete_graph_is_filled(n: int) -> None:
    a, b = np.triu_indices(n, 1)
    _order, _level, start, _rows = eliminate_by_levels(n, a.astype(np.int32), b.astype(np.int32))
    assert start[-1] == n * (n - 1) // 2


def test_a_tree_is_peeled_to_its_root() -> None:
    rng = np.random.default_rng(1)
    n = 2000
    parent = np.array([rng.integers(0, i) for i in range(1, n)], np.int32)
    links = np.ones(n - 1, np.int8)
    node, up, link = peel(
        n - 1,
        n,
        n - 1 - parent,
        n - 1 - np.arange(1, n, dtype=np.int32),
        links,
        links,
        np.zeros(n - 1, np.int8),
    )
    # the root (node 0) is the fixed one here, numbered last
    assert len(node) == n - 1
    seen: set[int] = set()
    for i in range(n - 1):
        assert up[i] not in seen  # a parent is taken later
        seen.add(int(node[i]))
    assert sorted(link) == list(range(n - 1))


def test_a_hub_of_many_leaves_stays_linear() -> None:
    n = 200_000
    hub, leaves = np.zeros(n - 1, np.int32), np.arange(1, n, dtype=np.int32)
    links = np.ones(n - 1, np.int8)
    node, _up, _link = peel(n, n, hub, leaves, links, links, np.zeros(n, np.int8))
    assert len(node) == n - 1
    _order, _level, start, _rows = eliminate_by_levels(n, hub, leaves)
    assert start[-1] == n - 1


@st.composite
def topologies(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    nodes = draw(st.integers(2, 30))
    fixed = np.array(draw(st.lists(st.booleans(), min_size=nodes, max_size=nodes)))
    links = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = rng.integers(0, nodes, links)
    second = (first + rng.integers(1, nodes, links)) % nodes
    classes = rng.integers(0, UNCOUPLED + 1, links).astype(np.int8)
    return fixed, first, second, classes, rng.random(links) < 0.3


def members(layout: Layout) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
    """What the program says: of every slot its two places, of every factor entry its two places."""
    slots: dict[int, tuple[int, int]] = {}
    entries: dict[int, tuple[int, int]] = {}
    for g, (lanes, d, ground, blocks, entry_at, row_at, _target, link_at) in enumerate(layout.group.tolist()):
        row = layout.row[LANES * row_at : LANES * (row_at + d + ground)].reshape(-1, LANES) // 4
        for lane in range(lanes):
            place = LANES * g + lane
            for a in range(d):
                entries[LANES * (entry_at + a) + lane] = (place, int(row[a, lane]))
            for i in range(blocks):
                begin, a = layout.link[link_at + 2 * i], layout.link[link_at + 2 * i + 1]
                if int(row[a, lane]) < layout.trash_at:
                    slots.setdefault(int(begin) + lane, (place, int(row[a, lane])))
    return slots, entries


@given(topologies())
@settings(max_examples=200, deadline=None)
def test_every_link_lies_once_where_its_ends_are(
    topology: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    fixed, first, second, classes, can_stop = topology
    layout = make_layout(fixed, first, second, classes, can_stop)
    slots, _ = members(layout)
    alias = dict(zip(layout.alias_place.tolist(), layout.alias_of.tolist(), strict=True))
    peeled = {
        int(slot): (int(a), int(b))
        for slot, a, b in zip(layout.peel_slot, layout.peel_place, layout.peel_parent, strict=True)
    }
    used = []
    for e in range(len(first)):
        code = int(layout.slot[e])
        if classes[e] == UNCOUPLED:
            assert code == -1
            continue
        used.append(code >> 1)
        own, far = slots.get(code >> 1) or peeled[code >> 1]
        ends = (int(layout.place[first[e]]), int(layout.place[second[e]]))
        assert (alias.get(own, own), far) == (ends[::-1] if code & 1 else ends)
        block = (code >> 1) // LANES
        if block < layout.begin[4]:
            assert layout.begin[classes[e]] <= block < layout.begin[classes[e] + 1]
        else:
            assert not can_stop[e]
            assert (block < layout.begin[5]) == (classes[e] == PIPES)
    assert len(set(used)) == len(used)


@given(topologies())
@settings(max_examples=200, deadline=None)
def test_every_product_goes_to_the_coupling_of_its_two_rows(
    topology: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    layout = make_layout(*topology)
    _, entries = members(layout)
    for lanes, d, _ground, _blocks, _entry, row_at, target_at, _link in layout.group.tolist():
        row = layout.row[LANES * row_at : LANES * (row_at + d)].reshape(-1, LANES) // 4
        at = target_at
        for a in range(d):
            for b in range(a + 1, d):
                for lane in range(lanes):
                    ends = {int(row[a, lane]), int(row[b, lane])}
                    target = int(layout.target[LANES * at + lane])
                    if max(ends) < layout.trash_at:
                        assert set(entries[target]) == ends
                        assert entries[target][0] == min(ends)
                    else:
                        assert target >= layout.entries
                at += 1
