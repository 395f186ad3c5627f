"""`machine.Timer` in virtual time: to the millisecond, in a sleep and between asyncio's tasks.

Whoever runs this source gives it `link`. A callback runs when its time has come and no other does; what it
missed in a callback that slept is made up for by one call. Nothing interrupts a program between two sleeps,
because no time passes there.
"""

import sys

import bench_link
import virtual_asyncio

_running = []  # in the order of their start, which is that of equal times
_calling = False


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id=-1, **settings):
        if id != -1:
            raise ValueError("Timer doesn't exist")  # as the RP2's
        if settings:
            self.init(**settings)

    def init(self, *, mode=PERIODIC, freq=-1, period=-1, tick_hz=1000, callback=None, hard=False):
        """Start, or start anew. Whole milliseconds."""
        self.deinit()
        self._period_ms = int(1000 / freq if freq > 0 else period * 1000 / tick_hz)
        if self._period_ms < 1:
            raise ValueError("a timer of the emulated board lasts 1 ms or more")
        self._repeats = mode == Timer.PERIODIC
        self._callback = callback
        self.due_ms = link.now_ms + self._period_ms  # noqa: F821
        _running.append(self)

    def deinit(self):
        if self in _running:
            _running.remove(self)

    def call(self):
        global _calling
        if self._repeats:
            self.due_ms += self._period_ms * (1 + (link.now_ms - self.due_ms) // self._period_ms)  # noqa: F821
        else:
            _running.remove(self)
        if self._callback is None:
            return
        _calling = True
        try:
            self._callback(self)
        except Exception as error:  # told, and the timer goes on, as on a board
            sys.print_exception(error)
        finally:
            _calling = False


def _next_until(t_ms):
    """Return the timer that is due first, by t_ms; None inside a callback."""
    first = None
    if not _calling:
        for timer in _running:
            if timer.due_ms <= t_ms and (first is None or timer.due_ms < first.due_ms):
                first = timer
    return first


def _with_timers(stock):
    def block_until(self, t_ms):
        timer = _next_until(t_ms)
        while timer is not None:
            stock(self, max(timer.due_ms, self.now_ms))
            timer.call()
            timer = _next_until(t_ms)
        stock(self, max(t_ms, self.now_ms))

    return block_until


def _waiting_with_timers(stock):
    def wait_io_event(self, dt):
        if dt == 0:
            return
        while True:
            until_ms = min(link.until_ms, link.now_ms + dt if dt > 0 else bench_link.FOREVER_MS)  # noqa: F821
            timer = _next_until(until_ms)
            if timer is None:
                stock(self, dt)
            else:
                link.move_to(max(timer.due_ms, link.now_ms))  # noqa: F821
                timer.call()
            # without a task that is due some time, asyncio wants one that is due now
            if dt > 0 or virtual_asyncio._core._task_queue.peek():
                return

    return wait_io_event


bench_link.Link.block_until = _with_timers(bench_link.Link.block_until)
_queue = virtual_asyncio._core.IOQueue
_queue.wait_io_event = _waiting_with_timers(_queue.wait_io_event)
