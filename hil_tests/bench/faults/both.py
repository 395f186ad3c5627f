"""Two faults on one rig, the second on top of the first, as one injector and one plan.

What the controller shows of one fault may hide behind the other, so that no tabled reaction is asked of a
pair: each fault is proved from outside as it comes, the house stays safe, the controller lives, and after
both repairs all is as before. It refuses a pair whose rigs are wired against each other.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from .case import Plan, prove
from .injector import Injector
from .rig import FaultRig


class Both(Injector):
    """Puts one fault there, proves it, then the other, and takes them away in the other order."""

    def __init__(self, rig: FaultRig, plans: tuple[Plan, Plan]) -> None:
        super().__init__(rig)
        self._plans = plans
        self._stack = ExitStack()
        self._proofs: list[str] = []

    def inject(self) -> None:
        # undone from here: an injector whose injecting fails is not left by its own context
        with ExitStack() as stack:
            for plan in self._plans:
                begun = self.rig.now_s
                if plan.scene is not None:
                    plan.scene(self.rig)
                part = stack.enter_context(plan.inject(self.rig))
                self.rig.bench.run_for(plan.prove_s)
                self._proofs.append(prove(self.rig, part, begun + plan.show_s))
            self._stack = stack.pop_all()

    def remove(self) -> None:
        self._stack.close()

    def prove(self) -> str:
        """Each has been proved when it came; the first may be hidden by the second since."""
        return self.seen(len(self._proofs) == len(self._plans), "; ".join(self._proofs))


def both(first: Plan, second: Plan) -> Plan:
    """Return the plan of two faults at once. ValueError where their rigs contradict each other."""

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
        span_s=max(first.span_s, second.span_s),
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
