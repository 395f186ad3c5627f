"""Judges a solver's answer from the network's tables alone, in plain NumPy with formulas of its own.

Every element's law is evaluated again in extended precision, masses are added up node by node, limits,
checks and regulators must be complementary, and every flag (unknown pressures, islands, unserved elements)
must follow from the topology. It calls nothing of the solver; only the water properties of `core_ext.fluid`
are shared, and they have tests of their own. It never repairs an answer.

Formulas: Darcy-Weisbach; friction factors as in EPANET 2.2's manual (Swamee-Jain, 64/Re, cubic between Re
2000 and 4000 that meets both in value and slope), Colebrook-White solved by bisection-safe Newton,
Nikuradse as pandapipes has it; Hazen-Williams and pump curves by EPANET's manual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..fluid import density_kg_m3, viscosity_pa_s
from ..network import LINK_ENDS, SINGULAR, HydraulicFluid, Network
from ..solver import HydraulicResult

Real = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

HEAD_M = 1e-9
MASS_KG_S = 1e-8
# pressures above this lose more than HEAD_M to rounding in double precision (2^-53 of 10^9 Pa is 1e-7 Pa,
# and a drop feels twice the rounding of its flow); there 8e-15 of the highest pressure is asked instead
ROUNDING_OF_PRESSURE = 8e-15
SHUT = 1e-9  # opening and kv below this are documented as shut
RANGEABILITY = 50.0
FOOT_M = 0.3048
CUBIC_FOOT_M3 = FOOT_M**3
EPANET_CUBIC_FOOT_M3 = 0.028317
REGULATORS = ("pressure_reducing", "pressure_sustaining", "dp_control")
IMPOSING_MODES = ("flow", "heat")


@dataclass
class Finding:
    """What was found: `problems` in words, empty when the answer is right; the largest residuals, SI."""

    problems: list[str] = field(default_factory=list)
    head_m: float = 0.0
    mass_kg_s: float = 0.0
    highest_pressure_pa: float = 0.0

    def __bool__(self) -> bool:
        return not self.problems


def wide(values: Any) -> Real:
    return np.asarray(values, dtype=np.longdouble)


class Links:
    """All links of a network in one numbering, with laws and limits of their own."""

    def __init__(self, net: Network, friction: str, fluid: HydraulicFluid) -> None:
        self.net, self.friction, self.fluid = net, friction, fluid
        row_of = {name: row for row, name in enumerate(net.nodes.ids)}
        self.nodes = net.nodes.rows
        self.part: dict[str, slice] = {}
        first: list[int] = []
        second: list[int] = []
        self.label: list[str] = []
        for table, (a, b) in LINK_ENDS.items():
            columns = net.tables[table]
            self.part[table] = slice(len(first), len(first) + columns.rows)
            first += [row_of[n] for n in columns[a]]
            second += [row_of[n] for n in columns[b]]
            self.label += [f"{SINGULAR[table]} {name}" for name in columns.ids]
        self.first, self.second = np.array(first, np.int64), np.array(second, np.int64)
        self.count = len(first)
        self.row_of = row_of
        self.low = np.full(self.count, -np.inf)
        self.high = np.full(self.count, np.inf)
        self.open = np.ones(self.count, np.bool_)
        self.imposed = np.full(self.count, np.nan)  # NaN: the flow follows a law
        self.pinned = np.zeros(self.count, np.bool_)
        self.density = np.full(self.count, fluid.density_kg_m3)
        self.regulators: list[tuple[int, int, int, float, float, float]] = []
        self._pipes()
        self._valves()
        self._pumps()
        self._consumers()
        self._sources()
        self.couples = self.open & np.isnan(self.imposed) & ~self.pinned

    # -- coefficients ---------------------------------------------------------------------

    def _pipes(self) -> None:
        pipes, part = self.net.pipes, self.part["pipes"]
        self.open[part] = pipes["open"]
        self.viscosity = np.full(pipes.rows, self.fluid.viscosity_pa_s)
        given = np.isfinite(pipes["temp_c"])
        if self.net.fluid is None and given.any():
            own = self.density[part]
            own[given] = density_kg_m3(pipes["temp_c"][given])
            self.viscosity[given] = viscosity_pa_s(pipes["temp_c"][given])

    def _resistance(self, kv: float, loss: float, diameter: float) -> float:
        """Pa/(kg/s)^2 of a fully open valve."""
        density = self.fluid.density_kg_m3
        if math.isnan(kv):
            speed_per_flow = 4.0 / (density * math.pi * diameter**2)
            return float(self._minor(loss)) * 0.5 * density * speed_per_flow**2
        volume_m3_h_per_flow = 3600.0 / density
        return 1e5 * (density / 1000.0) * (volume_m3_h_per_flow / kv) ** 2

    def _minor(self, loss: Any) -> Any:
        """A loss coefficient as it acts: EPANET's cubic foot and its 0.02517 are rounded."""
        if self.friction != "epanet":
            return loss
        exact = 8.0 / (32.2 * math.pi**2)
        return loss * (CUBIC_FOOT_M3 / EPANET_CUBIC_FOOT_M3) ** 2 * 0.02517 / exact

    def _valves(self) -> None:
        valves, at = self.net.valves, self.part["valves"].start
        curves = self.net.curve_points()
        self.valve_square = np.zeros(valves.rows)
        self.valve_slope = np.zeros(valves.rows)
        self.valve_curve: dict[int, tuple[Real, Real]] = {}
        for row in range(valves.rows):
            kind, opening = valves["kind"][row], float(valves["opening"][row])
            self.open[at + row] = opening >= SHUT
            kv = float(valves["kv_m3_h"][row])
            if kind == "curve":
                flow, drop = curves[valves["curve"][row]]
                if flow[0] > 0.0:
                    flow, drop = np.r_[0.0, flow], np.r_[0.0, drop]
                self.valve_curve[row] = (flow, drop)
                continue
            if kv < SHUT:
                self.open[at + row] = False
            if kind == "check" or kind in REGULATORS:
                self.low[at + row] = 0.0
            if kind == "flow_limit":
                self.high[at + row] = valves["setting"][row]
                if valves["setting"][row] <= 0.0:
                    self.open[at + row] = False
            if kind in REGULATORS:
                self._regulator(row, kind)
            if not self.open[at + row]:
                continue
            factor = (
                RANGEABILITY ** (opening - 1.0)
                if valves["characteristic"][row] == "equal-percentage"
                else opening
            )
            square = self._resistance(
                kv, float(valves["loss_coefficient"][row]), float(valves["diameter_m"][row])
            )
            square /= factor**2
            if self.friction != "epanet" or (square > 0.0 and kind != "check"):
                self.valve_square[row] = max(square, 1e-6)
            elif kind == "check":
                self.valve_square[row] = max(square, 1e-8)
            else:
                # EPANET's 1e-6 ft per cubic foot per second of an open valve without loss
                self.valve_slope[row] = 1e-6 * FOOT_M * self.fluid.gravity_m_s2 / EPANET_CUBIC_FOOT_M3

    def _regulator(self, row: int, kind: str) -> None:
        valves = self.net.valves
        sense = {
            side: self.row_of[valves[f"sense_{side}"][row] or valves[f"{side}_node"][row]]
            for side in ("from", "to")
        }
        link, setting = self.part["valves"].start + row, float(valves["setting"][row])
        if kind == "pressure_reducing":
            self.regulators.append((link, sense["to"], -1, 1.0, 0.0, setting))
        elif kind == "pressure_sustaining":
            self.regulators.append((link, sense["from"], -1, -1.0, 0.0, -setting))
        else:
            self.regulators.append((link, sense["from"], sense["to"], 1.0, -1.0, setting))

    def _pumps(self) -> None:
        pumps, at = self.net.pumps, self.part["pumps"].start
        curves = self.net.curve_points()
        self.pump_law: list[tuple[str, Any]] = []
        for row in range(pumps.rows):
            self.open[at + row] = pumps["speed"][row] > 0.0
            if pumps["curve"][row] == "":
                self.pump_law.append(("fixed", float(pumps["fixed_dp_pa"][row])))
                continue
            self.low[at + row] = 0.0
            flow, gain = curves[pumps["curve"][row]]
            self.pump_law.append(pump_power_law(flow, gain, self.friction) or ("points", (flow, gain)))

    def _consumers(self) -> None:
        consumers, at = self.net.consumers, self.part["consumers"].start
        self.consumer_square = np.zeros(consumers.rows)
        for row in range(consumers.rows):
            mode, most = consumers["mode"][row], float(consumers["max_flow_kg_s"][row])
            most = math.inf if math.isnan(most) else most
            if mode == "valve":
                kv = float(consumers["kv_m3_h"][row])
                self.open[at + row] = kv >= SHUT and most > 0.0
                self.high[at + row] = most
                self.consumer_square[row] = self._resistance(kv, 0.0, 1.0) if kv >= SHUT else 0.0
                continue
            flow = float(consumers["mass_flow_kg_s"][row])
            if mode == "heat":
                spread = consumers["supply_temp_c"][row] - consumers["return_temp_c"][row]
                flow = float(consumers["heat_w"][row] / (self.fluid.cp_j_kgk * spread))
            self.imposed[at + row] = min(flow, most)

    def _sources(self) -> None:
        sources, part = self.net.sources, self.part["sources"]
        flow, dp = sources["mass_flow_kg_s"], sources["dp_pa"]
        self.imposed[part] = np.where(np.isfinite(dp), np.nan, flow)
        self.pinned[part] = ~np.isfinite(dp) & ~np.isfinite(flow)

    def fixed_pressures(self) -> Real:
        """Given pressure of every node, NaN where it is free."""
        nodes, sources = self.net.nodes, self.net.sources
        fixed: Real = nodes["fixed_pressure_pa"].copy()
        for side in ("supply", "return"):
            for row, value in enumerate(sources[f"{side}_pressure_pa"]):
                if np.isfinite(value):
                    fixed[self.row_of[sources[f"{side}_node"][row]]] = value
        return fixed

    # -- laws -----------------------------------------------------------------------------

    def drop_pa(self, flow: Real) -> Real:
        """Pressure drop of every link that follows a law, at its flow; regulators as if fully open."""
        out = np.zeros(self.count, np.longdouble)
        pipes, valves, pumps = self.part["pipes"], self.part["valves"], self.part["pumps"]
        consumers, sources = self.part["consumers"], self.part["sources"]
        out[pipes] = self._pipe_drop(wide(flow[pipes]))
        m = wide(flow[valves])
        out[valves] = (wide(self.valve_square) * np.abs(m) + wide(self.valve_slope)) * m
        for row, (points, drops) in self.valve_curve.items():
            size = along_points(abs(m[row]), points, drops)
            out[valves.start + row] = np.sign(m[row]) * size
        for row, (kind, law) in enumerate(self.pump_law):
            speed = float(self.net.pumps["speed"][row])
            if speed > 0.0:
                out[pumps.start + row] = -pump_gain(kind, law, speed, wide(flow[pumps])[row])
        m = wide(flow[consumers])
        out[consumers] = wide(self.consumer_square) * m * np.abs(m)
        dp = self.net.sources["dp_pa"]
        out[sources] = -np.where(np.isfinite(dp), dp, 0.0)
        return out

    def _pipe_drop(self, m: Real) -> Real:
        pipes = self.net.pipes
        density, diameter, length = (
            wide(self.density[self.part["pipes"]]), wide(pipes["inner_diameter_m"]), wide(pipes["length_m"]),
        )  # fmt: skip
        area = np.longdouble(np.pi) * diameter**2 / 4
        speed = m / (density * area)
        dynamic = density * speed * np.abs(speed) / 2
        minor = wide(pipes["loss_coefficient"])
        # EPANET's rounded cubic foot makes it believe in a slightly smaller flow
        scale = np.longdouble(CUBIC_FOOT_M3 / EPANET_CUBIC_FOOT_M3 if self.friction == "epanet" else 1.0)
        if self.friction == "hazen-williams" or (
            self.friction == "epanet" and pipes.rows and np.isnan(pipes["roughness_m"]).all()
        ):
            power = np.longdouble(1.852)
            feet3 = scale * np.abs(m) / density / np.longdouble(CUBIC_FOOT_M3)
            resistance = (
                np.longdouble(4.727)
                * (length / FOOT_M)
                / wide(pipes["hazen_williams_c"]) ** power
                / (diameter / FOOT_M) ** np.longdouble(4.871)
            )
            head_ft = resistance * feet3**power
            if self.friction == "epanet":
                # linear where the slope of the power law is below 1e-6
                flat = power * resistance * feet3 ** (power - 1) < 1e-6
                head_ft = np.where(flat, 1e-6 / power * feet3, head_ft)
            weight = density * self.fluid.gravity_m_s2
            drop: Real = np.sign(m) * head_ft * FOOT_M * weight + self._minor(minor) * dynamic
            return drop
        reynolds = scale * density * np.abs(speed) * diameter / wide(self.viscosity)
        rough = wide(pipes["roughness_m"]) / diameter
        factor = friction_times_reynolds(self.friction, reynolds, rough)
        # f rho v |v| / 2 with f = (f Re) / Re, so that nothing flowing is no division by zero
        viscous = factor * scale * wide(self.viscosity) / (2 * diameter) * speed * (length / diameter)
        drop = viscous + self._minor(minor) * dynamic
        return drop

    def limits_of(self, link: int) -> tuple[float, float]:
        return float(self.low[link]), float(self.high[link])


