"""A board at the end of a USB cable or a pty, spoken to by stock mpremote, one command at a time.

It refuses to send anything that mpremote itself would not, so it works with every board that mpremote
knows. Programs for the board are short MicroPython texts; what they print is their answer.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import UNREACHABLE, ToolError

COMMAND_TIMEOUT_S = 120.0
# Until the first answer: a board takes 1 to 5 s into its raw REPL; one that is silent for longer is none.
GREETING_TIMEOUT_S = 20.0
PLACE = "{path}.new"  # a file gets its own name only when it is whole

# The firmware's watchdog runs on when its program is interrupted, and nothing stops it: left alone it would
# reset the board in the middle of a copy. To start it again with the same timeout (substation/app.py) does no
# more than feed it. Timer -1 is a virtual one, on rp2 and stm32; MicroPython 1.26 on the esp32 has the chip's
# own only. A board without our program gets no watchdog by this. A folder of the program is enough, because
# a copy that was broken off leaves no main.py.
FEED = """
import os, machine
def _feed(timer):
    _watchdog.feed()
_names = os.listdir('/')
if hasattr(machine, 'WDT') and ('main.py' in _names or 'substation' in _names):
    _watchdog = machine.WDT(timeout=8000)
    _watchdog.feed()
    try:
        _feeder = machine.Timer(-1, period=1000, callback=_feed)
    except ValueError:
        _feeder = machine.Timer(0, period=1000, callback=_feed)
"""

# Prints one JSON line: free bytes, and SHA-256 by path of the files in the root and the named folders.
LIST = """
import gc, os, json, hashlib
from binascii import hexlify
gc.collect()
def _sum(path):
    h = hashlib.sha256()
    buffer = bytearray(512)
    with open(path, 'rb') as f:
        while True:
            n = f.readinto(buffer)
            if not n:
                break
            h.update(memoryview(buffer)[:n])
    return hexlify(h.digest()).decode()
def _list(folders):
    # file by file: the whole list in one string does not fit beside a program that was interrupted
    v = os.statvfs('/')
    print('{"free_b": %d, "files": {' % (v[0] * v[3]), end='')
    comma = ''
    for folder in [''] + folders:
        try:
            names = os.listdir('/' + folder)
        except OSError:
            continue
        for name in names:
            path = folder + '/' + name if folder else name
            if not os.stat('/' + path)[0] & 0x4000:
                print('%s%s: "%s"' % (comma, json.dumps(path), _sum('/' + path)), end='')
                comma = ', '
    print('}}')
"""

# Gives a finished file its name; prints the digest it found. first: called when the file has proved whole.
RENAME = """
def _keep(path, digest, first=None):
    got = _sum(path + '.new')
    if got == digest:
        if first:
            first()
        os.rename(path + '.new', path)
    print(got)
"""


class SerialLine:
    """`port` as mpremote takes it: /dev/ttyACM0, a pty, id:… or auto."""

    def __init__(self, port: str) -> None:
        self.port = port
        self._in_raw_repl = False

    def greet(self, timeout_s: float = GREETING_TIMEOUT_S) -> None:
        """Bring the board into its raw REPL; ToolError board_unreachable when nothing answers like a board.

        The soft reset frees the heap of the program that ran, and keeps main.py from starting. It ends every
        timer and no watchdog, so that one is fed before and by a timer of its own afterwards.
        """
        if self.port.startswith("/") and not Path(self.port).exists():
            raise self._silent("there is no such port; look with: mpremote connect list")
        self._mpremote("exec", FEED, "soft-reset", "exec", FEED, timeout_s=timeout_s)

    def _mpremote(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        # without `resume` mpremote would reset the board softly, and that ends the timer that feeds
        command = [sys.executable, "-m", "mpremote", "connect", self.port, "resume", *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
        except subprocess.TimeoutExpired as reason:
            raise self._silent(f"no answer within {timeout_s:g} s") from reason
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        if done.returncode:
            cause = said[-1] if said else f"mpremote ended with {done.returncode}"
            if "Traceback (most recent call last)" in done.stderr and "mpremote" not in done.stderr:
                raise ToolError("board_failed", f"{self.port}: the board reported: {cause}", changed=True)
            raise self._silent(cause)
        self._in_raw_repl = True
        return done.stdout

    def _silent(self, cause: str) -> ToolError:
        kept = (
            "What was copied so far stays; run the command again and it goes on."
            if self._in_raw_repl
            else "Nothing was changed on it."
        )
        return ToolError(
            "board_unreachable",
            f"{self.port}: {cause}. Check the cable, that no other program holds the port, and that you may "
            f"use it (group dialout). {kept}",
            exit_status=UNREACHABLE,
            changed=self._in_raw_repl,
        )

    def run(self, program: str) -> str:
        """Run a MicroPython program on the board and return what it printed."""
        return self._mpremote("exec", program)

    def answer(self, program: str) -> Any:
        """Run a program whose last line is JSON and return that."""
        said = self.run(program).strip().splitlines()
        try:
            return json.loads(said[-1])
        except (ValueError, IndexError) as reason:
            text = said[-1][:120] if said else "nothing"
            raise ToolError("board_odd", f"{self.port}: the board answered {text!r}") from reason

    def listing(self, folders: Iterable[str]) -> tuple[dict[str, str], int]:
        """Return SHA-256 by path of the files in the root and in `folders`, and the free bytes."""
        answer = self.answer(f"{LIST}\n_list({list(folders)!r})")
        return answer["files"], answer["free_b"]

    def make_folders(self, folders: Iterable[str]) -> None:
        """Make the folders that are missing."""
        self.run(
            "import os\n"
            f"for folder in {sorted(folders)!r}:\n"
            "    try:\n        os.mkdir('/' + folder)\n"
            "    except OSError:\n        os.listdir('/' + folder)\n"
        )

    def put(self, source: Path, path: str, first: str = "") -> None:
        """Copy a file so that at `path` there is the old one or the whole new one, and prove its digest.

        first: a program that defines `_first()`, for the board to call between the proof and the renaming.
        """
        then = ", _first" if first else ""
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        got = self._mpremote(
            "fs", "cp", "-f", str(source), f":/{PLACE.format(path=path)}", "+", "exec",
            f"{LIST}{RENAME}{first}\n_keep('/{path}', '{digest}'{then})",
        ).strip().splitlines()  # fmt: skip
        if digest not in got:  # before or, through a pipe, behind what mpremote says of the copy
            raise ToolError(
                "copy_damaged",
                f"{self.port}: {path} arrived with another SHA-256; the old file is still in place. "
                "Try another cable, then run the command again.",
                changed=True,
            )

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; missing ones do not matter."""
        self.run(
            "import os\n"
            f"for path in {sorted(paths)!r}:\n"
            "    try:\n        os.remove('/' + path)\n    except OSError:\n        pass\n"
        )

    def reset(self) -> None:
        """Reset the board; it starts its program."""
        self._mpremote("reset")
        self._in_raw_repl = False
