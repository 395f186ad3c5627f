"""Types of the coefficient kernel; every `refresh` returns the first bad row, or -1."""

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

class ConsumerLaws:
    def __init__(
        self,
        at: int,
        par: Array,
        low: Array,
        high: Array,
        cold: Array,
        is_open: Array,
        mode: Array,
        flow: Array,
        kv: Array,
        heat: Array,
        supply: Array,
        back: Array,
        most: Array,
        density: float,
        cp: float,
    ) -> None: ...
    def refresh(self) -> int: ...

class ValveLaws:
    def __init__(
        self,
        at: int,
        par: Array,
        low: Array,
        high: Array,
        cold: Array,
        is_open: Array,
        code: Array,
        percentage: Array,
        kv: Array,
        loss: Array,
        diameter: Array,
        opening: Array,
        setting: Array,
        density: float,
        loss_factor: float,
    ) -> None: ...
    def refresh(self) -> int: ...

class PumpLaws:
    def __init__(
        self,
        at: int,
        par: Array,
        low: Array,
        high: Array,
        cold: Array,
        is_open: Array,
        code: Array,
        law: Array,
        speed: Array,
        fixed: Array,
    ) -> None: ...
    def refresh(self) -> int: ...

class SourceLaws:
    def __init__(
        self,
        at: int,
        par: Array,
        code: Array,
        dp: Array,
        flow: Array,
        supply_pressure: Array,
        return_pressure: Array,
        supply_node: Array,
        return_node: Array,
        pressure: Array,
    ) -> None: ...
    def refresh(self) -> int: ...

class NodeValues:
    def __init__(
        self,
        place: Array,
        injection: Array,
        pressure: Array,
        mass_injection: Array,
        fixed_pressure: Array,
    ) -> None: ...
    def refresh(self) -> int: ...

class OpenFlags:
    def __init__(
        self,
        at: int,
        is_open: Array,
        column: Array,
    ) -> None: ...
    def refresh(self) -> int: ...
