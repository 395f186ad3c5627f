"""One conversation with one controller over Modbus TCP, or RTU on a serial line: read its map, order.

It refuses to read past the identity block when the register map is unknown, to write anything but an
order, to send an order twice, and to believe an answer without a MAC.

Blocking and short-lived, for a person at a terminal; the supervisor's poller is another thing.
"""

import logging
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException, ModbusIOException
from pymodbus.framer import FramerType
from pymodbus.pdu.file_message import FileRecord

from firmware.substation import order_frame, registers
from supervisor.field.character import PARITIES
from supervisor.field.character import stop_bits as stop_bits_of
from supervisor.field.identity import Identity, decode_identity
from supervisor.field.units import unit_of

from .errors import FAILED, UNREACHABLE, WRONG_USE, ToolError
from .key_file import KeyFile

PORT = 502
SERIAL = "serial:"
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)  # as site.json takes them
CHARACTER_BITS = 11  # serial line guide V1.02, 2.5.1, whatever the parity
FRAME_BYTES = 256  # the longest on a serial line
TIMEOUT_S = 3.0
MOST_WORDS = 125  # of one read, Modbus Application Protocol V1.1b3, 6.3
FLOAT_DIGITS = 3
ORDERED = (registers.SETPOINT, registers.COMMAND)  # what an order may carry
ORDER_LIFE_S = 30  # not-after ahead of the uptime just read; the controller allows at most 60
EXCEPTIONS = {
    1: "function not implemented",
    2: "refused: not an address it may be asked for, or an order that does not authenticate",
    3: "malformed",
    4: "failed inside the controller",
    6: "busy",
    10: "the gateway has no way to it",
    11: "the gateway got no answer from it",
}
NO_ANSWER_BEHIND = 11  # of a gateway: what was asked may have reached the controller


@dataclass(frozen=True)
class Address:
    """Where a controller listens; IPv6 addresses stand in brackets when a port follows."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address | SerialAddress":
        """Read HOST, HOST:PORT or [HOST]:PORT; the port is 502 when none is named. Or a serial line."""
        if text.startswith(SERIAL):
            return SerialAddress.parse(text)
        host, port = text, ""
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":")
        elif text.count(":") == 1:
            host, port = text.split(":")
        if not host or (port and not (port.isdigit() and 1 <= int(port) <= 65535)):
            raise ToolError(
                "bad_address",
                f"{text!r} is no address; nothing was sent. Write HOST, HOST:PORT or serial:/dev/ttyUSB0.",
                exit_status=WRONG_USE,
            )
        return cls(host, int(port) if port else PORT)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def open(self, client: Any, timeout_s: float) -> None:
        """Connect; OSError, whose kind pymodbus would not tell."""
        client.socket = socket.create_connection((self.host, self.port), timeout=timeout_s)

    def client(self, timeout_s: float) -> ModbusTcpClient:
        """Return pymodbus' client of this address, not connected."""
        return ModbusTcpClient(self.host, port=self.port, timeout=timeout_s, retries=0)


@dataclass(frozen=True)
class GatewayAddress(Address):
    """A gateway that hands RTU frames on as they come over TCP; several controllers may be behind it."""

    def client(self, timeout_s: float) -> ModbusTcpClient:
        """Return pymodbus' client of this address, not connected."""
        return ModbusTcpClient(self.host, port=self.port, framer=FramerType.RTU, timeout=timeout_s, retries=0)


@dataclass(frozen=True)
class SecureAddress(Address):
    """A controller's tls_port; tls holds the certificate that is shown there."""

    tls: ssl.SSLContext = field(repr=False, compare=False)

    def open(self, client: Any, timeout_s: float) -> None:
        """Connect and shake hands; OSError, of which ssl.SSLError is one."""
        plain = socket.create_connection((self.host, self.port), timeout=timeout_s)
        try:
            client.socket = self.tls.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise


