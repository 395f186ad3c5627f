"""RP2350 with a W5500 network chip (W5500-EVB-Pico2) on a carrier with two ADS1115 converters.

It refuses to use the chip's own converter: its 12 bits are 0.26 K per step behind the divider, the
ADS1115 gives 0.04 K. Never run on real hardware so far: pins and limits are from the data sheets.

Network: SPI0 on GP16 (MISO), GP17 (CS), GP18 (SCK), GP19 (MOSI), reset GP20, interrupt GP21 [WIZnet].
Sensors: I2C0 on GP4 (SDA), GP5 (SCL); ADS1115 at 0x48 has channels 0..3, at 0x49 4..7; where site.json wires
more, at 0x4A 8..11 and at 0x4B 12..14. 0-10 V comes through a divider of 1 to 4.
Pt1000 to ground with 1500.0 ohm to a 3.3 V reference; 4-20 mA over 150 ohm. The converter measures
against its own reference, so 0.1 % of the 3.3 V is 0.43 K at 0 degC: use a reference of 0.02 %.
RS-485: UART1 on GP8 (TX), GP9 (RX), over a transceiver that turns its direction by itself.
M-Bus: UART0 on GP0 (TX), GP1 (RX), over a level converter (master) that supplies the bus.
Outputs as in `outputs`. Service button: GP22 to ground. Watchdog: at most 8 388 ms.
"""

import machine
import network

from . import PARITY
from .outputs import Outputs

REFERENCE_UV = 3_300_000
STEP_UV = 125  # ADS1115 at +-4.096 V
SHUNT_OHM = 150
DIVIDER_MOHM = 1_500_000
OPEN_MOHM = 1_000_000_000
VOLTAGE_DIVIDER = 4
UART_BUFFER = 512  # two of the longest RTU frames: the control task may be at work meanwhile

CONVERTERS = (0x48, 0x49, 0x4A, 0x4B)
STANDARD_CONVERTERS = 2
CONVERSION_REGISTER = 0
CONFIG_REGISTER = 1
# start, single-ended input in bits 12..13, +-4.096 V, single shot, 250 samples/s, no comparator
CONFIG_WORD = 0x8000 | 0x4000 | 0x0200 | 0x0100 | 0x00A0 | 0x0003
CONVERSION_MS = 5  # 4 ms at 250 samples/s, and the oscillator's 10 %


class Board(Outputs):
    def __init__(self):
        super().__init__()
        self._button = machine.Pin(22, machine.Pin.IN, machine.Pin.PULL_UP)
        self._i2c = machine.I2C(0, sda=machine.Pin(4), scl=machine.Pin(5), freq=400_000)
        self._command = bytearray(2)
        self._answer = bytearray(2)
        self._chips = STANDARD_CONVERTERS
        self._uv = [0] * (4 * STANDARD_CONVERTERS)
        self._nic = None
        self.device_id = bytes(machine.unique_id())
        self.reset_cause = machine.reset_cause()

    def equip(self, settings):
        super().equip(settings)
        self._chips = max(STANDARD_CONVERTERS, max([row[1] for row in settings.inputs] + [0]) // 4 + 1)
        self._uv = [0] * (4 * self._chips)

    def sample(self):
        """Convert all inputs, the chips side by side: 20 ms. A chip that is silent reads 0 V."""
        from time import sleep_ms

        if self._one_wire is not None:
            self._one_wire.sample()

        for channel in range(4):
            word = CONFIG_WORD | (channel << 12)
            self._command[0] = word >> 8
            self._command[1] = word & 0xFF
            for chip in CONVERTERS[: self._chips]:
                try:
                    self._i2c.writeto_mem(chip, CONFIG_REGISTER, self._command)
                except OSError:
                    pass  # told by the reading below
            sleep_ms(CONVERSION_MS)
            for position in range(self._chips):
                try:
                    self._i2c.readfrom_mem_into(CONVERTERS[position], CONVERSION_REGISTER, self._answer)
                    count = (self._answer[0] << 8) | self._answer[1]
                except OSError:
                    count = 0  # a short circuit to the sensors: the fallback table takes over
                self._uv[4 * position + channel] = 0 if count > 32767 else count * STEP_UV

    def resistance_mohm(self, channel):
        """Return the resistance at a Pt1000 or NTC input in mohm, as of the last sample()."""
        uv = self._uv[channel]
        if uv >= REFERENCE_UV - 10 * STEP_UV:
            return OPEN_MOHM
        return DIVIDER_MOHM * uv // (REFERENCE_UV - uv)

    def current_ua(self, channel):
        """Return the loop current at a 4-20 mA input in uA, as of the last sample()."""
        return self._uv[channel] // SHUNT_OHM

    def voltage_mv(self, channel):
        """Return the voltage at a 0-10 V input in mV, as of the last sample()."""
        return self._uv[channel] * VOLTAGE_DIVIDER // 1000

    def button_pressed(self):
        return self._button.value() == 0

    def start_network(self, settings):
        """Bring the network chip up with the fixed address of site.json: {"network": {"address": …}}.

        No DHCP: waiting for a lease would stop the control loop. OSError when the address is missing.
        """
        if "address" not in settings:
            raise OSError("site.json: network.address is missing; heating goes on without Modbus")
        if self._nic is None:
            spi = machine.SPI(0, 20_000_000, mosi=machine.Pin(19), miso=machine.Pin(16), sck=machine.Pin(18))
            self._nic = network.WIZNET5K(spi, machine.Pin(17), machine.Pin(20))
        self._nic.active(True)
        gateway = settings.get("gateway", "0.0.0.0")
        self._nic.ifconfig((settings["address"], settings.get("netmask", "255.255.255.0"), gateway, gateway))

    def serial_line(self, baud, parity, stop_bits):
        """Return the RS-485 line, 8 data bits, read and written without waiting. parity: a key of PARITY."""
        return machine.UART(
            1, baud, bits=8, parity=PARITY[parity], stop=stop_bits, tx=machine.Pin(8), rx=machine.Pin(9),
            timeout=0, timeout_char=0, rxbuf=UART_BUFFER, txbuf=UART_BUFFER,
        )  # fmt: skip

    def meter_line(self, baud):
        """Return the M-Bus line behind its level converter: 8 data bits, even parity, never waiting."""
        return machine.UART(
            0, baud, bits=8, parity=PARITY["even"], stop=1, tx=machine.Pin(0), rx=machine.Pin(1),
            timeout=0, timeout_char=0, rxbuf=UART_BUFFER, txbuf=UART_BUFFER,
        )  # fmt: skip
