"""The console of a board at the end of a cable: what it prints, and its raw REPL.

It holds the port alone as long as it is open. It refuses to take an echo, or what stood on the line before
the test, for an answer.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import serial

from .errors import BenchError, ConditionNotMet
from .target import BoardMissing, BoardSilent, PortInUse

BAUD = 115_200  # MicroPython's own for a UART console; over USB it is ignored [K]
GREETING_S = 20.0  # a board takes 1 to 5 s into its raw REPL; one that is silent for longer is none
PROGRAM_S = 60.0
LOOK_S = 0.02
CHUNK_B = 256  # a board's buffer behind the raw REPL takes that much at once [K]
INTERRUPT, RAW, FRIENDLY, RUN = b"\r\x03", b"\r\x01", b"\r\x02", b"\x04"
PTYS = "/dev/pts/"  # an emulated board holds its end of the line open itself
RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
HARD_RESET = "import machine\nmachine.reset()"


def also_open(port: str) -> list[str]:
    """Return the other processes that have this port open, as far as this user may see them."""
    own, device, found = str(os.getpid()), os.path.realpath(port), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.name != own and any(
                str(link.readlink()) == device for link in (process / "fd").iterdir()
            ):
                found.append(f"{(process / 'comm').read_text().strip()} (process {process.name})")
    return sorted(found)


class Stream(Protocol):
    """A line in both senses; `read` returns at once, with nothing where nothing has come."""

    def read(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class _Line(serial.Serial):  # type: ignore[misc]
    """Opens without emptying the port: a board that starts meanwhile has said its first words already."""

    def _reset_input_buffer(self) -> None:
        """Called by pyserial when it opens a port, and by nothing here."""


class SerialStream:
    """A serial port by pyserial, held alone. BoardMissing, PortInUse, BoardSilent.

    What stands on the line when it is opened is read like the rest.
    """

    def __init__(self, port: str, baud: int = BAUD, parity: str = "N") -> None:
        self._port = port
        if port.startswith("/") and not Path(port).exists():
            raise BoardMissing(
                f"{port}: there is no such port; no test was run. Check cable and power, look with "
                "`mpremote connect list`, and correct the bench file or --bench-target"
            )
        others = () if port.startswith(PTYS) else also_open(port)
        if others:  # not every program locks what it opens
            raise PortInUse(
                f"{port}: {' and '.join(others)} has it open; nothing was sent. End it, then run again"
            )
        try:
            self._line: Any = _Line(port, baud, parity=parity, timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # pyserial's own errors are OSErrors
            text = str(error)
            if "exclusively lock" in text or "busy" in text.lower():
                raise PortInUse(
                    f"{port}: another program holds it; nothing was sent. End it (a terminal, mpremote, "
                    f"another bench; `fuser {port}` names it), then run again"
                ) from None
            raise BoardSilent(
                f"{port}: cannot be opened ({text}); no test was run. Check that you may use it (group "
                "dialout) and that it is a serial port"
            ) from None

    def read(self) -> bytes:
        try:
            return bytes(self._line.read(4096))
        except OSError as error:
            raise BoardSilent(f"{self._port}: the line broke ({error}). Check cable and power") from None

    def write(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except OSError as error:
            raise BoardSilent(f"{self._port}: the line broke ({error}). Check cable and power") from None

    def close(self) -> None:
        self._line.close()


class StreamConsole:
    """opens: gives the stream anew, as the port of a USB board goes and comes with each reset.

    answers: waits until the controller's own program answers again, after a restart.
    """

    def __init__(self, name: str, opens: Callable[[], Stream], answers: Callable[[], None]) -> None:
        self._name = name
        self._opens = opens
        self._answers = answers
        self._stream: Stream | None = None
        self._said = b""
        self.run_id = ""

    def begin(self, run_id: str) -> None:
        """Forget what was printed before this test."""
        self.run_id = run_id
        self._forget()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self) -> Stream:
        if self._stream is None:
            self._stream = self._opens()
        return self._stream

    def _forget(self) -> Stream:
        """Drop all that was said so far, and return the line it was said on."""
        stream = self._open()
        while stream.read():
            pass
        self._said = b""
        return stream

    def read_until(self, text: str, within_s: float) -> str:
        wanted = text.encode()
        said = self._until(wanted, within_s)
        if said is None:
            raise ConditionNotMet(
                f"{self._name}: no {text!r} on the console within {within_s:g} s. It said: "
                f"{self._said[-300:].decode(errors='replace')!r}"
            )
        return said.decode(errors="replace")

    def _until(self, wanted: bytes, within_s: float) -> bytes | None:
        """Return what came up to and with `wanted`; None where it did not, and what came stays."""
        stream = self._open()
        deadline = time.monotonic() + within_s
        while wanted not in self._said:
            part = stream.read()
            self._said += part
            if not part:
                if time.monotonic() > deadline:
                    return None
                time.sleep(LOOK_S)
        at = self._said.index(wanted) + len(wanted)
        said, self._said = self._said[:at], self._said[at:]
        return said

    def _silent(self, what: str) -> BoardSilent:
        return BoardSilent(
            f"{self._name}: {what}. Check that MicroPython is on it, that nothing else is on its cable, and "
            "switch it off and on; then run again"
        )

    def _enter(self, within_s: float) -> None:
        """Bring the board into its raw REPL, whatever it does now."""
        stream = self._forget()
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            stream.write(INTERRUPT)
            self._until(b">>> ", min(2.0, within_s))
            stream.write(RAW)
            if self._until(RAW_PROMPT, min(3.0, within_s)) is not None:
                return
        raise self._silent(f"no REPL within {within_s:g} s; nothing was changed on it")

    def exec(self, program: str, greeting_s: float = GREETING_S) -> str:
        self._enter(greeting_s)
        stream = self._open()
        data = program.encode()
        for at in range(0, len(data), CHUNK_B):
            stream.write(data[at : at + CHUNK_B])
        stream.write(RUN)
        if self._until(b"OK", PROGRAM_S) is None:
            raise self._silent("it took no program")
        out, error = self._until(RUN, PROGRAM_S), self._until(RUN, PROGRAM_S)
        if out is None or error is None:
            raise self._silent(f"its program was not done within {PROGRAM_S:g} s")
        stream.write(FRIENDLY)
        if error[:-1].strip():
            raise BenchError(
                f"{self._name}: the program failed on the board; it does nothing until it is restarted:\n"
                + error[:-1].decode(errors="replace").strip()
            )
        return out[:-1].decode(errors="replace").replace("\r\n", "\n")

    def reset(self) -> None:
        """Reset the board and let go of the line, which a USB board takes away.

        What stands behind the OK is kept: a board that starts at once has said it.
        """
        self._enter(GREETING_S)
        self._open().write(HARD_RESET.encode() + RUN)
        if self._until(b"OK", 2.0) is None:
            self._said = b""
        self.close()

    def restart(self) -> None:
        self.reset()
        self._answers()
        self._open()
