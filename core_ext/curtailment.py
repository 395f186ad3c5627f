"""Who gets how much when not everybody can get all: lexicographic max-min of the delivered fraction.

Within a priority, first the smallest fraction is made as large as possible, then the next, and so on; a lower
priority gets what is left. All that rise stop together at the first limit that binds; those the limit answers
to are held there, by exact derivatives from the factor of the solve, and the others rise on. Where flows only
ever make pressures worse (trees, and networks without loops that gain from more flow) that is the optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .balancing import Obstacle, Relief
from .heads import BAR, FINEST_PA, SLACK, Heads, State
from .network import FloatArray
from .sensitivity import Adjoint, Linearised
from .wishes import Wishes

# a fraction is found to this width
FRACTION_WIDTH = 1e-11
# a limit answers to a consumer when raising it counts for more than this share of the one that counts most
COUNTS = 1e-6
# pipes named for a limit, those that take most
MOST_PIPES = 10


@dataclass(slots=True)
class Filled:
    """Fractions per consumer, the state they give, and what stands in the way of those below 1."""

    fraction: FloatArray
    state: State
    obstacles: list[Obstacle]
    relief: list[Relief] = field(default_factory=list)
    bound: float = 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: its slack (positive is kept) in its own unit, and that unit's scale."""

    element: str
    column: str
    value: float
    slack: float
    scale: float
    row: int

    @property
    def share(self) -> float:
        return self.slack / self.scale

    def __str__(self) -> str:
        return f"{self.element} {self.column} {self.value:g}"


def limits_of(heads: Heads, wishes: Wishes, state: State, heat_w: FloatArray, nodes: bool) -> list[Limit]:
    """Every finite limit with its slack in a state."""
    ids, out = wishes.net.sources["id"], []
    limited = range(wishes.net.sources.rows) if wishes.sources_limited else range(0)
    carried = float(np.sum(np.maximum(state.source_flow, 0.0))) if limited else 0.0
    total = float(np.sum(heat_w)) if limited else 0.0
    for row in limited:
        name, flow = f"source {ids[row]}", float(state.source_flow[row])
        if np.isfinite(wishes.max_dp[row]):
            most = float(wishes.max_dp[row])
            out.append(Limit(name, "max_dp_pa", most, most - float(state.gain[row]), BAR, row))
        if np.isfinite(wishes.max_flow[row]):
            most = float(wishes.max_flow[row])
            out.append(Limit(name, "max_flow_kg_s", most, most - flow, max(most, 1e-9), row))
        if np.isfinite(wishes.max_heat[row]):
            most = float(wishes.max_heat[row])
            share = total * max(flow, 0.0) / carried if carried > 0.0 else 0.0
            out.append(Limit(name, "max_heat_w", most, most - share, max(most, 1e-6), row))
    if nodes and wishes.bounded:
        names, known = wishes.net.nodes["id"], state.result.pressure_known
        for column, slack, limit in (
            ("max_pressure_pa", heads.high - state.result.pressure_pa, heads.high),
            ("min_pressure_pa", state.result.pressure_pa - heads.low, heads.low),
        ):
            row = int(np.argmin(np.where(known, slack, np.inf)))
            if np.isfinite(slack[row]):
                out.append(
                    Limit(f"node {names[row]}", column, float(limit[row]), float(slack[row]), BAR, row)
                )
    return out


