"""Runs before main.py on every start. It refuses to do anything that could keep main.py from running."""

import gc

gc.collect()
