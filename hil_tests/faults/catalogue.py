"""The whole catalogue in its order, and the names of its cases.

56 types (hil.md 4.1) at three operating points in two severities: 336 cases, named such as
`sensors.open/winter/severe`. It refuses a name that is none, with the nearest that is.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..bench.errors import WrongUse
from ..bench.faults.case import Plan
from ..bench.faults.rig import POINTS
from . import actuators, hydraulics, memory, meters, power, sensors, serial_line, tcp, times
from .types import SEVERE, SEVERITIES, FaultType

TYPES: tuple[FaultType, ...] = (
    *sensors.ROWS,
    *actuators.ROWS,
    *hydraulics.ROWS,
    *meters.ROWS,
    *serial_line.ROWS,
    *tcp.ROWS,
    *times.ROWS,
    *power.ROWS,
    *memory.ROWS,
)


class Named(Protocol):
    """What can be chosen by its name."""

    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Named)


@dataclass(frozen=True)
class Case:
    type: FaultType
    point: str
    severity: str

    @property
    def name(self) -> str:
        return f"{self.type.group}.{self.type.name}/{self.point}/{self.severity}"

    @property
    def severe(self) -> bool:
        return self.severity == SEVERE

    def plan(self) -> Plan:
        return self.type.plan(self.point, self.severe)


def cases() -> list[Case]:
    """Every case, in the order of the catalogue."""
    return [Case(kind, point, severity) for kind in TYPES for point in POINTS for severity in SEVERITIES]


def chosen(names: list[str]) -> list[Case]:
    """Return the cases whose name is one of these or begins with one; all when there is none. WrongUse."""
    return matching(names, cases())


def matching(names: list[str], every: list[C]) -> list[C]:
    """As `chosen`, among these."""
    if not names:
        return every
    found: list[C] = []
    for name in names:
        stem = name.rstrip("/.+")
        below = tuple(stem + sign for sign in "/.+")
        some = [case for case in every if case.name == stem or case.name.startswith(below)]
        if not some:
            known = [case.name for case in every] + [f"{kind.group}.{kind.name}" for kind in TYPES]
            near = difflib.get_close_matches(name, known, 3, 0.4)
            hint = f" Near: {', '.join(near)}." if near else ""
            raise WrongUse(f"{name}: no such fault case; nothing was started.{hint} All: docs/faults.md")
        found += [case for case in some if case not in found]
    return found
