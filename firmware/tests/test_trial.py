"""When an image on trial is confirmed, given up or called provisional (S10)."""

import pytest

from firmware.substation.performance import MOVED_BP, NO_OUTDOOR, SETTLING_S, WINDOW_S, Performance
from firmware.substation.register_bank import RegisterBank
from firmware.substation.slots import Slots
from firmware.substation.trial import (
    CONFIRM,
    GIVE_UP,
    IDLE_S,
    OFF_S,
    PROVISIONAL,
    WAIT,
    Trial,
)

from .memory_flash import MemoryFlash

PERIOD_S = 2


class Rig:
    """A controller's readings as a test sets them, and a trial that judges by them."""

    def __init__(self, profile="substation", before_mk=300, before_faults=0, heated_at_c=None):
        self.bank = RegisterBank(profile)
        self.performance = Performance(self.bank, profile == "substation")
        slots = Slots(MemoryFlash())
        slots.worst_mk, slots.faults = before_mk, before_faults
        slots.outdoor_raw = NO_OUTDOOR if heated_at_c is None else 100 * heated_at_c
        self.trial = Trial(slots)
        self.put("sensor_fault_bits", 0)
        self.put("active_limiter_number", 0)

    def put(self, name, value):
        self.bank.put(self.bank.point(name), value)

    def verdict(self, seconds, *, demand=True, error_mk=300, head_mk=30_000, faults=0, position_bp=2_000):
        """What comes out within some seconds of one situation, and when; (WAIT, seconds) for nothing."""
        self.put("secondary_supply_temp_effective_c", 50_000)
        self.put("secondary_supply_temp_c", None if error_mk is None else 50_000 - error_mk)
        self.put("primary_supply_temp_c", 50_000 + head_mk)
        self.put("secondary_pump_out_number", 1 if demand else 0)
        self.put("valve_position_out_pct", position_bp)
        self.put("sensor_fault_bits", faults)
        for at in range(0, seconds, PERIOD_S):
            found = self.trial.judge(PERIOD_S, self.performance)
            if found != WAIT:
                return found, at
        return WAIT, seconds


def test_control_as_good_as_before_is_confirmed_after_an_hour_of_demand():
    found, at = Rig().verdict(2 * WINDOW_S)
    assert found == CONFIRM
    assert abs(at - SETTLING_S - WINDOW_S) <= 2 * PERIOD_S


@pytest.mark.parametrize(
    ("before", "error", "wanted"),
    [(1000, 1750, CONFIRM), (1000, 1760, GIVE_UP), (1000, -1760, GIVE_UP), (40, 550, CONFIRM),
     (0, 2000, CONFIRM), (0, 2010, GIVE_UP)],
)  # fmt: skip
def test_the_bound_is_a_quarter_and_half_a_kelvin_above_what_was(before, error, wanted):
    assert Rig(before_mk=before).verdict(3 * WINDOW_S, error_mk=error)[0] == wanted


def test_a_cold_network_is_not_the_images_doing():
    rig = Rig()
    assert rig.verdict(20 * 3600, error_mk=25_000, head_mk=-5_000)[0] == WAIT
    assert rig.verdict(2 * WINDOW_S)[0] == CONFIRM


def test_nor_is_a_network_that_is_hardly_warm_enough():
    """The valve is wide open and it still does not suffice."""
    rig = Rig()
    assert rig.verdict(20 * 3600, error_mk=4_000, head_mk=3_500, position_bp=10_000)[0] == WAIT
    assert rig.verdict(3 * WINDOW_S, error_mk=-4_000, head_mk=30_000, position_bp=10_000)[0] == GIVE_UP


def test_an_image_that_does_not_heat_where_the_one_before_did_is_given_up():
    rig = Rig(heated_at_c=-5)
    rig.put("outdoor_temp_c", -6_000)
    found, at = rig.verdict(2 * IDLE_S, demand=False, error_mk=30_000, position_bp=9_000)
    assert (found, at) == (GIVE_UP, OFF_S - PERIOD_S)
    # warmer outside, or where nothing is known of the one before, it is only idle
    for rig, outdoor_mc in ((Rig(heated_at_c=-5), 8_000), (Rig(), -6_000)):
        rig.put("outdoor_temp_c", outdoor_mc)
        rig.verdict(PERIOD_S, demand=False)
        assert rig.verdict(2 * IDLE_S, demand=False, position_bp=9_000)[0] == PROVISIONAL


