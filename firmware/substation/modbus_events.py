"""Wakes the Modbus tasks when a socket or a serial line of theirs has something, without using up heap.

asyncio's own way makes a list, a dictionary entry and a poll entry for every wait and drops them at the
event: 200 to 300 bytes a request. Here a stream is entered once, in the very poll object that asyncio waits
on, so time is waited for as asyncio waits, on a board or on the bench. It refuses to hide other
people's streams: their events are handed on.
"""

from asyncio import core


class Waiter:
    """One task that waits for any of its seats, or until a time."""

    def __init__(self):
        self.waiting = False
        self._timed = False
        self._task = None

    def wait(self):
        """Arrange to be woken by the next event; the caller yields right after."""
        self._task = core.cur_task
        self._task.data = self  # so that a cancelled task is taken from here
        self.waiting = True
        self._timed = False

    def wait_until(self, due_ms):
        """Arrange to be woken by the next event, or at due_ms (ticks)."""
        self._task = core.cur_task
        core._task_queue.push(self._task, due_ms)
        self.waiting = self._timed = True

    def wake(self):
        if self._timed:
            core._task_queue.remove(self._task)
        self.waiting = False
        core._task_queue.push(self._task)

    def remove(self, task):
        """The task is being cancelled: it is queued by whoever does that."""
        self.waiting = False


class Seat:
    """A stream's place: what it last told, and who is woken by that."""

    def __init__(self, waiter):
        self.ready = 0  # event bits since the task last looked
        self.waiter = waiter


class Events:
    """Stands in for the poll object of asyncio's I/O queue."""

    def __init__(self, queue):
        poller = queue.poller
        self._ipoll = poller.ipoll
        self.register = poller.register
        self.modify = poller.modify
        self.unregister = poller.unregister
        self._seats = {}
        self._woke = False
        queue.poller = self
        # a loop with nothing due ends when nobody waits for a stream; someone always does now
        queue.map[id(self)] = [None, None, self]

    def enter(self, stream, seat, mask):
        """Watch the stream; mask: select.POLLIN or POLLOUT."""
        self._seats[id(stream)] = seat
        self.register(stream, mask)

    def leave(self, stream):
        self.unregister(stream)
        del self._seats[id(stream)]

    def ipoll(self, timeout_ms=-1):
        """Wait as the poll object does; mark and wake our own, return the others' (stream, event)."""
        if self._woke and timeout_ms == 0:
            self._woke = False  # the task just woken is due at once: asking the system again costs 10 %
            return ()
        self._woke = False
        others = ()
        for stream, event in self._ipoll(timeout_ms):
            seat = self._seats.get(id(stream))
            if seat is None:
                others += ((stream, event),)
                continue
            seat.ready |= event
            waiter = seat.waiter
            if waiter.waiting:
                waiter.wake()
                self._woke = True
        return others


def events():
    """Return the events of the running loop, set up at the first call."""
    queue = core._io_queue
    return queue.poller if isinstance(queue.poller, Events) else Events(queue)
