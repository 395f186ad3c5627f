"""NUCLEO-H743ZI or NUCLEO-H743ZI2: an STM32H743 with an Ethernet chip over RMII, for the bench.

The service button is the board's B1, which is high when pressed. Inputs: see `converters`. Needs a
MicroPython whose stm32 port has machine.PWM, new in 2026; it refuses to fall back on the older pyb.Timer.
A serial line is written while the processor waits: an answer of 256 bytes holds it for 0.13 s at 19200 Bd,
a question to a meter for 0.2 s at 300 Bd, of a control period of 2 s. Never run on real hardware so far.
"""

import machine
import network

from . import PARITY
from . import nucleo_h743_pins as pins
from .converters import Converters, fixed_address
from .outputs import UART_BUFFER

I2C_BUS = 2  # its pins are fixed in the port's board definition


class Board(Converters):
    def __init__(self):
        button = machine.Pin(pins.BUTTON, machine.Pin.IN)
        super().__init__(pins, button, machine.I2C(I2C_BUS, freq=400_000), down=1)
        self._nic = None

    def start_network(self, settings):
        """Bring the network chip up with the fixed address of site.json."""
        address = fixed_address(settings)
        if self._nic is None:
            self._nic = network.LAN()
        self._nic.active(True)
        # the port's LAN has it, its stubs do not
        self._nic.ifconfig(address)  # type: ignore[union-attr]

    def _line(self, wired, baud, parity, stop_bits):
        # a UART's pins are fixed in the port's board definition, and it has no buffer for what is sent
        return machine.UART(
            wired[0], baud, bits=8, parity=PARITY[parity], stop=stop_bits, timeout=0, timeout_char=0,
            rxbuf=UART_BUFFER,
        )  # fmt: skip
