"""What changed how the house is heated, or who may do so: when, by whom, and why not.

Records wait in the heap and are kept at most once an hour, those that concern safety within seconds; both
draw on one allowance, so that no event and no sender wears the flash. It refuses to be filled by strangers:
what carries no valid MAC gets at most STRANGERS records for each cause in a file of the log, fewer than turn
it over, and is counted in `refusals` beyond that. A flash that refuses costs the log, never heating.

Flash: to keep records costs one erase and four programs on average, two and eight at most (300 times five
records on LittleFS in sectors of 4096 bytes). Of that 48 a day for 20 years are 350 000 erases, a hundredth
of what 350 sectors of 100 000 erases stand [W25Q16JV data sheet].

A record, big-endian: sequence number, uptime, unix time or 0 (4 bytes each), kind, who (1 each), what (2),
value, source (4 each), then eight bytes of the chain (see `log_segments`). who: 0 the device, 1 to 4 a key
slot and 1, 5 a master without a key (`legacy`), 6 the button; its upper half is the number of an order's
registers less 1.
"""

from struct import pack_into

from .let_go import let_go_of
from .log_segments import BODY_BYTES, RECORD_BYTES, link

(
    NONE, BOOT, PROGRAM, ORDER, RELEASE, MORE, LEASE_ENDED, REFUSED, ALARM_ON, ALARM_OFF, SERVICE, EPOCH,
    UPDATE, TIME, TASK, DIED, LOST,
) = range(17)  # fmt: skip
BUTTON = 6
PENDING = 24  # records that wait
KIND = 12  # its place in a record

SAVE_EVERY_S = 3_600
YOUNG_S = 60  # a board that does nothing but restart keeps no log of it: its boot count tells
COST_S = 1_800  # of the allowance, for each time records are kept
MOST_SAVED_S = 8 * COST_S
MOST_KEPT = 86_400 // COST_S + 8  # times a day
CRASH_LOOP_S = 600

# records at once of one alarm, key slot or task; then one in EVERY_S, the rest is counted [estimate]
BURST = 6
EVERY_S = 1_200
STRANGERS = 2
STRANGER_EVERY_S = 3_600
CAUSES = 16
ALARMS = 16
TASKS = ALARMS + 5  # place behind the alarms and the slots
SAFETY = 0x26EC  # manual, watchdog, settings, frost, valve, legionella, scald, dry run
REFUSED_WRITES = 1 << 1  # told by cause and source
SLIGHT_S = 60  # a clock set right by less is no news

FILE = 101  # of FC 20: the first that is the log's


