"""Memory and processor: four types, inside the controller's own interpreter."""

from __future__ import annotations

from ..acceptance import limit
from ..bench.faults import mischief_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, QUIET, Check, alarm, at_least, normal_but
from .tcp import SERVED
from .types import FaultType

WIRING = {"mischief": True}
BACK_S = limit("fault-back")
STORM = 5
RESET = normal_but("watchdog_reset")


# It answers, so it runs. How long its start takes cannot be judged here: virtual time stands meanwhile.
BACK = Check("it is back", lambda rig: rig.fleet.powered(0) and rig.read("uptime_s") is not None)


def _hog(point: str, severe: bool) -> Plan:
    return Plan(
        lambda rig: faults.HeapTaken(rig, severe=severe, times=150 if severe else None),
        reacts=ALL_GOES_ON if severe else None,
        react_s=BACK_S,
        holds=None if severe else ALL_GOES_ON & QUIET,
        span_s=300.0,
        prove_s=20.0,
        wiring=WIRING,
        once=severe,
        recovered=RESET,
    )


def _shred(point: str, severe: bool) -> Plan:
    return Plan(
        faults.HeapShredded,
        holds=ALL_GOES_ON & QUIET,
        span_s=3_600.0 if severe else 600.0,
        prove_s=20.0,
        wiring=WIRING,
    )


def _block(point: str, severe: bool) -> Plan:
    if not severe:
        return Plan(
            lambda rig: faults.Mischief(
                rig, faults.BLOCK_4_S, "mischief: the program stands", times=5, every=10
            ),
            holds=ALL_GOES_ON & QUIET,
            span_s=200.0,
            prove_s=20.0,
            wiring=WIRING,
            once=True,
        )
    return Plan(
        lambda rig: faults.Mischief(
            rig, faults.BLOCK_20_S, "mischief: the program stands", times=1, resets=True
        ),
        alarm("watchdog_reset") & at_least("watchdog_reset_count", 1.0),
        limit("fault-watchdog-told"),
        BACK & ALL_GOES_ON,
        BACK_S,
        span_s=200.0,
        prove_s=20.0,
        wiring=WIRING,
        once=True,
        recovered=RESET,
    )


def _storm(point: str, severe: bool) -> Plan:
    if not severe:
        return Plan(
            lambda rig: faults.Mischief(
                rig, faults.STORM_LINE, "mischief: 1 task 'serve'", times=STORM, every=20
            ),
            at_least("task_restart_count", 1.0),
            limit("fault-task-told"),
            SERVED,
            limit("fault-task-told"),
            ALL_GOES_ON & QUIET,
            span_s=STORM * 40.0,
            prove_s=20.0,
            wiring=WIRING,
            once=True,
        )
    return Plan(
        lambda rig: faults.Mischief(
            rig, faults.STORM_CONTROL, "mischief: 1 task 'guarded_control'", times=3, every=20, resets=True
        ),
        alarm("watchdog_reset"),
        limit("fault-task-told"),
        BACK & ALL_GOES_ON,
        BACK_S,
        span_s=200.0,
        prove_s=20.0,
        wiring=WIRING,
        once=True,
        recovered=RESET,
    )


GROUP = "memory"
S8 = (
    "S8: a dead control task resets the board, a dead communication task restarts in place; the 2 s in which "
    "it is back are no figure of virtual time and not judged here"
)
ROWS = (
    FaultType(
        GROUP,
        "heap-exhaustion",
        "blocks taken from the controller's heap",
        "until 6 kB are left",
        "until next to nothing is left, for five minutes or until it starts anew",
        "live heap after a collection, and the largest block",
        "6 kB: all goes on; nothing left: it starts anew at most, and heats",
        f"{S8}; firmware.md: goals",
        _hog,
    ),
    FaultType(
        GROUP,
        "fragmentation",
        "the free heap in pieces of 64 B, every second one taken",
        "for ten minutes",
        "for an hour",
        "live heap after a collection, and the largest block",
        "heating and tap go on, no reset, no alarm",
        "hil.md 4.1: fragmentation soak",
        _shred,
    ),
    FaultType(
        GROUP,
        "blocking",
        "a callback that does not return",
        "for 4 s, five times",
        "for 20 s",
        "what the board prints; the reset the bench has seen",
        "4 s are borne; 20 s: the watchdog bites, `watchdog_reset`",
        f"hil.md 4.1: watchdog must bite; {S8}",
        _block,
    ),
    FaultType(
        GROUP,
        "exceptions",
        "a task ends by an exception, again and again",
        "the communication task",
        "the control task",
        "what the board prints; the reset the bench has seen",
        "communication is begun again in place; a dead control task resets the board, `watchdog_reset`",
        S8,
        _storm,
    ),
)
