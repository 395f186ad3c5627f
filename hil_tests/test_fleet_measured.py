"""What is measured of a fleet is a fleet at work: `make fleet` runs it at full size."""

from pathlib import Path

import pytest

from .acceptance import limit
from .measurements.measure_fleet import measure

ROOM_C = 20.0  # what the plant is designed for


@pytest.mark.slow
def test_the_fleet_that_is_measured_lives_and_is_warm(tmp_path: Path, firmware_bundle: Path) -> None:
    told = measure(tmp_path, 3, 0.05, firmware_bundle)
    assert told["live"] == told["devices"] == 3
    assert told["virtual_s"] == 180.0
    assert told["firmware_cpu_s"] > 0.0 and told["supervisor_cpu_s"] > 0.0
    assert abs(told["coldest_room_c"] - ROOM_C) <= limit("room-steady")
