"""Stock esptool flashes the emulated ESP32, and what is wrong on its line changes nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ..bench.nor_flash import SECTOR_B, FlashChip
from ..bench.rom_loader import (
    CHECKSUM,
    CHECKSUM_SEED,
    DEFLATE,
    FAILED,
    FLASH_B,
    FLASH_BEGIN,
    FLASH_DATA,
    FLASH_DEFL_BEGIN,
    FLASH_DEFL_DATA,
    FLASH_END,
    INVALID,
    READ_FLASH,
    READ_REG,
    READ_TOO_LONG,
    SPI_ATTACH,
    SPI_FLASH_MD5,
    SYNC,
    SYNC_ANSWERS,
    SYNC_DATA,
    SYNC_VALUE,
    WRITE_ERROR,
    RomLoader,
)

ROOT = Path(__file__).resolve().parents[2]
ESPTOOL = ROOT / "build" / "esptool"
WITHIN_S = 120
AT = 0x1000


@pytest.fixture(scope="module")
def esptool() -> Path:
    """esptool's own folder; skipped by name where there is none, except where CI is set."""
    if not (ESPTOOL / "esptool").is_dir():
        if os.environ.get("CI"):
            pytest.fail("no esptool; with CI set that is no reason to skip")
        pytest.skip("no esptool: make esptool")
    return ESPTOOL


