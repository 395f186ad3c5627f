"""What the controller shows over Modbus, kept as the bytes that go on the wire.

A point is published by one call and a block is served by one slice, so a two-register value can
never be read half old, half new. It refuses every write from outside: setpoints change in
`leases`, and only an order reaches those.
"""

from struct import pack_into

from .fixed_point import divisor


class Point:
    """One register of the bank. put() takes the integer of fixed_point, or None for no valid reading."""

    def __init__(self, image, at, fmt, low, high, step, no_value):
        self._image = image
        self._at = at
        self._fmt = fmt
        self._low = low
        self._high = high
        self._step = step
        self._half = step // 2
        self._no_value = no_value

    def put(self, value):
        """Publish; a value beyond the register's range shows as the nearest end of it."""
        if value is None:
            raw = self._no_value
        else:
            raw = value if self._step == 1 else (value + self._half) // self._step
            if raw > self._high:
                raw = self._high
            elif raw < self._low:
                raw = self._low
        pack_into(self._fmt, self._image, self._at, raw)

    def raw(self):
        """Return the one word as it is served."""
        return (self._image[self._at] << 8) | self._image[self._at + 1]


class RegisterBank:
    """The served blocks of one profile; spaces are told apart by the Modbus read function, 3 or 4."""

    def __init__(self, profile):
        from . import registers  # not kept: the rows cost 35 kB of heap, the bank a tenth

        self._registers = registers
        self._rows = registers.BY_PROFILE[profile]
        self._place = {}  # name -> (image, byte offset)
        self._blocks = {
            3: self._lay_out(registers.HOLDING),
            4: self._lay_out(registers.INPUT),
        }
        self.receipts = bytearray(2 * registers.RECEIPT_WORDS * 4)
        self._blocks[4].append(
            (registers.RECEIPTS, registers.RECEIPTS + len(self.receipts) // 2, self.receipts)
        )
        self._status_places = tuple(self._place[name] for name in registers.STATUS_POINTS[profile])
        for row in self._rows:
            self._point(row).put(None if row.access != registers.DIAGNOSTIC else 0)

    def _lay_out(self, space):
        """Return [(first address, address after the last, image)] and note where each name lies."""
        blocks = []
        rows = sorted((row for row in self._rows if row.space == space), key=lambda row: row.address)
        first = 0
        while first < len(rows):
            end = rows[first].address
            last = first
            while last < len(rows) and rows[last].address == end:
                end += self._registers.words_of(rows[last])
                last += 1
            start = rows[first].address
            image = bytearray(2 * (end - start))
            for row in rows[first:last]:
                self._place[row.name] = (image, 2 * (row.address - start))
            blocks.append((start, end, image))
            first = last
        return blocks

    def _point(self, row):
        registers = self._registers
        image, at = self._place[row.name]
        wide = registers.words_of(row) == 2
        signed = row.type in (registers.I16, registers.I32)
        bits = 32 if wide else 16
        if signed:
            low, high = -(1 << (bits - 1)) + 1, (1 << (bits - 1)) - 1
        else:
            low, high = 0, (1 << bits) - (1 if row.name.endswith("_code") else 2)
        fmt = (">i" if wide else ">h") if signed else (">I" if wide else ">H")
        return Point(image, at, fmt, low, high, divisor(row), registers.NO_VALUE[row.type])

    def point(self, name):
        """Return the Point called name; KeyError where the profile has none. Only while booting."""
        for row in self._rows:
            if row.name == name:
                return self._point(row)
        raise KeyError(name)

    def forget_rows(self):
        """Let go of the map: no point can be looked up by name any more."""
        self._registers = self._rows = self._place = None

    def read(self, function, address, count, out, at):
        """Copy count registers into out from byte at; False where an address is not mapped."""
        for start, end, image in self._blocks[function]:
            if start <= address and address + count <= end:
                first = 2 * (address - start)
                out[at : at + 2 * count] = image[first : first + 2 * count]
                return True
        return False

    def status_words(self):
        """Return the raw words of the profile's STATUS_POINTS."""
        return [(image[at] << 8) | image[at + 1] for image, at in self._status_places]
