"""Turns a benchmark's document into docs/performance.md and a picture of cost over size.

It computes ratios and compares them with the project's goals; it measures nothing and rounds only for print.
The same document always gives the same text, so that a test can hold the page to its data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from .counts import TICKS, by_phase

Row = dict[str, Any]
Document = dict[str, Any]
EQUAL_STOP, CERTIFIED = "equal stop", "certified"
COMMAND = "toplovod bench core"


@dataclass(frozen=True)
class Goal:
    """One goal: which row it is about, the figure taken from it, and the bound (at least, or at most)."""

    text: str
    work: str
    size: int
    stop: str | None
    figure: Callable[[Row], float | None]
    bound: float
    at_least: bool
    form: str

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def ratio(engine: str, ours: str = "core") -> Callable[[Row], float | None]:
    """How many times faster than `engine` the core is in a row; None without that engine."""

    def figure(row: Row) -> float | None:
        if engine not in row or ours not in row:
            return None
        return float(row[engine]["median"] / row[ours]["median"])

    return figure


def _value(*path: str, scale: float = 1.0) -> Callable[[Row], float | None]:
    def figure(row: Row) -> float | None:
        value: Any = row
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return None
            value = value[key]
        return float(value) * scale

    return figure


TIMES, MS, NS, BYTES = "{:.1f}×", "{:.3f} ms", "{:.1f} ns", "{:.0f} B"


def _goals() -> list[Goal]:
    epanet, panda = ratio("epanet"), ratio("pandapipes", "core_beside_pandapipes")
    out = []
    for variant, bounds in (("flows imposed", (8, 12, 10)), ("valves given", (6, 8, 8))):
        for size, bound in zip((1_000, 10_000, 100_000), bounds, strict=True):
            out.append(
                Goal(
                    f"cold, {variant}, beside EPANET",
                    f"cold, {variant}",
                    size,
                    EQUAL_STOP,
                    epanet,
                    bound,
                    True,
                    TIMES,
                )
            )
    out += [
        Goal(
            "cold, valves given, beside pandapipes",
            "cold, valves given",
            10_000,
            CERTIFIED,
            panda,
            300,
            True,
            TIMES,
        ),
        Goal("tick, valves given", "tick, valves given", 10_000, EQUAL_STOP, epanet, 8, True, TIMES),
        Goal("tick, flows imposed", "tick, flows imposed", 10_000, EQUAL_STOP, epanet, 12, True, TIMES),
        Goal(
            "3 % infeasible set-points", "infeasible set-points", 10_000, EQUAL_STOP, epanet, 20, True, TIMES
        ),
        Goal(
            "3 % infeasible set-points, Newton steps",
            "infeasible set-points",
            10_000,
            EQUAL_STOP,
            _value("core_iterations"),
            8,
            False,
            "{:.0f}",
        ),
        Goal(
            "balance of all consumers",
            "balance of all consumers",
            10_000,
            None,
            _value("core", "median", scale=1e3),
            0.35,
            False,
            MS,
        ),
        Goal(
            "balance, round trip",
            "balance of all consumers",
            10_000,
            None,
            _value("round_trip"),
            1e-9,
            False,
            "{:.1e}",
        ),
        Goal("scenario batch", "scenario batch, per scenario", 1_000, None, epanet, 12, True, TIMES),
        Goal("scenario batch", "scenario batch, per scenario", 10_000, None, epanet, 15, True, TIMES),
        Goal(
            "memory per link",
            "memory per link, valves given",
            100_000,
            None,
            _value("core_bytes"),
            110,
            False,
            BYTES,
        ),
        Goal(
            "heat, one pipe in one step",
            "heat, 60 s steps",
            10_000,
            None,
            _value("core", "median", scale=1e9),
            12,
            False,
            NS,
        ),
        Goal(
            "heat, largest error at a node",
            "heat, 60 s steps",
            10_000,
            None,
            _value("core_error_k", "max", scale=1e3),
            2.0,
            False,
            "{:.2g} mK",
        ),
        Goal(
            "set-up of a topology beside EN_openH",
            "set-up of a topology",
            10_000,
            None,
            epanet,
            1.0,
            True,
            "{:.2f}×",
        ),
    ]
    return out


GOALS = _goals()


def rows_of(document: Document) -> list[Row]:
    return [row for rows in document["tasks"].values() for row in rows]


def _best(document: Document) -> str:
    level: str = document["conditions"]["levels"][-1]
    return level


def find(document: Document, goal: Goal) -> Row | None:
    """The row a goal is about, at the highest level that ran; of two stops the laxer one when any will do."""
    found = [
        row
        for row in rows_of(document)
        if row["work"] == goal.work
        and row["size"] == goal.size
        and row["loops"] == 0.05
        and row.get("level") == _best(document)
        and (goal.stop is None or row.get("stop") == goal.stop)
    ]
    return found[0] if found else None


def judged(document: Document) -> list[tuple[Goal, float | None]]:
    """Every goal with what was measured, None where nothing was."""
    out = []
    for goal in GOALS:
        row = find(document, goal)
        out.append((goal, None if row is None else goal.figure(row)))
    return out


# -- text -------------------------------------------------------------------------------------------------


def _table(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cells)} |" for cells in body] + [""]


def _time(figure: dict[str, float] | None) -> str:
    """Median with quartiles, in a unit that fits."""
    if figure is None:
        return "–"
    scale, unit = next(
        (s, u)
        for s, u in ((1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
        if figure["median"] * s >= 1.0 or u == "ns"
    )
    median, low, high = (figure[k] * scale for k in ("median", "low", "high"))
    if figure["rounds"] == 1:
        return f"{median:.3g} {unit}"
    return f"{median:.3g} {unit} ({low:.3g}–{high:.3g})"


def _times(row: Row, engine: str, ours: str = "core") -> str:
    value = ratio(engine, ours)(row)
    return "–" if value is None else f"{value:.3g}×"


def _number(value: Any, form: str = "{:.1e}") -> str:
    return "–" if value is None else form.format(value)


def _name(row: Row) -> str:
    return f"{row['links']:,}".replace(",", " ") + f" ({100 * row['loops']:.0f} %)"


def _pick(document: Document, *works: str) -> list[Row]:
    return [row for row in rows_of(document) if row["work"] in works]


def markdown(document: Document, picture: str | None = None) -> str:
    """The page. `picture`: where the SVG lies, seen from the page."""
    c = document["conditions"]
    lines = [
        "# Performance of the core",
        "",
        f"Generated by `{COMMAND}` from its own measurements; do not edit. Only ratios within one "
        "run mean anything on "
        "another machine.",
        "",
        *_table(
            ("condition", ""),
            [
                ("processor", f"{c['cpu']}, {c['cores']} cores"),
                ("instruction levels run", ", ".join(c["levels"])),
                *(
                    [("not run", f"{', '.join(c['levels_missing'])}: this processor lacks it")]
                    if c["levels_missing"]
                    else []
                ),
                ("compiler, Python, NumPy", f"{c['compiler']}, {c['python']}, {c['numpy']}"),
                (
                    "peers",
                    f"owa-epanet {c['epanet'] or 'absent'}, pandapipes {c['pandapipes'] or 'absent'}"
                    f" ({'with' if c['numba'] else 'without'} numba)",
                ),
                (
                    "networks",
                    f"generated districts, seed {c['seed']}; loops as a share of the tree in brackets",
                ),
                *[(f"stop: {name}", text) for name, text in c["stops"].items()],
                ("load when it began", f"{c['load_before']}"),
            ],
        ),
        "Every figure is a median with its quartiles; the engines took turns in one process. The "
        "core's times contain "
        "result and certificate, EPANET's EN_initH and EN_runH alone, pandapipes' a whole `pipeflow()`.",
        "",
        "## Goals",
        "",
        f"At level {_best(document)}; the project set its speed goals for AVX-512.",
        "",
        *_goal_table(document),
    ]
    if picture:
        lines += [f"![Cost of one cold solve over size]({picture})", ""]
    lines += _cold(document) + _tick(document) + _others(document) + _scaling(document)
    lines += _bounds(document) + _random(document)
    return "\n".join(lines).rstrip() + "\n"


def _goal_table(document: Document) -> list[str]:
    body = []
    for goal, value in judged(document):
        sign = "≥" if goal.at_least else "≤"
        verdict = "not measured" if value is None else "reached" if goal.met(value) else "**not reached**"
        shown = "–" if value is None else goal.form.format(value)
        size = f"{goal.size:,}".replace(",", " ")
        body.append((goal.text, size, f"{sign} {goal.form.format(goal.bound)}", shown, verdict))
    return _table(("work", "links", "goal", "measured", ""), body)


def _cold(document: Document) -> list[str]:
    lines = ["## One solve from nothing", ""]
    for variant in ("flows imposed", "valves given"):
        body = [
            (
                _name(row), row["level"], row["stop"], _time(row["core"]), _time(row.get("epanet")),
                f"{row['core_iterations']}, {row.get('epanet_iterations', '–')}", _times(row, "epanet"),
                _number(row.get("epanet_difference")),
                _time(row.get("pandapipes")), _times(row, "pandapipes", "core_beside_pandapipes"),
                _number(row.get("pandapipes_difference")),
            )
            for row in _pick(document, f"cold, {variant}")
        ]  # fmt: skip
        lines += [f"### {variant.capitalize()}", ""]
        lines += _table(
            (
                "links (loops)",
                "level",
                "stop",
                "core",
                "EPANET",
                "steps",
                "EPANET / core",
                "differ by",
                "pandapipes",
                "pandapipes / core",
                "differ by",
            ),
            body,
        )
    lines += [
        "*Differ by*: largest difference of any flow, as a share of the largest. Beside pandapipes "
        "the core takes "
        'friction form "pandapipes"; EPANET\'s rows take form "epanet".',
        "",
    ]
    return lines


def _tick(document: Document) -> list[str]:
    body = [
        (
            row["work"].partition(", ")[2],
            _name(row),
            row["level"],
            row["stop"],
            _time(row["core"]),
            _time(row.get("epanet")),
            _times(row, "epanet"),
            _number(row.get("epanet_difference")),
        )
        for row in _pick(document, "tick, flows imposed", "tick, valves given")
    ]
    head = ("variant", "links (loops)", "level", "stop", "core", "EPANET", "EPANET / core", "differ by")
    return [
        "## Control tick",
        "",
        "5 % of the consumers change by up to 10 %, both engines start warm.",
        "",
        *_table(head, body),
    ]


def _others(document: Document) -> list[str]:
    lines = ["## Infeasible set-points", ""]
    body: list[tuple[str, ...]] = [
        (
            _name(row),
            row["level"],
            row["stop"],
            f"{row['at_limit']} of {row['houses']}",
            _time(row["core"]),
            _time(row.get("epanet")),
            f"{row['core_iterations']}, {row.get('epanet_iterations', '–')}",
            _times(row, "epanet"),
            _number(row.get("epanet_difference")),
            str(row.get("epanet_warning", "–")),
        )
        for row in _pick(document, "infeasible set-points")
    ]
    lines += [
        "A flow limiter at every house; 3 % of the set-points are ten times the design flow. "
        "EPANET lets a limiter "
        "exceed its setting by 1e-4 ft³/s (2.8 g/s), which is what the answers differ by.",
        "",
        *_table(
            (
                "links (loops)",
                "level",
                "stop",
                "at their limit",
                "core",
                "EPANET (FCV)",
                "steps",
                "EPANET / core",
                "differ by",
                "EPANET's warning",
            ),
            body,
        ),
        "## Balance, batch, set-up",
        "",
    ]
    body = []
    for row in _pick(
        document,
        "balance of all consumers",
        "scenario batch, per scenario",
        "scenario batch, per scenario, from a solution",
        "set-up of a topology",
    ):
        note = ""
        if "round_trip" in row:
            note = f"{row['houses']} consumers, round trip {row['round_trip']:.1e}"
        elif "scenarios" in row:
            differ = _number(row.get("epanet_difference"))
            note = f"{row['scenarios']} scenarios, {row['stop']}, differ by {differ}"
        elif "core_ordering" in row:
            note = f"ordering and program alone {_time(row['core_ordering'])}"
        body.append(
            (
                row["work"],
                _name(row),
                row["level"],
                _time(row["core"]),
                _time(row.get("epanet")),
                _times(row, "epanet"),
                note,
            )
        )
    lines += _table(("work", "links (loops)", "level", "core", "EPANET", "EPANET / core", ""), body)
    lines += [
        "EPANET solves one scenario, cold or from the flows of the one before; its set-up is EN_openH; it "
        "has no balance.",
        "",
        "## Heat",
        "",
    ]
    body = [
        (
            row["work"], f"{row['links']} pipes, {row['hours']} h", row["level"], _time(row["core"]),
            _time(row.get("epanet")), _times(row, "epanet"), _errors(row.get("core_error_k")),
            _errors(row.get("epanet_error_k")),
        )
        for row in rows_of(document)
        if row["work"].startswith("heat")
    ]  # fmt: skip
    lines += [
        "Time of one pipe in one step, and the error against the exact steady state at the end "
        "(median / 99 % / largest) "
        "at nodes that the front has long passed. EPANET carries the temperature above ground as a "
        "decaying constituent.",
        "",
        *_table(
            ("work", "supply half", "level", "core", "EPANET quality", "EPANET / core", "core", "EPANET"),
            body,
        ),
        "## Memory",
        "",
    ]
    body = [
        (
            _name(row),
            _number(row.get("core_bytes"), "{:.0f} B"),
            _number(row.get("core_columns_bytes"), "{:.0f} B"),
            _number(row.get("epanet_bytes"), "{:.0f} B"),
            _number(row.get("pandapipes_bytes"), "{:.0f} B"),
        )
        for row in _pick(document, "memory per link, valves given")
    ]
    lines += [
        "Resident growth per link of making a solver and solving once, in a fresh process, results "
        "not counted; the "
        "network's own numeric columns stand beside it. EPANET's and pandapipes' contain their ids.",
        "",
        *_table(("links (loops)", "core", "its network's columns", "EPANET", "pandapipes"), body),
    ]
    return lines


def _errors(error: dict[str, float] | None) -> str:
    if error is None:
        return "–"
    return " / ".join(f"{1e3 * error[k]:.2g}" for k in ("median", "p99", "max")) + " mK"


def _scaling(document: Document) -> list[str]:
    body = []
    for variant in ("flows imposed", "valves given"):
        rows = [
            row
            for row in _pick(document, f"cold, {variant}")
            if row["stop"] == EQUAL_STOP and row["level"] == _best(document) and row["loops"] == 0.05
        ]
        base = next((row for row in rows if row["size"] == 1_000), None)
        for row in rows:
            per = row["core"]["median"] / row["links"] * 1e9
            per_step = per / row["core_iterations"]
            against = "–" if base is None else f"{per / (base['core']['median'] / base['links'] * 1e9):.2f}"
            theirs = "–" if "epanet" not in row else f"{row['epanet']['median'] / row['links'] * 1e9:.0f} ns"
            body.append((variant, _name(row), f"{per:.0f} ns", f"{per_step:.1f} ns", against, theirs))
    return [
        "## Scaling",
        "",
        f"Cost of one cold solve per link, {EQUAL_STOP}, {_best(document)}.",
        "",
        *_table(
            (
                "variant",
                "links (loops)",
                "core per link",
                "per link and step",
                "against 1 000",
                "EPANET per link",
            ),
            body,
        ),
    ]


def _bounds(document: Document) -> list[str]:
    missed = [goal for goal, value in judged(document) if value is not None and not goal.met(value)]
    if not missed:
        return []
    lines = ["## What bounds it", ""]
    for goal in missed:
        lines += [_what_bounds(document, goal), ""]
    counted = [row for row in rows_of(document) if row["work"].startswith("counts")]
    if not counted:
        return [*lines, "No counts: valgrind was not installed where this was measured.", ""]
    lines += [
        f"Counts of one cold solve, and of {TICKS} ticks, at the equal stop, by callgrind with its models of "
        "caches and branch predictor (it runs "
        "the highest level it knows, AVX2). Per link and Newton step; a misprediction costs some "
        "15 to 20 cycles, a miss "
        "of the first-level cache that the second level serves some 12.",
        "",
    ]
    for row in counted:
        per = row["links"] * max(row["iterations"], 1)
        phases = by_phase(row["functions"])
        total = sum(cost["instructions"] for cost in phases.values())
        body = [
            (
                phase,
                f"{cost['instructions'] / per:.1f}",
                f"{100 * cost['instructions'] / total:.0f} %",
                f"{cost.get('mispredicted', 0) / per:.3f}",
                f"{(cost.get('d1_read', 0) + cost.get('d1_write', 0)) / per:.2f}",
                f"{cost.get('ll_read', 0) / per:.4f}",
            )
            for phase, cost in sorted(phases.items(), key=lambda item: -item[1]["instructions"])
        ]
        lines += [
            f"{row['work'].partition(', ')[2].capitalize()}, {_name(row)}, {row['iterations']} steps:",
            "",
        ]
        lines += _table(
            ("phase", "instructions", "share", "mispredicted branches", "L1 misses", "last-level misses"),
            body,
        )
    return lines


def _what_bounds(document: Document, goal: Goal) -> str:
    """One paragraph on a goal that was missed, from what the run itself counted and timed."""
    row = find(document, goal)
    assert row is not None
    value = goal.figure(row)
    assert value is not None
    bound = f"{'≥' if goal.at_least else '≤'} {goal.form.format(goal.bound)}"
    size = f"{goal.size:,}".replace(",", " ")
    said = [f"**{goal.text}, {size} links**: {goal.form.format(value)}, the goal is {bound}."]
    reason = next(tell for work, tell in BOUNDS if goal.work.startswith(work))
    said += reason(document, row)
    if goal.work.startswith(BY_LANES):
        said += _lanes(document, row)
    return " ".join(said)


def _bound_of_steps(document: Document, row: Row) -> list[str]:
    """What a Newton step costs, counted at 10 000 links."""
    said = []
    if "core_iterations" in row and "epanet_iterations" in row:
        said.append(f"Steps: {row['core_iterations']}, EPANET {row['epanet_iterations']}.")
    variant = "flows imposed" if row["work"].endswith("imposed") else "valves given"
    if row["work"].startswith("balance"):
        variant = "flows imposed"
    counted = next((r for r in rows_of(document) if r["work"] == f"counts, {variant}"), None)
    if counted is None:
        return said
    if not row["work"].startswith("cold"):
        return [*said, f"Its steps cost what those of a cold solve with {variant} do (table below)."]
    per = counted["links"] * max(counted["iterations"], 1)
    phases = by_phase(counted["functions"])

    def each(*events: str) -> float:
        return float(sum(cost.get(event, 0) for cost in phases.values() for event in events) / per)

    instructions, missed = each("instructions"), each("mispredicted")
    first_level = each("d1_read", "d1_write")
    first, second = sorted(phases.items(), key=lambda item: -item[1]["instructions"])[:2]
    said.append(
        f"A step with {variant} takes {instructions:.0f} instructions per link (counted at 10 000 links), "
        f"{100 * first[1]['instructions'] / per / instructions:.0f} % of them in “{first[0]}” and "
        f"{100 * second[1]['instructions'] / per / instructions:.0f} % in “{second[0]}”; {missed:.2f} "
        f"mispredicted branches take some {15 * missed:.0f} to {20 * missed:.0f} cycles more, and "
        f"{first_level:.1f} misses of the first-level cache up to {12 * first_level:.0f}."
    )
    return said


def _bound_of_limiters(document: Document, row: Row) -> list[str]:
    whole, steps = row["core"]["median"], row["core_kernel"]["median"]
    said = [
        f"Of {_time(row['core'])}, {_time(row['core_kernel'])} are Newton steps in C; the certificate, "
        f"Python and colder caches take the other {100 * max(whole - steps, 0.0) / whole:.0f} %."
    ]
    if "epanet" in row:
        said.append(f"The steps alone would be {row['epanet']['median'] / steps:.1f}× EPANET.")
    return said + _bound_of_steps(document, row)


def _bound_of_balance(document: Document, row: Row) -> list[str]:
    said = []
    one = _same(document, "cold, flows imposed", CERTIFIED)
    if one is not None:
        said.append(
            f"{_time(row['core'])}; one cold solve with flows imposed, to the certified tolerance, takes "
            f"{_time(one['core'])}."
        )
    return said + _bound_of_steps(document, row)


def _bound_of_batch(document: Document, row: Row) -> list[str]:
    said = []
    one = next(
        (
            other
            for other in _pick(document, "cold, valves given")
            if all(other[key] == row[key] for key in ("size", "loops", "level", "stop"))
        ),
        None,
    )
    if one is not None:
        said.append(
            f"A scenario takes {row['core']['median'] / one['core']['median']:.2f} times one cold solve."
        )
    if "two_cores" in row:
        gain = row["core_one_worker"]["median"] / row["core"]["median"]
        said.append(
            f"Two workers do {gain:.2f} times the work of one; two threads that share nothing did "
            f"{row['two_cores']['median']:.2f} times the work of one in the same minutes."
        )
    return said + _bound_of_steps(document, row)


def _bound_of_memory(_document: Document, row: Row) -> list[str]:
    said = [
        f"The network's own columns, which the solver reads in place, are {row['core_columns_bytes']:.0f} B."
    ]
    if "epanet_bytes" in row:
        said.append(f"EPANET holds {row['epanet_bytes'] / row['core_bytes']:.1f} times as much as the core.")
    return said


def _bound_of_tick(document: Document, row: Row) -> list[str]:
    said = _bound_of_steps(document, row)
    counted = next((r for r in rows_of(document) if r["work"] == f"counts, {row['work']}"), None)
    if counted is not None:
        phases = by_phase(counted["functions"])
        total = sum(cost["instructions"] for cost in phases.values())
        once = sum(
            phases.get(name, {}).get("instructions", 0)
            for name in ("results out", "bound columns in", "masses", "injections, peeled trees, start")
        )
        said.append(
            f"{100 * once / total:.0f} % of a tick's instructions are spent once, whatever its steps: "
            "reading the bound columns, injections and peeled trees, the last balance of masses, writing "
            "results out."
        )
    return said


def _bound_of_heat(_document: Document, row: Row) -> list[str]:
    per = row["core"]["median"] * 1e9 / row["parcels_per_pipe"]
    said = [
        f"{row['parcels_per_pipe']:.1f} parcels stand in a pipe in the mean, {per:.1f} ns for each.",
        # by callgrind, 3 386 pipes; counted again when _transport_body.h changes
        "A pipe in a steady step takes 106 instructions at AVX2: 35 to deliver, 42 to be filled, 21 for the "
        "node at its end.",
    ]
    if "epanet" in row:
        said.append(
            f"That is {row['epanet']['median'] / row['core']['median']:.2f}× EPANET's quality engine."
        )
    return said


def _bound_of_set_up(_document: Document, row: Row) -> list[str]:
    whole, ordering = row["core"]["median"], row["core_ordering"]["median"]
    said = [
        f"Of {_time(row['core'])}, ordering and program take {_time(row['core_ordering'])}; the other "
        f"{100 * (1.0 - ordering / whole):.0f} % read columns and make the kernel's arrays, in Python."
    ]
    if "epanet" in row:
        said.append(f"Ordering and program alone would be {row['epanet']['median'] / ordering:.2f}× EPANET.")
    return said


def _lanes(document: Document, row: Row) -> list[str]:
    """What wider vectors brought in this run, and that the widest were not there."""
    best = _best(document)
    twin = next(
        (
            other
            for other in _pick(document, row["work"])
            if other.get("level") == "baseline"
            and all(other.get(key) == row.get(key) for key in ("size", "loops", "stop"))
        ),
        None,
    )
    said = []
    if twin is not None and best != "baseline":
        said.append(
            f"Baseline takes {twin['core']['median'] / row['core']['median']:.2f} times as long as {best}."
        )
    if "avx512" in document["conditions"]["levels_missing"]:
        said.append("The goal was set for AVX-512, which this processor lacks.")
    return said


# works whose time the width of vectors decides: their goals were set for AVX-512
BY_LANES = ("cold", "tick", "infeasible", "balance", "scenario", "heat")
BOUNDS: tuple[tuple[str, Callable[[Document, Row], list[str]]], ...] = (
    ("cold", _bound_of_steps),
    ("tick", _bound_of_tick),
    ("infeasible", _bound_of_limiters),
    ("balance", _bound_of_balance),
    ("scenario", _bound_of_batch),
    ("memory", _bound_of_memory),
    ("heat", _bound_of_heat),
    ("set-up", _bound_of_set_up),
)


def _same(document: Document, work: str, stop: str) -> Row | None:
    """The row of a work at 10 000 links, 5 % loops, the best level and this stop."""
    return next(
        (
            row
            for row in _pick(document, work)
            if row["size"] == 10_000
            and row["loops"] == 0.05
            and row["level"] == _best(document)
            and row["stop"] == stop
        ),
        None,
    )


def _random(document: Document) -> list[str]:
    """What the run over random networks found, when it was put beside the measurements."""
    found = document.get("random_networks")
    if not found:
        return []
    outcomes = found["outcomes"]
    words = {
        "right": "right by an independent check",
        "contradictory": "refused, and no flows exist that keep all limits",
        "undecided": "refused; a slow search of the regulators' states found none either",
        "no answer": "refused although a solution exists",
        "wrong": "answered, and refuted by the independent check",
        "crashed": "ended in an error of the program",
    }
    body = [(words[name], str(outcomes.get(name, 0))) for name in words]
    return [
        "## Random networks",
        "",
        f"{found['networks']} networks of up to {found['most_links']} links, {found['solves']} "
        "solves; largest "
        f"residuals of a right answer {found['largest_head_residual_m']:.2g} m and "
        f"{found['largest_mass_residual_kg_s']:.2g} kg/s (in {found['solves_above_1e9_pa']} "
        "solves above 10⁹ Pa "
        "rounding of the pressure is allowed for instead).",
        "",
        *_table(("outcome", "solves"), body),
        f"Seeds to repair: {', '.join(map(str, found['failing_seeds'])) or 'none'}.",
        "",
    ]


# -- picture ----------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 860.0, 520.0, 80.0, 50.0, 60.0, 190.0
COLOURS = {"core": "#b2182b", "epanet": "#2166ac", "pandapipes": "#4d4d4d"}
LABELS = {"core": "core", "epanet": "EPANET", "pandapipes": "pandapipes"}


def picture(document: Document) -> str:
    """SVG: seconds of one cold solve over links, both logarithmic; full line valves given, dashed imposed."""
    curves: list[tuple[str, str, list[tuple[float, float]]]] = []
    for variant, dash in (("valves given", ""), ("flows imposed", "6 4")):
        for engine in ("core", "epanet", "pandapipes"):
            points = [
                (float(row["links"]), float(row[engine]["median"]))
                for row in _pick(document, f"cold, {variant}")
                if engine in row
                and row["level"] == _best(document)
                and row["loops"] == 0.05
                and row["stop"] == (CERTIFIED if engine == "pandapipes" else EQUAL_STOP)
            ]
            if points:
                curves.append((engine, dash, sorted(points)))
    if not curves:
        raise ValueError("no cold solve was measured, so there is nothing to draw")
    xs = [math.log10(x) for _, _, points in curves for x, _ in points]
    ys = [math.log10(y) for _, _, points in curves for _, y in points]
    x0, x1, y0, y1 = math.floor(min(xs)), math.ceil(max(xs)), math.floor(min(ys)), math.ceil(max(ys))

    def px(x: float) -> float:
        return LEFT + (x - x0) / max(x1 - x0, 1) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y0) / max(y1 - y0, 1) * (HEIGHT - TOP - BOTTOM)

    title = "One cold solve over size"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" font-size="12" '
        'font-family="sans-serif">',
        f"<title>{title}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT:g}" y="26" font-size="16">{title}: equal stop, {escape(_best(document))}</text>',
    ]
    for x in range(x0, x1 + 1):
        body.append(
            f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{TOP:g}" y2="{HEIGHT - BOTTOM:g}" stroke="#ddd"/>'
        )
        body.append(
            f'<text x="{px(x):.1f}" y="{HEIGHT - BOTTOM + 18:g}" text-anchor="middle">{10**x:g}</text>'
        )
    for y in range(y0, y1 + 1):
        body.append(
            f'<line x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{py(y):.1f}" y2="{py(y):.1f}" stroke="#ddd"/>'
        )
        body.append(f'<text x="{LEFT - 8:g}" y="{py(y) + 4:.1f}" text-anchor="end">{_seconds(y)}</text>')
    body.append(f'<text x="{WIDTH - RIGHT:g}" y="{HEIGHT - 18:g}" text-anchor="end">links</text>')
    for engine, dash, points in curves:
        at = " ".join(f"{px(math.log10(x)):.1f},{py(math.log10(y)):.1f}" for x, y in points)
        style = f' stroke-dasharray="{dash}"' if dash else ""
        body.append(
            f'<polyline points="{at}" fill="none" stroke="{COLOURS[engine]}" stroke-width="2"{style}/>'
        )
        for links, seconds in points:
            place = f'cx="{px(math.log10(links)):.1f}" cy="{py(math.log10(seconds)):.1f}"'
            body.append(f'<circle {place} r="3" fill="{COLOURS[engine]}"/>')
    for k, (engine, dash, _points) in enumerate(curves):
        y_at = TOP + 20 + 22 * k
        style = f' stroke-dasharray="{dash}"' if dash else ""
        x_at = WIDTH - RIGHT + 16
        body.append(
            f'<line x1="{x_at:g}" x2="{x_at + 30:g}" y1="{y_at:g}" y2="{y_at:g}" stroke="{COLOURS[engine]}" '
            f'stroke-width="2"{style}/>'
        )
        name = f"{LABELS[engine]}, {'flows' if dash else 'valves'}"
        body.append(f'<text x="{x_at + 36:g}" y="{y_at + 4:g}">{name}</text>')
    return "\n".join([*body, "</svg>\n"])


def _seconds(power: int) -> str:
    unit, scale = (
        ("s", 0) if power >= 0 else ("ms", 3) if power >= -3 else ("µs", 6) if power >= -6 else ("ns", 9)
    )
    return f"{10 ** (power + scale):g} {unit}"


def console_table(document: Document) -> list[tuple[str, str, str, str]]:
    """Goals as rows of text for the terminal: work, links, measured with goal, verdict."""
    out = []
    for goal, value in judged(document):
        verdict = "not measured" if value is None else "reached" if goal.met(value) else "not reached"
        shown = "–" if value is None else goal.form.format(value)
        sign = "≥" if goal.at_least else "≤"
        out.append(
            (goal.text, str(goal.size), f"{shown} (goal {sign} {goal.form.format(goal.bound)})", verdict)
        )
    return out
