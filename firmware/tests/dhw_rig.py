"""A house with DHW or a second heating circuit, and a clock in the test's hand, around the real loop."""

from __future__ import annotations

from firmware.substation import sensors
from firmware.substation.alarms import Alarms
from firmware.substation.supply_loop import SupplyLoop

from .board_double import BoardDouble
from .loop_rig import House, LoopRig
from .order_rig import OrderRig

DHW_SUPPLY, TANK_TOP, TANK_BOTTOM, CIRCULATION, DHW_FLOW = 8, 9, 10, 11, 12
SUPPLY2, RETURN2, ROOM2 = 8, 9, 10
MONDAY = 20_458 * 86_400  # 2026-01-05, 00:00 UTC
FLOW_SPAN_M3_H = 4.0
COLD_C = 10.0


def wired(*names, **spans):
    """Return the `inputs` of site.json for Pt1000 on channels 8, 9, ... and 4-20 mA for names with a span."""
    inputs = {name: {"channel": 8 + i, "kind": "pt1000"} for i, name in enumerate(names)}
    for i, (name, span) in enumerate(spans.items()):
        inputs[name] = {"channel": 8 + len(names) + i, "kind": "4-20ma", "span": span}
    return inputs


INSTANTANEOUS = {
    "dhw": "instantaneous",
    "inputs": wired(
        "dhw_supply_temp_c",
        "dhw_tank_top_temp_c",
        "dhw_tank_bottom_temp_c",
        "dhw_circulation_temp_c",
        dhw_flow_m3_h=FLOW_SPAN_M3_H,
    ),
    "dhw_valve_flow_m3_h": 2.5,
    "dhw_valve_stroke_s": 30,
}
del INSTANTANEOUS["inputs"]["dhw_tank_top_temp_c"], INSTANTANEOUS["inputs"]["dhw_tank_bottom_temp_c"]
STORAGE = {
    "dhw": "storage_charging",
    "inputs": wired(
        "dhw_supply_temp_c", "dhw_tank_top_temp_c", "dhw_tank_bottom_temp_c", "dhw_circulation_temp_c"
    ),
    "dhw_valve_flow_m3_h": 2.5,
    "dhw_valve_stroke_s": 60,
}
TWO_CIRCUITS = {
    "heating_circuits": 2,
    "inputs": wired("secondary2_supply_temp_c", "secondary2_return_temp_c", "room2_temp_c"),
}


class Clock:
    """The authentic time, as a test sets it."""

    def __init__(self, ticks, unix_s):
        self._ticks = ticks
        self.at_zero_s = unix_s

    def unix_s(self):
        return None if self.at_zero_s is None else self.at_zero_s + self._ticks.now_ms // 1000


class Tank:
    """Two layers of 150 l each, an exchanger outside, taps and circulation; all temperatures in degC."""

    def __init__(self):
        self.top_c = 50.0
        self.bottom_c = 45.0
        self.charging_c = 45.0
        self.tap_kg_s = 0.0
        self.circulation_c = 45.0

    def step(self, dt_s, heat_kw, pumping, circulating):
        flow_kg_s = 0.35 if pumping else 0.0
        source_c = self.bottom_c if pumping else self.charging_c
        wanted_c = source_c + (heat_kw / (4.18 * flow_kg_s) if flow_kg_s else 0.0)
        if flow_kg_s:
            self.charging_c += (wanted_c - self.charging_c) * min(1.0, dt_s / 15.0)
        else:  # what the valve lets in heats the water that stands in the exchanger
            self.charging_c += heat_kw * dt_s / 20.0 - (self.charging_c - 30.0) * dt_s / 3600.0
        self.charging_c = min(self.charging_c, 88.0)
        self.top_c += flow_kg_s * (self.charging_c - self.top_c) * dt_s / 150.0
        self.bottom_c += flow_kg_s * (self.top_c - self.bottom_c) * dt_s / 150.0
        self.top_c += self.tap_kg_s * (self.bottom_c - self.top_c) * dt_s / 150.0
        self.bottom_c += self.tap_kg_s * (COLD_C - self.bottom_c) * dt_s / 150.0
        for_circulation_c = self.top_c - 3.0 if circulating else 20.0
        self.circulation_c += (for_circulation_c - self.circulation_c) * dt_s / 600.0
        self.top_c -= (self.top_c - 20.0) * dt_s / 400_000.0 + circulating * 0.1 * dt_s / 627.0


class Exchanger:
    """A counterflow exchanger by its effectiveness, with the lag of its water and of the sensor."""

    def __init__(self):
        self.ua_kw_k = 6.0
        self.draw_kg_s = 0.0
        self.out_c = 50.0
        self.seen_c = 50.0

    def step(self, dt_s, primary_kg_s, primary_c):
        hot, cold = 4.18 * primary_kg_s, 4.18 * self.draw_kg_s
        if self.draw_kg_s <= 0:
            warming = min(1.0, dt_s / 20.0) if primary_kg_s > 0.01 else 0.0
            self.out_c += (primary_c - 5.0 - self.out_c) * warming * 0.3
            self.out_c -= (self.out_c - 25.0) * dt_s / 1800.0
        else:
            steady_c = COLD_C
            if hot > 1e-6:
                small, ratio = min(hot, cold), min(hot, cold) / max(hot, cold)
                ntu = self.ua_kw_k / small
                x = pow(2.718281828, -ntu * (1 - ratio))
                share = ntu / (1 + ntu) if ratio > 0.999 else (1 - x) / (1 - ratio * x)
                steady_c = COLD_C + share * small / cold * (primary_c - COLD_C)
            self.out_c += (steady_c - self.out_c) * min(1.0, dt_s / 4.0)
        self.seen_c += (self.out_c - self.seen_c) * min(1.0, dt_s / 2.0)


