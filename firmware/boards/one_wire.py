"""DS18B20 sensors on one wire: each sample reads what the one before has begun to convert.

Every sensor is asked by the number burnt into it, which site.json names; where one alone is wired it may do
without. What is found is told on the console, and looked for anew every minute while a sensor is missing. It
refuses to wait the 750 ms of a conversion, so a reading is a control period old; and to take one sensor for
another: what does not answer, or answers with a wrong check sum, is no reading, and moves no other. Never run
on real hardware so far.
"""

import ds18x20
import machine
import onewire

FAMILY = 0x28
POWER_ON_MC = 85_000  # what the chip tells before its first conversion [data sheet]
NEAR_MK = (
    10_000  # a sensor that was so near is believed the 85 degC: it measures, and was not reset [estimate]
)
SEARCH_EVERY = 30  # samples


class Bus:
    """numbers: {channel: the sensor's number, as a whole, its family first; 0: the only one on the bus}."""

    def __init__(self, pin, numbers):
        self._bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(pin)))
        self._roms = {c: n.to_bytes(8, "big") if n else None for c, n in numbers.items()}
        self._mc = dict.fromkeys(numbers)
        self._found = None
        self._round = 0
        self._converting = False

    def sample(self):
        """Read every sensor and begin the next conversion."""
        if self._round % SEARCH_EVERY == 0 and None in self._mc.values():
            self._search()
        self._round += 1
        for channel, rom in self._roms.items():
            before = self._mc[channel]
            mc = self._read(rom) if self._converting and rom else None
            if mc == POWER_ON_MC and (before is None or not -NEAR_MK <= before - mc <= NEAR_MK):
                mc = None
            self._mc[channel] = mc
        try:
            self._bus.convert_temp()
            self._converting = True
        except Exception:  # nobody on the bus
            self._converting = False

    def _search(self):
        found = sorted(bytes(rom) for rom in self._bus.scan() if rom[0] == FAMILY)
        if found == self._found:
            return
        self._found = found
        print(
            "1-wire: found", ", ".join("".join("%02x" % byte for byte in rom) for rom in found) or "nothing"
        )
        if len(found) == 1:
            for channel, rom in self._roms.items():
                if rom is None:
                    self._roms[channel] = found[0]

    def _read(self, rom):
        try:
            answer = self._bus.read_scratch(bytearray(rom))
        except Exception:  # a bus error or a wrong check sum: the driver raises either
            return None
        if not any(answer):  # a bus that is shorted: nine zeros have a right check sum
            return None
        count = answer[1] << 8 | answer[0]
        return (count - 0x10000 if count & 0x8000 else count) * 125 // 2

    def mc(self, channel):
        """Return the temperature in 0.001 degC of the sensor on this channel, or None."""
        return self._mc.get(channel)
