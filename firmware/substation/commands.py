"""What an order may do besides setting points: the time, updates, limit bundles, actuators by hand.

It refuses what has no meaning by itself: commands and setpoints never share an order, an update is opened by
its size and its whole digest in one order, and a time that lies before the firmware was made, or behind the
end of the own TLS certificate, is no time: every master's would have ended, and nobody could correct it. How
far a known time may be moved the clock says; only the technician at the device may go beyond.
Only supervisor, standby, and the technician in service mode may command; the utility may not.
Only the technician, who needs service mode for every order, puts actuators by hand.
"""

from .order_frame import (
    ACCEPTED,
    REFUSED_LIMIT,
    REFUSED_REGISTER,
    REFUSED_RIGHT,
    REFUSED_STATE,
    TECHNICIAN,
    UTILITY,
)

EARLIEST_S = 1_767_225_600  # 2026-01-01: nobody can mean a time before
OPEN, ACTIVATE, DROP, GO_BACK, OPEN_LIMITS = range(1, 6)
NAMES = (
    "unix_time_set_s", "update_size_b", "update_digest_1_code", "update_digest_2_code",
    "update_digest_3_code", "update_digest_4_code", "update_command_number", "manual_valve_pct",
)  # fmt: skip
TIME, SIZE, DIGEST_1, DIGEST_2, DIGEST_3, DIGEST_4, COMMAND, MANUAL = range(8)
MANUAL_WORDS = 6  # the valve, and behind it what else may be by hand, each in one word; the last ends it


def places(registers):
    """Return (address, words) of every command. registers: the map, which is let go of soon after."""
    rows = [registers.row_of(name) for name in NAMES]
    return tuple((row.address, registers.words_of(row)) for row in rows)


class Commands:
    """place: as places() gives it. clock: takes the time. updating: directs updates."""

    log = None  # the event log
    latest_s = 0xFFFFFFFE  # the clock's last second; where TLS is, the end of the own certificate
    by_hand = (None, (), ())  # what Manual is made of: bank, points, hands; told once the loop stands
    manual = None  # what is by hand, once something was

    def __init__(self, place, clock, updating):
        self._address = [address for address, _ in place]
        self._words = [words for _, words in place]
        self.clock = clock
        self._updating = updating

    def _place(self, address):
        """Return which command an address is of, -1 for none."""
        by_hand = address - self._address[MANUAL]
        if 0 <= by_hand < MANUAL_WORDS:
            return MANUAL + by_hand
        for i in range(MANUAL):
            if self._address[i] == address:
                return i
        return -1

    def words(self, address):
        """Return how many words the command at an address takes, 0 for none."""
        i = self._place(address)
        if i < 0:
            return 0
        return self._words[i] if i < MANUAL else 1

    def _values(self, pairs):
        """Return the value of every command, None where none is given; and the address given twice, or 0."""
        values = [None] * (MANUAL + MANUAL_WORDS)
        for address, words in pairs:
            i = self._place(address)
            if values[i] is not None:
                return values, address
            values[i] = words[0] if len(words) == 1 else (words[0] << 16) | words[1]
        return values, 0

    def _hand(self):
        if self.manual is None:
            from .manual import Manual

            bank, points, hands = self.by_hand
            self.manual = Manual(bank, points, hands)
        return self.manual

    def judge(self, order):
        """Return (result, register address or 0) without changing anything."""
        for address, _ in order.pairs:
            if not self.words(address):
                return REFUSED_REGISTER, address
        if order.slot == UTILITY:
            return REFUSED_RIGHT, order.pairs[0][0]
        values, twice = self._values(order.pairs)
        if twice:
            return REFUSED_REGISTER, twice
        for which in range(MANUAL_WORDS):
            if values[MANUAL + which] is not None:
                cause = self._hand().judge(order, which, values[MANUAL + which])
                if cause:
                    return cause, self._address[MANUAL] + which
        time_s = values[TIME]
        if time_s is not None:
            if not EARLIEST_S <= time_s <= self.latest_s:
                return REFUSED_LIMIT, self._address[TIME]
            if order.slot != TECHNICIAN and not self.clock.may(time_s):
                return REFUSED_STATE, self._address[TIME]
        command = values[COMMAND]
        given = [value is not None for value in values[SIZE:COMMAND]]
        if command is None:
            return (REFUSED_REGISTER, self._address[SIZE]) if any(given) else (ACCEPTED, 0)
        if not OPEN <= command <= OPEN_LIMITS:
            return REFUSED_LIMIT, self._address[COMMAND]
        if not self._updating.may(command):
            return REFUSED_STATE, self._address[COMMAND]
        opens = command in (OPEN, OPEN_LIMITS)
        if (opens and not all(given)) or (not opens and any(given)):
            return REFUSED_REGISTER, self._address[SIZE]
        return ACCEPTED, 0

    @property
    def overruled_at(self):
        """The address of the command by which an actuator is by hand, 0 while none is."""
        return 0 if self.manual is None else self.manual.address

    def apply(self, pairs, slot, source):
        """Do what judge() accepted."""
        values, _ = self._values(pairs)
        if values[TIME] is not None:
            before_s = self.clock.unix_s()
            self.clock.set(values[TIME])
            if self.log is not None:
                self.log.time_set(slot, before_s, source)
        if values[COMMAND] is not None and self.log is not None:
            self.log.command(slot, values[COMMAND], values[DIGEST_1] or 0, source)
        for which in range(MANUAL_WORDS):
            if values[MANUAL + which] is not None:
                self._hand().put(which, values[MANUAL + which], self._address[MANUAL] + which)
        if values[COMMAND] in (OPEN, OPEN_LIMITS):
            digest = b"".join(value.to_bytes(4, "big") for value in values[DIGEST_1:COMMAND])
            self._updating.open(values[SIZE], digest, values[COMMAND] == OPEN_LIMITS)
        elif values[COMMAND] is not None:
            self._updating.direct(values[COMMAND])
