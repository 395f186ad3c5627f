"""Take in a signed image, piece by piece, into the slot that does not run. Loaded when an update opens.

It refuses to write a single file before the signature over the head is verified, to take an older version
than the one that was confirmed last, and to leave its own folder. What was cut off goes on where it stopped:
files that are whole are kept.

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

from .ed25519 import SIGNATURE_BYTES, verification
from .slots import FOLDERS, HEAD, PREFIX_BYTES, as_hex, files_of, remove_all, text_bytes

CONTEXT = b"toplovod image1"
LONGEST_HEAD = 8192
LONGEST_FILE = 65536
MOST_FILES = 96
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

    def close(self):
        pass


class Update:
    """One update. slots: the record; release_key: 32 bytes, or None where the board has none.

    size: of the whole image; head_digest: the first 16 bytes of its head's SHA-256, signature included.
    """

    def __init__(self, slots, release_key, size, head_digest):
        self._slots = slots
        self._key = release_key
        self._size = size
        self._wanted = head_digest
        self.slot = slots.spare()
        self._folder = FOLDERS[self.slot]
        self.state = HEAD_COMES
        self.cause = NO_CAUSE
        self.next = 0  # the byte of the image that is wanted next
        self._head = bytearray()
        self._text_bytes = 0
        self._steps = iter(())
        self._files = ()
        self._index = 0
        self._file = _Nothing()
        self._digest = hashlib.sha256()
        self._left = 0
        self.version = 0
        if release_key is None:
            self._fail(NO_KEY)
            return
        self._take_up()

    # -- what came before ---------------------------------------------------------------------

    def _take_up(self):
        """Go on with the same image where it stopped; otherwise begin with an empty slot."""
        try:
            with open(self._folder + "/" + HEAD, "rb") as file:
                head = file.read(LONGEST_HEAD + 1)
        except OSError:
            head = b""
        if hashlib.sha256(head).digest()[:16] == self._wanted:
            self._head = bytearray(head)
            self._text_bytes = len(head) - SIGNATURE_BYTES
            self.next = len(head)
            self._verify()
        elif not self._slots.empty(self.slot):
            self._fail(FLASH)
        else:
            remove_all(self._folder)

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

    def _take_head(self, piece):
        if not self._text_bytes:
            used = min(len(piece), PREFIX_BYTES - len(self._head))
        else:
            used = min(len(piece), self._text_bytes + SIGNATURE_BYTES - len(self._head))
        self._head.extend(piece[:used])
        self.next += used
        if not self._text_bytes and len(self._head) == PREFIX_BYTES:
            try:
                self._text_bytes = text_bytes(self._head)
            except ValueError:
                pass
            if not PREFIX_BYTES < self._text_bytes <= LONGEST_HEAD:
                self._fail(MALFORMED)
        elif self._text_bytes and len(self._head) == self._text_bytes + SIGNATURE_BYTES:
            if hashlib.sha256(self._head).digest()[:16] != self._wanted:
                self._fail(DIGEST)
            else:
                self._verify()
        return used

    def _verify(self):
        self.state = VERIFYING
        digest = hashlib.sha256(memoryview(self._head)[: self._text_bytes]).digest()
        self._steps = verification(self._key, CONTEXT + digest, bytes(self._head[self._text_bytes :]))

    def step(self):
        """Do a small part of the verification, while there is one. Returns whether there is more to do."""
        if self.state != VERIFYING:
            return False
        try:
            next(self._steps)
            return True
        except StopIteration as end:
            self._steps = iter(())
            if not end.value:
                self._fail(SIGNATURE)
                return False
        try:
            self._begin_files()
        except OSError as error:
            print("update: %s" % error)
            self._fail(FLASH)
        return False

    # -- the head is genuine ----------------------------------------------------------------------

    def _begin_files(self):
        head = bytes(self._head)
        self._head = None
        try:
            word, version = head.split(b"\n", 2)[1].split(b" ")
            self.version = int(version) if word == b"version" else -1
            files = tuple(files_of(head))
        except (ValueError, IndexError):
            return self._fail(MALFORMED)
        total = len(head)
        for path, size, _ in files:
            total += size
            if not _is_path(path) or not 0 < size <= LONGEST_FILE:
                return self._fail(MALFORMED)
        if not 0 < len(files) <= MOST_FILES or total != self._size or not 0 <= self.version <= 0xFFFFFFFF:
            return self._fail(MALFORMED)
        if self.version < max(1, self._slots.floor):
            return self._fail(VERSION)
        self._files = files
        whole = self._whole_files()
        need = SPARE_BYTES
        for i in range(whole, len(files)):
            need += files[i][1] + 512
        stat = os.statvfs(".")
        if stat[0] * stat[3] < need:
            return self._fail(SPACE)
        self._head_digest = hashlib.sha256(head).digest()
        if self.next == len(head) and not self._kept(head):
            for folder in (self._folder,) + tuple(self._folder + "/" + place for place in PLACES):
                try:
                    os.mkdir(folder)
                except OSError:
                    pass  # there already; anything else shows itself at the next file
            with open(self._folder + "/" + HEAD, "wb") as file:
                file.write(head)
        self.state = FILES_COME
        for i in range(whole):
            self.next += files[i][1]
        self._index = whole
        self._open_file()

    def _kept(self, head):
        try:
            with open(self._folder + "/" + HEAD, "rb") as file:
                return file.read() == head
        except OSError:
            return False

    def _whole_files(self):
        """Return how many files, from the first on, stand in the slot as they should."""
        buffer = bytearray(512)
        count = 0
        for path, size, wanted in self._files:
            digest = hashlib.sha256()
            try:
                with open(self._folder + "/" + path, "rb") as file:
                    while True:
                        n = file.readinto(buffer)
                        if not n:
                            break
                        digest.update(memoryview(buffer)[:n])
                        size -= n
            except OSError:
                break
            if size or as_hex(digest.digest()) != wanted:
                break
            count += 1
        return count

    def _open_file(self):
        if self._index == len(self._files):
            if self._slots.fill(self.slot, self.version, self._head_digest):
                self.state = READY
            else:
                self._fail(FLASH)
            return
        path, self._left, _ = self._files[self._index]
        self._digest = hashlib.sha256()
        self._file = open(self._folder + "/" + path, "wb")  # noqa: SIM115

    def _end_file(self):
        self._file.close()
        self._file = _Nothing()
        path, _, wanted = self._files[self._index]
        if as_hex(self._digest.digest()) != wanted:
            os.remove(self._folder + "/" + path)
            return self._fail(CONTENT)
        self._index += 1
        self._open_file()

    def _fail(self, cause):
        self.close()
        self.state = FAILED
        self.cause = cause

    def close(self):
        """Let go of the file that is open; what is whole stays for the next time."""
        self._file.close()
        self._file = _Nothing()
        self._steps = iter(())
        self.state = CLOSED
