"""MicroPython's `os` with `urandom` drawn from the entropy that the bench handed over at power-on.

Every boot gets its own 32 bytes: random ones, or, in a seeded run, ones that follow from the seed. It
refuses to fall back on the host's generator, which would make no two runs alike.
"""

from hashlib import sha256

from bench_link import link
from uos import *  # noqa: F403  everything but urandom stays the board's own

_drawn = 0


def urandom(n):
    """Return n bytes of SHA-256 in counter mode over the boot's entropy."""
    global _drawn
    out = b""
    while len(out) < n:
        out += sha256(link.entropy + _drawn.to_bytes(8, "big")).digest()
        _drawn += 1
    return out[:n]
