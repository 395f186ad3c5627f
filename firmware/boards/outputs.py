"""Relays, pumps, 0-10 V outputs, serial lines and the rarer inputs: what every board drives alike.

It refuses to close two relays of a valve at once, and claims no pin of a function the site does not have.
Which pins: the board's pin map. A valve that is moved by 0-10 V takes its opening relay's place.
"""

import machine

from . import PARITY

PWM_HZ = 1000
PWM_FULL = 65535
UART_BUFFER = 512  # two of the longest RTU frames: the control task may be at work meanwhile

ONE_WIRE, PULSES = 4, 5  # kinds of sensors.KINDS
PULSE_CHANNEL = 12  # the one input that counts pulses


def _counter(pin):
    from .pulse_counter import Counter

    return Counter(pin)


def _one_wire(wiring):
    from .one_wire import Bus

    return Bus(*wiring)


def _made(make, what):
    """Return what make gives; None where it fails: that input reads as lost, and the house is heated."""
    try:
        return make(what)
    except Exception as error:
        print("board: an input is lost: %r" % error)
        return None


class Outputs:
    def __init__(self, pins, button, down=0):
        """pins: the board's pin map. button: the pin of the service button, which reads down when pressed."""
        self._pins = pins
        self._button = button
        self._down = down
        self._relays = {}  # valve -> (open, close)
        self._pumps = {}
        self._voltages = {}
        self._one_wire = None
        self._counters = {}
        self._claim_valve(0)
        self._claim_pump(0)
        self._speeds = []
        self.device_id = bytes(machine.unique_id())
        self.reset_cause = machine.reset_cause()

    def equip(self, settings):
        """Claim the pins of what this site has beyond one heating circuit, every output off."""
        pins = self._pins
        if settings.circuits == 0:
            for speed in pins.SPEEDS[: settings.pumps]:
                self._speeds.append(self._pwm(speed))
            self._demand = self._pwm(pins.DEMAND)
        if settings.circuits == 2:
            self._claim_valve(1)
            self._claim_pump(1)
        if settings.dhw != "none":
            self._claim_valve(2)
            self._claim_pump(2)
            self._claim_pump(3)
        for which, profile, speed_bp, feedback in settings.pump_pwm:
            self._pumps[which] = self._pwm_pump(which, profile, speed_bp, feedback)
        numbers = {}
        for _, channel, kind, span in settings.inputs:
            if kind == ONE_WIRE:
                numbers[channel] = span
            elif kind == PULSES and channel == PULSE_CHANNEL:
                self._counters[channel] = _made(_counter, pins.PULSES)
        if numbers:
            self._one_wire = _made(_one_wire, (pins.ONE_WIRE, numbers))

    def _pwm_pump(self, which, profile, speed_bp, feedback):
        from .pump_pwm import Feedback, PwmPump

        told = _made(Feedback, self._pins.PUMP_FEEDBACK[which]) if feedback else None
        return PwmPump(self._pins.PUMPS[which], profile, speed_bp, told)

    def _pwm(self, pin):
        return machine.PWM(machine.Pin(pin), freq=PWM_HZ, duty_u16=0)

    def _claim_valve(self, which):
        opens, closes = self._pins.VALVES[which]
        self._relays[which] = (
            machine.Pin(opens, machine.Pin.OUT, value=0),
            machine.Pin(closes, machine.Pin.OUT, value=0),
        )

    def _claim_pump(self, which):
        self._pumps[which] = machine.Pin(self._pins.PUMPS[which], machine.Pin.OUT, value=0)

    def valve(self, direction, which=0):
        """Drive a primary valve: 1 opens, -1 closes, 0 holds it where it is."""
        opens, closes = self._relays[which]
        if direction > 0:
            closes.value(0)
            opens.value(1)
        elif direction < 0:
            opens.value(0)
            closes.value(1)
        else:
            opens.value(0)
            closes.value(0)

    def valve_voltage(self, bp, which=0):
        """Put 0-10 V, in basis points of 10 V, on a valve's positioner."""
        output = self._voltages.get(which)
        if output is None:
            output = self._voltages[which] = self._pwm(self._pins.VALVES[which][0])
        output.duty_u16(bp * PWM_FULL // 10000)

    def pump(self, on, which=0):
        self._pumps[which].value(1 if on else 0)

    def pump_state(self, which=0):
        """Return what a pump commanded by pulses says of itself, as pump_pwm counts it."""
        return self._pumps[which].state()

    def pump_speed(self, bp, which=0):
        self._speeds[which].duty_u16(bp * PWM_FULL // 10000)

    def heat_demand(self, bp):
        self._demand.duty_u16(bp * PWM_FULL // 10000)

    def one_wire_mc(self, channel):
        """Return the temperature of the DS18B20 on this channel, as of the last sample, or None."""
        return None if self._one_wire is None else self._one_wire.mc(channel)

    def pulse_count(self, channel):
        """Return the pulses counted since boot, or None where there is no such input."""
        counter = self._counters.get(channel)
        return None if counter is None else counter.count

    def button_pressed(self):
        return self._button.value() == self._down

    def serial_line(self, baud, parity, stop_bits):
        """Return the RS-485 line, 8 data bits, read and written without waiting. parity: a key of PARITY."""
        return self._line(self._pins.RS485, baud, parity, stop_bits)

    def meter_line(self, baud):
        """Return the M-Bus line behind its level converter: 8 data bits, even parity, never waiting."""
        return self._line(self._pins.MBUS, baud, "even", 1)

    def _line(self, wired, baud, parity, stop_bits):
        number, transmit, receive = wired
        return machine.UART(
            number, baud, bits=8, parity=PARITY[parity], stop=stop_bits, tx=machine.Pin(transmit),
            rx=machine.Pin(receive), timeout=0, timeout_char=0, rxbuf=UART_BUFFER, txbuf=UART_BUFFER,
        )  # fmt: skip

    def watchdog(self, timeout_ms):
        return machine.WDT(timeout=timeout_ms)

    def reset(self):
        machine.reset()
