"""How a solution answers to small changes: exact derivatives from the factor of its own last Newton step.

A parameter of a link changes the pressure it drops at the flow it has; everything else follows from the
linearised network, one substitution for each parameter, or one for all parameters when a single figure is
asked about. Limits that hold keep holding, regulators keep what they regulate; where the solution is about to
change its limits, derivatives are those of this side. It never changes the solver's columns or its solution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .network import LINK_ENDS, BadNetwork, FloatArray

if TYPE_CHECKING:
    from .solver import HydraulicSolver

# inherent rangeability of an equal-percentage valve, as in the coefficient kernels
RANGEABILITY = 50.0

PINNED_KIND = 8  # as the kernel names a source that fixes both its pressures

INJECTIONS = (
    "nodes_mass_injection_kg_s",
    "consumers_mass_flow_kg_s",
    "consumers_heat_w",
    "sources_mass_flow_kg_s",
)
PRESSURES = ("nodes_fixed_pressure_pa", "sources_supply_pressure_pa", "sources_return_pressure_pa")
LAWS = (
    "pipes_length_m",
    "pipes_inner_diameter_m",
    "pipes_roughness_m",
    "pipes_loss_coefficient",
    "valves_kv_m3_h",
    "valves_loss_coefficient",
    "valves_opening",
    "pumps_speed",
    "pumps_fixed_dp_pa",
    "consumers_kv_m3_h",
    "sources_dp_pa",
)
LIMITS = ("consumers_max_flow_kg_s", "valves_setting")
COLUMNS = INJECTIONS + PRESSURES + LAWS + LIMITS


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Derivatives by k rows of one column: of every flow, (rows of the table, k), and pressure, (nodes, k).

    Units are those of the quantity per unit of the column. Zero where nothing answers: a row that is shut,
    held by another limit, or lies in a part without pressure reference.
    """

    column: str
    rows: tuple[int, ...]
    mass_flow_kg_s: dict[str, FloatArray]
    pressure_pa: FloatArray


