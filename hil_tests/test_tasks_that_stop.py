"""A task of the firmware ends or stands still: control resets the board, communication begins anew (S8).

The bench breaks a task from inside (vm/mischief.py); the firmware stays as it was built.
"""

from __future__ import annotations

import pytest

from firmware.substation import registers

from .bench.controller import Controller
from .bench.faults.mischief_faults import STAND, STORM_CONTROL, STORM_LINE
from .bench.station import Bench

WATCHDOG_CAUSE = 3
WATCHDOG_S = 8.0
ALLOWED_S = 6.0  # without progress
TICK_S = 2.0
WATCHDOG_RESET = 1 << registers.ALARM_BITS.index("watchdog_reset")

pytestmark = pytest.mark.street(mischief=True)


@pytest.fixture
def house(bench: Bench) -> Controller:
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(900)  # the valve stands still by then
    assert controller.read("watchdog_reset_count") == 0
    return controller


def strike(bench: Bench, house: Controller, bits: int) -> None:
    """Let the next grant carry the mischief; a connection does not outlive a reset."""
    house.disconnect()
    bench.fleet.mischief = bits
    bench.run_for(TICK_S)
    bench.fleet.mischief = 0


def back_with_the_valve_held(bench: Bench, house: Controller, held: float) -> None:
    assert float(bench.plant.valve_position[0]) == pytest.approx(held, abs=0.03)
    assert house.read("uptime_s") <= TICK_S + WATCHDOG_S
    assert house.read("watchdog_reset_count") == 1
    assert house.read("alarm_bits") & WATCHDOG_RESET


def test_a_control_task_that_stands_starves_the_watchdog(bench: Bench, house: Controller) -> None:
    """Everything else goes on, the monitor too: only the missing progress can tell."""
    held = float(bench.plant.valve_position[0])
    strike(bench, house, STAND)
    assert "1 task 'guarded_control' stands" in bench.fleet.console(0)
    bench.run_until(lambda: bool(bench.fleet.resets(0)), within_s=ALLOWED_S + 2 * WATCHDOG_S)
    assert [cause for _, cause in bench.fleet.resets(0)] == [WATCHDOG_CAUSE]
    back_with_the_valve_held(bench, house, held)


def test_a_dead_control_task_resets_the_board_at_once(bench: Bench, house: Controller) -> None:
    held = float(bench.plant.valve_position[0])
    struck_ms = bench.clock.now_ms
    strike(bench, house, STORM_CONTROL)
    bench.run_for(TICK_S)
    resets = bench.fleet.resets(0)
    assert len(resets) == 1, "nothing reset it, or the watchdog had to"
    assert resets[0][0] - struck_ms <= 2 * TICK_S * 1000
    back_with_the_valve_held(bench, house, held)


def test_a_dead_communication_task_begins_anew_and_control_goes_on(bench: Bench, house: Controller) -> None:
    strike(bench, house, STORM_LINE)
    bench.run_for(120)
    assert "modbus: listening" in bench.fleet.console(0).split("1 task 'serve' thrown out")[1]
    assert house.read("task_restart_count") == 1
    assert bench.fleet.resets(0) == []
    assert house.read("uptime_s") >= 720
