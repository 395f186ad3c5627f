"""An emulated board on a serial line: a pty that stock mpremote takes for a board with a USB cable.

The board is a real MicroPython VM with a LittleFS flash image of the W5500-EVB-Pico's size. This module
owns the pty and keeps it open while the VM comes and goes, as a USB bridge would. It refuses to look at
what goes over the line, but for two things that a VM under Unix cannot do alone: a soft reset ends the
process, so it is started again; and a host that was in the raw REPL expects to be there afterwards.

It also is the watchdog: what a program has started bites when it is not fed, through interrupts and soft
resets, be the VM in its REPL or stuck. Only a hard reset or the power cut stops it.

`python -m hil_tests.bench.board --flash IMAGE` prints one JSON line with the port and serves until it is
killed; killing it is the power cut.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path
from typing import NoReturn

from .errors import DeviceFailed
from .fleet import vm_heap_b

BLOCK_BYTES = 4096
BLOCKS = 352  # 1,441,792 B: the file system of the W5500-EVB-Pico in MicroPython's tree
# An update over the network needs more than the 192k that a house at rest lives in: docs/memory.md. The
# RP2350 that this board stands for has 487 kB, and objects half as large: docs/boards.md.
HEAP = "224k"
START = Path(__file__).parent / "vm_board" / "board_start.py"
STARTED = b"S"  # what the VM says on its control line, see vm_board
WORDS = re.compile(
    rb"(?P<reset>R)|(?P<fed>F)|W(?P<watchdog_ms>\d+)\.|T(?P<timer_ms>\d+)\.|C(?P<offset_us>-?\d+)\."
)
POWER_ON_CAUSE, WATCHDOG_CAUSE = 1, 3  # machine.PWRON_RESET, machine.WDT_RESET
RTC_STARTS_S = 1_767_225_600  # 2026-01-01: where the clock stands after a hard reset

# How often the watchdog is looked after, and the longest stretch that one look counts. A host that stands
# still for a while, with VM and all, would otherwise bite a program that had no time to feed.
WATCHDOG_LOOK_S = 0.1
WATCHDOG_COUNTS_S = 0.5

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
PROMPT = b">>> "
FRIENDLY_PROMPT = b"\r\n" + PROMPT
RAW_PROMPT = b"\x04>"
CTRL_A = b"\x01"
CTRL_B = b"\x02"
CTRL_C = b"\x03"
CTRL_D = b"\x04"
RESTART_DEADLINE_S = 30.0
INTERRUPT_HOLD_S = 30.0  # longest time that bytes wait for the REPL after a Ctrl-C; a busy host needs seconds
INTERRUPT_READ_S = 0.25  # a REPL that gets to run reads a Ctrl-C at once; unread after this, a program runs
LOOK_AGAIN_S = 0.005
# A Unix VM leaves whatever it was doing by a jump when Ctrl-C comes. Out of its collector it jumps with the
# heap locked, and dies of its first allocation afterwards; out of a finaliser the jump leads nowhere and the
# program goes on. A board only looks for Ctrl-C between bytecodes.
INTERRUPT_AGAIN_S = 1.0
DIED_OF_INTERRUPT = b"FATAL: uncaught NLR"
# Out of its table of names it jumps with that table's lock in hand, and out of the file system with a list
# half made: it greets, and stands still at the first new name or file. So it is asked for both before the
# host's next word is passed on, and one that gives no answer is started anew.
ASK_IF_SOUND = b"import os;sound_=os.listdir('/');print('sou'+'nd')"
SOUND = b"sound"
SOUND_WITHIN_S = 4.0  # milliseconds, more on a busy host; a host tries for some 10 s [estimate]
RESTARTS_WITHOUT_HOST = 5  # a program that keeps resetting by itself is not restarted for ever at once

# What resistors in place of the sensors give: Pt1000 at -5, 80, 50, 55, 40, 21 degC by IEC 60751 over
# 1500 ohm; 8 mA and 6 mA over 150 ohm against 3.3 V.
PT1000_A, PT1000_B, PT1000_C = 3.9083e-3, -5.775e-7, -4.183e-12
TEMPERATURES_C = (-5.0, 80.0, 50.0, 55.0, 40.0, 21.0)
CURRENTS_MA = (8.0, 6.0)

# The file of the terminals, see vm_board/machine.py: eight readings of the converter, the button, 32 pins.
READINGS = struct.Struct("<8H")
BUTTON_AT = READINGS.size
LEVELS_AT, LEVELS = 32, 32
PINS_B = LEVELS_AT + LEVELS


def pt1000_counts(temp_c: float) -> int:
    """Return the ADC reading of a Pt1000 at temp_c in the board's divider."""
    below = PT1000_C * (temp_c - 100.0) * temp_c**3 if temp_c < 0 else 0.0
    ohm = 1000.0 * (1.0 + PT1000_A * temp_c + PT1000_B * temp_c**2 + below)
    return round(65535 * ohm / (ohm + 1500.0))


