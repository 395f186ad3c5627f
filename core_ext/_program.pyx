# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lays a network out for the vector sweeps of _newton.h: groups of eight columns, blocks of eight links.

Columns of one level are sorted by their shape (how many neighbours, through which kinds of links), so that
the eight of a group have the same and few lanes stay empty. An empty lane points at places kept for that
purpose and carries zeros. It never looks at a value.
"""

import numpy as np

from libc.stdint cimport int8_t, int32_t, int64_t
from libc.string cimport memset

cdef enum:
    CLASSES = 4  # pipe, quadratic, limited, other
    MOST = 3  # links of one class that a shape tells apart


def shapes(int32_t n, const int64_t[::1] start, int32_t[::1] rows, const int32_t[::1] owner,
           const int32_t[::1] other, const int8_t[::1] kind):
    """Sort every column's neighbours by the links that lead there, and name its shape.

    Columns are in elimination order. owner[e] is the column a link
    belongs to, other[e] the unknown at its other end or -1 for a fixed pressure; kind[e] its class. `rows` is
    sorted in place. Returns (shape, link_start, link, link_row): links of column k are
    link[link_start[k]:link_start[k + 1]], link_row their neighbour's position in rows, -1 for fixed.
    """
    cdef Py_ssize_t e, links = owner.shape[0]
    cdef int32_t k, d, a, b, row
    cdef int64_t s, q, code
    link_start_np = np.zeros(n + 1, np.int32)
    link_np = np.empty(links, np.int32)
    link_row_np = np.empty(links, np.int32)
    shape_np = np.zeros(n, np.int64)
    at_np = np.zeros(n, np.int32)
    where_np = np.full(n, -1, np.int32)
    weight_np = np.zeros(n + 1, np.int64)
    cdef int32_t[::1] link_start = link_start_np, link = link_np, link_row = link_row_np, at = at_np
    cdef int32_t[::1] where = where_np
    cdef int64_t[::1] shape = shape_np, weight = weight_np
    cdef int64_t[4] unit
    unit[0] = 64
    unit[1] = 16
    unit[2] = 4
    unit[3] = 1
    with nogil:
        for e in range(links):
            link_start[owner[e] + 1] += 1
        for k in range(n):
            link_start[k + 1] += link_start[k]
            at[k] = link_start[k]
        for e in range(links):
            link[at[owner[e]]] = <int32_t> e
            at[owner[e]] += 1
        for k in range(n):
            s = start[k]
            d = <int32_t> (start[k + 1] - s)
            code = 0
            for a in range(d):
                where[rows[s + a]] = a
                weight[a] = 0
            weight[d] = 0
            for q in range(link_start[k], link_start[k + 1]):
                e = link[q]
                a = d if other[e] < 0 else where[other[e]]
                if weight[a] // unit[kind[e]] % 4 < MOST:
                    weight[a] += unit[kind[e]]
            # insertion sort by weight, heaviest first: columns are a handful of entries long
            for a in range(1, d):
                row = rows[s + a]
                code = weight[a]
                b = a
                while b > 0 and weight[b - 1] < code:
                    rows[s + b] = rows[s + b - 1]
                    weight[b] = weight[b - 1]
                    b -= 1
                rows[s + b] = row
                weight[b] = code
            code = d
            for a in range(d + 1):
                code = code * 257 + weight[a]
            shape[k] = code
            for a in range(d):
                where[rows[s + a]] = a
            for q in range(link_start[k], link_start[k + 1]):
                e = link[q]
                link_row[q] = -1 if other[e] < 0 else where[other[e]]
    return shape_np, link_start_np, link_np, link_row_np


def count_groups(const int32_t[::1] level, const int32_t[::1] picked):
    """Group of every column when columns are taken in the order `picked`, eight at a time inside a level."""
    cdef Py_ssize_t i, n = picked.shape[0]
    cdef int32_t group = -1, lane = 8, last = -1
    place_np = np.empty(n, np.int32)
    cdef int32_t[::1] place = place_np
    for i in range(n):
        if lane == 8 or level[picked[i]] != last:
            last = level[picked[i]]
            group += 1
            lane = 0
        place[picked[i]] = 8 * group + lane
        lane += 1
    return place_np, group + 1


def lay_out(
    int32_t groups,
    const int32_t[::1] place,
    const int64_t[::1] start,
    const int32_t[::1] rows,
    const int32_t[::1] column_of,
    const int32_t[::1] link_start,
    const int32_t[::1] link,
    const int32_t[::1] link_row,
    const int8_t[::1] kind,
    const int32_t[::1] fixed_place,
    int32_t trash_place,
):
    """Turn columns into groups and links into blocks.

    place[k]: 8 group + lane of column k; column_of[u]: column of unknown u; fixed_place[e]: place of the
    fixed end of a link that has one. Returns (group table (groups, 8), row, pairs of block and row, target,
    block counts by class, slot of every link); blocks count from 0 in each class.
    """
    cdef int32_t n = <int32_t> place.shape[0]
    cdef int32_t k, g, lane, a, b, c, d, widest = 0, other, early, late, block
    cdef int64_t s, q, total_rows = 0, total_targets = 0, total_entries = 0, total_blocks = 0, at, base, t, e
    cdef int32_t lanes, entries, ground, row_at
    member_np = np.full(8 * groups, -1, np.int32)
    cdef int32_t[::1] member = member_np
    for k in range(n):
        member[place[k]] = k
    for k in range(n):
        d = <int32_t> (start[k + 1] - start[k])
        widest = max(widest, d)
    # how many links of each class the fullest lane has, by entry; the last is fixed neighbours
    need_np = np.zeros((widest + 1, CLASSES), np.int32)
    have_np = np.zeros((widest + 1, CLASSES), np.int32)
    cdef int32_t[:, ::1] need = need_np, have = have_np
    table_np = np.zeros((max(groups, 1), 8), np.int32)
    cdef int32_t[:, ::1] table = table_np
    counts_np = np.zeros(CLASSES, np.int32)
    cdef int32_t[::1] counts = counts_np
    slot_np = np.full(kind.shape[0], -1, np.int32)
    cdef int32_t[::1] slot = slot_np
    # first round: sizes
    for g in range(groups):
        measure(g, member, start, link_start, link, link_row, kind, need, have, &lanes, &entries)
        ground = 0
        block = 0
        for c in range(CLASSES):
            ground += need[widest, c]
            block += need[widest, c]
            for a in range(entries):
                block += need[a, c]
        table[g, 0] = lanes
        table[g, 1] = entries
        table[g, 2] = ground
        table[g, 3] = block
        table[g, 4] = <int32_t> total_entries
        table[g, 5] = <int32_t> total_rows
        table[g, 6] = <int32_t> total_targets
        table[g, 7] = <int32_t> (2 * total_blocks)
        total_entries += entries
        total_rows += entries + ground
        total_targets += <int64_t> entries * (entries - 1) // 2
        total_blocks += block
    if 8 * (total_targets + total_entries + 8) > 2147483647:
        raise MemoryError("the factor of this network has more than 2**31 entries")
    row_np = np.empty(max(8 * total_rows, 1), np.int32)
    target_np = np.empty(max(8 * total_targets, 1), np.int32)
    pair_np = np.empty(max(2 * total_blocks, 1), np.int32)
    class_np = np.empty(max(total_blocks, 1), np.int8)
    cdef int32_t[::1] row = row_np, target = target_np, pair = pair_np
    cdef int8_t[::1] class_of = class_np
    # second round: contents
    for g in range(groups):
        measure(g, member, start, link_start, link, link_row, kind, need, have, &lanes, &entries)
        row_at = table[g, 5]
        ground = table[g, 2]
        for lane in range(8):
            k = member[8 * g + lane]
            d = 0 if k < 0 else <int32_t> (start[k + 1] - start[k])
            s = 0 if k < 0 else start[k]
            for a in range(entries + ground):
                row[8 * (<int64_t> row_at + a) + lane] = (
                    place[column_of[rows[s + a]]] if a < d else trash_place + lane)
            t = 8 * <int64_t> table[g, 6] + lane
            for a in range(entries):
                for b in range(a + 1, entries):
                    target[t] = <int32_t> (8 * total_entries + lane)
                    if b < d:
                        early = column_of[rows[s + a]]
                        late = column_of[rows[s + b]]
                        other = rows[s + b]
                        if place[early] > place[late]:
                            early, late = late, early
                            other = rows[s + a]
                        q = start[early]
                        while rows[q] != other:
                            q += 1
                        at = table[place[early] // 8, 4] + (q - start[early])
                        target[t] = <int32_t> (8 * at + place[early] % 8)
                    t += 8
        # blocks: for every entry, class by class; then the fixed neighbours
        at = table[g, 7]
        ground = 0
        have[:, :] = 0
        for a in range(entries + 1):
            for c in range(CLASSES):
                base = counts[c]
                b = a if a < entries else widest
                for _block in range(need[b, c]):
                    pair[at] = counts[c]
                    pair[at + 1] = a if a < entries else entries + ground
                    class_of[at // 2] = <int8_t> c
                    at += 2
                    counts[c] += 1
                    if a == entries:
                        ground += 1
                if need[b, c] == 0:
                    continue
                for lane in range(8):
                    k = member[8 * g + lane]
                    if k < 0:
                        continue
                    block = 0
                    for q in range(link_start[k], link_start[k + 1]):
                        e = link[q]
                        if kind[e] == c and link_row[q] == (a if a < entries else -1):
                            slot[e] = <int32_t> (8 * (base + block) + lane)
                            if a == entries:
                                row[8 * (<int64_t> row_at + entries + ground - need[b, c] + block) + lane] = (
                                    fixed_place[e])
                            block += 1
    classes = class_np[:total_blocks]
    return table_np, row_np, pair_np, classes, target_np, counts_np, slot_np, 8 * total_entries


cdef void measure(int32_t g, const int32_t[::1] member, const int64_t[::1] start,
                  const int32_t[::1] link_start, const int32_t[::1] link, const int32_t[::1] link_row,
                  const int8_t[::1] kind, int32_t[:, ::1] need, int32_t[:, ::1] have,
                  int32_t* lanes, int32_t* entries) noexcept:
    cdef int32_t lane, k, a, c, widest = <int32_t> need.shape[0] - 1
    cdef int64_t q
    lanes[0] = 0
    entries[0] = 0
    for lane in range(8):
        k = member[8 * g + lane]
        if k >= 0:
            lanes[0] = lane + 1
            if start[k + 1] - start[k] > entries[0]:
                entries[0] = <int32_t> (start[k + 1] - start[k])
    for a in range(entries[0]):
        memset(&need[a, 0], 0, CLASSES * sizeof(int32_t))
    memset(&need[widest, 0], 0, CLASSES * sizeof(int32_t))
    for lane in range(lanes[0]):
        k = member[8 * g + lane]
        if k < 0:
            continue
        for a in range(entries[0]):
            memset(&have[a, 0], 0, CLASSES * sizeof(int32_t))
        memset(&have[widest, 0], 0, CLASSES * sizeof(int32_t))
        for q in range(link_start[k], link_start[k + 1]):
            a = link_row[q] if link_row[q] >= 0 else widest
            c = kind[link[q]]
            have[a, c] += 1
            if have[a, c] > need[a, c]:
                need[a, c] = have[a, c]
