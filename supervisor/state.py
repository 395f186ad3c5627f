"""The tables of state.sqlite: people, orders, alarms and the coordinator's modes.

It refuses to hold behaviour: one schema in one place, so that a backup of one file is a whole state.
Times are UTC text of the plant's clock, except sessions: people live in real time.
"""

from __future__ import annotations

from pathlib import Path

from .database import Database

SCHEMA = (
    # counters of the order frame: everything below `reserved` may have been used in this boot
    """CREATE TABLE IF NOT EXISTS counters (
        device_id TEXT PRIMARY KEY, boot_nonce BLOB NOT NULL, reserved INTEGER NOT NULL)""",
    # which controller answered at which place first; another one there is refused
    """CREATE TABLE IF NOT EXISTS bindings (
        device TEXT PRIMARY KEY, device_id TEXT NOT NULL, since TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS orders (
        id TEXT PRIMARY KEY, device TEXT NOT NULL, point TEXT NOT NULL, raw INTEGER NOT NULL,
        old TEXT NOT NULL, lease_s INTEGER NOT NULL, owner TEXT NOT NULL, user TEXT NOT NULL,
        reason TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
        executed TEXT NOT NULL, changed TEXT NOT NULL, lease_end TEXT NOT NULL, valid_until TEXT NOT NULL,
        proof TEXT NOT NULL, audit_seq INTEGER NOT NULL, device_id TEXT NOT NULL, boot_nonce BLOB NOT NULL,
        counter INTEGER NOT NULL, not_after_s INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS orders_device ON orders (device, executed)",
    "CREATE INDEX IF NOT EXISTS orders_state ON orders (state)",
    # points that people keep from the coordinator
    """CREATE TABLE IF NOT EXISTS holds (
        device TEXT NOT NULL, point TEXT NOT NULL, user TEXT NOT NULL, until TEXT NOT NULL,
        PRIMARY KEY (device, point))""",
    """CREATE TABLE IF NOT EXISTS users (
        name TEXT PRIMARY KEY, password TEXT NOT NULL, roles TEXT NOT NULL, disabled INTEGER NOT NULL,
        created TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS sessions (
        token_hash BLOB PRIMARY KEY, user TEXT NOT NULL, csrf TEXT NOT NULL, client TEXT NOT NULL,
        started REAL NOT NULL, seen REAL NOT NULL, ends REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS sessions_user ON sessions (user)",
    # who has logged in from where: such a client is never held up by failures elsewhere
    """CREATE TABLE IF NOT EXISTS known_clients (
        user TEXT NOT NULL, client TEXT NOT NULL, seen REAL NOT NULL, PRIMARY KEY (user, client))""",
    """CREATE TABLE IF NOT EXISTS alarms (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL,
        since TEXT NOT NULL, changed TEXT NOT NULL, facts TEXT NOT NULL, cause TEXT NOT NULL,
        shelved_until TEXT NOT NULL, shelved_by TEXT NOT NULL, shelve_reason TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS alarm_journal (
        number INTEGER PRIMARY KEY, utc TEXT NOT NULL, alarm TEXT NOT NULL, event TEXT NOT NULL,
        before TEXT NOT NULL, after TEXT NOT NULL, user TEXT NOT NULL, reason TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS modes (
        area TEXT PRIMARY KEY, mode TEXT NOT NULL, user TEXT NOT NULL, since TEXT NOT NULL)""",
)


def open_state(folder: Path) -> Database:
    """Open state.sqlite of a data folder; every acknowledged change is on disk (synchronous=FULL)."""
    return Database(folder / "state.sqlite", SCHEMA, synchronous="FULL")
