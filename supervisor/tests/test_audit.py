"""The audit against kill, tampering, a full disk and a damaged witness; real files throughout."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from supervisor.audit import (
    GENESIS,
    JOURNAL_RECORDS,
    Audit,
    FloatInAudit,
    Journal,
    canonical,
    export,
    row_hash,
    verify,
)
from supervisor.database import Database, open_connection
from supervisor.errors import Unavailable

ROWS = 40


class _Noon:
    def utc(self) -> datetime:
        return datetime(2026, 1, 12, 12, tzinfo=UTC)


def _audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "data", tmp_path / "witness", _Noon())


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    opened = _audit(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def _fill(tmp_path: Path, rows: int = ROWS) -> tuple[Path, Path]:
    audit = _audit(tmp_path)
    await audit.open()
    for number in range(rows // 2):
        seq = await audit.intent({"actor": "ana", "device": f"house-{number:02d}", "raw": 4500 + number})
        await audit.result(seq, {"actor": "ana", "device": f"house-{number:02d}", "state": "accepted"})
        if number == rows // 4:
            await audit.checkpoint()
    await audit.close()
    return tmp_path / "data" / "audit.sqlite", tmp_path / "witness"


def _tamper(path: Path, *statements: str) -> None:
    """Do what somebody with the disk can do: drop the triggers, then change rows."""
    connection = open_connection(path)
    for name in ("audit_keeps_rows", "audit_loses_none"):
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def test_a_whole_chain_is_sound_and_exports_every_row(tmp_path: Path) -> None:
    path, witness = await _fill(tmp_path)
    verdict = verify(path, witness)
    assert verdict.sound, verdict.findings
    assert verdict.rows == ROWS
    lines = [json.loads(line) for line in export(path)]
    assert [line["seq"] for line in lines] == list(range(1, ROWS + 1))
    assert lines[-1]["hash"] == verdict.head
    assert lines[1]["about"] == 1


async def test_the_file_itself_refuses_change(tmp_path: Path) -> None:
    path, _ = await _fill(tmp_path)
    connection = open_connection(path)
    for statement in ("UPDATE audit SET actor='x' WHERE seq=3", "DELETE FROM audit WHERE seq=3"):
        with pytest.raises(Exception, match="append-only"):
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "field", ["utc=utc||'0'", "kind='note'", "actor='eve'", "device='house-99'", "about=7", "body='{}'"]
)
async def test_a_flipped_field_is_located(tmp_path: Path, field: str) -> None:
    path, witness = await _fill(tmp_path)
    _tamper(path, f"UPDATE audit SET {field} WHERE seq=17")
    verdict = verify(path, witness)
    assert [(f.kind, f.first, f.last) for f in verdict.findings] == [("changed", 17, 17)]


async def test_a_flipped_hash_is_located(tmp_path: Path) -> None:
    path, witness = await _fill(tmp_path)
    _tamper(path, "UPDATE audit SET hash=zeroblob(32) WHERE seq=17")
    verdict = verify(path, witness)
    assert ("changed", 17, 18) in [(f.kind, f.first, f.last) for f in verdict.findings]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (12, 12), (12, 15)])
async def test_deleted_rows_are_located(tmp_path: Path, first: int, last: int) -> None:
    path, witness = await _fill(tmp_path)
    _tamper(path, f"DELETE FROM audit WHERE seq BETWEEN {first} AND {last}")
    verdict = verify(path, witness)
    assert [(f.kind, f.first, f.last) for f in verdict.findings] == [("missing", first, last)]


async def test_deleted_and_renumbered_rows_are_located(tmp_path: Path) -> None:
    path, witness = await _fill(tmp_path)
    _tamper(
        path,
        "DELETE FROM audit WHERE seq=12",
        *(f"UPDATE audit SET seq={n - 1} WHERE seq={n}" for n in range(13, ROWS + 1)),
    )
    verdict = verify(path, witness)
    assert min(f.first for f in verdict.findings) == 12
    assert ("truncated", ROWS, ROWS) in [(f.kind, f.first, f.last) for f in verdict.findings]


@pytest.mark.parametrize(("one", "other"), [(9, 23), (9, 10), (1, ROWS)])
async def test_exchanged_rows_are_located(tmp_path: Path, one: int, other: int) -> None:
    path, witness = await _fill(tmp_path)
    _tamper(
        path,
        f"UPDATE audit SET seq=-1 WHERE seq={one}",
        f"UPDATE audit SET seq={one} WHERE seq={other}",
        f"UPDATE audit SET seq={other} WHERE seq=-1",
    )
    verdict = verify(path, witness)
    assert ("swapped", one, other) in [(f.kind, f.first, f.last) for f in verdict.findings]


@pytest.mark.parametrize("keep", [0, 21, ROWS - 1])
async def test_a_cut_tail_is_located(tmp_path: Path, keep: int) -> None:
    path, witness = await _fill(tmp_path)
    _tamper(path, f"DELETE FROM audit WHERE seq>{keep}")
    verdict = verify(path, witness)
    assert [(f.kind, f.first, f.last) for f in verdict.findings] == [("truncated", keep + 1, ROWS)]


async def test_a_chain_rebuilt_with_right_hashes_is_located_by_the_checkpoints(tmp_path: Path) -> None:
    path, witness = await _fill(tmp_path)
    connection = open_connection(path, read_only=True)
    rows = list(connection.execute("SELECT * FROM audit ORDER BY seq"))
    connection.close()
    before, statements = GENESIS, []
    for row in rows:
        actor = "eve" if row["seq"] == 30 else row["actor"]
        before = row_hash(
            before, row["seq"], row["utc"], row["kind"], actor, row["device"], row["about"], row["body"]
        )
        statements.append(f"UPDATE audit SET actor='{actor}', hash=x'{before.hex()}' WHERE seq={row['seq']}")
    _tamper(path, *statements)
    verdict = verify(path, witness)
    assert [f.kind for f in verdict.findings] == ["rebuilt"]
    # the checkpoint in the middle still agrees, so only what follows it was written anew
    assert verdict.findings[0].first == 23
    assert verdict.findings[0].last == ROWS


async def test_forged_checkpoints_are_named(tmp_path: Path) -> None:
    path, witness = await _fill(tmp_path)
    checkpoints = witness / "checkpoints.jsonl"
    lines = checkpoints.read_text().splitlines()
    forged = json.loads(lines[-1])
    forged["hash"] = "00" * 32
    checkpoints.write_text("\n".join([*lines, json.dumps(forged)]) + "\n")
    verdict = verify(path, witness)
    assert [f.kind for f in verdict.findings] == ["checkpoint"]


async def test_missing_witnesses_are_named(tmp_path: Path) -> None:
    path, witness = await _fill(tmp_path)
    (witness / "checkpoints.jsonl").unlink()
    (witness / "audit_head").unlink()
    assert {f.kind for f in verify(path, witness).findings} == {"checkpoint"}


async def test_another_signing_key_is_refused_at_start(tmp_path: Path) -> None:
    await _fill(tmp_path)
    (tmp_path / "data" / "audit_signing_key.pem").unlink()
    with pytest.raises(Unavailable) as refusal:
        await _audit(tmp_path).open()
    assert refusal.value.code == "audit_key_changed"


@pytest.mark.parametrize("room_b", [0, 100])  # nothing fits; half of the key fits
async def test_a_disk_that_is_full_at_the_first_start_bars_no_later_one(tmp_path: Path, room_b: int) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_b, usual[1]))
    try:
        with pytest.raises(Unavailable) as refusal:
            await _audit(tmp_path).open()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert refusal.value.code == "audit_unavailable"
    assert _files(tmp_path) == []
    path, witness = await _fill(tmp_path)
    assert verify(path, witness).sound


async def test_a_key_that_is_not_whole_is_named_at_start(tmp_path: Path) -> None:
    await _fill(tmp_path)
    key = tmp_path / "data" / "audit_signing_key.pem"
    key.write_bytes(key.read_bytes()[:50])
    with pytest.raises(Unavailable, match="Restore the key") as refusal:
        await _audit(tmp_path).open()
    assert refusal.value.code == "audit_key_damaged"


def test_the_signing_key_is_the_owners_only(tmp_path: Path) -> None:
    asyncio.run(_fill(tmp_path))
    assert (tmp_path / "data" / "audit_signing_key.pem").stat().st_mode & 0o077 == 0


async def test_floats_never_enter_the_chain(audit: Audit) -> None:
    with pytest.raises(FloatInAudit):
        await audit.note({"actor": "ana", "value": {"deep": [1, 2.5]}})
    assert audit.rows() == []
    assert canonical({"b": 1, "a": "č"}) == '{"a":"č","b":1}'


async def test_rows_written_at_once_share_the_chain(audit: Audit, tmp_path: Path) -> None:
    numbers = await asyncio.gather(*(audit.note({"actor": "ana", "n": n}) for n in range(500)))
    assert sorted(numbers) == list(range(1, 501))
    assert [row.body["n"] for row in audit.rows(limit=500)] == list(range(500))
    assert (await audit.verify()).sound


def _full(audit: Audit) -> Callable[[], None]:
    """Make the file full in SQLite's own way; returns the remedy."""
    database: Any = audit._database
    connection = database._writer_connection

    def limit(pages: int) -> None:
        def job(_: Any) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        database.write_now(job)

    limit(connection.execute("PRAGMA page_count").fetchone()[0])
    return lambda: limit(1_000_000)


