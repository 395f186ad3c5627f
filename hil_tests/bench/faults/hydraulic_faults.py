"""Faults of network, exchanger and pump, in the plant, proved by pressures, flows and temperatures there."""

from __future__ import annotations

import math

import numpy as np

from ..wiring import HEAT_DEMAND_RANGE_C
from .injector import Injector
from .rig import FaultRig


class PumpTrip(Injector):
    """The pump of the plant runs out, for `seconds` or for as long as the fault lasts."""

    def __init__(self, rig: FaultRig, seconds: float = np.inf) -> None:
        super().__init__(rig)
        self._until_s = rig.now_s + seconds

    def inject(self) -> None:
        self._before = float(self.rig.plant.primary_dp_pa[0])
        self.rig.plant.inner.pump_tripped = True

    def each_tick(self) -> None:
        if self.rig.now_s >= self._until_s:
            self.rig.plant.inner.pump_tripped = False

    def remove(self) -> None:
        self.rig.plant.inner.pump_tripped = False

    def prove(self) -> str:
        now = float(self.rig.plant.primary_dp_pa[0])
        return self.seen(
            now < 0.1 * self._before, f"{now / 1e5:.3f} bar at the house, {self._before / 1e5:.3f} before"
        )


class PumpSpeed(Injector):
    """The plant pumps at another speed: pressure is lost or surges."""

    def __init__(self, rig: FaultRig, speed: float) -> None:
        super().__init__(rig)
        self._speed = speed

    def inject(self) -> None:
        self._before = float(self.rig.plant.primary_dp_pa[0])
        self._kept = float(self.rig.plant.unwired.pump_speed[-1])
        self.rig.plant.unwired.pump_speed[-1] = self._speed

    def remove(self) -> None:
        self.rig.plant.unwired.pump_speed[-1] = self._kept

    def prove(self) -> str:
        now = float(self.rig.plant.primary_dp_pa[0])
        ratio = now / self._before if self._before > 0.0 else math.nan  # the pump stood
        down = self._speed < self._kept
        return self.seen(
            ratio < 0.85 if down else ratio > 1.15,
            f"{now / 1e5:.2f} bar at the house, {self._before / 1e5:.2f} before",
        )


class SupplyTemperature(Injector):
    """The plant sends water of another temperature."""

    def __init__(self, rig: FaultRig, temp_c: float) -> None:
        super().__init__(rig)
        self._temp_c = temp_c

    def inject(self) -> None:
        self._before = float(self.rig.plant.plant_supply_temp_c)
        self._kept = float(self.rig.plant.unwired.heat_demand[-1])
        self.rig.plant.unwired.heat_demand[-1] = self._temp_c / HEAT_DEMAND_RANGE_C

    def remove(self) -> None:
        self.rig.plant.unwired.heat_demand[-1] = self._kept

    def prove(self) -> str:
        now = float(self.rig.plant.plant_supply_temp_c)
        away = (now - self._before) / (self._temp_c - self._before)
        return self.seen(away > 0.1, f"{now:.1f} °C leave the plant, {self._before:.1f} before")


class LowFlow(Injector):
    """Air, or dirt in the strainer: this share of the exchangers' kv is left."""

    def __init__(self, rig: FaultRig, left: float) -> None:
        super().__init__(rig)
        self._left = left

    def _kv_m3_h(self) -> float:
        """What lets the water through by flow, pressure and stem: all in series with the valve, or all of it.

        The heating's exchanger is in series with its valve, which nearly shut hides it; of the hot water's
        both are one. Without flow there is none.
        """
        rig = self.rig
        flow = float(rig.plant.primary_flow_kg_s[0]) if rig.heating_point else rig.tap.primary_kg_s
        flow_m3_h = flow * 3600.0 / rig.tap.density
        if flow_m3_h <= 0.0:
            return math.nan
        bar = max(float(rig.plant.primary_dp_pa[0]) / 1e5 * 1000.0 / rig.tap.density, 1e-9)
        if not rig.heating_point:
            return flow_m3_h / float(rig.tap.valves.kv_m3_h()[0]) / float(np.sqrt(bar))
        stem = float(rig.plant.houses.valves.kv_m3_h()[0])
        return 1.0 / float(np.sqrt(bar / flow_m3_h**2 - 1.0 / stem**2))

    def inject(self) -> None:
        self._before = self._kv_m3_h()
        self.rig.plant.houses.throttled[:] = self._left
        self.rig.tap.throttled = self._left

    def remove(self) -> None:
        self.rig.plant.houses.throttled[:] = 1.0
        self.rig.tap.throttled = 1.0

    def prove(self) -> str:
        share = self._kv_m3_h() / self._before
        return self.seen(share < 0.9, f"{share:.0%} of the kv beside the valve is left")


class Fouled(Injector):
    """Both exchangers have this share of their UA left.

    Heating's shows before its valve answers, that of the hot water at the end of every draw.
    """

    def __init__(self, rig: FaultRig, left: float) -> None:
        super().__init__(rig)
        self._left = left

    @property
    def _exchangers(self):  # type: ignore[no-untyped-def]
        return (self.rig.plant.houses.exchangers, self.rig.tap.exchangers)

    def inject(self) -> None:
        self._heating_k = self._most_k = self._approach_k()
        self._tap_c = self.rig.tap.last_draw_return_c
        for exchangers in self._exchangers:
            exchangers.fouling[:] = self._left

    def remove(self) -> None:
        for exchangers in self._exchangers:
            exchangers.fouling[:] = 1.0

    def _approach_k(self) -> float:
        """How much warmer heating's primary leaves than its secondary enters."""
        plant = self.rig.plant
        return float(plant.primary_return_temp_c[0] - plant.secondary_return_temp_c[0])

    def each_tick(self) -> None:
        self._most_k = max(self._most_k, self._approach_k())

    def prove(self) -> str:
        drawn_c = self.rig.tap.last_draw_return_c
        heating = self._most_k > self._heating_k + 0.5 or not self.rig.heating_point
        told = f"hot water sends back {drawn_c:.1f} °C at the end of a draw, {self._tap_c:.1f} before"
        if self.rig.heating_point:
            told += f"; heating {self._most_k:.1f} K above its cold side, {self._heating_k:.1f} before"
        return self.seen(heating and drawn_c > self._tap_c + 0.5, told)


class ColdPipe(Injector):
    """Water that has stood in the service pipe comes first."""

    def __init__(self, rig: FaultRig, kg: float, temp_c: float) -> None:
        super().__init__(rig)
        self._kg, self._temp_c = kg, temp_c
        self._coldest = 999.0

    def inject(self) -> None:
        self._before = float(self.rig.plant.primary_supply_temp_c[0])
        self.rig.plant.inner.cold_pipe_kg[0] = self._kg
        self.rig.plant.inner.cold_pipe_c[0] = self._temp_c

    def each_tick(self) -> None:
        self._coldest = min(self._coldest, float(self.rig.plant.primary_supply_temp_c[0]))

    def remove(self) -> None:
        self.rig.plant.inner.cold_pipe_kg[0] = 0.0

    def prove(self) -> str:
        return self.seen(
            self._coldest < self._before - 10.0,
            f"{self._coldest:.0f} °C at the house, {self._before:.0f} before",
        )
