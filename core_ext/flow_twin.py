"""The network with the consumers' flows given, kept beside a solver for everything that balancing asks.

With flows given, one solve says what every consumer has left, and where supply and return meet only at
sources and consumers, raising all heads moves pressures alone: whole parts of the network up or down by the
same amount. It decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .network import BadNetwork, FloatArray, Network
from .result import HydraulicResult, NotConverged

if TYPE_CHECKING:
    from .solver import HydraulicSolver

# columns the twin has values of its own for
PUMPED = {"pumps_speed", "pumps_fixed_dp_pa"}
OWN = {
    "consumers_mass_flow_kg_s",
    "consumers_max_flow_kg_s",
    "sources_dp_pa",
    "sources_mass_flow_kg_s",
    "sources_supply_pressure_pa",
}


def with_heads(net: Network) -> Network:
    """Sources that fix both pressures, or a flow nobody else could make up for, become heads."""
    sources = net.sources
    if not sources.rows:
        raise BadNetwork(
            "network", "no source", "Balancing needs at least one row in table sources.", "no_source"
        )
    dp, flow = sources["dp_pa"].copy(), sources["mass_flow_kg_s"].copy()
    pinned = np.isfinite(sources["supply_pressure_pa"])
    dp[pinned] = (sources["supply_pressure_pa"] - sources["return_pressure_pa"])[pinned]
    if not np.isfinite(dp).any():
        dp[0], flow[0] = 0.0, np.nan
    return net.changed(
        sources_dp_pa=dp, sources_mass_flow_kg_s=flow, sources_supply_pressure_pa=np.full(len(dp), np.nan)
    )


def with_flows(net: Network, slack: int) -> Network:
    """All sources but one give a flow; the one left has a head, and the pressure holding if any has it."""
    net = with_heads(net)
    rows = net.sources.rows
    dp, flow = np.full(rows, np.nan), np.zeros(rows)
    dp[slack], flow[slack] = 0.0, np.nan
    holding = net.sources["return_pressure_pa"].copy()
    if np.isfinite(holding).any():
        kept = holding[slack] if np.isfinite(holding[slack]) else holding[np.isfinite(holding)][0]
        holding[:] = np.nan
        holding[slack] = kept
    return net.changed(sources_dp_pa=dp, sources_mass_flow_kg_s=flow, sources_return_pressure_pa=holding)


class FlowTwin:
    """A solver of the same network with consumer flows given.

    slack: None leaves the sources' heads as they are; a row gives all other sources a flow instead.

    `lift`: by how much pressures rise at every node when all heads rise by one, None where that changes
    flows; `rise`: by how much the gain of every source does.
    """

    def __init__(self, solver: HydraulicSolver, slack: int | None = None) -> None:
        from .solver import HydraulicSolver

        net = solver.net
        self.dispatched = slack is not None
        imposed = (with_heads(net) if slack is None else with_flows(net, slack)).changed(
            consumers_mode=["flow"] * net.consumers.rows,
            consumers_mass_flow_kg_s=np.zeros(net.consumers.rows),
            consumers_max_flow_kg_s=np.full(net.consumers.rows, np.nan),
        )
        self.solver = HydraulicSolver(imposed, friction=solver.friction, fluid=solver._constant_fluid)
        self.part = self.solver._slices["consumers"]
        first, second, _ = self.solver._ends
        self.supply, self.back = first[self.part], second[self.part]
        sources = self.solver._slices["sources"]
        self.source_return, self.source_supply = first[sources], second[sources]
        self.is_head = np.isfinite(self.solver._columns["sources_dp_pa"])
        self.base_dp = np.where(self.is_head, 0.0, np.nan)
        self.lift = self._lift()
        self.rise = (
            np.ones(len(self.is_head))
            if self.lift is None
            else self.lift[self.source_supply] - self.lift[self.source_return]
        )

    def follow(self, solver: HydraulicSolver) -> None:
        """Take over what was changed in the solver since."""
        twin, now = self.solver, solver._columns
        changed = {
            key: now[key]
            for key in solver._owned | (twin._owned & PUMPED)
            if key not in OWN
            and not (self.dispatched and key == "sources_return_pressure_pa")
            and not np.array_equal(now[key], twin._columns[key], equal_nan=now[key].dtype.kind == "f")
        }
        if changed:
            twin._write(changed)
        if self.dispatched:
            self.base_dp = np.where(self.is_head, 0.0, np.nan)
            self.put_heads(self.base_dp)
            return
        pinned = np.isfinite(now["sources_supply_pressure_pa"])
        head = np.where(
            pinned,
            now["sources_supply_pressure_pa"] - now["sources_return_pressure_pa"],
            now["sources_dp_pa"],
        )
        self.base_dp = np.where(self.is_head, np.where(np.isfinite(head), head, 0.0), np.nan)
        flows = np.isfinite(twin._columns["sources_mass_flow_kg_s"])
        if flows.any():
            twin._own("sources_mass_flow_kg_s")[flows] = now["sources_mass_flow_kg_s"][flows]

    def run(self, result: HydraulicResult, flow: FloatArray, tol_pa: float) -> None:
        """Solve with these consumer flows and the sources as their columns say; raises NotConverged."""
        twin = self.solver
        twin._own("consumers_mass_flow_kg_s")[:] = flow
        twin._refresh("consumers")
        if twin._run(result, twin._limits(tol_pa, None), True):
            raise twin._failed(result)

    def put_heads(self, head: FloatArray) -> None:
        """Heads of the sources that have one, Pa."""
        self.solver._own("sources_dp_pa")[:] = np.where(self.is_head, head, np.nan)
        self.solver._refresh("sources")

    def put_flows(self, flow: FloatArray) -> None:
        """Flows of the sources that have one given, kg/s."""
        column = self.solver._own("sources_mass_flow_kg_s")
        column[:] = np.where(np.isfinite(column), flow, np.nan)
        self.solver._refresh("sources")

    def served(self) -> npt.NDArray[np.bool_]:
        """Which consumers can be given a flow at all, after a run."""
        served: npt.NDArray[np.bool_] = self.solver._a["act"][self.part] != 0
        return served

    def certificate_of(self, result: HydraulicResult) -> None:
        """Give a result of the last run its certificate."""
        twin = self.solver
        kernel = twin._kernel
        if kernel.limited or kernel.unreferenced or twin._regulators:
            result._certificate = twin._certify(True, kernel.marks(), result.pressure_known, kernel.robust)
        else:
            result._certificate = twin._plain_certificate()

    def not_found(self, why: str) -> NotConverged:
        """There are no heads that do what is wanted."""
        twin = self.solver
        known = twin._a["known"][twin._layout.place].astype(np.bool_)
        certificate = twin._certify(False, twin._kernel.marks(), known, twin._kernel.robust)
        return NotConverged(f"{why} Nothing was changed.", certificate)

    def _lift(self) -> FloatArray | None:
        twin = self.solver
        if twin._regulators:
            return None
        first, second, fixed = twin._ends
        root = list(range(twin._nodes))

        def find(i: int) -> int:
            while root[i] != i:
                root[i] = root[root[i]]
                i = root[i]
            return i

        for table in ("pipes", "valves", "pumps"):
            part = twin._slices[table]
            for i, j in zip(first[part].tolist(), second[part].tolist(), strict=True):
                root[find(i)] = find(j)
        part_of = [find(i) for i in range(twin._nodes)]
        offset = {part_of[i]: 0.0 for i in np.flatnonzero(fixed).tolist()}
        heads = [
            (part_of[int(a)], part_of[int(b)])
            for a, b, head in zip(self.source_return, self.source_supply, self.is_head, strict=True)
            if head
        ]
        open_ = list(offset) or [a for a, _ in heads[:1]]
        for start in open_:
            offset.setdefault(start, 0.0)
        while open_:
            at = open_.pop()
            for a, b in heads:
                for here, there, step in ((a, b, 1.0), (b, a, -1.0)):
                    if here == at:
                        if there not in offset:
                            offset[there] = offset[at] + step
                            open_.append(there)
                        elif offset[there] != offset[at] + step:
                            return None
        lift = np.array([offset.get(root_of, 0.0) for root_of in part_of])
        if not (lift[self.supply] - lift[self.back] == 1.0).all():
            return None
        return lift
