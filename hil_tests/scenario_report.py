"""What a scenario gave, for people and for machines: one HTML page, JUnit, traces, all from the same results.

Files in the folder: report.html and report.json, junit.xml, trace.csv (the town, once a minute), stations.csv
(each device). It refuses to call a broken-off run whole, and names what it could not cover.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from firmware.substation import registers

from .acceptance import acceptance, limit
from .bench import junit
from .bench.chart import Band, Chart, Limit, Line
from .bench.lockstep import EPOCH_UTC, TICK_MS
from .bench.plant_version import plant_origin
from .bench.recording import Recording
from .bench.report import Check, write_report
from .scenario_file import Scenario
from .scenario_run import RunResult

FILES = ("report.html", "report.json", "junit.xml", "trace.csv", "stations.csv")
TARGET = "emulated VM (T0): MicroPython on the host, 64 bit, one process for each controller"
GAPS = (
    "No board, no ARM emulator: timing, flash and the network stack of a chip are not covered by this run",
    "Nothing electrical: the timing of relays, converters and supply at the terminals is not proved by any "
    "of it",
    "The plant is a model with estimates that its files name; no measured town has been set beside it",
    "No station has hot water here. Where the bench has it (year, dhw, faults), draws follow a load "
    "profile of EU 812/2013, each moved by up to ten minutes, or a fixed rhythm",
    "An exchanger is one of effectiveness and NTU with two heat capacities: exact at rest; against forty "
    "cells its rise time is within 10 % for a step on the primary side, up to 25 % off for one on the "
    "circuit's side (docs/decisions/0008-plant-models.md)",
    "One room a house, level ground, no sun; the heat source follows its demand and does not trip or age "
    "(docs/decisions/0008-plant-models.md)",
)
TRACE = (
    "outdoor_temp_c", "plant_supply_temp_c", "plant_return_temp_c", "plant_dp_pa", "plant_flow_kg_s",
    "source_heat_w", "index_dp_pa",
)  # fmt: skip
SPREAD = ("room_temp_c", "secondary_supply_temp_c", "primary_flow_kg_s", "valve_position")


LABELS = {
    "lowest_room_c": "Lowest room temperature",
    "out_of_comfort": "Stations out of their comfort band",
    "out_of_comfort_share": "Share of stations out of their comfort band",
    "stopped_share": "Share of stations that stand still",
    "supply_off_k": "Largest distance of a supply from its own curve, at the end",
    "least_heat_share": "Least heat of any station, over the mean",
    "index_dp_bar": "Lowest differential pressure of any station",
    "plant_dp_bar": "Lowest differential pressure across the plant",
    "peak_flow_share": "Highest flow of the network, over its design flow",
    "flow_rise_share": "Largest rise of the network's flow within a minute, over its design flow",
    "own_control_share": "Share of stations in their own control, at the end",
    "ordered_share": "Share of stations that took the order",
    "refused_share": "Share of writes refused",
    "altered": "Stations with other limits or other firmware",
    "begun_share_in_a_minute": "Largest share that begins within a minute",
    "restored_share": "Share of stations brought back",
    "restore_min": "Time until all are back at once",
    "worst_supply_off_k": "Largest distance from the attainable set-point, at the end",
    "old_keys_refused_share": "Share of orders with the old keys refused",
    "lost_share": "Lost water, share of the usual flow: what leaves the plant less what comes back",
    "suction_bar": "Lowest pressure before the pump",
    "suction_end_bar": "Pressure before the pump, at the end",
    "index_dp_end_bar": "Differential pressure of the worst-placed station, at the end",
    "dry_turning_s": "Longest time that the pump turned below its dry-run limit",
    "state_told_s": "Time from low suction pressure until the controller tells of it",
    "pump_state_number": "What the controller tells of its pump, at the end",
}


def run_key(number: int) -> str:
    return f"run-{number}"


def write_scenario_report(
    folder: Path, scenario: Scenario, results: Sequence[RunResult], *, stations: int, seed: int, command: str
) -> dict[str, Any]:
    """Write every file into folder; return {passed, partial, sha256, kpi, report}."""
    partial = len(results) < len(scenario.runs) or not all(result.whole for result in results)
    checks = [check for result in results for check in result.checks]
    expected = sum(len(step.expect) for run in scenario.runs for step in run.steps)
    passed = not partial and all(check.passed for check in checks)
    sections = [
        _facts(scenario),
        *(_section(n, result) for n, result in enumerate(results, 1)),
        _devices(results),
        _gaps(scenario),
    ]
    pictures = {run_key(n): _charts(result) for n, result in enumerate(results, 1)}
    kpi = {
        result.run.name: {f"{number} {step.do}": step.figures for number, step in enumerate(result.steps, 1)}
        for result in results
    }
    report = {
        "title": scenario.title,
        "summary": scenario.story,
        "passed": passed,
        "partial": partial,
        "checks_passed": sum(check.passed for check in checks),
        "checks_total": expected,
        "kpi": kpi,
        "cost": {result.run.name: result.cost for result in results},
        "sections": sections,
        "provenance": {
            "toplovod": version("toplovod"),
            "scenario": scenario.name,
            "target": TARGET,
            "stations": stations,
            "seed": seed,
            "map_hash": f"{registers.map_hash():08x}",
            **plant_origin(),
            "tick_ms": TICK_MS,
            **{f"firmware_sha256 ({r.run.firmware}, {r.run.name})": r.firmware_sha256 for r in results},
            **{f"outputs_sha256 ({r.run.name})": r.sha256 for r in results},
        },
        "command": command,
    }
    json_path, html_path = write_report(folder, report, pictures)
    junit.write(folder, scenario.name, [_suite(scenario, result) for result in results])
    _trace(folder / "trace.csv", results)
    _stations(folder / "stations.csv", results)
    together = hashlib.sha256("".join(result.sha256 for result in results).encode()).hexdigest()
    return {
        "passed": passed, "partial": partial, "sha256": together, "kpi": kpi, "report": str(html_path),
        "report_json": str(json_path),
    }  # fmt: skip


def _facts(scenario: Scenario) -> dict[str, Any]:
    intro = [f"{fact[0].upper()}{fact[1:]}. Source: {source}." for fact, source in scenario.facts]
    return _plain("facts", "What this follows", intro)


def _devices(results: Sequence[RunResult]) -> dict[str, Any]:
    """Which controllers these were; the same seed gives the same ids, in every run."""
    ids = {str(row["station"]): str(row["device_id"]) for result in results for row in result.stations}
    section = _plain("devices", "Controllers", [])
    if not ids:
        section["intro"].append("No station had been looked at when the run was broken off.")
        return section
    (first, first_id), (last, last_id) = next(iter(ids.items())), list(ids.items())[-1]
    section["intro"].append(
        f"{len(ids)} stations, from {first} (device id {first_id}) to {last} ({last_id}), and the heat "
        f"plant's controller ({results[0].plant_device_id}). What each came to: stations.csv."
    )
    rows = [[name, device] for name, device in ids.items()]
    section["tables"] = [
        {
            "title": "All device ids",
            "fold": True,
            "head": ["Station", "Device id"],
            "rows": rows,
            "fixed": True,
        }
    ]
    return section


def _gaps(scenario: Scenario) -> dict[str, Any]:
    intro = [*(f"{text}." for text in (*scenario.left_out, *GAPS))]
    intro += [
        f"Not read, so nothing is judged by it: {row.id} ({row.what}). {row.why}."
        for row in acceptance().open
    ]
    return _plain("gaps", "What this does not cover", intro)


def _plain(key: str, title: str, intro: list[str]) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "intro": intro,
        "columns": [],
        "figures": [],
        "checks": [],
        "events": [],
    }


def _utc(seconds: float) -> str:
    return (EPOCH_UTC + timedelta(seconds=seconds)).strftime("%H:%M:%S")


def _section(number: int, result: RunResult) -> dict[str, Any]:
    cost = result.cost
    intro = [
        f"{len(result.stations)} stations and the heat plant's controller, firmware {result.run.firmware}, "
        f"{result.run.outdoor_temp_c:g} °C outside at the start."
    ]
    if "virtual_min" in cost:
        intro.append(
            f"{cost['virtual_min']:.0f} virtual minutes in {cost['wall_s']:.0f} s of this machine's time, "
            f"booting included; {cost['times_real_time']:.1f} times real time while running. Memory of a "
            f"controller's process {cost.get('pss_mean_mb', 0.0):.1f} MB on average, "
            f"{cost.get('pss_sum_mb', 0.0):.0f} MB in all."
        )
    if not result.whole:
        intro.insert(0, f"Broken off: {result.stopped_by}. What was measured until then is below.")
    steps = [f"{n} {step.do}" for n, step in enumerate(result.steps, 1)]
    names = list(dict.fromkeys(name for step in result.steps for name in step.figures))
    figures = [
        {
            "name": LABELS[name], "unit": _unit(name), "note": "",
            "row": [step.figures.get(name, "") for step in result.steps],
        }
        for name in names
    ]  # fmt: skip
    events = [{"utc": _utc(at_s), "text": f"{n}. {text}"} for n, (at_s, text) in enumerate(result.events, 1)]
    return {
        "key": run_key(number),
        "title": result.run.name.capitalize(),
        "intro": intro,
        "columns": steps,
        "figures": figures,
        "checks": [_record(step.do, check) for step in result.steps for check in step.checks],
        "events": events,
    }


def _record(do: str, check: Check) -> dict[str, Any]:
    """A check as the page tells it: words for the figure, whole numbers for what is counted."""
    figure, _, name = check.name.partition(" ")
    told = {**check.record(), "name": f"{do}: {LABELS[figure].lower()} {name}"}
    if check.unit == "stations":
        told["limit"] = round(check.limit)
    return {**told, "unit": check.unit.replace("degC", "°C")}


def _unit(name: str) -> str:
    ends = {
        "_c": "°C",
        "_k": "K",
        "_min": "min",
        "_bar": "bar",
        "_share": "1",
        "_minute": "1",
        "_s": "s",
        "_number": "state",
    }
    return next((unit for end, unit in ends.items() if name.endswith(end)), "stations")


def _charts(result: RunResult) -> list[Chart]:
    recording = result.recording
    if recording is None or recording.hours.size < 2:
        return []
    hours = recording.hours
    first_s = recording.begin_s
    marks = [((at_s - first_s) / 3600.0, str(n)) for n, (at_s, _) in enumerate(result.events, 1)]

    def spread(title: str, unit: str, name: str, scale: float = 1.0, limits: Sequence[Limit] = ()) -> Chart:
        values = recording.house(name) * scale
        return Chart(
            title, unit, hours, [Line("median", np.median(values, axis=1))],
            [Band("all stations", values.min(axis=1), values.max(axis=1))], limits, marks=marks,
        )  # fmt: skip

    floor = limit("room-floor")
    dp_bar = limit("index-dp")
    return [
        spread("Rooms", "°C", "room_temp_c", limits=[Limit(f"floor {floor:g} °C", floor)]),
        spread("Heating circuits, supply", "°C", "secondary_supply_temp_c"),
        spread("Flow of the stations", "kg/s", "primary_flow_kg_s"),
        Chart(
            "Network at the plant", "°C", hours,
            [
                Line("supply", recording.town("plant_supply_temp_c")),
                Line("return", recording.town("plant_return_temp_c"), "#7a5c00"),
                Line("outdoor", recording.town("outdoor_temp_c"), "#555", "5 3"),
            ],
            marks=marks,
        ),
        Chart(
            "Worst-placed station, differential pressure", "bar", hours,
            [Line("index consumer", recording.town("index_dp_pa") / 1e5)], (),
            [Limit(f"practice {dp_bar:g} bar", dp_bar)], from_zero=True, marks=marks,
        ),
        Chart(
            "Heat from the source", "kW", hours, [Line("source", recording.town("source_heat_w") / 1e3)],
            from_zero=True, marks=marks,
        ),
    ]  # fmt: skip


def _suite(scenario: Scenario, result: RunResult) -> junit.Suite:
    """One case for each check; a run that was broken off is an error."""
    cases = [
        junit.case_of(f"{scenario.name}.{step.do}", check) for step in result.steps for check in step.checks
    ]
    if not result.whole:
        cases.append(junit.broken_off(scenario.name, result.stopped_by))
    return junit.Suite(f"{scenario.name}: {result.run.name}", cases, result.cost.get("wall_s", 0.0))


def _trace(path: Path, results: Sequence[RunResult]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            [
                "run",
                "time_min",
                *TRACE,
                *(f"{name}_{edge}" for name in SPREAD for edge in ("least", "median", "most")),
            ]
        )
        for result in results:
            recording = result.recording
            if recording is None or not recording.hours.size:
                continue
            for row in _rows(recording):
                out.writerow([result.run.name, *row])


def _rows(recording: Recording) -> list[list[str]]:
    columns = [recording.hours * 60.0, *(recording.town(name) for name in TRACE)]
    for name in SPREAD:
        values = recording.house(name)
        columns += [values.min(axis=1), np.median(values, axis=1), values.max(axis=1)]
    return [[f"{value:.6g}" for value in row] for row in np.stack(columns, axis=1)]


def _stations(path: Path, results: Sequence[RunResult]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["run", "station", "device_id", "room_c", "lowest_room_c", "stopped", "firmware_sha256"])
        for result in results:
            for row in result.stations:
                out.writerow([result.run.name, *row.values(), result.firmware_sha256])
