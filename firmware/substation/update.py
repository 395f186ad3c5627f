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

from .let_go import let_go_of
from .slots import FOLDERS, HEAD, PREFIX_BYTES, Slots, file_is, files_of, remove_all, text_bytes

CONTEXT = b"toplovod image1"
SIGNATURE_BYTES = 64
LONGEST_TEXT = 16384
LONGEST_FILE = 65536
SPARE_BYTES = 32768  # what the file system keeps for itself and for the records [estimate]
PLACES = ("boards", "substation")

CLOSED, HEAD_COMES, VERIFYING, FILES_COME, READY, FAILED = range(6)
# why an update failed
(
    NO_CAUSE, MALFORMED, SIGNATURE, VERSION, SPACE, CONTENT, FLASH, DIGEST, NO_KEY,
) = range(9)  # fmt: skip
TAKEN, BUSY, ELSEWHERE, REFUSED = range(4)  # what became of a piece


def _is_path(path):
    """Return whether a path lies where programs lie."""
    folder, _, name = path.partition("/")
    if folder not in PLACES or "/" in name or not (name.endswith(".mpy") or name.endswith(".py")):
        return False
    for letter in name:
        if not ("a" <= letter <= "z" or "0" <= letter <= "9" or letter in "_."):
            return False
    return 4 < len(name) <= 40 and not name.startswith(".")


class _Nothing:
    """Stands where no file is open."""

    def write(self, piece):
        raise OSError("no file is open")

    def readline(self):
        return b""

    def close(self):
        pass


class _Head:
    """What is known of a head while it passes by: its digests and its end, never the whole."""

    def __init__(self):
        self.size = 0
        self.text_bytes = 0  # 0: not told yet
        self.first = b""
        self.signature = b""
        self._text = hashlib.sha256()
        self._whole = hashlib.sha256()
        self._final = b""

    def wants(self):
        """Return how many bytes of the part that comes now are missing."""
        if not self.text_bytes:
            return PREFIX_BYTES - self.size
        return self.text_bytes + SIGNATURE_BYTES - self.size

    def add(self, piece):
        """Take the next bytes, at most as many as it wants. ValueError where they begin no head."""
        self._whole.update(piece)
        if not self.text_bytes:
            self.first += bytes(piece)
            self._text.update(piece)
            if len(self.first) == PREFIX_BYTES:
                self.text_bytes = text_bytes(self.first)
                if not PREFIX_BYTES < self.text_bytes <= LONGEST_TEXT:
                    raise ValueError("no image")
        else:
            of_text = max(0, min(len(piece), self.text_bytes - self.size))
            if of_text:
                self._text.update(piece[:of_text])
            self.signature += bytes(piece[of_text:])
        self.size += len(piece)

    def message(self):
        """Return what the signature is over."""
        return CONTEXT + self._text.digest()

    def digest(self):
        """Return the SHA-256 of all that came. From then on nothing is added: MicroPython closes a hash."""
        if not self._final:
            self._final = self._whole.digest()
        return self._final


class Update:
    """One update. persistence: keeps the record of the slots; release_key: 32 bytes, or None without one.

    size: of the whole image; head_digest: the first 16 bytes of its head's SHA-256, signature included.
    """

    def __init__(self, persistence, release_key, size, head_digest):
        self._persistence = persistence
        self._key = release_key
        self._size = size
        self._wanted = head_digest
        self.slot = Slots(persistence).spare()
        self._folder = FOLDERS[self.slot]
        self.state = HEAD_COMES
        self.cause = NO_CAUSE
        self.next = 0  # the byte of the image that is wanted next
        self._head = _Head()
        self._steps = iter(())
        self._names = _Nothing()
        self._lines = iter(())
        self._path = ""
        self._content = b""
        self._file = _Nothing()
        self._digest = hashlib.sha256()
        self._left = 0
        self.version = 0
        if release_key is None:
            self._fail(NO_KEY)
            return
        try:
            self._take_up()
        except OSError as error:
            print("update: %s" % error)
            self._fail(FLASH)

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
        self._head = _Head()
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

    def _take_head(self, piece):
        used = min(len(piece), self._head.wants())
        try:
            self._head.add(piece[:used])
        except ValueError:
            self._fail(MALFORMED)
            return used
        self._file.write(piece[:used])
        self.next += used
        if self._head.text_bytes and not self._head.wants():
            self._file.close()
            self._file = _Nothing()
            if self._head.digest()[:16] != self._wanted:
                self._fail(DIGEST)
            else:
                self._verify()
        return used

    def _verify(self):
        from .ed25519 import verification

        self.state = VERIFYING
        self._steps = verification(self._key, self._head.message(), self._head.signature)

    def step(self):
        """Do a small part of the verification, while there is one. Returns whether there is more to do."""
        if self.state != VERIFYING:
            return False
        try:
            next(self._steps)
            return True
        except StopIteration as end:
            self._steps = iter(())
            let_go_of("ed25519", "sha512")
            if not end.value:
                self._fail(SIGNATURE)
                return False
        try:
            self._begin_files()
        except OSError as error:
            print("update: %s" % error)
            self._fail(FLASH)
        return False

    # -- pieces ---------------------------------------------------------------------------------

    def write(self, at, piece):
        """Take a piece of the image that begins at byte `at`."""
        if self.state == VERIFYING:
            return BUSY
        if self.state not in (HEAD_COMES, FILES_COME):
            return REFUSED
        if at + len(piece) <= self.next:
            return TAKEN  # its answer was lost
        if at + len(piece) == self._size + 1:
            piece = memoryview(piece)[:-1]  # records are words: the last may carry a byte too many
        if at > self.next or at + len(piece) > self._size:
            return ELSEWHERE
        piece = memoryview(piece)[self.next - at :]
        try:
            self._take(piece)
        except OSError as error:
            print("update: %s" % error)
            self._fail(FLASH)
        return REFUSED if self.state == FAILED else TAKEN

    def _take(self, piece):
        while len(piece) and self.state in (HEAD_COMES, FILES_COME):
            if self.state == HEAD_COMES:
                used = self._take_head(piece)
            else:
                used = min(len(piece), self._left)
                self._file.write(piece[:used])
                self._digest.update(piece[:used])
                self._left -= used
                self.next += used
                if self._left == 0:
                    self._end_file()
            piece = piece[used:]

    # -- the head is genuine ----------------------------------------------------------------------

    def _begin_files(self):
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
        count = 0
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
                    count += 1
        except ValueError:
            return MALFORMED
        if not count or total != self._size or not 0 <= self.version <= 0xFFFFFFFF:
            return MALFORMED
        if self.version < max(1, Slots(self._persistence).floor):
            return VERSION
        stat = os.statvfs(".")
        if stat[0] * stat[3] < SPARE_BYTES + total + 512 * count:
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
        self._file = _Nothing()
        if hexlify(self._digest.digest()) != self._content:
            os.remove(self._path)
            return self._fail(CONTENT)
        self._open_file(False)

    def _fail(self, cause):
        self.close()
        self.state = FAILED
        self.cause = cause

    def close(self):
        """Let go of the files that are open; what is whole stays for the next time."""
        for file in (self._file, self._names):
            try:
                file.close()
            except OSError as error:  # what could not be written is missing, and told by its digest
                print("update: %s" % error)
        self._file = self._names = _Nothing()
        self._steps = self._lines = iter(())
        self.state = CLOSED