def pump_power_law(
    flow: Real, gain: Real, friction: str = ""
) -> tuple[str, tuple[float, float, float]] | None:
    """EPANET's rules: one point (4/3 of its head at no flow, none at twice its flow) or three."""
    if len(flow) == 1:
        shut_off = 1.33334 * gain[0] if friction == "epanet" else 4.0 * gain[0] / 3.0
        heads, flows = (shut_off, gain[0], 0.0), (flow[0], 2.0 * flow[0])
    elif len(flow) == 3 and flow[0] == 0.0:
        heads, flows = (gain[0], gain[1], gain[2]), (flow[1], flow[2])
    else:
        return None
    if flows[0] <= 0.0 or heads[0] <= heads[1] or heads[0] <= heads[2]:
        return None
    exponent = math.log((heads[0] - heads[2]) / (heads[0] - heads[1])) / math.log(flows[1] / flows[0])
    if not 0.0 < exponent <= 20.0:
        return None
    factor = (heads[0] - heads[1]) / flows[0] ** exponent
    return "power", (float(heads[0]), float(factor), float(exponent))


def pump_gain(kind: str, law: Any, speed: float, flow: Any) -> Any:
    """Affinity laws: at speed w the point (m, g) of speed 1 becomes (w m, w^2 g)."""
    if kind == "fixed":
        return speed**2 * law
    reduced = abs(flow) / speed
    if kind == "power":
        shut_off, factor, exponent = law
        return speed**2 * (shut_off - factor * reduced ** np.longdouble(exponent))
    points, gains = law
    return speed**2 * along_points(reduced, points, gains)


