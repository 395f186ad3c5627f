"""The choice of the instruction level."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .. import simd


def test_without_a_wish_the_highest_level_is_taken():
    assert simd.choose(None) == simd.choose("") == simd.SUPPORTED[-1]
    assert simd.SUPPORTED[0] == "baseline"


def test_an_unknown_level_is_refused_by_name():
    with pytest.raises(simd.BadLevel, match=r"TOPLOVOD_SIMD=sse9 .* baseline, avx2, avx512"):
        simd.choose("sse9")


def test_a_level_the_processor_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(simd, "SUPPORTED", ("baseline",))
    with pytest.raises(simd.BadLevel, match="cannot run here"):
        simd.choose("avx2")


def test_the_environment_forces_a_level():
    for level in simd.SUPPORTED:
        printed = subprocess.run(
            [sys.executable, "-c", "from core_ext import simd; print(simd.LEVEL)"],
            env={simd.VARIABLE: level, "PATH": ""}, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert printed.strip() == level
