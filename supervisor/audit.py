"""The record of who wanted what, when, and what became of it: append-only, chained and witnessed.

It refuses to lose or change a row, to let a write go out whose intent is not on disk, and to keep
numbers as floating point: what is hashed is exactly the text that is stored.

A row's hash is SHA-256 over the hash before it and the row. A chain alone can be rebuilt by whoever
owns the disk, so signed checkpoints and the newest head are kept in the *witness* folder, which
belongs on another disk; a copy of the public key and of the checkpoints belongs off the machine.

When the audit's own disk fails, a journal preallocated in the witness folder admits two acts only,
release and restore-last-good, because those make the town less dependent on us. Its records are
taken into the chain as soon as the audit can be written again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .database import Connection, Database, open_connection, sqlite3
from .errors import Unavailable

CHAIN = "toplovod-audit/1"
GENESIS = hashlib.sha256(CHAIN.encode()).digest()
CHECKPOINT_EVERY_S = 3600.0  # and at every start and orderly stop; reference/supervisor.md §2.5

INTENT = "intent"  # about to go to the bus
RESULT = "result"  # what came back, `about` is the intent's number
NOTE = "note"  # anything else: people, modes, alarms, starts

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, utc TEXT NOT NULL, kind TEXT NOT NULL,"
    " actor TEXT NOT NULL, device TEXT NOT NULL, about INTEGER, body TEXT NOT NULL, hash BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS audit_device ON audit (device, seq)",
    "CREATE TRIGGER IF NOT EXISTS audit_keeps_rows BEFORE UPDATE ON audit BEGIN"
    " SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER IF NOT EXISTS audit_loses_none BEFORE DELETE ON audit BEGIN"
    " SELECT RAISE(ABORT, 'the audit is append-only'); END",
)

JOURNAL_RECORD_B = 1024
JOURNAL_RECORDS = 1024  # 1 MiB: releases of a town of 500 houses, intent and result each
_JOURNAL_HEADER = struct.Struct(">8sQ")  # magic, generation
_JOURNAL_MAGIC = b"TVJRNL01"
_RECORD = struct.Struct(">QIH")  # generation, number, length of the text; the hash follows, then the text


class _Clock(Protocol):
    def utc(self) -> datetime: ...


class FloatInAudit(TypeError):
    """A floating-point number was about to enter the chain."""


def canonical(body: Mapping[str, Any]) -> str:
    """Return the one text of a JSON object: sorted keys, no spaces, no floats.

    Raises FloatInAudit: a float's text depends on who prints it; write register integers or strings.
    """
    _refuse_floats(body)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise FloatInAudit(f"{value!r} is a float; audit register integers or decimal text")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)


def row_hash(
    before: bytes, seq: int, utc: str, kind: str, actor: str, device: str, about: int | None, body: str
) -> bytes:
    """Return the hash of a row; every field enters with its length, so no two rows share a text."""
    digest = hashlib.sha256(before)
    digest.update(struct.pack(">qq", seq, -1 if about is None else about))
    for text in (utc, kind, actor, device, body):
        raw = text.encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.digest()


@dataclass(frozen=True)
class AuditRow:
    """One row as it is read back; `body` is the parsed JSON object."""

    seq: int
    utc: str
    kind: str
    actor: str
    device: str
    about: int | None
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Finding:
    """Something wrong with the chain, and where: rows first..last."""

    kind: str  # changed, swapped, missing, truncated, rebuilt, checkpoint, journal
    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Verdict:
    """What verify found: `sound`, how many rows and checkpoints were looked at, and every finding."""

    sound: bool
    rows: int
    checkpoints: int
    head: str
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class Audit:
    """The audit of one data folder. `witness` is the second path: checkpoints, head and journal."""

    def __init__(self, folder: Path, witness: Path, clock: _Clock) -> None:
        self.path = folder / "audit.sqlite"
        self.witness = witness
        self._key_path = folder / "audit_signing_key.pem"
        self._clock = clock
        self._database: Database | None = None
        self._head: tuple[int, bytes] = (0, GENESIS)
        self._head_due = False
        self._key: Ed25519PrivateKey | None = None
        self._head_file = -1
        self._journal: Journal | None = None
        self._absorbing: asyncio.Lock = asyncio.Lock()
        self.witness_failure: str | None = None  # the second path fails; writes go on, evidence is thinner
        self.failure: str | None = None  # why nothing can be audited now, for people; None when all is well

    async def open(self) -> None:
        """Open the files, take in what the journal holds and sign a checkpoint.

        Raises Unavailable when a file cannot be opened: a supervisor without audit does not start.
        """
        try:
            self.witness.mkdir(parents=True, exist_ok=True)
            self._key = _load_or_make_key(self._key_path)
            self._write_public_key()
            self._head_file = os.open(self.witness / "audit_head", os.O_RDWR | os.O_CREAT, 0o600)
            self._journal = Journal(self.witness / "emergency.journal")
            self._database = Database(self.path, SCHEMA)
        except Unavailable as error:
            if error.code != "database_unavailable":
                raise
            raise Unavailable("audit_unavailable", error.message) from error
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(
                "audit_unavailable",
                f"the audit could not be opened ({error}); nothing was started. "
                "Check the space and the rights of the data folder and of the witness folder.",
            ) from error
        self._head = self._newest_on_disk()
        await self.absorb_journal()
        await self.checkpoint()

    async def close(self) -> None:
        """Sign a last checkpoint and close."""
        if self._database is None:
            return
        with contextlib.suppress(Unavailable):
            await self.checkpoint()
        self._write_head()
        self._database.close()
        self._database = None
        if self._journal is not None:
            self._journal.close()
        os.close(self._head_file)
        self._head_file = -1

    # -- writing ------------------------------------------------------------------------------

    async def intent(self, row: Mapping[str, Any], *, emergency: bool = False) -> int:
        """Put on disk what is about to go to the bus and return its number; only then may it go.

        `row` holds actor, device and anything else (no floats). With `emergency` (release and
        restore-last-good only) a failing audit is replaced by the journal, and the number is negative.
        Raises Unavailable, code audit_unavailable: nothing was written and nothing may be sent.
        """
        return await self._append(INTENT, None, row, emergency=emergency)

    async def result(self, seq: int, row: Mapping[str, Any]) -> int:
        """Put on disk what became of the intent with this number; returns the row's own number."""
        return await self._append(RESULT, seq, row, emergency=seq < 0)

    async def note(self, row: Mapping[str, Any]) -> int:
        """Put anything else on disk that a later reader will ask for: logins, modes, acknowledgements."""
        return await self._append(NOTE, None, row)

    async def _append(
        self, kind: str, about: int | None, row: Mapping[str, Any], *, emergency: bool = False
    ) -> int:
        fields = dict(row)
        actor, device = str(fields.pop("actor", "")), str(fields.pop("device", ""))
        body = canonical(fields)
        utc = _utc_text(self._clock.utc())
        if about is not None and about < 0:
            if self.failure is not None:
                return self._to_journal(kind, about, utc, actor, device, body)
            fields["journal_intent"], about = about, None
            body = canonical(fields)
        if self._database is None:
            raise _closed()
        if self.failure is not None and self._journal is not None and self._journal.count:
            await self.absorb_journal()

        def job(connection: Connection) -> tuple[int, bytes]:
            return _insert(connection, utc, kind, actor, device, about, body)

        try:
            seq, after = await self._database.write(job)
        except Unavailable as error:
            self.failure = error.message
            if emergency:
                return self._to_journal(kind, about, utc, actor, device, body)
            raise Unavailable(
                "audit_unavailable",
                f"the audit cannot be written ({error.message}) so nothing was sent. "
                "Release and restore-last-good still work. Free disk space, then repeat.",
            ) from error
        self.failure = None
        self._note_head(seq, after)
        return seq

    def _to_journal(self, kind: str, about: int | None, utc: str, actor: str, device: str, body: str) -> int:
        assert self._journal is not None
        text = canonical(
            {"kind": kind, "about": about, "utc": utc, "actor": actor, "device": device, "body": body}
        )
        return -self._journal.append(text)

    async def absorb_journal(self) -> int:
        """Take the journal's records into the chain, once each also after a crash; returns how many."""
        async with self._absorbing:
            journal, database = self._journal, self._database
            if journal is None or database is None:
                return 0
            records = journal.read()
            if not records:
                return 0
            taken = {
                str(row["body"])
                for row in database.read("SELECT body FROM audit WHERE kind='note' AND actor='journal'")
            }
            utc = _utc_text(self._clock.utc())
            bodies = [
                canonical({"what": "journal", "generation": journal.generation, "number": n, "record": text})
                for n, text in records
            ]
            fresh = [body for body in bodies if body not in taken]

            def job(connection: Connection) -> list[tuple[int, bytes]]:
                return [_insert(connection, utc, NOTE, "journal", "", None, body) for body in fresh]

            try:
                heads = await database.write(job)
            except Unavailable as error:
                self.failure = error.message
                return 0
            if heads:
                self._note_head(*heads[-1])
            journal.clear()
            self.failure = None
            return len(fresh)

    # -- witness ------------------------------------------------------------------------------

    async def checkpoint(self) -> None:
        """Sign the newest row and append the signature to the witness folder's checkpoints.jsonl."""
        if self._database is None or self._key is None:
            raise _closed()
        seq, head = self._newest_on_disk()
        line = signed_statement(self._key, seq, head, _utc_text(self._clock.utc()))
        await asyncio.to_thread(_append_line, self.witness / "checkpoints.jsonl", line)

    async def run(self) -> None:
        """Sign a checkpoint every hour of the clock and retry a failed audit every minute."""
        clock: Any = self._clock
        due = clock.monotonic() + CHECKPOINT_EVERY_S
        while True:
            await clock.sleep_until(min(due, clock.monotonic() + 60.0))
            if self.failure is not None:
                with contextlib.suppress(Unavailable):
                    await self.note({"actor": "supervisor", "what": "audit_restored"})
                    await self.absorb_journal()
            if clock.monotonic() >= due:
                due += CHECKPOINT_EVERY_S
                await self.checkpoint()

    def _newest_on_disk(self) -> tuple[int, bytes]:
        assert self._database is not None
        last = self._database.read("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return (int(last[0]["seq"]), bytes(last[0]["hash"])) if last else (0, GENESIS)

    def _note_head(self, seq: int, head: bytes) -> None:
        # signing takes about 50 us: rows of one commit share one signature
        self._head = max(self._head, (seq, head))
        if not self._head_due:
            self._head_due = True
            asyncio.get_running_loop().call_soon(self._write_head)

    def _write_head(self) -> None:
        # after the commit and never before: a head in front of the file therefore means truncation
        self._head_due = False
        if self._key is None or self._head_file < 0:
            return
        line = signed_statement(self._key, *self._head, "")
        try:
            os.pwrite(self._head_file, line.ljust(511).encode() + b"\n", 0)
            self.witness_failure = None
        except OSError as error:
            self.witness_failure = f"the witness folder cannot be written ({error.strerror})"

    def _write_public_key(self) -> None:
        assert self._key is not None
        target = self.witness / "audit_public_key.pem"
        text = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if not target.exists():
            _write_whole(target, text, 0o644)
        elif target.read_bytes() != text:
            raise Unavailable(
                "audit_key_changed",
                f"the audit key of {self._key_path.name} is not the one the witness folder knows; nothing "
                "was started. Restore the key from the backup, or start a new data folder.",
            )

    # -- reading ------------------------------------------------------------------------------

    def rows(self, after: int = 0, limit: int = 200, device: str | None = None) -> list[AuditRow]:
        """Return up to `limit` rows after a number, oldest first."""
        if self._database is None:
            raise _closed()
        where, parameters = ("AND device=?", (device,)) if device is not None else ("", ())
        found = self._database.read(
            f"SELECT * FROM audit WHERE seq>? {where} ORDER BY seq LIMIT ?", (after, *parameters, limit)
        )
        return [_row(item) for item in found]

    def newest_utc(self) -> datetime | None:
        """Return when the newest row on disk was written; None where there is none."""
        if self._database is None:
            raise _closed()
        last = self._database.read("SELECT utc FROM audit ORDER BY seq DESC LIMIT 1")
        return datetime.fromisoformat(last[0]["utc"]) if last else None

    def head(self) -> tuple[int, str]:
        """Return number and hash of the newest row acknowledged."""
        return self._head[0], self._head[1].hex()

    async def verify(self) -> Verdict:
        """Check the whole chain against itself and its witnesses, off the loop."""
        return await asyncio.to_thread(verify, self.path, self.witness)


def _newest(connection: Connection) -> tuple[int, bytes]:
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(row["seq"]), bytes(row["hash"])) if row else (0, GENESIS)


