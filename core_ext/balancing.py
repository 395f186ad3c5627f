"""The inverse of solving: from the heat or flow every consumer should get to valves, limits and pump heads.

With the flows imposed, one solve gives the differential pressure at every consumer; kv follows, and the
sources are raised together until the index consumer keeps its minimum. Where a limit stands in the way, flows
are curtailed by lexicographic max-min of the delivered fraction, priority 1 first. It moves the sources'
heads only: pumps inside the network keep their speed, and pipe heat losses are not added to the demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .network import BadNetwork, FloatArray, Network
from .solver import HydraulicResult, HydraulicSolver, NotConverged

TARGET_KEYS = (
    "mass_flow_kg_s",
    "heat_w",
    "supply_temp_c",
    "return_temp_c",
    "min_dp_pa",
    "max_flow_kg_s",
    "priority",
)
LIMIT_KEYS = ("max_dp_pa", "max_heat_w", "max_flow_kg_s", "kvs_m3_h")

# a curtailed fraction is found to this width; raising by PROBE shows who is blocked
FRACTION_WIDTH = 1e-11
PROBE = 1e-6
# a limit counts as kept within this share of itself (pressures: of 1 bar)
SLACK = 1e-10
# pressures inside a balance are solved to this, Pa, so that kv is good to 1e-9 at 100 Pa and more
TIGHT_PA = 1e-7
# least pressure a valve can be set by, Pa
LEAST_VALVE_PA = 1.0


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a consumer does not get all it should: `limit` names what is exhausted, `code` is stable."""

    consumer: str
    limit: str
    code: str

    def __str__(self) -> str:
        return f"{self.consumer}: {self.limit}"


@dataclass(frozen=True, slots=True)
class Balance:
    """Settings that bring every consumer its flow. Arrays are in row order of consumers or sources.

    kv_m3_h, opening (share of the given kvs; NaN without one), flow_limit_kg_s, dp_pa and dp_margin_pa (above
    the consumer's need) are per consumer; source_* per source. `pump_power_w` is hydraulic (head times volume
    flow, sources and pumps). `index_consumer` is the one with the least margin, "" if nobody takes any flow.
    `feasible` is False when anything was curtailed; `obstacles` then says what stands in the way.
    """

    kv_m3_h: FloatArray
    opening: FloatArray
    flow_limit_kg_s: FloatArray
    mass_flow_kg_s: FloatArray
    heat_w: FloatArray
    delivered_fraction: FloatArray
    dp_pa: FloatArray
    dp_margin_pa: FloatArray
    index_consumer: str
    source_dp_pa: FloatArray
    source_mass_flow_kg_s: FloatArray
    source_supply_temp_c: FloatArray
    pump_power_w: float
    feasible: bool
    obstacles: tuple[Obstacle, ...]
    result: HydraulicResult

    def settings(self) -> dict[str, FloatArray]:
        """Changes for a solver whose consumers are in mode "valve" and whose sources give dp_pa."""
        return {"consumers_kv_m3_h": self.kv_m3_h, "sources_dp_pa": self.source_dp_pa}


def balance(
    net: Network,
    targets: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    **solver: Any,
) -> Balance:
    """`HydraulicSolver(net, **solver).balance(targets, limits)`."""
    return HydraulicSolver(net, **solver).balance(targets, limits)


def balanced_network(net: Network, found: Balance) -> Network:
    """The network with the settings applied: consumers in mode "valve", sources giving dp_pa."""
    return _with_dp_sources(net).changed(
        consumers_mode=["valve"] * net.consumers.rows,
        consumers_kv_m3_h=found.kv_m3_h,
        consumers_max_flow_kg_s=np.full(net.consumers.rows, np.nan),
        sources_dp_pa=found.source_dp_pa,
    )


def _with_dp_sources(net: Network) -> Network:
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


def _column(given: Mapping[str, Any], key: str, rows: int, default: Any) -> FloatArray:
    values = np.array(given.get(key, default), dtype=np.float64)
    if values.ndim == 0:
        values = np.full(rows, float(values))
    if values.shape != (rows,):
        raise BadNetwork(
            key,
            f"shape {values.shape} for {rows} rows",
            "Give one value per row or one for all.",
            "wrong_length",
        )
    return values


