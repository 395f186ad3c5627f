"""How a run ends before its time: by a signal, by an error, and with nothing of it left on disk.

It refuses to end anything itself: controllers and processes end with the block that holds them.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and a closed terminal (SIGHUP) raise KeyboardInterrupt, as Ctrl-C does.

    Such a one carries the signal's name, see `stopped_by`.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(signum).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does; each is the expected end, not an error."""
    with suppress(KeyboardInterrupt), signals_as_ctrl_c():
        yield


def stopped_by(error: KeyboardInterrupt) -> str:
    """Return what a person is told of an interrupt: the signal, or the keys where there was none."""
    return str(error) or "Ctrl-C"


def why(error: BaseException) -> str:
    """Return what a person is told of an error that broke a run off; where it was, when it has no code."""
    if isinstance(error, KeyboardInterrupt):
        return stopped_by(error)
    if hasattr(error, "code"):
        return str(error)
    at = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f", {Path(frame.filename).name} line {frame.lineno}" for frame in at)
    return f"{type(error).__name__}: {error}{place}"


@contextmanager
def run_folder(purpose: str) -> Iterator[Path]:
    """Give a private folder for flash, keys and consoles; it is gone when the run is over."""
    folder = Path(tempfile.mkdtemp(prefix=f"toplovod-{purpose}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
