"""Runs the bench's short stories again and again and counts what failed: the goal is 0 of 10 000 executions.

`python -m hil_tests.repeat` goes on where it stopped while the sources are the same: flakes.json holds
the counts, and the log of every round with a failure stays beside it. Rounds run side by side, one a core. It
refuses to count a round that pytest could not run, and never repeats a failed test until it passes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from .bench import kept

FORMAT = "toplovod-flakes/1"
PROJECT = Path(__file__).parents[1]
COUNTS = "flakes.json"
STORIES = (
    "hil_tests/test_supervisor_silent.py",
    "hil_tests/test_sensor_lost.py",
    "hil_tests/test_manual.py",
    "hil_tests/test_tick_wrap.py",
    "hil_tests/test_only_orders_act.py",
    "hil_tests/test_orders_kept_back.py",
    "hil_tests/test_order_bounds.py",
    "hil_tests/test_without_time.py",
    "hil_tests/test_stories_anywhere.py",  # on the emulated board, in the world's time, as well
)
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
    folder: Path,
    wanted: int,
    say: Callable[[str], None],
    one: Round = pytest_round,
    sources: str = "",
    workers: int = 1,
) -> dict[str, Any]:
    """Go on until `wanted` executions are counted, and return the counts as they stand on disk.

    workers: rounds at a time. RuntimeError where pytest ran nothing or could not run: that round is not
    counted, and those beside it are ended and counted first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Any] = {
        "format": FORMAT, "sources_sha256": sources or sources_sha256(), "rounds": 0, "executions": 0,
        "failed": {},
    }  # fmt: skip
    path = folder / COUNTS
    before = kept.load(path, FORMAT)
    if before is not None and before["sources_sha256"] == counts["sources_sha256"]:
        counts = before
    began, already, broken = time.monotonic(), counts["executions"], ""
    running: dict[Future[tuple[int, str]], Path] = {}
    started = counts["rounds"]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        while running or (counts["executions"] < wanted and not broken):
            while len(running) < workers and counts["executions"] < wanted and not broken:
                started += 1
                junit = folder / f"round-{started}.xml"
                junit.unlink(missing_ok=True)
                running[pool.submit(one, junit)] = junit
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                junit = running.pop(ended)
                status, said = ended.result()
                broken = _count(counts, junit, status, said) or broken
                junit.unlink(missing_ok=True)
                kept.save(path, counts)
            failures = sum(len(rounds) for rounds in counts["failed"].values())
            left_s = (time.monotonic() - began) / max(1, counts["executions"] - already)
            left_s *= max(0, wanted - counts["executions"])
            left = f"{left_s / 60:.0f} min left"
            say(f"{counts['executions']} of {wanted} executions, {failures} failed, {left}")
    if broken:
        raise RuntimeError(broken)
    return counts


def _count(counts: dict[str, Any], junit: Path, status: int, said: str) -> str:
    """Add a round that has ended; return why it could not be counted, or nothing."""
    if status not in (0, 1) or not junit.exists():
        return f"pytest ended with status {status}; the round was not counted. {said[-400:]}"
    cases = list(ET.parse(junit).getroot().iter("testcase"))
    ran = [case for case in cases if case.find("skipped") is None]
    if not ran:
        return f"pytest ran no story; the round was not counted. {said[-400:]}"
    counts["rounds"] += 1
    counts["executions"] += len(ran)
    for case in ran:
        if case.find("failure") is not None or case.find("error") is not None:
            name = f"{case.get('classname')}.{case.get('name')}"
            counts["failed"].setdefault(name, []).append(counts["rounds"])
            junit.with_name(f"round-{counts['rounds']}.log").write_text(said)
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the short stories and count what fails.")
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path("build/flakes"))
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="rounds at a time; one a core when left out"
    )
    given = parser.parse_args()
    counts = repeat(given.folder, given.executions, print, workers=max(1, given.workers))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
