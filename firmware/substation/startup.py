"""Puts together what every controller has, from site.json, keys.bin and state/ in the working directory.

First what needs the register map, then the orders and the server; `loop_maker` adds the loop. Each lets go of
what the next does without, because all of it at once does not fit the heap. It refuses to stay.
"""

import gc
import os

from .alarms import CONFIG_REJECTED, WATCHDOG_RESET
from .let_go import let_go_of

POWER_ON = 1  # machine.PWRON_RESET: nobody knows for how long there was none
RESTART_S = 2  # what the device's own reset takes [estimate]


class Parts:
    """What the controller runs with."""

    def __init__(self, bank, uptime, clock):
        self.bank = bank
        self.uptime = uptime
        self.clock = clock
        self.board = self.boots = self.alarms = self.service = self.refusals = None
        self.progress = self.tcp = self.serial = self.sensors = None
        self.settings = self.influences = self.deficit = self.persistence = self.hashes = None
        self.network = {}
        self.updating = self.log = self.commands = self.legacy = None
        self.command_places = ()
        self.safe_start = False
        self.points = self.meter_points = self.manual_points = ()


def assemble(boards, running, publish_uptime, restart, control_allowed_ms, version, watchdog_cause):
    """Return the Parts, made from the files in the working directory. running: folder of the program."""
    from .persistence import Persistence

    persistence = Persistence()
    parts, settings, influences, hashes = _read_settings(boards, running, version, persistence)
    let_go_of("registers", "image")
    gc.collect()
    from .boots import Boots

    bank = parts.bank
    board = parts.board = boards.open_board(settings.board)
    board.equip(settings)
    boots = parts.boots = Boots(persistence, board.reset_cause == watchdog_cause)
    kept_s = boots.time_kept()
    if kept_s is not None and board.reset_cause != POWER_ON:
        parts.clock.set(kept_s + RESTART_S)
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
            "task_restart_count", "unix_time_s",
        )
    )  # fmt: skip
    parts.manual_points = tuple(
        bank.point("manual_" + name)
        for name in ("valve_pct", "valve2_pct", "dhw_valve_pct", "pump_pct", "pump2_pct", "seconds_left_s")
    )
    parts.network = settings.network
    parts.settings = settings
    parts.influences = influences
    parts.persistence = persistence
    parts.hashes = hashes
    _make_watch(parts, settings, persistence, control_allowed_ms, hashes[1])
    from .updating import Updating

    parts.updating = Updating(
        bank, persistence, running, restart, bool(settings.circuits), parts.log,
        (settings.device_id,) + settings.limits,
    )  # fmt: skip
    if settings.circuits:
        from .deficit import Deficit

        curve = settings.curve(0)
        parts.deficit = Deficit(settings.deficit_budget_mkh, curve[0], curve[-2], persistence, bank)
    _make_server(
        parts, settings, hashes, random_8, influences, parts.deficit, persistence, publish_uptime, version
    )
    return parts


def _read_settings(boards, running, version, persistence):
    """Return (parts, settings, influences, (map hash, firmware hash))."""
    from . import registers, site
    from .clock import Clock
    from .commands import places
    from .leases import build
    from .register_bank import RegisterBank
    from .uptime import Uptime

    settings = site.read("site.json", _chip_id(), boards, persistence).copy()
    del site
    let_go_of(
        "site",
        "site_functions",
        "site_meters",
        "site_tls",
        "site_legacy",
        "site_pumps",
        "bundled_limits",
        "limits_record",
        "site_migrations",
    )
    gc.collect()
    from . import image

    map_hash = registers.map_hash()
    firmware_hash = int.from_bytes(image.digest(running)[:4], "big")
    bank = RegisterBank(settings.profile)
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
    uptime = Uptime()
    parts = Parts(bank, uptime, Clock(uptime))
    parts.command_places = places(registers)
    return parts, settings, build(bank, settings), (map_hash, firmware_hash)


def _make_watch(parts, settings, persistence, control_allowed_ms, firmware_hash):
    """Make what tells and guards: alarms, service mode, refusals, the event log, progress."""
    from .alarms import Alarms
    from .log_opening import open_log
    from .progress import Progress
    from .refusals import Refusals
    from .service_mode import ServiceMode

    parts.safe_start = bool(settings.mistakes)
    parts.alarms = Alarms(parts.bank)
    parts.alarms.set(CONFIG_REJECTED, parts.safe_start)
    parts.alarms.set(WATCHDOG_RESET, parts.boots.rescued)
    parts.service = ServiceMode(parts.bank)
    parts.refusals = Refusals(parts.bank, persistence, parts.uptime, parts.boots.count)
    parts.log = parts.refusals.log = open_log(parts, persistence.folder, firmware_hash)
    let_go_of("log_opening")
    parts.progress = Progress(("control",), (control_allowed_ms,))


def _make_server(
    parts, settings, hashes, random_8, influences, deficit, persistence, publish_uptime, version
):
    from .commands import Commands
    from .keys import Keys, read_root_key
    from .modbus_diagnostics import Diagnostics
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
    commands = parts.commands = Commands(parts.command_places, parts.clock, parts.updating)
    mailbox = Mailbox(
        bank, identity, Keys(read_root_key("keys.bin"), settings.epochs, persistence, bank), influences,
        deficit, parts.service, parts.refusals, parts.uptime, parts.safe_start,
        commands,
    )  # fmt: skip
    commands.log = mailbox.log = parts.log
    number = bank.raw(bank.point("profile_number"))
    diagnostics = Diagnostics(_identity(settings, version), number)
    server = ModbusServer(
        bank,
        mailbox,
        parts.refusals,
        settings.modbus_unit,
        publish_uptime,
        diagnostics,
        parts.log,
        parts.updating,
    )
    if settings.legacy:
        from .legacy import Legacy

        parts.legacy = server.legacy = Legacy(
            mailbox, bank, influences, settings.legacy, parts.refusals, parts.uptime
        )
    rtu = None
    if settings.rtu_baud or settings.rtu_tcp_port:
        from .modbus_rtu import Rtu

        rtu = Rtu(server, settings.rtu_unit)
    ports = ((0 if settings.tls_alone else settings.modbus_port, server), (settings.rtu_tcp_port, rtu))
    serving = (ports, settings.modbus_address, bank, bank.point("client_count"), parts.progress)
    if settings.tls_port:
        from .modbus_tls import ModbusTls

        parts.tcp = ModbusTls(*serving, server, settings.tls_port, parts.refusals, parts.clock, commands)
    else:
        parts.tcp = ModbusTcp(*serving)
    if settings.rtu_baud:
        from .modbus_serial import ModbusSerial

        uart = parts.board.serial_line(settings.rtu_baud, settings.rtu_parity, settings.rtu_stop_bits)
        parts.serial = ModbusSerial(uart, rtu, settings.rtu_baud)
        print("modbus: unit %d at %d baud" % (settings.rtu_unit, settings.rtu_baud))


def _identity(settings, version):
    """Return the objects of FC 43/14: vendor, product code, revision, product name, model."""
    product = "toplovod-" + settings.profile.replace("_", "-")
    revision = "%d.%d" % (version >> 8, version & 0xFF)
    name = "District heating %s controller" % settings.profile.replace("_", " ")
    texts = ((0, "Toplovod"), (1, product), (2, revision), (4, name), (5, settings.board))
    return tuple((number, text.encode()) for number, text in texts)


def _chip_id():
    try:
        import machine

        return bytes(machine.unique_id())
    except ImportError:
        return bytes(8)
