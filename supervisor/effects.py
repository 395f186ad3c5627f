"""Estimate what a change of a setpoint does to heat and flow, for the preview.

It refuses to pass for a prediction: every answer is marked as an estimate and says what it rests on, and
where a reading it needs is not good there is no number at all.

Basis: radiators give heat with the power 1.3 of their temperature above the room (EN 442 type rating);
water of 70 °C weighs 978 kg/m³ and carries 4.186 kJ/(kg K); the primary return stays where it is, and
so do the other houses. These simplifications are ours.
"""

from __future__ import annotations

from typing import Any, Protocol

RADIATOR_EXPONENT = 1.3
HEAT_PER_FLOW_KWH_M3_K = 978.0 * 4.186 / 3600.0  # kW for 1 m3/h and 1 K
ROOM_TEMP_C = 20.0  # where no room sensor is read


class _Reader(Protocol):
    def point(self, device_id: str, name: str) -> Any: ...


def effect_of(latest: _Reader, device_id: str, point: str, value: float) -> dict[str, Any]:
    """Return {"estimate": True, "available": bool, …}: heat in kW and flow in m3/h before and after.

    `missing` names the readings that are not good when there is no number.
    """
    if point in ("secondary_supply_temp_sp_c", "curve_shift_sp_k"):
        return _supply_temp(latest, device_id, point, value)
    if point == "primary_flow_limit_sp_m3_h":
        return _flow_limit(latest, device_id, value)
    if point == "plant_dp_sp_bar":
        return _plant_dp(latest, device_id, value)
    if point == "plant_supply_temp_sp_c":
        return _plant_supply(latest, device_id, value)
    return {"estimate": True, "available": False, "missing": [], "basis": "none"}


def _good(latest: _Reader, device_id: str, *names: str) -> tuple[dict[str, float], list[str]]:
    values: dict[str, float] = {}
    missing = []
    for name in names:
        reading = latest.point(device_id, name)
        if reading.value is None or not reading.quality.live:
            missing.append(name)
        else:
            values[name] = float(reading.value)
    return values, missing


def _none(missing: list[str], basis: str) -> dict[str, Any]:
    return {"estimate": True, "available": False, "missing": missing, "basis": basis}


def _supply_temp(latest: _Reader, device_id: str, point: str, value: float) -> dict[str, Any]:
    basis = "radiator_exponent_1.3"
    values, missing = _good(
        latest, device_id, "primary_heat_kw", "primary_supply_temp_c", "primary_return_temp_c",
        "secondary_supply_temp_effective_c",
    )  # fmt: skip
    if missing:
        return _none(missing, basis)
    room, _ = _good(latest, device_id, "room_temp_c")
    room_c = room.get("room_temp_c", ROOM_TEMP_C)
    before_c = values["secondary_supply_temp_effective_c"]
    after_c = before_c + value if point == "curve_shift_sp_k" else value
    if before_c - room_c < 2.0:  # nearly no heating: the ratio would be noise
        return _none(["secondary_supply_temp_effective_c"], basis)
    ratio = (max(0.0, after_c - room_c) / (before_c - room_c)) ** RADIATOR_EXPONENT
    heat_after = values["primary_heat_kw"] * ratio
    spread = values["primary_supply_temp_c"] - values["primary_return_temp_c"]
    answer = _heat(values["primary_heat_kw"], heat_after, basis)
    if spread >= 5.0:
        answer |= _flow(values["primary_heat_kw"], heat_after, spread)
    answer["secondary_supply_temp_c"] = {"before": round(before_c, 1), "after": round(after_c, 1)}
    return answer


def _flow_limit(latest: _Reader, device_id: str, value: float) -> dict[str, Any]:
    basis = "flow_limit"
    values, missing = _good(
        latest, device_id, "primary_flow_m3_h", "primary_supply_temp_c", "primary_return_temp_c"
    )
    if missing:
        return _none(missing, basis)
    flow = values["primary_flow_m3_h"]
    spread = max(0.0, values["primary_supply_temp_c"] - values["primary_return_temp_c"])
    after = min(flow, value)
    heat = flow * spread * HEAT_PER_FLOW_KWH_M3_K
    answer = _heat(heat, after * spread * HEAT_PER_FLOW_KWH_M3_K, basis)
    answer["flow_m3_h"] = {"before": round(flow, 3), "after": round(after, 3)}
    return answer


def _plant_dp(latest: _Reader, device_id: str, value: float) -> dict[str, Any]:
    basis = "flows_stay"  # the houses' valves hold their flows, so the network's losses stay
    values, missing = _good(latest, device_id, "plant_dp_bar", "plant_flow_m3_h")
    if missing:
        return _none(missing, basis)
    # hydraulic power: bar times m3/h over 36 gives kW
    before = values["plant_dp_bar"] * values["plant_flow_m3_h"] / 36.0
    after = value * values["plant_flow_m3_h"] / 36.0
    return {
        "estimate": True,
        "available": True,
        "basis": basis,
        "plant_dp_bar": {"before": round(values["plant_dp_bar"], 3), "after": round(value, 3)},
        "hydraulic_power_kw": {"before": round(before, 2), "after": round(after, 2)},
        "house_dp_change_bar": round(value - values["plant_dp_bar"], 3),
    }


def _plant_supply(latest: _Reader, device_id: str, value: float) -> dict[str, Any]:
    basis = "heat_stays"
    values, missing = _good(
        latest, device_id, "plant_supply_temp_c", "plant_return_temp_c", "plant_flow_m3_h"
    )
    spread = values.get("plant_supply_temp_c", 0.0) - values.get("plant_return_temp_c", 0.0)
    after = value - values.get("plant_return_temp_c", 0.0)
    if missing or spread < 5.0 or after < 5.0:
        return _none(missing, basis)
    flow = values["plant_flow_m3_h"]
    return {
        "estimate": True,
        "available": True,
        "basis": basis,
        "flow_m3_h": {"before": round(flow, 2), "after": round(flow * spread / after, 2)},
    }


def _heat(before: float, after: float, basis: str) -> dict[str, Any]:
    return {
        "estimate": True,
        "available": True,
        "basis": basis,
        "heat_kw": {"before": round(before, 2), "after": round(after, 2)},
    }


def _flow(heat_before: float, heat_after: float, spread_k: float) -> dict[str, Any]:
    per = HEAT_PER_FLOW_KWH_M3_K * spread_k
    return {"flow_m3_h": {"before": round(heat_before / per, 3), "after": round(heat_after / per, 3)}}
