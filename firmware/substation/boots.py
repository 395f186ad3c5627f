"""How often the controller started, how often it had to be rescued, and the time at its own reset, in flash.

It refuses to start counting anew after a power cut: the boot nonce rests on this number. And it refuses a
time that was kept before any other start than the last: nobody knows how long ago that was.

Flash: one write at each start, two more before each reset of the device's own. A board that did nothing but
restart, once a second, would wear a 1.4 MB littlefs out in two months [estimate]; its supervisor alarms at
once.
"""

RECORD = "boot"
RECORD_BYTES = 7  # count, rescues, what the next start follows
TIME_RECORD = "clock"
TIME_BYTES = 8  # the time, and which boot kept it
UNKNOWN, RESCUE, PLANNED = range(3)


class Boots:
    """Counts this boot. watchdog: what the board tells; the RP2040 tells it of resets by program as well."""

    ONLY_BOOTING = ("time_kept",)  # let_go drops these with the constructor

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

    def time_kept(self):
        """Return the time at which the last run ended itself, seconds since 1970, or None."""
        saved = self._persistence.load(TIME_RECORD)
        if saved and len(saved) == TIME_BYTES and int.from_bytes(saved[4:], "big") + 1 == self.count:
            return int.from_bytes(saved[:4], "big")
        return None

    def _save(self, mark):
        self.rescues = min(self.rescues, 65534)
        record = self.count.to_bytes(4, "big") + self.rescues.to_bytes(2, "big") + bytes((mark,))
        self._persistence.save(RECORD, record)

    def rescue(self, unix_s):
        """Count a reset that the controller brings about itself because its control task died."""
        self.rescues += 1
        self.plan(unix_s, RESCUE)

    def plan(self, unix_s, mark=PLANNED):
        """The reset that comes is wanted: nothing was rescued. unix_s: the time, or None."""
        self._save(mark)
        if unix_s is not None:
            kept = unix_s.to_bytes(4, "big") + self.count.to_bytes(4, "big")
            self._persistence.save(TIME_RECORD, kept)
