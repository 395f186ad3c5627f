"""Signed limit bundles at the desk: what may be in one, what is refused with which remedy."""

import json
from pathlib import Path

import pytest

from tools import limits

from .processes import toplovod

DEVICE = "00aa11bb22cc33dd"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "limits.pem", tmp_path / "limits.pub"
    assert toplovod("keys", "release", private, "--public", public).status == 0
    return private, public


def sign(tmp_path: Path, key: Path, settings: object, version: int = 1, device: str = DEVICE):
    (tmp_path / "changes.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return toplovod(
        "limits", "sign", tmp_path / "changes.json", "--device-id", device, "--limits-version", version,
        "--key", key, "--out", tmp_path / "bundle", "--json",
    )  # fmt: skip


def test_a_bundle_is_signed_and_shown(tmp_path: Path, keys: tuple[Path, Path]):
    settings = {"contract_flow_limit_m3_h": 1.2, "curve_slope": None}
    made = sign(tmp_path, keys[0], settings, 7)
    assert made.status == 0, made.err
    shown = toplovod("limits", "show", tmp_path / "bundle", "--public", keys[1], "--json")
    assert shown.json == {
        "device_id": DEVICE, "version": 7, "signature": "genuine", "settings": settings,
    }  # fmt: skip


def test_a_bundle_of_another_key_or_a_cut_one_is_told(tmp_path: Path, keys: tuple[Path, Path]):
    assert sign(tmp_path, keys[0], {"deficit_budget_kh": 20}).status == 0
    assert toplovod("keys", "release", tmp_path / "b.pem", "--public", tmp_path / "b.pub").status == 0
    shown = toplovod("limits", "show", tmp_path / "bundle", "--public", tmp_path / "b.pub", "--json")
    assert (shown.status, shown.json["code"]) == (1, "bundle_of_another_key")
    (tmp_path / "bundle").write_bytes((tmp_path / "bundle").read_bytes()[:-1])
    shown = toplovod("limits", "show", tmp_path / "bundle", "--json")
    assert (shown.status, shown.json["code"]) == (2, "bundle_damaged")
    (tmp_path / "b.pub").write_bytes(b"short")
    shown = toplovod("limits", "show", tmp_path / "bundle", "--public", tmp_path / "b.pub", "--json")
    assert (shown.status, shown.json["code"]) == (2, "release_key_unreadable")


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"valve_stroke_s": 60}, "not_for_a_bundle"),
        ({"epochs": [1, 1, 1, 1]}, "not_for_a_bundle"),
        ({"dhw_scald_limit_temp_c": 80}, "not_for_a_bundle"),
        ({"contract_flow_limit_m3_h": -1}, "out_of_limits"),
        ({"contract_flow_limit_m3_h": "1"}, "out_of_limits"),
        ({"contract_flow_limit_m3_h": True}, "out_of_limits"),
        ({}, "settings_unreadable"),
        ([], "settings_unreadable"),
        ("{", "settings_unreadable"),
        ({"holidays": ["x" * 5000]}, "bundle_too_long"),
    ],
)  # fmt: skip
def test_what_no_bundle_may_carry_is_not_signed(
    tmp_path: Path, keys: tuple[Path, Path], settings: object, code: str
):
    said = sign(tmp_path, keys[0], settings)
    assert (said.status, said.json["code"]) == (2, code)
    assert not (tmp_path / "bundle").exists()


def test_desk_and_controller_agree_on_the_form():
    assert limits.of_firmware("CONTEXT", "limit_bundle.py") == limits.CONTEXT
    assert limits.FORMAT.encode() + b" " == limits.of_firmware("FORM", "limits_record.py")
