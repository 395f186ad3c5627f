"""Who decides over each actuator, the strongest first. The loops walk these rows; the docs are made of them.

It refuses a rank that exists in prose only: every row of a valve names the method that answers for it, and
the first one that answers decides.

Limiter numbers, as the registers tell them.
"""

NO_LIMITER, RETURN, FLOW, FROST, MAXIMUM, FALLBACK, HEAT, DIFFERENCE, CAPACITY, PRIORITY = range(10)

# (method of the part, class in the project's common order, what it does)
HEATING_VALVE = (
    ("over_maximum", "software safety", "Supply far above its maximum: close"),
    ("supply_lost", "software safety", "Supply sensor lost: the fallback position"),
    ("frost", "software safety", "Frost protection: the supply controller alone, every limiter off"),
    ("exercise", "schedule and curve", "After a week at rest without heat demand: open a little"),
    ("no_heat", "schedule and curve", "No heat wanted: closed"),
    ("end_stop", "software safety", "Power has just come back: closed until the end stop is sure"),
    ("controlled", "limiters", "The smallest of supply controller, limiters and DHW's priority"),
)  # fmt: skip
DHW_VALVE = (
    ("scald", "software safety", "DHW, or the charging line, above the scald limit: close"),
    ("lost", "software safety", "Sensor lost without which nothing can be judged: close"),
    ("end_stop", "software safety", "Closed until the end stop is sure"),
    ("no_demand", "DHW/legionella", "Nothing drawn and the tank hot: closed, or an exchanger kept warm"),
    ("controlled", "limiters", "The smallest of the DHW controller and every limiter"),
)
# methods of Pump
PUMP = (
    ("demand", "DHW/legionella", "Heat wanted, frost protection, charging, circulation by its schedule: on"),
    ("afterrun", "schedule and curve", "Two minutes more"),
    ("exercise", "schedule and curve", "A minute after a day at rest, spread over a town by device id"),
)
# methods of PumpStation, which take the speed that the rank below wants
PLANT_PUMP = (
    (
        "dry",
        "hardware safety",
        "Suction pressure below the dry-run limit: stop, until it is back for a while",
    ),
    ("cavitation", "software safety", "Suction pressure below its minimum: the speed gives way"),
    ("dp_lost", "software safety", "Pressure sensor lost: the speed it had, at least the fallback's"),
    ("least_flow", "limiters", "Less than the heat source needs: the speed rises"),
    ("controlled", "lease", "The pressure ordered, or the own one with what the index consumer adds"),
)
