"""The bench's commands: `emulate` starts controllers, `demo` runs a whole town.

It refuses to do the work itself: each command reads its arguments, calls one module and prints.
"""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _room() -> None:
    """Keeps a lone command from becoming the whole application."""


def _speed(text: str) -> float | None:
    """Return simulated seconds per second; None for `max`."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e6:
        raise typer.BadParameter(f"{text!r} is no speed; give a positive number or max")
    return speed


@app.command()
def emulate(
    count: Annotated[int, typer.Option(min=1, max=500, help="How many controllers.")] = 1,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="First TCP port; 0 = chosen by the system.")
    ] = 0,
    rtu: Annotated[bool, typer.Option("--rtu", help="Serve Modbus RTU on a pseudo terminal.")] = False,
    heap: Annotated[str, typer.Option(help="Heap of each controller.")] = "192k",
    profile: Annotated[str, typer.Option(help="substation or pump_station.")] = "substation",
    seed: Annotated[int | None, typer.Option(help="Fixed keys and draws; random when left out.")] = None,
    speed: Annotated[str, typer.Option(help="Simulated seconds per second, or max.")] = "1",
) -> None:
    """Start controllers with the shipped firmware, each with a small plant of its own, until Ctrl-C.

    Prints one JSON line for each: address, device id, key file (the supervisor's slot), profile.
    Exit status: 0 ended by Ctrl-C or SIGTERM, 1 a controller failed, 2 wrong use.
    """
    from .bench.emulation import emulate as run

    run(
        count=count,
        port=port,
        rtu=rtu,
        heap=heap,
        profile=profile,
        seed=seed,
        speed=_speed(speed),
        announce=lambda line: typer.echo(json_format.dumps(line)),
    )
