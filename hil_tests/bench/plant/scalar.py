"""The models of `valve`, `exchanger` and `building` for one house alone, in plain numbers.

A year of one house is sixteen million steps, and arrays of one element cost ten times what their single
number does. The arithmetic is that of the arrays, term by term, and a test holds them together; what they
mean and where their constants come from is told there. It refuses to model anything that the arrays do not.
"""

from __future__ import annotations

from math import exp, expm1, log, sqrt

from .building import CELLS, LEAST_THERMOSTAT_SHARE, RADIATOR_EXPONENT
from .exchanger import LEAST_FLOW_KG_S, OVERSHOOT, PRIMARY_PULL, SECONDARY_PULL, SECONDARY_SHARE
from .houses import PLATE_FLOW_EXPONENT, Houses
from .town import Substations


class Valve:
    """Motor and stem of one three-point valve, see `valve.Valves`."""

    def __init__(
        self, kvs_m3_h: float, stroke_s: float, backlash: float, leakage: float, rangeability: float
    ) -> None:
        self.kvs_m3_h, self.stroke_s, self.backlash, self.leakage = kvs_m3_h, stroke_s, backlash, leakage
        self._log_range = log(rangeability)
        self._floor = exp(-self._log_range)
        self.motor = self.position = self.travel = 0.0
        self._kv = kvs_m3_h * leakage

    def step(self, open_s: float, close_s: float) -> float:
        """Run the motor and return kv, m3/h."""
        if open_s == close_s:
            return self._kv
        before = self.motor
        motor = min(max(before + (open_s - close_s) / self.stroke_s, 0.0), 1.0)
        self.travel += abs(motor - before)
        self.motor = motor
        half = 0.5 * self.backlash
        low = 1.0 if motor >= 1.0 else motor - half
        high = 0.0 if motor <= 0.0 else motor + half
        self.position = min(max(min(max(self.position, low), high), 0.0), 1.0)
        curve = (exp(self._log_range * (self.position - 1.0)) - self._floor) / (1.0 - self._floor)
        self._kv = self.kvs_m3_h * (self.leakage + (1.0 - self.leakage) * curve)
        return self._kv


class Exchanger:
    """One plate exchanger, see `exchanger.Exchangers`. `mean_1_c`, `mean_2_c`: of the water that left."""

    def __init__(
        self, ua_w_k: float, primary_j_k: float, secondary_j_k: float, metal_j_k: float, cp_j_kgk: float,
        primary_design_kg_s: float, secondary_design_kg_s: float, initial_temp_c: float,
    ) -> None:  # fmt: skip
        self.ua_w_k = ua_w_k
        self.primary_j_k = primary_j_k + 0.5 * metal_j_k
        self.secondary_j_k = SECONDARY_SHARE * (secondary_j_k + 0.5 * metal_j_k)
        self._cp = cp_j_kgk
        self._design_1, self._design_2 = primary_design_kg_s, secondary_design_kg_s
        self.out_1_c = self.out_2_c = self.mean_1_c = self.mean_2_c = initial_temp_c

    def step(self, dt_s: float, flow_1: float, in_1_c: float, flow_2: float, in_2_c: float) -> None:
        """Advance by dt_s with constant inlets."""
        f1 = flow_1 * self._cp if flow_1 > LEAST_FLOW_KG_S else 0.0
        f2 = flow_2 * self._cp if flow_2 > LEAST_FLOW_KG_S else 0.0
        c1, c2 = self.primary_j_k, self.secondary_j_k
        film_1 = max(flow_1 / self._design_1, 1e-4) ** PLATE_FLOW_EXPONENT
        film_2 = max(flow_2 / self._design_2, 1e-4) ** PLATE_FLOW_EXPONENT
        ua = self.ua_w_k * (2.0 * film_1 * film_2 / (film_1 + film_2))
        heat = 0.0
        if f1 > 0.0 and f2 > 0.0:
            least, most = (f1, f2) if f1 < f2 else (f2, f1)
            ntu, apart = ua / least, 1.0 - least / most
            if apart > 1e-7:
                decay = exp(-min(ntu * apart, 700.0))
                share = (1.0 - decay) / (1.0 - (1.0 - apart) * decay)
            else:
                share = ntu / (1.0 + ntu)
            heat = share * least * (in_1_c - in_2_c)
        out_1, out_2 = self.out_1_c, self.out_2_c
        if f1 > 0.0:
            steady_1 = in_1_c - heat / f1
            steady_2 = in_2_c + heat / f2 if f2 > 0.0 else in_1_c
        elif f2 > 0.0:
            steady_1, steady_2 = in_2_c, in_2_c + heat / f2
        else:
            steady_1 = steady_2 = (c1 * out_1 + c2 * out_2) / (c1 + c2)
        x1, x2 = out_1 - steady_1, out_2 - steady_2
        a, b = PRIMARY_PULL * ua, SECONDARY_PULL * ua
        p, q, r, s = (f1 + a) / c1, b / c1, a / c2, (f2 + b) / c2
        middle, half = -0.5 * (p + s), 0.5 * (p - s)
        root = sqrt(half * half + q * r)
        slow, fast = exp((middle + root) * dt_s), exp((middle - root) * dt_s)
        cosine, sine = 0.5 * (slow + fast), 0.5 * (slow - fast) / root
        end_1 = (cosine - half * sine) * x1 + q * sine * x2
        end_2 = r * sine * x1 + (cosine + half * sine) * x2
        change_1, change_2 = c1 * (x1 - end_1), c2 * (x2 - end_2)
        determinant = f1 * f2 + f1 * b + f2 * a
        safe = (determinant if determinant > 0.0 else 1.0) * dt_s
        new_1, new_2 = steady_1 + end_1, steady_2 + end_2
        mean_1 = steady_1 + ((f2 + b) * change_1 + b * change_2) / safe if f1 > 0.0 else new_1
        mean_2 = steady_2 + (a * change_1 + (f1 + a) * change_2) / safe if f2 > 0.0 else new_2
        low, high = min(in_1_c, in_2_c, out_1, out_2), max(in_1_c, in_2_c, out_1, out_2)
        margin = OVERSHOOT * (high - low) + 1e-9
        least, most = min(new_1, new_2, mean_1, mean_2), max(new_1, new_2, mean_1, mean_2)
        if least < low - margin or most > high + margin:
            new_1, mean_1 = _relax(dt_s, f1, c1, steady_1, out_1)
            new_2, mean_2 = _relax(dt_s, f2, c2, steady_2, out_2)
        self.out_1_c, self.out_2_c, self.mean_1_c, self.mean_2_c = new_1, new_2, mean_1, mean_2


