"""The tick counter wraps at 2**30 ms, after 12.4 days: the firmware does the same, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from .bench.station import PUMP_STATION, SUBSTATION, Bench

WRAP = 1 << 30
HALF = 1 << 29  # where the difference of two ticks changes its sign
# The collector takes every word for a pointer: another counter keeps another few blocks alive.
HEAP = {"heap_used_b", "heap_free_b", "heap_largest_free_b"}


def story(folder: Path, bundle: Path, first_tick: int) -> tuple[str, list[dict[str, float | None]]]:
    """An order, its end, a colder outside, 25 minutes in all; the digest, and every reading at the end."""
    with Bench(folder, bundle=bundle, houses=2, seed=5, first_tick=first_tick) as bench:
        bench.plant.outdoor_temp_c = -3.0
        names = bench.town.substations.id
        controllers = bench.start(
            [*((name, SUBSTATION, {}) for name in names), (bench.town.pump_station.id, PUMP_STATION, {})]
        )
        bench.run_for(200)
        controllers[0].order(secondary_supply_temp_sp_c=40.0, lease_s=300)
        bench.run_for(400)
        bench.plant.outdoor_temp_c = -9.0
        bench.run_for(900)
        digest = bench.sha256  # before the heap is read, which is no behaviour
        readings = [dict(controller.read_all()) for controller in controllers]
        assert all(reading["uptime_s"] == 1500 for reading in readings)
        assert all(reading["watchdog_reset_count"] == 0 for reading in readings)
        return digest, readings


@pytest.mark.slow
@pytest.mark.parametrize(
    "first_tick",
    [
        pytest.param(WRAP - 300_000, id="the wrap falls into the lease"),
        pytest.param(WRAP - 200_001, id="the wrap falls onto the order"),
        pytest.param(HALF - 700_000, id="half of the range"),
    ],
)
def test_the_wrap_changes_nothing(tmp_path: Path, firmware_bundle: Path, first_tick: int) -> None:
    plain, readings = story(tmp_path / "plain", firmware_bundle, 0)
    shifted, shifted_readings = story(tmp_path / "shifted", firmware_bundle, first_tick)
    for now, before in zip(shifted_readings, readings, strict=True):
        assert {name: value for name, value in now.items() if value != before[name]}.keys() <= HEAP
    assert shifted == plain
    heating = readings[0]
    assert (
        heating["secondary_supply_temp_c"] is not None
    )  # the story heats, so that there is something to differ


def test_the_counter_really_begins_there(tmp_path: Path) -> None:
    """The board under test sees the wrap: its own ticks_ms() goes from 2**30 - 1 to 0."""
    from .tests.test_virtual_time import Bare

    program = (
        "from time import ticks_add, ticks_diff, ticks_ms, sleep_ms\n"
        "first = ticks_ms()\nsleep_ms(1000)\nprint(first, ticks_ms(), ticks_diff(ticks_ms(), first))\n"
        "while True: sleep_ms(60_000)\n"
    )
    bare = Bare(tmp_path, [program], first_tick=WRAP - 400)
    try:
        bare.clock.power_on()
        bare.clock.run_for(3)
        assert f"{WRAP - 400} 600 1000" in bare.lines()
    finally:
        bare.clock.close()
