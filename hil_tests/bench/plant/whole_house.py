"""A house with everything a substation can have: two heating circuits, instantaneous DHW, circulation.

It hangs on a network of its own: supply temperature by the weather, a constant differential pressure, a
service pipe that cools while nothing flows. It speaks to the board through every terminal, with the
sensors' lags and errors, and counts what a year is judged by. It refuses to help the controller: nothing
here reacts to anything but relays, weather and taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, inf, sqrt
from random import Random
from typing import Any, Protocol

import numpy as np

from core_ext import fluid

from ...acceptance import limit
from ..board_io import DP_RANGE_BAR, SUBSTATION_FLOW_RANGE_M3_H, BoardInputs, BoardOutputs
from . import sizing
from .building import CELLS
from .draw_offs import DrawOffs
from .heat_meter import HeatMeter
from .houses import WATER_TEMP_C, Houses
from .sensors import (
    A_PER_K,
    AIR_LAG_S,
    B_PER_K2,
    C_PER_K4,
    FLOW_SHARE,
    POCKET_LAG_S,
    R0_OHM,
    TOLERANCE_SHARE,
)
from .single import DESIGN_OUTDOOR_C
from .town import Substations, substation_columns
from .town_maker import Consumer, substation_row
from .water_heater import COLD_C, STROKE_S, WaterHeaters, primary_design_kg_s
from .year_weather import YearWeather

# The example house [own choice]: radiators of 12 kW at 55/40 degC, and large surfaces for 8 kW that are twice
# what they need, so that 45 degC carry the cold.
RADIATORS_W, SURFACES_W = 12_000.0, 8_000.0
RADIATORS_RESERVE, SURFACES_RESERVE = 1.15, 2.0
RADIATORS_HOURS, SURFACES_HOURS = 80.0, 120.0  # time constants of the rooms [estimate]

# Network: 80 degC at the design temperature, 70 from 10 degC on because of DHW [domain.md 4.2: 70 to 75]
SUPPLY_COLD_C, SUPPLY_MILD_C, MILD_C = sizing.PRIMARY_SUPPLY_C, 70.0, 10.0
DP_BAR = sizing.INDEX_DP_PA / 1e5
SERVICE_PIPE_M, SERVICE_PIPE_DN25_M = 15.0, 0.0285  # [estimate]
GROUND_C = 8.0

# DHW: 0.17 kg/s from 10 to 55 degC, which is two taps of the profile at once
DHW_DESIGN_KG_S = 0.17
DHW_SUPPLY_C, DHW_RETURN_C = 70.0, 25.0  # the return [estimate]
DHW_LAG_S = 3.0  # a sensor in the water itself [estimate]
DHW_FLOW_SPAN_M3_H = 4.0
LOOP_KG_S, LOOP_KG, LOOP_W_K, CELLAR_C = 0.05, 10.0, 5.0, 20.0  # circulation [estimate]

COLD_FROM_C, BOILING_C = 5, 100  # between which densities stand in a table
OHM_BESIDE, SHUNT_OHM, REFERENCE_V, FULL = 1500.0, 150.0, 3.3, 65535
SAMPLE_S = 600  # of the series that a report shows
HOUR_S = 3600
METER_TICKS = 4
READY_S = limit("dhw-ready")  # after so long a tap shall be hot
BATH_C, KITCHEN_C, SCALD_C = limit("dhw-use-bath"), limit("dhw-use-kitchen"), limit("dhw-hot")
RELAYS = ("open", "close", "pump", "open2", "close2", "dhw_open", "dhw_close", "pump2", "circulation")
VALVES = {"valve": (0, 1), "valve2": (3, 4), "dhw_valve": (5, 6)}
PUMPS = {"pump": 2, "pump2": 7, "circulation_pump": 8}
SERIES = (
    "outdoor_c", "room_c", "room2_c", "primary_supply_c", "primary_return_c", "supply_c", "supply2_c",
    "dhw_drawn_c", "primary_flow_m3_h",
)  # fmt: skip


def rows() -> Substations:
    """The two circuits as substations, sized by the rules of the example towns."""
    found = []
    for name, heat, hours, reserve in (
        ("radiators", RADIATORS_W, RADIATORS_HOURS, RADIATORS_RESERVE),
        ("surfaces", SURFACES_W, SURFACES_HOURS, SURFACES_RESERVE),
    ):
        cp = float(fluid.heat_capacity_j_kgk((sizing.PRIMARY_SUPPLY_C + sizing.PRIMARY_RETURN_C) / 2.0))
        flow = heat / (cp * (sizing.PRIMARY_SUPPLY_C - sizing.PRIMARY_RETURN_C))
        consumer = Consumer(name, name, 0, heat, "house", 1, hours, reserve)
        found.append(substation_row(consumer, flow, 0.0, 0.0, DESIGN_OUTDOOR_C))
    return substation_columns(found)


def make_heater(dhw_kg_s: float, stroke_s: float, plates: float) -> tuple[WaterHeaters, float]:
    """Return a water heater sized for a draw, warm, and the kvs of its valve in m3/h."""
    size = sizing.size_valve(primary_design_kg_s(dhw_kg_s, DHW_SUPPLY_C, DHW_RETURN_C), DHW_SUPPLY_C)
    heater = WaterHeaters(
        1, dhw_kg_s, DHW_SUPPLY_C, DHW_RETURN_C, size.kvs_m3_h, series_kv_m3_h=size.exchanger_kv_m3_h,
        initial_temp_c=50.0, stroke_s=stroke_s, plates=plates,
    )  # fmt: skip
    return heater, size.kvs_m3_h


def kg_s_per_kv(density_kg_m3: float) -> float:
    """What the house's pressure drives through a kv of 1 m3/h."""
    return sqrt(DP_BAR * 1000.0 * density_kg_m3) / 3600.0


