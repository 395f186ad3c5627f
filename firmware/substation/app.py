"""Keeps the controller running: control task, Modbus server, monitor.

Neither the control task nor the monitor may die unseen: an exception in them stops the valve where it is and
resets the board. The server is begun again in place. It refuses to feed the watchdog unless the control task
made progress.
"""

import asyncio
import gc
import sys
from time import ticks_add, ticks_diff, ticks_ms

from .alarms import MANUAL as MANUAL_ALARM
from .alarms import REFUSED_WRITES, WATCHDOG_RESET

FIRMWARE_VERSION = 0x0001  # major x 256 + minor
PERIOD_MS = 2_000
WATCHDOG_MS = 8_000  # the RP2040 takes no more than 8 388
CONTROL_ALLOWED_MS = 3 * PERIOD_MS
HOUSEKEEPING_EVERY = 30  # monitor rounds: a minute
SAVE_ALL_S = 86_400  # later than anything is due
RESCUE_NEWS_S = 3_600  # how long the alarm stands after a rescue
SERVER_PAUSE_MS = 1_000  # before a failed server is begun again
WATCHDOG_CAUSE = 3  # machine.WDT_RESET on the ports we run on

# While booting garbage is collected this often. Without it the heap fills to its end before the first
# collection, what stays lies scattered, and the interpreter's table of names finds no 13 kB to grow into.
BOOT_COLLECT_B = 4096

OWN_CURVE, ORDER, MANUAL, SERVICE, SAFE_START, UNAUTHENTICATED = range(6)
CONTROL = 0  # position in Progress


