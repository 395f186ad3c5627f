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

from ._elements import RANGEABILITY
from .layout import CURVE, PINNED
from .network import LINK_ENDS, BadNetwork, FloatArray

if TYPE_CHECKING:
    from .solver import HydraulicSolver

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


@dataclass(frozen=True, slots=True)
class Adjoint:
    """Derivatives of one figure: by what is injected at a node, by the flow of a link that has it given.

    And by a further pressure drop in a link (links each), by given pressures (nodes), by regulators'
    settings.
    """

    by_injection: FloatArray
    by_flow: FloatArray
    by_drop: FloatArray
    by_pressure: FloatArray
    by_setting: FloatArray


class Linearised:
    """One solution's linearised network; made by the solver right after it solved."""

    def __init__(self, solver: HydraulicSolver) -> None:
        self.solver = solver
        self.kernel = solver._kernel
        self.first, self.second, self.fixed = solver._ends
        self.flow = self.kernel.flows()
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
        for e in np.flatnonzero((solver._kind == PINNED) & (solver._a["open"] != 0)).tolist():
            self.pinned.setdefault(int(self.second[e]), []).append(e)
        # what a unit more taken up by each regulator does
        own = np.zeros((len(self.first), len(throttling)))
        own[self.regulated, range(len(throttling))] = -self.conductance[self.regulated]
        self.flow_by_drop, self.by_drop = self._balanced(own, np.zeros_like(self.sense))
        self.response = self.sense.T @ self.by_drop

    def _leaving(self, flow: FloatArray) -> FloatArray:
        """What leaves every node through its links, (nodes, k)."""
        out = np.zeros((len(self.fixed), flow.shape[1]))
        np.add.at(out, self.first, flow)
        np.subtract.at(out, self.second, flow)
        return out

    def _across(self, nodal: FloatArray) -> FloatArray:
        difference: FloatArray = nodal[self.first] - nodal[self.second]
        return difference

    def _balanced(self, own: FloatArray, injection: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Flows (links, k) that balance injections, (nodes, k), and pressures that drive what is not own.

        Balanced again once: links without resistance leave no digits in a difference of pressures.
        """
        flow, pressure = own.copy(), np.zeros_like(injection)
        if own.shape[1]:
            for _ in range(2):
                left = np.where(self.fixed[:, None], 0.0, injection - self._leaving(flow))
                change = self.kernel.respond(left)
                flow += self.conductance[:, None] * self._across(change)
                pressure += change
        return flow, pressure

    # -- forwards: a few parameters, everything that answers -------------------------------

    def forward(self, column: str, rows: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Derivatives of all link flows (links, k) and node pressures (nodes, k) by k rows of a column."""
        count, nodes = len(rows), len(self.fixed)
        own, injection, held = (
            np.zeros((len(self.first), count)),
            np.zeros((nodes, count)),
            np.zeros((nodes, count)),
        )
        wanted = np.zeros((len(self.regulated), count))
        for k, row in enumerate(rows):
            kind, where, value = self._effect(column, row)
            if kind == "inject":
                injection[where, k] = value
            elif kind == "flow":
                own[where, k] = value
            elif kind == "drop":
                own[where, k] = -value * self.conductance[where]
            elif kind == "pressure":
                held[where, k] = value
            elif kind == "setting":
                wanted[where, k] = value
        flow, pressure = self._balanced(own + self.conductance[:, None] * self._across(held), injection)
        pressure += held
        if self.regulated:
            drop = np.linalg.solve(self.response, wanted - self.sense.T @ pressure)
            flow += self.flow_by_drop @ drop
            pressure += self.by_drop @ drop
        for node, sources in self.pinned.items():
            flow[sources] = 0.0
            flow[sources] = (self._leaving(flow)[node] - injection[node]) / len(sources)
        return flow, pressure

    # -- backwards: one figure, every parameter --------------------------------------------

    def adjoint(self, flow_weight: FloatArray, pressure_weight: FloatArray) -> Adjoint:
        """How flow_weight . flows + pressure_weight . pressures answers to everything at once."""
        flow_weight, pressure_weight = flow_weight.copy(), pressure_weight.copy()
        by_injection = np.zeros(len(self.fixed))
        for node, sources in self.pinned.items():
            share = float(flow_weight[sources].sum()) / len(sources)
            flow_weight[self.first == node] += share
            flow_weight[self.second == node] -= share
            flow_weight[sources] = 0.0
            by_injection[node] = -share
        own = (-self.conductance * flow_weight)[:, None]
        by_drop, by_node = self._balanced(own, pressure_weight[:, None])
        by_setting = np.zeros(len(self.regulated))
        if self.regulated:
            by_setting = np.asarray(np.linalg.solve(self.response.T, by_drop[self.regulated, 0]))
            pressure_weight -= self.sense @ by_setting
            by_drop, by_node = self._balanced(own, pressure_weight[:, None])
        by_pressure = pressure_weight - self._leaving(by_drop)[:, 0]
        by_flow = flow_weight - self._across(by_node)[:, 0]
        by_injection += by_node[:, 0]
        return Adjoint(by_injection, by_flow, by_drop[:, 0], by_pressure, by_setting)

    def backward(self, flow_weight: FloatArray, pressure_weight: FloatArray) -> Callable[[str, int], float]:
        """Return the derivative of flow_weight . flows + pressure_weight . pressures by (column, row)."""
        adjoint = self.adjoint(flow_weight, pressure_weight)
        of_kind = {
            "inject": adjoint.by_injection,
            "flow": adjoint.by_flow,
            "drop": adjoint.by_drop,
            "pressure": adjoint.by_pressure,
            "setting": adjoint.by_setting,
        }

        def derivative(column: str, row: int) -> float:
            kind, where, value = self._effect(column, row)
            return float(value * of_kind[kind][where]) if kind in of_kind else 0.0

        return derivative

    # -- what a parameter does by itself ---------------------------------------------------

    def _effect(self, column: str, row: int) -> tuple[str, int, float]:
        """Kind of effect, node, link or regulator it acts on, and its size per unit of the column."""
        solver = self.solver
        c, table = solver._columns, column.partition("_")[0]
        if table == "nodes":
            if column == "nodes_mass_injection_kg_s":
                # at a given pressure it only changes what enters from outside
                silent = self.fixed[row] and row not in self.pinned
                silent = silent or not solver._a["known"][solver._layout.place[row]]
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
        if math.isnan(value):
            # the link's law is given by another column
            return 0.0
        if column == "sources_dp_pa":
            return -1.0
        if column == "pumps_fixed_dp_pa":
            return -(float(c["pumps_speed"][row]) ** 2)
        if column == "pumps_speed":
            return -self.solver._pump_gain_by_speed(row, flow)
        if column.startswith("pipes_"):
            return self._pipe_drop_by(column, row, link, flow)
        if self.solver._kind[link] == CURVE:
            return 0.0
        # drop = k m |m|, slope = 2 k |m| = 1 / conductance
        drop = flow / (2.0 * float(self.conductance[link]))
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
