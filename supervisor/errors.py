"""The ways this supervisor says no: each with a stable code, a sentence and whether anything changed.

It refuses to know about HTTP beyond the one number that every refusal maps to, so that a service
can raise and a route need not translate.
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that was not carried out, or not wholly; `code` is for scripts, `message` for people.

    `changed` says whether anything was changed before the refusal; `facts` are extra JSON values.
    """

    http_status = 400

    def __init__(self, code: str, message: str, *, changed: bool = False, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.changed = changed
        self.facts = facts

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON body of the refusal."""
        return {"code": self.code, "message": self.message, "changed": self.changed, **self.facts}


class NotLoggedIn(Refusal):
    """Nobody, or a session that has ended."""

    http_status = 401


class NotAllowed(Refusal):
    """A known person without the right."""

    http_status = 403


class NotFound(Refusal):
    """No such device, point, order, alarm or person."""

    http_status = 404


class Conflict(Refusal):
    """The state is no longer what the request assumed, or somebody else comes first."""

    http_status = 409


class Refused(Refusal):
    """The request is understood and outside what may be done."""

    http_status = 422


class TooMany(Refusal):
    """Too often; `facts["retry_after_s"]` says when again."""

    http_status = 429


class Unavailable(Refusal):
    """Something the request needs does not work now: audit, disk, device."""

    http_status = 503