async def test_without_audit_only_release_goes_on_and_its_record_is_taken_in_later(
    audit: Audit, tmp_path: Path
) -> None:
    await audit.note({"actor": "ana", "what": "before"})
    remedy = _full(audit)
    with pytest.raises(Unavailable) as refusal:
        for _ in range(200):
            await audit.intent({"actor": "ana", "device": "house-01", "padding": "x" * 3000})
    assert refusal.value.code == "audit_unavailable"
    assert "nothing was sent" in refusal.value.message
    assert audit.failure is not None
    kept = len(audit.rows(limit=1000))

    # the padding makes the row too big for the last page; the journal takes only short records
    seq = await audit.intent(
        {"actor": "ana", "device": "house-01", "what": "release", "padding": "x" * 500}, emergency=True
    )
    while seq > 0:  # the last page had room for it; fill it up
        seq = await audit.intent(
            {"actor": "ana", "device": "house-01", "what": "release", "padding": "x" * 500},
            emergency=True,
        )
        kept += 1
    assert seq == -1
    assert await audit.result(seq, {"actor": "ana", "device": "house-01", "state": "released"}) == -2
    assert len(audit.rows(limit=1000)) == kept
    assert (await audit.verify()).sound

    remedy()
    await audit.note({"actor": "ana", "what": "after"})
    rows = audit.rows(limit=1000)[kept:]
    assert [row.body["what"] for row in rows] == ["journal", "journal", "after"]
    assert json.loads(rows[0].body["record"])["device"] == "house-01"
    assert audit.failure is None
    assert (await audit.verify()).sound


