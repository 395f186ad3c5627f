"""Heads of several plants and pumps for the least pump power, by linear programmes on exact derivatives.

The flows of consumers are given, so pressures answer to heads; where the way of the water is settled
(trees, imposed shares) they do so linearly and one programme is the answer. In loops and with several
plants a new programme is set up where the last one ended, within a region that shrinks when it promised too
much. It ends where no small change of heads saves power: a proof of the least power where that is convex,
else of a local one.
"""

from __future__ import annotations

import numpy as np

from .heads import Heads, State
from .network import FloatArray
from .sensitivity import Linearised
from .wishes import Wishes

MOST_ROUNDS = 40
# ends when a programme promises to save less than this share
WORTH = 1e-7
# consumers this close to their minimum can come to bind within the region, Pa; the rest is checked afterwards
NEAR_PA = 3e4
FIRST_REGION_PA = 5e4


class Schedule:
    """Heads of sources, gains of fixed pumps and speeds of others, as one vector of variables."""

    def __init__(self, heads: Heads, wishes: Wishes) -> None:
        self.heads, self.wishes = heads, wishes
        twin = heads.twin
        self.solver = twin.solver
        self.sources = np.flatnonzero(twin.is_head)
        columns, slices = self.solver._columns, self.solver._slices
        curve = self.solver.net.pumps["curve"] != ""
        running = columns["pumps_speed"] > 0.0
        self.fixed = np.flatnonzero(~curve & running)
        self.turned = np.flatnonzero(curve & running)
        self.columns = [
            *[("sources_dp_pa", int(r)) for r in self.sources],
            *[("pumps_fixed_dp_pa", int(r)) for r in self.fixed],
            *[("pumps_speed", int(r)) for r in self.turned],
        ]
        speed = columns["pumps_speed"]
        # a pascal for every variable: speeds count by the gain a full turn gives
        full = np.array([self._full_gain(int(r)) for r in self.turned])
        self.unit = np.r_[np.ones(len(self.sources)), np.ones(len(self.fixed)), 1.0 / full]
        self.low = np.zeros(len(self.columns))
        self.high = np.r_[
            wishes.max_dp[self.sources], wishes.pump_max_dp[self.fixed],
            np.maximum(1.0, speed[self.turned]) / self.unit[len(self.sources) + len(self.fixed) :],
        ]  # fmt: skip
        self.lifting = np.r_[np.arange(slices["pumps"].start, slices["pumps"].stop),
                             np.arange(slices["sources"].start, slices["sources"].stop)]  # fmt: skip

    def _full_gain(self, row: int) -> float:
        return max(abs(self.solver._pump_gain_by_speed(row, 0.0)) / 2.0, 1.0)

    def now(self) -> FloatArray:
        columns = self.solver._columns
        values = np.array([columns[name][row] for name, row in self.columns], np.float64)
        return np.asarray(values / self.unit, np.float64)

    def put(self, x: FloatArray) -> None:
        """Set the variables; sources keep what this says as their base, which later rises together."""
        values = x * self.unit
        for (name, row), value in zip(self.columns, values.tolist(), strict=True):
            self.solver._own(name)[row] = value
        for table in ("sources", "pumps"):
            self.solver._refresh(table)
        base = self.heads.twin.base_dp
        base[self.sources] = x[: len(self.sources)]

    def power(self, state: State) -> float:
        """Hydraulic power with the present flows, W, and by the plants' efficiency where it is given."""
        pumps = -self.solver._drops_pa("pumps") * state.result.mass_flow_kg_s["pumps"]
        plants = state.gain * state.source_flow / self.wishes.efficiency
        total = float(np.sum(np.maximum(pumps, 0.0)) + np.sum(np.maximum(plants, 0.0)))
        return total / self.wishes.density


def least_power(heads: Heads, wishes: Wishes) -> str:
    """Leave the twin's heads, pumps and speeds at the least power found; returns how that ended."""
    from scipy.optimize import linprog

    work = Schedule(heads, wishes)
    count = len(work.columns)
    flow = np.minimum(wishes.target, np.where(np.isfinite(wishes.most), wishes.most, np.inf))
    x = work.now()
    work.put(x)
    state = heads.state(flow)
    best, excess = work.power(state), _excess(work, state)
    x = _raised(work, x, state)
    region, rounds = FIRST_REGION_PA, 0
    while rounds < MOST_ROUNDS:
        rounds += 1
        program = _programme(work, flow, x, region)
        answer = linprog(**program, method="highs")
        promised = -float(answer.fun) if answer.success else 0.0
        if promised <= WORTH * max(best, 1.0) and (excess <= 0.0 or not answer.success):
            break
        step = answer.x[:count]
        trial = np.clip(x + step, work.low, work.high)
        work.put(trial)
        there = heads.state(flow)
        power, over = work.power(there), _excess(work, there)
        if over < excess - 1e-6 or (over <= max(excess, 1e-6) and power < best * (1.0 - 1e-12)):
            best, excess = power, over
            x = _raised(work, trial, there)
            region *= 1.5
        else:
            region *= 0.25
            if region < 0.1:
                break
    work.put(x)
    heads.shift = 0.0
    return f"least power by {rounds} linear programmes"


