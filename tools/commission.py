"""Judge a controller in its cellar by reading it: every sensor, its limits, and whether they agree.

It refuses to move anything: it reads plain Modbus and sends no order. What it cannot judge it notes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from firmware.substation import registers
from supervisor.field.identity import Identity
from supervisor.field.units import unit_of

from .controller import Controller, Point

FORMAT = "toplovod-commissioning/1"

# Pt1000 class B is good for ±(0.3 + 0.005 |t|) K, IEC 60751: 0.8 K at 100 °C, so two of them may differ
# by 1.6 K; 2 K leaves room for the wiring.
SENSOR_PAIR_K = 2.0
OUTDOOR_DIFFERENCE_K = 3.0  # the technician's thermometer in the shade beside a wall sensor [estimate]
OUTDOOR_COLDEST_C = -35.0  # beyond any weather of central Europe [estimate]
OUTDOOR_WARMEST_C = 45.0
ROOM_COLDEST_C, ROOM_WARMEST_C = 5.0, 35.0  # an inhabited room [estimate]
FLOW_THAT_COUNTS_M3_H = 0.05  # below it water in the pipes takes the cellar's temperature [estimate]
CONTROL_PERIOD_MS = 2000
SAFE_START = 4

# The board's channel, and so the bit in sensor_fault_bits, of each input that is wired unless site.json says
# otherwise. Where it wires them to other channels a lost one is still told by the check of the alarms.
CHANNELS = {
    "outdoor_temp_c": 0,
    "primary_supply_temp_c": 1, "primary_return_temp_c": 2,
    "secondary_supply_temp_c": 3, "secondary_return_temp_c": 4,
    "room_temp_c": 5, "primary_dp_bar": 6, "primary_flow_m3_h": 7,
    "plant_supply_temp_c": 1, "plant_return_temp_c": 2, "plant_dp_bar": 6, "plant_flow_m3_h": 7,
}  # fmt: skip

# Readings of functions that a site may not have.
OPTIONAL = frozenset(
    row.name
    for row in registers.SUBSTATION_FUNCTIONS + registers.HEAT_METERS + registers.PUMP_STATION_FUNCTIONS
)

PASSED, FAILED, NOTED = "passed", "failed", "noted"


@dataclass(frozen=True)
class Check:
    """One judgement; `what` says what was seen, and for a failure what to do."""

    name: str
    verdict: str
    what: str


Values = Mapping[str, Point]


def commission(
    controller: Controller,
    *,
    device_id: str | None = None,
    outdoor_temp_c: float | None = None,
    firmware_sha256: str | None = None,
) -> dict[str, Any]:
    """Return the record: identity, every reading, every check and the verdict. Units are in the names.

    device_id: the identity the papers name. outdoor_temp_c: the technician's own reading. firmware_sha256:
    the bundle that ought to run. None leaves that comparison out.
    """
    identity = controller.identity()
    points = controller.points()
    checks = list(_identity_checks(identity, points, device_id, firmware_sha256))
    checks += _state_checks(points)
    checks += _sensor_checks(points)
    checks += _agreement_checks(points, outdoor_temp_c)
    checks += _lease_notes(points)
    return {
        "format": FORMAT,
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "address": str(controller.address),
        "unit": controller.unit,
        "device_id": identity.device_id_hex,
        "profile": identity.profile,
        "map_version": identity.map_version,
        "map_hash": f"{identity.map_hash:08x}",
        "firmware_hash": f"{identity.firmware_hash:08x}",
        "limits_hash": f"{identity.limits_hash:08x}",
        "boot_count": identity.boot_count,
        "uptime_s": identity.uptime_s,
        "readings": {name: point.value for name, point in points.items()},
        "checks": [asdict(check) for check in checks],
        "passed": all(check.verdict != FAILED for check in checks),
    }


def _judge(name: str, good: bool, what: str, remedy: str = "") -> Check:
    return Check(name, PASSED if good else FAILED, what if good else f"{what}. {remedy}".rstrip())


def _identity_checks(
    identity: Identity, points: Values, device_id: str | None, firmware_sha256: str | None
) -> Iterator[Check]:
    yield _judge(
        "register_map", identity.known_map, f"map {identity.map_hash:08x} version {identity.map_version}"
    )
    if device_id is not None:
        yield _judge(
            "device_id",
            identity.device_id_hex == device_id,
            f"identity {identity.device_id_hex}",
            f"The papers say {device_id}: another controller answers at this address",
        )
    if firmware_sha256 is not None:
        slot = int(points["image_slot_number"].value or 0) if "image_slot_number" in points else 0
        remedy = "bring the controller up to date with toplovod flash"
        if slot:
            remedy = (
                f"the signed image in slot {' AB'[slot]} runs, which toplovod flash leaves in use; bring the "
                "controller up to date with toplovod sign and toplovod update"
            )
        yield _judge(
            "firmware",
            f"{identity.firmware_hash:08x}" == firmware_sha256[:8],
            f"firmware {identity.firmware_hash:08x}",
            f"This release is {firmware_sha256[:8]}: {remedy}",
        )


def _state_checks(points: Values) -> Iterator[Check]:
    mode = points["control_mode_number"].value
    yield _judge(
        "settings",
        mode != SAFE_START,
        f"control mode {mode}",
        "Its site.json was refused and it runs on defaults: read its console, then provision it again",
    )
    raised = _named_bits(points["alarm_bits"].value, registers.ALARM_BITS)
    alarms = f"alarms {', '.join(raised) or 'none'}"
    lost = int(points["sensor_fault_bits"].value or 0)
    if lost:
        channels = ", ".join(str(channel) for channel in range(lost.bit_length()) if lost >> channel & 1)
        alarms += f"; no signal at input channel {channels}"
    yield _judge("alarms", not raised, alarms, "Clear their causes first")
    longest_ms = points["loop_time_max_ms"].value
    yield _judge(
        "control_step",
        longest_ms is not None and longest_ms < CONTROL_PERIOD_MS,
        f"longest control step {longest_ms} ms of {CONTROL_PERIOD_MS}",
        "The controller cannot keep its period",
    )


def _named_bits(bits: float | int | None, names: tuple[str, ...]) -> list[str]:
    number = int(bits or 0)
    return [name for index, name in enumerate(names) if number >> index & 1]


def _sensor_checks(points: Values) -> Iterator[Check]:
    lost = int(points["sensor_fault_bits"].value or 0)
    not_used, not_wired = [], []
    for name, point in points.items():
        if point.row.access != registers.MEASUREMENT:
            continue
        if point.value is None and name in OPTIONAL:
            not_used.append(name)
            continue
        if point.value is None and not (name in CHANNELS and lost >> CHANNELS[name] & 1):
            not_wired.append(name)
            continue
        if point.value is None:
            yield Check(
                name,
                FAILED,
                "no valid reading: the sensor is open, shorted or not connected. Check its wiring.",
            )
            continue
        unit = unit_of(name)
        yield _judge(
            name,
            point.row.low <= point.value <= point.row.high,
            f"{point.value:g} {unit}".rstrip(),
            f"It must lie between {point.row.low:g} and {point.row.high:g} {unit}",
        )
    if not_wired:
        yield Check(
            "not_wired",
            NOTED,
            f"no value and no fault of an input: {', '.join(not_wired)}. Not wired, says site.json, or "
            "reckoned from what gives no value; compare with the wiring plan",
        )
    if not_used:
        yield Check(
            "not_used",
            NOTED,
            f"{len(not_used)} readings of optional functions show no value: not used here, says site.json. "
            "A sensor of theirs that is wired and lost raises the alarm sensor_lost",
        )


def _agreement_checks(points: Values, outdoor_temp_c: float | None) -> Iterator[Check]:
    def value(name: str) -> float | None:
        return points[name].value if name in points else None

    def compare(
        name: str, higher: str, lower: str, remedy: str, only_if: Callable[[], bool] = lambda: True
    ) -> Iterator[Check]:
        warm, cool = value(higher), value(lower)
        if warm is None or cool is None:
            return
        what = f"{higher} {warm:g}, {lower} {cool:g}"
        if not only_if():
            yield Check(name, NOTED, f"{what}; not judged without flow")
            return
        yield _judge(name, warm >= cool - SENSOR_PAIR_K, what, remedy)

    def flows(name: str) -> Callable[[], bool]:
        return lambda: (value(name) or 0.0) > FLOW_THAT_COUNTS_M3_H

    swapped = "The two sensors may be swapped, or one is not in its pocket"
    primary, plant = flows("primary_flow_m3_h"), flows("plant_flow_m3_h")
    yield from compare(
        "primary_supply_above_return", "primary_supply_temp_c", "primary_return_temp_c", swapped, primary
    )
    yield from compare(
        "secondary_supply_above_return",
        "secondary_supply_temp_c",
        "secondary_return_temp_c",
        swapped,
        primary,
    )
    yield from compare(
        "network_warmer_than_heating", "primary_supply_temp_c", "secondary_supply_temp_c",
        "Heating water cannot be warmer than the water that heats it: primary and secondary may be swapped",
        primary,
    )  # fmt: skip
    yield from compare(
        "primary_return_above_heating_return", "primary_return_temp_c", "secondary_return_temp_c",
        "An exchanger cannot cool the network below the heating return: sensors swapped or misplaced",
        primary,
    )  # fmt: skip
    yield from compare(
        "plant_supply_above_return", "plant_supply_temp_c", "plant_return_temp_c", swapped, plant
    )
    room = value("room_temp_c")
    if room is not None:
        yield _judge(
            "room_plausible",
            ROOM_COLDEST_C <= room <= ROOM_WARMEST_C,
            f"room {room:g} °C",
            "Is the sensor in a living room?",
        )
    outdoor = value("outdoor_temp_c")
    if outdoor is not None:
        yield _judge(
            "outdoor_plausible",
            OUTDOOR_COLDEST_C <= outdoor <= OUTDOOR_WARMEST_C,
            f"outdoor {outdoor:g} °C",
            "No such weather was ever measured here",
        )
        if outdoor_temp_c is not None:
            yield _judge(
                "outdoor_agrees",
                abs(outdoor - outdoor_temp_c) <= OUTDOOR_DIFFERENCE_K,
                f"outdoor {outdoor:g} °C, your thermometer {outdoor_temp_c:g} °C",
                "Is the sensor in the sun, over a window, or wired to another input?",
            )


def _lease_notes(points: Values) -> Iterator[Check]:
    for lease in registers.LEASES:
        if lease.owner not in points:
            continue
        owner = int(points[lease.owner].value or 0)
        left = points[lease.seconds_left].value
        what = "nobody holds a lease" if not owner else f"key slot {owner - 1} holds it for {left} s more"
        yield Check(lease.setpoint, NOTED, f"{what}; in force {points[lease.effective].value}")
