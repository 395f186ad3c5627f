"""One Modbus connection: a queue with one request in flight, and the only place that knows pymodbus.

A line is a TCP connection, a serial-over-TCP gateway or a serial port; several units may share it.
It refuses to retry, to reconnect by itself and to have two requests under way: who waits longest of the
most urgent goes next, and every failure is told at once and only once. Deadlines here are real seconds,
also in lockstep, because a socket knows no virtual time.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.file_message import FileRecord, ReadFileRecordRequest, ReadFileRecordResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
)
from pymodbus.transport import CommParams, CommType

from firmware.substation import registers

from .character import PARITIES, stop_bits

# pymodbus logs every dead device as an error; this module reports each failure to its caller instead
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

WRITE = 0  # an order, and the reading that proves it
FACEPLATE = 1
POLL = 2

TIMEOUTS_UNTIL_RECONNECT = 2  # a peer that vanished without a word leaves the socket open
GATEWAY_CODES = (0x0A, 0x0B)  # the gateway answers, the device behind it does not


class LineError(Exception):
    """A request failed. `sent` says whether the device may have seen it."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class LineDown(LineError):
    """No connection could be made, or it broke."""


class LineTimeout(LineError):
    """No answer within the deadline."""


class LineGarbled(LineError):
    """An answer that does not fit the request; the connection was dropped."""


class LineRefused(LineError):
    """The device answered with a Modbus exception."""

    def __init__(self, message: str, exception_code: int, transcript: bytes) -> None:
        super().__init__(message, sent=True)
        self.exception_code = exception_code
        self.transcript = transcript


@dataclass(frozen=True)
class Answer:
    """Register words, and the request and answer PDUs as they went over the bus."""

    words: tuple[int, ...]
    transcript: bytes


