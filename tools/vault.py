"""The offline vault: the root keys of all controllers and each slot's epoch, under one passphrase.

It refuses to keep anything in the clear, to hand out a root key except to a controller on the
technician's cable, and to go on with a passphrase that does not open it.

File `toplovod-vault/1`: JSON with the scrypt parameters, a salt, a nonce and the ChaCha20-Poly1305
ciphertext of {"slots": {slot: epoch}, "devices": {device id: root key}}. The header is authenticated
with the content, so nobody can weaken the parameters unseen.
"""

import base64
import getpass
import json
import secrets
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from firmware.substation import order_frame

from .errors import WRONG_USE, ToolError
from .key_file import ID_BYTES, KeyFile
from .whole_file import PRIVATE, write_whole

FORMAT = "toplovod-vault/1"
ROOT_KEY_BYTES = 32
EPOCH_FIRST = 1
EPOCH_LAST = 65534
# RFC 7914 names N=2**20, r=8 for files; 2**17 needs 128 MiB and half a second, which a laptop has
SCRYPT = {"n": 2**17, "r": 8, "p": 1}
# what a file may ask for: 1 GiB; beyond it the file is an attack on the reader's memory
SCRYPT_N_MOST = 2**20
PASSPHRASE_LEAST = 12


@dataclass
class Vault:
    """The opened vault. Keep it for the length of one command."""

    epochs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(order_frame.SLOTS, EPOCH_FIRST))
    root_keys: dict[str, bytes] = field(default_factory=dict)

    def add(self, device_id_hex: str | None = None) -> str:
        """Make a random root key for a device (a random identity when none is given); return its identity."""
        device_id = secrets.token_hex(ID_BYTES) if device_id_hex is None else checked_id(device_id_hex)
        if device_id in self.root_keys:
            raise ToolError(
                "device_known",
                f"{device_id} already has a root key; nothing was changed. A new one would lock its "
                "controller out: re-keying is done at the device, over USB, with the button held.",
            )
        self.root_keys[device_id] = secrets.token_bytes(ROOT_KEY_BYTES)
        return device_id

    def root_key(self, device_id_hex: str) -> bytes:
        """Return a device's root key; ToolError device_unknown."""
        key = self.root_keys.get(checked_id(device_id_hex))
        if key is None:
            raise ToolError("device_unknown", f"the vault has no root key for {device_id_hex}")
        return key

    def rotate(self, slot: str) -> int:
        """Raise a slot's epoch and return it. Controllers learn it from the first order that uses it."""
        number = slot_number(slot)
        name = order_frame.SLOTS[number]
        if self.epochs[name] >= EPOCH_LAST:
            raise ToolError("epochs_exhausted", f"slot {name} is at its last epoch; nothing was changed")
        self.epochs[name] += 1
        return self.epochs[name]

    def slot_keys(self, slot: str) -> KeyFile:
        """Return the key file of a slot at its present epoch."""
        number = slot_number(slot)
        epoch = self.epochs[order_frame.SLOTS[number]]
        keys = {name: order_frame.slot_key(root, number, epoch) for name, root in self.root_keys.items()}
        return KeyFile(number, epoch, keys)

    def save(self, path: Path, passphrase: str) -> None:
        """Encrypt under a fresh salt and nonce and replace the file, whole or not at all."""
        header = {
            "format": FORMAT,
            "kdf": "scrypt",
            **SCRYPT,
            "salt": base64.b64encode(secrets.token_bytes(16)).decode(),
            "cipher": "chacha20-poly1305",
            "nonce": base64.b64encode(secrets.token_bytes(12)).decode(),
        }
        content = {
            "slots": self.epochs,
            "devices": {name: key.hex() for name, key in sorted(self.root_keys.items())},
        }
        secret = ChaCha20Poly1305(_stretch(passphrase, header)).encrypt(
            base64.b64decode(str(header["nonce"])), json.dumps(content).encode(), _authenticated(header)
        )
        write_whole(
            path,
            (json.dumps({**header, "content": base64.b64encode(secret).decode()}, indent=1) + "\n").encode(),
            mode=PRIVATE,
        )

    @classmethod
    def open(cls, path: Path, passphrase: str) -> "Vault":
        """Decrypt the file; ToolError vault_missing, vault_unreadable, vault_damaged, vault_locked."""
        try:
            file = json.loads(path.read_text())
            header = {name: value for name, value in file.items() if name != "content"}
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']!r} instead of {FORMAT}")
            secret = base64.b64decode(file["content"], validate=True)
            nonce = base64.b64decode(header["nonce"], validate=True)
            key = _stretch(passphrase, header)
        except FileNotFoundError as reason:
            raise ToolError(
                "vault_missing",
                f"{path}: there is no vault; make one with: toplovod keys new --vault {path}",
                exit_status=WRONG_USE,
            ) from reason
        except OSError as reason:
            raise ToolError(
                "vault_unreadable", f"{path}: {reason.strerror}; nothing was changed", exit_status=WRONG_USE
            ) from reason
        except (ValueError, KeyError, TypeError, AttributeError) as reason:
            raise ToolError(
                "vault_damaged",
                f"{path}: not a whole vault of format {FORMAT}; nothing was changed. Take one of its copies.",
            ) from reason
        try:
            content = json.loads(ChaCha20Poly1305(key).decrypt(nonce, secret, _authenticated(header)))
        except InvalidTag as reason:
            raise ToolError(
                "vault_locked",
                f"{path}: the passphrase does not open it, or the file was changed; nothing was changed now",
            ) from reason
        return cls(
            {slot: int(content["slots"][slot]) for slot in order_frame.SLOTS},
            {name: bytes.fromhex(key) for name, key in content["devices"].items()},
        )


