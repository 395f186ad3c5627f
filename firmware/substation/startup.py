"""Puts the controller's parts together from site.json, keys.bin and state/ in the working directory.

In three steps, because all of it at once does not fit the heap: what needs the register map; the orders and
the server; the loop with the parts that this site has. Each step lets go of what the next does without. It
refuses to stay: when all stands, it lets go of itself and of every constructor.
"""

import gc
import os
import sys

from .alarms import CONFIG_REJECTED, WATCHDOG_RESET

# What a site may have; a module that is not loaded is passed over. Their parts are made while booting only.
MADE_ONCE = (
    "capacity", "circulation", "clock", "comfort", "deficit", "dhw", "dhw_instantaneous", "dhw_storage", "doubt",
    "energy", "heating_circuit", "leases", "legionella", "limiters", "local_time", "pi_controller", "plant_pumps",
    "pump", "pump_station", "register_bank", "room", "sensors", "supply_loop", "travel", "valve", "valve_analog",
)  # fmt: skip


class Parts:
    """What the controller runs with."""

    def __init__(self):
        self.board = self.bank = self.boots = self.alarms = self.service = self.refusals = None
        self.uptime = self.clock = self.loop = self.progress = self.tcp = None
        self.network = {}
        self.safe_start = False
        self.points = ()


def assemble(boards, publish_uptime, control_allowed_ms, version, watchdog_cause):
    """Return the Parts, made from the files in the working directory."""
    parts = Parts()
    settings, influences, hashes = _read_settings(parts, boards, version)
    _let_go_of("registers", "image")
    gc.collect()
    from .boots import Boots
    from .persistence import Persistence
    from .sensors import Sensors

    bank = parts.bank
    board = parts.board = boards.open_board(settings.board)
    board.equip(settings)
    persistence = Persistence()
    boots = parts.boots = Boots(persistence, board.reset_cause == watchdog_cause)
    random_8 = os.urandom(8)
    for name, value in (
        ("boot_count", boots.count),
        ("boot_random_high_code", int.from_bytes(random_8[:4], "big")),
        ("boot_random_low_code", int.from_bytes(random_8[4:], "big")),
        ("reset_cause_number", board.reset_cause),
        ("watchdog_reset_count", boots.rescues),
    ):
        bank.put(bank.point(name), value)
    parts.points = tuple(
        bank.point(name)
        for name in (
            "uptime_s", "control_mode_number", "loop_time_max_ms", "heap_used_b", "heap_free_b",
            "task_restart_count",
        )
    )  # fmt: skip
    parts.network = settings.network
    _make_watch(parts, settings, persistence, control_allowed_ms)
    deficit = None
    if settings.circuits:
        from .deficit import Deficit

        curve = settings.curve(0)
        deficit = Deficit(settings.deficit_budget_mkh, curve[0], curve[-2], persistence, bank)
    _make_server(parts, settings, hashes, random_8, influences, deficit, persistence, publish_uptime)
    gc.collect()
    sensors = Sensors(board, bank, settings.inputs, settings.damping)
    _make_loop(parts, settings, sensors, influences, deficit, persistence)
    bank.forget_names()
    _let_go_of("fallbacks", "precedence", "settings", "startup")
    _let_go_of_constructors()
    print(
        "%s: %s, boot %d, map %08x, firmware %08x"
        % (settings.name, settings.profile, boots.count, hashes[0], hashes[1])
    )
    return parts


def _read_settings(parts, boards, version):
    """Return (settings, influences, (map hash, firmware hash)), with bank, uptime and clock in parts."""
    from . import registers, site
    from .clock import Clock
    from .leases import build
    from .register_bank import RegisterBank
    from .uptime import Uptime

    settings = site.read("site.json", _chip_id(), boards.NAMES, boards.default_name()).copy()
    del site
    _let_go_of("site", "site_functions")
    gc.collect()
    from . import image

    parts.uptime = Uptime()
    parts.clock = Clock(parts.uptime)
    map_hash = registers.map_hash()
    firmware_hash = int.from_bytes(image.digest()[:4], "big")
    bank = parts.bank = RegisterBank(settings.profile)
    for name, value in (
        ("identity_magic_code", registers.IDENTITY_MAGIC),
        ("map_version_number", registers.MAP_VERSION),
        ("map_hash_code", map_hash),
        ("device_id_high_code", int.from_bytes(settings.device_id[:4], "big")),
        ("device_id_low_code", int.from_bytes(settings.device_id[4:], "big")),
        ("profile_number", registers.PROFILES.index(settings.profile) + 1),
        ("firmware_hash_code", firmware_hash),
        ("limits_hash_code", settings.limits_hash),
        ("firmware_version_number", version),
    ):
        bank.put(bank.point(name), value)
    for name in settings.names():
        bank.put(bank.point(name), settings.fixed(name))
    return settings, build(bank, settings), (map_hash, firmware_hash)


