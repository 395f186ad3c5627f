"""How much warmth remote influence has taken from the house, and whether it may take more.

Kelvin below the own curve times hours, over the last 24 hours of running, in whole mK h with a
residue. Kept in flash, so a restart gives nothing back; hours without power do not count as passed.
It refuses to be spent faster by many orders than by one: it measures the effect, not the orders. And it
is spent while there is still enough left for the way back, which the slew limit stretches: without
that, 33 K ordered at once drew a budget of 21 K h over by a quarter (measured on the bench).

Flash: saved when the use has grown by a fiftieth of the budget, at the end of an hour that had any, and
before a restart: at most 50 + 24 writes a day, and one for each restart.
"""

from struct import pack, unpack

from .leases import SLEW_PER_MIN

HOURS = 24
HOUR_S = 3600
MK_MS_PER_MKH = 3_600_000
RECORD = "deficit"
FORMAT = ">H25I"  # seconds into the present hour, the present hour, the 24 before it
FRESH_SHARE_PCT = 90  # once spent, open again when the use has fallen to this share of the budget
# Going back b mK at s mK/min takes b * b / (2 * s) mK min; in 0.01 K, so that no long integer is needed.
WAY_BACK_DIVISOR = 2 * SLEW_PER_MIN["secondary_supply_temp_sp_c"] * 60 // 100
COLDEST_SHARE_PCT = 50  # of the budget at the cold point of the heating curve [estimate]


class Deficit:
    def __init__(self, budget_mkh, cold_outdoor_mc, warm_outdoor_mc, persistence, bank):
        self._whole_mkh = budget_mkh
        self._cold_mc = cold_outdoor_mc
        self._span_mk = max(1, warm_outdoor_mc - cold_outdoor_mc)
        self._persistence = persistence
        self._bank = bank
        self._used_point = bank.point("deficit_used_kh")
        self._budget_point = bank.point("deficit_budget_kh")
        self._hours = [0] * HOURS  # ring of finished hours
        self._next = 0
        self._hour_mkh = 0
        self._in_hour_ms = 0
        self._residue = 0
        saved = persistence.load(RECORD)
        if saved and len(saved) == 102:
            content = unpack(FORMAT, saved)
            self._in_hour_ms = min(content[0], HOUR_S) * 1000
            self._hour_mkh = content[1]
            self._hours = list(content[2:])
        self.used_mkh = self._hour_mkh + sum(self._hours)
        self._saved_mkh = self.used_mkh
        self.budget_mkh = budget_mkh
        self.spent = self.used_mkh >= budget_mkh

    def step(self, below_mk, outdoor_mc, dt_ms):
        """Book dt_ms of being below_mk under the own curve by remote influence."""
        if below_mk > 0:
            gathered = below_mk * dt_ms + self._residue
            whole = gathered // MK_MS_PER_MKH
            self._residue = gathered - whole * MK_MS_PER_MKH
            self._hour_mkh += whole
            self.used_mkh += whole
        self._in_hour_ms += dt_ms
        if self._in_hour_ms >= HOUR_S * 1000:
            self._close_hour()
        if outdoor_mc is None or outdoor_mc <= self._cold_mc:
            share = COLDEST_SHARE_PCT
        else:
            warmer = min(outdoor_mc - self._cold_mc, self._span_mk)
            share = COLDEST_SHARE_PCT + (100 - COLDEST_SHARE_PCT) * warmer // self._span_mk
        budget = self._whole_mkh * share // 100
        self.budget_mkh = budget
        below_ck = below_mk // 10
        if self.used_mkh + below_ck * below_ck // WAY_BACK_DIVISOR >= budget:
            self.spent = True
        elif below_mk <= 0 and self.used_mkh <= budget * FRESH_SHARE_PCT // 100:
            self.spent = False
        if self.used_mkh - self._saved_mkh >= max(1, self._whole_mkh // 50):
            self._save()
        self._bank.put(self._used_point, self.used_mkh)
        self._bank.put(self._budget_point, budget)

    def keep(self):
        """Save what was taken since, before a restart: else each one ordered would give a little back."""
        if self.used_mkh != self._saved_mkh:
            try:
                self._save()
            except MemoryError:  # what ended the control task, perhaps: the reset goes first
                pass

    def _close_hour(self):
        self._in_hour_ms -= HOUR_S * 1000
        self.used_mkh -= self._hours[self._next]
        self._hours[self._next] = self._hour_mkh
        self._next = (self._next + 1) % HOURS
        self._hour_mkh = 0
        if self.used_mkh or self._saved_mkh:
            self._save()

    def _save(self):
        self._saved_mkh = self.used_mkh
        hours = self._hours[self._next :] + self._hours[: self._next]
        self._persistence.save(RECORD, pack(FORMAT, self._in_hour_ms // 1000, self._hour_mkh, *hours))
