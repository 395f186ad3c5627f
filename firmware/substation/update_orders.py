"""What the orders of an update bring about. Loaded when one comes, let go of when the update is over.

It refuses to judge whether an order has a meaning: `updating` has done so.
"""

from .commands import ACTIVATE, GO_BACK
from .slots import ASKED, Slots
from .update import Update

RELEASE_KEY = "release.pub"
RELEASE_KEY_BYTES = 32


def read_release_key():
    """Return the public key that images must be signed by, or None where the board has none."""
    try:
        with open(RELEASE_KEY, "rb") as file:
            key = file.read(RELEASE_KEY_BYTES + 1)
    except OSError:
        return None
    return key if len(key) == RELEASE_KEY_BYTES else None


def opened(persistence, size, digest):
    """Return an update that begins, or goes on where one of the same digest stopped."""
    return Update(persistence, read_release_key(), size, digest)


def directed(command, persistence, update, performance):
    """Do what a command says; return (slots, whether to restart). A flash that refuses changes nothing."""
    slots = Slots(persistence)
    done = True
    if command == ACTIVATE:
        done = slots.begin_trial(update.slot, performance)
    elif command == GO_BACK:
        done = slots.give_up(ASKED)
    if not done:
        return Slots(persistence), False
    return slots, command in (ACTIVATE, GO_BACK)
