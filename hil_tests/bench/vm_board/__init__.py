"""MicroPython side of the board on a serial line; see hil_tests/bench/board.py."""
