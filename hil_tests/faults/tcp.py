"""TCP: six types. The study counts six and names seven: pipelining and same ids are one here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ..acceptance import limit
from ..bench.errors import ModbusSilent
from ..bench.faults import tcp_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, NORMAL, QUIET, Check
from ..bench.faults.rig import FaultRig
from .types import FaultType

CROWD = faults.PLACES


def _newcomer(rig: FaultRig) -> bool:
    """Somebody who comes now is served, as is the one who was there before."""
    try:
        with contextlib.closing(rig.controller.connect()) as client:
            return client.read_input(0)[0] != 0 and rig.read("uptime_s") is not None
    except (ModbusSilent, OSError):
        return False


SERVED = Check("whoever was there and whoever comes is answered", _newcomer)
# How long a step takes cannot be judged here: virtual time stands while the program computes.
NO_TASK_LOST = Check("no task was begun again", lambda rig: int(rig.read("task_restart_count")) == 0)
HOLDS = ALL_GOES_ON & QUIET & NO_TASK_LOST

Make = Callable[[FaultRig, bool], faults.TcpFault]


def _tcp(make: Make) -> Callable[[str, bool], Plan]:
    return lambda point, severe: Plan(
        lambda rig: make(rig, severe),
        reacts=SERVED,
        react_s=limit("fault-line-answered"),
        holds=HOLDS,
        span_s=100.0,
        prove_s=30.0,
        recovered=SERVED & NORMAL,
    )


def _split(point: str, severe: bool) -> Plan:
    def make(rig: FaultRig) -> faults.TcpFault:
        made = faults.Split(rig, ticks_between=severe)
        rig.plant_seen["split"] = 0.0
        rig.recorders.append(lambda: rig.plant_seen.__setitem__("split", float(made.answered)))
        return made

    answered = Check("the request in pieces is answered", lambda rig: rig.plant_seen["split"] > 0.0)
    return Plan(
        make,
        reacts=answered & SERVED,
        react_s=limit("fault-line-pieces"),
        holds=HOLDS,
        span_s=100.0,
        prove_s=30.0,
        recovered=SERVED & NORMAL,
    )


def _pipelined(point: str, severe: bool) -> Plan:
    def make(rig: FaultRig) -> faults.TcpFault:
        made = faults.Pipelined(rig, 16 if severe else 4, same_id=severe)
        rig.plant_seen["all"] = 0.0
        rig.recorders.append(lambda: rig.plant_seen.__setitem__("all", float(made.all_answered())))
        return made

    answered = Check("each request has its answer, in their order", lambda rig: rig.plant_seen["all"] == 1.0)
    return Plan(
        make,
        reacts=answered & SERVED,
        react_s=limit("fault-line-answered"),
        holds=answered & HOLDS,
        span_s=100.0,
        prove_s=30.0,
        recovered=SERVED & NORMAL,
    )


GROUP = "tcp"
SERVICE = "others are served, newcomers too; no task is begun again, no alarm"
SOURCE = (
    "docs/modbus.md; design S12, whose control cycles are counted in real time by `firmware/tests/"
    "test_modbus_tcp.py`, test_s12_a_flood_costs_no_control_cycle"
)
ROWS = (
    FaultType(
        GROUP,
        "half-open",
        "clients that say nothing and never close",
        "two",
        "thirty, three more in every tick",
        "the kernel's table: the connections, and no byte sent on them",
        SERVICE,
        SOURCE,
        _tcp(lambda rig, severe: faults.Vanished(rig, 3, 30) if severe else faults.Vanished(rig, 2, 2)),
    ),
    FaultType(
        GROUP,
        "reset",
        "connections reset in the middle of a frame",
        "one in every tick",
        "five in every tick",
        "the kernel's table: gone without a farewell",
        SERVICE,
        SOURCE,
        _tcp(lambda rig, severe: faults.Resets(rig, 5 if severe else 1)),
    ),
    FaultType(
        GROUP,
        "split",
        "a request in pieces of one byte",
        "one after the other",
        "a control period between two",
        "what comes back, and when",
        f"answered once it is whole; {SERVICE}",
        "hil.md 4.4: split at every byte; docs/modbus.md",
        _split,
    ),
    FaultType(
        GROUP,
        "pipelining",
        "many requests in one segment",
        "four",
        "sixteen with the same transaction id",
        "transaction ids of what comes back",
        f"each has its answer, in their order; {SERVICE}",
        "hil.md 4.3 and 4.4: pipelined 2 to 16",
        _pipelined,
    ),
    FaultType(
        GROUP,
        "slow-loris",
        "a byte of a frame in every tick, never its end",
        "one client",
        "eight clients",
        "the kernel's table: connections with a part of a frame and no answer",
        SERVICE,
        SOURCE,
        _tcp(lambda rig, severe: faults.Loris(rig, 8 if severe else 1)),
    ),
    FaultType(
        GROUP,
        "table-full",
        "as many clients as there are places, each asks once and stays",
        "all places",
        "three times as many",
        "the kernel's table: the connections, each with its answer",
        f"the longest idle one gives way; {SERVICE}",
        f"firmware.md 3: evict the longest idle; {SOURCE}",
        _tcp(lambda rig, severe: faults.Crowd(rig, CROWD, 3 * CROWD if severe else CROWD)),
    ),
)
