"""What a screen must know about the register map: points with unit, decimals and limits, by profile.

Made from `firmware.substation.registers`, so that a new register appears on the screens by itself. It
refuses to know any reading.
"""

from __future__ import annotations

from typing import Any

from firmware.substation import registers

from ..field.blocks import BLOCKS, VALUE_BLOCKS
from ..field.units import unit_of
from ..historian.layout import current_layout

# What an operator can act on; the register's own step is finer than any sensor is true.
_DECIMALS = {"°C": 1, "K": 1, "bar": 2, "kW": 1, "kWh": 0, "m³": 1, "%": 0, "K·h": 1, "s": 0, "ms": 0}
_PLANT_KW_DECIMALS = 0


def decimals_of(register: Any) -> int:
    """Return how many decimals of a point are shown; never more than the register carries."""
    unit = unit_of(register.name)
    if unit == "m³/h":
        shown = 2 if register.name.startswith("plant_") else 3
    elif register.name == "plant_heat_kw":
        shown = _PLANT_KW_DECIMALS
    else:
        shown = _DECIMALS.get(unit, 0)
    carried = 0
    while carried < 3 and round(register.scale * 10**carried, 9) < 1:
        carried += 1
    return min(shown, carried)


def profiles() -> dict[str, Any]:
    """Return the points and leases of each profile as JSON values."""
    answer: dict[str, Any] = {}
    for number, profile in enumerate(registers.PROFILES, 1):
        polled = {point for name in VALUE_BLOCKS[profile] for point in BLOCKS[profile][name].points}
        kept = set(current_layout(profile).points)
        rows = registers.BY_PROFILE[profile]
        names = {row.name for row in rows}
        answer[profile] = {
            "number": number,
            "points": [
                {
                    "name": row.name,
                    "unit": unit_of(row.name),
                    "decimals": decimals_of(row),
                    "low": row.low,
                    "high": row.high,
                    "access": row.access,
                    "space": row.space,
                    "live": row.name in polled,
                    "kept": row.name in kept,
                }
                for row in rows
            ],
            "leases": [lease._asdict() for lease in registers.LEASES if lease.setpoint in names],
        }
    return answer
