"""What provisioning refuses before it opens the line to a board."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ..errors import WRONG_USE, ToolError
from ..provision import FORMATS, provision, read_settings
from ..vault import Vault

SETTINGS: dict[str, Any] = {"format": FORMATS[0], "device_id": "0011223344556677"}


@pytest.mark.parametrize(
    ("more", "said", "told"),
    [({"legacy": {"from": "rtu"}}, False, "Add --legacy"), ({}, True, "no `legacy`")],
)
def test_legacy_mode_is_said_twice_or_not_at_all(
    tmp_path: Path, more: dict[str, Any], said: bool, told: str
) -> None:
    vault = cast(Vault, SimpleNamespace(root_keys={}))
    with pytest.raises(ToolError) as refused:
        provision(str(tmp_path / "no-line"), {**SETTINGS, **more}, vault, None, legacy=said)
    assert refused.value.code == "legacy_not_agreed"
    assert refused.value.exit_status == WRONG_USE
    assert told in str(refused.value)
    assert "nothing was changed" in str(refused.value)


@pytest.mark.parametrize("form", FORMATS)
def test_settings_of_either_format_are_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / "house.json"
    path.write_text(f'{{"format": "{form}", "device_id": "0011223344556677"}}')
    assert read_settings(path)["format"] == form


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "house.json"
    path.write_text('{"format": "toplovod-device/9", "device_id": "0011223344556677"}')
    with pytest.raises(ToolError) as refused:
        read_settings(path)
    assert FORMATS[0] in str(refused.value)
