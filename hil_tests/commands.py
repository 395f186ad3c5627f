"""The bench's commands: `emulate` starts controllers, `demo` runs a town, `hil run` what takes long.

It refuses to do the work itself: each command reads its arguments, calls one module and prints.
"""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import typer

from .run_command import hil
from .terminal import as_speed, progress, signals_later

app = typer.Typer(no_args_is_help=True)
app.add_typer(hil, name="hil")


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
    with signals_later():
        from .bench.emulation import emulate as run

    run(
        count=count,
        port=port,
        rtu=rtu,
        heap=heap,
        profile=profile,
        whole_house=whole_house,
        seed=seed,
        speed=as_speed(speed),
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
    with signals_later():
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
        speed=as_speed(speed),
        port=port,
        seed=seed,
        say=lambda line: typer.echo(line, err=json),
        progress=progress(),
        live=page.live if page else None,
        finish=page.finish if page else None,
    )
    if page:
        typer.echo(f"Report: {result['report']}", err=json)
    if json:
        typer.echo(json_format.dumps(result))
    if not result["passed"]:
        raise typer.Exit(1)
