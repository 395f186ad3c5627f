"""Which program runs: the one that came over USB or one of two signed images, and how far it is proved.

main.py asks choose() before anything else is loaded. It refuses to start an image that is not, to the last
byte, the one that was verified when it came in, and goes back to the program before it when an image has
ended TRIES times, by itself or by the watchdog, without LONG_LIFE_S between, or when the controller asks for
it. Power cuts count for nothing. The program beside main.py is never written over a network, so there is
always one to go back to.

The record `slots`: who runs, who ran before, how far the trial is, the lowest version still accepted, of each
image its version and the SHA-256 of its head, and what the next one is measured by. Flash: one write at each
end of an image, some six at an update.
"""

import os
from binascii import hexlify

from .image import sha256_of
from .persistence import Persistence

FACTORY, SLOT_A, SLOT_B = range(3)
FOLDERS = ("", "slot_a", "slot_b")
HEAD = "image.head"  # what the signature covers, and the signature
FORMAT = b"toplovod-image/1 "  # then how many bytes the text has, five digits and the end of the line
LENGTH_BYTES = 6
PREFIX_BYTES = len(FORMAT) + LENGTH_BYTES
LINES_BEFORE = 2  # version and map
MOST_LINES = 98

CONFIRMED, TRYING, PROVISIONAL = range(3)
NONE, DAMAGED, DIED, WORSE, ASKED = range(5)  # why an image was given up
TRIES = 3
LONG_LIFE_S = 6 * 3_600  # after this what ended before is forgotten [estimate]

RECORD = "slots"
RECORD_BYTES = 89


class Slots:
    """The record as it is now. Make another one rather than keep it: others write it too."""

    def __init__(self, persistence):
        self._persistence = persistence
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES or saved[0] > SLOT_B or saved[1] > SLOT_B:
            saved = bytes(RECORD_BYTES)
        self.active, self.previous, self.state, self.deaths, self.reason = saved[:5]
        self.planned = bool(saved[5])  # the reset that comes is our own: no bite of the watchdog
        self.worst_mk = int.from_bytes(saved[6:9], "big")  # control error of the program before, 0 = unknown
        self.floor = int.from_bytes(saved[9:13], "big")
        self.version = [0, int.from_bytes(saved[13:17], "big"), int.from_bytes(saved[17:21], "big")]
        self.head_digest = [b"", bytes(saved[21:53]), bytes(saved[53:85])]
        self.faults = int.from_bytes(saved[85:87], "big")  # sensors lost before the trial
        self.outdoor_raw = int.from_bytes(saved[87:89], "big") - 32768  # where the program before was heating

    def save(self):
        """Keep everything. False, told on the console, when the flash refuses."""
        return self._persistence.save(
            RECORD,
            bytes(
                (self.active, self.previous, self.state, self.deaths, self.reason, 1 if self.planned else 0)
            )
            + self.worst_mk.to_bytes(3, "big")
            + self.floor.to_bytes(4, "big")
            + self.version[SLOT_A].to_bytes(4, "big")
            + self.version[SLOT_B].to_bytes(4, "big")
            + self.head_digest[SLOT_A]
            + self.head_digest[SLOT_B]
            + self.faults.to_bytes(2, "big")
            + (self.outdoor_raw + 32768).to_bytes(2, "big"),
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

    def begin_trial(self, slot, performance):
        """The image in a slot runs from the next start on, on trial. performance: of what runs now."""
        self.previous = self.active if self.state == CONFIRMED else self.previous
        self.active = slot
        self.state = TRYING
        self.deaths = 0
        self.reason = NONE
        self.planned = True
        self.worst_mk = min(performance.worst_mk, 0xFFFFFF)
        self.faults = performance.faults & 0xFFFF
        self.outdoor_raw = performance.heated_at_raw
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

    def lived_long(self):
        """What ended before is forgotten."""
        self.deaths = 0
        return self.save()

    def died(self, planned=True):
        """The image that runs has ended. planned: the reset that follows is our own."""
        self.deaths = min(self.deaths + 1, 255)
        self.planned = planned
        return self.save()

    def give_up(self, reason, planned=True):
        """Run the program before it from the next start on. planned: by a reset of our own."""
        self.active = self.previous
        self.previous = FACTORY
        self.state = CONFIRMED
        self.deaths = 0
        self.reason = reason
        self.planned = planned
        return self.save()


def text_bytes(first, form=FORMAT):
    """Return how long the signed text of a head is, told by its first line. ValueError without one."""
    if not first.startswith(form) or len(first) != len(form) + LENGTH_BYTES:
        raise ValueError("no head")
    return int(first[len(form) :])


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
    """Return (folder of the program to run, whether it is on trial). "" is the one beside main.py.

    after_watchdog: what the board tells of the last reset. The RP2040 tells it of resets by program as well,
    so the mark `planned` decides.
    """
    slots = Slots(persistence or Persistence())
    if slots.planned:
        slots.planned = False
        slots.save()
    elif after_watchdog and slots.active != FACTORY:
        slots.died(False)
    if slots.active != FACTORY and slots.deaths >= TRIES:
        print("slots: version %d does not live; going back" % slots.version[slots.active])
        slots.give_up(DIED, False)
    while slots.active != FACTORY and not is_whole(slots.active, slots.head_digest[slots.active]):
        print("slots: %s is damaged; going back" % FOLDERS[slots.active])
        slots.give_up(DAMAGED, False)
    return FOLDERS[slots.active], slots.active != FACTORY and slots.state != CONFIRMED


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
