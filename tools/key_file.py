"""Key files: the keys of one slot for many controllers, as the signer and `toplovod order` read them.

JSON `toplovod-keys/1`: {"format", "slot", "epoch", "devices": {"<device id, 16 hex>": "<slot key, 64 hex>"}}.
It refuses a file that others may read, and never shows a key in an error.
"""

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware.substation import order_frame

from .errors import WRONG_USE, ToolError
from .whole_file import PRIVATE, write_whole

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
            content = json.loads(path.read_bytes())
        except OSError as reason:
            raise ToolError(
                "keys_unreadable", f"{path}: {reason.strerror}; nothing was sent", exit_status=WRONG_USE
            ) from reason
        except ValueError as reason:
            raise _damaged(path, "it is no JSON") from reason
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise _damaged(path, "it does not name that format")
        # only now: whoever names some other file by mistake must not be told to change its rights
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ToolError(
                "keys_exposed",
                f"{path}: others may read it (mode {mode & 0o777:04o}); it was not used, nothing was "
                f"sent. Close it with: chmod 600 {path}. If anyone else had access, rotate the slot.",
            )
        if content.get("slot") not in order_frame.SLOTS:
            raise _damaged(path, f"its slot is none of {', '.join(order_frame.SLOTS)}")
        slot = order_frame.SLOTS.index(content["slot"])
        try:
            epoch = int(content["epoch"])
            devices = {name.lower(): bytes.fromhex(key) for name, key in content["devices"].items()}
            if any(len(name) != 2 * ID_BYTES or len(key) != KEY_BYTES for name, key in devices.items()):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            # no cause shown: it could hold a part of a key
            raise _damaged(path, "its epoch, an identity or a key is malformed") from None
        return cls(slot, epoch, devices)

    def write(self, path: Path) -> None:
        """Write the file for its owner alone, whole or not at all."""
        content = {
            "format": FORMAT,
            "slot": order_frame.SLOTS[self.slot],
            "epoch": self.epoch,
            "devices": {name: key.hex() for name, key in sorted(self.devices.items())},
        }
        write_whole(path, (json.dumps(content, indent=1) + "\n").encode(), mode=PRIVATE)


def _damaged(path: Path, why: str) -> ToolError:
    return ToolError(
        "keys_damaged",
        f"{path}: not a key file of format {FORMAT}: {why}; nothing was sent. "
        "Export it again: toplovod keys export",
        exit_status=WRONG_USE,
    )
