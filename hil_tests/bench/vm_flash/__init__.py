"""Files that run in the MicroPython VM with a flash chip in memory, for power cuts at every operation."""
