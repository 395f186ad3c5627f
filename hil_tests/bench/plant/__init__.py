"""The emulated plant: network, exchangers, buildings, valves and sensors, all substations at once."""
