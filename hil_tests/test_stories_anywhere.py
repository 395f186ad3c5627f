"""Stories of a controller on any target: in lockstep, and in the world's time on the stock scheduler.

They need no plant: what the sensors see is set at the terminals, what happens is read from bus and relays.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.errors import ModbusException
from .bench.target import Target

if TYPE_CHECKING:
    from .bench.target import IO, Bus, Clock

pytestmark = pytest.mark.on_targets("vm", "emulated")

SUPPLY = 3  # channel of secondary_supply_temp_c, docs/boards.md
SENSOR_FALLBACK = 5  # active_limiter_number
SENSOR_LOST = 1 << registers.ALARM_BITS.index("sensor_lost")
NOTICED_WITHIN_S = 60.0  # three samples of 2 s; the rest is for a machine with other work


@pytest.mark.needs("io.sensors", "io.relays")
def test_a_broken_supply_sensor_is_told_and_the_pump_runs_on(
    controller: Controller, io: IO, clock: Clock
) -> None:
    io.set_resistance(SUPPLY, float("inf"))
    clock.run_until(lambda: controller.read("alarm_bits") & SENSOR_LOST, NOTICED_WITHIN_S)
    assert controller.read("sensor_fault_bits") == 1 << SUPPLY
    clock.run_until(
        lambda: controller.read("active_limiter_number") == SENSOR_FALLBACK and "pump" in io.relays(),
        NOTICED_WITHIN_S,
    )
    io.restore()
    clock.run_until(lambda: controller.read("sensor_fault_bits") == 0, NOTICED_WITHIN_S)


@pytest.mark.needs("bus.tcp")
def test_a_plain_write_changes_nothing(controller: Controller, bus: Bus) -> None:
    row = registers.BY_NAME["secondary_supply_temp_sp_c"]
    before = controller.read("secondary_supply_temp_sp_c")
    client = bus.tcp()
    with pytest.raises(ModbusException, match="exception 02"):
        client.write_many(row.address, [4500])
    answer = client.exchange(struct.pack(">BHH", 6, row.address, 4500))
    assert answer == b"\x86\x02"
    assert controller.read("secondary_supply_temp_sp_c") == before


@pytest.mark.needs("power.cut", "orders")
def test_a_power_cut_ends_an_order_and_its_replay_is_refused(target: Target) -> None:
    controller = target.controller
    words = controller.order_words({"curve_shift_sp_k": -1.0})
    assert controller.write_order(words).result == order_frame.ACCEPTED
    boots = controller.read("boot_count")
    assert controller.read("curve_shift_lease_number") == order_frame.SUPERVISOR + 1
    target.power.cut()
    target.power.on()
    assert controller.read("boot_count") == boots + 1
    assert controller.read("curve_shift_lease_number") == 0
    with pytest.raises(ModbusException):
        controller.write_order(words)
    assert controller.read("curve_shift_lease_number") == 0


@pytest.mark.needs("power.brownout")
def test_three_brown_outs_leave_it_answering(target: Target) -> None:
    boots = target.controller.read("boot_count")
    for _ in range(3):
        target.power.brownout(ms=100)
    assert target.controller.read("boot_count") == boots + 3
    assert target.controller.read("alarm_bits") & SENSOR_LOST == 0
