"""The preview's estimates: right in direction and size, marked as estimates, silent without good readings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ..effects import HEAT_PER_FLOW_KWH_M3_K, effect_of
from ..latest import Quality, Reading

NOW = datetime(2026, 1, 12, tzinfo=UTC)
HOUSE = {
    "primary_heat_kw": 10.0,
    "primary_supply_temp_c": 80.0,
    "primary_return_temp_c": 45.0,
    "primary_flow_m3_h": 0.25,
    "secondary_supply_temp_effective_c": 50.0,
    "room_temp_c": 20.0,
}
PLANT = {
    "plant_dp_bar": 1.5,
    "plant_flow_m3_h": 12.0,
    "plant_supply_temp_c": 80.0,
    "plant_return_temp_c": 45.0,
}


class Readings:
    """Readings by name; those in `bad` are stale."""

    def __init__(self, values: dict[str, float], *bad: str) -> None:
        self.values = values
        self.bad = bad

    def point(self, device_id: str, name: str) -> Reading:
        quality = Quality.stale if name in self.bad else Quality.good
        return Reading(self.values.get(name), quality, 1.0, NOW)


def test_a_warmer_supply_takes_more_heat_and_flow() -> None:
    effect = effect_of(Readings(HOUSE), "house-01", "secondary_supply_temp_sp_c", 56.0)
    assert effect["estimate"] is True
    # 36 K above the room instead of 30, to the power 1.3
    assert effect["heat_kw"] == {"before": 10.0, "after": pytest.approx(10.0 * (36 / 30) ** 1.3, abs=0.01)}
    ratio = effect["flow_m3_h"]["after"] / effect["flow_m3_h"]["before"]
    assert ratio == pytest.approx((36 / 30) ** 1.3, rel=0.01)


def test_a_shift_is_a_change_of_the_supply() -> None:
    shift = effect_of(Readings(HOUSE), "house-01", "curve_shift_sp_k", -5.0)
    same = effect_of(Readings(HOUSE), "house-01", "secondary_supply_temp_sp_c", 45.0)
    assert shift["heat_kw"] == same["heat_kw"]
    assert shift["heat_kw"]["after"] < 10.0


def test_a_flow_limit_above_the_flow_changes_nothing() -> None:
    effect = effect_of(Readings(HOUSE), "house-01", "primary_flow_limit_sp_m3_h", 0.5)
    assert effect["heat_kw"]["before"] == effect["heat_kw"]["after"]
    effect = effect_of(Readings(HOUSE), "house-01", "primary_flow_limit_sp_m3_h", 0.1)
    assert effect["flow_m3_h"] == {"before": 0.25, "after": 0.1}
    assert effect["heat_kw"]["after"] == pytest.approx(0.1 * 35 * HEAT_PER_FLOW_KWH_M3_K, abs=0.01)


def test_pressure_and_supply_temperature_of_the_plant() -> None:
    effect = effect_of(Readings(PLANT), "plant", "plant_dp_sp_bar", 1.2)
    assert effect["house_dp_change_bar"] == -0.3
    assert effect["hydraulic_power_kw"] == {"before": 0.5, "after": 0.4}
    effect = effect_of(Readings(PLANT), "plant", "plant_supply_temp_sp_c", 73.0)
    assert effect["flow_m3_h"] == {"before": 12.0, "after": 15.0}


@pytest.mark.parametrize(
    ("point", "value", "readings"),
    [
        ("secondary_supply_temp_sp_c", 56.0, Readings(HOUSE, "primary_heat_kw")),
        ("primary_flow_limit_sp_m3_h", 0.1, Readings(HOUSE, "primary_flow_m3_h")),
        ("plant_dp_sp_bar", 1.0, Readings(PLANT, "plant_flow_m3_h")),
        ("plant_supply_temp_sp_c", 75.0, Readings(PLANT, "plant_return_temp_c")),
        ("primary_return_limit_sp_c", 40.0, Readings(HOUSE)),
    ],
)
def test_without_good_readings_there_is_no_number(point: str, value: float, readings: Readings) -> None:
    effect = effect_of(readings, "house-01", point, value)
    assert effect["estimate"] is True
    assert effect["available"] is False
    assert "heat_kw" not in effect
    assert "flow_m3_h" not in effect
    assert set(effect["missing"]) == set(readings.bad)
