"""Schedules, early start and stop, room influence and adaptation: bounded, and comfort without the time."""

import pytest

from firmware.substation import comfort, precedence
from firmware.substation.fixed_point import FULL_BP

from .dhw_rig import FunctionRig
from .loop_rig import ROOM
from .memory_flash import MemoryFlash

OWN = "own_curve_temp_c"
MODE = "schedule_mode_number"
OWN_C = 61.36
WEEK = {"schedule": {"mon-fri": ["06:00-22:00"]}, "curve_setback_k": 12}


def at(rig, hour, minute=0, day=0):
    rig.at(hour, minute, day)
    rig.step(30)
    return rig.read(MODE)


def test_set_back_outside_the_periods(ticks):
    rig = FunctionRig(ticks, **WEEK)
    assert at(rig, 12) == comfort.COMFORT
    assert rig.read(OWN) == pytest.approx(OWN_C, abs=0.02)
    assert at(rig, 23) == comfort.SET_BACK
    assert rig.read(OWN) == pytest.approx(OWN_C - 12, abs=0.02)
    assert at(rig, 12, day=5) == comfort.SET_BACK
    assert rig.read("local_time_number") == 720


def test_holidays_are_set_back(ticks):
    rig = FunctionRig(ticks, **WEEK, holidays=[["2026-01-06", "2026-01-07"]])
    assert at(rig, 12) == comfort.COMFORT
    assert at(rig, 12, day=1) == comfort.HOLIDAY
    assert rig.read(OWN) == pytest.approx(OWN_C - 12, abs=0.02)
    assert at(rig, 12, day=3) == comfort.COMFORT


def test_s11_without_valid_time_it_is_comfort(ticks):
    rig = FunctionRig(ticks, None, **WEEK)
    rig.step(30)
    assert rig.read(MODE) == comfort.NO_TIME
    assert rig.read(OWN) == pytest.approx(OWN_C, abs=0.02)
    assert rig.read("local_time_number") is None
    at(rig, 23)
    assert rig.read(MODE) == comfort.SET_BACK
    rig.clock.at_zero_s = None
    rig.step(30)
    assert rig.read(MODE) == comfort.NO_TIME


def test_set_back_by_oneself_costs_no_budget(ticks):
    rig = FunctionRig(ticks, **WEEK)
    at(rig, 23)
    rig.step(3600)
    assert rig.read("deficit_used_kh") == 0.0


def test_the_start_is_as_early_as_the_room_is_cold_and_never_earlier_than_allowed(ticks):
    rig = FunctionRig(ticks, **WEEK, optimum_start_maximum_s=7200)
    rig.room_c = 19.0  # 30 minutes for a kelvin
    assert at(rig, 5, 20) == comfort.SET_BACK
    assert at(rig, 5, 35) == comfort.EARLY_START
    assert rig.read(OWN) == pytest.approx(OWN_C, abs=0.02)
    rig.room_c = 10.0
    assert at(rig, 3, 50) == comfort.SET_BACK
    assert at(rig, 4, 5) == comfort.EARLY_START


def test_without_a_room_the_weather_decides(ticks):
    rig = FunctionRig(ticks, **WEEK, optimum_start_maximum_s=7200, optimum_stop_maximum_s=3600)
    rig.house.lost.add(ROOM)
    rig.step(30)
    rig.house.outdoor_c = 0.0  # half way between the ends: an hour early
    assert at(rig, 4, 50) == comfort.SET_BACK
    assert at(rig, 5, 5) == comfort.EARLY_START
    assert at(rig, 21, 25) == comfort.COMFORT
    assert at(rig, 21, 35) == comfort.EARLY_STOP


def test_a_cold_room_is_not_left_early(ticks):
    rig = FunctionRig(ticks, **WEEK, optimum_stop_maximum_s=3600)
    rig.house.outdoor_c = 10.0
    rig.room_c = 19.0
    assert at(rig, 21, 35) == comfort.COMFORT
    rig.room_c = 20.0
    assert at(rig, 21, 35) == comfort.EARLY_STOP


