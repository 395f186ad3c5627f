import numpy as np
from numpy.typing import NDArray

def columns() -> tuple[str, ...]: ...

class Kernel:
    def __init__(
        self,
        matrix: NDArray[np.float64],
        level: int,
        cp_j_kgk: float,
        flow_exponent: float,
        radiator_exponent: float,
        least_share: float,
        primary_pull: float,
        secondary_pull: float,
        overshoot: float,
        least_flow_kg_s: float,
    ) -> None: ...
    def move(self, begin: int, end: int) -> None: ...
    def exchange(self, dt_s: float, begin: int, end: int) -> None: ...
    def pump(self, dt_s: float, begin: int, end: int) -> int: ...
    def heat(self, dt_s: float, outdoor_c: float, begin: int, end: int) -> None: ...
