"""What crosses between the emulated plant and the controllers' pins in one tick.

Device order in every array is the order of the site file: the substations first, the pump station last.
Nothing here knows how a pin is driven or how a pipe flows: it holds the arrays and checks their shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

PT1000_CHANNELS = 6  # ADC 0..5
CURRENT_CHANNELS = 2  # ADC 6, 7

# Columns of BoardInputs.resistance_ohm. A substation uses all six, a pump station the first three.
OUTDOOR = 0
PRIMARY_SUPPLY = 1
PRIMARY_RETURN = 2
SECONDARY_SUPPLY = 3
SECONDARY_RETURN = 4
ROOM = 5
PLANT_SUPPLY = 1  # pump station: after the heat source
PLANT_RETURN = 2  # pump station: before the heat source

# Columns of BoardInputs.current_ma.
DIFFERENTIAL_PRESSURE = 0
VOLUME_FLOW = 1

DP_RANGE_BAR = 16.0  # 4 mA = 0 bar, 20 mA = 16 bar
SUBSTATION_FLOW_RANGE_M3_H = 20.0
PUMP_STATION_FLOW_RANGE_M3_H = 500.0


@dataclass
class BoardInputs:
    """What the plant puts on the pins at the end of a tick."""

    resistance_ohm: FloatArray
    """(devices, 6) Pt1000 at ADC 0..5, ohm; NaN = open circuit or not connected, 0 = short circuit."""
    current_ma: FloatArray
    """(devices, 2) loop current at ADC 6 (differential pressure) and ADC 7 (volume flow), mA."""
    button: BoolArray
    """(devices,) service button held down."""

    @classmethod
    def unconnected(cls, devices: int) -> BoardInputs:
        """Inputs of boards with nothing wired: open Pt1000, no loop current, button released."""
        return cls(
            np.full((devices, PT1000_CHANNELS), np.nan),
            np.zeros((devices, CURRENT_CHANNELS)),
            np.zeros(devices, dtype=np.bool_),
        )

    def __post_init__(self) -> None:
        devices = len(self.button)
        _check(self.resistance_ohm, (devices, PT1000_CHANNELS), "resistance_ohm")
        _check(self.current_ma, (devices, CURRENT_CHANNELS), "current_ma")


@dataclass
class BoardOutputs:
    """What the boards did over the tick that just ended."""

    open_s: FloatArray
    """(devices,) time the relay that opens the primary valve was on during the tick, s."""
    close_s: FloatArray
    """(devices,) time the relay that closes the primary valve was on during the tick, s."""
    pump_on_s: FloatArray
    """(devices,) time the relay of the secondary circulation pump, or of a pump station's enable, was on
    during the tick, s."""
    pump_speed: FloatArray
    """(devices,) duty of the 0-10 V pump speed output at the end of the tick, 0..1 (pump station)."""
    heat_demand: FloatArray
    """(devices,) duty of the 0-10 V supply temperature demand, 0..1 = 0..130 degC (pump station)."""

    @classmethod
    def idle(cls, devices: int) -> BoardOutputs:
        """Outputs of boards without power: every relay open, every analogue output at zero."""
        return cls(*(np.zeros(devices) for _ in range(5)))

    def __post_init__(self) -> None:
        devices = len(self.open_s)
        for name in ("close_s", "pump_on_s", "pump_speed", "heat_demand"):
            _check(getattr(self, name), (devices,), name)


def _check(array: FloatArray, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}; nothing was changed")
