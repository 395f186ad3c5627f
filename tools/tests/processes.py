"""Starts the real command line and the emulated board on a serial line, as a technician would.

It refuses to call into the modules under test: only processes, files and exit statuses.
"""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 180.0
BUTTON_AT = 16  # of the file of a board's terminals: hil_tests/bench/vm_board/machine.py


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return its last line as JSON."""
        return json.loads(self.out.strip().splitlines()[-1])


def toplovod(*arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Said:
    """Run `toplovod` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}, cwd=cwd,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)


@contextmanager
def serial_board(flash: Path, *options: object) -> Iterator[str]:
    """Power a board with this flash image; yields its port. Leaving the block pulls the plug."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hil_tests.bench.board", "--flash", str(flash), *map(str, options)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def press_button(pins: Path, down: bool = True) -> None:
    """Hold the service button of the board whose terminals lie in this file, or let it go."""
    with pins.open("r+b") as file:
        file.seek(BUTTON_AT)
        file.write(b"\1" if down else b"\0")


def free_port() -> int:
    """Return a TCP port that is free now, below those that the system hands out for outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
