"""Types of the symbolic kernel; what it promises stands in its docstrings."""

import numpy as np
import numpy.typing as npt

Int8Array = npt.NDArray[np.int8]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

def peel(
    unknowns: int,
    nodes: int,
    first: IntArray,
    second: IntArray,
    couples: Int8Array,
    may_end: Int8Array,
    keep: Int8Array,
) -> tuple[IntArray, IntArray, IntArray]: ...
def eliminate_by_levels(
    n: int, first: IntArray, second: IntArray, slack: int = 2, enough: int = 64
) -> tuple[IntArray, IntArray, LongArray, IntArray]: ...
