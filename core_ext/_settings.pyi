"""Types of the settings kernel; what it promises stands in its docstrings."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

def across(
    first: IntArray, second: IntArray, pressure: FloatArray, level: FloatArray, out: FloatArray
) -> None: ...
def most_lacking(dp: FloatArray, need: FloatArray, flow: FloatArray) -> tuple[int, float]: ...
def valve_settings(
    dp: FloatArray,
    need: FloatArray,
    flow: FloatArray,
    factor: float,
    least_pa: float,
    kv: FloatArray,
    margin: FloatArray,
) -> int: ...
