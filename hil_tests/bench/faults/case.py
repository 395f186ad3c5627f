"""One fault case from power-on to verdict: settle, break, prove, watch, mend, watch.

Three verdicts: `met`, `not met` (the firmware did not show what is expected) and `error` (the bench could
not prove the fault or reach the operating point, so nothing is known). It refuses to widen what is
expected.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...acceptance import limit
from ..errors import BenchError, DeviceFailed, ModbusSilent
from ..plant_version import plant_origin
from .checks import NORMAL, Check
from .injector import Injector, NotPossible, NotProven
from .rig import POINTS, TICK_S, FaultRig, too_cold, too_hot
from .trace import Trace

MET, NOT_MET, ERROR = "met", "not met", "error"
PROVE_S = 600.0  # after so long a fault that is there must show: two draws, or the air sensor's lag twice


@dataclass
class Plan:
    """What one case does. Times in virtual seconds.

    inject: makes the injector on a rig. detect: what tells that the controller has noticed, None
    where nobody inside a house can notice. reacts: what must be so, once within `react_s` after the
    injection. holds: what must then be so at every look until the end of `span_s`. prove_s: when the fault is
    looked for first, show_s: when it must have shown. once: it is over by itself, so it is proved
    once. before: what must have been for the fault to have something to break, run before all else.
    scene: changes the world as the fault begins. wiring: of the rig.
    """

    inject: Callable[[FaultRig], Injector]
    detect: Check | None = None
    detect_s: float = limit("fault-noticed-other")
    reacts: Check | None = None
    react_s: float = limit("fault-reaction")
    holds: Check | None = None
    span_s: float = 600.0
    prove_s: float = 4.0
    show_s: float = PROVE_S
    once: bool = False
    recovered: Check = NORMAL
    recover_s: float = limit("fault-recovery")
    before: Callable[[FaultRig], None] | None = None
    scene: Callable[[FaultRig], None] | None = None
    wiring: dict[str, Any] = field(default_factory=dict)


@dataclass
class Result:
    """What came of a case. Seconds after the injection, or after the repair for `recovered_s`.

    trace: what the plant did (`trace.COLUMNS`), no part of the row.
    """

    case: str
    verdict: str = ERROR
    proof: str = ""
    why: str = ""
    detected_s: float | None = None
    reacted_s: float | None = None
    recovered_s: float | None = None
    dhw_over_s: float = 0.0
    thermostat_trips: int = 0
    room_least_c: float = 0.0
    supply_most_c: float = 0.0
    sha256: str = ""
    proven_s: float | None = None
    mended_s: float | None = None
    device_id: str = ""
    plant_version: str = ""
    simd_level: str = ""
    trace: list[list[float]] = field(default_factory=list)

    def as_row(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "trace"}


def run(name: str, plan: Plan, point: str, folder: Path, bundle: Path, seed: int = 1) -> Result:
    """Run one case in a folder of its own, which is taken away afterwards.

    NotPossible for a fault that the target cannot have; every other failure is in the result.
    """
    plant = plant_origin()
    result = Result(name, plant_version=plant["plant_version"], simd_level=plant["simd_level"])
    try:
        with FaultRig(folder, bundle, POINTS[point], seed=seed, **plan.wiring) as rig:
            result.device_id = rig.controller.device.device_id.hex()
            rig.settle()
            _story(rig, plan, result)
    except NotPossible:
        raise
    except NotProven as error:
        result.verdict, result.why = ERROR, f"not proven: {error}"
    except (
        ModbusSilent,
        DeviceFailed,
        ConnectionError,
    ) as error:  # the controller itself, whatever the fault was
        result.verdict, result.why = NOT_MET, str(error).splitlines()[0]
    except BenchError as error:
        result.verdict, result.why = ERROR, str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _story(rig: FaultRig, plan: Plan, result: Result) -> None:
    faults: list[str] = []
    for prepare in (plan.before, plan.scene):
        if prepare is not None:
            prepare(rig)
    injector = plan.inject(rig)
    trace = Trace(rig)  # it goes on filling its rows
    with injector:
        begun = injector.begun_s
        result.trace = trace.count_from(begun)
        rig.bench.run_for(plan.prove_s)
        result.proof = prove(rig, injector, begun + plan.show_s)
        result.proven_s = rig.now_s - begun
        _react(rig, plan, result, begun, faults)
        until = begun + plan.span_s
        broken_s = 0.0
        while rig.now_s < until:
            rig.clock.step()
            if plan.holds is not None and not plan.holds.so(rig):
                broken_s += TICK_S
        if plan.holds is not None and broken_s:
            faults.append(f"not so for {broken_s:g} s: {plan.holds.text}")
        if not plan.once:
            injector.prove()
    if injector.seen_late:
        result.proof += f"; {injector.seen_late}"
    rig.tolerated_alarms |= plan.recovered.tolerates
    mended = rig.now_s
    result.mended_s = mended - begun
    while not plan.recovered.so(rig):
        if rig.now_s - mended >= plan.recover_s:
            faults.append(f"not recovered {plan.recover_s:g} s after the repair: {rig.not_normal()}")
            break
        rig.clock.step()
    else:
        result.recovered_s = rig.now_s - mended
    result.dhw_over_s = rig.tap.over_most_s
    result.thermostat_trips = rig.tap.trips
    result.room_least_c = round(rig.room_least_c, 2)
    result.supply_most_c = round(rig.supply_most_c, 2)
    result.sha256 = rig.bench.sha256
    faults += [text for text in (too_hot(rig), too_cold(rig)) if text]
    result.verdict = NOT_MET if faults else MET
    result.why = "; ".join(faults)


def prove(rig: FaultRig, injector: Injector, until_s: float) -> str:
    """Let time pass until the fault shows; return what is seen. NotProven when it has not until then."""
    while True:
        try:
            return injector.prove()
        except NotProven:
            if rig.now_s >= until_s:
                raise
        rig.clock.step()


def _react(rig: FaultRig, plan: Plan, result: Result, begun: float, faults: list[str]) -> None:
    """Wait until the controller has noticed and has done what is expected, in either order."""
    detect, reacts = plan.detect, plan.reacts
    while detect is not None or reacts is not None:
        after = rig.now_s - begun
        if detect is not None:
            noticed = detect.so(rig)
            if noticed:
                result.detected_s = after
            if after > plan.detect_s or (after >= plan.detect_s and not noticed):
                faults.append(f"not noticed within {plan.detect_s:g} s: {detect.text}")
                detect = None
            elif noticed:
                detect = None
        if reacts is not None:
            done = reacts.so(rig)
            if done:
                result.reacted_s = after
            if after > plan.react_s or (after >= plan.react_s and not done):
                faults.append(f"not done within {plan.react_s:g} s: {reacts.text}")
                reacts = None
            elif done:
                reacts = None
        if detect is not None or reacts is not None:
            rig.clock.step()
