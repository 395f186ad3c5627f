"""The core's benchmark and the proof on random networks.

It measures and checks from outside what `core_ext` promises; nothing in the core depends on it. EPANET and
pandapipes are imported inside functions only, and rows that need an absent one say so by name.
"""