class Filling:
    """One search for fractions."""

    def __init__(self, heads: Heads, wishes: Wishes) -> None:
        self.heads, self.wishes = heads, wishes
        self.heat = wishes.heat()
        # a limit that is broken without any flow is not helped by curtailing
        self.nodes = False
        self.bound = 1.0
        # what was brought to its limit stays there to rounding while others rise: allow a little more each
        # time
        self.allowed = SLACK
        self.relief: list[Relief] = []

    def state(self, fraction: FloatArray) -> State:
        return self.heads.state(fraction * self.wishes.target)

    def limits(self, state: State, fraction: FloatArray) -> list[Limit]:
        return limits_of(self.heads, self.wishes, state, fraction * self.heat, self.nodes)

    def worst(self, fraction: FloatArray) -> float:
        """Least share of slack of all limits, infinite without any; negative where one is broken."""
        shares = [limit.share for limit in self.limits(self.state(fraction), fraction)]
        return min(shares, default=np.inf) + self.allowed

    def kept(self, fraction: FloatArray) -> bool:
        return self.worst(fraction) >= 0.0

    # -- rising ---------------------------------------------------------------------------

    def fill(
        self,
        fraction: FloatArray,
        ceiling: FloatArray,
        members: npt.NDArray[np.intp],
        obstacles: list[Obstacle],
    ) -> None:
        """Raise the members together until a limit binds, hold those it answers to, go on with the rest."""
        ids = self.wishes.net.consumers["id"]
        rising = members[ceiling[members] > 0.0]
        level, first = 0.0, True

        def at(height: float) -> FloatArray:
            trial = fraction.copy()
            trial[rising] = np.minimum(height, ceiling[rising])
            return trial

        while len(rising):
            top = float(np.max(ceiling[rising]))
            if self.kept(at(top)):
                fraction[rising] = ceiling[rising]
                return
            low, high = self._highest(at, level, top)
            level = low
            if first and self.bound == 1.0:
                self.bound = high
            first = False
            fraction[rising] = np.minimum(level, ceiling[rising])
            done = fraction[rising] >= ceiling[rising]
            limit, by_flow, adjoint = self._binding(at(high), at(level))
            counts = by_flow[rising] * self.wishes.target[rising]
            held = (counts > COUNTS * np.max(counts, initial=0.0)) & ~done
            if not held.any():
                # only all of them together are too much: hold the one that counts most
                held[int(np.argmax(np.where(done, -np.inf, counts)))] = True
            self._note_relief(limit, rising[held], by_flow, adjoint)
            code = f"source_{limit.column}" if limit.element.startswith("source") else "node_pressure"
            obstacles += [Obstacle(str(ids[row]), str(limit), code) for row in rising[held].tolist()]
            rising = rising[~(held | done)]
            self.allowed += SLACK

    def _highest(self, at: Callable[[float], FloatArray], low: float, high: float) -> tuple[float, float]:
        """A level all limits allow, and one next to it that breaks one."""
        from scipy.optimize import brentq

        if self.worst(at(low)) < 0.0:
            return low, low
        found = float(brentq(lambda t: self.worst(at(t)), low, high, xtol=0.25 * FRACTION_WIDTH, rtol=1e-15))
        width = FRACTION_WIDTH
        while found - width > low and self.worst(at(found - width)) < 0.0:
            width *= 2.0
        return max(found - width, low), min(found + width, high)

    # -- what binds -----------------------------------------------------------------------

    def _binding(self, above: FloatArray, at: FloatArray) -> tuple[Limit, FloatArray, Adjoint]:
        """The limit broken just above, how its use answers to every consumer's flow, and to all else."""
        limits = self.limits(self.state(above), above)
        limit = min(limits, key=lambda one: one.share)
        state = self.state(at)
        linear = Linearised(self.heads.twin.solver)
        flow_weight, weight = self._figure(limit, state, at)
        adjoint = linear.adjoint(flow_weight, weight)
        by_flow = adjoint.by_flow[self.heads.twin.part]
        if limit.column == "max_heat_w":
            by_flow = by_flow + self._share_of_heat(limit, state)
        if limit.column in ("max_dp_pa", "max_pressure_pa", "min_pressure_pa"):
            adjoint, by_flow = self._raised(linear, limit, state, adjoint, by_flow)
        return limit, by_flow, adjoint

    def _figure(self, limit: Limit, state: State, fraction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weights of flows and pressures in what the limit bounds from above, at heads as they are."""
        twin = self.heads.twin
        flows, nodes = np.zeros(twin.solver._links), np.zeros(twin.solver._nodes)
        sources = twin.solver._slices["sources"].start
        if limit.column == "max_flow_kg_s":
            flows[sources + limit.row] = 1.0
        elif limit.column == "max_heat_w":
            carried = float(np.sum(np.maximum(state.source_flow, 0.0)))
            total = float(np.sum(fraction * self.heat))
            positive = state.source_flow > 0.0
            flows[sources : sources + len(positive)] -= (
                total * max(float(state.source_flow[limit.row]), 0.0) / carried**2 * positive
            )
            flows[sources + limit.row] += total / carried
        elif limit.column == "max_dp_pa":
            nodes[twin.source_supply[limit.row]] += 1.0
            nodes[twin.source_return[limit.row]] -= 1.0
        else:
            nodes[limit.row] = 1.0 if limit.column == "max_pressure_pa" else -1.0
        return flows, nodes

    def _share_of_heat(self, limit: Limit, state: State) -> FloatArray:
        """The heat of each consumer itself counts for its source's share."""
        carried = float(np.sum(np.maximum(state.source_flow, 0.0)))
        per_flow = np.divide(
            self.heat, self.wishes.target, out=np.zeros(len(self.heat)), where=self.wishes.target > 0.0
        )
        return per_flow * max(float(state.source_flow[limit.row]), 0.0) / carried

    def _raised(
        self, linear: Linearised, limit: Limit, state: State, adjoint: Adjoint, by_flow: FloatArray
    ) -> tuple[Adjoint, FloatArray]:
        """Add what happens because all heads rise until the index consumer keeps its need."""
        if state.index < 0:
            return adjoint, by_flow
        twin = self.heads.twin
        nodes = np.zeros(twin.solver._nodes)
        nodes[twin.supply[state.index]] -= 1.0
        nodes[twin.back[state.index]] += 1.0
        lacking = linear.adjoint(np.zeros(twin.solver._links), nodes)
        short = lacking.by_flow[twin.part].copy()
        short[state.index] += self.wishes.need_slope(state.flow)[state.index]
        if self.heads.lift is not None:
            if limit.column == "max_dp_pa":
                rise = float(self.heads.rise[limit.row])
            else:
                rise = float(self.heads.lift[limit.row]) * (
                    1.0 if limit.column == "max_pressure_pa" else -1.0
                )
        else:
            heads = np.flatnonzero(twin.is_head) + twin.solver._slices["sources"].start
            gained = -float(lacking.by_drop[heads].sum())
            rise = float(adjoint.by_drop[heads].sum()) / gained if gained else 0.0
            rise = -rise
        return (
            Adjoint(
                adjoint.by_injection + rise * lacking.by_injection,
                adjoint.by_flow + rise * lacking.by_flow,
                adjoint.by_drop + rise * lacking.by_drop,
                adjoint.by_pressure + rise * lacking.by_pressure,
                adjoint.by_setting + rise * lacking.by_setting,
            ),
            by_flow + rise * short,
        )

    def _note_relief(
        self, limit: Limit, held: npt.NDArray[np.intp], by_flow: FloatArray, adjoint: Adjoint
    ) -> None:
        """What a unit more of the limit, or a pascal less in a pipe, would bring those it holds."""
        use = float(np.sum(by_flow[held] * self.wishes.target[held]))
        if not use > 0.0:
            return
        heat = float(np.sum(self.heat[held]))
        # a lowest pressure is relieved downwards
        sign = -1.0 if limit.column == "min_pressure_pa" else 1.0
        self.relief.append(Relief(limit.element, limit.column, limit.value, sign / use, sign * heat / use))
        twin = self.heads.twin
        part = twin.solver._slices["pipes"]
        loss = twin.solver._drops_pa("pipes")
        # use of the limit per Pa of loss, as the flow runs
        per_pascal = adjoint.by_drop[part] * np.sign(loss)
        weight = per_pascal * np.abs(loss)
        for row in np.argsort(-weight)[:MOST_PIPES].tolist():
            if weight[row] <= 1e-9 * abs(limit.value):
                break
            gain = float(per_pascal[row]) / use
            pipe = f"pipe {self.wishes.net.pipes['id'][row]}"
            self.relief.append(Relief(pipe, "pressure_loss_pa", float(abs(loss[row])), gain, gain * heat))
        part = twin.solver._slices["pumps"]
        for row in range(part.stop - part.start):
            per = float(adjoint.by_drop[part.start + row])
            if per > 1e-12:
                pump, now = f"pump {self.wishes.net.pumps['id'][row]}", -twin.solver._drops_pa("pumps")[row]
                self.relief.append(Relief(pump, "dp_pa", float(now), per / use, per * heat / use))


def fill(heads: Heads, wishes: Wishes, ceiling: FloatArray | None, obstacles: list[Obstacle]) -> Filled:
    """The largest fractions there can be, and the state they give."""
    work = Filling(heads, wishes)
    ids = wishes.net.consumers["id"]
    consumers = wishes.net.consumers.rows
    ceiling = np.ones(consumers) if ceiling is None else ceiling
    over = np.flatnonzero(wishes.target * ceiling > wishes.most)
    for row in over.tolist():
        ceiling[row] = wishes.most[row] / wishes.target[row]
        text = f"its own max_flow_kg_s {wishes.most[row]:g}"
        obstacles.append(Obstacle(str(ids[row]), text, "consumer_max_flow"))
    state = work.state(ceiling)
    for _ in range(consumers + 1):
        # consumers in a part that nothing supplies get nothing, whatever the heads are
        lost = ~heads.twin.served() & (state.flow > 0.0)
        if not lost.any():
            break
        ceiling[lost] = 0.0
        obstacles += [
            Obstacle(str(ids[row]), "no open path from a source and back", "not_connected")
            for row in np.flatnonzero(lost).tolist()
        ]
        state = work.state(ceiling)
    work.nodes = wishes.bounded
    limits = work.limits(state, ceiling)
    if all(limit.share >= -SLACK for limit in limits):
        return Filled(ceiling, state, obstacles)
    return _curtailed(work, heads, wishes, ceiling, obstacles)


def _curtailed(
    work: Filling, heads: Heads, wishes: Wishes, ceiling: FloatArray, obstacles: list[Obstacle]
) -> Filled:
    heads.tol_pa = FINEST_PA
    fraction = np.where(wishes.target > 0.0, 0.0, ceiling)
    # what is broken with hardly any flow is not helped by less
    nearly = np.where(wishes.target > 0.0, 1e-6 * ceiling, ceiling)
    if work.nodes and not work.kept(nearly):
        work.nodes = False
        state = work.state(ceiling)
        if all(limit.share >= -SLACK for limit in work.limits(state, ceiling)):
            return Filled(ceiling, state, obstacles)
    for level in sorted(set(wishes.priority[wishes.target > 0.0].tolist())):
        members = np.flatnonzero((wishes.priority == level) & (wishes.target > 0.0))
        work.fill(fraction, ceiling, members, obstacles)
    return Filled(fraction, work.state(fraction), obstacles, work.relief, work.bound)
