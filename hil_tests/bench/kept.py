"""Results of long runs on disk: whole or not at all, taken up again only where they are of the same origin.

A file says its format and its provenance: everything that it was made from, the firmware first of all. It
refuses to mix two origins, and to overwrite what another made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBERS = re.compile(r"\[\s+([-\d.,\s]+?)\s+\]")


def load(path: Path, form: str) -> dict[str, Any] | None:
    """Return a result of this format, None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("format") == form else None


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


def save(path: Path, content: dict[str, Any]) -> None:
    """Replace the file whole; a list of numbers is one line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    draft = path.with_suffix(".part")
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(path)
