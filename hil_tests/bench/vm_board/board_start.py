"""Power-on of the board on a serial line: mounts its flash image, then runs boot.py and main.py.

Arguments: flash image, block count, machine settings (JSON), "main" or "no-main", control line, cause of
the reset, offset of the clock in us. Runs with -i, so that a REPL follows main.py as on a board. It puts
nothing on the flash.
"""

import sys

sys.path[:] = [__file__.rsplit("/", 1)[0], ".frozen"]

import machine  # noqa: E402
import vfs  # noqa: E402

BLOCK_BYTES = 4096  # a sector of the W25Q16 on the W5500-EVB-Pico


class Flash:
    """A NOR flash chip kept in a file of the host: erase sets bits, every write goes through at once."""

    def __init__(self, path, count):
        self._file = open(path, "r+b")
        self._count = count
        self._first = self._file.seek(0, 2) - count * BLOCK_BYTES  # of a whole chip: at its end

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(self._first + block * BLOCK_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(self._first + block * BLOCK_BYTES + offset)
        self._file.write(buffer)
        self._file.flush()

    def ioctl(self, op, arg):
        if op == 4:
            return self._count
        if op == 5:
            return BLOCK_BYTES
        if op == 6:
            self.writeblocks(arg, b"\xff" * BLOCK_BYTES)
            return 0


def _mount(path, count, settings):
    machine.settings = settings
    flash = Flash(path, count)
    vfs.umount("/")
    try:
        vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=64), "/")
    except OSError:  # a chip from the factory: MicroPython's own start code formats it too
        vfs.VfsLfs2.mkfs(flash, progsize=256, readsize=64)
        vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=64), "/")


def _run(path):
    import os

    try:
        os.stat(path)
    except OSError:
        return
    try:
        execfile(path)  # noqa: F821
    except SystemExit:
        raise
    except BaseException as error:
        sys.print_exception(error)


def _start():
    import json

    image, count, settings, main, control, cause, rtc_offset_us = sys.argv[1:8]
    machine.cause = int(cause)
    machine.rtc_offset_us = int(rtc_offset_us)
    machine.control = open(control, "wb", buffering=0)
    with open(settings) as file:
        content = json.load(file)
    if content.get("pins"):
        machine.terminals = open(content["pins"], "r+b", buffering=0)
    _mount(image, int(count), content)
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    machine.control.write(b"S")
    _run("boot.py")
    if main == "main":
        _run("main.py")


_start()
