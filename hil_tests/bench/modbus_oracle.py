"""What a controller must answer, byte for byte: a second reading of the Modbus specification.

Written from the application protocol V1.1b3, the messaging guide V1.0b and the serial line guide V1.02,
with the project's rules on top (design: what would act and is no order is refused), and from the layouts
in `order_frame`. It shares no code with the firmware but the register map's names. Given the bytes of a
request and the state of a device it returns the response and changes the state as the device must.

It refuses to be lenient: nothing here is a tolerance, an answer is right or wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware.substation import registers

BAD_FUNCTION, BAD_ADDRESS, BAD_VALUE = 1, 2, 3
CAUSE = {name: number for number, name in enumerate(registers.REFUSALS)}
# which counter a cause is shown in; every refusal of an authentic order is one counter
COUNTER = {
    "function": "refused_function_count",
    "malformed": "refused_malformed_count",
    "mac": "refused_mac_count",
    "epoch": "refused_mac_count",
    "replay": "refused_replay_count",
    "late": "refused_late_count",
    "broadcast": "broadcast_count",
    "limit": "refused_order_count",
    "right": "refused_order_count",
    "register": "refused_order_count",
    "lease": "refused_order_count",
}
RESULT = {"accepted": 1, "limit": 2, "right": 3, "register": 6, "lease": 7}
MAX_PDU = 253
RING_ENTRIES = 16
RING_ENTRY = ">IBxHIII"
SERIAL_SOURCE = 1
SUPERVISOR, STANDBY, TECHNICIAN, UTILITY = range(4)
LEGACY = 4  # whoever may write without a proof
RANKS = {SUPERVISOR: 2, STANDBY: 2, TECHNICIAN: 3, UTILITY: 1, LEGACY: 0}
FOR_UTILITY = ("primary_flow_limit_sp_m3_h", "curve_shift_sp_k")


def crc16(data: bytes) -> bytes:
    """Return the CRC as it goes on the wire, low byte first."""
    value = 0xFFFF
    for byte in data:
        value = _CRC[(value ^ byte) & 0xFF] ^ (value >> 8)
    return bytes((value & 0xFF, value >> 8))


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC = tuple(_crc_of(byte) for byte in range(256))


class Refused(Exception):
    """A Modbus exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def reads_event_log(pdu: bytes) -> bool:
    """Say whether a request asks for the event log or its seal: the one thing that is not foreseen here."""
    if pdu[:1] == b"\x14":
        return any(pdu[at + 1 : at + 3] in (b"\0\x65", b"\0\x66") for at in range(2, len(pdu), 7))
    return pdu[:1] == b"\x17" and pdu[1:3] == registers.LOG_SEAL.to_bytes(2, "big")