def _insert(
    connection: Connection, utc: str, kind: str, actor: str, device: str, about: int | None, body: str
) -> tuple[int, bytes]:
    # the head is asked of the file inside the transaction: a commit that failed leaves no wrong memory
    seq, before = _newest(connection)
    after = row_hash(before, seq + 1, utc, kind, actor, device, about, body)
    connection.execute(
        "INSERT INTO audit VALUES (?,?,?,?,?,?,?,?)",
        (seq + 1, utc, kind, actor, device, about, body, after),
    )
    return seq + 1, after


def _closed() -> Unavailable:
    return Unavailable("audit_closed", "the audit is closed; nothing was written and nothing was sent.")


def _utc_text(utc: datetime) -> str:
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def _row(item: Any) -> AuditRow:
    return AuditRow(
        int(item["seq"]), item["utc"], item["kind"], item["actor"], item["device"], item["about"],
        json.loads(item["body"]), bytes(item["hash"]).hex(),
    )  # fmt: skip


# -- keys and signatures ----------------------------------------------------------------------


def _load_or_make_key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        raw = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, raw, 0o600)
        return key
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise Unavailable(
            "audit_key_damaged",
            f"{path.name} holds no whole key; nothing was started. Restore the key from the backup, or "
            "start a new data folder.",
        ) from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise Unavailable("audit_key_kind", f"{path.name} is not an Ed25519 key; nothing was started.")
    return loaded