def along_points(at: Any, points: Real, values: Real) -> Any:
    """Straight lines between points, the outer ones extended."""
    i = int(np.clip(np.searchsorted(points, float(at)), 1, len(points) - 1))
    share = (at - points[i - 1]) / (wide(points[i]) - points[i - 1])
    return values[i - 1] + share * (wide(values[i]) - values[i - 1])


def swamee_jain(reynolds: Real, rough: Real) -> Real:
    factor: Real = (
        0.25
        / np.log10(rough / np.longdouble("3.7") + np.longdouble("5.74") / reynolds ** np.longdouble("0.9"))
        ** 2
    )
    return factor


def colebrook(reynolds: Real, rough: Real) -> Real:
    """1/sqrt(f) = -2 lg(k/(3.7 D) + 2.51/(Re sqrt f)) by Newton on x = 1/sqrt f, to extended precision."""
    x = 1 / np.sqrt(swamee_jain(reynolds, rough))
    b, a = np.longdouble("2.51") / reynolds, rough / np.longdouble("3.7")
    ten = np.log(np.longdouble(10))
    for _ in range(12):
        inside = a + b * x
        x = x - (x + 2 * np.log(inside) / ten) / (1 + 2 * b / (inside * ten))
    return 1 / x**2


def friction_times_reynolds(form: str, reynolds: Real, rough: Real) -> Real:
    """Darcy friction factor times Re, so that it stays finite at no flow."""
    if form == "nikuradse":
        # pandapipes: 64/Re + (2 lg(3.71 D/k))^-2
        rough_term: Real = reynolds / (2 * np.log10(np.longdouble("3.71") / rough)) ** 2
        return 64 + rough_term
    if form == "pandapipes":
        turbulent = np.maximum(reynolds, 64)
        linear = 64 * swamee_jain(np.full_like(reynolds, 64), rough)
        return np.where(reynolds > 64, swamee_jain(turbulent, rough) * reynolds, linear)
    factor = colebrook if form == "colebrook" else swamee_jain
    out = np.full_like(reynolds, 64)
    fast = reynolds >= 4000
    out[fast] = factor(reynolds[fast], rough[fast]) * reynolds[fast]
    between = (reynolds > 2000) & ~fast
    if between.any():
        out[between] = transition(factor, reynolds[between], rough[between]) * reynolds[between]
    return out


