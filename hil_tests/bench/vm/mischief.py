"""What goes wrong inside an emulated controller: its heap, its tasks, its program, its flash.

The bench asks for it by bits in a grant; the firmware itself stays as it was shipped. It refuses to act in
silence: what it did is told on the console.
"""

import builtins
import gc

import bench_link

HOG, SHRED, BLOCK_4_S, BLOCK_20_S, STORM_LINE, STORM_CONTROL, FULL = 2, 4, 8, 16, 32, 64, 128
STAND = BLOCK_4_S | BLOCK_20_S  # both at once: the control task alone stands, all else goes on
LEFT_B = 6_144  # of the heap that HOG leaves
NEXT_TO_NOTHING_B = 256  # and that HOG and SHRED together leave
SHRED_B = 64
ENOSPC = 28

_kept = []
_tasks = []
_core = None
_called = {}  # name in the sources: the name that the bundle has for it
_open = builtins.open


def _hog(left):
    """Take the heap until so many bytes are left, and keep it until the next grant without the bit."""
    if _kept:
        return
    gc.collect()
    size = 4_096
    while size >= 64:
        if gc.mem_free() < left + size:
            size //= 2
            continue
        try:
            _kept.append(bytearray(size))
        except MemoryError:
            size //= 2
    print("mischief: heap taken, %d B are left" % gc.mem_free())


def _shred():
    """Take the heap in small pieces and give every second one back."""
    if _kept:
        return
    gc.collect()
    try:
        while gc.mem_free() > LEFT_B:
            _kept.append(bytearray(SHRED_B))
    except MemoryError:
        pass
    for i in range(0, len(_kept), 2):
        _kept[i] = None
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
    elif _kept:
        release()
    if bits & STORM_LINE:
        _throw("serve")
    if bits & STORM_CONTROL:
        _throw("guarded_control")
    if bits & STAND == STAND:
        _stand("guarded_control")
    elif bits & (BLOCK_4_S | BLOCK_20_S):
        seconds = 4 if bits & BLOCK_4_S else 20
        print("mischief: the program stands for %d s" % seconds)
        bench_link.link.block_until(bench_link.link.now_ms + seconds * 1000)


def release():
    """Give back what HOG or SHRED hold."""
    del _kept[:]
    builtins.open = _open
    print("mischief: heap given back")