@dataclass
class Device:
    """The state of one controller as far as a client can see it. Addresses map to raw words.

    slot_keys: by key slot, of the epoch in force; without them no order verifies.
    """

    input: dict[int, int]
    holding: dict[int, int]
    objects: tuple[tuple[int, bytes], ...]
    unit: int = 1
    rtu_unit: int = 1
    slot_keys: dict[int, bytes] = field(default_factory=dict)
    boot: int = 0
    ring: list[list[int]] = field(default_factory=list)
    """[source, cause, boot, times, first uptime, last uptime] of each entry, the oldest first."""
    pushed_out: list[list[int]] = field(default_factory=list)
    """Entries of earlier boots that made room: where power fails before the ring is saved, they are back."""
    ends: dict[str, int] = field(default_factory=dict)
    """Uptime at which the lease of a setpoint ends; its value may be held up to ten minutes more."""
    order_counter: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    seen: int = 0
    broken: int = 0
    exceptions: int = 0
    own: int = 0
    unanswered: int = 0
    acted: int = 0
    """Orders applied: the only thing that may move a setpoint or a lease."""

    # named registers

    def get(self, name: str) -> int:
        row = registers.BY_NAME[name]
        words = self.input if row.space == registers.INPUT else self.holding
        if registers.words_of(row) == 1:
            return words[row.address]
        return words[row.address] << 16 | words[row.address + 1]

    def put(self, name: str, raw: int) -> None:
        row = registers.BY_NAME[name]
        words = self.input if row.space == registers.INPUT else self.holding
        if registers.words_of(row) == 1:
            words[row.address] = raw & 0xFFFF
        else:
            words[row.address] = raw >> 16 & 0xFFFF
            words[row.address + 1] = raw & 0xFFFF

    def block(self, name: str, words: int) -> bytes:
        """Return so many words of the input space from the named register on."""
        first = registers.BY_NAME[name].address
        return struct.pack(f">{words}H", *(self.input[first + k] for k in range(words)))

    def refuse(self, cause: str, source: int) -> None:
        counter = COUNTER[cause]
        self.put(counter, self.get(counter) + 1)
        uptime = self.get("uptime_s")
        self.put("last_refusal_number", CAUSE[cause])
        self.put("last_refusal_uptime_s", uptime)
        self.put("last_refusal_source_code", source)
        entry = self._entry(source, CAUSE[cause], uptime)
        entry[3] += 1
        entry[5] = uptime

    def _entry(self, source: int, cause: int, uptime: int) -> list[int]:
        """Return the entry that counts this refusal. The sixteenth is shared by all further sources."""
        ring, boot = self.ring, self.boot & 0xFFFF
        alike = [entry for entry in ring if entry[1:3] == [cause, boot]]
        for wanted in (source, 0) if len(ring) >= RING_ENTRIES - 1 else (source,):
            for entry in alike:
                if entry[0] == wanted:
                    return entry
        earlier = [entry for entry in ring if entry[2] != boot]
        if len(ring) >= RING_ENTRIES - 1 and earlier:
            ring.remove(earlier[0])
            self.pushed_out.append(earlier[0])
        elif len(ring) == RING_ENTRIES:
            shared = next((entry for entry in reversed(ring) if not entry[0]), ring[-1])
            shared[0] = 0
            if shared[1] != cause:
                shared[1] = CAUSE["none"]
            return shared
        elif len(ring) == RING_ENTRIES - 1:
            source = 0
        ring.append([source, cause, boot, 0, uptime, uptime])
        return ring[-1]

    def refusal_file(self) -> bytes:
        return b"".join(struct.pack(RING_ENTRY, *entry) for entry in self.ring)