def _write_whole(path: Path, content: bytes, mode: int) -> None:
    """Make a file, whole or not at all: half a key would bar every later start."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)  # a power cut shall not take the name of what it signs for
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _statement(seq: int, head: bytes, utc: str) -> bytes:
    return f"{CHAIN} checkpoint\n{seq}\n{head.hex()}\n{utc}\n".encode()


def signed_statement(key: Ed25519PrivateKey, seq: int, head: bytes, utc: str) -> str:
    """Return one JSON line that says: row `seq` had this hash at this time."""
    signature = key.sign(_statement(seq, head, utc))
    return json.dumps({"seq": seq, "hash": head.hex(), "utc": utc, "signature": signature.hex()})


def _append_line(path: Path, line: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line.encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise Unavailable(
            "audit_witness_unavailable",
            f"the checkpoint could not be written to the witness folder ({error.strerror}); the audit "
            "itself is untouched. Check that disk.",
        ) from error


# -- the journal ------------------------------------------------------------------------------


class Journal:
    """A preallocated file of fixed records: writing one needs no free space, only a working disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        fresh = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if fresh or os.fstat(self._file).st_size < JOURNAL_RECORD_B * (JOURNAL_RECORDS + 1):
            os.posix_fallocate(self._file, 0, JOURNAL_RECORD_B * (JOURNAL_RECORDS + 1))
            self._write_header(1)
        magic, self.generation = _JOURNAL_HEADER.unpack(os.pread(self._file, _JOURNAL_HEADER.size, 0))
        if magic != _JOURNAL_MAGIC:
            self.generation = 1
            self._write_header(1)
        self.count = len(self.read())

    def append(self, text: str) -> int:
        """Put a record on disk and return its number, from 1; Unavailable when full or broken."""
        raw = text.encode()
        room = JOURNAL_RECORD_B - _RECORD.size - 32
        if len(raw) > room or self.count >= JOURNAL_RECORDS:
            raise Unavailable(
                "journal_full",
                "neither the audit nor the emergency journal can take another row; nothing was sent. "
                "Devices return to their own curve when their leases end. Free disk space.",
            )
        number = self.count + 1
        head = _RECORD.pack(self.generation, number, len(raw))
        record = head + hashlib.sha256(head + raw).digest() + raw
        try:
            os.pwrite(self._file, record.ljust(JOURNAL_RECORD_B, b"\0"), JOURNAL_RECORD_B * number)
            os.fdatasync(self._file)
        except OSError as error:
            raise Unavailable(
                "journal_unavailable",
                f"neither the audit nor the emergency journal can be written ({error.strerror}); "
                "nothing was sent.",
            ) from error
        self.count = number
        return number

    def read(self) -> list[tuple[int, str]]:
        """Return the whole records of this generation, in order; a torn last one is not one."""
        records: list[tuple[int, str]] = []
        for number in range(1, JOURNAL_RECORDS + 1):
            raw = os.pread(self._file, JOURNAL_RECORD_B, JOURNAL_RECORD_B * number)
            if len(raw) < JOURNAL_RECORD_B:
                break
            generation, stored, length = _RECORD.unpack_from(raw)
            start = _RECORD.size + 32
            text = raw[start : start + length]
            whole = hashlib.sha256(raw[: _RECORD.size] + text).digest() == raw[_RECORD.size : start]
            if (generation, stored) != (self.generation, number) or not whole:
                break
            records.append((number, text.decode()))
        return records

    def clear(self) -> None:
        """Begin a new generation; older records no longer count."""
        self.generation += 1
        self._write_header(self.generation)
        self.count = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write_header(self, generation: int) -> None:
        os.pwrite(self._file, _JOURNAL_HEADER.pack(_JOURNAL_MAGIC, generation), 0)
        os.fdatasync(self._file)


