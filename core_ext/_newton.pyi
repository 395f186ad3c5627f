"""Types of the numeric kernel; what it promises stands in its docstrings."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

class Newton:
    arrays: dict[str, npt.NDArray[Any]]
    unknowns: int
    nodes: int
    links: int
    iterations: int
    residual_pressure_pa: float
    residual_mass_kg_s: float
    limited: bool
    robust: bool
    warm: bool
    unreferenced: int
    def __init__(
        self,
        form: int,
        kind: npt.NDArray[np.int8],
        first: IntArray,
        second: IntArray,
        position: IntArray,
        start: npt.NDArray[np.int64],
        rows: IntArray,
        target: IntArray,
        nodes: int,
        order: IntArray,
        curve_flow: FloatArray,
        curve_dp: FloatArray,
    ) -> None: ...
    def drops(self, flow: npt.ArrayLike) -> tuple[FloatArray, FloatArray]: ...
    def claim(self) -> bool: ...
    def release(self) -> None: ...
    def forget(self) -> None: ...
    def run_penalised(self, tol_pa: float, tol_kg_s: float, most: int) -> int: ...
    def run(self, warm: bool, tol_pa: float, tol_kg_s: float, most: int) -> int: ...
