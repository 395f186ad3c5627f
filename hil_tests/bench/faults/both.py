"""Two faults on one rig, the second on top of the first, as one injector and one plan.

What the controller shows of one fault may hide behind the other, so that no tabled reaction is asked of a
pair: each fault is proved from outside, the house stays safe, the controller lives, and after both repairs
all is as before. It refuses a pair whose rigs are wired against each other.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

from .case import Plan, prove
from .injector import Injector, NotProven
from .rig import FaultRig

SETTLES_S = 60.0  # pump and pressures, until there is something to compare with [estimate]
TOGETHER_S = 600.0  # what both stay at the least [estimate]


class Both(Injector):
    """Puts one fault there, proves it, then the other on top.

    They are taken away in the other order, unless nothing can be seen of the second behind the first, as of
    noise on a sensor that is open: then the first is mended before it, and the second proved in between. What
    has nothing to be compared with even then, because no water flowed when it came, is put there once more.
    """

    def __init__(self, rig: FaultRig, plans: tuple[Plan, Plan]) -> None:
        super().__init__(rig)
        self._plans = plans
        self._first = ExitStack()
        self._second = ExitStack()
        self._proofs: list[str] = []
        self._hidden: Injector | None = None

    def inject(self) -> None:
        # undone from here: an injector whose injecting fails is not left by its own context
        with ExitStack() as first, ExitStack() as second:
            part, show_by_s = self._put(self._plans[0], first)
            self._proofs.append(prove(self.rig, part, show_by_s))
            part, show_by_s = self._put(self._plans[1], second)
            try:
                self._proofs.append(prove(self.rig, part, show_by_s))
            except NotProven:
                self._hidden = part
            self._first, self._second = first.pop_all(), second.pop_all()

    def _put(self, plan: Plan, stack: ExitStack) -> tuple[Injector, float]:
        """Put one fault there; return it and until when it has to show."""
        begun = self.rig.now_s
        if plan.scene is not None:
            plan.scene(self.rig)
        part = stack.enter_context(plan.inject(self.rig))
        self.rig.bench.run_for(plan.prove_s)
        return part, begun + plan.show_s

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._mend()
        finally:
            super().__exit__(kind, error, trace)

    def _mend(self) -> None:
        """One after the other, each with a tick in which the controller lets go of what was inside it."""
        if self._hidden is None:
            self._second.close()
            self.rig.clock.step()
            self._first.close()
        else:
            self._first.close()
            self.rig.clock.step()
            self.seen_late = self._seen_alone(self._hidden)
            self._second.close()
        self.rig.clock.step()

    def _seen_alone(self, part: Injector) -> str:
        second = self._plans[1]
        try:
            seen = prove(self.rig, part, self.rig.now_s + second.show_s)
            return f"behind it, seen once it was mended: {seen}"
        except NotProven:
            self._second.close()
            self.rig.bench.run_for(SETTLES_S)
            part, show_by_s = self._put(second, self._second)
            return (
                f"behind it, seen once it was mended and this came anew: {prove(self.rig, part, show_by_s)}"
            )

    def remove(self) -> None:
        try:
            self._second.close()
        finally:
            self._first.close()

    def prove(self) -> str:
        """Each has been proved when it came, unless the second is hidden; the first may be since."""
        seen = len(self._proofs) + (self._hidden is not None)
        return self.seen(seen == len(self._plans), "; ".join(self._proofs))


def both(first: Plan, second: Plan) -> Plan:
    """Return the plan of two faults at once. ValueError where their rigs contradict each other.

    They stay together for as long as the shorter of both cases lasts: what a house bears for that time alone
    is known, and how much longer it bears the other alone as well.
    """

    at_once = "first_tick" in first.wiring  # its moment comes by itself and would pass meanwhile

    def before(rig: FaultRig) -> None:
        for plan in (first,) if at_once else (first, second):
            if plan.before is not None:
                plan.before(rig)

    def then(rig: FaultRig) -> None:
        for step in (second.before if at_once else None, second.scene):
            if step is not None:
                step(rig)

    return replace(
        first,
        inject=lambda rig: Both(rig, (first, replace(second, scene=then))),
        detect=None,
        reacts=None,
        holds=None,
        span_s=max(TOGETHER_S, min(first.span_s, second.span_s)),
        prove_s=0.0,
        once=True,
        recovered=first.recovered & second.recovered,
        recover_s=max(first.recover_s, second.recover_s),
        before=before,
        scene=None,
        wiring=_joined(first.wiring, second.wiring),
    )


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    joined = {**first, **second}
    for key in first.keys() & second.keys():
        if isinstance(first[key], dict) and isinstance(second[key], dict):
            joined[key] = _joined(first[key], second[key])
        elif first[key] != second[key]:
            raise ValueError(f"{key} is {first[key]} for one fault and {second[key]} for the other")
    return joined
