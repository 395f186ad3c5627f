"""An authority, a device and clients for tests of TLS: made anew each time, so no key lies in the project."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
BEGINS = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
ENDS = datetime.datetime(2060, 1, 1, tzinfo=datetime.UTC)


class Holder:
    """A key and its certificate; without an issuer it signs itself and is an authority."""

    def __init__(self, name, issuer=None, role=None, ends=ENDS, critical=False):
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGINS)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(issuer is None, None), True)
        )
        if role is not None:
            value = b"\x0c" + bytes([len(role)]) + role.encode()
            builder = builder.add_extension(x509.UnrecognizedExtension(ROLE, value), critical)
        self.certificate = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())

    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def key_der(self):
        return self._key(serialization.Encoding.DER)

    def files(self, folder, name):
        """Write NAME.pem and NAME.key as Python's ssl reads them; return both paths."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        paths[0].write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(self._key(serialization.Encoding.PEM))
        return paths

    def _key(self, encoding):
        shape = serialization.PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(encoding, shape, serialization.NoEncryption())


def equip(folder, authority, device):
    """Put the three files of a device into its folder."""
    (folder / "tls.crt").write_bytes(device.der())
    (folder / "tls.key").write_bytes(device.key_der())
    (folder / "tls.ca").write_bytes(authority.der())
