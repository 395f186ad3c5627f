"""The ways a controller can fail to do what it was asked, as refusals that screens and scripts can show."""

from __future__ import annotations

from typing import Any

from ..errors import Refused, Unavailable


class DeviceLost(Unavailable):
    """No connection: nothing was sent."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__("device_lost", message, **facts)


class FieldTimeout(Unavailable):
    """Sent, but no answer came. `in_doubt` says that the controller may have acted on it."""

    http_status = 504

    def __init__(self, message: str, *, in_doubt: bool, **facts: Any) -> None:
        super().__init__("device_timeout", message, changed=False, in_doubt=in_doubt, **facts)
        self.in_doubt = in_doubt


class FieldRefused(Refused):
    """The controller answered with a Modbus exception; nothing was changed there."""

    def __init__(self, message: str, *, exception_code: int, **facts: Any) -> None:
        super().__init__("device_refused", message, exception_code=exception_code, **facts)
        self.exception_code = exception_code


class UnknownMap(Refused):
    """The controller serves a register map we do not have, or is another device: it is never written."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__("unknown_map", message, **facts)
