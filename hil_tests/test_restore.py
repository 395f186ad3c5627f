"""After an attack with stolen keys `toplovod restore` gives the town back, and says who is not as in peace.

Shipped firmware, the shipped command in a process of its own, and nothing between them but Modbus. The
clock runs faster than the command's: what it waits for in real seconds takes the town many minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from .acceptance import limit
from .attackers import KeyThief
from .attended_town import AttendedTown
from .bench.controller import Controller
from .bench.errors import ModbusException
from .bench.provisioning import KEY_EPOCH, write_key_file
from .bench.relay import KEEP_ANSWER, PASS

NEW_EPOCH = KEY_EPOCH + 1
SETTLES_S = 3_600
ATTACKS, BETWEEN_S = 4, 300  # each takes another point
# Real seconds for a tick of 2 s. An order is good for 30 s of the controller's time, and hosts may be busy.
ORDERS_PAUSE_S, WALKS_PAUSE_S = 0.4, 0.03
COMMAND_S = 14_400  # virtual
COUNTED = ("accepted_order_count", "boot_count", *(f"{slot}_key_epoch_number" for slot in order_frame.SLOTS))


def command(town: AttendedTown, keys: Path, *more: object) -> list[str]:
    words = ["restore", "--site", town.run.site_path, "--keys", keys, *more]
    return [sys.executable, "-m", "tools.cli", *map(str, words)]


def commanded(town: AttendedTown, words: list[str], slowly: Callable[[], bool]) -> tuple[int, str]:
    """Let the town run while the command does: slowly as long as it is so, then fast."""

    def ended() -> bool:
        try:
            process.wait(ORDERS_PAUSE_S if slowly() else WALKS_PAUSE_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            town.run.clock.run_until(ended, within_s=COMMAND_S)
        except BaseException:
            process.kill()
            raise
        out, err = process.communicate()
    assert "Traceback" not in err, err
    return process.returncode, out


def of_json(out: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    said = json.loads(out)
    return said, {row["id"]: row for row in said["stations"]}


def all_of(town: AttendedTown) -> list[Controller]:
    plant = Controller(town.run.devices[-1], len(town.run.devices) - 1, town.run.clock.note_bus)
    return [*town.houses, plant]


def shut_out(stations: list[Controller]) -> bool:
    read = [station.read("supervisor_key_epoch_number") for station in stations]
    for station in stations:
        station.disconnect()
    return set(read) == {NEW_EPOCH}


def configuration(stations: list[Controller]) -> list[dict[str, Any]]:
    """What a check must leave alone: settings, epochs, counters, who holds what."""
    refusals = [row.name for row in registers.STATUS if row.name.startswith("refused_")]
    found = []
    for station in stations:
        owners = [
            lease.owner for lease in registers.LEASES
            if lease.owner in {row.name for row in registers.BY_PROFILE[station.device.profile]}
        ]  # fmt: skip
        names = (*COUNTED, *refusals, *owners, "limits_hash_code", "firmware_hash_code")
        found.append(station.read_all(registers.CONFIG) | {name: station.read(name) for name in names})
        station.disconnect()
    return found


def throttle(plant: Controller) -> None:
    """Order the worst of the pump station that its limits allow."""
    for name, low in (
        ("plant_dp_sp_bar", "plant_dp_minimum_bar"),
        ("plant_supply_temp_sp_c", "plant_supply_temp_minimum_c"),
    ):
        values: dict[str, Any] = {name: plant.read(low)}
        receipt = plant.order(lease_s=order_frame.LEASE_MAX_S, **values)
        assert receipt.result == order_frame.ACCEPTED
    plant.disconnect()


def below_attainable_k(town: AttendedTown, house: Controller) -> float:
    """How far the true supply is below what the own curve asks for and the network truly brings."""
    plant, row = town.run.plant, house.position
    attainable_c = min(float(house.read("own_curve_temp_c")), float(plant.primary_supply_temp_c[row]))
    house.disconnect()
    return attainable_c - float(plant.secondary_supply_temp_c[row])


def cut_and_change(town: AttendedTown, house: Controller) -> None:
    """Somebody was in this cellar with a cable: its settings are others when the power is back."""
    fleet = town.run.clock.fleet
    house.disconnect()
    fleet.cut([house.position])
    file = house.device.board.flash / "site.json"
    settings = json.loads(file.read_text())
    settings["return_limit_temp_c"] = settings.get("return_limit_temp_c", 60.0) - 5.0
    file.write_text(json.dumps(settings))
    fleet.on([house.position])


@pytest.mark.slow
@pytest.mark.needs("power.cut", "clock.virtual")
def test_a_town_under_stolen_keys_is_given_back_and_who_is_missing_or_altered_is_told(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    with AttendedTown(tmp_path, firmware_bundle, 5) as town:
        clock, stations = town.run.clock, all_of(town)
        *houses, plant = stations
        altered, dark = houses[1], houses[2]
        old = write_key_file(tmp_path / "old.json", town.run.devices)
        new = write_key_file(tmp_path / "new.json", town.run.devices, epoch=NEW_EPOCH)
        peace = tmp_path / "peace.json"
        town.run.power_on()
        clock.run_for(SETTLES_S)

        # in peace: a check changes nothing, and its record is what is compared with later
        before = configuration(stations)
        status, out = commanded(town, command(town, old, "--check", "--record", peace), lambda: True)
        assert status == 0, out
        assert "6 of 6 stations proven" in out and "NOT compared" in out
        assert configuration(stations) == before
        assert len(json.loads(peace.read_text())["stations"]) == len(stations)

        cut_and_change(town, altered)
        clock.run_for(BETWEEN_S)
        thief = KeyThief()
        throttle(plant)
        for _ in range(ATTACKS):
            for house in houses:
                thief.visit(house)
                house.disconnect()
            clock.run_for(BETWEEN_S)
        assert thief.counted.taken == thief.counted.sent
        assert all(below_attainable_k(town, house) > limit("restore-supply") for house in houses)
        clock.fleet.cut([dark.position])

        # the keys' epoch is raised, and everybody who has power comes back
        lit = [station for station in stations if station is not dark]
        words = command(town, new, "--baseline", peace, "--over", 0.1, "--within", 1.5, "--json")
        status, out = commanded(town, words, lambda: not shut_out(lit))
        said, rows = of_json(out)
        assert (status, said["passed"], said["interrupted"]) == (1, False, False)
        assert said["counts"] == {
            "stations": 6, "released": 5, "old_keys_shut_out": 5, "proven": 5, "back": 5, "silent": 1,
            "refused": 0,
        }  # fmt: skip
        assert (rows[dark.name]["state"], rows[dark.name]["old_keys_shut_out"]) == ("silent", False)
        assert [name for name, row in rows.items() if row["differs"]] == [altered.name]
        assert "limits" in rows[altered.name]["differs"][0] and rows[altered.name]["state"] == "back"
        for house in houses:
            if house is not dark:
                assert below_attainable_k(town, house) <= limit("restore-supply")

        # the stolen keys are worth nothing there any more
        thief = KeyThief()
        for house in houses:
            if house is not dark:
                thief.visit(house)
                house.disconnect()
        assert thief.counted.refused_share == limit("epoch-refused")
        with pytest.raises(ModbusException):
            throttle(plant)
        plant.disconnect()

        # the one that was dark runs its own curve after the power cut, but the old keys are good there
        clock.fleet.on([dark.position])
        clock.run_for(SETTLES_S)
        status, out = commanded(town, command(town, new, "--check", "--json"), lambda: True)
        said, rows = of_json(out)
        assert (status, said["counts"]["proven"]) == (1, 5)
        assert (rows[dark.name]["code"], rows[dark.name]["epoch_before"]) == ("status_not_genuine", KEY_EPOCH)
        status, out = commanded(
            town, command(town, new, "--baseline", peace, "--only", dark.name, "--over", 0),
            lambda: not shut_out([dark]),
        )  # fmt: skip
        assert status == 0 and "1 of 1 stations back" in out, out
        assert shut_out([dark])


@pytest.mark.needs("clock.virtual")
def test_a_house_behind_tls_and_one_whose_answer_was_lost_are_given_back_as_well(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    with AttendedTown(tmp_path, firmware_bundle, 2, tapped=(1,), behind_tls=(0,)) as town:
        new = write_key_file(tmp_path / "new.json", town.run.devices, epoch=NEW_EPOCH)
        relay, tapped = town.relays[1], town.houses[1]
        town.run.power_on()
        town.run.clock.run_for(SETTLES_S)
        relay.mode = KEEP_ANSWER

        def slowly() -> bool:
            if relay.kept.is_set():
                relay.mode = PASS
            return True

        words = command(town, new, "--data", town.data, "--over", 0, "--within", 2, "--json")
        status, out = commanded(town, words, slowly)
        said, rows = of_json(out)
        assert (status, said["counts"]["back"]) == (0, 3), out
        assert all(row["old_keys_shut_out"] for row in rows.values())
        assert len(relay.orders) == 1  # its receipt was looked at, and told that it had arrived
        assert tapped.read("accepted_order_count") == 1
