"""Types of the layout kernels; what they promise stands in their docstrings."""

import numpy as np
import numpy.typing as npt

Int8Array = npt.NDArray[np.int8]
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]

def shapes(
    n: int, start: LongArray, rows: IntArray, owner: IntArray, other: IntArray, kind: Int8Array
) -> tuple[LongArray, IntArray, IntArray, IntArray]: ...
def count_groups(level: IntArray, picked: IntArray) -> tuple[IntArray, int]: ...
def lay_out(
    groups: int,
    place: IntArray,
    start: LongArray,
    rows: IntArray,
    column_of: IntArray,
    link_start: IntArray,
    link: IntArray,
    link_row: IntArray,
    kind: Int8Array,
    fixed_place: IntArray,
    trash_place: int,
) -> tuple[IntArray, IntArray, IntArray, Int8Array, IntArray, IntArray, IntArray, int]: ...
