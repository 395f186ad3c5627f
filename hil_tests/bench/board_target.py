"""A controller that lives in the world's time: a board in a laboratory, or the emulated one on its pty.

What can be done to it follows from what the bench file says is wired. It refuses to run a test before it
knows who is there: a board that is missing, held by another, silent, or runs something else is told at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO as FILE
from typing import Any

from firmware.substation import order_frame, registers

from .controller import Controller
from .errors import BenchError, ConditionNotMet, ModbusException, ModbusSilent, WrongUse
from .fleet import Board
from .modbus import ModbusTcp
from .modbus_rtu import ModbusRtu
from .provisioning import KEY_EPOCH, KEY_FILE_FORMAT, Device
from .serial_console import SerialStream, Stream, StreamConsole
from .slow_wire import Conditions, SlowWire
from .target import BoardMissing, BoardSilent, NotOnThisTarget, PortInUse, WrongFirmware, forwards
from .vm_target import TcpBus

MODBUS_PORT = 502
ANSWERS_WITHIN_S = 90.0  # from power to its first answer [estimate: 10 s on a board, more beside other work]
REFUSES_WITHIN_S = 5.0  # the same where nobody has just switched it on
LOOK_S = 0.1
COMMAND_S = 30.0
CHIPS = ("rp2", "esp32", "pyboard")  # sys.platform of the ports we build for; a VM under Unix says linux

# Who is there: the platform, the identity as the firmware takes it, the settings, whether there is a program.
ASK = """
import json, os, sys, machine
def _read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}
site = _read('/site.json')
print(json.dumps({
    'platform': sys.platform, 'machine': getattr(sys.implementation, '_machine', ''),
    'device_id': site.get('device_id') or (machine.unique_id() + bytes(8))[:8].hex(),
    'name': site.get('name', ''), 'board': site.get('board', ''), 'address': site.get('modbus_address', ''),
    'port': site.get('modbus_port', 502), 'unit': site.get('modbus_unit', 1),
    'profile': site.get('profile', ''), 'main': 'main.py' in os.listdir('/')}))
