"""People, passwords, sessions and back-off on a real state file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from supervisor.access import EVERYWHERE, Access, User
from supervisor.access.backoff import LONGEST_WAIT_S
from supervisor.access.people import hash_of_nothing
from supervisor.access.sessions import ABSOLUTE_S, IDLE_S, SESSIONS_PER_USER
from supervisor.audit import Audit
from supervisor.database import Database
from supervisor.errors import Conflict, NotAllowed, NotFound, NotLoggedIn, Refused, TooMany
from supervisor.state import open_state

PASSWORD = "copper kettle window six"
DESK = "10.0.0.5"


class _Now:
    """Real time for people, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_768_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


class _Office:
    def __init__(self, folder: Path) -> None:
        self.now = _Now()
        self.folder = folder
        self.audit = Audit(folder, folder / "witness", self.now)
        self.state: Database = open_state(folder)
        # the cheapest parameters argon2 has: what is tested here is what happens around the hash
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.access = Access(self.state, self.audit, ("north", "south"), now=self.now, hasher=hasher)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[_Office]:
    made = _Office(tmp_path)
    await made.audit.open()
    await made.access.add_user("ana", PASSWORD, {"north": "operator", "south": "viewer"}, by="setup")
    yield made
    await made.audit.close()
    made.state.close()


async def test_there_is_nobody_until_somebody_is_added(tmp_path: Path) -> None:
    empty = _Office(tmp_path)
    await empty.audit.open()
    assert empty.access.users() == []
    for name in ("admin", "root", "operator", "toplovod"):
        with pytest.raises(NotLoggedIn):
            await empty.access.login(name, name, DESK)
    await empty.audit.close()
    empty.state.close()


async def test_a_login_opens_a_session_and_a_logout_ends_it(office: _Office) -> None:
    session = await office.access.login("ana", PASSWORD, DESK)
    again = office.access.session(session.token)
    assert again.user == "ana"
    assert again.token == ""  # given out once
    await office.access.logout(session.token)
    with pytest.raises(NotLoggedIn) as refusal:
        office.access.session(session.token)
    assert refusal.value.code == "not_logged_in"


async def test_neither_password_nor_token_is_on_disk(office: _Office) -> None:
    session = await office.access.login("ana", PASSWORD, DESK)
    office.state.close()
    raw = b"".join(path.read_bytes() for path in office.folder.glob("*.sqlite*"))
    assert PASSWORD.encode() not in raw
    assert session.token.encode() not in raw
    assert b"$argon2id$" in raw


@pytest.mark.parametrize(("name", "password"), [("ana", "wrong password here"), ("mojca", PASSWORD)])
async def test_a_refused_login_does_not_say_what_was_wrong(office: _Office, name: str, password: str) -> None:
    with pytest.raises(NotLoggedIn) as refusal:
        await office.access.login(name, password, DESK)
    assert refusal.value.code == "wrong_login"
    assert name not in refusal.value.message
    assert office.audit.rows()[-1].body["what"] == "login_refused"


def test_a_wrong_name_costs_the_same_computation_as_a_wrong_password() -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=64)
    nothing = hash_of_nothing(hasher)
    assert extract_parameters(nothing) == extract_parameters(hasher.hash(PASSWORD))
    assert nothing != hash_of_nothing(hasher)
    with pytest.raises(VerifyMismatchError):  # it was computed and compared; a bad format would end at once
        hasher.verify(nothing, PASSWORD)


