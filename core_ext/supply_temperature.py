"""The supply temperature that costs least: hot water needs little pumping and loses much heat.

Cost per hour = electricity price x electric pump power + heat price x heat lost by the supply pipes, Q =
sum of linear_loss_w_mk x length x (T - ground). Pump power falls with a power of the temperature above the
return, the loss rises in proportion: the sum has one minimum, found by golden section between what the
consumers need at least and bear at most. Where too cool a supply cannot be pumped, the search stays above.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .balancing import Balance, balance_wishes, with_temperature
from .network import BadNetwork
from .wishes import Wishes, column_of

if TYPE_CHECKING:
    from .solver import HydraulicSolver

GOLDEN = 0.5 * (5.0**0.5 - 1.0)
# temperatures closer than this make no difference to anybody, K
CLOSE_K = 0.05
# where nothing is said: the ground 1 m deep (domain.md, estimate), prices as ratio 3:1 (own estimate)
GROUND_C, ELECTRICITY, HEAT = 8.0, 150.0, 50.0


def with_best_temperature(
    solver: HydraulicSolver, targets: Mapping[str, Any], limits: Mapping[str, Any], objective: str | None
) -> Balance:
    """Balance for the temperature, within every consumer's bounds, that costs least."""
    rows = solver.net.consumers.rows
    now = solver._columns
    least = column_of(targets, "min_supply_temp_c", rows, np.nan)
    most = column_of(targets, "max_supply_temp_c", rows, 150.0)
    if "mass_flow_kg_s" in targets:
        raise BadNetwork("targets", "a flow and a temperature to choose", "Give heat_w.", "bad_target")
    heat = column_of(targets, "heat_w", rows, now["consumers_heat_w"])
    taking = heat > 0.0
    if not (np.isfinite(least[taking]).all() and taking.any()):
        raise BadNetwork(
            "targets", "min_supply_temp_c or heat_w is missing", "Give both for everyone who takes heat.",
            "missing_value",
        )  # fmt: skip
    low, high = float(least[taking].max()), float(most[taking].min())
    names = solver.net.consumers["id"]
    if low > high:
        needs, bears = np.where(taking, least, -np.inf), np.where(taking, most, np.inf)
        raise BadNetwork(
            f"consumer {names[int(np.argmax(needs))]}",
            f"needs {low:g} degC, and consumer {names[int(np.argmin(bears))]} bears {high:g} degC",
            "No one supply temperature does for both; mix one of them down.",
            "no_temperature",
        )
    rest = {k: v for k, v in targets.items() if k not in ("min_supply_temp_c", "max_supply_temp_c")}
    tried: dict[float, tuple[float, Balance]] = {}

    def cost(temp: float) -> float:
        if temp not in tried:
            wishes = Wishes(solver, {**rest, "heat_w": heat, "supply_temp_c": temp}, limits)
            found = balance_wishes(solver, wishes, objective)
            price = hourly_cost(solver, found, temp, limits)
            # what is not delivered is worth more than any saving
            lost = 1.0 - float(np.sum(found.heat_w)) / float(heat.sum())
            tried[temp] = (price if found.feasible else 1e9 * (1.0 + lost), found)
        return tried[temp][0]

    a, b = low, high
    left, right = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    while b - a > CLOSE_K:
        if cost(left) <= cost(right):
            b, right = right, left
            left = b - GOLDEN * (b - a)
        else:
            a, left = left, right
            right = a + GOLDEN * (b - a)
    for end in (low, high):
        cost(end)
    best = min(tried, key=lambda temp: (tried[temp][0], temp))
    where = "lowest bound" if best == low else "highest bound" if best == high else "least cost"
    return with_temperature(
        tried[best][1], best, f"supply {best:.2f} degC of {low:g} to {high:g}, {where}, {len(tried)} tried"
    )


def hourly_cost(solver: HydraulicSolver, found: Balance, temp_c: float, limits: Mapping[str, Any]) -> float:
    """Price of pumping and of heat lost in the supply, per hour, at a supply temperature."""
    now = solver._columns
    ground = float(limits.get("ground_temp_c", GROUND_C))
    loss = np.nan_to_num(now["pipes_linear_loss_w_mk"]) * now["pipes_length_m"]
    # the supply side alone answers to the supply temperature
    lift = solver._flow_twin.lift if solver._flow_twin is not None else None
    if lift is None and solver._dispatch_twins:
        lift = next(iter(solver._dispatch_twins.values())).lift
    if lift is not None:
        first = solver._ends[0][solver._slices["pipes"]]
        loss = np.where(lift[first] > 0.0, loss, 0.0)
    lost_w = float(loss.sum()) * (temp_c - ground)
    electricity = float(limits.get("electricity_per_mwh", ELECTRICITY))
    heat = float(limits.get("heat_per_mwh", HEAT))
    return (electricity * found.electric_power_w + heat * lost_w) / 1e6
