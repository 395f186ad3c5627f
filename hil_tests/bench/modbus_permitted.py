"""What a controller must answer where more is permitted: legacy mode, and an update that is open.

A second reading of docs/security.md (Legacy mode) and docs/updates.md, as `modbus_oracle` is one of the
specification. It shares no code with the firmware but the register map's names. It refuses to be lenient.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence

from firmware.substation import registers

from .modbus_oracle import BAD_ADDRESS, BAD_VALUE, LEGACY, Oracle, Refused
from .updater import (
    CLOSED,
    FAILED,
    FILES_COME,
    HEAD_COMES,
    READY,
    RECORDS,
    SIGNATURE_BYTES,
    VERIFYING,
    head_of,
)

DEVICE_FAILURE, DEVICE_BUSY = 4, 6
REFERENCE_TYPE = 6  # Modbus Application Protocol V1.1b3, 6.15
LONGEST_HEAD = 16_384
PREFIX = re.compile(rb"toplovod-image/1 (\d{5})\n")
PREFIX_BYTES = len("toplovod-image/1 00000\n")
NO_CAUSE, MALFORMED, CONTENT, DIGEST = 0, 1, 5, 7  # update_cause_number


class LegacyOracle(Oracle):
    """Answers for a device in legacy mode. `permit` tells it the one master, the setpoints and the lease."""

    master, permitted, lease_s = 0, frozenset[int](), 0

    def permit(self, master: int, names: Sequence[str], lease_s: int) -> None:
        self.master, self.lease_s = master, lease_s
        self.permitted = frozenset(registers.BY_NAME[name].address for name in names)

    def _answer(self, request: bytes, source: int, broadcast: bool) -> bytes:
        pairs = [] if broadcast or source != self.master else _plain_write(request)
        if not pairs or not all(address in self.permitted for address, _ in pairs):
            return super()._answer(request, source, broadcast)
        device = self.device
        verdict, _ = self._judge(LEGACY, self.lease_s, pairs)
        if verdict != "accepted":
            device.refuse(verdict, source)
            raise Refused(BAD_VALUE if verdict == "limit" else DEVICE_BUSY)
        device.acted += 1
        device.put("legacy_write_count", device.get("legacy_write_count") + 1)
        for address, raw in pairs:
            self._grant(LEGACY, self.lease_s, address, raw)
        return request[1:5]


def _plain_write(request: bytes) -> list[tuple[int, int]]:
    """Return (register, raw value) of what FC 6 or 16 would write; nothing where it is neither, or broken."""
    if request[0] == 6 and len(request) == 5:
        return [struct.unpack_from(">HH", request, 1)]
    if request[0] == 16 and len(request) > 6:
        address, count = struct.unpack_from(">HH", request, 1)
        if 1 <= count <= 123 and request[5] == 2 * count == len(request) - 6:
            return list(enumerate(struct.unpack_from(f">{count}H", request, 6), address))
    return []


class Intake:
    """What of an image a controller has, while updates of this one image are opened, fed and closed.

    image: as it was ordered, its signature right. The slot that it goes to is empty at first.
    """

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.head_bytes = len(head_of(image))
        self.state, self.cause = CLOSED, NO_CAUSE
        self.next = 0
        self._came = b""  # since the last boundary
        self._head_lies = False
        self._lie: set[int] = set()  # files that lie there whole, by their end in the image
        self._ends: list[int] = []
        at = self.head_bytes
        text = image[: self.head_bytes - SIGNATURE_BYTES].split(b"\n")
        for line in text[3:-1]:
            at += int(line.split(b" ")[1])
            self._ends.append(at)
        assert at == len(image), "the image names other sizes than it has"

    @property
    def is_open(self) -> bool:
        return self.state != CLOSED

    def open(self) -> None:
        """An order opened it: a head that lies there is verified again, anything else is thrown away."""
        self.cause, self._came = NO_CAUSE, b""
        self.state, self.next = (VERIFYING, self.head_bytes) if self._head_lies else (HEAD_COMES, 0)
        if not self._head_lies:
            self._lie.clear()

    def close(self) -> None:
        self.state, self.cause, self.next = CLOSED, NO_CAUSE, 0

    def verified(self) -> None:
        """Time passed: the files are asked for from the first that does not lie there whole."""
        if self.state != VERIFYING:
            return
        self.state = FILES_COME
        for end in self._ends:
            if end not in self._lie:
                return
            self.next = end
        self.state = READY

    def take(self, at: int, data: bytes) -> int:
        """Return the exception that a piece is answered, 0 where it is taken."""
        if self.state == VERIFYING:
            return DEVICE_BUSY
        if self.state not in (HEAD_COMES, FILES_COME):
            return DEVICE_FAILURE
        if at + len(data) <= self.next:
            return 0
        if at + len(data) == len(self.image) + 1:
            data = data[:-1]  # records are words
        if at > self.next or at + len(data) > len(self.image):
            return BAD_ADDRESS
        data = data[self.next - at :]
        while data and self.state in (HEAD_COMES, FILES_COME):
            data = self._take_head(data) if self.state == HEAD_COMES else self._take_file(data)
        return DEVICE_FAILURE if self.state == FAILED else 0

    def _take_head(self, data: bytes) -> bytes:
        end = PREFIX_BYTES if self.next < PREFIX_BYTES else self._head_end()
        part, rest = data[: end - self.next], data[end - self.next :]
        self._came += part
        if self.next + len(part) == PREFIX_BYTES:
            told = PREFIX.fullmatch(self._came)
            if told is None or not PREFIX_BYTES < int(told[1]) <= LONGEST_HEAD:
                self._fail(MALFORMED)
                return b""
        self.next += len(part)
        if self.next > PREFIX_BYTES and self.next == self._head_end():
            if hashlib.sha256(self._came).digest()[:16] != self.digest:
                self._fail(DIGEST)
            else:
                self._head_lies = True
                self.state = VERIFYING
            self._came = b""
        return rest

    def _head_end(self) -> int:
        return int(self._came[len("toplovod-image/1 ") :][:5]) + SIGNATURE_BYTES

    def _take_file(self, data: bytes) -> bytes:
        end = next(end for end in self._ends if end > self.next)
        first = max([self.head_bytes, *(other for other in self._ends if other < end)])
        part, rest = data[: end - self.next], data[end - self.next :]
        self._came += part
        self.next += len(part)
        if self.next == end:
            whole, self._came = self._came == self.image[first:end], b""
            if not whole:
                self._fail(CONTENT)
                return b""
            self._lie.add(end)
            if end == self._ends[-1]:
                self.state = READY
            else:  # the file that comes now is begun anew, whatever lay there
                self._lie.discard(self._ends[self._ends.index(end) + 1])
        return rest

    def _fail(self, cause: int) -> None:
        self.state, self.cause, self._came = FAILED, cause, b""

    @property
    def digest(self) -> bytes:
        """The 16 bytes that the update is ordered by."""
        return hashlib.sha256(self.image[: self.head_bytes]).digest()[:16]


class UpdatingOracle(Oracle):
    """Answers for a device that takes in an image. `intake` is told by the test when an order opens it."""

    intake: Intake

    def show(self) -> None:
        """Bring the registers of the update up to date."""
        for name, value in (("state_number", self.intake.state), ("cause_number", self.intake.cause),
                            ("next_b", self.intake.next)):  # fmt: skip
            self.device.put("update_" + name, value)

    def _answer(self, request: bytes, source: int, broadcast: bool) -> bytes:
        groups = None if broadcast or not self.intake.is_open else _records(request)
        if groups is None:
            return super()._answer(request, source, broadcast)
        for kind, file, record, data in groups:
            if kind != REFERENCE_TYPE or file == 0 or record >= RECORDS:
                raise Refused(BAD_ADDRESS)
            code = self.intake.take(2 * ((file - 1) * RECORDS + record), data)
            self.show()
            if code:
                if code != DEVICE_BUSY:
                    self.device.refuse("malformed", source)
                raise Refused(code)
        return request[1:]


def _records(request: bytes) -> list[tuple[int, int, int, bytes]] | None:
    """Return (type, file, record, data) of each group of a whole FC 21, None where it is none."""
    if request[0] != 21 or len(request) < 11 or request[1] != len(request) - 2:
        return None
    groups, at = [], 2
    while at + 7 <= len(request):
        kind, file, record, count = struct.unpack_from(">BHHH", request, at)
        groups.append((kind, file, record, request[at + 7 : at + 7 + 2 * count]))
        at += 7 + 2 * count
    return groups if at == len(request) else None
