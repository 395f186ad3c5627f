"""Put the firmware bundle onto a board over its USB cable, file by file, provably whole.

It refuses to run a mixture of two releases: while any file differs, main.py is absent, and it comes
back last. Site settings, keys and state on the board are left alone, so a signed image that is in use stays
in use: that is told, and not undone, because its version floor would go with it. Stopped anywhere, it goes
on from there when it is started again.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .build import MANIFEST, Bundle
from .errors import INTERRUPTED, ToolError
from .on_board import IMAGE_IN_USE
from .serial_line import SerialLine

MAIN = "main.py"
FOLDERS = ("boards", "substation")
PROGRAM_ENDINGS = (".py", ".mpy", ".new")
ROOT_PROGRAM = ("boot.py", MAIN)
SPARE_B = 65536  # left free for records and the file system's own blocks [estimate]


@dataclass(frozen=True)
class FlashReport:
    """What was done to the board, and whether that is what runs on it."""

    port: str
    sha256: str
    copied: tuple[str, ...]
    unchanged: int
    removed: tuple[str, ...]
    image_slot_number: int  # as the register: 0 the program that was copied here, 1 slot A, 2 slot B
    image_version_number: int

    @property
    def in_use(self) -> bool:
        """Say whether the board runs what was copied; else it runs a signed image from a slot."""
        return self.image_slot_number == 0


def flash(port: str, bundle: Bundle, *, tell: Callable[[str], None], reset: bool = True) -> FlashReport:
    """Make the board's program equal to the bundle, verify every file on the board, and reset it.

    tell is called with a line of progress before each file.
    """
    line = SerialLine(port)
    tell(f"connecting to {port}")
    line.greet()
    wanted = {file.path: file for file in bundle.files}
    present, free_b = line.listing(FOLDERS)
    differing = [path for path, file in wanted.items() if present.get(path) != file.sha256]
    stale = tuple(sorted(path for path in present if _is_program(path) and path not in wanted))
    missing_b = sum(wanted[path].bytes for path in differing if path not in present) + SPARE_B
    if differing and free_b < missing_b:
        raise ToolError(
            "board_full",
            f"{port}: {free_b} bytes free, the bundle needs about {missing_b}; nothing was changed",
        )
    # main.py is removed first and copied last, also where it was the same
    order = [path for path in differing if path != MAIN]
    order += [MAIN] if (differing or stale) and MAIN in wanted else []
    try:
        _replace(line, bundle, order, stale, tell)
    except KeyboardInterrupt as reason:
        raise ToolError(
            "flash_interrupted",
            f"{port}: interrupted; what was copied so far stays. Unless everything was, there is no main.py "
            "and the board stands still. Run the command again and it goes on.",
            exit_status=INTERRUPTED,
            changed=True,
        ) from reason
    after, _ = line.listing(FOLDERS)
    wrong = sorted(
        {path for path, file in wanted.items() if after.get(path) != file.sha256}
        | {path for path in after if _is_program(path) and path not in wanted}
    )
    if wrong:
        line.remove([MAIN])
        raise ToolError(
            "flash_not_proved",
            f"{port}: after copying, {', '.join(wrong)} differ from the bundle; main.py was taken away, "
            "so the board stands still. Run the command again; if it repeats, the flash chip is failing.",
            changed=True,
        )
    slot, version = line.answer(IMAGE_IN_USE)
    if reset:
        line.reset()
    return FlashReport(port, bundle.sha256, tuple(order), len(wanted) - len(order), stale, slot, version)


def _replace(
    line: SerialLine, bundle: Bundle, order: list[str], stale: tuple[str, ...], tell: Callable[[str], None]
) -> None:
    if not order and not stale:
        return
    line.make_folders(FOLDERS)
    line.remove([MAIN, *stale])
    for number, path in enumerate(order, 1):
        if path == MAIN:
            with tempfile.TemporaryDirectory() as scratch:
                manifest = Path(scratch) / MANIFEST
                manifest.write_bytes((bundle.folder / MANIFEST).read_bytes())
                line.put(manifest, MANIFEST)
        tell(f"{number}/{len(order)} {path}")
        line.put(bundle.folder / path, path)


def _is_program(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if folder:
        return folder in FOLDERS and name.endswith(PROGRAM_ENDINGS)
    return name in ROOT_PROGRAM or name.removesuffix(".mpy") + ".py" in ROOT_PROGRAM or name.endswith(".new")
