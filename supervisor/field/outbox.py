"""Carry a signed order to its controller and bring back the receipt, in one Modbus transaction.

It refuses to sign, to repeat and to judge: an order whose answer never came is reported as in doubt and
is not sent again, and whether a receipt is genuine is the signer's question. It never writes to a
controller whose register map is unknown or whose identity is not the one in the site file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from firmware.substation import order_frame, registers

from ..clock import Clock
from .identity import Identity
from .poller import Poller


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

    async def receipt(self, device_id: str, slot: int) -> Receipt:
        """Read the slot's receipt block alone: what became of an order whose answer never came."""

    async def identity(self, device_id: str) -> Identity:
        """Read the identity block now: boot nonce, uptime, map hash."""

    async def status(self, device_id: str, slot: int, challenge: bytes) -> StatusBlock:
        """Write slot and an 8-byte challenge, and read the status block, in one FC23."""


class FieldOutbox:
    """The outbox over the poller's lines."""

    def __init__(self, poller: Poller, clock: Clock) -> None:
        self._poller = poller
        self._clock = clock

    async def send(self, device_id: str, frame_words: Sequence[int], slot: int) -> Receipt:
        words = tuple(frame_words)
        smallest = order_frame.HEADER_WORDS + 2 + order_frame.MAC_BYTES // 2
        if not smallest <= len(words) <= registers.ORDER_MAILBOX_WORDS:
            raise ValueError(
                f"an order frame of {len(words)} words does not fit the mailbox; nothing was sent"
            )
        if not 0 <= slot < len(order_frame.SLOTS):
            raise ValueError(f"there is no key slot {slot}; nothing was sent")
        sent_s = self._clock.monotonic()
        self._poller.counters(device_id).orders += 1
        answer = await self._poller.exchange(
            device_id,
            registers.ORDER_MAILBOX,
            words,
            registers.RECEIPTS + slot * registers.RECEIPT_WORDS,
            registers.RECEIPT_WORDS,
        )
        self._poller.refresh(device_id)
        return Receipt(device_id, slot, answer.words, sent_s, self._clock.monotonic())

    async def receipt(self, device_id: str, slot: int) -> Receipt:
        sent_s = self._clock.monotonic()
        answer = await self._poller.read_input(
            device_id, registers.RECEIPTS + slot * registers.RECEIPT_WORDS, registers.RECEIPT_WORDS
        )
        return Receipt(device_id, slot, answer.words, sent_s, self._clock.monotonic())

    async def identity(self, device_id: str) -> Identity:
        return await self._poller.identify(device_id)

    async def log_seal(self, device_id: str, slot: int, challenge: bytes) -> tuple[int, ...]:
        """Write slot and challenge, and read the seal of the event log, in one FC23."""
        words = (slot, *(int.from_bytes(challenge[k : k + 2], "big") for k in range(0, 8, 2)))
        answer = await self._poller.exchange(
            device_id, registers.CHALLENGE_MAILBOX, words, registers.LOG_SEAL, registers.LOG_SEAL_WORDS
        )
        return answer.words

    async def log_piece(self, device_id: str, file: int, first: int, count: int) -> bytes:
        """Read a piece of the event log; polls and orders go between two pieces."""
        answer = await self._poller.read_file(device_id, file, first, count)
        return b"".join(word.to_bytes(2, "big") for word in answer.words)

    async def status(self, device_id: str, slot: int, challenge: bytes) -> StatusBlock:
        if len(challenge) != 8:
            raise ValueError(f"a challenge has 8 bytes, not {len(challenge)}; nothing was sent")
        words = (slot, *(int.from_bytes(challenge[k : k + 2], "big") for k in range(0, 8, 2)))
        profile = self._poller.profile(device_id)
        answer = await self._poller.exchange(
            device_id,
            registers.CHALLENGE_MAILBOX,
            words,
            registers.STATUS_BLOCK,
            order_frame.status_words(len(registers.STATUS_POINTS[profile])),
        )
        return StatusBlock(device_id, answer.words, self._clock.monotonic())
