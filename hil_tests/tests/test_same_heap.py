"""A controller's heap lies alike wherever its files lie and whoever runs it: else one seed gives two runs."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..bench import fleet
from ..bench.fleet import Board, Fleet
from ..bench.lockstep import Lockstep
from .test_virtual_time import Nothing

MAP = """
import micropython, os, time
with open('kept', 'w') as file:
    file.write('x' * 99)
os.rename('kept', 'moved')
print(os.listdir('/'))
micropython.mem_info(1)
time.sleep(3600)
"""


def heap_map(folder: Path, whole: bool) -> list[str]:
    """Boot a board with both serial lines in folder; return where each block of its heap lies."""
    flash = folder / "flash"
    flash.mkdir(parents=True)
    (flash / "main.py").write_text(MAP)
    board = Board("board", bytes(8), flash, folder / "console.log")
    boards = Fleet([board], seed=3, deadline_s=20.0, serial=True, meters=True, whole_machine=whole)
    clock = Lockstep(Nothing(), boards)
    try:
        clock.power_on()
        clock.run_for(4.0)
        lines = boards.console(0, lines=10_000).splitlines()
    finally:
        clock.close()
    begin = next(i for i, line in enumerate(lines) if line.startswith("GC memory layout"))
    found = [line.partition(": ")[2] for line in lines[begin + 1 :]]
    assert len(found) > 20 and any("h" in line for line in found)
    return found


@pytest.mark.parametrize("whole", [False, True])
def test_no_path_and_no_handle_moves_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setenv("HOME", "/")
    here = heap_map(tmp_path / "a", whole)
    monkeypatch.setenv("HOME", "/home/" + "long" * 20)
    elsewhere = tmp_path / ("clone" * 20)
    elsewhere.symlink_to(Path(fleet.__file__).parent)
    monkeypatch.setattr(fleet, "__file__", str(elsewhere / "fleet.py"))
    with ExitStack() as opened:
        for _ in range(1100):  # so that folders and lines get numbers of four digits
            opened.callback(os.close, os.open(tmp_path, os.O_RDONLY))
        assert heap_map(tmp_path / ("long" * 20), whole) == here
