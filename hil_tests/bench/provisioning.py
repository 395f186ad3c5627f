"""Make an emulated controller's flash: the shipped bundle, its site file, its key, an empty state.

The bundle is the one `toplovod build` writes, byte for byte. Keys are random unless the bench seeds the
run, and never leave the run's folder; a seeded key is for tests and says so by its run. It refuses to
invent settings: what the town file or the caller does not give, the firmware's own default decides.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.substation import order_frame, registers

from .errors import BundleFailed, WrongUse
from .fleet import Board

PROJECT = Path(__file__).parents[2]
KEY_EPOCH = 1
KEY_FILE_FORMAT = "toplovod-keys/1"
SITE_FORMAT = "toplovod-device/2"
BUNDLE_FORMAT = "toplovod-bundle/1"
MODBUS_HOST = "127.0.0.1"
MODBUS_UNIT = 1


@dataclass(frozen=True)
class Device:
    """One provisioned controller. `root_key` opens every slot: keep it inside the run."""

    board: Board
    profile: str
    port: int
    root_key: bytes
    unit: int = MODBUS_UNIT

    @property
    def name(self) -> str:
        return self.board.name

    @property
    def device_id(self) -> bytes:
        return self.board.device_id

    @property
    def host(self) -> str:
        return MODBUS_HOST

    @property
    def key_epoch(self) -> int:
        return KEY_EPOCH

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def slot_key(self, slot: int, epoch: int = KEY_EPOCH) -> bytes:
        key: bytes = order_frame.slot_key(self.root_key, slot, epoch)
        return key


class Ports:
    """TCP ports, wanted or chosen by the system, kept for this run: a board comes back at its address.

    A bound socket that does not listen keeps the port from being handed out; the controller may listen
    there because both set SO_REUSEADDR.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, port: int = 0) -> int:
        """Return a free port, or the wanted one. OSError when that is taken."""
        holder = socket.socket()
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((MODBUS_HOST, port))
        except OSError:
            holder.close()
            raise
        self._held.append(holder)
        return int(holder.getsockname()[1])

    def close(self) -> None:
        for holder in self._held:
            holder.close()
        self._held.clear()


def firmware_bundle(out: Path) -> Path:
    """Write the shipped bundle to `out` with `toplovod build` and return `out`. Raises BundleFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "build", "--out", str(out), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BundleFailed(
            f"the firmware bundle was not built (status {done.returncode}); no controller was started. "
            f"{(done.stderr + done.stdout).strip()}"
        )
    return out


def firmware_sha256(bundle: Path) -> str:
    """Return the digest of a bundle, as its manifest says it."""
    return str(json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))["sha256"])


def checked_bundle(folder: Path) -> Path:
    """Return `folder` where a whole bundle lies in it, every file as its manifest has it. Raises WrongUse."""
    remedy = "nothing was run. Make a bundle with toplovod build --out FOLDER"
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise WrongUse(f"{folder} holds no manifest.json, so it is no firmware bundle; {remedy}")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        told = content["format"]
        if told != BUNDLE_FORMAT:
            raise WrongUse(f"{manifest}: format {told!r}, this bench reads {BUNDLE_FORMAT}; {remedy}")
        lines = ""
        for entry in content["files"]:
            found = hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest()
            if found != entry["sha256"]:
                raise WrongUse(f"{folder / entry['path']} is not what its manifest says; {remedy}")
            lines += f"{found}  {entry['path']}\n"
        if hashlib.sha256(lines.encode()).hexdigest() != content["sha256"]:
            raise WrongUse(f"{manifest} contradicts itself; {remedy}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(f"{folder} holds no whole bundle ({error}); {remedy}") from None
    return folder


def altered_bundle(folder: Path, changes: Sequence[tuple[str, str, str]]) -> Path:
    """Build a bundle from a copy of the sources with these changes, into `folder`/bundle, and return it.

    changes: (module of firmware/substation, right, altered), for counter-checks that must go wrong. The
    shipped sources stay as they are. Raises BundleFailed, also where a text to be altered is gone.
    """
    tree = folder / "sources"
    for room in ("firmware", "tools"):
        shutil.copytree(PROJECT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for file, right, altered in changes:
        path = tree / "firmware" / "substation" / file
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            raise BundleFailed(
                f"firmware/substation/{file}: {right.strip().splitlines()[0]!r} is not there any more; no "
                "controller was started. Bring the alteration up to date"
            )
        path.write_text(text.replace(right, altered), encoding="utf-8")
    out = folder / "bundle"
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "build", "--out", str(out)],
        capture_output=True, text=True, check=False, cwd=tree,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    if done.returncode:
        raise BundleFailed(
            f"the altered bundle was not built; no controller was started. {done.stderr.strip()}"
        )
    return out


def _secret(seed: int | None, name: str, what: str, length: int) -> bytes:
    if seed is None:
        return secrets.token_bytes(length)
    return hashlib.sha256(f"toplovod {what} {seed} {name}".encode()).digest()[:length]


def provision(
    folder: Path,
    bundle: Path,
    name: str,
    profile: str,
    port: int,
    *,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Device:
    """Make the flash of one controller in `folder`/`name` and return it, ready for power.

    settings: rows of its site.json beside identity and port, engineering values by register name.
    """
    if profile not in registers.PROFILES:
        raise ValueError(f"{profile!r} is no profile; known: {', '.join(registers.PROFILES)}")
    flash = folder / name / "flash"
    shutil.copytree(bundle, flash, ignore=shutil.ignore_patterns("manifest.json"))
    (flash / "state").mkdir()
    device_id = _secret(seed, name, "device id", 8)
    root_key = _secret(seed, name, "root key", 32)
    site: dict[str, Any] = {
        "format": SITE_FORMAT,
        "name": name,
        "profile": profile,
        "board": "emulated",
        "device_id": device_id.hex(),
        "modbus_address": MODBUS_HOST,
        "modbus_port": port,
        "modbus_unit": MODBUS_UNIT,
        "epochs": dict.fromkeys(order_frame.SLOTS, KEY_EPOCH),
    }
    site.update(settings or {})
    (flash / "site.json").write_text(json.dumps(site, indent=1) + "\n")
    _write_private(flash / "keys.bin", root_key)
    board = Board(name, device_id, flash, folder / name / "console.log")
    return Device(board, profile, port, root_key, int(site["modbus_unit"]))


def site_rows(profile: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a town's controller settings under the names of the register map's config rows.

    A town file calls both heating curves `curve_…`; the map calls the plant's `plant_curve_…`.
    """
    known = {row.name for row in registers.BY_PROFILE[profile] if row.access == registers.CONFIG}
    return {name if name in known else f"plant_{name}": value for name, value in config.items()}


def write_key_file(
    path: Path, devices: Sequence[Device], slot: int = order_frame.SUPERVISOR, epoch: int = KEY_EPOCH
) -> Path:
    """Write the signer's key file for one slot of these devices, readable by its owner alone."""
    keys = {device.device_id.hex(): device.slot_key(slot, epoch).hex() for device in devices}
    content = {
        "format": KEY_FILE_FORMAT,
        "slot": order_frame.SLOTS[slot],
        "epoch": epoch,
        "devices": keys,
    }
    _write_private(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
