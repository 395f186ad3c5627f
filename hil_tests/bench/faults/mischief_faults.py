"""Faults inside the controller: heap, tasks, a program that stands still, a flash that is full.

Proved by the reset the bench has seen, by the heap as a measuring tick finds it, or by what the board prints.
"""

from __future__ import annotations

import re

from ..errors import BenchError
from .injector import Injector
from .rig import FaultRig

# As in vm/mischief.py, which runs in another interpreter
HOG, SHRED, BLOCK_4_S, BLOCK_20_S, STORM_LINE, STORM_CONTROL, FULL = 2, 4, 8, 16, 32, 64, 128
STAND = STORM_LINE | STORM_CONTROL
TICKS = BLOCK_4_S | BLOCK_20_S
STANDS_S = 8.0  # a grant, the 4 s, and the tick in which it has caught up
WATCHDOG = 3  # machine.WDT_RESET
LEFT_B, NEXT_TO_NOTHING_B, SHRED_B = 6_144, 256, 64  # as there
NEAR_B = 1_024  # what the program takes or gives back in a tick, and the tables of the heap [measured: 700]
PIECE_B = 3 * SHRED_B  # with the headers of both pieces and of what holds them


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


class HeapTaken(Mischief):
    """The heap is taken but for 6 kB, or next to nothing; a board that starts anew has its heap again.

    One that did so before it was looked at has said before what its collector found.
    """

    def __init__(self, rig: FaultRig, *, severe: bool, times: int | None = None) -> None:
        super().__init__(rig, HOG | SHRED if severe else HOG, "", times=times)
        self._left_b = NEXT_TO_NOTHING_B if severe else LEFT_B

    def inject(self) -> None:
        self._taken_before = len(self._taken())
        super().inject()

    def _taken(self) -> list[str]:
        return re.findall(
            r"^mischief: heap taken, (\d+) B are left", self.rig.fleet.console(0, 10_000), re.MULTILINE
        )

    def each_tick(self) -> None:
        if len(self.rig.fleet.resets(0)) > self._before:
            self._left = 0
        super().each_tick()

    def prove(self) -> str:
        left_b, block_b = measured_heap(self.rig)
        resets, taken = self.rig.fleet.resets(0)[self._before :], self._taken()[self._taken_before :]
        if resets and taken:
            return self.seen(
                abs(int(taken[-1]) - self._left_b) <= NEAR_B,
                f"{taken[-1]} B of the heap were left before it started anew, {len(resets)} resets",
            )
        return self.seen(
            abs(left_b - self._left_b) <= NEAR_B,
            f"{left_b} B of the heap are left, {block_b} B in the largest block",
        )


class HeapShredded(Mischief):
    """The free heap lies in pieces of 64 B, between others that are taken.

    A board that starts anew of it is broken again at once, and has said each time what its collector found.
    """

    def __init__(self, rig: FaultRig) -> None:
        super().__init__(rig, SHRED, "mischief: heap shredded")

    def prove(self) -> str:
        resets = self.rig.fleet.resets(0)[self._before :]
        told = self.rig.fleet.console(0, 10_000).count(self._said)
        if resets and told:
            return f"its heap was in pieces each time, {len(resets)} resets"
        left_b, block_b = measured_heap(self.rig)
        return self.seen(
            block_b <= PIECE_B and left_b > 50 * PIECE_B,
            f"{left_b} B of the heap are free, {block_b} B in the largest block",
        )


def measured_heap(rig: FaultRig) -> tuple[int, int]:
    """Run one tick; return what is free of the heap, and the largest block of it, both in bytes."""
    rig.clock.step(measure_heap=True)
    fleet = rig.fleet
    return fleet.pool_b - int(fleet.heap_b[0]), int(fleet.free_block_b[0])


def ticks_ms(rig: FaultRig) -> int:
    """Let the board print what its program's ticks_ms() says now, run one tick, and return it."""
    going_on = rig.fleet.mischief
    rig.fleet.mischief = asked = going_on | TICKS
    rig.clock.step()
    if rig.fleet.mischief == asked:  # no other fault has said since what the next grant carries
        rig.fleet.mischief = going_on
    told = re.findall(r"^mischief: ticks_ms\(\) is (\d+)$", rig.fleet.console(0), re.MULTILINE)
    if not told:
        raise BenchError("the board did not tell its ticks; is the rig wired with `mischief`?")
    return int(told[-1])