def current_counts(current_ma: float) -> int:
    """Return the ADC reading of a loop current over 150 ohm."""
    return round(65535 * current_ma * 0.150 / 3.3)


class SerialBoard:
    """The board; `port` is the path that mpremote connects to. pins: the file of its terminals."""

    def __init__(self, flash: Path, settings: Path, heap: str = HEAP, pins: Path | None = None) -> None:
        self._flash = flash
        self._settings = settings
        self._pins = pins
        self._heap = heap
        if not flash.exists():
            flash.write_bytes(b"\xff" * (BLOCK_BYTES * BLOCKS))
        self._outer, self._outer_slave = pty.openpty()
        tty.setraw(self._outer_slave)
        self.port = os.ttyname(self._outer_slave)
        self._inner = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._raw = False
        self._seen = b""
        self._held = b""
        self._hold_until: float | None = None
        self._interrupt_due: float | None = None
        self._again_at = 0.0
        self._interrupted = False  # until the REPL has answered
        self._resetting = False
        self._slave = -1
        self._control = -1
        self._quick = 0
        self._told = b""  # a word of the control line that has not come whole yet
        self._watchdog_s: float | None = None  # its timeout, once a program has started it
        self._feeder_s = 0.0  # period of the timer that feeds it; 0: none
        self._unfed_s = 0.0
        self._looked_at = 0.0
        self._bitten = False
        self._cause = POWER_ON_CAUSE
        self._used_s = 0.0  # of the processor, when the last Ctrl-C was passed on
        self._rtc_offset_us = 0  # the clock's from the host's; a soft reset does not stop it

    def serve(self, owner: int | None = None) -> NoReturn:
        """Carry bytes between host and VM for ever, restarting the VM when it ends.

        owner: a file number; at its end the board ends too, however its owner came to its own.
        """
        self._stop_clock()
        self._power_on(main=True)
        owned = [] if owner is None else [owner]
        while True:
            self._to_vm()
            pause_s = None if self._watchdog_s is None else WATCHDOG_LOOK_S
            if self._held or self._interrupt_due is not None:
                pause_s = LOOK_AGAIN_S
            ready, _, _ = select.select([self._outer, self._inner, self._control, *owned], [], [], pause_s)
            if owner in ready and not os.read(owner, 16):
                raise SystemExit(0)
            if self._outer in ready:
                self._from_host(os.read(self._outer, 4096))
            if self._inner in ready:
                self._to_host(os.read(self._inner, 4096))
            if self._control in ready and not self._vm_lives():
                self._restart()
            self._look_after_watchdog()

    def _from_host(self, data: bytes) -> None:
        self._quick = 0
        # mpremote leaves the raw REPL with these two bytes and never sends them inside a program
        if data.endswith(b"\r" + CTRL_B):
            self._raw = False
        self._held += data

    def _to_vm(self) -> None:
        """Pass on what the host said, but for bytes that the VM would throw away.

        A Unix VM empties its input when it enters the REPL, and does not look for Ctrl-C while it runs a
        program from the raw REPL. A board does neither, and mpremote sends Ctrl-A right behind Ctrl-C. So
        what follows an interrupt waits until the REPL listens, and a Ctrl-C that nobody reads becomes a
        signal.
        """
        if self._resetting or self._bitten:
            return
        now = time.monotonic()
        if self._interrupt_due is not None:
            if self._unread() and now >= self._interrupt_due and self._does_otherwise():
                assert self._process is not None
                self._held = self._take_back().replace(CTRL_C, b"") + self._held
                self._process.send_signal(signal.SIGINT)
                self._interrupt_due = None
                self._interrupted = True
                self._hold_until, self._again_at = now + INTERRUPT_HOLD_S, now + INTERRUPT_AGAIN_S
            elif not self._unread():
                self._interrupt_due = None
            else:
                return
        if self._hold_until is not None:
            if self._program_runs() and now < self._hold_until and CTRL_C not in self._held:
                if now >= self._again_at and self._process is not None:
                    self._process.send_signal(signal.SIGINT)
                    self._again_at = now + INTERRUPT_AGAIN_S
                return
            if not self._program_runs() and not self._sound():
                return
            self._hold_until = None
        if not self._held:
            return
        interrupt = self._held.find(CTRL_C) + 1
        stops_program = bool(interrupt) and self._program_runs()
        self._pass_on(interrupt or len(self._held))
        if stops_program:
            self._hold_until, self._again_at = now + INTERRUPT_HOLD_S, now + INTERRUPT_AGAIN_S
            self._interrupted = True
        elif interrupt:
            self._interrupt_due = now + INTERRUPT_READ_S
            self._used_s = self._state_and_use()[1]

    def _pass_on(self, count: int) -> None:
        while count:
            written = os.write(self._inner, self._held[:count])
            self._held = self._held[written:]
            count -= written

    def _sound(self) -> bool:
        """Say whether an interrupted VM still works, in its REPL; one that does not is ended."""
        prompt, run = (RAW_PROMPT, CTRL_D) if self._raw else (PROMPT, b"\r")
        deadline = time.monotonic() + SOUND_WITHIN_S
        said, asked = self._seen, False
        while SOUND not in said or not said.endswith(prompt):
            if not asked and said.endswith(prompt):
                os.write(self._inner, ASK_IF_SOUND + run)
                said, asked = b"", True
            ready, _, _ = select.select(
                [self._inner, self._control], [], [], max(0.0, deadline - time.monotonic())
            )
            if self._inner in ready:
                data = os.read(self._inner, 4096)
                said += data
                if not asked:
                    self._to_host(data)
            elif self._control in ready:
                if not self._vm_lives():
                    return False  # it has ended by itself, which is looked after in serve
            else:
                assert self._process is not None
                self._process.kill()
                return False
        self._interrupted = False
        return True

    def _program_runs(self) -> bool:
        """Say whether boot.py or main.py runs: in its REPL the VM takes Ctrl-C as a byte, not as a signal."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ISIG)

    def _state_and_use(self) -> tuple[str, float]:
        """Return the VM's state as the kernel calls it, and the processor time it has used, s."""
        if self._process is None:
            return "", 0.0
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _does_otherwise(self) -> bool:
        """Say whether a VM that leaves a Ctrl-C unread has had the time to read it.

        One that waits for the processor has not, and a signal would hit whatever it does next: on a busy host
        that broke the next word of mpremote. One that sleeps does so in its program: input wakes a REPL.
        """
        state, used_s = self._state_and_use()
        return state == "S" or used_s - self._used_s >= INTERRUPT_READ_S

    def _unread(self) -> int:
        """Return how many bytes from the host the VM has not read yet."""
        return int(struct.unpack("i", fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)))[0])

    def _take_back(self) -> bytes:
        """Return the bytes that the VM has not read, and take them off its line."""
        count = self._unread()
        return os.read(self._slave, count) if count else b""

    def _vm_lives(self) -> bool:
        """Read what the VM says on its control line; False when it has ended."""
        said = os.read(self._control, 4096)
        self._told += said
        heard = 0
        for word in WORDS.finditer(self._told):
            heard = word.end()
            if word["reset"]:
                self._resetting = True
            elif word["fed"]:
                self._unfed_s = 0.0
            elif word["watchdog_ms"]:  # to start one feeds it as well
                self._unfed_s = 0.0
                self._watchdog_s = int(word["watchdog_ms"]) / 1000
                self._looked_at = time.monotonic()
            elif word["timer_ms"]:
                self._feeder_s = int(word["timer_ms"]) / 1000
            elif word["offset_us"]:
                self._rtc_offset_us = int(word["offset_us"])
        self._told = self._told[heard:]
        return bool(said)

    def _look_after_watchdog(self) -> None:
        """Count how long the watchdog has not been fed, and let it bite: a hard reset, whatever runs."""
        if self._watchdog_s is None or self._bitten or self._resetting:
            return
        now = time.monotonic()
        self._unfed_s += min(now - self._looked_at, WATCHDOG_COUNTS_S)
        self._looked_at = now
        if 0.0 < self._feeder_s < self._watchdog_s:
            self._unfed_s = min(self._unfed_s, self._feeder_s)
        if self._unfed_s > self._watchdog_s:
            assert self._process is not None
            self._bitten = True
            self._process.kill()  # its end is seen on the control line

    def _to_host(self, data: bytes) -> None:
        self._seen = (self._seen + data)[-256:]
        if RAW_BANNER in self._seen:
            self._raw = True
            self._seen = b""
        os.write(self._outer, data)

    def _stop_clock(self) -> None:
        self._rtc_offset_us = RTC_STARTS_S * 1_000_000 - time.time_ns() // 1000

    def _power_on(self, *, main: bool) -> None:
        if self._pins is not None:  # a chip without its program drives nothing
            with self._pins.open("r+b") as file:
                file.seek(LEVELS_AT)
                file.write(bytes(LEVELS))
        inner, slave = pty.openpty()
        tty.setraw(slave)
        # the VM's own terminal handling covers the REPL; while a program runs, Ctrl-C must be a signal
        mode = termios.tcgetattr(slave)
        mode[3] |= termios.ISIG
        mode[6][termios.VINTR] = b"\x03"
        termios.tcsetattr(slave, termios.TCSANOW, mode)

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        control, vm_control = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "micropython", "-X", f"heapsize={vm_heap_b(self._heap)}", "-i", str(START),
             str(self._flash), str(BLOCKS), str(self._settings), "main" if main else "no-main",
             f"/proc/self/fd/{vm_control}", str(self._cause), str(self._rtc_offset_us)],
            stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal, pass_fds=(vm_control,),
        )  # fmt: skip
        os.close(vm_control)
        self._inner, self._slave, self._control = inner, slave, control
        if not select.select([control], [], [], RESTART_DEADLINE_S)[0] or os.read(control, 1) != STARTED:
            console = os.read(inner, 4096) if select.select([inner], [], [], 0)[0] else b""
            raise DeviceFailed("board", "did not start", console.decode(errors="replace"))

    def _restart(self) -> None:
        assert self._process is not None
        self._process.wait()
        while select.select([self._inner], [], [], 0)[0]:
            self._to_host(os.read(self._inner, 4096))
        died = self._interrupted and (
            DIED_OF_INTERRUPT in self._seen or self._process.returncode in (-signal.SIGINT, -signal.SIGKILL)
        )
        unread = self._take_back()
        if not died and not self._bitten:  # a chip forgets what it has not read
            self._held = unread + self._held
        for handle in (self._control, self._inner, self._slave):
            os.close(handle)
        self._quick += not self._bitten  # a bite comes at its own pace
        if self._quick > RESTARTS_WITHOUT_HOST:
            raise DeviceFailed("board", f"ended {self._quick} times without a word from the host", "")
        bitten, self._bitten = self._bitten, False
        hard, self._resetting = self._resetting or bitten, False
        self._told, self._feeder_s = b"", 0.0  # timers end with the VM, the watchdog by a hard reset alone
        raw, self._raw = self._raw, False
        self._seen = b""
        self._hold_until = self._interrupt_due = None
        self._interrupted = False
        if hard:
            self._watchdog_s = None
            self._stop_clock()
            self._cause = WATCHDOG_CAUSE if bitten else POWER_ON_CAUSE
            self._power_on(main=True)
            return
        if died:  # the host asked for a REPL and gets one; what it said meanwhile waits for it
            self._power_on(main=False)
            self._hold_until = self._again_at = time.monotonic() + INTERRUPT_HOLD_S
            return
        os.write(self._outer, b"MPY: soft reboot\r\n")
        self._power_on(main=not raw)
        if raw:
            self._swallow_until(FRIENDLY_PROMPT)
            os.write(self._inner, CTRL_A)
            rest = self._swallow_until(RAW_BANNER)
            self._to_host(RAW_BANNER + rest)

    def _swallow_until(self, mark: bytes) -> bytes:
        """Read the VM's output up to `mark`, keep it from the host, and return what came after it."""
        got = b""
        deadline = time.monotonic() + RESTART_DEADLINE_S
        while mark not in got:
            ready, _, _ = select.select([self._inner], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise DeviceFailed("board", "no REPL after a soft reset", got.decode(errors="replace"))
            got += os.read(self._inner, 4096)
        return got.partition(mark)[2]

    def close(self) -> None:
        """Pull the plug."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _stop(number: int, frame: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Serve one board until killed."""
    parser = argparse.ArgumentParser(prog="python -m hil_tests.bench.board", description=__doc__)
    parser.add_argument(
        "--flash", type=Path, required=True, help="file system, or a whole chip; made when missing"
    )
    parser.add_argument("--device-id", default="0011223344556677", help="16 hexadecimal digits")
    parser.add_argument("--temp", type=float, nargs=6, default=TEMPERATURES_C, help="Pt1000 inputs, degC")
    parser.add_argument("--current", type=float, nargs=2, default=CURRENTS_MA, help="current inputs, mA")
    parser.add_argument("--pins", type=Path, help="file of its terminals, made anew: vm_board/machine.py")
    parser.add_argument("--owned", action="store_true", help="end when the standard input ends")
    wanted = parser.parse_args()
    flash = wanted.flash.resolve()
    settings = flash.with_name(flash.name + ".json")
    counts = [pt1000_counts(t) for t in wanted.temp] + [current_counts(c) for c in wanted.current]
    pins = wanted.pins.resolve() if wanted.pins else None
    if pins is not None:
        pins.write_bytes(READINGS.pack(*counts).ljust(PINS_B, b"\0"))
    settings.write_text(
        json.dumps({"device_id": wanted.device_id, "counts": counts, "pins": str(pins) if pins else ""})
    )
    board = SerialBoard(flash, settings, pins=pins)
    signal.signal(signal.SIGTERM, _stop)
    print(json.dumps({"port": board.port, "flash": str(flash), "device_id": wanted.device_id}), flush=True)
    try:
        board.serve(sys.stdin.fileno() if wanted.owned else None)
    finally:
        board.close()


if __name__ == "__main__":
    main()