class Linearised:
    """One solution's linearised network; made by the solver right after it solved."""

    def __init__(self, solver: HydraulicSolver) -> None:
        self.solver = solver
        self.kernel = solver._kernel
        self.first, self.second, self.fixed = solver._ends
        self.flow = self.kernel.flows()
        # of a twin: the laws are evaluated with the arrays that hold the solution
        self.drop = solver.copy()._kernel.drops(self.flow)[0]
        self.state = self.kernel.states()
        self.conductance = self.kernel.linearise()
        records: Any = solver._a["regulator"] if solver._regulators else np.zeros(0)
        throttling = [i for i in range(len(records)) if records["state"][i] == 1 and records["wanted"][i]]
        self.sense = np.zeros((len(self.fixed), len(throttling)))
        self.regulated = [int(records["link"][i]) for i in throttling]
        self.regulated_sign = [solver._regulators[i][3][2] for i in throttling]
        for column, i in enumerate(throttling):
            _row, node_a, node_b, weights = solver._regulators[i]
            self.sense[node_a, column] += weights[0]
            if node_b >= 0:
                self.sense[node_b, column] += weights[1]
        # sources that fix both pressures, by supply node: they carry what leaves it, evenly
        self.pinned: dict[int, list[int]] = {}
        for e in np.flatnonzero((solver._kind == PINNED_KIND) & (solver._a["open"] != 0)).tolist():
            self.pinned.setdefault(int(self.second[e]), []).append(e)
        # what a unit more taken up by each regulator does to all pressures
        self.by_drop = self._respond(self._drop_injection(self.regulated))
        self.response = self.sense.T @ self.by_drop

    def _respond(self, injection: FloatArray) -> FloatArray:
        if injection.shape[1] == 0:
            return injection
        return self.kernel.respond(injection)

    def _drop_injection(self, links: Sequence[int]) -> FloatArray:
        """A unit more pressure dropped in a link acts as an injection at its ends."""
        out = np.zeros((len(self.fixed), len(links)))
        for column, e in enumerate(links):
            out[self.first[e], column] += self.conductance[e]
            out[self.second[e], column] -= self.conductance[e]
        return out

    # -- forwards: a few parameters, everything that answers -------------------------------

    def forward(self, column: str, rows: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Derivatives of all link flows (links, k) and node pressures (nodes, k) by k rows of a column."""
        count, nodes, links = len(rows), len(self.fixed), len(self.first)
        injection, own = np.zeros((nodes, count)), np.zeros((links, count))
        held, wanted = np.zeros((nodes, count)), np.zeros((len(self.regulated), count))
        for k, row in enumerate(rows):
            kind, where, value = self._effect(column, row)
            if kind == "inject":
                injection[where, k] += value
            elif kind == "flow":
                # an imposed flow, or one held at its limit
                own[where, k] += value
                injection[self.first[where], k] -= value
                injection[self.second[where], k] += value
            elif kind == "pressure":
                held[where, k] += value
            elif kind == "setting":
                wanted[where, k] += value
            elif kind == "drop":
                push = value * self.conductance[where]
                own[where, k] -= push
                injection[self.first[where], k] += push
                injection[self.second[where], k] -= push
        # given pressures that move pull at their neighbours through the links between
        pull = self.conductance[:, None] * (held[self.first] - held[self.second])
        np.subtract.at(injection, self.first, pull)
        np.add.at(injection, self.second, pull)
        change = self._respond(injection) + held
        if self.regulated:
            drop = np.linalg.solve(self.response, wanted - self.sense.T @ change)
            change = change + self.by_drop @ drop
            own[self.regulated] -= self.conductance[self.regulated][:, None] * drop
        flow = self.conductance[:, None] * (change[self.first] - change[self.second]) + own
        for node, sources in self.pinned.items():
            leaving, arriving = flow[self.first == node], flow[self.second == node]
            flow[sources] = (leaving.sum(axis=0) - arriving.sum(axis=0)) / len(sources)
        return flow, change

    # -- backwards: one figure, every parameter --------------------------------------------

    def backward(self, flow_weight: FloatArray, pressure_weight: FloatArray) -> Callable[[str, int], float]:
        """Return the derivative of flow_weight . flows + pressure_weight . pressures by (column, row)."""
        flow_weight, weight = flow_weight.copy(), pressure_weight.copy()
        for node, sources in self.pinned.items():
            share = float(flow_weight[sources].sum()) / len(sources)
            flow_weight[self.first == node] += share
            flow_weight[self.second == node] -= share
            flow_weight[sources] = 0.0
        through = flow_weight * self.conductance
        np.add.at(weight, self.first, through)
        np.subtract.at(weight, self.second, through)
        multiplier: FloatArray = self._respond(np.where(self.fixed, 0.0, weight)[:, None])[:, 0]
        by_regulator: FloatArray = np.zeros(0)
        if self.regulated:
            own = -flow_weight[self.regulated] * self.conductance[self.regulated]
            by_drop: FloatArray = self.by_drop.T @ weight + own
            by_regulator = np.asarray(np.linalg.solve(self.response.T, by_drop), np.float64)
            multiplier = multiplier - self._respond(self.sense @ by_regulator[:, None])[:, 0]
        # what a given pressure itself counts for
        direct = weight.copy()
        across = multiplier[self.first] - multiplier[self.second]

        def derivative(column: str, row: int) -> float:
            kind, where, value = self._effect(column, row)
            if kind == "inject":
                return float(value * multiplier[where])
            if kind == "flow":
                return float(value * (flow_weight[where] - across[where]))
            if kind == "drop":
                return float(value * self.conductance[where] * (across[where] - flow_weight[where]))
            if kind == "setting":
                return float(value * by_regulator[where])
            if kind == "pressure":
                total = direct[where]
                if self.regulated:
                    total -= float(self.sense[where] @ by_regulator)
                touching = np.flatnonzero((self.first == where) | (self.second == where))
                sign = np.where(self.first[touching] == where, 1.0, -1.0)
                total -= float(np.sum(sign * self.conductance[touching] * across[touching]))
                return float(value * total)
            return 0.0

        return derivative

    # -- what a parameter does by itself ---------------------------------------------------

    def _effect(self, column: str, row: int) -> tuple[str, int, float]:
        """Kind of effect, node, link or regulator it acts on, and its size per unit of the column."""
        solver = self.solver
        c, table = solver._columns, column.partition("_")[0]
        if table == "nodes":
            if column == "nodes_mass_injection_kg_s":
                silent = self.fixed[row] or not solver._a["known"][solver._layout.place[row]]
                return ("none", 0, 0.0) if silent else ("inject", row, 1.0)
            return "pressure", row, 1.0
        link = solver._slices[table].start + row
        flow = self.flow[link]
        held = bool(self.state[link])
        if column in ("consumers_mass_flow_kg_s", "consumers_heat_w", "sources_mass_flow_kg_s"):
            imposed = solver._a["act"][link] and self.conductance[link] == 0.0
            mode = solver._consumer_mode[row] if table == "consumers" else 0
            if column == "consumers_heat_w":
                if mode != 2:
                    return "none", 0, 0.0
                drop_k = c["consumers_supply_temp_c"][row] - c["consumers_return_temp_c"][row]
                return ("flow", link, 1.0 / (solver.fluid.cp_j_kgk * drop_k)) if imposed else ("none", 0, 0.0)
            if mode != 0 or not imposed:
                return "none", 0, 0.0
            capped = table == "consumers" and flow < c[column][row]
            return ("none", 0, 0.0) if capped else ("flow", link, 1.0)
        if column == "sources_supply_pressure_pa":
            return "pressure", int(self.second[link]), 1.0
        if column == "sources_return_pressure_pa":
            return "pressure", int(self.first[link]), 1.0
        if column == "consumers_max_flow_kg_s":
            return ("flow", link, 1.0) if held else ("none", 0, 0.0)
        if column == "valves_setting":
            if link in self.regulated:
                at = self.regulated.index(link)
                return "setting", at, self.regulated_sign[at]
            return ("flow", link, 1.0) if held else ("none", 0, 0.0)
        if held or self.conductance[link] == 0.0:
            return "none", 0, 0.0
        return "drop", link, self._drop_by(column, row, link, flow)

    def _drop_by(self, column: str, row: int, link: int, flow: float) -> float:
        """Derivative of a link's own pressure drop, at the flow it has, by one of its parameters."""
        c = self.solver._columns
        value = float(c[column][row])
        if column in ("sources_dp_pa",):
            return -1.0
        if column == "pumps_fixed_dp_pa":
            return -(float(c["pumps_speed"][row]) ** 2)
        if column == "pumps_speed":
            return -self.solver._pump_gain_by_speed(row, flow)
        if column.startswith("pipes_"):
            return self._pipe_drop_by(column, row, link, flow)
        drop = float(self.drop[link])
        if column in ("valves_kv_m3_h", "consumers_kv_m3_h"):
            return -2.0 * drop / value
        if column == "valves_loss_coefficient":
            return drop / value if value > 0.0 else 0.0
        # opening: kv in proportion, or by the power of the rangeability
        if self.solver._percentage[row]:
            return -2.0 * math.log(RANGEABILITY) * drop
        return -2.0 * drop / value

    def _pipe_drop_by(self, column: str, row: int, link: int, flow: float) -> float:
        """By a pipe's geometry: a central difference of its own law, good to 1e-9 of itself."""
        value = float(self.solver._columns[column][row])
        step = 1e-5 * value if value > 0.0 else 1e-9
        low = max(value - step, 0.0)
        drops = [self.solver._pipe_drop_with(row, column, v, flow) for v in (low, value + step)]
        return (drops[1] - drops[0]) / (value + step - low)


def check_column(column: str, solver: HydraulicSolver) -> None:
    """Raise BadNetwork for a column that flows and pressures have no derivative by."""
    if column not in COLUMNS:
        raise BadNetwork(
            str(column), "has no sensitivity", f"Known columns: {', '.join(COLUMNS)}.", "unknown_column"
        )
    if column.startswith("pipes_") and solver.friction == "hazen-williams" and column == "pipes_roughness_m":
        raise BadNetwork(
            column, "means nothing for friction hazen-williams", "Ask about other columns.", "unknown_column"
        )


def weights(
    solver: HydraulicSolver, mass_flow: Mapping[str, FloatArray] | None, pressure: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """One weight per link and node from weights by table; what is not given counts nothing."""
    links = np.zeros(solver._links)
    for table, values in (mass_flow or {}).items():
        if table not in LINK_ENDS:
            raise BadNetwork(
                table, "is no table with flows", f"Known: {', '.join(LINK_ENDS)}.", "unknown_table"
            )
        given = np.asarray(values, np.float64)
        if given.shape != links[solver._slices[table]].shape:
            raise BadNetwork(table, f"weights of shape {given.shape}", "Give one per row.", "wrong_length")
        links[solver._slices[table]] = given
    nodes = np.zeros(solver._nodes)
    if pressure is not None:
        given = np.asarray(pressure, np.float64)
        if given.shape != nodes.shape:
            raise BadNetwork("nodes", f"weights of shape {given.shape}", "Give one per node.", "wrong_length")
        nodes = given.copy()
    return links, nodes
