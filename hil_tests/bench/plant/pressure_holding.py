"""Pressure holding at the plant's return: a vessel with a cushion of gas, and make-up that refills it.

Lost water is replaced at once as far as make-up reaches; beyond that the vessel gives its water, its gas
expands and the whole network's pressure falls. Real holding by pumps and valves hunts within a band; this one
does not. It refuses nothing: a vessel that is asked for more than it holds goes on giving, at less and less.
"""

from __future__ import annotations

ATMOSPHERE_PA = 101_325.0
GAS_SHARE = 0.02  # cushion of gas over the water in the pipes [estimate]
REFILL_S = 300.0  # what the vessel lacks is refilled over so long, where make-up has room [estimate]
MAKE_UP_TEMP_C = 10.0  # cold, as it comes from the main [estimate]
MAKE_UP_SHARE = 0.02  # of the pipes' water in an hour, until somebody gives another figure [estimate]


class PressureHolding:
    """`make_up_kg_s` is the most that make-up can give; 0 = none."""

    def __init__(self, pressure_pa: float, water_m3: float, density_kg_m3: float) -> None:
        self._held_pa = pressure_pa
        self._gas_m3 = GAS_SHARE * water_m3
        self._density = density_kg_m3
        self._missing_kg = 0.0
        self.make_up_kg_s = MAKE_UP_SHARE * water_m3 * density_kg_m3 / 3600.0
        self.made_up_kg_s = 0.0
        """What make-up gave in the last step."""
        self.pressure_pa = pressure_pa

    def step(self, dt_s: float, lost_kg_s: float) -> None:
        """Advance by dt_s while so much water is lost. The gas keeps its temperature (Boyle)."""
        wanted = lost_kg_s + self._missing_kg / max(REFILL_S, dt_s)
        self.made_up_kg_s = min(wanted, self.make_up_kg_s)
        self._missing_kg = max(self._missing_kg + (lost_kg_s - self.made_up_kg_s) * dt_s, 0.0)
        gas_m3 = self._gas_m3 + self._missing_kg / self._density
        self.pressure_pa = (self._held_pa + ATMOSPHERE_PA) * self._gas_m3 / gas_m3 - ATMOSPHERE_PA
