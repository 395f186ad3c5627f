"""Timer, RTC and I2C of the emulated board on a serial line, in the host's time."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..bench.board import READINGS, current_counts, pt1000_counts
from ..bench.emulated_target import EmulatedSupply
from ..bench.serial_console import StreamConsole
from .emulated_board import PINS, emulated_board

pytestmark = pytest.mark.slow

WITHIN_S = 60.0

# each prints a letter for a call, and ends by itself when there were enough
TIMERS = """
import machine
from machine import Timer
from time import sleep_ms
calls = {'every': 0, 'once': 0, 'broken': 0}
def count(name):
    def call(timer):
        calls[name] += 1
        if name == 'broken' and calls[name] == 1:
            raise ValueError('told')
    return call
every = Timer(-1, period=20, callback=count('every'))
once = Timer(mode=Timer.ONE_SHOT, period=10, callback=count('once'))
broken = Timer(freq=50, callback=count('broken'))
while calls['every'] < 5 or calls['broken'] < 3:  # never waits: between two bytecodes
    pass
print('in a loop')
calls['every'] = 0
while calls['every'] < 5:
    sleep_ms(1000)
print('in a sleep')
every.deinit()
stopped = calls['every']
again = calls['broken']
while calls['broken'] < again + 5:
    sleep_ms(1)
print('stopped', calls['every'] == stopped, 'once', calls['once'], 'times')
"""
WAKE = """
import asyncio, machine
async def long():
    await asyncio.sleep(3600)
async def main():
    event = asyncio.Event()
    other = asyncio.create_task(long())
    timer = machine.Timer(-1, period=30, callback=lambda timer: event.set())
    for n in range(3):
        await event.wait()
        event.clear()
        print('woken', n)
asyncio.run(main())
"""


class Cable:
    def __init__(self, console: StreamConsole, supply: EmulatedSupply, pins: Path) -> None:
        self.console, self._supply, self.pins = console, supply, pins

    def mpremote(self, *arguments: str) -> str:
        """Run mpremote, which resets the board softly first, while the console lets go of the line."""
        self.console.close()
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", self._supply.port, *arguments],
            capture_output=True, text=True, timeout=WITHIN_S, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.stdout


@contextmanager
def board(folder: Path, main: str = "") -> Iterator[Cable]:
    with emulated_board(folder, main) as (console, supply):
        yield Cable(console, supply, folder / PINS)


def test_timers_call_a_running_program_back(tmp_path: Path) -> None:
    with board(tmp_path, TIMERS) as cable:
        assert "ValueError: told" in cable.console.read_until("in a loop", WITHIN_S)
        cable.console.read_until("in a sleep", WITHIN_S)
        cable.console.read_until("stopped True once 1 times", WITHIN_S)
        assert cable.console.exec("print(6 * 7)") == "42\n"


def test_a_timer_wakes_a_task_while_all_others_wait_for_long(tmp_path: Path) -> None:
    with board(tmp_path, WAKE) as cable:
        for n in range(3):
            cable.console.read_until(f"woken {n}", WITHIN_S)


def test_the_clock_goes_and_outlives_a_soft_reset_but_no_hard_one(tmp_path: Path) -> None:
    def told() -> tuple[int, ...]:
        found = re.search(r"\((\d+(?:, \d+)+)\)", cable.mpremote("rtc"))
        assert found
        return tuple(map(int, found[1].split(", ")))

    with board(tmp_path) as cable:
        assert told()[:5] == (
            2026,
            1,
            1,
            3,
            0,
        )  # 1 January, a Thursday, in the first hour
        set_it = "import machine; machine.RTC().datetime((2028, 2, 28, 0, 23, 59, 58, 0))"
        cable.mpremote("exec", set_it)
        deadline = time.monotonic() + WITHIN_S
        before = told()
        assert before[:3] in ((2028, 2, 28), (2028, 2, 29))
        while told()[:6] < (2028, 2, 29, 1, 0, 0):  # a leap day, a Tuesday
            assert time.monotonic() < deadline, told()
        cable.mpremote("reset")
        assert told()[:5] == (2026, 1, 1, 3, 0)


def test_the_converters_on_i2c_read_what_the_terminals_carry(tmp_path: Path) -> None:
    program = (
        "import machine\n"
        "from time import sleep_ms\n"
        "bus = machine.I2C(0, scl=machine.Pin(5), sda=machine.Pin(4))\n"
        "print(bus.scan())\n"
        "for channel in range(8):\n"
        "    chip = 0x48 + channel // 4\n"
        "    bus.writeto_mem(chip, 1, (0xc3a3 | channel % 4 << 12).to_bytes(2, 'big'))\n"
        "    sleep_ms(5)\n"
        "    own = machine.ADC(channel).read_u16() * 3_300_000 // 65535\n"
        "    print(own, int.from_bytes(bus.readfrom_mem(chip, 0, 2), 'big') * 125)\n"
    )
    with board(tmp_path) as cable:
        for temp_c in (55.0, -10.0):
            counts = [pt1000_counts(temp_c + n) for n in range(6)] + [current_counts(n) for n in (8.0, 20.0)]
            with cable.pins.open("r+b") as file:
                file.write(READINGS.pack(*counts))
            scan, *lines = cable.console.exec(program).splitlines()
            assert scan == "[72, 73]"
            for line, count in zip(lines, counts, strict=True):
                own, real = map(int, line.split())
                assert own == count * 3_300_000 // 65535
                assert 0 <= own - real < 125  # a step