class EventLog:
    """segments: what is kept. newest: see `log_opening`. refusals: what FC 20 reads as its other file.

    limits_hash: of the limits in force, told with the program.
    """

    def __init__(self, segments, newest, uptime, clock, refusals, limits_hash):
        self._uptime = uptime
        self._clock = clock
        self._refusals = refusals
        self._segments = segments
        self._head = segments.chain
        self._waiting = bytearray(RECORD_BYTES * PENDING)
        self._count = 0
        self._lost = 0
        self._urgent = self._read = False
        self._saved_s = 0
        self._allowance_s = 4 * COST_S
        self._allowed_s = 0
        self._due_s = [0] * (TASKS + 1)
        self._more = [0] * 5
        self._told = newest.told
        self._told_due_s = [0] * CAUSES
        self._alarms = 0
        self._service = False
        self._program = -1
        self._limits_hash = limits_hash
        self._last_kind = newest.kind

    # -- what is told -------------------------------------------------------------------------------

    def note(self, kind, who=0, what=0, value=0, source=0, urgent=False):
        """Write a record; what does not fit any more is counted."""
        if self._lost and self._count < PENDING - 1:
            lost, self._lost = self._lost, 0
            self.note(LOST, 0, 0, lost)
        if urgent:
            self._urgent = True
        if self._count == PENDING and not self._keep(self._uptime.advance()):
            self._lost += 1
            return
        waiting = self._waiting
        at = RECORD_BYTES * self._count
        pack_into(
            ">IIIBBHII", waiting, at, self._segments.next + self._count, self._uptime.advance(),
            self._clock.unix_s() or 0, kind, who, what, value & 0xFFFFFFFF, source & 0xFFFFFFFF,
        )  # fmt: skip
        self._head = link(self._head, waiting[at : at + BODY_BYTES])
        waiting[at + BODY_BYTES : at + RECORD_BYTES] = self._head[:8]
        self._count += 1

    def _may(self, place, now_s):
        """Return whether one more record of this alarm, slot or task is due: BURST, then one in EVERY_S."""
        due_s = self._due_s[place]
        if due_s - now_s > (BURST - 1) * EVERY_S:
            return False
        self._due_s[place] = (due_s if due_s > now_s else now_s) + EVERY_S
        return True

    def order(self, kind, slot, registers, what, value, source):
        """An authentic order was accepted or refused. what: its first register, or the cause."""
        if self._may(ALARMS + slot, self._uptime.advance()):
            self.note(kind, (slot + 1) | (registers - 1) << 4, what, value, source)
        else:
            self._more[slot] += 1

    def command(self, slot, what, value, source):
        """An update was opened or directed by order."""
        if self._may(ALARMS + slot, self._uptime.advance()):
            self.note(UPDATE, slot + 1, what, value, source, True)
        else:
            self._more[slot] += 1

    def time_set(self, slot, before_s, source):
        """The time was told; before_s: what the clock said, or None."""
        now_s = self._clock.unix_s()
        if before_s is None or not -SLIGHT_S <= now_s - before_s <= SLIGHT_S:
            self.order(TIME, slot, 1, 0, before_s or 0, source)

    def stranger(self, cause, source, times):
        """Something without a right was refused; times: how often this cause was, since boot."""
        now_s = self._uptime.advance()
        if now_s >= self._told_due_s[cause] and self._told[cause] < STRANGERS:
            self._told_due_s[cause] = now_s + STRANGER_EVERY_S
            self._told[cause] += 1
            self.note(REFUSED, 0, cause, times, source)

    def program(self, state, version, reason):
        """What runs, and how far it is proved: at boot, and whenever that changes."""
        known = (state << 8 | reason) << 32 | version
        if known != self._program:
            self._program = known
            self.note(PROGRAM, 0, reason << 8 | state, version, self._limits_hash, True)

    def task(self, number, error):
        """A task of communication ended by an exception and is begun again."""
        if self._may(TASKS, self._uptime.advance()):
            self._name(TASK, number, error)

    def died(self, error):
        """The control task ended and the board is reset. A crash loop is kept once."""
        self._name(DIED, 0, error)
        if self._last_kind != DIED or self._uptime.advance() >= CRASH_LOOP_S:
            self._allowance_s = max(self._allowance_s, COST_S)
            self._keep(self._uptime.advance())

    def _name(self, kind, number, error):
        name = (type(error).__name__.encode() + bytes(8))[:8]
        self.note(
            kind, 0, number, int.from_bytes(name[:4], "big"), int.from_bytes(name[4:], "big"), True
        )  # fmt: skip

    def watch(self, now_s, alarm_bits, service, influences):
        """Look, once a control step, for alarms, the button and leases that ran out."""
        changed = (alarm_bits ^ self._alarms) & ~REFUSED_WRITES
        bit = 0
        while changed:
            if changed & 1 and self._may(bit, now_s):
                self._alarms ^= 1 << bit
                kind = ALARM_ON if alarm_bits >> bit & 1 else ALARM_OFF
                self.note(kind, 0, bit, 0, 0, bool(SAFETY >> bit & 1))
            changed >>= 1
            bit += 1
        if service != self._service:
            self._service = service
            self.note(SERVICE, BUTTON, 1 if service else 0, 0, 0, True)
        for influence in influences:
            if influence.lost:
                raw = influence.value // influence.step_size
                self.order(LEASE_ENDED, influence.lost - 1, 1, influence.address, raw, 0)
                influence.lost = 0

    # -- what is kept -------------------------------------------------------------------------------

    def save_when_due(self, now_s):
        """Keep what waits: at most once an hour, what is urgent at once. now_s may lie ahead at the end."""
        if now_s >= YOUNG_S and self._count and (self._urgent or now_s - self._saved_s >= SAVE_EVERY_S):
            self._keep(now_s)

    def _keep(self, now_s):
        """Keep everything that waits, where the allowance lets it. False: it waits on."""
        self._allowance_s = min(self._allowance_s + now_s - self._allowed_s, MOST_SAVED_S)
        self._allowed_s = now_s
        if self._allowance_s < COST_S:
            return False
        self._allowance_s -= COST_S
        self._saved_s = now_s
        self._urgent = False
        for slot in range(len(self._more)):
            if self._more[slot] and self._count < PENDING:
                more, self._more[slot] = self._more[slot], 0
                self.note(MORE, slot + 1, 0, more)
        segments = self._segments
        waiting = memoryview(self._waiting)
        try:
            while self._count:
                files = segments.firsts[-1] if segments.firsts else -1
                done = segments.append(waiting, self._count)
                self._last_kind = waiting[RECORD_BYTES * (done - 1) + KIND]
                if segments.firsts[-1] != files:
                    self._told = [0] * CAUSES
                    for at in range(KIND, RECORD_BYTES * done, RECORD_BYTES):
                        if waiting[at] == REFUSED and not waiting[at + 1]:
                            self._told[waiting[at + 3]] += 1
                self._count -= done
                rest = bytes(waiting[RECORD_BYTES * done : RECORD_BYTES * (done + self._count)])
                self._waiting[: len(rest)] = rest
        except (OSError, MemoryError) as error:
            print("event log: not kept (%s); %d records wait" % (error, self._count))
            return False
        return True

    # -- what is read -------------------------------------------------------------------------------

    def read(self, file, record, count, out, at):
        """Copy count registers of a file of FC 20 into out; False where there are none."""
        if file < FILE:
            return self._refusals.read(file, record, count, out, at)
        try:
            from .log_reading import read
        except MemoryError:  # no room to load it: the reader comes again, the rest goes on
            return False
        self._read = True
        return read(self._segments, self._waiting, self._count, file, record, count, out, at)

    def seal(self, slot, key, device_id, challenge):
        """Return the block that proves the log to who asked, b"" where there is no room to make it."""
        try:
            from .log_reading import seal
        except MemoryError:
            return b""
        self._read = True
        return seal(
            self._segments, self._head, self._count, self._lost, self._uptime.advance(), slot, key, device_id,
            challenge,
        )  # fmt: skip

    def rest(self):
        """Let go, once a minute, of what only reading needs."""
        if self._read:
            self._read = False
            let_go_of("log_reading")
