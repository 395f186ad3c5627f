"""Puts the controller together and keeps it running: one control task, one server, one monitor.

The control task may never die unseen: an exception in it stops the valve and resets the board. The
server restarts in place. It refuses to feed the watchdog unless the control task made progress.
"""

import asyncio
import gc
import os
import sys
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

from . import image, site
from .keys import Keys, read_root_key
from .modbus_server import ModbusServer
from .modbus_tcp import ModbusTcp
from .order_frame import boot_nonce
from .persistence import Persistence
from .progress import Progress
from .refusals import Refusals
from .register_bank import RegisterBank
from .sensors import PUMP_STATION_INPUTS, SUBSTATION_INPUTS, Sensors
from .uptime import Uptime

FIRMWARE_VERSION = 0x0001
PERIOD_MS = 2_000
WATCHDOG_MS = 8_000  # the RP2040 takes no more than 8 388
CONTROL_ALLOWED_MS = 6_000  # three periods


async def run(boards):
    """Run the controller for ever. boards: the package of board files."""
    from . import registers

    settings = site.read("site.json", bytes(8), boards.NAMES, boards.default_name())
    board = boards.open_board(settings.board)
    uptime = Uptime()
    persistence = Persistence()
    saved = persistence.load("boot")
    boot_count = int.from_bytes(saved[:4], "big") + 1 if saved else 1
    persistence.save("boot", boot_count.to_bytes(4, "big") + bytes(2))
    random_8 = os.urandom(8)
    bank = RegisterBank(settings.profile)
    for name, value in (
        ("identity_magic_code", registers.IDENTITY_MAGIC),
        ("map_version_number", registers.MAP_VERSION),
        ("map_hash_code", registers.map_hash()),
        ("device_id_high_code", int.from_bytes(settings.device_id[:4], "big")),
        ("device_id_low_code", int.from_bytes(settings.device_id[4:], "big")),
        ("profile_number", registers.PROFILES.index(settings.profile) + 1),
        ("boot_count", boot_count),
        ("boot_random_high_code", int.from_bytes(random_8[:4], "big")),
        ("boot_random_low_code", int.from_bytes(random_8[4:], "big")),
        ("firmware_hash_code", int.from_bytes(image.digest()[:4], "big")),
        ("limits_hash_code", settings.limits_hash),
        ("firmware_version_number", FIRMWARE_VERSION),
    ):
        bank.point(name).put(value)
    for name in settings.names():
        bank.point(name).put(settings.fixed(name))
    keys = Keys(read_root_key("keys.bin"), settings.epochs, persistence, bank)
    refusals = Refusals(bank, persistence, uptime, boot_count)
    sensors = Sensors(
        board, bank, SUBSTATION_INPUTS if settings.profile == "substation" else PUMP_STATION_INPUTS
    )
    uptime_point = bank.point("uptime_s")
    server = ModbusServer(
        bank, None, refusals, settings.modbus_unit, lambda: uptime_point.put(uptime.advance())
    )
    progress = Progress(("control",), (CONTROL_ALLOWED_MS,))
    tcp = ModbusTcp(
        server, settings.modbus_address, settings.modbus_port, bank.point("client_count"), progress
    )
    bank.forget_rows()
    watchdog = board.watchdog(WATCHDOG_MS)
    asyncio.create_task(tcp.run())
    while True:
        sensors.read()
        watchdog.feed()
        await asyncio.sleep_ms(PERIOD_MS)