def _make_watch(parts, settings, persistence, control_allowed_ms):
    """Make what tells and guards: alarms, service mode, refusals, progress."""
    from .alarms import Alarms
    from .progress import Progress
    from .refusals import Refusals
    from .service_mode import ServiceMode

    parts.safe_start = bool(settings.mistakes)
    parts.alarms = Alarms(parts.bank)
    parts.alarms.set(CONFIG_REJECTED, parts.safe_start)
    parts.alarms.set(WATCHDOG_RESET, parts.boots.rescued)
    parts.service = ServiceMode(parts.bank)
    parts.refusals = Refusals(parts.bank, persistence, parts.uptime, parts.boots.count)
    parts.progress = Progress(("control",), (control_allowed_ms,))


def _make_server(parts, settings, hashes, random_8, influences, deficit, persistence, publish_uptime):
    from .keys import Keys, read_root_key
    from .modbus_server import ModbusServer
    from .modbus_tcp import ModbusTcp
    from .order_frame import boot_nonce
    from .orders import Mailbox

    bank = parts.bank
    map_hash, firmware_hash = hashes
    identity = (
        settings.device_id, map_hash, boot_nonce(parts.boots.count, random_8), settings.limits_hash,
        firmware_hash,
    )  # fmt: skip
    mailbox = Mailbox(
        bank, identity, Keys(read_root_key("keys.bin"), settings.epochs, persistence, bank), influences,
        deficit, parts.service, parts.refusals, parts.uptime, parts.safe_start,
    )  # fmt: skip
    server = ModbusServer(bank, mailbox, parts.refusals, settings.modbus_unit, publish_uptime)
    parts.tcp = ModbusTcp(
        server,
        settings.modbus_address,
        settings.modbus_port,
        bank,
        bank.point("client_count"),
        parts.progress,
    )


def _make_loop(parts, settings, sensors, influences, deficit, persistence):
    """Make the profile's loop; each profile loads its own."""
    if deficit is None:
        from .pump_station import PumpStation

        parts.loop = PumpStation(
            parts.board, parts.bank, settings, sensors, influences, parts.alarms, persistence
        )
        return
    from .leases import expiry_delay_s
    from .supply_loop import SupplyLoop

    parts.loop = SupplyLoop(
        parts.board, parts.bank, settings, sensors, influences, deficit, parts.alarms, persistence,
        expiry_delay_s(settings.device_id, False), parts.clock,
    )  # fmt: skip


def _chip_id():
    try:
        import machine

        return bytes(machine.unique_id())
    except ImportError:
        return bytes(8)


def _let_go_of(*names):
    """Drop modules that only booting needs: the register map alone costs 54 kB of heap.

    Each entry is overwritten before it is deleted: MicroPython keeps a deleted entry's value until its
    place in the dictionary is taken.
    """
    package = sys.modules[__name__.rsplit(".", 1)[0]]
    for name in names:
        path = "%s.%s" % (package.__name__, name)
        if path in sys.modules:
            sys.modules[path] = None
            del sys.modules[path]
        if hasattr(package, name):
            setattr(package, name, None)
            delattr(package, name)


def _let_go_of_constructors():
    """Drop the code that made the parts: 10 kB of heap for two circuits with DHW."""
    package = __name__.rsplit(".", 1)[0]
    for name in MADE_ONCE:
        module = sys.modules.get("%s.%s" % (package, name))
        if module is not None:
            for thing in module.__dict__.values():
                if isinstance(thing, type) and "__init__" in thing.__dict__:
                    thing.__init__ = None
