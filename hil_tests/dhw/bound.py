"""What no controller could do better: the actuator runs at full speed from the very moment the draw changes.

The plant alone, without a controller: its valve stands where the old draw holds the wanted temperature, and
then runs all the way, open for more and shut for less. Whatever else a controller did would open later or
less, and dip further; shut later or less, and rise further. What follows when the valve runs too far is not
counted. It refuses to guess where the valve stands at first: that is found on the plant itself.
"""

from __future__ import annotations

from functools import cache

from core_ext import fluid

from ..bench.plant.houses import WATER_TEMP_C
from ..bench.plant.water_heater import COLD_C
from ..bench.plant.whole_house import DHW_SUPPLY_C, kg_s_per_kv, make_heater
from .steps import HEATER_KG_S, PLATES, TICK_MS, WANTED_C

SETTLED_S = 240.0
EXACT = 1e-4  # of the stroke


class Heater:
    """The heater of the runs, on network water of one temperature."""

    def __init__(self, stroke_s: float, position: float) -> None:
        self._plant, _ = make_heater(HEATER_KG_S, stroke_s, PLATES)
        self._head = kg_s_per_kv(float(fluid.density_kg_m3(WATER_TEMP_C)))
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
    """How far a change of the draw drives it off what is wanted at the least, K: down for more, else up."""
    heater = Heater(stroke_s, place_of(before_kg_s))
    heater.settle(before_kg_s)
    sign = 1.0 if after_kg_s > before_kg_s else -1.0
    run_s = sign * TICK_MS / 1000.0
    ticks = max(1, round(stroke_s * 1000 / TICK_MS))
    return max(0.0, *(sign * (WANTED_C - heater.step(after_kg_s, run_s)) for _ in range(ticks)))
