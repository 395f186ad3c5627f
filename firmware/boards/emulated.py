"""Pins of the bench's emulated controller, and of the carrier board it stands for.

It refuses to close two relays of the valve at once.

ADC 0..5: Pt1000 to ground, 1500.0 ohm to the reference. ADC 6, 7: 4-20 mA over 150 ohm against 3.3 V.
Pin 10, 11: valve open, close. Pin 12: circulation pump. Pin 13, 14: 0-10 V pump speed and supply
temperature demand, as PWM. Pin 20: service button to ground. UART 1: RS-485.
"""

import machine

from . import PARITY

DIVIDER_MOHM = 1_500_000
FULL_SCALE = 65535
FULL_SCALE_UA = 22_000  # 3.3 V over 150 ohm
OPEN_MOHM = 1_000_000_000
PWM_HZ = 1000
UART_BUFFER = 512  # two of the longest RTU frames: the control task may be at work meanwhile


class Board:
    def __init__(self):
        self._open = machine.Pin(10, machine.Pin.OUT, value=0)
        self._close = machine.Pin(11, machine.Pin.OUT, value=0)
        self._pump = machine.Pin(12, machine.Pin.OUT, value=0)
        self._speed = machine.PWM(machine.Pin(13), freq=PWM_HZ, duty_u16=0)
        self._demand = machine.PWM(machine.Pin(14), freq=PWM_HZ, duty_u16=0)
        self._button = machine.Pin(20, machine.Pin.IN, machine.Pin.PULL_UP)
        self._adc = [machine.ADC(channel) for channel in range(8)]
        self.device_id = machine.unique_id()
        self.reset_cause = machine.reset_cause()

    def sample(self):
        """The converter is read when asked."""

    def resistance_mohm(self, channel):
        """Return the resistance at a Pt1000 input in mohm; an open one reads OPEN_MOHM or a bit less."""
        count = self._adc[channel].read_u16()
        if count >= FULL_SCALE - 2:
            return OPEN_MOHM
        return DIVIDER_MOHM * count // (FULL_SCALE - count)

    def current_ua(self, channel):
        """Return the loop current at a 4-20 mA input in uA."""
        return self._adc[channel].read_u16() * FULL_SCALE_UA // FULL_SCALE

    def valve(self, direction):
        """Drive the primary valve: 1 opens, -1 closes, 0 holds it where it is."""
        if direction > 0:
            self._close.value(0)
            self._open.value(1)
        elif direction < 0:
            self._open.value(0)
            self._close.value(1)
        else:
            self._open.value(0)
            self._close.value(0)

    def pump(self, on):
        self._pump.value(1 if on else 0)

    def pump_speed(self, bp):
        self._speed.duty_u16(bp * FULL_SCALE // 10000)

    def heat_demand(self, bp):
        self._demand.duty_u16(bp * FULL_SCALE // 10000)

    def button_pressed(self):
        return self._button.value() == 0

    def start_network(self, settings):
        """The host's network is up already."""

    def serial_line(self, baud, parity, stop_bits):
        """Return the RS-485 line, 8 data bits, read and written without waiting. parity: a key of PARITY."""
        return machine.UART(
            1, baud, bits=8, parity=PARITY[parity], stop=stop_bits, timeout=0, timeout_char=0,
            rxbuf=UART_BUFFER, txbuf=UART_BUFFER,
        )  # fmt: skip

    def watchdog(self, timeout_ms):
        return machine.WDT(timeout=timeout_ms)

    def reset(self):
        machine.reset()
