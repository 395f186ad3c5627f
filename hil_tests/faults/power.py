"""Flash and power: seven types."""

from __future__ import annotations

from collections.abc import Callable

from firmware.substation import order_frame

from ..acceptance import limit
from ..bench.errors import BenchError, ModbusException
from ..bench.faults import mischief_faults
from ..bench.faults import power_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, QUIET, Check, normal_but
from ..bench.faults.injector import Injector
from ..bench.faults.rig import FaultRig
from .types import FaultType

BACK_S = limit("fault-back")
HOMED_S = 900.0  # and what a valve that finds its end stop anew has done to the circuit shows by then
ON_S = 2.0  # between two brown-outs
ORDER_EVERY_S = 600.0  # while no file can be written


def _older_taken(rig: FaultRig) -> bool:
    heat_kwh = float(rig.read("primary_energy_kwh")) - rig.plant_seen[faults.HEAT_KWH]
    return int(rig.read("boot_count")) == rig.plant_seen[faults.BOOTS] and abs(heat_kwh) < 0.3


OLDER_TAKEN = Check("boots and heat are counted on from the generation before", _older_taken)
PROGRAM_BEFORE = Check(
    "the program before runs on",
    lambda rig: int(rig.read("firmware_hash_code")) == rig.plant_seen[faults.FIRMWARE],
)


def _comes_back(
    make: Callable[[FaultRig, bool], Injector],
    *alarms: str,
    shows: Check | None = None,
    before: Callable[[FaultRig], None] | None = None,
    span_s: float = 60.0,
) -> Callable[[str, bool], Plan]:
    return lambda point, severe: Plan(
        lambda rig: make(rig, severe),
        detect=shows,
        detect_s=limit("fault-flash-whole"),
        reacts=ALL_GOES_ON if alarms else ALL_GOES_ON & QUIET,
        react_s=BACK_S,
        span_s=span_s,
        prove_s=2.0,
        once=True,
        recovered=normal_but(*alarms),
        before=before,
        wiring={"mischief": True} if alarms else {},
    )


def _damaged(make: Callable[[FaultRig, bool], Injector]) -> Callable[[str, bool], Plan]:
    return _comes_back(make, shows=OLDER_TAKEN, before=faults.two_generations, span_s=HOMED_S)


def _cut(point: str, severe: bool) -> Plan:
    made: list[faults.ChipCuts] = []

    def make(rig: FaultRig) -> faults.ChipCuts:
        made.append(faults.ChipCuts(rig, "records" if severe else "log"))
        return made[-1]

    whole = Check("old or new stands after every cut", lambda rig: made[-1].whole())
    return Plan(
        make,
        reacts=whole,
        react_s=limit("fault-flash-whole"),
        holds=ALL_GOES_ON & QUIET,
        span_s=60.0,
        once=True,
    )


def _orders_taken() -> Check:
    """An order is sent now and then; each must be taken, and none may find another boot."""
    sent_s, taken = -ORDER_EVERY_S, True

    def so(rig: FaultRig) -> bool:
        nonlocal sent_s, taken
        if rig.now_s - sent_s >= ORDER_EVERY_S:
            sent_s = rig.now_s
            try:
                receipt = rig.talk(lambda controller: controller.order(curve_shift_sp_k=-1.0, lease_s=300))
                taken = receipt.result == order_frame.ACCEPTED
            except ModbusException:  # refused without a receipt
                taken = False
        return taken and rig.fleet.boots(0) == rig.plant_seen.setdefault(faults.BOOTS, rig.fleet.boots(0))

    return Check("orders are taken, no restart", so)


def _full(point: str, severe: bool) -> Plan:
    taken = _orders_taken()

    def orders(rig: FaultRig) -> None:
        """Give it something to write down."""
        if not taken.so(rig):
            raise BenchError("an order was refused before the fault began")

    return Plan(
        lambda rig: mischief_faults.Mischief(rig, mischief_faults.FULL, "mischief: no space"),
        holds=taken & ALL_GOES_ON & QUIET,
        span_s=7_400.0 if severe else 3_800.0,
        prove_s=60.0,
        show_s=3_700.0,  # records are written once an hour
        scene=orders,
        wiring={"mischief": True},
    )


GROUP = "power"
BACK = "back by itself, whole, on its own curve"
ROWS = (
    FaultType(
        GROUP,
        "cut",
        "the power goes at every program and erase, on a flash chip in memory",
        "the event log",
        "all records",
        "operations and cuts counted by the chip",
        "after every cut old or new stands, never a mixture",
        "S9; hil.md 4.5 and G5",
        _cut,
    ),
    FaultType(
        GROUP,
        "torn-page",
        "half of every newest record is not what was written",
        "never programmed",
        "scrambled",
        "the files before and after",
        f"the generation before is taken, boots and heat are counted on from it; {BACK}",
        "S9; firmware/substation/persistence.py",
        _damaged(lambda rig, severe: faults.Torn(rig, scrambled=severe)),
    ),
    FaultType(
        GROUP,
        "bit-rot",
        "bits of every newest record turned over",
        "one bit",
        "eight bits",
        "the files before and after",
        f"the generation before is taken, boots and heat are counted on from it; {BACK}",
        "S9; hil.md 4.1",
        _damaged(lambda rig, severe: faults.BitRot(rig, 8 if severe else 1)),
    ),
    FaultType(
        GROUP,
        "full",
        "no file can be written any more",
        "for an hour",
        "for two hours",
        "what the board prints when it is refused",
        "heating, tap and orders go on, no reset",
        "own: design 3.9, recording never stops control",
        _full,
    ),
    FaultType(
        GROUP,
        "brown-out",
        "power goes and comes, two seconds apart",
        "ten times",
        "thirty times",
        "boots counted by the bench",
        BACK,
        "hil.md 4.1: 10 boots in 30 s; Siemens RDF302 (hil.md 2.2): settings kept",
        _comes_back(lambda rig, severe: faults.BrownOut(rig, 30 if severe else 10, ON_S)),
    ),
    FaultType(
        GROUP,
        "while-moving",
        "it starts anew while a valve moves",
        "by a power cut",
        "because the control task died",
        "the relay in the last part of a tick before it, the moment of the reset, boots after",
        BACK,
        "S8; docs/decisions/0012",
        lambda point, severe: _comes_back(
            lambda rig, hard: faults.CutWhileMoving(rig, resets=hard),
            *(("watchdog_reset",) if severe else ()),
        )(point, severe),
    ),
    FaultType(
        GROUP,
        "update-cut",
        "the power goes while a signed image comes in",
        "after a tenth",
        "after three fifths",
        "bytes taken before the cut",
        f"the program before runs on; {BACK}",
        "S10; docs/updates.md",
        _comes_back(lambda rig, severe: faults.UpdateCut(rig, 0.6 if severe else 0.1), shows=PROGRAM_BEFORE),
    ),
)
