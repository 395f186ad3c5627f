"""From an empty board to a judged controller: flash, provision, read, order, commission.

The board is the emulated one on a pty, the tool that talks to it is stock mpremote, the firmware is the
shipped bundle.
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import littlefs
import pytest

from firmware.substation import registers
from tools import provision as provisioning
from tools.build import build_bundle
from tools.controller import Address, Controller
from tools.errors import ToolError
from tools.key_file import KeyFile
from tools.serial_line import GREETING_TIMEOUT_S, SerialLine
from tools.vault import Vault

from .processes import DEADLINE_S, ROOT, free_port, press_button, serial_board, toplovod

pytestmark = pytest.mark.slow

DEVICE = "0011223344556677"
POWER_ON = "1"  # machine.PWRON_RESET; a bite of the watchdog would leave 3
PASSPHRASE = "a kettle full of snow\n"


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the controller never opened its port"
            time.sleep(0.05)


class Cellar:
    """A flashed and provisioned board's image, its port and its keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = folder / "flash.img"
        self.tcp_port = free_port()
        self.settings = folder / "site.json"
        self.vault = folder / "vault.json"
        self.env = {"TOPLOVOD_PASSPHRASE_FILE": str(folder / "passphrase")}
        (folder / "passphrase").write_text(PASSPHRASE)
        self.release, self.release_public = folder / "release.pem", folder / "release.pub"
        self.settings.write_text(
            json.dumps(
                {
                    "format": "toplovod-device/1", "device_id": DEVICE, "profile": "substation",
                    "name": "house-01", "board": "emulated", "modbus_address": "127.0.0.1",
                    "modbus_port": self.tcp_port, "epochs": [1, 1, 1, 1], "deficit_budget_kh": 40,
                }
            )
        )  # fmt: skip

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.tcp_port}"

    def keys(self, slot: str) -> Path:
        out = self.folder / f"{slot}.json"
        assert toplovod("keys", "export", slot, "--vault", self.vault, "--out", out, env=self.env).status == 0
        return out


@pytest.fixture(scope="module")
def cellar(tmp_path_factory: pytest.TempPathFactory, flashed: Path) -> Cellar:
    made = Cellar(tmp_path_factory.mktemp("cellar"))
    assert toplovod("keys", "new", "--vault", made.vault, env=made.env).status == 0
    shutil.copy(flashed, made.image)
    with serial_board(made.image) as port:
        assert toplovod("keys", "release", made.release, "--public", made.release_public).status == 0
        given = toplovod(
            "provision", port, "--settings", made.settings, "--vault", made.vault, "--release-key",
            made.release_public, "--json", env=made.env,
        )  # fmt: skip
        assert given.status == 0, given.err + given.out
        assert given.json["new_key"] is True and given.json["device_id"] == DEVICE
    return made


@pytest.fixture
def image(cellar: Cellar, tmp_path: Path) -> Path:
    return Path(shutil.copy(cellar.image, tmp_path / "flash.img"))


@pytest.fixture
def running(cellar: Cellar, image: Path) -> Iterator[Cellar]:
    with serial_board(image):
        wait_until_it_listens(cellar.tcp_port)
        yield cellar


def on_board(port: str, program: str) -> str:
    line = SerialLine(port)
    line.greet()
    return line.run(program)


def test_the_controller_answers_after_the_cable_is_pulled(running: Cellar):
    said = toplovod("read", running.address, "--json")
    assert said.status == 0, said.err
    assert said.json["device_id"] == DEVICE
    assert said.json["firmware_hash"] == build_bundle().sha256[:8]
    assert said.json["values"]["primary_supply_temp_c"] == pytest.approx(80, abs=0.05)
    assert said.json["values"]["deficit_budget_kh"] > 0


def test_an_order_is_proved_by_its_receipt_and_can_be_released(running: Cellar):
    keys = running.keys("supervisor")
    said = toplovod("order", running.address, "secondary_supply_temp_sp_c=45", "--keys", keys, "--json")
    assert said.status == 0, said.err + said.out
    assert (said.json["accepted"], said.json["result"], said.json["lease_s"]) == (True, "accepted", 1800)
    values = toplovod("read", running.address, "--json").json["values"]
    assert values["secondary_supply_temp_sp_c"] == 45
    assert values["secondary_supply_temp_lease_number"] == 1

    said = toplovod(
        "order", running.address, "secondary_supply_temp_sp_c", "--release", "--keys", keys, "--json"
    )
    assert said.status == 0, said.err + said.out
    assert said.json["counter"] == 2
    assert (
        toplovod("read", running.address, "--json").json["values"]["secondary_supply_temp_lease_number"] == 0
    )


def sign(cellar: Cellar, out: Path, version: int, key: Path | None = None) -> Path:
    said = toplovod(
        "sign", "--image-version", version, "--key", key or cellar.release, "--out", out, "--json"
    )
    assert said.status == 0, said.err + said.out
    return out


