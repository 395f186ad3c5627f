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

from . import _settings
from .flow_twin import FlowTwin, with_flows, with_heads
from .heads import BAR, LEAST_VALVE_PA, SLACK, Heads, State
from .network import BadNetwork, FloatArray, Network
from .result import HydraulicResult
from .solver import HydraulicSolver
from .wishes import Wishes

if TYPE_CHECKING:
    from .curtailment import Filled

OBJECTIVES = ("keep", "power", "cost", "co2")


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
    kv, margin = np.empty(len(flow)), np.empty(len(flow))
    factor = 3600.0 * float(np.sqrt(BAR / (1000.0 * wishes.density)))
    starved = _settings.valve_settings(dp, state.need, flow, factor, LEAST_VALVE_PA, kv, margin)
    if starved >= 0:
        raise BadNetwork(
            f"consumer {wishes.net.consumers['id'][starved]}",
            f"{dp[starved]:.3g} Pa are left for its valve",
            "Give it a min_dp_pa above 0.",
            "no_dp_left",
        )
    index = "" if state.index < 0 else str(wishes.net.consumers["id"][state.index])
    pumps = -twin.solver._drops_pa("pumps")
    carried = state.result.mass_flow_kg_s["pumps"]
    every_pump = np.maximum(pumps * carried, 0.0)
    power = np.maximum(state.gain * state.source_flow, 0.0) / wishes.density
    pump_power = float(np.sum(every_pump)) / wishes.density if len(every_pump) else 0.0
    twin.certificate_of(state.result)
    static = _static_shift(heads, state)
    obstacles = [*found.obstacles, *_pressure_obstacles(heads, state)]
    columns = twin.solver._columns
    heads.let_go()
    return Balance(
        kv_m3_h=kv,
        opening=kv / wishes.kvs,
        flow_limit_kg_s=flow.copy(),
        mass_flow_kg_s=flow,
        heat_w=fraction * wishes.heat(),
        delivered_fraction=fraction,
        dp_pa=dp,
        dp_margin_pa=margin,
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
