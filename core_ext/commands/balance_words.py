"""A balance in tables and sentences: settings, plants, verdict, what is in the way; it decides nothing."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

from ..balancing import Balance, Obstacle, Relief
from ..network import FloatArray, Network
from ..solver import HydraulicSolver
from .printing import figure, print_table, say, signed, some

BAR = 1e5
# how a limit reads, its unit, what one of that unit is in SI, and the step its relief is told for
LIMITS = {
    "max_dp_pa": ("head at most", "bar", BAR, 0.1),
    "max_pressure_pa": ("pressure at most", "bar", BAR, 0.1),
    "min_pressure_pa": ("pressure at least", "bar", BAR, -0.1),
    "max_flow_kg_s": ("flow at most", "kg/s", 1.0, 0.1),
    "max_heat_w": ("heat at most", "kW", 1e3, 10.0),
    "pressure_loss_pa": ("pressure loss", "bar", BAR, -0.01),
    "dp_pa": ("gain", "bar", BAR, 0.1),
}
_LIMIT = re.compile(r"(.*?)\b(" + "|".join(key for key in LIMITS) + r") (\S+)$")


def source_power_w(found: Balance, density_kg_m3: float) -> FloatArray:
    """Hydraulic power of every source, W."""
    power: FloatArray = np.maximum(found.source_dp_pa * found.source_mass_flow_kg_s, 0.0) / density_kg_m3
    return power


def source_heat_w(net: Network, found: Balance, return_temp_c: float | None) -> FloatArray:
    """Share of every source in the consumers' heat, W: by flow, and by temperature where all have one.

    `return_temp_c` is the one that was asked for, else the file's count. NaN where a consumer that takes
    something has no temperatures.
    """
    consumers = net.consumers
    taking = found.mass_flow_kg_s > 0.0
    back = consumers["return_temp_c"]
    if return_temp_c is not None:
        back = np.full(consumers.rows, return_temp_c)
    known = np.isfinite(consumers["supply_temp_c"]) & np.isfinite(back)
    if not known[taking].all() and not (found.heat_w[taking] > 0.0).all():
        return np.full(net.sources.rows, math.nan)
    weight = np.maximum(found.source_mass_flow_kg_s, 0.0)
    if np.isfinite(found.source_supply_temp_c).all() and taking.any() and np.isfinite(back[taking]).all():
        mixed = float(np.average(back[taking], weights=found.mass_flow_kg_s[taking]))
        warmed = weight * np.maximum(found.source_supply_temp_c - mixed, 0.0)
        # where the return asked for is above what the file says of every plant, flow alone tells them apart
        weight = warmed if warmed.any() else weight
    total = float(weight.sum())
    shared: FloatArray = float(found.heat_w.sum()) * weight / total if total > 0.0 else np.zeros(len(weight))
    return shared


def verdict(net: Network, found: Balance) -> str:
    """What came out, in one sentence."""
    power = f"hydraulic pump power {found.pump_power_w / 1e3:.3f} kW"
    if found.feasible:
        if not found.index_consumer:
            return "nobody takes any flow, so there is nothing to balance"
        dp = float(found.dp_pa[net.consumers.row(found.index_consumer)]) / BAR
        return (
            f"every consumer gets its target; index consumer {found.index_consumer} at {dp:.3f} bar; {power}"
        )
    short = np.flatnonzero(found.delivered_fraction < 1.0 - 1e-9)
    if not len(short):
        nodes = sum(o.code in ("node_min_pressure", "node_max_pressure") for o in found.obstacles)
        word = "node leaves its" if nodes == 1 else "nodes leave their"
        return f"every consumer gets its target, but {nodes} {word} pressure limits; {power}"
    fraction = found.delivered_fraction
    worst = int(short[np.lexsort((found.dp_margin_pa[short], np.round(fraction[short], 9)))[0]])
    return (
        f"{len(short)} of {net.consumers.rows} consumers are curtailed, down to "
        f"{100.0 * fraction[worst]:.2f} % ({net.consumers['id'][worst]}){_missing(found, short)}; {power}"
    )


def _missing(found: Balance, short: npt.NDArray[np.intp]) -> str:
    """What the curtailed lack together; nothing where somebody gets nothing, for that tells no target."""
    fraction = found.delivered_fraction[short]
    if not (fraction > 0.0).all():
        return ""
    more = 1.0 / fraction - 1.0
    heat = float(np.sum(found.heat_w[short] * more))
    if heat > 0.0:
        return f", {heat / 1e3:.1f} kW of heat are missing"
    return f", {float(np.sum(found.mass_flow_kg_s[short] * more)):.3f} kg/s are missing"


def print_balance(
    net: Network,
    solver: HydraulicSolver,
    found: Balance,
    heat_w: FloatArray,
    efficiency: FloatArray,
    rows: int,
) -> None:
    """Tables of consumers, sources (with their `heat_w`) and pumps, then the sentences that matter last."""
    _print_consumers(net, found, rows)
    _print_sources(net, solver, found, heat_w, efficiency, rows)
    if net.pumps.rows:
        lines = [
            [name, f"{found.pump_dp_pa[row] / BAR:.4f}", f"{found.pump_speed[row]:.4f}"]
            for row, name in enumerate(net.pumps.ids)
        ]
        print_table("Pumps", ["id", "gain bar", "speed"], lines, rows)
    if found.obstacles:
        print_table("What stands in the way", ["why", "whom", "how many"], _causes(found.obstacles), rows)
    if found.relief:
        head = ["element", "limit", "now", "a step of", "each more %", "heat more kW"]
        lines = [_relief_line(one) for one in found.relief]
        print_table("What relieving it would bring, to first order", head, lines, rows)
        if found.fraction_bound < 1.0:
            bound = 100.0 * found.fraction_bound
            say(f"the least share of the first curtailed priority cannot exceed {bound:.4f} %")
    low, high = found.static_shift_pa
    if math.isnan(low):
        say("no shift of the pressure holding keeps every node within its limits", "yellow")
    elif math.isfinite(low) or math.isfinite(high):
        say(f"the pressure holding may be shifted by {signed(low / BAR, 3)} to {signed(high / BAR, 3)} bar")
    if math.isfinite(found.supply_temp_c):
        say(f"supply temperature {found.supply_temp_c:.2f} degC")
    say(f"method: {found.method}")
    say(f"index consumer: {found.index_consumer or 'none'}")
    say(verdict(net, found), "" if found.feasible else "yellow")


def _print_consumers(net: Network, found: Balance, rows: int) -> None:
    opened = np.isfinite(found.opening).any()
    order = np.lexsort((found.dp_margin_pa, found.delivered_fraction))
    head = ["id", "kv m3/h", "flow limit kg/s", "dp bar", "margin bar", "delivered %"]
    lines = [
        [
            str(net.consumers["id"][row]),
            f"{found.kv_m3_h[row]:.4f}",
            f"{found.flow_limit_kg_s[row]:.4f}",
            f"{found.dp_pa[row] / BAR:.4f}",
            f"{found.dp_margin_pa[row] / BAR:.4f}",
            f"{100 * found.delivered_fraction[row]:.2f}",
        ]
        for row in order.tolist()
    ]
    if opened:
        head.insert(2, "opening %")
        for line, row in zip(lines, order.tolist(), strict=True):
            line.insert(2, figure(100.0 * float(found.opening[row]), 1))
    print_table("Consumers, the worst placed first", head, lines, rows)


def _print_sources(
    net: Network,
    solver: HydraulicSolver,
    found: Balance,
    heat_w: FloatArray,
    efficiency: FloatArray,
    rows: int,
) -> None:
    power = source_power_w(found, solver.fluid.density_kg_m3)
    head = ["id", "head bar", "mass flow kg/s", "heat kW", "pump kW"]
    lines = [
        [
            name,
            f"{found.source_dp_pa[row] / BAR:.4f}",
            f"{found.source_mass_flow_kg_s[row]:.4f}",
            figure(float(heat_w[row]) / 1e3, 1),
            f"{power[row] / 1e3:.3f}",
        ]
        for row, name in enumerate(net.sources.ids)
    ]
    if (efficiency < 1.0).any():
        head.append("electric kW")
        for row, line in enumerate(lines):
            line.append(f"{power[row] / efficiency[row] / 1e3:.3f}")
    print_table("Sources", head, lines, rows)


def _in_words(limit: str) -> str:
    """`source plant max_dp_pa 277000` as a person says it."""
    match = _LIMIT.match(limit)
    if match is None:
        return limit
    words, unit, size, _ = LIMITS[match[2]]
    try:
        value = float(match[3]) / size
    except ValueError:
        return limit
    return f"{match[1].strip()}: {words} {value:.4g} {unit}"


def _causes(obstacles: tuple[Obstacle, ...]) -> list[list[str]]:
    """One row per cause with those it holds back."""
    held: dict[str, list[str]] = {}
    for one in obstacles:
        held.setdefault(one.limit, []).append(one.consumer)
    return [
        [_in_words(limit), some([n for n in names if n], 4) or "-", str(sum(bool(n) for n in names) or "-")]
        for limit, names in held.items()
    ]


def _relief_line(one: Relief) -> list[str]:
    words, unit, size, step = LIMITS[one.limit]
    # a pipe is relieved by losing less, which is what its derivative counts
    change = abs(step) * size if one.limit == "pressure_loss_pa" else step * size
    return [
        one.element,
        words,
        f"{one.value / size:.4g} {unit}",
        f"{step:+g} {unit}",
        f"{100.0 * one.fraction_per_unit * change:+.3f}",
        f"{one.heat_w_per_unit * change / 1e3:+.2f}" if one.heat_w_per_unit else "-",
    ]
