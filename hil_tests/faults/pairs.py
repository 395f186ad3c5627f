"""Pairs of faults: every two types at once, 1 540 of them, each at one operating point and in one severity.

Point and severity go round with the places of both in the catalogue, so that each type meets every point in
both; all six of each would be 9 240 cases. It refuses a name that is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

from ..bench.faults.both import both
from ..bench.faults.case import Plan
from ..bench.faults.rig import POINTS
from .catalogue import TYPES, Case, matching
from .types import SEVERITIES


@dataclass(frozen=True)
class Pair:
    """Two types at one point in one severity, named such as `sensors.open+tcp.half-open/winter/severe`."""

    first: Case
    second: Case

    @property
    def point(self) -> str:
        return self.first.point

    @property
    def name(self) -> str:
        a, b = self.first.type, self.second.type
        return f"{a.group}.{a.name}+{b.group}.{b.name}/{self.point}/{self.first.severity}"

    def plan(self) -> Plan:
        return both(self.first.plan(), self.second.plan())


def pairs() -> list[Pair]:
    """Every pair, in the order of the catalogue."""
    around = tuple(product(POINTS, SEVERITIES))
    found: list[Pair] = []
    for (i, first), (j, second) in combinations(enumerate(TYPES), 2):
        point, severity = around[(i + j) % len(around)]
        found.append(Pair(Case(first, point, severity), Case(second, point, severity)))
    return found


def chosen_pairs(names: list[str]) -> list[Pair]:
    """Return the pairs whose name is one of these or begins with one; all when there is none. WrongUse."""
    return matching(names, pairs())
