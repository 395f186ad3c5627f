"""Lets go of what booting alone needs, so that the loops have its place in the heap.

It refuses to delete an entry before it has overwritten it: MicroPython keeps a deleted entry's value until
its place in the dictionary is taken.
"""

import sys

# What a site may have; a module that is not loaded is passed over. Their parts are made while booting only.
MADE_ONCE = (
    "alarms", "boots", "capacity", "circulation", "clock", "comfort", "commands", "deficit", "dhw",
    "dhw_instantaneous", "dhw_storage", "doubt", "energy", "event_log", "heating_circuit", "keys",
    "leases", "legionella", "limiters", "local_time", "log_segments", "modbus_diagnostics",
    "modbus_server", "orders", "performance", "pi_controller", "plant_pumps", "progress", "pump",
    "pump_station", "refusals", "register_bank", "room", "sensors", "service_mode", "supply_loop",
    "travel", "updating", "uptime", "valve", "valve_analog",
)  # fmt: skip


def let_go_of(*names):
    """Drop modules: the register map alone costs 54 kB of heap."""
    package = sys.modules[__name__.rsplit(".", 1)[0]]
    for name in names:
        path = "%s.%s" % (package.__name__, name)
        if path in sys.modules:
            sys.modules[path] = None
            del sys.modules[path]
        if hasattr(package, name):
            setattr(package, name, None)
            delattr(package, name)


def let_go_of_constructors(spared=()):
    """Drop the code that made the parts: 15 kB of heap for two circuits with DHW. spared: still wanted."""
    package = __name__.rsplit(".", 1)[0]
    for name in MADE_ONCE:
        module = sys.modules.get("%s.%s" % (package, name))
        if module is not None and name not in spared:
            for thing in module.__dict__.values():
                if isinstance(thing, type) and "__init__" in thing.__dict__:
                    for once in ("__init__",) + getattr(thing, "ONLY_BOOTING", ()):
                        setattr(thing, once, None)
