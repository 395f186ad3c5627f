"""Types of the batch kernel; what it promises stands in its docstrings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._newton import Newton

Array = npt.NDArray[Any]

BAD_ROW: int
NEEDS_LAYOUT: int
LANES: int

class Scenarios:
    in_lanes: int
    def __init__(
        self,
        kernel: Newton,
        base: Newton | None,
        columns: Sequence[tuple[Array, Array]],
        laws: Sequence[Any],
        single: tuple[Array, Any, npt.NDArray[np.int32], Array] | None = None,
        lanes: bool = True,
    ) -> None: ...
    def run(
        self, begin: int, end: int, tol_pa: float, tol_kg_s: float, flow_tol: float, most: int,
        *arrays: Array, at: int,
    ) -> None: ...  # fmt: skip
