"""The compiled houses are the plain ones, at every instruction level and on any number of threads."""

import numpy as np
import pytest

from core_ext import simd
from hil_tests.bench.plant.houses import Houses, PlainHouses
from hil_tests.bench.plant.single import substations

DT_S = 2.0
# Largest difference of any temperature in K, and of any heat as a share of the largest, in 600 steps
# [measured: 2.7e-12 K, 5.0e-14]
AGREE_K, AGREE_SHARE = 1e-10, 1e-11
BALANCE = 1e-9  # of the heat that moved, as for the plain models; the sums of what is stored have 1e-11 of it
# The mean of the water that left counts by the heat it carried: of a trickle nobody knows it to many digits.


def street(count, kind, **options):
    random = np.random.default_rng(7)
    houses = kind(substations(count, random.uniform(4e3, 400e3, count)), 3.0, **options)
    houses.valves.stuck[count // 3] = True
    houses.valves.slip[count // 4] = 0.3
    houses.exchangers.fouling[1] = 0.5
    houses.throttled[2] = 0.4
    return houses


def drive(houses, steps):
    """Valves to and fro, standing water and pumps, cold and hot supply: what the branches are made for."""
    random = np.random.default_rng(11)
    count, heats, balance, moved = houses.count, [], 0.0, 0.0
    for step in range(steps):
        if step % 20 == 0:
            opens = random.choice([0.0, 0.0, DT_S], count)
            closes = random.choice([0.0, 0.0, 0.7], count)
            pumps = random.choice([0.0, 0.4, 1.0, 1.0], count)
            # below, at and above what counts as standing
            share = random.choice([0.0, 1e-9, 0.05, 0.2, 0.4], count)
            supply, outdoor = random.uniform(10.0, 95.0, count), float(random.uniform(-15.0, 25.0))
        kv = houses.move_valves(opens, closes).copy()
        before = houses.stored_j()
        houses.step(DT_S, kv * share, supply, pumps, outdoor)
        gained = (houses.primary_heat_w.sum() + houses.buildings.gain_w.sum()) * DT_S
        gained -= houses.buildings.loss_w.sum() * DT_S
        balance += gained - (houses.stored_j() - before)
        moved += abs(houses.primary_heat_w).sum() * DT_S
        heats.append(np.stack([houses.primary_heat_w, houses.heat_to_building_w]))
    return np.array(heats), balance / moved


def state(houses):
    exchangers = houses.exchangers
    temps = [exchangers.primary_out_c, exchangers.secondary_out_c]
    return np.vstack([*temps, houses.radiators.cell_c, houses.buildings.room_c, houses.buildings.mass_c])


@pytest.mark.parametrize("level", simd.SUPPORTED)
def test_every_level_agrees_with_plain_arrays(level):
    """45 houses: five whole groups and a rest."""
    plain, compiled = street(45, PlainHouses), street(45, Houses, level=level)
    (expected, plain_balance), (given, balance) = drive(plain, 600), drive(compiled, 600)
    apart_k = float(abs(state(compiled) - state(plain)).max())
    apart = float(abs(given - expected).max() / abs(expected).max())
    print(f"{level}: {apart_k:.1e} K and {apart:.1e} of the largest heat from plain arrays")
    assert apart_k <= AGREE_K and apart <= AGREE_SHARE
    assert compiled.valves.travel == pytest.approx(plain.valves.travel, rel=1e-12)
    assert compiled.valves.kv_m3_h() == pytest.approx(plain.valves.kv_m3_h(), rel=1e-12)
    print(f"{level}: heat balance open by {balance:.1e} of what moved, plain arrays {plain_balance:.1e}")
    assert abs(balance) <= BALANCE and abs(plain_balance) <= BALANCE


@pytest.mark.parametrize("level", simd.SUPPORTED)
def test_the_bits_do_not_depend_on_the_number_of_threads(level):
    alone = street(45, Houses, level=level)
    expected, _ = drive(alone, 150)
    for threads in (2, 3, 50):
        houses = street(45, Houses, level=level, threads=threads)
        given, _ = drive(houses, 150)
        assert given.tobytes() == expected.tobytes()
        assert state(houses).tobytes() == state(alone).tobytes()


def test_a_step_too_long_for_the_radiators_is_refused_and_changes_nothing():
    houses = street(9, Houses)
    before = state(houses).copy()
    with pytest.raises(ValueError, match="Take a shorter step"):
        houses.step(3600.0, np.full(9, 0.1), np.full(9, 70.0), np.ones(9), 0.0)
    assert state(houses).tobytes() == before.tobytes()


def test_an_assignment_reaches_the_kernel():
    """Arrays that faults put in the place of a column must not be lost beside it."""
    houses, other = street(3, Houses), street(3, Houses)
    houses.exchangers.fouling = np.full(3, 0.25)
    houses.exchangers.ua_w_k *= 0.5
    for each in (houses, other):
        for _ in range(30):
            each.step(DT_S, np.full(3, 0.1), np.full(3, 70.0), np.ones(3), 0.0)
    assert (houses.exchangers.secondary_out_c < other.exchangers.secondary_out_c - 0.2).all()
