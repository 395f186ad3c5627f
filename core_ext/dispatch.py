"""Which plant gives how much heat: merit order under limits of heat and of temperature, a linear programme.

A plant cooler than what the consumers ask for may only give what the hotter ones can make up for: where all
water of the network mixes, the mixture must be as warm as the most demanding consumer that takes anything.
The programme assumes that mixing; it does not know who is fed by whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .balancing import Obstacle
from .flow_twin import FlowTwin
from .heads import Heads
from .network import BadNetwork, FloatArray
from .wishes import Wishes

if TYPE_CHECKING:
    from .solver import HydraulicSolver

PRICES = {"cost": "cost_per_mwh", "co2": "co2_per_mwh"}


def merit_order(solver: HydraulicSolver, wishes: Wishes, price: FloatArray) -> tuple[FloatArray, float]:
    """Heat of every plant, W, for the least price, and the share of the demand they can give together."""
    from scipy.optimize import linprog

    heat = wishes.heat()
    total = float(heat.sum())
    supply, back = _temperatures(solver, wishes)
    per_kg = wishes.cp * (supply - back)
    taking = heat > 0.0
    asked = float(np.max(wishes.supply_temp[taking], initial=-np.inf))
    rows = len(price)
    # variables: heat of every plant in units of the demand, and the share of it that is met
    unit = max(total, 1.0)
    most = np.where(np.isfinite(wishes.max_heat), wishes.max_heat, total) / unit
    most = np.minimum(most, np.where(np.isfinite(wishes.max_flow), wishes.max_flow, np.inf) * per_kg / unit)
    warmth = (supply - asked) / per_kg if np.isfinite(asked) else np.zeros(rows)
    # first as much as there can be, then for the least price
    balance = np.r_[np.ones(rows), -1.0][None]
    colder = np.r_[-warmth / max(np.abs(warmth).max(), 1e-12), 0.0][None]
    bounds = [*[(0.0, max(float(m), 0.0)) for m in most], (0.0, 1.0)]
    first = linprog(
        np.r_[np.zeros(rows), -1.0], A_ub=colder, b_ub=[1e-12], A_eq=balance, b_eq=[0.0], bounds=bounds
    )
    met = float(first.x[-1]) if first.success else 0.0
    scale = max(float(np.abs(price).max()), 1e-12)
    bounds[-1] = (met, met)
    second = linprog(
        np.r_[price / scale, 0.0], A_ub=colder, b_ub=[1e-9], A_eq=balance, b_eq=[0.0], bounds=bounds
    )
    given: FloatArray = (second.x if second.success else first.x)[:rows] * unit
    return np.maximum(given, 0.0), met


def _temperatures(solver: HydraulicSolver, wishes: Wishes) -> tuple[FloatArray, FloatArray]:
    """Supply temperature of every plant, and of what comes back to it."""
    heat = wishes.heat()
    taking = heat > 0.0
    asked = float(np.max(wishes.supply_temp[taking], initial=-np.inf))
    supply = solver._columns["sources_supply_temp_c"]
    supply = np.where(np.isfinite(supply), supply, asked if np.isfinite(asked) else np.nan)
    flow = wishes.target * taking
    back = float(np.sum(np.where(taking, wishes.return_temp * flow, 0.0)) / max(float(flow.sum()), 1e-300))
    if not np.isfinite(supply).all() or (taking.any() and not (supply > back).all()):
        raise BadNetwork(
            "sources",
            "merit order needs supply temperatures above the return temperature",
            "Give supply_temp_c and return_temp_c of the consumers, and supply_temp_c of the sources.",
            "no_temperatures",
        )
    return supply, np.full(len(supply), back)


def dispatched_heads(
    solver: HydraulicSolver, wishes: Wishes, objective: str
) -> tuple[Heads, list[Obstacle], FloatArray, int]:
    """Heads for flows in merit order, what falls short, how much each may get, the plant that gives way.

    The dearest plant that runs makes up for what the others' flows leave.
    """
    column = PRICES[objective]
    price = solver._columns[f"sources_{column}"]
    if not np.isfinite(price).all():
        row = int(np.argmin(np.isfinite(price)))
        raise BadNetwork(
            f"source {solver.net.sources['id'][row]}", f"{column} is not given", "Give every plant one.",
            "missing_value",
        )  # fmt: skip
    given, met = merit_order(solver, wishes, price)
    running = given > 0.0
    slack = int(np.argmax(np.where(running, price, -np.inf))) if running.any() else int(np.argmin(price))
    twin = solver._dispatch_twins.get(slack)
    if twin is None:
        twin = solver._dispatch_twins[slack] = FlowTwin(solver, slack)
    twin.follow(solver)
    supply, back = _temperatures(solver, wishes)
    total = float(given.sum())
    # in shares of what consumers take, so that the slack plant gives what is its own
    share = given / (supply - back)
    share = share / share.sum() if total > 0.0 else np.where(np.arange(len(given)) == slack, 1.0, 0.0)
    heads = DispatchedHeads(twin, wishes, share)
    ceiling, obstacles = np.ones(wishes.net.consumers.rows), []
    if met < 1.0 - 1e-9:
        ceiling = _shared(wishes, met)
        names = ", ".join(str(i) for i in solver.net.sources["id"])
        for row in np.flatnonzero((ceiling < 1.0) & (wishes.target > 0.0)).tolist():
            obstacles.append(
                Obstacle(
                    str(wishes.net.consumers["id"][row]),
                    f"sources {names} together: max_heat_w or temperature allow {100 * met:.1f} %",
                    "source_max_heat_w",
                )
            )
    return heads, obstacles, ceiling, slack


def _shared(wishes: Wishes, met: float) -> FloatArray:
    """Fractions when only a share of all heat is there: the first priority first, equal within each."""
    heat = wishes.heat()
    left = met * float(heat.sum())
    out = np.ones(len(heat))
    for level in sorted(set(wishes.priority[heat > 0.0].tolist())):
        members = (wishes.priority == level) & (heat > 0.0)
        want = float(heat[members].sum())
        out[members] = min(1.0, left / want)
        left = max(left - want, 0.0)
    return out


class DispatchedHeads(Heads):
    """Heads where all plants but one are told their flow: a share of what is taken."""

    def __init__(self, twin: FlowTwin, wishes: Wishes, share: FloatArray) -> None:
        super().__init__(twin, wishes)
        self.share = share

    def prepare(self, flow: FloatArray) -> None:
        self.twin.put_flows(self.share * float(flow.sum()))
