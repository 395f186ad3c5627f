"""Which program runs: the one that came over USB or one of two signed images, and how far it is proved.

main.py asks choose() before anything else is loaded. It refuses to start an image that is not, to the last
byte, the one that was verified when it came in, and goes back to the program before it: after TRIES starts
that did not live for a minute or ended by the watchdog, or when the controller itself asks for it. The
program beside main.py is never written over a network, so there is always one to go back to.

The record `slots`: who runs, who ran before, how far the trial is, the lowest version still accepted, and of
each image its version and the SHA-256 of its head. Flash: one write at each start of a trial and one a
minute after it, three at an update.
"""

import os
from binascii import hexlify

from .image import sha256_of
from .persistence import Persistence

FACTORY, SLOT_A, SLOT_B = range(3)
FOLDERS = ("", "slot_a", "slot_b")
HEAD = "image.head"  # what the signature covers, and the signature
FORMAT = b"toplovod-image/1 "  # then how many bytes the text has, five digits and the end of the line
PREFIX_BYTES = len(FORMAT) + 6
LINES_BEFORE = 2  # version and map
MOST_LINES = 98

CONFIRMED, TRYING, PROVISIONAL = range(3)
NONE, DAMAGED, DIED, WORSE, ASKED = range(5)  # why an image was given up
TRIES = 3
ALIVE_AFTER_S = 60

RECORD = "slots"
RECORD_BYTES = 89


class Slots:
    def __init__(self, persistence):
        self._persistence = persistence
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES or saved[0] > SLOT_B or saved[1] > SLOT_B:
            saved = bytes(RECORD_BYTES)
        self.active, self.previous, self.state, self.tries, self.reason = saved[:5]
        self.alive = bool(saved[5])
        self.worst_mk = int.from_bytes(saved[6:9], "big")  # control error of the program before, 0 = unknown
        self.floor = int.from_bytes(saved[9:13], "big")
        self.version = [0, int.from_bytes(saved[13:17], "big"), int.from_bytes(saved[17:21], "big")]
        self.head_digest = [b"", bytes(saved[21:53]), bytes(saved[53:85])]
        self.faults = int.from_bytes(saved[85:87], "big")  # sensors lost before the trial
        self.crashes = saved[87]  # starts in a row that a confirmed image did not survive for a minute
        # one byte is left for what a later version wants to know

    def save(self):
        """Keep everything. False, told on the console, when the flash refuses."""
        return self._persistence.save(
            RECORD,
            bytes((self.active, self.previous, self.state, self.tries, self.reason, 1 if self.alive else 0))
            + self.worst_mk.to_bytes(3, "big")
            + self.floor.to_bytes(4, "big")
            + self.version[SLOT_A].to_bytes(4, "big")
            + self.version[SLOT_B].to_bytes(4, "big")
            + self.head_digest[SLOT_A]
            + self.head_digest[SLOT_B]
            + self.faults.to_bytes(2, "big")
            + bytes((self.crashes, 0)),
        )

    def spare(self):
        """Return the slot that an update may fill: never the one that runs."""
        return SLOT_B if self.active == SLOT_A else SLOT_A

    def empty(self, slot):
        """Forget what is in a slot, before its files are touched. False when that could not be kept."""
        self.version[slot] = 0
        self.head_digest[slot] = bytes(32)
        if self.previous == slot:
            self.previous = FACTORY
        return self.save()

    def fill(self, slot, version, head_digest):
        """A whole image stands in a slot."""
        self.version[slot] = version
        self.head_digest[slot] = head_digest
        return self.save()

    def begin_trial(self, slot, worst_mk, faults=0):
        """The image in a slot runs from the next start on, on trial.

        worst_mk: largest mean control error of the program that runs, 0 = unknown; faults: its lost sensors.
        """
        self.previous = self.active if self.state == CONFIRMED else self.previous
        self.active = slot
        self.state = TRYING
        self.tries = TRIES
        self.alive = False
        self.crashes = 0
        self.reason = NONE
        self.worst_mk = min(worst_mk, 0xFFFFFF)
        self.faults = faults & 0xFFFF
        return self.save()

    def confirm(self):
        """The image has proved itself: from now on nothing older is accepted."""
        self.state = CONFIRMED
        self.floor = max(self.floor, self.version[self.active])
        return self.save()

    def call_provisional(self):
        """Nothing speaks against the image, but there was no demand to prove it by."""
        self.state = PROVISIONAL
        return self.save()

    def lived(self):
        """The program has run for ALIVE_AFTER_S: a start that follows is no failure of it."""
        if self.crashes or (self.state != CONFIRMED and not self.alive):
            self.alive = True
            self.crashes = 0
            self.save()

    def crashed(self):
        """The program that runs has just died: written then only, so that a sound one wears no flash."""
        self.crashes = min(self.crashes + 1, 255)
        return self.save()

    def give_up(self, reason):
        """Run the program before it from the next start on."""
        self.active = self.previous
        self.previous = FACTORY
        self.state = CONFIRMED
        self.crashes = 0
        self.reason = reason
        return self.save()