def test_the_program_before_is_known_by_its_last_hours_and_not_by_its_start():
    rig = Rig()
    assert rig.verdict(SETTLING_S, error_mk=25_000)[0] == WAIT
    assert rig.performance.worst_mk == 0
    for error_mk in (6_000, 400, 300, 500, 300):
        rig.verdict(WINDOW_S, error_mk=error_mk)
    assert rig.performance.worst_mk == 500


def test_a_limiter_at_work_is_not_judged():
    rig = Rig()
    rig.put("active_limiter_number", 1)
    assert rig.verdict(3 * WINDOW_S, error_mk=9_000)[0] == WAIT


def test_a_lost_sensor_decides_nothing_unless_it_was_lost_before():
    assert Rig().verdict(10 * WINDOW_S, faults=2)[0] == WAIT
    assert Rig(before_faults=2).verdict(2 * WINDOW_S, faults=2)[0] == CONFIRM
    assert Rig().verdict(10 * WINDOW_S, error_mk=None)[0] == WAIT


@pytest.mark.parametrize("before_faults", [0, 0x80])
def test_a_flow_sensor_lost_on_trial_is_no_standing_pump(before_faults):
    """Whether it is lost during the trial or was lost before it: without a reading nobody knows."""
    rig = Rig("pump_station", before_mk=0, before_faults=before_faults, heated_at_c=-5)
    rig.put("outdoor_temp_c", -6_000)
    for name, value in (("plant_dp_effective_bar", 1_500), ("plant_dp_bar", 1_500),
                        ("plant_flow_m3_h", None), ("pump_speed_out_pct", 6_000),
                        ("sensor_fault_bits", 0x80)):  # fmt: skip
        rig.put(name, value)

    def judged(seconds):
        return {rig.trial.judge(PERIOD_S, rig.performance) for _ in range(seconds // PERIOD_S)}

    assert judged(3 * OFF_S) == {WAIT}
    rig.put("plant_flow_m3_h", 0)  # it is back, and water does stand
    rig.put("sensor_fault_bits", 0)
    assert judged(OFF_S - PERIOD_S) == {WAIT}
    assert judged(PERIOD_S) == {GIVE_UP}


def test_a_lost_sensor_stops_the_count_of_what_stands_and_does_not_begin_it_anew():
    rig = Rig(heated_at_c=-5)
    rig.put("outdoor_temp_c", -6_000)
    assert rig.verdict(OFF_S - 600, demand=False)[0] == WAIT
    assert rig.verdict(OFF_S, demand=False, faults=2)[0] == WAIT
    assert rig.verdict(OFF_S, demand=False) == (GIVE_UP, 600 - PERIOD_S)


def test_without_demand_an_image_becomes_provisional_once_its_valve_has_moved():
    rig = Rig()
    assert rig.verdict(3 * IDLE_S, demand=False)[0] == WAIT
    assert rig.verdict(60, demand=False, position_bp=2_000 + MOVED_BP)[0] == PROVISIONAL
    # and is judged when demand comes
    assert rig.verdict(3 * WINDOW_S, error_mk=9_000)[0] == GIVE_UP


def test_a_pump_station_is_judged_by_its_pressure():
    rig = Rig("pump_station", before_mk=0)
    for name, value in (("plant_dp_effective_bar", 1_500), ("plant_flow_m3_h", 20_000),
                        ("pump_speed_out_pct", 6_000)):  # fmt: skip
        rig.put(name, value)
    for error_mbar, wanted in ((100, CONFIRM), (400, GIVE_UP)):
        rig.put("plant_dp_bar", 1_500 - error_mbar)
        verdict = WAIT
        for _ in range(3 * WINDOW_S // PERIOD_S):
            verdict = verdict or rig.trial.judge(PERIOD_S, rig.performance)
        assert verdict == wanted, error_mbar
