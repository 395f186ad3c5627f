"""The analog inputs of every real board: up to four ADS1115 converters on one I2C bus.

It refuses to use a chip's own converter: behind the divider 12 bits are 0.26 K per step, the ADS1115 gives
0.04 K. One carrier and one wiring plan therefore serve every board. Never run on real hardware so far.

The chips at 0x48 and 0x49 have channels 0..3 and 4..7; where site.json wires more, that at 0x4A 8..11 and
that at 0x4B 12..14. Pt1000 to ground with 1500.0 ohm to a 3.3 V reference; 4-20 mA over 150 ohm; 0-10 V
through a divider of 1 to 4. The converter measures against its own reference, so 0.1 % of the 3.3 V is
0.43 K at 0 degC: use a reference of 0.02 %.
"""

from .outputs import Outputs

REFERENCE_UV = 3_300_000
STEP_UV = 125  # ADS1115 at +-4.096 V
SHUNT_OHM = 150
DIVIDER_OHM = 1_500
OPEN_MOHM = 1_000_000_000
# What a channel reads that was not converted: open, 22 mA and 13.2 V are lost sensors of every kind. 0 V is a
# valid zero at a 0-10 V input, and a town's pumps may go by one.
LOST_UV = REFERENCE_UV
VOLTAGE_DIVIDER = 4

CHIPS = (0x48, 0x49, 0x4A, 0x4B)
STANDARD_CHIPS = 2
CONVERSION_REGISTER = 0
CONFIG_REGISTER = 1
# start, single-ended input in bits 12..13, +-4.096 V, single shot, 250 samples/s, no comparator
CONFIG_WORD = 0x8000 | 0x4000 | 0x0200 | 0x0100 | 0x00A0 | 0x0003
CONVERSION_MS = 5  # 4 ms at 250 samples/s, and the oscillator's 10 %


class Converters(Outputs):
    def __init__(self, pins, button, i2c, down=0):
        """i2c: the converters' bus. Else as Outputs."""
        super().__init__(pins, button, down)
        self._i2c = i2c
        self._command = bytearray(2)
        self._answer = bytearray(2)
        self._chips = STANDARD_CHIPS
        self._uv = [LOST_UV] * (4 * STANDARD_CHIPS)

    def equip(self, settings):
        super().equip(settings)
        self._chips = max(STANDARD_CHIPS, max([row[1] for row in settings.inputs] + [0]) // 4 + 1)
        self._uv = [LOST_UV] * (4 * self._chips)

    def sample(self):
        """Convert all inputs, the chips side by side: 20 ms. What a chip does not answer reads as lost."""
        from time import sleep_ms

        if self._one_wire is not None:
            self._one_wire.sample()

        for channel in range(4):
            word = CONFIG_WORD | (channel << 12)
            self._command[0] = word >> 8
            self._command[1] = word & 0xFF
            for position in range(self._chips):
                try:
                    self._i2c.writeto_mem(CHIPS[position], CONFIG_REGISTER, self._command)
                    self._uv[4 * position + channel] = 0  # asked for
                except OSError:
                    self._uv[4 * position + channel] = LOST_UV
            sleep_ms(CONVERSION_MS)
            for position in range(self._chips):
                place = 4 * position + channel
                if self._uv[place]:
                    continue  # not asked for: the register still holds the channel before
                try:
                    self._i2c.readfrom_mem_into(CHIPS[position], CONVERSION_REGISTER, self._answer)
                    count = (self._answer[0] << 8) | self._answer[1]
                    self._uv[place] = 0 if count > 32767 else count * STEP_UV
                except OSError:
                    self._uv[place] = LOST_UV

    def resistance_mohm(self, channel):
        """Return the resistance at a Pt1000 or NTC input in mohm, as of the last sample(); lost: open."""
        uv = self._uv[channel]
        if uv >= REFERENCE_UV - 10 * STEP_UV:
            return OPEN_MOHM
        return 1000 * DIVIDER_OHM * uv // (REFERENCE_UV - uv)

    def current_ua(self, channel):
        """Return the loop current at a 4-20 mA input in uA, as of the last sample(); lost: above 21 mA."""
        return self._uv[channel] // SHUNT_OHM

    def voltage_mv(self, channel):
        """Return the voltage at a 0-10 V input in mV, as of the last sample(); lost: above 10.5 V."""
        return self._uv[channel] * VOLTAGE_DIVIDER // 1000


def fixed_address(settings):
    """Return (address, netmask, gateway, name server) of site.json: {"network": {"address": ...}}.

    No DHCP: waiting for a lease would stop the control loop. OSError when the address is missing.
    """
    if "address" not in settings:
        raise OSError("site.json: network.address is missing; heating goes on without Modbus")
    gateway = settings.get("gateway", "0.0.0.0")
    return (settings["address"], settings.get("netmask", "255.255.255.0"), gateway, gateway)
