"""`machine.I2C` with the carrier board's converters: ADS1115, at 0x48 inputs 0 to 3, at 0x49 4 to 7, ...

Its inputs are those of `machine.ADC`, as voltages; a chip is there when the board has its first input. Who
runs this source gives it `CHANNELS`, `counts(channel)`, which is 65535 at 3.3 V, and `now_us()`. It refuses
what an emulated bus cannot show: every line is idle, nobody holds the clock, and the pins are not looked at.
"""

_FIRST_CHIP = 0x48
_REFERENCE_UV = 3_300_000
_CONVERSION, _CONFIG = 0, 1
_START = 0x8000  # written: convert; read: no conversion is under way
_SINGLE_SHOT = 0x0100
_RANGES_UV = (6_144_000, 4_096_000, 2_048_000, 1_024_000, 512_000, 256_000, 256_000, 256_000)
_RATES_HZ = (8, 16, 32, 64, 128, 250, 475, 860)
_PAIRS = ((0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None))
_EIO = 5


class _ADS1115:
    """One chip: registers of 16 bits, high byte first, behind a pointer [data sheet SBAS444]."""

    def __init__(self, first):
        self._first = first
        self._pointer = _CONVERSION
        self._words = [0, 0x8583, 0x8000, 0x7FFF]  # conversion, config, thresholds: as after power-on
        self._began_us = None  # of the conversion under way
        self._seen_uv = 0

    def _uv(self, number):
        if number is None:
            return 0
        channel = self._first + number
        return counts(channel) * _REFERENCE_UV // 65535 if channel < CHANNELS else 0  # noqa: F821

    def _begin(self):
        plus, minus = _PAIRS[self._words[_CONFIG] >> 12 & 7]
        self._seen_uv = self._uv(plus) - self._uv(minus)
        self._began_us = now_us()  # noqa: F821

    def _settle(self):
        """End the conversion that has had its time; without single shot the next one begins."""
        config = self._words[_CONFIG]
        if self._began_us is None or now_us() - self._began_us < 1_000_000 // _RATES_HZ[config >> 5 & 7]:  # noqa: F821
            return
        steps = self._seen_uv * 32768 // _RANGES_UV[config >> 9 & 7]
        self._words[_CONVERSION] = max(-32768, min(32767, steps)) & 0xFFFF
        self._began_us = None
        if not config & _SINGLE_SHOT:
            self._begin()

    def write(self, data):
        self._settle()
        if data:
            self._pointer = data[0] & 3
        if len(data) < 3 or self._pointer == _CONVERSION:
            return
        word = data[1] << 8 | data[2]
        self._words[self._pointer] = word
        if self._pointer == _CONFIG:
            self._words[_CONFIG] = word & ~_START
            if word & _START or not word & _SINGLE_SHOT:
                self._begin()

    def read(self, buffer):
        self._settle()
        word = self._words[self._pointer]
        if self._pointer == _CONFIG and self._began_us is None:
            word |= _START
        for place in range(len(buffer)):
            buffer[place] = word & 0xFF if place & 1 else word >> 8


_chips = {
    _FIRST_CHIP + number: _ADS1115(4 * number)
    for number in range(4)
    if 4 * number < CHANNELS  # noqa: F821
}


def _chip(address):
    chip = _chips.get(address)
    if chip is None:
        raise OSError(_EIO)  # nobody acknowledges
    return chip


class I2C:
    """The one bus of the carrier board, whatever number the port gives it."""

    def __init__(self, id=0, *, scl=None, sda=None, freq=400_000, timeout=50_000):
        if id not in (0, 1, 2):
            raise ValueError("I2C(%s) doesn't exist" % id)

    def scan(self):
        return sorted(_chips)

    def writeto(self, addr, buf, stop=True):
        _chip(addr).write(bytes(buf))
        return len(buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector), stop)

    def readfrom_into(self, addr, buf, stop=True):
        _chip(addr).read(buf)

    def readfrom(self, addr, nbytes, stop=True):
        buffer = bytearray(nbytes)
        self.readfrom_into(addr, buffer)
        return bytes(buffer)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, bytes([memaddr]) + bytes(buf))

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        chip = _chip(addr)
        chip.write(bytes([memaddr]))
        chip.read(buf)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        buffer = bytearray(nbytes)
        self.readfrom_mem_into(addr, memaddr, buffer)
        return bytes(buffer)