def _raised(work: Schedule, x: FloatArray, state: State) -> FloatArray:
    """Variables with the common rise that the index consumer asked for."""
    out = x.copy()
    out[: len(work.sources)] = state.gain[work.sources]
    return out


def _excess(work: Schedule, state: State) -> float:
    """How far limits of pressures and heads are broken, Pa, and of flows in their share of 1 bar."""
    wishes, worst = work.wishes, 0.0
    with np.errstate(invalid="ignore"):
        worst = max(worst, float(np.max(state.gain - wishes.max_dp, initial=0.0)))
        over = (state.source_flow - wishes.max_flow) / np.maximum(wishes.max_flow, 1e-9)
    worst = max(worst, 1e5 * float(np.max(np.where(np.isfinite(over), over, 0.0), initial=0.0)))
    if wishes.bounded:
        known, pressure = state.result.pressure_known, state.result.pressure_pa
        worst = max(worst, float(np.max(np.where(known, pressure - work.heads.high, 0.0), initial=0.0)))
        worst = max(worst, float(np.max(np.where(known, work.heads.low - pressure, 0.0), initial=0.0)))
    return worst


def _programme(work: Schedule, flow: FloatArray, x: FloatArray, region: float) -> dict[str, object]:
    """The linear programme at x: least change of power; limits that cannot be met cost more than power."""
    heads, wishes, twin = work.heads, work.wishes, work.heads.twin
    work.put(x)
    state = heads.state(flow)
    linear = Linearised(work.solver)
    flows, pressures = [], []
    for name in ("sources_dp_pa", "pumps_fixed_dp_pa", "pumps_speed"):
        rows = [row for column, row in work.columns if column == name]
        if rows:
            by_flow, by_pressure = linear.forward(name, rows)
            flows.append(by_flow)
            pressures.append(by_pressure)
    by_flow, by_pressure = (np.concatenate(parts, axis=1) * work.unit for parts in (flows, pressures))
    first, second, _ = work.solver._ends
    lifting = work.lifting
    gain_by = by_pressure[second[lifting]] - by_pressure[first[lifting]]
    pumps = -work.solver._drops_pa("pumps")
    gain = np.r_[pumps, state.gain]
    carried = np.r_[state.result.mass_flow_kg_s["pumps"], state.source_flow]
    worth = np.r_[np.ones(len(pumps)), 1.0 / wishes.efficiency] * (gain * carried > 0.0) / wishes.density
    by_power = (worth * gain) @ by_flow[lifting] + (worth * carried) @ gain_by
    # rows: need of consumers, limits of sources and nodes; one more variable takes up what cannot be kept
    rows, room = [], []
    near = (flow > 0.0) & (state.dp - state.need <= NEAR_PA + 2.0 * region)
    rows.append(-(by_pressure[twin.supply[near]] - by_pressure[twin.back[near]]))
    room.append((state.dp - state.need)[near])
    sources = work.solver._slices["sources"]
    bounded = np.isfinite(wishes.max_flow)
    scale = 1e5 / np.maximum(wishes.max_flow[bounded], 1e-9)
    rows.append(by_flow[sources][bounded] * scale[:, None])
    room.append((wishes.max_flow - state.source_flow)[bounded] * scale)
    if wishes.bounded:
        known, pressure = state.result.pressure_known, state.result.pressure_pa
        for sign, slack in ((1.0, heads.high - pressure), (-1.0, pressure - heads.low)):
            close = known & (slack <= NEAR_PA + 2.0 * region)
            rows.append(sign * by_pressure[close])
            room.append(slack[close])
    matrix = np.concatenate(rows)
    total = np.concatenate(room)
    penalty = 1e3 * (float(np.abs(by_power).sum()) + 1e-9)
    return {
        "c": np.r_[by_power, penalty],
        "A_ub": np.c_[matrix, -np.ones(len(matrix))],
        "b_ub": total,
        "bounds": [
            *[
                (max(float(lo - v), -region), max(min(float(hi - v), region), max(float(lo - v), -region)))
                for lo, hi, v in zip(work.low, work.high, x, strict=True)
            ],
            (0.0, None),
        ],
    }
