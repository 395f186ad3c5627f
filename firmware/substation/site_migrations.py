"""Settings of an older format as a newer program wants them; loaded only where the formats differ.

The program keeps what it makes in a second file beside site.json, `site.<number of its format>.json`, and
never touches site.json: when it is given up, the program before finds its own settings, byte for byte. Who
changes site.json at the device is followed: the second file tells which one it was made of. It refuses to
guess: where no steps lead from one format to the other, site.json stands and `site` names the mistake.

A step is (from, to, function); the function takes a copy of the content and returns it changed. A limit
bundle is laid over what the steps have made, so a name that a step takes away must go from its list as well.
"""

import json
import os
from binascii import hexlify

from .limits_record import site_digest

SLOTS = ("supervisor", "standby", "technician", "utility")
MADE_OF = "migrated_from"


def _named_epochs(content):
    """The epochs stood in a row, and whoever raised one by hand had to know which slot is which."""
    epochs = content.get("epochs")
    if isinstance(epochs, list) and len(epochs) == len(SLOTS):
        content["epochs"] = {SLOTS[i]: epochs[i] for i in range(len(SLOTS))}
    return content  # anything else was a mistake before, and the checks name it


STEPS = (("toplovod-device/1", "toplovod-device/2", _named_epochs),)


def migrated(content, wanted, steps):
    """Return the content in the format wanted, or None where no steps lead there; ValueError: a bad step."""
    content = dict(content)
    for start, end, step in steps:
        if content.get("format") == wanted:
            break
        if content.get("format") == start:
            try:
                content = step(content)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError("the step from %s to %s fails: %r" % (start, end, error)) from None
            content["format"] = end
    return content if content.get("format") == wanted else None


def _kept(place, base, wanted):
    """Return what an earlier start made of the same site.json, or None."""
    try:
        with open(place) as file:
            content = json.load(file)
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("format") != wanted or content.pop(MADE_OF, None) != base:
        return None
    return content


def taken(path, content, wanted, keep, steps=STEPS):
    """Return the content of the site.json at path in the format wanted, or as it is where that cannot be.

    keep: whether it is also written beside it. A flash that refuses costs only that.
    """
    base = hexlify(site_digest(path)).decode()
    place = path.rsplit(".", 1)[0] + ".%s.json" % wanted.rsplit("/", 1)[1]
    found = _kept(place, base, wanted) if keep else None
    if found is not None:
        return found
    try:
        found = migrated(content, wanted, steps)
    except ValueError as error:
        print("site.json: %s; it stands as it is" % error)
        return content
    if found is None:
        return content
    print("site.json: taken as %s" % wanted)
    if keep:
        draft = place + ".new"
        try:
            with open(draft, "w") as file:
                json.dump(dict(found, **{MADE_OF: base}), file)
            os.rename(draft, place)
        except OSError as error:
            print("%s: not written (%s); the same is done at the next start" % (place, error))
    return found
