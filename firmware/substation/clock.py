"""The time of day as somebody authentic told it, kept on by the device's own uptime.

It refuses to guess: before it was set there is no time, and the loops then heat for comfort (S11). Nothing
reads it from the network; whoever proves a right to set it calls set().
"""


class Clock:
    """uptime: what advances with each control step."""

    def __init__(self, uptime):
        self._uptime = uptime
        self._set_to = None
        self._at_s = 0

    def set(self, unix_s):
        """Take unix_s, whole seconds since 1970 in UTC, as the time now; None: the time is not known."""
        self._set_to = unix_s
        self._at_s = self._uptime.advance()

    def unix_s(self):
        """Return the time in whole seconds, or None."""
        if self._set_to is None:
            return None
        return self._set_to + self._uptime.advance() - self._at_s