def state(cellar: Cellar, name: str) -> Any:
    said = toplovod("read", cellar.address, "--json")
    return said.json["values"][name] if said.status == 0 else None


def wait_for(cellar: Cellar, **wanted: float) -> None:
    """Wait until one reading shows all these values; a board that restarts does not answer in between."""
    deadline = time.monotonic() + DEADLINE_S
    seen: dict[str, Any] = {}
    while seen != wanted:
        assert time.monotonic() < deadline, f"it stayed at {seen}"
        said = toplovod("read", cellar.address, "--json")
        seen = {name: said.json["values"][name] for name in wanted} if said.status == 0 else {}


def test_a_signed_image_is_sent_started_on_trial_and_given_up_by_order(running: Cellar, tmp_path: Path):
    keys = running.keys("supervisor")
    image = sign(running, tmp_path / "image", 5)
    waiting = toplovod("update", running.address, "--image", image, "--keys", keys, "--no-start", "--json")
    assert waiting.status == 0, waiting.err + waiting.out
    assert waiting.json["sent_bytes"] >= image.stat().st_size
    assert state(running, "image_slot_number") == 0
    # sent again, everything is there
    said = toplovod("update", running.address, "--image", image, "--keys", keys, "--json")
    assert said.status == 0, said.err + said.out
    assert (said.json["sent_bytes"], said.json["activated"]) == (0, True)
    wait_for(running, image_slot_number=1, image_version_number=5, image_state_number=1)

    assert toplovod("update", running.address, "--back", "--keys", keys).status == 0
    wait_for(running, image_slot_number=0, image_state_number=3)


def test_flashing_says_that_a_signed_image_goes_on_running(cellar: Cellar, image: Path, tmp_path: Path):
    signed = sign(cellar, tmp_path / "image", 7)
    with serial_board(image) as port:
        said = toplovod("flash", port, "--no-reset", "--json")
        assert (said.status, said.json["in_use"], said.json["image_slot_number"]) == (0, True, 0)
        SerialLine(port).reset()
        wait_until_it_listens(cellar.tcp_port)
        keys = cellar.keys("supervisor")
        assert toplovod("update", cellar.address, "--image", signed, "--keys", keys).status == 0
        wait_for(cellar, image_slot_number=1, image_version_number=7)

        said = toplovod("flash", port)
        assert said.status == 4, said.err + said.out
        assert "slot A, version 7, goes on running" in said.err and "toplovod update" in said.err
        wait_for(cellar, image_slot_number=1, image_version_number=7)
        said = toplovod("flash", port, "--no-reset", "--json")
        assert (said.status, said.json["in_use"]) == (4, False)
        assert (said.json["image_slot_number"], said.json["image_version_number"]) == (1, 7)


def test_an_image_that_the_board_cannot_trust_is_given_up_with_the_cause(running: Cellar, tmp_path: Path):
    keys = running.keys("supervisor")
    foreign = tmp_path / "foreign.pem"
    assert toplovod("keys", "release", foreign, "--public", tmp_path / "foreign.pub").status == 0
    image = sign(running, tmp_path / "image", 5, foreign)
    said = toplovod("update", running.address, "--image", image, "--keys", keys, "--json")
    assert (said.status, said.json["code"]) == (1, "update_failed")
    assert "not of the release key on this board" in said.err + said.out
    cut = tmp_path / "cut"
    cut.write_bytes(image.read_bytes()[:-1])
    said = toplovod("update", running.address, "--image", cut, "--keys", keys, "--json")
    assert (said.status, said.json["code"]) == (2, "image_damaged")
    said = toplovod("update", running.address, "--back", "--keys", keys, "--json")
    assert (said.status, said.json["code"]) == (1, "update_refused")
    assert toplovod("update", running.address, "--keys", keys).status == 2


def test_signed_limits_are_sent_and_hold_after_the_restart(running: Cellar, tmp_path: Path):
    keys = running.keys("supervisor")
    changes, bundle = tmp_path / "changes.json", tmp_path / "bundle"
    changes.write_text(json.dumps({"contract_flow_limit_m3_h": 1.25}))
    how = ("--limits-version", 3, "--key", running.release, "--out", bundle)
    assert toplovod("limits", "sign", changes, "--device-id", "ffeeddccbbaa9988", *how).status == 0
    said = toplovod("limits", "send", running.address, "--bundle", bundle, "--keys", keys, "--json")
    assert (said.status, said.json["code"]) == (1, "other_device")
    assert toplovod("limits", "sign", changes, "--device-id", DEVICE, *how).status == 0
    said = toplovod("limits", "send", running.address, "--bundle", bundle, "--keys", keys, "--json")
    assert said.status == 0, said.err + said.out
    wait_for(running, limits_version_number=3, contract_flow_limit_m3_h=1.25)
    said = toplovod("limits", "send", running.address, "--bundle", bundle, "--keys", keys, "--json")
    assert (said.status, said.json["code"]) == (1, "update_refused")  # one change at a time


