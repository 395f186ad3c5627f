"""Which files make up the controller's program, for `toplovod build` and for freezing into an image.

Paths are relative to this folder, which is the root of the device. Left out: the tests, this file,
and __init__.py beside it (the device's root is no package).
"""

BOARDS = (
    "__init__", "emulated", "w5500_evb_pico2",
)  # fmt: skip
SUBSTATION = (
    "__init__", "alarms", "app", "boots", "commands", "deficit", "ed25519", "energy", "fixed_point",
    "heating_curve", "image", "keys", "leases", "modbus_diagnostics", "modbus_events", "modbus_rtu",
    "modbus_serial", "modbus_server", "modbus_tcp", "order_frame", "orders", "persistence", "pi_controller",
    "progress", "proving", "pump_station", "refusals", "register_bank", "registers", "sensors",
    "service_mode", "sha512", "site", "slots", "supply_loop", "update", "updating", "uptime", "valve",
)  # fmt: skip
FILES = (
    ("boot.py", "main.py")
    + tuple("boards/%s.py" % name for name in BOARDS)
    + tuple("substation/%s.py" % name for name in SUBSTATION)
)
