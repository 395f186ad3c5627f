"""What `toplovod tls` makes: chains that verify, roles that controllers read, keys for nobody else's eyes."""

from __future__ import annotations

import stat

import pytest
from cryptography import x509

from ..certificates import ROLE_OID, check_device, new_authority, new_client, new_device
from ..errors import ToolError

DEVICE_ID = "0011223344556677"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    new_authority(folder, "a town")
    return folder


def test_a_device_gets_three_files_that_fit_it_alone(authority, tmp_path):
    files = new_device(tmp_path, authority, DEVICE_ID)
    assert sorted(path.name for path in files) == ["tls.ca", "tls.crt", "tls.key"]
    check_device(tmp_path, DEVICE_ID)
    with pytest.raises(ToolError) as caught:
        check_device(tmp_path, "7766554433221100")
    assert caught.value.code == "certificate_unfit"
    (tmp_path / "tls.crt").write_bytes(b"")
    with pytest.raises(ToolError):
        check_device(tmp_path, DEVICE_ID)


def test_a_client_carries_its_role_and_no_other_there_is(authority, tmp_path):
    new_client(tmp_path, authority, "control room", "supervisor", 825)
    made = x509.load_pem_x509_certificate((tmp_path / "client.pem").read_bytes())
    made.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "authority.pem").read_bytes()))
    role = made.extensions.get_extension_for_oid(ROLE_OID).value
    assert isinstance(role, x509.UnrecognizedExtension)
    assert role.value == b"\x0c\x0asupervisor"
    with pytest.raises(ToolError) as caught:
        new_client(tmp_path / "other", authority, "x", "owner", 1)
    assert caught.value.code == "unknown_role"
    assert not (tmp_path / "other").exists()


def test_keys_are_private_and_never_replaced(authority, tmp_path):
    for path in new_client(tmp_path, authority, "x", "reader", 1):
        exposed = stat.S_IMODE(path.stat().st_mode) & 0o077
        assert not exposed or path.suffix == ".pem"
    before = (tmp_path / "client.key").read_bytes()
    with pytest.raises(ToolError) as caught:
        new_client(tmp_path, authority, "x", "reader", 1)
    assert caught.value.code == "key_exists"
    assert (tmp_path / "client.key").read_bytes() == before


def test_without_an_authority_nothing_is_written(tmp_path):
    with pytest.raises(ToolError) as caught:
        new_device(tmp_path / "out", tmp_path, DEVICE_ID)
    assert caught.value.code == "authority_unreadable"
    assert not (tmp_path / "out").exists()
