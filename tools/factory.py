"""Bring a board back to its factory state, over the USB cable and with its service button held.

Everything goes that makes it one house's controller: settings, keys, certificates, limits, counters,
records, event log, signed images. It refuses to touch the program that came by the cable: with it the board
starts unprovisioned, heats by the defaults of its firmware and takes no order. Nothing else leads there: no
register, no order and no file record does (docs/security.md).
"""

from dataclasses import dataclass

from .errors import ToolError
from .flash import FOLDERS, MAIN
from .on_board import FACTORY
from .provision import check_button, goes_on
from .serial_line import SerialLine


@dataclass(frozen=True)
class Cleared:
    """What was removed: files by the name of the file or folder. device_id: whose settings it had."""

    port: str
    board: str
    device_id: str | None
    removed: dict[str, int]


def clear(port: str) -> Cleared:
    """Remove all that `provision`, orders and time have put there, prove it, and restart the board."""
    line = SerialLine(port)
    line.greet()
    present, _ = line.listing(FOLDERS)
    if MAIN not in present:
        raise ToolError("not_flashed", f"{port}: no firmware on this board; first: toplovod flash {port}")
    with goes_on(line):
        board = check_button(line, "to bring it back to its factory state")
        device_id, removed = line.answer(FACTORY)
        left, _ = line.listing((*FOLDERS, "state", "slot_a", "slot_b"))
        alien = sorted(left.keys() - present.keys()) + sorted(left.keys() & removed.keys())
        if alien or any(left.get(path) != digest for path, digest in present.items() if path not in removed):
            raise ToolError(
                "factory_not_proved",
                f"{port}: {', '.join(alien) or 'the program'} is not as it should be afterwards. Run the "
                f"command again, then: toplovod flash {port}",
                changed=True,
            )
    line.reset()
    return Cleared(port, board, device_id, dict(removed))
