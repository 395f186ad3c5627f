"""The emulated board's watchdog bites as a chip's does: in a program, in the REPL, after a soft reset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .emulated_board import emulated_board

pytestmark = pytest.mark.slow

TIMEOUT_MS = 2_000
WITHIN_S = 60.0
START = f"""
import machine, time
print('start', machine.reset_cause())
dog = machine.WDT(timeout={TIMEOUT_MS})
"""
FEED_FOR_LONGER = f"""
for n in range({3 * TIMEOUT_MS // 100}):
    time.sleep_ms(100)
    dog.feed()
print('fed')
"""
HANG = "while True: pass\n"
FEED_FOR_EVER = """
print('up')
while True:
    time.sleep_ms(50)
    dog.feed()
"""
BITTEN = "start 3"  # machine.WDT_RESET
TIMER = "machine.Timer(-1, period=200, callback=lambda timer: dog.feed())"
OUTLIVE = f"import time; time.sleep_ms({3 * TIMEOUT_MS}); print('alive')"


def test_a_program_that_feeds_lives_and_one_that_stops_is_reset(tmp_path: Path) -> None:
    with emulated_board(tmp_path, START + FEED_FOR_LONGER + HANG) as (console, _):
        console.read_until("start 1", WITHIN_S)
        assert "start" not in console.read_until("fed", WITHIN_S)
        console.read_until(BITTEN, WITHIN_S)


def test_it_bites_in_the_repl_after_an_interrupt(tmp_path: Path) -> None:
    with emulated_board(tmp_path, START + FEED_FOR_EVER) as (console, _):
        console.read_until("up", WITHIN_S)
        assert console.exec("print(6 * 7)") == "42\n"
        console.read_until(BITTEN, WITHIN_S)


def test_a_timer_of_the_repl_feeds_it_until_a_soft_reset(tmp_path: Path) -> None:
    with emulated_board(tmp_path, START + FEED_FOR_EVER) as (console, supply):
        console.read_until("up", WITHIN_S)
        console.exec(TIMER)
        assert console.exec(OUTLIVE) == "alive\n"
        console.close()
        subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", supply.port, "soft-reset"],
            check=True, timeout=WITHIN_S,
        )  # fmt: skip
        console.read_until(BITTEN, WITHIN_S)
