"""The inverse of solving: from the heat or flow every consumer should get to valves, limits and pump heads.

With the flows given, one solve says what differential pressure every consumer has; kv follows, and the
sources are raised together until the index consumer keeps its minimum. Several plants share the heat in
merit order or keep their heads' differences, pumps may be set for least power (`pump_schedule`), and where
a limit stands in the way flows are curtailed (`curtailment`). Pipe heat losses are not added to the demand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import fluid
from .flow_twin import FlowTwin, with_flows, with_heads
from .network import BadNetwork, FloatArray, Network
from .result import HydraulicResult
from .solver import HydraulicSolver

if TYPE_CHECKING:
    from .curtailment import Filled

TARGET_KEYS = (
    "mass_flow_kg_s",
    "heat_w",
    "supply_temp_c",
    "return_temp_c",
    "min_supply_temp_c",
    "max_supply_temp_c",
    "min_dp_pa",
    "max_flow_kg_s",
    "priority",
)
SOURCE_LIMITS = ("max_dp_pa", "max_heat_w", "max_flow_kg_s", "pump_efficiency")
NODE_LIMITS = ("max_pressure_pa", "min_pressure_pa")
SCALARS = ("boiling_margin_pa", "ground_temp_c", "electricity_per_mwh", "heat_per_mwh")
LIMIT_KEYS = (*SOURCE_LIMITS, "kvs_m3_h", *NODE_LIMITS, *SCALARS, "pump_max_dp_pa")
OBJECTIVES = ("keep", "power", "cost", "co2")

# a limit counts as kept within this share of itself (pressures: of 1 bar)
SLACK = 1e-10
# least pressure a valve can be set by, Pa
LEAST_VALVE_PA = 1.0
# kv is to be good to 1e-9, so pressures to 2e-9 of what a valve is set by; never asked finer than this, Pa
EXACT_SHARE, FINEST_PA = 1e-10, 1e-7
BAR = 1e5


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a consumer does not get all it should: `limit` names what is exhausted, `code` is stable."""

    consumer: str
    limit: str
    code: str

    def __str__(self) -> str:
        return f"{self.consumer}: {self.limit}"


@dataclass(frozen=True, slots=True)
class Relief:
    """What it would bring to relieve something that stands in the way, to first order.

    `element`, such as "source plant" or "pipe p17"; `limit`: the column that binds, or "pressure_loss_pa"
    for a pipe; `value`: what it is now; per unit of it (Pa, kg/s or W; for a pipe per Pa of loss less), the
    consumers it blocks get `fraction_per_unit` more of their target each and `heat_w_per_unit` together.
    """

    element: str
    limit: str
    value: float
    fraction_per_unit: float
    heat_w_per_unit: float


