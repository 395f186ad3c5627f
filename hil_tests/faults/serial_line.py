"""Serial line: eight types. The controller answers on RS-485; late answers it can only get on its M-Bus."""

from __future__ import annotations

from collections.abc import Callable

from ..acceptance import limit
from ..bench.faults import meter_faults
from ..bench.faults import serial_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, QUIET, Check, alarm, normal_but
from ..bench.faults.injector import Injector
from ..bench.faults.rig import FaultRig
from .meters import TOLD_S, WIRING, meter_bit, told
from .types import FaultType

LINE_TOLD_S = limit("fault-line-told")
ERRORS_FC8 = b"\x08\x00\x0c\x00\x00"  # frames broken, of all lines (docs/modbus.md)


def _broken(rig: FaultRig) -> int:
    return int.from_bytes(rig.controller.client().request(ERRORS_FC8)[3:5], "big")


NO_LIES = Check("every answer on the line is whole", lambda rig: rig.master.wrong == 0)
NOTHING_DONE = Check("no order was taken", lambda rig: int(rig.read("accepted_order_count")) == 0)
HARMLESS = NO_LIES & NOTHING_DONE & ALL_GOES_ON & QUIET
COUNTED = Check("counter 8/12 tells of broken frames", lambda rig: _broken(rig) > 0)


def _answers(rig: FaultRig) -> bool:
    before = rig.master.right
    rig.clock.step()
    rig.clock.step()
    return rig.master.right > before and rig.is_normal()


ANSWERED = Check("the line is answered, and all as before", _answers)


def _line(
    mild: faults.Spoil, severe: faults.Spoil, *, counted: bool = True, answered: bool = False
) -> Callable[[str, bool], Plan]:
    return lambda point, is_severe: Plan(
        lambda rig: faults.Spoiled(rig, severe if is_severe else mild, answered=answered),
        COUNTED if counted else None,
        LINE_TOLD_S,
        holds=HARMLESS,
        span_s=200.0,
        prove_s=8.0,
        recovered=ANSWERED,
        wiring={"rtu": True},
    )


ORDER_ONCE = Check(
    "the order was taken once and refused once as a replay",
    lambda rig: int(rig.read("accepted_order_count")) == 1 and int(rig.read("refused_replay_count")) == 1,
)
NO_LEASE = Check(
    "the lease is over", lambda rig: int(rig.read("curve_shift_lease_number")) == 0
) & normal_but("refused_writes")


def _duplicate(point: str, severe: bool) -> Plan:
    if not severe:
        return _line(faults.doubled, faults.doubled, counted=False, answered=True)(point, severe)
    return Plan(
        faults.OrderTwice,
        alarm("refused_writes"),
        LINE_TOLD_S,
        ORDER_ONCE,
        LINE_TOLD_S,
        NO_LIES,
        200.0,
        8.0,
        once=True,
        recovered=NO_LEASE,
        wiring={"rtu": True},
    )


def _late(point: str, severe: bool) -> Plan:
    """A slave answers within 330 bits and 50 ms (EN 13757-2); what comes after is no answer."""
    return Plan(
        lambda rig: meter_faults.LateAnswer(rig, 40.0 if severe else 8.0),
        meter_bit("silent") & alarm("meter_lost"),
        TOLD_S,
        holds=ALL_GOES_ON,
        span_s=300.0,
        prove_s=60.0 if severe else 30.0,
        wiring=WIRING,
    )


def _other_unit(point: str, severe: bool) -> Plan:
    if not severe:
        return _line(faults.for_others, faults.for_others, counted=False)(point, severe)
    other: Callable[[FaultRig, bool], Injector] = lambda rig, _: meter_faults.OtherAddress(rig)  # noqa: E731
    return told(other, "refused", "meter_lost")(point, severe)


GROUP = "serial"
PAGE = "docs/modbus.md, Serial line"
SILENCE = "silence to every spoilt frame, counted in 8/12; no act, no alarm; heating and tap go on"
PROBE = "frames as they stood on the line, and the answers to them"
ROWS = (
    FaultType(
        GROUP,
        "bit-flip",
        "bits turned over in every frame",
        "one bit",
        "three bits",
        PROBE,
        SILENCE,
        f"serial line specification V1.0 (hil.md A11); {PAGE}",
        _line(faults.flipped(1), faults.flipped(3)),
    ),
    FaultType(
        GROUP,
        "truncation",
        "every frame ends early",
        "its last byte missing",
        "its half missing",
        PROBE,
        SILENCE,
        f"hil.md 4.2: the length is checked by function; {PAGE}",
        _line(faults.truncated(0.9), faults.truncated(0.5)),
    ),
    FaultType(
        GROUP,
        "duplicate",
        "the same bytes twice",
        "every request, at once",
        "a signed order, a moment later",
        PROBE,
        "a request doubled is answered once at most; an order acts once, its double is a refused replay",
        f"{PAGE}; design of orders: counter (S7)",
        _duplicate,
    ),
    FaultType(
        GROUP,
        "late-answer",
        "every answer of the meter is late",
        "by 8 s",
        "by 40 s",
        "times on the line",
        "`silent` and `meter_lost`; heating and tap go on",
        "EN 13757-2: 330 bits and 50 ms; docs/firmware.md, When a heat meter is lost or in doubt",
        _late,
    ),
    FaultType(
        GROUP,
        "other-unit",
        "talk that is for others",
        "requests and answers of unit 17 on RS-485",
        "the meter answers with another address",
        "addresses on the line",
        "RS-485: silence; M-Bus: `refused` and `meter_lost`",
        f"{PAGE}; EN 13757-2",
        _other_unit,
    ),
    FaultType(
        GROUP,
        "noise",
        "a burst of random bytes",
        "four before every frame and one in it",
        "forty before every frame and four in it",
        PROBE,
        SILENCE,
        PAGE,
        _line(faults.noise(4, 1), faults.noise(40, 4)),
    ),
    FaultType(
        GROUP,
        "break",
        "the line is held low: zeros",
        "as long as a frame",
        "four hundred bytes in every tick",
        PROBE,
        SILENCE,
        PAGE,
        _line(faults.broken(8), faults.broken(400)),
    ),
    FaultType(
        GROUP,
        "baud-parity",
        "master and controller set differently",
        "parity: characters are dropped",
        "the master at half the speed",
        PROBE,
        SILENCE,
        PAGE,
        _line(faults.other_parity, faults.half_baud),
    ),
)
