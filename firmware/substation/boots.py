"""How often the controller started, and how often it had to be rescued, kept in flash.

It refuses to start counting anew after a power cut: the boot nonce rests on this number.

Flash: one write at each start, one more before each rescue. A board that did nothing but restart, once
a second, would wear a 1.4 MB littlefs out in two months [estimate]; its supervisor alarms at once.
"""

RECORD = "boot"
RECORD_BYTES = 7  # count, rescues, what the next start follows
UNKNOWN, RESCUE, PLANNED = range(3)


class Boots:
    """Counts this boot. watchdog: what the board tells; the RP2040 tells it of resets by program as well."""

    def __init__(self, persistence, watchdog):
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES:
            saved = bytes(RECORD_BYTES)
        self._persistence = persistence
        self.count = int.from_bytes(saved[:4], "big") + 1
        # the first start of all follows the tools' reset
        bitten = watchdog and self.count > 1 and saved[6] == UNKNOWN
        self.rescues = int.from_bytes(saved[4:6], "big") + (1 if bitten else 0)
        self.rescued = bool(bitten or saved[6] == RESCUE)
        self._save(UNKNOWN)

    def _save(self, mark):
        self.rescues = min(self.rescues, 65534)
        record = self.count.to_bytes(4, "big") + self.rescues.to_bytes(2, "big") + bytes((mark,))
        self._persistence.save(RECORD, record)

    def rescue(self):
        """Count a reset that the controller brings about itself because its control task died."""
        self.rescues += 1
        self._save(RESCUE)

    def plan(self):
        """The reset that comes is wanted: nothing was rescued."""
        self._save(PLANNED)
