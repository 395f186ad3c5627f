"""Hydraulics: seven types, in network and exchangers."""

from __future__ import annotations

from ..acceptance import limit
from ..bench.faults import hydraulic_faults as faults
from ..bench.faults.case import Plan
from ..bench.faults.checks import ALL_GOES_ON, LOW_DP_TOLD, QUIET, alarm
from .types import FaultType

COPES_S, LOW_DP_S = limit("fault-reaction"), limit("fault-low-dp-told")


def _trip(point: str, severe: bool) -> Plan:
    return Plan(
        lambda rig: faults.PumpTrip(rig, 1e9 if severe else 120.0),
        alarm("low_dp"),
        LOW_DP_S,
        span_s=900.0 if severe else 300.0,
        prove_s=20.0,
        once=not severe,
    )


def _loss(point: str, severe: bool) -> Plan:
    if severe:
        return Plan(
            lambda rig: faults.PumpSpeed(rig, 0.2), alarm("low_dp"), LOW_DP_S, span_s=900.0, prove_s=20.0
        )
    return Plan(
        lambda rig: faults.PumpSpeed(rig, 0.6),
        reacts=ALL_GOES_ON & LOW_DP_TOLD,
        react_s=COPES_S,
        holds=ALL_GOES_ON & LOW_DP_TOLD,
        span_s=COPES_S,
        prove_s=20.0,
    )


def _surge(point: str, severe: bool) -> Plan:
    return Plan(
        lambda rig: faults.PumpSpeed(rig, 1.0 if severe else 0.9),
        holds=ALL_GOES_ON & QUIET,
        span_s=COPES_S,
        prove_s=20.0,
    )


def _supply(point: str, severe: bool) -> Plan:
    if severe:
        return Plan(
            lambda rig: faults.SupplyTemperature(rig, 110.0),
            reacts=ALL_GOES_ON & QUIET,
            react_s=COPES_S,
            holds=ALL_GOES_ON & QUIET,
            span_s=1_200.0,
            prove_s=30.0,
        )
    return Plan(
        lambda rig: faults.SupplyTemperature(rig, 50.0),
        holds=QUIET,
        span_s=1_200.0,
        prove_s=30.0,
        recover_s=limit("fault-recovery-slow"),
    )


def _low_flow(point: str, severe: bool) -> Plan:
    if severe:
        return Plan(lambda rig: faults.LowFlow(rig, 0.05), holds=QUIET, span_s=COPES_S, prove_s=20.0)
    return Plan(
        lambda rig: faults.LowFlow(rig, 0.5),
        reacts=ALL_GOES_ON & QUIET,
        react_s=COPES_S,
        holds=ALL_GOES_ON & QUIET,
        span_s=COPES_S,
        prove_s=20.0,
    )


def _fouled(point: str, severe: bool) -> Plan:
    if severe:
        return Plan(lambda rig: faults.Fouled(rig, 0.2), holds=QUIET, span_s=COPES_S, prove_s=20.0)
    return Plan(
        lambda rig: faults.Fouled(rig, 0.5),
        reacts=QUIET,
        react_s=COPES_S,
        holds=QUIET,
        span_s=COPES_S,
        prove_s=20.0,
    )


def _cold_pipe(point: str, severe: bool) -> Plan:
    return Plan(
        lambda rig: faults.ColdPipe(rig, *((40.0, 10.0) if severe else (10.0, 30.0))),
        reacts=ALL_GOES_ON & QUIET,
        react_s=limit("fault-cold-pipe"),
        span_s=COPES_S,
        prove_s=20.0,
        once=True,
    )


GROUP = "hydraulics"
COPES = "control copes, no alarm"
ROWS = (
    FaultType(
        GROUP,
        "pump-trip",
        "the plant's pump runs out",
        "for two minutes",
        "for a quarter of an hour",
        "pressure at the house",
        "`low_dp`; afterwards all as before",
        "own: alarm `low_dp` of docs/registers.md",
        _trip,
    ),
    FaultType(
        GROUP,
        "dp-loss",
        "the plant pumps slower",
        "60 % of full speed",
        "20 % of full speed",
        "pressure at the house",
        "60 %: control copes, `low_dp` where less than its limit is left; 20 %: `low_dp`",
        "own",
        _loss,
    ),
    FaultType(
        GROUP,
        "dp-surge",
        "the plant pumps faster",
        "90 % of full speed",
        "full speed",
        "pressure at the house",
        COPES,
        "own",
        _surge,
    ),
    FaultType(
        GROUP,
        "supply-temperature",
        "the plant sends other water",
        "low: 50 °C",
        "high: 110 °C",
        "temperature after the plant",
        "low: the house takes what there is, no alarm; high: control copes, tap and circuit in their limits",
        "own: design limits of domain.md 4.2",
        _supply,
    ),
    FaultType(
        GROUP,
        "low-flow",
        "less flow through both exchangers: air, dirt",
        "half of kv left",
        "a twentieth left",
        "flow at the same opening and pressure",
        "half: control copes; a twentieth: the house takes what there is",
        "own",
        _low_flow,
    ),
    FaultType(
        GROUP,
        "fouled",
        "less heat through both exchangers",
        "UA halved",
        "UA a fifth",
        "how warm the primary of each leaves",
        "the return limit may act; no alarm, house and tap safe",
        "own; UA -50 %: hil.md 4.1",
        _fouled,
    ),
    FaultType(
        GROUP,
        "cold-pipe",
        "cold water in the service pipe comes first",
        "10 kg at 30 °C",
        "40 kg at 10 °C",
        "temperature of what arrives",
        "all goes on within half an hour, no alarm",
        "own",
        _cold_pipe,
    ),
)
