"""What a client's certificate says of its holder: the role, and how long it is valid. Loaded with TLS alone.

It walks the DER structure and never searches it: a name in the subject that happens to hold the bytes of
a role is none. It refuses to check signatures: the TLS library has done so before it asks.
"""

# 1.3.6.1.4.1.50316.802.1 with its tag and length, Modbus/TCP Security [firmware.md 3]
ROLE_OID = b"\x06\x0b\x2b\x06\x01\x04\x01\x83\x89\x0c\x86\x22\x01"
SEQUENCE, OCTETS, UTF8, EXTENSIONS, VERSION, UTC_TIME = 0x30, 0x04, 0x0C, 0xA3, 0xA0, 0x17
VALIDITY = 3  # behind serial number, signature algorithm and issuer


def _element(der, at, end, tag=None):
    """Return (where the content of the element at `at` begins, where it ends). ValueError if it has none."""
    if at + 2 > end or (tag is not None and der[at] != tag):
        raise ValueError("no such element")
    size = der[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 2 or at + count > end:
            raise ValueError("length")
        size = 0
        for _ in range(count):
            size = (size << 8) | der[at]
            at += 1
    if at + size > end:
        raise ValueError("cut short")
    return at, at + size


def _unix_s(text, two_digits):
    """Return the unix time of "YYMMDDhhmmssZ", or with four digits of the year."""
    year = int(text[:2]) if two_digits else int(text[:4])
    at = 2 if two_digits else 4
    if two_digits:  # RFC 5280, 4.1.2.5.1
        year += 1900 if year >= 50 else 2000
    month = int(text[at : at + 2])
    if month < 3:  # the year begins in March, so that the day too many is its last
        year -= 1
        month += 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5
    days += int(text[at + 2 : at + 4]) - 719_469
    return days * 86_400 + int(text[at + 4 : at + 6]) * 3600 + int(text[at + 6 : at + 8]) * 60


def read(der):
    """Return (the role as text, or None, unix time at which it ends). ValueError for no certificate."""
    at, end = _element(der, 0, len(der), SEQUENCE)
    at, end = _element(der, at, end, SEQUENCE)
    if der[at] == VERSION:
        at = _element(der, at, end)[1]
    for _ in range(VALIDITY):
        at = _element(der, at, end)[1]
    begins, at = _element(der, at, end, SEQUENCE)
    ends = _element(der, begins, at)[1]  # notBefore is skipped: a device without the time could not hold it
    tag = der[ends]
    text_at, text_end = _element(der, ends, at)
    ends_s = _unix_s(bytes(der[text_at:text_end]).decode(), tag == UTC_TIME)
    role = None
    while at < end:
        tag = der[at]
        begins, at = _element(der, at, end)
        if tag == EXTENSIONS:
            first, last = _element(der, begins, at, SEQUENCE)
            role = _role(der, first, last)
    return role, ends_s


def _role(der, at, end):
    while at < end:
        here, at = _element(der, at, end, SEQUENCE)
        if bytes(der[here : here + len(ROLE_OID)]) == ROLE_OID:
            value = _element(der, here, at)[1]
            if der[value] != OCTETS:  # said to be critical or not
                value = _element(der, value, at)[1]
            begins, ends = _element(der, value, at, OCTETS)
            begins, ends = _element(der, begins, ends, UTF8)
            return bytes(der[begins:ends]).decode()
    return None
