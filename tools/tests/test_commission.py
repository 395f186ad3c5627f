"""What commissioning makes of readings, without a controller at the other end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from firmware.substation import registers
from supervisor.field.identity import Identity

from ..commission import FAILED, commission
from ..controller import Controller, Point

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


@pytest.mark.parametrize(
    ("slot", "remedy"), [(0, "toplovod flash"), (1, "toplovod update"), (2, "toplovod update")]
)
def test_other_firmware_is_put_right_where_it_comes_from(slot: int, remedy: str) -> None:
    check = checks_of(image_slot_number=slot)["firmware"]
    assert check["verdict"] == FAILED and f"with {remedy}" in check["what"].replace("toplovod sign and ", "")
