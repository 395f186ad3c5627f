"""Who still works: every task marks its progress, and only a full set of marks feeds the watchdog.

It refuses to restart anything itself: it tells which task stands still.
"""

from time import ticks_diff, ticks_ms


class Progress:
    """names: the control tasks; allowed_ms: how long each may go without a mark."""

    def __init__(self, names, allowed_ms):
        self.names = names
        self._allowed_ms = allowed_ms
        self._marked = [ticks_ms() for _ in names]
        self.restarts = 0  # of communication tasks since boot

    def restarted(self):
        """Count a communication task that was begun again."""
        self.restarts += 1

    def mark(self, task):
        """task: the position in names."""
        self._marked[task] = ticks_ms()

    def standing(self):
        """Return the position of a task that made no progress in time, or -1 when all did."""
        now = ticks_ms()
        for task in range(len(self._marked)):
            if ticks_diff(now, self._marked[task]) > self._allowed_ms[task]:
                return task
        return -1