# -- verification and export ------------------------------------------------------------------


def verify(path: Path, witness: Path, public_key: Path | None = None) -> Verdict:
    """Check an audit file against itself, the signed checkpoints and the signed head; touch nothing.

    `public_key` is the copy kept off the machine; without it the witness folder's own is taken, which
    proves less. Every finding names its rows; `sound` is True only without findings.
    """
    findings: list[Finding] = []
    key = _public_key(public_key or witness / "audit_public_key.pem", findings)
    statements = _statements(witness, key, findings)
    by_seq: dict[int, list[bytes]] = {}
    for seq, head, _ in statements:
        by_seq.setdefault(seq, []).append(head)

    connection = open_connection(path, read_only=True)
    broken: list[tuple[int, bytes, Any]] = []  # row number, hash before it, row
    previous, expected, count = GENESIS, 1, 0
    disagreed: set[int] = set()
    try:
        for item in connection.execute("SELECT * FROM audit ORDER BY seq"):
            seq = int(item["seq"])
            gap = seq != expected
            if gap:
                findings.append(
                    Finding("missing", expected, seq - 1, f"rows {expected} to {seq - 1} are missing")
                )
            stored = bytes(item["hash"])
            # after a gap the hash before is gone with the row; the row cannot be judged by it
            if not gap and not _carries(stored, previous, seq, item):
                broken.append((seq, previous, item))
            for head in by_seq.get(seq, ()):
                if head != stored:
                    disagreed.add(seq)
            previous, expected, count = stored, seq + 1, count + 1
    except sqlite3.DatabaseError as error:
        findings.append(Finding("changed", expected, expected, f"the file cannot be read on: {error}"))
    finally:
        connection.close()
    findings.extend(_judge(broken))
    first = min(disagreed, default=0)
    before = max((seq for seq, _, _ in statements if seq < first), default=0)
    # a break of the chain before the disagreement already explains it, and says the place more exactly
    if disagreed and not any(finding.first <= first for finding in findings if finding.kind != "checkpoint"):
        findings.append(
            Finding(
                "rebuilt", before + 1, first,
                f"row {first} is not the one that was signed: rows {before + 1} to {first} were written anew",
            )
        )  # fmt: skip
    newest = max((seq for seq, _, _ in statements), default=0)
    if newest >= expected:
        findings.append(
            Finding(
                "truncated", expected, newest,
                f"rows {expected} to {newest} were signed for and are gone from the end",
            )
        )  # fmt: skip
    return Verdict(not findings, count, len(statements), previous.hex(), tuple(findings))


