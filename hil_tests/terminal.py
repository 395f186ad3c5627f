"""What every command of the bench does with its terminal: signals, progress, one speed.

It refuses to know any command.
"""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


@contextmanager
def signals_later() -> Iterator[None]:
    """Hold signals back until the imports are done, then let them act.

    A compiled module that is being initialised may swallow a KeyboardInterrupt: Cython's does for some
    milliseconds, and what was ended by Ctrl-C ran on (2 of 400 tries).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_speed(text: str) -> float | None:
    """Return simulated seconds per second; None for `max`."""
    if text == "max":
        return None
    try:
        wanted = float(text)
    except ValueError:
        wanted = 0.0
    if not 0.0 < wanted < 1e6:
        raise typer.BadParameter(f"{text!r} is no speed; give a positive number or max", param_hint="--speed")
    return wanted


def progress() -> Callable[[str], None]:
    """Return a printer of one living line on a terminal, of a line every twenty seconds elsewhere."""
    if sys.stderr.isatty():
        return lambda line: typer.echo(f"\r\x1b[K{line}", err=True, nl=False)
    calls = itertools.count()
    return lambda line: typer.echo(line, err=True) if next(calls) % 10 == 0 else None


def after_progress() -> None:
    """Leave the living line of `progress` as it stands, and begin another."""
    if sys.stderr.isatty():
        typer.echo("", err=True)
