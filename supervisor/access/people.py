"""People, their passwords and their roles in each area.

It refuses default and short passwords, to say whether a name exists, to take away the last operator of
an area, and to store anything a password could be computed from faster than argon2id allows.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ..audit import Audit
from ..database import Connection, Database
from ..errors import Conflict, NotAllowed, NotFound, NotLoggedIn, Refused
from .backoff import Backoff
from .sessions import Session, Sessions, check_csrf

VIEWER = "viewer"
OPERATOR = "operator"
ROLES = (VIEWER, OPERATOR)  # each may do what the one before may
EVERYWHERE = "*"  # a role in every area, the plant and the site as a whole

ACTIONS: Mapping[str, str] = {
    "view": VIEWER,
    "order": OPERATOR,
    "approve": OPERATOR,
    "release": OPERATOR,
    "acknowledge": OPERATOR,
    "shelve": OPERATOR,
    "coordinator_mode": OPERATOR,
    "audit": OPERATOR,
    "device_log": OPERATOR,
}

PASSWORD_MIN = 12  # own choice, with no rule about characters: length is what costs a guesser
PASSWORD_MAX = 256
NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")


@dataclass(frozen=True)
class User:
    """A person: roles by area id, EVERYWHERE for all."""

    name: str
    roles: Mapping[str, str]
    disabled: bool = False

    def can(self, action: str, area: str) -> bool:
        """Say whether the person's role in the area allows the action."""
        needed = ROLES.index(ACTIONS[action])
        roles = (self.roles.get(area), self.roles.get(EVERYWHERE))
        return not self.disabled and any(role is not None and ROLES.index(role) >= needed for role in roles)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"name": self.name, "roles": dict(self.roles), "disabled": self.disabled}


def hash_of_nothing(hasher: PasswordHasher) -> str:
    """A hash that no password is known to have, so that a wrong name takes as long as a wrong password."""

    def drawn(length: int) -> str:
        return base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()

    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${drawn(hasher.salt_len)}${drawn(hasher.hash_len)}"


