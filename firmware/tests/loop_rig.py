"""A control loop with its sensors, orders and a small plant, stepped period by period by a test."""

from __future__ import annotations

from firmware.substation import alarms, sensors
from firmware.substation.alarms import Alarms
from firmware.substation.pump_station import PumpStation
from firmware.substation.supply_loop import SupplyLoop

from .board_double import PUMP_STATION_SPANS, BoardDouble
from .order_rig import OrderRig

PERIOD_MS = 2_000

OUTDOOR, PRIMARY_SUPPLY, PRIMARY_RETURN, SECONDARY_SUPPLY, SECONDARY_RETURN, ROOM, DP, FLOW = range(8)


class House:
    """A substation's water side, coarse but stable: an exchanger with a lag behind a linear valve.

    Full opening carries 0.8 m3/h at 1 bar. It is for the loop's logic; the bench has the true plant.
    """

    def __init__(self, board):
        self.board = board
        self.valve = 0.5
        self.stroke_ms = 120_000
        self.primary_supply_c = 90.0
        self.outdoor_c = -5.0
        self.supply_c = 50.0
        self.return_c = 40.0
        self.dp_bar = 1.0
        self.flow_m3_h = 0.0
        self._moved_ms = 0
        self.lost = set()
        self.kv_m3_h = lambda opening: 0.8 * opening

    def step(self, dt_s):
        moved = self.board.moved_ms - self._moved_ms
        self._moved_ms = self.board.moved_ms
        self.valve = min(1.0, max(0.0, self.valve + moved / self.stroke_ms))
        self.flow_m3_h = self.kv_m3_h(self.valve) * self.dp_bar**0.5
        demand_kw = 0.55 * (20.0 - self.outdoor_c) * max(0.0, self.supply_c - 20.0) / 40.0
        taken_kw = 1.147 * self.flow_m3_h * max(0.0, self.primary_supply_c - self.return_c - 3.0)
        self.supply_c += (taken_kw - demand_kw) * dt_s / 80.0  # 80 kJ/K: exchanger and first pipes
        self.supply_c = min(self.supply_c, self.primary_supply_c)
        self.return_c += (20.0 + (self.supply_c - 20.0) / 2 - self.return_c) * dt_s / 600.0  # radiators

    def show(self):
        """Put the temperatures on the board's terminals, but for the sensors that are lost."""
        temps = (
            self.outdoor_c,
            self.primary_supply_c,
            self.return_c + 3.0,
            self.supply_c,
            self.return_c,
            20.0,
        )
        for channel, temp_c in enumerate(temps):
            self.board.set_temp(channel, None if channel in self.lost else temp_c)
        self.board.set_loop(DP, None if DP in self.lost else self.dp_bar)
        self.board.set_loop(FLOW, None if FLOW in self.lost else self.flow_m3_h)


class LoopRig(OrderRig):
    """The supply loop of a house; the board has just got its power unless another cause is given."""

    def __init__(self, ticks, reset_cause=1, spread_s=0, **changes):
        self.board = BoardDouble(ticks)
        self.board.reset_cause = reset_cause
        self.house = House(self.board)
        self.house.show()
        self.loop = None
        super().__init__(ticks, **changes)
        self.alarms = Alarms(self.bank)
        read = sensors.Sensors(self.board, self.bank, self.settings.inputs, self.settings.damping)
        self.loop = SupplyLoop(
            self.board,
            self.bank,
            self.settings,
            read,
            self.influences,
            self.deficit,
            self.alarms,
            self.flash,
            spread_s,
        )

    def step(self, seconds, only_raise=False):
        if self.loop is None:
            return
        for _ in range(max(1, seconds // 2)):
            self.house.show()
            now_s = self.uptime.advance()
            self.service.step(self.board.pressed, now_s)
            hold_ms = self.loop.step(now_s, PERIOD_MS)
            passed_ms = 0
            while hold_ms:
                self.ticks.now_ms += hold_ms
                passed_ms += hold_ms
                hold_ms = self.loop.hold()
            self.ticks.now_ms += PERIOD_MS - passed_ms
            self.board.valve(self.board.direction)  # book the time of a relay that stays on
            self.house.step(PERIOD_MS / 1000)

    def alarm(self, name):
        return bool(self.alarms.bits >> getattr(alarms, name) & 1)


STATION_INPUTS = {
    "index_dp_bar": {"channel": 8, "kind": "4-20ma", "span": 16},
    "suction_pressure_bar": {"channel": 9, "kind": "4-20ma", "span": 10},
}


class StationRig(OrderRig):
    """The pump station's loop; dp follows the square of the speed, 6 bar at full speed."""

    def __init__(self, ticks, **changes):
        self.board = BoardDouble(ticks, PUMP_STATION_SPANS)
        self.loop = None
        self.outdoor_c = -5.0
        self.full_dp_bar = 6.0
        self.dp_lost = False
        self.dp_bar = 0.0
        self.flow_lost = self.index_lost = False
        self.index_share = 0.4
        self.temps = None
        self.suction_bar = 2.0
        super().__init__(ticks, profile="pump_station", **changes)
        self.alarms = Alarms(self.bank)
        read = sensors.Sensors(self.board, self.bank, self.settings.inputs, self.settings.damping)
        self.loop = PumpStation(
            self.board, self.bank, self.settings, read, self.influences, self.alarms, self.flash
        )

    def step(self, seconds, only_raise=False):
        if self.loop is None:
            return
        for _ in range(max(1, seconds // 2)):
            turning = max(self.board.speeds_bp)
            both = 1.3 if min(self.board.speeds_bp) else 1.0  # what a second pump adds at this network
            self.dp_bar = both * self.full_dp_bar * (turning / 10_000) ** 2
            for channel, temp_c in enumerate(self.temps or (self.outdoor_c, 95.0, 50.0)):
                self.board.set_temp(channel, temp_c)
            self.board.set_loop(6, None if self.dp_lost else self.dp_bar)
            self.board.set_loop(7, None if self.flow_lost else self.flow_m3_h())
            self.board.ua[8] = 0 if self.index_lost else round(4000 + 16000 * self.index_dp_bar() / 16)
            self.board.ua[9] = 0 if self.suction_bar is None else round(4000 + 16000 * self.suction_bar / 10)
            self.loop.step(self.uptime.advance(), PERIOD_MS)
            self.ticks.now_ms += PERIOD_MS

    def index_dp_bar(self):
        return self.index_share * self.dp_bar

    def flow_m3_h(self):
        return 40.0 if self.full_dp_bar > 1.0 else 8.0

    def alarm(self, name):
        return bool(self.alarms.bits >> getattr(alarms, name) & 1)
