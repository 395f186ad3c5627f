"""Which register words history keeps of each profile, and how they are read again years later.

A layout is stored in the history file itself, so that a later register map cannot make old samples
unreadable. It refuses to convert on the way in: what is kept are the words as they came over the bus.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware.substation import registers

from ..errors import NotFound
from ..field.blocks import BLOCKS, FUNCTIONS, OPTIONAL_SENSORS, Block, Decoder
from ..latest import Latest

# Of the status block: outdoor temperature, mode, limiter, faults, alarms, deficit. The rest are counters.
LAST_STATUS_POINT = "deficit_budget_kh"


@dataclass(frozen=True)
class Layout:
    """Names and types of the words of one sample, in order."""

    profile: str
    map_hash: int
    rows: tuple[registers.Register, ...]

    @property
    def points(self) -> tuple[str, ...]:
        """Return the names of the points that are kept."""
        return tuple(row.name for row in self.rows)

    @property
    def word_count(self) -> int:
        """Return the length of a sample in 16-bit words."""
        return sum(registers.words_of(row) for row in self.rows)

    def to_json(self) -> str:
        """Return the text that is stored beside the samples."""
        return json.dumps(
            {
                "profile": self.profile,
                "map_hash": self.map_hash,
                "rows": [[row.name, row.type, row.scale, row.low, row.high] for row in self.rows],
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read a layout as stored; addresses are those inside the sample."""
        content = json.loads(text)
        rows = []
        at = 0
        for name, kind, scale, low, high in content["rows"]:
            row = registers.Register(
                name, registers.INPUT, at, kind, scale, low, high, registers.MEASUREMENT, ""
            )
            rows.append(row)
            at += registers.words_of(row)
        return cls(content["profile"], content["map_hash"], tuple(rows))

    def values(self, words: NDArray[np.uint16], point: str) -> NDArray[np.float64]:
        """Return the engineering values of one point from samples (samples, words); NaN = no reading.

        Raises NotFound for a point this layout does not hold.
        """
        self.require(point)
        at = 0
        for row in self.rows:
            width = registers.words_of(row)
            if row.name == point:
                break
            at += width
        local = Block("", row.space, 0, width, (row._replace(address=0),))
        return Decoder(local).decode_samples(words[:, at : at + width])

    def require(self, point: str) -> None:
        """Raise NotFound for a point this layout does not hold."""
        if point in self.points:
            return
        raise NotFound(
            "point_not_kept",
            f"history keeps no {point!r} of a {self.profile}; it keeps {', '.join(self.points)}.",
        )


def _status_rows() -> tuple[registers.Register, ...]:
    names = [row.name for row in registers.STATUS]
    return tuple(registers.STATUS[: names.index(LAST_STATUS_POINT) + 1])


_STATUS_ROWS = _status_rows()
_STATUS_WORDS = sum(registers.words_of(row) for row in _STATUS_ROWS)


def _optional_rows(profile: str) -> tuple[registers.Register, ...]:
    """What sensors measure that a station may have or not; one word each."""
    return tuple(row for row in BLOCKS[profile][FUNCTIONS].rows if row.name in OPTIONAL_SENSORS)


_OPTIONAL_AT = {
    profile: np.array([row.address - BLOCKS[profile][FUNCTIONS].address for row in _optional_rows(profile)])
    for profile in registers.PROFILES
}


def current_layout(profile: str) -> Layout:
    """Return the layout in which samples of this profile are recorded now."""
    rows: Sequence[registers.Register] = BLOCKS[profile]["inputs"].rows
    return Layout(profile, registers.map_hash(), (*_STATUS_ROWS, *rows, *_optional_rows(profile)))


def sample_words(latest: Latest, device_id: str) -> NDArray[np.uint16]:
    """Return the words of one sample of this device in the current layout."""
    status = latest.words(device_id, "status")[:_STATUS_WORDS]
    more = latest.words(device_id, FUNCTIONS)[_OPTIONAL_AT[latest.profile(device_id)]]
    return np.concatenate((status, latest.words(device_id, "inputs"), more))
