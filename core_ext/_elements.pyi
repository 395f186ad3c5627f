"""Types of the coefficient kernels; every `refresh` returns the first bad row, FINE or RELAY."""

from typing import Any

import numpy.typing as npt

from ._newton import Newton

Array = npt.NDArray[Any]

FINE: int
RELAY: int
NOT_FILLED: int
RANGEABILITY: float

class ConsumerLaws:
    def __init__(
        self, at: int, kernel: Newton, mode: Array, flow: Array, kv: Array, heat: Array, supply: Array,
        back: Array, most: Array, density: float, cp: float,
    ) -> None: ...  # fmt: skip
    def refresh(self) -> int: ...

class ValveLaws:
    def __init__(
        self, at: int, kernel: Newton, code: Array, percentage: Array, kv: Array, loss: Array,
        diameter: Array, opening: Array, setting: Array, density: float, loss_factor: float,
        open_slope: float,
    ) -> None: ...  # fmt: skip
    def refresh(self) -> int: ...

class PumpLaws:
    def __init__(
        self, at: int, kernel: Newton, code: Array, law: Array, speed: Array, fixed: Array
    ) -> None: ...
    def refresh(self) -> int: ...

class SourceLaws:
    def __init__(
        self, at: int, kernel: Newton, code: Array, dp: Array, flow: Array, supply_pressure: Array,
        return_pressure: Array, supply_place: Array, return_place: Array,
    ) -> None: ...  # fmt: skip
    def refresh(self) -> int: ...

class NodeValues:
    def __init__(
        self, place: Array, kernel: Newton, mass_injection: Array, fixed_pressure: Array
    ) -> None: ...
    def refresh(self) -> int: ...

class OpenFlags:
    def __init__(self, at: int, kernel: Newton, column: Array) -> None: ...
    def refresh(self) -> int: ...

class Ticker:
    def __init__(
        self, kernel: Newton, laws: tuple[Any, ...], flow: Array, pressure: Array, inflow: Array, known: Array
    ) -> None: ...
    def run(self, tol_pa: float, tol_kg_s: float, flow_tol: float, most: int) -> int: ...

def put_pipes(at: int, kernel: Newton, coefficients: Array, cold: Array) -> None: ...
