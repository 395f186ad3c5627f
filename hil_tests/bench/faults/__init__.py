"""Faults to put on the bench, each with a probe that proves it from outside of what injects it."""
