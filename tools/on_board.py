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

# The program asks itself which image is in use, as main.py does at every start: slot and version, 0 for the
# program beside main.py. A board without records has never had one, and gets no folder for them by this.
IMAGE_IN_USE = """
import json, os
slot = version = 0
if 'state' in os.listdir('/'):
    from substation.slots import Persistence, Slots
    s = Slots(Persistence('/state'))
    slot, version = s.active, s.version[s.active]
print(json.dumps([slot, version]))
"""
PROGRAMS = (JUDGE, IMAGE_IN_USE)
