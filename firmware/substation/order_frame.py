"""The order: the only thing that changes a setpoint, and the receipt that proves it.

Both interpreters import this file. It refuses to touch a socket, a clock or a key store:
it turns fields into bytes and back, and computes the message authentication codes.

All numbers are big-endian. One Modbus register is one word of two bytes.

Order (written to ORDER_MAILBOX by one FC16 or FC23), in words:
    0       frame version (high byte) | key slot (low byte)
    1       key epoch
    2..3    counter, rising for each slot since boot; a jump is at most 65 536
    4..5    not-after, seconds of the device's uptime, at most 60 ahead
    6       lease in seconds: 300..3600, or 0 to release the named registers
    7       n, number of pairs, 1..16
    8..     n pairs: register address (holding), then one or two value words by the map's type
    last 8  MAC: HMAC-SHA256 cut to 128 bits
MAC span of the order: b"TVO1", device id (8 bytes), map hash (4), boot nonce (12), all words but the MAC.
The boot nonce is the boot count (4 bytes) and 8 random bytes: a frame kept back or replayed
after a restart never verifies again, and counters need no flash.

Receipt (read from RECEIPTS + 16 x slot), in words:
    0 version | slot, 1..2 counter, 3 result, 4 detail (a register), 5..6 uptime in s, 7 lease, 8..15 MAC
MAC span of the receipt: b"TVR1", device id, boot nonce, words 0..7.

Status block (STATUS_BLOCK, in the same FC23 that writes slot and challenge), in words:
    0 version | slot, 1..4 challenge, 5..6 uptime in s, 7..8 map, 9..10 limits, 11..12 firmware hash,
    13..14 boot count, 15..18 boot random, 19 control mode, 20 sensor faults, 21 alarm bits, 22 n,
    n words of STATUS_POINTS, then 8 words of MAC
MAC span of the status block: b"TVS1", device id, all words but the MAC.

Worked example: root key 00..1f, slot 0, epoch 1, device id 0011223344556677, map hash 01020304,
boot nonce 00000007 + a0..a7, counter 1, not-after 100, lease 1800, one pair (100, 4500):
    0100 0001 0000 0001 0000 0064 0708 0001 0064 1194 + MAC c2cb e4c9 4918 7c69 b686 2027 7098 fc32
"""

import hashlib
from collections import namedtuple

FRAME_VERSION = 1
MAX_PAIRS = 16
MAC_BYTES = 16
LEASE_MIN_S = 300
LEASE_MAX_S = 3600
LEASE_DEFAULT_S = 1800
NOT_AFTER_AHEAD_S = 60
COUNTER_JUMP = 65536
EPOCH_JUMP = 16  # a later epoch proves itself by its MAC; further ahead is a mistake

SUPERVISOR, STANDBY, TECHNICIAN, UTILITY = range(4)
SLOTS = ("supervisor", "standby", "technician", "utility")

HEADER_WORDS = 8
RECEIPT_BODY_BYTES = 16
STATUS_HEADER_WORDS = 23

# results in a receipt
(
    NONE,
    ACCEPTED,
    REFUSED_LIMIT,
    REFUSED_RIGHT,
    REFUSED_BUDGET,
    REFUSED_STATE,
    REFUSED_REGISTER,
    REFUSED_LEASE,
) = range(8)
RESULTS = (
    "none", "accepted", "refused_limit", "refused_right", "refused_budget", "refused_state",
    "refused_register", "refused_lease",
)  # fmt: skip

Order = namedtuple("Order", ("slot", "epoch", "counter", "not_after_s", "lease_s", "pairs"))
Receipt = namedtuple("Receipt", ("slot", "counter", "result", "detail", "uptime_s", "lease_s"))
Status = namedtuple(
    "Status",
    ("slot", "challenge", "uptime_s", "map_hash", "limits_hash", "firmware_hash", "boot_nonce",
     "control_mode", "sensor_faults", "alarm_bits", "words"),
)  # fmt: skip


class BadFrame(Exception):
    """The bytes are not an order; nothing may follow from them."""


def hmac_sha256(key, message):
    """Return the 32-byte HMAC-SHA256 (RFC 2104); MicroPython has no hmac module."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key))
    inner.update(message)
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in key))
    outer.update(inner.digest())
    return outer.digest()


def equal(a, b):
    """Compare two byte strings without telling by time where they differ."""
    if len(a) != len(b):
        return False
    difference = 0
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0


def slot_key(root_key, slot, epoch):
    """Derive the 32-byte key of a slot and epoch; a later epoch cannot be computed from an earlier one."""
    return hmac_sha256(root_key, b"toplovod slot" + bytes((slot,)) + epoch.to_bytes(4, "big"))


def boot_nonce(boot_count, random_8):
    """Return the 12-byte nonce of this boot."""
    return boot_count.to_bytes(4, "big") + bytes(random_8)


def order_mac(key, device_id, map_hash, nonce, body):
    """Return the 16-byte MAC of an order's body (all words but the MAC)."""
    return hmac_sha256(key, b"TVO1" + device_id + map_hash.to_bytes(4, "big") + nonce + bytes(body))[
        :MAC_BYTES
    ]


def encode_order(key, device_id, map_hash, nonce, order):
    """Return the whole frame as bytes. order.pairs holds (address, words) with words a tuple of ints."""
    if not 1 <= len(order.pairs) <= MAX_PAIRS:
        raise BadFrame("an order has 1 to %d pairs, not %d" % (MAX_PAIRS, len(order.pairs)))
    body = bytearray()
    for word in (
        (FRAME_VERSION << 8) | order.slot, order.epoch, order.counter >> 16, order.counter & 0xFFFF,
        order.not_after_s >> 16, order.not_after_s & 0xFFFF, order.lease_s, len(order.pairs),
    ):  # fmt: skip
        body += word.to_bytes(2, "big")
    for address, words in order.pairs:
        body += address.to_bytes(2, "big")
        for word in words:
            body += word.to_bytes(2, "big")
    return bytes(body) + order_mac(key, device_id, map_hash, nonce, body)


