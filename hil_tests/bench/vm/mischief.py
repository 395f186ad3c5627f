"""What goes wrong inside an emulated controller: its heap, its tasks, its program, its flash.

The bench asks for it by bits in a grant; the firmware itself stays as it was shipped. It refuses to act in
silence: what it did is told on the console.
"""

import builtins
import gc
import sys

import bench_link

HOG, SHRED, BLOCK_4_S, BLOCK_20_S, STORM_LINE, STORM_CONTROL, FULL = 2, 4, 8, 16, 32, 64, 128
STAND = STORM_LINE | STORM_CONTROL  # together: the control task alone stands, all else goes on
TICKS = BLOCK_4_S | BLOCK_20_S  # together: no mischief, only what the program's clock says
LEFT_B = 6_144  # of the heap that HOG leaves
NEXT_TO_NOTHING_B = 256  # and that HOG and SHRED together leave
SHRED_B = 64
SLACK_B = 256  # holes of this many bytes are not worth another turn
BLOCK_B = 32  # of the 64-bit VM's collector
ENOSPC = 28

_kept = None  # (block, those before): a list would need room to grow
_tasks = []
_core = None
_called = {}  # name in the sources: the name that the bundle has for it
_open = builtins.open


def _take(size, least):
    """Take all that the heap gives, in blocks of `size` and ever smaller ones down to `least` bytes."""
    global _kept
    while size >= least:
        try:
            _kept = (bytearray(size), _kept)
        except MemoryError:
            size //= 2


def _hog(left):
    """Take the heap until so many bytes are left, in one block as far as there is one, and keep it.

    Asked again it takes what has become free since.
    """
    global _kept
    gc.collect()
    if gc.mem_free() <= left + SLACK_B:
        return
    spared, wanted, size = None, left, left
    while wanted and size >= BLOCK_B:
        try:
            spared = (bytearray(size), spared)
            wanted -= size
            size = min(size, wanted)
        except MemoryError:
            size //= 2
    first = _kept is None
    _take(4_096, BLOCK_B)
    try:
        while True:
            _kept = (None, _kept)  # holes of one block
    except MemoryError:
        pass
    spared = None
    gc.collect()
    if first:
        print("mischief: heap taken, %d B are left" % gc.mem_free())


def _shred():
    """Take the heap in small pieces and give every second one back."""
    global _kept
    if _kept is not None:
        return
    gc.collect()
    given = None
    try:
        while True:
            _kept = (bytearray(SHRED_B), _kept)
            given = (bytearray(SHRED_B), given)
    except MemoryError:
        pass
    given = None
    gc.collect()
    print("mischief: heap shredded, %d B are free" % gc.mem_free())


def called(names):
    """Know the coroutines that serve and that control by their names in the bundle, comma between."""
    _called["serve"], _called["guarded_control"] = names.split(",")


def watch(queue):
    """Know every task from its making on. queue: the module that holds Task."""
    global _core
    _core = queue._core
    made = queue.Task.__init__

    def init(self, coro, globals=None):
        made(self, coro, globals)
        _tasks.append(self)

    queue.Task.__init__ = init


def _throw(name):
    """Let the task whose outermost coroutine has this name end by an exception at its next turn."""
    mark = "'%s'" % _called[name]
    found = [task for task in _tasks if mark in repr(task.coro) and not task.done()]
    ran_last = _core.cur_task
    _core.cur_task = None  # between two tasks none runs, and the one that ran last can be cancelled as well
    for task in found:
        task.cancel()
        task.data = RuntimeError("mischief")
    _core.cur_task = ran_last
    print("mischief: %d task '%s' thrown out" % (len(found), name))


def _stand(name):
    """Let the task whose outermost coroutine has this name never have a turn again, and not end either."""
    mark = "'%s'" % _called[name]
    queue = _core._task_queue
    found = [task for task in _tasks if mark in repr(task.coro) and task in queue._tasks]
    for task in found:
        queue.remove(task)
    print("mischief: %d task '%s' stands" % (len(found), name))


def _refuse(path, mode="r", *more, **named):
    if "w" in mode or "a" in mode or "+" in mode:
        print("mischief: no space for %s" % path)
        raise OSError(ENOSPC)
    return _open(path, mode, *more, **named)


def act(bits):
    """Do what the bits of this grant ask for."""
    builtins.open = _refuse if bits & FULL else _open
    if bits & HOG:
        _hog(NEXT_TO_NOTHING_B if bits & SHRED else LEFT_B)
    elif bits & SHRED:
        _shred()
    elif _kept is not None:
        release()
    if bits & STAND == STAND:
        _stand("guarded_control")
    elif bits & STORM_LINE:
        _throw("serve")
    elif bits & STORM_CONTROL:
        _throw("guarded_control")
    if bits & TICKS == TICKS:
        print("mischief: ticks_ms() is %d" % sys.modules["time"].ticks_ms())
    elif bits & TICKS:
        seconds = 4 if bits & BLOCK_4_S else 20
        print("mischief: the program stands for %d s" % seconds)
        bench_link.link.block_until(bench_link.link.now_ms + seconds * 1000)


def release():
    """Give back what HOG or SHRED hold."""
    global _kept
    _kept = None
    builtins.open = _open
    print("mischief: heap given back")
