"""The default target: one controller of a street, in lockstep, with its plant.

Everything is done by the Bench; this module only gives its hands the names that a board's have too.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable
from typing import Any

import numpy as np

from firmware.substation import registers

from .board_io import CURRENT_CHANNELS, PT1000_CHANNELS, BoardInputs
from .electronics import DRIVEN, adc_counts
from .errors import BenchError, ConditionNotMet, WrongUse
from .modbus import ModbusTcp, Noted, not_noted
from .modbus_rtu import ModbusRtu
from .relay import Relay
from .slow_wire import Conditions, SlowWire
from .station import SUBSTATION, Bench
from .target import NotOnThisTarget, forwards

NAME = "the emulated VM"
VM_CAPABILITIES = frozenset(
    {"clock.virtual", "power.prepare", "power.cut", "power.off", "power.brownout", "console.read",
     "bus.tcp", "bus.rtu", "bus.proxy", "bus.slow", "bus.raw", "bus.sniff", "io.sensors", "io.button",
     "io.relays", "orders", "plant", "entropy.seeded", "heap.measured"}
)  # fmt: skip
RAW_TIMEOUT_S = 10.0
RELAYS = ("open", "close", "pump")


def input_count(channel: int, *, ohm: float | None = None, ma: float | None = None) -> int:
    """Return what a converter of the emulated board reads of that resistance or current. WrongUse."""
    inputs = BoardInputs.unconnected(1)
    if ohm is not None:
        if not 0 <= channel < PT1000_CHANNELS or not ohm >= 0:
            raise WrongUse(
                f"channel {channel}, {ohm} ohm: resistances from 0 to inf go on channels 0 to "
                f"{PT1000_CHANNELS - 1}; nothing was changed"
            )
        inputs.resistance_ohm[0, channel] = np.nan if math.isinf(ohm) else ohm
    if ma is not None:
        if not PT1000_CHANNELS <= channel < DRIVEN or not 0 <= ma <= 25:
            raise WrongUse(
                f"channel {channel}, {ma} mA: currents from 0 to 25 mA go on channels {PT1000_CHANNELS} to "
                f"{PT1000_CHANNELS + CURRENT_CHANNELS - 1}; nothing was changed"
            )
        inputs.current_ma[0, channel - PT1000_CHANNELS] = ma
    return int(adc_counts(inputs)[0, channel])


class VmTarget:
    """The first house of `bench`, and the hands around it; the bench is closed by its owner."""

    name = NAME
    capabilities = VM_CAPABILITIES

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        house = bench.town.substations.id[0]
        (self.controller,) = bench.prepare([(house, SUBSTATION, {})])
        self.clock = VirtualClock(bench)
        self.power = FleetPower(self)
        self.console = LogConsole(self)
        self.bus = VmBus(self)
        self.io = PlantIO(bench)

    def describe(self) -> dict[str, Any]:
        """As a record has it; asks the controller, which has to be under power."""
        device = self.controller.device
        return {
            "kind": "emulated VM",
            "name": device.name,
            "board": "emulated",
            "device_id": device.device_id.hex(),
            "firmware": f"{self.controller.read('firmware_hash_code'):08x}",
            "map": f"{registers.map_hash():08x}",
        }

    def begin(self, run_id: str) -> None:
        self.console.run_id = run_id
        self.power.on()

    def close(self) -> None:
        self.bus.close()


class VirtualClock:
    mode = "virtual"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def now_s(self) -> float:
        return self._bench.now_s

    def advance(self, seconds: float) -> None:
        self._bench.run_for(forwards(seconds))

    def run_until(self, condition: Callable[[], bool], within_s: float) -> None:
        self._bench.run_until(condition, within_s)


class FleetPower:
    def __init__(self, target: VmTarget) -> None:
        self._target = target
        self._fleet = target.bench.fleet
        self._begun = False

    def prepare(self) -> None:
        if self._fleet.powered(0):
            raise BenchError(f"{NAME}: it is under power; nothing was changed. Call cut() or off() first")
        self._fleet.prepare()

    def on(self) -> None:
        if not self._begun:
            self._target.bench.clock.power_on()
            self._begun = True
        elif not self._fleet.powered(0):
            self._target.bench.power(self._target.controller)

    def cut(self) -> None:
        self._target.bench.cut(self._target.controller)

    def off(self) -> None:
        self._target.controller.disconnect()
        self._fleet.off([0])

    def brownout(self, ms: int, volts: float = 0.0) -> None:
        if volts:
            raise NotOnThisTarget(NAME, "power.voltage")
        gone_s = forwards(ms / 1000.0)
        self.cut()
        self._target.clock.advance(gone_s)
        self.on()


class LogConsole:
    """The console of a VM is a file, and its program leaves no REPL."""

    def __init__(self, target: VmTarget) -> None:
        self._path = target.controller.device.board.console
        self._clock = target.clock
        self._seen = 0
        self.run_id = ""

    def read_until(self, text: str, within_s: float) -> str:
        def rest() -> str:
            if not self._path.exists():
                return ""
            return self._path.read_bytes()[self._seen :].decode(errors="replace")

        try:
            self._clock.run_until(lambda: text in rest(), within_s)
        except ConditionNotMet as error:
            raise ConditionNotMet(
                f"no {text!r} on the console: {error}. It said: {rest()[-300:]!r}"
            ) from None
        said = rest()
        said = said[: said.index(text) + len(text)]
        self._seen += len(said.encode())
        return said

    def exec(self, program: str) -> str:
        raise NotOnThisTarget(NAME, "console.exec")

    def restart(self) -> None:
        raise NotOnThisTarget(NAME, "console.exec")


class PtyLine:
    """The client's end of an emulated serial line."""

    def __init__(self, path: str) -> None:
        self._tty = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def read(self) -> bytes:
        try:
            return os.read(self._tty, 1024)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        os.write(self._tty, data)

    def close(self) -> None:
        os.close(self._tty)