class Oracle:
    """Answers for one device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    # frames

    def tcp(self, stream: bytes, source: int) -> tuple[bytes, int, bool]:
        """Return (response, bytes used, connection closed) for the next frame of a TCP stream."""
        device = self.device
        if len(stream) < 6:
            return b"", 0, False
        length = _u16(stream, 4)
        if not 2 <= length <= 254:
            device.broken += 1
            device.refuse("malformed", source)
            return b"", len(stream), True
        if len(stream) < 6 + length:
            return b"", 0, False
        frame = stream[: 6 + length]
        device.seen += 1
        if _u16(frame, 2):
            device.refuse("malformed", source)
            return b"", len(frame), False
        unit = frame[6]
        if unit not in (device.unit, 0, 255):
            return b"", len(frame), False
        pdu = self.pdu(frame[7:], source, broadcast=unit == 0)
        return frame[:4] + (len(pdu) + 1).to_bytes(2, "big") + frame[6:7] + pdu, len(frame), False

    def rtu_stream(self, stream: bytes, source: int) -> tuple[bytes, int]:
        """Return (response, bytes used) for what came in one piece over RTU without silences."""
        length = rtu_request_length(stream)
        if length is None:  # by what came together
            length = len(stream)
            if length < 4:
                return b"", 0
        elif length == 0 or (length > len(stream) and length <= 256):
            return b"", 0
        elif long_echo(stream) and not crc_right(stream[:length]):
            length = len(stream)
        if length > 256 or not crc_right(stream[:length]):
            self.device.broken += 1
            return b"", len(stream)
        return self._rtu_frame(stream[:length], source), length

    def rtu(self, between: bytes) -> bytes:
        """Return the response to what came between two silences on the serial line.

        Where that is several frames, nobody waits for the earlier ones any more: they are counted only.
        """
        rest = between
        while (length := self._whole_frame(rest)) is not None:
            if length == len(rest):
                return self._rtu_frame(rest, SERIAL_SOURCE)
            self.device.seen += 1
            if rest[0] == 0:
                self._broadcast(SERIAL_SOURCE)
            rest = rest[length:]
        self.device.broken += 1
        return b""

    def _whole_frame(self, data: bytes) -> int | None:
        """Return the length of the frame that the data begin with, None when there is none."""
        if len(data) < 4:
            return None
        by_request = rtu_request_length(data)
        if by_request and by_request <= min(256, len(data)) and crc_right(data[:by_request]):
            return by_request
        foreign = data[0] not in (0, self.device.rtu_unit)
        # a function without a rule, an echo of several words and another unit's talk are as long as they are
        if (by_request is None or long_echo(data) or foreign) and len(data) <= 256 and crc_right(data):
            return len(data)
        if foreign:
            by_response = rtu_response_length(data)
            if by_response and by_response <= min(256, len(data)) and crc_right(data[:by_response]):
                return by_response
        return None

    def _broadcast(self, source: int) -> None:
        self.device.own += 1
        self.device.unanswered += 1
        self.device.refuse("broadcast", source)

    def _rtu_frame(self, frame: bytes, source: int) -> bytes:
        device = self.device
        device.seen += 1
        if frame[0] == 0:
            self._broadcast(source)
            return b""
        if frame[0] != device.rtu_unit:
            return b""
        body = frame[:1] + self.pdu(frame[1:-2], source, broadcast=False)
        return body + crc16(body)

    # application protocol

    def pdu(self, request: bytes, source: int, *, broadcast: bool) -> bytes:
        """Return the response PDU. broadcast: unit 0 over TCP, which may read."""
        self.device.own += 1
        try:
            return request[:1] + self._answer(request, source, broadcast)
        except Refused as refused:
            self.device.exceptions += 1
            return bytes((request[0] | 0x80, refused.code))

    def _answer(self, request: bytes, source: int, broadcast: bool) -> bytes:
        function, body = request[0], request[1:]
        if function in (1, 2):
            self._require(len(body) == 4 and 1 <= _u16(body, 2) <= 2000)
            raise Refused(BAD_ADDRESS)
        if function in (3, 4):
            self._require(len(body) == 4 and 1 <= _u16(body, 2) <= 125)
            return self._registers(function, _u16(body, 0), _u16(body, 2))
        if function == 8:
            return self._diagnostics(body, source, broadcast)
        if function == 17:
            self._require(not body)
            texts = dict(self.device.objects)
            told = bytes((self.device.get("profile_number"), 0xFF)) + texts[1] + b" " + texts[2]
            return bytes((len(told),)) + told
        if function == 20:
            return self._file_records(body)
        if function == 24:
            self._require(len(body) == 2)
            raise Refused(BAD_ADDRESS)
        if function == 43:
            return self._identification(body)
        if function in (5, 6, 15, 21, 22):
            self._require(_well_formed(function, body), source)
            self._forbid(source, broadcast)
        if function == 16:
            return self._write(body, source, broadcast)
        if function == 23:
            return self._write_and_read(body, source, broadcast)
        raise Refused(BAD_FUNCTION)

    def _require(self, right: bool, source: int | None = None) -> None:
        if not right:
            if source is not None:
                self.device.refuse("malformed", source)
            raise Refused(BAD_VALUE)

    def _forbid(self, source: int, broadcast: bool) -> None:
        self.device.refuse("broadcast" if broadcast else "function", source)
        raise Refused(BAD_ADDRESS)

    def _registers(self, function: int, address: int, count: int) -> bytes:
        words = self.device.input if function == 4 else self.device.holding
        try:
            found = [words[address + k] for k in range(count)]
        except KeyError:
            raise Refused(BAD_ADDRESS) from None
        return bytes((2 * count,)) + struct.pack(f">{count}H", *found)

    def _diagnostics(self, body: bytes, source: int, broadcast: bool) -> bytes:
        if len(body) >= 2 and _u16(body, 0) in (1, 3, 4, 10, 20):
            self._require(len(body) == 4, source)
            self._forbid(source, broadcast)
        self._require(len(body) >= 4 and len(body) % 2 == 0)
        sub, device = _u16(body, 0), self.device
        if sub == 0:
            return body
        told = {2: 0, 11: device.seen, 12: device.broken, 13: device.exceptions, 14: device.own,
                15: device.unanswered, 16: 0, 17: 0, 18: 0}  # fmt: skip
        if sub not in told:
            raise Refused(BAD_FUNCTION)
        self._require(body[2:] == b"\0\0")
        return body[:2] + (told[sub] & 0xFFFF).to_bytes(2, "big")

    def _identification(self, body: bytes) -> bytes:
        self._require(len(body) >= 1)
        if body[0] != 14:
            raise Refused(BAD_FUNCTION)
        self._require(len(body) == 3 and 1 <= body[1] <= 4)
        code, first = body[1], body[2]
        offered = [o for o in self.device.objects if code != 1 or o[0] <= 2]
        ids = [number for number, _ in offered]
        if code == 4:
            if first not in ids:
                raise Refused(BAD_ADDRESS)
            chosen = [offered[ids.index(first)]]
        else:
            chosen = offered[ids.index(first) :] if first in ids else offered
        told = b"".join(bytes((number, len(text))) + text for number, text in chosen)
        return bytes((14, code, 0x82, 0, 0, len(chosen))) + told

    def _file_records(self, body: bytes) -> bytes:
        self._require(bool(body) and body[0] == len(body) - 1 and 7 <= body[0] <= 245 and body[0] % 7 == 0)
        file, told = self.device.refusal_file(), b""
        for at in range(1, len(body), 7):
            kind, number, record, count = struct.unpack_from(">BHHH", body, at)
            self._require(2 + len(told) + 2 + 2 * count <= MAX_PDU)
            part = file[2 * record : 2 * (record + count)]
            if kind != 6 or number != 1 or count == 0 or len(part) != 2 * count:
                raise Refused(BAD_ADDRESS)
            told += bytes((1 + len(part), 6)) + part
        return bytes((len(told),)) + told

    def _write(self, body: bytes, source: int, broadcast: bool) -> bytes:
        count = _u16(body, 2) if len(body) > 4 else 0
        whole = 1 <= count <= 123 and body[4] == 2 * count and len(body) == 5 + 2 * count
        self._require(whole, source)
        if _u16(body, 0) != registers.ORDER_MAILBOX or count > registers.ORDER_MAILBOX_WORDS or broadcast:
            self._forbid(source, broadcast)
        self._order(body[5:], source)
        return body[:4]

    def _write_and_read(self, body: bytes, source: int, broadcast: bool) -> bytes:
        read_at = read = at = count = 0
        if len(body) >= 9:
            read_at, read, at, count = struct.unpack_from(">HHHH", body)
        whole = 1 <= read <= 125 and 1 <= count <= 121 and body[8] == 2 * count and len(body) == 9 + 2 * count
        self._require(whole, source)
        content = body[9:]
        if (at, read_at) == (registers.CHALLENGE_MAILBOX, registers.STATUS_BLOCK):
            return self._status(content, read)
        receipts = range(registers.RECEIPTS, registers.RECEIPTS + 4 * registers.RECEIPT_WORDS)
        inside = read_at in receipts and read_at + read - 1 in receipts
        if at != registers.ORDER_MAILBOX or count > registers.ORDER_MAILBOX_WORDS or not inside or broadcast:
            self._forbid(source, broadcast)
        self._order(content, source)
        return self._registers(4, read_at, read)

    # orders, by the layouts in order_frame

    def _mac(self, slot: int, message: bytes) -> bytes:
        return hmac.new(self.device.slot_keys[slot], message, hashlib.sha256).digest()[:16]

    def _order(self, frame: bytes, source: int) -> None:
        device = self.device
        cause = self._no_order(frame)
        if cause is None:
            slot, counter = frame[1], int.from_bytes(frame[4:8], "big")
            device.order_counter[slot] = counter
            late = int.from_bytes(frame[8:12], "big") - device.get("uptime_s")
            if not 0 <= late <= 60:
                cause = "late"
        if cause is not None:
            device.refuse(cause, source)
            raise Refused(BAD_ADDRESS)
        lease_s = _u16(frame, 12)
        pairs = self._pairs(frame)
        assert pairs is not None
        verdict, detail = self._judge(slot, lease_s, pairs)
        if verdict == "accepted":
            device.acted += 1
            device.put("accepted_order_count", device.get("accepted_order_count") + 1)
            for address, raw in pairs:
                self._grant(slot, lease_s, address, raw)
        else:
            device.refuse(verdict, source)
        receipt = (
            bytes((1, slot)) + frame[4:8] + struct.pack(">HH", RESULT[verdict], detail)
            + device.block("uptime_s", 2) + frame[12:14]
        )  # fmt: skip
        receipt += self._mac(slot, b"TVR1" + self._id() + self._nonce() + receipt)
        for k, word in enumerate(struct.unpack(">16H", receipt)):
            device.input[registers.RECEIPTS + slot * registers.RECEIPT_WORDS + k] = word

    def _id(self) -> bytes:
        return self.device.block("device_id_high_code", 4)

    def _nonce(self) -> bytes:
        return self.device.block("boot_count", 6)

    def _no_order(self, frame: bytes) -> str | None:
        """Return why the frame is no order of this device and boot, None when it is one."""
        device = self.device
        if len(frame) < 36 or frame[0] != 1 or frame[1] > 3 or self._pairs(frame) is None:
            return "malformed"
        slot, epoch = frame[1], _u16(frame, 2)
        name = ("supervisor", "standby", "technician", "utility")[slot]
        floor = device.get(f"{name}_key_epoch_number")
        if slot not in device.slot_keys or not floor <= epoch <= floor + 16:
            return "epoch"
        if epoch != floor:  # nobody in a test holds such a key
            return "mac"
        span = b"TVO1" + self._id() + device.block("map_hash_code", 2) + self._nonce() + frame[:-16]
        if self._mac(slot, span) != frame[-16:]:
            return "mac"
        ahead = int.from_bytes(frame[4:8], "big") - device.order_counter[slot]
        return None if 0 < ahead <= 65_536 else "replay"

    def _setpoints(self) -> dict[int, registers.Lease]:
        mapped = self.device.holding
        found = ((registers.BY_NAME[lease.setpoint].address, lease) for lease in registers.LEASES)
        return {address: lease for address, lease in found if address in mapped}

    def _pairs(self, frame: bytes) -> list[tuple[int, int]] | None:
        """Return (register, raw value), or None where the words do not come out even."""
        count, at, end = _u16(frame, 14), 16, len(frame) - 16
        pairs = []
        if not 1 <= count <= 16:
            return None
        setpoints = self._setpoints()
        for _ in range(count):
            if at + 4 > end:
                return None
            address = _u16(frame, at)
            lease = setpoints.get(address)
            size = 2 * registers.words_of(registers.BY_NAME[lease.setpoint]) if lease else 2
            if at + 2 + size > end:
                return None
            pairs.append((address, int.from_bytes(frame[at + 2 : at + 2 + size], "big")))
            at += 2 + size
        return pairs if at == end else None

    def _judge(self, slot: int, lease_s: int, pairs: Sequence[tuple[int, int]]) -> tuple[str, int]:
        device, setpoints = self.device, self._setpoints()
        if slot == TECHNICIAN and not device.get("service_seconds_left_s"):
            return "right", 0
        if pairs[0][0] not in setpoints:  # it has no lease; commands, which are taken there, are not foreseen
            return "register", pairs[0][0]
        if lease_s and not 300 <= lease_s <= 3600:
            return "lease", 0
        seen = set()
        for address, raw in pairs:
            lease = setpoints.get(address)
            if lease is None or address in seen:
                return "register", address
            seen.add(address)
            if slot == UTILITY and lease.setpoint not in FOR_UTILITY:
                return "right", address
            owner = device.get(lease.owner)
            if owner and RANKS[owner - 1] > RANKS[slot]:
                return "lease", address
            if lease_s and not self._within(lease, raw):
                return "limit", address
        return "accepted", 0

    def _within(self, lease: registers.Lease, raw: int) -> bool:
        row = registers.BY_NAME[lease.setpoint]
        value = _signed(row, raw)
        low, high = round(row.low / row.scale), round(row.high / row.scale)
        if lease.low_limit:
            low = max(low, _signed(registers.BY_NAME[lease.low_limit], self.device.get(lease.low_limit)))
        if lease.high_limit:
            high = min(high, _signed(registers.BY_NAME[lease.high_limit], self.device.get(lease.high_limit)))
        return bool(low <= value <= high)

    def _grant(self, slot: int, lease_s: int, address: int, raw: int) -> None:
        lease = self._setpoints()[address]
        device = self.device
        if lease_s:
            device.put(lease.setpoint, raw)
            device.put(lease.owner, slot + 1)
            device.ends[lease.setpoint] = device.get("uptime_s") + lease_s
            return
        device.ends.pop(lease.setpoint, None)
        no_value = registers.NO_VALUE[registers.BY_NAME[lease.setpoint].type]
        device.put(lease.setpoint, no_value & 0xFFFFFFFF)
        device.put(lease.owner, 0)
        device.put(lease.seconds_left, 0)

    def _status(self, content: bytes, read: int) -> bytes:
        device = self.device
        slot = _u16(content, 0)
        self._require(len(content) == 2 * registers.CHALLENGE_MAILBOX_WORDS and slot <= 3)
        if slot not in device.slot_keys:
            raise Refused(BAD_ADDRESS)
        profile = registers.PROFILES[device.get("profile_number") - 1]
        points = registers.STATUS_POINTS[profile]
        body = bytes((1, slot)) + content[2:10] + device.block("uptime_s", 2)
        for name in ("map_hash_code", "limits_hash_code", "firmware_hash_code"):
            body += device.block(name, 2)
        body += self._nonce()
        for name in ("control_mode_number", "sensor_fault_bits", "alarm_bits"):
            body += device.block(name, 1)
        body += len(points).to_bytes(2, "big") + b"".join(device.block(name, 1) for name in points)
        body += self._mac(slot, b"TVS1" + self._id() + body)
        if 2 * read != len(body):
            raise Refused(BAD_ADDRESS)
        return bytes((len(body),)) + body


def _signed(row: registers.Register, raw: int) -> int:
    bits = 16 * registers.words_of(row)
    signed = row.type in (registers.I16, registers.I32)
    return raw - (1 << bits) if signed and raw >> (bits - 1) else raw


def _well_formed(function: int, body: bytes) -> bool:
    """Say whether this is a request of FC 5, 6, 15, 21 or 22 as the protocol writes it."""
    if function == 5:
        return len(body) == 4 and body[2:] in (b"\0\0", b"\xff\0")
    if function == 6:
        return len(body) == 4
    if function == 22:
        return len(body) == 6
    if function == 15:
        if len(body) < 6:
            return False
        count = _u16(body, 2)
        return 1 <= count <= 1968 and body[4] == -(-count // 8) and len(body) == 5 + body[4]
    if len(body) < 10 or body[0] != len(body) - 1:
        return False
    at = 1
    while at < len(body):
        if at + 7 > len(body):
            return False
        at += 7 + 2 * _u16(body, at + 5)
    return at == len(body)


def crc_right(frame: bytes) -> bool:
    return len(frame) >= 4 and crc16(frame[:-2]) == frame[-2:]


def rtu_request_length(frame: bytes) -> int | None:
    """Return a request's length by its function, CRC included; 0 = too short to tell, None = no rule."""
    if len(frame) < 2:
        return 0
    function = frame[1]
    fixed = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10, 24: 6}
    if function in fixed:
        return fixed[function]
    counted = {15: 6, 16: 6, 20: 2, 21: 2, 23: 10}  # where the byte count stands
    if function in counted:
        at = counted[function]
        return at + 1 + frame[at] + 2 if len(frame) > at else 0
    if function == 43:
        if len(frame) < 5:
            return 0
        return 7 if frame[2] == 14 else None
    return None


def long_echo(frame: bytes) -> bool:
    """Say whether this looks like FC 8/0 with several words of data; such a frame has no fixed length."""
    return len(frame) > 8 and len(frame) % 2 == 0 and frame[1:4] == b"\x08\0\0"


def rtu_response_length(frame: bytes) -> int | None:
    """Return the length a response has by its function, CRC included; None = no rule."""
    function = frame[1]
    if function >= 0x80:
        return 5
    fixed = {5: 8, 6: 8, 7: 5, 8: 8, 11: 8, 15: 8, 16: 8, 22: 10}
    if function in fixed:
        return fixed[function]
    return frame[2] + 5 if function in (1, 2, 3, 4, 17, 20, 21, 23) and len(frame) > 2 else None
