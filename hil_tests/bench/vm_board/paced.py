"""Runs the whole controller in the host's time and tells when each control step began.

Arguments: device folder, how many control periods. Prints "listening", then one line of JSON: "periods_ms"
of the control task and "heap_b", the heap in use after a collection. It judges nothing.
"""

import sys

sys.path[:] = [__file__.rsplit("/", 1)[0], ".frozen"]

import machine  # noqa: E402
import vfs  # noqa: E402

machine.settings = {
    "device_id": "0011223344556677",
    "counts": [25904, 31007, 28782, 29609, 28782, 27403, 14894, 13107],
}
vfs.umount("/")
vfs.mount(vfs.VfsPosix(sys.argv[1]), "/")
sys.path[:] = ["", ".frozen", "/lib"]

import asyncio  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
from time import ticks_diff, ticks_us  # noqa: E402

os.chdir("/")
import boards  # noqa: E402
from substation import app  # noqa: E402

_wanted = int(sys.argv[2]) + 1
_began = []
_step = app.Controller.step


def _timed_step(self):
    _began.append(ticks_us())
    hold_ms = _step(self)
    if len(_began) == _wanted:
        gc.collect()
        periods_ms = [ticks_diff(_began[k], _began[k - 1]) / 1000 for k in range(1, _wanted)]
        print(json.dumps({"periods_ms": periods_ms, "heap_b": gc.mem_alloc()}))
        raise SystemExit
    return hold_ms


app.Controller.step = _timed_step
asyncio.run(app.run(boards))
