"""The page of a year, and how it is judged: every limit with its source.

It refuses to call a part of the year a year: what has been run stands in the title and in the summary.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .acceptance import limit
from .bench import junit
from .bench.chart import Chart, Limit, Line
from .bench.plant.whole_house import BATH_C, SAMPLE_S, SCALD_C, SERIES
from .bench.report import Check, judged, not_whole, write_report
from .year import COLD_BELOW_C, DAYS, WARM_ABOVE_C, day_name, only, total

ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("days", "Days run", "1", ""),
    ("outdoor_mean_c", "Outdoor air, mean", "°C", ""),
    ("room_c_coldest", "Radiators: coldest room", "°C", "set back at night"),
    ("room_c_cold_kh", "Radiators: below 18.6 °C in comfort hours", "K·h", ""),
    ("room_c_warm_kh", "Radiators: above 21.4 °C in the heating season", "K·h", "outdoors below 15 °C"),
    ("room2_c_coldest", "Surfaces: coldest room", "°C", "set back at night"),
    ("room2_c_cold_kh", "Surfaces: below 18.6 °C in comfort hours", "K·h", ""),
    ("room2_c_warm_kh", "Surfaces: above 21.4 °C in the heating season", "K·h", ""),
    ("draws", "DHW: draw-offs", "1", "EU 812/2013 (M: 23 a day); those that overlap count once"),
    ("dhw_coldest_c", "DHW: coldest after 15 s", "°C", ""),
    ("dhw_below_50_pct", "DHW: drawing time below 50 °C", "%", "from the 16th second of each"),
    ("dhw_below_45_pct", "DHW: drawing time below 45 °C", "%", ""),
    ("dhw_over_65_s", "DHW: drawn above 65 °C", "s", "weekly runs against legionella included"),
    ("return_by_volume_c", "Primary return, by volume", "°C", ""),
    ("plant_kwh", "Energy, the plant's truth", "kWh", ""),
    ("meter_kwh", "Energy by a heat meter of class 2", "kWh", ""),
    ("controller_kwh", "Energy as the controller counts it", "kWh", ""),
    ("heating_kwh", "of it given to rooms", "kWh", ""),
    ("dhw_kwh", "of it taken by DHW", "kWh", ""),
    ("valve_strokes_day", "Valve of the radiators", "strokes/d", ""),
    ("valve2_strokes_day", "Valve of the surfaces", "strokes/d", ""),
    ("dhw_valve_strokes_day", "Valve of the DHW", "strokes/d", ""),
    ("valve_starts_hour_most", "Radiators: most motor starts in an hour", "1/h", ""),
    ("valve2_starts_hour_most", "Surfaces: most motor starts in an hour", "1/h", ""),
    ("dhw_valve_starts_hour_most", "DHW: most motor starts in an hour", "1/h", ""),
    ("valve_starts_day", "Radiators: motor starts", "1/d", ""),
    ("valve2_starts_day", "Surfaces: motor starts", "1/d", ""),
    ("dhw_valve_starts_day", "DHW: motor starts", "1/d", ""),
    ("valve_starts_year", "Radiators: relay operations", "1/a", ""),
    ("valve2_starts_year", "Surfaces: relay operations", "1/a", ""),
    ("dhw_valve_starts_year", "DHW: relay operations", "1/a", ""),
    ("pump_starts_year", "Pump of the radiators: starts", "1/a", ""),
    ("pump2_starts_year", "Pump of the surfaces: starts", "1/a", ""),
    ("circulation_pump_starts_year", "Circulation pump: starts", "1/a", ""),
    ("pump_running_pct", "Pump of the radiators runs", "%", ""),
    ("heap_largest_b", "Live heap, largest", "B", "with the 24 kB of the bench's own modules"),
    ("heap_growth_b", "Live heap, most that a slice grew", "B", "from its start to its end"),
    ("resets", "Resets", "1", ""),
    ("task_restarts", "Tasks begun again", "1", ""),
    ("cpu_s", "Processor time, controller and plant", "s", ""),
)  # fmt: skip


def checks_of(kpi: dict[str, Any]) -> list[Check]:
    """Judge what `year.total` came to."""
    checks = [
        judged("Radiators: comfort hours too cold", kpi["room_c_cold_pct"], "room-cold-share"),
        judged("Surfaces: comfort hours too cold", kpi["room2_c_cold_pct"], "room-cold-share"),
        judged(f"DHW: drawing time below {BATH_C:g} °C", kpi["dhw_below_45_pct"], "dhw-cold-share"),
        judged(f"DHW: longest above {SCALD_C:g} °C", kpi["dhw_over_65_longest_s"], "dhw-over-65"),
        judged("Primary return by volume", kpi["return_by_volume_c"], "return-by-volume"),
        judged("Meter beside the plant", abs(kpi["meter_error_pct"]), "meter-year"),
        judged("Controller beside the plant", abs(kpi["controller_error_pct"]), "controller-year"),
        judged("Heap grown", kpi["heap_growth_b"], "heap-growth"),
        judged("Resets", kpi["resets"], "resets"),
        judged("Tasks begun again", kpi["task_restarts"], "task-restarts"),
    ]
    for name, said in (("valve", "Radiators"), ("valve2", "Surfaces"), ("dhw_valve", "DHW")):
        strokes = kpi[f"{name}_strokes_day"] * DAYS
        checks.append(judged(f"{said}: strokes in a year", strokes, "valve-strokes-year"))
        starts = "dhw-valve-starts-hour" if name == "dhw_valve" else "valve-starts-hour"
        hour = kpi[f"{name}_starts_hour_most"]
        checks.append(judged(f"{said}: motor starts in an hour", hour, starts))
    return checks


def series_of(folder: Path, year: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return hours of the year and each series, in order, with a gap where a slice is missing."""
    hours: list[float] = []
    rows: list[np.ndarray] = []
    for key in sorted(year["slices"]):
        first_h = year["slices"][key]["first_s"] / 3600.0
        try:
            with np.load(folder / f"{key}.npz") as kept:
                part = kept["series"]
        except OSError:
            continue
        if hours and first_h > hours[-1] + 1.0:
            hours.append(hours[-1] + SAMPLE_S / 3600.0)
            rows.append(np.full((1, len(SERIES)), np.nan))
        hours += [first_h + i * SAMPLE_S / 3600.0 for i in range(len(part))]
        rows.append(part)
    table = np.concatenate(rows) if rows else np.zeros((0, len(SERIES)))
    return np.array(hours), {name: table[:, i] for i, name in enumerate(SERIES)}


