"""N-1: what happens to every consumer when any one pipe, pump or plant fails.

Each outage is one scenario of a batch; its pressures are looked at and thrown away, so that a city's study
fits in memory. Valves and set-points stay as they are: it says what the outage does before anybody reacts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .batch import Base, Buffers, Limits, Worker, share_out
from .network import SINGULAR, BadNetwork, FloatArray, Network
from .reach import Reach, toward

if TYPE_CHECKING:
    from .solver import HydraulicSolver

STUDIED = ("pipes", "pumps", "sources")
# a consumer whose valve stands open gets less when the pressure falls; below this share it counts as short
SHORT_BELOW = 0.9


@dataclass(frozen=True, slots=True)
class Contingencies:
    """One row per outage, in order of the tables studied.

    `table`, `row`: the element that fails. `converged`: False where the network has no solution without it.
    `delivered_share` of the flow of all consumers before the outage. `heat_not_served_w`: heat of the flow
    that is missing, every consumer at its own temperatures; NaN when one that takes flow has none.
    `cut_off`: consumers, as a count, that have no way to a plant or none back, get nothing, or lie in a part
    without pressure reference; `short`: others below their min_dp_pa or, with a valve that stands as it is,
    below 90 % of their flow. `worst_consumer`: row, -1 for none, of the least margin `worst_margin_pa` above
    min_dp_pa among those not cut off. `highest_pressure_pa`: of any node.
    """

    net: Network
    table: tuple[str, ...]
    row: npt.NDArray[np.int32]
    converged: npt.NDArray[np.bool_]
    delivered_share: FloatArray
    heat_not_served_w: FloatArray
    cut_off: npt.NDArray[np.int32]
    short: npt.NDArray[np.int32]
    worst_consumer: npt.NDArray[np.int32]
    worst_margin_pa: FloatArray
    highest_pressure_pa: FloatArray

    def __len__(self) -> int:
        return len(self.table)

    def label(self, outage: int) -> str:
        """Name of the element that fails, such as "pipe p17"."""
        table = self.table[outage]
        return f"{SINGULAR[table]} {self.net.tables[table]['id'][self.row[outage]]}"

    def verdict(self, outage: int) -> str:
        """harmless, short, cut off or no solution."""
        if not self.converged[outage]:
            return "no solution"
        if self.cut_off[outage]:
            return "cut off"
        return "short" if self.short[outage] else "harmless"

    def ranked(self) -> npt.NDArray[np.intp]:
        """Outages, the worst first."""
        share = np.round(self.delivered_share, 9)
        return np.lexsort((self.worst_margin_pa, -self.short, -self.cut_off, share, self.converged))


class _Study:
    """What is looked at in every scenario."""

    def __init__(self, solver: HydraulicSolver) -> None:
        net = solver.net
        self.part = solver._slices["consumers"]
        self.supply, self.back = solver._ends[0][self.part], solver._ends[1][self.part]
        height = solver._columns["nodes_elevation_m"]
        weight = solver.fluid.density_kg_m3 * solver.fluid.gravity_m_s2
        self.lift = weight * (height[self.supply] - height[self.back])
        need = net.consumers["min_dp_pa"]
        self.need = np.where(np.isfinite(need), need, -np.inf)
        self.signed = solver.solve().mass_flow_kg_s["consumers"].copy()
        self.before, self.total = np.abs(self.signed), float(np.abs(self.signed).sum())
        self.counts = self.before > 0.0
        self.heat_per_kg = _heat_per_kg(solver, self.counts)
        self.stands = net.consumers["mode"] == "valve"

    def look(
        self,
        flow: FloatArray,
        pressure: FloatArray,
        known: npt.NDArray[np.bool_],
        ok: npt.NDArray[np.bool_],
        dead: npt.NDArray[np.bool_],
    ) -> dict[str, npt.NDArray[Any]]:
        """Of scenarios row by row: flows of consumers, pressures and where they are known, who has no way."""
        flow = toward(flow, self.signed)
        dp = pressure[:, self.supply] - pressure[:, self.back] + self.lift
        lost = ~(known[:, self.supply] & known[:, self.back]) | (flow <= 1e-6 * self.before) | dead
        lost &= self.counts
        margin = np.where(lost | ~self.counts, np.inf, dp - self.need)
        short = ~lost & ((margin < 0.0) | (self.stands & (flow < SHORT_BELOW * self.before)))
        short &= self.counts
        carried = np.where(lost, 0.0, np.minimum(flow, self.before))
        got = carried.sum(axis=1)
        share = got / self.total if self.total else np.ones(len(flow))
        missing = np.where(ok[:, None], self.before - carried, self.before) @ self.heat_per_kg
        if margin.shape[1]:
            worst = np.argmin(margin, axis=1)
            least = margin[np.arange(len(flow)), worst]
        else:
            worst, least = np.zeros(len(flow), np.intp), np.full(len(flow), np.inf)
        highest = np.where(known, pressure, -np.inf).max(axis=1, initial=-np.inf)
        return {
            "converged": ok,
            "delivered_share": np.where(ok, share, 0.0),
            "heat_not_served_w": missing,
            "cut_off": np.where(ok, lost.sum(axis=1), int(self.counts.sum())),
            "short": np.where(ok, short.sum(axis=1), 0),
            "worst_consumer": np.where(ok & np.isfinite(least), worst, -1),
            "worst_margin_pa": np.where(ok & np.isfinite(least), least, 0.0),
            "highest_pressure_pa": np.where(ok & np.isfinite(highest), highest, 0.0),
        }


def _heat_per_kg(solver: HydraulicSolver, counts: npt.NDArray[np.bool_]) -> FloatArray:
    """J/kg that every consumer takes out of its flow, NaN for one that has no temperatures."""
    columns = solver._columns
    drop = columns["consumers_supply_temp_c"] - columns["consumers_return_temp_c"]
    per_kg: FloatArray = np.where(counts, solver.fluid.cp_j_kgk * drop, 0.0)
    return per_kg


def study(
    solver: HydraulicSolver,
    limits: Limits,
    tables: Sequence[str],
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> Contingencies:
    """Take every element in service of the tables out, one at a time; the caller holds the lock."""
    for table in tables:
        if table not in STUDIED:
            raise BadNetwork(
                table, "has no outages to study", f"Known: {', '.join(STUDIED)}.", "unknown_table"
            )
    twin = solver.copy()
    look = _Study(twin)
    outages = [(table, _in_service(twin, table)) for table in STUDIED if table in tables]
    total = sum(len(rows) for _, rows in outages)
    table_of = tuple(table for table, rows in outages for _ in rows)
    row_of = np.array([row for _, rows in outages for row in rows], np.int32)
    found: dict[str, Any] = {
        "converged": np.zeros(total, np.bool_), "delivered_share": np.zeros(total),
        "heat_not_served_w": np.zeros(total),
        "cut_off": np.zeros(total, np.int32), "short": np.zeros(total, np.int32),
        "worst_consumer": np.full(total, -1, np.int32), "worst_margin_pa": np.zeros(total),
        "highest_pressure_pa": np.zeros(total),
    }  # fmt: skip
    base = Base(twin, {}, limits, True)
    at = 0
    for table, rows in outages:
        done = at

        def counted(part: int, _of: int, done: int = done) -> None:
            if progress is not None:
                progress(done + part, total)

        if table == "sources":
            for i, row in enumerate(rows):
                _put(found, at + i, _without_source(twin, look, row))
                counted(i + 1, total)
        else:
            _by_batch(base, look, table, rows, limits, workers, found, at, counted)
        at += len(rows)
    return Contingencies(solver.net, table_of, row_of, **found)


def _in_service(solver: HydraulicSolver, table: str) -> list[int]:
    rows = solver.net.tables[table].rows
    if table == "pipes":
        return np.flatnonzero(solver._columns["pipes_open"]).tolist()
    if table == "pumps":
        return np.flatnonzero(solver._columns["pumps_speed"] > 0.0).tolist()
    return list(range(rows))


def _by_batch(
    base: Base,
    look: _Study,
    table: str,
    rows: list[int],
    limits: Limits,
    workers: int | None,
    found: dict[str, npt.NDArray[Any]],
    at: int,
    progress: Callable[[int, int], None],
) -> None:
    """Pipes are shut, pumps stopped, by one changed value each."""
    key = "pipes_open" if table == "pipes" else "pumps_speed"
    single = (key, np.array(rows, np.int32), np.zeros(len(rows)))
    links, nodes = base.solver._links, base.solver._nodes
    reach, first = Reach(base.solver), base.solver._slices[table].start
    kept = threading.local()

    def run(worker: Worker, begin: int, end: int) -> None:
        # every thread uses its own arrays again and again
        if not hasattr(kept, "buffers"):
            kept.buffers = {}
        buffers = kept.buffers.setdefault(end - begin, Buffers(end - begin, links, nodes))
        worker.run(begin, end, buffers, begin)
        dead = np.array([reach.without(first + row) for row in rows[begin:end]])
        answer = look.look(
            buffers.flow[:, look.part], buffers.pressure, buffers.known != 0, buffers.status == 0, dead
        )
        for name, values in answer.items():
            found[name][at + begin : at + end] = values

    share_out(len(rows), run, lambda: Worker(base, {}, limits, single), workers, progress)


def _put(found: dict[str, npt.NDArray[Any]], at: int, answer: dict[str, npt.NDArray[Any]]) -> None:
    for name, values in answer.items():
        found[name][at] = values[0]


def _without_source(solver: HydraulicSolver, look: _Study, row: int) -> dict[str, npt.NDArray[Any]]:
    """A plant takes its given pressures with it: another topology."""
    from .result import NotConverged
    from .solver import HydraulicSolver

    net = solver.net
    tables: dict[str, dict[str, Any]] = {}
    for name, table in net.tables.items():
        columns: dict[str, Any] = {}
        for column in table:
            values = solver._columns.get(f"{name}_{column}", table[column])
            values = values.astype(np.bool_) if f"{name}_{column}" == "pipes_open" else values
            columns[column] = np.delete(values, row) if name == "sources" else values
        tables[name] = columns
    rest: dict[str, Any] = tables
    without = HydraulicSolver(
        Network(**rest, fluid=net.fluid), friction=solver.friction, fluid=solver._constant_fluid
    )
    consumers, nodes = net.consumers.rows, net.nodes.rows
    dead = Reach(solver, row).without(-1)[None]
    try:
        result = without.solve()
    except NotConverged:
        return look.look(
            np.zeros((1, consumers)),
            np.zeros((1, nodes)),
            np.zeros((1, nodes), np.bool_),
            np.array([False]),
            dead,
        )
    return look.look(
        result.mass_flow_kg_s["consumers"][None],
        result.pressure_pa[None],
        result.pressure_known[None],
        np.array([True]),
        dead,
    )