async def test_a_crash_between_taking_in_and_clearing_doubles_nothing(tmp_path: Path) -> None:
    audit = _audit(tmp_path)
    await audit.open()
    await audit.close()
    journal_path = tmp_path / "witness" / "emergency.journal"
    journal = Journal(journal_path)
    journal.append('{"what":"release"}')
    journal.close()
    image = journal_path.read_bytes()
    for _ in range(3):
        journal_path.write_bytes(image)  # as if clear() had not reached the disk
        again = _audit(tmp_path)
        await again.open()
        assert len(again.rows()) == 1
        await again.close()


def test_the_journal_is_allocated_beforehand_and_says_when_it_is_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "emergency.journal")
    size = (tmp_path / "emergency.journal").stat().st_size
    for number in range(1, JOURNAL_RECORDS + 1):
        assert journal.append(f'{{"n":{number}}}') == number
    assert (tmp_path / "emergency.journal").stat().st_size == size
    with pytest.raises(Unavailable) as refusal:
        journal.append("{}")
    assert refusal.value.code == "journal_full"
    journal.close()
    assert len(Journal(tmp_path / "emergency.journal").read()) == JOURNAL_RECORDS


_WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from supervisor.audit import Audit

class Now:
    def utc(self): return datetime.now(UTC)

async def worker(audit, name):
    n = 0
    while True:
        n += 1
        seq = await audit.intent({"actor": name, "device": "house-01", "n": n})
        print(seq, name, n, flush=True)

