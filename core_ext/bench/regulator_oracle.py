"""Whether a network with regulators has a state in which all of them keep their promise: slow and sure.

Every regulator becomes a check valve and a given pressure drop. What remains has a content function, so each
trial has one answer; what a regulator senses falls with its own drop, so one drop is found by bisection while
the others stay, and sweeps over all of them go on until nothing moves. It finds a solution or says that it
found none: only with a single regulator is that a proof that there is none. Nothing is decided where a
regulator senses a difference within a part whose pressures nothing refers to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..network import Network
from ..solver import HydraulicSolver, NotConverged
from .independent_check import REGULATORS, Links

MOST_DROP_PA = 1e10
EXACT_PA = 1e-3  # some 1e-7 m: enough to tell a state from none

FOUND, NONE, UNDECIDED = "found", "none", "undecided"


def _with_drops(net: Network) -> tuple[Network, list[int]]:
    """The network with each regulator as check valve and constant gain behind it; rows of those valves."""
    rows = [row for row, kind in enumerate(net.valves["kind"]) if kind in REGULATORS]
    tables: dict[str, dict[str, Any]] = {name: {c: list(t[c]) for c in t} for name, t in net.tables.items()}
    valves, pumps, nodes = tables["valves"], tables["pumps"], tables["nodes"]
    for k, row in enumerate(rows):
        name, behind = f"oracle{k}", net.nodes.row(valves["to_node"][row])
        for column in nodes:
            nodes[column].append(nodes[column][behind])
        nodes["id"][-1], nodes["mass_injection_kg_s"][-1], nodes["fixed_pressure_pa"][-1] = name, 0.0, np.nan
        for column, value in (
            ("id", name),
            ("from_node", name),
            ("to_node", valves["to_node"][row]),
            ("curve", ""),
            ("speed", 1.0),
            ("fixed_dp_pa", 0.0),
        ):
            pumps[column].append(value)
        valves["kind"][row], valves["to_node"][row] = "check", name
    return Network(tables, fluid=net.fluid, name=net.name), rows


def find_state(net: Network, friction: str, sweeps: int = 60) -> tuple[str, np.ndarray]:
    """(verdict, drop every regulator takes up in Pa) of the network as it stands."""
    plain, rows = _with_drops(net)
    solver = HydraulicSolver(plain, friction=friction)
    links = Links(net, friction, solver.fluid)
    pumps = net.pumps.rows
    drop = np.zeros(plain.pumps.rows)
    gain = plain.pumps["fixed_dp_pa"].copy()

    def excess(k: int, value: float) -> float:
        """How far sensed pressure is above the setting; 0 where a drop could not matter."""
        trial = drop.copy()
        trial[pumps + k] = value
        result = solver.solve(pumps_fixed_dp_pa=np.where(np.arange(len(gain)) >= pumps, -trial, gain))
        link, a, b, weight_a, weight_b, setting = links.regulators[k]
        known = result.pressure_known
        if b >= 0 and not known[a] and not known[b]:
            unseen.add(k)
        if not links.couples[link] or not known[a] or (b >= 0 and not known[b]):
            return 0.0
        flowing = value <= 0.0 or result.mass_flow_kg_s["valves"][rows[k]] > 0.0
        above = (
            weight_a * result.pressure_pa[a] + (weight_b * result.pressure_pa[b] if b >= 0 else 0.0) - setting
        )
        # shut already: more drop changes nothing, and none is needed
        return float(above) if flowing else min(float(above), 0.0)

    stuck = False
    unseen: set[int] = set()
    try:
        for _ in range(sweeps):
            moved, stuck = 0.0, False
            unseen.clear()
            for k in range(len(rows)):
                low, high = 0.0, 1e3
                if excess(k, 0.0) <= EXACT_PA:
                    best = 0.0
                else:
                    while excess(k, high) > EXACT_PA and high < MOST_DROP_PA:
                        low, high = high, 4.0 * high
                    stuck |= high >= MOST_DROP_PA
                    while high - low > 1e-3 * EXACT_PA + 1e-15 * high and high < MOST_DROP_PA:
                        middle = 0.5 * (low + high)
                        if not low < middle < high:
                            break
                        low, high = (middle, high) if excess(k, middle) > 0.0 else (low, middle)
                    best = high
                moved = max(moved, abs(best - drop[pumps + k]))
                drop[pumps + k] = best
            if moved <= EXACT_PA:
                if unseen or stuck:
                    return NONE if len(rows) == 1 and not unseen else UNDECIDED, drop[pumps:]
                return FOUND, drop[pumps:]
    except NotConverged:
        return UNDECIDED, drop[pumps:]
    return UNDECIDED, drop[pumps:]
