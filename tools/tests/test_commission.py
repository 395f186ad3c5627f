"""What commissioning makes of readings, without a controller at the other end."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from firmware.substation import registers
from supervisor.field.identity import Identity

from ..commission import CHANNELS, FAILED, commission
from ..controller import Controller, Point

ROOT = Path(__file__).resolve().parents[2]
MIDDLE = {"alarm_bits": 0, "sensor_fault_bits": 0, "control_mode_number": 0, "image_slot_number": 0}
RELEASE = "12345678" * 8


def checks_of(**changed: float | None) -> dict[str, dict[str, Any]]:
    """Commission a substation whose readings lie within the map but for those changed."""
    values = {"loop_time_max_ms": 10, **MIDDLE, **changed}
    points = {
        row.name: Point(row, 0, values.get(row.name, (row.low + row.high) / 2))
        for row in registers.BY_PROFILE[registers.SUBSTATION]
    }
    identity = Identity(
        registers.IDENTITY_MAGIC, registers.MAP_VERSION, registers.map_hash(), bytes(8), "substation",
        1, bytes(8), 100, 0, 0, 1, (1, 1, 1, 1), 0.0,
    )  # fmt: skip
    controller = SimpleNamespace(
        identity=lambda: identity, points=lambda: points, address="10.0.3.17:502", unit=1
    )
    record = commission(cast(Controller, controller), firmware_sha256=RELEASE)
    return {check["name"]: check for check in record["checks"]}


@pytest.mark.parametrize("name", ["room_temp_c", "primary_flow_m3_h", "primary_dp_bar", "primary_heat_kw"])
def test_an_input_without_value_and_fault_is_noted_as_not_wired(name: str) -> None:
    checks = checks_of(**{name: None})
    assert name not in checks
    assert name in checks["not_wired"]["what"] and checks["not_wired"]["verdict"] == "noted"


@pytest.mark.parametrize(
    "name", ["room_temp_c", "primary_flow_m3_h", "primary_dp_bar", "secondary_supply_temp_c"]
)
def test_an_input_that_is_lost_fails(name: str) -> None:
    checks = checks_of(**{name: None, "sensor_fault_bits": 1 << CHANNELS[name]})
    assert checks[name]["verdict"] == FAILED and "not_wired" not in checks


def test_the_fault_of_another_input_fails_nothing_that_is_not_wired() -> None:
    checks = checks_of(room_temp_c=None, sensor_fault_bits=1 << CHANNELS["outdoor_temp_c"])
    assert "room_temp_c" not in checks and "room_temp_c" in checks["not_wired"]["what"]


def test_the_channels_are_the_firmwares() -> None:
    wanted = {}
    for node in ast.parse((ROOT / "firmware/substation/site.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("STATION_INPUTS"):
            for row in cast(ast.Tuple, node.value).elts:
                name, channel = cast(ast.Tuple, row).elts[:2]
                wanted[ast.literal_eval(name)] = ast.literal_eval(channel)
    assert wanted == CHANNELS


@pytest.mark.parametrize(
    ("slot", "remedy"), [(0, "toplovod flash"), (1, "toplovod update"), (2, "toplovod update")]
)
def test_other_firmware_is_put_right_where_it_comes_from(slot: int, remedy: str) -> None:
    check = checks_of(image_slot_number=slot)["firmware"]
    assert check["verdict"] == FAILED and f"with {remedy}" in check["what"].replace("toplovod sign and ", "")
