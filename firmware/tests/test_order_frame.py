"""The order frame: its worked example in both interpreters, and no bit of it that could be changed."""

import hashlib
import hmac

import pytest

from firmware.substation import order_frame as of

ROOT = bytes(range(32))
DEVICE = bytes.fromhex("0011223344556677")
MAP_HASH = 0x01020304
NONCE = of.boot_nonce(7, bytes(range(0xA0, 0xA8)))
ORDER = of.Order(of.SUPERVISOR, 1, 1, 100, 1800, ((100, (4500,)),))
WORKED_EXAMPLE = bytes.fromhex(
    "0100 0001 0000 0001 0000 0064 0708 0001 0064 1194 c2cb e4c9 4918 7c69 b686 2027 7098 fc32"
)


def one_word(address):
    return 1


def frame():
    return of.encode_order(of.slot_key(ROOT, 0, 1), DEVICE, MAP_HASH, NONCE, ORDER)


def test_worked_example():
    assert frame() == WORKED_EXAMPLE
    assert of.decode_order(frame(), one_word) == ORDER


def test_worked_example_in_the_vm(in_vm):
    printed = in_vm(
        "from substation import order_frame as o\n"
        "n = o.boot_nonce(7, bytes(range(0xa0, 0xa8)))\n"
        "d = bytes([0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77])\n"
        "k = o.slot_key(bytes(range(32)), 0, 1)\n"
        "f = o.encode_order(k, d, 0x01020304, n, o.Order(0, 1, 1, 100, 1800, ((100, (4500,)),)))\n"
        "r = o.encode_receipt(k, d, n, o.Receipt(0, 1, 1, 0, 9, 1800))\n"
        "s = o.encode_status(k, d, o.Status(0, b'12345678', 9, 1, 2, 3, n, 1, 2, 3, [7, 8]))\n"
        "import binascii\n"
        "for x in (k, f, r, s): print(binascii.hexlify(x).decode())\n"
        "print(o.order_verifies(k, d, 0x01020304, n, f))\n"
    ).split()
    key = of.slot_key(ROOT, 0, 1)
    receipt = of.encode_receipt(key, DEVICE, NONCE, of.Receipt(0, 1, 1, 0, 9, 1800))
    status = of.encode_status(key, DEVICE, of.Status(0, b"12345678", 9, 1, 2, 3, NONCE, 1, 2, 3, [7, 8]))
    assert printed == [key.hex(), WORKED_EXAMPLE.hex(), receipt.hex(), status.hex(), "True"]


@pytest.mark.parametrize("key_bytes", [0, 1, 32, 64, 65, 131])
def test_hmac_is_that_of_the_standard_library(key_bytes):
    key, message = bytes(range(key_bytes % 256))[:key_bytes], b"what do ya want for nothing?"
    key = key.ljust(key_bytes, b"\x0b")
    assert of.hmac_sha256(key, message) == hmac.new(key, message, hashlib.sha256).digest()


@pytest.mark.parametrize("bit", range(len(WORKED_EXAMPLE) * 8))
def test_no_bit_can_be_flipped(bit):
    changed = bytearray(WORKED_EXAMPLE)
    changed[bit // 8] ^= 1 << (bit % 8)
    try:
        order = of.decode_order(bytes(changed), one_word)
    except of.BadFrame:
        return
    key = of.slot_key(ROOT, order.slot, order.epoch)
    assert not of.order_verifies(key, DEVICE, MAP_HASH, NONCE, bytes(changed))


@pytest.mark.parametrize(
    ("device", "map_hash", "nonce"),
    [
        (bytes.fromhex("0011223344556678"), MAP_HASH, NONCE),
        (DEVICE, MAP_HASH + 1, NONCE),
        (DEVICE, MAP_HASH, of.boot_nonce(8, bytes(range(0xA0, 0xA8)))),
        (DEVICE, MAP_HASH, of.boot_nonce(7, bytes(8))),
    ],
    ids=["another house", "another map", "after a restart", "another nonce"],
)
def test_an_order_is_for_one_device_map_and_boot(device, map_hash, nonce):
    assert not of.order_verifies(of.slot_key(ROOT, 0, 1), device, map_hash, nonce, WORKED_EXAMPLE)


@pytest.mark.parametrize("length", [n for n in range(len(WORKED_EXAMPLE)) if n != len(WORKED_EXAMPLE)])
def test_a_cut_frame_is_no_order(length):
    try:
        of.decode_order(WORKED_EXAMPLE[:length], one_word)
    except of.BadFrame:
        return
    pytest.fail("a cut frame was taken for an order")


def test_keys_of_slots_and_epochs_differ():
    keys = {of.slot_key(ROOT, slot, epoch) for slot in range(4) for epoch in range(1, 5)}
    assert len(keys) == 16


def test_receipt_and_status_come_back_and_only_whole():
    key = of.slot_key(ROOT, 2, 3)
    receipt = of.Receipt(2, 70000, of.REFUSED_LIMIT, 101, 4_000_000, 300)
    block = of.encode_receipt(key, DEVICE, NONCE, receipt)
    assert of.decode_receipt(key, DEVICE, NONCE, block) == receipt
    status = of.Status(2, bytes(8), 5, 6, 7, 8, NONCE, 1, 2, 3, (1, 2, 3))
    told = of.encode_status(key, DEVICE, status)
    assert len(told) == 2 * of.status_words(3)
    assert of.decode_status(key, DEVICE, bytes(8), told) == status
    for at in range(len(block)):
        with pytest.raises(of.BadFrame):
            of.decode_receipt(key, DEVICE, NONCE, block[:at] + bytes((block[at] ^ 1,)) + block[at + 1 :])
    for at in range(len(told)):
        with pytest.raises(of.BadFrame):
            of.decode_status(key, DEVICE, bytes(8), told[:at] + bytes((told[at] ^ 1,)) + told[at + 1 :])