ROOM_ON = {"room_influence_pct": 200, "room_shift_maximum_k": 6}


@pytest.mark.parametrize(
    ("room_c", "shift_k"), [(20.0, 0.0), (19.0, 2.0), (18.0, 4.0), (15.0, 6.0), (21.0, -2.0)]
)
def test_room_influence_has_its_bound(ticks, room_c, shift_k):
    rig = FunctionRig(ticks, **ROOM_ON)
    rig.room_c = room_c
    rig.step(30)
    assert rig.read("room_shift_k") == pytest.approx(shift_k, abs=0.03)
    assert rig.read(OWN) == pytest.approx(OWN_C + shift_k, abs=0.05)


def test_s1_room_lost_goes_on_by_the_curve_and_comes_back(ticks):
    rig = FunctionRig(ticks, **ROOM_ON)
    rig.room_c = 18.0
    rig.step(30)
    rig.house.lost.add(ROOM)
    rig.step(30)
    assert rig.read(OWN) == pytest.approx(OWN_C, abs=0.02)
    assert rig.alarm("SENSOR_LOST")
    rig.house.lost.clear()
    rig.step(30)
    assert rig.read(OWN) == pytest.approx(OWN_C + 4, abs=0.05)
    assert not rig.alarm("SENSOR_LOST")


def test_a_room_two_kelvin_too_warm_ends_the_heating_until_one_kelvin(ticks):
    rig = FunctionRig(ticks, **ROOM_ON)
    rig.step(600)
    rig.room_c = 22.5
    rig.step(300)
    assert rig.read("valve_position_out_pct") == 0.0
    rig.room_c = 21.5
    rig.step(60)
    assert rig.read("valve_position_out_pct") == 0.0
    rig.room_c = 20.9
    rig.step(1800)
    assert rig.read("valve_position_out_pct") > 0.0


def test_an_order_goes_before_a_room_too_warm(ticks):
    rig = FunctionRig(ticks, **ROOM_ON)
    rig.step(600)
    rig.room_c = 22.5
    rig.step(300)
    assert rig.read("valve_position_out_pct") == 0.0
    rig.order({"secondary_supply_temp_sp_c": 50.0}, lease_s=1800)
    rig.step(1200)
    assert rig.read("secondary_supply_temp_effective_c") == 50.0
    assert rig.house.supply_c == pytest.approx(50.0, abs=1.5)
    rig.step(3600)
    assert rig.read("valve_position_out_pct") == 0.0


def test_adaptation_learns_slowly_within_its_bound_and_is_kept(ticks):
    flash = MemoryFlash()
    settings = {"room_influence_pct": 0, "room_adaptation_maximum_k": 2}
    rig = FunctionRig(ticks, flash=flash, **settings)
    rig.step(3600)
    room = rig.loop.circuits[0]._room
    room.adapted_mk = 0
    for _ in range(43_200):
        room.step(19_000, True, True, 2_000)
    assert room.adapted_mk == 1_000  # a kelvin too cold for a day
    for _ in range(3 * 43_200):
        room.step(19_000, True, True, 2_000)
    assert room.adapted_mk == 2_000
    room.save_when_due(90_000)
    again = FunctionRig(ticks, flash=flash, **settings)
    assert again.loop.circuits[0]._room.adapted_mk == 2_000


