"""I2C and Timer of the emulated controllers in lockstep: a real board's inputs, calls to the millisecond."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ..bench.board_io import BoardInputs, BoardOutputs
from ..bench.fleet import WHOLE_MACHINE_B, Board, Fleet, vm_heap_b
from ..bench.lockstep import Lockstep

OHM = (980.0, 1309.0, 1194.0, 1213.0, 1155.0, float("nan"))
CURRENT_MA = (8.0, 20.0)
AND_ON = "\n__import__('time').sleep(3600)\n"  # a program that ends fails the fleet


class Bench:
    """Sensors of fixed resistance."""

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        return self.sense()

    def sense(self) -> BoardInputs:
        return BoardInputs(np.array([OHM]), np.array([CURRENT_MA]), np.zeros(1, dtype=np.bool_))


Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a program for so many virtual seconds on a flash that may hold more; returns what it printed."""
    clocks: list[Lockstep] = []

    def run(program: str, seconds: float, *, flash: Path | None = None, whole: bool = True) -> list[str]:
        folder = flash or tmp_path / "flash"
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(program + AND_ON)
        board = Board("board", bytes(8), folder, tmp_path / f"console-{len(clocks)}.log")
        fleet = Fleet([board], seed=3, deadline_s=20.0, whole_machine=whole)
        clocks.append(Lockstep(Bench(), fleet))
        clocks[-1].power_on()
        clocks[-1].run_for(seconds)
        return fleet.console(0, lines=1000).splitlines()

    yield run
    for clock in clocks:
        clock.close()


def test_a_board_of_a_town_has_neither(run: Run) -> None:
    program = "import machine, time\nprint(hasattr(machine, 'I2C'), hasattr(machine, 'Timer'))\n"
    assert run(program, 1, whole=False) == ["False False"]
    assert run(program, 1) == ["True True"]


def test_timers_call_at_their_time_in_a_sleep(run: Run) -> None:
    said = run(
        """
import machine
from machine import Timer
from time import sleep_ms, ticks_ms

def tell(name):
    return lambda timer: print(name, ticks_ms())

every = Timer(-1, period=400, callback=tell('every'))
once = Timer(mode=Timer.ONE_SHOT, period=1000, callback=tell('once'))
fast = Timer()
fast.init(freq=2, callback=tell('fast'))
sleep_ms(1300)
every.deinit()
print('slept', ticks_ms())
fast.init(period=3000, mode=Timer.ONE_SHOT, callback=tell('later'))
sleep_ms(100)
""",
        9,
    )
    assert said == [
        "every 400", "fast 500", "every 800", "once 1000", "fast 1000", "every 1200", "slept 1300",
        "later 4300",
    ]  # fmt: skip


def test_a_timer_wakes_a_task_at_its_millisecond(run: Run) -> None:
    said = run(
        """
import asyncio, machine
from time import ticks_ms

async def main():
    flag = asyncio.ThreadSafeFlag()
    event = asyncio.Event()
    timer = machine.Timer(-1, period=1234, callback=lambda timer: event.set())
    for n in range(2):
        await event.wait()
        event.clear()
        print('woken', ticks_ms())
    await asyncio.sleep_ms(2000)
    print('slept', ticks_ms(), event.is_set())

asyncio.run(main())
""",
        9,
    )
    assert said[:3] == ["woken 1234", "woken 2468", "slept 4468 True"]


def test_a_timer_feeds_the_watchdog_and_outlives_an_error(run: Run) -> None:
    said = run(
        """
import machine, time
print('start', machine.reset_cause())
dog = machine.WDT(timeout=2000)
calls = []
def feed(timer):
    calls.append(time.ticks_ms())
    dog.feed()
    if len(calls) == 2:
        raise ValueError('told')
    if len(calls) == 3:
        time.sleep_ms(1700)  # makes up for one call, not for three
    if len(calls) == 6:
        timer.deinit()
        print(calls)
feeder = machine.Timer(-1, period=500, callback=feed)
""",
        7,
    )
    assert said[0] == "start 1"
    assert said[4:7] == ["ValueError: told", "[500, 1000, 1500, 3200, 3500, 4000]", "start 3"]  # bitten


