"""Runs fault cases, some side by side, and keeps what they came to in a folder, case by case.

A run that was stopped goes on where it stood: a case is run again only when firmware, plant or seed have
changed, or when the bench could not judge it. The result is whole on disk after every case, the report is
written anew now and then and at the end. It refuses to mix results of two firmwares.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from ..bench.beside import Beside, BesideFailed
from ..bench.ending import signals_as_ctrl_c, stopped_by
from ..bench.faults.case import ERROR, MET, NOT_MET, Result, run
from ..bench.kept import aside_of
from ..bench.plant_version import plant_version
from ..bench.provisioning import firmware_bundle, firmware_sha256
from ..bench.report import replace_file
from . import report
from .catalogue import Case, cases, chosen
from .pairs import Pair, chosen_pairs, pairs

FORMAT = "toplovod-fault-run/1"
PAIRS_FORMAT = "toplovod-fault-pairs/1"
RESULT = "faults.json"
FORMER_PAGE = "faults.html"  # of a folder that an older bench began
REPORT_EVERY_S = 60.0  # of this machine
REPORT_SHARE = 0.02  # of the time at most; that of 1 540 pairs takes seconds to write
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
    """Run these cases, or all, and return the run as it stands in `folder`/faults.json, its report beside it.

    in_pairs: the names are those of pairs. A folder holds a run of cases or one of pairs. workers: cases at a
    time, each beyond the first in a process of its own; what a case comes to does not depend on it.

    WrongUse for an unknown name. With Ctrl-C it returns what is done, marked partial; before there is
    anything to return it raises KeyboardInterrupt.
    """
    wanted: Sequence[Case | Pair] = chosen_pairs(names) if in_pairs else chosen(names)
    every: Sequence[Case | Pair] = pairs() if in_pairs else cases()
    form = PAIRS_FORMAT if in_pairs else FORMAT
    folder.mkdir(parents=True, exist_ok=True)
    made = bundle or firmware_bundle(folder / "bundle")
    firmware = firmware_sha256(made)
    found = _resumed(folder / RESULT, form, firmware, seed)
    todo = [case for case in wanted if found.get(case.name, {}).get("verdict", ERROR) == ERROR]
    if len(todo) < len(wanted):
        say(f"{len(wanted) - len(todo)} of {len(wanted)} cases are done; going on with {len(todo)}")
    begun = time.monotonic()
    (folder / FORMER_PAGE).unlink(missing_ok=True)
    result = _write(folder, form, firmware, seed, every, wanted, found)
    next_report = _report(folder, result, names, every, wanted)

    def one(case: Case | Pair, place: int) -> dict[str, Any]:
        into = folder / f"case-{place:02d}"  # as long for each: a path's length takes of a controller's heap
        shutil.rmtree(into, ignore_errors=True)  # what a run that was killed left there
        report.keep_trace(folder, case.name, None)
        ended = runner(case.name, case.plan(), case.point, into, made, seed)
        report.keep_trace(folder, case.name, ended.trace)
        return ended.as_row()

    interrupted = ""
    try:
        with contextlib.closing(_ended(todo, one, workers)) as ended:
            for number, (case, row) in enumerate(ended, start=1):
                found[case.name] = row
                result = _write(folder, form, firmware, seed, every, wanted, found)
                each = (time.monotonic() - begun) / number
                left_min = each * (len(todo) - number) / 60.0
                say(
                    f"{number}/{len(todo)} {case.name}: {row['verdict']}"
                    + (f" ({row['why']})" if row["why"] else "")
                    + f"; {left_min:.0f} min to go"
                )
                if time.monotonic() >= next_report and number < len(todo):
                    next_report = _report(folder, result, names, every, wanted)
    except KeyboardInterrupt as error:
        interrupted = stopped_by(error)
    finally:  # also after Ctrl-C, which leaves it partial
        report.write(folder, result, names, every, wanted)
    if interrupted:
        say(
            f"Broken off ({interrupted}): {result['kpi']['done']} of {len(wanted)} cases are done and kept, "
            "marked partial; a rerun goes on there. Every controller has ended."
        )
    return result


def _report(
    folder: Path,
    result: dict[str, Any],
    names: Sequence[str],
    every: Sequence[Case | Pair],
    wanted: Sequence[Case | Pair],
) -> float:
    """Write the report as it stands now, and return when it may be written again."""
    begun = time.monotonic()
    report.write(folder, result, names, every, wanted)
    ended = time.monotonic()
    return ended + max(REPORT_EVERY_S, (ended - begun) / REPORT_SHARE)


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
    """Return the rows of an earlier run of the same firmware, plant and seed; anything else is put aside."""
    try:
        before = json.loads(path.read_text())
    except OSError:
        return {}
    except ValueError:
        before = None
    if not isinstance(before, dict) or not isinstance(before.get("cases"), dict):
        path.replace(aside_of(path, "unknown"))
        return {}
    if (before.get("format"), before.get("firmware_sha256"), before.get("seed")) != (form, firmware, seed):
        path.replace(aside_of(path, str(before.get("firmware_sha256"))))
        return {}
    plant = plant_version()
    return {name: row for name, row in before["cases"].items() if row.get("plant_version") == plant}


def _write(
    folder: Path,
    form: str,
    firmware: str,
    seed: int,
    every: Sequence[Case | Pair],
    wanted: Sequence[Case | Pair],
    found: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Put the run as it stands on disk, whole or not at all."""
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
    replace_file(folder / RESULT, json.dumps(result, indent=1) + "\n")
    return result
