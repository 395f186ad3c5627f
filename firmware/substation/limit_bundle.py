"""Take in a signed limit bundle (S2). Loaded when an order opens one.

It refuses another device's, one that does not rise above the version taken before, and a setting that is no
limit, curve or schedule. Whether the settings fit this site is judged at the start that follows, by the code
that judges site.json, because that code is not in the heap while the house is heated.

A bundle is text, and the signature over it as `incoming` tells:

  toplovod-limit/1 <length of the text, 5 digits>
  device <16 hexadecimal digits>
  version <number>
  {"contract_flow_limit_m3_h": 1.2, ...}      names and values as in site.json; null takes one away
"""

from binascii import hexlify

from .bundled_limits import FILES, FORM, LONGEST_TEXT, Limits, told_by
from .incoming import DEVICE, MALFORMED, NO_CAUSE, READY, SETTINGS, VERSION, Incoming

CONTEXT = b"toplovod limit1"


class LimitBundle(Incoming):
    """device_id: 8 bytes; the rest as Incoming takes it."""

    FORM = FORM
    CONTEXT = CONTEXT
    LONGEST_TEXT = LONGEST_TEXT

    def __init__(self, persistence, device_id, key, size, head_digest):
        self._persistence = persistence
        self._device_id = hexlify(device_id).decode()
        self._place = Limits(persistence).spare()
        super().__init__(key, size, head_digest)

    def _take_up(self):
        self._file = open(FILES[self._place], "wb")  # noqa: SIM115

    def _verified(self):
        if self._head.size != self._size:
            return self._fail(MALFORMED)
        with open(FILES[self._place], "rb") as file:
            text = file.read(self._head.text_bytes)
        cause = self._check(text)
        if cause:
            return self._fail(cause)
        self.state = READY

    def _check(self, text):
        """Return why this bundle may not be taken, or NO_CAUSE."""
        try:
            device, self.version, _ = told_by(text.decode())
        except ValueError as error:
            print("limits: %s" % error)
            return SETTINGS
        if device != self._device_id:
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
