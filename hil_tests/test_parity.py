"""Every verb of the bench does the same on the emulated VM and on the emulated board, or on a named one.

What one of them cannot do is skipped by the name of that, never left out in silence.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.errors import BenchError, ConditionNotMet, WrongUse
from .bench.target import CAPABILITIES, NotOnThisTarget, Target

if TYPE_CHECKING:
    from .bench.target import IO, Bus, Clock, Console

pytestmark = pytest.mark.on_targets("vm", "emulated")

MAP = struct.pack(">I", registers.map_hash())
ASK_MAP = b"\x04\x00\x02\x00\x02"  # FC 4, the map's hash
DP, DP_MA, DP_BAR = 6, 12.0, 8.0  # 12 mA of 4 to 20 mA over 16 bar


def test_what_a_target_promises_has_a_name(target: Target) -> None:
    assert target.capabilities <= set(CAPABILITIES)
    assert target.describe()["kind"] in ("emulated VM", "emulated board", "unidentified controller", "board")
    assert target.describe()["device_id"] == target.controller.identity().device_id.hex()
    assert target.describe()["firmware"] == f"{target.controller.read('firmware_hash_code'):08x}"


def test_clock_now_advance_and_run_until(clock: Clock) -> None:
    assert clock.mode in ("virtual", "wall")
    before = clock.now_s()
    clock.advance(0.1)
    assert clock.now_s() >= before + 0.1
    until = clock.now_s() + 0.2
    clock.run_until(lambda: clock.now_s() >= until, within_s=30.0)
    with pytest.raises(ConditionNotMet):
        clock.run_until(lambda: False, within_s=0.1)
    before = clock.now_s()
    with pytest.raises(WrongUse, match="a span of -5 s cannot pass; nothing was done"):
        clock.advance(-5.0)
    assert clock.now_s() < before + 5.0


@pytest.mark.needs("bus.tcp")
def test_bus_tcp(bus: Bus) -> None:
    assert bus.tcp().exchange(ASK_MAP) == b"\x04\x04" + MAP


@pytest.mark.needs("bus.raw")
def test_bus_raw(bus: Bus) -> None:
    line = bus.raw()
    line.sendall(bytes.fromhex("0007 0000 0006 01") + ASK_MAP)
    assert line.recv(13, socket.MSG_WAITALL) == bytes.fromhex("0007 0000 0007 01 04 04") + MAP


@pytest.mark.needs("bus.sniff")
def test_bus_sniff(target: Target) -> None:
    from .bench.modbus import ModbusTcp

    wire = target.bus.sniff()
    with ModbusTcp("127.0.0.1", wire.port) as client:
        answer = client.exchange(ASK_MAP)
    assert [(way, frame[7:]) for way, frame in wire.frames] == [(">", ASK_MAP), ("<", answer)]


@pytest.mark.needs("bus.proxy", "orders")
def test_bus_proxy_keeps_an_order_from_the_controller(target: Target) -> None:
    from .bench.modbus import ModbusTcp

    wire = target.bus.proxy()
    wire.mode = "keep order"
    words = target.controller.order_words({"curve_shift_sp_k": -1.0})
    with ModbusTcp("127.0.0.1", wire.port) as client:
        client.send(client.frame(struct.pack(
            ">BHHHHB", 23, registers.RECEIPTS, registers.RECEIPT_WORDS, registers.ORDER_MAILBOX, len(words),
            2 * len(words)) + struct.pack(f">{len(words)}H", *words)))  # fmt: skip
        assert wire.kept.wait(30.0)
    assert wire.orders == [words]
    assert target.controller.read("curve_shift_lease_number") == 0


@pytest.mark.needs("bus.slow")
def test_bus_slow(target: Target) -> None:
    from .bench.slow_wire import Conditions

    before_s = target.clock.now_s()
    assert target.bus.slow(Conditions(latency_s=1.0)).client().exchange(ASK_MAP) == b"\x04\x04" + MAP
    assert target.clock.now_s() - before_s >= 2.0


@pytest.mark.needs("bus.rtu")
def test_bus_rtu(bus: Bus) -> None:
    assert bus.rtu().exchange(ASK_MAP) == b"\x04\x04" + MAP


@pytest.mark.needs("io.sensors", "io.relays")
def test_io_resistance_current_and_relays(controller: Controller, io: IO, clock: Clock) -> None:
    io.set_current(DP, DP_MA)
    clock.run_until(lambda: abs((controller.read("primary_dp_bar") or 0.0) - DP_BAR) < 0.05, within_s=30.0)
    io.set_resistance(3, float("inf"))  # the supply sensor
    clock.run_until(lambda: controller.read("secondary_supply_temp_c") is None, within_s=60.0)
    clock.run_until(lambda: "pump" in io.relays(), within_s=60.0)
    io.restore()
    clock.run_until(lambda: controller.read("secondary_supply_temp_c") is not None, within_s=60.0)


@pytest.mark.needs("io.button")
def test_io_button_opens_service_mode(controller: Controller, io: IO, clock: Clock) -> None:
    before = controller.read("service_seconds_left_s")
    assert before == 0
    io.press_button()
    clock.run_until(lambda: controller.read("service_seconds_left_s") > 0, within_s=30.0)
    io.press_button(False)


@pytest.mark.needs("console.exec", "console.read")
def test_console_exec_read_until_and_restart(console: Console, controller: Controller) -> None:
    boots = controller.read("boot_count")
    controller.disconnect()
    assert console.exec(f"print('{console.run_id}', 6 * 7)") == f"{console.run_id} 42\n"
    with pytest.raises(BenchError, match="ZeroDivisionError"):
        console.exec("1 / 0")
    with pytest.raises(ConditionNotMet, match="nobody says this"):
        console.read_until("nobody says this", within_s=0.1)
    console.restart()
    assert controller.read("boot_count") > boots


@pytest.mark.needs("power.prepare", "power.cut", "power.off", "power.brownout", "console.read")
def test_power_and_what_the_console_says_at_each_start(target: Target) -> None:
    power, controller = target.power, target.controller
    boots = controller.read("boot_count")
    with pytest.raises(BenchError, match="under power"):
        power.prepare()
    power.cut()
    power.prepare()
    with pytest.raises(OSError):
        target.bus.raw()
    power.on()
    power.on()  # once is enough
    assert controller.read("boot_count") == boots + 1
    power.brownout(ms=100)
    assert controller.read("boot_count") == boots + 2
    with pytest.raises(NotOnThisTarget, match=r"power\.voltage"):
        power.brownout(ms=100, volts=2.5)
    power.off()
    power.on()
    assert controller.read("boot_count") == boots + 3


@pytest.mark.needs("orders")
def test_an_order_is_taken_and_given_back(controller: Controller, clock: Clock) -> None:
    assert controller.order(curve_shift_sp_k=-1.0).result == order_frame.ACCEPTED
    assert controller.read("curve_shift_lease_number") == order_frame.SUPERVISOR + 1
    assert controller.release("curve_shift_sp_k").result == order_frame.ACCEPTED
