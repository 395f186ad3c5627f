"""Writes docs/faults.md from the catalogue and the committed run beside it.

It refuses to show a result of a case that the catalogue no longer has.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..bench.faults.case import ERROR, MET, NOT_MET
from ..bench.faults.rig import DHW_LIMIT_S, POINTS, ROOM_FLOOR_C, TICK_S
from .catalogue import TYPES, cases
from .run import RESULT

RUN = Path(__file__).parent / RESULT
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = f"""# Fault catalogue

Made from `hil_tests/faults/` and the run in `hil_tests/faults/{RESULT}` by `python -m hil_tests.faults.page`
(part of `make docs`); edit those, not this page.

```sh
toplovod hil run faults --report faults                           # all 336 cases; resumes where it stopped
toplovod hil run faults --report faults --case sensors.open       # a type
toplovod hil run faults --report faults --case serial.noise/winter/severe --json
```

Each of the {len(TYPES)} types is put on a house with a real controller at three operating points,
in two severities; where a fault has no size, these are two kinds of it (which sensor, which way).
A case runs to its operating point, injects the fault, **proves it from outside the injector** (plant,
pins, bytes on the line, files, console), watches, repairs and watches again. A fault that cannot be
proved makes the case an *error*: it says nothing about the firmware.

In every case no water above 65 °C may be drawn for more than {DHW_LIMIT_S:g} s and no room may fall
below {ROOM_FLOOR_C:g} °C (the project's own figures). What must hold while the fault is there
holds at every look, of which there is one every {TICK_S:g} s; a time may be that much longer than it says.
The safety thermostat of the wiring plan ([boards.md](boards.md)) is part of the plant; the table tells
in how many cases of a type it acted, and how often in all of them.

`power.cut` is the one type whose cuts know no operating point: a script on an emulated chip writes
the log (mild) or the records (severe) and is cut at each of its flash operations, the same at all three
points, and their proofs are identical for that reason. The point changes the house beside it, and only that.

"""


def spread(values: Sequence[float | None]) -> str:
    """Return the least and the most of the times that were measured, in whole seconds."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    low, high = min(known), max(known)
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _verdicts(rows: Sequence[dict[str, Any]]) -> str:
    parts = [(sum(row["verdict"] == name for row in rows), name) for name in (MET, NOT_MET, ERROR)]
    open_cases = 6 - len(rows)
    if open_cases:
        parts.append((open_cases, "not run"))
    return ", ".join(f"{count} {name}" for count, name in parts if count)


def markdown(run: dict[str, Any]) -> str:
    """Return the whole page."""
    known = {case.name: case for case in cases()}
    rows = {name: row for name, row in run["cases"].items() if name in known}
    count = {name: sum(row["verdict"] == name for row in rows.values()) for name in (MET, NOT_MET, ERROR)}
    lines = [HEAD, "| operating point | |", "|---|---|"]
    lines += [f"| {point.name} | {point.text} |" for point in POINTS.values()]
    lines += [
        "",
        "## The committed run",
        "",
        f"Firmware `{run['firmware_sha256'][:16]}`, seed {run['seed']}: {len(rows)} of {len(known)} "
        f"cases run, {count[MET] + count[NOT_MET]} proven active, {count[MET]} met, "
        f"{count[NOT_MET]} not met, {count[ERROR]} errors.",
        "",
        "Times are the least and the most over the cases of a type, in virtual seconds: detection after the",
        "injection, recovery after the repair. `–`: nothing to detect, or not measured.",
        "",
    ]
    group = ""
    for kind in TYPES:
        if kind.group != group:
            group = kind.group
            lines += [
                f"### {group.capitalize()}",
                "",
                "| type | mild; severe | detection s | recovery s | thermostat | verdicts |",
                "|---|---|---:|---:|---:|---|",
            ]
        own = [row for name, row in rows.items() if name.startswith(f"{kind.group}.{kind.name}/")]
        acted = [row["thermostat_trips"] for row in own if row["thermostat_trips"]]
        trips = f"{len(acted)} ({sum(acted)})" if acted else ""
        lines.append(
            f"| `{kind.name}` | {kind.mild}; {kind.severe} | {spread([row['detected_s'] for row in own])} "
            f"| {spread([row['recovered_s'] for row in own])} | {trips} | {_verdicts(own)} |"
        )
        if kind is TYPES[-1] or TYPES[TYPES.index(kind) + 1].group != group:
            lines.append("")
    lines += [
        "## What is injected, how it is proved, what must happen",
        "",
        "| type | injected | probe | expected | source |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{kind.group}.{kind.name}` | {kind.injector} | {kind.probe} | {kind.reaction} | {kind.source} |"
        for kind in TYPES
    ]
    lines += ["", "## Not met, and errors", ""]
    bad = [(name, row) for name, row in rows.items() if row["verdict"] != MET]
    lines += ["| case | verdict | why |", "|---|---|---|"] if bad else ["None."]
    lines += [f"| `{name}` | {row['verdict']} | {row['why']} |" for name, row in bad]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write docs/faults.md."""
    PAGE.write_text(markdown(json.loads(RUN.read_text())))


if __name__ == "__main__":
    write()
