"""Make a signed image of a bundle: what a controller takes over a network, and nothing else.

It refuses a key that others may read, and a bundle that is not whole. The image's layout is told in
firmware/substation/update.py.
"""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from .build import SOURCE_AT_ROOT, Bundle, BundleFile, bundle_digest
from .errors import WRONG_USE, ToolError
from .whole_file import PRIVATE, write_whole

FORMAT = "toplovod-image/1"
CONTEXT = b"toplovod image1"
SIGNATURE_BYTES = 64
KEY_BYTES = 32
PREFIX_BYTES = len(FORMAT) + 7
VERSION_LAST = 0xFFFFFFFF


@dataclass(frozen=True)
class Image:
    """A signed image; `head` is the text and the signature over it.

    `firmware_hash`: what a controller that runs it shows as firmware_hash_code, 8 hexadecimal digits.
    """

    content: bytes
    version: int
    map_hash: str
    head: bytes
    files: int
    firmware_hash: str

    @property
    def digest(self) -> bytes:
        """The 16 bytes by which an update is opened: of the SHA-256 of the head, signature included."""
        return hashlib.sha256(self.head).digest()[:16]


def new_release_key(path: Path) -> bytes:
    """Write a new private key (PEM, PKCS 8) for its owner alone; return the 32 bytes of the public one."""
    if path.exists():
        raise ToolError(
            "key_exists",
            f"{path} is there already; nothing was written. A new release key would shut every controller "
            "out that has the old one.",
            exit_status=WRONG_USE,
        )
    key = Ed25519PrivateKey.generate()
    write_whole(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=PRIVATE)
    return public_bytes(key)


def read_release_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file; ToolError release_key_unreadable, keys_exposed."""
    try:
        mode = path.stat().st_mode
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as reason:
        raise ToolError(
            "release_key_unreadable", f"{path}: {reason.strerror}; nothing was signed", exit_status=WRONG_USE
        ) from reason
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ToolError(
            "release_key_unreadable",
            f"{path} is no Ed25519 private key in PEM without a passphrase; nothing was signed. "
            "Make one: toplovod keys release",
            exit_status=WRONG_USE,
        )
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ToolError(
            "keys_exposed",
            f"{path}: others may read it (mode {mode & 0o777:04o}); nothing was signed. "
            f"Close it with: chmod 600 {path}",
            exit_status=WRONG_USE,
        )
    return key


def read_public_key(path: Path) -> bytes:
    """Return the 32 bytes of a public key file; ToolError release_key_unreadable."""
    try:
        key = path.read_bytes()
    except OSError as reason:
        raise ToolError(
            "release_key_unreadable", f"{path}: {reason.strerror}; nothing was checked", exit_status=WRONG_USE
        ) from reason
    if len(key) != KEY_BYTES:
        raise ToolError(
            "release_key_unreadable",
            f"{path} is no public key of {KEY_BYTES} bytes; nothing was checked. It is the file that "
            "toplovod keys release wrote as --public.",
            exit_status=WRONG_USE,
        )
    return key


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes that controllers verify by."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def make_image(bundle: Bundle, version: int, key: Ed25519PrivateKey) -> Image:
    """Return the signed image of everything in the bundle but what only the cable may change."""
    if not 1 <= version <= VERSION_LAST:
        raise ToolError(
            "bad_version", f"version {version}: must lie between 1 and {VERSION_LAST}", exit_status=WRONG_USE
        )
    files = [file for file in bundle.files if file.path not in SOURCE_AT_ROOT]
    manifest = bundle.manifest()
    lines = [f"version {version}", f"map {manifest['map_hash']}"]
    lines += [f"{file.sha256} {file.bytes} {file.path}" for file in files]
    body = "".join(line + "\n" for line in lines).encode()
    text = f"{FORMAT} {PREFIX_BYTES + len(body):05d}\n".encode() + body
    head = text + key.sign(CONTEXT + hashlib.sha256(text).digest())
    content = head + b"".join((bundle.folder / file.path).read_bytes() for file in files)
    program = bundle_digest(tuple(files))
    return Image(content, version, manifest["map_hash"], head, len(files), program[:8])


def read_image(path: Path, public_key: bytes | None = None) -> Image:
    """Return the image in a file, every digest checked, and the signature where a key is given."""
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise ToolError(
            "image_unreadable", f"{path}: {reason.strerror}; nothing was sent", exit_status=WRONG_USE
        ) from reason
    try:
        first, _, _ = content.partition(b"\n")
        name, size = first.decode().split(" ")
        if name != FORMAT:
            raise ValueError
        text = content[: int(size)]
        _, version, map_hash, *lines = text.decode().splitlines()
        head = content[: len(text) + SIGNATURE_BYTES]
        at = len(head)
        files = []
        for line in lines:
            sha256, length, place = line.split(" ")
            files.append(BundleFile(place, int(length), sha256))
            if hashlib.sha256(content[at : at + int(length)]).hexdigest() != sha256:
                raise ValueError
            at += int(length)
        if at != len(content):
            raise ValueError
        image = Image(
            content, int(version.split()[1]), map_hash.split()[1], head, len(lines),
            bundle_digest(tuple(files))[:8],
        )  # fmt: skip
    except (ValueError, IndexError) as reason:
        raise ToolError(
            "image_damaged",
            f"{path} is no whole image of format {FORMAT}; nothing was sent. Make one: toplovod sign",
            exit_status=WRONG_USE,
        ) from reason
    if public_key is not None:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(
                head[len(text) :], CONTEXT + hashlib.sha256(text).digest()
            )
        except InvalidSignature:
            raise ToolError(
                "image_of_another_key",
                f"{path} was signed by another release key than the controller has; nothing was sent",
            ) from None
    return image
