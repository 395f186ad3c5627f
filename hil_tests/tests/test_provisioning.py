"""What lies on a controller's flash before it gets power, and what may be read of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from firmware.substation import order_frame

from ..bench.errors import BundleFailed
from ..bench.provisioning import Ports, firmware_bundle, provision, write_key_file


def test_the_flash_holds_the_shipped_bundle_and_nothing_of_the_bench(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    device = provision(tmp_path, firmware_bundle, "house-01", "substation", 5502)
    manifest = json.loads((firmware_bundle / "manifest.json").read_text())
    shipped = {entry["path"] for entry in manifest["files"]}
    flash = device.board.flash
    found = {path.relative_to(flash).as_posix() for path in flash.rglob("*") if path.is_file()}
    assert found == shipped | {"site.json", "keys.bin"}
    for path in shipped:
        assert (flash / path).read_bytes() == (firmware_bundle / path).read_bytes()


def test_keys_are_private_random_and_never_in_the_site_file(tmp_path: Path, firmware_bundle: Path) -> None:
    first = provision(tmp_path / "a", firmware_bundle, "house-01", "substation", 5502)
    second = provision(tmp_path / "b", firmware_bundle, "house-01", "substation", 5502)
    assert first.root_key != second.root_key
    assert first.device_id != second.device_id
    keys = first.board.flash / "keys.bin"
    assert keys.read_bytes() == first.root_key
    assert keys.stat().st_mode & 0o777 == 0o600
    assert first.root_key.hex() not in (first.board.flash / "site.json").read_text()


def test_a_seed_repeats_ids_and_keys(tmp_path: Path, firmware_bundle: Path) -> None:
    first, second, other = (
        provision(tmp_path / str(i), firmware_bundle, "house-01", "substation", 5502, seed=seed)
        for i, seed in enumerate((3, 3, 4))
    )
    assert (first.device_id, first.root_key) == (second.device_id, second.root_key)
    assert first.root_key != other.root_key


def test_the_signers_file_holds_the_slot_key_and_not_the_root_key(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    device = provision(tmp_path, firmware_bundle, "house-01", "substation", 5502)
    path = write_key_file(tmp_path / "keys.json", [device])
    assert path.stat().st_mode & 0o777 == 0o600
    content = json.loads(path.read_text())
    assert content["format"] == "toplovod-keys/1"
    assert content["slot"] == "supervisor"
    slot_key = order_frame.slot_key(device.root_key, order_frame.SUPERVISOR, content["epoch"])
    assert content["devices"] == {device.device_id.hex(): slot_key.hex()}
    assert device.root_key.hex() not in path.read_text()


def test_an_unknown_profile_is_refused(tmp_path: Path, firmware_bundle: Path) -> None:
    with pytest.raises(ValueError, match="boiler"):
        provision(tmp_path, firmware_bundle, "house-01", "boiler", 5502)


def test_a_kept_port_can_be_listened_at_but_not_handed_out() -> None:
    ports = Ports()
    port = ports.take()
    with socket.socket() as controller:
        controller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        controller.bind(("127.0.0.1", port))
        controller.listen()
        with pytest.raises(OSError, match="in use"):
            ports.take(port)
    ports.close()


def test_a_bundle_that_cannot_be_written_is_an_error_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something.txt").write_text("not a bundle")
    with pytest.raises(BundleFailed, match="nothing was written"):
        firmware_bundle(tmp_path / "full")
