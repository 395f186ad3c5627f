"""Turns the user data of an M-Bus answer (EN 13757-3) into a heat meter's reading, in whole numbers.

Taken are the present values of the meter as a whole: instantaneous, storage, tariff and subunit 0, without
a qualification that would make them something else. Everything else is passed over by its length. It refuses
a telegram whose records do not end where its data ends, one that is encrypted, and one of no heat meter;
such a telegram changes no reading. No byte sequence raises an exception.
"""

OK = 0
# Why a telegram was refused; the link layer's causes come before.
FOREIGN, APPLICATION_ERROR, TRUNCATED, CHAIN, RESERVED, ENCRYPTED, NOT_HEAT = range(16, 23)

CI_ERROR, CI_LONG_HEADER, CI_NO_HEADER, CI_SHORT_HEADER = 0x70, 0x72, 0x78, 0x7A
HEAT_MEDIA = (0x04, 0x0A, 0x0B, 0x0C, 0x0D)  # heat and cooling, sensor in the return or in the supply
LONGEST_CHAIN = 10  # extensions of one DIF or VIF

ENERGY, VOLUME, POWER, FLOW, SUPPLY, RETURN, DIFFERENCE, NUMBER, FLAGS = range(9)
QUANTITIES = 9
ESSENTIAL = 1 << ENERGY | 1 << POWER | 1 << FLOW | 1 << SUPPLY | 1 << RETURN

FILLER, MANUFACTURER, MANUFACTURER_MORE = 0x2F, 0x0F, 0x1F
VARIABLE, REAL = 0x0D, 0x05
DATA_BYTES = (0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6)  # by the low half of the DIF; 0x0D tells its own
FIRST_BCD = 9
EXTENSION_FB, EXTENSION_FD, PLAIN_TEXT = 0xFB, 0xFD, 0x7C
POSITIVE_SUM = 0x3B  # "accumulated while positive": the usual mark of heat taken
TIMES_1000 = 0x7D
RECORD_ERROR_FIRST, RECORD_ERROR_LAST = 0x11, 0x1F  # the meter says that this value is none

# first and last VIF, quantity, power of ten of the first, factor, divisor; Wh, l, W, l/h, 0.001 K
PRIMARY = (
    (0x00, 0x07, ENERGY, -3, 1, 1),  # Wh
    (0x08, 0x0F, ENERGY, 0, 1, 3600),  # J
    (0x10, 0x17, VOLUME, -3, 1, 1),  # m3
    (0x28, 0x2F, POWER, -3, 1, 1),  # W
    (0x30, 0x37, POWER, 0, 1, 3600),  # J/h
    (0x38, 0x3F, FLOW, -3, 1, 1),  # m3/h
    (0x40, 0x47, FLOW, -4, 60, 1),  # m3/min
    (0x48, 0x4F, FLOW, -6, 3600, 1),  # m3/s
    (0x58, 0x5B, SUPPLY, 0, 1, 1),
    (0x5C, 0x5F, RETURN, 0, 1, 1),
    (0x60, 0x63, DIFFERENCE, 0, 1, 1),
    (0x78, 0x78, NUMBER, 0, 1, 1),
)
BY_FB = (
    (0x00, 0x01, ENERGY, 5, 1, 1),  # 0.1 MWh, 1 MWh
    (0x08, 0x09, ENERGY, 8, 1, 3600),  # 0.1 GJ, 1 GJ
    (0x10, 0x11, VOLUME, 5, 1, 1),  # 100 m3, 1000 m3
    (0x28, 0x29, POWER, 5, 1, 1),  # 0.1 MW, 1 MW
    (0x30, 0x31, POWER, 8, 1, 3600),  # 0.1 GJ/h, 1 GJ/h
)
BY_FD = ((0x17, 0x17, FLAGS, 0, 1, 1),)
TEMPERATURE_LOW_MC, TEMPERATURE_HIGH_MC = -40_000, 200_000
MOST_BITS = 80  # of a real's power of two: what lies beyond is no reading of a house


