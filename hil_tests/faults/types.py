"""The shape of a row of the catalogue.

It refuses to hold a result: what a run came to stands in the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..bench.faults.case import Plan

MILD, SEVERE = "mild", "severe"
SEVERITIES = (MILD, SEVERE)

Planner = Callable[[str, bool], Plan]
"""(operating point, severe) -> what the case does."""


@dataclass(frozen=True)
class FaultType:
    """One type. `name` is its part of a case's name; the texts are for docs/faults.md.

    source: where the expected reaction stands; `own` names this project's pages and figures.
    """

    group: str
    name: str
    injector: str
    mild: str
    severe: str
    probe: str
    reaction: str
    source: str
    plan: Planner