def text_bytes(first):
    """Return how long the signed text of a head is, told by its first line. ValueError without one."""
    if not first.startswith(FORMAT) or len(first) != PREFIX_BYTES:
        raise ValueError("no image")
    return int(first[len(FORMAT) :])


def files_of(head):
    """Yield (path, size, SHA-256 as hexadecimal bytes) of every file that a head names. head: an open file.

    ValueError where a line is none. One line at a time: all of them at once would take 17 kB of heap.
    """
    left = text_bytes(head.readline()) - PREFIX_BYTES
    for number in range(MOST_LINES):
        if left <= 0:
            return
        line = head.readline()
        left -= len(line)
        if number >= LINES_BEFORE:
            digest, size, path = line[:-1].split(b" ")
            if len(digest) != 64 or left < 0:
                raise ValueError("no file")
            yield path.decode(), int(size), digest
    raise ValueError("too many files")


def file_is(path, size, wanted):
    """Return whether a file has this size and this SHA-256. OSError where there is none."""
    return os.stat(path)[6] == size and hexlify(sha256_of(path, bytearray(512))) == wanted


def is_whole(slot, head_digest):
    """Return whether every byte of the image in a slot is the one that was verified."""
    folder = FOLDERS[slot] + "/"
    try:
        if sha256_of(folder + HEAD, bytearray(512)) != head_digest:
            return False
        with open(folder + HEAD, "rb") as head:
            for path, size, wanted in files_of(head):
                if not file_is(folder + path, size, wanted):
                    return False
    except (OSError, ValueError):
        return False
    return True


def choose(after_watchdog, persistence=None):
    """Return (folder of the program to run, whether it is on trial). "" is the one beside main.py."""
    slots = Slots(persistence or Persistence())
    if slots.active == FACTORY:
        return "", False
    if slots.state != CONFIRMED:
        if after_watchdog or not slots.alive:
            if slots.tries == 0:
                print("slots: version %d did not live; going back" % slots.version[slots.active])
                slots.give_up(DIED)
            else:
                slots.tries -= 1
        slots.alive = False
        if slots.state != CONFIRMED:
            slots.save()
    else:
        if after_watchdog:
            slots.crashed()
        if slots.crashes >= TRIES:
            print("slots: version %d no longer lives; going back" % slots.version[slots.active])
            slots.give_up(DIED)
    while slots.active != FACTORY and not is_whole(slots.active, slots.head_digest[slots.active]):
        print("slots: %s is damaged; going back" % FOLDERS[slots.active])
        slots.give_up(DAMAGED)
    return FOLDERS[slots.active], slots.state != CONFIRMED


def remove_all(folder):
    """Remove a folder and what is in it; one that is not there is fine."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = folder + "/" + name
        try:
            os.remove(path)
        except OSError:
            remove_all(path)
    try:
        os.rmdir(folder)
    except OSError:
        pass  # the file system's own answer to what could not be removed comes at the next write