def transition(factor: Any, reynolds: Real, rough: Real) -> Real:
    """Hermite's cubic between 64/Re at 2000 and the turbulent formula at 4000, by values and slopes."""
    low, high = np.longdouble(2000), np.longdouble(4000)
    end = np.full_like(reynolds, high)
    step = np.longdouble("1e-3")  # central difference with error step^4 f''''': below 1e-21 of the slope
    slope = (
        8 * (factor(end + step, rough) - factor(end - step, rough))
        - (factor(end + 2 * step, rough) - factor(end - 2 * step, rough))
    ) / (12 * step)
    t, width = (reynolds - low) / (high - low), high - low
    left, right = 64 / low, factor(end, rough)
    left_slope = -64 / low**2
    cubic: Real = (
        (1 + 2 * t) * (1 - t) ** 2 * left
        + t * (1 - t) ** 2 * width * left_slope
        + t**2 * (3 - 2 * t) * right
        + t**2 * (t - 1) * width * slope
    )
    return cubic


# -- connectivity ---------------------------------------------------------------------------------------


def components(count: int, first: Rows, second: Rows) -> Rows:
    """Number of the connected part of every node: the smallest node in it."""
    part = np.arange(count)
    while True:
        before = part.copy()
        smallest = np.minimum(part[first], part[second])
        np.minimum.at(part, first, smallest)
        np.minimum.at(part, second, smallest)
        part = part[part]
        if np.array_equal(part, before):
            return part


