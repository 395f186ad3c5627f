"""`toplovod bench core`: measures on networks it makes itself and writes what it is told to."""

from __future__ import annotations

import json as json_text
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as RichTable

from .printing import FAILED

bench = typer.Typer(no_args_is_help=True, help="Measurements, each with its conditions.")


@bench.callback()
def _bench() -> None:
    """Measurements, each with its conditions."""


@bench.command("core")
def bench_core(
    sizes: Annotated[
        str,
        typer.Option(
            help="Links of the districts, comma between; default 100 to 100000, or two with --quick."
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option(help="Small districts, the highest level only, short rounds.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the measurements here after each; go on from them if interrupted."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the page (Markdown) to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the picture of cost over size (SVG) here.")] = None,
    from_json: Annotated[
        bool, typer.Option("--from-json", help="Measure nothing: page and picture from the --json file.")
    ] = False,
) -> None:
    """Measure the core beside EPANET and pandapipes on generated districts; ratios, goals, answers compared.

    Exit status: 0 measured, whatever came out, 1 a measurement failed or was interrupted, 2 wrong use.
    """
    from ..bench.report import console_table, markdown, picture
    from ..bench.run import QUICK_SIZES, SIZES, run

    try:
        chosen = tuple(int(size) for size in sizes.split(",")) if sizes else QUICK_SIZES if quick else SIZES
    except ValueError:
        raise typer.BadParameter(f"{sizes!r} is not a list of whole numbers", param_hint="--sizes") from None
    if min(chosen) < 50:
        raise typer.BadParameter("a district has at least 50 links", param_hint="--sizes")
    if from_json:
        if json is None or not json.exists():
            raise typer.BadParameter("there is no such file to read", param_hint="--json")
        document = json_text.loads(json.read_text(encoding="utf-8"))
    else:
        try:
            document = run(chosen, quick, json)
        except KeyboardInterrupt:
            typer.echo("interrupted; run it again with the same --json to go on", err=True)
            raise typer.Exit(FAILED) from None
        except RuntimeError as error:
            typer.echo(f"bench_failed: {error}", err=True)
            raise typer.Exit(FAILED) from None
    shown = None
    if plot is not None:
        plot.write_text(picture(document), encoding="utf-8")
        shown = Path(os.path.relpath(plot, report.parent)).as_posix() if report is not None else None
    if report is not None:
        report.write_text(markdown(document, shown), encoding="utf-8")
    table = RichTable(title="Goals", title_justify="left")
    for name in ("work", "links", "measured", ""):
        table.add_column(name)
    for row in console_table(document):
        table.add_row(*row)
    Console().print(table)
