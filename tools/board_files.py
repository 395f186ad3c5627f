"""Fill a LittleFS as a controller fills its own over the years, and tell whether everything goes in.

It refuses to estimate: program, slots, records and event log are really written, in the order in which they
come, and then written again as the firmware does it, with the old ones standing until the new ones are whole.
"""

import ast
import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import littlefs

from .build import MANIFEST, SOURCE_AT_ROOT, Bundle, firmware_folder

BLOCK_B = 4096  # erase block of the RP2's and the ESP32's file systems
BLOCK_CYCLES = 100  # of MicroPython's extmod/vfs_lfsx.c, as are the caches of four times the larger unit
LOOKAHEAD_B = 32
CACHE_UNITS = 4
NO_SPACE = -28  # LFS_ERR_NOSPC
PROGRAM = 1  # copies: the program over USB, and up to two slots
COPIES = 3
AMPLE_BLOCKS = 512
ROUNDS = 2  # of everything written again; the second finds what the first left behind

# Payload of each record in flash at its longest, in bytes: what a site has of these stands twice.
RECORDS = {
    "boot": 7, "clock": 8, "deficit": 102, "energy": 8, "epochs": 8, "legionella": 13, "limits": 96,
    "pumps": 9, "refusals": 320, "room_curve": 4, "room2_curve": 4, "slots": 89,
}  # fmt: skip
RECORD_FRAME_B = 12  # generation and check
SEGMENTS, SEGMENT_B = 8, 4096  # of the event log
SETTINGS_B = 2048  # site.json, and what a newer format makes of it: any length to a block takes one
LIMITS_B = 1024  # a limit bundle as it came
KEY_B = 32
SIGNATURE_B = 64
KEPT = {
    "keys.bin": KEY_B, "release.pub": KEY_B, "limits.pub": KEY_B, "site.json": SETTINGS_B,
    "site.2.json": SETTINGS_B, "state/limits_a.txt": LIMITS_B, "state/limits_b.txt": LIMITS_B,
}  # fmt: skip
SLOTS = ("slot_a", "slot_b")
# (units of reading and of programming) in which a port mounts its flash: esp32 modules/inisetup.py takes the
# defaults, rp2 modules/_boot.py says progsize=256
UNITS_B = {"RP2040": (32, 256), "RP2350": (32, 256)}
DEFAULT_UNITS_B = (32, 32)


@dataclass(frozen=True)
class Filled:
    """What became of it. stopped: what did not go in and why, None where all did."""

    used_blocks: int
    stopped: str | None = None


class _Full(Exception):
    """Something has no room."""


class _Same:
    """A bundle that is the same as any other with its digest."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.bundle.sha256 == self.bundle.sha256

    def __hash__(self) -> int:
        return hash(self.bundle.sha256)


class _Disk:
    """The file system of one board."""

    def __init__(self, units: tuple[int, int], blocks: int) -> None:
        read_b, program_b = units
        self.blocks = blocks
        self._system = littlefs.LittleFS(
            block_size=BLOCK_B, block_count=blocks, read_size=read_b, prog_size=program_b,
            cache_size=CACHE_UNITS * max(read_b, program_b), lookahead_size=LOOKAHEAD_B,
            block_cycles=BLOCK_CYCLES,
        )  # fmt: skip

    @property
    def used_blocks(self) -> int:
        return int(self._system.used_block_count)

    def write(self, path: str, content: bytes) -> None:
        """Write a file, and its folder where there is none."""
        try:
            folder = path.rpartition("/")[0]
            if folder:
                self._system.makedirs(folder, exist_ok=True)
            with self._system.open(path, "wb", buffering=io.DEFAULT_BUFFER_SIZE) as file:
                file.write(content)
        except (littlefs.LittleFSError, OSError) as reason:
            raise self._full(path, reason) from reason

    def replace(self, path: str, draft: str, content: bytes) -> None:
        """Write under another name, then rename over what stands there."""
        self.write(draft, content)
        try:
            self._system.rename(draft, path)
        except (littlefs.LittleFSError, OSError) as reason:
            raise self._full(path, reason) from reason

    def remove(self, folder: str) -> None:
        """Remove a folder and what is in it."""
        try:
            for place, _, names in list(self._system.walk(folder)):
                for name in names:
                    self._system.remove(f"{place}/{name}")
            for place, _, _ in reversed(list(self._system.walk(folder))):
                self._system.rmdir(place)
        except (littlefs.LittleFSError, OSError) as reason:
            raise self._full(folder, reason) from reason

    def _full(self, path: str, reason: Exception) -> Exception:
        if getattr(reason, "code", None) != NO_SPACE and "NOSPC" not in str(reason):
            return reason
        return _Full(f"{path}: no space, {self.used_blocks} of {self.blocks} blocks are used")


def fill(bundle: Bundle, chip: str, blocks: int, copies: int) -> Filled:
    """Live the life of a controller on a file system of so many blocks.

    copies: 1 the program, 2 and 3 with slots. An update goes into a slot only where the firmware's own check
    finds the room for it.
    """
    return _filled(_Same(bundle), units_b(chip), blocks, copies)


def units_b(chip: str) -> tuple[int, int]:
    """Return in which units the chip's port reads and programs its flash, in bytes."""
    return UNITS_B.get(chip, DEFAULT_UNITS_B)


