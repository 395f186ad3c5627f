"""Limits, curves and schedules change from afar by a signed bundle alone, while the house is heated (S2)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import order_frame

from .bench.controller import Controller
from .bench.station import Bench
from .bench.updater import FAILED, OPEN_LIMITS, READY, command, open_update, send, update

VERSION, SETTINGS = 3, 10  # update_cause_number
PROVED_S = 600


def toplovod(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)], check=True, capture_output=True, text=True
    )


class Office:
    """Where the key lies: signs bundles for one house."""

    def __init__(self, folder: Path, house: Controller) -> None:
        self.folder = folder
        self.device_id = house.device.device_id.hex()
        self.public = folder / "limits.pub"
        toplovod("keys", "release", folder / "limits.pem", "--public", self.public)
        shutil.copy(self.public, house.device.board.flash)

    def bundle(self, version: int, **settings: Any) -> bytes:
        changes, out = self.folder / "changes.json", self.folder / "bundle"
        changes.write_text(json.dumps(settings))
        toplovod(
            "limits", "sign", changes, "--device-id", self.device_id, "--limits-version", str(version),
            "--key", self.folder / "limits.pem", "--out", out,
        )  # fmt: skip
        return out.read_bytes()


@pytest.fixture
def house(bench: Bench) -> Controller:
    """A controller that heats in the frost."""
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    bench.run_for(60)
    return controller


@pytest.fixture
def office(tmp_path: Path, house: Controller) -> Office:
    return Office(tmp_path, house)


def restart(bench: Bench, house: Controller) -> None:
    """Wait for the restart that an order brought about."""
    boots = house.read("boot_count")
    house.disconnect()
    bench.run_for(30)
    assert house.read("boot_count") == boots + 1


def test_new_limits_hold_after_a_planned_restart_and_outlive_the_next(
    bench: Bench, house: Controller, office: Office
) -> None:
    site = (house.device.board.flash / "site.json").read_bytes()
    before = house.read("limits_hash_code")
    assert house.order(curve_shift_sp_k=-6.0).result == order_frame.ACCEPTED
    update(
        house, office.bundle(1, curve_shift_minimum_k=-3, return_limit_temp_c=45),
        bench.run_for, OPEN_LIMITS,
    )  # fmt: skip
    restart(bench, house)
    assert house.read("limits_version_number") == 1
    assert house.read("limits_hash_code") != before
    assert house.read("curve_shift_minimum_k") == -3
    assert house.read("watchdog_reset_count") == 0
    assert house.order(curve_shift_sp_k=-6.0).result == order_frame.REFUSED_LIMIT
    assert house.order(curve_shift_sp_k=-3.0).result == order_frame.ACCEPTED
    bench.run_for(PROVED_S)
    old = office.bundle(1, curve_shift_minimum_k=-15)
    assert open_update(house, old, OPEN_LIMITS).result == order_frame.ACCEPTED
    assert send(house, old, bench.run_for) == FAILED
    assert house.read("update_cause_number") == VERSION
    bench.cut(house)
    bench.run_for(60)
    bench.power(house)
    assert house.read("limits_version_number") == 1
    assert (house.device.board.flash / "site.json").read_bytes() == site


def test_settings_that_do_not_fit_the_site_are_given_up_at_the_start(
    bench: Bench, house: Controller, office: Office
) -> None:
    before = house.read("limits_hash_code")
    update(
        house,
        office.bundle(1, supply_temp_minimum_c=60, supply_temp_maximum_c=50),
        bench.run_for,
        OPEN_LIMITS,
    )
    restart(bench, house)
    assert house.read("limits_hash_code") == before
    assert (house.read("limits_version_number"), house.read("update_cause_number")) == (0, SETTINGS)
    assert house.read("control_mode_number") == 0  # no safe start: what held before holds
    assert house.order(curve_shift_sp_k=-1.0).result == order_frame.ACCEPTED


def test_a_bundle_of_another_key_or_house_changes_nothing(
    bench: Bench, house: Controller, office: Office, tmp_path: Path
) -> None:
    good = office.bundle(1, curve_shift_minimum_k=-3)
    forged = good.replace(b": -3", b": -9")
    assert open_update(house, forged, OPEN_LIMITS).result == order_frame.ACCEPTED
    assert send(house, forged, bench.run_for) == FAILED
    office.device_id = "ffeeddccbbaa9988"
    foreign = office.bundle(1, curve_shift_minimum_k=-3)
    assert open_update(house, foreign, OPEN_LIMITS).result == order_frame.ACCEPTED
    assert send(house, foreign, bench.run_for) == FAILED
    assert command(house, 2).result == order_frame.REFUSED_STATE
    assert house.read("curve_shift_minimum_k") == -15
    assert send(house, good, bench.run_for) != READY  # nobody ordered it
