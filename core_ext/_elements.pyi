"""Types of the coefficient kernel; every function returns the first bad row, or -1."""

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

def refresh_consumers(
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
) -> int: ...
def refresh_valves(
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
) -> int: ...
def refresh_pumps(
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
) -> int: ...
def refresh_sources(
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
) -> int: ...
def refresh_nodes(
    place: Array, injection: Array, pressure: Array, mass_injection: Array, fixed_pressure: Array
) -> int: ...
def refresh_open(at: int, is_open: Array, column: Array) -> int: ...
