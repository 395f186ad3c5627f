"""The page of a run record, beside its JSON: what was run on what, what came of it, and what was not covered.

It opens offline. It refuses to say more than the record: limits, measured values and time lines are the
tests' own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .bench.report import page, replace_file
from .bench.target import CAPABILITIES
from .run_record import KINDS, RunRecord, evidence

EVERY_S = 30.0  # real seconds between two pages of a run that goes on; the JSON is new after each test
FOLD_FROM = 40  # tests
SEED = "1, where the mark of a test's street names no other"
GAPS = (
    "A run record holds outcomes. What a test measured, its limits and their sources stand in the test "
    "itself; the reports of `toplovod hil run` (scenarios, year, dhw, faults) show them with curves and time "
    "lines",
    "JUnit of the same run: pytest's own `--junitxml=FILE`, on the same command line",
    "A board is proved by a whole, passed record of that one named board and by nothing else",
)


class RecordPage:
    """Keeps FILE.html up to date with a record."""

    def __init__(self, record: RunRecord) -> None:
        self.path = record.path.with_suffix(".html")
        self._record = record
        self._next = 0.0
        self.update()

    def update(self, *, at_once: bool = False) -> None:
        """Write the page; a run that goes on is written now and then only."""
        if at_once or time.monotonic() >= self._next:
            replace_file(self.path, html(self._record.content, self._record.path))
            self._next = time.monotonic() + EVERY_S


def html(record: dict[str, Any], path: Path) -> str:
    """Return the page of a record that lies at path."""
    tests = record["tests"]
    count = {
        name: sum(row["outcome"] == name for row in tests)
        for name in ("passed", "failed", "error", "skipped")
    }
    bad = [row for row in tests if row["outcome"] not in ("passed", "skipped")]
    told = ", ".join(f"{number} {name}" for name, number in count.items() if number) or "no test has ended"
    partial = record["partial"]
    passed = not partial and not bad and bool(count["passed"])
    said = f"Partial ({record['why_partial']})" if partial else "Passed" if passed else "Not passed"
    sections = [_targets(record)]
    if bad:
        sections.append(_section("bad", "Failed", tables=[_table(record, bad)]))
    ended = _table(record, tests)
    if len(tests) >= FOLD_FROM:
        ended |= {"title": f"All {len(tests)}", "fold": True}
    sections += [
        _section("tests", "Tests", [] if tests else ["None has ended."], tables=[ended] if tests else [])
    ]
    sections.append(_gaps(record))
    return page(
        {
            "title": "Toplovod: run record",
            "summary": f"What tests of the bench came to, begun {_utc(record['begun_utc'])}.",
            "passed": passed,
            "verdict": f"{said}: {told}.",
            "sections": sections,
            "provenance": _origin(record),
            "command": record["command"],
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "digest_of": path.name,
            "digest_note": f"The digest is that of {path.name} as it was when this page was made.",
        },
        {},
    )


def _section(key: str, title: str, intro: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    return {
        "key": key, "title": title, "intro": list(intro), "columns": [], "figures": [], "checks": [],
        "events": [],
        **more,
    }  # fmt: skip


def _targets(record: dict[str, Any]) -> dict[str, Any]:
    targets = record["targets"]
    intro = [f"{_sentence(evidence(record))}."]
    kinds = dict.fromkeys(str(target.get("kind")) for target in targets)
    intro += [f"{_sentence(kind)}: {KINDS.get(kind, 'unknown')}." for kind in kinds]
    names = {
        "name": "Name", "kind": "Kind", "board": "Board", "platform": "Platform", "machine": "Machine",
        "device_id": "Device id", "firmware": "Firmware", "map": "Map",
    }  # fmt: skip
    head = {key: name for key, name in names.items() if any(target.get(key) for target in targets)}
    rows = [[str(n), *(str(target.get(key) or "–") for key in head)] for n, target in enumerate(targets, 1)]
    table = {"title": "", "fold": False, "head": ["", *head.values()], "rows": rows}
    return _section("targets", "Controllers", intro, tables=[table] if rows else [])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _utc(text: str | None) -> str:
    return text.replace("T", " ").replace("+00:00", " UTC") if text else "not ended"


def _table(record: dict[str, Any], tests: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            row["test"], str(row["target"] + 1) if "target" in row else "–", row["outcome"],
            f"{row['s']:.1f} s",
            _why(row),
        ]
        for row in tests
    ]  # fmt: skip
    head = ["Test", "On", "Outcome", "Time", "Why"]
    return {"title": "", "fold": False, "wide": True, "head": head, "rows": rows}


def _why(row: dict[str, Any]) -> str:
    """The last line that says something: the rest of a traceback stands in the record."""
    lines = [line for line in str(row.get("why", "")).splitlines() if line.strip()]
    raised = [line[1:].strip() for line in lines if line.startswith("E ")]
    return raised[0] if raised else lines[-1] if lines else ""


def _gaps(record: dict[str, Any]) -> dict[str, Any]:
    rows = [
        [f"`{name}`", CAPABILITIES.get(name, ""), len(tests), ", ".join(tests)]
        for name, tests in record["gaps"].items()
    ]
    tables = []
    if rows:
        head = ["Capability", "What it is", "Tests", "Not run"]
        tables.append({"title": "What the target cannot do", "fold": False, "head": head, "rows": rows})
    return _section("gaps", "What this does not cover", [f"{text}." for text in GAPS], tables=tables)


def _origin(record: dict[str, Any]) -> dict[str, Any]:
    host = record["host"]
    origin = {
        "run_id": record["run_id"], "toplovod": record["toplovod"],
        "host": f"{host['system']}, Python {host['python']}",
        "begun": _utc(record["begun_utc"]), "ended": _utc(record["ended_utc"]),
    }  # fmt: skip
    if "plant" in record:
        origin |= {**record["plant"], "seed": SEED}
    return origin
