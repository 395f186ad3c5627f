"""One function in a process of its own, beside this one, on the second core.

It refuses to outlive the block that it was started in, whether that ends well, by an error or by Ctrl-C, and
to outlive a parent that was killed: what runs beside takes an hour and nobody would miss it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

from .ending import signals_as_ctrl_c
from .errors import BenchError

STOP_DEADLINE_S = 30.0  # real seconds: it has a town to switch off


class BesideFailed(BenchError):
    """The function raised, or its process ended without a result."""

    code = "bench.beside_failed"


class Beside:
    """Calls function(*arguments) from entering the block on. `what` names it in an error."""

    def __init__(self, what: str, function: Callable[..., Any], *arguments: Any) -> None:
        self._what = what
        self._here, there = multiprocessing.Pipe(duplex=False)
        self._there = there
        self._process = multiprocessing.Process(target=_run, args=(there, function, arguments))

    def __enter__(self) -> Self:
        self._process.start()
        self._there.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._process.terminate()
        self._process.join(STOP_DEADLINE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._here.close()

    def wait(self, seconds: float) -> bool:
        """Wait so many real seconds for it to end; say whether result() would return or raise at once."""
        return self._here.poll(seconds)

    def result(self) -> Any:
        """Wait for it and return what the function returned. Raises BesideFailed."""
        try:
            good, value = self._here.recv()
        except EOFError:
            self._process.join(STOP_DEADLINE_S)
            raise BesideFailed(
                f"{self._what}: its process ended with status {self._process.exitcode}; the run stopped there"
            ) from None
        self._process.join(STOP_DEADLINE_S)  # it has said all: to be ended now would be told as an error
        if not good:
            raise BesideFailed(f"{self._what}: {value}")
        return value


def _run(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt), signals_as_ctrl_c():
        try:
            answer = (True, function(*arguments))
        # an exception of any kind ends here as text: not every one survives the way between processes
        except Exception as error:
            answer = (False, str(error) if hasattr(error, "code") else f"{type(error).__name__}: {error}")
        pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