def charts(folder: Path, year: dict[str, Any]) -> list[Chart]:
    """Return the pictures: outdoors, network, circuits, rooms, DHW."""
    hours, of = series_of(folder, year)
    cold = [Limit(f"{COLD_BELOW_C} °C", COLD_BELOW_C), Limit(f"{WARM_ABOVE_C} °C", WARM_ABOVE_C, "#555")]
    back_c = limit("return-by-volume")
    second = "#7a5c00"
    return [
        Chart("Outdoor air (hours of the year)", "°C", hours, [Line("outdoor", of["outdoor_c"])]),
        Chart("Network water at the house", "°C", hours,
              [Line("supply", of["primary_supply_c"]), Line("return", of["primary_return_c"], second)], (),
              [Limit(f"return {back_c:g} °C", back_c)]),
        Chart("Heating circuits", "°C", hours,
              [Line("radiators", of["supply_c"]), Line("surfaces", of["supply2_c"], second)]),
        Chart("Rooms", "°C", hours,
              [Line("radiators", of["room_c"]), Line("surfaces", of["room2_c"], second)], (), cold),
        Chart("DHW as drawn, mean of ten minutes", "°C", hours, [Line("drawn", of["dhw_drawn_c"])], (),
              [Limit(f"{BATH_C:g} °C", BATH_C), Limit(f"{SCALD_C:g} °C", SCALD_C)]),
        Chart("Primary flow", "m³/h", hours, [Line("flow", of["primary_flow_m3_h"])], from_zero=True),
    ]  # fmt: skip


def write(
    folder: Path,
    kept: dict[str, Any],
    command: list[str],
    wanted: Sequence[tuple[int, int]],
    broken_off: str = "",
) -> tuple[bool, Path, dict[str, Any]]:
    """Write report.html, report.json, junit.xml; return whether all is well, the page, the figures.

    wanted: the slices that were asked for. What else is kept in the folder is not counted. broken_off: why,
    where that is known.
    """
    year = only(kept, wanted)
    kpi = total(list(year["slices"].values()))
    checks = checks_of(kpi)
    whole = len(year["slices"]) == len(wanted) and not broken_off
    asked_days = sum(days for _, days in wanted)
    passed = whole and all(check.passed for check in checks)
    alarms = [
        {
            "name": f"Alarm {name}",
            "unit": "% of looks",
            "note": "a look every ten minutes",
            "row": [100.0 * share],
        }
        for name, share in sorted(kpi["alarm_share"].items())
    ]
    figures = [
        {"name": name, "unit": unit, "note": note, "row": [kpi.get(key)]} for key, name, unit, note in ROWS
    ]
    left_out = f"{kpi['days']:g} of {asked_days} days have been run"
    why, intro = not_whole(whole, left_out, broken_off)
    ran = "the whole year" if kpi["days"] >= DAYS else f"{kpi['days']:g} of {DAYS} days: not a year"
    _, page = write_report(
        folder,
        {
            "title": f"Toplovod: {ran} of real weather for one house",
            "summary": (
                "Two heating circuits, instantaneous DHW and circulation; the shipped firmware alone, in "
                "lockstep with the plant."
            ),
            "passed": passed,
            "partial": not whole,
            "checks_passed": sum(check.passed for check in checks),
            "checks_total": len(checks),
            "sections": [
                {
                    "key": "year",
                    "title": "What it came to",
                    "intro": [
                        *intro,
                        f"Weather: {year['provenance']['weather']}. Figures per year are those of the days "
                        f"that were run, times {DAYS}. Each slice begins behind a warm-up of its own that is "
                        "not counted.",
                        "Days: " + ", ".join(_span(key) for key in sorted(year["slices"])) + ".",
                    ],
                    "columns": ["measured"],
                    "figures": figures + alarms,
                    "checks": [check.record() for check in checks],
                    "events": [],
                }
            ],
            "kpi": kpi,
            "provenance": year["provenance"],
            "command": shlex.join(command),
        },
        {"year": charts(folder, year)},
    )
    junit.write_checks(folder, "year", checks, why)
    return passed, page, kpi


def _span(key: str) -> str:
    first, days = (int(part) for part in key.split("+"))
    return day_name(first) if days == 1 else f"{day_name(first)} to {day_name(first + days - 1)}"


def digest_of(year: dict[str, Any]) -> str:
    """One digest for all that controllers and plant did, whatever the order in which the slices ended."""
    text = "".join(f"{key} {s['sha256']} {s['relays_sha256']}\n" for key, s in sorted(year["slices"].items()))
    return hashlib.sha256(text.encode()).hexdigest()
