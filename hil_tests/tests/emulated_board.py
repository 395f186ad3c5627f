"""An emulated board under power with a program of the test's on it, and its console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil_tests.bench.emulated_target import EmulatedSupply, write_image
from hil_tests.bench.serial_console import SerialStream, StreamConsole

PINS = "pins.bin"


@contextmanager
def emulated_board(folder: Path, main: str | None = None) -> Iterator[tuple[StreamConsole, EmulatedSupply]]:
    """Power a board whose main.py is `main`, or that has none; its files lie in `folder`."""
    flash = folder / "flash"
    flash.mkdir()
    if main is not None:
        (flash / "main.py").write_text(main)
    write_image(flash, folder / "flash.img")
    supply = EmulatedSupply(folder / "flash.img", folder / PINS, bytes(8))
    supply.on()
    console = StreamConsole("the board", lambda: SerialStream(supply.port), lambda: None)
    try:
        yield console, supply
    finally:
        console.close()
        supply.close()