def referenced(links: Links, using: Flags) -> tuple[Rows, Flags]:
    """Connected parts through the given links, and whether a fixed pressure stands in each node's part."""
    part = components(links.nodes, links.first[using], links.second[using])
    fixed = np.isfinite(links.fixed_pressures())
    return part, np.isin(part, part[fixed])


def served(links: Links) -> tuple[Flags, Flags]:
    """Whether an imposed flow, and a node's injection, can act: not where they cannot balance in a part that
    nothing fixes the pressure of; silencing one may unbalance the next."""
    part, known = referenced(links, links.couples)
    imposing = np.isfinite(links.imposed)
    injection = links.net.nodes["mass_injection_kg_s"]
    acts, node_acts = imposing.copy(), np.ones(links.nodes, np.bool_)
    while True:
        m = np.where(acts, links.imposed, 0.0)
        own = np.where(node_acts, injection, 0.0)
        total, size = np.zeros(links.nodes), np.zeros(links.nodes)
        np.add.at(total, part, own)
        np.add.at(size, part, np.abs(own))
        for ends, sign in ((links.first, -1.0), (links.second, 1.0)):
            np.add.at(total, part[ends], sign * m)
            np.add.at(size, part[ends], np.abs(m))
        dead = (np.abs(total) > 1e-9 * size) & ~known[part]
        if not dead.any():
            return acts, node_acts
        node_acts &= ~dead[part]
        acts &= ~(dead[part[links.first]] | dead[part[links.second]])


# -- the judgement ----------------------------------------------------------------------------------------


def check(net: Network, friction: str, fluid: HydraulicFluid, result: HydraulicResult) -> Finding:
    """Judge `result` of the network as it stands; `fluid` is what holds where no pipe has its own."""
    links, found = Links(net, friction, fluid), Finding()
    flow = np.concatenate([result.mass_flow_kg_s[t] for t in LINK_ENDS]) if links.count else np.zeros(0)
    pressure, known, inflow = result.pressure_pa, result.pressure_known, result.node_inflow_kg_s
    for name, values in (("flow", flow), ("pressure", pressure), ("inflow", inflow)):
        if not np.isfinite(values).all():
            found.problems.append(f"{name} not finite")
            return found
    if not result.certificate.converged:
        found.problems.append("returned without convergence")
    judge = _Judge(links, found, flow, pressure, known, inflow, result)
    judge.masses()
    judge.given_values()
    judge.limits()
    judge.laws()
    judge.regulators()
    judge.flags()
    return found


