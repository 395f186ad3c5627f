"""One house with heating, hot water and a real controller at an operating point, ready to be broken.

It watches the truth in every tick, whatever the case is about: hot water at the tap, the room, the relays.
It refuses to start a case from a state that is not the operating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from firmware.substation import registers

from ...acceptance import limit
from .. import board_io
from ..board_io import BoardInputs
from ..controller import Controller
from ..electronics import DIVIDER_OHM, FULL_SCALE, REFERENCE_V, SHUNT_OHM
from ..errors import BenchError, ModbusSilent
from ..lockstep import Lockstep
from ..meter_bus import MeterBus, Slave
from ..plant.heat_meter import HeatMeter
from ..plant.sensors import A_PER_K, B_PER_K2, POCKET_LAG_S, R0_OHM, pt1000_ohm
from ..plant.tap_water import STROKE_S, THERMOSTAT_C, TapWater
from ..station import Bench
from ..wiring import HEAT_DEMAND_RANGE_C
from .lines import SerialMaster, WatchedMeterLine

CAPABILITIES = frozenset(
    {
        "clock.virtual",
        "plant",
        "power.cut",
        "bus.tcp",
        "bus.rtu",
        "bus.mbus",
        "flash.files",
        "flash.chip",
        "memory.mischief",
        "clock.first_tick",
    }
)
TARGET = "the emulated VM"
DHW_SUPPLY, DHW_FLOW = 10, 11  # channels
DHW_FLOW_SPAN_M3_H = 4.0
TICK_S = 2.0
SETTLE_S = 1_500.0  # the way to the end stop takes 132 s, the circuit some ten minutes more
CONTRACT_M3_H = 1.5  # heating as the street has it, and the design flow of the hot water [estimate]
HEAP = "216k"  # heating, hot water, serial line and meters at once: docs/memory.md
METER = {"address": 1, "battery": False}
METER_BAUD = 2400
ROOM_FLOOR_C = limit("room-while-broken")
DHW_LIMIT_S = limit("dhw-over-65")
NEAR_K = limit("supply-near")
DHW_NEAR_K = limit("dhw-band-1")
DHW_WANTED_C = 55.0  # the firmware's default
SHUT, SHUT_IN_SUMMER = limit("valve-at"), limit("valve-shut")


@dataclass(frozen=True)
class Point:
    """An operating point. outdoor_c: the air; supply_c: what the plant sends out."""

    name: str
    text: str
    outdoor_c: float
    supply_c: float
    heating: bool


POINTS = {
    point.name: point
    for point in (
        Point("summer", "22 °C outside, 72 °C from the plant, hot water only", 22.0, 72.0, heating=False),
        Point(
            "transition", "6 °C outside, 72 °C from the plant, heating and hot water", 6.0, 72.0, heating=True
        ),
        Point(
            "winter", "-10 °C outside, 80 °C from the plant, heating and hot water", -10.0, 80.0, heating=True
        ),
    )
}
# Outdoors and supplies: curve and DHW floor of domain.md 4.2; -10 °C and summer as hil.md G4 asks.

Ohms = dict[int, float]
TerminalFault = Callable[[Ohms], None]
RelayFault = Callable[[float, float], tuple[float, float]]


def temp_c(ohm: float) -> float:
    """Return the temperature of a Pt1000 of this resistance above 0 degC (IEC 60751, solved)."""
    return (-A_PER_K + math.sqrt(A_PER_K**2 - 4.0 * B_PER_K2 * (1.0 - ohm / R0_OHM))) / (2.0 * B_PER_K2)


class FaultRig:
    """The bench of one case. Extra wiring only where the fault needs it: `rtu`, `meters`, `first_tick`."""

    capabilities = CAPABILITIES
    target = TARGET

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        point: Point,
        *,
        seed: int = 1,
        rtu: bool = False,
        meters: bool = False,
        first_tick: int = 0,
        mischief: bool = False,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.point = point
        self.folder = folder
        self.bundle = bundle
        self._rtu = rtu
        self.bench = Bench(
            folder,
            bundle=bundle,
            seed=seed,
            heap=HEAP,
            rtu=rtu,
            meters=meters,
            first_tick=first_tick,
            mischief=mischief,
        )
        self.bench.plant.outdoor_temp_c = point.outdoor_c
        self.tap = TapWater()
        self.random = np.random.default_rng([seed, 0xFA17])
        self.terminal_faults: list[TerminalFault] = []
        """Each may change what lies at the Pt1000 terminals, ohm by channel, in place."""
        self.relay_faults: dict[bool, list[RelayFault]] = {True: [], False: []}
        """Between relays and actuator, s opening and closing; by whether it is the valve of heating."""
        self._back_c = 40.0  # in the pipe that both circuits' returns share
        self._warmer_k = 0.0
        self.true_ohm: Ohms = {}
        self.relays_s = np.zeros((2, 2))
        """What the relays of both valves did in this tick: (heating, hot water) x (open, close)."""
        self.room_least_c = 99.0
        self.supply_most_c = 0.0
        self.recorders: list[Callable[[], None]] = []
        self.blind_until_s = 0.0
        self.plant_seen: dict[str, float] = {}
        self.controller = self.bench.start_controller(
            dhw="instantaneous",
            inputs={
                "dhw_supply_temp_c": {"channel": DHW_SUPPLY, "kind": "pt1000"},
                "dhw_flow_m3_h": {"channel": DHW_FLOW, "kind": "4-20ma", "span": DHW_FLOW_SPAN_M3_H},
            },
            dhw_valve_stroke_s=STROKE_S,
            dhw_valve_flow_m3_h=float(self.tap.valves.kvs_m3_h[0]),
            contract_flow_limit_m3_h=CONTRACT_M3_H,
            legionella_interval_s=2_592_000.0,  # no run falls into a case
            **({"mbus_meters": [METER], "mbus_baud": METER_BAUD} if meters else {}),
            **(settings or {}),
        )
        self.plant = self.bench.plant
        self.plant.unwired.heat_demand[-1] = point.supply_c / HEAT_DEMAND_RANGE_C
        self.clock: Lockstep = self.bench.clock
        self.fleet = self.bench.fleet
        if meters:
            self._lay_meter_line()
        if rtu:
            self.master = SerialMaster(self.fleet.serial_lines[0].path)
            self.recorders.append(lambda: _ask(self.master))
        self.clock.adjust_inputs.append(self._wire)
        self.clock.recorders.append(self._watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rtu:
            self.master.close()
        self.bench.close()

    def _lay_meter_line(self) -> None:
        self.meter = HeatMeter(seed=7)
        self.slave = Slave(self.meter, METER["address"], self._in_the_pipe)
        self.line = WatchedMeterLine(self.fleet.meter_lines[0], lambda: self.now_s)
        self.clock.recorders.append(MeterBus(self.line, [self.slave], METER_BAUD, seed=7).advance)

    def _in_the_pipe(self) -> tuple[float, float, float]:
        """Flow m3/h, supply and return degC of the whole house, as its meter has them."""
        flow_m3_h = float(self.plant.primary_flow_kg_s[0]) * 3600.0 / self.tap.density + self.tap.primary_m3_h
        return flow_m3_h, float(self.plant.primary_supply_temp_c[0]), self._back_c

    def _mix_returns(self) -> None:
        """Let both circuits' water come together behind them; where nothing flows the mix stands.

        The plant's return sensor feels heating's water; what the mix is warmer, it feels with the same lag.
        """
        heating, tap = self.plant.houses.exchangers, self.tap.exchangers
        flows = float(self.plant.primary_flow_kg_s[0]), self.tap.primary_kg_s
        whole = sum(flows)
        if whole > 0.0:
            backs = float(heating.primary_return_c[0]), float(tap.primary_return_c[0])
            self._back_c = (flows[0] * backs[0] + flows[1] * backs[1]) / whole
        warmer_k = self._back_c - float(heating.primary_out_c[0])
        self._warmer_k += (warmer_k - self._warmer_k) * -math.expm1(-TICK_S / POCKET_LAG_S)

    def restart(self) -> None:
        """Take the controller's power and give it back."""
        self.bench.cut(self.controller)
        self.bench.power(self.controller)

    # every tick

    def _wire(self, inputs: BoardInputs) -> None:
        """Let the hot water run, then put what the sensors show through the faults onto the terminals."""
        reports = self.fleet.reports
        opened = float(reports["dhw_open_ms"][0]) / 1000.0
        closed = float(reports["dhw_close_ms"][0]) / 1000.0
        for fault in self.relay_faults[False]:
            opened, closed = fault(opened, closed)
        plant = self.plant
        self.tap.step(
            TICK_S, opened, closed, float(plant.primary_dp_pa[0]), float(plant.primary_supply_temp_c[0])
        )
        ohm = {channel: float(inputs.resistance_ohm[0, channel]) for channel in range(6)}
        ohm[DHW_SUPPLY] = float(pt1000_ohm(self.tap.sensor_c))
        self._mix_returns()
        back_c = temp_c(ohm[board_io.PRIMARY_RETURN]) + self._warmer_k
        ohm[board_io.PRIMARY_RETURN] = float(pt1000_ohm(back_c))
        self.true_ohm = dict(ohm)
        for terminal in self.terminal_faults:
            terminal(ohm)
        for channel, resistance in ohm.items():  # of two faults on one sensor; less than nothing is none
            ohm[channel] = 0.0 if resistance < 0.0 else resistance
        for channel in range(6):
            inputs.resistance_ohm[0, channel] = ohm[channel]
        # the meter of the house sees both circuits
        inputs.current_ma[0, board_io.VOLUME_FLOW] += (
            16.0 * self.tap.primary_m3_h / board_io.SUBSTATION_FLOW_RANGE_M3_H
        )
        share = ohm[DHW_SUPPLY] / (ohm[DHW_SUPPLY] + DIVIDER_OHM) if np.isfinite(ohm[DHW_SUPPLY]) else 1.0
        milliampere = 4.0 + 16.0 * self.tap.draw_m3_h / DHW_FLOW_SPAN_M3_H
        self.fleet.own_counts[0, DHW_SUPPLY] = round(share * FULL_SCALE)
        self.fleet.own_counts[0, DHW_FLOW] = round(
            milliampere * SHUNT_OHM / 1000.0 / REFERENCE_V * FULL_SCALE
        )

    def _watch(self, clock: Lockstep) -> None:
        reports = self.fleet.reports
        self.relays_s[:] = [
            [reports["open_ms"][0], reports["close_ms"][0]],
            [reports["dhw_open_ms"][0], reports["dhw_close_ms"][0]],
        ]
        self.relays_s /= 1000.0
        outputs = clock.outputs
        for fault in self.relay_faults[True]:
            outputs.open_s[0], outputs.close_s[0] = fault(float(outputs.open_s[0]), float(outputs.close_s[0]))
        self.room_least_c = min(self.room_least_c, float(self.plant.room_temp_c[0]))
        self.supply_most_c = max(self.supply_most_c, float(self.plant.secondary_supply_temp_c[0]))
        for record in self.recorders:
            record()

    # what a case asks

    @property
    def now_s(self) -> float:
        return self.bench.now_s

    @property
    def heating_point(self) -> bool:
        return self.point.heating

    def read(self, name: str) -> Any:
        """Read a register; while the program stands the clock goes on until it has caught up."""
        return self.talk(lambda controller: controller.read(name))

    def talk(self, say: Callable[[Controller], Any]) -> Any:
        """Talk to the controller as any master does, who connects again where the connection is gone.

        While the program stands nobody is answered: the clock goes on until it has caught up.
        """
        while self.now_s < self.blind_until_s:
            self.clock.step()
        try:
            return say(self.controller)
        except (ModbusSilent, ConnectionError):
            self.controller.disconnect()
            return say(self.controller)

    def alarm(self, name: str) -> bool:
        return bool(int(self.read("alarm_bits")) >> registers.ALARM_BITS.index(name) & 1)

    def resistance_ohm(self, channel: int) -> float:
        """What the converter makes of its terminal: NaN for an open one."""
        count = self.fleet.counts(0, channel)
        return float("nan") if count >= FULL_SCALE - 2 else DIVIDER_OHM * count / (FULL_SCALE - count)

    @property
    def valves(self) -> Any:
        """The actuators in use at this point: heating's, or the hot water's in summer."""
        return self.plant.houses.valves if self.heating_point else self.tap.valves

    @property
    def key_sensor(self) -> tuple[int, str]:
        """Channel and register of the supply sensor in use at this point."""
        if self.heating_point:
            return board_io.SECONDARY_SUPPLY, "secondary_supply_temp_c"
        return DHW_SUPPLY, "dhw_supply_temp_c"

    def is_normal(self) -> bool:
        """Whether it stands where an unbroken house does at this point; what is not so is `not_normal()`."""
        return not self.not_normal()

    def not_normal(self) -> str:
        """Say what is not as in an unbroken house at this point; empty where all is."""
        if int(self.read("sensor_fault_bits")):
            return f"sensor_fault_bits {int(self.read('sensor_fault_bits'))}"
        odd = int(self.read("alarm_bits")) & ~self.tolerated_alarms
        if odd:
            return "alarms " + ", ".join(name for i, name in enumerate(registers.ALARM_BITS) if odd >> i & 1)
        if self.heating_point:
            supply_c = self.read("secondary_supply_temp_c")
            if supply_c is None or abs(supply_c - self.read("secondary_supply_temp_effective_c")) > NEAR_K:
                return f"supply {supply_c}, wanted {self.read('secondary_supply_temp_effective_c')}"
        elif float(self.plant.valve_position[0]) > SHUT_IN_SUMMER:
            return f"heating valve at {float(self.plant.valve_position[0]):.2f} in summer"
        if not abs(self.tap.last_draw_end_c - DHW_WANTED_C) <= DHW_NEAR_K:
            return f"the last draw ended at {self.tap.last_draw_end_c:.1f} °C"
        return ""

    tolerated_alarms = 0
    """Bits that the fault itself leaves for good, as a watchdog reset does."""

    def settle(self, span_s: float = SETTLE_S) -> None:
        """Run to the operating point. BenchError where it is not reached."""
        self.bench.run_for(span_s)
        for _ in range(300):
            if self.is_normal():
                break
            self.clock.step()
        else:
            raise BenchError(f"{self.point.name}: the operating point was not reached: {self.not_normal()}")
        self.room_least_c, self.supply_most_c = 99.0, 0.0
        self.tap.over_most_s = 0.0
        self.tap.trips = 0


def _ask(master: SerialMaster) -> None:
    master.step()


def too_hot(rig: FaultRig) -> str:
    """Say for how long the water drawn was above the limit; empty where that is allowed."""
    if rig.tap.over_most_s > DHW_LIMIT_S:
        return f"hot water above {THERMOSTAT_C:g} °C for {rig.tap.over_most_s:g} s"
    return ""


def too_cold(rig: FaultRig) -> str:
    """Say how cold the room became; empty where that is allowed."""
    if rig.room_least_c < ROOM_FLOOR_C:
        return f"room at {rig.room_least_c:.1f} °C"
    return ""
