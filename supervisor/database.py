"""One SQLite file with one writer thread: jobs queued together are committed together.

It refuses a SQLite older than the oldest one it was tested with, to acknowledge a job before its
commit reached the disk (synchronous=FULL), and to let one bad job spoil the others of its commit.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from .errors import Unavailable

try:
    from pysqlite3 import dbapi2 as sqlite3
except ImportError:  # outside Linux there is no wheel; the version check below still decides
    import sqlite3

__all__ = ["Connection", "Database", "Job", "cannot_open", "open_connection", "sqlite3"]

OLDEST_SQLITE = (3, 50, 0)  # the pysqlite3 wheel carries 3.53; Debian 12 has 3.40.1
JOBS_PER_COMMIT = 250  # the group size at which reference/supervisor.md §3.4 measured 11 550 writes/s

T = TypeVar("T")
Connection = Any  # pysqlite3 carries no types
Job = Callable[[Connection], T]


def open_connection(path: Path, *, synchronous: str = "FULL", read_only: bool = False) -> Connection:
    """Open the file in WAL mode; autocommit, so that transactions are opened by name only.

    A new file is for its owner alone: it may hold hashes of passwords and who did what. Raises Unavailable.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Unavailable(
            "sqlite_too_old",
            f"SQLite {sqlite3.sqlite_version} is loaded, {'.'.join(map(str, OLDEST_SQLITE))} or newer is "
            "needed; nothing was opened. Install the wheel pysqlite3 into this environment.",
        )
    target = f"file:{path}?mode=ro" if read_only else str(path)
    try:
        if not read_only:
            # SQLite gives its -wal and -shm the same rights
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            target, isolation_level=None, check_same_thread=False, uri=read_only, timeout=5.0
        )
        connection.row_factory = sqlite3.Row
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA foreign_keys=ON")
    except (sqlite3.Error, OSError) as error:
        raise cannot_open(path, error) from error
    return connection


def cannot_open(path: Path, error: Exception) -> Unavailable:
    """Return the refusal of a file that is not to be opened."""
    reason = getattr(error, "strerror", None) or str(error)
    return Unavailable(
        "database_unavailable",
        f"{path} cannot be opened ({reason}); nothing was started. See to its rights and the space there. "
        "If the file is damaged, keep it elsewhere and put a copy in its place.",
    )


class Database:
    """A SQLite file: `write` queues a job for the writer thread, `read` asks a second connection."""

    def __init__(self, path: Path, schema: Iterable[str] = (), *, synchronous: str = "FULL") -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer_connection = open_connection(path, synchronous=synchronous)
        try:
            for statement in schema:
                self._writer_connection.execute(statement)
        except sqlite3.Error as error:
            raise cannot_open(path, error) from error
        self._reader = open_connection(path, read_only=True)
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._closed = False
        self._thread.start()

    def submit(self, job: Job[T]) -> Future[T]:
        """Queue a job; its future resolves after the commit that holds it, in the order of submission."""
        if self._closed:
            raise Unavailable("database_closed", f"{self.path.name} is closed; nothing was written.")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # a caller that goes away takes back nothing
        self._jobs.put((job, future))
        return future

    async def write(self, job: Job[T]) -> T:
        """Run the job in the writer thread and return its result once it is on disk.

        Raises Unavailable (code database_unavailable) when the commit failed: then nothing of it is kept.
        """
        return await asyncio.wrap_future(self.submit(job))

    def write_now(self, job: Job[T]) -> T:
        """Like write, for callers without an event loop."""
        return self.submit(job).result()

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a small query; it sees everything already acknowledged."""
        return list(self._reader.execute(sql, parameters).fetchall())

    def close(self) -> None:
        """Finish what was queued and close the file."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._thread.join()
        self._reader.close()
        self._writer_connection.close()

    def _run(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                return
            batch = [item]
            last = False
            while len(batch) < JOBS_PER_COMMIT:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.append(more)
            self._commit(batch)
            if last:
                return

    def _commit(self, batch: list[tuple[Job[Any], Future[Any]]]) -> None:
        connection = self._writer_connection
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job, future in batch:
                connection.execute("SAVEPOINT job")
                try:
                    outcomes.append((future, job(connection), None))
                except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                    if not connection.in_transaction:  # disk full and I/O errors end the transaction
                        raise
                    if not isinstance(error, sqlite3.IntegrityError):
                        raise
                    connection.execute("ROLLBACK TO job")
                    outcomes.append((future, None, error))
                except Exception as error:
                    connection.execute("ROLLBACK TO job")
                    outcomes.append((future, None, error))
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            refusal = Unavailable(
                "database_unavailable",
                f"{self.path.name} could not be written ({error}); nothing of this was kept. "
                f"Free space on the disk of {self.path.parent.name}/, then repeat.",
            )
            for _, future in batch:
                future.set_exception(refusal)
            return
        for future, result, failure in outcomes:
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)
