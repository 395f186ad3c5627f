"""Read a JSON file that somebody wrote by hand, or say in one sentence what is wrong with it.

It refuses to judge what the content means: that is the reader's.
"""

import json
from pathlib import Path
from typing import Any

from .errors import WRONG_USE, ToolError


def read_json(path: Path, code: str, kept: str) -> Any:
    """Return the content, or raise a ToolError of this code. kept: how it ends, "nothing was changed"."""
    try:
        return json.loads(path.read_text())
    except OSError as reason:
        raise ToolError(code, f"{path}: {reason.strerror}; {kept}", exit_status=WRONG_USE) from reason
    except ValueError as reason:
        raise ToolError(code, f"{path} is no JSON: {reason}; {kept}", exit_status=WRONG_USE) from reason
