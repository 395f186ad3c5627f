"""Tables, JSON and errors of the core's commands, the same everywhere; it computes nothing."""

from __future__ import annotations

import json as json_text
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from ..fluid import TemperatureOutOfRange
from ..network import SINGULAR, BadNetwork
from ..result import Certificate, HydraulicResult, NotConverged
from ..svg_plot import NothingToDraw

DONE, FAILED, WRONG_USE = 0, 1, 2
# columns of words; all others are figures and stand at the right
NAMES = ("id", "fails", "then", "element", "limit", "worst placed")
WORDS = (*NAMES, "why", "whom")


def plain(value: Any) -> Any:
    """JSON has no NaN: null stands for it, recursively."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_json(body: dict[str, Any]) -> None:
    """One document on one line."""
    typer.echo(json_text.dumps(plain(body), ensure_ascii=False))


def _console() -> Console:
    # a pipe or a file has no width: nothing is folded there
    folded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if folded else 400)


def say(line: str, style: str = "") -> None:
    """One sentence on standard output, not broken into lines: a script may look for it."""
    _console().print(line, style=style or None, markup=False, highlight=False, soft_wrap=True)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> None:
    """A table of at most that many rows (0: all), saying how many it left out."""
    table = RichTable(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(
            name, justify="left" if name in WORDS else "right", no_wrap=name in NAMES, overflow="fold"
        )
    shown = rows if most == 0 else rows[:most]
    for row in shown:
        table.add_row(*(escape(cell) for cell in row))
    _console().print(table)
    if len(shown) < len(rows):
        say(f"... {len(rows) - len(shown)} more rows; --rows 0 prints all\n")


def figure(value: float, digits: int) -> str:
    """A number for a table; what is not known is a dash."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def counted(tables: dict[str, int]) -> str:
    """`412 pipes, 1 source`: the tables that have rows."""
    return ", ".join(f"{n} {SINGULAR[table] if n == 1 else table}" for table, n in tables.items() if n)


def signed(value: float, digits: int) -> str:
    """A number with its sign; what rounds to nothing has none of its own."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def some(names: Sequence[str], most: int = 6) -> str:
    """Names with commas, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@contextmanager
def explained(json: bool) -> Iterator[None]:
    """What a network, a solve or the disk refuses becomes one sentence and the exit status that fits."""
    try:
        yield
    except (BadNetwork, NotConverged, NothingToDraw, TemperatureOutOfRange, OSError) as error:
        give_up(error, json)


def give_up(error: Exception, json: bool) -> NoReturn:
    """Say what is wrong, and what now, in words or as JSON, and leave."""
    code, message = getattr(error, "code", "file"), str(error)
    if isinstance(error, OSError):
        why = error.strerror or str(error)
        message = f"{error.filename}: {why}; nothing was changed. Check its path and its rights."
        if error.filename is None:
            message = f"{why}; nothing was changed."
    if json:
        body: dict[str, Any] = {"code": code, "message": message, "changed": False}
        if isinstance(error, NotConverged):
            body["certificate"] = {
                "converged": False,
                "islands": error.certificate.islands,
                "active_limits": error.certificate.active_limits,
            }
        print_json(body)
    else:
        console = Console(stderr=True, soft_wrap=True)
        console.print(f"{code}: {message}", style="red", markup=False, highlight=False)
    raise typer.Exit(FAILED if isinstance(error, NotConverged) else WRONG_USE)


def certificate_body(result: HydraulicResult) -> dict[str, Any]:
    """The certificate as it stands in every JSON document."""
    certificate = result.certificate
    return {
        "converged": certificate.converged,
        "method": certificate.method,
        "unique": certificate.unique,
        "islands": certificate.islands,
        "active_limits": certificate.active_limits,
        "unserved": certificate.unserved,
        "iterations": result.iterations,
        "residual_pressure_pa": result.residual_pressure_pa,
        "residual_mass_kg_s": result.residual_mass_kg_s,
    }


def print_certificate(result: HydraulicResult) -> None:
    """How it was solved, how exactly, and what is odd about the network."""
    certificate, steps = result.certificate, result.iterations
    say(
        f"solved in {steps} {'step' if steps == 1 else 'steps'}; largest residuals "
        f"{result.residual_pressure_pa:.1e} Pa, {result.residual_mass_kg_s:.1e} kg/s; "
        f"method {certificate.method}, unique {certificate.unique}"
    )
    print_oddities(certificate)


def print_oddities(certificate: Certificate) -> None:
    """Parts without pressure, elements at their limits, flows that could not be served."""
    for part in certificate.islands:
        say(f"nothing fixes the pressure of: {some(part)}", "yellow")
    for what, names in (("at a limit", certificate.active_limits), ("not served", certificate.unserved)):
        if names:
            say(f"{what}: {some(names, 10)}", "yellow")
