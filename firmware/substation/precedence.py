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
    ("controlled", "limiters", "The smallest of the supply controller and every limiter"),
)  # fmt: skip
