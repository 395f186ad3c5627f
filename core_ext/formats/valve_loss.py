"""Valves as loss coefficients: what formats without kv, opening and characteristic can hold of them."""

from __future__ import annotations

import math

from .._elements import RANGEABILITY
from ..network import Table
from ..solver import SHUT_BELOW

# diameter at which a kv is written as a loss coefficient; any will do
VALVE_DIAMETER_M = 0.1


def loss_of_kv(kv_m3_h: float, diameter_m: float) -> float:
    """The loss coefficient at a diameter that drops as much as a kv."""
    area_m2 = math.pi * diameter_m**2 / 4.0
    return 2.0 * area_m2**2 * 1e5 * 3600.0**2 / (1000.0 * kv_m3_h**2)


def kv_of_loss(loss: float, diameter_m: float) -> float:
    """The kv, m3/h, that drops as much as a loss coefficient at a diameter; inf where nothing is lost."""
    area_m2 = math.pi * diameter_m**2 / 4.0
    return math.sqrt(2.0 * area_m2**2 * 1e5 * 3600.0**2 / (1000.0 * loss)) if loss > 0.0 else math.inf


def standing_loss(valves: Table, row: int) -> tuple[float, float, bool]:
    """Loss coefficient of a valve at its opening, the diameter (m) it counts at, and whether it is shut."""
    opening, kv = float(valves["opening"][row]), float(valves["kv_m3_h"][row])
    shut = opening < SHUT_BELOW
    if math.isnan(kv):
        width, loss = float(valves["diameter_m"][row]), float(valves["loss_coefficient"][row])
    else:
        width, shut = VALVE_DIAMETER_M, shut or kv < SHUT_BELOW
        loss = 0.0 if shut else loss_of_kv(kv, width)
    if not shut:
        loss /= (
            opening if valves["characteristic"][row] == "linear" else RANGEABILITY ** (opening - 1.0)
        ) ** 2
    return loss, width, shut
