"""Heads of the sources for given flows: raised together until the index consumer keeps what it needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import _settings
from .flow_twin import FlowTwin
from .network import FloatArray
from .result import HydraulicResult
from .wishes import Wishes

# a limit counts as kept within this share of itself (pressures: of 1 bar)
SLACK = 1e-10
# least pressure a valve can be set by, Pa
LEAST_VALVE_PA = 1.0
# kv is to be good to 1e-9, so pressures to 2e-9 of what a valve is set by; never asked finer than this, Pa
EXACT_SHARE, FINEST_PA = 1e-10, 1e-7
BAR = 1e5


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
        self._result: HydraulicResult | None = None
        self.shift = 0.0
        self.heads = twin.base_dp.copy()
        needs = wishes.min_dp[wishes.target > 0.0]
        least = float(needs.min()) if len(needs) else BAR
        self.tol_pa = min(twin.solver._default_tol_pa, max(EXACT_SHARE * least, FINEST_PA))
        if not twin.dispatched:
            twin.put_heads(self.heads)
        self.lift = twin.lift
        self.rise = twin.rise
        low, high = wishes.node_limits(self.lift) if wishes.bounded else (np.zeros(0), np.zeros(0))
        self.low, self.high = low, high
        self.level = self._level(twin.supply, twin.back)
        self.source_level = self._level(twin.source_supply, twin.source_return)

    @property
    def result(self) -> HydraulicResult:
        """What every run writes to."""
        if self._result is None:
            self._result = HydraulicResult(self.twin.solver)
        return self._result

    def let_go(self) -> None:
        """The result of the last run belongs to somebody else now: the next run makes one of its own."""
        self._result = None

    def prepare(self, flow: FloatArray) -> None:
        """Told before every run; for sources that follow the flow."""

    def state(self, flow: FloatArray) -> State:
        """Pressures for these flows with the heads that just suffice."""
        self.prepare(flow)
        if self.lift is None:
            return self._by_search(flow)
        result = self.result
        self.twin.run(result, flow, self.tol_pa)
        pressure = result.pressure_pa
        dp = self._across(pressure)
        need = self.wishes.need_dp(flow)
        # heads as given: no rounding of two pressures
        gain = np.where(self.twin.is_head, self.twin.base_dp, self._gain(pressure))
        index, shift = _settings.most_lacking(dp, need, flow)
        # no source may suck
        lowest = -float(np.min(gain if self.twin.dispatched else gain[self.twin.is_head]))
        if not shift >= lowest:
            shift = lowest
        state = State()
        state.flow, state.need, state.shift = flow, need, shift
        dp += shift
        state.dp = dp
        state.gain = gain + shift * self.rise
        state.index = index
        state.source_flow = result.mass_flow_kg_s["sources"].copy()
        pressure += self.lift * shift
        state.result = result
        return state

    def _across(self, pressure: FloatArray) -> FloatArray:
        dp = np.empty(len(self.twin.supply))
        _settings.across(self.twin.supply, self.twin.back, pressure, self.level, dp)
        return dp

    def _gain(self, pressure: FloatArray) -> FloatArray:
        gain = np.empty(len(self.twin.source_supply))
        _settings.across(self.twin.source_supply, self.twin.source_return, pressure, self.source_level, gain)
        return gain

    def _level(self, first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]) -> FloatArray:
        height = self.twin.solver._columns["nodes_elevation_m"]
        if self.twin.solver._level_pa is None:
            return np.zeros(0)
        medium = self.twin.solver.fluid
        level: FloatArray = medium.density_kg_m3 * medium.gravity_m_s2 * (height[first] - height[second])
        return level

    def _by_search(self, flow: FloatArray) -> State:
        """Where supply and return are bridged, raised heads change flows: raise until it fits."""
        need = self.wishes.need_dp(flow)
        lowest = -float(np.min(self.twin.base_dp[self.twin.is_head]))
        before, slope = None, 1.0
        for _ in range(60):
            self.twin.put_heads(np.maximum(self.twin.base_dp + self.shift, 0.0))
            self.twin.run(self.result, flow, self.tol_pa)
            dp = self._across(self.result.pressure_pa)
            # no head helps who has no way to a plant; `curtailment` names them
            index, step = _settings.most_lacking(dp, need, np.where(self.twin.served(), flow, 0.0))
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
        state.index = index
        state.source_flow = self.result.mass_flow_kg_s["sources"].copy()
        state.result = self.result
        return state
