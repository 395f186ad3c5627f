"""What stock asyncio needs to obey virtual time: its task queue, its task, and its wait.

The C `_asyncio` stamps tasks with the host's clock, which gives a plausible but wrong run; here the
stamp is virtual. While nothing is due inside the grant, sockets are served in real time with the clock
standing. It refuses to look at a socket between two due tasks: what happens inside a grant depends on
the grant alone.
"""

import select
import sys

from bench_link import link
from virtual_time import ticks_diff, ticks_ms


class TaskQueue:
    """Tasks by due time, and by arrival where the times are equal."""

    def __init__(self):
        self._tasks = []  # the next one last, so taking it moves nothing

    def peek(self):
        return self._tasks[-1] if self._tasks else None

    def push(self, task, key=None):
        task.data = None
        task.ph_key = key = ticks_ms() if key is None else key
        tasks = self._tasks
        at = len(tasks)
        # invariant: every task at or right of `at` is due no later than the new one
        while at and ticks_diff(tasks[at - 1].ph_key, key) <= 0:
            at -= 1
        tasks.insert(at, task)

    def pop(self):
        return self._tasks.pop()

    def remove(self, task):
        self._tasks.remove(task)


class Task:
    """`state`: True running, a TaskQueue of those who wait for it, None ended, False ended and awaited."""

    def __init__(self, coro, globals=None):
        self.coro = coro
        self.data = None  # the queue it waits on, the task it waits for, its exception, or its result
        self.state = True
        self.ph_key = 0

    def __iter__(self):
        if not self.state:
            self.state = False
        elif self.state is True:
            self.state = TaskQueue()
        elif not isinstance(self.state, TaskQueue):
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise self.data
        waiter = _core.cur_task
        self.state.push(waiter)
        waiter.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        if self is _core.cur_task:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):  # it is the innermost one that stands in a queue
            task = task.data
        queue = _core._task_queue
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            queue.push(task)
        elif ticks_diff(task.ph_key, ticks_ms()) > 0:
            queue.remove(task)
            queue.push(task)
        task.data = _core.CancelledError
        return True


sys.modules["_asyncio"] = sys.modules[__name__]

import asyncio.core as _core  # noqa: E402  it takes TaskQueue and Task from the line above


def _make_queue(stock_init):
    def __init__(self):
        stock_init(self)
        self.poller.register(link.socket, select.POLLIN)

    return __init__


def _wait_io_event(self, dt):
    """Move time to the next task, or report and serve sockets until the bench grants more."""
    if dt == 0:
        return
    due = link.now_ms + dt
    if dt > 0 and due <= link.until_ms:
        link.move_to(due)
        return
    link.move_to(link.until_ms)
    if not link.reported:
        link.report()
    for stream, event in self.poller.ipoll(-1):
        if stream is link.socket:
            link.take_grant()
            continue
        waiting = self.map[id(stream)]  # [task that reads, task that writes, stream]
        for side, other in ((0, select.POLLOUT), (1, select.POLLIN)):
            if waiting[side] is not None and event & ~other:
                _core._task_queue.push(waiting[side])
                waiting[side] = None
        if waiting[0] is waiting[1]:  # both None
            self._dequeue(stream)
        else:
            self.poller.modify(stream, select.POLLOUT if waiting[0] is None else select.POLLIN)


_core.IOQueue.__init__ = _make_queue(_core.IOQueue.__init__)
_core.IOQueue.wait_io_event = _wait_io_event
_core._io_queue = _core.IOQueue()
