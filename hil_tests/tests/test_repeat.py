"""Repeated stories: a failure is kept with its log, a rerun goes on, a broken round counts nothing."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from ..repeat import COUNTS, repeat

PASSED = '<testcase classname="story" name="one"/>'
FAILED = '<testcase classname="story" name="two"><failure message="late"/></testcase>'


class Rounds:
    def __init__(self, *cases: str) -> None:
        self._cases = list(cases)

    def __call__(self, junit: Path) -> tuple[int, str]:
        cases = self._cases.pop(0)
        junit.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
        return (1 if "failure" in cases else 0), "what pytest said"


def run(folder: Path, wanted: int, rounds: Rounds, sources: str = "a") -> dict[str, object]:
    return repeat(folder, wanted, lambda line: None, rounds, sources)


def test_a_failure_is_counted_once_and_its_log_is_kept(tmp_path: Path) -> None:
    counts = run(tmp_path, 4, Rounds(PASSED * 2, PASSED + FAILED))
    assert (counts["executions"], counts["failed"]) == (4, {"story.two": [2]})
    assert (tmp_path / "round-2.log").read_text() == "what pytest said"
    assert not (tmp_path / "round-1.log").exists()


def test_a_rerun_goes_on_and_other_sources_begin_anew(tmp_path: Path) -> None:
    run(tmp_path, 2, Rounds(PASSED * 2))
    assert run(tmp_path, 4, Rounds(PASSED * 2))["rounds"] == 2
    assert run(tmp_path, 2, Rounds(PASSED * 2), sources="b")["rounds"] == 1


def test_a_round_that_ran_nothing_is_not_counted(tmp_path: Path) -> None:
    run(tmp_path, 1, Rounds(PASSED))
    with pytest.raises(RuntimeError, match="not counted"):
        run(tmp_path, 2, Rounds(""))
    assert json.loads((tmp_path / COUNTS).read_text())["rounds"] == 1


def test_rounds_run_side_by_side_and_a_broken_one_loses_none_of_the_others(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=30)

    def one(junit: Path) -> tuple[int, str]:
        first = both.wait() == 0  # passed only when two rounds are under way
        junit.write_text(f"<testsuites><testsuite>{PASSED * 3 if first else ''}</testsuite></testsuites>")
        return 0, ""

    with pytest.raises(RuntimeError, match="ran no story"):
        repeat(tmp_path, 3, lambda line: None, one, "a", workers=2)
    counts = json.loads((tmp_path / COUNTS).read_text())
    assert (counts["rounds"], counts["executions"], counts["failed"]) == (1, 3, {})
    assert not list(tmp_path.glob("*.xml"))
