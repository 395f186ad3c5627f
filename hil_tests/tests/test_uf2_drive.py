"""A .uf2 copied onto the emulated drive is in the flash, and the board starts from it; no bad one is."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..bench.board import BLOCK_BYTES, BLOCKS
from ..bench.emulated_target import EmulatedSupply, write_image
from ..bench.serial_console import SerialStream, StreamConsole
from ..bench.uf2_drive import ABSOLUTE, ABSOLUTE_AT, BLOCK, FLASH_AT, FLASH_B, INFO, RP2040, RP2350

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60.0
BEFORE = random.Random(2).randbytes(FLASH_B)
PROGRAM = random.Random(3).randbytes(20 * 256)


def block(address: int, data: bytes, number: int, count: int, family: int, flags: int = 0x2000) -> bytes:
    return BLOCK.pack(
        0x0A324655, 0x9E5D5157, flags, address, len(data), number, count, family, data, 0x0AB16F30
    )


def uf2(content: bytes, at: int = FLASH_AT, family: int = RP2040.family) -> list[bytes]:
    pages = [content[i : i + 256] for i in range(0, len(content), 256)]
    return [block(at + 256 * n, page, n, len(pages), family) for n, page in enumerate(pages)]


class Board:
    """A board with BOOTSEL held: its drive and its flash."""

    def __init__(self, folder: Path, board: str) -> None:
        self.drive, self.flash = folder / "drive", folder / "chip.img"
        self.flash.write_bytes(BEFORE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hil_tests.bench.uf2_drive", "--board", board, "--folder", str(self.drive),
             "--flash", str(self.flash), "--owned"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self.said()

    def said(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def copy(self, content: bytes, name: str = "program.uf2") -> Any:
        """Copy a file onto the drive and return what the drive says of it."""
        source = self.flash.with_name(name)
        source.write_bytes(content)
        shutil.copyfile(source, self.drive / name)
        return self.said()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(WITHIN_S)
        assert self.process.stderr is not None and self.process.stdout is not None
        left = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert left == ""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Callable[[str], Board]]:
    made: list[Board] = []

    def start(name: str) -> Board:
        made.append(Board(tmp_path, name))
        return made[-1]

    yield start
    for each in made:
        each.close()


def after(content: bytes, at: int) -> bytes:
    """Return the flash with this content at an offset, and the rest of its sectors erased."""
    first, end = at // 4096 * 4096, -(-(at + len(content)) // 4096) * 4096
    sectors = bytearray(b"\xff" * (end - first))
    sectors[at - first : at - first + len(content)] = content
    return BEFORE[:first] + bytes(sectors) + BEFORE[end:]


def test_the_drive_tells_which_board_it_is(board: Callable[[str], Board]) -> None:
    drive = board("w5500_evb_pico2").drive
    assert b"Board-ID: RP2350\r\n" in (drive / INFO).read_bytes()


@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_a_whole_file_is_in_the_flash_and_the_drive_goes(board: Callable[[str], Board], order: str) -> None:
    held = board("w5500_evb_pico")
    assert b"Board-ID: RPI-RP2\r\n" in (held.drive / INFO).read_bytes()
    blocks = uf2(PROGRAM, FLASH_AT + 0x1100)
    blocks.insert(3, block(0, b"a comment", 0, 1, 0, flags=1))
    if order == "shuffled":
        random.Random(4).shuffle(blocks)
    assert held.copy(b"".join(blocks)) == {"file": "program.uf2", "written_b": len(PROGRAM)}
    assert held.process.wait(WITHIN_S) == 0
    assert list(held.drive.iterdir()) == []
    assert held.flash.read_bytes() == after(PROGRAM, 0x1100)


def test_an_rp2350_passes_over_the_block_against_its_erratum(board: Callable[[str], Board]) -> None:
    held = board("w5500_evb_pico2")
    blocks = [block(ABSOLUTE_AT, b"\xef" * 256, 0, 2, ABSOLUTE), *uf2(PROGRAM, family=RP2350.family)]
    assert held.copy(b"".join(blocks))["written_b"] == len(PROGRAM)
    assert held.process.wait(WITHIN_S) == 0
    assert held.flash.read_bytes() == after(PROGRAM, 0)


def test_what_is_wrong_leaves_the_flash_as_it_was_and_is_told(board: Callable[[str], Board]) -> None:
    held = board("w5500_evb_pico")
    good = uf2(PROGRAM)
    torn = bytearray(b"".join(good))
    torn[5 * 512 + 100 : 7 * 512 + 20] = bytes(2 * 512 - 80)  # a hole that was never written
    wrong = {
        "is for RP2350 (0xe48bff59), this board is an RP2040": uf2(PROGRAM, family=RP2350.family),
        "is for another chip (0x00000001)": uf2(PROGRAM, family=1),
        "is for another chip (0xe48bff57)": [block(ABSOLUTE_AT, bytes(256), 0, 2, ABSOLUTE), *good],
        "without a family": [block(FLASH_AT, bytes(256), 0, 1, 0, flags=0)],
        "has 19 of 20 blocks": good[:-1],
        "no whole number of blocks": [*good[:-1], good[-1][:511]],
        "has 0 bytes": [],
        "block 5 has not the magic numbers": [bytes(torn)],
        "block 20 comes twice": [*good, good[0]],
        "block 1 is number 1 of 21 in a file of 20": [good[0], *uf2(PROGRAM + bytes(256))[1:]],
        "block 0 is number 7 of 7": [block(FLASH_AT, bytes(256), 7, 7, RP2040.family)],
        "has 255 bytes at 0x10000000": [block(FLASH_AT, bytes(255), 0, 1, RP2040.family)],
        "256 bytes at 0x10000001": uf2(PROGRAM, FLASH_AT + 1),
        "is for 0x20000000, outside the flash": uf2(PROGRAM, 0x2000_0000),
        "is for 0x10200000, outside the flash": uf2(PROGRAM, FLASH_AT + FLASH_B - 19 * 256),
        "it has 0 of no blocks": [block(0, b"a comment", 0, 1, 0, flags=1)],
    }
    for why, blocks in wrong.items():
        said = held.copy(b"".join(blocks))
        assert why in said["refused"] and "the flash is as it was" in said["refused"], said
        assert held.flash.read_bytes() == BEFORE
    shutil.copyfile(
        ROOT / "LICENSE", held.drive / "LICENSE"
    )  # no .uf2: a drive takes it, and nothing happens
    assert held.copy(b"".join(good))["written_b"] == len(PROGRAM)


def test_a_writer_that_is_killed_leaves_the_flash_as_it_was(board: Callable[[str], Board]) -> None:
    held = board("w5500_evb_pico")
    torn = (
        "import os, sys; file = open(sys.argv[1], 'wb', 0); file.write(bytes.fromhex(sys.argv[2]))"
        "; os.kill(os.getpid(), 9)"
    )
    subprocess.run(
        [sys.executable, "-c", torn, str(held.drive / "torn.uf2"), b"".join(uf2(PROGRAM))[:3000].hex()],
        check=False,
    )
    assert "it has 3000 bytes" in held.said()["refused"]
    assert held.flash.read_bytes() == BEFORE


@pytest.mark.slow
def test_the_board_starts_from_what_was_copied(board: Callable[[str], Board], tmp_path: Path) -> None:
    """The file system lies at the chip's end; MicroPython's own .uf2 ends in front of it."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "main.py").write_text("print('from the', 'drive')\n")
    write_image(files, tmp_path / "system.img")
    system = (tmp_path / "system.img").read_bytes()
    held = board("w5500_evb_pico")
    at = FLASH_AT + FLASH_B - BLOCKS * BLOCK_BYTES
    assert held.copy(b"".join(uf2(system, at)))["written_b"] == len(system)
    assert held.process.wait(WITHIN_S) == 0
    supply = EmulatedSupply(held.flash, tmp_path / "pins.bin", bytes(8))
    supply.on()
    console = StreamConsole("the board", lambda: SerialStream(supply.port), lambda: None)
    try:
        console.read_until("from the drive", WITHIN_S)
        assert (
            console.exec("open('kept', 'w').close(); import os; print(os.listdir())")
            == "['kept', 'main.py']\n"
        )
    finally:
        console.close()
        supply.close()
    assert held.flash.stat().st_size == FLASH_B
    assert held.flash.read_bytes()[: FLASH_B - len(system)] == BEFORE[: FLASH_B - len(system)]
