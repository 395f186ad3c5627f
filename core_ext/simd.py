"""The instruction level of the kernels, chosen once at import.

`TOPLOVOD_SIMD=baseline|avx2|avx512` forces one, for tests and for results that must not depend on the
processor: levels agree to rounding, not bit for bit. A level that the processor cannot run is refused.
"""

from __future__ import annotations

import os

from ._simd import highest

LEVELS = ("baseline", "avx2", "avx512")
VARIABLE = "TOPLOVOD_SIMD"
SUPPORTED = LEVELS[: highest() + 1]
"""The levels this processor runs, lowest first."""


class BadLevel(ValueError):
    """The level asked for does not exist or cannot run here; nothing was computed."""

    code = "bad_simd_level"
    exit_status = 2


def choose(asked: str | None) -> str:
    """Return the level to use; None or "" takes the highest that runs here. Raises BadLevel."""
    if not asked:
        return SUPPORTED[-1]
    if asked not in LEVELS:
        raise BadLevel(f"{VARIABLE}={asked} is no instruction level; known: {', '.join(LEVELS)}")
    if asked not in SUPPORTED:
        raise BadLevel(
            f"{VARIABLE}={asked} cannot run here; this processor has {', '.join(SUPPORTED)}. Unset it"
        )
    return asked


LEVEL = choose(os.environ.get(VARIABLE))


def number(level: str) -> int:
    """Return the number by which kernels know a level."""
    return LEVELS.index(level)
