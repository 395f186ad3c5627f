"""Sensors: ten types, as resistances at the terminals.

"Key sensor" is the supply sensor in use: of the heating circuit, in summer of the hot water.
"""

from __future__ import annotations

from collections.abc import Callable

from ..acceptance import limit
from ..bench import board_io
from ..bench.faults import sensor_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import (
    ALL_GOES_ON,
    DHW_GOES_ON,
    DHW_SHUT,
    HEATING_GOES_ON,
    PUMP_RUNS,
    QUIET,
    Check,
    alarm,
    key_lost,
    lost,
    supply_near,
    valve_near,
)
from ..bench.faults.injector import Injector
from ..bench.faults.rig import DHW_SUPPLY, FaultRig
from .actuators import change
from .types import FaultType

NOTICED_S, FALLBACK_S = limit("fault-sensor-lost"), limit("fault-fallback")
DOUBT_S = limit("fault-doubt")
SENSORS_OUT = "docs/firmware.md, When a sensor is lost"
SAFE = "the room stays above its floor, hot water below its limit; nobody inside one house can tell"

Make = Callable[[FaultRig, int], Injector]


def _lost(mild: Make, severe: Make) -> Callable[[str, bool], Plan]:
    """Outdoor sensor, or the key sensor: the rows of the fallback table."""

    def plan(point: str, is_severe: bool) -> Plan:
        if not is_severe:
            return Plan(
                lambda rig: mild(rig, board_io.OUTDOOR),
                alarm("sensor_lost") & lost("outdoor_temp_c"),
                NOTICED_S,
                supply_near(50.0) & PUMP_RUNS,
                FALLBACK_S,
                DHW_GOES_ON,
                span_s=900.0,
            )
        reacts = DHW_SHUT if point == "summer" else valve_near(0.30) & PUMP_RUNS
        return Plan(
            lambda rig: severe(rig, rig.key_sensor[0]),
            alarm("sensor_lost") & key_lost(),
            NOTICED_S,
            reacts,
            limit("fault-fallback-valve"),
            reacts,
            span_s=600.0,
        )

    return plan


def _key(
    make: Callable[[FaultRig, int, bool], Injector],
    holds: tuple[Check | None, Check | None],
    span_s: float = 600.0,
    scene: Callable[[FaultRig], None] | None = None,
) -> Callable[[str, bool], Plan]:
    """The key sensor tells something wrong that it may tell."""
    return lambda point, severe: Plan(
        lambda rig: make(rig, rig.key_sensor[0], severe),
        holds=holds[severe],
        span_s=span_s,
        prove_s=30.0,
        scene=scene,
    )


def _other_air(rig: FaultRig) -> None:
    """Move the air outside by 6 K: no season may begin or end by it."""
    rig.bench.plant.outdoor_temp_c = rig.point.outdoor_c + (-6.0 if rig.point.name == "transition" else 6.0)


def _stuck(point: str, severe: bool) -> Plan:
    if severe:
        return Plan(lambda rig: faults.Stuck(rig, rig.key_sensor[0], -8.0), span_s=900.0)
    return Plan(
        lambda rig: faults.Stuck(rig, board_io.OUTDOOR),
        holds=ALL_GOES_ON & QUIET,
        scene=_other_air,
        span_s=900.0,
    )


def _swapped(point: str, severe: bool) -> Plan:
    pair = (
        (board_io.SECONDARY_SUPPLY, board_io.SECONDARY_RETURN)
        if severe
        else (board_io.PRIMARY_SUPPLY, board_io.PRIMARY_RETURN)
    )
    if point == "summer":  # nothing flows in the circuit: no judgement, and none needed
        return Plan(lambda rig: faults.Swapped(rig, *pair), holds=HEATING_GOES_ON, span_s=600.0)
    return Plan(
        lambda rig: faults.Swapped(rig, *pair),
        alarm("sensor_doubt"),
        DOUBT_S,
        span_s=DOUBT_S,
        recover_s=limit("fault-recovery-swapped"),
    )


def _loose(point: str, severe: bool) -> Plan:
    if severe:
        return Plan(
            lambda rig: faults.Loose(rig, rig.key_sensor[0], 10.0, 60.0),
            alarm("sensor_lost"),
            limit("fault-sensor-loose"),
            span_s=600.0,
            prove_s=30.0,
        )
    return Plan(
        lambda rig: faults.Loose(rig, rig.key_sensor[0], 2.0, 20.0),
        holds=ALL_GOES_ON & QUIET,
        span_s=600.0,
        prove_s=30.0,
    )


