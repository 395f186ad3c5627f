"""A signed image of the bundle that runs, and its key on the controller: what an update needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import BenchError
from .rig import FaultRig


def _toplovod(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(
            f"toplovod {arguments[0]} failed: {(done.stderr + done.stdout).strip()}; no update was sent"
        )


def signed_image(rig: FaultRig) -> bytes:
    """Make a release key, put its public part onto the controller, and return an image signed with it.

    Asked again on one rig it is the same image.
    """
    key, public, image = (rig.folder / name for name in ("release.pem", "release.pub", "image"))
    if not image.exists():
        _toplovod("keys", "release", key, "--public", public)
        _toplovod("sign", "--bundle", rig.bundle, "--image-version", "2", "--key", key, "--out", image)
    shutil.copy(public, rig.controller.device.board.flash)
    return image.read_bytes()