class Access:
    """The people of state.sqlite. `areas` are ids or rows with an id; `now` gives real seconds since 1970."""

    def __init__(
        self,
        state: Database,
        audit: Audit,
        areas: Iterable[Any],
        *,
        now: Callable[[], float] = time.time,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._state = state
        self._audit = audit
        self._areas = tuple(getattr(area, "id", area) for area in areas)
        self._now = now
        self._hasher = hasher or PasswordHasher()  # argon2id, 64 MiB, 3 passes: RFC 9106's second choice
        self._nobody = hash_of_nothing(self._hasher)
        self._backoff = Backoff(now)
        self.sessions = Sessions(state, now)

    # -- logging in ---------------------------------------------------------------------------

    async def login(self, name: str, password: str, client: str) -> Session:
        """Open a session; `client` names the workplace (its address).

        Raises NotLoggedIn (code wrong_login: name or password, it is not said which) or TooMany.
        """
        known = bool(
            self._state.read("SELECT 1 FROM known_clients WHERE user=? AND client=?", (name, client))
        )
        self._backoff.check(name, client, known=known)
        row = self._row(name)
        kept = row["password"] if row is not None and not row["disabled"] else self._nobody
        right = await asyncio.to_thread(self._verify, kept, password)
        if row is None or row["disabled"] or not right:
            self._backoff.failed(name, client, known=known)
            await self._audit.note(
                {"actor": name[:64], "device": "", "what": "login_refused", "client": client}
            )
            raise NotLoggedIn("wrong_login", "Name or password is wrong; nobody was logged in.")
        self._backoff.succeeded(name, client)
        now = self._now()

        def job(connection: Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO known_clients VALUES (?,?,?)", (name, client, now))

        await self._state.write(job)
        if self._hasher.check_needs_rehash(kept):
            await self._store_password(name, await asyncio.to_thread(self._hasher.hash, password))
        return await self.open_session(name, client)

    async def open_session(self, name: str, client: str) -> Session:
        """Open a session without a password; for a login that was proven another way. Raises NotFound."""
        self.user(name)
        session = await self.sessions.start(name, client)
        await self._audit.note({"actor": name, "device": "", "what": "login", "client": client})
        return session

    def session(self, token: str) -> Session:
        """Return the open session of a token. Raises NotLoggedIn."""
        session = self.sessions.find(token)
        row = self._row(session.user)
        if row is None or row["disabled"]:
            raise NotLoggedIn("session_revoked", "This account is disabled; nothing was done.")
        return session

    def check_csrf(self, session: Session, header: str) -> None:
        """Raise NotAllowed unless the request repeats the session's own token."""
        check_csrf(session, header)

    async def logout(self, token: str) -> None:
        """End a session."""
        await self.sessions.end(token)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return bool(self._hasher.verify(kept, password[:PASSWORD_MAX]))
        except (VerificationError, InvalidHashError):
            return False

    # -- rights -------------------------------------------------------------------------------

    def check(self, user: str | User, action: str, area: str) -> User:
        """Return the person as known now; NotAllowed where the role in the area does not suffice."""
        name = user if isinstance(user, str) else user.name
        person = self.user(name)
        if not person.can(action, area):
            raise NotAllowed(
                "not_allowed",
                f"{name} may not {action} in area {area}; nothing was done. "
                f"That takes the role {ACTIONS[action]} there.",
                area=area,
                action=action,
            )
        return person

    # -- people -------------------------------------------------------------------------------

    def user(self, name: str) -> User:
        """Return a person. Raises NotFound."""
        row = self._row(name)
        if row is None:
            raise NotFound("unknown_user", f"There is no account {name!r}; nothing was done.")
        return User(name, json.loads(row["roles"]), bool(row["disabled"]))

    def users(self) -> list[User]:
        """Return everybody, by name."""
        rows = self._state.read("SELECT name, roles, disabled FROM users ORDER BY name")
        return [User(row["name"], json.loads(row["roles"]), bool(row["disabled"])) for row in rows]

    async def add_user(self, name: str, password: str, roles: Mapping[str, str], *, by: str) -> User:
        """Add a person. Raises Refused (name, password, roles) or Conflict (name taken)."""
        if not NAME.fullmatch(name):
            raise Refused(
                "bad_name",
                f"{name!r} cannot be a name; nobody was added. Use 2 to 32 of a-z, 0-9, dot, dash.",
            )
        self._check_roles(roles)
        self._check_password(name, password)
        if self._row(name) is not None:
            raise Conflict("name_taken", f"{name} exists already; nobody was added.")
        kept = await asyncio.to_thread(self._hasher.hash, password)
        # the audit comes first: an account nobody recorded is worse than a record without its account
        await self._audit.note(
            {"actor": by, "device": "", "what": "user_added", "user": name, "roles": dict(roles)}
        )
        created = datetime.fromtimestamp(self._now(), UTC).isoformat()

        def job(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO users VALUES (?,?,?,0,?)", (name, kept, json.dumps(dict(roles)), created)
            )

        await self._state.write(job)
        return self.user(name)

    async def set_password(self, name: str, password: str, *, by: str) -> None:
        """Change a password and end all of the person's sessions."""
        self.user(name)
        self._check_password(name, password)
        kept = await asyncio.to_thread(self._hasher.hash, password)
        await self._audit.note({"actor": by, "device": "", "what": "password_changed", "user": name})
        await self._store_password(name, kept, end_sessions=True)

    async def set_roles(self, name: str, roles: Mapping[str, str], *, by: str) -> User:
        """Change a person's roles. Raises Conflict where an area would be left without an operator."""
        self._check_roles(roles)
        self._check_last_operator(name, User(name, roles))
        await self._audit.note(
            {"actor": by, "device": "", "what": "roles_changed", "user": name, "roles": dict(roles)}
        )

        def job(connection: Connection) -> None:
            connection.execute("UPDATE users SET roles=? WHERE name=?", (json.dumps(dict(roles)), name))

        await self._state.write(job)
        return self.user(name)

    async def set_disabled(self, name: str, disabled: bool, *, by: str) -> User:
        """Disable an account and end its sessions, or enable it again.

        Raises Conflict where an area would be left without an operator.
        """
        person = self.user(name)
        if disabled:
            self._check_last_operator(name, User(name, person.roles, disabled=True))
        what = "user_disabled" if disabled else "user_enabled"
        await self._audit.note({"actor": by, "device": "", "what": what, "user": name})

        def job(connection: Connection) -> None:
            connection.execute("UPDATE users SET disabled=? WHERE name=?", (int(disabled), name))
            if disabled:
                connection.execute("DELETE FROM sessions WHERE user=?", (name,))

        await self._state.write(job)
        return self.user(name)

    async def _store_password(self, name: str, kept: str, *, end_sessions: bool = False) -> None:
        def job(connection: Connection) -> None:
            connection.execute("UPDATE users SET password=? WHERE name=?", (kept, name))
            if end_sessions:
                connection.execute("DELETE FROM sessions WHERE user=?", (name,))

        await self._state.write(job)

    def _row(self, name: str) -> Any:
        rows = self._state.read("SELECT * FROM users WHERE name=?", (name,))
        return rows[0] if rows else None

    def _check_roles(self, roles: Mapping[str, str]) -> None:
        for area, role in roles.items():
            if area != EVERYWHERE and area not in self._areas:
                raise Refused(
                    "unknown_area",
                    f"There is no area {area!r}; nothing was changed. Areas: {', '.join(self._areas)} "
                    f"or {EVERYWHERE}.",
                )
            if role not in ROLES:
                raise Refused(
                    "unknown_role",
                    f"There is no role {role!r}; nothing was changed. Roles: {', '.join(ROLES)}.",
                )
        if not roles:
            raise Refused("no_roles", "A person needs a role in at least one area; nothing was changed.")

    def _check_password(self, name: str, password: str) -> None:
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise Refused(
                "password_length",
                f"A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters; nothing was changed. "
                "Four or five words make a good one.",
            )
        if name in password.lower() or "toplovod" in password.lower() or len(set(password)) < 5:
            raise Refused(
                "password_guessable",
                "A password may not hold the name or the product, nor repeat few characters; "
                "nothing was changed.",
            )

    def _check_last_operator(self, name: str, after: User) -> None:
        now = {user.name: user for user in self.users()}
        if name not in now:
            raise NotFound("unknown_user", f"There is no account {name!r}; nothing was changed.")
        for area in self._areas:
            had = any(user.can("order", area) for user in now.values())
            has = any(user.can("order", area) for user in (now | {name: after}).values())
            if had and not has:
                raise Conflict(
                    "last_operator",
                    f"{name} is the last operator of area {area}; nothing was changed. "
                    "Give somebody else that role first.",
                )
