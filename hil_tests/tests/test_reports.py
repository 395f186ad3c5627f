"""What every report shares: JUnit of checks, the version of the plant, the page and its pieces."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from ..acceptance import limit
from ..bench import junit, plant_version
from ..bench import report as bench_report
from ..bench.report import Check, page, write_report
from ..bench.timeline import timeline
from ..demo import EXAMPLES
from ..demo_report import write_week_report
from ..week import WEEK_FILE, load_week

KEPT = Check("kept", 1.0, limit("dhw-band-3"), "<=", "K", "here")
MISSED = Check('missed <"&>', 3.0, limit("dhw-band-3"), "<=", "K", "there")
UNKNOWN = Check("unknown", None, limit("dhw-band-3"), "<=", "K", "there")


def counts(suite: ET.Element) -> tuple[str | None, ...]:
    return tuple(suite.get(name) for name in ("tests", "failures", "errors", "skipped"))


def test_every_check_is_a_testcase_and_a_missed_limit_a_failure(tmp_path: Path) -> None:
    path = junit.write_checks(tmp_path, "year", [KEPT, MISSED, UNKNOWN])
    (suite,) = ET.parse(path).getroot()
    assert counts(suite) == ("3", "2", "0", "0")
    failed = {case.get("name"): case[0].get("message") for case in suite if len(case)}
    assert failed == {
        MISSED.name: "measured 3.0, limit <= 2 K; there",
        "unknown": "measured None, limit <= 2 K; there",
    }


def test_a_run_that_is_not_whole_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = junit.write_checks(tmp_path, "year", [KEPT], "3 of 365 days have been run")
    (suite,) = ET.parse(path).getroot()
    assert counts(suite) == ("2", "0", "1", "0")
    assert suite[1][0].tag == "error"
    assert suite[1][0].get("message") == "broken off: 3 of 365 days have been run"


def test_a_week_has_its_checks_as_testcases(tmp_path: Path) -> None:
    (tmp_path / WEEK_FILE).write_bytes((EXAMPLES / "schutterwald" / WEEK_FILE).read_bytes())
    week = load_week(tmp_path / WEEK_FILE)
    assert week is not None
    write_week_report(tmp_path, week, ["toplovod", "hil", "run", "week"])
    (suite,) = ET.parse(tmp_path / junit.FILE).getroot()
    checks = json.loads((tmp_path / "report.json").read_text())["sections"][0]["checks"]
    assert [case.get("name") for case in suite] == [check["name"] for check in checks] != []


LOADED = """
import importlib, pathlib, pkgutil, sys
import hil_tests.bench.plant as plant
for module in pkgutil.iter_modules(plant.__path__):
    importlib.import_module(f"{plant.__name__}.{module.name}")
rooms = ("core_ext.", "hil_tests.bench.plant.", "hil_tests.bench.board_io", "hil_tests.bench.electronics")
print(*(name for name in sys.modules if name.startswith(rooms)))
"""


def test_the_version_of_the_plant_covers_every_module_that_the_plant_loads() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert "core_ext._substations" in names and "core_ext._thermometers" in names
    covered = {
        path.relative_to(plant_version.ROOT).with_suffix("").as_posix() for path in plant_version.sources()
    }
    assert [name for name in names if name.replace(".", "/") not in covered] == []
    kinds = {path.suffix for path in plant_version.sources() if path.parent.name == "core_ext"}
    assert kinds == {".py", ".pyx", ".pxd", ".h"}
    assert plant_version.ROOT / "examples" / "schutterwald" / "network.json" in plant_version.sources()


def test_another_kernel_is_another_plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = tmp_path / "core_ext" / "_substations_body.h"
    kernel.parent.mkdir()
    monkeypatch.setattr(plant_version, "ROOT", tmp_path)
    monkeypatch.setattr(plant_version, "BENCH", tmp_path / "bench")
    monkeypatch.setattr(plant_version, "TERMINALS", ())
    found = []
    for text in ("a", "b"):
        kernel.write_text(text)
        found.append(plant_version.plant_version.__wrapped__())
    assert len(set(found)) == 2


def report(**changes: Any) -> dict[str, Any]:
    return {
        "title": "T", "summary": "S", "passed": True, "checks_passed": 1, "checks_total": 1,
        "command": "toplovod x",
        "provenance": {"seed": 1}, "sha256": "00", "sections": [], **changes,
    }  # fmt: skip


def test_a_table_is_escaped_and_folded_and_a_verdict_of_its_own_stands_for_the_count() -> None:
    section = {
        "key": "k", "title": "Section", "intro": [], "columns": [], "figures": [], "checks": [], "events": [],
        "tables": [{"title": "All ids", "fold": True, "head": ["Id"], "rows": [["<b>"]]}],
    }  # fmt: skip
    text = page(report(sections=[section], verdict="2 of 2 met"), {})
    assert "<details><summary>All ids</summary>" in text and "&lt;b&gt;" in text
    assert "2 of 2 met" in text and "checks kept their limit" not in text


def test_what_cannot_be_rendered_leaves_the_page_before_it_whole(tmp_path: Path) -> None:
    _, html = write_report(tmp_path, report(), {})
    before = html.read_text()
    without = {key: value for key, value in report(title="Later").items() if key != "provenance"}
    with pytest.raises(UndefinedError, match="provenance"):
        write_report(tmp_path, without, {})
    assert html.read_text() == before
    assert json.loads((tmp_path / "report.json").read_text())["title"] == "T"


def test_a_page_says_when_and_where_it_was_written_and_no_digest_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_report, "machine", lambda: "a <machine>, 2 cores; Python 3.11.7")
    record, html = write_report(tmp_path, report(), {})
    text, before = html.read_text(), record.read_bytes()
    assert re.search(r"page written</th><td>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</td>", text)
    assert "a &lt;machine&gt;, 2 cores" in text
    monkeypatch.setattr(bench_report, "machine", lambda: "another one")
    write_report(tmp_path, report(), {})
    assert "another one" in html.read_text() and record.read_bytes() == before


def test_this_machine_is_named_by_processor_cores_and_python() -> None:
    assert re.fullmatch(r".+, \d+ cores; \w+ \w+; Python 3\.\d+\.\d+\S*", bench_report.machine())


def test_each_table_scrolls_in_its_own_box() -> None:
    section = {
        "key": "k", "title": "Section", "intro": [], "columns": ["a"], "events": [{"utc": "0", "text": "b"}],
        "figures": [{"name": "f", "unit": "K", "note": "", "row": [1.0]}], "checks": [KEPT.record()],
        "tables": [{"title": "Rows", "fold": False, "head": ["Id"], "rows": [["1"]]}],
    }  # fmt: skip
    text = page(report(sections=[section]), {})
    assert text.count("<table") == text.count('<div class="scroll"><table') == 5
    assert text.count("</table></div>") == 5


def test_a_time_line_marks_what_was_measured_and_nothing_else() -> None:
    whole = timeline({"proven_s": 4.0, "detected_s": 6.0, "reacted_s": 54.0, "mended_s": 600.0,
                      "recovered_s": 96.0, "recover_limit_s": 1800.0})  # fmt: skip
    assert [letter for letter in "PDRMW" if f">{letter}</text>" in whole] == list("PDRMW")
    assert 'aria-label="P 4 s, D 6 s, R 54 s, M 600 s, W 696 s"' in whole
    lost = timeline({"proven_s": 4.0, "mended_s": 600.0, "recovered_s": None, "recover_limit_s": 1800.0})
    assert ">W</text>" not in lost and ">D</text>" not in lost and "2400 s" in lost
    assert "<svg" not in timeline({"proven_s": None})
