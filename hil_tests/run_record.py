"""The run record: what was run, on what, with which outcome, and what that target could not do.

A JSON file (`toplovod-run/1`), written anew after each test, so that a run that is broken off leaves what it
had, marked partial. It refuses to call anything proved on a board that is not the whole, passed record of a
named board that told its own chip.
"""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .bench.errors import WrongUse
from .bench.plant_version import plant_origin

FORMAT = "toplovod-run/1"
BOARD, VM = "board", "emulated VM"
IDENTITY = ("name", "board", "platform", "device_id", "firmware")
# kind of a target: what a record of it shows at most
KINDS = {
    VM: "the firmware in lockstep on the host; nothing of a chip",
    "emulated board": "the firmware on the host's clock behind a pty; nothing of a chip",
    "unidentified controller": "a controller that nobody asked for its chip; no board is proved",
    BOARD: "a named board that told its chip over its console",
}


def now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def installed_version() -> str:
    try:
        return version("toplovod")
    except PackageNotFoundError:
        return "a tree that is not installed"


class RunRecord:
    """Collects a run and keeps the file up to date."""

    def __init__(self, path: Path, run_id: str, command: str) -> None:
        if path.suffix == ".html":
            raise WrongUse(
                f"--bench-record {path}: that is the name of its page; nothing was run. Name a JSON file, "
                f"such as {path.with_suffix('.json')}"
            )
        self.path = path
        self.content: dict[str, Any] = {
            "format": FORMAT, "run_id": run_id, "command": command, "begun_utc": now_utc(), "ended_utc": None,
            "partial": True, "why_partial": "still running, or killed", "toplovod": installed_version(),
            "host": {"system": platform.platform(), "python": platform.python_version()},
            "bundle": None, "targets": [], "tests": [], "gaps": {},
        }  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write()
        except OSError as error:
            raise WrongUse(
                f"--bench-record {path}: {error.strerror}; nothing was run. Name a file in a folder that you "
                "may write to"
            ) from None

    def of_bundle(self, sha256: str, *, given: bool) -> None:
        """Take down which firmware the emulated controllers run. given: by --bench-bundle."""
        self.content["bundle"] = {"sha256": sha256, "from": "--bench-bundle" if given else "shipped"}
        self.write()

    def add(self, test: str, outcome: str, seconds: float, properties: dict[str, Any], why: str) -> None:
        """Take down one test; properties: `target` (see Target.describe) and `gap`, where there are such."""
        row = {"test": test, "outcome": outcome, "s": round(seconds, 3)}
        target = properties.get("target")
        if target is not None:
            if target not in self.content["targets"]:
                self.content["targets"].append(target)
            if target.get("kind") == VM:
                self.content.setdefault("plant", plant_origin())
            row["target"] = self.content["targets"].index(target)
        gap = properties.get("gap")
        if gap is not None:
            row["gap"] = gap
            self.content["gaps"].setdefault(gap, []).append(test)
        if why:
            row["why"] = why[-2000:]
        self.content["tests"].append(row)
        self.write()

    def finish(self, why_partial: str) -> None:
        """End the record; it is whole only where there is no reason against it."""
        self.content |= {"ended_utc": now_utc(), "partial": bool(why_partial), "why_partial": why_partial}
        self.write()

    def write(self) -> None:
        """Replace the file as a whole."""
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.path)


def read(path: Path) -> dict[str, Any]:
    """Return a record. WrongUse where the file is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(f"{path}: no run record ({error})") from None
    return dict(content)


def not_proved(record: dict[str, Any]) -> list[str]:
    """Return why this record does not prove its tests on a board; empty where it does."""
    reasons = []
    targets = record["targets"]
    if record["partial"]:
        reasons.append(f"it is partial: {record['why_partial']}")
    if not targets:
        reasons.append("no controller was tested")
    for target in targets:
        if target.get("kind") != BOARD:
            reasons.append(
                f"{target.get('name')} is {target.get('kind')}: {KINDS.get(target.get('kind'), 'unknown')}"
            )
        else:
            lacks = [
                key for key in ("name", "board", "platform", "device_id", "firmware") if not target.get(key)
            ]
            if lacks:
                reasons.append(f"{target.get('name')} lacks {', '.join(lacks)}")
    if len(targets) > 1:
        reasons.append("more than one controller was tested")
    failed = [row["test"] for row in record["tests"] if row["outcome"] not in ("passed", "skipped", "error")]
    if failed:
        reasons.append(f"{len(failed)} tests failed, the first: {failed[0]}")
    hindered = [row["test"] for row in record["tests"] if row["outcome"] == "error"]
    if hindered:
        reasons.append(f"{len(hindered)} could not begin or end, the first: {hindered[0]}")
    if not any(row["outcome"] == "passed" and "target" in row for row in record["tests"]):
        reasons.append("nothing passed on it")
    return reasons


def evidence(record: dict[str, Any]) -> str:
    """Return the one sentence that may be said of this record."""
    reasons = not_proved(record)
    if not reasons:
        return f"board-proven on {record['targets'][0]['name']} ({record['targets'][0]['board']})"
    kinds = sorted({str(target.get("kind")) for target in record["targets"]}) or ["nothing"]
    return f"run on {', '.join(kinds)}; proves nothing of a board: {'; '.join(reasons)}"
