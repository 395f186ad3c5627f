"""Hydraulic and thermal core: networks, solver, balancing."""
