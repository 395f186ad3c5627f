"""Heat carried by water through the pipes of a network: plug flow, losses, mixing, reversal.

Water moves in parcels that keep their temperature but for the loss to the ground; network nodes mix
perfectly and hold no water. The pipe's wall is partly a state of its own: a mixed node at either end blurs
a front by as much as the film between water and wall does (`core_ext.pipe_wall`); the rest of the wall
rides with the water. Density and heat capacity are constant. It solves no hydraulics: flows are given, and
water missing at a node is taken as entering there from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import fluid, simd
from ._transport import Transport
from .network import BadNetwork, Network
from .pipe_wall import steel_capacity_j_mk, wall_nodes
from .steady_heat import SteadyHeat, Undetermined, solve_steady

FloatArray = NDArray[np.float64]

Flows = FloatArray | Mapping[str, FloatArray]


class BadTransport(ValueError):
    """Input of the thermal transport that cannot be used; the state was not changed."""

    code = "bad-transport"


class TransportBusy(RuntimeError):
    """Another thread is stepping this transport."""

    code = "transport-busy"

    def __init__(self) -> None:
        super().__init__(
            "another thread is stepping this transport; nothing was changed. Give each thread one of its own"
        )


class ThermalTransport:
    """Temperatures in the pipes and nodes of a network over time.

    `net` is a Network, or a mapping with tables `nodes` (id) and `pipes` (id, from_node, to_node, length_m,
    inner_diameter_m, linear_loss_w_mk, optional temp_c) in SI units. The tables named in `through` are links
    without volume that pass water on at once; consumers and sources are borders where water leaves or enters.

    `wall_heat_capacity_j_mk`: per metre of pipe; None = a steel wall estimated from the diameter, 0 = none.
    `film_velocity_m_s`: of the water, where the film between water and wall is taken (it hardly matters).
    `reference_temp_c`: where density and heat capacity are taken. `parcels`: most parcels in a pipe, beyond
    which neighbours closest to one straight profile are joined, which moves no energy in or out. `merge_k`:
    neighbours are joined at once when no point changes by more than this. `level`: instruction level, None =
    the one chosen at import. Raises BadNetwork, BadTransport and fluid.TemperatureOutOfRange.
    """

    def __init__(
        self,
        net: Network | Mapping[str, Mapping[str, Any]],
        *,
        initial_temp_c: float | ArrayLike | None = None,
        ground_temp_c: float | ArrayLike = 8.0,
        wall_heat_capacity_j_mk: float | ArrayLike | None = None,
        film_velocity_m_s: float | ArrayLike = 0.5,
        reference_temp_c: float = 60.0,
        through: Sequence[str] = ("valves", "pumps"),
        parcels: int = 48,
        merge_k: float = 2e-4,
        level: str | None = None,
    ) -> None:
        tables: Mapping[str, Any] = net.tables if isinstance(net, Network) else net
        nodes = [str(name) for name in tables["nodes"]["id"]]
        self._rows = {name: row for row, name in enumerate(nodes)}
        if parcels < 2:
            raise BadTransport(f"parcels is {parcels}; at least 2 are needed. Nothing was built")
        if isinstance(net, Network):
            sections = [("pipes", tables["pipes"])] + [(t, tables[t]) for t in through if tables[t].rows]
        else:
            sections = [("pipes", tables["pipes"])] + [(t, tables[t]) for t in through if t in tables]
        self._sections = [(name, len(table["id"])) for name, table in sections]
        from_rows = self._ends(sections, "from_node")
        to_rows = self._ends(sections, "to_node")
        pipes = self._sections[0][1]
        links = len(from_rows)
        table = tables["pipes"]
        length = _column(table, "length_m", pipes)
        diameter = _column(table, "inner_diameter_m", pipes)
        loss = _column(table, "linear_loss_w_mk", pipes)

        self.density_kg_m3 = float(fluid.density_kg_m3(reference_temp_c))
        self.heat_capacity_j_kgk = float(fluid.heat_capacity_j_kgk(reference_temp_c))
        if wall_heat_capacity_j_mk is None:
            wall = steel_capacity_j_mk(diameter)
        else:
            wall = _positive(wall_heat_capacity_j_mk, pipes, "wall_heat_capacity_j_mk")
        velocity = _positive(film_velocity_m_s, pipes, "film_velocity_m_s")
        wall_kg = wall / self.heat_capacity_j_kgk * length
        node_kg, share = np.zeros(links), np.ones(links)
        node_kg[:pipes], share[:pipes] = wall_nodes(length, diameter, wall_kg, velocity, reference_temp_c)
        held = np.zeros(links)
        held[:pipes] = self.density_kg_m3 * np.pi / 4.0 * diameter**2 * length + wall_kg
        rate = np.zeros(links)
        np.divide(
            loss * length, held[:pipes] * self.heat_capacity_j_kgk, out=rate[:pipes], where=held[:pipes] > 0.0
        )
        self.effective_mass_kg = held[:pipes]
        """Water plus wall of each pipe, kg of water."""
        self.wall_node_kg = node_kg[:pipes]
        """What each of the two wall nodes of a pipe holds, kg of water; part of the effective mass."""
        self._loss_w_k = loss * length

        self._ground = np.zeros(links)
        self._ground[:pipes] = _broadcast(ground_temp_c, pipes, "ground_temp_c")
        initial = np.zeros(links)
        if initial_temp_c is not None:
            initial[:pipes] = _broadcast(initial_temp_c, pipes, "initial_temp_c")
        else:
            known = _column(table, "temp_c", pipes) if "temp_c" in table else np.full(pipes, np.nan)
            initial[:pipes] = np.where(np.isnan(known), self._ground[:pipes], known)

        self.node_temp_c: FloatArray = np.full(len(nodes), float(np.mean(initial[:pipes])) if pipes else 0.0)
        """Temperature of each node, mean over the last step weighted by flow; written in place."""
        for ends in (from_rows[:pipes], to_rows[:pipes]):
            self.node_temp_c[ends] = initial[:pipes]
        for name, value in (("initial_temp_c", initial), ("ground_temp_c", self._ground)):
            if not np.isfinite(value).all():
                raise BadTransport(f"{name} has a value that is not finite. Nothing was built")
        start = np.zeros(len(nodes) + 1, dtype=np.int32)
        touching = np.concatenate([from_rows, to_rows])
        np.add.at(start, touching + 1, 1)
        start = np.cumsum(start).astype(np.int32)
        order = np.argsort(touching, kind="stable")
        slots = np.concatenate([np.arange(links), np.arange(links)])[order].astype(np.int32)
        self._flow = np.zeros(links)
        self._inflow = np.full(len(nodes), np.nan)
        self._kernel = Transport(
            from_rows, to_rows, start, slots, held - 2.0 * node_kg, node_kg, share, rate, initial,
            self._ground, self.node_temp_c, self._inflow, parcels, merge_k, simd.number(level or simd.LEVEL),
        )  # fmt: skip
        self._from_rows, self._to_rows = from_rows, to_rows
        self._names = nodes
        self._mean = np.zeros(links)
        self._pipes = pipes

    def step(
        self,
        dt_s: float,
        mass_flow_kg_s: Flows,
        inflow_temp_c: float | ArrayLike | None = None,
        ground_temp_c: float | ArrayLike | None = None,
        inflow_kg_s: ArrayLike | None = None,
    ) -> FloatArray:
        """Advance by `dt_s` seconds with constant flows; returns `node_temp_c`, written in place.

        `mass_flow_kg_s`: kg/s in the pipes in row order, or a mapping by table like HydraulicResult's of
        which pipes and the `through` tables are used. `inflow_temp_c`: temperature of water entering at a
        node from outside, degC, one for all or one per node; NaN where none enters; None = the last one
        given. How much enters or leaves at a node follows from the pipes' flows; where water both enters and
        leaves, `inflow_kg_s` says how much enters, by node. `ground_temp_c`: None = as before. Raises
        BadTransport and TransportBusy; the state is then unchanged.
        """
        if not self._kernel.claim():
            raise TransportBusy
        try:
            return self._step(dt_s, mass_flow_kg_s, inflow_temp_c, ground_temp_c, inflow_kg_s)
        finally:
            self._kernel.release()

    def _step(
        self,
        dt_s: float,
        mass_flow_kg_s: Flows,
        inflow_temp_c: float | ArrayLike | None,
        ground_temp_c: float | ArrayLike | None,
        inflow_kg_s: ArrayLike | None,
    ) -> FloatArray:
        if not (np.isfinite(dt_s) and dt_s > 0.0):
            raise BadTransport(
                f"dt_s is {dt_s}; a step needs a positive number of seconds. Nothing was changed"
            )
        flow = self._one_column(mass_flow_kg_s)
        inflow = None if inflow_temp_c is None else self._by_node(inflow_temp_c)
        given = None if inflow_kg_s is None else self._entering(inflow_kg_s)
        if ground_temp_c is not None:
            ground = np.asarray(ground_temp_c, dtype=np.float64)
            if ground.shape not in ((), (self._pipes,)) or not np.isfinite(ground).all():
                raise BadTransport(
                    f"ground_temp_c has shape {ground.shape} for {self._pipes} pipes, or a value that is not "
                    "finite. Nothing was changed"
                )
            before = self._ground.copy()
            self._ground[: self._pipes] = ground
        bad = self._kernel.step(dt_s, flow, inflow, given, self._ground, ground_temp_c is not None)
        if bad != -1 and ground_temp_c is not None:
            self._ground[:] = before
        if bad == -2:
            raise BadTransport("inflow_temp_c has a value without an end. Nothing was changed")
        if bad >= 0:
            raise BadTransport(
                f"mass_flow_kg_s has a value that is not finite, the first in row {bad}. Nothing was changed"
            )
        return self.node_temp_c

    def _entering(self, inflow_kg_s: ArrayLike) -> FloatArray:
        values = np.ascontiguousarray(inflow_kg_s, dtype=np.float64)
        if values.shape != self._inflow.shape or not (np.isfinite(values).all() and (values >= 0.0).all()):
            raise BadTransport(
                f"inflow_kg_s has shape {values.shape} for {len(self._inflow)} nodes, or a value that is "
                "negative or not finite. Nothing was changed"
            )
        return values

    def _by_node(self, temp_c: float | ArrayLike) -> FloatArray:
        values = np.asarray(temp_c, dtype=np.float64)
        if values.shape == ():
            values = np.full(len(self._inflow), float(values))
        if values.shape != self._inflow.shape:
            raise BadTransport(
                f"inflow_temp_c has shape {values.shape} for {len(self._inflow)} nodes. Nothing was changed"
            )
        return values if values.flags.c_contiguous else np.ascontiguousarray(values)

    def _one_column(self, mass_flow_kg_s: Flows) -> FloatArray:
        """Flows of all links, kg/s: the caller's own array where it is one already, else copied together."""
        if not isinstance(mass_flow_kg_s, Mapping):
            flow = np.asarray(mass_flow_kg_s, dtype=np.float64)
            if flow.shape != self._flow.shape:
                raise BadTransport(
                    f"mass_flow_kg_s has {flow.size} values for the {len(self._flow)} rows of "
                    f"{', '.join(name for name, _ in self._sections)}. Nothing was changed"
                )
            return flow if flow.flags.c_contiguous else np.ascontiguousarray(flow)
        row = 0
        for name, rows in self._sections:
            part = mass_flow_kg_s.get(name)
            if part is None or len(part) != rows:
                raise BadTransport(
                    f"mass_flow_kg_s has {0 if part is None else len(part)} values for the {rows} rows of "
                    f"{name}. Nothing was changed"
                )
            self._flow[row : row + rows] = part
            row += rows
        return self._flow

    def steady(
        self,
        mass_flow_kg_s: Flows,
        inflow_temp_c: float | ArrayLike | None = None,
        ground_temp_c: float | ArrayLike | None = None,
        inflow_kg_s: ArrayLike | None = None,
    ) -> SteadyHeat:
        """The temperatures that constant flows tend to; arguments as in `step`. The state does not change.

        Where nothing flows the ground's temperature is reached. Raises BadTransport, naming the node, when
        water enters where no temperature is given.
        """
        flow = self._one_column(mass_flow_kg_s)
        if not np.isfinite(flow).all():
            raise BadTransport("mass_flow_kg_s has a value that is not finite. Nothing was computed")
        inflow = self._inflow if inflow_temp_c is None else self._by_node(inflow_temp_c)
        ground = self._ground.copy()
        if ground_temp_c is not None:
            ground[: self._pipes] = ground_temp_c
        loss_w_k = np.zeros(len(flow))
        loss_w_k[: self._pipes] = self._loss_w_k
        try:
            return solve_steady(
                self._from_rows,
                self._to_rows,
                flow.copy(),
                loss_w_k / self.heat_capacity_j_kgk,
                self.heat_capacity_j_kgk,
                ground,
                inflow,
                None if inflow_kg_s is None else self._entering(inflow_kg_s),
                self.node_temp_c,
                self._pipes,
            )
        except Undetermined as error:
            raise BadTransport(
                f"node {self._names[error.node]}: {error.mass_kg_s:g} kg/s enter, but inflow_temp_c is NaN "
                "there. Give the temperature of that water. Nothing was computed"
            ) from None

    @property
    def node_ids(self) -> list[str]:
        """Names of the nodes in row order."""
        return list(self._names)

    @property
    def link_counts(self) -> dict[str, int]:
        """Rows of each table of links that water passes: pipes first, then those named in `through`."""
        return dict(self._sections)

    @property
    def loss_j(self) -> float:
        """Heat given to the ground in the last step, J."""
        return self._kernel.loss_kg_k * self.heat_capacity_j_kgk

    @property
    def entered_j(self) -> float:
        """Heat content, counted from 0 degC, of the water that entered from outside in the last step, J."""
        return self._kernel.entered_kg_k * self.heat_capacity_j_kgk

    @property
    def left_j(self) -> float:
        """Heat content, counted from 0 degC, of the water that left in the last step, J."""
        return self._kernel.left_kg_k * self.heat_capacity_j_kgk

    @property
    def stored_j(self) -> float:
        """Heat content of all pipes with their walls, counted from 0 degC, J."""
        return self._kernel.stored_kg_k() * self.heat_capacity_j_kgk

    def pipe_mean_temp_c(self) -> FloatArray:
        """Mean temperature of each pipe, degC (a new array)."""
        self._kernel.mean_temps(self._mean)
        return self._mean[: self._pipes].copy()

    def parcels(self, pipe: int) -> tuple[FloatArray, FloatArray]:
        """Effective masses, kg, and mean temperatures, degC, within a pipe from its from_node on.

        The first and the last are the wall nodes, where it has any.
        """
        return self._kernel.parcels(pipe)

    def _ends(self, sections: Sequence[tuple[str, Any]], column: str) -> NDArray[np.int32]:
        rows = []
        for name, table in sections:
            for identifier, node in zip(table["id"], table[column], strict=True):
                if str(node) not in self._rows:
                    raise BadNetwork(
                        f"{name} {identifier}",
                        f"{column} {node!r} is not a node of this network",
                        "Add the node or correct the name.",
                        "unknown_node",
                    )
                rows.append(self._rows[str(node)])
        return np.array(rows, dtype=np.int32)


def _column(table: Any, name: str, rows: int) -> FloatArray:
    values = np.array(table[name], dtype=np.float64)
    if values.shape != (rows,):
        raise BadTransport(
            f"pipes: column {name} has {values.size} values for {rows} pipes. Nothing was built"
        )
    if name != "temp_c" and not (np.isfinite(values).all() and (values >= 0.0).all()):
        row = int(np.argmax(~(values >= 0.0)))
        raise BadTransport(
            f"pipe {table['id'][row]}: {name} is {values[row]}; it cannot be. Nothing was built"
        )
    return values


def _broadcast(value: float | ArrayLike, rows: int, name: str) -> FloatArray:
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (rows,))
    except ValueError:
        raise BadTransport(
            f"{name} has shape {np.shape(value)} for {rows} pipes. Give one value or one per pipe"
        ) from None


def _positive(value: float | ArrayLike, rows: int, name: str) -> FloatArray:
    values = _broadcast(value, rows, name)
    if not (np.isfinite(values).all() and (values >= 0.0).all()):
        row = int(np.argmax(~(values >= 0.0) | ~np.isfinite(values)))
        raise BadTransport(f"{name} of pipe row {row} is {values[row]}; it cannot be. Nothing was built")
    return values
