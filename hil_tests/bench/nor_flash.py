"""The flash chip of an emulated board as a file of the host; it knows nothing of what is stored on it."""

from __future__ import annotations

import operator
import os
from pathlib import Path

from .errors import WrongUse

SECTOR_B = 4096


class FlashChip:
    """NOR flash in a file of the host: erasing sets bits, programming clears them, each at once."""

    def __init__(self, path: Path, size_b: int) -> None:
        if not path.exists():
            path.write_bytes(b"\xff" * size_b)
        self.size_b = path.stat().st_size
        if self.size_b != size_b:
            raise WrongUse(
                f"{path}: {self.size_b} bytes, the chip has {size_b}; nothing was started. "
                "Give another file, or none that exists: it is made"
            )
        self._file = path.open("r+b", buffering=0)

    def read(self, at: int, count: int) -> bytes:
        return os.pread(self._file.fileno(), count, at)

    def erase(self, at: int, count: int) -> None:
        """Erase every sector that has a byte of this range."""
        first, end = at // SECTOR_B * SECTOR_B, -(-(at + count) // SECTOR_B) * SECTOR_B
        os.pwrite(self._file.fileno(), b"\xff" * (end - first), first)

    def program(self, at: int, data: bytes) -> bool:
        """Clear bits; False when the flash then reads otherwise, because it was not erased."""
        got = bytes(map(operator.and_, self.read(at, len(data)), data))
        os.pwrite(self._file.fileno(), got, at)
        return got == data

    def close(self) -> None:
        self._file.close()