class TcpBus:
    """The ways to a controller over TCP, which are alike on every target."""

    def __init__(self, host: str, port: int, unit: int = 1, noted: Noted = not_noted) -> None:
        self._host, self._port, self._unit, self._noted = host, port, unit, noted
        self._open: list[Any] = []

    def _kept(self, made: Any) -> Any:
        self._open.append(made)
        return made

    def tcp(self) -> ModbusTcp:
        made: ModbusTcp = self._kept(ModbusTcp(self._host, self._port, self._unit, noted=self._noted))
        return made

    def raw(self) -> socket.socket:
        made: socket.socket = self._kept(
            socket.create_connection((self._host, self._port), timeout=RAW_TIMEOUT_S)
        )
        return made

    def proxy(self) -> Relay:
        made: Relay = self._kept(Relay(self._host, self._port))
        return made

    def sniff(self) -> Relay:
        made: Relay = self._kept(Relay(self._host, self._port, sniff=True))
        return made

    def close(self) -> None:
        while self._open:
            self._open.pop().close()


class VmBus(TcpBus):
    def __init__(self, target: VmTarget) -> None:
        device = target.controller.device
        super().__init__(device.host, device.port, noted=target.bench.clock.note_bus)
        self._target = target

    def slow(self, conditions: Conditions, seed: int = 1) -> SlowWire:
        clock = self._target.bench.clock
        made: SlowWire = self._kept(SlowWire(clock, self._target.controller.device, conditions, seed))
        return made

    def rtu(self) -> ModbusRtu:
        lines = self._target.bench.fleet.serial_lines
        if not lines:
            raise NotOnThisTarget(NAME, "bus.rtu", 'Mark the test with needs("bus.rtu"): a line is laid then')
        line = PtyLine(lines[0].path)
        made: ModbusRtu = self._kept(ModbusRtu(line, self._target.clock.run_until, noted=self._noted))
        return made


class PlantIO:
    """The plant's terminals, with what a test puts there instead."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def _set(self, channel: int, count: int) -> None:
        self._bench.fleet.own_counts[(0, channel)] = count

    def set_resistance(self, channel: int, ohm: float) -> None:
        self._set(channel, input_count(channel, ohm=ohm))

    def set_current(self, channel: int, ma: float) -> None:
        self._set(channel, input_count(channel, ma=ma))

    def press_button(self, down: bool = True) -> None:
        self._bench.press_button(self._bench.controllers[0], down)

    def relays(self) -> frozenset[str]:
        report = self._bench.fleet.reports[0]
        return frozenset(name for name in RELAYS if report[f"{name}_ms"])

    def restore(self) -> None:
        self._bench.fleet.own_counts.clear()
        self.press_button(False)
