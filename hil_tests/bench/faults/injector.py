"""What every injector of a fault is: a context that puts the fault there, takes it away, and can be proved.

A proof looks at the plant, at the pins or at the far end of a line, never at what the injector has noted
itself: a fault that was asked for and is not there would pass a test that tested nothing. It refuses to
let such a case count: no proof is an error of the bench, not a verdict on the firmware.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import BenchError

if TYPE_CHECKING:
    from .rig import FaultRig


class NotProven(BenchError):
    """A fault that was injected does not show where it must; the case says nothing about the firmware."""

    code = "bench.fault_not_proven"


class NotPossible(BenchError):
    """The target cannot have this fault; nothing was started."""

    code = "bench.fault_not_possible"
    exit_status = 2


class Injector:
    """One fault on one rig. `needs`: capabilities that the target must have."""

    needs: frozenset[str] = frozenset({"clock.virtual", "plant"})
    seen_late = ""
    """What was seen of it only while it was taken away."""
    begun_s = 0.0
    """When the fault began, on the bench's clock: as injecting began, or what `inject` says instead."""

    def __init__(self, rig: FaultRig) -> None:
        self.rig = rig
        missing = sorted(self.needs - rig.capabilities)
        if missing:
            raise NotPossible(
                f"{type(self).__name__}: {rig.target} has no {', '.join(missing)}; nothing was injected. "
                "Take a target that has it, or leave this fault out"
            )

    def __enter__(self) -> Self:
        self.rig.recorders.append(self.each_tick)  # first: what injecting makes happen is seen as well
        self.begun_s = self.rig.now_s
        self.inject()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rig.recorders.remove(self.each_tick)
        self.remove()

    def each_tick(self) -> None:
        """Look, or act, after every tick for as long as the fault is there."""

    def inject(self) -> None:
        """Put the fault there. What it wants to compare later it notes here."""
        raise NotImplementedError

    def remove(self) -> None:
        """Take it away; the system is to be as before but for what the fault has left behind."""
        raise NotImplementedError

    def prove(self) -> str:
        """Return what is seen of the fault, with figures; NotProven where nothing is."""
        raise NotImplementedError

    def seen(self, so: bool, what: str) -> str:
        """Return `what` where it is so; NotProven otherwise."""
        if not so:
            raise NotProven(f"{type(self).__name__}: {what}")
        return what
