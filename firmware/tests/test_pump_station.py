"""The pump station: it holds its pressure, asks for its temperature, and never stops the pump."""

import pytest

from firmware.substation import order_frame as of
from firmware.substation import precedence

from .loop_rig import StationRig


@pytest.fixture
def rig(ticks):
    rig = StationRig(ticks)
    rig.step(300)
    return rig


@pytest.mark.parametrize("full_dp_bar", [2.5, 6.0, 12.0])
def test_it_holds_its_own_pressure_with_small_and_large_pumps(ticks, full_dp_bar):
    rig = StationRig(ticks)
    rig.full_dp_bar = full_dp_bar
    rig.step(600)
    speeds = []
    for _ in range(60):
        rig.step(2)
        assert rig.dp_bar == pytest.approx(1.5, abs=0.01)
        speeds.append(rig.board.speed_bp)
    assert max(speeds) - min(speeds) <= 20


def test_an_ordered_pressure_comes_by_its_slew_and_without_overshoot(rig):
    assert rig.order({"plant_dp_sp_bar": 3.0}).result == of.ACCEPTED
    highest, last = 0.0, rig.dp_bar
    for _ in range(450):
        rig.step(2)
        highest = max(highest, rig.dp_bar)
        assert rig.dp_bar - last < 0.05
        last = rig.dp_bar
    assert rig.dp_bar == pytest.approx(3.0, abs=0.01)
    assert highest < 3.03


def test_the_supply_temperature_follows_the_own_curve_and_orders(rig):
    own_c = 105 - 30 * 10 / 30
    assert rig.read("plant_supply_temp_out_c") == pytest.approx(own_c, abs=0.02)
    assert rig.board.demand_bp == pytest.approx(own_c / 130 * 10_000, abs=2)
    rig.order({"plant_supply_temp_sp_c": 90.0})
    rig.step(60)
    assert rig.read("plant_supply_temp_effective_c") == pytest.approx(own_c - 1.0, abs=0.05)
    rig.step(600)
    assert rig.read("plant_supply_temp_out_c") == 90.0


def test_s4_after_silence_it_is_back_at_its_own_values(rig):
    rig.order({"plant_dp_sp_bar": 4.0, "plant_supply_temp_sp_c": 80.0}, lease_s=300)
    rig.step(300 + 900 + 60 + 1800)
    assert rig.dp_bar == pytest.approx(1.5, abs=0.02)
    assert rig.read("plant_supply_temp_effective_c") == pytest.approx(95.0, abs=0.02)


def test_s1_pressure_lost_keeps_the_speed(rig):
    rig.order({"plant_dp_sp_bar": 4.0}, lease_s=3600)
    rig.step(1200)
    speed = rig.board.speed_bp
    rig.dp_lost = True
    rig.step(600)
    assert rig.board.speed_bp == pytest.approx(speed, abs=20)
    assert rig.read("active_limiter_number") == precedence.FALLBACK
    assert rig.alarm("SENSOR_LOST")
    rig.dp_lost = False
    rig.step(120)
    assert rig.dp_bar == pytest.approx(4.0, abs=0.05)


def test_s1_pressure_lost_from_the_start_turns_at_half_speed(ticks):
    rig = StationRig(ticks)
    rig.dp_lost = True
    rig.step(600)
    assert rig.board.speed_bp == 5_000


def test_s1_outdoor_lost_takes_the_curve_at_zero(rig):
    rig.outdoor_c = None
    rig.step(30)
    assert rig.read("plant_supply_temp_effective_c") == pytest.approx(90.0, abs=0.02)


def test_the_pump_never_turns_slower_than_its_minimum(ticks):
    rig = StationRig(ticks, pump_speed_minimum_pct=30)
    rig.full_dp_bar = 16.0
    slowest = 10_000
    for _ in range(300):
        rig.step(2)
        slowest = min(slowest, rig.board.speed_bp)
    assert slowest == 3_000


def test_low_pressure_is_told(rig):
    rig.full_dp_bar = 0.5
    rig.step(120)
    assert rig.alarm("LOW_DP")
    assert rig.board.speed_bp == 10_000
