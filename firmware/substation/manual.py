"""Actuators that a technician has put by hand, and for how long (S13). Loaded at the first such order.

They come by orders of the technician's slot in service mode, stand above limiters, DHW and leases, below
all that protects, and end by order, after LASTS_S, and with every restart. Leases run on beneath. It refuses
to last: whoever forgets it in a cellar leaves the house to itself again.
"""

from .fixed_point import FULL_BP
from .order_frame import REFUSED_LIMIT, REFUSED_REGISTER, REFUSED_RIGHT, TECHNICIAN

LASTS_S = 1_800  # Samson's control system monitoring gives a point back after 30 min [firmware.md R24]


class Manual:
    """Each hand is a part of the loop with a manual_bp, which it follows unless that is None.

    hands: in the order of commands.MANUAL, None where there is none. points: where each is shown,
    and behind them the seconds left.
    """

    def __init__(self, bank, points, hands):
        self._bank = bank
        self._points = points
        self._hands = hands
        self._ends_s = 0
        self._fresh = False
        self.active = False
        self.address = 0  # of the command that was given last, for receipts

    def judge(self, order, which, value):
        """Return why this may not be, or 0. which: of the hands; behind the last: the end."""
        if order.slot != TECHNICIAN:
            return REFUSED_RIGHT
        if which == len(self._hands):  # alone: to end and to begin at once could be meant either way
            return 0 if value == 1 and len(order.pairs) == 1 else REFUSED_LIMIT
        if self._hands[which] is None:
            return REFUSED_REGISTER
        return 0 if value <= FULL_BP else REFUSED_LIMIT

    def put(self, which, position_bp, address):
        """Put an actuator by hand; the time begins anew for all that are. Behind the last: end."""
        if which == len(self._hands):
            return self.end()
        self._hands[which].manual_bp = position_bp
        self._bank.put(self._points[which], position_bp)
        self.address = address
        self._bank.put(self._points[-1], LASTS_S)
        self._fresh = self.active = True

    def end(self):
        """Give every actuator back."""
        self._fresh = self.active = False
        self.address = 0
        for which in range(len(self._hands)):
            if self._hands[which] is not None:
                self._hands[which].manual_bp = None
            self._bank.put(self._points[which], None)
        self._bank.put(self._points[-1], 0)

    def step(self, now_s):
        """Take notice of the time; return whether anything is by hand."""
        if self._fresh:
            self._fresh = False
            self._ends_s = now_s + LASTS_S
        elif self.active and now_s >= self._ends_s:
            print("manual: time is over, back to automatic")
            self.end()
        if self.active:
            self._bank.put(self._points[-1], self._ends_s - now_s)
        return self.active
