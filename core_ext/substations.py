"""Substations and houses of a town or a street, stepped by a compiled kernel.

A `SubstationBlock` is a matrix with a row for each quantity and a column for each house; `row(name)` is the
part of it that a model may keep, read and write between two steps. It refuses to know what a model means or
where its numbers come from: the constants are given once, and the plain arithmetic stands with the models,
whose tests hold both together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from . import simd
from ._substations import Kernel, columns
from ._thermometers import follow

FloatArray = NDArray[np.float64]

__all__ = ["COLUMNS", "Constants", "SubstationBlock", "follow"]

COLUMNS = columns()
GROUP = 8  # houses that are never parted, so that threads cannot change a bit
# Rows that a quotient is taken by: 1 where a block has no such part
DIVISORS = (
    "stroke_s", "log_range", "fixed_kv_m3_h", "throttled", "ua_w_k", "fouling", "primary_j_k",
    "secondary_j_k", "primary_design_kg_s", "secondary_design_kg_s", "cell_j_k", "air_j_k", "mass_j_k",
    "kvs_m3_h",
)  # fmt: skip


@dataclass(frozen=True)
class Constants:
    """What all houses of a block have in common."""

    cp_j_kgk: float
    flow_exponent: float
    radiator_exponent: float
    least_share: float
    primary_pull: float
    secondary_pull: float
    overshoot: float
    least_flow_kg_s: float


class SubstationBlock:
    """`count` houses. threads: how many step at once; the bits do not depend on it.

    level: an instruction level of `core_ext.simd`, None = the one chosen there. Every row starts at 0, those
    that are divided by at 1.
    """

    def __init__(
        self, count: int, constants: Constants, *, threads: int = 1, level: str | None = None
    ) -> None:
        if count < 1 or threads < 1:
            raise ValueError(f"{count} houses on {threads} threads; at least one of each. Nothing was made")
        self.count = count
        groups = -(-count // GROUP)
        self._matrix = np.zeros((len(COLUMNS), groups * GROUP))
        for name in DIVISORS:
            self._matrix[COLUMNS.index(name)] = 1.0
        self._kernel = Kernel(self._matrix, simd.number(level or simd.LEVEL), *astuple(constants))
        self._threads = min(threads, groups)
        cuts = [GROUP * (groups * i // self._threads) for i in range(self._threads + 1)]
        self._ranges = list(pairwise(cuts))
        self._pool = ThreadPoolExecutor(self._threads - 1) if self._threads > 1 else None

    def row(self, name: str) -> FloatArray:
        """Return the houses' values of a quantity, in place; `settle` is due once constant ones are set."""
        return self._matrix[COLUMNS.index(name), : self.count]

    def rows(self, first: str, count: int) -> FloatArray:
        """Return `count` rows from `first` on, in place."""
        at = COLUMNS.index(first)
        return self._matrix[at : at + count, : self.count]

    def settle(self) -> None:
        """Fill the columns beyond the last house with copies of it, so that they compute nothing odd."""
        self._matrix[:, self.count :] = self._matrix[:, self.count - 1 : self.count]

    def move(self) -> None:
        """Run the actuators for `open_s` and `close_s`; `kv_m3_h` is then valve and exchanger in series."""
        self._each(self._kernel.move)

    def exchange(self, dt_s: float) -> None:
        """Advance the exchangers alone, with `secondary_kg_s` coming in at `secondary_in_c`."""
        self._each(lambda begin, end: self._kernel.exchange(dt_s, begin, end))

    def step(self, dt_s: float, outdoor_c: float) -> None:
        """Advance exchangers, radiators and rooms with `primary_kg_s` at `primary_in_c`.

        Raises ValueError, with nothing but `secondary_kg_s` changed, for a step in which the last cell of a
        radiator is replaced (above about 200 s).
        """
        kernel = self._kernel
        bad = kernel.pump(dt_s, 0, self._ranges[-1][1])
        if bad >= 0:
            raise ValueError(
                f"a step of {dt_s} s replaces more than a radiator's last cell; nothing was changed. "
                "Take a shorter step"
            )
        self._each(lambda begin, end: kernel.heat(dt_s, outdoor_c, begin, end))

    def _each(self, work: Callable[[int, int], None]) -> None:
        if self._pool is None:
            work(*self._ranges[0])
            return
        others = [self._pool.submit(work, begin, end) for begin, end in self._ranges[1:]]
        work(*self._ranges[0])
        for other in others:
            other.result()
