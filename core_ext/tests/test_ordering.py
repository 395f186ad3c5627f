"""The symbolic kernel against a plain-numpy elimination of the same graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .._ordering import elimination_program, entry_positions, minimum_degree


def numpy_pattern(order: np.ndarray, pairs: np.ndarray) -> list[list[int]]:
    """Column patterns of the factor by eliminating a boolean matrix."""
    n = len(order)
    place = np.empty(n, int)
    place[order] = np.arange(n)
    full = np.zeros((n, n), bool)
    for a, b in pairs:
        if a >= 0 and b >= 0 and a != b:
            full[place[a], place[b]] = full[place[b], place[a]] = True
    columns = []
    for k in range(n):
        rows = np.flatnonzero(full[k, k + 1 :]) + k + 1
        columns.append(rows.tolist())
        full[np.ix_(rows, rows)] = True
        np.fill_diagonal(full, False)
    return columns


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    n = draw(st.integers(0, 40))
    ends = st.integers(-1, n - 1) if n else st.just(-1)
    pairs = draw(st.lists(st.tuples(ends, ends), max_size=120))
    return n, np.array(pairs, np.int32).reshape(-1, 2)


@given(graphs())
@settings(max_examples=300, deadline=None)
def test_pattern_is_the_pattern_of_elimination(graph: tuple[int, np.ndarray]) -> None:
    n, pairs = graph
    order, start, rows = minimum_degree(n, pairs[:, 0].copy(), pairs[:, 1].copy())
    assert sorted(order) == list(range(n))
    ours = [rows[start[k] : start[k + 1]].tolist() for k in range(n)]
    assert ours == numpy_pattern(order, pairs)


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_program_adds_every_product_where_it_belongs(graph: tuple[int, np.ndarray]) -> None:
    n, pairs = graph
    order, start, rows = minimum_degree(n, pairs[:, 0].copy(), pairs[:, 1].copy())
    target = elimination_program(start, rows)
    column_of = np.repeat(np.arange(n), np.diff(start))
    at = 0
    for k in range(n):
        column = rows[start[k] : start[k + 1]]
        for i, a in enumerate(column):
            for b in column[i + 1 :]:
                assert (column_of[target[at]], rows[target[at]]) == (a, b)
                at += 1
    assert at == len(target)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    first, second = (np.where(pairs[:, i] >= 0, place[pairs[:, i]] if n else -1, -1) for i in (0, 1))
    position = entry_positions(start, rows, first.astype(np.int32), second.astype(np.int32))
    for a, b, p in zip(first, second, position, strict=True):
        if a < 0 or b < 0 or a == b:
            assert p == -1
        else:
            assert (column_of[p], rows[p]) == (min(a, b), max(a, b))


def test_a_tree_fills_nothing() -> None:
    rng = np.random.default_rng(1)
    n = 2000
    parent = np.array([rng.integers(0, i) for i in range(1, n)], np.int32)
    _order, start, _rows = minimum_degree(n, parent, np.arange(1, n, dtype=np.int32))
    assert start[-1] == n - 1


def test_a_hub_of_many_leaves_stays_linear() -> None:
    n = 200_000
    _order, start, _rows = minimum_degree(n, np.zeros(n - 1, np.int32), np.arange(1, n, dtype=np.int32))
    assert start[-1] == n - 1


@pytest.mark.parametrize("n", [3, 9, 30])
def test_a_complete_graph_is_filled(n: int) -> None:
    a, b = np.triu_indices(n, 1)
    _order, start, _rows = minimum_degree(n, a.astype(np.int32), b.astype(np.int32))
    assert start[-1] == n * (n - 1) // 2
