"""What no controller could do better: the actuator runs at full speed from the very moment the draw changes.

The plant alone, without a controller: its valve stands where the old draw holds the wanted temperature, and
runs to where the new one does. A controller that runs past that place and back can shorten what follows, not
the way there. It refuses to guess where the valve has to stand: that is found on the plant itself.
"""

from __future__ import annotations

from functools import cache
from math import sqrt

from core_ext import fluid

from ..bench.plant import sizing
from ..bench.plant.houses import WATER_TEMP_C
from ..bench.plant.water_heater import COLD_C, WaterHeaters, primary_design_kg_s
from ..bench.plant.whole_house import DHW_RETURN_C, DHW_SUPPLY_C, DP_BAR
from .steps import HEATER_KG_S, PLATES, STEP_S, TICK_MS, WANTED_C

SETTLED_S = 240.0
EXACT = 1e-4  # of the stroke


class Heater:
    """The heater of the runs, on network water of one temperature."""

    def __init__(self, stroke_s: float, position: float) -> None:
        primary = primary_design_kg_s(HEATER_KG_S, DHW_SUPPLY_C, DHW_RETURN_C)
        size = sizing.size_valve(primary, DHW_SUPPLY_C)
        self.stroke_s = stroke_s
        self._plant = WaterHeaters(
            1, HEATER_KG_S, DHW_SUPPLY_C, DHW_RETURN_C, size.kvs_m3_h,
            series_kv_m3_h=size.exchanger_kv_m3_h,
            initial_temp_c=50.0, stroke_s=stroke_s, plates=PLATES,
        )  # fmt: skip
        density = float(fluid.density_kg_m3(WATER_TEMP_C))
        self._head = sqrt(DP_BAR * 1000.0 * density) / 3600.0
        self._plant.valves.motor = self._plant.valves.position = position

    def step(self, draw_kg_s: float, run_s: float) -> float:
        """Advance by a tick, the motor running for run_s of it, closing below 0; return what leaves, degC."""
        kv = float(self._plant.move_valves(max(run_s, 0.0), max(-run_s, 0.0))[0])
        self._plant.step(TICK_MS / 1000.0, kv * self._head, DHW_SUPPLY_C, draw_kg_s, COLD_C)
        return float(self._plant.exchangers.secondary_supply_c[0])

    def settle(self, draw_kg_s: float) -> float:
        """Let it come to rest; return what leaves then, degC."""
        leaves = 0.0
        for _ in range(round(SETTLED_S * 1000 / TICK_MS)):
            leaves = self.step(draw_kg_s, 0.0)
        return leaves


@cache
def place_of(draw_kg_s: float) -> float:
    """Where the motor has to stand for a draw, 0 to 1."""
    low, high = 0.0, 1.0
    while high - low > EXACT:
        middle = 0.5 * (low + high)
        if Heater(30.0, middle).settle(draw_kg_s) < WANTED_C:
            low = middle
        else:
            high = middle
    return high


@cache
def least_off_k(stroke_s: float, before_kg_s: float, after_kg_s: float) -> float:
    """How far off the wanted temperature a change of the draw drives it at the least, K."""
    start, end, tick_s = place_of(before_kg_s), place_of(after_kg_s), TICK_MS / 1000.0
    heater = Heater(stroke_s, start)
    heater.settle(before_kg_s)
    left_s = (end - start) * stroke_s
    most = 0.0
    for _ in range(round(STEP_S * 1000 / TICK_MS)):
        run_s = max(-tick_s, min(tick_s, left_s))
        left_s -= run_s
        most = max(most, abs(heater.step(after_kg_s, run_s) - WANTED_C))
    return most
