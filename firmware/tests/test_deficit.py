"""The deficit budget: exact, over 24 hours, and not to be cheated by a restart."""

import pytest

from firmware.substation.deficit import Deficit
from firmware.substation.register_bank import RegisterBank

from .memory_flash import MemoryFlash

COLD_MC, WARM_MC = -15_000, 18_000
HOUR_STEPS = 1800


def make(flash, budget_mkh=20_000):
    return Deficit(budget_mkh, COLD_MC, WARM_MC, flash, RegisterBank("substation"))


def run(deficit, hours, below_mk=0, outdoor_mc=18_000):
    for _ in range(int(hours * HOUR_STEPS)):
        deficit.step(below_mk, outdoor_mc, 2_000)


@pytest.fixture
def flash():
    return MemoryFlash()


def test_kelvin_hours_are_counted_exactly(flash):
    deficit = make(flash)
    run(deficit, 2, below_mk=3_000)
    assert deficit.used_mkh == 6_000


def test_s11_a_thousandth_of_a_kelvin_is_counted_too(flash):
    deficit = make(flash)
    run(deficit, 20, below_mk=1)
    assert deficit.used_mkh == 20


def test_s2_it_is_spent_at_the_budget_and_opens_again_a_day_later(flash):
    deficit = make(flash)
    run(deficit, 1.95, below_mk=10_000)  # the way back from 10 K costs 0.417 K h
    assert not deficit.spent
    run(deficit, 0.06, below_mk=10_000)
    assert deficit.spent
    run(deficit, 21.9)
    assert deficit.spent
    run(deficit, 3)
    assert not deficit.spent
    assert deficit.used_mkh < 20_000 * 0.9


@pytest.mark.parametrize("depth_mk", [5_000, 15_000, 33_000])
def test_s2_the_way_back_at_the_slew_limit_still_fits_the_budget(flash, depth_mk):
    deficit = make(flash)
    below_mk, slew_mk = 0, 2_000 * 2 // 60  # a period of 2 s
    for _ in range(6 * HOUR_STEPS):
        below_mk = max(0, below_mk - slew_mk) if deficit.spent else min(depth_mk, below_mk + slew_mk)
        deficit.step(below_mk, 18_000, 2_000)
    assert deficit.spent
    assert below_mk == 0
    assert 20_000 * 0.95 <= deficit.used_mkh <= 20_000 * 1.02


def test_it_forgets_everything_after_a_day(flash):
    deficit = make(flash)
    run(deficit, 1, below_mk=10_000)
    run(deficit, 25)
    assert deficit.used_mkh == 0


@pytest.mark.parametrize(
    ("outdoor_mc", "budget_mkh"),
    [
        (18_000, 20_000),
        (30_000, 20_000),
        (1_500, 15_000),
        (-15_000, 10_000),
        (-30_000, 10_000),
        (None, 10_000),
    ],
)
def test_s2_the_budget_is_tighter_when_it_is_colder(flash, outdoor_mc, budget_mkh):
    deficit = make(flash)
    deficit.step(0, outdoor_mc, 2_000)
    assert deficit.budget_mkh == budget_mkh


def test_s2_restarts_give_nothing_back(flash):
    """A restart every ten minutes may hide no more than a fiftieth of the budget each time."""
    taken = 0
    for _ in range(20):
        deficit = make(flash)
        run(deficit, 1 / 6, below_mk=12_000)
        taken += 2_000
        assert make(flash).used_mkh > taken - 20 * 20_000 / 50 - 1
    assert make(flash).spent


def test_a_restart_keeps_each_hour_in_its_place(flash):
    deficit = make(flash)
    for hour in range(30):
        run(deficit, 1, below_mk=100 * (hour % 7))
    again = make(flash)
    assert again.used_mkh == deficit.used_mkh
    for _ in range(24):
        run(deficit, 1)
        run(again, 1)
        assert again.used_mkh == deficit.used_mkh


def test_s9_writes_stay_within_their_budget(flash):
    """The worst day for the flash: everything is taken that can be taken, every hour."""
    deficit = make(flash, budget_mkh=48_000)
    for day in range(3):
        before = flash.saves
        run(deficit, 24, below_mk=40_000 if not deficit.spent else 0)
        assert flash.saves - before <= 24 + 24 * 40_000 // (48_000 // 50) + 1, day
    quiet = MemoryFlash()
    run(make(quiet), 48)
    assert quiet.saves == 0


def test_s2_restarts_by_order_give_nothing_back(flash):
    used = 0
    for _ in range(90):
        deficit = make(flash)
        assert deficit.used_mkh == used
        run(deficit, 0.05, below_mk=5_000)
        used = deficit.used_mkh
        deficit.keep()
    assert used == pytest.approx(0.05 * 90 * 5_000, rel=0.01)


def test_a_curve_without_a_span_divides_by_nothing(flash):
    deficit = Deficit(20_000, 17_999, 17_999, flash, RegisterBank("substation"))
    run(deficit, 0.01, below_mk=1_000)
    assert deficit.budget_mkh == 20_000