@dataclass(frozen=True)
class SerialAddress:
    """An RS-485 line on which the controller speaks Modbus RTU, as its site.json sets it up."""

    port: str
    baud: int = 19_200
    parity: str = "even"
    stop_bits: int = 1

    @classmethod
    def parse(cls, text: str) -> "SerialAddress":
        """Read serial:PORT,baud=19200,parity=even,stop=1; what is left out is as the firmware has it."""
        port, *options = text.removeprefix(SERIAL).split(",")
        pairs = [option.partition("=")[::2] for option in options]
        given = dict(pairs)
        try:
            baud = int(given.pop("baud", "19200"))
            parity = given.pop("parity", "even")
            stop_bits = int(given.pop("stop", stop_bits_of(parity)))
            whole = bool(port) and not given and len(pairs) == len(dict(pairs))
        except ValueError:
            whole = False
        if not (whole and baud in BAUDS and parity in PARITIES and stop_bits in (1, 2)):
            raise ToolError(
                "bad_address",
                f"{text!r} is no serial line; nothing was sent. Write "
                "serial:/dev/ttyUSB0,baud=19200,parity=even,stop=1, parity even, odd or none, and the unit "
                f"as --unit. Baud rates: {', '.join(map(str, BAUDS))}.",
                exit_status=WRONG_USE,
            )
        return cls(port, baud, parity, stop_bits)

    def __str__(self) -> str:
        return f"{SERIAL}{self.port},baud={self.baud},parity={self.parity},stop={self.stop_bits}"

    def open(self, client: Any, timeout_s: float) -> None:
        """Open the line; OSError."""
        # pymodbus would say only that there is no connection
        os.close(os.open(self.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        if not client.connect():
            raise OSError(
                None,
                "it is no serial line, is in use, or takes no such parity (a pty takes parity=none alone)",
            )

    def client(self, timeout_s: float) -> ModbusSerialClient:
        """Return pymodbus' client of this line, closed. It waits for the longest frames to pass besides."""
        return ModbusSerialClient(
            self.port, baudrate=self.baud, parity=PARITIES[self.parity], stopbits=self.stop_bits,
            timeout=timeout_s + 2 * FRAME_BYTES * CHARACTER_BITS / self.baud, retries=0,
        )  # fmt: skip


class OrderInDoubt(ToolError):
    """An order went out and its receipt never came; counter and boot_nonce find that one later."""

    def __init__(self, message: str, counter: int, boot_nonce: bytes) -> None:
        super().__init__("order_in_doubt", message, exit_status=UNREACHABLE, changed=True)
        self.counter = counter
        self.boot_nonce = boot_nonce


@dataclass(frozen=True)
class Point:
    """One register as read: value None means "no valid reading"."""

    row: registers.Register
    raw: int
    value: float | int | None


@dataclass(frozen=True)
class OrderResult:
    """What the receipt proved, and how long the controller had been up when it answered."""

    accepted: bool
    result: str
    detail: str | None
    counter: int
    lease_s: int
    uptime_s: int


# What to do about a refusal that a receipt proves, by its name in order_frame.RESULTS
REMEDIES = {
    "refused_limit": "The controller's own bounds are narrower: toplovod read shows them.",
    "refused_right": "This key slot may not order that; a technician's needs the service button first.",
    "refused_budget": "What orders may take from this house in 24 h is spent; only raising is possible.",
    "refused_state": "The controller runs as a safe start: toplovod commission names the mistake.",
    "refused_register": "Its firmware knows no such setpoint: toplovod commission compares the releases.",
    "refused_lease": "Somebody of a higher rank holds the point: toplovod read shows who and how long.",
}


class Controller:
    """An open connection. Use it in a `with` block."""

    def __init__(self, address: Address | SerialAddress, unit: int = 1, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self.unit = unit
        self._timeout_s = timeout_s
        # it logs what we raise; a person needs one sentence
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        self._client = address.client(timeout_s)
        self._identity: Identity | None = None

    def __enter__(self) -> Self:
        try:
            self.address.open(self._client, self._timeout_s)
        except socket.gaierror as reason:
            raise self._unreachable("no such host name is known here") from reason
        except ConnectionRefusedError as reason:
            raise self._unreachable("the connection was refused: nothing listens at that port") from reason
        except TimeoutError as reason:
            raise self._unreachable(f"no connection within {self._timeout_s:g} s") from reason
        except (OSError, UnicodeError) as reason:
            why = reason.strerror if isinstance(reason, OSError) else "that is no host name"
            raise self._unreachable(f"no connection: {why}") from reason
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client: Any = self._client  # one of the two has an untyped close()
        client.close()

    def _unreachable(self, what: str) -> ToolError:
        message = f"{self.address} unit {self.unit}: {what}"
        if isinstance(self.address, SerialAddress):
            check = (
                "Check power, the line's A and B, unit, baud rate and parity; a controller answers on RS-485 "
                "only where its site.json has rtu_baud."
            )
        else:
            check = (
                "Check power, network, address and unit; a controller answers on TCP port 502 as unit 1 "
                "unless its site.json says otherwise."
            )
        return ToolError(
            "unreachable",
            f"{message}; nothing was changed. {check}",
            exit_status=UNREACHABLE,
        )

    def _words(self, answer: Any, count: int, asked: str) -> tuple[int, ...]:
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            raise ToolError(
                "device_refused",
                f"{self.address} unit {self.unit}: {asked} answered with exception {code:02d} "
                f"({EXCEPTIONS.get(code, 'unknown')}); nothing was changed",
            )
        if len(answer.registers) != count:
            raise ToolError(
                "device_odd",
                f"{self.address}: {asked} brought {len(answer.registers)} words instead of {count}",
            )
        return tuple(answer.registers)

    def read_words(self, space: str, address: int, count: int) -> tuple[int, ...]:
        """Return `count` words; ToolError unreachable, device_refused."""
        ask = (
            self._client.read_input_registers
            if space == registers.INPUT
            else self._client.read_holding_registers
        )
        try:
            answer = ask(address, count=count, device_id=self.unit)
        except (ConnectionException, ModbusIOException, OSError) as reason:
            raise self._unreachable(f"no Modbus answer within {self._timeout_s:g} s") from reason
        except ModbusException as reason:
            raise ToolError("device_odd", f"{self.address}: {reason}") from reason
        return self._words(answer, count, f"reading {space} {address}..{address + count - 1}")

    def identity(self, *, fresh: bool = False) -> Identity:
        """Return the identity block; ToolError not_ours where the magic number is missing."""
        if self._identity is None or fresh:
            words = self.read_words(registers.INPUT, 0, registers.IDENTITY_WORDS)
            identity = decode_identity(words, time.monotonic())
            if identity.magic != registers.IDENTITY_MAGIC:
                raise ToolError(
                    "not_ours",
                    f"{self.address} unit {self.unit} speaks Modbus but is no Toplovod controller "
                    f"(identity 0x{identity.magic:04x}); nothing was written to it",
                )
            self._identity = identity
        return self._identity

    def write_file_record(self, file: int, record: int, data: bytes) -> int:
        """Write file records; return 0, or the exception the controller answered with. May be repeated."""
        wanted = FileRecord(file_number=file, record_number=record, record_data=data)
        try:
            answer = self._client.write_file_record([wanted], device_id=self.unit)
        except (ConnectionException, ModbusIOException, OSError) as reason:
            raise self._unreachable(f"no Modbus answer within {self._timeout_s:g} s") from reason
        return int(getattr(answer, "exception_code", 0)) if answer.isError() else 0

    def read_file_record(self, file: int, record: int, count: int) -> bytes:
        """Return `count` words of a file; ToolError unreachable, device_refused, device_odd."""
        # pymodbus takes bytes here and sends words
        wanted = FileRecord(file_number=file, record_number=record, record_length=2 * count)
        try:
            answer: Any = self._client.read_file_record([wanted], device_id=self.unit)
        except (ConnectionException, ModbusIOException, OSError) as reason:
            raise self._unreachable(f"no Modbus answer within {self._timeout_s:g} s") from reason
        except ModbusException as reason:
            raise ToolError("device_odd", f"{self.address}: {reason}") from reason
        asked = f"reading file {file}, {record}..{record + count - 1}"
        if answer.isError():
            self._words(answer, 0, asked)
        data = b"".join(part.record_data for part in answer.records)
        if len(data) != 2 * count:
            raise ToolError("device_odd", f"{self.address}: {asked} brought {len(data)} bytes")
        return data

    def challenge(self, slot: int, challenge: bytes, address: int, count: int) -> bytes:
        """Return the block at an input address that answers a challenge; ToolError no_such_block."""
        try:
            answer = self._client.readwrite_registers(
                read_address=address,
                read_count=count,
                write_address=registers.CHALLENGE_MAILBOX,
                values=[slot, *words_of_bytes(challenge)],
                device_id=self.unit,
            )
        except (ConnectionException, ModbusIOException, OSError) as reason:
            raise self._unreachable(f"no Modbus answer within {self._timeout_s:g} s") from reason
        if answer.isError() and getattr(answer, "exception_code", 0) == 2:
            raise ToolError(
                "no_such_block",
                f"{self.address}: its firmware has nothing that answers a challenge at input {address}; "
                "nothing was changed. An event log came with a later release: toplovod update",
            )
        return bytes_of(self._words(answer, count, f"the challenge for input {address}"))

    def value(self, name: str) -> int:
        """Return one register's raw number."""
        row = registers.BY_NAME[name]
        words = self.read_words(row.space, row.address, registers.words_of(row))
        return int(registers.raw_of_words(row, words))

    def known_identity(self) -> Identity:
        """Return the identity of a controller whose map this release knows; ToolError unknown_map."""
        identity = self.identity()
        if identity.known_map and identity.profile not in registers.PROFILES:
            raise ToolError(
                "unknown_profile",
                f"{self.address}: {identity.profile} is not known to this release, only "
                f"{', '.join(registers.PROFILES)}; its identity alone is read, and it is never written. "
                "Install the release that matches the controller's firmware.",
            )
        if not identity.known_map:
            raise ToolError(
                "unknown_map",
                f"{self.address}: register map {identity.map_hash:08x} version {identity.map_version} is not "
                f"known to this release (own {registers.map_hash():08x}); only its identity is read, and "
                "it is never written. Install the release that matches the controller's firmware.",
            )
        return identity

    def points(self) -> dict[str, Point]:
        """Return every register of the controller's profile by name, in map order."""
        identity = self.known_identity()
        wanted = registers.BY_PROFILE[identity.profile]
        found: dict[str, Point] = {}
        for rows in blocks(wanted):
            first = rows[0]
            count = rows[-1].address + registers.words_of(rows[-1]) - first.address
            words = self.read_words(first.space, first.address, count)
            for row in rows:
                at = row.address - first.address
                raw = registers.raw_of_words(row, words[at : at + registers.words_of(row)])
                found[row.name] = Point(row, raw, engineering_value(row, raw))
        return {row.name: found[row.name] for row in wanted}

    def _last_counter(self, key: bytes, identity: Identity, slot: int) -> int:
        """Return the slot's counter since boot: from its receipt, or 0 where no order came yet.

        A receipt that does not verify gives 0 as well: with a wrong key the controller refuses anyway.
        """
        receipt = self._receipt(key, identity, slot)
        return 0 if receipt is None else int(receipt.counter)

    def _receipt(self, key: bytes, identity: Identity, slot: int) -> Any:
        """Return the slot's receipt of this boot, or None where it does not verify."""
        words = self.read_words(
            registers.INPUT,
            registers.RECEIPTS + registers.RECEIPT_WORDS * slot,
            registers.RECEIPT_WORDS,
        )
        try:
            return order_frame.decode_receipt(key, identity.device_id, identity.boot_nonce, bytes_of(words))
        except order_frame.BadFrame:
            return None

    def outcome(self, keys: KeyFile, doubt: OrderInDoubt) -> OrderResult | None:
        """Return what the receipt proves of an order whose answer never came; None where it is of another.

        Then the order did not arrive, or it did and what it did is over: a later order, or a restart.
        """
        identity = self.known_identity()
        receipt = self._receipt(keys.key_for(identity.device_id_hex), identity, keys.slot)
        if receipt is None or (receipt.counter, identity.boot_nonce) != (doubt.counter, doubt.boot_nonce):
            return None
        return _result(identity.profile, receipt)

    def order(
        self, keys: KeyFile, values: dict[str, float | None], lease_s: int, *, release: bool = False
    ) -> OrderResult:
        """Sign and send one order, and return what its receipt proves.

        values by name of a setpoint or a command, in engineering units (None in a release). Raises
        ToolError: unknown_map, unknown_profile, no_key, not_a_setpoint, out_of_limits, device_refused,
        receipt_not_genuine, order_in_doubt.
        """
        identity = self.known_identity()
        key = keys.key_for(identity.device_id_hex)
        pairs = tuple(self._pair(identity.profile, name, value, release) for name, value in values.items())
        counter = self._last_counter(key, identity, keys.slot) + 1
        identity = self.identity(fresh=True)  # the newest uptime gives the order its 60 s
        order = order_frame.Order(
            keys.slot, keys.epoch, counter, identity.uptime_s + ORDER_LIFE_S, 0 if release else lease_s, pairs
        )
        frame = order_frame.encode_order(
            key, identity.device_id, identity.map_hash, identity.boot_nonce, order
        )
        block = self._exchange(words_of_bytes(frame), keys.slot, counter, identity.boot_nonce)
        try:
            receipt = order_frame.decode_receipt(
                key, identity.device_id, identity.boot_nonce, bytes_of(block)
            )
        except order_frame.BadFrame as reason:
            raise ToolError(
                "receipt_not_genuine",
                f"{self.address}: the answer carries no genuine receipt, so nothing is proved. Somebody may "
                f"answer in the controller's place. See what holds now: toplovod read {self.address}",
                changed=True,
            ) from reason
        if receipt.counter != counter:
            raise ToolError(
                "receipt_of_another",
                f"{self.address}: the receipt is for order {receipt.counter}, not {counter}; another holder "
                f"of the slot {order_frame.SLOTS[keys.slot]} is at work. Nothing of this order is proved.",
                changed=True,
            )
        return _result(identity.profile, receipt)

    def _pair(
        self, profile: str, name: str, value: float | None, release: bool
    ) -> tuple[int, tuple[int, ...]]:
        rows = {r.name: r for r in registers.BY_PROFILE[profile] if r.access in ORDERED}
        row = rows.get(name)
        if row is None:
            raise ToolError(
                "not_a_setpoint",
                f"{name!r} is no setpoint of a {profile}; nothing was sent. It has: "
                + ", ".join(r.name for r in rows.values() if r.access == registers.SETPOINT),
                exit_status=WRONG_USE,
            )
        if release:
            return row.address, registers.words_of_raw(row, registers.NO_VALUE[row.type])
        if value is None:
            raise ToolError(
                "no_value", f"{name} needs a value: {name}=…; nothing was sent", exit_status=WRONG_USE
            )
        if not row.low <= value <= row.high:
            raise ToolError(
                "out_of_limits",
                f"{name} = {value:g} refused, allowed {row.low:g} to {row.high:g} {unit_of(name)}; "
                "nothing was sent",
                exit_status=FAILED,
            )
        return row.address, registers.words_of_raw(row, registers.to_raw(row, value))

    def _exchange(self, frame: Sequence[int], slot: int, counter: int, boot_nonce: bytes) -> tuple[int, ...]:
        """Write the frame and read the slot's receipt in one FC23. Never repeated. OrderInDoubt."""

        def in_doubt(what: str) -> OrderInDoubt:
            return OrderInDoubt(
                f"{self.address} unit {self.unit}: {what}; the order was sent and may have taken effect. It "
                f"was not sent again. See what holds now: toplovod read {self.address}",
                counter,
                boot_nonce,
            )

        try:
            answer = self._client.readwrite_registers(
                read_address=registers.RECEIPTS + registers.RECEIPT_WORDS * slot,
                read_count=registers.RECEIPT_WORDS,
                write_address=registers.ORDER_MAILBOX,
                values=list(frame),
                device_id=self.unit,
            )
        except (ConnectionException, ModbusIOException, OSError) as reason:
            raise in_doubt(f"no receipt within {self._timeout_s:g} s") from reason
        refused = getattr(answer, "exception_code", 0) if answer.isError() else 0
        if refused == NO_ANSWER_BEHIND:
            raise in_doubt(EXCEPTIONS[refused])
        if refused == 2:
            raise ToolError(
                "order_refused",
                f"{self.address}: the controller did not take the order for genuine (exception 02): wrong "
                "key or epoch, a used counter, or an order that came too late. Nothing was changed. "
                "Its refusal counters tell which: toplovod read",
            )
        return self._words(answer, registers.RECEIPT_WORDS, "the order")


def _result(profile: str, receipt: Any) -> OrderResult:
    detail = next(
        (r.name for r in registers.BY_PROFILE[profile]
         if r.space == registers.HOLDING and r.address == receipt.detail),
        None,
    )  # fmt: skip
    known = receipt.result < len(order_frame.RESULTS)
    return OrderResult(
        receipt.result == order_frame.ACCEPTED,
        order_frame.RESULTS[receipt.result] if known else str(receipt.result),
        detail,
        int(receipt.counter),
        int(receipt.lease_s),
        int(receipt.uptime_s),
    )


def blocks(rows: Sequence[registers.Register]) -> Iterator[list[registers.Register]]:
    """Yield the rows grouped as they can be read at once: one space, no gap, at most 125 words."""
    group: list[registers.Register] = []
    for row in sorted(rows, key=lambda r: (r.space, r.address)):
        if group:
            last = group[-1]
            touches = (
                row.space == last.space
                and row.address == last.address + registers.words_of(last)
                and row.address + registers.words_of(row) - group[0].address <= MOST_WORDS
            )
            if not touches:
                yield group
                group = []
        group.append(row)
    if group:
        yield group


def engineering_value(row: registers.Register, raw: int) -> float | int | None:
    """Return the value in the unit of the name, rid of the binary dust of the scale."""
    value = registers.from_raw(row, raw)
    return round(value, FLOAT_DIGITS) if isinstance(value, float) else value


def bytes_of(words: Sequence[int]) -> bytes:
    """Return the words as bytes, big-endian."""
    return b"".join(word.to_bytes(2, "big") for word in words)


def words_of_bytes(data: bytes) -> tuple[int, ...]:
    """Return the bytes as words, big-endian."""
    return tuple(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
