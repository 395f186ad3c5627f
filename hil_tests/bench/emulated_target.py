"""The emulated board behind a pty, as a target: everything a board's target does, with nothing to buy.

Its program runs on the stock scheduler in the world's time. It is opened exactly as a board on a cable is,
by its REPL and its Modbus; only its supply, its flash and its terminals are brought by the bench.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import littlefs

from firmware.substation import registers

from .board import BLOCK_BYTES, BLOCKS, BUTTON_AT, LEVELS_AT, PINS_B
from .board_target import BoardTarget, Supply, Wiring
from .errors import DeviceFailed
from .provisioning import PROJECT, Device, Ports, provision
from .serial_console import SerialStream, Stream
from .target import BoardSilent
from .vm_target import RELAYS, input_count

NAME = "the emulated board"
STARTS_WITHIN_S = 60.0  # real time, on a machine that has other work [estimate]
MORE = frozenset(
    {"power.prepare", "power.cut", "power.off", "power.brownout", "console.read", "console.exec",
     "bus.tcp", "bus.proxy", "bus.raw", "bus.sniff", "io.sensors", "io.button", "io.relays", "orders"}
)  # fmt: skip
EMULATED_CAPABILITIES = MORE | {"clock.wall"}
RELAY_PINS = dict(zip(RELAYS, (10, 11, 12), strict=True))  # docs/boards.md, W5500-EVB-Pico: substation


def write_image(folder: Path, image: Path) -> None:
    """Write the flash image of a board that holds the files of `folder`."""
    system = littlefs.LittleFS(
        block_size=BLOCK_BYTES, block_count=BLOCKS, read_size=64, prog_size=256, disk_version=0x00020000
    )
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            system.makedirs(name, exist_ok=True)
        else:
            with system.open(name, "wb") as file:
                file.write(path.read_bytes())
    image.write_bytes(system.context.buffer)


class EmulatedSupply(Supply):
    """The process of the board. Killing it is the power cut; its standard input ends with the bench."""

    def __init__(self, image: Path, pins: Path, device_id: bytes) -> None:
        self._image, self._pins, self._device_id = image, pins, device_id
        self._process: subprocess.Popen[bytes] | None = None
        self._log = image.with_suffix(".log")
        self.port = ""

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    def on(self) -> None:
        readings = self._pins.read_bytes()[:LEVELS_AT] if self._pins.exists() else b""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hil_tests.bench.board", "--flash", str(self._image), "--pins",
                 str(self._pins), "--device-id", self._device_id.hex(), "--owned"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=PROJECT,
                start_new_session=True,  # Ctrl-C is for the bench, which then ends its boards
            )  # fmt: skip
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], STARTS_WITHIN_S)[0]:
            self.cut()
            raise BoardSilent(f"{NAME}: did not start within {STARTS_WITHIN_S:g} s")
        said = self._process.stdout.readline()
        if not said:
            self.cut()
            raise DeviceFailed(NAME, "its process ended at start", self._log.read_text(errors="replace"))
        self.port = str(json.loads(said)["port"])
        if readings:  # what a test has put on the terminals is there before and after a power cut
            with self._pins.open("r+b") as file:
                file.write(readings)

    def off(self) -> None:
        """Switch off in order: the process is asked to end, and ends its VM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self.cut()

    def cut(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            children = _children(process.pid)
            if process.poll() is None:
                process.kill()
            process.wait()
            for child in children:
                _gone(child)
        if self._pins.exists():
            with self._pins.open("r+b") as file:
                file.seek(LEVELS_AT)
                file.write(bytes(PINS_B - LEVELS_AT))

    def close(self) -> None:
        self.cut()


def _children(process_id: int) -> list[int]:
    """Return file numbers that tell the end of each child: the VM dies with its terminal, a moment later."""
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    found = []
    for child in path.read_text().split() if path.exists() else ():
        try:
            found.append(os.pidfd_open(int(child)))
        except OSError:
            continue
    return found


def _gone(child: int) -> None:
    try:
        select.select([child], [], [], STARTS_WITHIN_S)
    finally:
        os.close(child)


class FileIO:
    """The terminals of the emulated board, which lie in a file."""

    def __init__(self, pins: Path) -> None:
        self._pins = pins
        self._own: dict[int, int] = {}  # offset: bytes as they were wired, kept at the first change

    def _write(self, at: int, data: bytes) -> None:
        with self._pins.open("r+b", buffering=0) as file:
            file.seek(at)
            file.write(data)

    def _set(self, channel: int, count: int) -> None:
        at = 2 * channel
        self._own.setdefault(channel, int.from_bytes(self._pins.read_bytes()[at : at + 2], "little"))
        self._write(at, count.to_bytes(2, "little"))

    def set_resistance(self, channel: int, ohm: float) -> None:
        self._set(channel, input_count(channel, ohm=ohm))

    def set_current(self, channel: int, ma: float) -> None:
        self._set(channel, input_count(channel, ma=ma))

    def press_button(self, down: bool = True) -> None:
        self._write(BUTTON_AT, b"\1" if down else b"\0")

    def relays(self) -> frozenset[str]:
        levels = self._pins.read_bytes()[LEVELS_AT:]
        return frozenset(name for name, pin in RELAY_PINS.items() if levels[pin])

    def restore(self) -> None:
        for channel, count in self._own.items():
            self._write(2 * channel, count.to_bytes(2, "little"))
        self._own.clear()
        self.press_button(False)


class EmulatedBoard(BoardTarget):
    """A provisioned emulated board in `folder`, opened by its console and its Modbus like any board."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self._ports = Ports()
        try:
            device = self._provisioned(folder, bundle)
            pins = folder / "pins.bin"
            supply = EmulatedSupply(folder / "flash.img", pins, device.device_id)

            def opens() -> Stream:
                return SerialStream(supply.port)

            self.supply = supply
            super().__init__(
                Wiring(name=NAME), supply=supply, console_opens=opens, io=FileIO(pins), more=MORE,
                root_key=device.root_key,
            )  # fmt: skip
        except BaseException:
            self._ports.close()
            raise

    def _provisioned(self, folder: Path, bundle: Path) -> Device:
        device = provision(
            folder, bundle, "emulated-board", registers.SUBSTATION, self._ports.take(), seed=os.getpid(),
            settings={"deficit_budget_kh": 40},
        )  # fmt: skip
        write_image(device.board.flash, folder / "flash.img")
        return device

    def close(self) -> None:
        super().close()
        self._ports.close()
