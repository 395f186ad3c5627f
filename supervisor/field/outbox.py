"""Carry a signed order to its controller and bring back the receipt, in one Modbus transaction.

It refuses to sign, to repeat and to judge: an order whose answer never came is reported as in doubt and
is not sent again, and whether a receipt is genuine is the signer's question. It never writes to a
controller whose register map is unknown or whose identity is not the one in the site file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .identity import Identity


@dataclass(frozen=True)
class Receipt:
    """The receipt block of one key slot as read, MAC not yet verified.

    `block` is its 32 bytes for order_frame.decode_receipt; `sent_s` and `answered_s` are monotonic seconds.
    """

    device_id: str
    slot: int
    words: tuple[int, ...]
    sent_s: float
    answered_s: float

    @property
    def block(self) -> bytes:
        """Return the words as bytes, big-endian."""
        return b"".join(word.to_bytes(2, "big") for word in self.words)


@dataclass(frozen=True)
class StatusBlock:
    """The status block as read, MAC not yet verified; `block` is for order_frame.decode_status."""

    device_id: str
    words: tuple[int, ...]
    read_s: float

    @property
    def block(self) -> bytes:
        """Return the words as bytes, big-endian."""
        return b"".join(word.to_bytes(2, "big") for word in self.words)


class Outbox(Protocol):
    """The only way from the desk to the bus. Every method waits for at most one poll in flight (V2).

    Raises DeviceLost (nothing was sent), FieldTimeout (sent, in doubt), FieldRefused (Modbus exception),
    UnknownMap (never written), NotFound (no such device).
    """

    async def send(self, device_id: str, frame_words: Sequence[int], slot: int) -> Receipt:
        """Write the order and read the slot's receipt in one FC23."""

    async def identity(self, device_id: str) -> Identity:
        """Read the identity block now: boot nonce, uptime, map hash."""

    async def status(self, device_id: str, slot: int, challenge: bytes) -> StatusBlock:
        """Write slot and an 8-byte challenge, and read the status block, in one FC23."""
