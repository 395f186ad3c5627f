"""Take in a signed image, piece by piece, into the slot that does not run. Loaded when an update opens.

It refuses to write a file of a program before the signature over the head is verified, to take an older
version than the one that was confirmed last, to leave its own folder, and to hold in the heap what can lie
in a file. What was cut off goes on where it stopped: files that are whole are kept.

An image is its head, then the files' contents in the order the head names them. The head is text:

  toplovod-image/1 <length of the text, 5 digits>
  version <number>
  map <hash of the register map, 8 hex digits>
  <SHA-256, 64 hex digits> <size> <path>      one line for each file

and behind it the signature: Ed25519 over "toplovod image 1" without its last blank, and the SHA-256 of the
text.
"""

import hashlib
import os
from binascii import hexlify

from .incoming import (
    CONTENT,
    FILES_COME,
    FLASH,
    MALFORMED,
    NO_CAUSE,
    READY,
    SPACE,
    VERSION,
    Incoming,
    Nothing,
)
from .slots import FOLDERS, FORMAT, HEAD, Slots, file_is, files_of, remove_all

CONTEXT = b"toplovod image1"
LONGEST_FILE = 65536
SPARE_BYTES = 32768  # what the file system keeps for itself and for the records [estimate]
PLACES = ("boards", "substation")


def _is_path(path):
    """Return whether a path lies where programs lie."""
    folder, _, name = path.partition("/")
    if folder not in PLACES or "/" in name or not (name.endswith(".mpy") or name.endswith(".py")):
        return False
    for letter in name:
        if not ("a" <= letter <= "z" or "0" <= letter <= "9" or letter in "_."):
            return False
    return 4 < len(name) <= 40 and not name.startswith(".")


class Update(Incoming):
    """An image. persistence: keeps the record of the slots; the rest as Incoming takes it."""

    FORM = FORMAT
    CONTEXT = CONTEXT
    LONGEST_TEXT = 16384

    def __init__(self, persistence, release_key, size, head_digest):
        self._persistence = persistence
        self.slot = Slots(persistence).spare()
        self._folder = FOLDERS[self.slot]
        self._names = Nothing()
        self._lines = iter(())
        self._path = ""
        self._content = b""
        self._digest = hashlib.sha256()
        self._left = 0
        super().__init__(release_key, size, head_digest)

    # -- the head -------------------------------------------------------------------------------

    def _take_up(self):
        """Go on with the same image where it stopped; otherwise begin with an empty slot."""
        try:
            with open(self._folder + "/" + HEAD, "rb") as file:
                self._read_head(file)
        except (OSError, ValueError):
            pass
        if self._head.digest()[:16] == self._wanted:
            self.next = self._head.size
            self._verify()
            return
        self._head = self._new_head()
        if not Slots(self._persistence).empty(self.slot):
            return self._fail(FLASH)
        remove_all(self._folder)
        for folder in (self._folder,) + tuple(self._folder + "/" + place for place in PLACES):
            os.mkdir(folder)
        self._file = open(self._folder + "/" + HEAD, "wb")  # noqa: SIM115

    def _read_head(self, file):
        while self._head.wants():
            piece = file.read(min(256, self._head.wants()))
            if not piece:
                return
            self._head.add(piece)

    def _take_file(self, piece):
        used = min(len(piece), self._left)
        self._file.write(piece[:used])
        self._digest.update(piece[:used])
        self._left -= used
        self.next += used
        if self._left == 0:
            self._end_file()
        return used

    # -- the head is genuine ----------------------------------------------------------------------

    def _verified(self):
        cause = self._check()
        if cause:
            return self._fail(cause)
        self.state = FILES_COME
        self.next = self._head.size
        self._names = open(self._folder + "/" + HEAD, "rb")  # noqa: SIM115
        self._lines = files_of(self._names)
        self._open_file(True)

    def _check(self):
        """Return why this image may not be taken, or NO_CAUSE."""
        total = self._head.size
        blocks = 0  # each file has its own
        stat = os.statvfs(".")
        try:
            with open(self._folder + "/" + HEAD, "rb") as head:
                head.readline()
                word, version = head.readline().split(b" ")
                if word != b"version":
                    return MALFORMED
                self.version = int(version)
            with open(self._folder + "/" + HEAD, "rb") as head:
                for path, size, _ in files_of(head):
                    if not _is_path(path) or not 0 < size <= LONGEST_FILE:
                        return MALFORMED
                    total += size
                    blocks += (size + stat[0] - 1) // stat[0]
        except ValueError:
            return MALFORMED
        if not blocks or total != self._size or not 0 <= self.version <= 0xFFFFFFFF:
            return MALFORMED
        if self.version < max(1, Slots(self._persistence).floor):
            return VERSION
        if stat[0] * (stat[3] - blocks) < SPARE_BYTES:
            return SPACE
        return NO_CAUSE

    def _open_file(self, look):
        """Go to the next file; look: pass over those that stand in the slot as they should."""
        for path, size, wanted in self._lines:
            self._path = self._folder + "/" + path
            if look:
                try:
                    if file_is(self._path, size, wanted):
                        self.next += size
                        continue
                except OSError:
                    pass
                look = False
            self._left = size
            self._content = wanted
            self._digest = hashlib.sha256()
            self._file = open(self._path, "wb")  # noqa: SIM115
            return
        self._names.close()
        if Slots(self._persistence).fill(self.slot, self.version, self._head.digest()):
            self.state = READY
        else:
            self._fail(FLASH)

    def _end_file(self):
        self._file.close()
        self._file = Nothing()
        if hexlify(self._digest.digest()) != self._content:
            os.remove(self._path)
            return self._fail(CONTENT)
        self._open_file(False)

    def activate(self, slots, performance):
        """Run it from the next start on, on trial; False where the flash refuses."""
        return slots.begin_trial(self.slot, performance)

    def close(self):
        """Let go of the files that are open; what is whole stays for the next time."""
        self._names.close()
        self._names = Nothing()
        self._lines = iter(())
        super().close()
