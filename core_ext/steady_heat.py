"""Temperatures that a network with constant flows tends to.

Water is followed downstream once; where flow goes round in circles the temperatures at which the circles are
cut come from one dense system with as many unknowns. Nothing moves in time here and nothing is checked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]

STANDING_KG_S = 1e-12
REAL_INFLOW = 1e-9  # share of a node's outflow below which an inflow is rounding of the flows


class Undetermined(Exception):
    """Water enters at a node and nobody says how warm it is."""

    def __init__(self, node: int, mass_kg_s: float) -> None:
        super().__init__(node, mass_kg_s)
        self.node, self.mass_kg_s = node, mass_kg_s


@dataclass(frozen=True, slots=True)
class SteadyHeat:
    """Result of `ThermalTransport.steady`; all temperatures degC, pipes in row order.

    `from_temp_c` and `to_temp_c` are those of the water in a pipe at its two ends; `loss_w` is what each pipe
    gives to the ground, W.
    """

    node_temp_c: FloatArray
    from_temp_c: FloatArray
    to_temp_c: FloatArray
    loss_w: FloatArray


def solve_steady(
    from_row: IntArray,
    to_row: IntArray,
    flow_kg_s: FloatArray,
    loss_kg_s: FloatArray,
    heat_capacity_j_kgk: float,
    ground_temp_c: FloatArray,
    inflow_temp_c: FloatArray,
    inflow_kg_s: FloatArray | None,
    last_temp_c: FloatArray,
    pipes: int,
) -> SteadyHeat:
    """Mix downstream. Links: ends, flow, loss (W/K over the heat capacity), ground; nodes: inflow, last.

    `last_temp_c` chooses among the solutions where a circle without losses keeps whatever it has. Raises
    Undetermined.
    """
    nodes = len(inflow_temp_c)
    runs = np.abs(flow_kg_s) >= STANDING_KG_S
    speed = np.where(runs, np.abs(flow_kg_s), 0.0)
    up = np.where(flow_kg_s > 0.0, from_row, to_row)
    down = np.where(flow_kg_s > 0.0, to_row, from_row)
    keep = np.exp(-np.divide(loss_kg_s, speed, out=np.full(len(speed), np.inf), where=runs))
    mass_in: FloatArray = np.bincount(down[runs], speed[runs], nodes).astype(np.float64)
    mass_out: FloatArray = np.bincount(up[runs], speed[runs], nodes).astype(np.float64)
    extra = np.maximum(mass_out - mass_in, 0.0)
    if inflow_kg_s is not None:
        extra = np.maximum(extra, inflow_kg_s)
    enters = extra > REAL_INFLOW * (mass_in + extra)
    unknown = enters & np.isnan(inflow_temp_c) & (mass_in == 0.0)
    if unknown.any():
        node = int(np.argmax(unknown))
        raise Undetermined(node, float(extra[node]))
    enters &= ~np.isnan(inflow_temp_c)  # water of unknown temperature takes the node's own

    temp = _follow(
        up, down, runs, speed, keep, ground_temp_c, enters, extra, mass_in, inflow_temp_c, last_temp_c
    )
    standing = (mass_in == 0.0) & (mass_out == 0.0) & ~enters
    if standing.any():
        touching = np.concatenate([from_row[:pipes], to_row[:pipes]])
        around = np.bincount(touching, np.tile(ground_temp_c[:pipes], 2), nodes)
        ends = np.bincount(touching, minlength=nodes)
        cold = standing & (ends > 0)
        temp[cold] = around[cold] / ends[cold]
        temp[standing & ~cold] = last_temp_c[standing & ~cold]
    first = np.where(runs, temp[up], ground_temp_c)[:pipes]
    last = np.where(runs, ground_temp_c + (temp[up] - ground_temp_c) * keep, ground_temp_c)[:pipes]
    forward = flow_kg_s[:pipes] >= 0.0
    # a pipe without loss keeps its heat for ever, even standing; in the limit of a vanishing loss it is cold
    return SteadyHeat(
        node_temp_c=temp,
        from_temp_c=np.where(forward, first, last),
        to_temp_c=np.where(forward, last, first),
        loss_w=speed[:pipes] * heat_capacity_j_kgk * (first - last),
    )


def _follow(
    up: IntArray,
    down: IntArray,
    runs: NDArray[np.bool_],
    speed: FloatArray,
    keep: FloatArray,
    ground: FloatArray,
    enters: NDArray[np.bool_],
    extra: FloatArray,
    mass_in: FloatArray,
    inflow: FloatArray,
    last: FloatArray,
) -> FloatArray:
    """Node temperatures, as a constant plus a multiple of each temperature at which a circle is cut."""
    nodes = len(enters)
    links = np.flatnonzero(runs)
    order, cut = _order(up, down, links, nodes)
    cut_column = {link: column + 1 for column, link in enumerate(cut)}
    into: list[list[int]] = [[] for _ in range(nodes)]
    for link in links.tolist():
        into[down[link]].append(link)
    parts = np.zeros((nodes, 1 + len(cut)))
    for node in order:
        heat = parts[node]
        for link in into[node]:
            share = speed[link] * keep[link]
            heat[0] += speed[link] * ground[link] * (1.0 - keep[link])
            column = cut_column.get(link)
            if column is None:
                heat += share * parts[up[link]]
            else:
                heat[column] += share
        mass = mass_in[node]
        if enters[node]:
            heat[0] += extra[node] * inflow[node]
            mass += extra[node]
        if mass > 0.0:
            heat /= mass
    if not cut:
        return parts[:, 0].copy()
    at = up[np.array(cut)]
    matrix = np.eye(len(cut)) - parts[at, 1:]
    start = last[at]
    # least change where the system leaves a choice; else its one solution
    step = np.linalg.lstsq(matrix, parts[at, 0] - matrix @ start, rcond=1e-13)[0]
    return np.asarray(parts[:, 0] + parts[:, 1:] @ (start + step))


def _order(up: IntArray, down: IntArray, links: NDArray[np.intp], nodes: int) -> tuple[list[int], list[int]]:
    """Nodes so that water flows from earlier to later ones, and the links that flow back in that order."""
    waiting = np.bincount(down[links], minlength=nodes).tolist()
    out: list[list[int]] = [[] for _ in range(nodes)]
    for link in links.tolist():
        out[up[link]].append(int(down[link]))
    ready = deque(node for node in range(nodes) if waiting[node] == 0)
    place = [-1] * nodes
    order: list[int] = []
    reached: deque[int] = deque()
    scan = 0
    while len(order) < nodes:
        if ready:
            node = ready.popleft()
        else:
            # cut a circle where water has come to already, else anywhere
            while reached and place[reached[0]] >= 0:
                reached.popleft()
            while place[scan] >= 0:
                scan += 1
            node = reached.popleft() if reached else scan
        if place[node] >= 0:
            continue
        place[node] = len(order)
        order.append(node)
        for other in out[node]:
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)
            elif place[other] < 0:
                reached.append(other)
    cut = [link for link in links.tolist() if place[up[link]] >= place[down[link]]]
    return order, cut
