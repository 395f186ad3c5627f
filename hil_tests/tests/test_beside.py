"""What runs beside ends with the block it was started in, and tells why it failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..bench.beside import Beside, BesideFailed
from ..bench.errors import DeviceFailed

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0


def double(number: int) -> int:
    return 2 * number


def fail(device: str) -> None:
    raise DeviceFailed(device, "went up in smoke", "")


def vanish() -> None:
    os._exit(7)


def work_in(folder: Path) -> None:
    """Work for ever; `folder/here` is there as long as it does."""
    here = folder / "here"
    try:  # the signal may come as soon as the file is there
        here.write_text(str(os.getpid()))
        while True:
            time.monotonic()
    finally:
        here.unlink(missing_ok=True)


def appears(path: Path) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(path: Path) -> None:
    deadline = time.monotonic() + WITHIN_S
    while path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_its_result_comes_over() -> None:
    with Beside("the sum", double, 21) as beside:
        assert beside.result() == 42


def test_its_error_comes_over_as_a_sentence() -> None:
    with Beside("the week", fail, "house-01") as beside, pytest.raises(BesideFailed) as caught:
        beside.result()
    assert str(caught.value).startswith("the week: house-01: went up in smoke")


def test_a_process_that_vanishes_is_told() -> None:
    with Beside("the week", vanish) as beside, pytest.raises(BesideFailed, match="status 7"):
        beside.result()


def test_an_error_here_ends_it_and_lets_it_clean_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Beside("the week", work_in, tmp_path):
        appears(tmp_path / "here")
        raise KeyboardInterrupt
    assert not (tmp_path / "here").exists()


def test_it_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from hil_tests.bench.beside import Beside; "
        "from hil_tests.tests.test_beside import work_in\n"
        "with Beside('the week', work_in, Path(sys.argv[1])) as beside: beside.result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT) as parent:
        appears(tmp_path / "here")
        parent.send_signal(signal.SIGKILL)
    gone(tmp_path / "here")
