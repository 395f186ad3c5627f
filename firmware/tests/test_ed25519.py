"""Ed25519 as in RFC 8032, SHA-512 as in FIPS 180-4: real keys, every tampering refused, in small steps."""

import hashlib
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.substation import ed25519, sha512
from firmware.substation.ed25519 import ORDER, P, verifies

# RFC 8032, 7.1: TEST 1, TEST 2, TEST 3 and TEST SHA(abc): (public key, message, signature)
VECTORS = (
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
     "d25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
     "4a7c15e9716ed28dc027beceea1ec40a"),
)  # fmt: skip


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_standards_own_vectors(key, message, signature):
    key, message, signature = (bytes.fromhex(text) for text in (key, message, signature))
    assert verifies(key, message, signature)
    assert not verifies(key, message + b"\x00", signature)


def signed(seed, message):
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % seed).digest())
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), key.sign(message)


def test_every_flipped_bit_is_refused():
    message = b"toplovod image1" + bytes(32)
    key, signature = signed(1, message)
    assert verifies(key, message, signature)
    for bit in range(0, 512, 3):
        bad = bytearray(signature)
        bad[bit // 8] ^= 1 << bit % 8
        assert not verifies(key, message, bytes(bad))
    for bit in range(0, 256, 5):
        bad = bytearray(key)
        bad[bit // 8] ^= 1 << bit % 8
        assert not verifies(bytes(bad), message, signature)
    for bit in range(0, 8 * len(message), 7):
        bad = bytearray(message)
        bad[bit // 8] ^= 1 << bit % 8
        assert not verifies(key, bytes(bad), signature)


def test_a_scalar_or_a_point_beyond_its_bound_is_refused():
    """The same signature in another form (RFC 8032, 5.1.7): a verifier that takes both can be played with."""
    message = b"x"
    key, signature = signed(2, message)
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not verifies(key, message, signature[:32] + scalar.to_bytes(32, "little"))
    assert not verifies(P.to_bytes(32, "little"), message, signature)
    assert not verifies((P + 1).to_bytes(32, "little"), message, signature)
    for short in (b"", signature[:-1], signature + b"\x00"):
        assert not verifies(key, message, short)
    assert not verifies(key[:-1], message, signature)


def test_as_many_random_keys_as_time_allows():
    draw = random.Random(5)
    for seed in range(60):
        message = draw.randbytes(draw.randrange(150))
        key, signature = signed(seed, message)
        assert verifies(key, message, signature)
        assert not verifies(key, message + b"!", signature)


def test_the_constants_are_what_the_standard_derives():
    assert pow(-121665 * pow(121666, -1, P), 1, P) == ed25519.D
    assert ed25519.ROOT_OF_MINUS_ONE**2 % P == P - 1
    assert ed25519.BASE_Y * 5 % P == 4
    x, y = ed25519.BASE_X, ed25519.BASE_Y
    assert (y * y - x * x - 1 - ed25519.D * x * x * y * y) % P == 0
    assert x % 2 == 0


@pytest.mark.parametrize("length", [0, 1, 55, 111, 112, 127, 128, 129, 239, 240, 300])
def test_sha512_against_the_hosts(length):
    message = bytes((7 * i + length) & 0xFF for i in range(length))
    steps = sha512.digest(message)
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert end.value.value == hashlib.sha512(message).digest()


def test_it_works_in_the_vm_in_steps_that_leave_room_for_control(in_vm):
    message = b"toplovod image1" + bytes(32)
    key, signature = signed(3, message)
    printed = in_vm(
        "from substation.ed25519 import verification, verifies\n"
        "key, message, signature = (bytes.fromhex(t) for t in (%r, %r, %r))\n"
        "steps, count = verification(key, message, signature), 0\n"
        "while True:\n"
        "    try:\n"
        "        next(steps)\n"
        "        count += 1\n"
        "    except StopIteration as end:\n"
        "        print(end.value, count)\n"
        "        break\n"
        "print(verifies(key, message, signature[:-1] + b'\\x01'))\n"
        % (key.hex(), message.hex(), signature.hex())
    )
    verdict, count, tampered = printed.split()
    assert (verdict, tampered) == ("True", "False")
    assert int(count) > 300
