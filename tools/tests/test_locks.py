"""The locks: everything pinned and hashed, no address of any machine, and what setup.py needs is in them."""

import re
import tomllib

import pytest

from .processes import ROOT

LOCKS = sorted(ROOT.glob("requirements*.lock"))
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)")


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        match = PIN.match(line)
        if match:
            found.setdefault(match.group(1), set()).add(match.group(2))
    return found


def test_all_are_there():
    assert [lock.name for lock in LOCKS] == [
        "requirements-build.lock", "requirements-dev.lock", "requirements-esptool.lock",
        "requirements-stubs-esp32.lock", "requirements-stubs-stm32.lock", "requirements-stubs.lock",
        "requirements.lock",
    ]  # fmt: skip


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock):
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert entries
    for entry in entries:
        assert PIN.match(entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_address_leaks_into_a_lock(lock):
    text = lock.read_text()
    assert not re.search(r"https?:|file:|index-url|find-links|@ ", text)


def test_users_get_the_versions_that_were_tested():
    development = pins("requirements-dev.lock")
    for name in ("requirements.lock", "requirements-build.lock"):
        for package, versions in pins(name).items():
            if package in development:
                assert versions <= development[package], package


def test_the_locks_cover_what_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["project"]["optional-dependencies"]["dev"],
        "requirements-build.lock": project["build-system"]["requires"],
        **{
            f"requirements-{extra}.lock": project["project"]["optional-dependencies"][extra]
            for extra in ("esptool", "stubs", "stubs-esp32", "stubs-stm32")
        },
    }
    for lock, requirements in wanted.items():
        names = {re.split(r"[<>=!; \[]", r)[0].lower().replace("_", "-") for r in requirements}
        assert names <= set(pins(lock)), lock
