"""The report of a demo: what happened in the window that was shown, and a whole week beside it.

The window's figures come from the run that has just ended. The week takes an hour of computing, so it
is run by `toplovod hil run week` and kept; it is shown with its origin, and plainly marked when it was
made with other firmware than the one that just ran.
"""

from __future__ import annotations

import json
import shlex
import urllib.request
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from firmware.substation import registers

from .acceptance import limit
from .bench import junit
from .bench.chart import Chart, Limit, Line
from .bench.recording import Recording
from .bench.report import Check, charts, judged, write_report
from .demo import EXAMPLES, Demo, Supervisor
from .week import (
    PARTIAL_FILE,
    RIVAL_FILE,
    SERVED_WITHIN_K,
    WEEK_FILE,
    bundle_digest,
    load_week,
    polls,
    record,
)

INDEX_DP_SETPOINT_PA = 0.6e5

MAX_EVENTS = 100
CLOCK_POINT = "unix_time_set_s"  # these orders are told in one line

ROWS = (
    ("simulated_h", "Simulated span", "h", ""),
    ("outdoor_temp_mean_c", "Outdoor air, mean", "°C", ""),
    ("room_mean_difference_k", "Comfort: rooms warmer than at constant pressure, mean", "K", "all houses"),
    ("room_lost_largest_k", "Comfort: most that a room was colder than at constant pressure", "K", ""),
    ("house_hours_lost", "Comfort: rooms colder by more than the limit", "h", "sum over all houses"),
    ("coldest_room_temp_c", "Comfort: coldest room", "°C", ""),
    ("room_temp_mean_c", "Comfort: rooms, mean", "°C", "all houses, the whole span"),
    ("pump_energy_kwh", "Pump energy, electric", "kWh", "hydraulic power over the pump's efficiency"),
    ("source_heat_mwh", "Heat from the source", "MWh", ""),
    ("return_temp_flow_weighted_c", "Return temperature at the plant", "°C", "weighted by flow"),
    ("index_dp_minimum_bar", "Differential pressure at the index consumer, lowest", "bar", ""),
    ("index_dp_mean_bar", "Differential pressure at the index consumer, mean", "bar", ""),
    ("index_dp_below_alarm_share", "Share of time with the index consumer below 0.4 bar", "1", ""),
    ("polls_due", "Polls due", "1", "as the supervisor counted them"),
    ("polls_lost", "Polls lost", "1", ""),
    ("polls_missed", "Polls missed", "1", "slots that passed while a poll was under way"),
    ("heap_live_largest_b", "Largest live heap of any controller", "B", "hourly, after a collection"),
    ("heap_growth_largest_b", "Most that any heap grew", "B", "from the first day to the last"),
)


def checks_of(kpi: dict[str, Any], *, settled: bool) -> list[Check]:
    """Judge one run. settled: the pressure limits hold for a run whose start was discarded."""
    checks = [
        judged("Coldest room", kpi.get("coldest_room_temp_c"), "room-floor"),
        judged("Polls lost", kpi.get("polls_lost"), "polls-lost"),
    ]
    if settled:
        share = kpi.get("index_dp_below_alarm_share")
        below = f"Time with the index consumer below {limit('index-dp'):g} bar"
        checks.append(judged("Heap growth", kpi.get("heap_growth_largest_b"), "heap-growth"))
        checks.append(judged(below, share, "index-dp-below"))
    else:
        lowest = kpi.get("index_dp_minimum_bar")
        checks.append(judged("Index consumer, lowest pressure", lowest, "index-dp"))
    return checks


def _checks_of_rooms(beside: dict[str, Any]) -> list[Check]:
    if not beside:
        return []
    name = f"Most that a room lost beside constant pressure ({beside['room_lost_house']})"
    return [judged(name, beside["room_lost_largest_k"], "room-drop")]


