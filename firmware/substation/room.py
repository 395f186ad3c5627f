"""What the reference room adds to the heating curve: influence at once, adaptation over weeks, both bounded.

It refuses to learn from a state that is not the curve's own doing: adaptation rests during set-back, orders,
limiters, summer and frost, and while the room sensor is lost.

The heating ends when the room is 2 K too warm and begins again at 1 K (Samson, flash adaptation
[firmware.md R6]).
"""

from .fixed_point import FULL_BP
from .heating_circuit import of_circuit

OFF_MK = 2_000
ON_MK = 1_000
# A lasting error of one kelvin moves the curve by one kelvin in a day [estimate].
ADAPT_MS = 86_400_000
SAVE_EVERY_S = 86_400
RECORD_BYTES = 4


class Room:
    """number: heating circuit 0 or 1. step() gives the shift of the supply in 0.001 K."""

    def __init__(self, bank, settings, number, persistence):
        self._bank = bank
        self._persistence = persistence
        self._record = of_circuit("room_curve", number)
        self._wanted_mc = settings.fixed(of_circuit("room_comfort_temp_c", number))
        self._influence_bp = settings.fixed(of_circuit("room_influence_pct", number))
        self._shift_max_mk = settings.fixed(of_circuit("room_shift_maximum_k", number))
        self._adapt_max_mk = settings.fixed(of_circuit("room_adaptation_maximum_k", number))
        self._point = bank.point(of_circuit("room_shift_k", number))
        saved = persistence.load(self._record)
        self.adapted_mk = 0
        if saved and len(saved) == RECORD_BYTES:
            self.adapted_mk = self._bounded(int.from_bytes(saved, "big") - (1 << 31), self._adapt_max_mk)
        self._saved_mk = self.adapted_mk
        self._saved_s = 0
        self._residue = 0
        self.too_warm = False

    def _bounded(self, mk, most_mk):
        return max(-most_mk, min(most_mk, mk))

    def step(self, room_mc, comfort, settled, dt_ms):
        """comfort: the room shall be at its comfort temperature; settled: the curve alone decides."""
        shift_mk = self.adapted_mk
        if room_mc is None or not comfort:
            self.too_warm = False
        else:
            error_mk = self._wanted_mc - room_mc
            if error_mk < -OFF_MK:
                self.too_warm = True
            elif error_mk > -ON_MK:
                self.too_warm = False
            if settled and self._adapt_max_mk:
                gathered = error_mk * dt_ms + self._residue
                whole = gathered // ADAPT_MS
                self._residue = gathered - whole * ADAPT_MS
                self.adapted_mk = self._bounded(self.adapted_mk + whole, self._adapt_max_mk)
            shift_mk += self._bounded(error_mk * self._influence_bp // FULL_BP, self._shift_max_mk)
        self._bank.put(self._point, shift_mk)
        return shift_mk

    def save_when_due(self, now_s):
        if now_s - self._saved_s >= SAVE_EVERY_S and self.adapted_mk != self._saved_mk:
            self._saved_s = now_s
            self._saved_mk = self.adapted_mk
            self._persistence.save(self._record, (self.adapted_mk + (1 << 31)).to_bytes(RECORD_BYTES, "big"))
