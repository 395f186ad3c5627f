"""Says a script for the emulated chip in the words of a bundle, whose attributes have short names.

It refuses a script whose own attributes would take each other's names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..errors import BundleFailed


def in_words_of(bundle: Path, script: Path) -> str:
    """Return the script with attributes called as they are in the bundle. Raises BundleFailed."""
    names = json.loads((bundle / "manifest.json").read_text())["names"]
    text = script.read_text()
    own = set(re.findall(r"(?:\bself\.|\bdef )([A-Za-z_]\w*)", text))
    short = [names.get(name, name) for name in own]
    if len(short) != len(set(short)):
        raise BundleFailed(
            f"{script.name}: one of its own attributes would become another in this bundle; nothing was "
            "started. Rename it in the script"
        )
    return re.sub(r"(?<=\.)[A-Za-z_]\w*|(?<=    def )\w+", lambda m: names.get(m[0], m[0]), text)
