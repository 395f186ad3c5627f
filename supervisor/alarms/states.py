"""The states of an alarm and every way between them, after ISA-18.2 / IEC 62682.

It refuses an undefined pair of state and event, and any path by which an unacknowledged alarm
disappears without a person: only ACKNOWLEDGE and SHELVE, which carry a name, end that.
"""

from __future__ import annotations

NORMAL = "normal"
UNACKNOWLEDGED = "unacknowledged"  # active, nobody has taken note
ACKNOWLEDGED = "acknowledged"  # active, somebody has
RETURNED = "returned"  # no longer active, nobody has taken note (RTNUN)
SHELVED = "shelved"  # set aside by a person until a time, with a reason
STATES = (NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED, SHELVED)

RAISE = "raise"  # the condition holds
CLEAR = "clear"  # the condition holds no longer
ACKNOWLEDGE = "acknowledge"
SHELVE = "shelve"
UNSHELVE_ACTIVE = "unshelve_active"  # the time is over and the condition holds
UNSHELVE_NORMAL = "unshelve_normal"
REANNUNCIATE = "reannunciate"  # it outlived the cause it was grouped under
EVENTS = (RAISE, CLEAR, ACKNOWLEDGE, SHELVE, UNSHELVE_ACTIVE, UNSHELVE_NORMAL, REANNUNCIATE)

_WAYS: dict[tuple[str, str], str] = {
    (NORMAL, RAISE): UNACKNOWLEDGED,
    (NORMAL, SHELVE): SHELVED,  # before planned work
    (UNACKNOWLEDGED, CLEAR): RETURNED,
    (UNACKNOWLEDGED, ACKNOWLEDGE): ACKNOWLEDGED,
    (UNACKNOWLEDGED, SHELVE): SHELVED,
    (ACKNOWLEDGED, CLEAR): NORMAL,
    (ACKNOWLEDGED, SHELVE): SHELVED,
    (ACKNOWLEDGED, REANNUNCIATE): UNACKNOWLEDGED,
    (RETURNED, RAISE): UNACKNOWLEDGED,
    (RETURNED, ACKNOWLEDGE): NORMAL,
    (RETURNED, SHELVE): SHELVED,
    (SHELVED, UNSHELVE_ACTIVE): UNACKNOWLEDGED,
    (SHELVED, UNSHELVE_NORMAL): NORMAL,
}


def after(state: str, event: str) -> str:
    """Return the state after an event; an event that means nothing in a state leaves it.

    Raises ValueError for a state or event that does not exist.
    """
    if state not in STATES or event not in EVENTS:
        raise ValueError(f"{state!r} and {event!r} are no alarm state and event")
    return _WAYS.get((state, event), state)


class Delay:
    """Turns a raw condition into a qualified one: on after `on_s` without a gap, off after `off_s`."""

    def __init__(self, on_s: float, off_s: float, *, active: bool = False) -> None:
        self._on_s = on_s
        self._off_s = off_s
        self.active = active
        self._since: float | None = None  # when the raw condition began to differ

    def feed(self, raw: bool, now_s: float) -> bool:
        """Take the raw condition at this time (seconds) and return the qualified one."""
        if raw == self.active:
            self._since = None
            return self.active
        if self._since is None:
            self._since = now_s
        if now_s - self._since >= (self._on_s if raw else self._off_s):
            self.active = raw
            self._since = None
        return self.active

    @property
    def resting(self) -> bool:
        """Say whether it is off and nothing is pending."""
        return not self.active and self._since is None
