"""A heat meter in the pipe, with the errors that EN 1434 allows its class, and what it tells over M-Bus.

It measures the truth with the faults of its kind, drawn once by seed: flow sensor, temperature sensors and
calculator each somewhere inside their own limit. Its telegrams are built here from the standard (EN 13757-3);
nothing of the controller's decoder is used, or one mistake would hide in both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from core_ext import fluid

# Maximum permissible errors of class 2 in per cent, EN 1434-1 and 2014/32/EU annex VI (domain.md, section 8):
# flow 2 + 0.02 qp/q, at most 5; sensors 0.5 + 3 dTmin/dT; calculator 0.5 + dTmin/dT.
FLOW_MPE_PCT, FLOW_MPE_SLOPE, FLOW_MPE_MOST_PCT = 2.0, 0.02, 5.0
SENSORS_MPE_PCT, SENSORS_MPE_SLOPE = 0.5, 3.0
CALCULATOR_MPE_PCT, CALCULATOR_MPE_SLOPE = 0.5, 1.0
SMALLEST_DIFFERENCE_K = 3.0  # dTmin, typical
DYNAMIC_RANGE = 100.0  # qp/qi: below it a meter counts nothing

# VIF without its power of ten, and the exponent that stands for 0 in it (EN 13757-3, primary table)
ENERGY_WH, VOLUME_M3, POWER_W, FLOW_M3_H = (0x00, -3), (0x10, -6), (0x28, -3), (0x38, -6)
SUPPLY_C, RETURN_C, DIFFERENCE_K = (0x58, -3), (0x5C, -3), (0x60, -3)
INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 6: 6, 7: 8}  # data field: bytes
MANUFACTURER = sum((ord(letter) - 64) << shift for letter, shift in zip("TPV", (10, 5, 0), strict=True))
HEAT_IN_SUPPLY = 0x0C
MORE_FOLLOWS = 0x1F


def integer(data_field: int, unit: tuple[int, int], exponent: int, value: float, storage: int = 0) -> bytes:
    """Return a record with a signed whole number of 10^exponent in this unit. ValueError: no such power."""
    code, zero = unit
    power = exponent - zero
    if not 0 <= power <= (3 if code >= SUPPLY_C[0] else 7):
        raise ValueError(f"VIF {code:#04x} has no power of ten {exponent}; choose another")
    size = INTEGER_BYTES[data_field]
    dif = data_field | (storage & 1) << 6 | (0x80 if storage > 1 else 0)
    chain = bytes((storage >> 1 & 0x0F,)) if storage > 1 else b""
    return (
        bytes((dif,)) + chain + bytes((code | power,))
        + round(value / 10.0**exponent).to_bytes(size, "little", signed=True)
    )  # fmt: skip


def decimal(data_field: int, unit: tuple[int, int], exponent: int, value: float) -> bytes:
    """Return a record of packed decimal digits. data_field: 0x9 to 0xC for 2 to 8 digits."""
    code, zero = unit
    size = data_field - 8
    digits = f"{round(abs(value) / 10.0**exponent):0{2 * size}d}"
    packed = bytearray(bytes.fromhex(digits))
    if value < 0:
        packed[0] = packed[0] & 0x0F | 0xF0
    return bytes((data_field, code | exponent - zero)) + bytes(reversed(packed))


@dataclass
class HeatMeter:
    """One meter. qp_m3_h: its permanent flow. number: the eight digits of its label.

    Settable faults: `status` (the status byte of its telegrams), `swapped` (its temperature sensors stand in
    each other's pipe), `backwards` (flow sensor against the arrow), `frozen` (its display stands still while
    it goes on counting), `supply_offset_k`, `power_factor` (its calculator is out of order).
    """

    qp_m3_h: float = 1.5
    number: int = 12_345_678
    seed: int = 0
    dialect: str = "integer"  # or "decimal", "two telegrams"
    refresh_s: float = 8.0
    status: int = 0
    swapped: bool = False
    backwards: bool = False
    frozen: bool = False
    supply_offset_k: float = 0.0
    power_factor: float = 1.0
    energy_wh: float = 0.0
    volume_m3: float = 0.0
    true_energy_wh: float = 0.0
    """What a meter without errors would have counted."""
    flow_m3_h: float = 0.0
    power_w: float = 0.0
    supply_c: float = 20.0
    return_c: float = 20.0
    _shares: tuple[float, ...] = field(default=(), repr=False)
    _since_s: float = field(default=math.inf, repr=False)
    _access: int = field(default=0, repr=False)
    _shown: tuple[float, ...] = field(default=(0.0,) * 6, repr=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng([self.seed, 0x1434, self.number])
        self._shares = tuple(float(share) for share in random.uniform(-1.0, 1.0, 3))

    def permissible_pct(self, flow_m3_h: float, difference_k: float) -> tuple[float, float, float]:
        """Return the limits of flow sensor, temperature sensors and calculator, in per cent."""
        ratio = SMALLEST_DIFFERENCE_K / max(difference_k, SMALLEST_DIFFERENCE_K)
        flow = FLOW_MPE_MOST_PCT
        if flow_m3_h > 0.0:
            flow = min(FLOW_MPE_PCT + FLOW_MPE_SLOPE * self.qp_m3_h / flow_m3_h, FLOW_MPE_MOST_PCT)
        return (
            flow,
            SENSORS_MPE_PCT + SENSORS_MPE_SLOPE * ratio,
            CALCULATOR_MPE_PCT + CALCULATOR_MPE_SLOPE * ratio,
        )

    def step(self, dt_s: float, flow_m3_h: float, supply_c: float, return_c: float) -> None:
        """Measure dt_s of this water: flow at the sensor in the return, both temperatures in degC."""
        difference_k = supply_c - return_c
        flow_pct, sensors_pct, calculator_pct = (
            share * limit
            for share, limit in zip(
                self._shares, self.permissible_pct(flow_m3_h, abs(difference_k)), strict=True
            )
        )
        true_w = heat_w(flow_m3_h, supply_c, return_c)
        self.true_energy_wh += true_w * dt_s / 3600.0
        flow = flow_m3_h * (1.0 + flow_pct / 100.0)
        if flow_m3_h < self.qp_m3_h / DYNAMIC_RANGE:
            flow = 0.0
        half_k = difference_k * sensors_pct / 100.0 / 2.0
        warm, cold = supply_c + half_k + self.supply_offset_k, return_c - half_k
        if self.swapped:
            warm, cold = cold, warm
        if self.backwards:
            flow = -flow
        power = heat_w(flow, warm, cold) * (1.0 + calculator_pct / 100.0) * self.power_factor
        self.energy_wh += max(power, 0.0) * dt_s / 3600.0
        self.volume_m3 += max(flow, 0.0) * dt_s / 3600.0
        self.flow_m3_h, self.power_w, self.supply_c, self.return_c = flow, power, warm, cold
        self._since_s += dt_s
        if self._since_s >= self.refresh_s and not self.frozen:
            self._since_s = 0.0
            self._shown = (self.energy_wh, self.volume_m3, flow, power, warm, cold)

    def header(self) -> bytes:
        """Return control information and the twelve bytes before the records, and count the access."""
        self._access = self._access + 1 & 0xFF
        return (
            b"\x72" + bytes.fromhex(f"{self.number:08d}")[::-1] + MANUFACTURER.to_bytes(2, "little")
            + bytes((1, HEAT_IN_SUPPLY, self._access, self.status, 0, 0))
        )  # fmt: skip

    def telegrams(self) -> list[bytes]:
        """Return the user data of each telegram, in order: readings as shown, and stored values."""
        energy_wh, volume_m3, flow_m3_h, power_w, supply_c, return_c = self._shown
        if self.dialect == "decimal":
            records = [
                decimal(0x0C, ENERGY_WH, 3, energy_wh), decimal(0x0C, VOLUME_M3, -2, volume_m3),
                decimal(0x0B, FLOW_M3_H, -3, flow_m3_h), decimal(0x0B, POWER_W, 1, power_w),
                decimal(0x0A, SUPPLY_C, -1, supply_c), decimal(0x0A, RETURN_C, -1, return_c),
            ]  # fmt: skip
        else:
            records = [
                integer(4, ENERGY_WH, 3, energy_wh), integer(4, ENERGY_WH, 3, energy_wh / 2, storage=1),
                integer(4, VOLUME_M3, -2, volume_m3), integer(4, FLOW_M3_H, -3, flow_m3_h),
                integer(4, POWER_W, 0, power_w), integer(2, SUPPLY_C, -2, supply_c),
                integer(2, RETURN_C, -2, return_c), integer(3, DIFFERENCE_K, -2, supply_c - return_c),
                integer(4, ENERGY_WH, 3, energy_wh / 3, storage=2),
            ]  # fmt: skip
        if self.dialect == "two telegrams":
            first = self.header() + b"".join(records[:4]) + bytes((MORE_FOLLOWS,))
            return [first, self.header() + b"".join(records[4:])]
        return [self.header() + b"".join(records) + b"\x0f\x2a\x2a"]


def heat_w(flow_m3_h: float, supply_c: float, return_c: float) -> float:
    """Return the heat of this flow, counted at the return's density as EN 1434 does, in W."""
    density = float(fluid.density_kg_m3(return_c))
    capacity = float(fluid.heat_capacity_j_kgk((supply_c + return_c) / 2.0))
    return flow_m3_h / 3600.0 * density * capacity * (supply_c - return_c)