class _Judge:
    def __init__(
        self, links: Links, found: Finding, flow: Real, pressure: Real, known: Flags, inflow: Real,
        result: HydraulicResult,
    ) -> None:  # fmt: skip
        self.links, self.found, self.flow, self.pressure = links, found, flow, pressure
        self.known, self.inflow, self.result = known, inflow, result
        weight = links.fluid.density_kg_m3 * links.fluid.gravity_m_s2
        self.weight = weight
        z = links.net.nodes["elevation_m"]
        self.rise = wide(z)[links.second] - wide(z)[links.first]
        self.lift = wide(links.density) * links.fluid.gravity_m_s2 * self.rise
        # reduced to height 0, the pressures that are added and subtracted to get there
        level = np.abs(pressure) + weight * np.abs(z)
        self.drop = links.drop_pa(flow)
        highest = float(level.max(initial=0.0))
        found.highest_pressure_pa = highest
        self.tol_pa = max(HEAD_M * weight, ROUNDING_OF_PRESSURE * highest)
        self.across = wide(pressure)[links.first] - wide(pressure)[links.second] - self.lift
        self.ends_known = known[links.first] & known[links.second]
        self.governed = {link for link, *_ in links.regulators}
        self.at_high = links.couples & (flow >= links.high)
        self.at_low = links.couples & (flow <= links.low)
        self.plain = links.couples & ~self.at_high & ~self.at_low
        self.plain[[*self.governed]] = False

    def say(self, text: str) -> None:
        if len(self.found.problems) < 12:
            self.found.problems.append(text)

    def masses(self) -> None:
        """What flows in from outside and through links adds up to nothing at every node."""
        links, total = self.links, wide(self.inflow).copy()
        np.subtract.at(total, links.first, wide(self.flow))
        np.add.at(total, links.second, wide(self.flow))
        miss = np.abs(total).astype(float)
        self.found.mass_kg_s = float(miss.max(initial=0.0))
        # sums of flows above some 10^7 kg/s lose more than 1e-8 kg/s to rounding
        through = np.abs(self.inflow)
        np.add.at(through, links.first, np.abs(self.flow))
        np.add.at(through, links.second, np.abs(self.flow))
        for node in np.flatnonzero(miss > np.maximum(MASS_KG_S, 1e-15 * through)):
            self.say(f"node {links.net.nodes['id'][node]}: mass {miss[node]:.3g} kg/s")

    def given_values(self) -> None:
        """Fixed pressures, injections and imposed flows are what the tables say; shut links carry nothing."""
        links = self.links
        fixed = links.fixed_pressures()
        is_fixed = np.isfinite(fixed)
        if not np.array_equal(self.pressure[is_fixed], fixed[is_fixed]):
            self.say("a fixed pressure was not kept")
        acts, node_acts = served(links)
        expected = np.where(node_acts, links.net.nodes["mass_injection_kg_s"], 0.0)
        wrong = ~is_fixed & (self.inflow != expected)
        for node in np.flatnonzero(wrong):
            self.say(
                f"node {links.net.nodes['id'][node]}: inflow {self.inflow[node]!r} for {expected[node]!r}"
            )
        imposing = np.isfinite(links.imposed)
        due = np.where(acts, links.imposed, 0.0)
        for link in np.flatnonzero(imposing & (np.abs(self.flow - due) > 1e-15 * np.abs(due))):
            self.say(f"{links.label[link]}: flow {self.flow[link]!r} for {due[link]!r}")
        for link in np.flatnonzero(~links.open & (self.flow != 0.0)):
            self.say(f"{links.label[link]}: shut, but carries {self.flow[link]!r}")
        silent = {links.label[e] for e in np.flatnonzero(imposing & ~acts)}
        if silent != set(self.result.certificate.unserved):
            self.say(f"unserved: {sorted(set(self.result.certificate.unserved) ^ silent)[:6]} differ")

    def limits(self) -> None:
        """Within its limits; at one, the pressure pushes against it."""
        links, flow = self.links, self.flow
        above = np.where(links.couples, flow - links.high, -1.0)
        below = np.where(links.couples, links.low - flow, -1.0)
        for link in np.flatnonzero((above > MASS_KG_S) | (below > MASS_KG_S)).tolist():
            self.say(f"{links.label[link]}: flow {flow[link]!r} outside {links.limits_of(link)}")
        surplus = (self.across - self.drop).astype(float)
        for link in np.flatnonzero(self.at_high & self.ends_known & (surplus < -self.tol_pa)).tolist():
            self.say(
                f"{links.label[link]}: at its upper limit without the pressure for it {surplus[link]:.3g} Pa"
            )
        for link in np.flatnonzero(self.at_low & self.ends_known & (surplus > self.tol_pa)).tolist():
            if link not in self.governed:
                self.say(f"{links.label[link]}: held shut against {surplus[link]:.3g} Pa")
        for link in np.flatnonzero((self.at_high | self.at_low) & self.ends_known).tolist():
            if link not in self.governed:
                wrong = -surplus[link] if self.at_high[link] else surplus[link]
                self.found.head_m = max(self.found.head_m, wrong / self.weight)

    def laws(self) -> None:
        """Every free link's pressure drop is its law's; in parts without reference, some pressures exist
        that fit all laws."""
        links = self.links
        miss = np.abs(self.across - self.drop).astype(float)
        judged = self.plain & self.ends_known
        worst = float(miss[judged].max(initial=0.0))
        self.found.head_m = max(self.found.head_m, worst / self.weight)
        for link in np.flatnonzero(judged & (miss > self.tol_pa)):
            self.say(
                f"{links.label[link]}: law missed by {miss[link]:.3g} Pa (tolerance {self.tol_pa:.3g}), flow "
                f"{self.flow[link]:.6g}"
            )
        lost = self.plain & ~self.ends_known & ~self.known[links.first] & ~self.known[links.second]
        if lost.any():
            self._potentials(np.flatnonzero(lost))

    def _potentials(self, lost: Rows) -> None:
        """Walk a spanning forest of the links in a part without reference; the other links must close."""
        links = self.links
        drop = self.drop + self.lift
        potential: dict[int, Any] = {}
        neighbours: dict[int, list[int]] = {}
        for link in lost.tolist():
            neighbours.setdefault(int(links.first[link]), []).append(link)
            neighbours.setdefault(int(links.second[link]), []).append(link)
        largest = 0.0
        for start in neighbours:
            if start in potential:
                continue
            potential[start] = np.longdouble(0)
            stack = [start]
            while stack:
                node = stack.pop()
                for link in neighbours[node]:
                    a, b = int(links.first[link]), int(links.second[link])
                    other = b if node == a else a
                    if other not in potential:
                        potential[other] = potential[node] + (-drop[link] if node == a else drop[link])
                        largest = max(largest, abs(float(potential[other])))
                        stack.append(other)
        for link in lost.tolist():
            a, b = int(links.first[link]), int(links.second[link])
            miss = abs(float(potential[a] - potential[b] - drop[link]))
            # the walk adds up as many allowed misses as the part has links
            if miss > max(HEAD_M * self.weight, ROUNDING_OF_PRESSURE * largest) * (1 + len(lost)):
                self.say(f"{links.label[link]}: no pressures fit the flows, {miss:.3g} Pa around a loop")

    def regulators(self) -> None:
        """It takes up no negative pressure; it takes up some only while what it senses is at its setting;
        it is shut only where opening it would pass the setting, or water back."""
        links = self.links
        for link, a, b, weight_a, weight_b, setting in links.regulators:
            if not links.couples[link]:
                continue
            if not self.ends_known[link] or not self.known[a] or (b >= 0 and not self.known[b]):
                continue
            sensed = weight_a * self.pressure[a] + (weight_b * self.pressure[b] if b >= 0 else 0.0)
            above = float(sensed - setting)
            taken = float(self.across[link] - self.drop[link])
            label, tol = links.label[link], self.tol_pa
            # the flow is known to the mass tolerance, the drop of an open valve at it to its slope times that
            if self.flow[link] > MASS_KG_S:
                wrong = max(-taken, above, min(abs(above), taken))
            else:
                wrong = min(max(-above, 0.0), max(float(self.across[link]), 0.0))
            self.found.head_m = max(self.found.head_m, wrong / self.weight)
            if wrong > tol:
                self.say(
                    f"{label}: passes {self.flow[link]:.6g} kg/s, takes up {taken:.6g} Pa, senses "
                    f"{above:.6g} Pa above its setting; wrong by {wrong:.3g} Pa (tolerance {tol:.3g})"
                )

    def flags(self) -> None:
        """Unknown pressures are those that nothing fixes, each in exactly one island, and read 0.0."""
        links, known = self.links, self.known
        _part, reachable = referenced(links, links.couples)
        if (known & ~reachable).any():
            self.say(f"{(known & ~reachable).sum()} pressures called known that nothing fixes")
        _part, certain = referenced(links, self.plain)
        if (~known & certain).any():
            self.say(
                f"{(~known & certain).sum()} pressures called unknown that free links tie to a fixed one"
            )
        if self.pressure[~known].any():
            self.say("an unknown pressure is not 0.0")
        ids = links.net.nodes["id"]
        named = [name for island in self.result.certificate.islands for name in island]
        if sorted(named) != sorted(ids[~known].tolist()):
            self.say("islands are not the nodes of unknown pressure")
        island_of = {name: k for k, island in enumerate(self.result.certificate.islands) for name in island}
        for link in np.flatnonzero(self.plain):
            a, b = ids[links.first[link]], ids[links.second[link]]
            if island_of.get(a, -1) != island_of.get(b, -1):
                self.say(f"{links.label[link]}: joins two islands, or an island and the rest")