"""


@dataclass(frozen=True)
class Wiring:
    """What the bench file says of one board. Empty text and None: not wired, or not known."""

    name: str = ""
    board: str = ""
    serial: str = ""
    modbus: str = ""  # host or host:port
    unit: int = 1
    rtu: str = ""
    rtu_baud: int = 19_200
    keys: Path | None = None
    firmware: str = ""  # first digits of the bundle's SHA-256
    power_on: str = ""  # a command line
    power_off: str = ""
    labgrid_power: str = ""  # a target of the same file, read as a labgrid environment
    labgrid_console: str = ""
    file: Path | None = None  # the bench file itself

    @property
    def label(self) -> str:
        return self.name or self.place

    @property
    def place(self) -> str:
        """Where it is, whatever it is called; empty where the bench brings it along."""
        if self.modbus or self.serial:
            return self.modbus or self.serial
        return f"{self.file}: {self.labgrid_console}" if self.labgrid_console else ""

    @property
    def capabilities(self) -> frozenset[str]:
        """What follows from the wiring alone, before anybody is asked."""
        found = {"clock.wall"}
        if self.modbus or self.serial:
            found |= {"bus.tcp", "bus.proxy", "bus.raw", "bus.sniff"}
        if self.serial or self.labgrid_console:
            found |= {"console.read", "console.exec"}
        if self.rtu:
            found.add("bus.rtu")
        if self.keys is not None:
            found.add("orders")
        if self.power_on or self.labgrid_power:
            found |= {"power.prepare", "power.cut", "power.off", "power.brownout"}
        return frozenset(found)


@dataclass(frozen=True)
class BoardDevice(Device):
    """A controller that the bench has not provisioned; `keys` holds the slots of its key file."""

    at: str = ""
    keys: dict[int, tuple[int, bytes]] | None = None

    @property
    def host(self) -> str:
        return self.at

    @property
    def key_epoch(self) -> int:
        return next(iter((self.keys or {}).values()), (KEY_EPOCH, b""))[0]

    def slot_key(self, slot: int, epoch: int = KEY_EPOCH) -> bytes:
        own = (self.keys or {}).get(slot)
        if own is None:
            raise NotOnThisTarget(
                self.name, "orders", f"Name a key file of slot {order_frame.SLOTS[slot]} under `keys`"
            )
        return own[1]


class WallClock:
    mode = "wall"

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def now_s(self) -> float:
        return time.monotonic() - self._begun

    def advance(self, seconds: float) -> None:
        time.sleep(forwards(seconds))

    def run_until(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                raise ConditionNotMet(f"still not so after {within_s:g} s")
            time.sleep(LOOK_S)


class Supply:
    """Switches the supply of one board. `on` and `off` return when it is done; `cut` may be harder."""

    def on(self) -> None:
        raise NotImplementedError

    def off(self) -> None:
        raise NotImplementedError

    def cut(self) -> None:
        self.off()

    def close(self) -> None:
        pass


class CommandSupply(Supply):
    """By two command lines, of a USB hub, a relay card or a socket strip; no shell reads them."""

    def __init__(self, name: str, on: str, off: str) -> None:
        self._name, self._on, self._off = name, on, off

    def on(self) -> None:
        self._run(self._on)

    def off(self) -> None:
        self._run(self._off)

    def _run(self, line: str) -> None:
        try:
            done = subprocess.run(
                shlex.split(line), capture_output=True, text=True, check=False, timeout=COMMAND_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchError(
                f"{self._name}: `{line}` failed ({error}); correct it in the bench file"
            ) from None
        if done.returncode:
            raise BenchError(
                f"{self._name}: `{line}` ended with {done.returncode}: {done.stderr.strip()[-300:]}. "
                "Try it by hand, then correct it in the bench file"
            )


class BoardPower:
    def __init__(self, target: BoardTarget, supply: Supply | None) -> None:
        self._target = target
        self._supply = supply
        self._powered: bool | None = None  # unknown until the first word

    def _there(self, capability: str) -> Supply:
        if self._supply is None:
            raise NotOnThisTarget(self._target.name, capability)
        return self._supply

    def prepare(self) -> None:
        supply = self._there("power.prepare")
        if self._powered:
            raise BenchError(
                f"{self._target.name}: it is under power; nothing was changed. Call cut() or off() first"
            )
        supply.off()
        self._powered = False

    def on(self) -> None:
        if self._supply is None or self._powered:
            return
        self._supply.on()
        self._powered = True
        self._target.wait_until_it_answers(ANSWERS_WITHIN_S)

    def cut(self) -> None:
        self._gone(self._there("power.cut").cut)

    def off(self) -> None:
        self._gone(self._there("power.off").off)

    def _gone(self, switch: Callable[[], None]) -> None:
        self._target.let_go()
        switch()
        self._powered = False

    def brownout(self, ms: int, volts: float = 0.0) -> None:
        if volts:
            raise NotOnThisTarget(self._target.name, "power.voltage")
        self._there("power.brownout")
        gone_s = forwards(ms / 1000.0)
        self.cut()
        self._target.clock.advance(gone_s)
        self.on()

    def close(self) -> None:
        if self._supply is not None:
            self._supply.close()


class NoConsole:
    def __init__(self, name: str) -> None:
        self._name = name
        self.run_id = ""

    def begin(self, run_id: str) -> None:
        self.run_id = run_id

    def read_until(self, text: str, within_s: float) -> str:
        raise NotOnThisTarget(self._name, "console.read")

    def exec(self, program: str) -> str:
        raise NotOnThisTarget(self._name, "console.exec")

    def restart(self) -> None:
        raise NotOnThisTarget(self._name, "console.exec")

    def close(self) -> None:
        pass


class NoIO:
    """Terminals that the bench has no hand on: what is wired there stays."""

    def __init__(self, name: str) -> None:
        self._name = name

    def set_resistance(self, channel: int, ohm: float) -> None:
        raise NotOnThisTarget(self._name, "io.sensors")

    def set_current(self, channel: int, ma: float) -> None:
        raise NotOnThisTarget(self._name, "io.sensors")

    def press_button(self, down: bool = True) -> None:
        raise NotOnThisTarget(self._name, "io.button")

    def relays(self) -> frozenset[str]:
        raise NotOnThisTarget(self._name, "io.relays")

    def restore(self) -> None:
        pass


class BoardBus(TcpBus):
    def __init__(self, target: BoardTarget, wiring: Wiring, host: str, port: int, unit: int) -> None:
        super().__init__(host, port, unit)
        self._target = target
        self._wiring = wiring

    def slow(self, conditions: Conditions, seed: int = 1) -> SlowWire:
        raise NotOnThisTarget(self._target.name, "bus.slow")

    def rtu(self) -> ModbusRtu:
        if not self._wiring.rtu:
            raise NotOnThisTarget(self._target.name, "bus.rtu")
        line = SerialStream(self._wiring.rtu, self._wiring.rtu_baud, "E")
        made: ModbusRtu = self._kept(ModbusRtu(line, self._target.clock.run_until, self._unit))
        return made


class Hold:
    """One bench for one board: a lock of the operating system, gone with the process. PortInUse."""

    def __init__(self, label: str) -> None:
        name = "".join(c if c.isalnum() else "-" for c in label)
        path = Path(tempfile.gettempdir()) / f"toplovod-bench-{name}.lock"
        # to read is enough for a lock, so that it does not matter which user tested here first
        self._file: FILE[bytes] = os.fdopen(os.open(path, os.O_RDONLY | _created(path), 0o644), "rb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise PortInUse(
                f"{label}: another bench on this machine uses it; no test was run. Wait for its end, or run "
                f"on another board (`fuser {path}` names it)"
            ) from None

    def close(self) -> None:
        self._file.close()


def _created(path: Path) -> int:
    # a file of another user that is opened with O_CREAT is refused where everybody may write (sysctl fs)
    return 0 if path.exists() else os.O_CREAT


class BoardTarget:
    """Opened: it has answered, and is who the bench file says it is.

    supply, console_opens and io stand in for those of the wiring, for a target that brings its own.
    """

    def __init__(self, wiring: Wiring, *, supply: Supply | None = None,
                 console_opens: Callable[[], Stream] | None = None, io: Any = None,
                 more: frozenset[str] = frozenset(), root_key: bytes = b"") -> None:  # fmt: skip
        self.wiring = wiring
        self.name = wiring.label
        self.capabilities = wiring.capabilities | more
        self.clock = WallClock()
        self.io = io or NoIO(self.name)
        self._root_key = root_key
        self._told: dict[str, Any] = {}
        self._at: tuple[str, int, int] | None = None
        self.controller: Any = None  # known once it has answered
        self._holds = [Hold(wiring.place)] if wiring.place else []
        try:
            self._wire(supply, console_opens)
            self._open()
        except BaseException:
            self.close()
            raise

    def _wire(self, supply: Supply | None, console_opens: Callable[[], Stream] | None) -> None:
        wiring = self.wiring
        self.bus: Any = None
        self.power: Any = None
        self.console: Any = NoConsole(self.name)
        if supply is None and wiring.power_on:
            supply = CommandSupply(self.name, wiring.power_on, wiring.power_off)
        if wiring.labgrid_power or wiring.labgrid_console:
            from . import lab

            assert wiring.file is not None
            if wiring.labgrid_power:
                supply = lab.LabSupply(wiring.file, wiring.labgrid_power)
            if wiring.labgrid_console:
                console_opens = lab.console_opener(wiring.file, wiring.labgrid_console)
        if console_opens is None and wiring.serial:
            console_opens = lambda: SerialStream(wiring.serial)  # noqa: E731
        self.power = BoardPower(self, supply)
        if console_opens is not None:
            self.console = StreamConsole(
                self.name, console_opens, lambda: self.wait_until_it_answers(ANSWERS_WITHIN_S)
            )
        if wiring.modbus:
            host, port = split_address(wiring.modbus)
            self._at = (host, port, wiring.unit)

    def _open(self) -> None:
        self.power.on()
        if isinstance(self.console, StreamConsole):
            try:
                self._told = json.loads(self.console.exec(ASK).strip().splitlines()[-1])
            except (ValueError, IndexError):
                raise BoardSilent(
                    f"{self.name}: its REPL gave no sense; no test was run. Switch it off and on"
                ) from None
            if not self._told["main"]:
                raise WrongFirmware(
                    f"{self.name}: MicroPython without our firmware; no test was run. First: toplovod flash "
                    f"{self.wiring.serial or 'PORT'}"
                )
            if self._at is None:
                if self._told["address"] in ("", "0.0.0.0"):
                    raise WrongUse(
                        f"{self.name}: its site.json fixes no modbus_address; no test was run. Give `modbus: "
                        "HOST:PORT` in the bench file"
                    )
                self._at = (self._told["address"], self._told["port"], self._told["unit"])
            self.console.reset()
        host, port, unit = self._address()
        self.wait_until_it_answers(ANSWERS_WITHIN_S if self._told else REFUSES_WITHIN_S)
        self.bus = BoardBus(self, self.wiring, host, port, unit)
        device = Device(
            Board(self.name, b"", Path(), Path()),
            self._told.get("profile") or registers.SUBSTATION,
            port,
            b"",
            unit,
        )
        probe = Controller(_device(device, host, None), 0)
        try:
            identity = probe.identity()
            on_console = self._told.get("device_id", "")
            if on_console and on_console != identity.device_id.hex():
                raise WrongUse(
                    f"{self.name}: two controllers; no test was run. {on_console} is on the console, "
                    f"{identity.device_id.hex()} answers at {host}:{port} unit {unit}. Correct `modbus`, "
                    "`unit` or the console's port in the bench file"
                )
            if identity.map_hash != registers.map_hash():
                raise WrongFirmware(
                    f"{self.name}: its register map {identity.map_hash:08x} is not this bench's "
                    f"{registers.map_hash():08x}; no test was run. Flash this firmware (toplovod flash, or "
                    "toplovod update), or run the bench of its release"
                )
            self._firmware = f"{probe.read('firmware_hash_code'):08x}"
            if self.wiring.place:  # by whatever other way somebody came to it
                self._holds.append(Hold(f"controller {identity.device_id.hex()}"))
        finally:
            probe.disconnect()
        if self.wiring.firmware and not self._firmware.startswith(self.wiring.firmware[:8]):
            raise WrongFirmware(
                f"{self.name}: it runs firmware {self._firmware}, the bench file says "
                f"{self.wiring.firmware}; no test was run. Flash that firmware, or correct `firmware` in the "
                "bench file"
            )
        board = Board(self.name, identity.device_id, Path(), Path())
        keys = read_keys(self.wiring.keys, identity.device_id) if self.wiring.keys else None
        known: Device = Device(board, device.profile, port, self._root_key, unit)
        self.controller = Controller(known if self._root_key else _device(known, host, keys), 0)

    def _address(self) -> tuple[str, int, int]:
        if self._at is None:
            raise WrongUse(
                f"{self.name}: no way to its Modbus is known; no test was run. Give `modbus: HOST:PORT`"
            )
        return self._at

    def wait_until_it_answers(self, within_s: float) -> None:
        """Return once it answers a Modbus request. BoardMissing, BoardSilent."""
        if self._at is None:
            return  # not known yet: the console will tell
        host, port, unit = self._at
        deadline = time.monotonic() + within_s
        while True:
            try:
                with ModbusTcp(host, port, unit, deadline_s=min(5.0, within_s)) as client:
                    client.read_input(0, 2)
                    return
            except ModbusException as error:
                raise WrongFirmware(
                    f"{self.name}: {host}:{port} speaks Modbus and has no identity block ({error}); it is "
                    "no controller of ours. No test was run. Check the address"
                ) from None
            except (OSError, ModbusSilent) as error:
                if time.monotonic() > deadline:
                    silent = isinstance(error, ModbusSilent)
                    raise (BoardSilent if silent else BoardMissing)(
                        f"{self.name}: {host}:{port} "
                        + (f"takes the connection and does not answer ({error})" if silent
                           else f"cannot be reached ({getattr(error, 'strerror', None) or error})")
                        + f" for {within_s:g} s. Check power, network and address, then: toplovod read "
                        f"{host}:{port}"
                    ) from None  # fmt: skip
                time.sleep(LOOK_S)

    def let_go(self) -> None:
        """Drop every line to it: it is about to lose its power."""
        if self.controller is not None:
            self.controller.disconnect()
        if self.bus is not None:
            self.bus.close()
        self.console.close()

    def describe(self) -> dict[str, Any]:
        """Its kind is `board` only where a chip itself said so and the bench file names the board."""
        platform = self._told.get("platform", "")
        kind = "unidentified controller"
        if platform in CHIPS and self.wiring.name and self.wiring.board:
            kind = "board"
        elif platform and platform not in CHIPS:
            kind = "emulated board"
        return {
            "kind": kind,
            "name": self.name,
            "board": self.wiring.board or self._told.get("board", ""),
            "platform": platform,
            "machine": self._told.get("machine", ""),
            "device_id": self.controller.device.device_id.hex(),
            "firmware": self._firmware,
            "map": f"{registers.map_hash():08x}",
        }

    def begin(self, run_id: str) -> None:
        self.power.on()
        self.io.restore()
        self.console.begin(run_id)

    def close(self) -> None:
        if self.controller is not None:
            self.controller.disconnect()
        for hand in (self.bus, self.console, self.power, *self._holds):
            if hand is not None:
                hand.close()


def _device(device: Device, host: str, keys: dict[int, tuple[int, bytes]] | None) -> BoardDevice:
    return BoardDevice(
        device.board, device.profile, device.port, device.root_key, device.unit, at=host, keys=keys
    )


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of HOST or HOST:PORT. WrongUse."""
    host, _, port = text.partition(":")
    if not host or (port and not (port.isdecimal() and 0 < int(port) < 65_536)):
        raise WrongUse(f"{text!r} is no address; give HOST or HOST:PORT, such as 10.0.3.17:502")
    return host, int(port or MODBUS_PORT)


def read_keys(path: Path, device_id: bytes) -> dict[int, tuple[int, bytes]]:
    """Return {slot: (epoch, key)} of a key file for this device. WrongUse."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != KEY_FILE_FORMAT:
            raise ValueError(f"its format is not {KEY_FILE_FORMAT}")
        slot = order_frame.SLOTS.index(content["slot"])
        key = bytes.fromhex(content["devices"][device_id.hex()])
        return {slot: (int(content["epoch"]), key)}
    except KeyError as error:
        raise WrongUse(
            f"{path}: holds no {error}; no test was run. Export it anew: toplovod keys export"
        ) from None
    except (OSError, ValueError) as error:
        raise WrongUse(
            f"{path}: no key file ({error}); no test was run. toplovod keys export writes one"
        ) from None
