"""How often the controller started, and how often it had to be rescued, kept in flash.

It refuses to start counting anew after a power cut: the boot nonce rests on this number.
"""

RECORD = "boot"
RECORD_BYTES = 6


class Boots:
    """Counts this boot. watchdog: whether this boot follows a bite of the watchdog."""

    def __init__(self, persistence, watchdog):
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES:
            saved = bytes(RECORD_BYTES)
        self._persistence = persistence
        self.count = int.from_bytes(saved[:4], "big") + 1
        self.rescues = int.from_bytes(saved[4:], "big") + (1 if watchdog else 0)
        self.kept = self._save()

    def _save(self):
        self.rescues = min(self.rescues, 65534)
        return self._persistence.save(RECORD, self.count.to_bytes(4, "big") + self.rescues.to_bytes(2, "big"))

    def rescue(self):
        """Count a reset that the controller brings about itself because its control task died."""
        self.rescues += 1
        self._save()
