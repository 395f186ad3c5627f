"""The kernels compile for aarch64 without a warning and compute there what they compute here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "checks" / "aarch64.sh"
COMPILER = "aarch64-linux-gnu-gcc"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(SCRIPT), sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True,
        check=False, env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason="gcc-aarch64-linux-gnu is not installed")
def test_a_kernel_builds_and_the_laws_agree(tmp_path: Path) -> None:
    """The smallest kernel here; `make cross-build` builds them all."""
    done = run(str(tmp_path), "_simd")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "_simd.so").read_bytes()[18:20] == b"\xb7\x00"  # the ELF number of AArch64
    if shutil.which("qemu-aarch64") is not None:
        assert "figures agree" in done.stdout


def test_without_a_compiler_it_names_the_remedy(tmp_path: Path) -> None:
    done = run(str(tmp_path), CC_AARCH64="no-such-compiler")
    assert done.returncode == 3
    assert "apt-get install gcc-aarch64-linux-gnu" in done.stderr
