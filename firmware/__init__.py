"""Substation and pump-station controller, run by MicroPython; imports nothing of the host rooms."""
