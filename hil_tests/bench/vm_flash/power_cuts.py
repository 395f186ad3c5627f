"""Cut the power at every flash operation of the shipped firmware, whole and torn, and start again.

Arguments: bundle folder, story, files of the story. The operations of a story are recorded once on a flash
chip in memory; then for every operation the chip is put together again as it was when the power went:
before the operation, after each of its pages, and within a page, with what was to come left or scrambled.
Each is mounted by LittleFS, started as main.py would, and judged. It prints one line of figures.
"""

import sys

sys.path[:] = [sys.argv[1], ".frozen"]

import gc  # noqa: E402
import os  # noqa: E402

import vfs  # noqa: E402

BLOCK_BYTES = 4096  # a sector of the W25Q16 on the W5500-EVB-Pico
BLOCKS = 352
PIECE_BYTES = 240
READY, FAILED = 4, 5  # state of an update
PAGE_BYTES = 256  # programmed at once by the chip
TORN_BYTES = 256
RECORD_BYTES, SEGMENTS, SEGMENT_RECORDS = 32, 8, 126  # of the event log: docs/modbus.md


class Flash:
    """A NOR flash chip in memory that notes every program and erase."""

    def __init__(self):
        self.content = bytearray(b"\xff" * (BLOCK_BYTES * BLOCKS))
        self.operations = None
        self.touched = set()

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        buffer[:] = self.content[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        if self.operations is not None:
            self.operations.append((at, bytes(buffer)))
        self.touched.add(block)
        self.content[at : at + len(buffer)] = buffer

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return BLOCK_BYTES
        if op == 6:
            at = arg * BLOCK_BYTES
            if self.operations is not None:
                self.operations.append((at, None))
            self.touched.add(arg)
            self.content[at : at + BLOCK_BYTES] = b"\xff" * BLOCK_BYTES
            return 0

    def become(self, other):
        """Hold again what stands in other, given that only the touched blocks differ."""
        for block in self.touched:
            at = block * BLOCK_BYTES
            self.content[at : at + BLOCK_BYTES] = other[at : at + BLOCK_BYTES]
        self.touched.clear()


def mount(flash):
    vfs.mount(vfs.VfsLfs2(flash, progsize=256, readsize=64), "/chip")
    os.chdir("/chip")


def unmount():
    os.chdir("/")
    vfs.umount("/chip")


def after(new):
    """What a program of these bytes, or for None an erase, leaves in the chip."""
    return b"\xff" * BLOCK_BYTES if new is None else new


def torn(content, operation, done, scrambled):
    """Do the first bytes of an operation; the rest stays as it was or holds what nobody wrote."""
    at, new = operation
    whole = after(new)
    content[at : at + done] = whole[:done]
    if scrambled:
        for i in range(at + done, at + len(whole)):
            content[i] = (content[i] & 0x5A) ^ (i & 0x24)


def forms(operation):
    """Yield (bytes done, rest scrambled) of every way in which an operation is cut."""
    size = BLOCK_BYTES if operation[1] is None else len(operation[1])
    yield 0, False
    for done in range(0, size, max(PAGE_BYTES, size // 8) if operation[1] is None else PAGE_BYTES):
        if done:
            yield done, False
        yield done + min(TORN_BYTES, size - done) // 2, True


# -- stories ----------------------------------------------------------------------------------------------


def _image(path):
    import hashlib

    with open(path, "rb") as file:
        content = file.read()
    text = int(content[17:23])
    return content, hashlib.sha256(content[: text + 64]).digest()[:16]


class Before:
    """How well the program before did, as `performance` has it."""


# set as attributes: the bundle has names of its own for them, and so has this script then
Before.worst_mk = 1_500
Before.faults = 0
Before.heated_at_raw = -500


class Updating:
    """A confirmed image gives way to a newer one: received, on trial, started, confirmed."""

    def __init__(self, first, second, key):
        from substation import slots, update
        from substation.persistence import Persistence

        self.slots, self.update, self.persistence = slots, update, Persistence
        self.first, self.second = _image(first), _image(second)
        with open(key, "rb") as file:
            self.key = file.read()
        self.hard = 0

    def _receive(self, which):
        content, digest = which
        image = self.update.Update(self.persistence(), self.key, len(content), digest)
        while image.state not in (READY, FAILED):
            if not image.step():
                at = image.next
                image.write(at, content[at : at + PIECE_BYTES])
        assert image.state == READY, image.cause
        return self.slots.Slots(self.persistence()), image

    def prepare(self):
        record, image = self._receive(self.first)
        record.begin_trial(image.slot, Before)
        self._start()
        self.slots.Slots(self.persistence()).confirm()

    def _start(self):
        return self.slots.choose(False, self.persistence())

    def play(self):
        record, image = self._receive(self.second)
        record.begin_trial(image.slot, Before)
        self._start()
        record = self.slots.Slots(self.persistence())
        record.died()
        self._start()
        record = self.slots.Slots(self.persistence())
        record.lived_long()
        record.confirm()

    def judge(self):
        """The old program or the new one starts, whole; nothing else ever."""
        folder, trial = self._start()
        assert folder in ("slot_a", "slot_b"), folder
        record = self.slots.Slots(self.persistence())
        version = record.version[record.active]
        assert (folder, version) in (("slot_a", 1), ("slot_b", 2)), (folder, version)
        assert record.floor in (1, 2) and record.floor <= version
        assert not (trial and version == 1)
        return version

    def repeat(self):
        """The update goes through from wherever it was cut off."""
        record = self.slots.Slots(self.persistence())
        if record.version[record.active] == 1:
            record, image = self._receive(self.second)
            record.begin_trial(image.slot, Before)
            assert self._start() == ("slot_b", True)


class InPlace(Updating):
    """What must not be done: the files of the program that runs are overwritten one by one."""

    def play(self):
        content, _ = self.second
        at = int(content[17:23]) + 64
        with open(sys.argv[4], "rb") as head:
            for path, size, _ in self.slots.files_of(head):
                with open("slot_a/" + path, "wb") as file:
                    file.write(content[at : at + size])
                at += size


class Bundles:
    """Limits in force give way to newer ones: received, ordered, tried at a start, proved."""

    DEVICE = b"\x00\x11\x22\x33\x44\x55\x66\x77"

    def __init__(self, first, second, key):
        from substation import bundled_limits, limit_bundle, limits_record, slots
        from substation.persistence import Persistence

        self.limits, self.record, self.bundle = bundled_limits, limits_record, limit_bundle.LimitBundle
        self.slots, self.persistence = slots, Persistence
        self.first, self.second = _image(first), _image(second)
        with open(key, "rb") as file:
            self.key = file.read()

    def _receive(self, which):
        content, digest = which
        coming = self.bundle(self.persistence(), self.DEVICE, self.key, len(content), digest)
        while coming.state not in (READY, FAILED):
            if not coming.step():
                at = coming.next
                coming.write(at, content[at : at + PIECE_BYTES])
        assert coming.state == READY, coming.cause
        assert coming.activate(self.slots.Slots(self.persistence()), None)

    def _start(self):
        """What a start reads: the settings in force, and the version of the bundle they are of."""

        class Taken:
            def __init__(self, content):
                self.content = content
                self.mistakes = []

        site = self.limits.settle(self.persistence(), {"contract_flow_limit_m3_h": 9}, Taken)
        assert not site.mistakes, site.mistakes
        return site.content["contract_flow_limit_m3_h"], site.limits[0]

    def _prove(self):
        assert self.record.Limits(self.persistence()).prove()

    def prepare(self):
        with open("site.json", "w") as file:
            file.write("{}")
        self.persistence()
        self._receive(self.first)
        assert self._start() == (1, 1)
        self._prove()

    def play(self):
        self._receive(self.second)
        assert self._start() == (2, 2)
        self._prove()

    def judge(self):
        """All of the old limits or all of the new ones; the floor never above what holds."""
        flow, version = self._start()
        assert flow == version and version in (1, 2), (flow, version)
        assert self.record.Limits(self.persistence()).floor <= version
        return version

    def repeat(self):
        """The bundle goes through from wherever it was cut off."""
        record = self.record.Limits(self.persistence())
        if record.tried:
            self._prove()
        elif record.floor == 1:
            self._receive(self.second)
            assert self._start() == (2, 2)
            self._prove()


class Migration:
    """A newer program takes settings of an older format; the program before must find its own again."""

    OLD = b'{"format": "toplovod-device/1", "deficit_budget_kh": 21}\n'
    WANTED = "toplovod-device/2"

    def __init__(self):
        from substation import site_migrations

        self.taken = site_migrations.taken

    @staticmethod
    def _step(content):
        content["budget"] = content.pop("deficit_budget_kh")
        return content

    def prepare(self):
        with open("site.json", "wb") as file:
            file.write(self.OLD)

    def play(self):
        import json

        steps = (("toplovod-device/1", self.WANTED, self._step),)
        return self.taken("site.json", json.loads(self.OLD), self.WANTED, True, steps)

    def judge(self):
        with open("site.json", "rb") as file:
            assert file.read() == self.OLD
        there = "site.2.json" in os.listdir()
        assert self.play() == {"format": self.WANTED, "budget": 21}
        return there

    def repeat(self):
        assert self.judge()


class Records:
    """Small records are saved again and again, as the controller does in its life."""

    NAMES = ("boot", "epochs", "deficit", "energy", "refusals")
    ROUNDS = 120

    def __init__(self):
        from substation.persistence import Persistence

        self.persistence = Persistence

    def _payload(self, name, count):
        return (name + " %d " % count).encode() * (1 + 3 * self.NAMES.index(name))

    def prepare(self):
        kept = self.persistence()
        for name in self.NAMES:
            kept.save(name, self._payload(name, 0))

    def play(self):
        kept = self.persistence()
        self.done = []
        for count in range(1, self.ROUNDS + 1):
            for name in self.NAMES:
                assert kept.save(name, self._payload(name, count))
                self.done.append((len(self.flash.operations), name, count))

    def judge(self):
        """Every record is one that was saved, and none is older than the last but one."""
        kept = self.persistence()
        finished = dict.fromkeys(self.NAMES, 0)
        for operations, name, count in self.done:
            if operations <= self.cut:
                finished[name] = count
        news = 0
        for name in self.NAMES:
            found = kept.load(name)
            old = finished[name]
            assert found in (self._payload(name, old), self._payload(name, old + 1)), (name, old, found)
            news += found != self._payload(name, old)
        return news

    def repeat(self):
        kept = self.persistence()
        for name in self.NAMES:
            kept.load(name)
            assert kept.save(name, b"after")
            assert self.persistence().load(name) == b"after"


class Log:
    """The event log grows by some records at a time, over full files and the oldest that is dropped."""

    ROUNDS = 60
    AT_ONCE = 5

    def __init__(self):
        from substation import log_segments

        self.made = log_segments
        self.genesis = bytes(range(32))
        self.chains = [self.genesis]  # before each record
        self.records = b""

    def _open(self):
        return self.made.Segments(".", self.genesis, self._seen)

    def _seen(self, record):
        self.newest = record

    def _next(self, count):
        """Make some records more, as they would follow; return them."""
        begin = len(self.records)
        for _ in range(count):
            number = len(self.chains) - 1
            body = (b"%08d" % number) * 3
            self.chains.append(self.made.link(self.chains[-1], body))
            self.records += body + self.chains[-1][:8]
        return self.records[begin:]

    def _append(self, segments, count):
        waiting = memoryview(self._next(count))
        while len(waiting):
            done = segments.append(waiting, len(waiting) // RECORD_BYTES)
            waiting = waiting[RECORD_BYTES * done :]

    def prepare(self):
        segments = self._open()
        self._append(segments, SEGMENTS * SEGMENT_RECORDS - 90)

    def play(self):
        segments = self._open()
        self.done = [(0, segments.next)]
        for _ in range(self.ROUNDS):
            self._append(segments, self.AT_ONCE)
            self.done.append((len(self.flash.operations), segments.next))

    def _whole(self, segments):
        """Every record that is there is the one that was written, and the chain proves it to its end."""
        sequence = segments.firsts[0]
        assert segments.base == self.chains[sequence], "base"
        assert segments.next - sequence > (SEGMENTS - 2) * SEGMENT_RECORDS
        piece = memoryview(bytearray(4096))
        while sequence < segments.next:
            size = segments.read(sequence, 0, piece)
            at = RECORD_BYTES * sequence
            assert size and bytes(piece[:size]) == self.records[at : at + size], sequence
            sequence += size // RECORD_BYTES
        assert segments.chain == self.chains[segments.next], "head"

    def judge(self):
        """What was kept before the cut is there, and of what was being kept a part of whole records."""
        kept = max(number for operations, number in self.done if operations <= self.cut)
        segments = self._open()
        self._whole(segments)
        assert kept <= segments.next <= kept + self.AT_ONCE, (kept, segments.next)
        return 0 if segments.next == kept else 1

    def repeat(self):
        """The log goes on from there, and is found again."""
        chains, records = self.chains, self.records
        segments = self._open()
        behind = segments.next
        self.chains, self.records = chains[: behind + 1], records[: behind * RECORD_BYTES]
        self._append(segments, 130)
        self._whole(segments)
        segments = self._open()
        assert segments.next == behind + 130
        self._whole(segments)
        self.chains, self.records = chains, records


def main():
    story = {
        "update": Updating,
        "in_place": InPlace,
        "records": Records,
        "log": Log,
        "limits": Bundles,
        "migration": Migration,
    }[sys.argv[2]](*sys.argv[3:])
    flash, trial, base = Flash(), Flash(), bytearray(BLOCK_BYTES * BLOCKS)
    story.flash = flash
    vfs.VfsLfs2.mkfs(flash, progsize=256, readsize=64)
    mount(flash)
    story.prepare()
    unmount()
    base[:] = trial.content[:] = flash.content
    mount(flash)
    flash.operations = []
    story.play()
    operations, flash.operations = flash.operations, None
    unmount()

    cuts = repeats = 0
    outcomes = {}
    story.flash = trial
    for k in range(len(operations) + 1):
        for done, scrambled in forms(operations[k]) if k < len(operations) else ((0, False),):
            trial.become(base)
            if done or scrambled:
                trial.touched.add(operations[k][0] // BLOCK_BYTES)
                torn(trial.content, operations[k], done, scrambled)
            story.cut = k
            try:
                mount(trial)
                outcome = story.judge()
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
                if cuts % 97 == 0:
                    story.repeat()
                    repeats += 1
            except BaseException as error:
                print("cut in operation %d of %d, %d bytes done:" % (k, len(operations), done))
                sys.print_exception(error)
                raise SystemExit(1)
            unmount()
            cuts += 1
        if k < len(operations):
            at, new = operations[k]
            whole = after(new)
            base[at : at + len(whole)] = whole
            trial.touched.add(at // BLOCK_BYTES)
        if k % 64 == 0:
            gc.collect()
    print("operations %d cuts %d repeats %d outcomes %r" % (len(operations), cuts, repeats, outcomes))


main()