@pytest.mark.parametrize("board", ["w5500_evb", "olimex_esp32_poe"])
def test_a_real_board_s_program_reads_its_converters_over_i2c(
    run: Run, tmp_path: Path, firmware_bundle: Path, board: str
) -> None:
    flash = tmp_path / "board"
    shutil.copytree(firmware_bundle, flash)
    (flash / "main.mpy").unlink(missing_ok=True)
    (flash / "network.py").write_text("")  # a module that the VM has not; nothing is asked of it
    said = run(
        f"""
import machine
from boards import emulated, {board}
from time import ticks_ms
own, real = emulated.Board(), {board}.Board()
began = ticks_ms()
real.sample()
print(ticks_ms() - began, machine.I2C(0).scan())
for channel in range(6):
    print(own.resistance_mohm(channel), real.resistance_mohm(channel))
for channel in (6, 7):
    print(own.current_ua(channel), real.current_ua(channel))
""",
        2,
        flash=flash,
    )
    assert said[0] == "20 [72, 73, 74, 75]", said
    pairs = [tuple(map(int, line.split())) for line in said[1:9]]
    for (own, real), ohm in zip(pairs, (*OHM[:5], 1e6), strict=False):
        assert real == pytest.approx(ohm * 1000, abs=200)  # a step of 125 uV is 0.2 ohm [computed]
        assert own == pytest.approx(real, abs=200)
    assert pairs[5] == (10**9, 10**9)
    for own, real in pairs[6:]:
        assert own == pytest.approx(real, abs=2)
    assert pairs[6][1] == pytest.approx(8000, abs=2) and pairs[7][1] == pytest.approx(20000, abs=2)


def test_the_converter_takes_its_time_and_an_empty_address_is_an_error(run: Run) -> None:
    said = run(
        """
import machine, time
bus = machine.I2C(0, scl=machine.Pin(5), sda=machine.Pin(4))
print(bus.readfrom_mem(0x48, 1, 2).hex(), bus.readfrom_mem(0x48, 0, 2).hex())
bus.writeto(0x48, b'\\x01\\xe3\\x03')  # input 2, 4.096 V, single shot, 8 a second
print(bus.readfrom_mem(0x48, 1, 2).hex(), bus.readfrom_mem(0x48, 0, 2).hex())
time.sleep_ms(124)
print(bus.readfrom_mem(0x48, 0, 2).hex())
time.sleep_ms(1)
first = bus.readfrom_mem(0x48, 0, 2)
print(bus.readfrom_mem(0x48, 1, 2).hex())
bus.writeto_mem(0x48, 1, b'\\xe1\\x03')  # the same at 6.144 V: two thirds of the steps
time.sleep_ms(125)
second = bus.readfrom_mem(0x48, 0, 2)
a, b = (int.from_bytes(word, 'big') for word in (first, second))
print(a > 8000, abs(2 * a - 3 * b) < 4)
bus.writeto_mem(0x48, 1, b'\\xf7\\x03')  # input 3 at 1.024 V: beyond its range
time.sleep_ms(125)
print(bus.readfrom_mem(0x48, 0, 2).hex())
bus.writeto_mem(0x49, 1, b'\\xe2\\xe3')  # input 6 all the time: 8 mA
time.sleep_ms(5)
print(int.from_bytes(bus.readfrom_mem(0x49, 0, 2), 'big'))
for address in (0x40, 0x4c):
    try:
        bus.writeto(address, b'')
    except OSError as error:
        print(error.errno)
""",
        4,
    )
    assert said[0] == "8583 0000"
    assert said[1] == "6303 0000"
    assert said[2] == "0000"
    assert said[3] == "e303"
    assert said[4] == "True True"
    assert said[5] == "7fff"
    assert int(said[6]) == pytest.approx(8 * 150 / 0.125, abs=2)
    assert said[7:9] == ["5", "5"]


def test_the_parts_fit_into_what_the_heap_is_larger_by(run: Run) -> None:
    said = run(
        """
import gc, machine, time
gc.collect()
before = gc.mem_alloc()
machine.I2C, machine.Timer
used = gc.mem_alloc() - before  # with what reading their source left behind
gc.collect()
print(gc.mem_alloc() + gc.mem_free(), used, gc.mem_alloc() - before)
""",
        1,
    )
    heap_b, most_b, kept_b = map(int, said[0].split())
    print(f"I2C and Timer: {kept_b} B of the heap, {most_b} B while they are read")
    assert heap_b == pytest.approx(vm_heap_b("192k") + WHOLE_MACHINE_B, rel=0.03)  # less the VM's own
    assert kept_b < most_b < WHOLE_MACHINE_B
