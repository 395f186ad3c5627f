# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Symbolic work of the hydraulic solver, done once per topology.

Minimum-degree ordering of the unknown pressures, the fill pattern that follows from it and the static
elimination program (which factor entry each product is added to). It never looks at a value.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, realloc


cdef struct List:
    int32_t* item
    int32_t size
    int32_t room


cdef int push(List* row, int32_t value) except -1 nogil:
    cdef int32_t room
    cdef int32_t* grown
    if row.size == row.room:
        room = 4 if row.room == 0 else 2 * row.room
        grown = <int32_t*> realloc(row.item, room * sizeof(int32_t))
        if grown == NULL:
            with gil:
                raise MemoryError()
        row.item = grown
        row.room = room
    row.item[row.size] = value
    row.size += 1
    return 0


def minimum_degree(int32_t n, const int32_t[::1] first, const int32_t[::1] second):
    """Order n unknowns coupled by the pairs (first, second) so that elimination fills little.

    Pairs with a negative end, and pairs of equal ends, couple nothing. Returns (order, start, rows):
    order[k] is the unknown eliminated k-th; rows[start[k]:start[k + 1]] are the positions (in elimination
    order, ascending, all > k) that are still coupled with it then: the pattern of the factor's columns.
    """
    cdef Py_ssize_t e, pairs = first.shape[0]
    cdef int32_t i, j, k, a, b, v, d, live, lowest, write
    cdef int32_t q, r
    cdef List* adj = <List*> malloc(max(n, 1) * sizeof(List))
    cdef List* col = <List*> malloc(max(n, 1) * sizeof(List))
    order_np = np.empty(n, np.int32)
    where_np = np.full(n, -1, np.int32)
    degree_np = np.zeros(n, np.int32)
    mark_np = np.full(n, -1, np.int32)
    head_np = np.full(n + 1, -1, np.int32)
    next_np = np.full(n, -1, np.int32)
    prev_np = np.full(n, -1, np.int32)
    cdef int32_t[::1] order = order_np, where = where_np, degree = degree_np, mark = mark_np
    cdef int32_t[::1] head = head_np, nxt = next_np, prv = prev_np
    cdef int64_t total = 0
    if adj == NULL or col == NULL:
        free(adj)
        free(col)
        raise MemoryError()
    for i in range(n):
        adj[i].item = NULL
        adj[i].size = 0
        adj[i].room = 0
        col[i].item = NULL
        col[i].size = 0
        col[i].room = 0
    try:
        with nogil:
            for e in range(pairs):
                a = first[e]
                b = second[e]
                if a < 0 or b < 0 or a == b:
                    continue
                push(&adj[a], b)
                push(&adj[b], a)
            # parallel links couple once
            for i in range(n):
                write = 0
                for q in range(adj[i].size):
                    j = adj[i].item[q]
                    if mark[j] != i:
                        mark[j] = i
                        adj[i].item[write] = j
                        write += 1
                adj[i].size = write
                degree[i] = write
            for i in range(n):
                mark[i] = -1
            for i in range(n - 1, -1, -1):
                d = degree[i]
                nxt[i] = head[d]
                if head[d] >= 0:
                    prv[head[d]] = i
                head[d] = i
            lowest = 0
            live = n
            # invariant: adj[i] holds the live neighbours of every live i, perhaps among eliminated ones;
            # degree[i] counts the live ones only
            for k in range(n):
                while head[lowest] < 0:
                    lowest += 1
                v = head[lowest]
                head[lowest] = nxt[v]
                if nxt[v] >= 0:
                    prv[nxt[v]] = -1
                where[v] = k
                order[k] = v
                live -= 1
                for q in range(adj[v].size):
                    j = adj[v].item[q]
                    if where[j] < 0:
                        push(&col[k], j)
                total += col[k].size
                free(adj[v].item)
                adj[v].item = NULL
                adj[v].size = 0
                d = col[k].size
                for q in range(d):
                    a = col[k].item[q]
                    # take a out of its degree bucket
                    if prv[a] >= 0:
                        nxt[prv[a]] = nxt[a]
                    else:
                        head[degree[a]] = nxt[a]
                    if nxt[a] >= 0:
                        prv[nxt[a]] = prv[a]
                    degree[a] -= 1
                    # drop the dead once they are the majority of a long list, else scanning hubs is quadratic
                    if adj[a].size > 2 * degree[a] + 8:
                        write = 0
                        for r in range(adj[a].size):
                            j = adj[a].item[r]
                            if where[j] < 0:
                                adj[a].item[write] = j
                                write += 1
                        adj[a].size = write
                if d == 2:
                    a = col[k].item[0]
                    b = col[k].item[1]
                    if adj[a].size > adj[b].size:
                        i = a
                        a = b
                        b = i
                    write = 0
                    for r in range(adj[a].size):
                        if adj[a].item[r] == b:
                            write = 1
                            break
                    if write == 0:
                        push(&adj[a], b)
                        push(&adj[b], a)
                        degree[a] += 1
                        degree[b] += 1
                elif d > 2 and d < live:
                    for q in range(d):
                        a = col[k].item[q]
                        mark[a] = a
                        for r in range(adj[a].size):
                            mark[adj[a].item[r]] = a
                        for r in range(q + 1, d):
                            b = col[k].item[r]
                            if mark[b] != a:
                                push(&adj[a], b)
                                push(&adj[b], a)
                                degree[a] += 1
                                degree[b] += 1
                elif d > 2:
                    # the rest is one clique from here on: no search is needed any more
                    for q in range(d):
                        a = col[k].item[q]
                        if degree[a] != d - 1:
                            adj[a].size = 0
                            for r in range(d):
                                if r != q:
                                    push(&adj[a], col[k].item[r])
                            degree[a] = d - 1
                for q in range(d):
                    a = col[k].item[q]
                    prv[a] = -1
                    nxt[a] = head[degree[a]]
                    if nxt[a] >= 0:
                        prv[nxt[a]] = a
                    head[degree[a]] = a
                    if degree[a] < lowest:
                        lowest = degree[a]
        start_np = np.zeros(n + 1, np.int64)
        rows_np = np.empty(total, np.int32)
        fill(n, col, where, start_np, rows_np)
    finally:
        for i in range(n):
            free(adj[i].item)
            free(col[i].item)
        free(adj)
        free(col)
    return order_np, start_np, rows_np


