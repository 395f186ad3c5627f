"""The power goes at any flash operation of an update or a record: old or new stands, never a mixture (S9)."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .acceptance import limit
from .bench.vm_flash.words import in_words_of

SCRIPT = Path(__file__).parent / "bench" / "vm_flash" / "power_cuts.py"
DEADLINE_S = 600
# more than 10 000 in all
LEAST_CUTS = {"update": 1_500, "records": 9_000, "log": 2_000, "limits": 50, "migration": 5}
MOST_OPERATIONS = limit("log-operations")


def toplovod(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)], check=True, capture_output=True, text=True
    )


def alter(bundle: Path, newer: Path) -> None:
    """Copy a bundle, every compiled module a byte longer, and its manifest to fit."""
    shutil.copytree(bundle, newer)
    manifest = json.loads((newer / "manifest.json").read_text())
    for entry in manifest["files"]:
        file = newer / entry["path"]
        if file.suffix == ".mpy":
            file.write_bytes(file.read_bytes() + b"\0")
        entry["bytes"] = file.stat().st_size
        entry["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in manifest["files"])
    manifest["sha256"] = hashlib.sha256(lines.encode()).hexdigest()
    (newer / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> tuple[Path, list[str]]:
    """The bundle under test, and the arguments of a story: two signed versions and the public release key.

    Every module of the second ends in a byte more, so that a mixture of both is neither.
    """
    folder = tmp_path_factory.mktemp("images")
    bundle, newer = folder / "bundle", folder / "newer"
    shutil.copytree(firmware_bundle, bundle)
    toplovod("keys", "release", folder / "release.pem", "--public", folder / "release.pub")
    alter(bundle, newer)
    arguments = []
    for version, source in ((1, bundle), (2, newer)):
        path = folder / f"image{version}"
        toplovod("sign", "--bundle", source, "--image-version", str(version), "--key", folder / "release.pem",
                 "--out", path)  # fmt: skip
        arguments.append(str(path))
    return bundle, [*arguments, str(folder / "release.pub")]


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a story: two signed limit bundles and the public key."""
    folder = tmp_path_factory.mktemp("limits")
    key, public = folder / "limits.pem", folder / "limits.pub"
    toplovod("keys", "release", key, "--public", public)
    for version in (1, 2):
        settings = folder / "settings.json"
        settings.write_text(json.dumps({"contract_flow_limit_m3_h": version}))
        toplovod("limits", "sign", settings, "--device-id", "0011223344556677", "--limits-version",
                 str(version), "--key", key, "--out", folder / f"limits{version}")  # fmt: skip
    return [str(folder / "limits1"), str(folder / "limits2"), str(public)]


def run(bundle: Path, story: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = bundle.parent / "power_cuts.py"
    script.write_text(in_words_of(bundle, SCRIPT))
    return subprocess.run(
        [sys.executable, "-m", "micropython", "-X", "heapsize=64m", str(script), str(bundle), story,
         *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("story", ["update", "records", "limits", "migration", "log"])
def test_s9_a_cut_at_every_flash_operation_leaves_old_or_new(
    story: str, images: tuple[Path, list[str]], limits: list[str]
) -> None:
    bundle, arguments = images
    done = run(bundle, story, *{"update": arguments, "limits": limits}.get(story, ()))
    assert "cut in operation" not in done.stdout, done.stdout
    found = re.search(r"operations (\d+) cuts (\d+) repeats (\d+) outcomes \{(.*)\}", done.stdout)
    assert found, done.stdout + done.stderr
    assert int(found[2]) >= LEAST_CUTS[story]
    assert story != "log" or int(found[1]) <= MOST_OPERATIONS
    # both outcomes were seen, so the cuts lay on both sides of the change
    assert len(found[4].split(",")) == 2


def test_an_update_in_place_is_found_out(images: tuple[Path, list[str]]) -> None:
    """What the popular updaters do: the same cuts find it at once."""
    bundle, arguments = images
    done = run(bundle, "in_place", *arguments)
    assert "cut in operation" in done.stdout
    assert "slot_a is damaged; going back" in done.stdout
