"""A board speaks on its serial lines only at the speed and parity that they have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..bench.faults.lines import SerialMaster
from ..bench.meter_bus import MeterBus, Slave
from ..bench.plant.heat_meter import HeatMeter
from ..bench.station import Bench

METER = {"address": 1, "battery": False}
SITE: dict[str, Any] = {"rtu_baud": 9_600, "rtu_parity": "odd", "mbus_baud": 300, "mbus_meters": [METER]}
OTHER = [{"baud": 19_200}, {"parity": "even"}, {"parity": "none"}]


@pytest.fixture
def bench(tmp_path: Path, firmware_bundle: Path) -> Iterator[Bench]:
    with Bench(tmp_path, bundle=firmware_bundle, heap="216k", rtu=True, meters=True) as made:
        made.prepare([(made.town.substations.id[0], "substation", SITE)])
        yield made


def wired(bench: Bench, line: Any, other: dict[str, Any]) -> None:
    """Let everybody but the board speak so on this line."""
    for name, value in other.items():
        assert getattr(line, name) != value
        setattr(line, name, value)


@pytest.mark.parametrize("other", [{}, *OTHER])
def test_a_master_is_answered_at_the_lines_own_settings_only(bench: Bench, other: dict[str, Any]) -> None:
    line = bench.fleet.serial_lines[0]
    wired(bench, line, other)
    bench.clock.power_on()
    master = SerialMaster(line.path)
    for _ in range(6):
        master.step()
        bench.clock.step()
    master.close()
    assert (master.right, master.wrong, master.silent) == ((0, 0, 5) if other else (5, 0, 0))


@pytest.mark.parametrize("other", [{}, *OTHER[:2]])
def test_a_meter_is_read_at_the_lines_own_settings_only(bench: Bench, other: dict[str, Any]) -> None:
    line = bench.fleet.meter_lines[0]
    wired(bench, line, {"parity": "odd"} if "parity" in other else other)
    bench.clock.power_on()
    slave = Slave(HeatMeter(seed=7), 1, lambda: (1.0, 70.0, 40.0))
    bus = MeterBus(line, [slave], SITE["mbus_baud"], seed=7)
    bench.clock.recorders.append(bus.advance)
    bench.run_for(120.0)
    assert (slave.reads > 0) is (not other)
    assert bool(bus.asked) is (not other)  # garbage is no frame
