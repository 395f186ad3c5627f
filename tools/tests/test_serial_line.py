"""What the tools run on a board to feed its watchdog, on doubles of what each port offers."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ..serial_line import FEED

ROOT = Path(__file__).resolve().parents[2]
SLOWEST_FEED_MS = 4_000  # half of the timeout: one call may come late
VIRTUAL, CHIPS_OWN = (-1,), (0, 1, 2, 3)


class Port:
    """Counts what is asked of machine.WDT and machine.Timer. timers: the numbers there are."""

    def __init__(self, timers: tuple[int, ...]) -> None:
        self.timers = timers
        self.timeouts_ms: list[int] = []
        self.feeds = 0
        self.calls: list[tuple[int, Callable[[Any], None]]] = []

    def WDT(self, *, timeout: int) -> Any:
        self.timeouts_ms.append(timeout)
        return SimpleNamespace(feed=self._feed)

    def _feed(self) -> None:
        self.feeds += 1

    def Timer(self, number: int, *, period: int, callback: Callable[[Any], None]) -> Any:
        if number not in self.timers:
            raise ValueError("Timer doesn't exist")
        self.calls.append((period, callback))
        return SimpleNamespace()


def run(monkeypatch: pytest.MonkeyPatch, machine: Any, names: list[str]) -> None:
    board_os = ModuleType("os")
    board_os.listdir = lambda path: names  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setitem(sys.modules, "os", board_os)
    exec(FEED, {})


@pytest.mark.parametrize("timers", [VIRTUAL, CHIPS_OWN])
@pytest.mark.parametrize("names", [["main.py", "substation"], ["boards", "substation"], ["main.py"]])
def test_a_board_with_a_program_is_fed_by_whatever_timer_it_has(
    monkeypatch: pytest.MonkeyPatch, timers: tuple[int, ...], names: list[str]
) -> None:
    port = Port(timers)
    run(monkeypatch, port, names)
    assert port.feeds == 1
    [(period_ms, callback)] = port.calls
    callback(None)
    assert port.feeds == 2 and period_ms <= SLOWEST_FEED_MS


def test_an_empty_board_gets_no_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port(VIRTUAL)
    run(monkeypatch, port, ["boot.py"])
    assert (port.timeouts_ms, port.calls) == ([], [])


def test_a_port_without_a_watchdog_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, SimpleNamespace(), ["main.py"])


def test_the_timeout_is_the_firmwares(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port(VIRTUAL)
    run(monkeypatch, port, ["main.py"])
    for path in ("firmware/main.py", "firmware/substation/app.py"):
        tree = ast.parse((ROOT / path).read_text())
        [wanted] = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WATCHDOG_MS"
        ]
        assert port.timeouts_ms == [wanted]
