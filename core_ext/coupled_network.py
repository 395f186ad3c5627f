"""Hydraulics and heat of one network, stepped together.

Consumers in mode heat draw what their heat needs at the supply temperature that has arrived; density and
viscosity of the pipes follow their temperatures at a chosen interval. Flows are those of the beginning of a
step and stay for its length, and so does what consumers make of the water that arrives. It controls nothing:
set-points, valve positions and source temperatures are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .fluid import HIGHEST_TEMP_C, LOWEST_TEMP_C
from .network import BadNetwork
from .result import HydraulicResult
from .solver import HydraulicSolver
from .thermal import ThermalTransport

FloatArray = NDArray[np.float64]

BORDERS = ("consumers", "sources")


@dataclass(frozen=True, slots=True)
class CoupledStep:
    """One step of a CoupledNetwork: flows and pressures, temperatures in degC, heat in W as means over it.

    Consumers and sources in row order. `consumer_heat_w` is taken out of the network, `source_heat_w` put in,
    `loss_w` given to the ground, `node_heat_w` the heat above 0 degC of water that came in through nodes less
    that of water that left there. `limited`: consumers whose supply was too cold for the heat they ask for.
    """

    hydraulics: HydraulicResult
    node_temp_c: FloatArray
    consumer_supply_temp_c: FloatArray
    consumer_return_temp_c: FloatArray
    consumer_heat_w: FloatArray
    source_heat_w: FloatArray
    node_heat_w: float
    loss_w: float
    limited: NDArray[np.bool_]


class CoupledNetwork:
    """A HydraulicSolver and a ThermalTransport of the same network, advanced together.

    `properties_every_s`: after this much time the solver is given the pipes' temperatures (None: never); it
    uses them unless it was given one fluid for all. `least_drop_k`: a consumer in mode heat draws no more
    than at this difference between supply and return, however cold the supply. `source_temp_c`: of the
    water leaving the sources, one for all or one each; None takes column supply_temp_c. `node_temp_in_c`:
    of water entering through a node (mass_injection_kg_s, fixed pressures). Every consumer needs a
    return_temp_c; what passes water on without cooling it is a valve. Raises BadNetwork.
    """

    def __init__(
        self,
        solver: HydraulicSolver,
        transport: ThermalTransport,
        *,
        source_temp_c: float | ArrayLike | None = None,
        node_temp_in_c: float | None = None,
        properties_every_s: float | None = 900.0,
        least_drop_k: float = 5.0,
    ) -> None:
        net = solver.net
        if transport.node_ids != net.nodes.ids or transport.link_counts.get("pipes") != net.pipes.rows:
            raise BadNetwork(
                "thermal transport",
                "its nodes or pipes are not those of the solver's network",
                "Build both from one network.",
                "other_network",
            )
        missing = [t for t in ("valves", "pumps") if net.tables[t].rows and t not in transport.link_counts]
        if missing:
            raise BadNetwork(
                "thermal transport",
                f"it does not pass water through {' and '.join(missing)}",
                'Build it with through=("valves", "pumps").',
                "missing_links",
            )
        if not (np.isfinite(least_drop_k) and least_drop_k > 0.0):
            raise BadNetwork(
                "least_drop_k", f"it is {least_drop_k}", "Give a positive number of kelvins.", "too_low"
            )
        if properties_every_s is not None and not properties_every_s > 0.0:
            raise BadNetwork(
                "properties_every_s",
                f"it is {properties_every_s}",
                "Give seconds, or None for never.",
                "too_low",
            )
        self.solver, self.transport = solver, transport
        self._every_s, self._least_drop_k = properties_every_s, least_drop_k
        row_of = {name: row for row, name in enumerate(net.nodes.ids)}

        def rows(table: str, column: str) -> NDArray[np.intp]:
            return np.array([row_of[str(node)] for node in net.tables[table][column]], dtype=np.intp)

        self._take = {
            "consumers": rows("consumers", "supply_node"),
            "sources": rows("sources", "return_node"),
        }
        self._give = {
            "consumers": rows("consumers", "return_node"),
            "sources": rows("sources", "supply_node"),
        }
        self._heats = net.consumers["mode"] == "heat"
        self._node_temp_in_c = node_temp_in_c
        self._return_c = self._returns(net.consumers["return_temp_c"])
        self._source_c = self._sources(
            net.sources["supply_temp_c"] if source_temp_c is None else source_temp_c
        )
        self._since_s = np.inf
        self.time_s = 0.0
        """Time since the beginning, s."""

    def step(
        self, dt_s: float, *, source_temp_c: float | ArrayLike | None = None, **changes: Any
    ) -> CoupledStep:
        """Solve the flows for the temperatures of now and carry the heat for `dt_s` seconds with them.

        changes: columns as in HydraulicSolver.solve, kept; consumers_supply_temp_c is what has arrived and
        cannot be given. Raises what the solver and the transport raise; temperatures are then as before.
        """
        if "consumers_supply_temp_c" in changes:
            raise BadNetwork(
                "consumers_supply_temp_c", "it is carried here", "Change the source's temperature.", "carried"
            )
        source_c = self._source_c if source_temp_c is None else self._sources(source_temp_c)
        return_c = self._return_c
        if "consumers_return_temp_c" in changes:
            return_c = self._returns(changes["consumers_return_temp_c"])
        temp = self.transport.node_temp_c
        cp = self.transport.heat_capacity_j_kgk
        arrived = temp[self._take["consumers"]]
        drop = arrived - return_c
        limited = self._heats & (drop < self._least_drop_k)
        # the solver divides by its own heat capacity
        drop = np.maximum(drop, self._least_drop_k) * (cp / self.solver.fluid.cp_j_kgk)
        given = np.where(self._heats, return_c + drop, self.solver.net.consumers["supply_temp_c"])
        columns: dict[str, Any] = dict(changes)
        if self._heats.any():
            columns["consumers_supply_temp_c"] = given
        if self._every_s is not None and self._since_s >= self._every_s and self.solver.net.pipes.rows:
            mean = np.clip(self.transport.pipe_mean_temp_c(), LOWEST_TEMP_C, HIGHEST_TEMP_C)
            columns["pipes_temp_c"] = mean
        result = self.solver.solve(**columns)
        if "pipes_temp_c" in columns:
            self._since_s = 0.0
        self._return_c, self._source_c = return_c, source_c
        return self._carry(dt_s, result, limited)

    def _carry(self, dt_s: float, result: HydraulicResult, limited: NDArray[np.bool_]) -> CoupledStep:
        temp, cp = self.transport.node_temp_c, self.transport.heat_capacity_j_kgk
        nodes = len(temp)
        outside = np.maximum(result.node_inflow_kg_s, 0.0)
        # water through a node of fixed pressure may be nothing but the solver's residual
        outside[outside < 1e-9 * max(float(np.abs(result.mass_flow_kg_s["pipes"]).max(initial=0.0)), 1.0)] = (
            0.0
        )
        if outside.any() and self._node_temp_in_c is None:
            row = int(np.argmax(outside))
            raise BadNetwork(
                f"node {self.transport.node_ids[row]}",
                f"{outside[row]:g} kg/s enter there and their temperature is unknown",
                "Give node_temp_in_c.",
                "unknown_temperature",
            )
        mass = outside.copy()
        heat = outside * (self._node_temp_in_c or 0.0)
        leaving: dict[str, FloatArray] = {}
        for table in BORDERS:
            flow, take, give = result.mass_flow_kg_s[table], self._take[table], self._give[table]
            # a consumer does not warm water, a source does not cool it; backwards they pass it on as it is
            wanted = np.minimum(self._return_c, temp[take]) if table == "consumers" else self._source_c
            out_c = np.where(flow >= 0.0, wanted, temp[give])
            leaving[table] = out_c
            into, speed = np.where(flow >= 0.0, give, take), np.abs(flow)
            mass += np.bincount(into, speed, nodes)
            heat += np.bincount(into, speed * out_c, nodes)
        entering = np.divide(heat, mass, out=np.full(nodes, np.nan), where=mass > 0.0)
        self.transport.step(dt_s, result.mass_flow_kg_s, entering, inflow_kg_s=mass)
        self.time_s += dt_s
        self._since_s += dt_s

        taken: dict[str, FloatArray] = {}
        border_w = 0.0
        for table in BORDERS:
            flow, take, give = result.mass_flow_kg_s[table], self._take[table], self._give[table]
            taken[table] = (
                np.abs(flow) * cp * (np.where(flow >= 0.0, temp[take], temp[give]) - leaving[table])
            )
            border_w += float(taken[table].sum())
        consumers = self._take["consumers"]
        return CoupledStep(
            hydraulics=result,
            node_temp_c=temp.copy(),
            consumer_supply_temp_c=temp[consumers],
            consumer_return_temp_c=leaving["consumers"],
            consumer_heat_w=taken["consumers"],
            source_heat_w=-taken["sources"],
            node_heat_w=(self.transport.entered_j - self.transport.left_j) / dt_s + border_w,
            loss_w=self.transport.loss_j / dt_s,
            limited=limited,
        )

    def _returns(self, values: ArrayLike) -> FloatArray:
        array = np.array(values, dtype=np.float64)
        consumers = self.solver.net.consumers
        if array.shape != (consumers.rows,) or not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array)) if array.shape == (consumers.rows,) else np.array([0])
            raise BadNetwork(
                f"consumer {consumers.ids[int(bad[0])]}" if consumers.rows else "consumers_return_temp_c",
                "return_temp_c is not given" if array.shape == (consumers.rows,) else f"shape {array.shape}",
                "Give every consumer the temperature of the water it returns; a bypass is a valve.",
                "unknown_temperature",
            )
        return array

    def _sources(self, values: ArrayLike) -> FloatArray:
        sources = self.solver.net.sources
        try:
            array = np.array(np.broadcast_to(np.asarray(values, dtype=np.float64), (sources.rows,)))
        except ValueError:
            raise BadNetwork(
                "source_temp_c",
                f"it has shape {np.shape(values)} for {sources.rows} sources",
                "Give one value or one per source.",
                "wrong_length",
            ) from None
        if not np.isfinite(array).all():
            raise BadNetwork(
                f"source {sources.ids[int(np.argmin(np.isfinite(array)))]}",
                "the temperature of its water is not given",
                "Give supply_temp_c or source_temp_c.",
                "unknown_temperature",
            )
        return array