def _word(frame, index):
    return (frame[2 * index] << 8) | frame[2 * index + 1]


def _long(frame, index):
    return (_word(frame, index) << 16) | _word(frame, index + 1)


def peek_slot(frame):
    """Return (slot, epoch) of a frame of plausible form, else raise BadFrame; the MAC is not looked at."""
    if len(frame) < 2 * (HEADER_WORDS + 2) + MAC_BYTES or len(frame) % 2:
        raise BadFrame("length")
    if frame[0] != FRAME_VERSION:
        raise BadFrame("version")
    if frame[1] >= len(SLOTS):
        raise BadFrame("slot")
    return frame[1], _word(frame, 1)


def decode_order(frame, words_at):
    """Return the Order in the frame's bytes, its MAC not yet verified.

    words_at(address) gives 1 or 2 for a setpoint's width, 0 for an unknown address (then the
    frame is read with one word, and the caller refuses the register by name).
    """
    slot, epoch = peek_slot(frame)
    count = _word(frame, 7)
    if not 1 <= count <= MAX_PAIRS:
        raise BadFrame("pairs")
    end = (len(frame) - MAC_BYTES) // 2
    pairs = []
    index = HEADER_WORDS
    for _ in range(count):
        if index + 2 > end:
            raise BadFrame("short")
        address = _word(frame, index)
        width = words_at(address) or 1
        if index + 1 + width > end:
            raise BadFrame("short")
        pairs.append((address, tuple(_word(frame, index + 1 + k) for k in range(width))))
        index += 1 + width
    if index != end:
        raise BadFrame("long")
    return Order(slot, epoch, _long(frame, 2), _long(frame, 4), _word(frame, 6), tuple(pairs))


def order_verifies(key, device_id, map_hash, nonce, frame):
    """Say whether the frame's MAC is that of this key, device, map and boot."""
    frame = bytes(frame)
    return equal(frame[-MAC_BYTES:], order_mac(key, device_id, map_hash, nonce, frame[:-MAC_BYTES]))


def encode_receipt(key, device_id, nonce, receipt):
    """Return the 32 bytes of a receipt block."""
    body = (
        bytes((FRAME_VERSION, receipt.slot)) + receipt.counter.to_bytes(4, "big")
        + receipt.result.to_bytes(2, "big") + receipt.detail.to_bytes(2, "big")
        + receipt.uptime_s.to_bytes(4, "big") + receipt.lease_s.to_bytes(2, "big")
    )  # fmt: skip
    return body + hmac_sha256(key, b"TVR1" + device_id + nonce + body)[:MAC_BYTES]


def decode_receipt(key, device_id, nonce, block):
    """Return the Receipt in 32 bytes; BadFrame where its MAC does not verify."""
    block = bytes(block)
    body = block[:RECEIPT_BODY_BYTES]
    if len(block) != RECEIPT_BODY_BYTES + MAC_BYTES or body[0] != FRAME_VERSION:
        raise BadFrame("receipt")
    if not equal(
        block[RECEIPT_BODY_BYTES:], hmac_sha256(key, b"TVR1" + device_id + nonce + body)[:MAC_BYTES]
    ):
        raise BadFrame("receipt mac")
    return Receipt(body[1], _long(body, 1), _word(body, 3), _word(body, 4), _long(body, 5), _word(body, 7))


def status_words(point_count):
    """Return the length of a status block in words."""
    return STATUS_HEADER_WORDS + point_count + MAC_BYTES // 2


def encode_status(key, device_id, status):
    """Return the bytes of a status block; challenge is 8 bytes, words a sequence of raw words."""
    body = bytes((FRAME_VERSION, status.slot)) + bytes(status.challenge)
    for number in (status.uptime_s, status.map_hash, status.limits_hash, status.firmware_hash):
        body += number.to_bytes(4, "big")
    body += bytes(status.boot_nonce)
    for word in (status.control_mode, status.sensor_faults, status.alarm_bits, len(status.words)):
        body += word.to_bytes(2, "big")
    for word in status.words:
        body += word.to_bytes(2, "big")
    return body + hmac_sha256(key, b"TVS1" + device_id + body)[:MAC_BYTES]


def decode_status(key, device_id, challenge, block):
    """Return the Status in the block; BadFrame where its MAC or its challenge is not ours."""
    block = bytes(block)
    body = block[:-MAC_BYTES]
    if len(body) < 2 * STATUS_HEADER_WORDS or body[0] != FRAME_VERSION or body[2:10] != bytes(challenge):
        raise BadFrame("status")
    if not equal(block[-MAC_BYTES:], hmac_sha256(key, b"TVS1" + device_id + body)[:MAC_BYTES]):
        raise BadFrame("status mac")
    count = _word(body, 22)
    if len(body) != 2 * (STATUS_HEADER_WORDS + count):
        raise BadFrame("status length")
    words = tuple(_word(body, STATUS_HEADER_WORDS + k) for k in range(count))
    return Status(
        body[1], body[2:10], _long(body, 5), _long(body, 7), _long(body, 9), _long(body, 11),
        body[26:38], _word(body, 19), _word(body, 20), _word(body, 21), words,
    )  # fmt: skip
