"""Start the controller: the signed image in use, or the program beside this file.

An image that cannot even be loaded ends here: the board is reset, and after some tries the program before it
runs again. It refuses to touch a file.
"""

import gc
import sys

import machine
from substation import slots
from substation.let_go import let_go_of

WATCHDOG_MS = 8_000  # the RP2040 takes no more than 8 388
WATCHDOG_CAUSE = 3  # machine.WDT_RESET on the ports we run on
running, trial = slots.choose(machine.reset_cause() == WATCHDOG_CAUSE)
if running:
    for name in list(sys.modules):
        if name.split(".")[0] in ("substation", "boards"):
            del sys.modules[name]
    sys.path.insert(0, running)
    if trial:
        machine.WDT(timeout=WATCHDOG_MS)  # an image that hangs before its own watchdog is reset as well
else:
    let_go_of("slots")
del slots, let_go_of
gc.collect()

try:
    import asyncio

    import boards
    from substation import app

    asyncio.run(app.run(boards, running))
except Exception as error:
    if not running:
        raise
    sys.print_exception(error)
    machine.reset()
