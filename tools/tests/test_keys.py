"""Vault and key files: nothing in the clear, nothing lost, a stolen supervisor shut out."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from firmware.substation import order_frame
from tools.errors import ToolError
from tools.key_file import KeyFile
from tools.vault import Vault

from .processes import ROOT, toplovod

PASSPHRASE = "a kettle full of snow"
DEVICE = "00aa11bb22cc33dd"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n")
    return {"TOPLOVOD_PASSPHRASE_FILE": str(tmp_path / "passphrase")}


def test_new_rotate_export_and_recover(tmp_path: Path, env: dict[str, str]):
    vault, keys = tmp_path / "vault.json", tmp_path / "keys.json"
    made = toplovod("keys", "new", DEVICE, "--count", 2, "--vault", vault, "--json", env=env)
    assert made.status == 0, made.err
    assert made.json["total"] == 3 and made.json["devices"][0] == DEVICE
    root = Vault.open(vault, PASSPHRASE).root_keys[DEVICE]

    assert toplovod("keys", "export", "supervisor", "--vault", vault, "--out", keys, env=env).status == 0
    content = json.loads(keys.read_text())
    assert (content["format"], content["slot"], content["epoch"]) == ("toplovod-keys/1", "supervisor", 1)
    assert content["devices"][DEVICE] == order_frame.slot_key(root, order_frame.SUPERVISOR, 1).hex()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600

    assert toplovod("keys", "rotate", "supervisor", "--vault", vault, "--json", env=env).json["epoch"] == 2
    recovered = toplovod("keys", "recover", "--vault", vault, "--out", keys, "--json", env=env)
    assert recovered.json["epoch"] == 3
    content = json.loads(keys.read_text())
    assert content["devices"][DEVICE] == order_frame.slot_key(root, order_frame.SUPERVISOR, 3).hex()
    assert Vault.open(vault, PASSPHRASE).epochs == {
        "supervisor": 3,
        "standby": 1,
        "technician": 1,
        "utility": 1,
    }


def test_no_key_stands_in_the_vault_file_in_the_clear(tmp_path: Path):
    vault = Vault()
    vault.add(DEVICE)
    vault.save(tmp_path / "vault.json", PASSPHRASE)
    text = (tmp_path / "vault.json").read_text()
    assert vault.root_keys[DEVICE].hex() not in text and DEVICE not in text
    assert stat.S_IMODE((tmp_path / "vault.json").stat().st_mode) == 0o600


def test_two_saves_never_share_salt_or_nonce(tmp_path: Path):
    vault = Vault()
    seen = set()
    for _ in range(2):
        vault.save(tmp_path / "vault.json", PASSPHRASE)
        content = json.loads((tmp_path / "vault.json").read_text())
        seen |= {content["salt"], content["nonce"]}
    assert len(seen) == 4


def test_a_wrong_passphrase_changes_nothing(tmp_path: Path, env: dict[str, str]):
    vault = tmp_path / "vault.json"
    Vault().save(vault, PASSPHRASE)
    before = vault.read_bytes()
    (tmp_path / "wrong").write_text("not this one, surely\n")
    said = toplovod(
        "keys", "rotate", "supervisor", "--vault", vault, "--passphrase-file", tmp_path / "wrong", "--json"
    )
    assert (said.status, said.json["code"]) == (1, "vault_locked")
    assert vault.read_bytes() == before


@pytest.mark.parametrize("field", ["n", "salt", "nonce", "content", "format"])
def test_a_changed_vault_is_noticed(tmp_path: Path, field: str):
    path = tmp_path / "vault.json"
    Vault().save(path, PASSPHRASE)
    content = json.loads(path.read_text())
    changed = {"n": 2**16, "salt": content["nonce"], "nonce": content["nonce"][:-4] + "AAAA", "format": "x/1"}
    content[field] = changed.get(field, "AAAA" + str(content["content"])[4:])
    path.write_text(json.dumps(content))
    with pytest.raises(ToolError) as caught:
        Vault.open(path, PASSPHRASE)
    assert caught.value.code in ("vault_locked", "vault_damaged")


def test_a_vault_that_asks_for_too_much_memory_is_refused_before_it_gets_it(tmp_path: Path):
    path = tmp_path / "vault.json"
    Vault().save(path, PASSPHRASE)
    content = json.loads(path.read_text())
    content["n"] = 2**40
    path.write_text(json.dumps(content))
    with pytest.raises(ToolError) as caught:
        Vault.open(path, PASSPHRASE)
    assert caught.value.code == "vault_damaged"


def test_a_device_keeps_its_root_key(tmp_path: Path, env: dict[str, str]):
    vault = tmp_path / "vault.json"
    assert toplovod("keys", "new", DEVICE, "--vault", vault, env=env).status == 0
    before = Vault.open(vault, PASSPHRASE).root_keys
    said = toplovod("keys", "new", DEVICE, "--vault", vault, "--json", env=env)
    assert (said.status, said.json["code"]) == (1, "device_known")
    assert Vault.open(vault, PASSPHRASE).root_keys == before


def test_a_short_passphrase_is_refused_for_a_new_vault(tmp_path: Path):
    (tmp_path / "short").write_text("short\n")
    said = toplovod(
        "keys", "new", "--vault", tmp_path / "vault.json", "--passphrase-file", tmp_path / "short", "--json"
    )
    assert (said.status, said.json["code"]) == (2, "passphrase_short")
    assert not (tmp_path / "vault.json").exists()


def test_a_later_epoch_cannot_be_had_from_an_earlier_key(tmp_path: Path):
    vault = Vault()
    vault.add(DEVICE)
    first = vault.slot_keys("supervisor").devices[DEVICE]
    vault.rotate("supervisor")
    second = vault.slot_keys("supervisor").devices[DEVICE]
    assert first != second
    assert second != order_frame.slot_key(first, order_frame.SUPERVISOR, 2)


def test_a_key_file_that_others_may_read_is_not_used(tmp_path: Path):
    path = tmp_path / "keys.json"
    KeyFile(0, 1, {DEVICE: bytes(32)}).write(path)
    KeyFile.read(path)
    path.chmod(0o640)
    with pytest.raises(ToolError) as caught:
        KeyFile.read(path)
    assert caught.value.code == "keys_exposed"


def test_a_file_that_holds_no_keys_is_named_before_its_rights_are_judged(tmp_path: Path):
    """Who names a wrong file must not be told to change that file's rights."""
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0\n")
    path.chmod(0o644)
    with pytest.raises(ToolError) as caught:
        KeyFile.read(path)
    assert caught.value.code == "keys_damaged" and "chmod" not in caught.value.message