def _carries(stored: bytes, before: bytes, seq: int, item: Any) -> bool:
    try:
        return _hash_of(before, seq, item) == stored
    except (AttributeError, struct.error):  # a field is no longer of its type
        return False


def _hash_of(before: bytes, seq: int, item: Any) -> bytes:
    return row_hash(
        before, seq, item["utc"], item["kind"], item["actor"], item["device"], item["about"], item["body"]
    )


def _judge(broken: list[tuple[int, bytes, Any]]) -> list[Finding]:
    """Tell two exchanged rows from changed ones; a row broken only by its broken neighbour is not named."""
    findings: list[Finding] = []
    named: set[int] = set()
    near = broken[:64]  # an exchange shows up to four broken rows; more is not worth comparing
    for index, (seq, before, item) in enumerate(near):
        for other, other_before, other_item in near[index + 1 :]:
            stored = {bytes(item["hash"]), bytes(other_item["hash"])}
            if _hash_of(before, seq, other_item) in stored:
                text = f"rows {seq} and {other} were exchanged"
                findings.append(Finding("swapped", seq, other, text))
                named |= {seq, other, seq + 1, other + 1}
                break
            if other == seq + 1 and _hash_of(other_before, other, item) in stored:
                findings.append(Finding("swapped", seq, other, f"rows {seq} and {other} were exchanged"))
                named |= {seq, other, other + 1}
                break
    rest = [seq for seq, _, _ in broken if seq not in named]
    if rest:
        # the row after a changed hash breaks too: the first of each run is the place
        runs: list[list[int]] = []
        for seq in rest:
            if runs and seq == runs[-1][-1] + 1:
                runs[-1].append(seq)
            else:
                runs.append([seq])
        for run in runs[:100]:
            text = f"row {run[0]} does not carry the hash of its content" + (
                "" if len(run) == 1 else f", nor do the rows up to {run[-1]}"
            )
            findings.append(Finding("changed", run[0], run[-1], text))
    return findings


