"""--bench-bundle: the stories run on another firmware, and everything that tells of the run names it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..bench.errors import WrongUse
from ..bench.provisioning import PROJECT, checked_bundle, firmware_sha256

STORY = """
def test_which(target):
    print("it runs %08x" % target.controller.read("firmware_hash_code"))
"""


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_story.py").write_text(STORY)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "hil_tests.plugin",
         "--rootdir", str(folder), *options, str(folder / "test_story.py")],
        cwd=PROJECT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def other(tmp_path: Path, firmware_bundle: Path) -> Path:
    """A whole bundle that is not the shipped one: its boot.py has a comment more."""
    folder = tmp_path / "other"
    shutil.copytree(firmware_bundle, folder)
    with (folder / "boot.py").open("a") as file:
        file.write("# a laboratory's own build\n")
    _sign_anew(folder)
    return folder


def _sign_anew(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        entry["sha256"] = hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest()
    lines = "".join(f"{entry['sha256']}  {entry['path']}\n" for entry in manifest["files"])
    manifest["sha256"] = hashlib.sha256(lines.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_bundle_that_is_named_runs_and_is_told_everywhere(
    tmp_path: Path, other: Path, firmware_bundle: Path
) -> None:
    record, junit = tmp_path / "record.json", tmp_path / "junit.xml"
    done = run(tmp_path, "--bench-bundle", str(other), "--bench-record", str(record), f"--junitxml={junit}")
    assert done.returncode == 0, done.stdout + done.stderr
    digest = firmware_sha256(other)
    assert digest != firmware_sha256(firmware_bundle)
    assert f"bench bundle: {digest} in {other}, not the shipped one" in done.stdout
    assert f"not the shipped firmware: bundle {digest}" in done.stdout
    kept = json.loads(record.read_text())
    assert kept["bundle"] == {"sha256": digest, "from": "--bench-bundle"}
    assert f"it runs {kept['targets'][0]['firmware']}" in done.stdout
    assert f'name="bench_bundle_sha256" value="{digest}"' in junit.read_text()


def test_without_it_the_record_names_the_shipped_one(tmp_path: Path, firmware_bundle: Path) -> None:
    record = tmp_path / "record.json"
    done = run(tmp_path, "--bench-record", str(record))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(record.read_text())["bundle"]
    assert told == {"sha256": firmware_sha256(firmware_bundle), "from": "shipped"}
    assert "not the shipped" not in done.stdout


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def another_format(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("toplovod-bundle/1", "toplovod-bundle/9"))


def no_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def an_altered_file(folder: Path) -> None:
    with (folder / "main.py").open("a") as file:
        file.write("# altered\n")


def a_missing_file(folder: Path) -> None:
    (folder / "main.py").unlink()


def another_digest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": 64 * "0"}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_manifest, "holds no manifest.json, so it is no firmware bundle"),
        (another_format, "format 'toplovod-bundle/9', this bench reads toplovod-bundle/1"),
        (no_json, "holds no whole bundle"),
        (an_altered_file, "main.py is not what its manifest says"),
        (a_missing_file, "holds no whole bundle"),
        (another_digest, "contradicts itself"),
    ],
)
def test_what_is_no_whole_bundle_is_refused(other: Path, spoil: Callable[[Path], None], told: str) -> None:
    assert checked_bundle(other) == other
    spoil(other)
    with pytest.raises(WrongUse, match=f"{told}.*nothing was run. Make a bundle with toplovod build"):
        checked_bundle(other)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("vm", "bench.wrong_use: --bench-bundle: {folder} holds no manifest.json"),
        ("board:/dev/ttyACM0", "board:/dev/ttyACM0 runs what was flashed on it; nothing was run"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_before_anything_runs(
    tmp_path: Path, target: str, told: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    record = tmp_path / "record.json"
    done = run(
        tmp_path, "--bench-bundle", str(empty), "--bench-target", target, "--bench-record", str(record)
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert told.format(folder=empty) in done.stderr and "Traceback" not in done.stderr
    assert not record.exists()
