"""Faults inside the controller: heap, tasks, a program that stands still, a flash that is full.

Proved by what the board prints, by the reset the bench has seen, or by the heap the board reports.
"""

from __future__ import annotations

from .injector import Injector
from .rig import FaultRig

# As in vm/mischief.py, which runs in another interpreter
HOG, SHRED, BLOCK_4_S, BLOCK_20_S, STORM_LINE, STORM_CONTROL, FULL = 2, 4, 8, 16, 32, 64, 128
STAND = BLOCK_4_S | BLOCK_20_S
STANDS_S = 8.0  # a grant, the 4 s, and the tick in which it has caught up
WATCHDOG = 3  # machine.WDT_RESET


class Mischief(Injector):
    """The grants carry `bits`: all while the fault lasts, or `times` of them, one in `every` ticks."""

    needs = frozenset({"clock.virtual", "memory.mischief"})

    def __init__(
        self,
        rig: FaultRig,
        bits: int,
        said: str,
        *,
        times: int | None = None,
        every: int = 1,
        resets: bool = False,
    ) -> None:
        super().__init__(rig)
        self._bits, self._said, self._times, self._every = bits, said, times, every
        self._resets = resets
        self._left = times
        self._ticks = 0

    def inject(self) -> None:
        """Needs a rig that was wired with `mischief`."""
        fleet = self.rig.fleet
        self._before = len(fleet.resets(0))
        self._told = fleet.console(0, 10_000).count(self._said)
        self.each_tick()

    def remove(self) -> None:
        self.rig.fleet.mischief = 0

    def each_tick(self) -> None:
        due = self._ticks % self._every == 0 and self._left != 0
        self._ticks += 1
        if due and self._left is not None:
            self._left -= 1
        self.rig.fleet.mischief = self._bits if due else 0
        if due and self._bits & BLOCK_4_S:
            self.rig.blind_until_s = self.rig.now_s + STANDS_S

    def prove(self) -> str:
        fleet = self.rig.fleet
        told = fleet.console(0, 10_000).count(self._said) - self._told
        resets = fleet.resets(0)[self._before :]
        bitten = not self._resets or any(cause == WATCHDOG for _, cause in resets)
        return self.seen(
            told > 0 and bitten, f"{told} times '{self._said}' on the console, {len(resets)} resets"
        )
