"""Radiators and buildings behind the exchangers: what a house does with the heat it is given.

Each house has a radiator of three cells with exponent 1.3, a thermostatic valve that throttles the circuit,
and two capacities (room air with furniture, structure) between which heat flows. There is one room
temperature for each house, no sun, no wind and no hot water.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .column import Column, FloatArray

RADIATOR_EXPONENT = 1.3
CELLS = 3
LEAST_THERMOSTAT_SHARE = 0.05  # a thermostatic valve never shuts the whole house (estimate)


def radiator_conductance_w_kn(
    heat_w: FloatArray, flow_kg_s: FloatArray, cp_j_kgk: float, supply_c: float, indoor_c: float
) -> FloatArray:
    """K of each cell, W/K^1.3, so that three cells give `heat_w` at the flow and supply temperature.

    Found by bisection; raises ValueError when even a radiator of any size could not give it.
    """
    limit = flow_kg_s * cp_j_kgk * (supply_c - indoor_c)
    if (heat_w >= limit).any():
        raise ValueError(
            f"{float(np.max(heat_w / limit)):.2f} times the heat of the radiator water is asked for; "
            "nothing was sized. Raise its flow"
        )
    low, high = np.zeros_like(heat_w), np.full_like(heat_w, 1e6)
    for _ in range(70):
        middle = 0.5 * (low + high)
        enough = _steady_heat(middle, flow_kg_s * cp_j_kgk, supply_c - indoor_c) >= heat_w
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle)
    return high


def _steady_heat(k: FloatArray, capacity_w_k: FloatArray, excess_k: float) -> FloatArray:
    """Heat of three cells in a row in the steady state, W."""
    inlet = np.full_like(k, excess_k)
    heat = np.zeros_like(k)
    for _ in range(CELLS):
        low, high = np.zeros_like(k), inlet.copy()
        for _ in range(60):
            middle = 0.5 * (low + high)
            warm = k * middle**RADIATOR_EXPONENT > capacity_w_k * (inlet - middle)
            high = np.where(warm, middle, high)
            low = np.where(warm, low, middle)
        heat += capacity_w_k * (inlet - high)
        inlet = high
    return heat


class Radiators:
    """Three water cells in a row; the last one's temperature is the circuit's return."""

    conductance_w_kn, cell_j_k = Column(), Column()
    cell_c = Column()
    """Temperature of each cell, inlet first."""

    def __init__(
        self, conductance_w_kn: ArrayLike, capacity_j_k: ArrayLike, cp_j_kgk: float, initial_temp_c: ArrayLike
    ) -> None:
        self.conductance_w_kn = conductance_w_kn
        count = len(self.conductance_w_kn)
        self.cell_j_k = np.asarray(capacity_j_k, float) / CELLS + np.zeros(count)
        self.cp_j_kgk = cp_j_kgk
        self.cell_c = np.asarray(initial_temp_c, float) + np.zeros((CELLS, count))

    @property
    def return_c(self) -> FloatArray:
        """Temperature at which water leaves the radiator during the next step (a copy)."""
        last: FloatArray = self.cell_c[CELLS - 1].copy()
        return last

    def step(
        self, dt_s: float, flow_kg_s: FloatArray, supply_c: FloatArray, room_c: FloatArray
    ) -> FloatArray:
        """Advance by dt_s; returns the mean heat given to the room, W (negative when it takes heat).

        Water leaves at the temperature the last cell had before the step, so that the exchanger can be solved
        first and heat is conserved to rounding. Everything else is implicit and stable. Raises ValueError,
        with nothing changed, for a step in which the last cell's water is replaced (above about 200 s).
        """
        capacity = flow_kg_s * self.cp_j_kgk
        if (capacity * dt_s > self.cell_j_k).any():
            raise ValueError(
                f"a step of {dt_s} s replaces more than a radiator's last cell; nothing was changed. "
                "Take a shorter step"
            )
        inlet = supply_c
        heat = np.zeros(len(flow_kg_s))
        for cell in range(CELLS):
            temp = self.cell_c[cell]
            share = np.abs(temp - room_c) ** (RADIATOR_EXPONENT - 1.0) * self.conductance_w_kn
            rate = self.cell_j_k / dt_s
            if cell < CELLS - 1:
                after = (rate * temp + capacity * inlet + share * room_c) / (rate + capacity + share)
            else:
                after = (rate * temp + capacity * (inlet - temp) + share * room_c) / (rate + share)
            heat += share * (after - room_c)
            self.cell_c[cell] = after
            inlet = after
        return heat

    def stored_j(self) -> float:
        """Heat content counted from 0 degC, J."""
        return float(np.sum(self.cell_j_k * self.cell_c))


class Buildings:
    """Two capacities per house: room air with what stands in it, and the structure."""

    air_to_outdoor_w_k, air_to_mass_w_k, mass_to_outdoor_w_k = Column(), Column(), Column()
    air_j_k, mass_j_k, gain_w, room_c = Column(), Column(), Column(), Column()
    mass_c = Column()
    """Temperature of the structure; starts where a long day with this weather would leave it."""
    loss_w = Column()
    """Heat lost to the outside in the last step, W."""

    def __init__(
        self,
        air_to_outdoor_w_k: ArrayLike,
        air_to_mass_w_k: ArrayLike,
        mass_to_outdoor_w_k: ArrayLike,
        air_j_k: ArrayLike,
        mass_j_k: ArrayLike,
        gain_w: ArrayLike,
        room_temp_c: ArrayLike,
        outdoor_temp_c: float,
    ) -> None:
        self.air_to_outdoor_w_k = air_to_outdoor_w_k
        self.air_to_mass_w_k = air_to_mass_w_k
        self.mass_to_outdoor_w_k = mass_to_outdoor_w_k
        self.air_j_k, self.mass_j_k = air_j_k, mass_j_k
        nothing = np.zeros(len(self.air_j_k))
        self.gain_w = np.asarray(gain_w, float) + nothing
        self.room_c = np.asarray(room_temp_c, float) + nothing
        inner = self.air_to_mass_w_k / (self.air_to_mass_w_k + self.mass_to_outdoor_w_k)
        self.mass_c = inner * self.room_c + (1.0 - inner) * outdoor_temp_c
        self.loss_w = nothing

    @property
    def loss_coefficient_w_k(self) -> FloatArray:
        """Steady heat loss for each kelvin between room and outdoors, W/K."""
        through = 1.0 / (1.0 / self.air_to_mass_w_k + 1.0 / self.mass_to_outdoor_w_k)
        total: FloatArray = self.air_to_outdoor_w_k + through
        return total

    def step(self, dt_s: float, heat_w: FloatArray, outdoor_c: float) -> FloatArray:
        """Advance by dt_s and return the room temperatures. Implicit; heat is conserved to rounding."""
        a, m = self.air_j_k / dt_s, self.mass_j_k / dt_s
        inside, outside, direct = self.air_to_mass_w_k, self.mass_to_outdoor_w_k, self.air_to_outdoor_w_k
        air_side = a + inside + direct
        mass_side = m + inside + outside
        air_in = a * self.room_c + direct * outdoor_c + heat_w + self.gain_w
        mass_in = m * self.mass_c + outside * outdoor_c
        determinant = air_side * mass_side - inside * inside
        self.room_c = (air_in * mass_side + inside * mass_in) / determinant
        self.mass_c = (mass_in * air_side + inside * air_in) / determinant
        self.loss_w = direct * (self.room_c - outdoor_c) + outside * (self.mass_c - outdoor_c)
        return self.room_c

    def stored_j(self) -> float:
        """Heat content counted from 0 degC, J."""
        return float(self.air_j_k @ self.room_c + self.mass_j_k @ self.mass_c)


def thermostat_share(room_c: FloatArray, setpoint_c: FloatArray, band_k: FloatArray) -> FloatArray:
    """Share of the design flow a house's thermostats let through; full half a band below the setpoint."""
    safe = np.where(band_k > 0.0, band_k, 1.0)
    share = np.clip((setpoint_c + 0.5 * safe - room_c) / safe, LEAST_THERMOSTAT_SHARE, 1.0)
    result: FloatArray = np.where(band_k > 0.0, share, 1.0)
    return result
