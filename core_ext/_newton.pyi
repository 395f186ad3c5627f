"""Types of the numeric kernel; what it promises stands in its docstrings."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .layout import Layout

FloatArray = npt.NDArray[np.float64]
Int8Array = npt.NDArray[np.int8]

OTHER: np.dtype[Any]
REGULATOR: np.dtype[Any]
COLUMN: np.dtype[Any]

def pipe_drop(form: int, flow: float, coefficients: npt.ArrayLike) -> float: ...

class Newton:
    arrays: dict[str, npt.NDArray[Any]]
    iterations: int
    residual_pressure_pa: float
    residual_mass_kg_s: float
    limited: bool
    robust: bool
    careful: bool
    solved: bool
    unreferenced: int
    def __init__(
        self,
        layout: Layout,
        form: int,
        level: int,
        kind: Int8Array,
        imposed: npt.NDArray[Any],
        pinned: npt.NDArray[Any],
        curve_flow: FloatArray,
        curve_dp: FloatArray,
        level_pa: FloatArray | None,
    ) -> None: ...
    def set_regulators(self, regulators: npt.NDArray[Any]) -> None: ...
    def set_offset(self, offset: FloatArray | None) -> None: ...
    def outcome(self) -> tuple[int, float, float]: ...
    def limits(self) -> tuple[FloatArray, FloatArray]: ...
    def states(self) -> Int8Array: ...
    def marks(self) -> npt.NDArray[np.uint8]: ...
    def begin_at(self, source: Newton) -> None: ...
    def flows(self) -> FloatArray: ...
    def linearise(self) -> FloatArray: ...
    def respond(self, injection: FloatArray) -> FloatArray: ...
    def drops(self, flow: npt.ArrayLike) -> tuple[FloatArray, FloatArray]: ...
    def forget(self) -> None: ...
    def run(
        self,
        warm: bool,
        tol_pa: float,
        tol_kg_s: float,
        flow_tol: float,
        most: int,
        penalised: bool,
        flow: FloatArray,
        pressure: FloatArray,
        inflow: FloatArray,
        known: Int8Array,
    ) -> int: ...
