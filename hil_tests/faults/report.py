"""The report of a fault run, of cases or of pairs, from its rows: page, report.json, junit.xml, trace.csv.

What is asked of a case stands in the catalogue, what it came to in its row. It refuses to guess: a time that
the row does not hold is a dash, and a case without a row has not been run.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from firmware.substation import registers

from ..acceptance import Limit as Acceptance
from ..acceptance import acceptance
from ..bench import junit
from ..bench.chart import Chart, Limit, Line
from ..bench.faults.case import ERROR, MET, NOT_MET, Plan
from ..bench.faults.rig import POINTS, TICK_S
from ..bench.faults.trace import COLUMNS
from ..bench.report import Check, replace_file, write_report
from ..bench.timeline import LEGEND
from .catalogue import TYPES, Case
from .pairs import Pair
from .types import FaultType

TRACES = "traces"
TRACE = "trace.csv"
AGAIN = "again"
TARGET = "emulated VM (T0): MicroPython on the host, 64 bit; one house with heating, hot water, a heat plant"
CHART_POINTS = 120
PAIR_CHARTS = 100  # of more pairs only those that were not met: all 1 540 would make the page too large
TITLES = {"tcp": "TCP", "meter": "Heat meters", "serial": "Serial line"}
OPEN_UP_TO = 12  # cases: a page of so few is shown unfolded
NO_REACTION = (
    "No tabled reaction is asked of two faults at once, because one may hide the other: each is proved as it "
    "comes, or the second as soon as the first is mended where it hid it; no water above 65 °C for more than "
    "10 s, no room below its floor, a controller that answers, and all as before after both repairs."
)
GAPS = (
    "Nothing of a chip: faults reach the terminals, the bytes on the line and the files of a firmware that "
    "runs on the host. Flash, network stack and supply of a board are not covered, and no timing of anything "
    "electrical is proved",
    "A supply that sags to a voltage between on and off cannot be had here (power.voltage); it is gone or it "
    "is there",
    "One house at three operating points, one seed. The network around it does not answer to the fault: its "
    "neighbours and the supervisor are not part of a case",
    "The tap opens for 180 s in every 300 s, which is a rhythm of the bench's and nobody's habit [estimate]; "
    "no circulation",
    "The exchangers' rise time is within 10 % of a model of forty cells for a step on the primary side, up "
    "to 25 % off for one on the circuit's side (docs/decisions/0008-plant-models.md); times of recovery "
    "carry that",
    "The time allowed for recovery, 30 min where the catalogue has no other, is the project's own figure",
)


def write(
    folder: Path,
    result: dict[str, Any],
    names: Sequence[str],
    every: Sequence[Case | Pair],
    wanted: Sequence[Case | Pair],
) -> Path:
    """Write the four files into folder, each whole or not at all, and return the page.

    result: as faults.json holds it. names: what was asked for, as on the command line. every: all there could
    be, wanted: those that were asked for.
    """
    in_pairs = bool(wanted) and isinstance(wanted[0], Pair)
    rows = result["cases"]
    ran = [case for case in every if case.name in rows]
    command = ["toplovod", "hil", "run", "faults", *(["--pairs"] if in_pairs else [])]
    command += ["--seed", str(result["seed"]), "--report", AGAIN]
    told = {case.name: _case(case, rows[case.name], command) for case in ran}
    bad = [case for case in ran if rows[case.name]["verdict"] != MET]
    checks = _checks(list(rows.values()))
    kpi = result["kpi"]
    verdict = (
        f"{kpi['met']} of {kpi['asked']} cases met, {kpi['proven']} proven active, {kpi['not_met']} not met, "
        f"{kpi['errors']} errors"
    )
    partial = "Partial, it was stopped or goes on" if result["partial"] else ""
    sections = [_overview(ran, rows, checks, in_pairs, len(ran) - kpi["done"])]
    if bad:
        sections.append(_plain("bad", "Not met, and errors", cases=[told[case.name] for case in bad]))
    pictures: dict[str, list[Chart]] = {}
    pictured = bad[:PAIR_CHARTS] if in_pairs and len(ran) > PAIR_CHARTS else ran
    shown = {case.name for case in pictured}
    for group, members in groupby(ran, lambda case: _first(case).group):
        kinds = []
        for kind, some in groupby(members, lambda case: _first(case)):
            own = list(some)
            kinds.append(_kind(kind, own, told, in_pairs, unfolded=len(ran) <= OPEN_UP_TO))
            charts = [_chart(folder, case, told[case.name]["moments"]) for case in own if case.name in shown]
            pictures[f"{kind.group}.{kind.name}"] = [chart for chart in charts if chart is not None]
        sections.append(_plain(f"group-{group}", TITLES.get(group, group.capitalize()), kinds=kinds))
    sections += [_glossary()] if in_pairs else []
    sections.append(_plain("gaps", "What this does not cover", [f"{text}." for text in GAPS]))
    for name in names:
        command += ["--case", name]
    report = {
        "title": "Toplovod: pairs of faults" if in_pairs else "Toplovod: fault run",
        "summary": (
            "Each case takes one house with a real controller to its operating point, breaks it, proves the "
            "fault from outside, watches, mends it and watches again; in lockstep, in virtual time."
        ),
        "passed": result["passed"],
        "partial": result["partial"],
        "verdict": f"{partial or ('Passed' if result['passed'] else 'Failed')}: {verdict}.",
        "checks_passed": sum(check.passed for check in checks),
        "checks_total": len(checks),
        "kpi": kpi,
        "sections": sections,
        "provenance": {
            "toplovod": version("toplovod"),
            "target": TARGET,
            "device_id": _each(rows.values(), "device_id"),
            "firmware_sha256": result["firmware_sha256"],
            "map_hash": f"{registers.map_hash():08x}",
            "seed": result["seed"],
            "plant_version": _each(rows.values(), "plant_version"),
            "simd_level": _each(rows.values(), "simd_level"),
            "tick_s": TICK_S,
            "results_sha256": result["sha256"],
        },
        "command": shlex.join(command),
    }
    _, page = write_report(folder, report, pictures)
    _junit(folder, in_pairs, rows, every, wanted, partial)
    _trace(folder, ran)
    return page


def keep_trace(folder: Path, case: str, rows: Sequence[Sequence[float]] | None) -> None:
    """Keep what the plant did in a case; None takes away what an earlier try left."""
    path = _trace_path(folder, case)
    if rows is None:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([f"{value:g}" for value in row] for row in rows)
    path.parent.mkdir(exist_ok=True)
    replace_file(path, text.getvalue())


def _trace_path(folder: Path, case: str) -> Path:
    return folder / TRACES / (case.replace("/", "_") + ".csv")


def _kept_trace(folder: Path, case: str) -> str:
    try:
        return _trace_path(folder, case).read_text(encoding="utf-8")
    except OSError:
        return ""


def _trace(folder: Path, ran: Sequence[Case | Pair]) -> None:
    parts = [",".join(("case", *COLUMNS)) + "\n"]
    for case in ran:
        parts += [f"{case.name},{line}\n" for line in _kept_trace(folder, case.name).splitlines()]
    replace_file(folder / TRACE, "".join(parts))


def _first(case: Case | Pair) -> FaultType:
    return case.first.type if isinstance(case, Pair) else case.type


def _each(rows: Iterable[dict[str, Any]], key: str) -> str:
    """Every value that rows have, in order; rows of an older bench have none."""
    found = list(dict.fromkeys(str(row.get(key) or "not kept") for row in rows))
    return ", ".join(found) or "no case has been run"


def _plain(key: str, title: str, intro: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    return {
        "key": key, "title": title, "intro": list(intro), "columns": [], "figures": [], "checks": [],
        "events": [],
        **more,
    }  # fmt: skip


def _case(case: Case | Pair, row: dict[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """A row as the page tells it, with what was asked of it."""
    plan = case.plan()
    place = f"{case.point}/{case.first.severity if isinstance(case, Pair) else case.severity}"
    name = place
    if isinstance(case, Pair):
        name = f"+ {case.second.type.group}.{case.second.type.name}, {place}"
    return {
        "full_name": case.name,
        "name": name,
        "verdict": row["verdict"],
        "good": row["verdict"] == MET,
        "proof": row["proof"],
        "why": row["why"],
        "asked": _asked(plan),
        "command": shlex.join([*command, "--case", case.name]),
        "thermostat_trips": row["thermostat_trips"],
        "dhw_over_s": row["dhw_over_s"],
        "room_least_c": row["room_least_c"],
        "moments": {
            "proven_s": row.get("proven_s"),
            "detected_s": row["detected_s"],
            "detect_limit_s": plan.detect_s if plan.detect else None,
            "reacted_s": row["reacted_s"],
            "react_limit_s": plan.react_s if plan.reacts else None,
            "mended_s": row.get("mended_s"),
            "recovered_s": row["recovered_s"],
            "recover_limit_s": plan.recover_s,
        },
    }


def _asked(plan: Plan) -> str:
    parts = []
    if plan.detect:
        parts.append(f"within {plan.detect_s:g} s noticed: {plan.detect.text}")
    if plan.reacts:
        parts.append(f"within {plan.react_s:g} s: {plan.reacts.text}")
    if plan.holds:
        parts.append(f"until {plan.span_s:g} s: {plan.holds.text}")
    parts.append(f"{plan.recover_s:g} s after the repair at most: {plan.recovered.text}")
    return "; ".join(parts)


def _kind(
    kind: FaultType,
    own: Sequence[Case | Pair],
    told: dict[str, dict[str, Any]],
    in_pairs: bool,
    *,
    unfolded: bool,
) -> dict[str, Any]:
    cases = [told[case.name] for case in own]
    good = sum(case["good"] for case in cases)
    facts = [
        ("Injected", f"{kind.injector}. Mild: {kind.mild}; severe: {kind.severe}"),
        ("Proved by", kind.probe),
        ("Expected", NO_REACTION if in_pairs else kind.reaction),
        ("Source", "the project's own" if in_pairs else kind.source),
    ]
    return {
        "name": f"{kind.group}.{kind.name}",
        "said": f"{good} of {len(cases)} met",
        "bad": f"{len(cases) - good} not" if good < len(cases) else "",
        "open": unfolded,
        "facts": facts,
        "cases": cases,
        "commands": {
            "title": "What is asked of each case, and the command that repeats it", "fold": True,
            "head": ["Case", "Asked", "Command"],
            "rows": [[case["name"], case["asked"], case["command"]] for case in cases],
        },
    }  # fmt: skip


def _overview(
    ran: Sequence[Case | Pair],
    rows: dict[str, dict[str, Any]],
    checks: Sequence[Check],
    in_pairs: bool,
    more: int,
) -> dict[str, Any]:
    table = []
    for group, members in groupby(ran, lambda case: _first(case).group):
        own = [rows[case.name] for case in members]
        table.append(
            [
                group,
                len(own),
                *(sum(row["verdict"] == name for row in own) for name in (MET, NOT_MET, ERROR)),
                *(_spread([row[key] for row in own]) for key in ("detected_s", "reacted_s", "recovered_s")),
                sum(row["thermostat_trips"] > 0 for row in own),
            ]
        )
    intro = [
        "Operating points: " + "; ".join(f"{point.name}, {point.text}" for point in POINTS.values()) + ".",
        "Met: proved, and all that is asked was seen in time. Error: the bench could not prove the fault or "
        "reach the operating point, which says nothing of the firmware.",
        LEGEND,
        f"Each command writes into a folder of its own, {AGAIN}: what a folder holds of the same firmware "
        "and seed is not run again.",
    ]
    if more > 0:
        intro.append(
            f"{more} cases shown here are of an earlier run into this folder, same firmware and seed."
        )
    return _plain(
        "overview", "Overview", intro, checks=[check.record() for check in checks],
        tables=[
            {
                "title": "By group of the first fault" if in_pairs else "By group", "fold": False,
                "head": [
                    "Group", "Cases", MET, NOT_MET, ERROR, "Detected s", "Reacted s", "Recovered s",
                    "Thermostat",
                ],
                "rows": table,
            }
        ],
    )  # fmt: skip


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    low, high = min(known), max(known)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _checks(rows: Sequence[dict[str, Any]]) -> list[Check]:
    """Judge what holds in every case, whatever its fault, over the cases that ran to their end."""
    whole = [row for row in rows if row["sha256"]]
    if not whole:
        return []

    def check(name: str, value: float, held: Acceptance) -> Check:
        return Check(name, value, held.value, held.relation, held.unit.replace("degC", "°C"), held.origin)

    limits = acceptance().limits
    return [
        check(
            "Longest draw above 65 °C, any case", max(r["dhw_over_s"] for r in whole), limits["dhw-over-65"]
        ),
        check("Coldest room, any case", min(r["room_least_c"] for r in whole), limits["room-while-broken"]),
    ]


def _glossary() -> dict[str, Any]:
    head = ["Type", "Injected", "Mild; severe", "Proved by"]
    rows = [[f"{k.group}.{k.name}", k.injector, f"{k.mild}; {k.severe}", k.probe] for k in TYPES]
    table = {"title": f"All {len(TYPES)}", "fold": True, "head": head, "rows": rows}
    return _plain("types", "The types of faults", tables=[table])


def _chart(folder: Path, case: Case | Pair, moments: dict[str, float | None]) -> Chart | None:
    """Return the picture of a case; None where its trace was not kept."""
    lines = _kept_trace(folder, case.name).splitlines()
    if len(lines) < 2:
        return None
    columns = np.array([[float(value) for value in line.split(",")] for line in lines])
    columns = columns[:: -(-len(columns) // CHART_POINTS)]
    of = {name: columns[:, i] for i, name in enumerate(COLUMNS)}
    mended = moments["mended_s"]
    well = mended + moments["recovered_s"] if mended and moments["recovered_s"] is not None else None
    at = {
        "P": moments["proven_s"],
        "D": moments["detected_s"],
        "R": moments["reacted_s"],
        "M": mended,
        "W": well,
    }
    limits = acceptance().limits
    floor_c = limits["room-while-broken"].value
    return Chart(
        case.name, "°C", of["time_s"] / 3600.0,
        [
            Line("heating supply", of["supply_c"]),
            Line("hot water", of["dhw_c"], "#7a5c00"),
            Line("room", of["room_c"], "#555", "5 3"),
        ],
        (), [Limit("65 °C", 65.0), Limit(f"floor {floor_c:g} °C", floor_c)],
        marks=sorted((value / 3600.0, letter) for letter, value in at.items() if value is not None),
    )  # fmt: skip


def _junit(
    folder: Path,
    in_pairs: bool,
    rows: dict[str, dict[str, Any]],
    every: Sequence[Case | Pair],
    wanted: Sequence[Case | Pair],
    partial: str,
) -> None:
    """One case for each that was run or asked for; a case that the bench could not judge is an error."""
    room = "fault-pairs" if in_pairs else "faults"
    asked = {case.name for case in wanted}
    cases = []
    for case in every:
        row = rows.get(case.name)
        kind, _, place = case.name.partition("/")
        name = f"{room}.{kind}"
        if row is None:
            if case.name in asked:
                cases.append(junit.Case(name, place, skipped="not run"))
        elif row["verdict"] == NOT_MET:
            cases.append(junit.Case(name, place, failure=row["why"] or NOT_MET))
        elif row["verdict"] == ERROR:
            cases.append(junit.Case(name, place, error=row["why"] or ERROR))
        else:
            cases.append(junit.Case(name, place))
    if partial:
        cases.append(junit.broken_off(room, "it was stopped or goes on"))
    junit.write(folder, room, [junit.Suite(room, cases)])
