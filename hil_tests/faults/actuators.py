"""Actuators: eight types, on the actuator that works at the operating point.

While heating, the outdoor air changes by 6 K as the fault begins, so that there is something to follow:
colder in the transition, warmer in winter, where colder would be beyond the design.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..acceptance import limit
from ..bench.faults import actuator_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, QUIET, alarm
from ..bench.faults.injector import Injector
from ..bench.faults.rig import FaultRig
from .types import FaultType

CHANGE_K = 6.0
FOLLOWS_S, TOLD_S = limit("fault-follows"), limit("fault-valve-told")
ASTRAY = alarm("valve_not_following")


def change(rig: FaultRig) -> None:
    if rig.heating_point:
        away_k = CHANGE_K if rig.point.outdoor_c < 0.0 else -CHANGE_K
        rig.bench.plant.outdoor_temp_c = rig.point.outdoor_c + away_k


def _follows(make: Callable[[FaultRig, bool], Injector]) -> Callable[[str, bool], Plan]:
    """Control copes with it."""
    return lambda point, severe: Plan(
        lambda rig: make(rig, severe),
        reacts=ALL_GOES_ON & QUIET,
        react_s=FOLLOWS_S,
        holds=ALL_GOES_ON & QUIET,
        span_s=FOLLOWS_S,
        prove_s=30.0,
        scene=change,
    )


def _told(make: Callable[[FaultRig, bool], Injector], **more: Any) -> Callable[[str, bool], Plan]:
    """No control can cope with it; it is told."""
    return lambda point, severe: Plan(
        lambda rig: make(rig, severe), ASTRAY, TOLD_S, span_s=TOLD_S, prove_s=30.0, scene=change, **more
    )


def _stuck(rig: FaultRig, severe: bool) -> Injector:
    # shut leaves a house cold; open would scald, which the thermostat of the wiring plan cannot shut either
    return faults.StuckStem(rig, 0.0 if severe else None)


def _leaking(point: str, severe: bool) -> Plan:
    make = lambda rig: faults.Leaking(rig, 0.20 if severe else 0.02)  # noqa: E731
    if point == "summer" and severe:
        return Plan(make, ASTRAY, TOLD_S, span_s=900.0, prove_s=30.0)
    return Plan(
        make,
        reacts=ALL_GOES_ON & QUIET,
        react_s=FOLLOWS_S,
        holds=ALL_GOES_ON & QUIET,
        span_s=900.0,
        prove_s=30.0,
    )


GROUP = "actuators"
OWN = "own: alarm `valve_not_following` of docs/registers.md; hil.md 2.2 knows no reaction to it"
COPES = "control copes, no alarm"
ROWS = (
    FaultType(
        GROUP,
        "stuck",
        "the stem no longer follows the motor",
        "where it stands",
        "shut",
        "relay times against the stem's way",
        "`valve_not_following` within half an hour; house and tap stay safe",
        OWN,
        _told(_stuck),
    ),
    FaultType(
        GROUP,
        "reversed",
        "the motor's wires exchanged",
        "in service",
        "and the controller switched off and on, as after a repair",
        "relay times against the stem's way",
        "`valve_not_following` within half an hour; house and tap stay safe",
        OWN,
        _told(lambda rig, severe: faults.Reversed(rig, restart=severe)),
    ),
    FaultType(
        GROUP,
        "half-speed",
        "the motor runs slower than site.json says",
        "twice the stroke time",
        "four times",
        "relay times against the stem's way",
        COPES,
        "own",
        _follows(lambda rig, severe: faults.Slower(rig, 4.0 if severe else 2.0)),
    ),
    FaultType(
        GROUP,
        "backlash",
        "play between motor and stem",
        "five times",
        "ten times",
        "how far the motor stands from the stem",
        COPES,
        "own; size: hil.md 4.1",
        _follows(lambda rig, severe: faults.Play(rig, 10.0 if severe else 5.0)),
    ),
    FaultType(
        GROUP,
        "leaking",
        "kv left when shut",
        "2 % of kvs",
        "20 % of kvs",
        "flow that the position of the stem does not explain",
        f"{COPES}; in summer 20 % is `valve_not_following`",
        OWN,
        _leaking,
    ),
    FaultType(
        GROUP,
        "end-switch-lost",
        "the motor runs on beyond its ends",
        "5 % of the stroke",
        "20 % of the stroke",
        "how far the motor is beyond its end",
        COPES,
        "own",
        _follows(lambda rig, severe: faults.EndSwitchLost(rig, 0.20 if severe else 0.05)),
    ),
    FaultType(
        GROUP,
        "relay-stuck",
        "a contact that stays closed",
        "the closing one",
        "the opening one",
        "the motor's way against what the relays were asked for",
        "`valve_not_following` within half an hour; the thermostat of the wiring plan keeps the tap safe",
        f"{OWN}; EN 14597, docs/boards.md",
        _told(lambda rig, severe: faults.RelayWelded(rig, opens=severe)),
    ),
    FaultType(
        GROUP,
        "travel-lost",
        "a share of each movement is lost",
        "a fifth",
        "a half",
        "relay times against the stem's way",
        COPES,
        "own",
        _follows(lambda rig, severe: faults.Slipping(rig, 2.0 if severe else 1.25)),
    ),
)