class DemoReport:
    """Records a demo from `prepare` on, and writes the report in `finish`."""

    def __init__(self, folder: Path, command: list[str], site: str, week: Path | None = None) -> None:
        self.folder = folder
        self._command = shlex.join(command)
        self._site = site
        self._week = week or EXAMPLES / site / WEEK_FILE
        self._recording: Recording | None = None
        self._before: dict[str, int] = {}
        self._began_utc = ""
        self._began_ms = 0

    def live(self, demo: Demo) -> None:
        """Begin the window: every controller is live now."""
        run = demo.run
        self._recording = record(run.clock, run, run.clock.now_ms / 1000.0)
        self._began_utc = run.clock.utc.isoformat(timespec="seconds")
        self._began_ms = run.clock.now_ms
        self._before = polls(demo.supervisor)

    def finish(self, demo: Demo, wall_s: float) -> dict[str, Any]:
        """Write report.html and report.json; return what joins the demo's result line."""
        recording, clock = self._recording, demo.run.clock
        assert recording is not None, "live() comes before finish()"
        after = polls(demo.supervisor)
        kpi = recording.kpi() | {name: after[name] - self._before[name] for name in after}
        firmware = bundle_digest()
        window_checks = checks_of(kpi, settled=False)
        simulated_s = (clock.now_ms - self._began_ms) / 1000.0
        window = {
            "key": "window",
            "title": "The window that was shown",
            "intro": [
                f"From {self._began_utc} to {clock.utc.isoformat(timespec='seconds')} in simulated time: "
                f"{simulated_s / 60:.1f} simulated minutes in {wall_s:.0f} real seconds. "
                f"{demo.live()} of {len(demo.run.devices)} controllers were live at the end.",
            ],
            "columns": ["this window"],
            "figures": _table([kpi]),
            "checks": [check.record() for check in window_checks],
            "events": events_of(demo, self._began_utc),
        }
        pictures: dict[str, list[Chart]] = {"window": charts(recording, dp_setpoint_pa=INDEX_DP_SETPOINT_PA)}
        week, week_checks = week_section(self._week, firmware)
        checks = [*window_checks, *week_checks]
        report = {
            "title": f"Toplovod demo: {demo.run.town.name}",
            "summary": (
                f"{len(demo.run.town.substations)} substation controllers and a pump station, each running "
                "the shipped firmware in MicroPython, in closed loop with an emulated heat network and the "
                "supervisor."
            ),
            "passed": all(check.passed for check in checks),
            "checks_passed": sum(check.passed for check in checks),
            "checks_total": len(checks),
            "window": {"kpi": kpi, "simulated_s": simulated_s, "wall_s": round(wall_s, 1)},
            "week": week["content"] if week else None,
            "sections": [window, *([week["section"]] if week else [_no_week(self._site)])],
            "provenance": {
                "toplovod": version("toplovod"),
                "site": self._site,
                "firmware_sha256": firmware,
                "map_hash": f"{registers.map_hash():08x}",
                "tick_ms": clock.tick_ms,
                "outputs_and_bus_sha256": clock.sha256,
            },
            "command": self._command,
        }
        json_path, html_path = write_report(self.folder, report, pictures)
        return {
            "kpi": kpi,
            "passed": report["passed"] and demo.live() == len(demo.run.devices),
            "report": str(html_path),
            "report_json": str(json_path),
        }


def events_of(demo: Demo, since_utc: str) -> list[dict[str, str]]:
    """Return orders and alarms since the window began, oldest first, as the supervisor tells them."""
    orders, alarms, words = _ask(demo.supervisor, "api/v1/orders", "api/v1/alarms", "static/i18n/en.json")
    events = [
        {
            "utc": order["executed_utc"],
            "text": _told(order, words),
        }
        for order in orders["orders"]
        if order["point"] != CLOCK_POINT
    ] + [
        {
            "utc": datetime.fromtimestamp(alarm["since_s"], UTC).isoformat(),
            "text": f"alarm at {alarm['device'] or alarm['where']}: {alarm['text']}; {alarm['state']}",
        }
        for alarm in alarms["alarms"]
    ]
    clocks = [o["executed_utc"] for o in orders["orders"] if o["point"] == CLOCK_POINT]
    told = [utc for utc in clocks if utc >= since_utc]
    if told:
        events.append(
            {"utc": min(told), "text": f"the supervisor began to set {len(told)} controllers' clocks"}
        )
    events = sorted((e for e in events if e["utc"] >= since_utc), key=lambda e: e["utc"])
    if len(events) > MAX_EVENTS:
        left = len(events) - MAX_EVENTS
        events = [*events[:MAX_EVENTS], {"utc": "", "text": f"and {left} more; the audit has them all"}]
    return events or [{"utc": since_utc, "text": "Nobody ordered anything and nothing was alarmed."}]