async def test_idle_and_old_sessions_end(office: _Office) -> None:
    idle = await office.access.login("ana", PASSWORD, DESK)
    office.now.seconds += IDLE_S + 1
    with pytest.raises(NotLoggedIn) as refusal:
        office.access.session(idle.token)
    assert refusal.value.code == "session_expired"

    busy = await office.access.login("ana", PASSWORD, DESK)
    for _ in range(int(ABSOLUTE_S // 600)):
        assert office.access.session(busy.token).user == "ana"
        await office.state.write(lambda connection: None)  # lets the time of use reach the file
        office.now.seconds += 600
    office.now.seconds += 1
    with pytest.raises(NotLoggedIn):
        office.access.session(busy.token)


async def test_a_changed_password_and_a_disabled_account_end_every_session(office: _Office) -> None:
    await office.access.add_user("bor", PASSWORD, {EVERYWHERE: "operator"}, by="setup")
    session = await office.access.login("ana", PASSWORD, DESK)
    await office.access.set_password("ana", "another long enough one", by="bor")
    with pytest.raises(NotLoggedIn):
        office.access.session(session.token)
    session = await office.access.login("ana", "another long enough one", DESK)
    await office.access.set_disabled("ana", True, by="bor")
    with pytest.raises(NotLoggedIn):
        office.access.session(session.token)
    with pytest.raises(NotLoggedIn):
        await office.access.login("ana", "another long enough one", DESK)


async def test_sessions_survive_a_restart_and_are_bounded(office: _Office) -> None:
    sessions = [await office.access.login("ana", PASSWORD, DESK) for _ in range(SESSIONS_PER_USER + 1)]
    with pytest.raises(NotLoggedIn):
        office.access.session(sessions[0].token)
    again = Access(office.state, office.audit, ("north", "south"), now=office.now)
    assert again.session(sessions[1].token).user == "ana"
    assert len(again.sessions.of("ana")) == SESSIONS_PER_USER


async def test_roles_bind_to_areas(office: _Office) -> None:
    assert office.access.check("ana", "order", "north") == User(
        "ana", {"north": "operator", "south": "viewer"}
    )
    assert office.access.check("ana", "view", "south").name == "ana"
    for action, area in (("order", "south"), ("release", "south"), ("view", "plant"), ("order", EVERYWHERE)):
        with pytest.raises(NotAllowed) as refusal:
            office.access.check("ana", action, area)
        assert refusal.value.facts == {"area": area, "action": action}
    with pytest.raises(NotFound):
        office.access.check("nobody", "view", "north")


async def test_a_page_of_somebody_else_cannot_write(office: _Office) -> None:
    session = await office.access.login("ana", PASSWORD, DESK)
    office.access.check_csrf(session, session.csrf)
    for header in ("", "x", session.csrf[:-1], session.csrf + "x", "š"):
        with pytest.raises(NotAllowed):
            office.access.check_csrf(session, header)


async def test_guessing_is_slowed_but_the_operators_own_desk_is_not(office: _Office) -> None:
    await office.access.login("ana", PASSWORD, DESK)
    waits = []
    for attempt in range(40):
        try:
            await office.access.login("ana", "wrong password here", f"203.0.113.{attempt}")
        except TooMany as refusal:
            waits.append(refusal.facts["retry_after_s"])
            office.now.seconds += 0.5
        except NotLoggedIn:
            pass
    assert waits, "an attacker with many addresses was never slowed"
    assert max(waits) <= LONGEST_WAIT_S
    # the attack goes on, and the person at her own desk gets in at once
    assert (await office.access.login("ana", PASSWORD, DESK)).user == "ana"


async def test_no_number_of_failures_locks_the_desk_for_longer_than_a_minute(office: _Office) -> None:
    for _ in range(50):
        try:
            await office.access.login("ana", "wrong password here", DESK)
        except (TooMany, NotLoggedIn):
            office.now.seconds += 20
    office.now.seconds += LONGEST_WAIT_S + 1
    assert (await office.access.login("ana", PASSWORD, DESK)).user == "ana"


async def test_the_last_operator_of_an_area_cannot_be_taken_away(office: _Office) -> None:
    with pytest.raises(Conflict) as refusal:
        await office.access.set_disabled("ana", True, by="ana")
    assert refusal.value.code == "last_operator"
    with pytest.raises(Conflict):
        await office.access.set_roles("ana", {"north": "viewer"}, by="ana")
    await office.access.add_user("bor", PASSWORD, {"north": "operator"}, by="setup")
    assert (await office.access.set_disabled("ana", True, by="bor")).disabled


@pytest.mark.parametrize(
    ("name", "password", "roles", "code"),
    [
        ("Ana", PASSWORD, {"north": "operator"}, "bad_name"),
        ("x", PASSWORD, {"north": "operator"}, "bad_name"),
        ("cene", "short", {"north": "operator"}, "password_length"),
        ("cene", "cene is my name you know", {"north": "operator"}, "password_guessable"),
        ("cene", "aaaaaaaaaaaaaaaaaa", {"north": "operator"}, "password_guessable"),
        ("cene", PASSWORD, {"east": "operator"}, "unknown_area"),
        ("cene", PASSWORD, {"north": "king"}, "unknown_role"),
        ("cene", PASSWORD, {}, "no_roles"),
    ],
)
async def test_bad_accounts_are_refused(
    office: _Office, name: str, password: str, roles: dict[str, str], code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        await office.access.add_user(name, password, roles, by="setup")
    assert refusal.value.code == code
    assert len(office.access.users()) == 1


async def test_a_name_is_given_once(office: _Office) -> None:
    with pytest.raises(Conflict):
        await office.access.add_user("ana", PASSWORD, {"south": "operator"}, by="setup")