class Reading:
    """What a meter told. value[quantity]: Wh, l, W, l/h, 0.001 degC or K; None = not told, or invalid.

    step[quantity]: what the last digit told is worth, in the same unit; 0 = not told, or a real.
    """

    def __init__(self):
        self.value = [None] * QUANTITIES
        self.step = [0] * QUANTITIES
        self.clear()

    def clear(self):
        """Forget everything, before the first telegram of a reading."""
        value = self.value
        for quantity in range(QUANTITIES):
            value[quantity] = None
            self.step[quantity] = 0
        self.told = 0  # a bit for each quantity a record was about, valid or not
        self.identity = None  # number, manufacturer, version, medium as they came
        self.status = 0  # EN 13757-3: 0..1 application, 2 power low, 3 permanent, 4 temporary error
        self.more = False  # the meter has further telegrams

    @property
    def whole(self):
        """Whether everything that a heat meter is asked for was told."""
        return self.told & ESSENTIAL == ESSENTIAL


def decode(buffer, at, end, reading):
    """Add the telegram whose user data stands from at (its control information) to end; return OK or a cause.

    The telegram is walked twice: a record that breaks off must not leave half of it in the reading.
    """
    cause = _walk(buffer, at, end, None)
    return cause if cause else _walk(buffer, at, end, reading)


def _walk(buffer, at, end, reading):
    if at >= end:
        return TRUNCATED
    information = buffer[at]
    at += 1
    if information == CI_ERROR:
        return APPLICATION_ERROR
    if information == CI_LONG_HEADER:
        header = 12
    elif information == CI_SHORT_HEADER:
        header = 4
    elif information == CI_NO_HEADER:
        header = 0
    else:
        return FOREIGN
    if at + header > end:
        return TRUNCATED
    if header:
        last = at + header
        if header == 12 and buffer[at + 7] not in HEAT_MEDIA:
            return NOT_HEAT
        if buffer[last - 1] & 0x1F:  # mode of encryption
            return ENCRYPTED
        if reading is not None:
            reading.status |= buffer[last - 3]
            if header == 12:
                reading.identity = bytes(buffer[at : at + 8])
        at = last
    if reading is not None:
        reading.more = False
    while at < end:
        if buffer[at] == FILLER:
            at += 1
        elif buffer[at] in (MANUFACTURER, MANUFACTURER_MORE):
            if reading is not None:
                reading.more = buffer[at] == MANUFACTURER_MORE
            return OK
        else:
            at = _record(buffer, at, end, reading)
            if at < 0:
                return -at
    return OK


def _record(buffer, at, end, reading):
    """Take one record; return the place behind it, or minus the cause for which the telegram is refused."""
    dif = buffer[at]
    at += 1
    kind = dif & 0x0F
    if kind == 0x0F:
        return -RESERVED
    plain = dif & 0x70 == 0  # instantaneous, storage 0; tariff and subunit come with the extensions
    more = dif & 0x80
    chain = 0
    while more:
        if at >= end:
            return -TRUNCATED
        if chain == LONGEST_CHAIN:
            return -CHAIN
        chain += 1
        more = buffer[at] & 0x80
        plain = plain and buffer[at] & 0x7F == 0
        at += 1
    if at >= end:
        return -TRUNCATED
    vif = buffer[at]
    at += 1
    table = PRIMARY
    if vif in (EXTENSION_FB, EXTENSION_FD):
        if at >= end:
            return -TRUNCATED
        table = BY_FB if vif == EXTENSION_FB else BY_FD
        vif = buffer[at]
        at += 1
    elif vif & 0x7F == PLAIN_TEXT:
        if at >= end:
            return -TRUNCATED
        at += 1 + buffer[at]
        plain = False
    code = vif & 0x7F
    more = vif & 0x80
    exponent = chain = 0
    valid = True
    while more:
        if at >= end:
            return -TRUNCATED
        if chain == LONGEST_CHAIN:
            return -CHAIN
        chain += 1
        more = buffer[at] & 0x80
        change = buffer[at] & 0x7F
        at += 1
        if 0x70 <= change <= 0x77:
            exponent += change - 0x76
        elif change == TIMES_1000:
            exponent += 3
        elif RECORD_ERROR_FIRST <= change <= RECORD_ERROR_LAST:
            valid = False
        elif change != POSITIVE_SUM:
            plain = False  # a maximum, a limit, a duration: another quantity
    size = DATA_BYTES[kind]
    if kind == VARIABLE:
        if at >= end:
            return -TRUNCATED
        size = _variable_bytes(buffer[at])
        if size < 0:
            return -RESERVED
        at += 1
        plain = False  # text and numbers of any length: no heat meter tells its readings so
    if at + size > end:
        return -TRUNCATED
    if plain and size and reading is not None:
        for first, last, quantity, ten, factor, divisor in table:
            if first <= code <= last:
                if not reading.told >> quantity & 1:
                    reading.told |= 1 << quantity
                    if valid:
                        ten += code - first + exponent
                        reading.step[quantity] = _step(kind, ten, factor, divisor)
                        reading.value[quantity] = _value(
                            buffer, at, size, kind, quantity, ten, factor, divisor
                        )
                break
    return at + size


