"""Valves take their stroke time, have play, leak when closed and pass kvs when open."""

import numpy as np
import pytest

from hil_tests.bench.plant.valve import Valves

NOTHING = np.zeros(1)


def valve(**changes):
    columns = {"stroke_s": 120.0, "backlash": 0.0, "leakage": 0.0005, "rangeability": 50.0}
    return Valves([2.5], **{**columns, **changes})


def test_a_stroke_takes_its_time_and_ends_at_the_stop():
    v = valve()
    for _ in range(59):
        v.step(np.array([2.0]), NOTHING)
    assert v.position == pytest.approx([118.0 / 120.0])
    for _ in range(5):
        v.step(np.array([2.0]), NOTHING)
    assert v.position == pytest.approx([1.0])
    assert v.kv_m3_h() == pytest.approx([2.5])
    v.step(NOTHING, np.array([30.0]))
    assert v.position == pytest.approx([0.75])
    assert v.travel == pytest.approx([1.25])


def test_both_relays_at_once_cancel():
    v = valve(position=0.5)
    v.step(np.array([2.0]), np.array([2.0]))
    assert v.position == pytest.approx([0.5])


def test_a_reversal_first_takes_up_the_play():
    v = valve(backlash=0.02, position=0.3)
    v.step(np.array([24.0]), NOTHING)  # motor 0.5, stem half the play behind
    assert v.position == pytest.approx([0.49])
    v.step(NOTHING, np.array([2.0]))  # 1.67 %: still inside the play of 2 %
    assert v.position == pytest.approx([0.49])
    v.step(NOTHING, np.array([1.2]))  # 1 % more: 0.67 % of it beyond the play
    assert v.position == pytest.approx([0.49 - (2.0 + 1.2) / 120.0 + 0.02])


def test_end_stops_press_the_stem_home():
    v = valve(backlash=0.02, position=0.5)
    v.step(np.array([200.0]), NOTHING)
    assert v.position == pytest.approx([1.0])
    v.step(NOTHING, np.array([400.0]))
    assert v.position == pytest.approx([0.0])
    assert v.kv_m3_h() == pytest.approx([2.5 * 0.0005])


def test_equal_percentage_means_equal_ratios():
    kv = [float(valve(position=x, leakage=0.0).kv_m3_h()[0]) + 2.5 / 49.0 for x in (0.2, 0.4, 0.6, 0.8)]
    # after adding back the rest that was lowered, each fifth of the stroke multiplies by 50^(1/5)
    assert np.array(kv[1:]) / np.array(kv[:-1]) == pytest.approx(np.full(3, 50.0**0.2))


def test_a_stuck_stem_no_longer_follows():
    v = valve(position=0.4)
    v.stuck[:] = True
    v.step(np.array([60.0]), NOTHING)
    assert v.position == pytest.approx([0.4])
    v.stuck[:] = False
    v.step(NOTHING, NOTHING)
    assert v.position == pytest.approx([0.9])
