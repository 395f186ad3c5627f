"""Puts the controller together and keeps it running: control task, Modbus server, monitor.

The control task may never die unseen: an exception in it stops the valve where it is and resets the
board. The server is begun again in place. It refuses to feed the watchdog unless the control task
made progress.
"""

import asyncio
import gc
import os
import sys
from time import ticks_add, ticks_diff, ticks_ms

from .alarms import CONFIG_REJECTED, REFUSED_WRITES, WATCHDOG_RESET

FIRMWARE_VERSION = 0x0001  # major x 256 + minor
PERIOD_MS = 2_000
WATCHDOG_MS = 8_000  # the RP2040 takes no more than 8 388
CONTROL_ALLOWED_MS = 3 * PERIOD_MS
HOUSEKEEPING_EVERY = 30  # monitor rounds: a minute
RESCUE_NEWS_S = 3_600  # how long the alarm stands after a rescue
SERVER_PAUSE_MS = 1_000  # before a failed server is begun again
WATCHDOG_CAUSE = 3  # machine.WDT_RESET on the ports we run on

OWN_CURVE, ORDER, MANUAL, SERVICE, SAFE_START = range(5)
CONTROL = 0  # position in Progress


class Controller:
    """Everything that runs, put together from site.json, keys.bin and state/ in the working directory."""

    def __init__(self, boards):
        settings, bank, influences, identity = self._read_settings(boards)
        self._bank = bank
        # from here on the map and the site file's checks are gone: with the loops they would not fit the heap
        _let_go_of("registers", "site", "site_functions", "image")
        gc.collect()
        from .alarms import Alarms
        from .boots import Boots
        from .persistence import Persistence
        from .progress import Progress
        from .refusals import Refusals
        from .sensors import Sensors
        from .service_mode import ServiceMode

        board = boards.open_board(settings.board)
        board.equip(settings)
        self._board = board
        persistence = Persistence()
        self._boots = Boots(persistence, board.reset_cause == WATCHDOG_CAUSE)
        random_8 = os.urandom(8)
        for name, value in (
            ("boot_count", self._boots.count),
            ("boot_random_high_code", int.from_bytes(random_8[:4], "big")),
            ("boot_random_low_code", int.from_bytes(random_8[4:], "big")),
            ("reset_cause_number", board.reset_cause),
            ("watchdog_reset_count", self._boots.rescues),
        ):
            bank.put(bank.point(name), value)
        self._uptime_point = bank.point("uptime_s")
        self._mode_point = bank.point("control_mode_number")
        self._loop_time_point = bank.point("loop_time_max_ms")
        self._heap_used_point = bank.point("heap_used_b")
        self._heap_free_point = bank.point("heap_free_b")
        self._restarts_point = bank.point("task_restart_count")
        self._loop_time_ms = 0

        self._safe_start = bool(settings.mistakes)
        self._alarms = Alarms(bank)
        self._alarms.set(CONFIG_REJECTED, self._safe_start)
        self._alarms.set(WATCHDOG_RESET, self._boots.rescued)
        self._service = ServiceMode(bank)
        self._refusals = Refusals(bank, persistence, self._uptime, self._boots.count)
        sensors = Sensors(board, bank, settings.inputs, settings.damping)
        deficit = self._make_loop(settings, bank, sensors, influences, persistence)
        _let_go_of("fallbacks", "precedence")
        mailbox = self._make_mailbox(settings, bank, identity, random_8, influences, deficit, persistence)
        self._progress = Progress(("control",), (CONTROL_ALLOWED_MS,))
        from .modbus_server import ModbusServer
        from .modbus_tcp import ModbusTcp

        server = ModbusServer(bank, mailbox, self._refusals, settings.modbus_unit, self._publish_uptime)
        self._tcp = ModbusTcp(
            server,
            settings.modbus_address,
            settings.modbus_port,
            bank,
            bank.point("client_count"),
            self._progress,
        )
        self._network = settings.network
        self.tasks = ()
        bank.forget_names()
        _let_go_of("settings")
        print(
            "%s: %s, boot %d, map %08x, firmware %08x"
            % (settings.name, settings.profile, self._boots.count, identity[0], identity[1])
        )

    def _read_settings(self, boards):
        """Return (settings, bank, influences, (map hash, firmware hash)): all that needs the register map."""
        from . import image, registers, site
        from .clock import Clock
        from .leases import build
        from .register_bank import RegisterBank
        from .uptime import Uptime

        settings = site.read("site.json", _chip_id(), boards.NAMES, boards.default_name())
        self._uptime = Uptime()
        self.clock = Clock(self._uptime)
        map_hash = registers.map_hash()
        firmware_hash = int.from_bytes(image.digest()[:4], "big")
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
            ("firmware_version_number", FIRMWARE_VERSION),
        ):
            bank.put(bank.point(name), value)
        for name in settings.names():
            bank.put(bank.point(name), settings.fixed(name))
        return settings.copy(), bank, build(bank, settings), (map_hash, firmware_hash)

    def _make_loop(self, settings, bank, sensors, influences, persistence):
        """Make the profile's loop in self._loop; return the deficit budget of a substation, else None."""
        if settings.circuits == 0:
            from .pump_station import PumpStation  # each profile loads its own loop

            self._loop = PumpStation(
                self._board, bank, settings, sensors, influences, self._alarms, persistence
            )
            return None
        from .deficit import Deficit
        from .leases import expiry_delay_s
        from .supply_loop import SupplyLoop

        curve = settings.curve(0)
        deficit = Deficit(settings.deficit_budget_mkh, curve[0], curve[-2], persistence, bank)
        self._loop = SupplyLoop(
            self._board, bank, settings, sensors, influences, deficit, self._alarms, persistence,
            expiry_delay_s(settings.device_id, False), self.clock,
        )  # fmt: skip
        return deficit

    def _make_mailbox(self, settings, bank, identity, random_8, influences, deficit, persistence):
        from .keys import Keys, read_root_key
        from .order_frame import boot_nonce
        from .orders import Mailbox

        map_hash, firmware_hash = identity
        return Mailbox(
            bank,
            (settings.device_id, map_hash, boot_nonce(self._boots.count, random_8), settings.limits_hash,
             firmware_hash),
            Keys(read_root_key("keys.bin"), settings.epochs, persistence, bank), influences, deficit,
            self._service, self._refusals, self._uptime, self._safe_start,
        )  # fmt: skip

    def _publish_uptime(self):
        self._bank.put(self._uptime_point, self._uptime.advance())

    def step(self):
        """Run one control period; return after how many ms the loop's hold() is due, 0 = never."""
        began = ticks_ms()
        now_s = self._uptime.advance()
        self._bank.put(self._uptime_point, now_s)
        self._service.step(self._board.button_pressed(), now_s)
        hold_ms = self._loop.step(now_s, PERIOD_MS)
        if self._safe_start:
            mode = SAFE_START
        elif self._service.active:
            mode = SERVICE
        else:
            mode = ORDER if self._loop.remote else OWN_CURVE
        self._bank.put(self._mode_point, mode)
        self._alarms.set(REFUSED_WRITES, self._refusals.recent(now_s))
        took_ms = ticks_diff(ticks_ms(), began)
        if took_ms > self._loop_time_ms:
            self._loop_time_ms = took_ms
            self._bank.put(self._loop_time_point, took_ms)
        return hold_ms

    async def control(self):
        """Step every PERIOD_MS, whatever a step takes; a missed period is dropped, not made up for."""
        due = ticks_ms()
        while True:
            hold_ms = self.step()
            self._progress.mark(CONTROL)
            while hold_ms:
                await asyncio.sleep_ms(hold_ms)
                hold_ms = self._loop.hold()
            due = ticks_add(due, PERIOD_MS)
            left_ms = ticks_diff(due, ticks_ms())
            if left_ms < 0:
                due = ticks_ms()
                left_ms = 0
            await asyncio.sleep_ms(left_ms)

    async def guarded_control(self):
        """The control task: if it ends, the valve stays where it is and the board starts anew."""
        try:
            await self.control()
        except Exception as error:
            self._loop.stop()
            print("control task died; the board is reset")
            sys.print_exception(error)
            self._boots.rescue()
            self._board.reset()

    async def serve(self):
        """The communication task: begun again in place, for ever."""
        while True:
            try:
                self._board.start_network(self._network)
                await self._tcp.run()
            except Exception as error:
                sys.print_exception(error)
            self._progress.restarted()
            await asyncio.sleep_ms(SERVER_PAUSE_MS)

    async def monitor(self, watchdog):
        """Feed the watchdog while the control task works; keep house once a minute."""
        rounds = 0
        told = False
        while True:
            standing = self._progress.standing()
            if standing < 0:
                watchdog.feed()
                told = False
            elif not told:
                told = True
                print("watchdog: task %r stands still" % self._progress.names[standing])
            if rounds % HOUSEKEEPING_EVERY == 0:
                self._keep_house()
            rounds += 1
            await asyncio.sleep_ms(PERIOD_MS)

    def _keep_house(self):
        now_s = self._uptime.advance()
        if now_s > RESCUE_NEWS_S:
            self._alarms.set(WATCHDOG_RESET, False)
        self._refusals.save_when_due(now_s)
        self._loop.save_when_due(now_s)
        self._bank.put(self._restarts_point, self._progress.restarts)
        gc.collect()
        self._bank.put(self._heap_used_point, gc.mem_alloc())
        self._bank.put(self._heap_free_point, gc.mem_free())


def _chip_id():
    try:
        import machine

        return bytes(machine.unique_id())
    except ImportError:
        return bytes(8)


def _let_go_of(*names):
    """Drop modules that only booting needs: the register map alone costs 40 kB of heap."""
    package = sys.modules[__name__.rsplit(".", 1)[0]]
    for name in names:
        sys.modules.pop("%s.%s" % (package.__name__, name), None)
        if hasattr(package, name):
            delattr(package, name)


async def run(boards):
    """Run the controller for ever. boards: the package of board files."""
    controller = Controller(boards)
    gc.collect()
    watchdog = controller._board.watchdog(WATCHDOG_MS)
    controller.tasks = (
        asyncio.create_task(controller.guarded_control()),
        asyncio.create_task(controller.serve()),
    )
    await controller.monitor(watchdog)
