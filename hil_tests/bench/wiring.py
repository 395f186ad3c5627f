"""Which controllers of a town stand on the bench, and who drives the rest of its plant.

It refuses to invent a controller: a row without a board follows one steady, stated hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import numpy as np

from .board_io import BoardInputs, BoardOutputs
from .plant.town import Town
from .plant.town_plant import TownPlant
from .plant.weather import Weather

STEADY_PUMP_SPEED = 0.8
STEADY_SUPPLY_C = 80.0
HEAT_DEMAND_RANGE_C = 130.0  # the 0-10 V demand of the emulated board
INPUTS = tuple(field.name for field in fields(BoardInputs))
OUTPUTS = tuple(field.name for field in fields(BoardOutputs))


class WiredPlant:
    """A town plant of which only some rows have a board, under weather held until it is changed.

    Attributes of the town plant are readable here once `wire` has set it in motion; houses begin in
    balance with the outdoor temperature that holds then.
    """

    def __init__(self, town: Town, seed: int, start: datetime, outdoor_temp_c: float = 0.0) -> None:
        self.town = town
        self.rows = len(town.substations) + 1
        self.wired: list[int] = []
        """Row of the plant behind each board, in the order of the boards."""
        self.unwired = BoardOutputs.idle(self.rows)
        """What drives the rows without a board: relays as shares of the tick, 0..1."""
        self.button = np.zeros(self.rows, dtype=np.bool_)
        self.start = start
        self._seed = seed
        self._weather = Weather.constant(outdoor_temp_c, start)
        self._still_opening_s = np.zeros(self.rows)

    @property
    def outdoor_temp_c(self) -> float:
        return float(self._weather.temp_c[0])

    @outdoor_temp_c.setter
    def outdoor_temp_c(self, temp_c: float) -> None:
        self._weather = Weather.constant(temp_c, self.start)
        if "inner" in self.__dict__:
            self.inner.weather = self._weather

    def __getattr__(self, name: str) -> Any:
        if "inner" not in self.__dict__:
            raise AttributeError(f"the plant has no {name} before its controllers are started")
        return getattr(self.__dict__["inner"], name)

    def wire(self, names: Sequence[str], opening: float = 0.0) -> None:
        """Say which controllers have a board. The other houses open their valves to `opening`, 0..1;
        a plant without a board pumps at 80 % and heats to 80 degC.
        """
        self.inner = TownPlant(self.town, self._weather, self._seed)
        order = [*self.town.substations.id, self.town.pump_station.id]
        self.wired = [order.index(name) for name in names]
        free = np.setdiff1d(np.arange(self.rows), self.wired)
        houses = free[free < self.rows - 1]
        self._still_opening_s[houses] = opening * self.town.substations.valve_stroke_s[houses]
        self.unwired.pump_on_s[houses] = 1.0 if opening > 0.0 else 0.0
        if self.rows - 1 in free:
            self.unwired.pump_on_s[-1] = 1.0
            self.unwired.pump_speed[-1] = STEADY_PUMP_SPEED
            self.unwired.heat_demand[-1] = STEADY_SUPPLY_C / HEAT_DEMAND_RANGE_C

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        opening_s = np.minimum(self._still_opening_s, dt_s)
        self._still_opening_s -= opening_s
        whole = BoardOutputs(
            opening_s + self.unwired.open_s * dt_s,
            self.unwired.close_s * dt_s,
            self.unwired.pump_on_s * dt_s,
            self.unwired.pump_speed.copy(),
            self.unwired.heat_demand.copy(),
        )
        for name in OUTPUTS:
            getattr(whole, name)[self.wired] = getattr(outputs, name)
        return self._at_the_boards(self.inner.step(dt_s, whole))

    def sense(self) -> BoardInputs:
        return self._at_the_boards(self.inner.sense())

    def _at_the_boards(self, inputs: BoardInputs) -> BoardInputs:
        return BoardInputs(
            inputs.resistance_ohm[self.wired],
            inputs.current_ma[self.wired],
            inputs.button[self.wired] | self.button[self.wired],
        )


class Stack:
    """Plants side by side behind one fleet; boards are counted through in their order."""

    def __init__(self, plants: Sequence[WiredPlant]) -> None:
        self._plants = plants

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        parts, first = [], 0
        for plant in self._plants:
            own = slice(first, first + len(plant.wired))
            first = own.stop
            parts.append(plant.step(dt_s, BoardOutputs(*(getattr(outputs, name)[own] for name in OUTPUTS))))
        return _joined(parts)

    def sense(self) -> BoardInputs:
        return _joined([plant.sense() for plant in self._plants])


def _joined(parts: Sequence[BoardInputs]) -> BoardInputs:
    return BoardInputs(*(np.concatenate([getattr(part, name) for part in parts]) for name in INPUTS))
