import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

def follow(
    shown_c: FloatArray,
    truth_c: FloatArray,
    share: FloatArray,
    error_share: FloatArray,
    offset_k: FloatArray,
    r0: float,
    a: float,
    b: float,
    c: float,
    band_k: float,
    band_share: float,
    ohm: FloatArray,
) -> None: ...