class Cable:
    """A chip in download mode, its flash file, and esptool at the other end of the cable."""

    def __init__(self, esptool: Path, port: str, flash: Path) -> None:
        self._esptool, self._port, self.flash = esptool, port, flash

    def run(self, *arguments: object, chip: str = "esp32") -> tuple[int, str]:
        """Run esptool as a process that sees nothing but itself and the standard library."""
        done = subprocess.run(
            [sys.executable, "-S", "-m", "esptool", "--chip", chip, "--port", self._port, "--no-stub",
             "--before", "no-reset", "--after", "no-reset", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(self._esptool), "COLUMNS": "200"}, capture_output=True,
            text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def cable(esptool: Path, tmp_path: Path) -> Iterator[Cable]:
    flash = tmp_path / "chip.img"
    with subprocess.Popen(
        [sys.executable, "-m", "hil_tests.bench.rom_loader", "--flash", str(flash), "--owned"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdin is not None and process.stderr is not None
        yield Cable(esptool, json.loads(process.stdout.readline())["port"], flash)
        process.stdin.close()  # the owner's end is the loader's
        assert process.wait(WITHIN_S) == 0
        assert process.stderr.read() == ""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that is no whole number of sectors, with every byte that SLIP escapes; half of it deflates."""
    path = tmp_path_factory.mktemp("image") / "image.bin"
    path.write_bytes(random.Random(1).randbytes(20_000) + b"\xc0\xdb" * 10_000 + b"end")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--no-compress", "--compress"])
def test_esptool_writes_an_image_and_proves_it(cable: Cable, image: Path, how: str) -> None:
    status, said = cable.run("write-flash", how, hex(AT), image)
    assert status == 0, said
    assert "Hash of data verified" in said
    content = image.read_bytes()
    flash = cable.flash.read_bytes()
    assert len(flash) == FLASH_B
    assert flash[AT : AT + len(content)] == content
    assert flash[:AT] + flash[AT + len(content) :] == b"\xff" * (FLASH_B - len(content))

    status, said = cable.run("verify-flash", hex(AT), image)
    assert status == 0 and "Verification successful" in said, said
    with cable.flash.open("r+b") as file:  # one bit of a chip that ages
        file.seek(AT + 17)
        file.write(bytes([content[17] ^ 1]))
    status, said = cable.run("verify-flash", hex(AT), image)
    assert status != 0 and "Verification failed" in said, said


@pytest.mark.slow
def test_esptool_reads_what_the_chip_is(cable: Cable, tmp_path: Path) -> None:
    status, said = cable.run("read-mac", chip="auto")
    assert status == 0, said
    assert "ESP32-D0WD-V3 (revision v3.1)" in said and "40MHz" in said and "7c:9e:bd:00:11:22" in said
    status, said = cable.run("chip-id")
    assert status == 0 and "7c:9e:bd:00:11:22" in said, said  # an ESP32 has no other
    status, said = cable.run("flash-id")
    assert status == 0, said
    assert "Manufacturer: ef" in said and "Device: 4016" in said and "Detected flash size: 4MB" in said
    status, said = cable.run("read-mac", chip="esp32s3")
    assert status != 0 and "This chip is ESP32, not ESP32-S3" in said, said


@pytest.mark.slow
def test_esptool_erases_a_region_and_reads_it_back(cable: Cable, image: Path, tmp_path: Path) -> None:
    status, said = cable.run("--baud", 460_800, "write-flash", hex(AT), image)
    assert status == 0, said
    status, said = cable.run("erase-region", hex(AT + SECTOR_B), SECTOR_B)
    assert status == 0 and "erased successfully" in said, said
    content = bytearray(image.read_bytes())
    content[SECTOR_B : 2 * SECTOR_B] = b"\xff" * SECTOR_B
    assert cable.flash.read_bytes()[AT : AT + len(content)] == content

    status, said = cable.run("read-flash", hex(AT + SECTOR_B - 100), 200, tmp_path / "read.bin")
    assert status == 0, said
    assert (tmp_path / "read.bin").read_bytes() == content[SECTOR_B - 100 : SECTOR_B + 100]
    status, said = cable.run("erase-flash")
    assert status != 0 and "ESP32 ROM does not support" in said, said  # that takes the stub


@pytest.mark.slow
def test_a_flash_file_of_another_size_is_refused_with_a_sentence(tmp_path: Path) -> None:
    flash = tmp_path / "short.img"
    flash.write_bytes(b"\xff" * 100)
    done = subprocess.run(
        [sys.executable, "-m", "hil_tests.bench.rom_loader", "--flash", str(flash)],
        capture_output=True, text=True, timeout=WITHIN_S, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert "100 bytes, the chip has 4194304; nothing was started" in done.stderr
    assert flash.read_bytes() == b"\xff" * 100


# the protocol by hand


def frame(command: int, content: bytes, *, checksum: int = 0, size: int | None = None) -> bytes:
    count = len(content) if size is None else size
    packet = bytes([0, command]) + count.to_bytes(2, "little") + checksum.to_bytes(4, "little") + content
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def words(*each: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in each)


def block(command: int, number: int, data: bytes, *, bent: int = 0, count: int | None = None) -> bytes:
    checksum = CHECKSUM_SEED ^ bent
    for byte in data:
        checksum ^= byte
    return frame(
        command, words(len(data) if count is None else count, number, 0, 0) + data, checksum=checksum
    )


def packets(line: bytes) -> list[bytes]:
    found = [part.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb") for part in line.split(b"\xc0")]
    return [packet for packet in found if packet]


def error_of(line: bytes) -> int:
    """Return the error in the one answer on the line; 0: none."""
    (packet,) = packets(line)
    assert packet[0] == 1 and int.from_bytes(packet[2:4], "little") == len(packet) - 8
    assert packet[-4] == (packet[-3] != 0)
    return packet[-3]


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[FlashChip]:
    made = FlashChip(tmp_path / "chip.img", FLASH_B)
    yield made
    made.close()


@pytest.fixture
def loader(chip: FlashChip) -> RomLoader:
    made = RomLoader(chip)
    assert error_of(made.feed(frame(SPI_ATTACH, words(0, 0)))) == 0
    return made


def test_a_sync_is_answered_as_the_rom_does(loader: RomLoader) -> None:
    answers = packets(loader.feed(b"noise of a plug" + frame(SYNC, SYNC_DATA)))
    assert answers == SYNC_ANSWERS * [b"\x01\x08\x04\x00" + words(SYNC_VALUE) + bytes(4)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\xc0\x00\xc0", INVALID),
        (frame(READ_REG, words(0x4000_1000))[:-3] + b"\xc0", INVALID),
        (frame(READ_REG, words(0x4000_1000), size=8), INVALID),
        (frame(READ_REG, words(0x4000_1001)), INVALID),
        (frame(READ_REG, b""), INVALID),
        (b"\xc0\x01" + frame(SPI_ATTACH, words(0, 0))[2:], INVALID),
        (b"\xc0\x00\x0d\x08\x00\xdb\x00" + bytes(11) + b"\xc0", INVALID),
        (b"\xc0\x00\x0d\x08\x00" + bytes(12) + b"\xdb\xc0", INVALID),
        (frame(SYNC, SYNC_DATA[:-1] + b"\x54"), INVALID),
        (frame(0xD0, b""), INVALID),
        (frame(0xFF, bytes(100_000), size=0xFFFF), INVALID),
        (frame(READ_FLASH, words(0, 65)), READ_TOO_LONG),
        (frame(READ_FLASH, words(FLASH_B - 1, 2)), FAILED),
        (frame(SPI_FLASH_MD5, words(FLASH_B, 1, 0, 0)), FAILED),
        (frame(FLASH_BEGIN, words(SECTOR_B, 4, 1024, FLASH_B)), FAILED),
        (frame(FLASH_BEGIN, words(SECTOR_B, 4, 1024, 1)), INVALID),
        (frame(FLASH_BEGIN, words(0xFFFF_FFFF, 1, 1, 0)), FAILED),
        (block(FLASH_DATA, 0, b"without a begin"), FAILED),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else "",
)
def test_a_bad_frame_gets_an_error_answer_and_the_next_is_served(
    chip: FlashChip, loader: RomLoader, line: bytes, error: int
) -> None:
    assert error_of(loader.feed(line)) == error
    assert len(packets(loader.feed(frame(SYNC, SYNC_DATA)))) == SYNC_ANSWERS
    assert chip.read(0, FLASH_B) == b"\xff" * FLASH_B


def test_flash_is_not_touched_before_it_is_attached(chip: FlashChip) -> None:
    assert error_of(RomLoader(chip).feed(frame(FLASH_BEGIN, words(SECTOR_B, 4, 1024, 0)))) == FAILED


def test_a_block_with_a_wrong_checksum_is_refused_and_may_come_again(
    chip: FlashChip, loader: RomLoader
) -> None:
    data = bytes(range(256)) * 4
    assert error_of(loader.feed(frame(FLASH_BEGIN, words(2048, 2, 1024, 0)))) == 0
    assert error_of(loader.feed(block(FLASH_DATA, 0, data, bent=1))) == CHECKSUM
    assert error_of(loader.feed(block(FLASH_DATA, 0, data, count=1023))) == INVALID
    assert error_of(loader.feed(block(FLASH_DATA, 1, data))) == INVALID  # not its turn
    assert chip.read(0, 2048) == b"\xff" * 2048
    assert error_of(loader.feed(block(FLASH_DATA, 0, data))) == 0
    assert error_of(loader.feed(frame(FLASH_END, words(0)))) == FAILED  # a block is missing
    assert error_of(loader.feed(block(FLASH_DATA, 1, data))) == 0
    assert error_of(loader.feed(block(FLASH_DATA, 2, data))) == INVALID
    assert chip.read(0, 2048) == 2 * data
    assert error_of(loader.feed(frame(FLASH_END, words(1)))) == 0


def test_flash_that_was_not_erased_takes_only_cleared_bits(chip: FlashChip, loader: RomLoader) -> None:
    assert chip.program(0, b"\x0f" * 1024)
    assert error_of(loader.feed(frame(FLASH_BEGIN, words(0, 1, 1024, 0)))) == 0  # erases nothing
    assert error_of(loader.feed(block(FLASH_DATA, 0, b"\xf0" * 1024))) == WRITE_ERROR
    assert chip.read(0, 1024) == bytes(1024)


def test_a_deflated_block_that_does_not_inflate_is_refused_and_may_come_again(
    chip: FlashChip, loader: RomLoader
) -> None:
    content = bytes(range(256)) * 16
    deflated = zlib.compress(content)
    begin = words(len(content), 2, 1024, 0)
    half = len(deflated) // 2
    assert error_of(loader.feed(frame(FLASH_DEFL_BEGIN, begin))) == 0
    assert error_of(loader.feed(block(FLASH_DEFL_DATA, 0, b"\xff" * 100))) == DEFLATE
    assert error_of(loader.feed(block(FLASH_DATA, 0, deflated[:half]))) == FAILED  # began as deflated
    assert error_of(loader.feed(block(FLASH_DEFL_DATA, 0, deflated[:half]))) == 0
    assert error_of(loader.feed(block(FLASH_DEFL_DATA, 1, deflated[half:] + b"more"))) == DEFLATE
    assert error_of(loader.feed(block(FLASH_DEFL_DATA, 1, deflated[half:]))) == 0
    assert chip.read(0, len(content)) == content

    assert error_of(loader.feed(frame(FLASH_DEFL_BEGIN, words(SECTOR_B - 1, 1, 1024, 0)))) == 0
    assert error_of(loader.feed(block(FLASH_DEFL_DATA, 0, deflated))) == DEFLATE  # more than was announced
    assert chip.read(0, len(content)) == b"\xff" * len(content)


def test_a_loader_that_was_told_to_start_the_program_answers_no_more(loader: RomLoader) -> None:
    assert error_of(loader.feed(frame(FLASH_END, words(0)))) == 0
    assert loader.left
    assert loader.feed(frame(SYNC, SYNC_DATA)) == b""


@pytest.fixture(scope="module")
def any_chip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlashChip]:
    made = FlashChip(tmp_path_factory.mktemp("any") / "chip.img", FLASH_B)
    yield made
    made.close()


COMMANDS = st.one_of(st.integers(0, 0x14), st.integers(0, 255))
BENT = st.one_of(
    st.binary(max_size=80),
    st.builds(frame, COMMANDS, st.binary(max_size=64), checksum=st.integers(0, 255)),
    st.builds(
        lambda command, each: frame(command, words(*each)),
        COMMANDS, st.lists(st.sampled_from([0, 1, 64, 1024, SECTOR_B, FLASH_B, 0xFFFF_FFFF]), max_size=6),
    ),
    st.builds(block, st.sampled_from([FLASH_DATA, FLASH_DEFL_DATA]), st.integers(0, 3),
              st.binary(max_size=80)),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(BENT, max_size=12))
def test_no_bytes_break_it(any_chip: FlashChip, lines: list[bytes]) -> None:
    loader = RomLoader(any_chip)
    loader.feed(frame(SPI_ATTACH, words(0, 0)))
    for line in lines:
        for packet in packets(loader.feed(line)):
            assert packet[0] == 1 and int.from_bytes(packet[2:4], "little") == len(packet) - 8
    if not loader.left:
        loader.feed(b"\xc0")  # ends a frame that was left open
        assert len(packets(loader.feed(2 * frame(SYNC, SYNC_DATA)))) >= SYNC_ANSWERS
