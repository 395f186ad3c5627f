"""The acceptance limits: read from acceptance.yaml, each with its source, asked for by id.

It refuses a limit that does not say where it is from, and invents none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .reading_yaml import Number, Reader, Rows, Text, Wanted

FORMAT = "toplovod-acceptance/1"
LIMITS_FILE = Path(__file__).parent / "acceptance.yaml"
RELATIONS = (">=", "<=", "==", "<")
KINDS = ("standard", "secondary", "requirement", "own")
FILE: Wanted = {"format": Text(), "limits": Rows(), "open": Rows(optional=True)}
ROW: Wanted = {
    "id": Text(),
    "what": Text(),
    "relation": Text(RELATIONS),
    "value": Number(-1e9, 1e9),
    "unit": Text(),
    "kind": Text(KINDS),
    "source": Text(optional=True),
    "edition": Text(optional=True),
    "clause": Text(optional=True),
    "reason": Text(optional=True),
}
OPEN_ROW: Wanted = {"id": Text(), "what": Text(), "why": Text()}


@dataclass(frozen=True)
class Limit:
    """One limit; `origin` says in words where it is from."""

    id: str
    what: str
    relation: str
    value: float
    unit: str
    kind: str
    origin: str


@dataclass(frozen=True)
class Open:
    """A source of limits that could not be read, so that nothing is judged by it."""

    id: str
    what: str
    why: str


@dataclass(frozen=True)
class Acceptance:
    """All limits by id, and what is open."""

    limits: dict[str, Limit]
    open: tuple[Open, ...]


def read(path: Path) -> Acceptance:
    """Return the limits of a file. BadFile, naming the line, for one without a source or with a mistake."""
    reader = Reader(path)
    content = reader.check(reader.load(FORMAT), FILE, "the file", 1)
    limits: dict[str, Limit] = {}
    for row in content["limits"]:
        reader.check(row, ROW, "a limit", getattr(row, "line", content.lines["limits"]))
        name = row["id"]
        if name in limits:
            raise reader.bad(row.line, f"{name} stands here a second time. Give each limit an id of its own")
        needed = ("reason",) if row["kind"] == "own" else ("source", "edition", "clause")
        for key in needed:
            if key not in row:
                raise reader.bad(
                    row.line,
                    f"{name} ({row['kind']}) has no {key}. A limit is worth what its source is: add it",
                )
        limits[name] = Limit(
            name, row["what"], row["relation"], float(row["value"]), row["unit"], row["kind"], _origin(row)
        )
    still_open = []
    for row in content.get("open", []):
        reader.check(row, OPEN_ROW, "an open source", getattr(row, "line", content.lines["open"]))
        still_open.append(Open(row["id"], row["what"], row["why"]))
    return Acceptance(limits, tuple(still_open))


def _origin(row: dict[str, str]) -> str:
    if row["kind"] == "own":
        return f"Own figure: {row['reason']}"
    mark = " (secondary source)" if row["kind"] == "secondary" else ""
    return f"{row['source']}{mark}; edition: {row['edition']}; clause: {row['clause']}"


@cache
def acceptance() -> Acceptance:
    """Return the project's own limits, read once."""
    return read(LIMITS_FILE)


def limit(name: str) -> float:
    """Return the value of a limit by its id. KeyError for one that acceptance.yaml has not."""
    return acceptance().limits[name].value
