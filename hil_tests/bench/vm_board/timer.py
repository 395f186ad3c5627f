"""`machine.Timer` in the host's time: a thread of each timer asks the program to call back, where it is.

That is at its next bytecode, or in a sleep_ms; between asyncio's tasks, because the wait is cut at the next
due time. A VM under Unix calls nobody back while it waits for input, in its REPL, in time.sleep or in a
poll of the program's own: then it does so afterwards, once. So a callback that feeds the watchdog is
board.py's: it is found by calling it at the start, where this program has made a watchdog, and fed while
the VM lives.
"""

import _thread
import sys
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import machine
import micropython

_LOOK_MS = 20  # a timer that was stopped is noticed so soon
_running = []


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id=-1, **settings):
        if id != -1:
            raise ValueError("Timer doesn't exist")  # as the RP2's
        self._round = 0  # of the start that counts; a thread of an earlier one ends
        self._asked = self._feeds = False
        self._due_ms = 0
        self._ask = self._call
        if settings:
            self.init(**settings)

    def init(self, *, mode=PERIODIC, freq=-1, period=-1, tick_hz=1000, callback=None, hard=False):
        """Start, or start anew. Whole milliseconds."""
        self.deinit()
        period_ms = int(1000 / freq if freq > 0 else period * 1000 / tick_hz)
        if period_ms < 1:
            raise ValueError("a timer of the emulated board lasts 1 ms or more")
        self._callback = callback
        self._repeats = mode == Timer.PERIODIC
        if machine.WDT.made and self._repeats and callback is not None:
            before = machine.WDT.feeds
            callback(self)
            if machine.WDT.feeds > before:
                self._feeds = True
                machine.tell(b"T%d." % period_ms)
                return
        self._due_ms = ticks_add(ticks_ms(), period_ms)
        _running.append(self)
        _cut_waits()
        _thread.start_new_thread(self._run, (self._round, period_ms))

    def deinit(self):
        self._round += 1
        if self in _running:
            _running.remove(self)
        if self._feeds:
            self._feeds = False
            machine.tell(b"T0.")

    def _run(self, round, period_ms):
        """Ask for the callback at each due time, in a thread of its own: it allocates nothing."""
        while self._round == round:
            left_ms = ticks_diff(self._due_ms, ticks_ms())
            if left_ms > 0:
                sleep_ms(min(left_ms, _LOOK_MS))
                continue
            if not self._asked:
                self._asked = True
                try:
                    micropython.schedule(self._ask, round)
                except RuntimeError:  # too many ask at once: the next time, then
                    self._asked = False
            while ticks_diff(self._due_ms, ticks_ms()) <= 0:
                self._due_ms = ticks_add(self._due_ms, period_ms)

    def _call(self, round):
        self._asked = False
        if self._round != round:
            return
        if not self._repeats:
            self.deinit()
        if self._callback is not None:
            self._callback(self)  # the VM tells of an error, and the timer goes on, as on a board


def _cut_waits():
    """Let asyncio, where the program has it, wait no longer than to the next due time."""
    core = sys.modules.get("asyncio.core")
    if core is None or hasattr(core, "_timers"):
        return
    core._timers = True
    stock = core.IOQueue.wait_io_event

    def wait_io_event(self, dt):
        while True:
            cut = dt
            for timer in _running:
                left_ms = max(1, ticks_diff(timer._due_ms, ticks_ms()) + 1)
                cut = left_ms if cut < 0 else min(cut, left_ms)
            stock(self, cut)
            # without a task that is due some time, asyncio wants one that is due now
            if dt >= 0 or core._task_queue.peek():
                return

    core.IOQueue.wait_io_event = wait_io_event
