"""The pump station: it holds its pressure, asks for its temperature, and never stops the pump."""

import pytest

from firmware.substation import order_frame as of
from firmware.substation import precedence, pump_station

from .loop_rig import STATION_INPUTS, StationRig


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


INDEX = {"index_dp_own_bar": 0.8, "inputs": STATION_INPUTS}
SUCTION = {"suction_pressure_minimum_bar": 1.0, "dry_run_pressure_bar": 0.3, "inputs": STATION_INPUTS}


def test_the_index_consumer_gets_what_it_must_have(ticks):
    rig = StationRig(ticks, **INDEX)
    rig.step(1800)
    assert rig.index_dp_bar() == pytest.approx(0.8, abs=0.03)
    assert rig.read("index_dp_correction_bar") == pytest.approx(2.0 - 1.5, abs=0.1)
    assert rig.read("dp_reserve_bar") == pytest.approx(0.0, abs=0.03)
    rig.index_share = 0.25  # the town draws more
    rig.step(1800)
    assert rig.index_dp_bar() == pytest.approx(0.8, abs=0.03)


def test_the_index_never_takes_the_plant_past_its_limits(ticks):
    rig = StationRig(ticks, **INDEX, plant_dp_maximum_bar=2.5)
    rig.index_share = 0.1
    rig.step(3600)
    assert rig.read("plant_dp_effective_bar") == 2.5
    rig.index_share = 0.9
    rig.step(3600)
    assert rig.read("plant_dp_effective_bar") == pytest.approx(0.8 / 0.9, abs=0.05)


def test_an_order_goes_before_the_index(ticks):
    rig = StationRig(ticks, **INDEX)
    rig.step(1800)
    rig.order({"plant_dp_sp_bar": 3.0}, lease_s=3600)
    rig.step(1200)
    assert rig.dp_bar == pytest.approx(3.0, abs=0.05)


def test_s1_index_lost_walks_to_the_own_pressure_and_back(ticks):
    rig = StationRig(ticks, **INDEX)
    rig.index_share = 0.25
    rig.step(1800)
    assert rig.dp_bar == pytest.approx(3.2, abs=0.1)
    rig.index_lost = True
    rig.step(60)
    assert rig.dp_bar > 2.7  # no faster than 0.2 bar in a minute
    rig.step(1200)
    assert rig.dp_bar == pytest.approx(1.5, abs=0.05)
    assert rig.alarm("SENSOR_LOST")
    rig.index_lost = False
    rig.step(1800)
    assert rig.index_dp_bar() == pytest.approx(0.8, abs=0.03)
    assert not rig.alarm("SENSOR_LOST")


def test_low_suction_pressure_holds_the_speed_back(ticks):
    rig = StationRig(ticks, **SUCTION)
    rig.step(300)
    before = rig.board.speed_bp
    rig.suction_bar = 0.8
    rig.step(120)
    assert rig.read("pump_state_number") == pump_station.HELD_BACK
    assert rig.board.speed_bp < before
    assert rig.board.speed_bp >= 2_500
    rig.suction_bar = 2.0
    rig.step(300)
    assert rig.read("pump_state_number") == pump_station.IN_ORDER
    assert rig.dp_bar == pytest.approx(1.5, abs=0.05)


def test_a_pump_that_would_run_dry_stops_and_waits_for_water(ticks):
    rig = StationRig(ticks, **SUCTION)
    rig.step(300)
    rig.suction_bar = 0.1
    rig.step(6)
    assert rig.board.speed_bp > 0  # a moment is no lack of water
    rig.step(8)
    assert rig.board.speeds_bp == [0, 0]
    assert rig.alarm("DRY_RUN")
    assert rig.read("pump_state_number") == pump_station.DRY
    rig.suction_bar = 2.0
    rig.step(40)
    assert rig.board.speed_bp == 0
    rig.step(300)
    assert rig.dp_bar == pytest.approx(1.5, abs=0.05)
    assert not rig.alarm("DRY_RUN")


def test_s1_suction_lost_takes_the_protection_off_and_tells(ticks):
    rig = StationRig(ticks, **SUCTION)
    rig.suction_bar = 0.8
    rig.step(300)
    rig.suction_bar = None
    rig.step(300)
    assert rig.read("pump_state_number") == pump_station.SUCTION_LOST
    assert rig.dp_bar == pytest.approx(1.5, abs=0.05)
    assert rig.alarm("SENSOR_LOST")
    rig.suction_bar = 2.0
    rig.step(30)
    assert rig.read("pump_state_number") == pump_station.IN_ORDER
    assert not rig.alarm("SENSOR_LOST")


