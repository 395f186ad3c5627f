"""MicroPython's `machine` for unit tests in the plain VM: pins that remember, inputs a test can set.

It refuses to keep time or to end the process; a reset is an exception that the test catches.
"""

# ADC 0..7: -5, 90, 45, 61, 45 and 20 degC on the Pt1000 inputs, then 5.0 and 4.4 mA
counts = [25904, 31007, 28782, 29609, 28782, 27403, 14894, 13107]
button = [1]
pins = {}
edges = {}  # pin -> what its falling edge calls
duties = {}
feeds = [0]
cause = [1]


class Reset(BaseException):
    pass


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 1
    IRQ_FALLING = 4
    IRQ_RISING = 8

    def __init__(self, id, mode=-1, pull=-1, value=None):
        self.id = id
        if value is not None:
            pins[id] = value

    def value(self, level=None):
        if level is None:
            return button[0] if self.id == 20 else pins.get(self.id, 0)
        pins[self.id] = level

    def irq(self, handler, trigger):
        edges[self.id] = handler


class ADC:
    def __init__(self, channel):
        self._channel = channel

    def read_u16(self):
        return counts[self._channel]


class PWM:
    def __init__(self, pin, freq=0, duty_u16=0):
        self._id = pin.id
        duties[self._id] = duty_u16

    def duty_u16(self, duty):
        duties[self._id] = duty


class UART:
    """What was written is kept in sent; what stands in waiting is read."""

    sent = []
    waiting = [b""]

    def __init__(self, id, baudrate, **settings):
        self.id = id

    def write(self, frame):
        self.sent.append(bytes(frame))

    def readinto(self, buffer):
        count = min(len(buffer), len(self.waiting[0]))
        if not count:
            return None
        buffer[:count] = self.waiting[0][:count]
        self.waiting[0] = self.waiting[0][count:]
        return count


class WDT:
    def __init__(self, id=0, timeout=5000):
        self.timeout = timeout

    def feed(self):
        feeds[0] += 1


def unique_id():
    return b"\x11" * 8


def reset_cause():
    return cause[0]


def reset():
    raise Reset()
