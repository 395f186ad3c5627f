"""The run record: kept after each test, and no word of a board that was not there."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from pathlib import Path

import pytest

from .. import run_record, run_record_page
from ..bench.errors import WrongUse
from ..bench.provisioning import PROJECT

BOARD = {
    "kind": "board", "name": "cellar-3", "board": "w5500_evb_pico2", "platform": "rp2",
    "machine": "W5500-EVB-Pico2",
    "device_id": "0011223344556677", "firmware": "1a2b3c4d", "map": "00000001",
}  # fmt: skip
SAYS_SO = re.compile(r"board[- ]proven", re.IGNORECASE)


@pytest.fixture
def whole(tmp_path: Path):
    record = run_record.RunRecord(tmp_path / "record.json", "run", "pytest x")
    record.add("test_a", "passed", 0.1, {"target": BOARD}, "")
    record.add("test_b", "skipped", 0.0, {"gap": "plant"}, "needs plant")
    record.finish("")
    return run_record.read(tmp_path / "record.json")


def test_a_whole_record_of_a_named_board_proves(whole):
    assert run_record.not_proved(whole) == []
    assert run_record.evidence(whole) == "board-proven on cellar-3 (w5500_evb_pico2)"
    assert whole["gaps"] == {"plant": ["test_b"]} and whole["tests"][0]["target"] == 0


def _without(key):
    return lambda record: record["targets"][0].pop(key)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda r: r.update(partial=True, why_partial="interrupted"), "partial: interrupted"),
        (lambda r: r["targets"][0].update(kind="emulated board"), "nothing of a chip"),
        (lambda r: r["targets"][0].update(kind="unidentified controller"), "no board is proved"),
        (lambda r: r["targets"][0].update(kind="my board"), "unknown"),
        (lambda r: r["targets"].append({**BOARD, "name": "other"}), "more than one"),
        (lambda r: r["targets"].clear(), "no controller"),
        (lambda r: r["tests"][0].update(outcome="failed"), "1 tests failed"),
        (lambda r: r["tests"][0].update(outcome="error"), "1 could not begin or end"),
        (lambda r: r["tests"].pop(0), "nothing passed"),
        *((_without(key), f"lacks {key}") for key in run_record.IDENTITY),
    ],
)
def test_anything_less_does_not(whole, spoil, reason):
    spoiled = copy.deepcopy(whole)
    spoil(spoiled)
    assert any(reason in text for text in run_record.not_proved(spoiled))
    assert not run_record.evidence(spoiled).startswith("board-proven")


def test_a_record_that_is_broken_off_is_there_and_partial(tmp_path: Path):
    record = run_record.RunRecord(tmp_path / "record.json", "run", "pytest x")
    record.add("test_a", "passed", 0.1, {}, "")
    found = run_record.read(tmp_path / "record.json")
    assert found["partial"] and found["why_partial"] and [row["test"] for row in found["tests"]] == ["test_a"]


def test_what_is_no_record_or_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "other.json").write_text(json.dumps({"format": "toplovod-report/1"}))
    with pytest.raises(WrongUse, match="no run record"):
        run_record.read(tmp_path / "other.json")
    with pytest.raises(WrongUse, match="nothing was run"):
        run_record.RunRecord(tmp_path / "other.json" / "record.json", "run", "pytest x")


def test_the_page_beside_a_record_names_targets_gaps_failures_and_the_command(tmp_path: Path):
    path = tmp_path / "record.json"
    record = run_record.RunRecord(path, "run-7", "pytest x --bench-target <vm>")
    page = run_record_page.RecordPage(record)
    assert page.path == tmp_path / "record.html"
    assert "Partial (still running, or killed): no test has ended." in page.path.read_text(encoding="utf-8")
    vm = {**BOARD, "kind": run_record.VM, "name": "house-01"}
    why = "long\nE   AssertionError: assert 0 == 77\nE    + where\nx.py:3: A"
    record.add("test_a", "passed", 0.1, {"target": vm}, "")
    record.add("test_b", "skipped", 0.0, {"gap": "bus.rtu"}, "needs bus.rtu")
    record.add("test_c", "failed", 2.0, {"target": vm}, why)
    record.finish("")
    page.update(at_once=True)
    text = page.path.read_text(encoding="utf-8")
    origin = record.content["plant"]
    for wanted in (
        "Not passed: 1 passed, 1 failed, 1 skipped.", "Run on emulated VM; proves nothing of a board",
        BOARD["device_id"], BOARD["firmware"], BOARD["map"], "<code>bus.rtu</code>",
        "Modbus RTU on a serial line",
        "run-7", "<td>AssertionError: assert 0 == 77</td>", "pytest x --bench-target &lt;vm&gt;",
        "--junitxml",
        origin["plant_version"], origin["simd_level"], hashlib.sha256(path.read_bytes()).hexdigest(),
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "http://" not in text and "https://" not in text and "<script" not in text


def test_the_page_of_a_whole_record_of_a_board_says_no_more_than_the_record(whole, tmp_path: Path):
    text = run_record_page.html(whole, tmp_path / "record.json")
    assert "Passed: 1 passed, 1 skipped." in text and "Board-proven on cellar-3" in text
    assert "plant version" not in text  # the world is its plant


def test_a_record_with_the_name_of_its_page_is_refused(tmp_path: Path):
    with pytest.raises(WrongUse, match=r"nothing was run\. Name a JSON file, such as .*record\.json"):
        run_record.RunRecord(tmp_path / "record.html", "run", "pytest x")
    assert list(tmp_path.iterdir()) == []


def test_no_page_says_so_without_a_record():
    """The words stand where they are explained; elsewhere a record under docs/records must carry them."""
    pages = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    saying = {path.name for path in pages if SAYS_SO.search(path.read_text(encoding="utf-8"))} - {"bench.md"}
    records = [run_record.read(path) for path in sorted((PROJECT / "docs").glob("records/*.json"))]
    assert not saying or any(not run_record.not_proved(record) for record in records), saying
    assert SAYS_SO.search((PROJECT / "docs" / "bench.md").read_text(encoding="utf-8"))
