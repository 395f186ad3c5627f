"""Which files make up the controller's program, for `toplovod build` and for freezing into an image.

Paths are relative to this folder, which is the root of the device. Left out: the tests, this file, what the
host makes pages and reports from (board_facts, documentation, function_tables), and __init__.py beside it
(the device's root is no package).
"""

BOARDS = (
    "__init__", "converters", "emulated", "nucleo_h743", "nucleo_h743_pins", "olimex_esp32_poe",
    "olimex_esp32_poe_pins", "one_wire", "outputs", "pulse_counter", "pump_pwm",
    "w5500_evb", "w5500_evb_pins",
)  # fmt: skip
SUBSTATION = (
    "__init__", "alarms", "app", "boots", "bundled_limits", "capacity", "certificate", "circulation", "clock",
    "comfort", "commands", "damping", "deficit", "dhw", "dhw_instantaneous", "dhw_storage", "doubt",
    "ed25519", "energy", "event_log", "fallbacks", "fixed_point", "following", "heat_meters",
    "heating_circuit", "heating_curve", "image", "incoming", "keys", "leases", "legacy", "legionella",
    "let_go", "limit_bundle", "limiters", "limits_record", "local_time", "log_opening", "log_reading",
    "log_segments", "loop_maker", "manual", "mbus", "mbus_link", "mbus_records", "meter_doubt",
    "modbus_diagnostics", "modbus_events", "modbus_rtu", "modbus_serial", "modbus_server", "modbus_tcp",
    "modbus_tls", "order_frame", "orders", "performance", "persistence", "pi_controller", "plant_pumps",
    "precedence", "progress", "pump", "pump_feedback", "pump_station", "refusals", "register_bank",
    "registers", "room", "sensor_kinds", "sensors", "service_mode", "settings", "sha512", "site",
    "site_functions", "site_legacy", "site_meters", "site_migrations", "site_pumps", "site_tls", "slots",
    "startup", "supply_loop", "travel", "trial", "update", "update_orders", "updating", "uptime", "valve",
    "valve_analog",
)  # fmt: skip
FILES = (
    ("boot.py", "main.py")
    + tuple("boards/%s.py" % name for name in BOARDS)
    + tuple("substation/%s.py" % name for name in SUBSTATION)
)
