"""The values of the fallbacks; the table of them stands in firmware/function_tables.py.

It refuses values elsewhere: what a loop does without a sensor is found here and in that table.
"""

OUTDOOR_LOST_SUPPLY_MC = 50_000
SUPPLY_LOST_POSITION_BP = 3_000
PLANT_OUTDOOR_LOST_MC = 0
DP_LOST_SPEED_BP = 5_000