def _slow(rig: FaultRig, channel: int, severe: bool) -> Injector:
    lag_s = 3.0 if channel == DHW_SUPPLY else 8.0  # of the sound sensor
    return faults.Slow(rig, channel, lag_s * (10.0 if severe else 5.0))


GROUP = "sensors"
ROWS = (
    FaultType(
        GROUP,
        "open",
        "no current at the terminals",
        "outdoor sensor",
        "key sensor",
        "the converter reads full scale",
        "`sensor_lost`; outdoors: supply at 50 °C, pump runs; key sensor: heating valve at 30 %, pump runs, "
        "in summer the DHW valve shut",
        f"Samson TROVIS 557x (firmware.md R19), Siemens RVL481 4.6.2 (hil.md 2.2); {SENSORS_OUT}",
        _lost(faults.Open, faults.Open),
    ),
    FaultType(
        GROUP,
        "short",
        "no voltage at the terminals",
        "outdoor sensor",
        "key sensor",
        "the converter reads 0",
        "as open",
        f"as open; {SENSORS_OUT}",
        _lost(faults.Short, faults.Short),
    ),
    FaultType(
        GROUP,
        "stuck",
        "the resistance of one moment, held",
        "outdoor sensor, while the air outside changes by 6 K",
        "key sensor, 8 K below the truth",
        "the terminals stand, the pipe or the air does not",
        f"heating goes on by what is read, no false alarm; {SAFE}",
        "own; hil.md 2.2 knows no reaction to it",
        _stuck,
    ),
    FaultType(
        GROUP,
        "drift",
        "a growing difference at the terminals",
        "key sensor, -0.1 K/min",
        "key sensor, -0.5 K/min",
        "the difference of terminals and pipe, against the minutes",
        f"a drift of 1.5 K changes nothing; {SAFE}",
        "own; size of the drift: hil.md 4.1",
        _key(
            lambda rig, channel, severe: faults.Drift(rig, channel, -0.5 if severe else -0.1),
            (ALL_GOES_ON & QUIET, None),
            900.0,
        ),
    ),
    FaultType(
        GROUP,
        "offset",
        "a fixed difference at the terminals",
        "key sensor, -2 K",
        "key sensor, -8 K",
        "the difference of terminals and pipe",
        f"2 K change nothing; {SAFE}",
        "own",
        _key(
            lambda rig, channel, severe: faults.Offset(rig, channel, -8.0 if severe else -2.0),
            (ALL_GOES_ON & QUIET, None),
        ),
    ),
    FaultType(
        GROUP,
        "noise",
        "normal noise, new in each sample",
        "key sensor, sigma 0.2 K",
        "key sensor, sigma 1 K",
        "sigma of the difference of terminals and pipe",
        "control goes on, no alarm",
        "own",
        _key(
            lambda rig, channel, severe: faults.Noise(rig, channel, 1.0 if severe else 0.2),
            (ALL_GOES_ON & QUIET, ALL_GOES_ON & QUIET),
        ),
    ),
    FaultType(
        GROUP,
        "slow",
        "a lag before the terminals, as of a dry pocket, while the air outside changes by 6 K",
        "key sensor, lag x 5",
        "key sensor, lag x 10",
        "how far the terminals are behind the pipe on its way",
        "control goes on, no alarm",
        "own; lag: hil.md 4.1",
        _key(_slow, (ALL_GOES_ON & QUIET, ALL_GOES_ON & QUIET), 900.0, change),
    ),
    FaultType(
        GROUP,
        "swapped",
        "the wires of supply and return exchanged",
        "network side",
        "heating side",
        "the difference of the terminals against that of the pipes",
        "`sensor_doubt` within half an hour of flow; in summer nothing flows and nothing is judged",
        "own: docs/firmware.md, Sensors that contradict each other",
        _swapped,
    ),
    FaultType(
        GROUP,
        "out-of-range",
        "a resistance that no temperature has",
        "outdoor sensor, 170 °C",
        "key sensor, -50 °C",
        "the resistance that the converter reads",
        "as open",
        f"as open; {SENSORS_OUT}",
        _lost(
            lambda rig, channel: faults.Beyond(rig, channel, 170.0),
            lambda rig, channel: faults.Beyond(rig, channel, -50.0),
        ),
    ),
    FaultType(
        GROUP,
        "intermittent",
        "open now and then",
        "key sensor, open 2 s in 20",
        "key sensor, open 10 s in 60",
        "open and sound samples counted at the converter",
        "2 s are borne; 10 s are `sensor_lost`",
        SENSORS_OUT,
        _loose,
    ),
)