async def main():
    folder = Path(sys.argv[1])
    audit = Audit(folder / "data", folder / "witness", Now())
    await audit.open()
    await asyncio.gather(*(worker(audit, f"w{k}") for k in range(10)))

asyncio.run(main())
"""


def test_kill_9_loses_no_acknowledged_row(tmp_path: Path) -> None:
    acknowledged: dict[int, tuple[str, int]] = {}
    for kill in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for count, line in enumerate(process.stdout):
                seq, name, number = line.split()
                acknowledged[int(seq)] = (name, int(number))
                if count == 150 + 60 * kill:
                    process.send_signal(signal.SIGKILL)
                    for rest in process.stdout:  # acknowledged before the kill, read after it
                        if len(parts := rest.split()) == 3 and rest.endswith("\n"):
                            acknowledged[int(parts[0])] = (parts[1], int(parts[2]))
                    break
    path = tmp_path / "data" / "audit.sqlite"
    found = {
        row["seq"]: (row["actor"], row["body"]["n"]) for row in (json.loads(line) for line in export(path))
    }
    assert len(acknowledged) > 1000
    missing = [seq for seq, content in acknowledged.items() if found.get(seq) != content]
    assert missing == []
    assert verify(path, tmp_path / "witness").sound


def test_a_disk_that_takes_no_more_bytes_sends_nothing(tmp_path: Path) -> None:
    """A file-size limit of the process stands for the full disk: the real write call fails."""
    script = """
import asyncio, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from supervisor.audit import Audit, verify
from supervisor.errors import Unavailable

class Now:
    def utc(self): return datetime.now(UTC)

async def main():
    folder = Path(sys.argv[1])
    audit = Audit(folder / "data", folder / "witness", Now())
    await audit.open()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_100_000, resource.RLIM_INFINITY))
    written = 0
    try:
        while True:
            await audit.intent({"actor": "ana", "device": "house-01", "padding": "x" * 3000})
            written += 1
    except Unavailable as refusal:
        print(refusal.code, written)
    print(await audit.intent({"actor": "ana", "device": "house-01", "what": "release"}, emergency=True))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(await audit.note({"actor": "ana", "what": "after"}) - written)
    await audit.close()
    print(verify(folder / "data" / "audit.sqlite", folder / "witness").sound)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.split("\n")
    assert lines[0].split()[0] == "audit_unavailable", done.stderr
    assert int(lines[0].split()[1]) > 50
    # the release went to the journal, then the journal's record and the note into the chain
    assert lines[1:4] == ["-1", "2", "True"], (lines, done.stderr)


async def test_one_bad_job_spoils_no_other_of_its_commit(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", ("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)",))

    def insert(number: int) -> Callable[[Any], None]:
        return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (number,))

    outcomes = await asyncio.gather(
        *(database.write(insert(number)) for number in (1, 2, 1, 3)), return_exceptions=True
    )
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, False]
    assert [row["n"] for row in database.read("SELECT n FROM t")] == [1, 2, 3]
    database.close()
    with pytest.raises(Unavailable):
        await database.write(insert(4))
