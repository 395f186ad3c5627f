"""Opens the event log at boot and tells it of the boot. It refuses to stay."""

import hashlib

from .event_log import BOOT, CAUSES, KIND, NONE, REFUSED, EventLog
from .log_segments import Segments

RESCUED = 0x100


class Newest:
    """What the newest file of the log tells the next records: its last one, and who was refused."""

    def __init__(self):
        self.kind = NONE
        self.told = [0] * CAUSES

    def seen(self, record):
        """Take notice of a record."""
        self.kind = record[KIND]
        if self.kind == REFUSED and not record[KIND + 1] and record[KIND + 3] < CAUSES:
            self.told[record[KIND + 3]] += 1


def open_log(parts, folder, firmware_hash):
    """Return the log behind what is kept of it, told that the controller has started."""
    newest = Newest()
    genesis = hashlib.sha256(b"toplovod log 1" + parts.settings.device_id).digest()
    log = EventLog(
        Segments(folder, genesis, newest.seen), newest, parts.uptime, parts.clock, parts.refusals,
        parts.settings.limits_hash,
    )  # fmt: skip
    cause = parts.board.reset_cause | (RESCUED if parts.boots.rescued else 0)
    log.note(BOOT, 0, cause, parts.boots.count, firmware_hash, True)
    return log