def _check_keys(given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in known:
            raise BadNetwork(what, f"unknown key {key!r}", f"Known: {', '.join(known)}.", "unknown_key")


class _Balancing:
    """The flows-imposed solver and everything asked of it in one balance."""

    def __init__(
        self, solver: HydraulicSolver, targets: Mapping[str, Any] | None, limits: Mapping[str, Any] | None
    ) -> None:
        net = solver.net
        targets, limits = targets or {}, limits or {}
        _check_keys(targets, TARGET_KEYS, "targets")
        _check_keys(limits, LIMIT_KEYS, "limits")
        self.solver, self.net = solver, net
        self.consumers, self.sources = net.consumers.rows, net.sources.rows
        now = solver._columns
        self.temp_drop = _column(targets, "supply_temp_c", self.consumers, now["consumers_supply_temp_c"]) - (
            _column(targets, "return_temp_c", self.consumers, now["consumers_return_temp_c"])
        )
        self.target = self._target_flow(targets)
        self.min_dp = _column(targets, "min_dp_pa", self.consumers, now["consumers_min_dp_pa"])
        self.most = _column(targets, "max_flow_kg_s", self.consumers, now["consumers_max_flow_kg_s"])
        self.priority = _column(targets, "priority", self.consumers, now["consumers_priority"])
        self.kvs = _column(limits, "kvs_m3_h", self.consumers, np.nan)
        self.max_dp = self._limit(limits, "max_dp_pa", np.nan)
        self.max_flow = self._limit(limits, "max_flow_kg_s", np.nan)
        self.max_heat = self._limit(limits, "max_heat_w", now["sources_max_heat_w"])
        self.density = solver.fluid.density_kg_m3
        self.twin = self._flow_twin()
        self.part = self.twin._slices["consumers"]
        self.base_dp = self.twin._columns["sources_dp_pa"].copy()
        self.is_head = np.isfinite(self.base_dp)
        self.shift = 0.0
        self.exact_shift = False
        self.result = HydraulicResult(self.twin)

    def _limit(self, limits: Mapping[str, Any], key: str, default: Any) -> FloatArray:
        values = _column(limits, key, self.sources, default)
        return np.where(np.isnan(values), np.inf, values)

    def _target_flow(self, targets: Mapping[str, Any]) -> FloatArray:
        """Flow per consumer: given flow, else given heat, else what the consumer's own mode says."""
        now, cp = self.solver._columns, self.solver.fluid.cp_j_kgk
        own_flow, own_heat = now["consumers_mass_flow_kg_s"], now["consumers_heat_w"]
        if "mass_flow_kg_s" in targets:
            flow = _column(targets, "mass_flow_kg_s", self.consumers, 0.0)
        elif "heat_w" in targets:
            flow = _column(targets, "heat_w", self.consumers, 0.0) / (cp * self.temp_drop)
        else:
            by_heat = own_heat / (cp * self.temp_drop)
            heat_mode = self.net.consumers["mode"] == "heat"
            flow = np.where(heat_mode | np.isnan(own_flow), by_heat, own_flow)
        bad = ~(np.isfinite(flow) & (flow >= 0.0))
        if bad.any():
            row = int(np.argmax(bad))
            raise BadNetwork(
                f"consumer {self.net.consumers['id'][row]}",
                f"its target flow is {flow[row]:g} kg/s",
                "Give mass_flow_kg_s, or heat_w with supply_temp_c above return_temp_c.",
                "bad_target",
            )
        return flow

    def _flow_twin(self) -> HydraulicSolver:
        """A solver of the same network with imposed consumer flows and heads at the sources."""
        solver = self.solver
        twin = solver._flow_twin
        if twin is None:
            imposed = _with_dp_sources(self.net).changed(
                consumers_mode=["flow"] * self.consumers,
                consumers_mass_flow_kg_s=np.zeros(self.consumers),
                consumers_max_flow_kg_s=np.full(self.consumers, np.nan),
            )
            twin = HydraulicSolver(imposed, friction=solver.friction, fluid=solver._constant_fluid)
            solver._flow_twin = twin
        own = {"consumers_mass_flow_kg_s", "consumers_max_flow_kg_s"}
        for key, values in solver._columns.items():
            if key in own or key in ("sources_dp_pa", "sources_mass_flow_kg_s", "sources_supply_pressure_pa"):
                continue
            twin._own(key)[...] = values
        now = solver._columns
        pinned = np.isfinite(now["sources_supply_pressure_pa"])
        head = np.where(
            pinned,
            now["sources_supply_pressure_pa"] - now["sources_return_pressure_pa"],
            now["sources_dp_pa"],
        )
        keep = np.isfinite(twin._columns["sources_dp_pa"])
        twin._own("sources_dp_pa")[keep] = np.where(np.isfinite(head), head, 0.0)[keep]
        flows = np.isfinite(twin._columns["sources_mass_flow_kg_s"])
        twin._own("sources_mass_flow_kg_s")[flows] = now["sources_mass_flow_kg_s"][flows]
        twin._refresh_all()
        return twin

    # -- one state ------------------------------------------------------------------------

    def need_dp(self, flow: FloatArray) -> FloatArray:
        """What each consumer must keep: its minimum, and what its whole valve needs for the flow."""
        through_valve = 1e5 * 3600.0**2 * flow**2 / (1000.0 * self.density * self.kvs**2)
        return np.fmax(self.min_dp, through_valve)

    def source_dp(self) -> FloatArray:
        return np.maximum(self.base_dp + self.shift, 0.0)

    def solve(self, fraction: FloatArray) -> FloatArray:
        """Raise or lower all heads until the worst consumer just keeps its need; returns dp per consumer."""
        flow = fraction * self.target
        taking = flow > 0.0
        need = self.need_dp(flow)
        lowest = -float(np.min(self.base_dp[self.is_head]))
        for _ in range(30):
            self.twin.solve(
                out=self.result,
                tol=TIGHT_PA,
                consumers_mass_flow_kg_s=flow,
                sources_dp_pa=np.where(self.is_head, self.source_dp(), np.nan),
            )
            dp = self.twin._drops_pa("consumers")
            lacking = float(np.max((need - dp)[taking])) if taking.any() else lowest - self.shift
            if self.shift + lacking < lowest:
                lacking = lowest - self.shift
            if abs(lacking) <= 10.0 * TIGHT_PA:
                break
            self.shift += lacking
            if self.exact_shift:
                # heads of all sources rise by the same amount and flows stay: so does dp everywhere
                dp = dp + lacking
                break
        else:
            raise NotConverged(
                f"the heads that keep {self.min_dp.max():g} Pa at every consumer were not found; pumps or "
                "valves between supply and return work against the sources. Nothing was changed.",
                self.result.certificate,
            )
        return dp

    def violated(self, fraction: FloatArray) -> list[str]:
        """Names of the limits this state breaks, in words; empty when all are kept."""
        self.solve(fraction)
        out = []
        ids = self.net.sources["id"]
        dp = self.source_dp()
        flow = self.result.mass_flow_kg_s["sources"]
        total = float(np.sum(fraction * self.heat()))
        carried = float(np.sum(np.maximum(flow, 0.0)))
        for row in range(self.sources):
            if self.is_head[row] and dp[row] > self.max_dp[row] + SLACK * 1e5:
                out.append(f"source {ids[row]} max_dp_pa {self.max_dp[row]:g}")
            if flow[row] > self.max_flow[row] * (1.0 + SLACK):
                out.append(f"source {ids[row]} max_flow_kg_s {self.max_flow[row]:g}")
            share = total * max(float(flow[row]), 0.0) / carried if carried > 0.0 else 0.0
            if share > self.max_heat[row] * (1.0 + SLACK):
                out.append(f"source {ids[row]} max_heat_w {self.max_heat[row]:g}")
        return out

    def heat(self) -> FloatArray:
        """Heat of the whole target, W; consumers without temperatures count none."""
        heat: FloatArray = np.nan_to_num(self.target * self.solver.fluid.cp_j_kgk * self.temp_drop, nan=0.0)
        return heat

    # -- curtailment ----------------------------------------------------------------------

    def fractions(self) -> tuple[FloatArray, list[Obstacle]]:
        """Largest fractions in the lexicographic max-min sense, and what stops those below 1."""
        ids = self.net.consumers["id"]
        obstacles: list[Obstacle] = []
        ceiling = np.ones(self.consumers)
        for row in range(self.consumers):
            if self.target[row] > self.most[row]:
                ceiling[row] = self.most[row] / self.target[row]
                obstacles.append(
                    Obstacle(ids[row], f"its own max_flow_kg_s {self.most[row]:g}", "consumer_max_flow")
                )
        self._find_unreachable(ceiling, obstacles)
        if not self.violated(ceiling):
            return ceiling, obstacles
        fraction = np.where(self.target > 0.0, 0.0, ceiling)
        for level in sorted(set(self.priority[self.target > 0.0])):
            members = np.flatnonzero((self.priority == level) & (self.target > 0.0))
            self._fill(fraction, ceiling, members, obstacles)
        return fraction, obstacles

    def _find_unreachable(self, ceiling: FloatArray, obstacles: list[Obstacle]) -> None:
        """Consumers in a part that nothing supplies get nothing, whatever the heads are."""
        ids = self.net.consumers["id"]
        for _ in range(self.consumers + 1):
            self.twin.solve(
                out=self.result,
                tol=TIGHT_PA,
                consumers_mass_flow_kg_s=ceiling * self.target,
                sources_dp_pa=np.where(self.is_head, self.source_dp(), np.nan),
            )
            lost = (self.twin._a["act"][self.part] == 0) & (ceiling * self.target > 0.0)
            if not lost.any():
                return
            for row in np.flatnonzero(lost):
                ceiling[row] = 0.0
                obstacles.append(Obstacle(ids[row], "no open path from a source and back", "not_connected"))

    def _fill(
        self,
        fraction: FloatArray,
        ceiling: FloatArray,
        members: npt.NDArray[np.intp],
        obstacles: list[Obstacle],
    ) -> None:
        """Raise the members together until one is blocked, hold those blocked, go on with the rest."""
        ids = self.net.consumers["id"]
        rising = [int(row) for row in members if ceiling[row] > 0.0]
        level = 0.0

        def at(height: float) -> FloatArray:
            trial = fraction.copy()
            trial[rising] = np.minimum(height, ceiling[rising])
            return trial

        while rising:
            top = float(np.max(ceiling[rising]))
            if not self.violated(at(top)):
                fraction[rising] = ceiling[rising]
                return
            low, high = level, top
            while high - low > FRACTION_WIDTH:
                middle = 0.5 * (low + high)
                if self.violated(at(middle)):
                    high = middle
                else:
                    low = middle
            level = low
            fraction[rising] = np.minimum(level, ceiling[rising])
            blocked: dict[int, str] = {}
            for row in rising:
                if fraction[row] >= ceiling[row]:
                    blocked[row] = ""
                    continue
                trial = fraction.copy()
                trial[row] = min(level + PROBE, ceiling[row])
                broken = self.violated(trial)
                if broken:
                    blocked[row] = broken[0]
            if not any(blocked.values()):
                # only all of them together are too much: hold the one that is worst off
                trial = at(min(level + PROBE, top))
                dp = self.solve(trial)
                margin = dp - self.need_dp(trial * self.target)
                row = min((r for r in rising if r not in blocked), key=lambda r: float(margin[r]))
                broken = self.violated(trial)
                blocked[row] = broken[0] if broken else "limits of the sources"
            for row, limit in blocked.items():
                rising.remove(row)
                if limit:
                    code = limit.split()[2] if limit.startswith("source ") else "limit"
                    obstacles.append(Obstacle(ids[row], limit, f"source_{code}"))

    # -- the answer -----------------------------------------------------------------------

    def answer(self) -> Balance:
        self._learn_shift()
        fraction, obstacles = self.fractions()
        self.exact_shift = False
        dp = self.solve(fraction)
        flow = fraction * self.target
        taking = flow > 0.0
        margin = dp - self.need_dp(flow)
        kv = np.zeros(self.consumers)
        with np.errstate(divide="ignore", invalid="ignore"):
            kv[taking] = 3600.0 * flow[taking] * np.sqrt(1e5 / (1000.0 * self.density * dp[taking]))
        starved = taking & ~(dp >= LEAST_VALVE_PA)
        if starved.any():
            row = int(np.argmax(starved))
            raise BadNetwork(
                f"consumer {self.net.consumers['id'][row]}",
                f"{dp[row]:.3g} Pa are left for its valve",
                "Give it a min_dp_pa above 0.",
                "no_dp_left",
            )
        index = ""
        if taking.any():
            index = str(self.net.consumers["id"][int(np.argmin(np.where(taking, margin, np.inf)))])
        source_flow = self.result.mass_flow_kg_s["sources"].copy()
        gain = -np.r_[self.twin._drops_pa("sources"), self.twin._drops_pa("pumps")]
        carried = np.r_[source_flow, self.result.mass_flow_kg_s["pumps"]]
        source_dp = np.where(self.is_head, self.source_dp(), gain[: self.sources])
        now = self.solver._columns
        return Balance(
            kv_m3_h=kv,
            opening=kv / self.kvs,
            flow_limit_kg_s=flow.copy(),
            mass_flow_kg_s=flow,
            heat_w=fraction * self.heat(),
            delivered_fraction=fraction,
            dp_pa=dp,
            dp_margin_pa=margin,
            index_consumer=index,
            source_dp_pa=source_dp,
            source_mass_flow_kg_s=source_flow,
            source_supply_temp_c=now["sources_supply_temp_c"].copy(),
            pump_power_w=float(np.sum(np.maximum(gain * carried, 0.0)) / self.density),
            feasible=not obstacles,
            obstacles=tuple(obstacles),
            result=self.result,
        )

    def _learn_shift(self) -> None:
        """Do equal heads on all sources leave flows alone? Yes, unless supply and return are bridged."""
        flow = 0.5 * self.target
        seen = []
        for shift in (0.0, 1e4):
            self.twin.solve(
                out=self.result,
                tol=TIGHT_PA,
                consumers_mass_flow_kg_s=flow,
                sources_dp_pa=np.where(self.is_head, self.base_dp + shift, np.nan),
            )
            seen.append(self.result._flow.copy())
        scale = max(1e-9, float(np.max(np.abs(seen[0]), initial=0.0)))
        self.exact_shift = bool(np.max(np.abs(seen[1] - seen[0]), initial=0.0) <= 1e-7 * scale)


def find_balance(
    solver: HydraulicSolver, targets: Mapping[str, Any] | None, limits: Mapping[str, Any] | None
) -> Balance:
    """What `HydraulicSolver.balance` does; see there."""
    return _Balancing(solver, targets, limits).answer()
