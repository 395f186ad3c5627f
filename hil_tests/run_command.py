"""The command `hil run`: a long run of the bench in lockstep, with its report.

It refuses to do the work itself: it reads the arguments, calls one module, and says how it ended. Whatever
breaks a run off, its report is written, marked partial, and says why.
"""

from __future__ import annotations

import json as json_format
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .bench.kept import SCENARIO
from .terminal import after_progress, progress, signals_later

if TYPE_CHECKING:
    from .scenario_file import Scenario
    from .scenario_run import RunResult
    from .year import Plan as YearPlan

# Who takes the options of `hil run` that not every run takes.
TAKEN_BY = {
    "site": ("week",),
    "devices": (SCENARIO,),
    "days": ("year",),
    "from": ("year",),
    "slice-days": ("year",),
    "draw-offs": ("year", "seasons"),
    "case": ("faults", "dhw"),
    "pairs": ("faults",),
    "jobs": ("faults",),
}
Result = TypeVar("Result")

hil = typer.Typer(no_args_is_help=True, help="Long runs of the bench, each with its report.")


@hil.callback()
def _hil() -> None:
    """Long runs of the bench, each with its report."""


@hil.command("run")
def hil_run(
    context: typer.Context,
    scenario: Annotated[
        str,
        typer.Argument(
            help="week; year, seasons or dhw (one house); faults; a scenario such as l-2024, or its file."
        ),
    ],
    site: Annotated[
        str, typer.Option(help="Of the week: schutterwald, valley, or a site file.")
    ] = "schutterwald",
    devices: Annotated[
        int | None,
        typer.Option(min=1, max=500, help="Of a scenario: stations; as its file says when left out."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Fixed keys and draws.")] = 1,
    speed: Annotated[str, typer.Option(help="Only max: nothing here is paced.")] = "max",
    report: Annotated[
        Path,
        typer.Option("--report", help="Folder of the result; a rerun of week, year, dhw or faults resumes."),
    ] = Path("report"),
    days: Annotated[int | None, typer.Option(help="Of the year: run so many days only.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Of the year: first day, as 03-21; 01-01 when left out.")
    ] = None,
    slice_days: Annotated[int, typer.Option(help="Of the year: days between two places to resume at.")] = 14,
    draw_offs: Annotated[
        str, typer.Option(help="Of the year, seasons: load profile of the taps, S, M, L or XL.")
    ] = "M",
    case: Annotated[
        list[str] | None, typer.Option(help="faults, dhw: only this case; a type or group; may be repeated.")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="faults: two at once, each pair of types (hours; resumes).")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="faults: so many at a time; one a core when left out.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="End with one line {passed, sha256, kpi}.")] = False,
) -> None:
    """Run a scenario in lockstep as fast as this machine can, and write its result into a folder.

    Ctrl-C, or a controller that fails, ends every controller; what was measured is kept, marked partial.
    Exit status: 0 done and every check kept, 1 a check or a part failed or it was broken off, 2 wrong use.
    """
    with signals_later():
        from .bench.errors import WrongUse
        from .bench.kept import refuse_other_kind
        from .scenario_file import LONG_RUNS, find, read

    if speed != "max":
        raise WrongUse(f"--speed {speed}: scenarios run unpaced; nothing was started. Leave it out")
    file = None if scenario in LONG_RUNS else find(scenario)
    kind = SCENARIO if file else scenario
    _refuse_what_is_not_taken(context, scenario, kind)
    refuse_other_kind(report, "year" if kind == "seasons" else kind)
    if file is not None:
        outcome = _scenario(read(file), devices, seed, report, json)
    elif scenario == "week":
        outcome = _week(site, seed, report)
    elif scenario == "dhw":
        outcome = _dhw(case or [], seed, report)
    elif scenario == "faults":
        outcome = _faults(case or [], seed, report, pairs, jobs or os.cpu_count() or 1)
    else:
        plan, wanted = _year_plan(scenario, seed, days, from_, slice_days, draw_offs)
        outcome = _year(plan, wanted, report)
    if outcome["report"]:
        marked = ", marked partial" if outcome["partial"] else ""
        typer.echo(f"Report{marked}: {outcome['report']}", err=json)
    else:
        typer.echo("Nothing of it was whole yet: no report was written.", err=json)
    if json:
        typer.echo(json_format.dumps(outcome))
    if not outcome["passed"]:
        raise typer.Exit(1)


def _refuse_what_is_not_taken(context: typer.Context, scenario: str, kind: str) -> None:
    """Refuse the options that were given and mean nothing to this run; kind: its name or SCENARIO."""
    from .bench.errors import WrongUse

    for option, takers in TAKEN_BY.items():
        source = context.get_parameter_source({"from": "from_"}.get(option, option.replace("-", "_")))
        if source is not None and source.name == "COMMANDLINE" and kind not in takers:
            raise WrongUse(
                f"--{option}: {scenario} does not take it, only {' and '.join(takers)}; nothing was started. "
                "Leave it out"
            )


def _command() -> list[str]:
    """Return what repeats this run."""
    return ["toplovod", *sys.argv[1:]]


def _outcome(
    passed: bool, report: Path | None, sha256: str | None, kpi: Any, broken_off: str = ""
) -> dict[str, Any]:
    """Return the line of `--json`; broken_off: why, for one that is not whole."""
    return {
        "passed": passed and not broken_off, "partial": bool(broken_off), "sha256": sha256, "kpi": kpi,
        "report": str(report) if report else None,
    }  # fmt: skip


def _until_broken_off(run: Callable[[], Result]) -> tuple[Result | None, str]:
    """Return what a run gives and no reason, or nothing and why it was broken off, having said so.

    Wrong use is raised: then nothing was started.
    """
    with signals_later():
        from .bench.ending import signals_as_ctrl_c, why
        from .bench.errors import BenchError

    try:
        with signals_as_ctrl_c():
            return run(), ""
    except (KeyboardInterrupt, BenchError, OSError, ValueError) as error:
        if getattr(error, "exit_status", 1) == 2:
            raise
        reason = why(error)
    after_progress()
    typer.echo(
        f"Broken off ({reason}). Every controller has ended; a rerun goes on after what is whole.", err=True
    )
    return None, reason


def _week(site: str, seed: int, report: Path) -> dict[str, Any]:
    with signals_later():
        from .bench.report import require_folder
        from .demo_report import write_partial_week, write_week_report
        from .week import Plan, run_week

    require_folder(report)
    plan = Plan(town=site, seed=seed)
    week, reason = _until_broken_off(lambda: run_week(plan, report, lambda line: typer.echo(line, err=True)))
    if week is None:
        with signals_later():  # a second Ctrl-C would take what the first one left
            return _outcome(False, write_partial_week(report, reason, _command()), None, {}, reason)
    passed, page = write_week_report(report, week, _command())
    kpi = {name: week[name]["kpi"] for name in ("coordinated", "lowest_constant_dp")}
    return _outcome(passed, page, week["coordinated"]["sha256"], kpi)


def _dhw(cases: list[str], seed: int, report: Path) -> dict[str, Any]:
    with signals_later():
        from .bench.report import require_folder
        from .dhw import page, steps

    wanted = steps.chosen(cases)
    require_folder(report)
    content, reason = _until_broken_off(lambda: steps.run(steps.Plan(seed=seed), wanted, report, progress()))
    with signals_later():
        if content is None:
            content = steps.load(report / steps.RESULT)
        if not content or not content.get("cases"):
            return _outcome(False, None, None, {}, reason)
        passed, path, kpi = page.write(report, content, _command(), len(wanted), reason)
        return _outcome(passed, path, steps.digest_of(content), kpi, reason)


def _scenario(plan: Scenario, devices: int | None, seed: int, report: Path, json: bool) -> dict[str, Any]:
    with signals_later():
        from .bench.ending import run_folder, signals_as_ctrl_c
        from .bench.kept import put_aside
        from .bench.report import require_folder
        from .scenario_report import FILES, write_scenario_report
        from .scenario_run import run_scenario

    require_folder(report)
    stations = devices or plan.stations
    command = shlex.join(_command())
    untouched = True

    def write(results: list[RunResult]) -> dict[str, Any]:
        nonlocal untouched
        with signals_later():  # a second Ctrl-C would take what the first one left
            if untouched:
                untouched = False
                aside = put_aside(report, FILES)
                if aside is not None:
                    typer.echo(f"The former report lies in {aside} now.", err=True)
            return write_scenario_report(report, plan, results, stations=stations, seed=seed, command=command)

    with signals_as_ctrl_c(), run_folder("scenario") as folder:
        results = run_scenario(folder, plan, stations=stations, seed=seed, say=progress(), between=write)
    outcome = write(results)
    for result in results:
        cost = result.cost
        typer.echo(
            f"\n{result.run.name}: {cost.get('virtual_min', 0.0):.0f} virtual min in "
            f"{cost.get('wall_s', 0.0):.0f} s, {cost.get('pss_mean_mb', 0.0):.1f} MB a device, "
            f"{sum(c.passed for c in result.checks)} of {len(result.checks)} checks kept",
            err=json,
        )
        for check in result.checks:
            if not check.passed:
                typer.echo(
                    f"  not kept: {check.name}: {check.value}, limit {check.relation} {check.limit:g} "
                    f"{check.unit}",
                    err=json,
                )
    if outcome["partial"]:
        typer.echo(
            f"Broken off ({results[-1].stopped_by}). Every controller has ended.",
            err=True,
        )
    return outcome


def _year_plan(
    scenario: str, seed: int, days: int | None, first: str | None, slice_days: int, draw_offs: str
) -> tuple[YearPlan, list[tuple[int, int]]]:
    """Return the plan and the slices (first day, days) that were asked for. Raises WrongUse."""
    with signals_later():
        from . import year
        from .bench.errors import WrongUse
        from .bench.plant.draw_offs import PROFILES
        from .bench.plant.year_weather import YearWeather

    if draw_offs not in PROFILES:
        raise WrongUse(f"--draw-offs {draw_offs!r}: nothing was started. Profiles are {', '.join(PROFILES)}")
    try:
        begin = year.day_of(first) if first else 0
        if scenario == "seasons":
            wanted = [(day, 7) for day in year.season_weeks(YearWeather.read()).values()]
            slice_days = 7
        else:
            wanted = year.pieces(begin, year.DAYS - begin if days is None else days, slice_days)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    return year.Plan(seed=seed, slice_days=slice_days, draw_offs=draw_offs), wanted


def _year(plan: YearPlan, wanted: list[tuple[int, int]], report: Path) -> dict[str, Any]:
    with signals_later():
        from . import year, year_report
        from .bench.report import require_folder

    require_folder(report)
    content, reason = _until_broken_off(lambda: year.run(plan, wanted, report, progress()))
    with signals_later():
        if content is None:
            content = year.load(report / year.YEAR_FILE)
        if content is None or not year.only(content, wanted)["slices"]:
            return _outcome(False, None, None, {}, reason)
        passed, page, kpi = year_report.write(report, content, _command(), wanted, reason)
        sha256 = year_report.digest_of(year.only(content, wanted))
        return _outcome(passed, page, sha256, kpi, reason)


def _faults(names: list[str], seed: int, report: Path, pairs: bool, jobs: int) -> dict[str, Any]:
    with signals_later():
        from .bench.ending import signals_as_ctrl_c
        from .bench.report import require_folder
        from .faults.run import run_faults

    require_folder(report)
    try:
        with signals_as_ctrl_c():
            result = run_faults(
                names, report, lambda line: typer.echo(line, err=True), seed=seed, in_pairs=pairs,
                workers=jobs,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo("Broken off before the first case; every controller has ended.", err=True)
        raise typer.Exit(1) from None
    return {
        **{name: result[name] for name in ("passed", "partial", "sha256", "kpi")},
        "report": str(report / "report.html"),
    }
