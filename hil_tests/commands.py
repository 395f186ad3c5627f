"""The bench's commands: `emulate` starts controllers, `demo` runs a town, `hil run` a scenario.

It refuses to do the work itself: each command reads its arguments, calls one module and prints.
"""

from __future__ import annotations

import itertools
import json as json_format
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .scenario_file import Scenario
    from .scenario_run import RunResult
    from .week import Plan as WeekPlan

app = typer.Typer(no_args_is_help=True)

A_FILE = "a scenario"
# Who takes the options of `hil run` that not every run takes.
TAKEN_BY = {
    "site": ("week",),
    "devices": (A_FILE,),
    "days": ("year",),
    "from": ("year",),
    "slice-days": ("year",),
    "draw-offs": ("year", "seasons"),
    "case": ("faults", "dhw"),
    "pairs": ("faults",),
    "jobs": ("faults",),
}


@contextmanager
def _signals_later() -> Iterator[None]:
    """Hold signals back until the imports are done, then let them act.

    A compiled module that is being initialised may swallow a KeyboardInterrupt: Cython's does for some
    milliseconds, and what was ended by Ctrl-C ran on (2 of 400 tries).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _speed(text: str) -> float | None:
    """Return simulated seconds per second; None for `max`."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e6:
        raise typer.BadParameter(f"{text!r} is no speed; give a positive number or max", param_hint="--speed")
    return speed


def _progress() -> Callable[[str], None]:
    """Return a printer of one living line on a terminal, of a line every twenty seconds elsewhere."""
    if sys.stderr.isatty():
        return lambda line: typer.echo(f"\r\x1b[K{line}", err=True, nl=False)
    calls = itertools.count()
    return lambda line: typer.echo(line, err=True) if next(calls) % 10 == 0 else None


@app.command()
def emulate(
    count: Annotated[int, typer.Option(min=1, max=500, help="How many controllers.")] = 1,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="First TCP port; 0 = chosen by the system.")
    ] = 0,
    rtu: Annotated[bool, typer.Option("--rtu", help="Modbus RTU as well, on a pseudo terminal.")] = False,
    heap: Annotated[
        str | None, typer.Option(help="Heap of each controller; 192k, for a whole house 240k.")
    ] = None,
    profile: Annotated[str, typer.Option(help="substation or pump_station.")] = "substation",
    whole_house: Annotated[
        bool,
        typer.Option("--whole-house", help="One controller with all it can have: DHW, two circuits."),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fixed keys and draws; random when left out.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Simulated seconds per second, or max.")] = "1",
) -> None:
    """Start controllers with the shipped firmware, each with a small plant of its own, until Ctrl-C.

    Prints one JSON line for each: address, device id, key file (the supervisor's slot), profile; with
    --rtu also the path of its serial line and the baud rate.
    Exit status: 0 ended by Ctrl-C or SIGTERM, 1 a controller failed, 2 wrong use or a port in use.
    """
    with _signals_later():
        from .bench.emulation import emulate as run

    run(
        count=count,
        port=port,
        rtu=rtu,
        heap=heap,
        profile=profile,
        whole_house=whole_house,
        seed=seed,
        speed=_speed(speed),
        announce=lambda line: typer.echo(json_format.dumps(line)),
    )


@app.command()
def demo(
    site: Annotated[str, typer.Option(help="schutterwald, valley, or a site file.")] = "schutterwald",
    for_: Annotated[
        float | None, typer.Option("--for", min=0.0, help="End after so many real seconds with all live.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Simulated seconds per second, or max.")] = "20",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the screens; 0 = free one.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fixed keys and draws; random when left out.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write report.html and report.json into this folder.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one line {passed, sha256, kpi, ...}.")
    ] = False,
) -> None:
    """Run a whole town here: real firmware, emulated plant, the supervisor and its screens.

    Prints the address and a single-use login link once every substation is live; Ctrl-C ends it.
    Exit status: 0 ended as asked with all live, 1 something failed, 2 wrong use or a port in use.
    """
    with _signals_later():
        from .bench.kept import refuse_other_kind
        from .bench.report import require_folder
        from .demo import run_demo
        from .demo_report import DemoReport

    if report is not None:
        refuse_other_kind(report, "a demo")
        require_folder(report)
    page = DemoReport(report, ["toplovod", *sys.argv[1:]], site) if report is not None else None
    result = run_demo(
        site=site,
        for_s=for_,
        speed=_speed(speed),
        port=port,
        seed=seed,
        say=lambda line: typer.echo(line, err=json),
        progress=_progress(),
        live=page.live if page else None,
        finish=page.finish if page else None,
    )
    if page:
        typer.echo(f"Report: {result['report']}", err=json)
    if json:
        typer.echo(json_format.dumps(result))
    if not result["passed"]:
        raise typer.Exit(1)


