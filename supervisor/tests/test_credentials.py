"""A controller behind TLS: reached with the right files, never without."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from firmware.substation import registers

from ..field import credentials
from ..field.line import Line, LineDown

BEGINS = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
ENDS = datetime.datetime(2060, 1, 1, tzinfo=datetime.UTC)


def equip(data: Path) -> Path:
    """Write DATA/tls with a certificate that is its own authority; both ends of the test show it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "town")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    folder = data / credentials.FOLDER
    folder.mkdir()
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / credentials.AUTHORITY).write_bytes(pem)
    (folder / credentials.CERTIFICATE).write_bytes(pem)
    secret = folder / credentials.KEY
    secret.touch(0o600)
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


async def ask(folder: Path, tls: ssl.SSLContext | None) -> tuple[int, ...]:
    """Read 125 registers from a server that demands a certificate and answers in pieces."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / credentials.CERTIFICATE, folder / credentials.KEY)
    context.load_verify_locations(folder / credentials.AUTHORITY)
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readexactly(12)
            answer = request[:4] + struct.pack(">HBBB", 253, 1, 4, 250) + bytes(249) + b"\x07"
            for at in range(0, len(answer), 100):  # a record of TLS each
                writer.write(answer[at : at + 100])
                await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    line = Line("tcp", "127.0.0.1", server.sockets[0].getsockname()[1], tls=tls)
    try:
        await line.connect()
        return (await line.read(1, registers.INPUT, 0, 125)).words
    finally:
        line.close()
        server.close()


async def test_a_line_behind_tls_reads_an_answer_in_pieces(tmp_path: Path) -> None:
    folder = equip(tmp_path)
    words = await ask(folder, credentials.context(tmp_path))
    assert len(words) == 125
    assert words[124] == 7


async def test_without_the_right_files_nothing_is_reached(tmp_path: Path) -> None:
    folder = equip(tmp_path)
    with pytest.raises(LineDown):
        await ask(folder, credentials.nobody())
    (folder / credentials.KEY).chmod(0o644)
    with pytest.raises(LineDown):
        await ask(folder, credentials.context(tmp_path))


def test_missing_files_are_told_with_the_remedy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not credentials.context(tmp_path).get_ca_certs()
    assert "toplovod tls client" in caplog.text
