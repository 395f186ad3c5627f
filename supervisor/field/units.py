"""The units that names of registers end in, as people write them."""

from __future__ import annotations

_UNITS = (  # the longer before the shorter
    ("_m3_h", "m³/h"), ("_m3", "m³"), ("_kwh", "kWh"), ("_kw", "kW"), ("_kh", "K·h"), ("_bar", "bar"),
    ("_pct", "%"), ("_ms", "ms"), ("_c", "°C"), ("_k", "K"), ("_s", "s"), ("_b", "B"),
)  # fmt: skip


def unit_of(name: str) -> str:
    """Return the unit a register's name ends in, as people write it; empty for counts and codes."""
    return next((unit for ending, unit in _UNITS if name.endswith(ending)), "")
