"""A real Modbus TCP server (pymodbus') that serves our register map from memory, for tests of the field.

It refuses nothing and authenticates nothing: what only the firmware can answer (orders, receipts,
status blocks) is tested against emulated controllers instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from firmware.substation import registers

from ..site import Site

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

HOLDING_FROM = 100
HOLDING_TO = 1200


class Controller:
    """One device: its registers, what was asked of it, and ways to make it misbehave."""

    def __init__(self, name: str, profile: str = registers.SUBSTATION, unit: int = 1) -> None:
        self.name = name
        self.profile = profile
        self.unit = unit
        self.input = [0] * 512
        self.holding = [0] * (HOLDING_TO - HOLDING_FROM)
        self.device_id = hashlib.sha256(name.encode()).digest()[:8]
        self.requests: list[tuple[int, int, int]] = []
        """(function, address, count) of every access, in order."""
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.exception: ExcCodes | None = None
        self.silent = False
        self.boot(1)
        for row in registers.BY_PROFILE[profile]:
            if row.name not in {r.name for r in registers.IDENTITY}:
                self.put(row.name, None if row.access == registers.SETPOINT else max(row.low, 0))

    def boot(self, count: int, uptime_s: int = 100) -> None:
        """Fill the identity block as after the given boot."""
        high = int.from_bytes(self.device_id[:4], "big")
        low = int.from_bytes(self.device_id[4:], "big")
        number = registers.PROFILES.index(self.profile) + 1
        for name, value in (
            ("identity_magic_code", registers.IDENTITY_MAGIC),
            ("map_version_number", registers.MAP_VERSION),
            ("map_hash_code", registers.map_hash()),
            ("device_id_high_code", high),
            ("device_id_low_code", low),
            ("profile_number", number),
            ("boot_count", count),
            ("boot_random_high_code", 0xA0A0A0A0 + count),
            ("boot_random_low_code", 0xB0B0B0B0),
            ("uptime_s", uptime_s),
            ("supervisor_key_epoch_number", 1),
        ):
            self.put(name, value)

    def put(self, name: str, value: float | None) -> None:
        """Set a register by name to an engineering value."""
        row = registers.BY_NAME[name]
        words = registers.words_of_raw(row, registers.to_raw(row, value))
        store, start = (
            (self.input, row.address)
            if row.space == registers.INPUT
            else (self.holding, row.address - HOLDING_FROM)
        )
        store[start : start + len(words)] = words

    def sim_device(self) -> SimDevice:
        """Return pymodbus' description of this device."""

        async def action(
            function: int,
            start: int,
            address: int,
            count: int,
            current: list[int],
            values: list[int] | list[bool] | None,
        ) -> ExcCodes | None:
            self.requests.append((function, address, count))
            if self.silent:
                await asyncio.Event().wait()
            if self.before_answer is not None:
                await self.before_answer()
            if self.exception is not None:
                return self.exception
            source = self.input if start == 0 else self.holding
            current[: len(source)] = source
            return None

        bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        return SimDevice(
            self.unit,
            simdata=(
                bits,
                [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                [SimData(HOLDING_FROM, values=list(self.holding), datatype=DataType.REGISTERS)],
                [SimData(0, values=list(self.input), datatype=DataType.REGISTERS)],
            ),
            action=action,
        )


class Server:
    """A listening address with one or more controllers behind it."""

    def __init__(self, *controllers: Controller) -> None:
        self.controllers = controllers
        self.port = 0
        self._server: ModbusTcpServer | None = None

    async def start(self) -> int:
        """Listen on the port of the last time, or on one chosen by the system; return it."""
        self._server = ModbusTcpServer(
            [controller.sim_device() for controller in self.controllers],
            address=("127.0.0.1", self.port),
            ignore_missing_devices=True,
        )
        await self._server.serve_forever(background=True)
        listening: Any = self._server.transport
        self.port = listening.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Stop listening and drop every connection, as a power cut does."""
        if self._server is not None:
            await self._server.shutdown()
            self._server = None


def write_site(folder: Path, servers: list[Server], **poll: float) -> Site:
    """Write and load a site file with all controllers behind these servers."""
    lines = ['[site]\nname = "Test town"\n\n[[area]]\nid = "north"\n']
    if poll:
        lines.append("[poll]\n" + "\n".join(f"{key} = {value}" for key, value in poll.items()) + "\n")
    for server in servers:
        for controller in server.controllers:
            table = "substation" if controller.profile == registers.SUBSTATION else "pump_station"
            lines.append(
                f'[[{table}]]\nid = "{controller.name}"\naddress = "127.0.0.1:{server.port}"\n'
                f'unit = {controller.unit}\narea = "north"\n'
            )
    path = folder / "site.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return Site.load(path)