@dataclass
class Count:
    """Everything that only adds up, since `WholeHouse.begin`."""

    seconds: float = 0.0
    volume_m3: float = 0.0
    return_m3_k: float = 0.0
    plant_j: float = 0.0
    heating_j: float = 0.0
    dhw_j: float = 0.0
    draws: int = 0
    draw_s: float = 0.0
    """Drawing, beyond the first seconds of each draw-off."""
    below_45_s: float = 0.0
    below_50_s: float = 0.0
    coldest_drawn_c: float = inf
    over_65_s: float = 0.0
    over_65_longest_s: float = 0.0
    starts: list[int] = field(default_factory=lambda: [0] * len(RELAYS))
    starts_hour: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*VALVES, *PUMPS), 0))
    """The most of any clock hour."""
    pump_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PUMPS, 0.0))


class Taps(Protocol):
    """Who draws, when."""

    def flow_kg_s(self, local_s: float) -> float:
        """Return what all open taps together draw at a second of the year; asked in rising order."""


class WholeHouse:
    """The house in motion. `start_s`: second of the year (Central European Time) at which it begins.

    dhw_kg_s: what its water heater is sized for. plates: how many times the water and metal of a 30 kW
    exchanger that has. loop_kg_s: circulation, 0 for a house without.
    """

    def __init__(
        self, weather: YearWeather, start_s: float, seed: int = 1, *, taps: Taps | None = None,
        dhw_kg_s: float = DHW_DESIGN_KG_S, dhw_stroke_s: float = STROKE_S, plates: float = 1.0,
        loop_kg_s: float = LOOP_KG_S,
    ) -> None:  # fmt: skip
        self.weather = weather
        self.start_s = start_s
        self.time_s = 0.0
        self.outdoor_c = weather.outdoor_c(start_s)
        data = rows()
        self.circuits = circuits = Houses(data, self.outdoor_c)
        """The two heating circuits; the rooms of one lose nothing to those of the other."""
        self.cp = circuits.cp_j_kgk
        self.density = float(fluid.density_kg_m3(WATER_TEMP_C))
        self._densities = fluid.density_kg_m3(np.arange(COLD_FROM_C, BOILING_C + 1)).tolist()
        self.return_density = self.density
        self.dhw_kg_s, self.dhw_stroke_s, self.loop_kg_s = dhw_kg_s, dhw_stroke_s, loop_kg_s
        self.dhw, self.dhw_kvs_m3_h = make_heater(dhw_kg_s, dhw_stroke_s, plates)
        self.dhw_out_c = self.dhw_supply_c = 50.0
        """Hot water leaving the heater: at the end of the last step, and its mean."""
        self._opens, self._closes, self._pumps = np.zeros(2), np.zeros(2), np.zeros(2)
        self.taps: Taps = DrawOffs(seed) if taps is None else taps
        self.loop_c = 48.0
        self.pipe_kg = SERVICE_PIPE_M * 3.14159 / 4.0 * SERVICE_PIPE_DN25_M**2 * self.density
        self._pipe_w_k = SERVICE_PIPE_M * sizing.size_pipe(0.1, DHW_SUPPLY_C).linear_loss_w_mk
        self.primary_c = self._network_c()
        self.return_c = 35.0
        self.flow_kg_s = 0.0
        self.drawn_kg_s = 0.0
        self.meter = HeatMeter(qp_m3_h=1.5, seed=seed)
        self.in_the_pipe = (0.0, self.primary_c, self.return_c)
        """Flow in m3/h, supply and return in degC of the last step, as a meter in the pipe sees them."""
        self._meter_ticks, self._meter_kg, self._meter_kg_k, self._meter_supply = 0, 0.0, 0.0, 0.0
        self._meter_m3 = 0.0

        random = Random(seed)
        self._error = [random.uniform(-1.0, 1.0) * TOLERANCE_SHARE for _ in range(11)]
        self._flow_gain = 1.0 + random.uniform(-FLOW_SHARE, FLOW_SHARE)
        self._seen: list[float] | None = None
        self._seen_dt = 0.0
        self._lags = [AIR_LAG_S, *[POCKET_LAG_S] * 4, AIR_LAG_S, *[POCKET_LAG_S] * 2, DHW_LAG_S, POCKET_LAG_S,
                      AIR_LAG_S]  # fmt: skip
        self._share = [0.0] * len(self._lags)
        self._inputs = BoardInputs.unconnected(1)
        self.further_counts: list[int] = [0] * 7
        self._further_ms = [0] * 6
        self._draw_running_s = 0.0
        self._over_s = 0.0
        self._hour_starts = [0] * len(RELAYS)
        self._hour = 0
        self.count = Count()
        self.series: list[tuple[float, ...]] = []
        self._sum = [0.0] * 4  # volume, volume x return, drawn kg, drawn kg x temperature
        self._travel_from = [0.0, 0.0, 0.0]

    @property
    def local_s(self) -> float:
        """Second of the year."""
        return self.start_s + self.time_s

    def begin(self) -> None:
        """Forget what was counted so far: the warm-up is over."""
        self.count = Count()
        self.series = []
        self._hour_starts = [0] * len(RELAYS)
        self._hour = int(self.time_s) // HOUR_S
        self._travel_from = self._travel()
        self.meter.energy_wh = self.meter.true_energy_wh = 0.0

    def strokes(self) -> dict[str, float]:
        """Travel of each valve since `begin`, in whole strokes."""
        return {
            name: now - before
            for name, now, before in zip(VALVES, self._travel(), self._travel_from, strict=True)
        }

    def _travel(self) -> list[float]:
        return [*self.circuits.valves.travel.tolist(), *self.dhw.valves.travel.tolist()]

    # the board's side

    def take_relays(self, on_ms: Sequence[int], starts: Sequence[int]) -> None:
        """Note what the further relays did since the last report."""
        for i, ms in enumerate(on_ms):
            self._further_ms[i] += ms
        total, hour = self.count.starts, self._hour_starts
        for i, number in enumerate(starts):
            if number:
                total[i] += number
                hour[i] += number

    def sense(self) -> BoardInputs:
        """What the pins see now."""
        return self._sense(0.0)

    def step(self, dt_s: float, outputs: BoardOutputs) -> BoardInputs:
        """Advance by dt_s with what the boards did meanwhile."""
        self.time_s += dt_s
        now_s = self.start_s + self.time_s
        self.outdoor_c = outdoor = self.weather.outdoor_c(now_s)
        further, share = self._further_ms, 1e-3
        circuits = self.circuits
        head = kg_s_per_kv(self.density)
        opens, closes = self._opens, self._closes
        opens[0], closes[0] = outputs.open_s[0], outputs.close_s[0]
        opens[1], closes[1] = further[0] * share, further[1] * share
        flows = circuits.move_valves(opens, closes) * head
        flow_1, flow_2 = flows.tolist()
        flow_3 = head * float(self.dhw.move_valves(further[2] * share, further[3] * share)[0])
        flow = self.flow_kg_s = flow_1 + flow_2 + flow_3
        # service pipe: stirred, warmed by what comes, cooled by the ground; exact for any step
        network_c = self._network_c()
        come, lost = flow * self.cp, self._pipe_w_k
        target = (come * network_c + lost * GROUND_C) / (come + lost)
        decay = exp(-(come + lost) * dt_s / (self.pipe_kg * self.cp))
        self.primary_c = supply = target + (self.primary_c - target) * decay
        pump_1, pump_2, loop = (
            float(outputs.pump_on_s[0]) / dt_s,
            further[4] * share / dt_s,
            further[5] * share / dt_s,
        )
        pumps = self._pumps
        pumps[0], pumps[1] = pump_1, pump_2
        back_1, back_2 = circuits.step(dt_s, flows, supply, pumps, outdoor).tolist()
        drawn = self.drawn_kg_s = self.taps.flow_kg_s(now_s)
        circulating = self.loop_kg_s * loop
        through = drawn + circulating
        inlet = (drawn * COLD_C + circulating * self.loop_c) / through if through > 0.0 else self.dhw_out_c
        self.dhw.step(dt_s, flow_3, supply, through, inlet)
        dhw = self.dhw.exchangers
        dhw_back, self.dhw_supply_c = float(dhw.primary_return_c[0]), float(dhw.secondary_supply_c[0])
        self.dhw_out_c = float(dhw.secondary_out_c[0])
        to_loop, to_cellar = circulating * self.cp, LOOP_W_K
        loop_target = (to_loop * self.dhw_supply_c + to_cellar * CELLAR_C) / (to_loop + to_cellar)
        self.loop_c = loop_target + (self.loop_c - loop_target) * exp(
            -(to_loop + to_cellar) * dt_s / (LOOP_KG * self.cp)
        )
        back = (flow_1 * back_1 + flow_2 * back_2 + flow_3 * dhw_back) / flow
        self.return_c = back
        self.return_density = self._density_of(back)
        self._note(dt_s, supply, back, (pump_1, pump_2, loop), flow_3 * (supply - dhw_back))
        self._further_ms = [0] * 6
        return self._sense(dt_s)

    def _density_of(self, temp_c: float) -> float:
        """Return the density of water between 5 and 100 degC, from a table by whole degrees, kg/m3."""
        row = min(max(int(temp_c), COLD_FROM_C), BOILING_C - 1) - COLD_FROM_C
        cold, warm = self._densities[row : row + 2]
        return float(cold + (warm - cold) * (temp_c - COLD_FROM_C - row))

    def _network_c(self) -> float:
        slope = (SUPPLY_COLD_C - SUPPLY_MILD_C) / (DESIGN_OUTDOOR_C - MILD_C)
        wanted = SUPPLY_MILD_C + slope * (self.outdoor_c - MILD_C)
        return min(max(wanted, SUPPLY_MILD_C), SUPPLY_COLD_C)

    def _note(
        self, dt_s: float, supply: float, back: float, pumps: tuple[float, float, float], dhw_kg_k_s: float
    ) -> None:
        count, flow, sums = self.count, self.flow_kg_s, self._sum
        count.seconds += dt_s
        kg = flow * dt_s
        volume = kg / self.return_density  # where meter and flow sensor sit
        self.in_the_pipe = (flow / self.return_density * 3600.0, supply, back)
        count.volume_m3 += volume
        count.return_m3_k += volume * back
        count.plant_j += kg * self.cp * (supply - back)
        count.heating_j += float(self.circuits.heat_to_building_w.sum()) * dt_s
        count.dhw_j += dhw_kg_k_s * self.cp * dt_s
        for (name, running), share in zip(count.pump_s.items(), pumps, strict=True):
            count.pump_s[name] = running + share * dt_s
        sums[0] += volume
        sums[1] += volume * back
        if self.drawn_kg_s > 0.0:
            self._note_draw(dt_s)
        elif self._draw_running_s:
            self._draw_running_s = self._over_s = 0.0
        self._meter_kg += kg
        self._meter_m3 += volume
        self._meter_kg_k += kg * back
        self._meter_supply += kg * supply
        self._meter_ticks += 1
        if self._meter_ticks == METER_TICKS:
            kg, over_s = self._meter_kg, dt_s * METER_TICKS
            flow_m3_h = self._meter_m3 / over_s * 3600.0
            self.meter.step(over_s, flow_m3_h, self._meter_supply / kg, self._meter_kg_k / kg)
            self._meter_ticks, self._meter_kg, self._meter_kg_k, self._meter_supply = 0, 0.0, 0.0, 0.0
            self._meter_m3 = 0.0
        whole = int(self.time_s)
        if whole % SAMPLE_S < dt_s:
            self._sample()
        if whole // HOUR_S != self._hour:
            self._end_hour(whole // HOUR_S)

    def _note_draw(self, dt_s: float) -> None:
        count, tap = self.count, self.dhw_supply_c
        if not self._draw_running_s:
            count.draws += 1
        self._draw_running_s += dt_s
        self._sum[2] += self.drawn_kg_s * dt_s
        self._sum[3] += self.drawn_kg_s * dt_s * tap
        if tap > SCALD_C:
            self._over_s += dt_s
            count.over_65_s += dt_s
            count.over_65_longest_s = max(count.over_65_longest_s, self._over_s)
        else:
            self._over_s = 0.0
        if self._draw_running_s <= READY_S:
            return
        count.draw_s += dt_s
        if tap < KITCHEN_C:
            count.below_50_s += dt_s
            if tap < BATH_C:
                count.below_45_s += dt_s
        count.coldest_drawn_c = min(count.coldest_drawn_c, tap)

    def _sample(self) -> None:
        (room_1, room_2), (supply_1, supply_2) = (
            column.tolist()
            for column in (self.circuits.buildings.room_c, self.circuits.exchangers.secondary_supply_c)
        )
        volume, weighted, drawn, warmth = self._sum
        self.series.append(
            (
                self.outdoor_c, room_1, room_2, self.primary_c,
                weighted / volume if volume > 0.0 else float("nan"), supply_1,
                supply_2, warmth / drawn if drawn > 0.0 else float("nan"),
                volume * 3600.0 / SAMPLE_S,
            )
        )  # fmt: skip
        self._sum = [0.0] * 4

    def _end_hour(self, hour: int) -> None:
        most, seen = self.count.starts_hour, self._hour_starts
        for name, (opens, closes) in VALVES.items():
            most[name] = max(most[name], seen[opens] + seen[closes])
        for name, relay in PUMPS.items():
            most[name] = max(most[name], seen[relay])
        self._hour_starts = [0] * len(RELAYS)
        self._hour = hour

    def _sense(self, dt_s: float) -> BoardInputs:
        circuits = self.circuits
        out_1, out_2 = circuits.exchangers.secondary_out_c.tolist()
        back_1, back_2 = circuits.radiators.cell_c[CELLS - 1].tolist()
        room_1, room_2 = circuits.buildings.room_c.tolist()
        truth = (
            self.outdoor_c, self.primary_c, self.return_c, out_1, back_1,
            room_1, out_2, back_2, self.dhw_out_c, self.loop_c,
            room_2,
        )  # fmt: skip
        seen = self._seen
        if seen is None:
            seen = self._seen = list(truth)
        if dt_s != self._seen_dt:
            self._seen_dt = dt_s
            self._share = [1.0 - exp(-dt_s / lag) for lag in self._lags]
        ohms = []
        for i, true in enumerate(truth):
            seen[i] += (true - seen[i]) * self._share[i]
            t = seen[i]
            t += self._error[i] * (0.3 + 0.005 * abs(t))
            ohm = R0_OHM * (1.0 + t * (A_PER_K + t * B_PER_K2))
            if t < 0.0:
                ohm += R0_OHM * C_PER_K4 * (t - 100.0) * t**3
            ohms.append(ohm)
        inputs = self._inputs
        inputs.resistance_ohm[0, :] = ohms[:6]
        flow_m3_h = self.flow_kg_s * 3600.0 / self.return_density * self._flow_gain
        inputs.current_ma[0, 0] = 4.0 + 16.0 * DP_BAR / DP_RANGE_BAR
        inputs.current_ma[0, 1] = 4.0 + 16.0 * flow_m3_h / SUBSTATION_FLOW_RANGE_M3_H
        drawn_ma = 4.0 + 16.0 * self.drawn_kg_s * 3600.0 / self.density / DHW_FLOW_SPAN_M3_H
        further = self.further_counts
        for place, ohm in zip((0, 1, 2, 5, 6), ohms[6:], strict=True):
            further[place] = round(FULL * ohm / (ohm + OHM_BESIDE))
        further[3] = round(FULL * drawn_ma * SHUNT_OHM / 1000.0 / REFERENCE_V)
        return inputs


def settings(house: WholeHouse) -> dict[str, Any]:
    """Return what its controller's site.json says beside identity and port."""
    pt: dict[str, Any] = {"kind": "pt1000"}
    config = substation_config()
    week = {"mon-fri": ["06:00-22:00"], "sat-sun": ["07:00-23:00"]}
    design_kg_s = sum(rows().design_flow_kg_s) + house.dhw_kg_s
    return {
        **config,
        "heating_circuits": 2, "schedule": week, "schedule2": week, "dhw": "instantaneous",
        "utc_offset_min": 60, "summer_time": "none",  # as the weather's own clock
        "optimum_start_maximum_s": 7_200, "optimum2_start_maximum_s": 7_200,
        "room_influence_pct": 200, "room2_influence_pct": 200,
        "curve2_cold_outdoor_temp_c": DESIGN_OUTDOOR_C, "curve2_cold_supply_temp_c": 45,
        "curve2_warm_outdoor_temp_c": 15, "curve2_warm_supply_temp_c": 27, "valve2_stroke_s": 120,
        "contract_flow_limit_m3_h": round(1.3 * design_kg_s * 3600.0 / house.density, 3),
        "contract_heat_limit_kw": 60, "return_difference_limit_k": 15,
        "dhw_valve_flow_m3_h": house.dhw_kvs_m3_h, "dhw_valve_stroke_s": round(house.dhw_stroke_s),
        "legionella_temp_c": 65,  # within the 65 to 70 of domain.md 4.2; the summer's supply is 70
        "inputs": {
            "secondary2_supply_temp_c": {"channel": 8, **pt},
            "secondary2_return_temp_c": {"channel": 9, **pt},
            "dhw_supply_temp_c": {"channel": 10, **pt},
            "dhw_flow_m3_h": {"channel": 11, "kind": "4-20ma", "span": DHW_FLOW_SPAN_M3_H},
            "dhw_circulation_temp_c": {"channel": 13, **pt}, "room2_temp_c": {"channel": 14, **pt},
        },
    }  # fmt: skip


def substation_config() -> dict[str, Any]:
    """The first circuit's settings as the example towns make them."""
    cp = float(fluid.heat_capacity_j_kgk((sizing.PRIMARY_SUPPLY_C + sizing.PRIMARY_RETURN_C) / 2.0))
    flow = RADIATORS_W / (cp * (sizing.PRIMARY_SUPPLY_C - sizing.PRIMARY_RETURN_C))
    consumer = Consumer("house", "House", 0, RADIATORS_W, "house", 1, RADIATORS_HOURS, RADIATORS_RESERVE)
    row = substation_row(consumer, flow, 0.0, 0.0, DESIGN_OUTDOOR_C)
    config: dict[str, Any] = row["controller_config"]
    return config
