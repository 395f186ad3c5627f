"""Power and console of a laboratory that has labgrid: its exporters, socket strips and places.

labgrid is asked for only where a bench file names one of its targets; it is not needed otherwise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .board_target import Supply
from .errors import WrongUse
from .serial_console import Stream

READ_B = 4096
AT_ONCE_S = 0.01  # labgrid's drivers do not take 0 for "what is there"


class LabMissing(WrongUse):
    """A bench file asks for labgrid, and it is not installed."""

    code = "bench.lab_missing"


def _driver(file: Path, target: str, protocol: str) -> Any:
    try:
        labgrid = importlib.import_module("labgrid")
    except ImportError:
        raise LabMissing(
            f"{file.name}: names the labgrid target {target}, and labgrid is not installed here; nothing was "
            "started. Install it: pip install 'toplovod[lab]', or give power_on and power_off, or serial"
        ) from None
    try:
        found = labgrid.Environment(str(file)).get_target(target)
        if found is None:
            raise LookupError(f"{file.name} has no such target")
        driver = found.get_driver(protocol)
        found.activate(driver)
    except Exception as error:  # labgrid's own errors and those of its drivers have no common base
        raise WrongUse(
            f"{file.name}: labgrid gives no {protocol} for target {target} ({error}); nothing was started. "
            "Check it with: labgrid-client -c " + file.name
        ) from error
    return driver


class LabSupply(Supply):
    """A supply by labgrid's PowerProtocol."""

    def __init__(self, file: Path, target: str) -> None:
        self._driver = _driver(file, target, "PowerProtocol")

    def on(self) -> None:
        self._driver.on()

    def off(self) -> None:
        self._driver.off()


class LabStream:
    """A console by labgrid's ConsoleProtocol."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def read(self) -> bytes:
        try:
            return bytes(self._driver.read(size=1, timeout=AT_ONCE_S, max_size=READ_B))
        except Exception as error:
            # its end of waiting is pexpect's TIMEOUT or its own, by driver
            if type(error).__name__ == "TIMEOUT":
                return b""
            raise

    def write(self, data: bytes) -> None:
        self._driver.write(data)

    def close(self) -> None:
        """Stays open: labgrid owns the line."""


def console_opener(file: Path, target: str) -> Callable[[], Stream]:
    """Return what gives the console; labgrid is asked now, so that a mistake is told before any test."""
    driver = _driver(file, target, "ConsoleProtocol")
    return lambda: LabStream(driver)
