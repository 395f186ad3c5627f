"""Ranks and limiter numbers of the actuators; what each rank does stands in firmware/function_tables.py.

It refuses a rank that exists in prose only: every rank names the method that answers for it. Of a valve, the
first that answers decides; of a pump, the first that says on; of the plant's pumps, each takes the speed that
the rank below it wants.
"""

# as the registers tell them
NO_LIMITER, RETURN, FLOW, FROST, MAXIMUM, FALLBACK, HEAT, DIFFERENCE, CAPACITY, PRIORITY, PUMP_STANDS = range(
    11
)

HEATING_VALVE = (
    "over_maximum", "pump_stands", "supply_lost", "frost", "manual", "exercise", "no_heat", "end_stop",
    "controlled",
)  # fmt: skip
DHW_VALVE = ("scald", "lost", "end_stop", "manual", "no_demand", "controlled")
PUMP = ("demand", "afterrun", "exercise")
PLANT_PUMP = ("dry", "cavitation", "dp_lost", "manual", "least_flow", "controlled")