def test_an_order_without_the_right_is_refused_and_proved_refused(running: Cellar):
    keys = running.keys("technician")
    said = toplovod("order", running.address, "secondary_supply_temp_sp_c=45", "--keys", keys, "--json")
    assert said.status == 1
    assert said.json["result"] == "refused_right"
    values = toplovod("read", running.address, "--json").json["values"]
    assert values["accepted_order_count"] == 0 and values["secondary_supply_temp_sp_c"] is None


def test_an_order_with_a_foreign_key_is_refused_and_counted(running: Cellar, tmp_path: Path):
    content = json.loads(running.keys("supervisor").read_text())
    content["devices"][DEVICE] = "00" * 32
    forged = tmp_path / "forged.json"
    forged.touch(mode=0o600)
    forged.write_text(json.dumps(content))
    said = toplovod("order", running.address, "curve_shift_sp_k=5", "--keys", forged, "--json")
    assert (said.status, said.json["code"], said.json["changed"]) == (1, "order_refused", False)
    values = toplovod("read", running.address, "--json").json["values"]
    assert values["refused_mac_count"] == 1 and values["accepted_order_count"] == 0


@pytest.mark.parametrize(
    ("assignment", "status", "code"),
    [
        ("secondary_supply_temp_sp_c=200", 1, "out_of_limits"),
        ("room_temp_c=20", 2, "not_a_setpoint"),
        ("plant_dp_sp_bar=2", 2, "not_a_setpoint"),
    ],
)
def test_an_order_that_cannot_be_meant_is_not_sent(running: Cellar, assignment: str, status: int, code: str):
    said = toplovod("order", running.address, assignment, "--keys", running.keys("supervisor"), "--json")
    assert (said.status, said.json["code"], said.json["changed"]) == (status, code, False)
    assert toplovod("read", running.address, "--json").json["values"]["accepted_order_count"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("curve_shift_sp_k=1", "curve_shift_sp_k=2"),
        ("curve_shift_sp_k=1", "--release"),
        ("curve_shift_sp_k",),
    ],
)
def test_an_order_that_says_two_things_is_not_sent(running: Cellar, arguments: tuple[str, ...]):
    said = toplovod("order", running.address, *arguments, "--keys", running.keys("supervisor"))
    assert said.status == 2 and "nothing was sent" in said.err
    assert toplovod("read", running.address, "--json").json["values"]["accepted_order_count"] == 0


def test_a_refusal_says_what_to_do(running: Cellar):
    said = toplovod(
        "order", running.address, "secondary_supply_temp_sp_c=89", "--keys", running.keys("supervisor")
    )
    assert said.status == 1
    assert "refused_limit (secondary_supply_temp_sp_c); nothing was changed" in said.err
    assert "toplovod read" in said.err


def test_a_raised_epoch_shuts_the_old_keys_out(running: Cellar, tmp_path: Path):
    old = running.keys("utility")
    vault = Path(shutil.copy(running.vault, tmp_path / "vault.json"))
    new = tmp_path / "new.json"
    recovered = toplovod("keys", "recover", "utility", "--vault", vault, "--out", new, env=running.env)
    assert recovered.status == 0, recovered.err

    # the order itself may be refused for want of rights; its genuine receipt proves that the key is taken
    said = toplovod("order", running.address, "curve_shift_sp_k=-1", "--keys", new, "--json")
    assert "result" in said.json, said.out
    assert toplovod("read", running.address, "--json").json["values"]["utility_key_epoch_number"] == 2
    said = toplovod("order", running.address, "curve_shift_sp_k=-1", "--keys", old, "--json")
    assert (said.status, said.json["code"]) == (1, "order_refused")


def test_commissioning_passes_and_leaves_a_record(running: Cellar, tmp_path: Path):
    record = tmp_path / "record.json"
    said = toplovod(
        "commission", running.address, "--device-id", DEVICE, "--outdoor", -4, "--record", record, "--json"
    )
    assert said.status == 0, said.out
    kept = json.loads(record.read_text())
    assert kept["passed"] is True and kept["device_id"] == DEVICE
    assert {check["name"] for check in kept["checks"]} >= {
        "register_map",
        "firmware",
        "outdoor_agrees",
        "alarms",
    }
    assert kept["readings"]["valve_position_out_pct"] is not None
    notes = {check["name"]: check["what"] for check in kept["checks"] if check["verdict"] == "noted"}
    unused = [name for name, value in kept["readings"].items() if value is None]
    assert notes["not_used"].startswith("80 readings") and "dhw_tank_top_temp_c" in unused