cdef fill(int32_t n, List* col, const int32_t[::1] where, int64_t[::1] start, int32_t[::1] rows):
    cdef int32_t k, q, r, value
    cdef int64_t at = 0
    for k in range(n):
        start[k] = at
        for q in range(col[k].size):
            value = where[col[k].item[q]]
            # insertion sort: columns are a handful of entries long
            r = q
            while r > 0 and rows[at + r - 1] > value:
                rows[at + r] = rows[at + r - 1]
                r -= 1
            rows[at + r] = value
        at += col[k].size
    start[n] = at


def elimination_program(const int64_t[::1] start, const int32_t[::1] rows):
    """Where each product of two entries of a column goes, in the order the elimination makes them.

    For every column and every pair a < b of its rows (a outer, b inner) the position in `rows` of entry
    (row b, column a). Int32: a factor of more than 2**31 entries is refused.
    """
    cdef Py_ssize_t n = start.shape[0] - 1
    cdef Py_ssize_t k
    cdef int64_t i, j, at, total = 0, d, out = 0
    cdef int32_t column
    if rows.shape[0] > 2147483647:
        raise MemoryError("the factor of this network has more than 2**31 entries")
    for k in range(n):
        d = start[k + 1] - start[k]
        total += d * (d - 1) // 2
    target_np = np.empty(total, np.int32)
    cdef int32_t[::1] target = target_np
    with nogil:
        for k in range(n):
            for i in range(start[k], start[k + 1]):
                column = rows[i]
                at = start[column]
                for j in range(i + 1, start[k + 1]):
                    # both lists ascend, so the search never goes back
                    while rows[at] != rows[j]:
                        at += 1
                    target[out] = <int32_t> at
                    out += 1
    return target_np


def entry_positions(
    const int64_t[::1] start,
    const int32_t[::1] rows,
    const int32_t[::1] first,
    const int32_t[::1] second,
):
    """Position in `rows` of the coupling of each pair of elimination positions; -1 if an end is negative."""
    cdef Py_ssize_t e
    cdef int64_t low, high, middle
    cdef int32_t a, b, swap
    out_np = np.full(first.shape[0], -1, np.int32)
    cdef int32_t[::1] out = out_np
    for e in range(first.shape[0]):
        a = first[e]
        b = second[e]
        if a < 0 or b < 0 or a == b:
            continue
        if a > b:
            swap = a
            a = b
            b = swap
        low = start[a]
        high = start[a + 1] - 1
        while low < high:
            middle = (low + high) // 2
            if rows[middle] < b:
                low = middle + 1
            else:
                high = middle
        out[e] = <int32_t> low
    return out_np
