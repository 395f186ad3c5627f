"""Signed limit bundles: make one, look into one, send one to its controller.

It refuses settings that no bundle may carry, a key that others may read, and to send a bundle to another
controller than the one it names. The layout is told in firmware/substation/limit_bundle.py.
"""

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from firmware.substation import registers

from .build import firmware_folder
from .errors import WRONG_USE, ToolError
from .json_file import read_json
from .vault import checked_id

FORMAT = "toplovod-limit/1"
CONTEXT = b"toplovod limit1"
SIGNATURE_BYTES = 64
PREFIX_BYTES = len(FORMAT) + 7
VERSION_LAST = 0xFFFFFFFE


@dataclass(frozen=True)
class LimitBundle:
    """A signed bundle. `content` is all of it: the text, and the signature over it."""

    content: bytes
    device_id: str
    version: int
    settings: dict[str, Any]

    @property
    def head(self) -> bytes:
        """What an order names by its digest: there is nothing behind the head."""
        return self.content

    @property
    def digest(self) -> bytes:
        """The 16 bytes by which it is opened."""
        return hashlib.sha256(self.content).digest()[:16]


def of_firmware(name: str, file: str = "bundled_limits.py") -> Any:
    """Return what the firmware's own file assigns to a name: controllers decide what a bundle may carry."""
    tree = ast.parse((firmware_folder() / "substation" / file).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", None) == name for t in node.targets):
            return ast.literal_eval(node.value)
    raise KeyError(name)


def read_changes(path: Path) -> dict[str, Any]:
    """Return the settings in a JSON file, each one that a bundle may carry; ToolError settings_unreadable."""
    content = read_json(path, "settings_unreadable", "nothing was signed")
    if not isinstance(content, dict) or not content:
        raise ToolError(
            "settings_unreadable",
            f'{path}: must be one JSON object of settings, such as {{"contract_flow_limit_m3_h": 1.2}}; '
            "nothing was signed",
            exit_status=WRONG_USE,
        )
    allowed = of_firmware("NAMES").split()
    for name, value in content.items():
        if name not in allowed:
            raise ToolError(
                "not_for_a_bundle",
                f"{path}: {name} may not be set by a bundle; nothing was signed. Limits, curves and "
                "schedules may; all else is set at the device: toplovod provision. See docs/updates.md.",
                exit_status=WRONG_USE,
            )
        row = registers.BY_NAME.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if row is not None and value is not None and not (number and row.low <= value <= row.high):
            raise ToolError(
                "out_of_limits",
                f"{path}: {name} = {value!r} must be a number from {row.low:g} to {row.high:g}; "
                "nothing was signed",
                exit_status=WRONG_USE,
            )
    return content


def make_bundle(
    device_id: str, version: int, settings: dict[str, Any], key: Ed25519PrivateKey
) -> LimitBundle:
    """Return the signed bundle of one controller; ToolError bad_version, bundle_too_long."""
    device_id = checked_id(device_id)
    if not 1 <= version <= VERSION_LAST:
        raise ToolError(
            "bad_version", f"version {version}: must lie between 1 and {VERSION_LAST}", exit_status=WRONG_USE
        )
    body = f"device {device_id}\nversion {version}\n{json.dumps(settings, sort_keys=True)}\n".encode()
    text = f"{FORMAT} {PREFIX_BYTES + len(body):05d}\n".encode() + body
    longest = of_firmware("LONGEST_TEXT", "limits_record.py")
    if len(text) > longest:
        raise ToolError(
            "bundle_too_long",
            f"{len(text)} bytes of settings; a controller takes {longest}. Nothing was signed: leave out "
            "what does not change, holidays that are past for example.",
            exit_status=WRONG_USE,
        )
    return LimitBundle(text + key.sign(CONTEXT + hashlib.sha256(text).digest()), device_id, version, settings)


def read_limits(path: Path, public_key: bytes | None = None) -> LimitBundle:
    """Return the bundle in a file, the signature checked where a key is given."""
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise ToolError("bundle_unreadable", f"{path}: {reason.strerror}", exit_status=WRONG_USE) from reason
    text = content[:-SIGNATURE_BYTES]
    try:
        first, device, version, settings = text.decode().split("\n", 3)
        told = re.fullmatch(re.escape(FORMAT) + r" (\d{5})", first)
        if told is None or int(told[1]) != len(text) or not device.startswith("device "):
            raise ValueError
        bundle = LimitBundle(
            content, device.removeprefix("device "), int(version.removeprefix("version ")),
            json.loads(settings),
        )  # fmt: skip
    except ValueError as reason:
        raise ToolError(
            "bundle_damaged",
            f"{path} is no whole bundle of format {FORMAT}. Make one: toplovod limits sign",
            exit_status=WRONG_USE,
        ) from reason
    if public_key is not None:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(
                content[-SIGNATURE_BYTES:], CONTEXT + hashlib.sha256(text).digest()
            )
        except (InvalidSignature, ValueError) as reason:
            raise ToolError(
                "bundle_of_another_key", f"{path} was not signed by the key that belongs to this public one"
            ) from reason
    return bundle
