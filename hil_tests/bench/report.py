"""One self-contained HTML page and one JSON file that say what a run showed.

Every figure comes from a Recording or from the supervisor's own counters; every limit carries its
source. The page opens offline: no script, no font, no request. It refuses to print a figure that
was not measured and says instead that it is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ..acceptance import Limit as AcceptanceLimit
from ..acceptance import acceptance, limit
from .chart import Band, Chart, Limit, Line
from .errors import WrongUse
from .recording import Recording
from .timeline import timeline

CODE = re.compile(r"`([^`]+)`")
REPORT_FORMAT = "toplovod-report/1"


@dataclass(frozen=True)
class Check:
    """One judgement: a measured value against a limit with its source; `judged` makes one."""

    name: str
    value: float | None
    limit: float
    relation: str  # ">=", "<=", "<" or "=="
    unit: str
    source: str

    @property
    def passed(self) -> bool:
        """Whether the value was measured and keeps the limit."""
        if self.value is None:
            return False
        if self.relation == ">=":
            return self.value >= self.limit
        if self.relation == "<=":
            return self.value <= self.limit
        if self.relation == "<":
            return self.value < self.limit
        return self.value == self.limit

    def record(self) -> dict[str, Any]:
        """The check as it stands in report.json."""
        return {**asdict(self), "passed": self.passed}


def judged(name: str, value: float | None, by: str | AcceptanceLimit) -> Check:
    """Judge a value by a limit, or by its id in acceptance.yaml. KeyError for an id it has not."""
    wanted = acceptance().limits[by] if isinstance(by, str) else by
    unit = wanted.unit.replace("degC", "°C")
    return Check(name, value, wanted.value, wanted.relation, unit, wanted.origin)


def charts(recording: Recording, *, dp_setpoint_pa: float | None = None) -> list[Chart]:
    """Return the pictures of a run: weather and rooms, temperatures, differential pressure, pump, heat."""
    hours = recording.hours
    rooms = recording.house("room_temp_c")
    pressures = recording.house("primary_dp_pa") / 1e5
    dp_lines = [Line("index consumer", recording.town("index_dp_pa") / 1e5)]
    dp_lines.append(Line("plant", recording.town("plant_dp_pa") / 1e5, "#555", "5 3"))
    alarm_bar = limit("index-dp")
    limits = [Limit(f"alarm {alarm_bar:g} bar", alarm_bar)]
    if dp_setpoint_pa is not None:
        limits.append(Limit(f"setpoint {dp_setpoint_pa / 1e5:.1f} bar", dp_setpoint_pa / 1e5, "#555"))
    return [
        Chart("Outdoor air", "°C", hours, [Line("outdoor", recording.town("outdoor_temp_c"))]),
        Chart(
            "Rooms",
            "°C",
            hours,
            [Line("median house", np.median(rooms, axis=1) if rooms.size else [])],
            [Band("all houses", rooms.min(axis=1), rooms.max(axis=1))] if rooms.size else [],
            [Limit("design 20 °C", 20.0)],
        ),
        Chart(
            "Network temperatures at the plant",
            "°C",
            hours,
            [
                Line("supply", recording.town("plant_supply_temp_c")),
                Line("return", recording.town("plant_return_temp_c"), "#7a5c00"),
            ],
        ),
        Chart(
            "Differential pressure",
            "bar",
            hours,
            dp_lines,
            [Band("all houses", pressures.min(axis=1), pressures.max(axis=1))] if pressures.size else [],
            limits,
            from_zero=True,
        ),
        Chart(
            "Pump power",
            "kW",
            hours,
            [Line("electric", recording.town("pump_power_w") / 1e3)],
            from_zero=True,
        ),
        Chart(
            "Heat from the source",
            "kW",
            hours,
            [Line("source", recording.town("source_heat_w") / 1e3)],
            from_zero=True,
        ),
    ]


def digest(report: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a report without its own digest."""
    body = {key: value for key, value in report.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def require_folder(folder: Path) -> None:
    """Make the folder of a report and try it, before hours are spent on one. Raises WrongUse."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WrongUse(
            f"--report {folder}: {error.strerror}; nothing was started. Name a folder that can be written"
        ) from None


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def write_report(
    folder: Path,
    report: dict[str, Any],
    pictures: dict[str, list[Chart]],
) -> tuple[Path, Path]:
    """Write report.json and report.html into folder, each whole or not at all, and return both paths.

    What report needs: see `page`; it gets its format and its digest here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = {**report, "format": REPORT_FORMAT}
    report["sha256"] = digest(report)
    json_path, html_path = folder / "report.json", folder / "report.html"
    html = page(report, pictures)
    replace_file(json_path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    replace_file(html_path, html)
    return json_path, html_path


def not_whole(whole: bool, left_out: str, broken_off: str) -> tuple[str, list[str]]:
    """Return why a run is not whole, and the paragraph that says so; nothing of both for one that is.

    left_out: how much of it there is. broken_off: what broke it off, where that is known.
    """
    if whole:
        return "", []
    if not broken_off:
        return left_out, [f"{left_out}."]
    return f"{broken_off}. {left_out}", [f"Broken off: {broken_off}. {left_out}."]


def page(report: dict[str, Any], pictures: dict[str, list[Chart]]) -> str:
    """Return the HTML page of a report.

    report needs the keys title, summary, passed, command, provenance, sections, and either verdict or
    checks_passed and checks_total. Each section has key, title, intro, figures (list of name, value, unit,
    note), checks (Check records) and events, and may have tables (title, head, rows of text or
    numbers; fold: the title is a line to be opened; wide: first and last column break anywhere; fixed:
    monospaced), cases (name, verdict, good, proof, why, thermostat_trips, dhw_over_s, room_least_c, moments:
    see `bench.timeline`) and kinds: cases of one type under a line to be opened.
    pictures go below the section of the same key. When and where the page is written stands on it and in no
    digest.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["figure"] = figure
    environment.filters["words"] = words
    environment.filters["timeline"] = lambda case: Markup(timeline(case))
    return environment.get_template("report.html.j2").render(
        report=report,
        made={"utc": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", "machine": machine()},
        pictures={key: [(c.title, Markup(c.svg())) for c in value] for key, value in pictures.items()},
    )


def machine() -> str:
    """Return what this machine is, in words: processor, cores, system, Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores; {platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}"
    )


def words(text: str) -> Markup:
    """Return text for a page, with what stands in `backticks` set as code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def figure(value: object) -> str:
    """Four significant digits for numbers, words for the rest, "not measured" for None."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 1e6:
            decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
            return f"{value:,.{decimals}f}".replace(",", "\u202f")
        return f"{value:.3g}"
    return str(value)
