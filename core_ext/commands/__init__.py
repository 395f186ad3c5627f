"""Commands of the core: a network file solved, balanced, studied for outages, converted; its measurements.

Each module is one command. They read a network file and print tables or one JSON document; they write only
the files they are told to, and never the network file they read.
Exit status: 0 done, 1 no solution, consumers curtailed or an outage that cannot be borne, 2 wrong use or a
bad network.
"""

from __future__ import annotations

import typer

from .balance import balance
from .bench import bench
from .convert import convert
from .outages import outages
from .solve import solve

app = typer.Typer(no_args_is_help=True, help="Hydraulics of a network file.", rich_markup_mode=None)
app.command()(solve)
app.command()(balance)
app.command()(outages)
app.command()(convert)
app.add_typer(bench, name="bench")

__all__ = ["app"]
