"""Actuators that a technician has put by hand, and for how long (S13).

They come by orders of the technician's slot in service mode, stand above limiters, DHW and leases, below
all that protects, and end by order, after LASTS_S, and with every restart. Leases run on beneath. It refuses
to last: whoever forgets it in a cellar leaves the house to itself again.
"""

LASTS_S = 1_800  # Samson's control system monitoring gives a point back after 30 min [firmware.md R24]

VALVE, VALVE2, DHW_VALVE, PUMP, PUMP2 = range(5)
NAMES = (
    "manual_valve_pct", "manual_valve2_pct", "manual_dhw_valve_pct", "manual_pump_pct", "manual_pump2_pct",
)  # fmt: skip


class Manual:
    """Each hand is a part of the loop with a manual_bp, which it follows unless that is None."""

    def __init__(self, bank, hands=()):
        self._bank = bank
        self._points = [bank.point(name) for name in NAMES]
        self._hands = hands  # none until the loop stands
        self._ends_s = 0
        self._fresh = False
        self.active = False
        self.address = 0  # of the command that was given last, for receipts

    def serve(self, loop):
        """Know the actuators of the loop."""
        self._hands = loop.hands()

    def has(self, which):
        """Return whether this site has the actuator."""
        return which < len(self._hands) and self._hands[which] is not None

    def put(self, which, position_bp, address):
        """Put an actuator by hand; the time begins anew for all that are."""
        self._hands[which].manual_bp = position_bp
        self._bank.put(self._points[which], position_bp)
        self.address = address
        self._fresh = self.active = True

    def end(self):
        """Give every actuator back."""
        self._fresh = self.active = False
        for which in range(len(self._hands)):
            if self._hands[which] is not None:
                self._hands[which].manual_bp = None
            self._bank.put(self._points[which], None)

    def step(self, now_s):
        """Take notice of the time."""
        if self._fresh:
            self._fresh = False
            self._ends_s = now_s + LASTS_S
        elif self.active and now_s >= self._ends_s:
            print("manual: time is over, back to automatic")
            self.end()