# -- is there a solution at all? --------------------------------------------------------------------------


def is_contradictory(net: Network, friction: str, fluid: HydraulicFluid) -> bool:
    """True when no flows satisfy balances, checks and limits at once: then no solver can have an answer.

    A largest flow from all that is injected to all that is taken, by shortest augmenting paths; fixed
    pressures give and take without bound. True when more is left over than rounding and the mass tolerance.
    """
    links = Links(net, friction, fluid)
    acts, node_acts = served(links)
    balance = np.where(node_acts, net.nodes["mass_injection_kg_s"], 0.0).astype(float)
    m = np.where(acts, links.imposed, 0.0)
    np.subtract.at(balance, links.first, m)
    np.add.at(balance, links.second, m)
    is_fixed = np.isfinite(links.fixed_pressures())
    give, take, ground = links.nodes, links.nodes + 1, links.nodes + 2
    graph = _Capacities(links.nodes + 3)
    for link in np.flatnonzero(links.couples).tolist():
        low, high = links.limits_of(link)
        graph.add(int(links.first[link]), int(links.second[link]), high, -low)
    for node in range(links.nodes):
        if is_fixed[node]:
            graph.add(ground, node, math.inf, math.inf)
        elif balance[node] > 0.0:
            graph.add(give, node, float(balance[node]), 0.0)
        elif balance[node] < 0.0:
            graph.add(node, take, float(-balance[node]), 0.0)
    # augmenting never takes away from what source and sink already pass, so the three flows add up
    free = ~is_fixed
    wanted = float(-balance[free & (balance < 0.0)].sum())
    offered = float(balance[free & (balance > 0.0)].sum())
    graph.largest(give, take)
    graph.largest(ground, take)
    graph.largest(give, ground)
    rounding = 1e-12 * (wanted + offered) + MASS_KG_S
    return graph.left_into(take) > rounding or graph.left_from(give) > rounding


