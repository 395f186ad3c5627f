"""Faults of time: the authentic clock jumps, the year's change of the clock, the wrap of the tick counter."""

from __future__ import annotations

from datetime import datetime

from firmware.substation import order_frame

from ..errors import BenchError
from .injector import Injector
from .mischief_faults import ticks_ms
from .rig import FaultRig

WRAP_MS = 1 << 30


def tell_time(rig: FaultRig, unix_s: float) -> None:
    """Order the controller's time as a new owner does, who alone may move it far: under a later epoch."""
    slot = order_frame.STANDBY
    epoch = int(rig.read("standby_key_epoch_number")) + 1
    time = {"unix_time_set_s": float(round(unix_s))}
    receipt = rig.talk(
        lambda controller: controller.write_order(
            controller.order_words(time, lease_s=0, slot=slot, epoch=epoch), slot=slot
        )
    )
    if receipt.result != order_frame.ACCEPTED:
        raise BenchError(f"the time was refused (result {receipt.result}); nothing was changed")


class ClockAt(Injector):
    """The controller is told this time, or, after the right one, one that is `jump_s` beside it.

    It refuses a controller that lets its supervisor move a known time so far.
    """

    needs = frozenset({"clock.virtual"})

    def __init__(
        self, rig: FaultRig, *, jump_s: float = 0.0, at: datetime | None = None, leap: bool = False
    ) -> None:
        super().__init__(rig)
        self._jump_s, self._at, self._leap = jump_s, at, leap

    def inject(self) -> None:
        rig = self.rig
        self._right_s = rig.clock.utc.timestamp()
        if self._at is None:
            tell_time(rig, self._right_s)
            rig.bench.run_for(10.0)
        self._before = rig.read("unix_time_s")
        self._before_utc = rig.clock.utc.timestamp()
        self._told_s = self._before_utc + self._jump_s if self._at is None else self._at.timestamp()
        if self._at is None:
            time = {"unix_time_set_s": float(round(self._told_s))}
            receipt = rig.talk(
                lambda controller: controller.write_order(controller.order_words(time, lease_s=0))
            )
            if receipt.result == order_frame.ACCEPTED:
                raise BenchError("the supervisor moved a known time by an hour; that is no fault but a hole")
        tell_time(rig, self._told_s)
        if self._leap:  # a second that is counted twice
            rig.bench.run_for(2.0)
            tell_time(rig, self._told_s + 1.0)

    def remove(self) -> None:
        tell_time(self.rig, self.rig.clock.utc.timestamp())

    def prove(self) -> str:
        now = float(self.rig.read("unix_time_s"))
        away_s = now - self.rig.clock.utc.timestamp()
        wanted_s = self._told_s - self._before_utc - self._leap
        return self.seen(
            abs(away_s - wanted_s) < 1.0 and abs(away_s) > 1.0, f"its clock is {away_s:+.0f} s beside"
        )


class TickWrap(Injector):
    """Nothing to do: the board was started so that its tick counter comes to its end, or half, now.

    Where another fault has started it anew since, its counter began anew as well, and the mark comes later.
    """

    needs = frozenset({"clock.first_tick", "memory.mischief"})

    def __init__(self, rig: FaultRig, first_tick: int, at: int) -> None:
        super().__init__(rig)
        self._first, self._at = first_tick, at

    def inject(self) -> None:
        clock = self.rig.clock
        self._booted_s = self.rig.now_s - int(self.rig.read("uptime_s"))
        while clock.now_ms - 1000.0 * self._booted_s + self._first < self._at - 4_000:
            clock.step()
        self._asked_ms = clock.now_ms
        self._before = ticks_ms(self.rig)

    def remove(self) -> None:
        pass

    def prove(self) -> str:
        """The board's own counter on both sides of the mark, as far apart as the bench's clock."""
        elapsed_ms = self.rig.clock.now_ms - self._asked_ms
        before, after = self._before, ticks_ms(self.rig)
        uptime_s = int(self.rig.read("uptime_s"))
        past = 0 < self._at - before <= elapsed_ms and after == (before + elapsed_ms) % WRAP_MS
        return self.seen(
            past and abs(self._booted_s + uptime_s - self.rig.now_s) <= 2.0,
            f"its ticks from {before} to {after}, past {self._at}; uptime {uptime_s} s",
        )
