"""Everything the controller refused: counters by cause, and who tried, coalesced.

One entry holds one source and one cause, so a flooder fills one entry and evicts nobody's evidence;
when every entry is taken, later sources share the entry of address 0, and its cause is `none` once they have
several. It refuses to write flash
more than once an hour (24 writes a day).
"""

from struct import pack, unpack

# position in registers.REFUSALS
(
    NONE, FUNCTION, MALFORMED, MAC, REPLAY, LATE, LIMIT, RIGHT, BUDGET, STATE, REGISTER, LEASE, EPOCH,
    BROADCAST, MAP, TLS,
) = range(16)  # fmt: skip
CAUSES = 16

COUNTERS = (
    (FUNCTION, "refused_function_count"),
    (MALFORMED, "refused_malformed_count"),
    (MAC, "refused_mac_count"),
    (REPLAY, "refused_replay_count"),
    (LATE, "refused_late_count"),
    (BROADCAST, "broadcast_count"),
    (LIMIT, "refused_order_count"),
)
ENTRIES = 16
ENTRY = ">IBxHIII"  # source, cause, boot count (low word), times, first uptime s, last uptime s
ENTRY_BYTES = 20
SAVE_EVERY_S = 3600
NEWS_S = 3600  # how long the alarm stands after the newest refused write

RECORD = "refusals"
FILE = 1  # of FC 20: ten registers for each entry, in the layout of ENTRY
ENTRY_REGISTERS = ENTRY_BYTES // 2


class Refusals:
    log = None  # the event log, which is told of what nobody had a right to

    def __init__(self, bank, persistence, uptime, boot_count):
        self._uptime = uptime
        self._bank = bank
        self._persistence = persistence
        self._boot = boot_count & 0xFFFF
        # every refusal of an authentic order is tallied with the first of them
        self._tally = list(range(CAUSES))
        for cause in (RIGHT, BUDGET, STATE, REGISTER, LEASE):
            self._tally[cause] = LIMIT
        # not our key, map or certificate authority: what should prove the sender is not ours
        self._tally[EPOCH] = self._tally[MAP] = self._tally[TLS] = MAC
        self._count = [0] * CAUSES
        self._counters = {cause: bank.point(name) for cause, name in COUNTERS}
        self._last_cause = bank.point("last_refusal_number")
        self._last_uptime = bank.point("last_refusal_uptime_s")
        self._last_source = bank.point("last_refusal_source_code")
        self._newest_s = -NEWS_S - 1
        self._saved_s = -SAVE_EVERY_S
        self._dirty = False
        self.entries = []
        saved = persistence.load(RECORD)
        if saved:
            for at in range(0, len(saved) - ENTRY_BYTES + 1, ENTRY_BYTES):
                self.entries.append(list(unpack(ENTRY, saved[at : at + ENTRY_BYTES])))

    def note(self, cause, source):
        """Count one refusal. source: IPv4 address as an integer, 0 when unknown."""
        now_s = self._uptime.advance()
        tally = self._tally[cause]
        self._count[tally] += 1
        self._bank.put(self._counters[tally], self._count[tally])
        if tally != LIMIT:
            self._newest_s = now_s
            if self.log is not None:
                self.log.stranger(cause, source, self._count[tally])
        self._bank.put(self._last_cause, cause)
        self._bank.put(self._last_uptime, now_s)
        self._bank.put(self._last_source, source)
        self._dirty = True
        spare = None
        for entry in self.entries:
            if entry[1] == cause and entry[2] == self._boot:
                if entry[0] == source:
                    break
                if entry[0] == 0:
                    spare = entry
        else:
            if len(self.entries) < ENTRIES - 1:
                entry = [source, cause, self._boot, 0, now_s, now_s]
                self.entries.append(entry)
            elif spare is not None:
                entry = spare
            else:
                entry = self._make_room(source, cause, now_s)
        entry[3] = min(entry[3] + 1, 0xFFFFFFFF)
        entry[5] = now_s

    def _make_room(self, source, cause, now_s):
        """Return an entry in place of an earlier boot's, or else the one that all further sources share."""
        for i in range(len(self.entries)):
            if self.entries[i][2] != self._boot:
                self.entries.pop(i)
                break
        else:
            if len(self.entries) >= ENTRIES:
                shared = self.entries[ENTRIES - 1]
                for entry in self.entries:
                    if not entry[0]:
                        shared = entry
                shared[0] = 0
                if shared[1] != cause:
                    shared[1] = NONE  # several
                return shared
            source = 0
        entry = [source, cause, self._boot, 0, now_s, now_s]
        self.entries.append(entry)
        return entry

    def recent(self, now_s):
        """Say whether something that was no order was refused in the last hour."""
        return now_s - self._newest_s <= NEWS_S

    def read(self, file, record, count, out, at):
        """Copy count registers from register `record` of the file into out; False where there are none.

        The file is as long as there are entries, the oldest first, and lies in RAM: reading wears nothing.
        """
        if file != FILE or record + count > ENTRY_REGISTERS * len(self.entries):
            return False
        for register in range(record, record + count):
            if register == record or register % ENTRY_REGISTERS == 0:
                packed = pack(ENTRY, *self.entries[register // ENTRY_REGISTERS])
            place = 2 * (register % ENTRY_REGISTERS)
            out[at] = packed[place]
            out[at + 1] = packed[place + 1]
            at += 2
        return True

    def save_when_due(self, now_s):
        """Persist the entries, at most once an hour."""
        if self._dirty and now_s - self._saved_s >= SAVE_EVERY_S:
            self._saved_s = now_s
            self._dirty = False
            self._persistence.save(RECORD, b"".join(pack(ENTRY, *entry) for entry in self.entries))
