"""A login and its end: random tokens, kept only as hashes, with idle and absolute expiry.

It refuses to store a token that could be used again by whoever reads the database, and to let a
session outlive a disabled account or a changed password.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..database import Connection, Database
from ..errors import NotAllowed, NotLoggedIn

IDLE_S = 12 * 3600.0  # one shift: a wall display must not log off in the middle of one (own estimate)
ABSOLUTE_S = 14 * 3600.0  # a shift and its hand-over (own estimate)
SESSIONS_PER_USER = 8  # IEC 62443-3-3 SR 2.7: the oldest ends when there are more
SEEN_EVERY_S = 60.0  # how exactly idleness is kept on disk


@dataclass(frozen=True)
class Session:
    """An open session. `token` is given out once, at login; afterwards it is empty. Times are real UTC."""

    user: str
    client: str
    csrf: str
    started_utc: datetime
    ends_utc: datetime
    token: str = ""


class Sessions:
    """The sessions of state.sqlite. `now` gives real seconds since 1970: people live in real time."""

    def __init__(self, state: Database, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now

    async def start(self, user: str, client: str) -> Session:
        """Open a session; beyond SESSIONS_PER_USER the person's oldest ends."""
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        now = self._now()
        ends = now + ABSOLUTE_S

        def job(connection: Connection) -> None:
            connection.execute("DELETE FROM sessions WHERE ends<? OR seen<?", (now, now - IDLE_S))
            connection.execute(
                "INSERT INTO sessions VALUES (?,?,?,?,?,?,?)",
                (_digest(token), user, csrf, client, now, now, ends),
            )
            connection.execute(
                "DELETE FROM sessions WHERE user=? AND token_hash NOT IN (SELECT token_hash FROM sessions"
                " WHERE user=? ORDER BY started DESC, rowid DESC LIMIT ?)",
                (user, user, SESSIONS_PER_USER),
            )

        await self._state.write(job)
        return Session(user, client, csrf, _utc(now), _utc(ends), token)

    def find(self, token: str) -> Session:
        """Return the session of a token. Raises NotLoggedIn: unknown, ended, idle too long."""
        digest, now = _digest(token), self._now()
        rows = self._state.read("SELECT * FROM sessions WHERE token_hash=?", (digest,)) if token else []
        if not rows:
            raise NotLoggedIn("not_logged_in", "Nobody is logged in here; nothing was done. Log in.")
        row = rows[0]
        if now > row["ends"] or now > row["seen"] + IDLE_S:
            raise NotLoggedIn("session_expired", "This session has ended; nothing was done. Log in again.")
        if now > row["seen"] + SEEN_EVERY_S:

            def job(connection: Connection) -> None:
                connection.execute("UPDATE sessions SET seen=? WHERE token_hash=?", (now, digest))

            self._state.submit(job)  # nothing depends on it being on disk
        return Session(row["user"], row["client"], row["csrf"], _utc(row["started"]), _utc(row["ends"]))

    async def end(self, token: str) -> None:
        """End one session; an unknown token is no error."""
        digest = _digest(token)

        def job(connection: Connection) -> None:
            connection.execute("DELETE FROM sessions WHERE token_hash=?", (digest,))

        await self._state.write(job)

    def of(self, user: str) -> list[Session]:
        """Return a person's open sessions, newest first."""
        now = self._now()
        rows = self._state.read(
            "SELECT * FROM sessions WHERE user=? AND ends>? AND seen>? ORDER BY started DESC",
            (user, now, now - IDLE_S),
        )
        return [Session(r["user"], r["client"], r["csrf"], _utc(r["started"]), _utc(r["ends"])) for r in rows]


def check_csrf(session: Session, header: str) -> None:
    """Raise NotAllowed unless the header repeats the session's own token."""
    if not hmac.compare_digest(session.csrf.encode(), header.encode("utf-8", "replace")):
        raise NotAllowed(
            "csrf",
            "This request does not come from our own page (X-Toplovod-CSRF is wrong); nothing was done. "
            "Reload the page.",
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