def _ask(supervisor: Supervisor, *paths: str) -> list[dict[str, Any]]:
    """Log in as the demo's own operator and return what each path answers."""
    people = json.loads((supervisor.data / "demo-people.json").read_text())
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.addheaders = [("Accept-Language", "en")]
    login = urllib.request.Request(
        f"{supervisor.address}/api/v1/login",
        data=json.dumps({"name": "demo", "password": people["demo"]["password"]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener.open(login, timeout=30.0).close()
    answers = []
    for path in paths:
        with opener.open(f"{supervisor.address}/{path}", timeout=30.0) as answer:
            answers.append(json.load(answer))
    return answers


def _told(order: dict[str, Any], words: dict[str, str]) -> str:
    point, state = words["point." + order["point"]], words["state." + order["state"]]
    reason = order["reason"].split(":")[0].replace("_", " ")
    return f"{order['user']} ordered {order['device_id']}, {point}: {_change(order)}, now {state}. {reason}"


def _change(order: dict[str, Any]) -> str:
    if order["release"]:
        return "released"
    old = "own value" if order["old"] is None else f"{order['old']:g}"
    return f"{old} → {order['value']:g} {order['unit']}"


def _table(columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "unit": unit, "note": note, "row": [kpi.get(key) for kpi in columns]}
        for key, name, unit, note in ROWS
        if any(key in kpi for kpi in columns)
    ]


def _no_week(site: str) -> dict[str, Any]:
    return {
        "key": "week",
        "title": "A whole week",
        "intro": [
            "No week was run for this site, so none is shown. "
            f"Run it with: toplovod hil run week --site {site}",
        ],
        "columns": [],
        "figures": [],
        "checks": [],
        "events": [],
    }


def week_section(path: Path, firmware: str) -> tuple[dict[str, Any] | None, list[Check]]:
    """Return the kept week as a section with its content, and its checks; (None, []) where there is none."""
    week = load_week(path)
    if week is None or not {"coordinated", "lowest_constant_dp"} <= set(week):
        return None, []
    ours, rival, origin = week["coordinated"], week["lowest_constant_dp"], week["provenance"]
    same = origin["firmware_sha256"] == firmware
    saved = 1.0 - ours["kpi"]["pump_energy_kwh"] / rival["kpi"]["pump_energy_kwh"]
    beside = week.get("rooms_beside", {})
    checks = [*checks_of(ours["kpi"], settled=True), *_checks_of_rooms(beside)]
    coldest = next(t for t in rival["search"] if t["plant_dp_bar"] == rival["plant_dp_bar"])
    section = {
        "key": "week",
        "title": "A whole winter week, beside the lowest constant pressure",
        "intro": [
            f"{ours['kpi']['simulated_h']:.0f} h in lockstep at maximum speed after "
            f"{origin['warm_up_s'] / 3600:.0f} h of warm-up that were discarded; seed {origin['seed']}, the "
            f"town's own weather. Coordinated: the supervisor holds the index consumer at "
            f"{INDEX_DP_SETPOINT_PA / 1e5:.1f} bar. Constant: {rival['plant_dp_bar']:.3f} bar across the "
            f"plant, the lowest of {len(rival['search'])} tries at which every house stays within "
            f"{SERVED_WITHIN_K} K of its own heating curve in the coldest hour (its index consumer has "
            f"{coldest['index_dp_bar']:.2f} bar then). Both with one firmware, seed and weather.",
            (
                f"Pump energy: {abs(saved):.1%} {'less' if saved >= 0 else 'more'} than with the lowest "
                "constant pressure."
            ),
            (
                "Made with the firmware that just ran."
                if same
                else f"Made with other firmware ({origin['firmware_sha256'][:12]}…) than the one that just "
                f"ran. To measure the present one: {origin.get('command', 'toplovod hil run week')}"
            ),
        ],
        "columns": ["coordinated", f"constant {rival['plant_dp_bar']:.2f} bar"],
        "figures": _table([ours["kpi"] | beside, rival["kpi"]]),
        "checks": [check.record() for check in checks],
        "events": [],
    }
    content = {**week, "same_firmware": same, "pump_energy_saved_share": saved}
    return {"section": section, "content": content}, checks


def write_week_report(folder: Path, week: dict[str, Any], command: list[str]) -> tuple[bool, Path]:
    """Write the report of a week that has just been run; return whether it passed, and the page."""
    found, checks = week_section(folder / WEEK_FILE, bundle_digest())
    if found is None:
        raise ValueError(f"{folder / WEEK_FILE} holds no finished week; run it again, it resumes")
    content = found["content"]
    passed = all(check.passed for check in checks)
    _, page = write_report(
        folder,
        {
            "title": f"Toplovod: a winter week in {week['provenance']['town']}",
            "summary": "The same town, firmware, seed and weather, run twice in lockstep.",
            "passed": passed,
            "checks_passed": sum(check.passed for check in checks),
            "checks_total": len(checks),
            "window": None,
            "week": content,
            "sections": [found["section"]],
            "provenance": {
                **week["provenance"],
                "coordinated_sha256": week["coordinated"]["sha256"],
                "constant_sha256": week["lowest_constant_dp"]["sha256"],
            },
            "command": shlex.join(command),
        },
        {"week": week_charts(folder)},
    )
    junit.write_checks(folder, "week", checks)
    return passed, page


def write_partial_week(folder: Path, why: str, command: list[str]) -> Path:
    """Write a page of a week that was broken off, from whatever of it lies in folder; return the page.

    Nothing is judged by it. Parts that are whole and the hours of the one that was running are told apart.
    """
    week = load_week(folder / WEEK_FILE) or {}
    constant = load_week(folder / RIVAL_FILE) or {}
    rival = week.get("lowest_constant_dp", constant.get("run"))
    running = load_week(folder / PARTIAL_FILE)
    parts: list[tuple[str, dict[str, Any]]] = []
    if "coordinated" in week:
        parts.append(("coordinated, whole", week["coordinated"]["kpi"]))
    elif running is not None and running["kpi"].get("simulated_h"):
        parts.append((f"coordinated, {running['kpi']['simulated_h']:.1f} of {running['of_h']:.0f} h",
                      running["kpi"]))  # fmt: skip
    if rival is not None:
        parts.append(("constant pressure, whole", rival["kpi"]))
    intro = [f"Broken off: {why}. What was measured until then is below; nothing is judged by it."]
    if not parts:
        intro = [f"Broken off: {why}. Nothing of the judged week had been measured yet."]
    section = {
        "key": "week", "title": "A winter week, broken off", "intro": intro,
        "columns": [name for name, _ in parts], "figures": _table([kpi for _, kpi in parts]) if parts else [],
        "checks": [], "events": [],
    }  # fmt: skip
    _, page = write_report(
        folder,
        {
            "title": "Toplovod: a winter week, broken off",
            "summary": "A part of the week only. A rerun goes on after the parts that are whole.",
            "passed": False,
            "partial": True,
            "checks_passed": 0,
            "checks_total": 0,
            "window": None,
            "sections": [section],
            "provenance": (week or constant or running or {}).get("provenance", {}),
            "command": shlex.join(command),
        },
        {},
    )
    return page


def week_charts(folder: Path) -> list[Chart]:
    """Return pictures of both runs over one time axis, from the samples kept beside week.json."""
    ours, rival = _samples(folder / "coordinated.npz"), _samples(folder / "constant.npz")
    if ours is None or rival is None:
        return []
    hours = (ours["time_s"] - ours["time_s"][0]) / 3600.0
    size = min(hours.size, rival["time_s"].size)

    def pair(name: str, scale: float) -> list[Line]:
        return [
            Line("coordinated", ours[name][:size] * scale),
            Line("constant", rival[name][:size] * scale, "#8a5a00", "5 3"),
        ]

    hours = hours[:size]
    dp_bar = limit("index-dp")
    dp_limits = [
        Limit(f"alarm {dp_bar:g} bar", dp_bar),
        Limit("setpoint", INDEX_DP_SETPOINT_PA / 1e5, "#555"),
    ]
    return [
        Chart("Outdoor air", "°C", hours, [Line("outdoor", ours["town_outdoor_temp_c"][:size])]),
        Chart("Index consumer", "bar", hours, pair("town_index_dp_pa", 1e-5), (), dp_limits, from_zero=True),
        Chart("Across the plant", "bar", hours, pair("town_plant_dp_pa", 1e-5), from_zero=True),
        Chart("Pump power", "kW", hours, pair("town_pump_power_w", 1e-3), from_zero=True),
        Chart("Return at the plant", "°C", hours, pair("town_plant_return_temp_c", 1.0)),
        Chart(
            "Coldest room",
            "°C",
            hours,
            [
                Line("coordinated", ours["house_room_temp_c"][:size].min(axis=1)),
                Line("constant", rival["house_room_temp_c"][:size].min(axis=1), "#8a5a00", "5 3"),
            ],
        ),
    ]


def _samples(path: Path) -> Any:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except OSError:
        return None
