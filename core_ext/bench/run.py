"""Runs the benchmark: one process per work, district and instruction level, results kept after each.

An interrupted run goes on where it stopped when it is started again with the same file. It prints progress
on stderr and decides nothing about what is fast enough: `report` does.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import simd

FORMAT = "toplovod-bench-core/1"
SIZES = (100, 1_000, 10_000, 100_000)
QUICK_SIZES = (100, 1_000)
SEED = 1
BY_LEVEL = ("cold", "tick", "infeasible", "balance", "batch", "thermal")
STOPS = {
    "equal stop": "sum of flow changes / sum of flows <= 1e-5 (core: flow_tol=1e-5; EPANET: ACCURACY 1e-5)",
    "certified": "core: every element to 1e-9 m and 1e-8 kg/s; EPANET: ACCURACY 1e-8 by its API",
}


@dataclass(frozen=True)
class Task:
    work: str
    size: int
    loops: float
    level: str

    @property
    def key(self) -> str:
        return f"{self.work} {self.size} {round(100 * self.loops)} {self.level}"


def plan(sizes: Sequence[int], quick: bool) -> list[Task]:
    """Every task, small districts first. Levels that this processor lacks are left out."""
    best = simd.SUPPORTED[-1]
    tasks = []
    for size in sorted(sizes):
        works = ["cold", "tick", "set-up", "memory"]
        works += ["infeasible", "balance"] if size <= 20_000 else []
        works += ["batch"] if 500 <= size <= 20_000 else []
        works += ["thermal", "counts"] if 5_000 <= size <= 20_000 or (quick and size == max(sizes)) else []
        for work in works:
            levels = simd.SUPPORTED if work in BY_LEVEL and not quick else (best,)
            for loops in (0.05, 0.25) if work == "cold" and not quick else (0.05,):
                tasks += [Task(work, size, loops, level) for level in levels]
    return tasks


def conditions(quick: bool) -> dict[str, Any]:
    """What the figures depend on, for the table's head."""

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    cpu = platform.processor() or platform.machine()
    for line in (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if Path("/proc/cpuinfo").exists()
        else ()
    ):
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    try:
        compiler = subprocess.run(
            ["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        compiler = "unknown"
    return {
        "cpu": cpu, "cores": os.cpu_count(), "levels": list(simd.SUPPORTED),
        "levels_missing": [level for level in simd.LEVELS if level not in simd.SUPPORTED],
        "compiler": f"gcc {compiler}", "python": platform.python_version(), "numpy": np.__version__,
        "epanet": version("owa-epanet"), "pandapipes": version("pandapipes"), "numba": version("numba"),
        "seed": SEED, "stops": STOPS, "quick": quick, "load_before": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def run_task(task: Task, seconds: float) -> list[dict[str, Any]]:
    """Rows of one task, measured in a process of its own at its instruction level."""
    command = [
        sys.executable,
        "-m",
        "core_ext.bench.run",
        task.work,
        str(task.size),
        str(task.loops),
        str(seconds),
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, simd.VARIABLE: task.level}
    )
    if done.returncode:
        raise RuntimeError(
            f"task {task.key} failed with exit status {done.returncode}; nothing of it was kept"
        )
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def run(
    sizes: Sequence[int] = SIZES, quick: bool = False, out: Path | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
) -> dict[str, Any]:  # fmt: skip
    """Measure everything that `out` does not hold yet and return the document."""
    wanted = conditions(quick)
    document: dict[str, Any] = {"format": FORMAT, "conditions": wanted, "tasks": {}}
    if out is not None and out.exists():
        before = json.loads(out.read_text(encoding="utf-8"))
        same = all(before["conditions"].get(k) == v for k, v in wanted.items() if k != "load_before")
        if "random_networks" in before:
            document["random_networks"] = before["random_networks"]
        if before.get("format") == FORMAT and same:
            document["tasks"] = before["tasks"]
        else:
            say(f"{out} was measured under other conditions: measuring anew")
    tasks, began = plan(sizes, quick), time.monotonic()
    for number, task in enumerate(tasks, 1):
        if task.key in document["tasks"]:
            continue
        say(f"[{number}/{len(tasks)}] {task.key} ({time.monotonic() - began:.0f} s)")
        document["tasks"][task.key] = run_task(task, 0.3 if quick else 2.0)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            part = out.with_suffix(".part")
            part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            part.replace(out)
    return document


def _measure(work: str, size: int, loops: float, seconds: float) -> list[dict[str, Any]]:
    from .cases import WORKS
    from .counts import counts
    from .districts import make_district

    measured: list[dict[str, Any]] = (WORKS | {"counts": counts})[work](
        make_district(size, loops, SEED), seconds
    )
    return measured


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
