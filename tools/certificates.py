"""Certificates for Modbus behind TLS, made offline: of the town's authority, controllers and clients.

It refuses to replace a key that is there, a role that no controller knows, and to keep the authority's
key where others may read it.
"""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from firmware.substation.order_frame import SLOTS

from .errors import WRONG_USE, ToolError
from .vault import checked_id
from .whole_file import PRIVATE, write_whole

ROLE_OID = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")  # Modbus/TCP Security [firmware.md 3]
ROLES = (*SLOTS, "reader")
# A controller without the time goes by whatever its chip thinks it is, 2000 at the earliest.
BEGINS = datetime(2000, 1, 1, tzinfo=UTC)
ENDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no date of expiry is known
AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"
DEVICE_FILES = ("tls.crt", "tls.key", "tls.ca")


def new_authority(folder: Path, name: str) -> list[Path]:
    """Make the town's authority: authority.pem for everyone, authority.key for the vault's cupboard."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key.public_key(), name, None, key, None)
    return _write(folder, {AUTHORITY_KEY: _key_pem(key)}, {AUTHORITY: _pem(certificate)})


def new_device(folder: Path, authority: Path, device_id: str) -> list[Path]:
    """Make what a controller shows: three files that `toplovod provision --tls` puts onto the board."""
    issuer, issuer_key = _authority(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key.public_key(), checked_id(device_id), issuer, issuer_key, None)
    der = serialization.Encoding.DER
    secret = key.private_bytes(
        der, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return _write(
        folder,
        {"tls.key": secret},
        {"tls.crt": certificate.public_bytes(der), "tls.ca": issuer.public_bytes(der)},
    )


def check_device(folder: Path, device_id: str) -> None:
    """ToolError when the files are not whole, do not fit each other, or are another device's."""
    try:
        content = {name: (folder / name).read_bytes() for name in DEVICE_FILES}
        certificate = x509.load_der_x509_certificate(content["tls.crt"])
        key = serialization.load_der_private_key(content["tls.key"], None)
        certificate.verify_directly_issued_by(x509.load_der_x509_certificate(content["tls.ca"]))
        owner = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        whole = key.public_key() == certificate.public_key() and owner == device_id
    except (OSError, ValueError, TypeError, IndexError, InvalidSignature):
        whole = False
    if not whole:
        raise ToolError(
            "certificate_unfit",
            f"{folder}: {', '.join(DEVICE_FILES)} are not all there, do not fit each other, or are not "
            f"those of {device_id}; nothing was changed. Make them: toplovod tls device {device_id} FOLDER",
            exit_status=WRONG_USE,
        )


def new_client(folder: Path, authority: Path, name: str, role: str, days: int) -> list[Path]:
    """Make what a supervisor or a master shows: client.pem, client.key and the authority's certificate."""
    if role not in ROLES:
        raise ToolError(
            "unknown_role",
            f"{role!r} is no role; there are: {', '.join(ROLES)}. Nothing was written.",
            exit_status=WRONG_USE,
        )
    issuer, issuer_key = _authority(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key.public_key(), name, issuer, issuer_key, role, days)
    return _write(
        folder, {"client.key": _key_pem(key)}, {"client.pem": _pem(certificate), AUTHORITY: _pem(issuer)}
    )


def _certificate(
    key: ec.EllipticCurvePublicKey, name: str, issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey, role: str | None, days: int = 0,
) -> x509.Certificate:  # fmt: skip
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ends = datetime.fromtimestamp(datetime.now(UTC).timestamp() + days * 86_400, UTC) if days else ENDS
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINS)
        .not_valid_after(ends.replace(microsecond=0))
        .add_extension(x509.BasicConstraints(issuer is None, 0 if issuer is None else None), critical=True)
    )
    if role is not None:
        text = role.encode()
        value = bytes((0x0C, len(text))) + text  # a UTF8String
        builder = builder.add_extension(x509.UnrecognizedExtension(ROLE_OID, value), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
        key = serialization.load_pem_private_key((folder / AUTHORITY_KEY).read_bytes(), None)
    except (OSError, ValueError, TypeError) as reason:
        told = reason.strerror if isinstance(reason, OSError) else "not a whole PEM file"
        raise ToolError(
            "authority_unreadable",
            f"{folder}: {AUTHORITY} and {AUTHORITY_KEY} are needed ({told}); nothing was written. "
            "Make them once: toplovod tls authority FOLDER",
            exit_status=WRONG_USE,
        ) from reason
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ToolError(
            "authority_unreadable",
            f"{folder}: {AUTHORITY_KEY} is not the key of {AUTHORITY}; nothing was written. "
            "Take both from one copy.",
            exit_status=WRONG_USE,
        )
    return certificate, key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(folder: Path, secret: dict[str, bytes], public: dict[str, bytes]) -> list[Path]:
    there = [name for name in secret if (folder / name).exists()]
    if there:
        raise ToolError(
            "key_exists",
            f"{folder / there[0]} is there already and is not replaced; nothing was written. "
            "Name another folder.",
            exit_status=WRONG_USE,
        )
    written = []
    for content, mode in ((public, 0o644), (secret, PRIVATE)):
        for name, data in content.items():
            write_whole(folder / name, data, mode=mode)
            written.append(folder / name)
    return written
