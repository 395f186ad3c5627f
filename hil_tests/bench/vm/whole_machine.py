"""Power-on of a controller whose `machine` also has I2C and Timer; the rest is vmboot.py's, which it runs.

Apart from vmboot.py, because the heap in use stands in a register: a house that has neither must not differ
by a byte. Each part is read when the program first asks for it.
"""

import sys

sys.path[:] = [__file__.rsplit("/", 1)[0], ".frozen"]

import bench_link  # noqa: E402
import vfs  # noqa: E402

_bench = vfs.VfsPosix(__file__.rsplit("/", 2)[0])  # `/` will be the device's flash
_connect = bench_link.connect


def _part(name):
    paths = {"I2C": "/vm_parts/i2c.py", "Timer": "/vm/timer.py"}
    if name not in paths:
        raise AttributeError(name)
    link = bench_link.link
    names = {"__name__": name, "link": link, "CHANNELS": 15, "counts": link.counts,
             "now_us": lambda: link.now_ms * 1000}  # fmt: skip
    with _bench.open(paths[name], "r") as file:
        exec(file.read(), names)
    import machine

    setattr(machine, name, names[name])
    return names[name]


def _connect_whole(host, port, index):
    made = _connect(host, port, index)
    import machine

    machine.__getattr__ = _part
    return made


bench_link.connect = _connect_whole
execfile(__file__.rsplit("/", 1)[0] + "/vmboot.py")  # noqa: F821
