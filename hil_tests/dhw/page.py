"""Judges the runs of `steps` and shows them: the report of a run, and docs/dhw.md with its picture.

It refuses to praise: a level is the one that the quoted rule gives, "none" where none is kept.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..bench import junit
from ..bench.chart import Chart, Limit, Line
from ..bench.report import Check, judged, not_whole, write_report
from .bound import least_off_k
from .steps import (
    BATH_C,
    FLOWS_KG_S,
    HEATER_KG_S,
    LEVELS,
    NIGHT_S,
    OUTDOOR_C,
    RESULT,
    SCALD_C,
    STEP_S,
    STROKES_S,
    TUNINGS,
    USEFUL_S,
    WANTED_C,
)

RUN = Path(__file__).parent / RESULT
DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "dhw.md", DOCS / "images" / "dhw.svg"
JUDGED_STROKE_S = 30  # the actuator that the project's own statement names
SAID = {
    "calibrated": "flow sensor, right valve data",
    "valve_flow_25_pct_high": "flow sensor, valve told 25 % too large",
    "valve_flow_25_pct_low": "flow sensor, valve told 25 % too small",
    "no_flow_sensor": "no flow sensor",
}
COLOURS = ("#1f4e79", "#b5651d", "#6a1f5c", "#2e6b34")
STYLE = (
    "<style>text{font:12px sans-serif}text:not(.name){fill:#333}.end{text-anchor:end}.mid{text-anchor:middle}"
    ".unit{text-anchor:end}.grid{stroke:#e2e2df}.axis{stroke:#555}</style>"
)
HEAD = f"""# Hot water at the tap

Made from the run in `hil_tests/dhw/{RESULT}` by `python -m hil_tests.dhw.page` (part of `make docs`);
edit that, not this page.

```sh
toplovod hil run dhw --report dhw            # all twelve cases, two minutes each; resumes where it stopped
toplovod hil run dhw --report dhw --case calibrated/30
```

The shipped firmware in its VM regulates an emulated instantaneous heater, in lockstep by ticks of 0.2 s. A
house in summer: {OUTDOOR_C:g} °C outdoors, network water of 70 °C, a service pipe of 15 m that cools at rest,
no circulation; of the limiters the return limit of 50 °C that the example towns have. Heater and valve
are sized for {HEATER_KG_S:g} kg/s from 10 to {WANTED_C:g} °C, with the water and the plates of an exchanger
of 56 kW.

The tap goes through {", ".join(f"{flow:g}" for flow in FLOWS_KG_S)} kg/s, {STEP_S:g} s each, is shut, rests
for {NIGHT_S / 3600.0:g} h and opens once more. What leaves the heater is judged, by the plant's own truth;
the pipe to the tap and its mixing valve would level it.

