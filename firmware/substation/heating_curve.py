"""The weather-compensated supply temperature: a straight line between two points, flat beyond them.

It refuses to extrapolate: no outdoor temperature makes it leave the two points' range.
"""


def supply_setpoint_mc(outdoor_mc, cold_outdoor_mc, cold_supply_mc, warm_outdoor_mc, warm_supply_mc):
    """Return the supply temperature in 0.001 degC. cold_outdoor_mc must lie below warm_outdoor_mc."""
    if outdoor_mc <= cold_outdoor_mc:
        return cold_supply_mc
    if outdoor_mc >= warm_outdoor_mc:
        return warm_supply_mc
    span = warm_outdoor_mc - cold_outdoor_mc
    return cold_supply_mc - (cold_supply_mc - warm_supply_mc) * (outdoor_mc - cold_outdoor_mc) // span
