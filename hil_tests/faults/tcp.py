"""TCP: six types. The study counts six and names seven: pipelining and same ids are one here."""

from __future__ import annotations

from collections.abc import Callable

from ..bench.errors import ModbusSilent
from ..bench.faults import tcp_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, NORMAL, QUIET, Check
from ..bench.faults.rig import FaultRig
from ..bench.modbus import ModbusTcp
from ..bench.provisioning import MODBUS_HOST
from .types import FaultType

LOOP_MOST_MS = 200  # of a period of 2 s: a tenth
CROWD = faults.PLACES


def _newcomer(rig: FaultRig) -> bool:
    """Somebody who comes now is served, as is the one who was there before."""
    try:
        with ModbusTcp(MODBUS_HOST, rig.controller.device.port, deadline_s=faults.DEADLINE_S) as client:
            return client.read_input(0)[0] != 0 and rig.read("uptime_s") is not None
    except (ModbusSilent, OSError):
        return False


SERVED = Check("whoever was there and whoever comes is answered", _newcomer)
NO_CYCLE_LOST = Check(
    "no task was begun again and no control step took long",
    lambda rig: (
        int(rig.read("task_restart_count")) == 0 and int(rig.read("loop_time_max_ms")) <= LOOP_MOST_MS
    ),
)
HOLDS = ALL_GOES_ON & QUIET & NO_CYCLE_LOST

Make = Callable[[FaultRig, bool], faults.TcpFault]


def _tcp(make: Make) -> Callable[[str, bool], Plan]:
    return lambda point, severe: Plan(
        lambda rig: make(rig, severe),
        reacts=SERVED,
        react_s=30.0,
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
        react_s=60.0,
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
        react_s=30.0,
        holds=answered & HOLDS,
        span_s=100.0,
        prove_s=30.0,
        recovered=SERVED & NORMAL,
    )


GROUP = "tcp"
SERVICE = "others are served, newcomers too; no control cycle is lost, no alarm (S12)"
SOURCE = "design S12: a flood or an idle crowd costs no control cycle; docs/modbus.md"
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
