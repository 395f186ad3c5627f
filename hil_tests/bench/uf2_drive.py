"""The drive that an RP2040 or RP2350 shows while BOOTSEL is held: a .uf2 copied onto it goes to the flash.

The drive is a folder. It looks at a file when its writer closes it, be it whole or torn, and checks every
block before it writes one: magic numbers, family, numbers and count, 256 bytes at a page of the flash. A
chip writes block by block and stays a drive when some are missing; here a refused file leaves the flash as
it was, and the reason is told. It refuses programs for the RAM. After a whole file the drive goes, as the
chip starts.

`python -m hil_tests.bench.uf2_drive --board w5500_evb_pico --folder DRIVE --flash CHIP` prints a JSON line
when it is there, and one for each file. The flash is a whole chip: hil_tests.bench.board starts from it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import BenchError, WrongUse
from .nor_flash import SECTOR_B, FlashChip

BLOCK = struct.Struct("<8I476sI")  # two magic numbers, flags, address, bytes, number, count, family; magic
FIRST_MAGIC, SECOND_MAGIC, LAST_MAGIC = 0x0A32_4655, 0x9E5D_5157, 0x0AB1_6F30
NOT_FOR_FLASH, HAS_FAMILY = 0x0000_0001, 0x0000_2000
PAGE_B = 256
FLASH_AT = 0x1000_0000  # where the chip sees its flash
FLASH_B = 2 * 1024 * 1024  # of both boards: docs/boards.md

# In front of an RP2350's program, against its erratum E10: number 0 of 2, of which the other never comes. It
# lies at the end of the largest flash there could be, and is passed over.
ABSOLUTE, ABSOLUTE_AT = 0xE48B_FF57, 0x10FF_FF00

IN_CLOSE_WRITE, IN_MOVED_TO = 0x08, 0x80
EVENT = struct.Struct("iIII")


@dataclass(frozen=True)
class Chip:
    """What tells a board's drive from another's."""

    name: str
    family: int
    info: str


RP2040 = Chip(
    "RP2040", 0xE48B_FF56, "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"
)
RP2350 = Chip(
    "RP2350", 0xE48B_FF59, "UF2 Bootloader v1.0\r\nModel: Raspberry Pi RP2350\r\nBoard-ID: RP2350\r\n"
)
BOARDS = {"w5500_evb_pico": RP2040, "w5500_evb_pico2": RP2350}
FAMILIES = {chip.family: chip.name for chip in BOARDS.values()}
INFO = "INFO_UF2.TXT"


class Uf2Refused(BenchError):
    """A file that the drive does not take; the flash is as it was."""

    code = "bench.uf2_refused"


def pages(content: bytes, chip: Chip) -> dict[int, bytes]:
    """Return the pages of the flash that a .uf2 file holds for this chip, by their address; or Uf2Refused."""
    if not content or len(content) % BLOCK.size:
        raise _refused(f"it has {len(content)} bytes, which is no whole number of blocks; it is cut off")
    found: dict[int, bytes] = {}
    numbers: set[int] = set()
    total = None
    for place in range(len(content) // BLOCK.size):
        first, second, flags, address, count, number, blocks, family, data, last = BLOCK.unpack_from(
            content, place * BLOCK.size
        )
        where = f"block {place}"
        if (first, second, last) != (FIRST_MAGIC, SECOND_MAGIC, LAST_MAGIC):
            raise _refused(f"{where} has not the magic numbers of UF2; it is torn, or no such file")
        if flags & NOT_FOR_FLASH:
            continue
        if not flags & HAS_FAMILY or family != chip.family:
            if chip is RP2350 and (family, address, number, blocks) == (ABSOLUTE, ABSOLUTE_AT, 0, 2):
                continue
            whose = f"for {FAMILIES.get(family, 'another chip')} (0x{family:08x})"
            raise _refused(
                f"{where} is {whose if flags & HAS_FAMILY else 'without a family'}, "
                f"this board is an {chip.name} (0x{chip.family:08x})"
            )
        if count != PAGE_B or address % PAGE_B:
            raise _refused(f"{where} has {count} bytes at 0x{address:08x}, not {PAGE_B} at a page")
        if not FLASH_AT <= address <= FLASH_AT + FLASH_B - PAGE_B:
            raise _refused(f"{where} is for 0x{address:08x}, outside the flash of {FLASH_B} bytes")
        total = blocks if total is None else total
        if blocks != total or number >= total:
            raise _refused(f"{where} is number {number} of {blocks} in a file of {total}")
        if number in numbers or address in found:
            raise _refused(f"{where} comes twice, as number {number} at 0x{address:08x}")
        numbers.add(number)
        found[address] = data[:PAGE_B]
    if total is None or len(numbers) != total:
        raise _refused(f"it has {len(numbers)} of {total or 'no'} blocks; it is cut off")
    return found


def _refused(why: str) -> Uf2Refused:
    return Uf2Refused(f"{why}; the flash is as it was")


def write(flash: FlashChip, found: dict[int, bytes]) -> None:
    """Put pages into the flash. What else a sector of theirs held is gone, as with the chip."""
    for sector in sorted({(address - FLASH_AT) // SECTOR_B for address in found}):
        flash.erase(sector * SECTOR_B, SECTOR_B)
    for address, data in found.items():
        flash.program(address - FLASH_AT, data)


class Drive:
    """The folder. `files` names each file that was closed there, but its own."""

    def __init__(self, folder: Path, chip: Chip) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise WrongUse(f"{folder}: a drive begins empty; nothing was started. Give an empty folder")
        self._folder = folder
        (folder / INFO).write_bytes(chip.info.encode())
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_CLOEXEC)
        if (
            self._events < 0
            or libc.inotify_add_watch(self._events, bytes(folder.resolve()), IN_CLOSE_WRITE | IN_MOVED_TO) < 0
        ):
            raise OSError(ctypes.get_errno(), f"{folder}: cannot be watched")

    def files(self, owner: int | None = None) -> Iterator[Path]:
        """Yield files for ever. owner: a file number; at its end this ends."""
        while True:
            ready, _, _ = select.select([self._events, *([] if owner is None else [owner])], [], [])
            if owner is not None and owner in ready and not os.read(owner, 16):
                return
            if self._events in ready:
                events = os.read(self._events, 65536)
                while events:
                    size = EVENT.size + EVENT.unpack_from(events)[3]
                    yield self._folder / os.fsdecode(events[EVENT.size : size].rstrip(b"\0"))
                    events = events[size:]

    def close(self) -> None:
        """Go: the folder is empty again."""
        os.close(self._events)
        for path in self._folder.iterdir():
            path.unlink()


def _stop(number: int, frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Be the drive until a whole file came or it is killed."""
    parser = argparse.ArgumentParser(prog="python -m hil_tests.bench.uf2_drive", description=__doc__)
    parser.add_argument("--board", choices=sorted(BOARDS), required=True)
    parser.add_argument("--folder", type=Path, required=True, help="the drive; made when missing")
    parser.add_argument("--flash", type=Path, required=True, help="flash of 2 MB; made when missing")
    parser.add_argument("--owned", action="store_true", help="end when the standard input ends")
    wanted = parser.parse_args()
    chip = BOARDS[wanted.board]
    try:
        flash = FlashChip(wanted.flash, FLASH_B)
        drive = Drive(wanted.folder, chip)
    except (WrongUse, OSError) as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, _stop)
    try:
        print(json.dumps({"drive": str(wanted.folder), "chip": chip.name}), flush=True)
        for path in drive.files(0 if wanted.owned else None):
            if path.suffix.lower() != ".uf2":
                continue
            try:
                found = pages(path.read_bytes(), chip)
            except (Uf2Refused, OSError) as error:
                print(json.dumps({"file": path.name, "refused": str(error)}), flush=True)
                continue
            write(flash, found)
            print(json.dumps({"file": path.name, "written_b": PAGE_B * len(found)}), flush=True)
            break
    finally:
        drive.close()
        flash.close()


if __name__ == "__main__":
    main()
