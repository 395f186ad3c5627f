"""Ed25519 signatures (RFC 8032, section 5.1), verified in small steps so that heating goes on meanwhile.

It refuses what the standard refuses: a scalar that is not below the order of the group, a coordinate
that is not below p, a point that is none. It signs nothing, so it never holds a secret.

A verification is some 350 steps, each a few products of 255-bit numbers. In the 64-bit VM all of them take
some 15 ms, on an RP2040 2 to 3 s [estimate from the factors in firmware.md 3]; the longest step stays below
a twentieth of that.
"""

from . import sha512

P = (1 << 255) - 19
ORDER = (1 << 252) + 27742317777372353535851937790883648493
D = 37095705934669439343138083508754565189542113879843219016388785533085940283555  # -121665 / 121666
ROOT_OF_MINUS_ONE = 19681161376707505956807079304988542015446066515923890162744021073123829784752
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960  # 4 / 5
SIGNATURE_BYTES = 64
KEY_BYTES = 32
BITS_IN_A_STEP = 8  # of a power


def _power(x, exponent):
    """A generator that returns x to the exponent: the built-in pow() would hold everything up."""
    result = 1
    for bit in range(254, -1, -1):
        result = result * result % P
        if exponent >> bit & 1:
            result = result * x % P
        if bit % BITS_IN_A_STEP == 0:
            yield
    return result


def _point(encoded):
    """A generator that returns the extended coordinates (X, Y, Z, T) of 32 bytes, or None for no point."""
    y = int.from_bytes(encoded, "little")
    odd = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    # x squared is u / v; its root by the method of RFC 8032, 5.1.3
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = yield from _power(u * pow(v, 7) % P, (P - 5) // 8)
    x = x * u * v * v * v % P
    if (v * x * x - u) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (v * x * x - u) % P or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = P - x
    return (x, y, 1, x * y % P)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _double(p):
    a = p[0] * p[0] % P
    b = p[1] * p[1] % P
    h = a + b
    e = h - (p[0] + p[1]) * (p[0] + p[1]) % P
    g = a - b
    f = 2 * p[2] * p[2] % P + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
_NOBODY = (0, 1, 1, 0)


def verification(public_key, message, signature):
    """A generator that returns whether the signature is the key's over the message, in small steps."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    wanted = bytes(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if scalar >= ORDER:
        return False
    key = yield from _point(public_key)
    if key is None:
        return False
    spoken = yield from sha512.digest(wanted + bytes(public_key) + bytes(message))
    factor = int.from_bytes(spoken, "little") % ORDER
    # scalar x base - factor x key, one bit of both at a time
    minus = (P - key[0], key[1], 1, P - key[3])
    table = (None, BASE, minus, _add(BASE, minus))
    point = _NOBODY
    for bit in range(252, -1, -1):
        point = _double(point)
        which = (scalar >> bit & 1) | (factor >> bit & 1) << 1
        if which:
            point = _add(point, table[which])
        yield
    inverse = yield from _power(point[2], P - 2)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == wanted


def verifies(public_key, message, signature):
    """Return whether the signature is the key's over the message, all steps at once."""
    steps = verification(public_key, message, signature)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