@dataclass(frozen=True, slots=True)
class Balance:
    """Settings that bring every consumer its flow. Arrays are in row order of consumers, sources or pumps.

    kv_m3_h, opening (share of the given kvs; NaN without one), flow_limit_kg_s, dp_pa and dp_margin_pa
    (above the consumer's need) are per consumer; source_* per source; pump_* per pump (pump_dp_pa as it
    runs, the other two as settings).
    `pump_power_w` is hydraulic (head times volume flow, sources and pumps); `electric_power_w` with the
    given pump_efficiency. `index_consumer` is the one with the least margin, "" if nobody takes any flow.
    `feasible` is False when anything was curtailed or a node leaves its pressure limits; `obstacles` then
    says what stands in the way and `relief` what relieving it would bring. `fraction_bound`: the least
    fraction within the first curtailed priority could not be raised to this. `static_shift_pa`: lowest and
    highest change of the pressure holding that keeps every node within its limits, NaN where there is none.
    `supply_temp_c`: the one chosen, NaN where none was to be. `method` says how heads were found, and what
    is proven about them.
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
    pump_dp_pa: FloatArray
    pump_speed: FloatArray
    pump_fixed_dp_pa: FloatArray
    pump_power_w: float
    electric_power_w: float
    feasible: bool
    obstacles: tuple[Obstacle, ...]
    relief: tuple[Relief, ...]
    fraction_bound: float
    static_shift_pa: tuple[float, float]
    supply_temp_c: float
    slack_source: int
    method: str
    result: HydraulicResult

    def settings(self) -> dict[str, FloatArray]:
        """Changes for a solver whose consumers are in mode "valve" and whose sources give dp_pa."""
        settings = {"consumers_kv_m3_h": self.kv_m3_h, "sources_dp_pa": self.source_dp_pa}
        if len(self.pump_speed):
            settings["pumps_speed"] = self.pump_speed
            settings["pumps_fixed_dp_pa"] = self.pump_fixed_dp_pa
        return settings


def balance(
    net: Network,
    targets: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    objective: str | None = None,
    **solver: Any,
) -> Balance:
    """`HydraulicSolver(net, **solver).balance(targets, limits, objective)`."""
    return HydraulicSolver(net, **solver).balance(targets, limits, objective)


def balanced_network(net: Network, found: Balance) -> Network:
    """The network with the settings applied: consumers in mode "valve", sources giving dp_pa, pumps set."""
    slack = found.slack_source
    heads = with_heads(net) if slack < 0 else _all_heads(with_flows(net, slack))
    return heads.changed(
        consumers_mode=["valve"] * net.consumers.rows,
        consumers_max_flow_kg_s=np.full(net.consumers.rows, np.nan),
        **found.settings(),
    )


def _all_heads(net: Network) -> Network:
    rows = net.sources.rows
    return net.changed(sources_dp_pa=np.zeros(rows), sources_mass_flow_kg_s=np.full(rows, np.nan))


def _column(given: Mapping[str, Any], key: str, rows: int, default: Any) -> FloatArray:
    try:
        values = np.array(given.get(key, default), dtype=np.float64)
    except (TypeError, ValueError):
        raise BadNetwork(
            key, "not numbers", "Give one number per row or one for all.", "not_a_number"
        ) from None
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


class Wishes:
    """Targets and limits of one balance, checked, one array each."""

    def __init__(
        self, solver: HydraulicSolver, targets: Mapping[str, Any] | None, limits: Mapping[str, Any] | None
    ) -> None:
        net = solver.net
        targets, limits = targets or {}, limits or {}
        _check_keys(targets, TARGET_KEYS, "targets")
        _check_keys(limits, LIMIT_KEYS, "limits")
        self.net, self.cp = net, solver.fluid.cp_j_kgk
        self.density = solver.fluid.density_kg_m3
        consumers, now = net.consumers.rows, solver._columns
        self.supply_temp = _column(targets, "supply_temp_c", consumers, now["consumers_supply_temp_c"])
        self.return_temp = _column(targets, "return_temp_c", consumers, now["consumers_return_temp_c"])
        self.heat_given = self._heat(solver, targets)
        self.target = self._target_flow(solver, targets)
        self.min_dp = _column(targets, "min_dp_pa", consumers, now["consumers_min_dp_pa"])
        self.most = _column(targets, "max_flow_kg_s", consumers, now["consumers_max_flow_kg_s"])
        self.priority = _column(targets, "priority", consumers, now["consumers_priority"])
        self.kvs = _column(limits, "kvs_m3_h", consumers, np.nan)
        self.has_kvs = "kvs_m3_h" in limits
        sources = net.sources.rows
        self.max_dp = self._upper(limits, "max_dp_pa", sources, np.nan)
        self.max_flow = self._upper(limits, "max_flow_kg_s", sources, np.nan)
        self.max_heat = self._upper(limits, "max_heat_w", sources, now["sources_max_heat_w"])
        self.efficiency = _column(limits, "pump_efficiency", sources, 1.0)
        if not ((self.efficiency > 0.0) & (self.efficiency <= 1.0)).all():
            raise BadNetwork(
                "pump_efficiency", "not all lie above 0 and up to 1", "Give a share.", "bad_efficiency"
            )
        self.pump_max_dp = self._upper(limits, "pump_max_dp_pa", net.pumps.rows, np.nan)
        self.limits = limits
        self.bounded = any(key in limits for key in (*NODE_LIMITS, "boiling_margin_pa"))
        self.flow_of_heat = np.zeros(0)

    @staticmethod
    def _upper(limits: Mapping[str, Any], key: str, rows: int, default: Any) -> FloatArray:
        values = _column(limits, key, rows, default)
        return np.where(np.isnan(values), np.inf, values)

    def _heat(self, solver: HydraulicSolver, targets: Mapping[str, Any]) -> FloatArray | None:
        """Heat per consumer where the target is heat."""
        rows, now = self.net.consumers.rows, solver._columns
        if "mass_flow_kg_s" in targets:
            return None
        if "heat_w" in targets:
            return _column(targets, "heat_w", rows, 0.0)
        by_heat = (self.net.consumers["mode"] == "heat") | np.isnan(now["consumers_mass_flow_kg_s"])
        return now["consumers_heat_w"] if by_heat.all() and rows else None

    def _target_flow(self, solver: HydraulicSolver, targets: Mapping[str, Any]) -> FloatArray:
        """Flow per consumer: given flow, else given heat, else what the consumer's own mode says."""
        now, rows = solver._columns, self.net.consumers.rows
        own_flow = now["consumers_mass_flow_kg_s"]
        if "mass_flow_kg_s" in targets:
            flow = _column(targets, "mass_flow_kg_s", rows, 0.0)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                per_kg = self.cp * (self.supply_temp - self.return_temp)
                if "heat_w" in targets:
                    flow = _column(targets, "heat_w", rows, 0.0) / per_kg
                else:
                    heat_mode = self.net.consumers["mode"] == "heat"
                    by_heat = now["consumers_heat_w"] / per_kg
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

    def heat(self) -> FloatArray:
        """Heat of the whole target, W; consumers without temperatures count none."""
        heat = np.nan_to_num(self.target * self.cp * (self.supply_temp - self.return_temp), nan=0.0)
        return np.asarray(heat, np.float64)

    def need_dp(self, flow: FloatArray) -> FloatArray:
        """What each consumer must keep: its minimum, and what its whole valve needs for the flow."""
        if not self.has_kvs:
            return self.min_dp
        through_valve = 1e5 * 3600.0**2 * flow**2 / (1000.0 * self.density * self.kvs**2)
        return np.fmax(self.min_dp, through_valve)

    def need_slope(self, flow: FloatArray) -> FloatArray:
        """Derivative of need_dp by the flow."""
        if not self.has_kvs:
            return np.zeros_like(flow)
        factor = 1e5 * 3600.0**2 / (1000.0 * self.density * self.kvs**2)
        return np.where(factor * flow**2 > self.min_dp, 2.0 * factor * flow, 0.0)

    def node_limits(self, lift: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest gauge pressure of every node, -inf and inf where nothing is said."""
        rows = self.net.nodes.rows
        low = _column(self.limits, "min_pressure_pa", rows, np.nan)
        high = _column(self.limits, "max_pressure_pa", rows, np.nan)
        if "boiling_margin_pa" in self.limits:
            margin = float(self.limits["boiling_margin_pa"])
            boils = self._boiling_pressure(lift) + margin
            low = np.fmax(low, boils)
        return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

    def _boiling_pressure(self, lift: FloatArray | None) -> FloatArray:
        """Gauge pressure at which the hottest supply boils, and on the return side the hottest return."""
        temps = [self.net.sources["supply_temp_c"], self.supply_temp]
        hottest = np.nanmax(np.concatenate(temps)) if any(np.isfinite(t).any() for t in temps) else np.nan
        if not np.isfinite(hottest):
            raise BadNetwork(
                "boiling_margin_pa", "no supply temperature is known", "Give supply_temp_c.", "missing_value"
            )
        back = np.nanmax(self.return_temp) if np.isfinite(self.return_temp).any() else hottest
        at = np.full(self.net.nodes.rows, hottest)
        if lift is not None:
            at[lift <= 0.0] = back
        return fluid.saturation_pressure_pa(at) - fluid.ATMOSPHERE_PA


class State:
    """The network with certain flows and all heads raised until the index consumer keeps its need."""

    __slots__ = ("dp", "flow", "gain", "index", "lacking", "need", "result", "shift", "source_flow")

    dp: FloatArray
    flow: FloatArray
    gain: FloatArray
    index: int
    need: FloatArray
    result: HydraulicResult
    shift: float
    source_flow: FloatArray


class Heads:
    """The sources' heads for given flows; asks the flows-given twin as often as it takes."""

    def __init__(self, twin: FlowTwin, wishes: Wishes) -> None:
        self.twin, self.wishes = twin, wishes
        self.result = HydraulicResult(twin.solver)
        self.shift = 0.0
        self.heads = twin.base_dp.copy()
        needs = wishes.min_dp[wishes.target > 0.0]
        least = float(needs.min()) if len(needs) else BAR
        self.tol_pa = min(twin.solver._default_tol_pa, max(EXACT_SHARE * least, FINEST_PA))
        if not twin.dispatched:
            twin.put_heads(self.heads)
        self.lift = twin.lift
        self.rise = (
            np.ones(len(twin.is_head))
            if self.lift is None
            else self.lift[twin.source_supply] - self.lift[twin.source_return]
        )
        low, high = wishes.node_limits(self.lift) if wishes.bounded else (np.zeros(0), np.zeros(0))
        self.low, self.high = low, high

    def prepare(self, flow: FloatArray) -> None:
        """Told before every run; for sources that follow the flow."""

    def state(self, flow: FloatArray) -> State:
        """Pressures for these flows with the heads that just suffice."""
        self.prepare(flow)
        if self.lift is None:
            return self._by_search(flow)
        self.twin.run(self.result, flow, self.tol_pa)
        pressure = self.result.pressure_pa
        dp = self._across(pressure)
        need = self.wishes.need_dp(flow)
        # heads as given: no rounding of two pressures
        gain = np.where(self.twin.is_head, self.twin.base_dp, self._gain(pressure))
        taking = flow > 0.0
        lacking = np.where(taking, need - dp, -np.inf)
        index = int(np.argmax(lacking)) if len(lacking) else -1
        shift = float(lacking[index]) if index >= 0 else -np.inf
        # no source may suck
        lowest = -float(np.min(gain if self.twin.dispatched else gain[self.twin.is_head]))
        if not shift >= lowest:
            shift = lowest
        state = State()
        state.flow, state.need, state.shift = flow, need, shift
        state.dp = dp + shift
        state.gain = gain + shift * self.rise
        state.index = index if index >= 0 and taking[index] else -1
        state.source_flow = self.result.mass_flow_kg_s["sources"].copy()
        pressure += self.lift * shift
        state.result = self.result
        return state

    def _across(self, pressure: FloatArray) -> FloatArray:
        dp: FloatArray = pressure[self.twin.supply] - pressure[self.twin.back]
        return dp + self._level(self.twin.supply, self.twin.back)

    def _gain(self, pressure: FloatArray) -> FloatArray:
        gain: FloatArray = pressure[self.twin.source_supply] - pressure[self.twin.source_return]
        return gain + self._level(self.twin.source_supply, self.twin.source_return)

    def _level(self, first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> FloatArray | float:
        height = self.twin.solver._columns["nodes_elevation_m"]
        if self.twin.solver._level_pa is None:
            return 0.0
        medium = self.twin.solver.fluid
        level: FloatArray = medium.density_kg_m3 * medium.gravity_m_s2 * (height[first] - height[second])
        return level

    def _by_search(self, flow: FloatArray) -> State:
        """Where supply and return are bridged, raised heads change flows: raise until it fits."""
        need, taking = self.wishes.need_dp(flow), flow > 0.0
        lowest = -float(np.min(self.twin.base_dp[self.twin.is_head]))
        before, slope = None, 1.0
        for _ in range(60):
            self.twin.put_heads(np.maximum(self.twin.base_dp + self.shift, 0.0))
            self.twin.run(self.result, flow, self.tol_pa)
            dp = self._across(self.result.pressure_pa)
            lacking = np.where(taking, need - dp, -np.inf)
            index = int(np.argmax(lacking)) if len(lacking) else -1
            step = float(lacking[index]) if taking.any() else lowest - self.shift
            step = max(step, lowest - self.shift)
            if abs(step) <= 10.0 * self.tol_pa:
                break
            if before is not None and before[0] != self.shift and before[1] != step:
                # a pascal more of head brings this much where it is needed
                slope = min(max((before[1] - step) / (self.shift - before[0]), 0.02), 1.5)
            before = (self.shift, step)
            self.shift += step / slope
        else:
            raise self.twin.not_found(
                f"the heads that keep {self.wishes.min_dp.max():g} Pa at every consumer were not found; "
                "pumps or valves between supply and return work against the sources."
            )
        state = State()
        state.flow, state.need, state.shift, state.dp = flow, need, 0.0, dp
        state.gain = self._gain(self.result.pressure_pa)
        state.index = index if index >= 0 and taking[index] else -1
        state.source_flow = self.result.mass_flow_kg_s["sources"].copy()
        state.result = self.result
        return state


def find_balance(
    solver: HydraulicSolver,
    targets: Mapping[str, Any] | None,
    limits: Mapping[str, Any] | None,
    objective: str | None = None,
) -> Balance:
    """What `HydraulicSolver.balance` does; see there."""
    if objective is not None and objective not in OBJECTIVES:
        raise BadNetwork(
            "objective", f"{objective!r} is none", f"Known: {', '.join(OBJECTIVES)}.", "unknown_objective"
        )
    if targets and "min_supply_temp_c" in targets:
        from .supply_temperature import with_best_temperature

        return with_best_temperature(solver, targets, limits or {}, objective)
    return balance_wishes(solver, Wishes(solver, targets, limits), objective)


def balance_wishes(solver: HydraulicSolver, wishes: Wishes, objective: str | None) -> Balance:
    """Balance what is already known to be wanted."""
    from . import curtailment

    if objective is None:
        sources = solver.net.sources
        priced = sources.rows > 1 and np.isfinite(sources["cost_per_mwh"]).all()
        objective = "cost" if priced else "keep"
    if objective in ("cost", "co2"):
        from .dispatch import dispatched_heads

        heads, obstacles, ceiling, slack = dispatched_heads(solver, wishes, objective)
    else:
        twin = solver._flow_twin
        if twin is None:
            twin = solver._flow_twin = FlowTwin(solver)
        twin.follow(solver)
        heads, obstacles, ceiling, slack = Heads(twin, wishes), [], None, -1
    method = "equal raise of all heads" if slack < 0 else f"merit order by {objective}"
    if objective == "power":
        from .pump_schedule import least_power

        method = least_power(heads, wishes)
    found = curtailment.fill(heads, wishes, ceiling, obstacles)
    return answer(solver, heads, wishes, found, method, slack)


def answer(
    solver: HydraulicSolver, heads: Heads, wishes: Wishes, found: Filled, method: str, slack: int
) -> Balance:
    """Valve settings and everything else that follows from the fractions found."""
    state, fraction = found.state, found.fraction
    flow, dp, twin = state.flow, state.dp, heads.twin
    taking = flow > 0.0
    starved = taking & ~(dp >= LEAST_VALVE_PA)
    if starved.any():
        row = int(np.argmax(starved))
        raise BadNetwork(
            f"consumer {wishes.net.consumers['id'][row]}",
            f"{dp[row]:.3g} Pa are left for its valve",
            "Give it a min_dp_pa above 0.",
            "no_dp_left",
        )
    kv = np.zeros(len(flow))
    np.divide(flow, np.sqrt(dp, where=taking, out=np.ones(len(flow))), where=taking, out=kv)
    kv *= 3600.0 * np.sqrt(BAR / (1000.0 * wishes.density))
    index = "" if state.index < 0 else str(wishes.net.consumers["id"][state.index])
    pumps = -twin.solver._drops_pa("pumps")
    carried = state.result.mass_flow_kg_s["pumps"]
    power = np.maximum(state.gain * state.source_flow, 0.0) / wishes.density
    pump_power = float(np.sum(np.maximum(pumps * carried, 0.0))) / wishes.density
    twin.certificate_of(state.result)
    static = _static_shift(heads, state)
    obstacles = [*found.obstacles, *_pressure_obstacles(heads, state)]
    columns = twin.solver._columns
    heads.result = HydraulicResult(twin.solver)
    return Balance(
        kv_m3_h=kv,
        opening=kv / wishes.kvs,
        flow_limit_kg_s=flow.copy(),
        mass_flow_kg_s=flow,
        heat_w=fraction * wishes.heat(),
        delivered_fraction=fraction,
        dp_pa=dp,
        dp_margin_pa=dp - state.need,
        index_consumer=index,
        source_dp_pa=state.gain,
        source_mass_flow_kg_s=state.source_flow,
        source_supply_temp_c=solver._columns["sources_supply_temp_c"].copy(),
        pump_dp_pa=pumps,
        pump_speed=columns["pumps_speed"].copy(),
        pump_fixed_dp_pa=columns["pumps_fixed_dp_pa"].copy(),
        pump_power_w=float(np.sum(power)) + pump_power,
        electric_power_w=float(np.sum(power / wishes.efficiency)) + pump_power,
        feasible=not obstacles,
        obstacles=tuple(obstacles),
        relief=tuple(found.relief),
        fraction_bound=found.bound,
        static_shift_pa=static,
        supply_temp_c=float("nan"),
        slack_source=slack,
        method=method,
        result=state.result,
    )


def _static_shift(heads: Heads, state: State) -> tuple[float, float]:
    if not heads.wishes.bounded:
        return -np.inf, np.inf
    known = state.result.pressure_known
    pressure = state.result.pressure_pa
    lowest = float(np.max(np.where(known, heads.low - pressure, -np.inf), initial=-np.inf))
    highest = float(np.min(np.where(known, heads.high - pressure, np.inf), initial=np.inf))
    return (lowest, highest) if lowest <= highest else (float("nan"), float("nan"))


def _pressure_obstacles(heads: Heads, state: State) -> list[Obstacle]:
    """Nodes outside their limits that no curtailment helps."""
    if not heads.wishes.bounded:
        return []
    ids, known, pressure = heads.wishes.net.nodes["id"], state.result.pressure_known, state.result.pressure_pa
    out = []
    for bad, limit, word, code in (
        (known & (pressure < heads.low - SLACK * BAR), heads.low, "below", "node_min_pressure"),
        (known & (pressure > heads.high + SLACK * BAR), heads.high, "above", "node_max_pressure"),
    ):
        for row in np.flatnonzero(bad).tolist():
            text = f"node {ids[row]}: {pressure[row] / BAR:.3f} bar, {word} {limit[row] / BAR:.3f} bar"
            out.append(Obstacle("", text, code))
    return out


def with_temperature(found: Balance, temp_c: float, method: str) -> Balance:
    """The balance with the supply temperature that was chosen for it."""
    return dataclasses.replace(found, supply_temp_c=temp_c, method=f"{found.method}; {method}")
