"""Sensors follow IEC 60751 and their loops, keep their tolerance, and break as told."""

import numpy as np
import pytest

from hil_tests.bench.board_io import PRIMARY_SUPPLY, PT1000_CHANNELS, BoardInputs
from hil_tests.bench.plant.sensors import Sensors, current_ma, pt1000_ohm

# IEC 60751 table, ten times the Pt100 values
PT1000_TABLE = [
    (-40.0, 842.7),
    (0.0, 1000.0),
    (20.0, 1077.9),
    (50.0, 1194.0),
    (100.0, 1385.1),
    (130.0, 1498.3),
]


@pytest.mark.parametrize(("temp_c", "ohm"), PT1000_TABLE)
def test_the_resistance_is_that_of_the_standard(temp_c, ohm):
    assert pt1000_ohm(temp_c) == pytest.approx(ohm, abs=0.06)


def test_the_loop_runs_from_4_to_20_and_saturates():
    milliampere = current_ma(np.array([0.0, 8.0, 16.0, 30.0, -3.0]), np.full(5, 16.0))
    assert milliampere == pytest.approx([4.0, 12.0, 20.0, 20.5, 3.8])


def settled(sensors, temp_c, dp_bar=0.6, flow_m3_h=0.5, steps=3000, devices=200):
    inputs = BoardInputs.unconnected(devices)
    for _ in range(steps):
        sensors.step(
            2.0,
            np.full((devices, PT1000_CHANNELS), temp_c),
            np.full(devices, dp_bar),
            np.full(devices, flow_m3_h),
            inputs,
        )
    return inputs


def temp_of(ohm):
    """Above 0 degC the standard's square can be solved."""
    a, b = 3.9083e-3, -5.775e-7
    return (-a + np.sqrt(a * a - 4 * b * (1.0 - ohm / 1000.0))) / (2 * b)


def test_errors_differ_by_sensor_and_stay_within_class_b():
    inputs = settled(Sensors(200, 20.0, seed=1, tolerance_share=1.0), 60.0, steps=1)
    errors = temp_of(inputs.resistance_ohm) - 60.0
    assert np.abs(errors).max() <= 0.3 + 0.005 * 60.0 + 1e-9
    assert np.abs(errors).max() > 0.5 and np.std(errors) > 0.2
    again = settled(Sensors(200, 20.0, seed=1, tolerance_share=1.0), 60.0, steps=1)
    other = settled(Sensors(200, 20.0, seed=2, tolerance_share=1.0), 60.0, steps=1)
    assert np.array_equal(again.resistance_ohm, inputs.resistance_ohm)
    assert not np.array_equal(other.resistance_ohm, inputs.resistance_ohm)


def test_the_kernel_is_the_plain_formula_in_cold_and_warm():
    random = np.random.default_rng(3)
    connected = np.ones((40, PT1000_CHANNELS), dtype=np.bool_)
    connected[7, 2] = False
    sensors = Sensors(40, 20.0, seed=4, connected=connected)
    sensors.fail(3, 1, "offset", -5.0)
    inputs = BoardInputs.unconnected(40)
    lag_s = np.array([300.0, 8.0, 8.0, 8.0, 8.0, 300.0])  # air outside and in the room, pockets between
    shown = None
    for _ in range(50):
        truth = random.uniform(-40.0, 120.0, (40, PT1000_CHANNELS))
        sensors.step(2.0, truth, np.zeros(40), np.zeros(40), inputs)
        shown = truth if shown is None else shown + (truth - shown) * -np.expm1(-2.0 / lag_s)
        seen = shown + sensors.error_share * (0.3 + 0.005 * np.abs(shown))
        seen[3, 1] -= 5.0
        expected = np.where(connected, pt1000_ohm(seen), np.nan)
        assert inputs.resistance_ohm == pytest.approx(expected, rel=1e-13, nan_ok=True)


def test_a_sensor_in_its_pocket_lags():
    sensors = Sensors(1, 20.0, seed=0, tolerance_share=0.0)
    inputs = settled(sensors, 20.0, steps=1, devices=1)
    for _ in range(4):  # 8 s: one time constant
        sensors.step(2.0, np.full((1, 6), 70.0), np.array([0.6]), np.array([0.5]), inputs)
    assert temp_of(inputs.resistance_ohm[0, PRIMARY_SUPPLY]) == pytest.approx(70.0 - 50.0 / np.e, abs=0.01)


def test_faults_show_at_the_pin_and_can_be_repaired():
    sensors = Sensors(1, 20.0, seed=0, tolerance_share=0.0)
    expected = {
        "open": np.nan,
        "short": 0.0,
        "stuck": float(pt1000_ohm(40.0)),
        "offset": float(pt1000_ohm(100.0)),
    }
    for kind, ohm in expected.items():
        sensors.fail(0, PRIMARY_SUPPLY, kind, 40.0)
        inputs = settled(sensors, 60.0, devices=1, steps=2)
        assert inputs.resistance_ohm[0, PRIMARY_SUPPLY] == pytest.approx(ohm, nan_ok=True)
        assert inputs.resistance_ohm[0, 0] == pytest.approx(float(pt1000_ohm(60.0)))
        sensors.repair(0, PRIMARY_SUPPLY)
        inputs = settled(sensors, 60.0, devices=1, steps=2)
        assert inputs.resistance_ohm[0, PRIMARY_SUPPLY] == pytest.approx(float(pt1000_ohm(60.0)))
    sensors.fail_current(0, 1, 0.0)
    assert settled(sensors, 60.0, devices=1, steps=1).current_ma[0, 1] == 0.0
    with pytest.raises(ValueError, match="known: open, short, offset, stuck"):
        sensors.fail(0, 1, "melted")