class Controller:
    """Everything that runs, put together from site.json, keys.bin and state/ in the working directory."""

    def __init__(self, boards, running=""):
        gc.threshold(BOOT_COLLECT_B)
        from .let_go import let_go_of, let_go_of_constructors
        from .startup import assemble

        parts = assemble(
            boards, running, self._publish_uptime, self.restart, CONTROL_ALLOWED_MS, FIRMWARE_VERSION,
            WATCHDOG_CAUSE,
        )  # fmt: skip
        self._bank = parts.bank
        self._board = parts.board
        self._boots = parts.boots
        self._alarms = parts.alarms
        self._service = parts.service
        self._refusals = parts.refusals
        self._log = parts.log
        self._influences = tuple(parts.influences.values())
        self._uptime = parts.uptime
        self.clock = parts.clock  # whoever proves a right to set the time does so here
        self._progress = parts.progress
        self._tcp = parts.tcp
        self.serial = parts.serial
        self.meters = None
        self._updating = parts.updating
        self._commands = parts.commands
        self._legacy = parts.legacy
        self._network = parts.network
        self._safe_start = parts.safe_start
        (
            self._uptime_point, self._mode_point, self._loop_time_point, self._heap_used_point,
            self._heap_free_point, self._restarts_point, self._time_point,
        ) = parts.points  # fmt: skip
        self._loop_time_ms = 0
        self.tasks = ()
        del assemble
        let_go_of("startup")
        let_go_of_constructors(("sensors",))
        gc.collect()
        from .loop_maker import make_loop

        self._loop = make_loop(parts)
        parts.commands.by_hand = (parts.bank, parts.manual_points, self._loop.hands())
        if parts.meter_points:
            gc.collect()
            from .heat_meters import make_meters

            self.meters = make_meters(parts)
            self._loop.use_meters(self.meters)
        gc.threshold(-1)

    def _publish_uptime(self):
        self._bank.put(self._uptime_point, self._uptime.advance())

    def step(self):
        """Run one control period; return after how many ms the loop's hold() is due, 0 = never."""
        began = ticks_ms()
        now_s = self._uptime.advance()
        self._bank.put(self._uptime_point, now_s)
        self._service.step(self._board.button_pressed(), now_s)
        manual = self._commands.manual
        by_hand = manual is not None and manual.step(now_s)
        hold_ms = self._loop.step(now_s, PERIOD_MS)
        self._alarms.set(MANUAL_ALARM, by_hand)
        if by_hand:
            mode = MANUAL
        elif self._safe_start:
            mode = SAFE_START
        elif self._service.active:
            mode = SERVICE
        elif self._legacy is not None and self._legacy.holds():
            mode = UNAUTHENTICATED
        else:
            mode = ORDER if self._loop.remote else OWN_CURVE
        self._bank.put(self._mode_point, mode)
        self._bank.put(self._time_point, self.clock.unix_s())
        self._updating.control(now_s, PERIOD_MS // 1000)
        self._alarms.set(REFUSED_WRITES, self._refusals.recent(now_s))
        self._log.watch(now_s, self._alarms.bits, self._service.active, self._influences)
        took_ms = ticks_diff(ticks_ms(), began)
        if took_ms > self._loop_time_ms:
            self._loop_time_ms = took_ms
            self._bank.put(self._loop_time_point, took_ms)
        return hold_ms

    def end(self):
        """End this run in order: the valves stand, what is counted is kept, a reset to come is no rescue."""
        self._loop.stop()
        now_s = self._uptime.advance() + SAVE_ALL_S
        self._refusals.save_when_due(now_s)
        self._loop.save_when_due(now_s)
        self._log.save_when_due(now_s)
        self._boots.plan(self.clock.unix_s())

    def restart(self):
        """End this run in order and reset the board."""
        self.end()
        self._board.reset()

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
            self.died("control", error)

    def died(self, task, error):
        """Start the board anew with the valves where they are, whatever else fails on the way."""
        self._loop.stop()
        try:
            print(task, "task died; the board is reset")
            sys.print_exception(error)
            self._boots.rescue(self.clock.unix_s())
            self._updating.died()
            self._log.died(error)
        finally:
            self._board.reset()

    async def serve(self):
        """The communication task: begun again in place, for ever."""
        while True:
            try:
                self._board.start_network(self._network)
                await self._tcp.run()
            except Exception as error:
                sys.print_exception(error)
                self._log.task(0, error)
            self._progress.restarted()
            await asyncio.sleep_ms(SERVER_PAUSE_MS)

    async def serve_line(self, line):
        """The task of a serial line, Modbus or M-Bus: begun again in place, for ever."""
        while True:
            try:
                await line.run()
            except Exception as error:
                sys.print_exception(error)
                self._log.task(1, error)
            self._progress.restarted()
            await asyncio.sleep_ms(SERVER_PAUSE_MS)

    async def verify(self):
        """The task that checks an image's signature, a little at a time."""
        while True:
            if self._updating.is_verifying:
                try:
                    self._updating.step()
                except Exception as error:  # no heap for it, say: the update ends, heating goes on
                    sys.print_exception(error)
                    self._log.task(2, error)
                    self._updating.abandon()
                await asyncio.sleep_ms(1)
            else:
                await asyncio.sleep_ms(PERIOD_MS // 4)

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
            self._log.save_when_due(self._uptime.advance())
            rounds += 1
            await asyncio.sleep_ms(PERIOD_MS)

    def _keep_house(self):
        now_s = self._uptime.advance()
        if now_s > RESCUE_NEWS_S:
            self._alarms.set(WATCHDOG_RESET, False)
        self._refusals.save_when_due(now_s)
        self._loop.save_when_due(now_s)
        self._bank.put(self._restarts_point, self._progress.restarts)
        self._log.rest()
        gc.collect()
        self._bank.put(self._heap_used_point, gc.mem_alloc())
        self._bank.put(self._heap_free_point, gc.mem_free())


controller = None  # until it is made: for main.py, which has what comes by the cable


async def run(boards, running=""):
    """Run the controller for ever. boards: the package of board files; running: the program's folder."""
    global controller
    controller = Controller(boards, running)
    gc.collect()
    watchdog = controller._board.watchdog(WATCHDOG_MS)
    controller.tasks = (
        asyncio.create_task(controller.guarded_control()),
        asyncio.create_task(controller.serve()),
        asyncio.create_task(controller.verify()),
    )
    for line in (controller.serial, controller.meters):
        if line is not None:
            controller.tasks += (asyncio.create_task(controller.serve_line(line)),)
    try:
        await controller.monitor(watchdog)
    except Exception as error:  # a motor would run on until the watchdog bites
        controller.died("monitor", error)
