"""Requests at and around every limit of the protocol and of the register map: what both tests are made of.

Conformance sends each as it is, the fuzzer bends them. Whether an answer is right is the oracle's
business; this file only knows where the edges are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from firmware.substation import registers

Case = tuple[str, bytes]
SETPOINT = registers.BY_NAME["secondary_supply_temp_sp_c"].address
CONFIG = registers.BY_NAME["supply_temp_maximum_c"].address
MEASURED = registers.BY_NAME["outdoor_temp_c"].address
MAILBOX, RECEIPTS = registers.ORDER_MAILBOX, registers.RECEIPTS
CHALLENGE = b"\0\0challeng"


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def runs(space: str, profile: str = registers.SUBSTATION) -> list[tuple[int, int]]:
    """Return (first, count) of the profile's runs without gaps in a space, receipts included."""
    found: list[tuple[int, int]] = []
    rows = [row for row in registers.BY_PROFILE[profile] if row.space == space]
    for row in sorted(rows, key=lambda row: row.address):
        size = registers.words_of(row)
        if found and sum(found[-1]) == row.address:
            found[-1] = (found[-1][0], found[-1][1] + size)
        else:
            found.append((row.address, size))
    if space == registers.INPUT:
        found.append((RECEIPTS, 4 * registers.RECEIPT_WORDS))
    return found


