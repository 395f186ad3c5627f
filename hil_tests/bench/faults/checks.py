"""What a case waits for: one sentence and the question that answers it, each asked in every tick.

A check looks at Modbus or at the plant. It refuses to look into an injector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware.substation import registers

from ...acceptance import limit
from .rig import DHW_NEAR_K, DHW_WANTED_C, NEAR_K, SHUT, FaultRig

WITH_SENSOR_K = limit("supply-with-sensor")
LOW_DP_BAR, LOW_DP_NEAR_BAR = limit("low-dp"), limit("low-dp-near")


@dataclass(frozen=True)
class Check:
    """`text` completes the sentence "the controller shows that …"; `so` answers it now.

    tolerates: alarms as bits that may stand once the fault is mended, because they tell of what has been.
    """

    text: str
    so: Callable[[FaultRig], bool]
    tolerates: int = 0

    def __and__(self, other: Check) -> Check:
        return Check(
            f"{self.text}; {other.text}",
            lambda rig: self.so(rig) and other.so(rig),
            self.tolerates | other.tolerates,
        )

    def __or__(self, other: Check) -> Check:
        return Check(f"{self.text}, or {other.text}", lambda rig: self.so(rig) or other.so(rig))


def alarm(name: str) -> Check:
    return Check(f"alarm `{name}`", lambda rig: rig.alarm(name))


def lost(register: str) -> Check:
    """The reading is told as no value."""
    return Check(f"`{register}` has no value", lambda rig: rig.read(register) is None)


def at_least(register: str, least: float) -> Check:
    return Check(f"`{register}` at least {least:g}", lambda rig: float(rig.read(register) or 0.0) >= least)


def key_lost() -> Check:
    return Check("the supply sensor has no value", lambda rig: rig.read(rig.key_sensor[1]) is None)


def supply_near(temp_c: float) -> Check:
    return Check(
        f"supply at {temp_c:g} °C",
        lambda rig: abs(float(rig.plant.secondary_supply_temp_c[0]) - temp_c) <= NEAR_K,
    )


def valve_near(share: float) -> Check:
    return Check(
        f"heating valve at {share:.0%}", lambda rig: abs(float(rig.plant.valve_position[0]) - share) <= SHUT
    )


PUMP_RUNS = Check("the circulation pump runs", lambda rig: int(rig.read("secondary_pump_out_number")) == 1)
DHW_SHUT = Check("the DHW valve is shut", lambda rig: float(rig.tap.position[0]) <= SHUT)


def _goes_on(rig: FaultRig) -> bool:
    if not rig.heating_point:
        return float(rig.plant.valve_position[0]) <= SHUT
    wanted_c = rig.read("secondary_supply_temp_effective_c")
    return abs(float(rig.plant.secondary_supply_temp_c[0]) - float(wanted_c)) <= WITH_SENSOR_K


# The true supply is compared, so the band is that of the sensor (class B) and of the control together.
HEATING_GOES_ON = Check(
    f"the supply stays within {WITH_SENSOR_K:g} K of what is wanted (in summer: the valve is shut)", _goes_on
)
DHW_GOES_ON = Check(
    f"draws end within {DHW_NEAR_K:g} K of {DHW_WANTED_C:g} °C",
    lambda rig: abs(rig.tap.last_draw_end_c - DHW_WANTED_C) <= DHW_NEAR_K,
)
ALL_GOES_ON = HEATING_GOES_ON & DHW_GOES_ON
NORMAL = Check("all as before the fault", FaultRig.is_normal)
QUIET = Check("no alarm", lambda rig: int(rig.read("alarm_bits")) & ~rig.tolerated_alarms == 0)


def _low_dp_told(rig: FaultRig) -> bool:
    left_bar = float(rig.plant.primary_dp_pa[0]) / 1e5
    told = rig.alarm("low_dp")
    if abs(left_bar - LOW_DP_BAR) > LOW_DP_NEAR_BAR and told != (left_bar < LOW_DP_BAR):
        return False
    others = int(rig.read("alarm_bits")) & ~(1 << registers.ALARM_BITS.index("low_dp"))
    return others & ~rig.tolerated_alarms == 0


LOW_DP_TOLD = Check(f"`low_dp` where less than {LOW_DP_BAR:g} bar are left, and no other alarm", _low_dp_told)


def normal_but(*names: str) -> Check:
    """As NORMAL; these alarms may stand, because they tell of what has been."""
    bits = sum(1 << registers.ALARM_BITS.index(name) for name in names)
    text = f"all as before the fault, but for {', '.join(names)}, which tell of it"
    return Check(text, FaultRig.is_normal, bits)
