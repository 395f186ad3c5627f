"""Runs the bench's short stories again and again and counts what failed: the goal is 0 of 10 000 executions.

`python -m hil_tests.repeat` goes on where it stopped while the sources are the same: flakes.json holds
the counts, and the log of every round with a failure stays beside it. It refuses to count a round that pytest
could not run, and never repeats a failed test until it passes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMAT = "toplovod-flakes/1"
PROJECT = Path(__file__).parents[1]
COUNTS, JUNIT = "flakes.json", "round.xml"
STORIES = (
    "hil_tests/test_supervisor_silent.py",
    "hil_tests/test_sensor_lost.py",
    "hil_tests/test_manual.py",
    "hil_tests/test_tick_wrap.py",
)
WRITTEN = (".py", ".pyx", ".pxd", ".h")
# Returns the exit status of pytest and what it said, with the results in the file given.
Round = Callable[[Path], tuple[int, str]]


def sources_sha256() -> str:
    """Return a digest of firmware and bench: counts of other sources are of another thing."""
    digest = hashlib.sha256()
    for room in ("firmware", "hil_tests", "core_ext"):
        written = (
            path for path in (PROJECT / room).rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".h")
        )
        for path in sorted(written):
            digest.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def pytest_round(junit: Path) -> tuple[int, str]:
    """Run every short story once."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider",
         f"--junitxml={junit}", *STORIES],
        capture_output=True, text=True, check=False, cwd=PROJECT,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def repeat(
    folder: Path, wanted: int, say: Callable[[str], None], one: Round = pytest_round, sources: str = ""
) -> dict[str, Any]:
    """Go on until `wanted` executions are counted, and return the counts as they stand on disk.

    RuntimeError where pytest ran nothing or could not run: that round is not counted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Any] = {
        "format": FORMAT, "sources_sha256": sources or sources_sha256(), "rounds": 0, "executions": 0,
        "failed": {},
    }  # fmt: skip
    path = folder / COUNTS
    if path.exists():
        before = json.loads(path.read_text())
        if [before.get(key) for key in ("format", "sources_sha256")] == [FORMAT, counts["sources_sha256"]]:
            counts = before
    while counts["executions"] < wanted:
        (folder / JUNIT).unlink(missing_ok=True)
        status, said = one(folder / JUNIT)
        if status not in (0, 1) or not (folder / JUNIT).exists():
            raise RuntimeError(f"pytest ended with status {status}; the round was not counted. {said[-400:]}")
        ran = 0
        counts["rounds"] += 1
        for case in ET.parse(folder / JUNIT).getroot().iter("testcase"):
            if case.find("skipped") is not None:
                continue
            ran += 1
            if case.find("failure") is not None or case.find("error") is not None:
                name = f"{case.get('classname')}.{case.get('name')}"
                counts["failed"].setdefault(name, []).append(counts["rounds"])
                (folder / f"round-{counts['rounds']}.log").write_text(said)
        if not ran:
            raise RuntimeError(f"pytest ran no story; the round was not counted. {said[-400:]}")
        counts["executions"] += ran
        beside = folder / (COUNTS + ".new")
        beside.write_text(json.dumps(counts, indent=1) + "\n")
        beside.replace(path)
        failures = sum(len(rounds) for rounds in counts["failed"].values())
        say(f"{counts['executions']} of {wanted} executions, {failures} failed")
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the short stories and count what fails.")
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("build/flakes"))
    given = parser.parse_args()
    return 1 if repeat(given.folder, given.executions, print)["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
