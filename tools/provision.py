"""Give a flashed board its identity: site.json and keys.bin, over the USB cable.

It refuses settings that the board's own firmware would not take, a root key that is not in the vault
first, and to replace the root key of a board that has one unless told to, with the service button held.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UNREACHABLE, WRONG_USE, ToolError
from .json_file import read_json
from .on_board import BUTTON, FORGET_EPOCHS, JUDGE
from .serial_line import SerialLine
from .vault import Vault, checked_id
from .whole_file import PRIVATE, write_whole

SITE = "site.json"
KEYS = "keys.bin"
RELEASE_KEY = "release.pub"
LIMITS_KEY = "limits.pub"
EPOCHS = "state/epochs."
RELEASE_KEY_BYTES = 32
FORMATS = (
    "toplovod-device/2",
    "toplovod-device/1",
)  # the firmware on the board takes the older one by a step


@dataclass(frozen=True)
class Provisioned:
    """What the board is now."""

    port: str
    device_id: str
    name: str
    profile: str
    new_key: bool
    rekeyed: bool


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings file (JSON of a format in FORMATS); ToolError settings_unreadable."""
    content = read_json(path, "settings_unreadable", "nothing was changed")
    if not isinstance(content, dict) or content.get("format") not in FORMATS or "device_id" not in content:
        raise ToolError(
            "settings_unreadable",
            f"{path}: needs the format {FORMATS[0]!r} and a device_id; nothing was changed",
            exit_status=WRONG_USE,
        )
    return dict(content)


def provision(
    port: str, settings: dict[str, Any], vault: Vault, save_vault: Any, *, rekey: bool = False,
    release_key: Path | None = None, limits_key: Path | None = None, tls: Path | None = None,
    legacy: bool = False,
) -> Provisioned:  # fmt: skip
    """Write settings and keys onto the board and reset it.

    legacy: whoever provisions has said that writes without a proof shall be taken as the settings name them.
    save_vault() is called before the board learns a new key, so that no key exists only in a cellar.
    """
    device_id = checked_id(str(settings["device_id"]))
    _check_legacy(settings, legacy)
    public_keys = [(key, at) for key, at in ((release_key, RELEASE_KEY), (limits_key, LIMITS_KEY)) if key]
    for public_key, _ in public_keys:
        _check_release_key(public_key)
    certificates = _certificates(tls, device_id) if tls else []
    line = SerialLine(port)
    line.greet()
    present, _ = line.listing(("substation", "state"))
    if "main.py" not in present:
        raise ToolError("not_flashed", f"{port}: no firmware on this board; first: toplovod flash {port}")
    with goes_on(line), tempfile.TemporaryDirectory() as scratch:
        site, key = Path(scratch) / SITE, Path(scratch) / KEYS
        _write_site(site, settings)
        line.put(site, SITE + ".check")
        mistakes = line.answer(JUDGE)
        line.remove([SITE + ".check"])
        if mistakes:
            told = "; ".join(f"{name} {sentence}" for name, sentence in mistakes)
            raise ToolError(
                "settings_refused",
                f"{port}: the firmware refuses these settings: {told}. Nothing was changed.",
            )
        new_key = device_id not in vault.root_keys
        if new_key:
            vault.add(device_id)
        write_whole(key, vault.root_key(device_id), mode=PRIVATE)
        other_key = present.get(KEYS) != _digest(key)
        if KEYS in present and other_key and not rekey:
            raise ToolError(
                "has_other_key",
                f"{port}: the board holds another root key than the vault has for {device_id}. Nothing "
                "was changed. To replace it on purpose, hold the service button and add --rekey.",
            )
        # a board that lost its key alone has floors of another one all the same
        rekeying = rekey and other_key and any(path == KEYS or path.startswith(EPOCHS) for path in present)
        if rekeying:
            check_button(line, "to replace the root key")
        if new_key:
            save_vault()
        for public_key, place in public_keys:
            line.put(public_key, place)
        for certificate in certificates:
            line.put(certificate, certificate.name)
        if rekeying:
            _replace_key(line, key, site, settings)
        else:
            line.put(key, KEYS)
            line.put(site, SITE)
    line.make_folders(["state"])
    line.reset()
    return Provisioned(
        port, device_id, str(settings.get("name", "")), str(settings.get("profile", "")), new_key, rekeying
    )


@contextmanager
def goes_on(line: SerialLine) -> Iterator[None]:
    """Start the board's program again after an error, where it still answers: none ends the heating."""
    try:
        yield
    except ToolError as reason:
        if reason.exit_status != UNREACHABLE:
            with suppress(ToolError):
                line.reset()
        raise


def check_button(line: SerialLine, what: str) -> str:
    """Return the board's name; ToolError button_not_held unless somebody holds its service button now."""
    board, pressed = line.answer(BUTTON)
    if not pressed:
        raise ToolError(
            "button_not_held",
            f"{line.port}: {what} takes somebody at the device, and its service button is not held down "
            f"({board}). Nothing was changed. Hold it until the command has ended, and repeat it; "
            "docs/boards.md names the button's pin.",
        )
    return str(board)


def _replace_key(line: SerialLine, key: Path, site: Path, settings: dict[str, Any]) -> None:
    """Bring another root key into force, with the floors of the settings in place of the old key's.

    Cut anywhere, the old keys or the new ones are taken: until the key has its name no floor is higher than
    the old keys' own, from then on none but that of the settings is left, and it comes last. Old keys more
    than 16 epochs above 1 (order_frame.EPOCH_JUMP) are the exception, for the moment between the two: repeat.
    """
    if "epochs" in settings:
        _write_site(site, {name: value for name, value in settings.items() if name != "epochs"})
    line.put(site, SITE)
    line.put(key, KEYS, first=FORGET_EPOCHS)
    if "epochs" in settings:
        _write_site(site, settings)
        line.put(site, SITE)


def _write_site(site: Path, settings: dict[str, Any]) -> None:
    site.write_text(json.dumps(settings, indent=1) + "\n")


def _check_legacy(settings: dict[str, Any], wanted: bool) -> None:
    """Let nobody set legacy mode by copying a file: it is said in file and command line, or not."""
    if ("legacy" in settings) == wanted:
        return
    said = (
        "the settings have `legacy`: writes without a proof would be taken. Add --legacy if that is meant, "
        "or take it out of the settings"
        if not wanted
        else "--legacy is given, and the settings have no `legacy` to say who may write what"
    )
    raise ToolError("legacy_not_agreed", f"{said}; nothing was changed.", exit_status=WRONG_USE)


def _check_release_key(path: Path) -> None:
    try:
        whole = len(path.read_bytes()) == RELEASE_KEY_BYTES
    except OSError as reason:
        raise ToolError(
            "release_key_unreadable", f"{path}: {reason.strerror}; nothing was changed", exit_status=WRONG_USE
        ) from reason
    if not whole:
        raise ToolError(
            "release_key_unreadable",
            f"{path} is no public key of {RELEASE_KEY_BYTES} bytes; nothing was changed. It is the "
            "file that toplovod keys release wrote as --public.",
            exit_status=WRONG_USE,
        )


def _certificates(folder: Path, device_id: str) -> list[Path]:
    """Return the three files of TLS, once it is sure that they belong together and to this device."""
    from .certificates import DEVICE_FILES, check_device

    check_device(folder, device_id)
    return [folder / name for name in DEVICE_FILES]


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