def test_a_record_that_cannot_be_written_costs_no_findings(running: Cellar, tmp_path: Path):
    (tmp_path / "block").touch()
    record = tmp_path / "block" / "record.json"
    said = toplovod("commission", running.address, "--record", record)
    assert said.status == 2
    assert (
        "register_map" in said.out
        and "no_record" in said.err
        and "passed, but there is no record" in said.err
    )
    as_json = toplovod("commission", running.address, "--record", record, "--json")
    result, error = map(json.loads, as_json.out.splitlines())
    assert result["passed"] is True and result["record"] is None
    assert (as_json.status, error["code"]) == (2, "no_record")


@pytest.mark.parametrize("option", [("--device-id", "zz"), ("--outdoor", "nan"), ("--bundle", "/nowhere")])
def test_commissioning_does_not_start_with_an_option_that_says_nothing(option: tuple[str, str]):
    said = toplovod("commission", f"127.0.0.1:{free_port()}", *option)
    assert said.status == 2, said.err + said.out


SWAPPED_PRIMARY = (-5, 50, 80, 45, 40, 21)
OPEN_ROOM = (-5, 80, 50, 55, 40, 900)  # 900 degC is beyond any Pt1000 input: reads as open


@pytest.mark.parametrize(
    ("temps_c", "options", "failed"),
    [
        (SWAPPED_PRIMARY, (), "primary_supply_above_return"),
        (OPEN_ROOM, (), "room_temp_c"),
        ((-5, 80, 50, 55, 40, 21), ("--outdoor", 12), "outdoor_agrees"),
        ((-5, 80, 50, 55, 40, 21), ("--device-id", "ffffffffffffffff"), "device_id"),
    ],
)
def test_commissioning_names_what_is_wrong(
    cellar: Cellar,
    image: Path,
    tmp_path: Path,
    temps_c: tuple[float, ...],
    options: tuple[object, ...],
    failed: str,
):
    with serial_board(image, "--temp", *temps_c):
        wait_until_it_listens(cellar.tcp_port)
        said = toplovod(
            "commission", cellar.address, *options, "--record", tmp_path / "record.json", "--json"
        )
    assert said.status == 1, said.out
    checks = {check["name"]: check for check in said.json["checks"]}
    assert checks[failed]["verdict"] == "failed"
    assert said.json["passed"] is False and (tmp_path / "record.json").exists()


def test_a_site_without_room_sensor_and_transmitters_passes(cellar: Cellar, image: Path, tmp_path: Path):
    settings = json.loads(cellar.settings.read_text())
    left_out = ("room_temp_c", "primary_dp_bar", "primary_flow_m3_h")
    settings["inputs"] = dict.fromkeys(left_out)
    (tmp_path / "site.json").write_text(json.dumps(settings))
    with serial_board(image) as port:
        said = toplovod(
            "provision", port, "--settings", tmp_path / "site.json", "--vault", cellar.vault, env=cellar.env
        )
        assert said.status == 0, said.err
        wait_until_it_listens(cellar.tcp_port)
        said = toplovod("commission", cellar.address, "--record", tmp_path / "record.json", "--json")
    assert said.status == 0, said.out
    [note] = [check for check in said.json["checks"] if check["name"] == "not_wired"]
    assert note["verdict"] == "noted" and all(name in note["what"] for name in left_out)


def test_commissioning_notices_other_firmware(running: Cellar, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(ROOT / "firmware", other, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "main.py").write_text((other / "main.py").read_text() + "# another release\n")
    program = "import sys; from pathlib import Path; from tools.build import write_bundle; "
    subprocess.run(
        [sys.executable, "-c", program + "write_bundle(Path(sys.argv[1]), Path(sys.argv[2]))",
         tmp_path / "bundle", other],
        check=True, cwd=ROOT,
    )  # fmt: skip
    said = toplovod(
        "commission",
        running.address,
        "--bundle",
        tmp_path / "bundle",
        "--record",
        tmp_path / "r.json",
        "--json",
    )
    assert said.status == 1
    assert [c["name"] for c in said.json["checks"] if c["verdict"] == "failed"] == ["firmware"]


def test_flashing_again_copies_nothing_and_a_changed_file_is_put_right(image: Path):
    with serial_board(image) as port:
        said = toplovod("flash", port, "--no-reset", "--json")
        assert said.status == 0, said.out
        assert (said.json["copied"], said.json["removed"]) == ([], [])
        on_board(
            port,
            "f = open('/substation/valve.mpy', 'ab'); f.write(b'x'); f.close()\n"
            "f = open('/substation/valve.py', 'w'); f.write('stale source'); f.close()",
        )
        said = toplovod("flash", port, "--no-reset", "--json")
        assert said.status == 0, said.out
        assert said.json["copied"] == ["substation/valve.mpy", "main.py"]
        assert said.json["removed"] == ["substation/valve.py"]
        assert "site.json" in on_board(port, "import os; print(os.listdir('/'))")


def test_a_running_controller_is_flashed_although_its_watchdog_runs(cellar: Cellar, image: Path):
    """It bites when nobody feeds it for 8 s; to copy so many files takes longer."""
    paths = [file.path for file in build_bundle().files if file.path.startswith("substation/")][:50]
    with serial_board(image) as port:
        change = "    f = open('/' + p, 'ab')\n    f.write(b'x')\n    f.close()\n"
        on_board(port, f"for p in {paths!r}:\n{change}")
        SerialLine(port).reset()
        wait_until_it_listens(cellar.tcp_port)
        said = toplovod("flash", port, "--no-reset", "--json")
        assert said.status == 0, said.out + said.err
        assert set(said.json["copied"]) == {*paths, "main.py"}
        assert on_board(port, "import machine; print(machine.reset_cause())").strip() == POWER_ON
        SerialLine(port).reset()
        wait_until_it_listens(cellar.tcp_port)


def test_a_greeted_controller_outlives_its_watchdog(cellar: Cellar, image: Path):
    with serial_board(image) as port:
        wait_until_it_listens(cellar.tcp_port)
        line = SerialLine(port)
        line.greet()
        assert line.run("import time; time.sleep_ms(12_000); print('alive')").strip() == "alive"


def test_a_flash_that_was_killed_runs_no_mixture_and_goes_on(tmp_path: Path):
    image = tmp_path / "flash.img"
    total = len(build_bundle().files)
    with serial_board(image) as port:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "flash", port],
            stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        assert process.stderr is not None
        while not process.stderr.readline().startswith("6/"):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    # leaving the block pulled the plug as well
    with serial_board(image) as port:
        assert "main.py" not in on_board(port, "import os; print(os.listdir('/'))")
        said = toplovod("flash", port, "--no-reset", "--json")
        assert said.status == 0, said.out + said.err
        assert 0 < len(said.json["copied"]) <= total - 4
        assert len(said.json["copied"]) + said.json["unchanged"] == total


