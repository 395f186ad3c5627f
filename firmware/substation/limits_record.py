"""Which limit bundle is in force and which is being tried, and what is known of both. See `bundled_limits`.

The record `limits`: which of two files is in force and which is being tried, how often, the lowest version
still taken, and of each file its version, its SHA-256 and the site.json it was made for. Flash: some six
writes for a bundle, none without one. It refuses a version that does not rise.
"""

from .image import sha256_of

RECORD = "limits"
RECORD_BYTES = 96
FILES = ("", "state/limits_a.txt", "state/limits_b.txt")  # the signed text as it came
NONE = 0
FORM = b"toplovod-limit/1 "
LONGEST_TEXT = 4096  # read whole while booting and once when it comes [estimate]
PROVED_S = 600  # of control: boot, first connections and first housekeeping are past [estimate]


class Limits:
    """The record as it is now."""

    def __init__(self, persistence):
        self._persistence = persistence
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES or saved[0] > 2 or saved[1] > 2:
            saved = bytes(RECORD_BYTES)
        self.active, self.tried, self.tries, self.cause = saved[:4]
        self.floor = int.from_bytes(saved[4:8], "big")
        self.version = [0, int.from_bytes(saved[8:12], "big"), int.from_bytes(saved[12:16], "big")]
        self.digest = [b"", bytes(saved[16:48]), bytes(saved[48:80])]
        self.base = [b"", bytes(saved[80:88]), bytes(saved[88:96])]  # site.json that it was made for

    def save(self):
        """Keep everything. False, told on the console, when the flash refuses."""
        return self._persistence.save(
            RECORD,
            bytes((self.active, self.tried, self.tries, self.cause))
            + self.floor.to_bytes(4, "big")
            + self.version[1].to_bytes(4, "big")
            + self.version[2].to_bytes(4, "big")
            + self.digest[1]
            + self.digest[2]
            + self.base[1]
            + self.base[2],
        )

    def spare(self):
        """Return the file that a bundle may fill: never the one in force."""
        return 2 if self.active == 1 else 1

    def takes(self, version, digest):
        """Return whether a version may come: a rising one, or the last once more, word for word."""
        return version > self.floor or (version == self.floor and version and digest in self.digest)

    def begin(self, file, version, digest):
        """From the next start on what came into a file is tried."""
        self.tried, self.tries, self.cause = file, 0, 0
        self.version[file] = version
        self.digest[file] = digest
        self.base[file] = site_digest()
        return self.save()

    def prove(self):
        """The controller lives with what it tries: from now on nothing older is taken."""
        self.active, self.tried = self.tried, NONE
        self.floor = max(self.floor, self.version[self.active])
        return self.save()

    def give_up(self, cause):
        """What was in force before goes on."""
        self.tried, self.cause = NONE, cause
        return self.save()


def site_digest(path="site.json"):
    """Return what tells whether site.json is still the same: the first 8 bytes of its SHA-256."""
    try:
        return sha256_of(path, bytearray(256))[:8]
    except OSError:
        return bytes(8)
