"""When an image on trial is confirmed, given up or called provisional (S10)."""

import pytest

from firmware.substation.proving import (
    CONFIRM,
    GIVE_UP,
    IDLE_S,
    PROVISIONAL,
    SETTLING_S,
    WAIT,
    WINDOW_S,
    Proving,
)

PERIOD_S = 2


def verdict(proving, seconds, *, demand=True, error=300, head=30_000, faults=0, moved=False):
    """What comes out within some seconds of the same situation; (WAIT, seconds) when nothing does."""
    for at in range(0, seconds, PERIOD_S):
        found = proving.step(PERIOD_S, demand, error, head, faults, moved)
        if found != WAIT:
            return found, at
    return WAIT, seconds


def test_control_as_good_as_before_is_confirmed_after_a_window_of_demand():
    found, at = verdict(Proving(300, 0), 2 * WINDOW_S)
    assert found == CONFIRM
    assert SETTLING_S + WINDOW_S - 2 * PERIOD_S <= at <= SETTLING_S + WINDOW_S


@pytest.mark.parametrize(
    ("before", "error", "wanted"),
    [(1000, 1750, CONFIRM), (1000, 1752, GIVE_UP), (1000, -1752, GIVE_UP), (4, 504, CONFIRM),
     (0, 2000, CONFIRM),
     (0, 2001, GIVE_UP)],
)  # fmt: skip
def test_the_bound_is_a_quarter_and_half_a_kelvin_above_what_was(before, error, wanted):
    assert verdict(Proving(before, 0), 3 * WINDOW_S, error=error)[0] == wanted


def test_a_cold_network_is_not_the_images_doing():
    proving = Proving(300, 0)
    assert verdict(proving, 20 * 3600, error=25_000, head=-5_000)[0] == WAIT
    assert verdict(proving, 2 * WINDOW_S)[0] == CONFIRM


def test_a_lost_sensor_decides_nothing_unless_it_was_lost_before():
    assert verdict(Proving(300, 0), 10 * WINDOW_S, faults=2)[0] == WAIT
    assert verdict(Proving(300, 2), 2 * WINDOW_S, faults=2)[0] == CONFIRM
    assert verdict(Proving(300, 0), 10 * WINDOW_S, error=None)[0] == WAIT


def test_without_demand_an_image_becomes_provisional_once_its_valve_has_moved():
    proving = Proving(300, 0)
    assert verdict(proving, 3 * IDLE_S, demand=False)[0] == WAIT
    assert verdict(proving, 60, demand=False, moved=True)[0] == PROVISIONAL
    # and is judged when demand comes
    assert verdict(proving, 3 * WINDOW_S, error=9_000)[0] == GIVE_UP
