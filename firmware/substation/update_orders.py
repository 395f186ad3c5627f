"""What the orders of an update bring about. Loaded when one comes, let go of when the update is over.

It refuses to judge whether an order has a meaning: `updating` has done so.
"""

from .commands import ACTIVATE, GO_BACK
from .slots import ASKED, Slots

RELEASE_KEY = "release.pub"
LIMITS_KEY = "limits.pub"  # a board that has none takes limits that the release key signed
RELEASE_KEY_BYTES = 32


def read_release_key(path=RELEASE_KEY):
    """Return the public key that images must be signed by, or None where the board has none."""
    try:
        with open(path, "rb") as file:
            key = file.read(RELEASE_KEY_BYTES + 1)
    except OSError:
        return None
    return key if len(key) == RELEASE_KEY_BYTES else None


def read_limits_key():
    """Return the public key that limit bundles must be signed by, or None where the board has none."""
    import os

    return read_release_key(LIMITS_KEY if LIMITS_KEY in os.listdir() else RELEASE_KEY)


def opened(persistence, size, digest, device_id=None):
    """Return an update that begins, or goes on where one of the same digest stopped.

    device_id: of this board, for a limit bundle; None for an image.
    """
    if device_id is not None:
        from .limit_bundle import LimitBundle

        return LimitBundle(persistence, device_id, read_limits_key(), size, digest)
    from .update import Update

    return Update(persistence, read_release_key(), size, digest)


def directed(command, persistence, update, performance):
    """Do what a command says; return (slots, whether to restart). A flash that refuses changes nothing."""
    slots = Slots(persistence)
    done = True
    if command == ACTIVATE:
        done = update.activate(slots, performance)
    elif command == GO_BACK:
        done = slots.give_up(ASKED)
    if not done:
        return Slots(persistence), False
    return slots, command in (ACTIVATE, GO_BACK)
