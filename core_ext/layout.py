"""Where every node and link of a topology lies in the arrays of the solver's kernel.

Made once per topology and shared by every copy of a solver; nothing in it changes afterwards. It solves
nothing and knows no values: only ends, kinds of laws and what may be peeled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._ordering import eliminate_by_levels, peel
from ._program import count_groups, lay_out, shapes

IntArray = npt.NDArray[np.int32]
Int8Array = npt.NDArray[np.int8]

# classes of links: by which loop of the kernel their law is evaluated
PIPES, QUADRATICS, LIMITED, OTHERS, UNCOUPLED = 0, 1, 2, 3, 4
CLASSES = 4
LANES = 8

# laws of links, as the kernel numbers them
PIPE, QUADRATIC, FIXED, POWER, CURVE, HAZEN, REGULATOR, IMPOSED, PINNED = range(9)


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of nodes and slots of links; arrays are read-only.

    place: of every node; node_of: node of every place, -1 for an empty lane. Places begin with columns, eight
    to a group, then peeled nodes, then fixed ones (from `fixed_at`), then eight nobody owns (`trash_at`).
    slot: of every link 2 slot + 1 if it runs against its column, 2 slot if not; -1 for uncoupled links.
    group: as Group in _net.h; row: four times the places of neighbours; link: first slot of a block, and the
    neighbour's position in the group; target: entry that a product goes to.
    begin: first block of each class in the core, of peeled pipes, of other peeled links, and the end.
    """

    nodes: int
    links: int
    groups: int
    alias_groups: int
    group: IntArray
    row: IntArray
    link: IntArray
    target: IntArray
    slot: IntArray
    place: IntArray
    node_of: IntArray
    first: IntArray
    second: IntArray
    peel_place: IntArray
    peel_parent: IntArray
    peel_slot: IntArray
    alias_place: IntArray
    alias_of: IntArray
    begin: tuple[int, ...]
    entries: int
    widest: int
    fixed_at: int
    trash_at: int
    unknowns: int
    levels: int

    @property
    def places(self) -> int:
        return self.trash_at + LANES


