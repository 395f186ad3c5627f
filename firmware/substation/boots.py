"""How often the controller started, and how often it had to be rescued, kept in flash.

It refuses to start counting anew after a power cut: the boot nonce rests on this number.

Flash: one write at each start, one more before each rescue. A board that did nothing but restart, once
a second, would wear a 1.4 MB littlefs out in two months [estimate]; its supervisor alarms at once.
"""

RECORD = "boot"
RECORD_BYTES = 7  # count, rescues, 1 = the next start follows a rescue


class Boots:
    """Counts this boot. watchdog: whether this boot follows a bite of the watchdog."""

    def __init__(self, persistence, watchdog):
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES:
            saved = bytes(RECORD_BYTES)
        self._persistence = persistence
        self.count = int.from_bytes(saved[:4], "big") + 1
        self.rescues = int.from_bytes(saved[4:6], "big") + (1 if watchdog else 0)
        self.rescued = bool(watchdog or saved[6])
        self._save(0)

    def _save(self, mark):
        self.rescues = min(self.rescues, 65534)
        record = self.count.to_bytes(4, "big") + self.rescues.to_bytes(2, "big") + bytes((mark,))
        self._persistence.save(RECORD, record)

    def rescue(self):
        """Count a reset that the controller brings about itself because its control task died."""
        self.rescues += 1
        self._save(1)