def _public_key(path: Path, findings: list[Finding]) -> Ed25519PublicKey | None:
    try:
        loaded = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        findings.append(Finding("checkpoint", 0, 0, f"no usable public key in {path.name}"))
        return None
    if not isinstance(loaded, Ed25519PublicKey):
        findings.append(Finding("checkpoint", 0, 0, f"{path.name} is not an Ed25519 key"))
        return None
    return loaded


def _statements(
    witness: Path, key: Ed25519PublicKey | None, findings: list[Finding]
) -> list[tuple[int, bytes, str]]:
    lines: list[str] = []
    for name in ("checkpoints.jsonl", "audit_head"):
        try:
            text = (witness / name).read_text().strip("\0\n ")
        except OSError:
            findings.append(Finding("checkpoint", 0, 0, f"{name} is missing from the witness folder"))
            continue
        lines.extend(line for line in text.splitlines() if line.strip())
    found: list[tuple[int, bytes, str]] = []
    for line in lines:
        try:
            content = json.loads(line)
            seq, head, utc = int(content["seq"]), bytes.fromhex(content["hash"]), str(content["utc"])
            if key is not None:
                key.verify(bytes.fromhex(content["signature"]), _statement(seq, head, utc))
        except (ValueError, KeyError, TypeError):
            findings.append(Finding("checkpoint", 0, 0, "a checkpoint cannot be read"))
            continue
        except InvalidSignature:
            findings.append(
                Finding("checkpoint", seq, seq, f"the checkpoint of row {seq} carries no valid signature")
            )
            continue
        found.append((seq, head, utc))
    return found


def export(path: Path, after: int = 0) -> Iterator[str]:
    """Yield every row after a number as one JSON line, hash included."""
    connection = open_connection(path, read_only=True)
    try:
        for item in connection.execute("SELECT * FROM audit WHERE seq>? ORDER BY seq", (after,)):
            yield json.dumps(asdict(_row(item)), ensure_ascii=False, sort_keys=True)
    finally:
        connection.close()