def test_the_least_flow_raises_the_speed(ticks):
    rig = StationRig(ticks, plant_flow_minimum_m3_h=20)

    def flows():
        return 30.0 * rig.board.speed_bp / 10_000

    rig.flow_m3_h = flows
    rig.step(900)
    assert flows() == pytest.approx(20.0, abs=0.5)
    assert rig.read("plant_flow_minimum_bites_number") == 1
    rig.flow_m3_h = lambda: 60.0
    rig.step(300)
    assert rig.read("plant_flow_minimum_bites_number") == 0
    assert rig.dp_bar == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("lost", "shown"), [("flow_lost", "plant_flow_m3_h"), ("supply", "plant_supply_temp_c")]
)
def test_s1_other_losses_count_no_heat_and_are_told(rig, lost, shown):
    if lost == "flow_lost":
        rig.flow_lost = True
    else:
        rig.temps = (-5.0, None, 50.0)
    rig.step(60)
    assert rig.read(shown) is None
    assert rig.read("plant_heat_kw") is None
    assert rig.alarm("SENSOR_LOST")
    assert rig.dp_bar == pytest.approx(1.5, abs=0.05)
    rig.flow_lost = False
    rig.temps = None
    rig.step(60)
    assert rig.read("plant_heat_kw") > 0
    assert not rig.alarm("SENSOR_LOST")


