"""Which controllers of a town stand on the bench, and who drives the rest of its plant.

It refuses to invent a controller: a row without a board follows one steady, stated hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from .board_io import BoardInputs, BoardOutputs
from .plant import TownPlant
from .plant.town import Town
from .street import SteadyWeather

STEADY_PUMP_SPEED = 0.8
STEADY_SUPPLY_C = 80.0
HEAT_DEMAND_RANGE_C = 130.0  # the 0-10 V demand of the emulated board
INPUTS = tuple(field.name for field in fields(BoardInputs))
OUTPUTS = tuple(field.name for field in fields(BoardOutputs))


class WiredPlant:
    """A town plant of which only some rows have a board.

    Attributes of the town plant are readable here. `outdoor_temp_c` may be set at any time.
    """

    def __init__(self, town: Town, weather: SteadyWeather, seed: int) -> None:
        self.town = town
        self.weather = weather
        self.inner = TownPlant(town, weather, seed)
        self.rows = len(town.substations) + 1
        self.wired: list[int] = []
        """Row of the plant behind each board, in the order of the boards."""
        self.unwired = BoardOutputs.idle(self.rows)
        """What drives the rows without a board: relays as shares of the tick, 0..1."""
        self.button = np.zeros(self.rows, dtype=np.bool_)
        self._still_opening_s = np.zeros(self.rows)

    @property
    def outdoor_temp_c(self) -> float:
        return self.weather.temp_c

    @outdoor_temp_c.setter
    def outdoor_temp_c(self, temp_c: float) -> None:
        self.weather.temp_c = temp_c

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)

    def wire(self, names: Sequence[str], opening: float = 0.0) -> None:
        """Say which controllers have a board. The other houses open their valves to `opening`, 0..1;
        a plant without a board pumps at 80 % and heats to 80 degC.
        """
        order = [*self.town.substations.id, self.town.pump_station.id]
        self.wired = [order.index(name) for name in names]
        free = np.setdiff1d(np.arange(self.rows), self.wired)
        houses = free[free < self.rows - 1]
        self._still_opening_s[houses] = opening * self.town.substations.valve_stroke_s[houses]
        self.unwired.pump_on_s[houses] = 1.0 if opening > 0.0 else 0.0
        if self.rows - 1 in free:
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
        inputs = self.inner.step(dt_s, whole)
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
        return BoardInputs(*(np.concatenate([getattr(part, name) for part in parts]) for name in INPUTS))
