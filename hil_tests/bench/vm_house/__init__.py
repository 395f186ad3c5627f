"""MicroPython modules that join a board's second circuit and DHW to the bench; none runs in CPython."""
