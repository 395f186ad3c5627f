"""Instructions, cache misses and mispredicted branches of a cold solve and of ticks, by kernel function.

Runs them under valgrind's callgrind where that is installed: exact counts of instructions, misses by a
model of first-level and last-level caches and of a branch predictor. A processor without readable counters
(most virtual machines) gives no better figures. It times nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import simd
from ..network import Network
from ..solver import HydraulicSolver
from .districts import District

EVENTS = {
    "Ir": "instructions",
    "Bcm": "mispredicted",
    "D1mr": "d1_read",
    "D1mw": "d1_write",
    "DLmr": "ll_read",
}
# phases of a Newton step by the names of the functions that do them, first match wins
PHASES = (
    (
        "laws of pipes and valves",
        ("evaluate", "pipes", "quadratic", "limited", "peeled_laws", "peeled_drops", "others", "law_of"),
    ),
    # the factor is cleared by memset before it is summed up
    ("elimination", ("eliminate", "memset")),
    ("substitution, flows", ("substitute", "differences")),
    ("masses", ("imbalance",)),
    (
        "injections, peeled trees, start",
        (
            "connect",
            "begin_cold",
            "label",
            "descend",
            "outwards",
            "take_up",
            "solve_as_is",
            "memcpy",
            "memmove",
        ),
    ),
    # publishing is built into the function that a solve is called by
    ("results out", ("publish", "solve_into")),
    ("bound columns in", ("Laws", "fill", "Ticker")),
)
TICKS = 20


def counts(district: District, _seconds: float) -> list[dict[str, Any]]:
    """Rows by function for flows imposed and valves given; none when valgrind is not installed.

    `iterations`: Newton steps that were counted, of all ticks together.
    """
    if shutil.which("valgrind") is None:
        return []
    rows = []
    for variant, net, column in (
        ("flows imposed", district.imposed(), ""),
        ("valves given", district.valves(), ""),
        ("tick, flows imposed", district.imposed(), "consumers_mass_flow_kg_s"),
        ("tick, valves given", district.valves(), "consumers_kv_m3_h"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            net.write(Path(folder) / "net.json")
            out = Path(folder) / "callgrind"
            command = [
                "valgrind", "--tool=callgrind", "--cache-sim=yes", "--branch-sim=yes",
                f"--toggle-collect=*{'Ticker' if column else 'Newton'}*run*",
                f"--callgrind-out-file={out}", sys.executable, "-m",
                "core_ext.bench.counts", str(Path(folder) / "net.json"), column,
            ]  # fmt: skip
            run = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
            iterations, links = (int(x) for x in run.stdout.split())
            rows.append({
                "work": f"counts, {variant}", "size": int(district.name.split()[1].split("/")[0]),
                "loops": district.loops, "links": links, "iterations": iterations,
                "functions": read_callgrind(out.read_text(encoding="utf-8")),
            })  # fmt: skip
    return rows


def environment() -> dict[str, str]:
    """What the counted process runs in: no level is forced, for valgrind's processor lacks AVX-512."""
    return {name: value for name, value in os.environ.items() if name != simd.VARIABLE}


def read_callgrind(text: str) -> dict[str, dict[str, int]]:
    """Own cost (without what is called) of every function with at least 1 % of all instructions."""
    events: list[str] = []
    names: dict[str, str] = {}
    function, after_call = "", False
    cost: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in text.splitlines():
        if line.startswith("events:"):
            events = line.split()[1:]
        elif line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            function = names.setdefault(number, name) if name else names[number]
        elif line.startswith("cfn="):
            number, _, name = line[4:].partition(" ")
            if name:
                names.setdefault(number, name)
        elif line.startswith("calls="):
            after_call = True
        elif line[:1].isdigit() or line[:1] in "+-*":
            if not after_call:
                for event, value in zip(events, line.split()[1:], strict=False):
                    if event in EVENTS:
                        cost[function][EVENTS[event]] += int(value)
            after_call = False
    total = sum(c["instructions"] for c in cost.values())
    return {name: dict(c) for name, c in cost.items() if c["instructions"] >= 0.01 * total}


def by_phase(functions: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The functions' costs added up by phase; what belongs to none stands under "other"."""
    out: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, cost in functions.items():
        phase = next((p for p, words in PHASES if any(word in name for word in words)), "other")
        for event, value in cost.items():
            out[phase][event] += value
    return {phase: dict(cost) for phase, cost in out.items()}


def main(path: str, column: str) -> str:
    """Solve once, or tick with 5 % of a column changed by up to 10 %; steps counted, and links."""
    solver = HydraulicSolver(Network.read(path), friction="epanet")
    # the stop of the speed rows: flows to 1e-5
    result = solver.solve(warm_start=False, flow_tol=1e-5, tol=1e9)
    steps = result.iterations
    if column:
        (bound,) = solver.bind(column)
        base, rng, steps = bound.copy(), np.random.default_rng(11), 0
        for _ in range(TICKS):
            chosen = rng.choice(len(base), max(1, len(base) // 20), replace=False)
            bound[chosen] = base[chosen] * rng.uniform(0.9, 1.1, len(chosen))
            steps += solver.tick(flow_tol=1e-5, tol=1e9).iterations
    return f"{steps} {sum(len(flow) for flow in result.mass_flow_kg_s.values())}"


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2]))
