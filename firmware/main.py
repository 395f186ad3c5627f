"""Start the controller: the signed image in use, or the program beside this file.

An image that ends is counted and the board is reset; after some such starts the program before it runs again.
It refuses to load a line of an image before every byte of it was compared.
"""

import gc
import sys

import machine

WATCHDOG_MS = 8_000  # the RP2040 takes no more than 8 388
WATCHDOG_CAUSE = 3  # machine.WDT_RESET on the ports we run on


def forget():
    """Let go of every module of the program, so that the next import reads it from another folder."""
    for name in list(sys.modules):
        if name.split(".")[0] in ("substation", "boards"):
            del sys.modules[name]


def choose():
    """Return the folder of the program to run, "" for the one beside this file."""
    from substation import slots
    from substation.let_go import let_go_of

    running, trial = slots.choose(machine.reset_cause() == WATCHDOG_CAUSE)
    let_go_of("slots", "image")
    if running:
        forget()
        sys.path.insert(0, running)
    if trial:
        machine.WDT(timeout=WATCHDOG_MS)  # an image that hangs before its own watchdog is reset as well
    return running


def note_end(running):
    """Note, by the program beside this file, that the image has ended."""
    sys.path.remove(running)
    forget()
    from substation.slots import Persistence, Slots

    Slots(Persistence()).died()


running = choose()
gc.collect()
try:
    import asyncio

    import boards
    from substation import app

    asyncio.run(app.run(boards, running))
except KeyboardInterrupt:
    # a tool at the cable: its reset is no bite of the watchdog, which the RP2040 cannot tell apart
    if app.controller:
        app.controller.end()
    raise
except Exception as error:
    if not running:
        raise
    sys.print_exception(error)
    try:
        note_end(running)
    finally:
        machine.reset()
