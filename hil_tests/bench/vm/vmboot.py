"""Power-on of an emulated controller: hands the shipped bundle a board, then runs it as a board does.

Arguments: bench host, bench port, device index, device folder, UART=FILE NUMBER,BAUD,PARITY for each serial
line, ticks=NUMBER, what ticks_ms() says at the start, and mischief=NAME,NAME for a board that can be broken
from inside: what its program calls the coroutines that serve and that control. The device folder
becomes `/`. It adds nothing to the bundle and leaves nothing out.
"""

import sys

sys.path[:] = [__file__.rsplit("/", 1)[0], ".frozen"]

import random  # noqa: E402

import bench_link  # noqa: E402

bench_link.connect(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

for wired in sys.argv[5:]:
    uart, handle = wired.split("=")
    if uart == "ticks":
        bench_link.link.first_tick = int(handle)
        continue
    if uart == "mischief":
        bench_link.link.mischief = __import__("mischief")
        bench_link.link.mischief.called(handle)
        continue
    handle, baud, parity = handle.split(",")
    bench_link.link.uarts[int(uart)] = open(int(handle), "r+b", buffering=0)
    parity = {"even": 0, "odd": 1, "none": None}[parity]
    bench_link.link.line_settings[int(uart)] = (int(baud), 8, parity)

import virtual_time  # noqa: E402

sys.modules["time"] = virtual_time

import machine  # noqa: E402
import seeded_os  # noqa: E402
import vfs  # noqa: E402
import virtual_asyncio  # noqa: E402

if bench_link.link.mischief is not None:
    bench_link.link.mischief.watch(virtual_asyncio)

sys.modules["os"] = seeded_os
random.seed(int.from_bytes(bench_link.link.entropy[:4], "big"))
vfs.umount("/")
vfs.mount(vfs.VfsPosix(sys.argv[4]), "/")
seeded_os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
sys.argv[:] = []


def _run(path):
    """Run a file of the device the way a board does: a traceback ends the program, not the board."""
    try:
        seeded_os.stat(path)
    except OSError:
        return
    try:
        execfile(path)  # noqa: F821
    except SystemExit:
        if bench_link.link.gone:
            raise
        bench_link.link.reset(machine.SOFT_RESET)
    except BaseException as error:
        sys.print_exception(error)


_run("boot.py")
_run("main.py")
if bench_link.link.mischief is None or bench_link.link.bite_ms == bench_link.FOREVER_MS:
    bench_link.link.ended = bench_link.FLAG_ENDED  # what broke it on purpose waits for the watchdog
print("the program has ended; only the watchdog is left")
bench_link.link.block_until(bench_link.FOREVER_MS)