def test_a_flash_that_is_interrupted_says_what_the_board_is_now(tmp_path: Path):
    with serial_board(tmp_path / "flash.img") as port:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "flash", port],
            stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        assert process.stderr is not None
        while not process.stderr.readline().startswith("2/"):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(DEADLINE_S) == 130
        process.stderr.close()
    assert "flash_interrupted: " in rest and "Run the command again" in rest and "Traceback" not in rest


def test_the_settings_in_the_docs_are_taken(cellar: Cellar, image: Path, tmp_path: Path):
    page = (ROOT / "docs" / "commissioning.md").read_text()
    (tmp_path / "house-01.json").write_text(page.split("```json\n")[1].split("```")[0])
    with serial_board(image) as port:
        said = toplovod(
            "provision", port, "--settings", tmp_path / "house-01.json", "--vault", cellar.vault, "--json",
            env=cellar.env,
        )  # fmt: skip
    assert said.status == 0, said.err + said.out
    assert said.json["device_id"] == DEVICE


def test_settings_that_the_firmware_would_refuse_change_nothing(cellar: Cellar, image: Path, tmp_path: Path):
    wrong = json.loads(cellar.settings.read_text())
    wrong["supply_temp_maximum_c"] = 400
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    with serial_board(image) as port:
        before = on_board(port, "print(open('/site.json').read())")
        said = toplovod(
            "provision", port, "--settings", tmp_path / "wrong.json", "--vault", cellar.vault, "--json",
            env=cellar.env,
        )  # fmt: skip
        assert (said.status, said.json["code"]) == (1, "settings_refused")
        assert "supply_temp_maximum_c" in said.json["message"]
        assert on_board(port, "print(open('/site.json').read())") == before


def test_a_board_with_another_root_key_keeps_it(cellar: Cellar, image: Path, tmp_path: Path):
    with serial_board(image) as port:
        before = on_board(port, "print(open('/keys.bin','rb').read())")
        vault = tmp_path / "vault.json"
        assert toplovod("keys", "new", DEVICE, "--vault", vault, env=cellar.env).status == 0
        said = toplovod(
            "provision", port, "--settings", cellar.settings, "--vault", vault, "--json", env=cellar.env
        )
        assert (said.status, said.json["code"]) == (1, "has_other_key")
        assert on_board(port, "print(open('/keys.bin','rb').read())") == before


@dataclass(frozen=True)
class Lost:
    """A controller whose supervisor is at epoch 3, and a vault that was made anew for it."""

    image: Path
    old_keys: Path
    vault: Path
    new_keys: Path