**Level**: the comfort levels of VDI 6003, ±{LEVELS["I"]:g}, ±{LEVELS["II"]:g} and ±{LEVELS["III"]:g} K
(I, II, III), as a trade magazine quotes them; the guideline itself has not been read. *Never left*: no change
of the draw drives it further off. *Back in time*: it is back for good within the level's time to the
temperature of use, {USEFUL_S["I"]:g}, {USEFUL_S["II"]:g} and {USEFUL_S["III"]:g} s; that reading is ours.
"""
CHANGES = ("dip", "rise", "back in ±2 K", "hottest", "above 65 °C", "never left", "back in time")
CASES = len(TUNINGS) * len(STROKES_S)
Case = tuple[str, int, dict[str, Any]]


def cases_of(content: dict[str, Any]) -> list[Case]:
    """Return (tuning, stroke in s, figures) of what has been run, in the order of the plan."""
    return [
        (tuning, stroke, content["cases"][f"{tuning}/{stroke}"])
        for tuning in TUNINGS
        for stroke in STROKES_S
        if f"{tuning}/{stroke}" in content["cases"]
    ]


def checks_of(content: dict[str, Any]) -> list[Check]:
    """Judge the case that the project asked for, and the hottest water of every case."""
    checks = []
    for tuning, stroke, case in cases_of(content):
        name = f"{SAID[tuning]}, {stroke} s"
        if tuning == "calibrated" and stroke == JUDGED_STROKE_S:
            off, ready = max(case["dip_k"], case["rise_k"]), case["morning"]["bath_s"]
            for level in reversed(LEVELS):
                back = max(step["settled_s"][level] for step in case["steps"][1:])
                place = {"I": 1, "II": 2, "III": 3}[level]
                checks += [
                    judged(
                        f"{name}: most off while the draw changes, level {level}", off, f"dhw-band-{place}"
                    ),
                    judged(f"{name}: slowest back in its band, level {level}", back, f"dhw-useful-{place}"),
                ]
            checks += [
                judged(f"{name}: {BATH_C:g} °C after the night", ready, "dhw-ready"),
            ]
        hot = case["over_65_longest_s"]
        checks.append(judged(f"{name}: longest above {SCALD_C:g} °C", hot, "dhw-over-65"))
    return checks


def charts(content: dict[str, Any]) -> list[Chart]:
    """Return the pictures: the actuators side by side, the tunings of the fastest, the valve."""
    band = LEVELS["III"]
    bounds = [Limit(f"+{band:g} K", WANTED_C + band), Limit(f"−{band:g} K", WANTED_C - band)]
    actuators = [(f"calibrated/{stroke}", f"{stroke} s") for stroke in STROKES_S]
    tunings = [(f"{name}/{JUDGED_STROKE_S}", name.replace("_", " ")) for name in TUNINGS]
    made = []
    for title, field, unit, keys in (
        ("Temperature by actuator, calibrated", "tap_c", "°C", actuators),
        (f"Temperature by tuning, actuator of {JUDGED_STROKE_S} s", "tap_c", "°C", tunings),
        ("Position of the valve by actuator, calibrated", "position", "1", actuators),
    ):
        there = [(content["cases"][key]["trace"], name) for key, name in keys if key in content["cases"]]
        if there:
            hours = np.array(there[0][0]["time_s"]) / 3600.0
            lines = [
                Line(name, trace[field], colour, width=1.4)
                for (trace, name), colour in zip(there, COLOURS, strict=False)
            ]
            made.append(Chart(title, unit, hours, lines, (), bounds if field == "tap_c" else ()))
    return made


def write(
    folder: Path, content: dict[str, Any], command: Sequence[str], asked: int, broken_off: str = ""
) -> tuple[bool, Path, dict[str, Any]]:
    """Write report.html, report.json, junit.xml; return whether all is well, the page, the figures.

    asked: how many cases. broken_off: why, where that is known.
    """
    checks, done = checks_of(content), cases_of(content)
    whole = len(done) >= asked and not broken_off
    passed = whole and all(check.passed for check in checks)
    kpi = {
        f"{tuning}/{stroke}": {name: value for name, value in case.items() if name != "trace"}
        for tuning, stroke, case in done
    }
    left_out = f"{len(done)} of {asked} cases have been run"
    why, intro = not_whole(whole, left_out, broken_off)
    _, page = write_report(
        folder,
        {
            "title": "Toplovod: hot water at the tap",
            "summary": "The shipped firmware and an emulated instantaneous heater, in lockstep.",
            "passed": passed,
            "partial": not whole,
            "checks_passed": sum(check.passed for check in checks),
            "checks_total": len(checks),
            "sections": [
                {
                    "key": "dhw",
                    "title": "While the draw changes",
                    "intro": [*intro, "Sequence, plant and rules: docs/dhw.md."],
                    "columns": list(CHANGES),
                    "figures": [
                        {"name": f"{SAID[tuning]}, {stroke} s", "unit": "", "note": "", "row": _changes(case)}
                        for tuning, stroke, case in done
                    ],
                    "checks": [check.record() for check in checks],
                    "events": [],
                }
            ],
            "kpi": kpi,
            "provenance": content["provenance"],
            "command": shlex.join(command),
        },
        {"dhw": charts(content)},
    )
    junit.write_checks(folder, "dhw", checks, why)
    return passed, page, kpi


def _changes(case: dict[str, Any]) -> list[str]:
    """What stands in a row, in the order of CHANGES."""
    slowest = max(step["settled_s"]["III"] for step in case["steps"][1:])
    return [
        f"{case['dip_k']:.1f} K", f"{case['rise_k']:.1f} K", _seconds(slowest), f"{case['hottest_c']:.1f} °C",
        f"{case['over_65_longest_s']:.0f} s", case["level_never_left"], case["level_back_in_time"],
    ]  # fmt: skip


def markdown(content: dict[str, Any]) -> str:
    """Return the whole page."""
    origin, done = content["provenance"], cases_of(content)
    lines = [
        HEAD,
        f"![Temperature at the heater's outlet](images/{PICTURE.name})",
        "",
        f"Firmware `{origin['firmware_sha256'][:16]}`, seed {origin['seed']}, {len(done)} of {CASES} cases; "
        f"`{origin['command']}`.",
        "",
        *_by_case(done),
        *_by_change([case for case in done if case[0] == "calibrated"]),
        *_from_rest(done),
        "## Judged",
        "",
        "| check | measured | limit | kept | source |",
        "|---|---:|---:|---|---|",
    ]
    lines += [
        f"| {check.name} | {check.value:.1f} {check.unit} | {check.relation} {check.limit:g} {check.unit} "
        f"| {'yes' if check.passed else '**no**'} | {check.source} |"
        for check in checks_of(content)
    ]
    return "\n".join(lines) + "\n"


def _by_case(done: Sequence[Case]) -> list[str]:
    lines = [
        "## While the draw changes",
        "",
        "Dip and rise: the most off of the four changes. Back: within ±2 K for good, the slowest change.",
        "Travel and motor starts: of all four, with what the temperature still corrects.",
        "",
        f"| tuning | stroke | {' | '.join(CHANGES)} | travel | starts |",
        "|---|" + "---:|" * (len(CHANGES) + 3),
    ]
    for tuning, stroke, case in done:
        changes = case["steps"][1:]
        travel, starts = sum(s["strokes"] for s in changes), sum(s["motor_starts"] for s in changes)
        cells = " | ".join(_changes(case))
        lines.append(f"| {SAID[tuning]} | {stroke} s | {cells} | {travel:.1f} strokes | {starts} |")
    return [*lines, ""]


def _by_change(done: Sequence[Case]) -> list[str]:
    lines = [
        "## Change by change, calibrated",
        "",
        f"Least possible: how far the same heater falls or rises from {WANTED_C:g} °C when its valve runs at",
        "full speed, and on and on, from the moment the draw changes: no controller can do better with this",
        "actuator. (A change that began too warm dips less by as much.) What the heater holds bounds it; a",
        "larger one, a store behind it or a faster actuator would lower it.",
        "",
        "| stroke | change | dip | rise | least possible | back in ±5 K | ±4 K | ±2 K | end |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for _, stroke, case in done:
        for step in case["steps"][1:]:
            back = " | ".join(_seconds(step["settled_s"][level]) for level in ("I", "II", "III"))
            least_k = least_off_k(stroke, step["from_kg_s"], step["to_kg_s"])
            lines.append(
                f"| {stroke} s | {step['from_kg_s']:g} → {step['to_kg_s']:g} kg/s | {step['dip_k']:.1f} K "
                f"| {step['rise_k']:.1f} K | {least_k:.1f} K | {back} | {step['end_off_k']:+.1f} K |"
            )
    return [*lines, ""]


def _from_rest(done: Sequence[Case]) -> list[str]:
    lines = [
        "## From rest",
        "",
        "First: opened to 0.1 kg/s half an hour after power came. Morning: the same after the night. The",
        "controller keeps exchanger and service pipe warm, and the return limit waits until what stood in",
        "the exchanger has run out (docs/firmware.md); without either a tap took 45 to 49 s to 45 °C.",
        "",
        "| tuning | stroke | first: 45 °C | 50 °C | morning: rested at | 45 °C | 50 °C | hottest "
        "| valve at rest | starts at rest |",
        "|---|" + "---:|" * 9,
    ]
    for tuning, stroke, case in done:
        first, morning = case["steps"][0], case["morning"]
        lines.append(
            f"| {SAID[tuning]} | {stroke} s | {_seconds(first['bath_s'])} | {_seconds(first['kitchen_s'])} "
            f"| {morning['rested_c']:.1f} °C | {_seconds(morning['bath_s'])} "
            f"| {_seconds(morning['kitchen_s'])} | {morning['hottest_c']:.1f} °C "
            f"| {case['rest_strokes_day']:.1f} strokes/d | {case['rest_starts_h']:.1f} /h |"
        )
    return [*lines, ""]


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < STEP_S - 1.0 else "not"


def picture(content: dict[str, Any]) -> str:
    """Return the first chart as a file of its own."""
    head, _, rest = charts(content)[0].svg().partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f'{head}>{STYLE}<rect width="100%" height="100%" fill="#fff"/>{rest}\n'


def write_docs() -> None:
    """Write docs/dhw.md and its picture."""
    content = json.loads(RUN.read_text(encoding="utf-8"))
    PAGE.write_text(markdown(content), encoding="utf-8")
    PICTURE.write_text(picture(content), encoding="utf-8")


if __name__ == "__main__":
    write_docs()
