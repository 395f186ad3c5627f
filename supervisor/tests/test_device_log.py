"""A controller's own log is shown as whole only when its chain holds, and said in both languages."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from ..api.log_text import as_json, words_of
from ..device_log import DeviceLogs
from ..errors import Conflict, NotAllowed
from ..field.event_log import FIRST_FILE, KINDS, RECORD_WORDS, Record
from ..hmi import catalogue
from .paper_town import Town

POINT = registers.BY_NAME["curve_shift_sp_k"].address
SOURCE = 0x0A000301
# uptime, unix, kind, who, what, value, source
TOLD = (
    (0, 0, "boot", 0, 1, 5, 0xF1F2F3F4),
    (0, 0, "program", 0, 0, 0, 0x11223344),
    (60, 0, "order", 1 | 1 << 4, POINT, 0x10000 - 200, SOURCE),
    (70, 1_800_000_000, "refused", 0, 3, 2, 1),
    *((100 + k, 1_800_000_100 + k, "alarm_on", 0, k % 16, 0, 0) for k in range(20)),
)


class PaperLog:
    """An outbox whose controller has a log; what is wrong with it is up to the test."""

    def __init__(self, device_id: bytes, key: bytes) -> None:
        self._device_id, self.key = device_id, key
        self.base = chain = hashlib.sha256(b"toplovod log 1" + device_id).digest()
        self.records = []
        for number, (uptime, unix, kind, who, what, value, source) in enumerate(TOLD):
            body = struct.pack(">IIIBBHII", number, uptime, unix, KINDS.index(kind), who, what, value, source)
            chain = hashlib.sha256(chain + body).digest()
            self.records.append(body + chain[:8])
        self.head = chain
        self.moves = 0
        self.challenges: list[bytes] = []
        self.meanwhile: Any = None

    async def identity(self, device_id: str) -> Any:
        return SimpleNamespace(device_id_hex=self._device_id.hex(), boot_nonce=bytes(12))

    async def log_seal(self, device_id: str, slot: int, challenge: bytes) -> tuple[int, ...]:
        self.challenges.append(challenge)
        oldest = 0
        if self.moves and len(self.challenges) % 2 == 0:
            self.moves, oldest = self.moves - 1, 3
        body = bytes((1, slot)) + challenge + struct.pack(">5I", 900, oldest, len(TOLD), len(TOLD) - 2, 0)
        body += self.base + self.head
        block = body + order_frame.hmac_sha256(self.key, b"TVL1" + self._device_id + body)[:16]
        return struct.unpack(f">{len(block) // 2}H", block)

    async def log_piece(self, device_id: str, file: int, first: int, count: int) -> bytes:
        if self.meanwhile is not None:
            await self.meanwhile()
        assert file == FIRST_FILE and count <= 7 * RECORD_WORDS
        return b"".join(self.records)[2 * first :][: 2 * count]


class LogTown(Town):
    """A paper town with one house whose log can be read."""

    async def open(self) -> None:
        await super().open()
        house = self.controllers["house-01"]
        self.paper = PaperLog(house.device_id, house.key)
        self.logs = DeviceLogs(
            self.site, self.latest, self.paper, self.signer, self.audit, self.access, self.clock,  # type: ignore[arg-type]
        )  # fmt: skip


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[LogTown]:
    town = LogTown(tmp_path)
    town.add("house-01")
    town.add("house-02")
    await town.start()
    yield town
    await town.stop()


async def test_a_whole_log_is_proved_told_in_both_languages_and_audited(town: LogTown) -> None:
    log = await town.logs.read("ana", "house-01")
    assert log.whole and log.seal.genuine is True and len(log.records) == len(TOLD)
    assert len(set(town.paper.challenges)) == 2, "a challenge is asked once"
    said = {lang: as_json(log, lang, registers.SUBSTATION, 50)["records"] for lang in catalogue.LANGUAGES}
    order = {lang: records[-3] for lang, records in said.items()}
    assert order["en"]["text"] == "ordered Shift of the heating curve = -2.0 K and 1 more"
    assert order["en"]["who"] == "supervisor · 10.0.3.1"
    assert "-2,0 K in še 1" in order["sl"]["text"]
    refused = said["en"][-4]
    assert refused["text"] == "refused, no order: authentication, 2 since the start"
    assert refused["who"] == "nobody known · serial line"
    assert [record["in_flash"] for record in said["en"][:3]] == [False, False, True]
    assert len(as_json(log, "en", registers.SUBSTATION, 3)["records"]) == 3
    noted = town.audit.rows()[-1]
    assert (noted.actor, noted.device, noted.body["what"]) == ("ana", "house-01", "device_log")
    assert noted.body["whole"] is True and noted.body["head"] == log.seal.head.hex()


@pytest.mark.parametrize("fault", ["altered", "left out", "other device", "other key"])
async def test_a_log_that_does_not_hold_is_marked_and_alarmed_until_one_does(
    town: LogTown, fault: str
) -> None:
    paper, right = (
        town.paper,
        PaperLog(town.controllers["house-01"].device_id, town.controllers["house-01"].key),
    )
    at: int | None = None
    if fault == "altered":
        record, at = paper.records[7], 7
        paper.records[7] = record[:23] + bytes([record[23] ^ 1]) + record[24:]  # who it came from
    elif fault == "left out":
        del paper.records[5]
        paper.records.append(bytes(32))
        at = 5
    elif fault == "other device":
        paper.base, at = bytes(32), 0
    else:
        paper.key = bytes(32)
    log = await town.logs.read("ana", "house-01")
    assert not log.whole
    assert town.logs.broken() == {"house-01": {"at": at}}
    verdict = as_json(log, "en", registers.SUBSTATION, 5)
    assert (verdict["whole"], verdict["genuine"]) == (False, fault != "other key")
    assert (verdict["broken"] is None) == (fault == "other key")
    assert town.audit.rows()[-1].body["whole"] is False
    paper.records, paper.base, paper.key = right.records, right.base, right.key
    assert (await town.logs.read("ana", "house-01")).whole
    assert not town.logs.broken()


async def test_who_may_not_order_reads_no_log(town: LogTown) -> None:
    with pytest.raises(NotAllowed):
        await town.logs.read("ana", "house-02")  # a viewer there
    assert not town.paper.challenges


async def test_a_log_is_read_once_at_a_time_and_again_when_it_moved(town: LogTown) -> None:
    async def second() -> None:
        with pytest.raises(Conflict, match="already"):
            await town.logs.read("bor", "house-01")

    town.paper.meanwhile = second
    town.paper.moves = 1
    assert (await town.logs.read("ana", "house-01")).whole
    assert len(town.paper.challenges) == 4
    town.paper.meanwhile, town.paper.moves = None, 3
    with pytest.raises(Conflict, match="dropped"):
        await town.logs.read("ana", "house-01")
    assert (await town.logs.read("ana", "house-01")).whole


@pytest.mark.parametrize("kind", [*KINDS, "kind 99"])
def test_every_kind_has_words_in_both_languages_whatever_its_numbers_are(kind: str) -> None:
    for language in catalogue.LANGUAGES:
        for who in (0, 1, 5, 9):
            for number in (0, 1, 5, 7, 300, 0xFFFF):
                record = Record(1, 2, 3, 4, kind, str(who), who, 1, number, number, 0xFFFFFFFF, True)
                text = words_of(record, language, registers.SUBSTATION)
                assert text and "[" not in text and "{" not in text