@pytest.mark.parametrize("unsettled", ["order", "set_back", "limiter"])
def test_adaptation_rests_while_something_else_decides(ticks, unsettled):
    rig = FunctionRig(
        ticks, room_influence_pct=0, room_adaptation_maximum_k=5, **WEEK,
        contract_flow_limit_m3_h=0.2 if unsettled == "limiter" else 2.0,
    )  # fmt: skip
    rig.at(23 if unsettled == "set_back" else 8)
    rig.room_c = 17.0
    if unsettled == "order":
        rig.order({"secondary_supply_temp_sp_c": 50.0}, lease_s=3600)
    rig.step(1800)
    room = rig.loop.circuits[0]._room
    before = room.adapted_mk
    rig.step(1200)
    assert room.adapted_mk == before
    assert (rig.read("active_limiter_number") == precedence.FLOW) == (unsettled == "limiter")


def test_s5_a_room_near_frost_is_heated_whatever_the_season_or_hour(ticks):
    rig = FunctionRig(ticks, **WEEK, summer_outdoor_temp_c=12)
    rig.house.outdoor_c = 14.0
    rig.step(900)
    assert rig.read("valve_position_out_pct") == 0.0
    rig.room_c = 4.0
    rig.house.supply_c = 25.0
    rig.step(200)
    assert rig.board.pumps[0]
    assert rig.read("valve_position_out_pct") > 0.0


def test_the_summer_has_a_hysteresis(ticks):
    rig = FunctionRig(ticks, summer_outdoor_temp_c=15)
    for outdoor_c, heats in ((14.0, True), (15.5, True), (16.5, False), (15.5, False), (14.5, True)):
        rig.house.outdoor_c = outdoor_c
        rig.step(30)
        assert rig.loop.circuits[0].heating == heats, outdoor_c


def test_a_valve_that_rests_for_a_week_is_opened_a_little(ticks):
    rig = FunctionRig(ticks)
    rig.house.outdoor_c = 25.0
    rig.step(600)
    circuit = rig.loop.circuits[0]
    circuit._valve_idle_ms = 7 * 86_400_000 - 10_000
    opened = 0.0
    for _ in range(200):
        rig.step(2)
        opened = max(opened, rig.house.valve)
    assert opened == pytest.approx(0.05, abs=0.01)
    assert rig.read("valve_position_out_pct") == 0.0
    assert circuit._valve_idle_ms < 86_400_000


def test_exercises_of_two_devices_are_apart(ticks):
    from firmware.substation.heating_circuit import HeatingCircuit

    idle = set()
    for spread_s in (0, 17, 599):
        rig = FunctionRig(ticks)
        circuit = HeatingCircuit(
            rig.board,
            rig.bank,
            rig.settings,
            rig.loop._sensors,
            rig.loop._limits,
            None,
            0,
            spread_s,
            None,
            rig.flash,
        )
        idle.add((circuit._valve_idle_ms, circuit.pump._idle_ms))
    assert len(idle) == 3


def test_a_ceiling_is_never_passed(ticks):
    rig = FunctionRig(ticks)
    rig.step(900)
    circuit = rig.loop.circuits[0]
    for ceiling_bp in (0, 1000, FULL_BP):
        circuit.ceiling_bp = ceiling_bp
        circuit.step(0, 2_000, 0, False)
        assert circuit._target_bp <= ceiling_bp


@pytest.mark.parametrize("what", ["no heat from the network", "outdoor sensor lost"])
def test_the_room_teaches_the_curve_nothing_that_is_not_its_own_doing(ticks, what):
    rig = FunctionRig(ticks, room_influence_pct=100, room_adaptation_maximum_k=8, contract_flow_limit_m3_h=10)
    rig.house.outdoor_c, rig.room_c = -5.0, 20.0
    rig.step(7200)
    before_mk = rig.loop.circuits[0]._room.adapted_mk
    if what == "outdoor sensor lost":
        rig.house.lost.add(0)
        rig.room_c = 21.5
    else:
        rig.house.primary_supply_c, rig.room_c = 25.0, 12.0
        rig.step(1800)
        before_mk = rig.loop.circuits[0]._room.adapted_mk
    rig.step(43_200)
    assert rig.loop.circuits[0]._room.adapted_mk == pytest.approx(before_mk, abs=150)
