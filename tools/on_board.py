"""Programs that the tools run on a controller through its REPL.

They call the shipped program by name, so the bundle keeps every name that stands in them (`tools/build.py`).
They refuse to write anything but what the host has had compared, and remove only what their comments name,
where the host has asked for the service button first.
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

# Whether somebody at the device holds the service button, as the board's own driver reads it. The board is
# the one that site.json names, where this chip can be it.
BUTTON = """
import json, boards
try:
    with open('/site.json') as file:
        content = json.load(file)
except (OSError, ValueError):
    content = None
name = content.get('board') if isinstance(content, dict) else None
if name not in boards.names_for(content):
    name = boards.default_name()
print(json.dumps([name, bool(boards.open_board(name).button_pressed())]))
"""

# Between the proof of another root key and its coming into force: the floors of the epochs were the old
# key's. The older generation goes first, so that the floor stands until the last moment.
FORGET_EPOCHS = """
def _first():
    found = []
    for name in ('/state/epochs.0', '/state/epochs.1'):
        try:
            with open(name, 'rb') as file:
                found.append((file.read(4), name))
        except OSError:
            pass
    for _, name in sorted(found):
        os.remove(name)
"""

# Back to the factory state: all that makes the board one house's controller goes, the program stays. Cut
# anywhere, it starts with its settings and without a key, or with neither. Prints whose it was and how many
# files went by what name.
FACTORY = """
import os, json
def _clear(path):
    if not os.stat(path)[0] & 0x4000:
        os.remove(path)
        return 1
    files = sum([_clear(path + '/' + name) for name in os.listdir(path)])
    os.rmdir(path)
    return files
def _is(name, own):
    return name == own or name == own + '.new' or (own[-1] == '.' and name.startswith(own))
try:
    with open('/site.json') as file:
        device_id = str(json.load(file)['device_id'])
except (OSError, ValueError, TypeError, KeyError):
    device_id = None
removed = {}
for own in ('keys.bin', 'state', 'slot_a', 'slot_b', 'release.pub', 'limits.pub', 'tls.', 'site.'):
    for name in os.listdir('/'):
        if _is(name, own):
            removed[name] = _clear('/' + name)
print(json.dumps([device_id, removed]))
"""
PROGRAMS = (JUDGE, IMAGE_IN_USE, BUTTON)
