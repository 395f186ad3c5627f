"""The borders between the rooms that import-linter cannot see.

import-linter reads Python imports between modules (contracts in pyproject.toml). Here: .pyx files, how a
room imports itself and others, pytest outside tests, and what MicroPython does not have.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..build import LEFT_OUT
from .processes import ROOT

ROOMS = ("firmware", "core_ext", "supervisor", "tools", "hil_tests")
# what the firmware may import beside itself: MicroPython's own modules
MICROPYTHON = {
    "array", "asyncio", "binascii", "collections", "ds18x20", "errno", "gc", "hashlib", "json", "machine",
    "math", "micropython", "network", "onewire", "os", "random", "select", "socket", "struct", "sys", "time",
    "tls", "vfs",
}  # fmt: skip
PYX_MAY = {"libc", "cython", "numpy", "cpython", "core_ext"}
CIMPORT = re.compile(r"^\s*(?:from\s+(\S+)\s+c?import|c?import\s+(\S+))")


def modules(room: str) -> Iterator[Path]:
    for path in sorted((ROOT / room).rglob("*.py")):
        if "node_modules" not in path.parts:
            yield path


def in_tests(path: Path) -> bool:
    return not {"tests", "measurements"}.isdisjoint(path.parts) or path.name.startswith("test_")


def imports(path: Path) -> Iterator[tuple[int, int, str]]:
    """Yield (line, level, module) of every import statement."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, 0, name.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.level, node.module or ""


def test_a_room_imports_itself_relatively():
    """An absolute import of our own code marks a border crossing."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for room in ROOMS
        for path in modules(room)
        if not in_tests(path) and not path.name.startswith("make_")
        for line, level, name in imports(path)
        if level == 0 and name.split(".")[0] == room
    ]
    assert wrong == []


def test_a_relative_import_never_leaves_its_room():
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for room in ROOMS
        for path in modules(room)
        for line, level, _ in imports(path)
        if level > len(path.relative_to(ROOT).parts) - 1
    ]
    assert wrong == []


def test_pytest_stays_in_tests():
    allowed = {"hil_tests/plugin.py", "hil_tests/conftest.py"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for room in ROOMS
        for path in modules(room)
        if not in_tests(path)
        and path.name != "conftest.py"
        and path.relative_to(ROOT).as_posix() not in allowed
        for line, _, name in imports(path)
        if name.split(".")[0] == "pytest"
    ]
    assert wrong == []


def test_the_firmware_imports_micropython_and_itself_only():
    wrong = []
    for path in modules("firmware"):
        if in_tests(path) or (path.parent == ROOT / "firmware" and path.name in LEFT_OUT):
            continue  # no part of what ships
        at_root = path.parent == ROOT / "firmware"
        for line, level, name in imports(path):
            first = name.split(".")[0]
            # at the device's root the packages are absolute: main.py says `from substation import app`
            ours = level > 0 or (at_root and first in ("boards", "substation"))
            if not ours and first not in MICROPYTHON:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert wrong == []


PYX = sorted((ROOT / "core_ext").glob("*.pyx"))


@pytest.mark.parametrize("path", PYX, ids=lambda path: path.name)
def test_a_kernel_imports_c_numpy_and_its_own_room_only(path: Path):
    wrong = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        found = CIMPORT.match(text)
        if found is None:
            continue
        name = (found.group(1) or found.group(2)).rstrip(",")
        if not name.startswith(".") and name.split(".")[0] not in PYX_MAY:
            wrong.append(f"{path.name}:{number} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("path", PYX, ids=lambda path: path.name)
def test_a_kernel_has_its_types_beside_it(path: Path):
    assert path.with_suffix(".pyi").exists()


def test_there_are_kernels_to_check():
    assert PYX


def test_no_file_is_called_after_nothing():
    nameless = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert [p for room in ROOMS for p in modules(room) if p.name in nameless] == []


def test_the_check_sees_a_crossing(tmp_path: Path):
    """The reader itself: it must find what it is for."""
    sample = tmp_path / "sample.py"
    sample.write_text("import os.path\nfrom ..x import y\nfrom supervisor.field import poller\n")
    assert list(imports(sample)) == [(1, 0, "os.path"), (2, 2, "x"), (3, 0, "supervisor.field")]
    lines = ("cimport scipy.linalg", "from scipy cimport x", "cdef int a")
    assert [bool(CIMPORT.match(line)) for line in lines] == [True, True, False]
