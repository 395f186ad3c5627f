"""The time of day as somebody authentic told it, kept on by the device's own uptime.

It refuses to guess: before it was set there is no time, and the loops then heat for comfort (S11). Nothing
reads it from the network; whoever proves a right to set it calls set().

It refuses to be led: who could set it anywhere at any time could keep a house in its night for ever, past
every budget, and begin a run against legionella when people shower. While the time is known, orders move
it by no more than a quartz explains, and a restart that the device brings about leaves it known (`boots`).
It goes anywhere after a power cut, under a later epoch of the keys, and in service mode, each of which needs
somebody at the house or at the vault.
"""

MOVED_MOST_S = 600  # 50 ppm are 4 s a day, and a supervisor may be away for months [estimate]
STEADY = 144  # seconds of uptime since it was set last that let it be moved by one: 10 min a day


class Clock:
    """uptime: what advances with each control step."""

    def __init__(self, uptime):
        self._uptime = uptime
        self._set_to = None
        self._at_s = 0
        self.free = True  # an order may set it to any time

    def set(self, unix_s):
        """Take unix_s, whole seconds since 1970 in UTC, as the time now; None: the time is not known."""
        self._set_to = unix_s
        self._at_s = self._uptime.advance()
        self.free = unix_s is None

    def unix_s(self):
        """Return the time in whole seconds, or None."""
        if self._set_to is None:
            return None
        return self._set_to + self._uptime.advance() - self._at_s

    def may(self, unix_s):
        """Say whether an order may set it so from afar."""
        since_s = self._uptime.advance() - self._at_s
        return self.free or abs(unix_s - self._set_to - since_s) <= min(MOVED_MOST_S, since_s // STEADY)