def peak_after(rig, seconds):
    """Let the time pass; return the highest speed and the highest pressure."""
    speeds, pressures = [], []
    for _ in range(seconds // 2):
        rig.step(2)
        speeds.append(rig.board.speed_bp)
        pressures.append(rig.dp_bar)
    return max(speeds), max(pressures)


def test_nothing_winds_up_while_the_pump_stands_dry(ticks):
    rig = StationRig(ticks, **{**SUCTION, **INDEX}, plant_flow_minimum_m3_h=10)
    rig.flow_m3_h = lambda: 40.0 * rig.board.speed_bp / 10_000
    rig.step(1800)
    speed_bp, dp_bar, index_bar = rig.board.speed_bp, rig.dp_bar, rig.read("index_dp_correction_bar")
    rig.suction_bar = 0.1
    rig.step(3600)
    assert rig.board.speed_bp == 0
    assert rig.read("index_dp_correction_bar") == pytest.approx(index_bar, abs=0.02)
    rig.suction_bar = 2.0
    highest_bp, highest_bar = peak_after(rig, 600)
    assert highest_bp < speed_bp + 500
    assert highest_bar < dp_bar + 0.3
    assert rig.dp_bar == pytest.approx(dp_bar, abs=0.05)


@pytest.mark.parametrize("cause", ["dp lost", "held back", "full speed"])
def test_the_index_does_not_wind_up_behind_what_it_cannot_move(ticks, cause):
    rig = StationRig(ticks, **{**SUCTION, **INDEX})
    rig.step(1800)
    dp_bar, index_bar = rig.dp_bar, rig.read("index_dp_correction_bar")
    full_dp_bar = rig.full_dp_bar
    if cause == "dp lost":
        rig.dp_lost = True
        rig.index_share = 0.3
    elif cause == "held back":
        rig.suction_bar = 0.9
    else:
        rig.full_dp_bar = 1.2
    rig.step(1800)
    assert rig.read("index_dp_correction_bar") < index_bar + 0.25
    rig.suction_bar, rig.dp_lost, rig.full_dp_bar, rig.index_share = 2.0, False, full_dp_bar, 0.4
    if cause == "full speed":  # the speed has to come down from its stop first
        rig.step(120)
    _, highest_bar = peak_after(rig, 900)
    assert highest_bar < dp_bar + 0.5


def test_the_least_flow_does_not_teach_the_index(ticks):
    rig = StationRig(ticks, **INDEX, plant_flow_minimum_m3_h=20)
    rig.step(1800)
    index_bar = rig.read("index_dp_correction_bar")
    rig.flow_m3_h = lambda: 24.0 * rig.board.speed_bp / 10_000
    rig.step(1800)
    assert rig.read("plant_flow_minimum_bites_number") == 1
    assert rig.read("index_dp_correction_bar") == pytest.approx(index_bar, abs=0.1)


def test_s1_pressure_lost_the_least_flow_raises_the_speed_and_lets_go(ticks):
    rig = StationRig(ticks, plant_flow_minimum_m3_h=20)
    rig.step(300)
    rig.dp_lost = True
    rig.step(30)
    held_bp = rig.board.speed_bp
    rig.flow_m3_h = lambda: 25.0 * rig.board.speed_bp / 10_000
    rig.step(600)
    assert rig.board.speed_bp == pytest.approx(8_000, abs=200)
    rig.flow_m3_h = lambda: 60.0
    rig.step(300)
    assert rig.board.speed_bp == held_bp


def test_s1_pressure_lost_the_speed_comes_back_after_cavitation(ticks):
    rig = StationRig(ticks, **SUCTION, own_plant_dp_bar=4.0)
    rig.step(600)
    rig.dp_lost = True
    rig.step(30)
    held_bp = rig.board.speed_bp
    assert held_bp > 7_500
    rig.suction_bar = 0.5
    rig.step(120)
    assert rig.board.speed_bp < 5_000
    rig.suction_bar = 2.0
    rig.step(300)
    assert rig.board.speed_bp == held_bp


def told_to(board):
    """Note what the board is told from now on: enable and the speed of the first pump."""
    told = []
    pump, pump_speed = board.pump, board.pump_speed

    def noted_pump(on, which=0):
        told.append(("enable", on))
        pump(on, which)

    def noted_speed(bp, which=0):
        if which == 0:
            told.append(("speed", bp > 0))
        pump_speed(bp, which)

    board.pump, board.pump_speed = noted_pump, noted_speed
    return told


@pytest.mark.parametrize("pumps", [1, 2])
def test_s5_the_pumps_have_their_enable_while_they_turn_and_only_then(ticks, pumps):
    rig = StationRig(ticks, **SUCTION, pumps=pumps)
    assert not rig.board.pump_is_on
    told = told_to(rig.board)
    rig.step(2)
    assert told == [("enable", True), ("speed", True)]  # no speed without it
    rig.step(300)
    assert told.count(("enable", True)) == 1  # the relay is not written again
    rig.suction_bar = 0.1
    rig.step(14)
    assert not rig.board.pump_is_on
    first = told.index(("speed", False))
    assert told[first + 1 :].count(("enable", False)) == told.count(("enable", False)) == 1
    rig.suction_bar = 2.0
    rig.step(80)
    assert rig.board.pump_is_on and rig.board.speed_bp > 0


def test_what_ends_the_loop_leaves_pumps_without_enable_and_speed(ticks):
    rig = StationRig(ticks, pumps=2)
    rig.step(300)
    assert rig.board.pump_is_on
    rig.loop.stop()
    assert not rig.board.pump_is_on
    assert rig.board.speeds_bp == [0, 0]


TWO = {"pumps": 2, "pump_change_s": 3_600}


def test_the_second_pump_joins_when_one_is_not_enough_and_leaves(ticks):
    rig = StationRig(ticks, **TWO, own_plant_dp_bar=2.5)
    rig.full_dp_bar = 2.2
    rig.step(600)
    assert min(rig.board.speeds_bp) > 0
    assert rig.dp_bar == pytest.approx(2.5, abs=0.05)
    rig.full_dp_bar = 8.0
    rig.step(900)
    assert sorted(rig.board.speeds_bp)[0] == 0
    assert rig.dp_bar == pytest.approx(2.5, abs=0.05)


def test_the_pumps_share_the_running_time_and_the_pressure_stays(ticks):
    rig = StationRig(ticks, **TWO)
    rig.step(300)
    lowest = 9.0
    leads = set()
    for _ in range(6 * 1800):
        rig.step(2)
        lowest = min(lowest, rig.dp_bar)
        leads.add(rig.read("lead_pump_number"))
    assert leads == {1, 2}
    assert abs(rig.read("pump_run_s") - rig.read("pump2_run_s")) <= 3_600 + 60
    assert lowest > 1.2


def test_s9_running_times_outlive_a_power_cut(ticks):
    rig = StationRig(ticks, **TWO)
    rig.step(7_200)
    rig.loop.save_when_due(7_200)
    again = StationRig(ticks, flash=rig.flash, **TWO)
    assert again.loop.pumps.run_s == rig.loop.pumps.run_s
    assert again.loop.pumps.lead == rig.loop.pumps.lead