def _relax(
    dt_s: float, flow_w_k: float, store_j_k: float, steady_c: float, out_c: float
) -> tuple[float, float]:
    if flow_w_k <= 0.0:
        return out_c, out_c
    x = flow_w_k * dt_s / store_j_k
    share = -expm1(-x)
    return out_c + (steady_c - out_c) * share, steady_c + (out_c - steady_c) * (share / x)


class Circuit:
    """Valve, exchanger, radiators and rooms of row `row`, see `houses.Houses`; it starts as they do."""

    def __init__(self, rows: Substations, row: int, outdoor_c: float) -> None:
        arrays = Houses(rows, outdoor_c)
        self.cp_j_kgk = arrays.cp_j_kgk
        self.valve = Valve(
            float(rows.valve_kvs_m3_h[row]), float(rows.valve_stroke_s[row]), float(rows.valve_backlash[row]),
            float(rows.valve_leakage[row]), float(rows.valve_rangeability[row]),
        )  # fmt: skip
        self._exchanger_kv = float(rows.exchanger_kv_m3_h[row])
        self.exchanger = Exchanger(
            float(rows.exchanger_ua_w_k[row]), float(rows.exchanger_primary_water_kg[row]) * self.cp_j_kgk,
            float(rows.exchanger_secondary_water_kg[row]) * self.cp_j_kgk,
            float(rows.exchanger_metal_j_k[row]), self.cp_j_kgk, float(rows.design_flow_kg_s[row]),
            float(rows.secondary_flow_kg_s[row]), 30.0,
        )  # fmt: skip
        self._flow_kg_s = float(rows.secondary_flow_kg_s[row])
        radiators, buildings = arrays.radiators, arrays.buildings
        self._conductance = float(radiators.conductance_w_kn[row])
        self.cell_j_k = float(radiators.cell_j_k[row])
        self.cell_c = [float(c) for c in radiators.cell_c[:, row]]
        self._direct = float(buildings.air_to_outdoor_w_k[row])
        self._inside = float(buildings.air_to_mass_w_k[row])
        self._outside = float(buildings.mass_to_outdoor_w_k[row])
        self._air_j_k, self._mass_j_k = float(buildings.air_j_k[row]), float(buildings.mass_j_k[row])
        self.room_c, self.mass_c = float(buildings.room_c[row]), float(buildings.mass_c[row])
        self._wanted_c, self._band = (
            float(rows.thermostat_setpoint_c[row]),
            float(rows.thermostat_band_k[row]),
        )
        self.heat_w = 0.0

    def move(self, open_s: float, close_s: float) -> float:
        """Run the actuator and return kv of valve and exchanger in series, m3/h."""
        valve = self.valve.step(open_s, close_s)
        return valve / sqrt(1.0 + (valve / self._exchanger_kv) ** 2)

    def step(
        self, dt_s: float, primary_kg_s: float, primary_c: float, pump_share: float, outdoor_c: float
    ) -> float:
        """Advance by dt_s and return the mean temperature of the primary water that left."""
        room, cells, cp = self.room_c, self.cell_c, self.cp_j_kgk
        open_share = (self._wanted_c + 0.5 * self._band - room) / self._band
        flow = self._flow_kg_s * pump_share * min(max(open_share, LEAST_THERMOSTAT_SHARE), 1.0)
        exchanger = self.exchanger
        exchanger.step(dt_s, primary_kg_s, primary_c, flow, cells[CELLS - 1])
        capacity, rate = flow * cp, self.cell_j_k / dt_s
        inlet, heat = exchanger.mean_2_c, 0.0
        for cell in range(CELLS):
            temp = cells[cell]
            share = abs(temp - room) ** (RADIATOR_EXPONENT - 1.0) * self._conductance
            if cell < CELLS - 1:
                after = (rate * temp + capacity * inlet + share * room) / (rate + capacity + share)
            else:
                after = (rate * temp + capacity * (inlet - temp) + share * room) / (rate + share)
            heat += share * (after - room)
            cells[cell] = inlet = after
        self.heat_w = heat
        a, m = self._air_j_k / dt_s, self._mass_j_k / dt_s
        inside, outside, direct = self._inside, self._outside, self._direct
        air_side, mass_side = a + inside + direct, m + inside + outside
        air_in = a * room + direct * outdoor_c + heat
        mass_in = m * self.mass_c + outside * outdoor_c
        determinant = air_side * mass_side - inside * inside
        self.room_c = (air_in * mass_side + inside * mass_in) / determinant
        self.mass_c = (mass_in * air_side + inside * air_in) / determinant
        return exchanger.mean_1_c


def series_kv(valve_kv: float, fixed_kv: float) -> float:
    """kv of a valve and a fixed resistance in series, m3/h."""
    return valve_kv / sqrt(1.0 + (valve_kv / fixed_kv) ** 2)
