"""The valves' starts are counted, and a budget that is spent lets small moves be."""

import pytest

from firmware.substation.register_bank import RegisterBank
from firmware.substation.travel import Travel
from firmware.substation.valve import Valve
from firmware.substation.valve_analog import AnalogValve

from .board_double import BoardDouble
from .dhw_rig import STORAGE, FunctionRig


class Counted:
    def __init__(self):
        self.starts = 0
        self.spared = False


@pytest.fixture
def travel(ticks):
    bank = RegisterBank("substation")
    return Travel(
        bank, Counted(), bank.point("valve_starts_hour_count"), bank.point("valve_starts_day_count"), 100
    )


def test_starts_of_the_last_hour_and_day(travel):
    for _ in range(48 * 1800):
        travel.step(2_000)
        if travel._part_ms == 0:
            travel._valve.starts += 2  # 24 an hour
    assert sum(travel._parts) in (22, 24)
    assert 24 * 23 <= sum(travel._hours) <= 24 * 24
    for _ in range(1800):
        travel.step(2_000)
    assert sum(travel._parts) == 0
    for _ in range(24 * 1800):
        travel.step(2_000)
    assert sum(travel._hours) == 0


def test_a_spent_budget_spares_the_valve_until_the_hour_is_better(travel):
    travel._valve.starts = 101
    travel.step(2_000)
    assert travel.spent and travel._valve.spared
    for _ in range(1800):
        travel.step(2_000)
    assert not travel.spent and not travel._valve.spared


def test_a_spared_valve_lets_small_moves_be_and_makes_large_ones(ticks):
    board = BoardDouble(ticks)
    valve = Valve(board, 120_000)
    valve.spared = True
    assert valve.move_to(5_150, 2_000) == 0
    assert board.direction == 0
    valve.move_to(5_300, 2_000)
    assert board.direction == 1


def test_the_loop_tells_its_starts_and_its_budget(ticks):
    rig = FunctionRig(ticks, valve_starts_hour_maximum_count=10, proportional_band_k=10, integral_time_s=20)
    rig.step(3600)
    assert rig.read("valve_starts_hour_count") == pytest.approx(rig.board.switches, abs=5)
    assert rig.read("valve_starts_day_count") >= rig.read("valve_starts_hour_count")
    assert rig.alarm("TRAVEL_BUDGET")


def test_an_analog_valve_goes_where_it_is_told_within_its_dead_band(ticks):
    board = BoardDouble(ticks)
    valve = AnalogValve(board, 60_000, 0, 1)
    assert valve.synced
    assert valve.move_to(4_000, 2_000) == 0
    assert board.volts_bp == {1: 4_000}
    valve.move_to(4_040, 2_000)
    assert board.volts_bp[1] == 4_000
    valve.move_to(0, 2_000)
    assert (board.volts_bp[1], valve.position_bp) == (0, 0)
    valve.move_to(20_000, 2_000)
    assert valve.position_bp == 10_000


@pytest.mark.parametrize(("reset_cause", "bp"), [(1, 0), (3, 5_000)])
def test_s8_an_analog_valve_closes_when_power_comes_back_and_not_after_a_reset(ticks, reset_cause, bp):
    kinds = {"valve_kind": "analog", "dhw_valve_kind": "analog"}
    rig = FunctionRig(ticks, reset_cause=reset_cause, **STORAGE, **kinds)
    assert rig.board.volts_bp == {0: bp, 2: bp}
    rig.tank.top_c = rig.tank.bottom_c = 40.0
    rig.step(2)
    assert (rig.board.volts_bp[0] > 4_000) == (rig.board.volts_bp[2] > 4_000) == (bp > 0)
