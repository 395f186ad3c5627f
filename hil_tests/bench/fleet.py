"""A fleet of emulated controllers: one real MicroPython process each, moved by grants of virtual time.

Twin of `vm/bench_link.py`, where the frames of an exchange are told. It knows pins and power, never
registers: what a controller is for, the fleet cannot say. Power has four verbs, as on a real bench:
`prepare` (the boards lie ready, nothing runs), `on`, `cut` (the plug is pulled), `off` (switched off
while idle).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from .board_io import BoardInputs, BoardOutputs
from .electronics import CHANNELS, adc_counts
from .errors import BenchError, DeviceFailed
from .serial_line import MeterLine, SerialLine

HELLO = struct.Struct("<HHI")
START = struct.Struct(f"<BBHQ8s32s{CHANNELS}H")
GRANT = np.dtype(
    [("kind", "<u1"), ("flags", "<u1"), ("button", "<u2"), ("t_ms", "<u8"), ("counts", "<u2", (CHANNELS,))]
)
RELAYS = (
    "open_ms", "close_ms", "pump_ms", "valve2_open_ms", "valve2_close_ms", "dhw_open_ms", "dhw_close_ms",
    "pump2_ms", "circulation_ms",
)  # fmt: skip
REPORT = np.dtype(
    [("kind", "<u1"), ("flags", "<u1"), ("free_block", "<u2"), ("t_ms", "<u8"), ("pump_speed", "<u2"),
     ("heat_demand", "<u2"), ("heap_b", "<u4"), *((name, "<u4") for name in RELAYS),
     ("starts", "<u1", (len(RELAYS),))]
)  # fmt: skip
# The same record, its relays as one row: looking at all of them is one look.
_RELAYS_AT: int = REPORT.fields[RELAYS[0]][1]  # type: ignore[index]
RELAYS_ALONE = np.dtype(
    {"names": ["relay_ms"], "formats": [f"({len(RELAYS)},)u4"], "offsets": [_RELAYS_AT],
     "itemsize": REPORT.itemsize}
)  # fmt: skip
MAGIC = 0x7450
PROTOCOL = 1
KIND_START, KIND_GRANT = 0, 1
KIND_REPORT, KIND_RESET = 1, 2
FLAG_MEASURE_HEAP = 1
FLAG_ENDED = 1
FREE_UNIT_B = 64  # of a report's free_block

POWER_ON = 1  # machine.reset_cause()
ENDS_S = 2.0  # real time in which a process whose line broke has ended, where that is why
HEAP = "192k"  # of the firmware
EARLY_RESETS = 8
# On a board `machine`, time and asyncio's queue are machine code in flash. Here they are the bench's own
# modules and lie in the same heap: 20 kB of it, so the VM gets that much more (a test measures it).
BENCH_MODULES_B = 24 * 1024
BREAKABLE = ("serve", "guarded_control")  # coroutines of the program that can be made to raise
MISCHIEF_B = 6 * 1024  # that module and what it needs [estimate]
WHOLE_MACHINE_B = 24 * 1024  # its parts, and what reading their source takes: a test measures it
RESETS_IN_A_TICK = 16  # more than this inside one tick is a board that cannot start
CONSOLE_LINES = 15


def _rows(frames: NDArray[np.void]) -> list[memoryview]:
    """Return the bytes of each frame in place, so that an exchange copies nothing."""
    flat: memoryview = frames.view(np.uint8).reshape(-1).data
    size = frames.dtype.itemsize
    return [flat[i * size : (i + 1) * size] for i in range(len(frames))]


@dataclass(frozen=True)
class Board:
    """One controller's board before power-on: what `provisioning` made of it."""

    name: str
    device_id: bytes
    """8 bytes, as machine.unique_id() tells them."""
    flash: Path
    """The folder that the controller sees as `/`."""
    console: Path
    """Where its console output is kept, outside its flash."""


