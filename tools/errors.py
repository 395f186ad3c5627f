"""The one error of the tools: a stable code for scripts and a sentence for people.

It refuses to be raised without saying whether anything was changed.
"""

FAILED = 1  # a check failed, or the other side refused
WRONG_USE = 2
UNREACHABLE = 3
NOT_IN_USE = 4  # all was done, and something else runs
INTERRUPTED = 130  # as a shell counts a Ctrl-C


class ToolError(Exception):
    """Who, what, why, what now. `code` never changes between releases; `message` may."""

    def __init__(self, code: str, message: str, *, exit_status: int = FAILED, changed: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.exit_status = exit_status
        self.changed = changed
