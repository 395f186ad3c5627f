"""A program on the emulated board is interrupted at any place, and the board still works.

A VM under Unix leaves its program by a jump, be it out of its table of names with that table's lock in hand:
it greets then, and stands still at the next new name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from hil_tests.bench.serial_console import SerialStream

from .emulated_board import emulated_board

NAMES_FOR_EVER = """
line = '='.join('name_%d' % n for n in range(300)) + '=0'
print('running')
while True:
    exec(line, {})
"""
TIMES = 20
WITHIN_S = 60.0
BUSY_S = 1.0  # real: four times what a VM gets to read a Ctrl-C
SIGINT_PENDING = 1 << signal.SIGINT - 1
ANSWER = "print('new_' + str(len(__import__('os').listdir('/'))))"


def test_a_board_works_after_an_interrupt_at_any_place(tmp_path: Path) -> None:
    with emulated_board(tmp_path, NAMES_FOR_EVER) as (console, _):
        for _ in range(TIMES):
            console.read_until("running", WITHIN_S)
            assert console.exec(ANSWER) == "new_1\n"
            console.restart()


def test_a_vm_that_waits_for_the_processor_is_not_interrupted(tmp_path: Path) -> None:
    """It would read its Ctrl-C in its REPL; the signal would hit what the host says next."""
    with emulated_board(tmp_path) as (console, supply):
        console.begin("")
        assert console.exec(ANSWER) == "new_0\n"
        console.close()
        (vm,) = Path(f"/proc/{supply.process_id}/task/{supply.process_id}/children").read_text().split()
        line = SerialStream(supply.port)
        os.kill(int(vm), signal.SIGSTOP)
        with contextlib.closing(line), contextlib.ExitStack() as stack:
            stack.callback(os.kill, int(vm), signal.SIGCONT)
            line.write(b"\r\x03")
            until = time.monotonic() + BUSY_S
            while time.monotonic() < until:
                status = Path(f"/proc/{vm}/status").read_text()
                pending = next(row for row in status.splitlines() if row.startswith("ShdPnd"))
                assert not int(pending.split()[1], 16) & SIGINT_PENDING
        assert console.exec(ANSWER) == "new_0\n"
