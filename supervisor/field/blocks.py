"""Which stretches of registers are read in one transaction, and how their words become values.

Derived from the register map at import; no address stands here. It refuses to read across a gap: a
block is contiguous, because the controller answers a gap with exception 02.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from firmware.substation import registers

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """A contiguous stretch of one register space and the rows in it."""

    name: str
    space: str
    address: int
    count: int
    rows: tuple[registers.Register, ...]

    @classmethod
    def of(cls, name: str, rows: Sequence[registers.Register]) -> Block:
        """Build the block that these rows fill; ValueError where they leave a gap."""
        address = rows[0].address
        expected = address
        for row in rows:
            if row.address != expected or row.space != rows[0].space:
                raise ValueError(
                    f"{row.name} leaves a gap at {row.space} {expected}: no single read covers it"
                )
            expected += registers.words_of(row)
        return cls(name, rows[0].space, address, expected - address, tuple(rows))

    @property
    def points(self) -> tuple[str, ...]:
        """Return the names of the values, in the order of `decode`."""
        return tuple(row.name for row in self.rows)


class Decoder:
    """Turns the words of a block into engineering values, all rows at once."""

    def __init__(self, block: Block) -> None:
        self.block = block
        rows = block.rows
        self._at = np.array([row.address - block.address for row in rows])
        self._wide = np.array([registers.words_of(row) == 2 for row in rows])
        self._last = np.where(self._wide, self._at + 1, self._at)
        signed = np.array([row.type in (registers.I16, registers.I32) for row in rows])
        bits = np.where(self._wide, 32, 16)
        self._fold = np.where(signed, np.int64(1) << (bits - 1), np.int64(1) << 62)
        self._span = np.int64(1) << bits
        self._scale = np.array([float(row.scale) for row in rows])
        self._low = np.array([float(row.low) for row in rows]) - self._scale / 2
        self._high = np.array([float(row.high) for row in rows]) + self._scale / 2
        # a code may use every pattern; all other types keep one for "no valid reading"
        self._none = np.array(
            [1 << 62 if row.name.endswith("_code") else registers.NO_VALUE[row.type] for row in rows]
        )

    def decode(self, words: Sequence[int]) -> tuple[FloatArray, BoolArray, BoolArray]:
        """Return values (NaN = no valid reading), which are readings, and which of them lie in range."""
        raw = self._raw(np.asarray(words, dtype=np.int64))
        read = raw != self._none
        values = np.where(read, raw * self._scale, np.nan)
        inside = read & (raw * self._scale >= self._low) & (raw * self._scale <= self._high)
        return values, read, inside

    def decode_samples(self, words: NDArray[np.uint16]) -> FloatArray:
        """Return the first row's value of many samples (samples, words); NaN = no valid reading."""
        raw = self._raw(words.astype(np.int64))[:, 0]
        return np.where(raw != self._none[0], raw * self._scale[0], np.nan)

    def _raw(self, word: NDArray[np.int64]) -> NDArray[np.int64]:
        high = word[..., self._at]
        raw = np.where(self._wide, high << 16 | word[..., self._last], high)
        return np.where(raw >= self._fold, raw - self._span, raw)


# The device's own clock stands right before the status: one read has both.
_CLOCK = tuple(row for row in registers.IMAGE if row.address >= registers.BY_NAME["unix_time_s"].address)


FUNCTIONS = "functions"
"""The block of what a station may have or not: a second circuit, DHW, index and suction pressure.

What it has not shows no valid reading."""
OPTIONAL_SENSORS = frozenset((
    "secondary2_supply_temp_c", "secondary2_return_temp_c", "room2_temp_c", "dhw_supply_temp_c",
    "dhw_tank_top_temp_c", "dhw_tank_bottom_temp_c", "dhw_circulation_temp_c", "dhw_flow_m3_h",
    "index_dp_bar", "suction_pressure_bar",
))  # fmt: skip
"""What of that block a sensor measures; all else there is worked out, and having no value is no fault."""
METERS = "meters"
"""The block of the heat meters on a substation's M-Bus; one that is not there shows no valid reading."""
METER_NUMBERS = range(1, registers.METERS + 1)
METER_QUANTITIES = (
    "energy_kwh", "volume_m3", "flow_m3_h", "heat_kw", "supply_temp_c", "return_temp_c",
)  # fmt: skip
"""What a meter itself tells; the rest of its stretch the controller tells about it."""
METER_SILENT = 1 << registers.METER_BITS.index("silent") | 1 << registers.METER_BITS.index("refused")
"""Of meterN_status_bits: it answers no more, and what stands there is what it last told."""


def _of_profile(profile: str) -> dict[str, Block]:
    substation = profile == registers.SUBSTATION
    meters = [Block.of(METERS, registers.HEAT_METERS)] if substation else []
    return {
        block.name: block
        for block in (
            Block.of("identity", registers.IDENTITY),
            Block.of("clock", _CLOCK),
            Block.of("status", registers.STATUS),
            Block.of("inputs", registers.SUBSTATION_INPUTS if substation else registers.PUMP_STATION_INPUTS),
            Block.of(
                FUNCTIONS,
                registers.SUBSTATION_FUNCTIONS if substation else registers.PUMP_STATION_FUNCTIONS,
            ),
            Block.of(
                "setpoints",
                registers.SUBSTATION_SETPOINTS if substation else registers.PUMP_STATION_SETPOINTS,
            ),
            Block.of("config", registers.SUBSTATION_CONFIG if substation else registers.PUMP_STATION_CONFIG),
            Block.of("beside", registers.BESIDE_ORDERS),
            *meters,
        )
    }


@dataclass(frozen=True)
class Stretch:
    """Neighbouring blocks that one transaction reads; parts are (block name, first word, words)."""

    space: str
    address: int
    count: int
    parts: tuple[tuple[str, int, int], ...]


MAX_READ_WORDS = 125  # Modbus application protocol V1.1b3, 6.3 and 6.4


@cache
def stretches(profile: str, names: tuple[str, ...]) -> tuple[Stretch, ...]:
    """Join the named blocks, in this order, into as few reads as their addresses allow."""
    joined: list[Stretch] = []
    for block in (BLOCKS[profile][name] for name in names):
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.space == block.space
            and last.address + last.count == block.address
            and last.count + block.count <= MAX_READ_WORDS
        ):
            part = (block.name, last.count, block.count)
            joined[-1] = Stretch(last.space, last.address, last.count + block.count, (*last.parts, part))
        else:
            joined.append(Stretch(block.space, block.address, block.count, ((block.name, 0, block.count),)))
    return tuple(joined)


BLOCKS: dict[str, dict[str, Block]] = {profile: _of_profile(profile) for profile in registers.PROFILES}
VALUE_BLOCKS: dict[str, tuple[str, ...]] = {
    profile: tuple(name for name in blocks if name != "identity") for profile, blocks in BLOCKS.items()
}
"""All that a table of latest values holds, by profile, in the order it is read."""
