"""Keep the samples of a town in one SQLite file: a tail of the last hours, and one chunk an hour and device.

A sample is first one row of the tail (so that a killed process loses at most the second that was not
committed), and becomes part of its device's hourly chunk later, each device at its own minute. This
store refuses to hold anybody up: it runs in its own writer thread, and on a full disk it stops
recording, says so, counts what it leaves out and tries again, while reading from the field goes on.
"""

from __future__ import annotations

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..database import Connection, open_connection, sqlite3
from .chunk import HOUR_MS, TimeArray, WordArray, pack, unpack
from .layout import Layout

log = logging.getLogger(__name__)

COMMIT_S = 0.5  # at most this much is lost with the process
RETRY_S = 5.0  # while the disk is full
FREE_CHECK_S = 5.0
MIN_FREE_BYTES = 256 * 2**20  # own choice: leaves the audit and the state files room to go on
BATCH_LIMIT = 5_000  # samples in one transaction
QUEUE_LIMIT = 200_000  # samples waiting for a slow disk
CLOSE_SPREAD_MS = 3_000_000  # chunks of one hour close over the next 50 minutes, not all at once
SWEEP_MS = 60_000
HOUR_BITS = 24
PART_BITS = 4

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS layout (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS device (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS tail (seq INTEGER PRIMARY KEY, device INTEGER NOT NULL, "
    "utc_ms INTEGER NOT NULL, layout INTEGER NOT NULL, words BLOB NOT NULL)",
    # key = device << 28 | hour since 1970 << 4 | part: a rowid, because WITHOUT ROWID costs 3.4 times the
    # space here; a second part exists only where the layout changed within the hour
    "CREATE TABLE IF NOT EXISTS chunk (key INTEGER PRIMARY KEY, layout INTEGER NOT NULL, "
    "samples INTEGER NOT NULL, data BLOB NOT NULL)",
)


@dataclass(frozen=True)
class HistoryState:
    """How recording goes: state is ok, low_disk, disk_full or failed; since_s is monotonic, real time."""

    state: str = "ok"
    message: str = ""
    since_s: float = 0.0
    recorded: int = 0
    dropped: int = 0
    chunks: int = 0

    @property
    def recording(self) -> bool:
        """Say whether samples are being kept now."""
        return self.state == "ok"


@dataclass(frozen=True)
class _Sample:
    device: int
    utc_ms: int
    layout: int
    words: bytes


class _Open:
    """The samples of one device, hour and layout that are not yet a chunk."""

    __slots__ = ("times", "words")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.words = bytearray()

    def arrays(self) -> tuple[TimeArray, WordArray]:
        times = np.array(self.times, dtype=np.int64)
        words = np.frombuffer(bytes(self.words), dtype=np.uint16).reshape(len(times), -1)
        return times, words


class HistoryStore:
    """The history file and its writer thread."""

    def __init__(
        self,
        path: Path,
        devices: Iterable[str],
        phase: Callable[[str], float],
        *,
        quota_bytes: int | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._min_free_bytes = min_free_bytes
        self._connection = open_connection(path, synchronous="NORMAL")
        for statement in SCHEMA:
            self._connection.execute(statement)
        if quota_bytes is not None:
            page = self._connection.execute("PRAGMA page_size").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count={max(1, quota_bytes // page)}")
        self._device_ids = self._register_devices(devices)
        self._phase = {number: phase(name) for name, number in self._device_ids.items()}
        self._layouts: dict[int, Layout] = {
            row["id"]: Layout.from_json(row["content"])
            for row in self._connection.execute("SELECT id, content FROM layout")
        }
        self._lock = threading.Lock()  # guards the open hours, the readers' only view of the newest samples
        self._open: dict[tuple[int, int, int], _Open] = {}  # by device, hour, layout
        self._newest_ms = 0
        self._swept_ms = 0
        self._next_seq = 1
        self._load_tail()
        self._queue: queue.SimpleQueue[_Sample | threading.Event | None] = queue.SimpleQueue()
        self._state = HistoryState(since_s=time.monotonic())
        self._free_checked_s = -FREE_CHECK_S
        self._retry_at = 0.0
        self._reader_lock = threading.Lock()
        self._reader = open_connection(path, read_only=True)
        self._thread = threading.Thread(target=self._run, name="historian", daemon=True)
        self._thread.start()

    # -- any thread --------------------------------------------------------------------------------
    @property
    def state(self) -> HistoryState:
        """Return how recording goes; the screens and alarms show it."""
        return self._state

    def layout_id(self, layout: Layout) -> int:
        """Return the number of a layout, adding it to the file the first time. Before recording only."""
        for number, known in self._layouts.items():
            if known.to_json() == layout.to_json():
                return number
        cursor = self._connection.execute("INSERT INTO layout (content) VALUES (?)", (layout.to_json(),))
        number = int(cursor.lastrowid)
        self._layouts[number] = Layout.from_json(layout.to_json())
        return number

    def add(self, device_id: str, utc_ms: int, layout: int, words: WordArray) -> bool:
        """Queue one sample; False when it was dropped because the writer is far behind."""
        if self._queue.qsize() >= QUEUE_LIMIT:
            self._state = replace(self._state, dropped=self._state.dropped + 1)
            return False
        self._queue.put(_Sample(self._device_ids[device_id], utc_ms, layout, words.tobytes()))
        return True

    def flush(self) -> None:
        """Wait until everything queued so far was written or dropped."""
        done = threading.Event()
        self._queue.put(done)
        done.wait()

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._queue.put(None)
        self._thread.join()
        with self._reader_lock:
            self._reader.close()
        self._connection.close()

    def samples(self, device_id: str, point: str, start_ms: int, end_ms: int) -> tuple[TimeArray, Any]:
        """Return (utc_ms, values) of one point with start <= utc < end, in time order; NaN = no reading.

        Blocks: call it from a worker thread. Raises NotFound for a point that is not kept.
        """
        number = self._device_ids[device_id]
        first, last = start_ms // HOUR_MS, max(start_ms, end_ms - 1) // HOUR_MS
        # the open hours first: a chunk closed in between is then seen twice, never missed
        with self._lock:
            newest = [
                (layout, *self._open[device, hour, layout].arrays())
                for device, hour, layout in sorted(self._open)
                if device == number and first <= hour <= last
            ]
        with self._reader_lock:
            rows = self._reader.execute(
                "SELECT key, layout, samples, data FROM chunk WHERE key BETWEEN ? AND ?",
                (_key(number, first, 0), _key(number, last, (1 << PART_BITS) - 1)),
            ).fetchall()
        parts: list[tuple[TimeArray, Any]] = []
        for row in rows:
            layout = self._layouts[row["layout"]]
            hour = (row["key"] >> PART_BITS) & ((1 << HOUR_BITS) - 1)
            offset_ms, words = unpack(row["data"], row["samples"], layout.word_count)
            if point in layout.points:  # an older layout may lack it
                parts.append((hour * HOUR_MS + offset_ms, layout.values(words, point)))
        for layout_number, times, words in newest:
            layout = self._layouts[layout_number]
            if point in layout.points:
                parts.append((times, layout.values(words, point)))
        if not parts:
            return np.empty(0, dtype=np.int64), np.empty(0)
        utc_ms = np.concatenate([times for times, _ in parts])
        values = np.concatenate([column for _, column in parts])
        utc_ms, unique = np.unique(utc_ms, return_index=True)
        values = values[unique]
        inside = (utc_ms >= start_ms) & (utc_ms < end_ms)
        return utc_ms[inside], values[inside]

    # -- start -------------------------------------------------------------------------------------
    def _register_devices(self, devices: Iterable[str]) -> dict[str, int]:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT OR IGNORE INTO device (name) VALUES (?)", [(name,) for name in devices]
        )
        self._connection.execute("COMMIT")
        return {row["name"]: row["id"] for row in self._connection.execute("SELECT id, name FROM device")}

    def _load_tail(self) -> None:
        rows = self._connection.execute("SELECT seq, device, utc_ms, layout, words FROM tail ORDER BY seq")
        chunked: dict[tuple[int, int, int], bool] = {}
        for row in rows:
            self._next_seq = row["seq"] + 1
            hour = row["utc_ms"] // HOUR_MS
            key = (row["device"], hour, row["layout"])
            if key not in chunked:
                chunked[key] = any(layout == row["layout"] for _, layout in self._parts(key[0], hour))
            if not chunked[key]:
                self._append(_Sample(row["device"], row["utc_ms"], row["layout"], row["words"]))

    def _parts(self, device: int, hour: int) -> list[tuple[int, int]]:
        rows = self._connection.execute(
            "SELECT key, layout FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key",
            (_key(device, hour, 0), _key(device, hour, (1 << PART_BITS) - 1)),
        )
        return [(row["key"], row["layout"]) for row in rows]

    # -- the writer thread -------------------------------------------------------------------------
    def _run(self) -> None:
        last = False
        while not last:
            batch, waiting, last = self._collect()
            if batch:
                self._write(batch)
            for done in waiting:
                done.set()

    def _collect(self) -> tuple[list[_Sample], list[threading.Event], bool]:
        batch: list[_Sample] = []
        item = self._queue.get()
        deadline = time.monotonic() + COMMIT_S
        while True:
            if item is None:
                return batch, [], True
            if isinstance(item, threading.Event):
                return batch, [item], False
            batch.append(item)
            if len(batch) >= BATCH_LIMIT:
                return batch, [], False
            try:
                item = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, [], False

    def _write(self, batch: list[_Sample]) -> None:
        now = time.monotonic()
        if now < self._retry_at or not self._enough_space(now):
            self._state = replace(self._state, dropped=self._state.dropped + len(batch))
            return
        closing = self._due_chunks()
        seq = self._next_seq
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT INTO tail (seq, device, utc_ms, layout, words) VALUES (?, ?, ?, ?, ?)",
                [(seq + n, s.device, s.utc_ms, s.layout, s.words) for n, s in enumerate(batch)],
            )
            for key in closing:
                self._store_chunk(self._connection, *key)
            self._trim_tail(closing)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._stopped(error, len(batch), now)
            return
        with self._lock:
            for key in closing:
                del self._open[key]
            for sample in batch:
                self._append(sample)
        self._next_seq = seq + len(batch)
        if not self._state.recording:
            log.warning("history records again; %d samples were left out", self._state.dropped)
            self._state = replace(self._state, state="ok", message="", since_s=now)
        self._state = replace(
            self._state,
            recorded=self._state.recorded + len(batch),
            chunks=self._state.chunks + len(closing),
        )

    def _append(self, sample: _Sample) -> None:
        hour = sample.utc_ms // HOUR_MS
        hours = self._open.setdefault((sample.device, hour, sample.layout), _Open())
        hours.times.append(sample.utc_ms)
        hours.words += sample.words
        self._newest_ms = max(self._newest_ms, sample.utc_ms)

    def _due_chunks(self) -> list[tuple[int, int, int]]:
        if self._newest_ms - self._swept_ms < SWEEP_MS:
            return []
        self._swept_ms = self._newest_ms
        return [
            (device, hour, layout)
            for device, hour, layout in self._open
            if (hour + 1) * HOUR_MS + self._phase.get(device, 0.5) * CLOSE_SPREAD_MS <= self._newest_ms
        ]

    def _store_chunk(self, connection: Connection, device: int, hour: int, layout: int) -> None:
        times, words = self._open[device, hour, layout].arrays()
        parts = self._parts(device, hour)
        same = [key for key, known in parts if known == layout]
        key = same[0] if same else _key(device, hour, len(parts))
        if same:  # the clock was set back into an hour that was packed already
            before = connection.execute("SELECT samples, data FROM chunk WHERE key = ?", (key,)).fetchone()
            offset_ms, older = unpack(before["data"], before["samples"], words.shape[1])
            times = np.concatenate((hour * HOUR_MS + offset_ms, times))
            words = np.concatenate((older, words))
        times, order = np.unique(times, return_index=True)
        connection.execute(
            "INSERT OR REPLACE INTO chunk (key, layout, samples, data) VALUES (?, ?, ?, ?)",
            (key, layout, len(times), pack(times - hour * HOUR_MS, words[order])),
        )

    def _trim_tail(self, closing: list[tuple[int, int, int]]) -> None:
        """Delete the tail rows of hours that are chunks for every device."""
        if not closing:
            return
        closed = set(closing)
        still_open = [key[1] for key in self._open if key not in closed]
        oldest = min(still_open, default=self._newest_ms // HOUR_MS)
        self._connection.execute("DELETE FROM tail WHERE utc_ms < ?", (oldest * HOUR_MS,))

    def _enough_space(self, now: float) -> bool:
        if now - self._free_checked_s < FREE_CHECK_S and self._state.state != "low_disk":
            return True
        self._free_checked_s = now
        free = shutil.disk_usage(self.path.parent).free
        if free >= self._min_free_bytes:
            return True
        self._retry_at = now + RETRY_S
        if self._state.state != "low_disk":
            message = (
                f"history stopped: {free / 2**20:.0f} MiB are free beside {self.path.name}, "
                f"{self._min_free_bytes / 2**20:.0f} MiB are kept for audit and state. "
                f"Polling and orders go on. Free some space; recording resumes by itself."
            )
            log.error(message)
            self._state = replace(self._state, state="low_disk", message=message, since_s=now)
        return False

    def _stopped(self, error: Exception, samples: int, now: float) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._retry_at = now + RETRY_S
        full = "full" in str(error)  # SQLITE_FULL, "database or disk is full"
        message = (
            f"history stopped: {self.path.name} could not be written ({error}). Polling and orders go on, "
            f"nothing already recorded was lost. Free some space; recording resumes by itself."
        )
        if self._state.recording:
            log.error(message)
            self._state = replace(
                self._state, state="disk_full" if full else "failed", message=message, since_s=now
            )
        self._state = replace(self._state, dropped=self._state.dropped + samples)


def _key(device: int, hour: int, part: int) -> int:
    return (device << HOUR_BITS | hour) << PART_BITS | part
