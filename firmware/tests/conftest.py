"""Fixtures for the firmware's tests: a tick counter under the test's hand, and the real MicroPython VM.

CPython has no time.ticks_ms(); the modules under test get one from here that only moves when told.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parent.parent
PERIOD = 1 << 30  # ticks wrap as they do on a 32-bit board


class Ticks:
    """Milliseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_ms = 0

    def ticks_ms(self) -> int:
        return self.now_ms % PERIOD

    @staticmethod
    def ticks_add(ticks: int, delta: int) -> int:
        return (ticks + delta) % PERIOD

    @staticmethod
    def ticks_diff(later: int, earlier: int) -> int:
        return (later - earlier + PERIOD // 2) % PERIOD - PERIOD // 2


_ticks = Ticks()
for _name in ("ticks_ms", "ticks_add", "ticks_diff"):
    setattr(time, _name, getattr(_ticks, _name))


@pytest.fixture
def ticks() -> Ticks:
    """The counter, back at zero."""
    _ticks.now_ms = 0
    return _ticks


@pytest.fixture
def in_vm(tmp_path: Path) -> Callable[..., str]:
    """Run a script in MicroPython with the firmware importable; return what it printed.

    The working directory is the test's own; a script that fails shows its traceback.
    """

    def run(script: str, heap: str = "192k", timeout_s: float = 60.0) -> str:
        file = tmp_path / "vm_script.py"
        paths = [str(FIRMWARE), str(FIRMWARE / "tests" / "vm")]
        file.write_text(f"import sys\nsys.path[:0] = {paths!r}\n{script}")
        done = subprocess.run(
            [sys.executable, "-m", "micropython", "-X", f"heapsize={heap}", str(file)],
            cwd=tmp_path, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