hil = typer.Typer(no_args_is_help=True, help="Long runs of the bench, each with its report.")
app.add_typer(hil, name="hil")


@hil.callback()
def _hil() -> None:
    """Long runs of the bench, each with its report."""


def _refuse_what_is_not_taken(context: typer.Context, scenario: str, kind: str) -> None:
    """Refuse the options that were given and mean nothing to this run; kind: its name or A_FILE."""
    from .bench.errors import WrongUse

    for option, takers in TAKEN_BY.items():
        source = context.get_parameter_source({"from": "from_"}.get(option, option.replace("-", "_")))
        if source is not None and source.name == "COMMANDLINE" and kind not in takers:
            raise WrongUse(
                f"--{option}: {scenario} does not take it, only {' and '.join(takers)}; nothing was started. "
                "Leave it out"
            )


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
    with _signals_later():
        from .bench.errors import WrongUse
        from .bench.kept import refuse_other_kind
        from .bench.report import require_folder
        from .demo_report import write_week_report
        from .scenario_file import LONG_RUNS, find, read
        from .week import Plan

    if speed != "max":
        raise WrongUse(f"--speed {speed}: scenarios run unpaced; nothing was started. Leave it out")
    file = None if scenario in LONG_RUNS else find(scenario)
    kind = A_FILE if file else scenario
    _refuse_what_is_not_taken(context, scenario, kind)
    refuse_other_kind(report, "year" if kind == "seasons" else kind)
    if scenario in ("year", "seasons"):
        passed, page, line = _year(scenario, seed, report, days, from_, slice_days, draw_offs, require_folder)
        typer.echo(f"Report: {page}", err=json)
        if json:
            typer.echo(json_format.dumps({"passed": passed, **line}))
        if not passed:
            raise typer.Exit(1)
        return
    if scenario == "dhw":
        _run_dhw(case or [], report, seed, json)
        return
    if scenario == "faults":
        require_folder(report)
        _run_faults(case or [], report, seed, json, pairs, jobs or os.cpu_count() or 1)
        return
    if file is not None:
        plan = read(file)
        require_folder(report)
        _run_scenario(plan, devices, seed, report, json)
        return
    require_folder(report)
    week = _run_week(Plan(town=site, seed=seed), report)
    passed, page = write_week_report(report, week, ["toplovod", *sys.argv[1:]])
    typer.echo(f"Report: {page}", err=json)
    if json:
        kpi = {name: week[name]["kpi"] for name in ("coordinated", "lowest_constant_dp")}
        typer.echo(json_format.dumps({"passed": passed, "sha256": week["coordinated"]["sha256"], "kpi": kpi}))
    if not passed:
        raise typer.Exit(1)


def _run_week(plan: WeekPlan, report: Path) -> dict[str, Any]:
    """Return the whole week; exit with 1, having written a partial page, when it is broken off."""
    with _signals_later():
        from .bench.errors import BenchError
        from .demo_report import write_partial_week
        from .scenario_run import why
        from .week import run_week

    try:
        return run_week(plan, report, lambda line: typer.echo(line, err=True))
    except (KeyboardInterrupt, BenchError, OSError, ValueError) as error:
        if getattr(error, "exit_status", 1) == 2:
            raise  # wrong use: nothing was started
        reason = why(error)
    with _signals_later():
        page = write_partial_week(report, reason, ["toplovod", *sys.argv[1:]])
    typer.echo(
        f"Broken off ({reason}); what was measured is kept and shown, marked partial, and a rerun goes on "
        f"after the parts that are whole. Every controller has ended.\nReport: {page}",
        err=True,
    )
    raise typer.Exit(1)


