"""What several test modules of the supervisor share: one running town, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .running_town import RunningTown


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTown]:
    """Controllers in MicroPython and a server, each a process of its own."""
    running = RunningTown(tmp_path_factory.mktemp("town"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