@functools.lru_cache(maxsize=64)
def _filled(bundle: "_Same", units: tuple[int, int], blocks: int, copies: int) -> Filled:
    disk: _Disk | None = None
    try:
        disk = _Disk(units, blocks)
        for step in _life(disk, bundle.bundle, copies):
            step()
    except _Full as reason:
        return Filled(0 if disk is None else disk.used_blocks, str(reason))
    return Filled(disk.used_blocks)


def _life(disk: _Disk, bundle: Bundle, copies: int) -> Iterator[functools.partial[None]]:
    do = functools.partial
    program = {file.path: (bundle.folder / file.path).read_bytes() for file in bundle.files}
    largest = max(program, key=lambda path: len(program[path]))
    yield do(disk.write, MANIFEST, (bundle.folder / MANIFEST).read_bytes())
    for path, content in program.items():
        yield do(disk.write, path, content)
    for path, size in KEPT.items():
        yield do(disk.write, path, bytes(size))
    for generation in (0, 1):
        yield from _save_records(disk, generation)
    for number in range(SEGMENTS):
        yield do(disk.write, f"state/log.{number}", bytes(SEGMENT_B))
    for slot in SLOTS[: copies - PROGRAM]:
        yield from _update(disk, bundle, slot)
    for number in range(ROUNDS):
        for generation in (0, 1):
            yield from _save_records(disk, generation)
        yield do(disk.replace, f"state/log.{number % SEGMENTS}", "state/log.new", bytes(SEGMENT_B))
        yield do(disk.write, "state/limits_a.txt", bytes(LIMITS_B))
        for slot in SLOTS[: copies - PROGRAM]:
            yield do(disk.remove, slot)
            yield from _update(disk, bundle, slot)
        # a board is mended by its cable too, file by file: `toplovod flash`
        yield do(disk.replace, largest, largest + ".new", program[largest])


def _save_records(disk: _Disk, generation: int) -> Iterator[functools.partial[None]]:
    for name, size in RECORDS.items():
        content = bytes(size + RECORD_FRAME_B)
        yield functools.partial(disk.replace, f"state/{name}.{generation}", f"state/{name}.new", content)


def _update(disk: _Disk, bundle: Bundle, slot: str) -> Iterator[functools.partial[None]]:
    files = [file for file in bundle.files if file.path not in SOURCE_AT_ROOT]
    head = sum(len(f"{file.sha256} {file.bytes} {file.path}\n") for file in files) + 64 + SIGNATURE_B

    def check() -> None:
        free_b = (disk.blocks - disk.used_blocks) * BLOCK_B
        wanted_b = spare_b() + BLOCK_B * sum(-(-file.bytes // BLOCK_B) for file in files)
        if free_b < wanted_b:
            raise _Full(f"{slot}: the controller refuses it, {free_b} bytes are free and it wants {wanted_b}")

    yield functools.partial(disk.write, f"{slot}/image.head", bytes(head))
    yield functools.partial(check)
    for file in files:
        content = (bundle.folder / file.path).read_bytes()
        yield functools.partial(disk.write, f"{slot}/{file.path}", content)


@functools.cache
def spare_b() -> int:
    """Return what the firmware wants free beside an image, from its own source."""
    source = (Path(firmware_folder()) / "substation" / "update.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SPARE_BYTES":
            return int(ast.literal_eval(node.value))
    raise AssertionError("update.py has no SPARE_BYTES")


def copies_that_fit(bundle: Bundle, chip: str, files_b: int) -> int:
    """Return how many copies of the program such a file system takes: 0, 1, and 2 or 3 with slots."""
    for copies in range(COPIES, 0, -1):
        if fill(bundle, chip, files_b // BLOCK_B, copies).stopped is None:
            return copies
    return 0


def used_b(bundle: Bundle, chip: str, copies: int) -> int:
    """Return what so many copies, with all that is kept beside them, take up where there is room enough."""
    return fill(bundle, chip, AMPLE_BLOCKS, copies).used_blocks * BLOCK_B
