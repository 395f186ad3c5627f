"""The keys of the four slots, derived from the root key, and the lowest epoch each slot still accepts.

A later epoch proves itself: its key can only come from the root key, so the first frame whose MAC
verifies under it raises the floor, for good. It refuses to hand out the root key, and without one
it refuses every slot.
"""

from .order_frame import EPOCH_JUMP, SLOTS, slot_key

RECORD = "epochs"
ROOT_KEY_BYTES = 32


class Keys:
    """floors: the epochs of the site file; a higher one kept in flash wins."""

    def __init__(self, root_key, floors, persistence, bank):
        self._root_key = root_key
        self._persistence = persistence
        self._bank = bank
        self.floor = list(floors)
        saved = persistence.load(RECORD)
        if saved and len(saved) == 2 * len(SLOTS):
            for slot in range(len(SLOTS)):
                epoch = (saved[2 * slot] << 8) | saved[2 * slot + 1]
                if epoch > self.floor[slot]:
                    self.floor[slot] = epoch
        self._cached = [None] * len(SLOTS)
        self._points = [bank.point(name + "_key_epoch_number") for name in SLOTS]
        self._publish()

    def _publish(self):
        for slot in range(len(SLOTS)):
            self._bank.put(self._points[slot], self.floor[slot])

    def current(self, slot):
        """Return the slot's key at its floor, or None without a root key."""
        if self._root_key is None:
            return None
        if self._cached[slot] is None:
            self._cached[slot] = slot_key(self._root_key, slot, self.floor[slot])
        return self._cached[slot]

    def at_epoch(self, slot, epoch):
        """Return the slot's key at an epoch, or None for one that is revoked or too far ahead."""
        if epoch == self.floor[slot]:
            return self.current(slot)
        if self._root_key is None or not self.floor[slot] < epoch <= self.floor[slot] + EPOCH_JUMP:
            return None
        return slot_key(self._root_key, slot, epoch)

    def proven(self, slot, epoch, key):
        """Raise the floor to an epoch whose MAC verified. False when that could not be kept in flash."""
        if epoch == self.floor[slot]:
            return True
        before = self.floor[slot]
        self.floor[slot] = epoch
        if not self._persistence.save(RECORD, b"".join(e.to_bytes(2, "big") for e in self.floor)):
            self.floor[slot] = before
            return False
        self._cached[slot] = key
        self._publish()
        return True


def read_root_key(path):
    """Return the 32 bytes of keys.bin, or None, told on the console, when there are none."""
    try:
        with open(path, "rb") as file:
            key = file.read(ROOT_KEY_BYTES + 1)
    except OSError as error:
        print("%s: cannot be read (%s); every order is refused" % (path, error))
        return None
    if len(key) != ROOT_KEY_BYTES:
        print("%s: %d bytes instead of %d; every order is refused" % (path, len(key), ROOT_KEY_BYTES))
        return None
    return key
