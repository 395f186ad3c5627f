"""What the controller shows over Modbus, kept as the bytes that go on the wire.

A point is published by one call and a block is served by one slice, so a two-register value can
never be read half old, half new. It refuses every write from outside: setpoints change in
`leases`, and only an order reaches those.

A point is a plain integer, kind x 4096 + byte offset: 85 objects would cost 20 kB of heap.
"""

from struct import pack_into

from .fixed_point import divisor

KIND_SHIFT = 12
LONGEST_PIECE = 480  # of the names, while booting
OFFSET_MASK = (1 << KIND_SHIFT) - 1
POLLED_BLOCKS = 16  # four masters with four blocks each


class RegisterBank:
    """The served blocks of one profile; spaces are told apart by the Modbus read function, 3 or 4."""

    ONLY_BOOTING = ("_lay_out", "_place_of", "_point")  # let_go drops these with the constructor

    def __init__(self, profile):
        from . import registers  # not kept: the map costs 20 kB of heap

        self._registers = registers
        self._rows = registers.BY_PROFILE[profile]
        self._kinds = []  # (format, low, high, integer steps in a count, half of them, no value)
        self._blocks = {3: [], 4: []}  # (first address, address after the last, byte offset)
        self._size = 0
        self._lay_out(registers.HOLDING, self._blocks[3])
        self._lay_out(registers.INPUT, self._blocks[4])
        # the mailboxes' places, for whoever serves them when the map is gone
        self.order_mailbox = registers.ORDER_MAILBOX
        self.order_words = registers.ORDER_MAILBOX_WORDS
        self.challenge_mailbox = registers.CHALLENGE_MAILBOX
        self.challenge_words = registers.CHALLENGE_MAILBOX_WORDS
        self.status_block = registers.STATUS_BLOCK
        self.log_seal = registers.LOG_SEAL
        self.receipts = registers.RECEIPTS
        self.receipt_words = registers.RECEIPT_WORDS
        self._receipts_at = self._size
        self._receipt_bytes = 2 * registers.RECEIPT_WORDS
        receipts_end = registers.RECEIPTS + 4 * registers.RECEIPT_WORDS
        self._blocks[4].append((registers.RECEIPTS, receipts_end, self._size))
        self._size += 4 * self._receipt_bytes
        self._image = bytearray(self._size)
        self._view = memoryview(self._image)
        self._polled = {}  # (function, address, count) in one integer -> that part of the image
        # a few strings, no dictionary: 190 names as objects of their own cost 20 kB while booting
        self._points = []
        some = " "
        for row in self._rows:
            point = self._point(row)
            some += "%s=%04x " % (row.name, point)
            if len(some) > LONGEST_PIECE:
                self._points.append(some)
                some = " "
            self.put(point, None if row.access != registers.DIAGNOSTIC else 0)
        self._points.append(some)
        self._status_places = [self.point(name) & OFFSET_MASK for name in registers.STATUS_POINTS[profile]]
        self._registers = self._rows = None  # the names stay until boot has ended

    def _lay_out(self, space, blocks):
        """Give every run of registers without gaps a block of the image."""
        words_of = self._registers.words_of
        start = end = -1
        # address and length in one integer: rows would be objects, and all in the heap at once
        for place in sorted([row.address << 2 | words_of(row) for row in self._rows if row.space == space]):
            if place >> 2 != end:
                if end >= 0:
                    blocks.append((start, end, self._size))
                    self._size += 2 * (end - start)
                start = end = place >> 2
            end += place & 3
        blocks.append((start, end, self._size))
        self._size += 2 * (end - start)

    def _place_of(self, row):
        """Return the byte offset of a row in the image."""
        for start, end, offset in self._blocks[3 if row.space == self._registers.HOLDING else 4]:
            if start <= row.address < end:
                return offset + 2 * (row.address - start)
        raise KeyError(row.name)

    def _point(self, row):
        registers = self._registers
        wide = registers.words_of(row) == 2
        bits = 32 if wide else 16
        if row.type in (registers.I16, registers.I32):
            low, high = -(1 << (bits - 1)) + 1, (1 << (bits - 1)) - 1
            form = ">i" if wide else ">h"
        else:
            # only codes may use the all-ones pattern; elsewhere it means "no valid reading"
            low, high = 0, (1 << bits) - (1 if row.name.endswith("_code") else 2)
            form = ">I" if wide else ">H"
        step = divisor(row)
        kind = (form, low, high, step, step // 2, registers.NO_VALUE[row.type])
        if kind not in self._kinds:
            self._kinds.append(kind)
        return (self._kinds.index(kind) << KIND_SHIFT) | self._place_of(row)

    def point(self, name):
        """Return the point called name; KeyError where the profile has none. Only while booting."""
        wanted = " %s=" % name
        for some in self._points:
            at = some.find(wanted)
            if at >= 0:
                at += len(wanted)
                return int(some[at : at + 4], 16)
        raise KeyError(name)

    def forget_names(self):
        """Let go of the names: no point can be looked up any more."""
        self._points = ()

    def put(self, point, value):
        """Publish the integer of fixed_point, or None for no valid reading.

        A value beyond what the register can carry shows as the nearest it can.
        """
        form, low, high, step, half, raw = self._kinds[point >> KIND_SHIFT]
        if value is not None:
            raw = value if step == 1 else (value + half) // step
            if raw > high:
                raw = high
            elif raw < low:
                raw = low
        pack_into(form, self._image, point & OFFSET_MASK, raw)

    def raw(self, point):
        """Return the one word of the point as it is served."""
        at = point & OFFSET_MASK
        return (self._image[at] << 8) | self._image[at + 1]

    def put_receipt(self, slot, block):
        at = self._receipts_at + slot * self._receipt_bytes
        self._image[at : at + self._receipt_bytes] = block

    def read(self, function, address, count, out, at):
        """Copy count registers into out from byte at; False where an address is not mapped.

        The first POLLED_BLOCKS blocks that are read cost no heap from then on, others a view each time.
        """
        key = (function << 23) | (address << 7) | count
        part = self._polled.get(key)
        if part is not None:
            out[at : at + 2 * count] = part
            return True
        for start, end, offset in self._blocks[function]:
            if start <= address and address + count <= end:
                first = offset + 2 * (address - start)
                part = self._view[first : first + 2 * count]
                out[at : at + 2 * count] = part
                if len(self._polled) < POLLED_BLOCKS:
                    self._polled[key] = part
                return True
        return False

    def status_words(self):
        """Return the raw words of the profile's STATUS_POINTS."""
        return [(self._image[at] << 8) | self._image[at + 1] for at in self._status_places]
