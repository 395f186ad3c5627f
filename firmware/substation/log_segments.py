"""The event log in flash: records of 32 bytes in eight files, each as long as one sector of the chip.

A record is appended to the newest file, which LittleFS does whole or not at all. A file that is full, or
whose end is not a whole record, is never written again: the next begins, under a name of its own that is
renamed over the oldest. It refuses to change what is written, and to go on behind a record that its chain
does not prove.

File `log.<n>`: "TVL1", the first record's sequence number, the chain before it (32 bytes), eight bytes of
SHA-256 over these, zeros up to 64; then the records. The chain begins with SHA-256("toplovod log 1" + device
id); after each record it is SHA-256(chain + record without its last eight bytes), whose first eight bytes are
the record's last.
"""

import hashlib
import os

RECORD_BYTES = 32
BODY_BYTES = 24  # of a record, before the eight bytes of the chain
HEADER_BYTES = 64
SEGMENT_RECORDS = 126  # with the header 4096 bytes: one sector of the W25Q16
SEGMENTS = 8
MAGIC = b"TVL1"


def link(chain, record):
    """Return the chain behind a record. record: its first BODY_BYTES."""
    digest = hashlib.sha256(chain)
    digest.update(record)
    return digest.digest()


class Segments:
    """seen: called with each whole record of the newest file, while booting."""

    ONLY_BOOTING = ("_find", "_walk")  # let_go drops these with the constructor

    def __init__(self, folder, genesis, seen):
        self._path = folder + "/log."
        self.firsts = []  # sequence number of each file's first record, the oldest first
        self._places = []  # the number in its name
        self.next = 0  # sequence number of the record that is kept next
        self.chain = self.base = genesis  # behind the last record kept; before the oldest one
        self._closed = False  # the newest file is not written again
        self._find()
        if self.firsts:
            try:
                self._walk(seen)
            except OSError as error:  # what cannot be read is not written either
                print("event log: ends at record %d (%s)" % (self.next, error))
                self._closed = True

    def _header(self, place):
        """Return (sequence number of the first record, chain before it), or None without a whole header."""
        try:
            with open(self._path + str(place), "rb") as file:
                header = file.read(HEADER_BYTES)
        except OSError:
            return None
        if header[:4] != MAGIC or hashlib.sha256(header[:40]).digest()[:8] != header[40:48]:
            return None
        return int.from_bytes(header[4:8], "big"), header[8:40]

    def _find(self):
        """List the files that follow each other without a gap, up to the newest."""
        found = []
        for place in range(SEGMENTS):
            header = self._header(place)
            if header is not None:
                found.append((header[0], place, header[1]))
        found.sort()
        for first, place, base in found:
            if self.firsts:
                whole = HEADER_BYTES + RECORD_BYTES * (first - self.firsts[-1])
                try:
                    size = os.stat(self._path + str(self._places[-1]))[6]
                except OSError:
                    size = 0
                if size < whole:
                    self.firsts.clear()  # what lies before a gap proves nothing
                    self._places.clear()
            if not self.firsts:
                self.base = base
            self.firsts.append(first)
            self._places.append(place)
            self.next = first
            self.chain = base

    def _walk(self, seen):
        """Go through the newest file up to its last whole record."""
        with open(self._path + str(self._places[-1]), "rb") as file:
            file.seek(HEADER_BYTES)
            while True:
                record = file.read(RECORD_BYTES)
                if not record:
                    break
                chain = link(self.chain, record[:BODY_BYTES])
                if record[BODY_BYTES:] != chain[:8]:
                    self._closed = True
                    break
                self.chain = chain
                self.next += 1
                seen(record)

    def append(self, records, count):
        """Keep the first of some records; return how many. OSError where the flash refuses.

        records: a memoryview of at least `count` records whose chain goes on where ours ends.
        """
        room = 0
        if self.firsts and not self._closed:
            room = SEGMENT_RECORDS - (self.next - self.firsts[-1])
        count = min(count, room or SEGMENT_RECORDS)
        content = records[: RECORD_BYTES * count]
        if room:
            self._closed = True  # until it is written: a file system may leave half of it
            with open(self._path + str(self._places[-1]), "ab") as file:
                file.write(content)
            self._closed = False
        else:
            self._begin(content)
        self.next += count
        for at in range(0, RECORD_BYTES * count, RECORD_BYTES):
            self.chain = link(self.chain, content[at : at + BODY_BYTES])
        return count

    def _begin(self, content):
        """Begin a file, in place of the oldest where there are as many as there may be."""
        header = MAGIC + self.next.to_bytes(4, "big") + self.chain
        draft = self._path + "new"
        with open(draft, "wb") as file:
            file.write(header)
            file.write(hashlib.sha256(header).digest()[:8])
            file.write(bytes(HEADER_BYTES - len(header) - 8))
            file.write(content)
        firsts, places = self.firsts, self._places
        if firsts and firsts[-1] == self.next:  # the newest has no whole record: nothing is lost with it
            firsts.pop()
            place = places.pop()
        elif len(places) < SEGMENTS:
            place = 0
            while place in places:
                place += 1
        else:
            place = places[0]
        os.rename(draft, self._path + str(place))
        if place in places:
            firsts.pop(0)
            places.pop(0)
            header = self._header(places[0])
            if header is not None:  # otherwise the reader finds out that this file proves nothing
                self.base = header[1]
        firsts.append(self.next)
        places.append(place)
        self._closed = False

    def read(self, sequence, at, out):
        """Fill out with bytes of the records from one on, within its file; return how many, 0 where damaged.

        at: byte of that record. out: a memoryview.
        """
        number = len(self.firsts) - 1
        while number and self.firsts[number] > sequence:
            number -= 1
        end = self.firsts[number + 1] if number + 1 < len(self.firsts) else self.next
        wanted = min(len(out), RECORD_BYTES * (end - sequence) - at)
        with open(self._path + str(self._places[number]), "rb") as file:
            file.seek(HEADER_BYTES + RECORD_BYTES * (sequence - self.firsts[number]) + at)
            got = file.readinto(out[:wanted])
        return wanted if got == wanted else 0