@pytest.fixture(scope="module")
def lost(cellar: Cellar, tmp_path_factory: pytest.TempPathFactory) -> Lost:
    folder = tmp_path_factory.mktemp("lost")
    made = Lost(folder / "flash.img", folder / "old.json", folder / "new-vault.json", folder / "new.json")
    shutil.copy(cellar.image, made.image)
    before = Path(shutil.copy(cellar.vault, folder / "old-vault.json"))
    for _ in range(2):
        assert toplovod("keys", "rotate", "supervisor", "--vault", before, env=cellar.env).status == 0
    assert toplovod("keys", "new", DEVICE, "--vault", made.vault, env=cellar.env).status == 0
    for vault, keys in ((before, made.old_keys), (made.vault, made.new_keys)):
        how = ("--vault", vault, "--out", keys)
        assert toplovod("keys", "export", "supervisor", *how, env=cellar.env).status == 0
    with serial_board(made.image):
        wait_until_it_listens(cellar.tcp_port)
        # from 1 to 3 in one order leaves one generation of the record; the utility's makes it two
        utility = folder / "utility.json"
        how = ("--vault", before, "--out", utility)
        assert toplovod("keys", "recover", "utility", *how, env=cellar.env).status == 0
        assert is_taken(cellar, made.old_keys)
        toplovod("order", cellar.address, "curve_shift_sp_k=-1", "--keys", utility)
        values = toplovod("read", cellar.address, "--json").json["values"]
        assert (values["supervisor_key_epoch_number"], values["utility_key_epoch_number"]) == (3, 2)
    return made


def is_taken(cellar: Cellar, keys: Path) -> bool:
    """Order with these keys; False where they count for nothing."""
    wait_until_it_listens(cellar.tcp_port)
    said = toplovod("order", cellar.address, "curve_shift_sp_k=-1", "--keys", keys, "--json")
    assert (said.status, said.json.get("code")) in ((0, None), (1, "order_refused")), said.out + said.err
    return said.status == 0


def provision_anew(cellar: Cellar, lost: Lost, port: str) -> Any:
    return toplovod(
        "provision", port, "--settings", cellar.settings, "--vault", lost.vault, "--rekey", "--json",
        env=cellar.env,
    )  # fmt: skip


def test_another_root_key_takes_the_button(cellar: Cellar, lost: Lost, tmp_path: Path):
    image, pins = Path(shutil.copy(lost.image, tmp_path)), tmp_path / "pins.bin"
    with serial_board(image, "--pins", pins) as port:
        said = provision_anew(cellar, lost, port)
        assert (said.status, said.json["code"], said.json["changed"]) == (1, "button_not_held", False)
        assert "Hold it until the command has ended" in said.json["message"]
        # it heats on with what it had
        assert is_taken(cellar, lost.old_keys) and not is_taken(cellar, lost.new_keys)


def test_a_vault_made_anew_is_taken_although_its_epochs_are_lower(cellar: Cellar, lost: Lost, tmp_path: Path):
    image, pins = Path(shutil.copy(lost.image, tmp_path)), tmp_path / "pins.bin"
    with serial_board(image, "--pins", pins) as port:
        press_button(pins)
        before = files_of(port, "state", "substation")
        assert {"state/epochs.0", "state/epochs.1"} < before
        said = provision_anew(cellar, lost, port)
        assert said.status == 0, said.out + said.err
        assert (said.json["rekeyed"], said.json["new_key"]) == (True, False)
        press_button(pins, down=False)
        assert is_taken(cellar, lost.new_keys) and not is_taken(cellar, lost.old_keys)
        values = toplovod("read", cellar.address, "--json").json["values"]
        assert [values[f"{slot}_key_epoch_number"] for slot in ("supervisor", "utility")] == [1, 1]
        assert values["boot_count"] > 2  # the other records are as they were
        gone = before - files_of(port, "state", "substation")
        assert gone == {"state/epochs.0", "state/epochs.1"}, gone
        # the same key once more is no re-keying: that would make revoked keys good again
        press_button(pins)
        said = provision_anew(cellar, lost, port)
        assert (said.status, said.json["rekeyed"]) == (0, False), said.out + said.err


def line_of(port: str) -> SerialLine:
    line = SerialLine(port)
    line.greet()
    return line


def files_of(port: str, *folders: str) -> set[str]:
    """Name the files of a running controller; not the draft of a record that the greeting interrupted."""
    listing, _ = line_of(port).listing(folders)
    return {path for path in listing if not (path.startswith("state/") and path.endswith(".new"))}