def _reads() -> Iterator[Case]:
    for function, space in ((3, registers.HOLDING), (4, registers.INPUT)):
        for first, count in runs(space):
            for at, size in (
                (first, 1), (first, min(count, 125)), (first + count - 1, 1), (first + count - 1, 2),
                (first - 1 & 0xFFFF, 1), (first - 1 & 0xFFFF, 2), (first + count, 1),
                (first, min(count + 1, 125)), (first + count // 2, max(1, count // 2)),
            ):  # fmt: skip
                yield f"FC {function}: {size} from {at}", bytes((function,)) + words(at, size)
        for size in (0, 1, 124, 125, 126, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF):
            for at in (0, MEASURED, 0xFFFE, 0xFFFF):
                yield f"FC {function}: quantity {size} at {at}", bytes((function,)) + words(at, size)
        whole = bytes((function,)) + words(MEASURED, 1)
        for length in (1, 2, 3, 4, 6, 7, 20):
            yield f"FC {function}: {length} bytes", (whole + bytes(20))[:length]


def _bits() -> Iterator[Case]:
    for function in (1, 2):
        for size in (0, 1, 7, 8, 2000, 2001, 0xFFFF):
            yield f"FC {function}: {size} bits", bytes((function,)) + words(0, size)
        for length in (1, 3, 4, 6):
            yield f"FC {function}: {length} bytes", (bytes((function,)) + words(0, 8, 0))[:length]


def _single_writes() -> Iterator[Case]:
    for value in (0, 1, 0xFF, 0x0100, 0xFF00, 0xFF01, 0xFFFF):
        yield f"FC 5: value {value:04x}", b"\x05" + words(0, value)
    for at in (0, MEASURED, SETPOINT, CONFIG, MAILBOX, registers.CHALLENGE_MAILBOX, 0xFFFF):
        yield f"FC 5 at {at}", b"\x05" + words(at, 0xFF00)
        yield f"FC 6 at {at}", b"\x06" + words(at, 4500)
        yield f"FC 22 at {at}", b"\x16" + words(at, 0xFF00, 0x0045)
    for function, whole in ((5, words(0, 0xFF00)), (6, words(SETPOINT, 1)), (22, words(SETPOINT, 1, 2))):
        for length in range(1, 9):
            yield f"FC {function}: {length} bytes", (bytes((function,)) + whole + bytes(8))[:length]


def _many_writes() -> Iterator[Case]:
    for count in (0, 1, 7, 8, 9, 1968, 1969, 0xFFFF):
        size = min(-(-count // 8), 246)
        yield f"FC 15: {count} coils", b"\x0f" + words(0, count) + bytes((size,)) + bytes(size)
        yield (
            f"FC 15: {count} coils, a byte more",
            b"\x0f" + words(0, count) + bytes((size,)) + bytes(size + 1),
        )
    for at in (0, MEASURED, SETPOINT, CONFIG, MAILBOX - 1, MAILBOX, MAILBOX + 1, RECEIPTS,
               registers.CHALLENGE_MAILBOX, 0xFFFF):  # fmt: skip
        for count in (0, 1, 2, 18, 63, 64, 65, 122, 123):
            body = words(at, count) + bytes((2 * count,)) + bytes(2 * count)
            yield f"FC 16: {count} at {at}", b"\x10" + body
    for count, size, length in ((1, 2, 1), (1, 2, 3), (1, 1, 2), (1, 3, 2), (2, 4, 3), (124, 248, 246)):
        yield (
            f"FC 16: {count}, {size}, {length}",
            b"\x10" + words(SETPOINT, count) + bytes((size,)) + bytes(length),
        )
    for length in range(1, 7):
        yield f"FC 16: {length} bytes", (b"\x10" + words(SETPOINT, 1) + b"\x02")[:length]


def _write_and_read() -> Iterator[Case]:
    for read_at, read in ((RECEIPTS, 1), (RECEIPTS, 16), (RECEIPTS + 48, 16), (RECEIPTS + 49, 16),
                          (RECEIPTS - 1, 2), (MEASURED, 1), (0, 0), (0, 125), (0, 126),
                          (0xFFFF, 1)):  # fmt: skip
        for at, count in ((MAILBOX, 18), (MAILBOX, 64), (MAILBOX, 65), (MAILBOX, 0), (SETPOINT, 1),
                          (MAILBOX, 121), (MAILBOX, 122), (0xFFFF, 1)):  # fmt: skip
            body = words(read_at, read, at, count) + bytes((2 * count & 0xFF,)) + bytes(2 * count)
            if len(body) < 253:
                yield f"FC 23: {read} from {read_at}, {count} at {at}", b"\x17" + body
    for length in range(1, 12):
        yield f"FC 23: {length} bytes", (b"\x17" + words(RECEIPTS, 1, MAILBOX, 1) + b"\x02\0\0")[:length]
    block, ask = registers.STATUS_BLOCK, registers.CHALLENGE_MAILBOX
    for read in (1, 38, 39, 40, 125):
        yield f"challenge, {read} words", b"\x17" + words(block, read, ask, 5) + b"\x0a" + CHALLENGE
    for slot in (0, 1, 2, 3, 4, 0xFFFF):
        body = words(block, 39, ask, 5) + b"\x0a" + words(slot) + CHALLENGE[2:]
        yield f"challenge for slot {slot}", b"\x17" + body
    for count in (1, 4, 6):
        body = words(block, 39, ask, count) + bytes((2 * count,)) + (CHALLENGE + b"\0\0")[: 2 * count]
        yield f"challenge of {count} words", b"\x17" + body
    yield "challenge, read elsewhere", b"\x17" + words(RECEIPTS, 16, ask, 5) + b"\x0a" + CHALLENGE
    yield "status without a challenge", b"\x17" + words(block, 39, MAILBOX, 5) + b"\x0a" + CHALLENGE


def _diagnostics() -> Iterator[Case]:
    for sub in (*range(22), 0xFF, 0x100, 0xFFFF):
        yield f"FC 8/{sub}", b"\x08" + words(sub, 0)
        yield f"FC 8/{sub} with data", b"\x08" + words(sub, 0xA537)
    for length in range(1, 13):
        yield f"FC 8/0: {length} bytes", (b"\x08" + words(0, 0xA537, 1, 2, 3, 4))[:length]
        yield f"FC 8/10: {length} bytes", (b"\x08" + words(10, 0, 1, 2, 3, 4))[:length]
    yield "FC 8/0: all it holds", b"\x08" + words(0) + bytes(range(250))


def _identity() -> Iterator[Case]:
    yield "FC 17", b"\x11"
    yield "FC 17: 2 bytes", b"\x11\0"
    for code in (0, 1, 2, 3, 4, 5, 0xFF):
        for number in (0, 1, 2, 3, 4, 5, 6, 0x7F, 0x80, 0xFF):
            yield f"FC 43/14: {code} from {number}", bytes((0x2B, 14, code, number))
    for kind in (0, 13, 15, 0xFF):
        yield f"FC 43/{kind}", bytes((0x2B, kind, 1, 0))
    for length in (1, 2, 3, 5):
        yield f"FC 43: {length} bytes", b"\x2b\x0e\x01\0\0"[:length]


def _files() -> Iterator[Case]:
    def group(kind: int, file: int, record: int, count: int, data: int = 0) -> bytes:
        return bytes((kind,)) + words(file, record, count) + bytes(data)

    reads = [group(6, 1, 0, 1), group(6, 1, 0, 10), group(6, 1, 3, 2), group(6, 1, 9999, 1),
             group(6, 1, 0, 0), group(6, 0, 0, 1), group(6, 2, 0, 1), group(5, 1, 0, 1),
             group(6, 1, 0xFFFF, 1), group(6, 1, 0, 124), group(6, 1, 0, 125),
             group(6, 1, 0, 0xFFFF)]  # fmt: skip
    for n, one in enumerate(reads):
        yield f"FC 20: group {n}", b"\x14" + bytes((len(one),)) + one
        two = group(6, 1, 0, 2) + one
        yield f"FC 20: two groups {n}", b"\x14" + bytes((len(two),)) + two
    many = group(6, 1, 0, 1) * 35
    yield "FC 20: 35 groups", b"\x14" + bytes((len(many),)) + many
    for length in range(1, 12):
        yield f"FC 20: {length} bytes", (b"\x14\x07" + group(6, 1, 0, 1) + bytes(4))[:length]
    for size in (0, 6, 8, 0xF6, 0xFF):
        yield f"FC 20: byte count {size}", b"\x14" + bytes((size,)) + group(6, 1, 0, 1)
    writes = [group(6, 1, 0, 1, 2), group(6, 1, 0, 2, 2), group(6, 1, 0, 0), group(6, 1, 0, 1, 3),
              group(6, 1, 0, 100, 200), group(6, 1, 0, 1, 2) * 2, group(7, 9, 9, 1, 2)]  # fmt: skip
    for n, one in enumerate(writes):
        yield f"FC 21: group {n}", b"\x15" + bytes((len(one),)) + one
        yield f"FC 21: group {n}, count off", b"\x15" + bytes((len(one) - 1,)) + one
    for length in range(1, 11):
        yield f"FC 21: {length} bytes", (b"\x15\x09" + group(6, 1, 0, 1, 2))[:length]
    for at in (0, 1, 0x04DE, 0xFFFF):
        yield f"FC 24 at {at}", b"\x18" + words(at)
    for length in (1, 2, 4):
        yield f"FC 24: {length} bytes", b"\x18\0\0\0"[:length]


def _unknown() -> Iterator[Case]:
    known = {1, 2, 3, 4, 5, 6, 8, 15, 16, 17, 20, 21, 22, 23, 24, 43}
    for function in range(256):
        if function not in known:
            yield f"function {function}", bytes((function,)) + (words(0, 1) if function % 2 else b"")


def cases() -> list[Case]:
    """Return (name, request PDU) of every case; no PDU is longer than 253 bytes."""
    parts = (_reads, _bits, _single_writes, _many_writes, _write_and_read, _diagnostics, _identity, _files,
             _unknown)  # fmt: skip
    found = [case for part in parts for case in part()]
    assert all(1 <= len(pdu) <= 253 for _, pdu in found)
    return found
