"""What the device reads out of a certificate, and that nothing but its structure counts."""

from __future__ import annotations

import datetime

import pytest

from ..substation import certificate
from .certificates import ENDS, Holder

AUTHORITY = Holder("authority")


@pytest.mark.parametrize("critical", [False, True])
def test_the_role_and_the_end_are_read(critical):
    holder = Holder("supervisor of a town", AUTHORITY, role="supervisor", critical=critical)
    assert certificate.read(memoryview(holder.der())) == ("supervisor", ENDS.timestamp())


def test_without_the_extension_there_is_no_role():
    assert certificate.read(AUTHORITY.der()) == (None, ENDS.timestamp())


def test_the_bytes_of_a_role_in_the_subject_are_none():
    bytes_of_a_role = certificate.ROLE_OID + b"\x04\x0c\x0c\x0asupervisor"
    holder = Holder(bytes_of_a_role.decode("latin-1"), AUTHORITY)
    assert certificate.read(holder.der())[0] is None


@pytest.mark.parametrize(
    "text", ["2026-02-28", "2028-02-29", "2028-03-01", "2049-12-31", "2050-01-01", "2100-03-01"]
)
def test_both_forms_of_a_date_are_the_same_time(text):
    ends = datetime.datetime.fromisoformat(text + "T23:59:00+00:00")
    assert certificate.read(Holder("x", AUTHORITY, ends=ends).der())[1] == ends.timestamp()


def test_every_cut_is_refused_or_read_as_before():
    whole = Holder("x", AUTHORITY, role="utility").der()
    for size in range(len(whole)):
        with pytest.raises(ValueError, match=r"."):
            certificate.read(whole[:size])


def test_every_bent_byte_raises_nothing_that_the_handshake_does_not_catch():
    whole = Holder("x", AUTHORITY, role="utility").der()
    read = 0
    for at in range(len(whole)):
        bent = bytearray(whole)
        bent[at] ^= 0xFF
        try:
            certificate.read(bent)
            read += 1
        except (ValueError, IndexError):
            pass
    assert 0 < read < len(whole)
