"""Prints how much resident memory one engine takes to hold and solve one district: run it in a fresh process.

    python -m core_ext.bench.memory core|epanet|pandapipes SIZE LOOPS SEED

Prints links, bytes per link, and for the core the bytes per link of the network's own numeric columns.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..solver import HydraulicSolver
from .districts import make_district
from .epanet_peer import Epanet, write_inp
from .pandapipes_peer import Pandapipes


def resident_bytes() -> int:
    """After giving back what the allocator holds but nobody uses."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("this system does not tell the resident size of a process")


def main(engine: str, size: int, loops: float, seed: int) -> str:
    small = make_district(100, 0.05)  # loads every library and its tables before anything is counted
    net = make_district(size, loops, seed).valves()
    links = net.pipes.rows + net.consumers.rows
    with tempfile.TemporaryDirectory() as folder:
        for name, part in (("small", small.valves()), ("big", net)):
            write_inp(part, Path(folder) / f"{name}.inp", "TCV")
        held: list[Any] = []
        for name, part in (("small", small.valves()), ("big", net)):
            before = resident_bytes()
            result = 0
            if engine == "core":
                solver = HydraulicSolver(part)
                solved = solver.solve()
                result = sum(array.nbytes for array in solved._arrays)
                held.append((solver, solved))
            elif engine == "epanet":
                project = Epanet(Path(folder) / f"{name}.inp", 1e-5)
                project.solve()
                held.append(project)
            else:
                other = Pandapipes(part, valve=True)
                other.solve()
                held.append(other)
            grown = resident_bytes() - before - result
    own = sum(
        column.nbytes
        for table in net.tables.values()
        for column in table.values()
        if column.dtype != np.dtype(object)
    )
    return f"{links} {grown / links:.1f} {own / links:.1f}"


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
