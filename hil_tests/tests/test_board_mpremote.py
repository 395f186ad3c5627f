"""Stock mpremote copies, compares and mounts files on the emulated board, as on one with a USB cable."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import littlefs
import pytest

from ..bench.board import BLOCK_BYTES, BLOCKS
from ..bench.emulated_target import EmulatedSupply

pytestmark = pytest.mark.slow

WITHIN_S = 120
CONTENT = random.Random(7).randbytes(20_000) + bytes(range(256)) + b"\x01\x02\x03\x04\r\n" * 100


class Cable:
    """A board under power and its image."""

    def __init__(self, supply: EmulatedSupply, image: Path) -> None:
        self._supply, self._image = supply, image

    def mpremote(self, *arguments: object, ends: int = 0) -> str:
        """Run mpremote and return what it printed; ends: the exit status that it must have."""
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", self._supply.port, *map(str, arguments)],
            capture_output=True, text=True, timeout=WITHIN_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout + done.stderr

    def files_after_a_cut(self) -> dict[str, bytes]:
        """Cut the power and return what lies in the root of the flash."""
        self._supply.cut()
        system = littlefs.LittleFS(
            context=littlefs.UserContext(buffer=bytearray(self._image.read_bytes())), block_size=BLOCK_BYTES,
            block_count=BLOCKS, read_size=64, prog_size=256,
        )  # fmt: skip
        found = {}
        for name in system.listdir("/"):
            with system.open(name, "rb") as file:  # must not outlive the file system: that crashes
                found[name] = file.read()
        return found


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    image = tmp_path / "flash.img"
    supply = EmulatedSupply(image, tmp_path / "pins.bin", bytes(8))
    supply.on()
    yield Cable(supply, image)
    supply.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "content.bin"
    made.write_bytes(CONTENT)
    return made


def test_a_file_goes_to_the_board_and_back_with_every_byte(cable: Cable, file: Path, tmp_path: Path) -> None:
    cable.mpremote("cp", file, ":copied.bin")
    cable.mpremote("soft-reset")
    cable.mpremote("cp", ":copied.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == CONTENT
    assert cable.files_after_a_cut() == {"copied.bin": CONTENT}


def test_a_folder_goes_to_the_board_and_back(cable: Cable, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lib"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.py").write_text("ONE = 1\n")
    (folder / "deep" / "two.py").write_text("TWO = 2\n")
    cable.mpremote("cp", "-r", folder, ":")
    assert cable.mpremote("exec", "import one; from deep.two import TWO; print(one.ONE, TWO)") == "1 2\n"
    (tmp_path / "back").mkdir()
    cable.mpremote("cp", "-r", ":lib", tmp_path / "back")
    for name in ("one.py", "deep/two.py"):
        assert (tmp_path / "back" / "lib" / name).read_bytes() == (folder / name).read_bytes()


def test_the_digest_is_computed_on_the_board_and_spares_a_copy(cable: Cable, file: Path) -> None:
    assert "Up to date" not in cable.mpremote("cp", file, ":copied.bin")
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert digest in cable.mpremote("sha256sum", ":copied.bin").split()
    assert "Up to date" in cable.mpremote("cp", file, ":copied.bin")
    file.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert "Up to date" not in cable.mpremote("cp", file, ":copied.bin")
    changed = hashlib.sha256(file.read_bytes()).hexdigest()
    assert changed in cable.mpremote("sha256sum", ":copied.bin").split()
    assert "missing.bin" in cable.mpremote("sha256sum", ":missing.bin", ends=1)


def test_a_mounted_folder_of_the_host_is_imported_from_and_written_to(cable: Cable, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "there.py").write_text("WORD = 'from the host'\n")
    program = (
        "import os, there\n"
        "print(os.getcwd(), there.WORD, sorted(os.listdir('/remote')))\n"
        "with open('/remote/written.txt', 'w') as file:\n"
        "    file.write('by the board')\n"
    )
    said = cable.mpremote("mount", folder, "exec", program)
    assert "/remote from the host ['there.py']" in said
    assert (folder / "written.txt").read_text() == "by the board"
    assert "there.py" not in cable.mpremote("ls")  # with the command it is gone
    assert cable.files_after_a_cut() == {}
