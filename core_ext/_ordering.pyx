# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Symbolic work of the hydraulic solver, done once per topology: what is peeled, and in which order the
rest is eliminated.

Trees that hang on the rest by one link are peeled from their tips. The rest is eliminated in levels of
unknowns that do not touch each other, each level taken from the unknowns of least degree, so that a level
is work for vector lanes and the factor still fills little. It never looks at a value.
"""

import numpy as np

from libc.stdint cimport int8_t, int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy


cdef struct List:
    int64_t at  # where in the pool its items begin
    int32_t size
    int32_t room


cdef struct Pool:
    # the items of all lists; one that grows beyond its room moves behind all others
    int32_t* item
    int64_t used
    int64_t size


cdef int grow(Pool* pool, List* row) except -1 nogil:
    cdef int64_t room = 2 * row.room + 4, size = pool.size
    cdef int32_t* grown
    if pool.used + room > size:
        size = 2 * size + room
        grown = <int32_t*> realloc(pool.item, size * sizeof(int32_t))
        if grown == NULL:
            with gil:
                raise MemoryError()
        pool.item = grown
        pool.size = size
    memcpy(pool.item + pool.used, pool.item + row.at, row.size * sizeof(int32_t))
    row.at = pool.used
    row.room = <int32_t> room
    pool.used += room
    return 0


cdef inline int push(Pool* pool, List* row, int32_t value) except -1 nogil:
    if row.size == row.room:
        grow(pool, row)
    pool.item[row.at + row.size] = value
    row.size += 1
    return 0


cdef inline void unlink(int32_t v, int32_t d, int32_t* head, int32_t* nxt, int32_t* prv) noexcept nogil:
    if prv[v] >= 0:
        nxt[prv[v]] = nxt[v]
    else:
        head[d] = nxt[v]
    if nxt[v] >= 0:
        prv[nxt[v]] = prv[v]


def peel(int32_t unknowns, int32_t nodes, const int32_t[::1] first, const int32_t[::1] second,
         const int8_t[::1] couples, const int8_t[::1] may_end, const int8_t[::1] keep):
    """Take off, tip by tip, every unknown that hangs on the rest by a single link.

    first, second: ends of the links, unknowns below `unknowns`, fixed nodes up to `nodes`. couples: links
    that count; may_end: links across which a tree may be cut off (no limit can act on them); keep:
    unknowns that must stay. Returns
    (node, parent, link), tips first; a parent is an unknown that is taken later or stays, or a fixed node.
    """
    cdef Py_ssize_t e, links = first.shape[0]
    cdef int32_t i, j, head = 0, tail = 0
    degree_np = np.zeros(unknowns, np.int32)
    # the sum of the ids of the links still there: when one is left, it is that link
    sum_np = np.zeros(unknowns, np.int64)
    queue_np = np.empty(unknowns, np.int32)
    parent_np = np.empty(unknowns, np.int32)
    link_np = np.empty(unknowns, np.int32)
    cdef int32_t[::1] degree = degree_np, queue = queue_np, parent = parent_np, link = link_np
    cdef int64_t[::1] total = sum_np
    with nogil:
        for e in range(links):
            if couples[e] == 0:
                continue
            if first[e] < unknowns:
                degree[first[e]] += 1
                total[first[e]] += e
            if second[e] < unknowns:
                degree[second[e]] += 1
                total[second[e]] += e
        for i in range(unknowns):
            if degree[i] == 1 and may_end[total[i]] and not keep[i]:
                queue[tail] = i
                tail += 1
        while head < tail:
            i = queue[head]
            if degree[i] != 1:
                # its only neighbour was taken with the same link before it: it is what the tree hangs on
                queue[head] = -1
                head += 1
                continue
            e = total[i]
            j = second[e] if first[e] == i else first[e]
            parent[head] = j
            link[head] = <int32_t> e
            degree[i] = 0
            if j < unknowns:
                degree[j] -= 1
                total[j] -= e
                if degree[j] == 1 and may_end[total[j]] and not keep[j]:
                    queue[tail] = j
                    tail += 1
            head += 1
    taken = queue_np[:tail] >= 0
    return queue_np[:tail][taken], parent_np[:tail][taken], link_np[:tail][taken]


def eliminate_by_levels(int32_t n, const int32_t[::1] first, const int32_t[::1] second,
                        int32_t slack=2, int32_t enough=64):
    """Order n unknowns coupled by the pairs (first, second) into levels that are independent inside.

    Pairs with a negative end, and pairs of equal ends, couple nothing. A level takes unknowns of the least
    degree; while it has fewer than `enough` it also takes of up to `slack` more. Returns
    (order, level, start, rows): order[k] is the unknown eliminated k-th, in level[k] (ascending);
    rows[start[k]:start[k + 1]] are the unknowns still coupled with it then.
    """
    cdef Py_ssize_t e, pairs = first.shape[0]
    cdef int32_t i, j, a, b, v, d, live, lowest, write, at, chosen, k, now
    cdef int32_t q, r
    cdef int64_t total = 0
    cdef int32_t* item
    cdef Pool pool
    cdef List* adj = <List*> calloc(max(n, 1), sizeof(List))
    cdef List* col = <List*> calloc(max(n, 1), sizeof(List))
    # for each unknown: degree, marks, and the lists of equal degree; then their heads
    cdef int32_t* work = <int32_t*> malloc((5 * <int64_t> n + n + 1) * sizeof(int32_t))
    cdef int32_t* degree = work
    cdef int32_t* mark = work + n
    cdef int32_t* blocked = mark + n
    cdef int32_t* nxt = blocked + n
    cdef int32_t* prv = nxt + n
    cdef int32_t* head = prv + n
    cdef int8_t* gone = <int8_t*> calloc(max(n, 1), 1)
    order_np = np.empty(n, np.int32)
    level_np = np.empty(n, np.int32)
    cdef int32_t[::1] order = order_np, level = level_np
    # what fills in takes about as much again
    pool.size = 4 * (pairs + <int64_t> n) + 4
    pool.used = 0
    pool.item = <int32_t*> malloc(pool.size * sizeof(int32_t))
    try:
        if adj == NULL or col == NULL or work == NULL or gone == NULL or pool.item == NULL:
            raise MemoryError()
        with nogil:
            for i in range(n):
                degree[i] = 0
                mark[i] = -1
                blocked[i] = -1
                prv[i] = -1
                head[i] = -1
            head[n] = -1
            for e in range(pairs):
                a = first[e]
                b = second[e]
                if a >= 0 and b >= 0 and a != b:
                    adj[a].room += 1
                    adj[b].room += 1
            for i in range(n):
                adj[i].at = pool.used
                pool.used += adj[i].room
            for e in range(pairs):
                a = first[e]
                b = second[e]
                if a >= 0 and b >= 0 and a != b:
                    push(&pool, &adj[a], b)
                    push(&pool, &adj[b], a)
            # parallel links couple once
            for i in range(n):
                write = 0
                item = pool.item + adj[i].at
                for q in range(adj[i].size):
                    j = item[q]
                    if mark[j] != i:
                        mark[j] = i
                        item[write] = j
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
            k = 0
            now = 0
            # invariant: adj[i] holds the live neighbours of every live i, perhaps among eliminated ones;
            # degree[i] counts the live ones only
            while k < n:
                while head[lowest] < 0:
                    lowest += 1
                chosen = k
                d = lowest
                while d <= lowest + slack and d < n and (d == lowest or chosen - k < enough):
                    v = head[d]
                    while v >= 0:
                        if blocked[v] != now:
                            order[chosen] = v
                            chosen += 1
                            write = 0
                            item = pool.item + adj[v].at
                            for q in range(adj[v].size):
                                j = item[q]
                                if gone[j] == 0:
                                    blocked[j] = now
                                    item[write] = j
                                    write += 1
                            adj[v].size = write
                        v = nxt[v]
                    d += 1
                for at in range(k, chosen):
                    v = order[at]
                    level[at] = now
                    unlink(v, degree[v], head, nxt, prv)
                    gone[v] = 1
                    live -= 1
                    col[at] = adj[v]
                    d = col[at].size
                    total += d
                    for q in range(d):
                        a = pool.item[col[at].at + q]
                        unlink(a, degree[a], head, nxt, prv)
                        degree[a] -= 1
                        # drop the dead once they are most of a long list, else scanning hubs is quadratic
                        if adj[a].size > 2 * degree[a] + 8:
                            write = 0
                            item = pool.item + adj[a].at
                            for r in range(adj[a].size):
                                j = item[r]
                                if gone[j] == 0:
                                    item[write] = j
                                    write += 1
                            adj[a].size = write
                    if d == 2:
                        a = pool.item[col[at].at]
                        b = pool.item[col[at].at + 1]
                        if adj[a].size > adj[b].size:
                            i = a
                            a = b
                            b = i
                        write = 0
                        item = pool.item + adj[a].at
                        for r in range(adj[a].size):
                            if item[r] == b:
                                write = 1
                                break
                        if write == 0:
                            push(&pool, &adj[a], b)
                            push(&pool, &adj[b], a)
                            degree[a] += 1
                            degree[b] += 1
                    elif d > 2 and d < live:
                        for q in range(d):
                            a = pool.item[col[at].at + q]
                            mark[a] = a
                            item = pool.item + adj[a].at
                            for r in range(adj[a].size):
                                mark[item[r]] = a
                            for r in range(q + 1, d):
                                b = pool.item[col[at].at + r]
                                if mark[b] != a:
                                    push(&pool, &adj[a], b)
                                    push(&pool, &adj[b], a)
                                    degree[a] += 1
                                    degree[b] += 1
                    elif d > 2:
                        # the rest is one clique from here on: no search is needed any more
                        for q in range(d):
                            a = pool.item[col[at].at + q]
                            if degree[a] != d - 1:
                                adj[a].size = 0
                                for r in range(d):
                                    if r != q:
                                        push(&pool, &adj[a], pool.item[col[at].at + r])
                                degree[a] = d - 1
                    for q in range(d):
                        a = pool.item[col[at].at + q]
                        prv[a] = -1
                        nxt[a] = head[degree[a]]
                        if nxt[a] >= 0:
                            prv[nxt[a]] = a
                        head[degree[a]] = a
                        if degree[a] < lowest:
                            lowest = degree[a]
                k = chosen
                now += 1
        start_np = np.zeros(n + 1, np.int64)
        rows_np = np.empty(total, np.int32)
        fill(n, col, pool.item, start_np, rows_np)
    finally:
        free(adj)
        free(col)
        free(work)
        free(gone)
        free(pool.item)
    return order_np, level_np, start_np, rows_np


cdef fill(int32_t n, const List* col, const int32_t* item, int64_t[::1] start, int32_t[::1] rows):
    cdef int32_t k, q
    cdef int64_t at = 0
    for k in range(n):
        start[k] = at
        for q in range(col[k].size):
            rows[at + q] = item[col[k].at + q]
        at += col[k].size
    start[n] = at
