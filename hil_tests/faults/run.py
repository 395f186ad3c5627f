"""Runs fault cases, some side by side, and keeps what they came to in a folder, case by case.

A run that was stopped goes on where it stood: a case is run again only when the firmware or the seed has
changed, or when the bench could not judge it. It refuses to mix results of two firmwares.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from ..bench.beside import Beside, BesideFailed
from ..bench.emulation import signals_as_ctrl_c
from ..bench.faults.case import ERROR, MET, NOT_MET, Result, run
from ..bench.provisioning import firmware_bundle, firmware_sha256
from .catalogue import Case, cases, chosen
from .pairs import Pair, chosen_pairs, pairs

FORMAT = "toplovod-fault-run/1"
PAIRS_FORMAT = "toplovod-fault-pairs/1"
RESULT = "faults.json"
PAGE = "faults.html"
Runner = Callable[..., Result]


def run_faults(
    names: list[str],
    folder: Path,
    say: Callable[[str], None],
    *,
    seed: int = 1,
    bundle: Path | None = None,
    runner: Runner = run,
    in_pairs: bool = False,
    workers: int = 1,
) -> dict[str, Any]:
    """Run these cases, or all, and return the run as it stands in `folder`/faults.json.

    in_pairs: the names are those of pairs. A folder holds a run of cases or one of pairs. workers: cases at a
    time, each beyond the first in a process of its own; what a case comes to does not depend on it.

    WrongUse for an unknown name. With Ctrl-C it returns what is done, marked partial; before there is
    anything to return it raises KeyboardInterrupt.
    """
    wanted: Sequence[Case | Pair] = chosen_pairs(names) if in_pairs else chosen(names)
    form = PAIRS_FORMAT if in_pairs else FORMAT
    folder.mkdir(parents=True, exist_ok=True)
    made = bundle or firmware_bundle(folder / "bundle")
    firmware = firmware_sha256(made)
    found = _resumed(folder / RESULT, form, firmware, seed)
    todo = [case for case in wanted if found.get(case.name, {}).get("verdict", ERROR) == ERROR]
    if len(todo) < len(wanted):
        say(f"{len(wanted) - len(todo)} of {len(wanted)} cases are done; going on with {len(todo)}")
    begun = time.monotonic()
    result = _write(folder, form, firmware, seed, wanted, found)

    def one(case: Case | Pair, place: int) -> dict[str, Any]:
        into = folder / (f"case-{place}" if place else "case")
        return runner(case.name, case.plan(), case.point, into, made, seed).as_row()

    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(_ended(todo, one, workers)) as ended:
        for number, (case, row) in enumerate(ended, start=1):
            found[case.name] = row
            result = _write(folder, form, firmware, seed, wanted, found)
            each = (time.monotonic() - begun) / number
            left_min = each * (len(todo) - number) / 60.0
            say(
                f"{number}/{len(todo)} {case.name}: {row['verdict']}"
                + (f" ({row['why']})" if row["why"] else "")
                + f"; {left_min:.0f} min to go"
            )
    return result


def _ended(
    todo: Sequence[Case | Pair], one: Callable[[Case | Pair, int], dict[str, Any]], workers: int
) -> Generator[tuple[Case | Pair, dict[str, Any]]]:
    """Give each case with its row as it ends; one whose process dies is an error and is run again by a rerun.

    one: is told the case and which of the workers runs it.
    """
    if workers == 1:
        for case in todo:
            yield case, one(case, 0)
        return
    queue = list(todo)
    running: dict[int, tuple[Case | Pair, Beside, contextlib.ExitStack]] = {}
    with signals_as_ctrl_c(), contextlib.ExitStack() as everything:
        while queue or running:
            for place in range(workers):
                if queue and place not in running:
                    own = everything.enter_context(contextlib.ExitStack())
                    case = queue.pop(0)
                    running[place] = (case, own.enter_context(Beside(case.name, one, case, place)), own)
            for place, (case, beside, own) in list(running.items()):
                if beside.wait(0.2 / len(running)):
                    del running[place]
                    try:
                        with own:
                            row = beside.result()
                    except BesideFailed as error:
                        row = Result(case.name, ERROR, why=str(error)).as_row()
                    yield case, row


def _resumed(path: Path, form: str, firmware: str, seed: int) -> dict[str, dict[str, Any]]:
    """Return the rows of an earlier run of the same firmware and seed."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if (before.get("format"), before.get("firmware_sha256"), before.get("seed")) != (form, firmware, seed):
        return {}
    return dict(before["cases"])


def _write(
    folder: Path,
    form: str,
    firmware: str,
    seed: int,
    wanted: Sequence[Case | Pair],
    found: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Put the run as it stands on disk, whole or not at all."""
    every: Sequence[Case | Pair] = pairs() if form == PAIRS_FORMAT else cases()
    rows = {case.name: found[case.name] for case in every if case.name in found}
    verdicts = [rows[case.name]["verdict"] for case in wanted if case.name in rows]
    text = json.dumps(rows, sort_keys=True)
    result: dict[str, Any] = {
        "format": form,
        "firmware_sha256": firmware,
        "seed": seed,
        "partial": len(verdicts) < len(wanted),
        "kpi": {
            "asked": len(wanted),
            "done": len(verdicts),
            "proven": sum(v != ERROR for v in verdicts),
            "met": verdicts.count(MET),
            "not_met": verdicts.count(NOT_MET),
            "errors": verdicts.count(ERROR),
        },
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "cases": rows,
    }
    result["passed"] = not result["partial"] and result["kpi"]["met"] == len(wanted)
    for name, content in ((RESULT, json.dumps(result, indent=1) + "\n"), (PAGE, _page(result))):
        beside = folder / (name + ".new")
        beside.write_text(content)
        beside.replace(folder / name)
    return result


COLUMNS = (
    "case",
    "verdict",
    "proof",
    "detected_s",
    "reacted_s",
    "recovered_s",
    "dhw_over_s",
    "thermostat_trips",
    "room_least_c",
    "why",
)


def _page(result: dict[str, Any]) -> str:
    """Return one page that opens without a network."""
    kpi = result["kpi"]
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    body = "".join(
        "<tr class='"
        + row["verdict"].replace(" ", "-")
        + "'>"
        + "".join(f"<td>{html.escape('' if row[name] is None else str(row[name]))}</td>" for name in COLUMNS)
        + "</tr>\n"
        for row in result["cases"].values()
    )
    partial = "<p><strong>Partial: the run was stopped or goes on.</strong></p>" if result["partial"] else ""
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Fault run</title><style>"
        "body{font:14px/1.4 sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
        "td,th{border-bottom:1px solid #ddd;padding:.2em .6em;text-align:left;vertical-align:top}"
        ".not-met td:nth-child(2){color:#a40}.error td:nth-child(2){color:#a00}</style>"
        f"<h1>Fault run</h1>{partial}<p>Firmware {result['firmware_sha256']}, seed {result['seed']}: "
        f"{kpi['done']} of {kpi['asked']} cases, {kpi['proven']} proven active, {kpi['met']} met, "
        f"{kpi['not_met']} not met, {kpi['errors']} errors.</p>"
        f"<table><tr>{head}</tr>\n{body}</table></html>\n"
    )
