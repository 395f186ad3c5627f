"""One emulated controller whose every terminal ends in a plant: two circuits, DHW and its circulation.

What a town's plant does not drive, the house puts on the converters beyond; what a town's plant does not
hear, the house hears of the relays. It refuses to take more than one board, because a town of whole houses is
not emulated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from .board_io import BoardInputs, BoardOutputs
from .electronics import DRIVEN
from .fleet import RELAYS, Board, Fleet

FURTHER = RELAYS[3:]


class Terminals(Protocol):
    """What a whole house puts on the further converters, and what it takes from the further relays."""

    @property
    def further_counts(self) -> Sequence[int]:
        """16-bit readings of the converters 8 to 14."""

    def take_relays(self, on_ms: Sequence[int], starts: Sequence[int]) -> None:
        """Note how long each further relay was on in the last tick, and the starts of all nine."""


class HouseFleet(Fleet):
    """A fleet of one board with its house."""

    def __init__(self, board: Board, house: Terminals, **options: Any) -> None:
        self._house = house
        super().__init__([board], **options)
        self._further_digest = hashlib.sha256()

    @property
    def further_sha256(self) -> str:
        """Digest of everything the further relays did so far."""
        return self._further_digest.copy().hexdigest()

    def _set_inputs(self, inputs: BoardInputs) -> None:
        for place, count in enumerate(self._house.further_counts):
            self.own_counts[0, DRIVEN + place] = count
        super()._set_inputs(inputs)

    def _outputs(self, tick_ms: int) -> BoardOutputs:
        outputs = super()._outputs(tick_ms)
        row = self.reports[0]
        on_ms, starts = [int(row[name]) for name in FURTHER], row["starts"].tolist()
        self._further_digest.update(repr((on_ms, starts)).encode())
        self._house.take_relays(on_ms, starts)
        return outputs
