"""A laboratory's stories catch a broken invariant: each of S1 to S13 is broken, and the named story fails.

It fails by what it asserts. A firmware that does not start, a fixture that breaks or a story that is gone
shows nothing, and is a failure here. One row of each invariant runs in `make test`, all in `make mutations`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from .bench.errors import BundleFailed
from .bench.provisioning import PROJECT, altered_bundle, firmware_sha256
from .mutations import INVARIANTS, MUTATIONS, NOT_JUDGED, Mutation, table

EVERY = os.environ.get("TOPLOVOD_MUTATIONS") == "all"  # three minutes of a core more
DEADLINE_S = 500  # less than pytest gives a test
# how an assertion, a condition that was waited for, and a refusal that did not come are told
BY_THE_STORY = re.compile(
    r"(AssertionError|assert |hil_tests\.bench\.errors\.ConditionNotMet|Failed: DID NOT RAISE)"
)


def run(bundle: Path, folder: Path, *stories: str) -> tuple[int, ET.Element, str]:
    """Run stories on a bundle, without plugins that none of them needs; return status, results and output."""
    junit = folder / "stories.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout",
         "-p", "pytest_asyncio.plugin", "-p", "hil_tests.plugin", "--basetemp", str(folder / "run"),
         "--bench-bundle", str(bundle), f"--junitxml={junit}", *stories],
        capture_output=True, text=True, check=False, cwd=PROJECT, timeout=DEADLINE_S,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "",
             "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert junit.exists(), said
    return done.returncode, ET.parse(junit).getroot(), said


def caught(mutation: Mutation, folder: Path) -> None:
    """Fail where the story passes on the mutated firmware, or fails by anything but what it asserts."""
    bundle = altered_bundle(folder, mutation.changes)
    status, results, said = run(bundle, folder, mutation.node_id)
    (case,) = results.iter("testcase")
    assert status == 1, said
    assert case.find("error") is None, said
    failure = case.find("failure")
    assert failure is not None, said
    assert BY_THE_STORY.match(failure.get("message", "")), said
    failing = [line for line in (failure.text or "").splitlines() if line.startswith((">", "E"))]
    assert re.search(mutation.said, "\n".join(failing)), said
    (digest,) = (p.get("value") for p in results.iter("property") if p.get("name") == "bench_bundle_sha256")
    assert digest == firmware_sha256(bundle)


@pytest.mark.parametrize(
    "mutation",
    [
        pytest.param(row, id=row.name.replace(" ", "-"), marks=[pytest.mark.slow] if row.slow else [])
        for row in MUTATIONS
        if EVERY or not row.slow
    ],
)
def test_a_broken_invariant_is_caught(mutation: Mutation, tmp_path: Path) -> None:
    caught(mutation, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not EVERY, reason="make mutations: in the suite the same stories stand as they are")
def test_the_same_stories_pass_on_the_shipped_firmware(tmp_path: Path, firmware_bundle: Path) -> None:
    """Run as above: what fails there fails by the mutation. The slow ones stand in the suite as they are."""
    quick = [row.node_id for row in MUTATIONS if not row.slow]
    status, results, said = run(firmware_bundle, tmp_path, *quick)
    assert status == 0, said
    assert len(list(results.iter("testcase"))) == len(quick)
    assert not list(results.iter("skipped"))


def test_a_mutation_that_changes_nothing_is_not_taken_for_caught(tmp_path: Path) -> None:
    row = next(row for row in MUTATIONS if row.invariant == "S9")
    with pytest.raises(AssertionError, match="1 passed"):
        caught(replace(row, changes=()), tmp_path)


def test_a_mutation_whose_text_is_gone_builds_nothing(tmp_path: Path) -> None:
    gone = Mutation("S1", "nothing", [("fallbacks.py", "NO_SUCH_TEXT = 1", "")], "test_manual.py", "")
    with pytest.raises(BundleFailed, match="NO_SUCH_TEXT = 1' is not there any more"):
        caught(gone, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_every_invariant_has_a_quick_row_and_the_page_has_the_table() -> None:
    assert {row.invariant for row in MUTATIONS if not row.slow} == set(INVARIANTS)
    assert len({row.name for row in MUTATIONS}) == len(MUTATIONS)
    assert set(NOT_JUDGED) <= set(INVARIANTS)
    page = (PROJECT / "docs" / "bench.md").read_text(encoding="utf-8")
    assert table() in page, "put there what python -m hil_tests.mutations --table prints"
