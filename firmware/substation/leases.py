"""What others may ask of the loops, for how long, and how gently it comes and goes.

Each influenced point has an owner, a value and an end. What the loop follows moves towards the value
no faster than the slew limit, and back to the device's own value when the lease has run out: without
a bump, and only after a delay that follows from the device id, so that a town never moves in step.
A release goes back at once. It refuses nothing: `orders` judges before it grants.

Slew limits: 2 K/min as domain.md FG2 suggests, against 25 K/min in a common controller library; the
others are estimates of the same order.
"""

import hashlib

NOBODY = 0

EXPIRY_SPREAD_S = 600
# A pump station keeps its pressure until the last house has begun to move (600 s) and the
# widest house ramp, 10 K at 2 K/min, is through [estimate].
PUMP_STATION_EXPIRY_S = EXPIRY_SPREAD_S + 300

SLEW_PER_MIN = {
    "secondary_supply_temp_sp_c": 2000,
    "primary_return_limit_sp_c": 2000,
    "curve_shift_sp_k": 2000,
    "plant_dp_sp_bar": 200,
    "plant_supply_temp_sp_c": 1000,
}
FLOW_SLEW_SHARE = 5  # a fifth of the contract flow in a minute


def expiry_delay_s(device_id, pump_station):
    """Return how long an expired value is still held, seconds."""
    spread = int.from_bytes(hashlib.sha256(b"toplovod expiry" + device_id).digest()[:4], "big")
    if pump_station:
        return PUMP_STATION_EXPIRY_S + spread % 60
    return spread % EXPIRY_SPREAD_S


class Influence:
    """One setpoint. low, high, value, effective: integers of fixed_point."""

    def __init__(self, bank, row, lease, low, high, slew_per_min, delay_s):
        from .fixed_point import divisor
        from .registers import I16, I32, words_of

        self._bank = bank
        self.address = row.address
        self.words = words_of(row)
        self.signed = row.type in (I16, I32)
        self.step_size = divisor(row)
        self.low = low
        self.high = high
        self._slew = slew_per_min
        self._delay_s = delay_s
        self._setpoint_point = bank.point(lease.setpoint)
        self._effective_point = bank.point(lease.effective)
        self._owner_point = bank.point(lease.owner)
        self._seconds_point = bank.point(lease.seconds_left)
        self.owner = NOBODY  # else key slot + 1
        self.value = 0
        self._ends_s = 0
        self._residue = 0
        self._own = 0
        self.effective = None
        self.lost = NOBODY  # whose lease ran out and is not yet in the event log
        self.away = False  # the loop does not follow its own value: a lease, or the way back
        self._bank.put(self._setpoint_point, None)
        self._bank.put(self._owner_point, NOBODY)
        self._bank.put(self._seconds_point, 0)

    def lowers(self, value):
        """Say whether the value takes heat compared with the device's own."""
        return value < self._own

    def grant(self, owner, value, ends_s):
        self.owner = owner
        self.value = value
        self._ends_s = ends_s
        self.away = True
        self._bank.put(self._setpoint_point, value)
        self._bank.put(self._owner_point, owner)

    def release(self):
        """End the lease now; the value in force walks back by the slew limit."""
        self.owner = NOBODY
        self._bank.put(self._setpoint_point, None)
        self._bank.put(self._owner_point, NOBODY)
        self._bank.put(self._seconds_point, 0)

    def step(self, own, now_s, dt_ms, only_raise):
        """Return the value in force. own: what the device wants by itself; only_raise: budget spent."""
        self._own = own
        if not self.away or self.effective is None:
            self.effective = own
            self._bank.put(self._effective_point, own)
            return own
        target = own
        if self.owner:
            left_s = self._ends_s - now_s
            if left_s <= -self._delay_s:
                self.lost = self.owner
                self.release()
            else:
                self._bank.put(self._seconds_point, left_s if left_s > 0 else 0)
                target = self.value
                if only_raise and target < own:
                    target = own
        distance = target - self.effective
        budget = self._slew * dt_ms + self._residue
        reach = budget // 60_000
        self._residue = budget - reach * 60_000
        if distance > reach:
            self.effective += reach
        elif distance < -reach:
            self.effective -= reach
        else:
            self.effective = target
            if not self.owner:
                self.away = False
        self._bank.put(self._effective_point, self.effective)
        return self.effective


def build(bank, settings):
    """Return {setpoint name: Influence} of the profile, with the site's engineering limits."""
    from . import registers
    from .fixed_point import to_fixed

    delay_s = expiry_delay_s(settings.device_id, settings.profile == registers.PUMP_STATION)
    names = {row.name for row in registers.BY_PROFILE[settings.profile]}
    influences = {}
    for lease in registers.LEASES:
        if lease.setpoint in names:
            row = registers.row_of(lease.setpoint)
            low, high = to_fixed(row, row.low), to_fixed(row, row.high)
            if lease.low_limit:
                low = max(low, settings.fixed(lease.low_limit))
            if lease.high_limit:
                high = min(high, settings.fixed(lease.high_limit))
            slew = SLEW_PER_MIN.get(lease.setpoint)
            if slew is None:
                slew = max(60, settings.fixed("contract_flow_limit_m3_h") // FLOW_SLEW_SHARE)
            influences[lease.setpoint] = Influence(bank, row, lease, low, high, slew, delay_s)
    return influences
