"""The pressure before a plant's pump as its controller sees it: a transmitter and its settings.

A town's plant drives eight converters of a board; this is the ninth. It refuses to act: it shows what the
plant has, with a transmitter's lag and error.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .board_io import BoardInputs
from .electronics import FULL_SCALE, REFERENCE_V, SHUNT_OHM
from .fleet import Fleet
from .plant.sensors import CURRENT_LAG_S, DP_SPAN_SHARE, DP_ZERO_BAR, current_ma

CHANNEL = 8
SPAN_BAR = 10.0
MINIMUM_BAR = 1.0  # the speed is held back below it; water of 90 degC boils at 0.70 bar absolute [estimate]
DRY_BAR = 0.3  # the pump stops below it [estimate]


class Sucking(Protocol):
    """What the transmitter needs of a plant."""

    @property
    def suction_pressure_pa(self) -> float:
        """Pressure before the pump, gauge."""


class SuctionTransmitter:
    """4-20 mA over 0 to 10 bar at one board of a fleet; call it once a tick."""

    def __init__(self, fleet: Fleet, row: int, plant: Sucking, seed: int, tick_s: float) -> None:
        random = np.random.default_rng([seed, 0x5C])
        self._zero_bar, gain = random.uniform(-DP_ZERO_BAR, DP_ZERO_BAR), random.uniform(-1.0, 1.0)
        self._gain = 1.0 + gain * DP_SPAN_SHARE
        self._fleet, self._row, self._plant = fleet, row, plant
        self._share = float(-np.expm1(-tick_s / CURRENT_LAG_S))
        self._bar: float | None = None

    def __call__(self, _: BoardInputs) -> None:
        bar = self._plant.suction_pressure_pa / 1e5 * self._gain + self._zero_bar
        self._bar = bar if self._bar is None else self._bar + (bar - self._bar) * self._share
        ma = float(current_ma(np.array(self._bar), np.array(SPAN_BAR)))
        count = round(FULL_SCALE * min(ma * SHUNT_OHM / 1000.0 / REFERENCE_V, 1.0))
        self._fleet.own_counts[self._row, CHANNEL] = count


def settings(*, protected: bool) -> dict[str, Any]:
    """Rows of the plant's site.json: the sensor, and with `protected` what the controller does by it."""
    sensor = {"channel": CHANNEL, "kind": "4-20ma", "span": SPAN_BAR}
    limits = {"suction_pressure_minimum_bar": MINIMUM_BAR, "dry_run_pressure_bar": DRY_BAR}
    return {"inputs": {"suction_pressure_bar": sensor}, **(limits if protected else {})}
