"""Take in a signed limit bundle (S2). Loaded when an order opens one.

It refuses another device's, and one that does not rise above the version taken before. Whether its settings
may be in a bundle and fit this site is judged at the start that follows, with the code that judges site.json:
while the house is heated there is no heap for it.

A bundle is text, and the signature over it as `incoming` tells:

  toplovod-limit/1 <length of the text, 5 digits>
  device <16 hexadecimal digits>
  version <number>
  {"contract_flow_limit_m3_h": 1.2, ...}      names and values as in site.json; null takes one away
"""

from binascii import hexlify

from .incoming import DEVICE, MALFORMED, NO_CAUSE, READY, VERSION, Incoming
from .limits_record import FILES, FORM, LONGEST_TEXT, Limits

CONTEXT = b"toplovod limit1"


class LimitBundle(Incoming):
    """device_id: 8 bytes; the rest as Incoming takes it."""

    FORM = FORM
    CONTEXT = CONTEXT
    LONGEST_TEXT = LONGEST_TEXT

    def __init__(self, persistence, device_id, key, size, head_digest):
        self._persistence = persistence
        self._device_id = hexlify(device_id)
        self._place = Limits(persistence).spare()
        super().__init__(key, size, head_digest)

    def _take_up(self):
        self._file = open(FILES[self._place], "wb")  # noqa: SIM115

    def _verified(self):
        if self._head.size != self._size:
            return self._fail(MALFORMED)
        cause = self._check()
        if cause:
            return self._fail(cause)
        self.state = READY

    def _check(self):
        """Return why this bundle may not be taken, or NO_CAUSE."""
        with open(FILES[self._place], "rb") as file:
            file.readline()
            device, version = file.readline(), file.readline()
        if not version.startswith(b"version "):
            return MALFORMED
        try:
            self.version = int(version[8:])
        except ValueError:
            return MALFORMED
        if device != b"device %s\n" % self._device_id:
            return DEVICE
        if not 0 < self.version <= 0xFFFFFFFE:
            return MALFORMED
        if not Limits(self._persistence).takes(self.version, self._head.digest()):
            return VERSION
        return NO_CAUSE

    def activate(self, slots, performance):
        """Try it from the next start on; False where the flash refuses."""
        if not Limits(self._persistence).begin(self._place, self.version, self._head.digest()):
            return False
        slots.planned = True  # the reset that follows is no end of the image that runs
        return slots.save()
