"""Programs that the tools run on a controller through its REPL.

They call the shipped program by name, so the bundle keeps every name that stands in them (`tools/build.py`).
They refuse to change anything: what is written goes by files, which are compared.
"""

# The firmware judges settings: the same code reads the file at every boot.
JUDGE = """
import json, boards
from substation import site
s = site.read('/site.json.check', bytes(8), boards)
print(json.dumps([list(m) for m in s.mistakes]))
"""
PROGRAMS = (JUDGE,)
