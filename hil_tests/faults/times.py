"""Time: three types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from firmware.substation import order_frame

from ..acceptance import limit
from ..bench.errors import BenchError
from ..bench.faults import time_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, DHW_GOES_ON, QUIET, Check
from ..bench.faults.rig import FaultRig
from .types import FaultType

LEASE_S = 1_800
HOUR_S = 3_600.0
LAG_S = limit("fault-clock-lag")
COMFORT = ["02:30-22:00"]
WEEK = {"mon-fri": COMFORT, "sat": COMFORT, "sun": COMFORT}
SPRING = datetime(2026, 3, 29, 0, 57, tzinfo=UTC)  # 01:57 in winter time
AUTUMN = datetime(2026, 10, 25, 0, 57, tzinfo=UTC)  # 02:57 in summer time
CHANGE_AFTER_S = 180.0  # both change at 01:00 UTC
SET_BACK, IN_COMFORT = 1, 0  # schedule_mode_number
WRAP, HALF = 1 << 30, 1 << 29
AHEAD_MS = 2_200_000  # settling may take so long


def _leased(rig: FaultRig) -> None:
    receipt = rig.talk(lambda controller: controller.order(curve_shift_sp_k=-1.0, lease_s=LEASE_S))
    if receipt.result != order_frame.ACCEPTED:
        raise BenchError(f"the order was refused (result {receipt.result}); the case was not run")
    rig.plant_seen["leased_s"] = rig.now_s


LEASE_RUNS = Check(
    "the lease runs on by uptime",
    lambda rig: (
        abs(int(rig.read("curve_shift_lease_s")) - (LEASE_S - (rig.now_s - rig.plant_seen["leased_s"])))
        <= LAG_S
    ),
)


def _jump(point: str, severe: bool) -> Plan:
    return Plan(
        lambda rig: faults.ClockAt(rig, jump_s=-HOUR_S if severe else HOUR_S),
        reacts=LEASE_RUNS,
        react_s=limit("fault-clock"),
        holds=LEASE_RUNS & ALL_GOES_ON & QUIET,
        span_s=600.0,
        scene=_leased,
    )


def _mode(rig: FaultRig, first: int, then: int) -> bool:
    """Whether the schedule is what the local time of this moment asks for; a control period late at most."""
    told_s = float(rig.read("unix_time_s")) % HOUR_S
    changed = told_s < HOUR_S / 2.0  # past the full hour
    settling = changed and told_s < LAG_S
    return settling or int(rig.read("schedule_mode_number")) == (then if changed else first)


def _year_change(point: str, severe: bool) -> Plan:
    first, then = (IN_COMFORT, SET_BACK) if severe else (SET_BACK, IN_COMFORT)
    fits = Check("the schedule follows the local time", lambda rig: _mode(rig, first, then))
    changed = Check(
        "the schedule changes when the clock does",
        lambda rig: (
            LAG_S < float(rig.read("unix_time_s")) % HOUR_S < HOUR_S / 2.0
            and int(rig.read("schedule_mode_number")) == then
        ),
    )
    return Plan(
        lambda rig: faults.ClockAt(rig, at=AUTUMN if severe else SPRING, leap=severe),
        reacts=changed,
        react_s=limit("fault-clock-change"),
        holds=fits & DHW_GOES_ON & QUIET,
        span_s=600.0,
        wiring={"settings": {"schedule": WEEK, "utc_offset_min": 60, "summer_time": "eu"}},
        recover_s=limit("fault-recovery-slow"),
    )


def _wrap(at: int) -> Callable[[FaultRig], faults.TickWrap]:
    return lambda rig: faults.TickWrap(rig, at - AHEAD_MS, at)


def _ticks(point: str, severe: bool) -> Plan:
    at = HALF if severe else WRAP
    return Plan(
        _wrap(at),
        holds=LEASE_RUNS & ALL_GOES_ON & QUIET,
        span_s=900.0,
        prove_s=8.0,
        once=True,
        scene=_leased,
        wiring={"first_tick": at - AHEAD_MS, "mischief": True},
    )


GROUP = "time"
ROWS = (
    FaultType(
        GROUP,
        "clock-jump",
        "the controller is told a wrong time, under a new epoch of the keys",
        "an hour late",
        "an hour early",
        "its clock against the bench's",
        "leases count on by uptime; heating and tap go on, no alarm",
        "design 3.2 and S11: not-after and leases in uptime",
        _jump,
    ),
    FaultType(
        GROUP,
        "year-change",
        "the day on which the clock changes",
        "spring: an hour is left out",
        "autumn: an hour comes twice, and a second",
        "its clock against the bench's",
        "the schedule follows local time at once; the tap goes on, no alarm",
        "docs/firmware.md: `summer_time`; hil.md 4.1: DST, leap second",
        _year_change,
    ),
    FaultType(
        GROUP,
        "tick-wrap",
        "the board is started so that its counter comes to an end",
        "at 2^30 ms",
        "at 2^29 ms, where differences change their sign",
        "the board's own ticks before and after, against uptime",
        "uptime and leases count on; heating and tap go on, no alarm",
        "hil.md 4.1; S11",
        _ticks,
    ),
)