def _variable_bytes(length):
    """Return how many bytes follow a variable length byte, or -1 where it is reserved."""
    if length < 0xC0:
        return length
    if length < 0xE0:
        return length & 0x0F if length & 0x0F < 10 else -1
    if length < 0xF0:
        return length - 0xE0
    if length <= 0xF4:
        return 4 * (length - 0xEC)
    return 48 if length == 0xF5 else 64 if length == 0xF6 else -1


def _value(buffer, at, size, kind, quantity, ten, factor, divisor):
    """Return the number in the quantity's unit, or None where the meter marks it as invalid."""
    raw = 0
    for i in range(at + size - 1, at - 1, -1):
        raw = raw << 8 | buffer[i]
    if quantity == FLAGS:
        return raw if kind < FIRST_BCD and kind != REAL else None
    if kind == REAL:
        raw, two = _real(raw)
        if raw is None or two > MOST_BITS:
            return None
        if two >= 0:
            raw <<= two
        elif two >= -MOST_BITS:
            divisor <<= -two
        else:
            raw = 0
    elif kind >= FIRST_BCD:
        raw = _decimal(raw, 2 * size)
        if raw is None:
            return None
    else:
        sign = 1 << (8 * size - 1)
        if raw == sign:  # the most negative number means "no valid value"
            return None
        if raw & sign:
            raw -= sign << 1
    raw *= factor
    if ten >= 0:
        raw *= 10**ten
    else:
        divisor *= 10**-ten
    if divisor != 1:
        raw = (raw + divisor // 2) // divisor
    return raw if _possible(quantity, raw) else None


def _step(kind, ten, factor, divisor):
    """Return what one more in the last digit is, at least 1 of the quantity's unit; 0 for a real."""
    if kind == REAL:
        return 0
    return -(-factor * 10 ** max(0, ten) // (divisor * 10 ** max(0, -ten)))


def _possible(quantity, value):
    """Say whether a meter of any size can mean this: sums and numbers are not negative, water is liquid."""
    if quantity in (SUPPLY, RETURN):
        return TEMPERATURE_LOW_MC <= value <= TEMPERATURE_HIGH_MC
    return value >= 0 or quantity not in (ENERGY, VOLUME, NUMBER)


def _decimal(raw, digits):
    """Return the number of packed decimal digits, F as the first for minus; None for a bad digit."""
    number = 0
    negative = False
    for place in range(digits - 1, -1, -1):
        digit = raw >> 4 * place & 0x0F
        if digit > 9:
            if digit != 0x0F or place != digits - 1:
                return None
            negative = True
            digit = 0
        number = number * 10 + digit
    return -number if negative else number


def _real(raw):
    """Return (mantissa with its sign, power of two) of an IEEE 754 single; (None, 0) for no number."""
    power = raw >> 23 & 0xFF
    if power == 0xFF:
        return None, 0
    mantissa = raw & 0x7FFFFF | (0x800000 if power else 0)
    return (-mantissa if raw >> 31 else mantissa), (power or 1) - 150
