"""Take in something signed, piece by piece: the part that images and limit bundles share.

It refuses to go on before the head is the one that was ordered and its signature is verified, in small steps,
and to hold the whole in the heap. Loaded when an update opens.

A head is text that begins with what it is and how long it is,

  toplovod-<kind>/1 <length of the text, 5 digits>

and behind it the signature: Ed25519 over "toplovod <kind>1" and the SHA-256 of the text.
"""

import hashlib

from .let_go import let_go_of
from .slots import LENGTH_BYTES, text_bytes

SIGNATURE_BYTES = 64

CLOSED, HEAD_COMES, VERIFYING, FILES_COME, READY, FAILED = range(6)
# why an update failed
(
    NO_CAUSE, MALFORMED, SIGNATURE, VERSION, SPACE, CONTENT, FLASH, DIGEST, NO_KEY, DEVICE, SETTINGS,
) = range(11)  # fmt: skip
TAKEN, BUSY, ELSEWHERE, REFUSED = range(4)  # what became of a piece


class Nothing:
    """Stands where no file is open."""

    def write(self, piece):
        raise OSError("no file is open")

    def readline(self):
        return b""

    def close(self):
        pass


class Head:
    """What is known of a head while it passes by: its digests and its end, never the whole."""

    def __init__(self, form, longest):
        self._form = form
        self._longest = longest
        self._prefix_bytes = len(form) + LENGTH_BYTES
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
            return self._prefix_bytes - self.size
        return self.text_bytes + SIGNATURE_BYTES - self.size

    def add(self, piece):
        """Take the next bytes, at most as many as it wants. ValueError where they begin no head."""
        self._whole.update(piece)
        if not self.text_bytes:
            self.first += bytes(piece)
            self._text.update(piece)
            if len(self.first) == self._prefix_bytes:
                self.text_bytes = text_bytes(self.first, self._form)
                if not self._prefix_bytes < self.text_bytes <= self._longest:
                    raise ValueError("no head")
        else:
            of_text = max(0, min(len(piece), self.text_bytes - self.size))
            if of_text:
                self._text.update(piece[:of_text])
            self.signature += bytes(piece[of_text:])
        self.size += len(piece)

    def message(self, context):
        """Return what the signature is over."""
        return context + self._text.digest()

    def digest(self):
        """Return the SHA-256 of all that came. From then on nothing is added: MicroPython closes a hash."""
        if not self._final:
            self._final = self._whole.digest()
        return self._final


class Incoming:
    """key: 32 bytes that it must be signed by, or None without one. size: of the whole, in bytes.

    head_digest: the first 16 bytes of the head's SHA-256, signature included. Each kind tells the three names
    below, opens self._file for the head in _take_up(), and goes on with _verified().
    """

    FORM = CONTEXT = b""
    LONGEST_TEXT = 0

    def __init__(self, key, size, head_digest):
        self._key = key
        self._size = size
        self._wanted = head_digest
        self.state = HEAD_COMES
        self.cause = NO_CAUSE
        self.next = 0  # the byte that is wanted next
        self.version = 0
        self._head = self._new_head()
        self._steps = iter(())
        self._file = Nothing()
        if key is None:
            self._fail(NO_KEY)
            return
        self._guarded(self._take_up)

    def _take_up(self):
        raise NotImplementedError

    def _verified(self):
        raise NotImplementedError

    def _new_head(self):
        return Head(self.FORM, self.LONGEST_TEXT)

    def _guarded(self, act, *how):
        """Do something with the flash; where it refuses, the update has failed and nothing is changed."""
        try:
            act(*how)
        except OSError as error:
            print("update: %s" % error)
            self._fail(FLASH)

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
            self._file = Nothing()
            if self._head.digest()[:16] != self._wanted:
                self._fail(DIGEST)
            else:
                self._verify()
        return used

    def _verify(self):
        from .ed25519 import verification

        self.state = VERIFYING
        self._steps = verification(self._key, self._head.message(self.CONTEXT), self._head.signature)

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
        self._guarded(self._verified)
        return False

    def write(self, at, piece):
        """Take a piece that begins at byte `at`."""
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
        self._guarded(self._take, memoryview(piece)[self.next - at :])
        return REFUSED if self.state == FAILED else TAKEN

    def _take(self, piece):
        while len(piece) and self.state in (HEAD_COMES, FILES_COME):
            used = self._take_head(piece) if self.state == HEAD_COMES else self._take_file(piece)
            piece = piece[used:]

    def _take_file(self, piece):
        """Take what comes behind the head; a kind that is a head alone wants nothing."""
        return len(piece)

    def _fail(self, cause):
        self.close()
        self.state = FAILED
        self.cause = cause

    def close(self):
        """Let go of what is open; what came whole stays for the next time."""
        try:
            self._file.close()
        except OSError as error:  # what could not be written is missing, and told by its digest
            print("update: %s" % error)
        self._file = Nothing()
        self._steps = iter(())
        self.state = CLOSED
