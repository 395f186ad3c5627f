"""What a run did to the houses and the plant: samples for pictures, sums for figures.

Sums are taken at every tick, samples once a minute of simulated time. Nothing here judges:
limits and their sources stand in the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..acceptance import limit

FloatArray = NDArray[np.float64]

SAMPLE_S = 60.0
DP_ALARM_PA = 1e5 * limit("index-dp")  # differential pressure below which a house is called underserved

# one value a sample
TOWN_SERIES = (
    "outdoor_temp_c",
    "plant_supply_temp_c",
    "plant_return_temp_c",
    "plant_dp_pa",
    "plant_flow_kg_s",
    "pump_power_w",
    "source_heat_w",
    "index_dp_pa",
)
# one value a house and sample
HOUSE_SERIES = (
    "room_temp_c",
    "primary_dp_pa",
    "primary_flow_kg_s",
    "primary_return_temp_c",
    "secondary_supply_temp_c",
    "valve_position",
)


class Observed(Protocol):
    """The public state of a town plant after a step; units are in the names."""

    @property
    def outdoor_temp_c(self) -> float: ...
    @property
    def plant_supply_temp_c(self) -> float: ...
    @property
    def plant_return_temp_c(self) -> float: ...
    @property
    def plant_dp_pa(self) -> float: ...
    @property
    def plant_flow_kg_s(self) -> float: ...
    @property
    def pump_power_w(self) -> float: ...
    @property
    def source_heat_w(self) -> float: ...
    @property
    def room_temp_c(self) -> FloatArray: ...
    @property
    def primary_dp_pa(self) -> FloatArray: ...
    @property
    def primary_flow_kg_s(self) -> FloatArray: ...
    @property
    def primary_return_temp_c(self) -> FloatArray: ...
    @property
    def secondary_supply_temp_c(self) -> FloatArray: ...
    @property
    def valve_position(self) -> FloatArray: ...


@dataclass
class Sums:
    """Integrals over a run, exact to the tick."""

    span_s: float = 0.0
    room_temp_k_s: float = 0.0
    coldest_room_temp_c: float = float("inf")
    coldest_house: int = -1
    pump_energy_j: float = 0.0
    source_heat_j: float = 0.0
    return_flow_kg: float = 0.0
    return_flow_temp_kgk: float = 0.0
    index_dp_minimum_pa: float = float("inf")
    index_dp_pa_s: float = 0.0
    index_dp_below_alarm_s: float = 0.0
    outdoor_temp_k_s: float = 0.0


@dataclass
class Recording:
    """Collects one run of a town. Times are seconds since the run's epoch; `since_s` discards a warm-up."""

    houses: tuple[str, ...]
    since_s: float = 0.0
    sums: Sums = field(default_factory=Sums)
    _times_s: list[float] = field(default_factory=list)
    _town: list[tuple[float, ...]] = field(default_factory=list)
    _house: list[FloatArray] = field(default_factory=list)
    _next_sample_s: float = 0.0

    def tick(self, now_s: float, dt_s: float, plant: Observed) -> None:
        """Take note of the tick that ended at now_s and lasted dt_s."""
        if now_s <= self.since_s:
            return
        index_dp_pa = float(plant.primary_dp_pa.min())
        sums = self.sums
        sums.span_s += dt_s
        sums.room_temp_k_s += float(plant.room_temp_c.mean()) * dt_s
        coldest = int(plant.room_temp_c.argmin())
        if plant.room_temp_c[coldest] < sums.coldest_room_temp_c:
            sums.coldest_room_temp_c = float(plant.room_temp_c[coldest])
            sums.coldest_house = coldest
        sums.pump_energy_j += float(plant.pump_power_w) * dt_s
        sums.source_heat_j += float(plant.source_heat_w) * dt_s
        sums.return_flow_kg += float(plant.plant_flow_kg_s) * dt_s
        sums.return_flow_temp_kgk += float(plant.plant_flow_kg_s * plant.plant_return_temp_c) * dt_s
        sums.index_dp_minimum_pa = min(sums.index_dp_minimum_pa, index_dp_pa)
        sums.index_dp_pa_s += index_dp_pa * dt_s
        sums.index_dp_below_alarm_s += dt_s if index_dp_pa < DP_ALARM_PA else 0.0
        sums.outdoor_temp_k_s += float(plant.outdoor_temp_c) * dt_s
        if now_s >= self._next_sample_s:
            self._next_sample_s = now_s + SAMPLE_S
            self._times_s.append(now_s)
            self._town.append(
                (*(float(getattr(plant, name)) for name in TOWN_SERIES if name != "index_dp_pa"), index_dp_pa)
            )
            self._house.append(np.stack([getattr(plant, name) for name in HOUSE_SERIES]).astype(np.float32))

    @property
    def hours(self) -> FloatArray:
        """Sample times in hours since the recording began."""
        times = np.asarray(self._times_s)
        return (times - times[0]) / 3600.0 if times.size else times

    @property
    def begin_s(self) -> float:
        """Time of the first sample, seconds since the run's epoch; 0 before it."""
        return self._times_s[0] if self._times_s else 0.0

    def town(self, name: str) -> FloatArray:
        """One series of TOWN_SERIES, shape (samples,)."""
        order = [*(n for n in TOWN_SERIES if n != "index_dp_pa"), "index_dp_pa"]
        return np.array([row[order.index(name)] for row in self._town])

    def house(self, name: str) -> FloatArray:
        """One series of HOUSE_SERIES, shape (samples, houses)."""
        k = HOUSE_SERIES.index(name)
        return np.array([rows[k] for rows in self._house], dtype=float)

    def kpi(self) -> dict[str, Any]:
        """The figures of the run; None where nothing was recorded."""
        s = self.sums
        if s.span_s == 0.0:
            return {"simulated_h": 0.0}
        index = self.town("index_dp_pa")
        return {
            "simulated_h": s.span_s / 3600.0,
            "outdoor_temp_mean_c": s.outdoor_temp_k_s / s.span_s,
            "room_temp_mean_c": s.room_temp_k_s / s.span_s,
            "coldest_room_temp_c": s.coldest_room_temp_c,
            "coldest_room_house": self.houses[s.coldest_house],
            "pump_energy_kwh": s.pump_energy_j / 3.6e6,
            "source_heat_mwh": s.source_heat_j / 3.6e9,
            "return_temp_flow_weighted_c": (
                s.return_flow_temp_kgk / s.return_flow_kg if s.return_flow_kg > 0.0 else None
            ),
            "index_dp_minimum_bar": s.index_dp_minimum_pa / 1e5,
            "index_dp_mean_bar": s.index_dp_pa_s / s.span_s / 1e5,
            "index_dp_p05_bar": float(np.percentile(index, 5)) / 1e5 if index.size else None,
            "index_dp_below_alarm_share": s.index_dp_below_alarm_s / s.span_s,
        }

    def save(self, path: Path) -> None:
        """Write all samples to a compressed .npz beside the report."""
        arrays: dict[str, Any] = {"houses": np.array(self.houses), "time_s": np.asarray(self._times_s)}
        arrays |= {f"town_{name}": self.town(name).astype(np.float32) for name in TOWN_SERIES}
        arrays |= {f"house_{name}": self.house(name).astype(np.float32) for name in HOUSE_SERIES}
        np.savez_compressed(path, **arrays)
