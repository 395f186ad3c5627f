"""EPANET input files: the hydraulics at t = 0, with EPANET's own constants.

Reservoirs and tanks become fixed pressures, g is 32.2 ft/s2, density 1000 times SPECIFIC GRAVITY, viscosity
by EPANET's rule; all three are kept in `net.fluid`. Flows are converted with EPANET's rounded cubic foot, so
friction "epanet" meets its results. Patterns count from PATTERN START; simple controls on time 0, on the
clock and on tank levels are applied; links let nothing into a full tank and nothing out of an empty one. It
refuses by name what has no counterpart: PBV and PCV valves, constant-power pumps, emitters, pressure-driven
demands, Chezy-Manning friction, controls on junctions. Quality, energy and later times are not read, nor are
rules, which EPANET looks at after the first step only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..network import BadNetwork, HydraulicFluid, Network
from ..solver import EPANET_CUBIC_FOOT_M3, EPANET_GRAVITY_M_S2, FOOT_M

# flow units per cubic foot per second, as EPANET rounds them
PER_CFS = {
    "CFS": 1.0,
    "GPM": 448.831,
    "MGD": 0.64632,
    "IMGD": 0.5382,
    "AFD": 1.9837,
    "LPS": 28.317,
    "LPM": 1699.0,
    "MLD": 2.4466,
    "CMH": 101.94,
    "CMD": 2446.6,
    "CMS": 0.028317,
}
US_UNITS = ("CFS", "GPM", "MGD", "IMGD", "AFD")
PSI_PER_FOOT = 0.4333
KPA_PER_PSI = 6.895
VISCOSITY_FT2_S = 1.1e-5  # EPANET's water at 20 degC
LEVEL_TOLERANCE_M = 0.0005 * FOOT_M  # a tank this close to its limit is full or empty (EPANET's HTOL)
CHECK_TAG = "check_valve"  # tag of a one-way pipe that stands for a check valve alone
CHECK_SUFFIX = ":check"  # the check valve, and its inner node, that stand for a pipe's one direction

_UNREAD = (
    "TITLE",
    "REPORT",
    "ENERGY",
    "QUALITY",
    "SOURCES",
    "REACTIONS",
    "MIXING",
    "RULES",
    "VERTICES",
    "LABELS",
    "BACKDROP",
    "END",
)
_READ = (
    "JUNCTIONS",
    "RESERVOIRS",
    "TANKS",
    "PIPES",
    "PUMPS",
    "VALVES",
    "CURVES",
    "PATTERNS",
    "DEMANDS",
    "STATUS",
    "OPTIONS",
    "COORDINATES",
    "EMITTERS",
    "CONTROLS",
    "LEAKAGE",
    "TIMES",
    "TAGS",
)


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self.sections: dict[str, list[tuple[int, list[str]]]] = {name: [] for name in _READ}
        current: str | None = None
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition(";")[0].split()
            if not words:
                continue
            if words[0].startswith("["):
                current = self._section(number, words[0].strip("[]").upper())
            elif current is None:
                raise self.bad(
                    number, "text before the first section", "Start with a section like [JUNCTIONS]."
                )
            elif current in self.sections:
                self.sections[current].append((number, words))
        self.options = self._read_options()
        units = self.options["UNITS"]
        self.us = units in US_UNITS
        self.length = FOOT_M if self.us else 1.0
        self.diameter = FOOT_M / 12.0 if self.us else 1e-3
        gravity = float(self.options["SPECIFIC GRAVITY"])
        viscosity = float(self.options["VISCOSITY"])
        if viscosity > 1e-3:
            viscosity *= VISCOSITY_FT2_S * FOOT_M**2
        elif self.us:
            viscosity *= FOOT_M**2
        density = 1000.0 * gravity
        self.fluid = HydraulicFluid(density, viscosity * density, gravity_m_s2=EPANET_GRAVITY_M_S2)
        self.mass_flow = density * EPANET_CUBIC_FOOT_M3 / PER_CFS[units]
        self.head_pa = density * EPANET_GRAVITY_M_S2 * self.length
        self.pressure_pa = self._pressure_unit(gravity)
        self.times = self._read_times()
        factors: dict[str, list[float]] = {}
        for number, words in self.sections["PATTERNS"]:
            row = factors.setdefault(words[0], [])
            row += [self.number(number, words, at) for at in range(1, len(words))]
        step = int(self.times["PATTERN START"] // self.times["PATTERN TIMESTEP"])
        self.patterns = {name: row[step % len(row)] if row else 1.0 for name, row in factors.items()}

    def _section(self, number: int, name: str) -> str:
        # EPANET matches section names by their first letters
        for known in (*_READ, *_UNREAD):
            if name[:4] and known.startswith(name[:4]):
                return known
        raise self.bad(number, f"unknown section [{name}]", f"Known: {', '.join(_READ + _UNREAD)}.")

    def bad(self, number: int, reason: str, remedy: str, code: str = "bad_inp") -> BadNetwork:
        return BadNetwork(f"file {self.where} line {number}", reason, remedy, code)

    def number(self, line: int, words: list[str], at: int, default: float | None = None) -> float:
        if at >= len(words):
            if default is None:
                raise self.bad(line, f"value {at + 1} is missing", "Complete the line.")
            return default
        try:
            value = float(words[at])
        except ValueError:
            raise self.bad(line, f"{words[at]!r} is not a number", "Give a number.", "not_a_number") from None
        if not math.isfinite(value):
            raise self.bad(line, f"{words[at]} is not finite", "Give a number.", "not_a_number")
        return value

    def _read_options(self) -> dict[str, str]:
        options = {
            "UNITS": "GPM",
            "HEADLOSS": "H-W",
            "VISCOSITY": "1.0",
            "SPECIFIC GRAVITY": "1.0",
            "DEMAND MULTIPLIER": "1.0",
            "PATTERN": "1",
            "DEMAND MODEL": "DDA",
            "PRESSURE": "",
        }
        for number, words in self.sections["OPTIONS"]:
            if words[0].upper() == "PRESSURE" and len(words) != 2:
                continue  # PRESSURE EXPONENT, of pressure-driven demands
            pair = " ".join(words[:2]).upper()
            key = pair if pair in options else words[0].upper()
            if key in options:
                options[key] = words[-1] if key == "PATTERN" else words[-1].upper()
            if key in ("VISCOSITY", "SPECIFIC GRAVITY", "DEMAND MULTIPLIER"):
                self.number(number, words, len(words) - 1)
        if options["UNITS"] not in PER_CFS:
            raise self.bad(
                0, f"flow units {options['UNITS']}", f"Known: {', '.join(PER_CFS)}.", "unknown_units"
            )
        if options["HEADLOSS"] not in ("H-W", "D-W"):
            raise BadNetwork(
                f"file {self.where}",
                f"friction {options['HEADLOSS']} has no counterpart here",
                "Use D-W or H-W.",
                "friction_refused",
            )
        if options["DEMAND MODEL"] != "DDA":
            raise BadNetwork(
                f"file {self.where}",
                "pressure-driven demands (DEMAND MODEL PDA) are not solved",
                "Use DDA, or model the outlets as consumers in mode valve.",
                "pda_refused",
            )
        return options

    def _read_times(self) -> dict[str, float]:
        """What of [TIMES] matters at t = 0, s."""
        times = {"PATTERN START": 0.0, "PATTERN TIMESTEP": 3600.0, "START CLOCKTIME": 0.0}
        for number, words in self.sections["TIMES"]:
            key = " ".join(words[:2]).upper()
            if key in times:
                times[key] = self.seconds(number, words[2:])
        if times["PATTERN TIMESTEP"] <= 0.0:
            raise self.bad(0, "PATTERN TIMESTEP is 0", "Give a duration.", "not_positive")
        return times

    def seconds(self, line: int, words: list[str]) -> float:
        """A time as EPANET writes it: hours, h:mm or h:mm:ss, with a unit or AM and PM behind it."""
        parts = words[0].split(":") if words else []
        try:
            values = [float(part) for part in parts]
        except ValueError:
            values = []
        unit = words[1].upper() if len(words) > 1 else ""
        if not 1 <= len(values) <= 3 or not all(0.0 <= value < 1e9 for value in values):
            raise self.bad(line, f"{' '.join(words)!r} is not a time", "Give hours or h:mm.", "not_a_time")
        total = sum(value * 60.0 ** (2 - at) for at, value in enumerate(values))
        if len(values) == 1 and unit and unit not in ("AM", "PM"):
            for name, size in (("SEC", 1.0), ("MIN", 60.0), ("HOU", 3600.0), ("DAY", 86400.0)):
                if unit.startswith(name):
                    return float(round(values[0] * size))
            raise self.bad(line, f"unit of time {words[1]!r}", "Known: SEC, MIN, HOURS, DAYS.", "not_a_time")
        if unit in ("AM", "PM"):
            noon = 12.0 * 3600.0
            if total >= noon + 3600.0:
                raise self.bad(
                    line, f"{' '.join(words)!r} is not a time", "Give at most 12:59.", "not_a_time"
                )
            total = total % noon + (noon if unit == "PM" else 0.0)
        return float(round(total))

    def _pressure_unit(self, gravity: float) -> float:
        """Pa per pressure unit of the file."""
        unit = self.options["PRESSURE"]
        foot_pa = self.fluid.density_kg_m3 * EPANET_GRAVITY_M_S2 * FOOT_M
        if unit == "KPA":
            return foot_pa / (PSI_PER_FOOT * KPA_PER_PSI * gravity)
        if unit in ("METERS", "M") or (unit != "PSI" and not self.us):
            return foot_pa / FOOT_M
        return foot_pa / (PSI_PER_FOOT * gravity)

    def pattern(self, line: int, name: str | None) -> float:
        if name is None:
            # the default pattern need not exist
            return self.patterns.get(self.options["PATTERN"], 1.0)
        if name not in self.patterns:
            raise self.bad(line, f"pattern {name} is not in [PATTERNS]", "Add it.", "unknown_pattern")
        return self.patterns[name]


def parse_inp(text: str, where: str) -> Network:
    """The network of an EPANET input file at t = 0. Raises BadNetwork with the line."""
    r = _Reader(text, where)
    nodes: dict[str, dict[str, Any]] = {}
    levels: dict[str, float] = {}
    barred: dict[str, frozenset[str]] = {}
    base: dict[str, tuple[int, float, str | None]] = {}

    def node(line: int, identifier: str, elevation: float, pressure: float) -> None:
        if identifier in nodes:
            raise r.bad(line, f"node {identifier} stands twice", "Ids must be unique.", "duplicate_id")
        nodes[identifier] = {
            "id": identifier,
            "elevation_m": elevation * r.length,
            "mass_injection_kg_s": 0.0,
            "fixed_pressure_pa": pressure,
            "x_m": math.nan,
            "y_m": math.nan,
        }

    for line, words in r.sections["JUNCTIONS"]:
        node(line, words[0], r.number(line, words, 1, 0.0), math.nan)
        base[words[0]] = (line, r.number(line, words, 2, 0.0), words[3] if len(words) > 3 else None)
    for line, words in r.sections["RESERVOIRS"]:
        factor = r.pattern(line, words[2]) if len(words) > 2 else 1.0
        node(line, words[0], r.number(line, words, 1) * factor, 0.0)
    for line, words in r.sections["TANKS"]:
        level = r.number(line, words, 2, 0.0)
        node(line, words[0], r.number(line, words, 1), level * r.head_pa)
        levels[words[0]] = level
        # a full tank takes no more water, unless it may overflow; an empty one gives none
        tolerance = LEVEL_TOLERANCE_M / r.length
        shut = set()
        overflows = len(words) > 8 and words[8].upper() == "YES"
        if level >= r.number(line, words, 4, math.inf) - tolerance and not overflows:
            shut.add("in")
        if level <= r.number(line, words, 3, -math.inf) + tolerance:
            shut.add("out")
        barred[words[0]] = frozenset(shut)

    several: dict[str, float] = {}
    for line, words in r.sections["DEMANDS"]:
        if words[0] not in base:
            raise r.bad(line, f"{words[0]} is not a junction", "Correct the id.", "unknown_node")
        factor = r.pattern(line, words[2] if len(words) > 2 else None)
        several[words[0]] = several.get(words[0], 0.0) + r.number(line, words, 1) * factor
    multiplier = float(r.options["DEMAND MULTIPLIER"])
    for identifier, (line, demand, name) in base.items():
        total = several[identifier] if identifier in several else demand * r.pattern(line, name)
        nodes[identifier]["mass_injection_kg_s"] = -total * multiplier * r.mass_flow
    for section, what in (("EMITTERS", "an emitter"), ("LEAKAGE", "leakage")):
        for line, words in r.sections[section]:
            if r.number(line, words, 1, 0.0) != 0.0:
                raise r.bad(
                    line,
                    f"{words[0]} has {what}, a pressure-driven outflow",
                    "Use a fixed demand, or a valve to a node of fixed pressure.",
                    "emitter_refused",
                )
    for line, words in r.sections["COORDINATES"]:
        if words[0] in nodes:
            nodes[words[0]]["x_m"], nodes[words[0]]["y_m"] = (
                r.number(line, words, 1),
                r.number(line, words, 2),
            )

    curves: dict[str, list[tuple[float, float]]] = {}
    for line, words in r.sections["CURVES"]:
        curves.setdefault(words[0], []).append((r.number(line, words, 1), r.number(line, words, 2)))

    tables = _Links(r, nodes, curves, *_link_status(r, levels), barred)
    for line, words in r.sections["PIPES"]:
        tables.pipe(line, words)
    for line, words in r.sections["PUMPS"]:
        tables.pump(line, words)
    for line, words in r.sections["VALVES"]:
        tables.valve(line, words)

    def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}

    points = [
        {"id": name, "mass_flow_kg_s": x * r.mass_flow, "dp_pa": y * r.head_pa}
        for name in tables.used_curves
        for x, y in curves[name]
    ]
    return Network(
        {
            "nodes": columns(list(nodes.values())),
            "pipes": columns(tables.pipes),
            "valves": columns(tables.valves),
            "pumps": columns(tables.pumps),
            "curves": columns(points),
        },
        fluid=r.fluid,
    )


def _link_status(r: _Reader, levels: dict[str, float]) -> tuple[dict[str, str], dict[str, str]]:
    """Status or setting of links by [STATUS], and by the controls that act at t = 0."""
    status: dict[str, str] = {}
    for line, words in r.sections["STATUS"]:
        if len(words) != 2:
            raise r.bad(line, "a status needs a link and a word", "Ranges of links are not read; name each.")
        status[words[0]] = words[1].upper()
    controls: dict[str, str] = {}
    for line, words in r.sections["CONTROLS"]:
        upper = [word.upper() for word in words]
        if len(words) < 6 or upper[0] not in ("LINK", "PIPE", "PUMP", "VALVE"):
            raise r.bad(line, "a control that is not understood", "LINK id status IF NODE ... or AT TIME ...")
        acts: bool
        if upper[3] == "AT" and upper[4] == "CLOCKTIME":
            acts = r.seconds(line, words[5:]) % 86400.0 == r.times["START CLOCKTIME"] % 86400.0
        elif upper[3] == "AT" and upper[4] == "TIME":
            acts = r.seconds(line, words[5:]) == 0.0
        elif upper[3] == "IF" and len(words) >= 8:
            if words[5] not in levels:
                raise r.bad(
                    line,
                    f"a control on node {words[5]}, which is not a tank",
                    "Only controls on time and tank levels are known at t = 0.",
                    "control_refused",
                )
            limit = r.number(line, words, 7)
            compare: Callable[[float, float], bool] = (
                (lambda level, bound: level >= bound)
                if upper[6] == "ABOVE"
                else (lambda level, bound: level <= bound)
            )
            acts = compare(levels[words[5]], limit)
        else:
            raise r.bad(line, "a control that is not understood", "LINK id status IF NODE ... or AT TIME ...")
        if acts:
            controls[words[1]] = upper[2]
    return status, controls


class _Links:
    """Rows of pipes, pumps and valves while a file is read."""

    def __init__(
        self,
        r: _Reader,
        nodes: dict[str, dict[str, Any]],
        curves: dict[str, list[tuple[float, float]]],
        status: dict[str, str],
        controls: dict[str, str],
        barred: dict[str, frozenset[str]],
    ) -> None:
        self.r, self.nodes, self.curves, self.barred = r, nodes, curves, barred
        self.controls, self.status = controls, {**status, **controls}
        self.checks = {
            words[1]
            for _, words in r.sections["TAGS"]
            if len(words) == 3 and words[0].upper() == "LINK" and words[2] == CHECK_TAG
        }
        self.pipes: list[dict[str, Any]] = []
        self.pumps: list[dict[str, Any]] = []
        self.valves: list[dict[str, Any]] = []
        self.used_curves: dict[str, None] = {}

    def ends(self, line: int, words: list[str]) -> dict[str, Any]:
        if len(words) < 3:
            raise self.r.bad(line, "an id and two nodes are needed", "Complete the line.")
        for name in words[1:3]:
            if name not in self.nodes:
                raise self.r.bad(
                    line, f"{words[0]} ends at {name}, which is not a node", "Correct the id.", "unknown_node"
                )
        return {"id": words[0], "from_node": words[1], "to_node": words[2]}

    def pipe(self, line: int, words: list[str]) -> None:
        r = self.r
        row = self.ends(line, words)
        roughness = r.number(line, words, 5)
        hazen = r.options["HEADLOSS"] == "H-W"
        loss, word = 0.0, "OPEN"
        for extra in words[6:]:
            if extra.upper() in ("OPEN", "CLOSED", "CV"):
                word = extra.upper()
            else:
                loss = r.number(line, [extra], 0)
        diameter = r.number(line, words, 4) * r.diameter
        if word == "CV" and words[0] in self.checks:
            self._add_valve(row, kind="check", loss_coefficient=loss, diameter_m=diameter)
            return
        # a check valve pipe has no status of its own
        final = word if word == "CV" else self.status.get(words[0], word)
        row.update(
            length_m=r.number(line, words, 3) * r.length,
            inner_diameter_m=diameter,
            roughness_m=math.nan if hazen else roughness * (FOOT_M if r.us else 1.0) * 1e-3,
            hazen_williams_c=roughness if hazen else math.nan,
            loss_coefficient=loss,
            open=final not in ("CLOSED", "0"),
        )
        allowed = self._directions(row) - ({"back"} if word == "CV" else set())
        if not allowed:
            row["open"] = False
        elif len(allowed) == 1:
            self._one_way(line, row, forth="forth" in allowed, diameter=diameter)
        self.pipes.append(row)

    def _directions(self, row: dict[str, Any]) -> set[str]:
        """Which ways full and empty tanks at the ends of a link let water flow: forth, back."""
        start, end = (self.barred.get(row[name], frozenset()) for name in ("from_node", "to_node"))
        allowed = set()
        if "out" not in start and "in" not in end:
            allowed.add("forth")
        if "in" not in start and "out" not in end:
            allowed.add("back")
        return allowed

    def _one_way(self, line: int, row: dict[str, Any], forth: bool, diameter: float) -> None:
        """Put a check valve before the link's first end, which becomes an inner node."""
        inner, start = f"{row['id']}{CHECK_SUFFIX}", row["from_node"]
        if inner in self.nodes:
            raise self.r.bad(line, f"node {inner} exists already", "Rename it.", "duplicate_id")
        self.nodes[inner] = {
            **self.nodes[start],
            "id": inner,
            "mass_injection_kg_s": 0.0,
            "fixed_pressure_pa": math.nan,
        }
        ends = (start, inner) if forth else (inner, start)
        self._add_valve(
            {"id": inner, "from_node": ends[0], "to_node": ends[1]},
            kind="check",
            loss_coefficient=0.0,
            diameter_m=diameter,
        )
        row["from_node"] = inner

    def pump(self, line: int, words: list[str]) -> None:
        r = self.r
        row = {**self.ends(line, words), "curve": "", "speed": 1.0}
        patterned = False
        for at in range(3, len(words) - 1, 2):
            key, value = words[at].upper(), words[at + 1]
            if key == "HEAD":
                row["curve"] = self._curve(line, value)
            elif key == "SPEED":
                row["speed"] = r.number(line, words, at + 1)
            elif key == "PATTERN":
                row["speed"], patterned = r.pattern(line, value), True
            elif key == "POWER":
                raise r.bad(
                    line,
                    f"pump {words[0]} is a constant-power pump",
                    "Its head has no bound at zero flow; give it a HEAD curve.",
                    "constant_power_refused",
                )
        if row["curve"] == "":
            raise r.bad(line, f"pump {words[0]} has no head curve", "Add HEAD curve.", "pump_without_head")
        # a speed pattern overrules [STATUS], a control overrules both
        setting = (self.controls if patterned else self.status).get(words[0])
        if setting is not None:
            speeds = {"OPEN": 1.0, "CLOSED": 0.0}
            row["speed"] = speeds[setting] if setting in speeds else r.number(line, [setting], 0)
        if "forth" not in self._directions(row):
            row["speed"] = 0.0
        self.pumps.append(row)

    def _curve(self, line: int, name: str) -> str:
        if name not in self.curves:
            raise self.r.bad(line, f"curve {name} is not in [CURVES]", "Add it.", "unknown_curve")
        self.used_curves[name] = None
        return name

    def valve(self, line: int, words: list[str]) -> None:
        r = self.r
        if len(words) < 6:
            raise r.bad(line, "a valve needs id, two nodes, diameter, type and setting", "Complete the line.")
        kind = words[4].upper()
        row = self.ends(line, words)
        diameter = r.number(line, words, 3) * r.diameter
        loss = r.number(line, words, 6, 0.0)
        allowed = self._directions(row)
        fixed = self.status.get(words[0], "")
        setting = words[5] if fixed in ("", "OPEN", "CLOSED", "ACTIVE") else fixed
        if kind in ("PBV", "PCV"):
            raise r.bad(
                line,
                f"valve {words[0]} is a {kind}",
                "It has no counterpart; use a TCV with the loss coefficient you mean.",
                f"{kind.lower()}_refused",
            )
        if kind not in ("TCV", "FCV", "PRV", "PSV", "GPV"):
            raise r.bad(line, f"valve type {kind}", "Known: TCV, FCV, PRV, PSV, GPV.", "unknown_kind")
        more: dict[str, Any] = {"loss_coefficient": loss, "diameter_m": diameter}
        if not allowed:
            fixed = "CLOSED"
        elif len(allowed) == 1 and fixed != "CLOSED":
            self._one_way(line, row, forth="forth" in allowed, diameter=diameter)
        if fixed in ("OPEN", "CLOSED"):
            self._add_valve(row, kind="throttle", opening=float(fixed == "OPEN"), **more)
        elif kind == "TCV":
            more["loss_coefficient"] = r.number(line, [setting], 0)
            self._add_valve(row, kind="throttle", **more)
        elif kind == "GPV":
            self._add_valve(row, kind="curve", curve=self._curve(line, setting), **more)
        elif kind == "FCV":
            self._add_valve(
                row, kind="flow_limit", setting=r.number(line, [setting], 0) * r.mass_flow, **more
            )
        else:
            self._add_valve(
                row,
                kind="pressure_reducing" if kind == "PRV" else "pressure_sustaining",
                setting=r.number(line, [setting], 0) * r.pressure_pa,
                **more,
            )

    def _add_valve(self, row: dict[str, Any], **values: Any) -> None:
        self.valves.append(
            {
                **row,
                "kind": "throttle",
                "opening": 1.0,
                "setting": math.nan,
                "curve": "",
                "loss_coefficient": 0.0,
                "diameter_m": math.nan,
                **values,
            }
        )
