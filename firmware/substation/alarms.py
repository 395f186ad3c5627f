"""The controller's alarm bits; their order is that of ALARM_BITS in the register map.

It refuses to remember: a bit tells what is so now, and the supervisor keeps the history.
"""

(
    SENSOR_LOST, REFUSED_WRITES, MANUAL, WATCHDOG_RESET, DEFICIT_BUDGET_SPENT, CONFIG_REJECTED,
    FROST_PROTECTION, VALVE_NOT_FOLLOWING, LOW_DP, LEGIONELLA_FAILED, SCALD_LIMIT, SENSOR_DOUBT,
    TRAVEL_BUDGET, DRY_RUN, METER_LOST, METER_DOUBT,
) = range(16)  # fmt: skip


class Alarms:
    def __init__(self, bank):
        self._bank = bank
        self._point = bank.point("alarm_bits")
        self.bits = 0
        self._bank.put(self._point, 0)

    def set(self, bit, on):
        bits = self.bits | (1 << bit) if on else self.bits & ~(1 << bit)
        if bits != self.bits:
            self.bits = bits
            self._bank.put(self._point, bits)