def test_a_damaged_key_file_shows_nothing_of_a_key(tmp_path: Path):
    path = tmp_path / "keys.json"
    KeyFile(0, 1, {DEVICE: bytes(range(32))}).write(path)
    path.write_text(path.read_text().replace("000102", "zz0102"))
    with pytest.raises(ToolError) as caught:
        KeyFile.read(path)
    assert caught.value.code == "keys_damaged" and "zz0102" not in caught.value.message


def test_recovered_keys_that_cannot_be_written_are_not_lost(tmp_path: Path, env: dict[str, str]):
    """The epoch is raised by then: the message says so, and what finishes the work."""
    vault, block = tmp_path / "vault.json", tmp_path / "block"
    assert toplovod("keys", "new", DEVICE, "--vault", vault, env=env).status == 0
    block.touch()
    said = toplovod("keys", "recover", "--vault", vault, "--out", block / "keys.json", "--json", env=env)
    assert (said.status, said.json["code"], said.json["changed"]) == (2, "keys_not_written", True)
    assert "toplovod keys export supervisor" in said.json["message"]
    keys = tmp_path / "keys.json"
    assert toplovod("keys", "export", "supervisor", "--vault", vault, "--out", keys, env=env).status == 0
    assert json.loads(keys.read_text())["epoch"] == 2


def test_a_vault_in_an_impossible_place_is_wrong_use(tmp_path: Path, env: dict[str, str]):
    block = tmp_path / "block"
    block.touch()
    said = toplovod("keys", "new", "--count", 1, "--vault", block / "vault.json", "--json", env=env)
    assert (said.status, said.json["code"], said.json["changed"]) == (2, "cannot_write", False)
    said = toplovod("keys", "rotate", "utility", "--vault", tmp_path, "--json", env=env)
    assert (said.status, said.json["code"]) == (2, "vault_unreadable")


def test_without_a_terminal_the_passphrase_is_not_asked_for(tmp_path: Path):
    said = subprocess.run(
        [sys.executable, "-m", "tools.cli", "keys", "new", "--vault", tmp_path / "vault.json"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=ROOT,
        start_new_session=True,  # no controlling terminal either
    )  # fmt: skip
    assert said.returncode == 2 and said.stderr.startswith("no_terminal: ")
    assert not (tmp_path / "vault.json").exists()


def test_a_passphrase_that_is_no_text_is_named(tmp_path: Path):
    (tmp_path / "binary").write_bytes(b"\xff" * 16)
    said = toplovod(
        "keys", "new", "--vault", tmp_path / "v.json", "--passphrase-file", tmp_path / "binary", "--json"
    )
    assert (said.status, said.json["code"]) == (2, "passphrase_unreadable")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "\udcff", '{"format": "toplovod-keys/2"}',
     '{"format": "toplovod-keys/1", "slot": "king", "epoch": 1, "devices": {}}',
     '{"format": "toplovod-keys/1", "slot": "utility", "epoch": 1, "devices": {"00aa11bb22cc33dd": "00"}}'],
)  # fmt: skip
def test_a_damaged_key_file_is_named(tmp_path: Path, text: str):
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ToolError) as caught:
        KeyFile.read(path)
    assert caught.value.code == "keys_damaged"
