"""Results of long runs on disk: whole or not at all, taken up again only where they are of the same origin.

A file says its format and its provenance: everything that it was made from, the firmware first of all. It
refuses to mix two origins, and to overwrite what another made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import WrongUse

# By the file that a run goes on from, whose folder it is.
GOES_ON_FROM = {"week.json": "week", "year.json": "year", "dhw.json": "dhw", "faults.json": "faults"}
SCENARIO = "a scenario"
REPORT = "report.json"
NUMBERS = re.compile(r"\[\s+([-\d.,\s]+?)\s+\]")


def load(path: Path, form: str) -> dict[str, Any] | None:
    """Return a result of this format, None where there is none that can be read."""
    content = _read(path)
    return content if content.get("format") == form else None


def resumed(path: Path, form: str, origin: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Return what was kept of the same origin, or else a beginning; what was made otherwise is put aside."""
    content = load(path, form)
    if content is not None and content["provenance"] == origin:
        return content
    if content is not None:
        aside = aside_of(path, content["provenance"]["firmware_sha256"])
        path.replace(aside)
        say(f"{path.name} was made otherwise; it lies in {aside.name} now")
    return {"format": form, "provenance": origin}


def aside_of(path: Path, firmware_sha256: str) -> Path:
    """Return a name beside a result that is free: by its firmware, and a number where that is taken."""
    aside, number = path.with_name(f"{path.stem}-{firmware_sha256[:8]}{path.suffix}"), 2
    while aside.exists():
        aside = path.with_name(f"{path.stem}-{firmware_sha256[:8]}-{number}{path.suffix}")
        number += 1
    return aside


def held_by(folder: Path) -> str:
    """Return which kind of run lies in a folder: a value of GOES_ON_FROM or SCENARIO; nothing for none."""
    for name, kind in GOES_ON_FROM.items():
        if (folder / name).is_file():
            return kind
    origin = _read(folder / REPORT).get("provenance")
    return SCENARIO if isinstance(origin, dict) and "scenario" in origin else ""


def refuse_other_kind(folder: Path, kind: str) -> None:
    """Raise WrongUse for a folder that holds a run of another kind: their files have the same names."""
    held = held_by(folder)
    if held not in ("", kind):
        raise WrongUse(
            f"--report {folder}: it holds a run of {held}, and this is {kind}; nothing was started. "
            "Name another folder"
        )


def put_aside(folder: Path, files: Sequence[str]) -> Path | None:
    """Move a former report's files into a folder below, named by its digest; None where nothing was measured.

    The report is asked for its `kpi`, run by run: one that was broken off while booting has none.
    """
    report = _read(folder / REPORT)
    kpi = report.get("kpi")
    if not isinstance(kpi, dict) or not any(kpi.values()):
        return None
    aside = aside_of(folder / "former", str(report.get("sha256")))
    aside.mkdir()
    for name in files:
        if (folder / name).exists():
            (folder / name).replace(aside / name)
    return aside


def _read(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where it is none, or holds no mapping."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def save(path: Path, content: dict[str, Any]) -> None:
    """Replace the file whole; a list of numbers is one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    draft = path.with_suffix(".part")
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)