class _Gate:
    """Lets one in at a time, the lowest priority number first, then whoever came first."""

    def __init__(self) -> None:
        self._held = False
        self._sequence = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    async def enter(self, priority: int) -> None:
        if not self._held:
            self._held = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._waiting, (priority, self._sequence, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._held = False


class Line:
    """A connection to one address, shared by the units behind it."""

    def __init__(
        self,
        transport: str,
        host: str,
        port: int,
        *,
        baudrate: int = 19200,
        parity: str = "even",
        answer_s: float = 3.0,
        connect_s: float = 3.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.transport = transport
        self.host = host
        self.port = port
        self._baudrate = baudrate
        self._parity = parity
        self._answer_s = answer_s
        self._connect_s = connect_s
        self._tls = tls
        self._gate = _Gate()
        self._client: ModbusBaseClient | None = None
        self._timeouts = 0
        self.generation = 0
        """Rises with every new connection: what was known about the device may be old."""

    def __str__(self) -> str:
        return self.host if self.transport == "rtu" else f"{self.host}:{self.port}"

    @property
    def connected(self) -> bool:
        """Say whether a connection is open, as far as this end knows."""
        client = self._client
        # a transport that saw the other end close says so before pymodbus hears of it
        return client is not None and bool(client.connected) and not client.ctx.transport.is_closing()

    @property
    def socket(self) -> socket.socket | None:
        """Return the open TCP socket, or None; for tests and for keepalive settings."""
        if self._client is None or not self.connected:
            return None
        found: socket.socket | None = self._client.ctx.transport.get_extra_info("socket")
        return found

    async def connect(self, priority: int = POLL) -> None:
        """Open the connection unless it is open. Raises LineDown."""
        await self._gate.enter(priority)
        try:
            if not self.connected:
                await self._open()
        finally:
            self._gate.leave()

    async def read(self, unit: int, space: str, address: int, count: int, priority: int = POLL) -> Answer:
        """Read registers by FC4 (input) or FC3 (holding). Raises LineError."""
        kind = ReadInputRegistersRequest if space == registers.INPUT else ReadHoldingRegistersRequest
        return await self._transact(kind(address=address, count=count, dev_id=unit), count, priority)

    async def read_file(self, unit: int, file: int, first: int, count: int, priority: int = POLL) -> Answer:
        """Read registers of a file by FC20. Raises LineError."""
        # pymodbus takes bytes here and sends words
        wanted = FileRecord(file_number=file, record_number=first, record_length=2 * count)
        return await self._transact(ReadFileRecordRequest([wanted], dev_id=unit), count, priority)

    async def write_and_read(
        self,
        unit: int,
        write_address: int,
        words: Sequence[int],
        read_address: int,
        read_count: int,
        priority: int = WRITE,
    ) -> Answer:
        """Write and read in one FC23 transaction. Raises LineError."""
        request = ReadWriteMultipleRegistersRequest(
            read_address=read_address,
            read_count=read_count,
            write_address=write_address,
            write_registers=list(words),
            dev_id=unit,
        )
        return await self._transact(request, read_count, priority)

    def close(self) -> None:
        """Drop the connection; whoever waits for an answer is told that the line is down."""
        client, self._client = self._client, None
        self._timeouts = 0
        if client is not None:
            _tell_waiter(client)
            client.close()

    # -- inside ------------------------------------------------------------------------------------
    async def _open(self) -> None:
        self.close()
        client = self._new_client()
        if not await client.connect():
            client.close()
            raise LineDown(f"{self} cannot be reached", sent=False)
        self._client = client
        self.generation += 1
        found = self.socket
        if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
            # Nagle's algorithm would hold a request back for the delayed acknowledgement, up to 40 ms
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _new_client(self) -> ModbusBaseClient:
        holder: list[ModbusBaseClient] = []

        def connection_changed(connected: bool) -> None:
            if not connected and holder:
                _tell_waiter(holder[0])

        client: ModbusBaseClient
        if self.transport == "rtu":
            client = AsyncModbusSerialClient(
                self.host,
                baudrate=self._baudrate,
                parity=PARITIES[self._parity],
                stopbits=stop_bits(self._parity),
                retries=0,
                reconnect_delay=0,
                timeout=self._answer_s,
                trace_connect=connection_changed,
            )
        elif self._tls is not None:
            client = _SecureClient(
                self.host, self.port, self._tls, self._connect_s, trace_connect=connection_changed
            )
        else:
            client = AsyncModbusTcpClient(
                self.host,
                port=self.port,
                framer=FramerType.SOCKET if self.transport == "tcp" else FramerType.RTU,
                retries=0,
                reconnect_delay=0,
                timeout=self._connect_s,
                trace_connect=connection_changed,
            )
        holder.append(client)
        return client

    async def _transact(self, request: ModbusPDU, count: int, priority: int) -> Answer:
        await self._gate.enter(priority)
        try:
            client = self._client
            if client is None or not self.connected:
                raise LineDown(f"{self} is not connected", sent=False)
            client.ctx.comm_params.timeout_connect = self._answer_s
            try:
                response = await client.ctx.execute(False, request)
            except ConnectionException as error:
                self.close()
                raise LineDown(f"{self} closed the connection before it answered", sent=True) from error
            except ModbusException as error:
                self._timeouts += 1
                # without a transaction number a late answer could be taken for the next one
                if self.transport != "tcp" or self._timeouts >= TIMEOUTS_UNTIL_RECONNECT:
                    self.close()
                raise LineTimeout(
                    f"no answer from {self} unit {request.dev_id} within {self._answer_s:g} s", sent=True
                ) from error
            except BaseException:  # cancelled with a request under way: its answer must find nobody
                self.close()
                raise
            self._timeouts = 0
        finally:
            self._gate.leave()
        return self._answer(request, response, count)

    def _answer(self, request: ModbusPDU, response: ModbusPDU, count: int) -> Answer:
        transcript = _pdu_bytes(request) + _pdu_bytes(response)
        if response.isError():
            code = response.exception_code
            if code in GATEWAY_CODES:
                raise LineTimeout(
                    f"the gateway {self} got no answer from unit {request.dev_id} (exception {code})",
                    sent=True,
                )
            raise LineRefused(
                f"{self} unit {request.dev_id} refused function {request.function_code}: exception {code}",
                code,
                transcript,
            )
        words = _words_of(response)
        if len(words) != count or response.function_code != request.function_code:
            self.close()
            raise LineGarbled(
                f"{self} unit {request.dev_id} answered {len(words)} words to a request for {count}",
                sent=True,
            )
        return Answer(words, transcript)


class _SecureClient(AsyncModbusTcpClient):
    """Modbus TCP behind TLS, framed by its header: pymodbus' own takes one record for one answer."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        connect_s: float,
        *,
        trace_connect: Callable[[bool], None],
    ) -> None:
        self.comm_params = CommParams(
            comm_type=CommType.TLS,
            comm_name="tls",
            host=host,
            port=port,
            sslctx=tls,
            reconnect_delay=0,
            timeout_connect=connect_s,
        )
        super().__init__("", framer=FramerType.SOCKET, retries=0, trace_connect=trace_connect)


def _words_of(response: ModbusPDU) -> tuple[int, ...]:
    if not isinstance(response, ReadFileRecordResponse):
        return tuple(response.registers)
    data = b"".join(part.record_data for part in response.records)
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def _pdu_bytes(pdu: ModbusPDU) -> bytes:
    body: bytes = pdu.encode()
    return bytes((pdu.dev_id, pdu.function_code)) + body


def _tell_waiter(client: ModbusBaseClient) -> None:
    future = client.ctx.response_future
    if not future.done():
        future.set_exception(ConnectionException("connection closed"))
        future.exception()  # marked as seen: nobody may be waiting for it
