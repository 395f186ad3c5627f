"""Slow down guessing without ever locking a person out.

It refuses permanent lock-outs: the longest wait is a minute, it ends by itself, and a workplace where
this person has logged in before is never held up by failures elsewhere. The last operator of a night
shift can therefore always get in from her own desk (IEC 62443-3-3 SR 1.11).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import TooMany

FREE_TRIES = 3
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0  # own estimate: an attacker gets 1 440 tries a day and client, a person waits a minute
FORGET_S = 900.0
MOST_ENTRIES = 10_000  # failures remembered at once; the oldest go first


@dataclass
class _Failures:
    count: int
    last: float


class Backoff:
    """Failures by (name, client) and, for clients never seen with that name, by name alone."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: dict[tuple[str, str], _Failures] = {}

    def check(self, name: str, client: str, *, known: bool) -> None:
        """Raise TooMany with retry_after_s while this client must wait."""
        wait = self._wait((name, client))
        if not known:
            wait = max(wait, self._wait((name, "")))
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooMany(
                "login_backoff",
                f"Too many wrong passwords; the next try counts in {seconds} s. Nothing was locked.",
                retry_after_s=seconds,
            )

    def failed(self, name: str, client: str, *, known: bool) -> None:
        """Count a failure."""
        for key in ((name, client),) if known else ((name, client), (name, "")):
            entry = self._failures.pop(key, None)
            if entry is None or self._now() - entry.last > FORGET_S:
                entry = _Failures(0, 0.0)
            self._failures[key] = _Failures(entry.count + 1, self._now())
        while len(self._failures) > MOST_ENTRIES:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, name: str, client: str) -> None:
        """Forget this client's failures."""
        self._failures.pop((name, client), None)

    def _wait(self, key: tuple[str, str]) -> float:
        entry = self._failures.get(key)
        if entry is None or entry.count < FREE_TRIES:
            return 0.0
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(10, entry.count - FREE_TRIES))
        return max(0.0, entry.last + wait - self._now())