@contextlib.contextmanager
def alike(folder: Path) -> Iterator[tuple[int, str]]:
    """Hold a folder open; give the handle to be passed on, and a path of one length for it in a VM.

    A VM keeps paths in the controller's heap. By names of folders its blocks would lie elsewhere from one
    machine to the next, and where the heap is short the controller would do other things.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle, f"/proc/self/fd{handle:/>7}"
    finally:
        os.close(handle)


def vm_heap_b(heap: str) -> int:
    """Return the heap of the VM in bytes for a firmware that has `heap`, such as 192k."""
    units = {"k": 1024, "m": 1024 * 1024}
    own = int(heap[:-1]) * units[heap[-1]] if heap[-1] in units else int(heap)
    return own + BENCH_MODULES_B


def pool_b(heap_b: int) -> int:
    """Return what a VM's heap of so many bytes has for its blocks: each of 32 B costs 3 bits of tables."""
    return heap_b * 256 // 259


@dataclass
class _Slot:
    board: Board
    process: subprocess.Popen[bytes] | None = None
    link: socket.socket | None = None
    console: IO[bytes] | None = None
    boots: int = 0
    resets: list[tuple[int, int]] = field(default_factory=list)
    """(virtual time in ms, cause) of every reset so far."""


class Fleet:
    """N boards in a fixed order; arrays of inputs and outputs have one row for each.

    seed: entropy of every boot follows from it, the device and its boot number; None = random.
    deadline_s: real time a controller may need for one tick before it counts as hung. serial: each board
    has a serial line, see `serial_lines`; meters: and one to its heat meters, see `meter_lines`. first_tick:
    what every board's ticks_ms() says when it is switched on, to meet the wrap at 2**30 before 12 days.
    mischief: what the program calls BREAKABLE, for boards that can be broken from inside, see `mischief`
    and vm/mischief.py. whole_machine: `machine` also has I2C, with the converters of a real board, and Timer.
    """

    def __init__(self, boards: Sequence[Board], *, seed: int | None = None, heap: str = HEAP,
                 deadline_s: float = 30.0, serial: bool = False, meters: bool = False,
                 first_tick: int = 0, mischief: Sequence[str] = (),
                 whole_machine: bool = False) -> None:  # fmt: skip
        self._first_tick = first_tick
        self._may_break = tuple(mischief)
        self._whole_machine = whole_machine
        self.boards = tuple(boards)
        self.now_ms = 0
        self._slots = [_Slot(board) for board in self.boards]
        self._seed = seed
        self._heap_b = vm_heap_b(heap) + (MISCHIEF_B if mischief else 0)
        self._deadline_s = deadline_s
        self._listener: socket.socket | None = None
        self.serial_lines = tuple(SerialLine() for _ in self.boards) if serial else ()
        """One for each board, in their order; they outlive a power cut."""
        self.meter_lines = tuple(MeterLine() for _ in self.boards) if meters else ()
        """As `serial_lines`."""
        count = len(self.boards)
        self._grants = np.zeros(count, dtype=GRANT)
        self._grants["kind"] = KIND_GRANT
        self.reports = np.zeros(count, dtype=REPORT)
        """Every board's outputs over the last tick as they came; zero where there is no power."""
        self._grant_rows = _rows(self._grants)
        self._report_rows = _rows(self.reports)
        self._relay_ms = self.reports.view(RELAYS_ALONE)["relay_ms"]
        self.heap_b = np.zeros(count, dtype=np.int64)
        """Live heap of each controller after a collection, from the last `exchange(measure_heap=True)`."""
        self.free_block_b = np.zeros(count, dtype=np.int64)
        """Largest free block of each heap, from the same."""
        self.pool_b = pool_b(self._heap_b)
        """What every heap has for live and free blocks together, to some hundred bytes."""
        self.own_counts: dict[tuple[int, int], int] = {}
        """(device, channel): what a converter reads instead of what the plant puts there."""
        self.mischief = 0
        """Bits of vm/mischief.py that the next grant carries to every board; 0 = none."""
        self._set_inputs(BoardInputs.unconnected(count))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.close()

    # power

    def prepare(self) -> None:
        """Open the line the boards will report on. Nothing runs yet: flash may still be tampered with."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=len(self.boards) + 8)

    def on(self, which: Iterable[int] | None = None, inputs: BoardInputs | None = None) -> None:
        """Switch boards on at the present virtual time and wait until they have done what is due now.

        which: positions, all when None. inputs: what their sensors see at power-on.
        """
        self.prepare()
        if inputs is not None:
            self._set_inputs(inputs)
        chosen = range(len(self._slots)) if which is None else list(which)
        self._start([i for i in chosen if self._slots[i].process is None], self.now_ms, POWER_ON)

    def cut(self, which: Iterable[int] | None = None) -> None:
        """Pull the plug: the process is killed where it stands, its outputs fall to zero."""
        for i in range(len(self._slots)) if which is None else which:
            self._kill(i)

    def off(self, which: Iterable[int] | None = None) -> None:
        """Switch boards off while they are idle: the program ends at its next look at the line."""
        for i in list(range(len(self._slots)) if which is None else which):
            slot = self._slots[i]
            if slot.process is None:
                continue
            if slot.link is not None:
                slot.link.close()
                slot.link = None
            try:
                slot.process.wait(self._deadline_s)
            except subprocess.TimeoutExpired:
                self._fail(i, f"did not end within {self._deadline_s:g} s of being switched off")
            self._kill(i)

    def powered(self, index: int) -> bool:
        return self._slots[index].process is not None

    def boots(self, index: int) -> int:
        """Return how many times the board has started, resets included."""
        return self._slots[index].boots

    def resets(self, index: int) -> list[tuple[int, int]]:
        """Return (virtual time in ms, machine.reset_cause()) of every reset so far."""
        return list(self._slots[index].resets)

    def console(self, index: int, lines: int = CONSOLE_LINES) -> str:
        """Return the last lines the board printed."""
        path = self.boards[index].console
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def counts(self, index: int, channel: int) -> int:
        """Return what a board's converter was last given to read."""
        return int(self._grants["counts"][index, channel])

    def process_ids(self) -> list[int]:
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    def close(self) -> None:
        """End every process. Flash folders and consoles stay."""
        self.cut()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for serial_line in self.serial_lines:
            serial_line.close()
        for meter_line in self.meter_lines:
            meter_line.close()
        self.serial_lines = ()
        self.meter_lines = ()

    # time

    def exchange(self, t_ms: int, inputs: BoardInputs, *, measure_heap: bool = False) -> BoardOutputs:
        """Grant time up to t_ms with these inputs; return what the boards did until then.

        All grants go out before the first answer is awaited, so the boards run side by side. A board
        that resets is started again at the virtual time of its reset and finishes the same grant.
        Raises DeviceFailed, naming the board, when one hangs, ends or cannot stop resetting.
        """
        if t_ms < self.now_ms:
            raise ValueError(f"virtual time cannot run back from {self.now_ms} to {t_ms} ms")
        self._set_inputs(inputs)
        self._grants["t_ms"] = t_ms
        self._grants["flags"] = (FLAG_MEASURE_HEAP if measure_heap else 0) | self.mischief
        tick_ms = t_ms - self.now_ms
        powered = [i for i, slot in enumerate(self._slots) if slot.process is not None]
        self.reports.fill(0)
        for i in powered:
            self._send(i, self._grant_rows[i])
        for i in powered:
            self._receive(i)
        odd = (self.reports["kind"] != KIND_REPORT) | (self.reports["flags"] & FLAG_ENDED != 0)
        for i in powered:
            if odd[i]:
                self._settle(i)
        self.now_ms = t_ms
        if measure_heap:
            self.heap_b[:] = self.reports["heap_b"]
            self.free_block_b[:] = self.reports["free_block"].astype(np.int64) * FREE_UNIT_B
            self.reports["heap_b"] = 0
            self.reports["free_block"] = 0
        return self._outputs(tick_ms)

    def _settle(self, index: int) -> None:
        """Start a board again after each reset inside the tick, and sum what it did meanwhile."""
        for _ in range(RESETS_IN_A_TICK):
            if self.reports[index]["kind"] != KIND_RESET:
                break
            before = self.reports[index].copy()
            at_ms, cause = int(before["t_ms"]), int(before["flags"])
            self._slots[index].resets.append((at_ms, cause))
            self._kill(index)
            self._start([index], at_ms, cause)
            self._grants["flags"][index] &= FLAG_MEASURE_HEAP  # mischief is done once
            self._send(index, self._grant_rows[index])
            self._receive(index)
            for name in RELAYS:
                self.reports[name][index] += before[name]
            self.reports["starts"][index] += before["starts"]
        else:
            self._fail(index, f"reset {RESETS_IN_A_TICK} times within one tick")
        if self.reports["flags"][index] & FLAG_ENDED:
            self._fail(index, "its program ended and no watchdog restarted it")

    def _outputs(self, tick_ms: int) -> BoardOutputs:
        reports = self.reports
        full = 65535.0
        longest = int(self._relay_ms.max(initial=0))
        if longest > tick_ms:
            raise BenchError(
                f"a relay reports {longest} ms within a tick of {tick_ms} ms; the bench is wrong"
            )
        return BoardOutputs(
            reports["open_ms"] / 1000.0,
            reports["close_ms"] / 1000.0,
            reports["pump_ms"] / 1000.0,
            reports["pump_speed"] / full,
            reports["heat_demand"] / full,
        )

    def _set_inputs(self, inputs: BoardInputs) -> None:
        self._grants["counts"] = adc_counts(inputs)
        for (device, channel), count in self.own_counts.items():
            self._grants["counts"][device, channel] = count
        self._grants["button"] = inputs.button

    # processes and lines

    def _entropy(self, index: int) -> bytes:
        if self._seed is None:
            return os.urandom(32)
        slot = self._slots[index]
        text = f"toplovod bench {self._seed} {slot.board.device_id.hex()} {slot.boots}"
        return hashlib.sha256(text.encode()).digest()

    def _start(self, which: Sequence[int], t_ms: int, cause: int, early: int = 0) -> None:
        """Start these boards at t_ms and bring each to its first report, which says it is alive.

        early: how often one of them was reset before it came so far; a bad image ends so, some times.
        """
        if self._listener is None:
            raise BenchError("the fleet is closed; nothing was started")
        with alike(Path(__file__).parent) as (bench, modules):
            for i in which:
                self._power(i, bench, modules)
        self._greet(set(which))
        for i in which:
            slot, grant = self._slots[i], self._grants[i]
            self._send(
                i,
                START.pack(KIND_START, cause, int(grant["button"]), t_ms, slot.board.device_id,
                           self._entropy(i), *(int(count) for count in grant["counts"])),
            )  # fmt: skip
        for i in which:
            self._receive(i)
            if self.reports["kind"][i] == KIND_RESET:
                if early == EARLY_RESETS:
                    self._fail(i, f"reset {early + 1} times before it had started")
                at_ms, why = int(self.reports["t_ms"][i]), int(self.reports["flags"][i])
                self._slots[i].resets.append((at_ms, why))
                self._kill(i)
                self._start([i], at_ms, why, early + 1)
            self.reports[i] = np.zeros((), dtype=REPORT)

    def _power(self, i: int, bench: int, modules: str) -> None:
        """Start one board's process; bench, modules: handle and path of the bench's own folder."""
        assert self._listener is not None
        host, port = self._listener.getsockname()
        slot = self._slots[i]
        slot.boots += 1
        slot.board.console.parent.mkdir(parents=True, exist_ok=True)
        slot.console = slot.board.console.open("ab", buffering=0)
        lines: dict[int, SerialLine | MeterLine] = {}  # by UART of the board
        if self.serial_lines:
            lines[1] = self.serial_lines[i]
        if self.meter_lines:
            lines[0] = self.meter_lines[i]
        heap_b = self._heap_b + (WHOLE_MACHINE_B if self._whole_machine else 0)
        boot = "whole_machine" if self._whole_machine else "vmboot"
        env = {
            **os.environ,
            "MICROPYPATH": f"{modules}/vm:.frozen",
        }  # else a path of the user's home is in it
        with alike(slot.board.flash) as (flash, root):
            slot.process = subprocess.Popen(
                [sys.executable, "-m", "micropython", "-X", f"heapsize={heap_b}",
                 "-m", boot, host, f"{port:05d}", str(i), root,  # the VM keeps each of these as well
                 *(f"{uart}={line.board_end:06d},{line.baud},{line.parity}" for uart, line in lines.items()),
                 f"ticks={self._first_tick}",
                 *([f"mischief={','.join(self._may_break)}"] if self._may_break else [])],
                stdin=subprocess.DEVNULL, stdout=slot.console, stderr=subprocess.STDOUT,
                pass_fds=(bench, flash, *(line.board_end for line in lines.values())),
                env=env,
                process_group=0,  # Ctrl-C is for the bench; its session, so that niceness counts
            )  # fmt: skip

    def _greet(self, awaited: set[int]) -> None:
        """Accept one line from each awaited board."""
        assert self._listener is not None
        until = time.monotonic() + self._deadline_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while awaited:
                if not selector.select(min(0.5, self._deadline_s)):
                    for i in awaited:
                        process = self._slots[i].process
                        if process is not None and process.poll() is not None:
                            self._fail(i, f"its process ended with status {process.returncode} at start")
                    if time.monotonic() > until:
                        self._fail(min(awaited), f"did not report for {self._deadline_s:g} s after power-on")
                    continue
                link, _ = self._listener.accept()
                link.settimeout(self._deadline_s)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                hello = link.recv(HELLO.size, socket.MSG_WAITALL)
                if len(hello) != HELLO.size or HELLO.unpack(hello)[:2] != (MAGIC, PROTOCOL):
                    link.close()
                    continue  # something else on this machine knocked at the port
                index = HELLO.unpack(hello)[2]
                if index not in awaited:
                    link.close()
                    continue
                self._slots[index].link = link
                awaited.discard(index)

    def _send(self, index: int, frame: bytes | memoryview) -> None:
        link = self._slots[index].link
        try:
            assert link is not None
            link.sendall(frame)
        except OSError as error:
            self._line_broke(index, error)

    def _line_broke(self, index: int, error: OSError) -> NoReturn:
        """Fail with the end of the process where that is why: a killed one may take bytes with it, unread."""
        process = self._slots[index].process
        status = None
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(ENDS_S)
        if status is None:
            self._fail(index, f"its line broke ({error})")
        self._fail(index, f"its process ended with status {status}")

    def _receive(self, index: int) -> None:
        """Read one report into the board's row, or fail with the board's name."""
        link = self._slots[index].link
        assert link is not None
        row, got = self._report_rows[index], 0
        try:
            while got < REPORT.itemsize:
                part = link.recv_into(row[got:] if got else row)
                if part == 0:
                    process = self._slots[index].process
                    status = process.wait(self._deadline_s) if process is not None else None
                    self._fail(index, f"its process ended with status {status}")
                got += part
        except TimeoutError:
            self._fail(index, f"did not finish its tick within {self._deadline_s:g} s of real time")
        except OSError as error:
            self._line_broke(index, error)

    def _kill(self, index: int) -> None:
        slot = self._slots[index]
        if slot.process is not None:  # before its line closes, or its program would see the end coming
            slot.process.kill()
            slot.process.wait()
            slot.process = None
        if slot.link is not None:
            slot.link.close()
            slot.link = None
        if slot.console is not None:
            slot.console.close()
            slot.console = None
        self.reports[index] = np.zeros((), dtype=REPORT)

    def _fail(self, index: int, what: str) -> NoReturn:
        raise DeviceFailed(self.boards[index].name, what, self.console(index))
