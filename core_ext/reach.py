"""Which consumers the loss of any one link leaves without a way to a plant and back.

One depth-first search finds all links whose loss parts the network. A consumer behind such a link may still
have a trickle, because warm water rises beside cold; no heat reaches it. Links count as open both ways, and
what flows is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .network import FloatArray
from .solver import SHUT_BELOW

if TYPE_CHECKING:
    from .solver import HydraulicSolver

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp] | npt.NDArray[np.int32]


class Reach:
    """Parts of a solver's network as it is now; `without_source`: a source (row) that is not there.

    A part is alive when a source, a fixed pressure or water that is fed in is in it: through pipes and valves
    that are open and pumps that run, not through consumers.
    """

    def __init__(self, solver: HydraulicSolver, without_source: int = -1) -> None:
        first, second, _ = solver._ends
        consumers, sources = solver._slices["consumers"], solver._slices["sources"]
        self._ends = (first[consumers], second[consumers])
        carries = np.ones(len(first), np.bool_)
        carries[solver._slices["pipes"]] = solver._columns["pipes_open"] != 0
        carries[solver._slices["valves"]] = ~_shut(solver)
        carries[solver._slices["pumps"]] = solver._columns["pumps_speed"] > 0.0
        carries[consumers] = carries[sources] = False
        alive = np.isfinite(solver._columns["nodes_fixed_pressure_pa"])
        # what a node takes out feeds nobody
        alive |= solver._columns["nodes_mass_injection_kg_s"] > 0.0
        for row in range(solver.net.sources.rows):
            if row != without_source:
                alive[[first[sources][row], second[sources][row]]] = True
        # link -> places whose part dies with it, as (begin, end) or what is left of (begin, end) around it
        self._dead: dict[int, tuple[tuple[int, int], tuple[int, int] | None]] = {}
        self._place = np.empty(len(alive), np.intp)
        self._never = np.zeros(len(alive), np.bool_)
        self._search(first, second, np.flatnonzero(carries), alive)

    def without(self, link: int) -> Flags:
        """Consumers that have no way to a plant, or none back, when this link is lost (-1: none is)."""
        lost = np.zeros(len(self._ends[0]), np.bool_)
        for end in self._ends:
            lost |= self._never[end]
            if link in self._dead:
                (begin, stop), around = self._dead[link]
                at = self._place[end]
                inside = (at >= begin) & (at < stop)
                lost |= inside if around is None else ~inside & (at >= around[0]) & (at < around[1])
        return lost

    def _search(self, first: Rows, second: Rows, links: Rows, alive: Flags) -> None:
        """Number the nodes depth first; a link parts the network where no other way leads back above it."""
        nodes = len(alive)
        begin, neighbour, by = _adjacency(first, second, links, nodes)
        place, low, parent, parent_link = [-1] * nodes, [0] * nodes, [-1] * nodes, [-1] * nodes
        at: list[int] = begin[:-1].tolist()
        order: list[int] = []
        stop, beside, of_link = begin[1:].tolist(), neighbour.tolist(), by.tolist()
        for root in range(nodes):
            if place[root] >= 0:
                continue
            since = len(order)
            place[root] = low[root] = since
            order.append(root)
            stack = [root]
            while stack:
                node = stack[-1]
                if at[node] == stop[node]:
                    stack.pop()
                    continue
                other, link = beside[at[node]], of_link[at[node]]
                at[node] += 1
                if place[other] < 0:
                    place[other] = low[other] = len(order)
                    parent[other], parent_link[other] = node, link
                    order.append(other)
                    stack.append(other)
                elif link != parent_link[node]:
                    low[node] = min(low[node], place[other])
            self._judge(order[since:], since, place, low, parent, parent_link, alive)
        self._place[:] = place

    def _judge(
        self,
        part: list[int],
        since: int,
        place: list[int],
        low: list[int],
        parent: list[int],
        parent_link: list[int],
        alive: Flags,
    ) -> None:
        """Of one connected part: whether it lives at all, and what dies with each of its links."""
        size, lives = dict.fromkeys(part, 1), {node: int(alive[node]) for node in part}
        total = sum(lives.values())
        if not total:
            self._never[part] = True
            return
        for node in reversed(part[1:]):
            above = parent[node]
            size[above] += size[node]
            lives[above] += lives[node]
            low[above] = min(low[above], low[node])
            if low[node] == place[node]:
                behind = (place[node], place[node] + size[node])
                if not lives[node]:
                    self._dead[parent_link[node]] = (behind, None)
                elif lives[node] == total:
                    self._dead[parent_link[node]] = (behind, (since, since + len(part)))


def _shut(solver: HydraulicSolver) -> Flags:
    """Valves that let nothing through whatever the pressures, as the kernel's laws have it."""
    now, kind = solver._columns, solver.net.valves["kind"]
    shut: Flags = now["valves_opening"] < SHUT_BELOW
    # a valve given by its loss curve has no kv; one given by its loss coefficient has NaN, which is not below
    shut |= (kind != "curve") & (now["valves_kv_m3_h"] < SHUT_BELOW)
    shut |= (kind == "flow_limit") & (now["valves_setting"] <= 0.0)
    return shut


def _adjacency(first: Rows, second: Rows, links: Rows, nodes: int) -> tuple[Rows, Rows, Rows]:
    """Neighbours of every node: where each node's begin, who they are, and by which link."""
    here = np.r_[first[links], second[links]]
    there = np.r_[second[links], first[links]]
    order = np.argsort(here, kind="stable")
    begin = np.r_[0, np.cumsum(np.bincount(here, minlength=nodes))]
    return begin, there[order], np.r_[links, links][order]


def toward(flow: FloatArray, before: FloatArray) -> FloatArray:
    """Flow in the direction it had before, kg/s; 0 where it has turned round."""
    forward: FloatArray = np.maximum(flow * np.sign(before), 0.0)
    return forward
