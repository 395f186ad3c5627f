"""Pin maps: one file per board, through MicroPython's own machine API."""
