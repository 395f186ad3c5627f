"""Files that are there whole or not at all: written beside their place, flushed, then renamed.

It refuses to leave a half-written file behind, and to fail without saying that the old one is still there.
"""

import os
from pathlib import Path

from .errors import WRONG_USE, ToolError

PRIVATE = 0o600  # for its owner alone
OPEN = 0o666  # less what the user's umask takes


def write_whole(path: Path, content: bytes, *, mode: int = OPEN) -> None:
    """Replace `path` by `content`, so that a crash leaves the old file or the new one.

    Missing folders are made. ToolError cannot_write.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as reason:
        raise ToolError(
            "cannot_write",
            f"{path} could not be written: {reason.strerror}; what was there before is unchanged. "
            "See to the path, its rights and the space there, then repeat.",
            exit_status=WRONG_USE,
        ) from reason
