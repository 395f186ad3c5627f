"""The power goes at any flash operation of an update or a record: old or new stands, never a mixture (S9)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools.build import Bundle, firmware_folder, write_bundle
from tools.sign import make_image, public_bytes

SCRIPT = Path(__file__).parent / "bench" / "vm_flash" / "power_cuts.py"
DEADLINE_S = 600
cuts_of: dict[str, int] = {}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, list[str]]:
    """The shipped bundle, and the arguments of a story: two signed versions of it and the release key.

    The second differs from the first in every file, so that a mixture of both is neither.
    """
    folder = tmp_path_factory.mktemp("images")
    key = Ed25519PrivateKey.generate()
    newer = folder / "newer"
    shutil.copytree(firmware_folder(), newer, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for source in newer.glob("*/*.py"):
        source.write_text(source.read_text() + "\n_NEWER = 1\n")
    arguments: list[str] = []
    for version, source in ((2, newer), (1, firmware_folder())):
        bundle = write_bundle(folder / f"bundle{version}", source)
        path = folder / f"image{version}"
        path.write_bytes(make_image(bundle, version, key).content)
        arguments.insert(0, str(path))
    (folder / "key").write_bytes(public_bytes(key))
    return bundle, [*arguments, str(folder / "key")]


def run(bundle: Bundle, story: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "micropython", "-X", "heapsize=64m", str(SCRIPT), str(bundle.folder), story,
         *arguments],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("story", ["update", "records"])
def test_s9_a_cut_at_every_flash_operation_leaves_old_or_new(
    story: str, images: tuple[Bundle, list[str]]
) -> None:
    bundle, arguments = images
    done = run(bundle, story, *(arguments if story == "update" else ()))
    assert "cut in operation" not in done.stdout, done.stdout
    found = re.search(r"operations (\d+) cuts (\d+) repeats (\d+) outcomes \{(.*)\}", done.stdout)
    assert found, done.stdout + done.stderr
    cuts_of[story] = int(found[2])
    # both outcomes were seen, so the cuts lay on both sides of the change
    assert len(found[4].split(",")) == 2
    if len(cuts_of) == 2:
        assert sum(cuts_of.values()) >= 10_000, cuts_of


def test_an_update_in_place_is_found_out(images: tuple[Bundle, list[str]]) -> None:
    """What the popular updaters do: the same cuts find it at once."""
    bundle, arguments = images
    done = run(bundle, "in_place", *arguments)
    assert "cut in operation" in done.stdout
    assert "slot_a is damaged; going back" in done.stdout
