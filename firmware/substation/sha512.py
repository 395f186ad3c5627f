"""SHA-512 (FIPS 180-4) of short messages: MicroPython has SHA-256 in C, and Ed25519 needs this one.

It refuses to hold anybody up: it is a generator that stops after every few rounds. A block of 128 bytes
takes some thousand operations on 64-bit integers, so it hashes digests, never files. Its constants, the
first bits of the roots of the first primes, are computed when they are needed: a table of 80 numbers would
cost the controller 4 kB of heap.
"""

MASK = (1 << 64) - 1
BLOCK_BYTES = 128
ROUNDS_IN_A_STEP = 4


def _primes(count):
    found = []
    n = 2
    while len(found) < count:
        for p in found:
            if n % p == 0:
                break
        else:
            found.append(n)
        n += 1
    return found


def _root(n, degree):
    """Return the largest integer whose power of `degree` (2 or 3) is at most n."""
    x = 1 << ((n.bit_length() if hasattr(n, "bit_length") else 208) // degree + 1)
    while True:
        y = ((degree - 1) * x + n // x ** (degree - 1)) // degree
        if y >= x:
            return x
        x = y


_PRIMES = _primes(80)


def _turn(x, by):
    return ((x >> by) | (x << (64 - by))) & MASK


def _mix(state, block):
    # sixteen words are enough, each overwritten by the one sixteen rounds later
    w = [int.from_bytes(block[i : i + 8], "big") for i in range(0, BLOCK_BYTES, 8)]
    a, b, c, d, e, f, g, h = state
    for i in range(80):
        if i % ROUNDS_IN_A_STEP == 0:
            yield
        if i >= 16:
            x, y = w[(i + 1) & 15], w[(i + 14) & 15]
            x = _turn(x, 1) ^ _turn(x, 8) ^ (x >> 7)
            y = _turn(y, 19) ^ _turn(y, 61) ^ (y >> 6)
            w[i & 15] = (w[i & 15] + x + w[(i + 9) & 15] + y) & MASK
        first = h + (_turn(e, 14) ^ _turn(e, 18) ^ _turn(e, 41)) + ((e & f) ^ (~e & MASK & g)) + w[i & 15]
        first += _root(_PRIMES[i] << 192, 3) & MASK
        second = (_turn(a, 28) ^ _turn(a, 34) ^ _turn(a, 39)) + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (first + second) & MASK, a, b, c, (d + first) & MASK, e, f, g
    return [(x + y) & MASK for x, y in zip(state, (a, b, c, d, e, f, g, h))]


def digest(message):
    """A generator that returns the 64 bytes of SHA-512 over message (bytes)."""
    zeros = (111 - len(message)) % BLOCK_BYTES
    padded = message + b"\x80" + bytes(zeros + 8) + (8 * len(message)).to_bytes(8, "big")
    state = [_root(p << 128, 2) & MASK for p in _PRIMES[:8]]
    yield
    for at in range(0, len(padded), BLOCK_BYTES):
        state = yield from _mix(state, padded[at : at + BLOCK_BYTES])
    return b"".join([x.to_bytes(8, "big") for x in state])
