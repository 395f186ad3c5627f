"""What the tools' tests share: a technician's environment, and one board that was flashed by cable.

With PYTHONUNBUFFERED, which only servers of tests set, a program's words reach a pipe in the order in which
it says them. Without it they need not: a flash that passed here failed in every cellar.
"""

import fcntl
import os
from pathlib import Path

import pytest

from tools.build import build_bundle

from .processes import serial_board, toplovod

os.environ.pop("PYTHONUNBUFFERED", None)


@pytest.fixture(scope="session")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of an empty board that took the shipped bundle by cable; workers side by side share one."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    image, half_done = folder / "flashed.img", folder / "flashing.img"
    with (folder / "flashed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the others wait for the first one's image
        if not image.exists():
            half_done.unlink(missing_ok=True)
            with serial_board(half_done) as port:
                said = toplovod("flash", port, "--json")
                assert said.status == 0, said.err + said.out
                assert len(said.json["copied"]) == len(build_bundle().files)
            half_done.rename(image)
    return image