class FunctionRig(LoopRig):
    """changes: settings of site.json. unix_s: the time at the start, or None."""

    def __init__(self, ticks, unix_s=MONDAY, flash=None, reset_cause=1, **changes):
        self.board = BoardDouble(ticks)
        self.board.reset_cause = reset_cause
        self.board.others = {1: BoardDouble(ticks), 2: BoardDouble(ticks)}
        self.house = House(self.board)
        self.house2 = House(self.board.others[1])
        self.house2.supply_c = 35.0
        self.house2.return_c = 30.0
        self.tank = Tank()
        self.exchanger = Exchanger()
        self.dhw_valve = 0.0
        self.dhw_stroke_ms = 30_000
        self._dhw_moved_ms = 0
        self.dhw_lost = set()
        self.room_c = 20.0
        self.room2_c = 20.0
        self.dhw_primary_kg_s = 0.0
        self.loop = None
        OrderRig.__init__(self, ticks, flash, **changes)
        self.clock = Clock(ticks, unix_s)
        assert self.settings.mistakes == [], self.settings.mistakes
        self.dhw_stroke_ms = (self.settings.option("dhw_valve_stroke_s") or 30) * 1000
        self.show()
        self.alarms = Alarms(self.bank)
        read = sensors.Sensors(self.board, self.bank, self.settings.inputs, self.settings.damping)
        self.loop = SupplyLoop(
            self.board, self.bank, self.settings, read, self.influences, self.deficit, self.alarms,
            self.flash, 0, self.clock,
        )  # fmt: skip

    def show(self):
        self.house.show()
        self.board.set_temp(5, None if 5 in self.house.lost else self.room_c)
        if self.settings.dhw == "instantaneous":
            shown = {DHW_SUPPLY: self.exchanger.seen_c, CIRCULATION: self.exchanger.seen_c - 3.0}
            flow_m3_h = 3.6 * self.exchanger.draw_kg_s
            self.board.ua[DHW_FLOW] = (
                0 if DHW_FLOW in self.dhw_lost else round(4000 + 16000 * flow_m3_h / FLOW_SPAN_M3_H)
            )
        elif self.settings.dhw != "none":
            tank = self.tank
            shown = {
                DHW_SUPPLY: tank.charging_c, TANK_TOP: tank.top_c, TANK_BOTTOM: tank.bottom_c,
                CIRCULATION: tank.circulation_c,
            }  # fmt: skip
        else:
            shown = {SUPPLY2: self.house2.supply_c, RETURN2: self.house2.return_c, ROOM2: self.room2_c}
        for channel, temp_c in shown.items():
            self.board.set_temp(channel, None if channel in self.dhw_lost else temp_c)
        if 7 not in self.house.lost:
            self.board.set_loop(7, self.flow_m3_h())

    def flow_m3_h(self):
        """The primary flow of everything together."""
        return (
            self.house.flow_m3_h
            + self.house2.flow_m3_h * (self.settings.circuits - 1)
            + (3.6 * self.dhw_primary_kg_s)
        )

    def plant(self, dt_s):
        """Advance the water side."""
        self.house.step(dt_s)
        if self.settings.circuits == 2:
            self.house2.outdoor_c = self.house.outdoor_c
            self.house2.step(dt_s)
        other = self.board.others[2]
        other.valve(other.direction)
        moved = (other.moved_ms - self._dhw_moved_ms) / self.dhw_stroke_ms
        self._dhw_moved_ms = other.moved_ms
        self.dhw_valve = min(1.0, max(0.0, self.dhw_valve + moved))
        self.dhw_primary_kg_s = 2.5 / 3.6 * self.dhw_valve * self.house.dp_bar**0.5
        if self.settings.dhw == "instantaneous":
            self.exchanger.step(dt_s, self.dhw_primary_kg_s, self.house.primary_supply_c)
        elif self.settings.dhw != "none":
            reach_c = self.tank.bottom_c if self.board.pumps.get(2) else self.tank.charging_c
            heat_kw = 4.18 * self.dhw_primary_kg_s * 0.85 * max(0.0, self.house.primary_supply_c - reach_c)
            self.tank.step(dt_s, heat_kw, self.board.pumps.get(2, False), self.board.pumps.get(3, False))

    def step(self, seconds, only_raise=False):
        if self.loop is None:
            return
        for _ in range(max(1, seconds // 2)):
            self.show()
            now_s = self.uptime.advance()
            hold_ms = self.loop.step(now_s, 2_000)
            passed_ms = 0
            while hold_ms:
                self.ticks.now_ms += hold_ms
                passed_ms += hold_ms
                hold_ms = self.loop.hold()
            self.ticks.now_ms += 2_000 - passed_ms
            for board in (self.board, self.board.others[1]):
                board.valve(board.direction)  # book the time of a relay that stays on
            self.plant(2.0)

    def at(self, hour, minute=0, day=0):
        """Set the local time: Monday + day, in winter one hour before UTC."""
        local_s = MONDAY + day * 86_400 + hour * 3600 + minute * 60
        self.clock.at_zero_s = local_s - 3600 - self.ticks.now_ms // 1000
