"""Relays, pumps, 0-10 V outputs and the rarer inputs: what every board wires alike.

It refuses to close two relays of a valve at once, and claims no pin of a function the site does not have.

Pins: valves 10/11, 6/7 and 13/15 (open, close); pumps 12, 2, 26, 27; in a pump station 0-10 V by PWM and
amplifier on 13 (pump speed), 14 (supply temperature demand) and 6 (second pump). A valve that is moved by
0-10 V takes its opening relay's place. 1-Wire on 28, pulses of channel 12 on 3.
"""

import machine

VALVE_PINS = ((10, 11), (6, 7), (13, 15))
PUMP_PINS = (12, 2, 26, 27)
SPEED_PIN, DEMAND_PIN, SPEED2_PIN = 13, 14, 6
ONE_WIRE_PIN = 28
PULSE_PINS = {12: 3}
PWM_HZ = 1000
PWM_FULL = 65535

ONE_WIRE, PULSES = 4, 5  # kinds of sensors.KINDS


def _counter(pin):
    from .pulse_counter import Counter

    return Counter(pin)


def _one_wire(numbers):
    from .one_wire import Bus

    return Bus(ONE_WIRE_PIN, numbers)


def _made(make, what):
    """Return what make gives; None where it fails: that input reads as lost, and the house is heated."""
    try:
        return make(what)
    except Exception as error:
        print("board: an input is lost: %r" % error)
        return None


class Outputs:
    def __init__(self):
        self._relays = {}  # valve -> (open, close)
        self._pumps = {}
        self._voltages = {}
        self._one_wire = None
        self._counters = {}
        self._claim_valve(0)
        self._claim_pump(0)
        self._speeds = []

    def equip(self, settings):
        """Claim the pins of what this site has beyond one heating circuit, every output off."""
        if settings.circuits == 0:
            self._speeds.append(machine.PWM(machine.Pin(SPEED_PIN), freq=PWM_HZ, duty_u16=0))
            self._demand = machine.PWM(machine.Pin(DEMAND_PIN), freq=PWM_HZ, duty_u16=0)
        if settings.circuits == 2:
            self._claim_valve(1)
            self._claim_pump(1)
        if settings.dhw != "none":
            self._claim_valve(2)
            self._claim_pump(2)
            self._claim_pump(3)
        if settings.pumps == 2:
            self._speeds.append(machine.PWM(machine.Pin(SPEED2_PIN), freq=PWM_HZ, duty_u16=0))
        numbers = {}
        for _, channel, kind, span in settings.inputs:
            if kind == ONE_WIRE:
                numbers[channel] = span
            elif kind == PULSES and channel in PULSE_PINS:
                self._counters[channel] = _made(_counter, PULSE_PINS[channel])
        if numbers:
            self._one_wire = _made(_one_wire, numbers)

    def _claim_valve(self, which):
        opens, closes = VALVE_PINS[which]
        self._relays[which] = (
            machine.Pin(opens, machine.Pin.OUT, value=0),
            machine.Pin(closes, machine.Pin.OUT, value=0),
        )

    def _claim_pump(self, which):
        self._pumps[which] = machine.Pin(PUMP_PINS[which], machine.Pin.OUT, value=0)

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
            output = machine.PWM(machine.Pin(VALVE_PINS[which][0]), freq=PWM_HZ, duty_u16=0)
            self._voltages[which] = output
        output.duty_u16(bp * PWM_FULL // 10000)

    def pump(self, on, which=0):
        self._pumps[which].value(1 if on else 0)

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

    def watchdog(self, timeout_ms):
        return machine.WDT(timeout=timeout_ms)

    def reset(self):
        machine.reset()
