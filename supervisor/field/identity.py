"""Who a controller says it is: the identity block, decoded.

Refuses nothing and proves nothing: the block is plain Modbus. Only a receipt or a challenged status
block carries a MAC; the identity tells which map, key epoch and boot nonce to compute one with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firmware.substation import order_frame, registers

from .blocks import BLOCKS

OUR_MAP_HASH = registers.map_hash()
KNOWN_MAPS = {OUR_MAP_HASH: registers.MAP_VERSION}  # every released map stays readable by its hash


@dataclass(frozen=True)
class Identity:
    """The identity block as read at monotonic time `read_s` (seconds)."""

    magic: int
    map_version: int
    map_hash: int
    device_id: bytes
    profile: str
    boot_count: int
    boot_nonce: bytes
    uptime_s: int
    firmware_hash: int
    limits_hash: int
    firmware_version: int
    key_epochs: tuple[int, ...]
    read_s: float

    @property
    def device_id_hex(self) -> str:
        """Return the identity as in key files and site files: 16 lower-case hexadecimal digits."""
        return self.device_id.hex()

    @property
    def known_map(self) -> bool:
        """Say whether this software ships the map the controller serves."""
        return self.magic == registers.IDENTITY_MAGIC and self.map_hash in KNOWN_MAPS

    def uptime_at(self, now_s: float) -> int:
        """Return the controller's uptime at monotonic time now_s, in whole seconds."""
        return self.uptime_s + max(0, int(now_s - self.read_s))


def decode_identity(words: Sequence[int], read_s: float) -> Identity:
    """Decode the 26 words of the identity block; ValueError where there are not 26."""
    if len(words) != registers.IDENTITY_WORDS:
        raise ValueError(f"the identity block has {registers.IDENTITY_WORDS} words, not {len(words)}")
    value: dict[str, int] = {}
    for row in BLOCKS[registers.SUBSTATION]["identity"].rows:
        value[row.name] = registers.raw_of_words(
            row, tuple(words[row.address : row.address + registers.words_of(row)])
        )
    number = value["profile_number"]
    known = 1 <= number <= len(registers.PROFILES)
    random_8 = value["boot_random_high_code"].to_bytes(4, "big") + value["boot_random_low_code"].to_bytes(
        4, "big"
    )
    return Identity(
        magic=value["identity_magic_code"],
        map_version=value["map_version_number"],
        map_hash=value["map_hash_code"],
        device_id=value["device_id_high_code"].to_bytes(4, "big")
        + value["device_id_low_code"].to_bytes(4, "big"),
        profile=registers.PROFILES[number - 1] if known else f"profile {number}",
        boot_count=value["boot_count"],
        boot_nonce=order_frame.boot_nonce(value["boot_count"], random_8),
        uptime_s=value["uptime_s"],
        firmware_hash=value["firmware_hash_code"],
        limits_hash=value["limits_hash_code"],
        firmware_version=value["firmware_version_number"],
        key_epochs=tuple(value[f"{slot}_key_epoch_number"] for slot in order_frame.SLOTS),
        read_s=read_s,
    )
