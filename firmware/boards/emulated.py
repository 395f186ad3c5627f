"""The bench's emulated controller, with the outputs of the W5500's carrier board that it stands for.

ADC 0..5: Pt1000 to ground, 1500.0 ohm to the reference. ADC 6, 7: 4-20 mA over 150 ohm against 3.3 V.
ADC 8..14: as site.json wires them; 0-10 V through a divider of 1 to 4. Pin 20: service button to ground.
UART 1: RS-485. UART 0: M-Bus. It refuses to take a channel that is not wired for a reading: it is an open
circuit.
"""

import machine

from . import w5500_evb_pins
from .outputs import Outputs

DIVIDER_MOHM = 1_500_000
FULL_SCALE = 65535
FULL_SCALE_UA = 22_000  # 3.3 V over 150 ohm
FULL_SCALE_MV = 13_200  # 3.3 V behind a divider of 1 to 4
OPEN_MOHM = 1_000_000_000
STANDARD_CHANNELS = 8


class Board(Outputs):
    def __init__(self):
        super().__init__(w5500_evb_pins, machine.Pin(20, machine.Pin.IN, machine.Pin.PULL_UP))
        self._adc = {channel: machine.ADC(channel) for channel in range(STANDARD_CHANNELS)}

    def equip(self, settings):
        super().equip(settings)
        for row in settings.inputs:
            if row[1] >= STANDARD_CHANNELS:
                try:
                    self._adc[row[1]] = machine.ADC(row[1])
                except ValueError:
                    pass  # reads as an open circuit

    def sample(self):
        """The converter is read when asked; 1-Wire has to be sampled, where there is one."""
        if self._one_wire is not None:
            self._one_wire.sample()

    def _count(self, channel):
        adc = self._adc.get(channel)
        return None if adc is None else adc.read_u16()

    def resistance_mohm(self, channel):
        """Return the resistance at a Pt1000 or NTC input in mohm; an open one reads about OPEN_MOHM."""
        count = self._count(channel)
        if count is None or count >= FULL_SCALE - 2:
            return OPEN_MOHM
        return DIVIDER_MOHM * count // (FULL_SCALE - count)

    def current_ua(self, channel):
        """Return the loop current at a 4-20 mA input in uA."""
        count = self._count(channel)
        return 0 if count is None else count * FULL_SCALE_UA // FULL_SCALE

    def voltage_mv(self, channel):
        """Return the voltage at a 0-10 V input in mV; an input that is not wired reads far above."""
        count = self._count(channel)
        return FULL_SCALE_MV if count is None else count * FULL_SCALE_MV // FULL_SCALE

    def start_network(self, settings):
        """The host's network is up already."""
