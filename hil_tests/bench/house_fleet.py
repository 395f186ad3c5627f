"""One emulated controller whose every terminal ends in a plant: two circuits, DHW and its circulation.

Twin of `vm_house/house_link.py`: each frame of the fleet is followed by one more. It refuses to take more
than one board, because a town of whole houses is not emulated.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from .errors import BenchError
from .fleet import Board, Fleet

HOUSE_BOOT = Path(__file__).parent / "vm_house" / "house_boot.py"
READINGS = struct.Struct("<7H")
RELAYS = struct.Struct("<6H9B")
FURTHER = len(("valve2 open", "valve2 close", "dhw open", "dhw close", "pump2", "circulation"))


class Terminals(Protocol):
    """What a whole house puts on the further converters, and what it takes from the further relays."""

    @property
    def further_counts(self) -> Sequence[int]:
        """16-bit readings of the converters 8 to 14."""

    def take_relays(self, on_ms: Sequence[int], starts: Sequence[int]) -> None:
        """Note how long each further relay was on since the last report, and the starts of all nine."""


class HouseFleet(Fleet):
    """A fleet of one board. Twice reported relays (a reset inside a tick) are told to the house twice."""

    boot_script = HOUSE_BOOT

    def __init__(self, board: Board, house: Terminals, **options: Any) -> None:
        super().__init__([board], **options)
        self._house = house
        self._further_digest = hashlib.sha256()
        self._relays = bytearray(RELAYS.size)

    @property
    def further_sha256(self) -> str:
        """Digest of everything the further relays did so far."""
        return self._further_digest.copy().hexdigest()

    def _send(self, index: int, frame: bytes | memoryview) -> None:
        super()._send(index, bytes(frame) + READINGS.pack(*self._house.further_counts))

    def _receive(self, index: int) -> None:
        super()._receive(index)
        link = self._slots[index].link
        assert link is not None
        rest = memoryview(self._relays)
        while rest:
            got = link.recv_into(rest)
            if not got:
                raise BenchError(f"{self.boards[index].name}: its line ended inside a report")
            rest = rest[got:]
        self._further_digest.update(self._relays)
        values = RELAYS.unpack(self._relays)
        self._house.take_relays(values[:FURTHER], values[FURTHER:])
