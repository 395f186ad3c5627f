"""The digest of the program that runs, so that anyone who reads the controller knows it.

It is SHA-256 over the lines `<sha256>  <path>` of every file in boards/ and substation/, in path order: for
the program over USB with boot.py and main.py, as `toplovod build` tells it; for an image without them, as
`toplovod sign` tells it. It refuses to judge: it only counts bytes.
"""

import hashlib
import os
from binascii import hexlify

FOLDERS = ("boards", "substation")
FILES = ("boot.py", "main.py")


def sha256_of(path, buffer):
    """Return the SHA-256 of a file, read through the buffer. OSError where there is none."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            n = file.readinto(buffer)
            if not n:
                return digest.digest()
            digest.update(memoryview(buffer)[:n])


def paths(root):
    """Return the program's files below root, sorted. root ends in a slash or is empty."""
    found = [name for name in FILES if name in os.listdir(root[:-1] or ".")]
    for folder in FOLDERS:
        for name in os.listdir(root + folder):
            if name.endswith((".mpy", ".py")):
                found.append(folder + "/" + name)
    return sorted(found)


def digest(root=""):
    """Return the 32 bytes of the digest. root: folder of the program, "" for the working directory."""
    root = root and root + "/"
    buffer = bytearray(512)
    whole = hashlib.sha256()
    for path in paths(root):
        whole.update(("%s  %s\n" % (hexlify(sha256_of(root + path, buffer)).decode(), path)).encode())
    return whole.digest()
