"""Heat meter: three types, on the M-Bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmware.substation import registers

from ..acceptance import limit
from ..bench.faults import meter_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, Check, alarm
from ..bench.faults.injector import Injector
from ..bench.faults.rig import FaultRig
from .types import FaultType

WIRING: dict[str, Any] = {"meters": True}
TOLD_S, STUCK_S = limit("fault-meter-told"), limit("fault-meter-stuck")
PAGE = "docs/firmware.md, When a heat meter is lost or in doubt"


def meter_bit(name: str) -> Check:
    return Check(
        f"meter bit `{name}`",
        lambda rig: bool(int(rig.read("meter1_status_bits")) >> registers.METER_BITS.index(name) & 1),
    )


def told(
    make: Callable[[FaultRig, bool], Injector],
    bit: str,
    which: str,
    within_s: float = TOLD_S,
    span_s: float = 300.0,
) -> Callable[[str, bool], Plan]:
    return lambda point, severe: Plan(
        lambda rig: make(rig, severe),
        meter_bit(bit) & alarm(which),
        within_s,
        holds=ALL_GOES_ON,
        span_s=span_s,
        prove_s=20.0,
        wiring=WIRING,
    )


def _frozen(point: str, severe: bool) -> Plan:
    return Plan(
        lambda rig: faults.Frozen(rig, -20.0 if severe else 10.0),
        meter_bit("stuck") & alarm("meter_doubt"),
        STUCK_S,
        span_s=900.0,
        prove_s=30.0,
        recover_s=limit("fault-recovery-slow"),
        wiring=WIRING,
    )


GROUP = "meter"
ROWS = (
    FaultType(
        GROUP,
        "no-answer",
        "nothing comes back",
        "the meter is silent",
        "the line is cut both ways",
        "questions and answers counted on the line",
        "`silent` and `meter_lost`; heating and tap go on",
        f"EN 13757-2, Samson 557x Err 9 (firmware.md R15); {PAGE}",
        told(
            lambda rig, severe: faults.CutLine(rig) if severe else faults.Silent(rig), "silent", "meter_lost"
        ),
    ),
    FaultType(
        GROUP,
        "frozen",
        "the display stands while the meter counts on; the plant's water changes",
        "10 K warmer",
        "20 K colder",
        "records on the line against the heat that went by",
        "`stuck` and `meter_doubt`",
        f"hil.md 2.2 and 4.1: frozen values; {PAGE}",
        _frozen,
    ),
    FaultType(
        GROUP,
        "replaced",
        "the counters begin anew; a restart takes the meter as it is",
        "counters wrapped",
        "another meter",
        "number and energy on the line",
        "`replaced` and `meter_doubt`; heating and tap go on",
        f"hil.md 4.1: counter wrap or replacement; {PAGE}",
        told(
            lambda rig, severe: faults.Replaced(rig, 55_555_555 if severe else None),
            "replaced",
            "meter_doubt",
        ),
    ),
)