class _Capacities:
    """Directed residual capacities; parallel arcs allowed."""

    def __init__(self, nodes: int) -> None:
        self.arcs: list[list[int]] = [[] for _ in range(nodes)]
        self.head: list[int] = []
        self.room: list[float] = []

    def add(self, a: int, b: int, forth: float, back: float) -> None:
        for start, end, room in ((a, b, forth), (b, a, back)):
            self.arcs[start].append(len(self.head))
            self.head.append(end)
            self.room.append(room)

    def largest(self, source: int, sink: int) -> None:
        """Augment along shortest paths until none is left."""
        while True:
            came: dict[int, int] = {source: -1}
            queue = [source]
            for node in queue:
                for arc in self.arcs[node]:
                    if self.room[arc] > 1e-300 and self.head[arc] not in came:
                        came[self.head[arc]] = arc
                        queue.append(self.head[arc])
                if sink in came:
                    break
            if sink not in came:
                return
            path, node = [], sink
            while came[node] >= 0:
                path.append(came[node])
                node = self.head[came[node] ^ 1]
            amount = min(self.room[arc] for arc in path)
            if math.isinf(amount):
                return
            for arc in path:
                self.room[arc] -= amount
                self.room[arc ^ 1] += amount

    def left_from(self, node: int) -> float:
        return sum(self.room[arc] for arc in self.arcs[node] if not arc & 1)

    def left_into(self, node: int) -> float:
        return sum(self.room[arc ^ 1] for arc in self.arcs[node] if arc & 1)
