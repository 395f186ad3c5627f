"""Which plant a run had: one digest over everything that decides what the emulated town does.

Covered are the models, the kernels and solvers that they step in, the terminals between plant and board, and
the towns. Two runs with one digest and one SIMD level had the same plant, to the bit; another digest may also
come of a change that does nothing to it. It refuses to leave out a file that is there.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from core_ext.simd import LEVEL

BENCH = Path(__file__).parent
ROOT = BENCH.parents[1]
MODELS = ("*.py", "*.csv")
TERMINALS = ("board_io", "electronics", "wiring", "suction", "street")
KERNELS = ("*.py", "*.pyx", "*.pxd", "*.h")
TOWNS = ("*.py", "network.json", "town.json", "site.toml", "weather.csv")


def sources() -> list[Path]:
    """Return the files that are covered, by their path."""
    found = [
        *(path for pattern in MODELS for path in (BENCH / "plant").glob(pattern)),
        *(BENCH / f"{name}.py" for name in TERMINALS),
        *(path for pattern in KERNELS for path in (ROOT / "core_ext").glob(pattern)),
        *(path for pattern in TOWNS for path in (ROOT / "examples").glob(f"*/{pattern}")),
    ]
    return sorted(found, key=lambda path: path.relative_to(ROOT).as_posix())


@cache
def plant_version() -> str:
    """Return the first 16 digits of a SHA-256 over `sources`."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def plant_origin() -> dict[str, str]:
    """Return what a report says of its plant: version, and the SIMD level, which decides the last bits."""
    return {"plant_version": plant_version(), "simd_level": LEVEL}