def _stretch(passphrase: str, header: dict[str, object]) -> bytes:
    n, r, p = (int(str(header[name])) for name in ("n", "r", "p"))
    if header["kdf"] != "scrypt" or header["cipher"] != "chacha20-poly1305":
        raise ValueError("unknown cipher")
    if not 2**14 <= n <= SCRYPT_N_MOST or r != 8 or p != 1:
        raise ValueError("scrypt parameters outside what a vault may ask for")
    salt = base64.b64decode(str(header["salt"]), validate=True)
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode())


def _authenticated(header: dict[str, object]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()


def checked_id(text: str) -> str:
    """Return a device identity in lower case; ToolError bad_device_id."""
    device_id = text.lower()
    try:
        if len(bytes.fromhex(device_id)) == ID_BYTES and len(device_id) == 2 * ID_BYTES:
            return device_id
    except ValueError:
        pass
    raise ToolError(
        "bad_device_id",
        f"{text!r} is no device identity: 16 hexadecimal digits; nothing was changed",
        exit_status=WRONG_USE,
    )


def slot_number(slot: str) -> int:
    """Return a slot's number; ToolError bad_slot."""
    if slot not in order_frame.SLOTS:
        raise ToolError(
            "bad_slot",
            f"{slot!r} is no key slot: {', '.join(order_frame.SLOTS)}; nothing was changed",
            exit_status=WRONG_USE,
        )
    return order_frame.SLOTS.index(slot)


def passphrase_from(file: Path | None, *, confirm: bool = False) -> str:
    """Return the passphrase from the first line of a file, or asked at the terminal when there is none.

    confirm: it is a new one; it is asked twice and must be long enough.
    """
    if file is not None:
        try:
            passphrase = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as reason:
            why = reason.strerror if isinstance(reason, OSError) else "it is no UTF-8 text"
            raise ToolError(
                "passphrase_unreadable", f"{file}: {why}; nothing was changed", exit_status=WRONG_USE
            ) from reason
    else:
        passphrase = _asked("Passphrase of the vault: ")
        if confirm and _asked("Once more: ") != passphrase:
            raise ToolError(
                "passphrases_differ", "the two passphrases differ; nothing was changed", exit_status=WRONG_USE
            )
    if confirm and len(passphrase) < PASSPHRASE_LEAST:
        raise ToolError(
            "passphrase_short",
            f"the passphrase needs at least {PASSPHRASE_LEAST} characters; nothing was changed",
            exit_status=WRONG_USE,
        )
    return passphrase


def _asked(prompt: str) -> str:
    """Ask at the terminal; ToolError no_terminal where the answer would be echoed or never come."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except (getpass.GetPassWarning, EOFError) as reason:
        raise ToolError(
            "no_terminal",
            "there is no terminal to ask for the passphrase; nothing was changed. Give a file with "
            "--passphrase-file.",
            exit_status=WRONG_USE,
        ) from reason
