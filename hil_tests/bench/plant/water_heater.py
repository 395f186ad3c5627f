"""Instantaneous hot water of any number of houses: a three-point valve before a plate exchanger.

The one model of it: taps, circulation, sensors and safety thermostats are its users' part. It hangs on the
network water that a house gets and refuses to know where that comes from. It steps in the kernel of
core_ext.substations, as `houses` do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from core_ext import fluid
from core_ext.substations import SubstationBlock

from .column import FloatArray
from .exchanger import Exchangers
from .houses import PLATE_FLOW_EXPONENT, WATER_TEMP_C, constants, lay_into
from .valve import Valves

COLD_C = 10.0  # cold water [estimate]
HOT_C = 55.0  # the firmware's default
STROKE_S = 35.0  # Siemens RVL481 over an exchanger: 10 to 35 s (hil.md 2.3)
STRAIGHT = 1.05  # rangeability of an all but straight curve: the firmware's feed-forward reckons with one
LEAKAGE = 5e-4  # of kvs: a valve with a soft seat [estimate]
BACKLASH = 0.005  # [estimate]
WATER_KG, METAL_J_K = 0.6, 1_500.0  # of each side of a 30 kW plate exchanger, and its plates [estimate]
NO_RESISTANCE_KV = 1e9  # m3/h: nothing in series with the valve


def primary_design_kg_s(draw_kg_s: float, supply_c: float, return_c: float) -> float:
    """Network water for a draw at the design temperatures."""
    return draw_kg_s * (HOT_C - COLD_C) / (supply_c - return_c)


class WaterHeaters:
    """`count` like ones, sized for a draw at a supply and a return of the network."""

    def __init__(
        self, count: int, draw_kg_s: float, supply_c: float, return_c: float, kvs_m3_h: float, *,
        series_kv_m3_h: float = NO_RESISTANCE_KV, initial_temp_c: float = 30.0, threads: int = 1,
        stroke_s: float = STROKE_S, plates: float = 1.0,
    ) -> None:  # fmt: skip
        """plates: how many times the water and the metal of a 30 kW exchanger it has."""
        self.cp_j_kgk = float(fluid.heat_capacity_j_kgk(WATER_TEMP_C))
        warm_k, cold_k = supply_c - HOT_C, return_c - COLD_C
        mean_k = warm_k if warm_k == cold_k else (warm_k - cold_k) / float(np.log(warm_k / cold_k))
        self.primary_design_kg_s = primary_design_kg_s(draw_kg_s, supply_c, return_c)
        every = np.ones(count)
        self.exchangers = Exchangers(
            every * (draw_kg_s * self.cp_j_kgk * (HOT_C - COLD_C) / mean_k),
            plates * WATER_KG * self.cp_j_kgk, plates * WATER_KG * self.cp_j_kgk, plates * METAL_J_K,
            self.cp_j_kgk,
            primary_design_kg_s=self.primary_design_kg_s, secondary_design_kg_s=draw_kg_s,
            flow_exponent=PLATE_FLOW_EXPONENT, initial_temp_c=initial_temp_c,
        )  # fmt: skip
        self.valves = Valves(every * kvs_m3_h, stroke_s, BACKLASH, LEAKAGE, STRAIGHT)
        self._block = block = SubstationBlock(count, constants(self.cp_j_kgk), threads=threads)
        lay_into(block, self.valves, self.exchangers)
        block.row("fixed_kv_m3_h")[:] = series_kv_m3_h
        self._open, self._close, self._kv = block.row("open_s"), block.row("close_s"), block.row("kv_m3_h")
        self._primary, self._primary_c = block.row("primary_kg_s"), block.row("primary_in_c")
        self._drawn, self._inlet_c = block.row("secondary_kg_s"), block.row("secondary_in_c")

    def move_valves(self, open_s: ArrayLike, close_s: ArrayLike) -> FloatArray:
        """Run the actuators; return kv of valve and exchanger in series, m3/h, until the next call."""
        self._open[:] = open_s
        self._close[:] = close_s
        self._block.move()
        return self._kv

    def step(
        self, dt_s: float, primary_kg_s: ArrayLike, primary_c: ArrayLike, through_kg_s: ArrayLike,
        inlet_c: ArrayLike,
    ) -> None:  # fmt: skip
        """Advance by dt_s with what flows through both sides; the outlets are those of `exchangers`."""
        self._primary[:] = primary_kg_s
        self._primary_c[:] = primary_c
        self._drawn[:] = through_kg_s
        self._inlet_c[:] = inlet_c
        self._block.exchange(dt_s)