@pytest.mark.parametrize(
    ("cut", "at", "new"),
    [
        ("the settings are there", "site", False),
        ("one generation of the epochs is gone", "epoch", False),
        ("both are gone", "epochs", False),
        ("the key has its name", "key", True),
    ],
)
def test_a_cable_cut_while_re_keying_leaves_the_old_keys_or_the_new_ones(
    cellar: Cellar, lost: Lost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str, at: str, new: bool
):
    image, pins = Path(shutil.copy(lost.image, tmp_path)), tmp_path / "pins.bin"
    gone = "raise OSError('the cable')"

    class Cut(SerialLine):
        def put(self, source: Path, path: str, first: str = "") -> None:
            if first and at == "epoch":
                first = first.replace("os.remove(name)", f"os.remove(name)\n        {gone}")
                assert gone in first
            elif first and at == "epochs":
                first += f"_whole = _first\ndef _first():\n    _whole()\n    {gone}\n"
            super().put(source, path, first)
            if path == {"site": "site.json", "key": "keys.bin"}.get(at):
                raise ToolError("board_unreachable", "the cable", exit_status=3, changed=True)

    vault = Vault.open(lost.vault, PASSPHRASE.strip())
    with serial_board(image, "--pins", pins) as port, monkeypatch.context() as altered:
        press_button(pins)
        altered.setattr(provisioning, "SerialLine", Cut)
        with pytest.raises(ToolError, match="the cable"):
            settings = provisioning.read_settings(cellar.settings)
            provisioning.provision(port, settings, vault, lambda: None, rekey=True)
    with serial_board(image, "--pins", pins) as port:
        assert (is_taken(cellar, lost.new_keys), is_taken(cellar, lost.old_keys)) == (new, not new)
        press_button(pins)
        said = provision_anew(cellar, lost, port)
        assert said.status == 0, said.out + said.err
        assert is_taken(cellar, lost.new_keys) and not is_taken(cellar, lost.old_keys)


