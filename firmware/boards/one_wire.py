"""DS18B20 sensors on one wire: each sample reads what the one before has begun to convert.

It refuses to wait the 750 ms of a conversion, so a reading is a control period old. A sensor that does not
answer, or answers with a wrong check sum, is no reading; the bus is searched anew every minute while one is
missing. Never run on real hardware so far.
"""

import ds18x20
import machine
import onewire

POWER_ON_MC = 85_000  # what the chip tells before its first conversion [data sheet]
SEARCH_EVERY = 30  # samples


class Bus:
    def __init__(self, pin):
        self._bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(pin)))
        self._roms = []
        self._mc = []
        self._round = 0
        self._converting = False

    def sample(self):
        """Read every sensor and begin the next conversion."""
        if self._round % SEARCH_EVERY == 0 and (not self._mc or None in self._mc):
            self._search()
        self._round += 1
        if self._converting:
            self._mc = [self._read(rom) for rom in self._roms]
        try:
            self._bus.convert_temp()
            self._converting = True
        except onewire.OneWireError:
            self._converting = False
            self._mc = [None] * len(self._roms)

    def _search(self):
        found = sorted(bytes(rom) for rom in self._bus.scan())
        if len(found) >= len(self._roms):  # a sensor that is silent keeps its place
            self._roms = found

    def _read(self, rom):
        try:
            mc = int(round(self._bus.read_temp(bytearray(rom)) * 1000))
        except Exception:  # a bus error or a wrong check sum: the driver raises either
            return None
        return None if mc == POWER_ON_MC else mc

    def mc(self, place):
        """Return the temperature in 0.001 degC of the sensor at this place by its number, or None."""
        return self._mc[place] if 0 <= place < len(self._mc) else None
