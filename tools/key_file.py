"""Key files: the keys of one slot for many controllers, as the signer and `toplovod order` read them.

JSON `toplovod-keys/1`: {"format", "slot", "epoch", "devices": {"<device id, 16 hex>": "<slot key, 64 hex>"}}.
It refuses a file that others may read, and never shows a key in an error.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware.substation import order_frame

from .errors import WRONG_USE, ToolError

FORMAT = "toplovod-keys/1"
KEY_BYTES = 32
ID_BYTES = 8


@dataclass(frozen=True)
class KeyFile:
    """The content of a key file; `slot` is the number of the slot."""

    slot: int
    epoch: int
    devices: Mapping[str, bytes]

    def key_for(self, device_id_hex: str) -> bytes:
        """Return the key of a device; ToolError no_key."""
        key = self.devices.get(device_id_hex)
        if key is None:
            raise ToolError(
                "no_key",
                f"the key file has no key for device {device_id_hex} (it knows {len(self.devices)} devices); "
                "nothing was sent. Export one: toplovod keys export",
            )
        return key

    @classmethod
    def read(cls, path: Path) -> "KeyFile":
        """Read and check a key file; ToolError keys_unreadable, keys_exposed, keys_damaged."""
        try:
            mode = path.stat().st_mode
            text = path.read_text()
        except OSError as reason:
            raise ToolError(
                "keys_unreadable", f"{path}: {reason.strerror}; nothing was sent", exit_status=WRONG_USE
            ) from reason
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ToolError(
                "keys_exposed",
                f"{path}: others may read it (mode {mode & 0o777:04o}); it was not used. "
                f"Close it with: chmod 600 {path}. If anyone else had access, rotate the slot.",
            )
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r} instead of {FORMAT}")
            devices = {name.lower(): bytes.fromhex(key) for name, key in content["devices"].items()}
            slot = order_frame.SLOTS.index(content["slot"])
            epoch = int(content["epoch"])
            if any(len(name) != 2 * ID_BYTES or len(key) != KEY_BYTES for name, key in devices.items()):
                raise ValueError("an identity or a key of the wrong length")
        except (ValueError, KeyError, TypeError, AttributeError) as reason:
            raise ToolError(
                "keys_damaged", f"{path}: not a key file of format {FORMAT} ({reason})", exit_status=WRONG_USE
            ) from reason
        return cls(slot, epoch, devices)

    def write(self, path: Path) -> None:
        """Write the file for its owner alone, whole or not at all."""
        content = {
            "format": FORMAT,
            "slot": order_frame.SLOTS[self.slot],
            "epoch": self.epoch,
            "devices": {name: key.hex() for name, key in sorted(self.devices.items())},
        }
        write_private(path, (json.dumps(content, indent=1) + "\n").encode())


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, mode 0600, so that a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