def _run_dhw(cases: list[str], report: Path, seed: int, json: bool) -> None:
    with _signals_later():
        from .bench.emulation import signals_as_ctrl_c
        from .bench.report import require_folder
        from .dhw import page, steps

    wanted = steps.chosen(cases)
    require_folder(report)
    plan, command = steps.Plan(seed=seed), ["toplovod", *sys.argv[1:]]
    broken_off = False
    try:
        with signals_as_ctrl_c():
            content = steps.run(plan, wanted, report, _progress())
    except KeyboardInterrupt:
        content = steps.load(report / steps.RESULT) or {}
        broken_off = True
        if not content.get("cases"):
            raise
    passed, path, kpi = page.write(report, content, command, len(wanted))
    if broken_off:
        typer.echo(
            "Broken off; what was done is kept, and a rerun goes on there. The controller has ended.",
            err=True,
        )
    typer.echo(f"Report: {path}", err=json)
    if json:
        typer.echo(json_format.dumps({"passed": passed, "sha256": steps.digest_of(content), "kpi": kpi}))
    if broken_off or not passed:
        raise typer.Exit(1)


def _run_scenario(plan: Scenario, devices: int | None, seed: int, report: Path, json: bool) -> None:
    with _signals_later():
        from .bench.emulation import run_folder, signals_as_ctrl_c
        from .bench.kept import put_aside
        from .scenario_report import FILES, write_scenario_report
        from .scenario_run import run_scenario

    stations = devices or plan.stations
    command = shlex.join(["toplovod", *sys.argv[1:]])

    untouched = True

    def write(results: list[RunResult]) -> dict[str, Any]:
        nonlocal untouched
        with _signals_later():  # a second Ctrl-C would take what the first one left
            if untouched:
                untouched = False
                aside = put_aside(report, FILES)
                if aside is not None:
                    typer.echo(f"The former report lies in {aside} now.", err=True)
            return write_scenario_report(report, plan, results, stations=stations, seed=seed, command=command)

    with signals_as_ctrl_c(), run_folder("scenario") as folder:
        results = run_scenario(folder, plan, stations=stations, seed=seed, say=_progress(), between=write)
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
            f"Broken off ({results[-1].stopped_by}); the report is marked partial. "
            "Every controller has ended.",
            err=True,
        )
    typer.echo(f"Report: {outcome['report']}", err=json)
    if json:
        typer.echo(json_format.dumps(outcome))
    if not outcome["passed"]:
        raise typer.Exit(1)


def _year(
    scenario: str, seed: int, report: Path, days: int | None, first: str | None, slice_days: int,
    draw_offs: str, require_folder: Callable[[Path], None],
) -> tuple[bool, Path, dict[str, Any]]:  # fmt: skip
    with _signals_later():
        from . import year, year_report
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
    require_folder(report)
    progress = _progress()
    plan = year.Plan(seed=seed, slice_days=slice_days, draw_offs=draw_offs)
    command = ["toplovod", *sys.argv[1:]]
    try:
        content = year.run(plan, wanted, report, progress)
    except KeyboardInterrupt:
        kept = year.load(report / year.YEAR_FILE)
        if kept is not None and year.only(kept, wanted)["slices"]:
            _, page, _ = year_report.write(report, kept, command, wanted)
            typer.echo(f"cut off; what had ended is kept and shown, marked partial: {page}", err=True)
        raise
    passed, page, kpi = year_report.write(report, content, command, wanted)
    return passed, page, {"sha256": year_report.digest_of(year.only(content, wanted)), "kpi": kpi}


def _run_faults(names: list[str], report: Path, seed: int, json: bool, pairs: bool, jobs: int) -> None:
    with _signals_later():
        from .bench.emulation import signals_as_ctrl_c
        from .faults.run import run_faults

    try:
        with signals_as_ctrl_c():
            result = run_faults(
                names, report, lambda line: typer.echo(line, err=True), seed=seed, in_pairs=pairs,
                workers=jobs,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo("Broken off before the first case; every controller has ended.", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"Report: {report / 'report.html'}", err=json)
    if json:
        typer.echo(json_format.dumps({name: result[name] for name in ("passed", "sha256", "kpi")}))
    if not result["passed"]:
        raise typer.Exit(1)