def console_until(port: str, *wanted: str) -> None:
    """Read the board's console until all this was said."""
    said, deadline = "", time.monotonic() + DEADLINE_S
    handle = os.open(port, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        while not all(text in said for text in wanted):
            assert time.monotonic() < deadline, said
            if select.select([handle], [], [], 1.0)[0]:
                said += os.read(handle, 4096).decode(errors="replace")
    finally:
        os.close(handle)


def wait_for_relay(pins: Path, pin: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not pins.read_bytes()[32 + pin]:
        assert time.monotonic() < deadline, f"relay at pin {pin} never closed"
        time.sleep(0.05)


def test_the_factory_state_takes_the_button_and_a_confirmation(cellar: Cellar, image: Path, tmp_path: Path):
    pins = tmp_path / "pins.bin"
    with serial_board(image, "--pins", pins) as port:
        before = files_of(port, "boards", "substation", "state")
        said = toplovod("factory", port)
        assert said.status == 2 and "not_confirmed" in said.err and "nothing was changed" in said.err
        said = toplovod("factory", port, "--yes", "--json")
        assert (said.status, said.json["code"], said.json["changed"]) == (1, "button_not_held", False)
        wait_until_it_listens(cellar.tcp_port)  # it heats on
        after = files_of(port, "boards", "substation", "state")
        assert before <= after and {"keys.bin", "release.pub", "site.json"} < after


def test_a_cleared_board_starts_unprovisioned_and_can_be_provisioned_again(
    cellar: Cellar, image: Path, tmp_path: Path
):
    signed, pins = sign(cellar, tmp_path / "image", 5), tmp_path / "pins.bin"
    keys = cellar.keys("supervisor")
    with serial_board(image, "--pins", pins) as port:
        wait_until_it_listens(cellar.tcp_port)
        assert toplovod("update", cellar.address, "--image", signed, "--keys", keys).status == 0
        wait_for(cellar, image_slot_number=1, image_version_number=5)
        put = "with open('/%s', 'w') as file:\n    file.write('x')\n"
        mess = ("limits.pub", "tls.key", "site.json.check", "keys.bin.new", "state/limits_a.txt", "notes.txt")
        line = line_of(port)
        line.run("".join(put % name for name in mess))
        before, _ = line.listing(("boards", "substation", "state", "slot_a"))
        assert {"site.2.json", "slot_a/image.head"} < before.keys()

        press_button(pins)
        said = toplovod("factory", port, "--yes", "--json")
        assert said.status == 0, said.out + said.err
        removed = said.json["removed"]
        assert (said.json["device_id"], said.json["board"]) == (DEVICE, "emulated")
        assert set(removed) == {
            "keys.bin", "keys.bin.new", "state", "slot_a", "release.pub", "limits.pub", "tls.key",
            "site.json", "site.2.json", "site.json.check",
        }  # fmt: skip
        assert removed["state"] == sum(path.startswith("state/") for path in before)
        press_button(pins, down=False)

        # the firmware tells what it is now, and heats
        SerialLine(port).reset()
        console_until(port, "safe start on defaults", "keys.bin: cannot be read")
        wait_for_relay(pins, 12)
        line = line_of(port)
        after, _ = line.listing(("boards", "substation", "slot_a"))
        bundle = {file.path: file.sha256 for file in build_bundle().files}
        assert {path: after.get(path) for path in bundle} == bundle
        assert after.keys() - bundle.keys() == {"manifest.json", "notes.txt"}
        last = line.run("import machine; print(machine.unique_id())")
        assert last.strip() == repr(bytes.fromhex(DEVICE))

        given = toplovod(
            "provision",
            port,
            "--settings",
            cellar.settings,
            "--vault",
            cellar.vault,
            "--json",
            env=cellar.env,
        )
        assert (given.status, given.json["new_key"], given.json["rekeyed"]) == (0, False, False), given.out
        assert is_taken(cellar, keys)
        wait_for(cellar, image_slot_number=0, image_floor_number=0, supervisor_key_epoch_number=1)
        assert state(cellar, "boot_count") <= 3  # of them one or two without settings


def asked(address: str, unit: int, pdu: bytes) -> bytes:
    """Ask one thing over Modbus TCP; b"" where the controller gives no answer."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as line:
        line.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, unit) + pdu)
        try:
            return line.recv(260)
        except ConnectionError:
            return b""


def on_flash(image: Path) -> dict[str, bytes]:
    """Return the files of a board's flash image by path."""
    system = littlefs.LittleFS(block_size=4096, block_count=352, read_size=64, prog_size=256, mount=False)
    system.context.buffer[:] = image.read_bytes()
    system.mount()
    return {
        f"{place.rstrip('/')}/{name}": system.open(f"{place.rstrip('/')}/{name}", "rb").read()
        for place, _, names in system.walk("/")
        for name in names
    }


def test_no_way_over_the_network_leads_to_the_factory_state(cellar: Cellar, image: Path, tmp_path: Path):
    """Every function and file, and every command there is in an order of who stands at the device."""
    pins = tmp_path / "pins.bin"
    at_first = on_flash(image)
    kept = {path for path in at_first if not path.startswith("/state/")}
    keys = [cellar.keys(slot) for slot in ("technician", "supervisor")]
    given = 0
    with serial_board(image, "--pins", pins):
        wait_until_it_listens(cellar.tcp_port)
        press_button(pins)
        wait_for_service_mode(cellar)
        for function in range(1, 128):
            for data in (b"", bytes(4), b"\0\0\xff\0", struct.pack(">HHBH", 0x83, 1, 2, 0xFFFF)):
                answer = asked(cellar.address, 1, bytes((function,)) + data)
                assert function in (1, 2, 3, 4, 7, 8, 11, 12, 17, 43) or answer[7:8] in (
                    b"", bytes((function | 0x80,))
                ), (function, data, answer)  # fmt: skip
        for file in (0, 1, 2, 10, 11, 12, 0xFFFF):
            record = struct.pack(">BHHH", 6, file, 0, 2) + bytes(4)
            answer = asked(cellar.address, 1, struct.pack(">BB", 21, len(record)) + record)
            assert answer[7:8] == b"\x95", (file, answer)
        commands = [row for row in registers.BY_PROFILE["substation"] if row.access == registers.COMMAND]
        with Controller(Address.parse(cellar.address)) as controller:
            for row in commands:
                for value in {row.low, row.high, *range(1, 6)}:
                    for key_file in map(KeyFile.read, keys if row.low <= value <= row.high else ()):
                        given += controller.order(key_file, {row.name: float(value)}, 0).accepted
        assert given > len(commands) // 3  # some of them are good for something
        assert is_taken(cellar, keys[1])
    now = on_flash(image)
    assert {path: now.get(path) for path in kept} == {path: at_first[path] for path in kept}
    assert {path for path in at_first if path.startswith("/state/")} <= now.keys()


def wait_for_service_mode(cellar: Cellar) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not toplovod("read", cellar.address, "--json").json["values"]["service_seconds_left_s"]:
        assert time.monotonic() < deadline, "the button opened nothing"


def test_the_firmware_removes_nothing_but_the_slot_that_an_update_fills():
    """Whatever came over a network, no line of the program takes away keys, settings or records."""
    found = {
        (path.name, line.strip())
        for path in (ROOT / "firmware").rglob("*.py")
        if "tests" not in path.parts
        for line in path.read_text().splitlines()
        if re.search(r"\b(os\.remove|os\.rmdir|os\.unlink|remove_all)\(", line)
    }
    assert {name for name, _ in found} == {"slots.py", "update.py"}
    assert {line for name, line in found if name == "update.py"} == {
        "os.remove(self._path)", "remove_all(self._folder)"
    }  # fmt: skip
    slots = {line for name, line in found if name == "slots.py"}
    assert slots == {"def remove_all(folder):", "os.remove(path)", "remove_all(path)", "os.rmdir(folder)"}


def test_no_board_at_the_port_is_unreachable(tmp_path: Path):
    said = toplovod("flash", tmp_path / "nothing", "--json")
    assert (said.status, said.json["code"], said.json["changed"]) == (3, "board_unreachable", False)
    assert "no such port" in said.json["message"] and "Nothing was changed" in said.json["message"]


def test_a_line_on_which_nobody_answers_is_given_up_soon():
    ours, theirs = os.openpty()
    try:
        with pytest.raises(ToolError) as caught:
            SerialLine(os.ttyname(theirs)).greet(timeout_s=1.0)
    finally:
        os.close(ours)
        os.close(theirs)
    assert caught.value.code == "board_unreachable" and "no answer within 1 s" in caught.value.message
    assert GREETING_TIMEOUT_S < 30
