"""The words of screens and refusals, in Slovenian and English, from one pair of files.

It refuses to fall back from one language to the other in silence: both files have the same keys (a test
holds them to it), and a key that is in neither shows itself in brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "static" / "i18n"
LANGUAGES = ("sl", "en")
DEFAULT = "sl"

_HOLE = re.compile(r"\{(\w+)\}")


@cache
def strings(language: str) -> Mapping[str, str]:
    """Return all texts of a language by key."""
    content: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return content


def text(language: str, key: str, **values: Any) -> str:
    """Return one text with its {holes} filled; a hole without a value stays visible."""
    found = strings(language).get(key)
    if found is None:
        return f"[{key}]"
    return _HOLE.sub(lambda hole: str(values.get(hole.group(1), hole.group(0))), found)


def holes(content: str) -> frozenset[str]:
    """Return the names of the values a text needs."""
    return frozenset(_HOLE.findall(content))


def choose(wanted: str | None, accept_language: str) -> str:
    """Return the language of a request: what was chosen, else what the browser asks for first."""
    if wanted in LANGUAGES:
        return wanted
    offers: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        offers.append((-weight, place, tag.split("-")[0].lower()))
    return next((tag for _, _, tag in sorted(offers) if tag in LANGUAGES), DEFAULT)
