"""Types of the symbolic kernel; what the functions promise stands in their docstrings."""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]

def minimum_degree(
    n: int, first: IntArray, second: IntArray
) -> tuple[IntArray, npt.NDArray[np.int64], IntArray]: ...
def elimination_program(start: npt.NDArray[np.int64], rows: IntArray) -> IntArray: ...
def entry_positions(
    start: npt.NDArray[np.int64], rows: IntArray, first: IntArray, second: IntArray
) -> IntArray: ...
