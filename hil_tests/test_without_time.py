"""Time that is not known, and a counter that wraps: comfort, and seconds that are right (S11)."""

from __future__ import annotations

import pytest

from .bench.station import Bench

WRAP = 1 << 30  # of ticks_ms(), after 12.4 days
NO_TIME = 5  # schedule_mode_number
NEVER_COMFORT = {"mon": ["00:00-00:01"]}


def test_without_the_time_a_schedule_saves_nothing(bench: Bench) -> None:
    """Set back all week but for a minute; yet nobody has told the house which minute it is."""
    bench.plant.outdoor_temp_c = -5.0
    house = bench.start_controller(schedule=NEVER_COMFORT, curve_setback_k=10)
    bench.run_for(600)
    assert house.read("unix_time_s") is None
    assert house.read("schedule_mode_number") == NO_TIME
    by_curve_c = 30.0 + (55.0 - 30.0) * 20.0 / 27.0  # 30 degC at +15, 55 degC at -12
    assert house.read("secondary_supply_temp_effective_c") == pytest.approx(by_curve_c, abs=0.3)


@pytest.mark.street(first_tick=WRAP - 60_000)
def test_seconds_and_a_lease_run_on_where_the_tick_counter_wraps(bench: Bench) -> None:
    """A minute after its start the counter goes from 2**30 - 1 to 0."""
    house = bench.start_controller()
    bench.run_for(30)
    assert house.read("uptime_s") == 30
    house.order(curve_shift_sp_k=-1.0, lease_s=300)
    bench.run_for(90)
    assert house.read("uptime_s") == 120
    assert house.read("curve_shift_lease_s") == pytest.approx(210, abs=2)
    assert house.read("watchdog_reset_count") == 0
