"""What the controller does when a sensor breaks, row by row of its published fallback table."""

from __future__ import annotations

import pytest

from firmware.substation import registers

from .acceptance import limit
from .bench import board_io
from .bench.controller import Controller
from .bench.station import Bench

FALLBACK = 5  # active_limiter_number: sensor fallback
SENSOR_LOST = 1 << registers.ALARM_BITS.index("sensor_lost")


@pytest.fixture
def heating(bench: Bench) -> Controller:
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(3_600)
    assert controller.read("sensor_fault_bits") == 0
    return controller


@pytest.mark.parametrize("kind", ["open", "short"])
def test_without_outdoor_sensor_the_supply_is_held_at_50(
    bench: Bench, heating: Controller, kind: str
) -> None:
    bench.plant.sensors.fail(0, board_io.OUTDOOR, kind)
    bench.run_for(1_800)
    assert heating.read("outdoor_temp_c") is None
    assert heating.read("sensor_fault_bits") == 1 << board_io.OUTDOOR
    assert heating.read("alarm_bits") & SENSOR_LOST
    assert heating.read("secondary_supply_temp_c") == pytest.approx(50.0, abs=limit("supply-near"))
    bench.plant.sensors.repair(0, board_io.OUTDOOR)
    bench.run_for(1_800)
    assert heating.read("sensor_fault_bits") == 0
    assert not heating.read("alarm_bits") & SENSOR_LOST
    assert heating.read("secondary_supply_temp_c") == pytest.approx(
        heating.read("own_curve_temp_c"), abs=limit("supply-near")
    )


@pytest.mark.parametrize("kind", ["open", "short"])
def test_without_supply_sensor_the_valve_stands_at_30_percent(
    bench: Bench, heating: Controller, kind: str
) -> None:
    bench.plant.sensors.fail(0, board_io.SECONDARY_SUPPLY, kind)
    bench.run_for(600)
    assert heating.read("secondary_supply_temp_c") is None
    assert heating.read("active_limiter_number") == FALLBACK
    assert float(bench.plant.valve_position[0]) == pytest.approx(0.30, abs=limit("valve-at"))
    assert heating.read("secondary_pump_out_number") == 1


@pytest.mark.parametrize(
    ("channel", "name"),
    [
        (board_io.PRIMARY_SUPPLY, "primary_supply_temp_c"),
        (board_io.PRIMARY_RETURN, "primary_return_temp_c"),
        (board_io.SECONDARY_RETURN, "secondary_return_temp_c"),
        (board_io.ROOM, "room_temp_c"),
    ],
)
def test_heating_goes_on_without_any_other_temperature(
    bench: Bench, heating: Controller, channel: int, name: str
) -> None:
    bench.plant.sensors.fail(0, channel, "open")
    bench.run_for(1_800)
    assert heating.read(name) is None
    assert heating.read("sensor_fault_bits") == 1 << channel
    assert heating.read("secondary_supply_temp_c") == pytest.approx(
        heating.read("own_curve_temp_c"), abs=limit("supply-near")
    )


@pytest.mark.parametrize(
    ("channel", "name"),
    [(board_io.DIFFERENTIAL_PRESSURE, "primary_dp_bar"), (board_io.VOLUME_FLOW, "primary_flow_m3_h")],
)
def test_a_cut_current_loop_is_no_reading_and_heating_goes_on(
    bench: Bench, heating: Controller, channel: int, name: str
) -> None:
    bench.plant.sensors.fail_current(0, channel, 0.0)
    bench.run_for(1_800)
    assert heating.read(name) is None
    assert heating.read("sensor_fault_bits") == 1 << (board_io.PT1000_CHANNELS + channel)
    assert heating.read("secondary_supply_temp_c") == pytest.approx(
        heating.read("own_curve_temp_c"), abs=limit("supply-near")
    )
