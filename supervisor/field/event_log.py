"""A controller's event log as bytes: how to ask for it, whether its chain holds, and what each record holds.

Shared by whoever reads a log over a line of his own. It refuses to put records into words, and to call a
log whole that does not lead from its oldest record to the head that the seal names; a chain alone shows
damage, not who wrote it.

The layout of a record, the chain and the seal: docs/modbus.md.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from firmware.substation import order_frame, registers

FIRST_FILE = 101
RECORD_WORDS = 16
RECORDS_A_FILE = 10_000 // RECORD_WORDS  # Modbus Application Protocol V1.1b3, 6.14: record numbers to 9999
RECORDS_AT_ONCE = 7
BODY_BYTES = 24
SEAL_MAGIC = b"TVL1"
SERIAL_LINE = 1  # source 0.0.0.1

KINDS = (
    "none", "boot", "program", "order", "release", "more", "lease_ended", "refused", "alarm_on", "alarm_off",
    "service", "epoch", "update", "time", "task", "died", "lost",
)  # fmt: skip
WHO = ("device", *order_frame.SLOTS, "unauthenticated", "button")
SENT = ("order", "release", "refused", "epoch", "update", "time")  # what somebody sent has a source

# what may be wrong with a chain
BEGINNING, FOLLOWS, NUMBER, HEAD = "beginning", "follows", "number", "head"


@dataclass(frozen=True)
class Seal:
    """What the controller says of its log, and whether its MAC is the controller's: None without a key."""

    uptime_s: int
    oldest: int
    next: int
    kept: int
    lost: int
    base: bytes
    head: bytes
    genuine: bool | None


@dataclass(frozen=True)
class Record:
    """One record. boot: the start it belongs to, None where dropped; others: an order's further points.

    `who` is a name of WHO, "nobody" for a refusal of what proved nothing, or a number nobody knows.
    """

    sequence: int
    boot: int | None
    uptime_s: int
    unix_s: int
    kind: str
    who: str
    slot: int
    others: int
    what: int
    value: int
    source: int
    in_flash: bool

    @property
    def sent(self) -> bool:
        """Say whether `source` is the address that somebody sent this from."""
        return self.kind in SENT and bool(self.source)


def decode_seal(block: bytes, device_id: bytes, key: bytes | None, slot: int, challenge: bytes) -> Seal:
    """Read the block that answers a challenge to `slot`; with a key its MAC is judged."""
    body, mac = block[: -order_frame.MAC_BYTES], block[-order_frame.MAC_BYTES :]
    genuine = None
    if key is not None:
        wanted = order_frame.hmac_sha256(key, SEAL_MAGIC + device_id + body)
        fresh = body[2:10] == challenge and body[1] == slot
        genuine = fresh and bool(order_frame.equal(mac, wanted[: order_frame.MAC_BYTES]))
    uptime_s, oldest, behind, kept, lost = struct.unpack(">5I", body[10:30])
    return Seal(uptime_s, oldest, behind, kept, lost, body[30:62], body[62:94], genuine)


def pieces(seal: Seal) -> Iterator[tuple[int, int, int]]:
    """Yield (file, first register, registers) of each request that brings the log, oldest record first."""
    at, count = 0, seal.next - seal.oldest
    while at < count:
        records = min(RECORDS_AT_ONCE, count - at, RECORDS_A_FILE - at % RECORDS_A_FILE)
        yield FIRST_FILE + at // RECORDS_A_FILE, at % RECORDS_A_FILE * RECORD_WORDS, records * RECORD_WORDS
        at += records


def split(data: bytes) -> list[bytes]:
    """Return the records in the bytes of one piece."""
    size = 2 * RECORD_WORDS
    return [data[at : at + size] for at in range(0, len(data), size)]


def chain_fault(seal: Seal, records: Sequence[bytes], device_id: bytes) -> tuple[str, int] | None:
    """Return what is wrong with the chain and at which record, None for nothing."""
    if seal.oldest == 0 and seal.base != hashlib.sha256(b"toplovod log 1" + device_id).digest():
        return BEGINNING, 0
    chain = seal.base
    for number, record in enumerate(records):
        sequence = seal.oldest + number
        chain = hashlib.sha256(chain + record[:BODY_BYTES]).digest()
        if record[BODY_BYTES:] != chain[:8]:
            return FOLLOWS, sequence
        if int.from_bytes(record[:4], "big") != sequence:
            return NUMBER, sequence
    return None if chain == seal.head else (HEAD, seal.next - 1)


def decode(records: Sequence[bytes], kept: int) -> list[Record]:
    """Return the records' content; each is read by itself, whatever the chain says."""
    found: list[Record] = []
    boot: int | None = None
    for record in records:
        sequence, uptime_s, unix_s, kind, who, what, value, source = struct.unpack(
            ">IIIBBHII", record[:BODY_BYTES]
        )
        name = KINDS[kind] if kind < len(KINDS) else f"kind {kind}"
        if name == "boot":
            boot = value
        slot = who & 15
        by = "nobody" if name == "refused" and not who else WHO[slot] if slot < len(WHO) else str(slot)
        found.append(
            Record(
                sequence,
                boot,
                uptime_s,
                unix_s,
                name,
                by,
                who,
                who >> 4,
                what,
                value,
                source,
                sequence < kept,
            )
        )
    return found


def setpoint(profile: str, address: int, value: int | None) -> tuple[registers.Register | None, float | None]:
    """Return the row of a holding register and the engineering value of its raw words; None for unknown."""
    for row in registers.BY_PROFILE[profile]:
        if row.space == registers.HOLDING and row.address == address:
            if value is None:
                return row, None
            words = registers.words_of(row)
            both = (value & 0xFFFF,) if words == 1 else (value >> 16, value & 0xFFFF)
            return row, registers.from_raw(row, registers.raw_of_words(row, both))
    return None, None
