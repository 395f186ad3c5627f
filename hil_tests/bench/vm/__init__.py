"""MicroPython files that stand in for a board's silicon inside one emulated controller.

Nothing here runs in CPython; the folder is a package only so that it travels inside the wheel.
"""