def make_layout(
    fixed: npt.NDArray[np.bool_],
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    classes: Int8Array,
    can_stop: npt.NDArray[np.bool_],
    sensed: npt.NDArray[np.bool_] | None = None,
) -> Layout:
    """Lay out a topology.

    fixed: which nodes have a given pressure; first, second: end nodes of every link; classes: PIPES to
    OTHERS, or UNCOUPLED where the flow is imposed; can_stop: OTHERS that have a limit. A tree is cut off at
    any coupled link whose flow nothing can stop; nodes in `sensed` are never cut off.
    """
    nodes, links = len(fixed), len(first)
    unknown_nodes = np.flatnonzero(~fixed)
    fixed_nodes = np.flatnonzero(fixed)
    n = len(unknown_nodes)
    small = np.empty(nodes, np.int32)
    small[unknown_nodes] = np.arange(n, dtype=np.int32)
    small[fixed_nodes] = np.arange(n, nodes, dtype=np.int32)
    a, b = small[first], small[second]
    couples = classes != UNCOUPLED
    peelable = couples & (classes != LIMITED) & ~can_stop
    keep = np.zeros(n, np.int8) if sensed is None else sensed[unknown_nodes].astype(np.int8)
    peeled, parent, peel_link = peel(n, nodes, a, b, couples.astype(np.int8), peelable.astype(np.int8), keep)

    # what stays: unknowns in the core, numbered anew
    core = np.full(nodes, -1, np.int32)
    stays = np.ones(n, np.bool_)
    stays[peeled] = False
    core_nodes = np.flatnonzero(stays)
    core[core_nodes] = np.arange(len(core_nodes), dtype=np.int32)
    in_core = couples.copy()
    in_core[peel_link] = False
    ends_a = np.where(in_core, core[a], -1).astype(np.int32)
    ends_b = np.where(in_core, core[b], -1).astype(np.int32)
    order, level, start, rows = eliminate_by_levels(len(core_nodes), ends_a, ends_b)
    column = np.empty(len(order), np.int32)
    column[order] = np.arange(len(order), dtype=np.int32)

    # a link belongs to the column of its end that goes first; both ends fixed: to an alias
    ca = np.where(ends_a >= 0, column[ends_a] if len(column) else 0, len(order)).astype(np.int32)
    cb = np.where(ends_b >= 0, column[ends_b] if len(column) else 0, len(order)).astype(np.int32)
    owned = np.flatnonzero(in_core & ((ends_a >= 0) | (ends_b >= 0)))
    against = (cb < ca)[owned]
    owner = np.minimum(ca, cb)[owned]
    far = np.where(against, ends_a[owned], ends_b[owned])
    owned_class = classes[owned].astype(np.int8, copy=False)
    shape, link_start, link, link_row = shapes(len(order), start, rows, owner, far, owned_class)
    picked = np.lexsort((shape, level)).astype(np.int32)
    place_of_column, groups = count_groups(level, picked)
    bridging = np.flatnonzero(in_core & (ends_a < 0) & (ends_b < 0))
    alias_sizes = np.bincount(classes[bridging], minlength=CLASSES).tolist()
    alias_groups = sum(-(-size // LANES) for size in alias_sizes)
    columns_end = LANES * (groups + alias_groups)
    fixed_at = columns_end + len(peeled)
    trash_at = fixed_at + len(fixed_nodes)

    place = np.empty(nodes, np.int32)
    place[unknown_nodes[core_nodes]] = place_of_column[column] if len(column) else 0
    place[unknown_nodes[peeled]] = columns_end + np.arange(len(peeled), dtype=np.int32)
    place[fixed_nodes] = fixed_at + np.arange(len(fixed_nodes), dtype=np.int32)
    node_of = np.full(trash_at + LANES, -1, np.int32)
    node_of[place] = np.arange(nodes, dtype=np.int32)

    first_place, second_place = place[first], place[second]
    fixed_end = np.where(against, first_place[owned], second_place[owned])
    table, row, pair, block_class, target, counts, slots, entries = lay_out(
        groups, place_of_column, start, rows, column, link_start, link, link_row,
        owned_class, fixed_end, trash_at,
    )  # fmt: skip

    # aliases: one column per link between fixed pressures, in groups of their own behind all others
    alias_place, alias_of, alias_slot = [], [], np.full(len(bridging), -1, np.int32)
    alias_table, alias_row, alias_pair, alias_class = [], [], [], []
    row_at, link_at, group_at = len(row) // LANES if groups else 0, 2 * len(block_class), groups
    for c in range(CLASSES):
        members = np.flatnonzero(classes[bridging] == c)
        for begin in range(0, len(members), LANES):
            chunk = members[begin : begin + LANES]
            there = np.arange(trash_at, trash_at + LANES, dtype=np.int32)
            there[: len(chunk)] = second_place[bridging[chunk]]
            alias_table.append((len(chunk), 0, 1, 1, 0, row_at, 0, link_at))
            alias_row.append(there)
            alias_pair.append((int(counts[c]), 0))
            alias_class.append(c)
            alias_slot[chunk] = LANES * int(counts[c]) + np.arange(len(chunk))
            alias_place.append(LANES * group_at + np.arange(len(chunk), dtype=np.int32))
            alias_of.append(first_place[bridging[chunk]])
            counts[c] += 1
            row_at, link_at, group_at = row_at + 1, link_at + 2, group_at + 1
    table = np.concatenate([table[:groups], np.array(alias_table, np.int32).reshape(-1, 8)])
    row = np.concatenate([row[: LANES * (row_at - len(alias_row))], *alias_row]).astype(np.int32)
    pair = np.concatenate(
        [pair[: 2 * len(block_class)].reshape(-1, 2), np.array(alias_pair, np.int32).reshape(-1, 2)]
    )
    block_class = np.concatenate([block_class, np.array(alias_class, np.int8)])

    # blocks of a class lie together: pipes first, which the kernel takes two blocks at a time
    counts[PIPES] += counts[PIPES] % 2
    class_at = np.concatenate(([0], np.cumsum(counts)))
    pair[:, 0] += class_at[block_class].astype(np.int32)
    slot = np.full(links, -1, np.int32)
    # lay_out counts the slots of its owned links in their own order
    slot[owned] = 2 * ((LANES * class_at).astype(np.int32)[owned_class] + slots) + against
    slot[bridging] = 2 * (LANES * class_at[classes[bridging]] + alias_slot)
    # peeled links lie densely behind the core: pipes first
    peel_slot = np.empty(len(peeled), np.int32)
    is_pipe = classes[peel_link] == PIPES
    pipe_blocks = 2 * -(-int(is_pipe.sum()) // (2 * LANES))
    other_blocks = -(-int((~is_pipe).sum()) // LANES)
    peeled_at = int(class_at[-1])
    peel_slot[is_pipe] = LANES * peeled_at + np.arange(int(is_pipe.sum()), dtype=np.int32)
    peel_slot[~is_pipe] = LANES * (peeled_at + pipe_blocks) + np.arange(int((~is_pipe).sum()), dtype=np.int32)
    slot[peel_link] = 2 * peel_slot + (b[peel_link] == peeled)
    peel_parent = place[np.concatenate([unknown_nodes, fixed_nodes])[parent]] if len(parent) else parent

    layout = Layout(
        nodes=nodes,
        links=links,
        groups=groups + alias_groups,
        alias_groups=alias_groups,
        group=np.ascontiguousarray(table, np.int32),
        row=4 * row,
        link=(pair * np.array([LANES, 1], np.int32)).astype(np.int32).ravel(),
        target=target,
        slot=slot,
        place=place,
        node_of=node_of,
        first=first_place,
        second=second_place,
        peel_place=place[unknown_nodes[peeled]].astype(np.int32),
        peel_parent=peel_parent.astype(np.int32),
        peel_slot=peel_slot,
        alias_place=np.concatenate([*alias_place, np.empty(0, np.int32)]).astype(np.int32),
        alias_of=np.concatenate([*alias_of, np.empty(0, np.int32)]).astype(np.int32),
        begin=(*(int(c) for c in class_at), peeled_at + pipe_blocks, peeled_at + pipe_blocks + other_blocks),
        entries=int(entries),
        widest=int((table[:, 1] + table[:, 2]).max()) if len(table) else 1,
        fixed_at=fixed_at,
        trash_at=trash_at,
        unknowns=n,
        levels=int(level[-1]) + 1 if len(level) else 0,
    )
    for name in Layout.__slots__:
        value = getattr(layout, name)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return layout
