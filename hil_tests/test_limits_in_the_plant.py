"""What the limits are about, seen in the plant and not in a register: heat where it is asked for, never ice.

Each story drives the shipped firmware and judges what the water and the room truly did, by acceptance.yaml.
Temperatures and times of DHW are judged in `test_dhw_steps`, meters in `test_heat_meters`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware.substation import order_frame, registers

from . import year
from .acceptance import limit
from .bench import board_io
from .bench.controller import Controller
from .bench.house_fleet import HouseFleet
from .bench.lockstep import Lockstep
from .bench.plant.draw_offs import DAY_S
from .bench.plant.whole_house import WholeHouse, settings
from .bench.plant.year_weather import YearWeather
from .bench.provisioning import Ports, provision
from .bench.station import Bench

PASSED, NOT_HELD = 2, 3  # legionella_result_number
LEASE_S = 300
TICK_S = 2.0
RUN_AT_S = year.day_of("03-06") * DAY_S + 2 * 3600  # a Saturday, two o'clock: when the weekly run begins


def curve_c(outdoor_c: float) -> float:
    """The street's curve: 30 degC at +15, 55 degC at -12."""
    return 30.0 + 25.0 * (15.0 - outdoor_c) / 27.0


@pytest.mark.slow
def test_the_supply_is_what_the_curve_asks_for_at_three_loads(bench: Bench) -> None:
    """True supply against true weather, so that both sensors' errors count (A8: three load periods)."""
    bench.plant.outdoor_temp_c = -10.0
    bench.start_controller()
    off_k: list[float] = []
    bench.clock.recorders.append(
        lambda _: off_k.append(
            float(bench.plant.secondary_supply_temp_c[0]) - curve_c(bench.plant.outdoor_temp_c)
        )
    )
    for outdoor_c in (-10.0, 0.0, 8.0):
        bench.plant.outdoor_temp_c = outdoor_c
        bench.run_for(2_400)
        off_k.clear()
        bench.run_for(900)
        assert len(off_k) == 900 / TICK_S
        assert float(np.mean(np.abs(off_k))) <= limit("control-accuracy"), outdoor_c


class Coldest:
    """The coldest room and the coldest water of the first house's circuit, from now on."""

    def __init__(self, bench: Bench) -> None:
        self.room_c = self.water_c = 99.0
        self._bench = bench
        bench.clock.recorders.append(self._note)

    def _note(self, _clock: object) -> None:
        houses = self._bench.plant.houses
        circuit_c = min(
            float(houses.radiators.cell_c[:, 0].min()), float(houses.exchangers.secondary_out_c[0])
        )
        self.water_c = min(self.water_c, circuit_c)
        self.room_c = min(self.room_c, float(self._bench.plant.room_temp_c[0]))


@pytest.mark.slow
def test_a_house_that_believes_in_summer_does_not_freeze(bench: Bench) -> None:
    """-15 degC outside and a sensor that tells 20: the circuit rests until water and room are too cold."""
    bench.plant.outdoor_temp_c = -15.0
    house = bench.start_controller()
    bench.run_for(10)
    bench.plant.sensors.fail(0, board_io.OUTDOOR, "offset", 35.0)
    bench.run_for(1_200)
    assert house.read("secondary_pump_out_number") == 0, "it does not rest"
    plant = bench.plant.houses  # after days of that
    plant.buildings.room_c[:] = 5.0
    plant.buildings.mass_c[:] = 4.6
    plant.radiators.cell_c[:] = 12.0
    coldest = Coldest(bench)
    protected = []
    for _ in range(60):
        bench.run_for(90)
        protected.append(int(house.read("alarm_bits")) >> registers.ALARM_BITS.index("frost_protection") & 1)
    assert coldest.water_c >= limit("frost-water")
    assert coldest.room_c >= limit("room-frost")
    assert sum(protected) > 0 and house.read("outdoor_temp_c") > bench.plant.outdoor_temp_c + 30.0


def test_a_supervisor_that_dies_over_the_coldest_order_freezes_nobody(bench: Bench) -> None:
    """-15 degC, everything that may be taken is taken, and nobody is there to give it back."""
    bench.plant.outdoor_temp_c = -15.0
    house = bench.start_controller()
    bench.run_for(1_800)
    receipt = house.order(secondary_supply_temp_sp_c=20.0, lease_s=LEASE_S)
    assert receipt.result == order_frame.ACCEPTED
    coldest = Coldest(bench)
    bench.run_until(lambda: house.read("secondary_supply_temp_lease_number") == 0, within_s=900)

    def back() -> bool:
        off_k = float(bench.plant.secondary_supply_temp_c[0]) - float(house.read("own_curve_temp_c"))
        return abs(off_k) <= limit("supply-near")

    bench.run_until(back, within_s=3_600)
    assert coldest.water_c >= limit("frost-water")
    assert coldest.room_c >= limit("frost-floor")


@pytest.mark.slow
def test_no_more_comes_back_to_the_network_than_the_return_limit_allows(bench: Bench) -> None:
    """Weighted by volume in the plant: a limit that binds, and the same house without it."""
    bench.plant.outdoor_temp_c = -12.0
    house = bench.start_controller()
    came = np.zeros(2)

    def note(_clock: object) -> None:
        flow = float(bench.plant.primary_flow_kg_s[0])
        came[:] += flow, flow * float(bench.plant.houses.exchangers.primary_return_c[0])

    bench.clock.recorders.append(note)
    back_c = []
    for wanted_c in (None, 35.0):
        if wanted_c is not None:
            assert house.order(primary_return_limit_sp_c=wanted_c, lease_s=3_600).result == 1
        bench.run_for(2_700)
        came[:] = 0.0
        bench.run_for(600)
        back_c.append(float(came[1] / came[0]))
        in_force_c = house.read("primary_return_limit_effective_c")
        assert back_c[-1] - in_force_c <= limit("return-limited")
    assert in_force_c == 35.0
    assert back_c[0] > in_force_c + limit("return-limited"), "the limit would not have bound"


class Night:
    """The whole house around two o'clock: what truly left the heater and came back by the circulation."""

    def __init__(self, house: WholeHouse, clock: Lockstep, controller: Controller) -> None:
        self.house, self.clock, self.controller = house, clock, controller
        self.outlet_c: list[float] = []
        self.loop_c: list[float] = []
        clock.recorders.append(self._note)

    def _note(self, _clock: object) -> None:
        self.outlet_c.append(self.house.dhw_out_c)
        self.loop_c.append(self.house.loop_c)

    def result(self) -> int:
        return int(self.controller.read("legionella_result_number"))

    def held(self) -> tuple[float, float]:
        """For how long both were hot enough without a break, s, and how cold the colder one was meanwhile."""
        colder = np.minimum(self.outlet_c, self.loop_c)
        hot = np.r_[False, colder >= limit("legionella-temp"), False].astype(np.int8)
        begins, ends = np.flatnonzero(np.diff(hot) == 1), np.flatnonzero(np.diff(hot) == -1)
        if not begins.size:
            return 0.0, float("nan")
        longest = int(np.argmax(ends - begins))
        part = colder[begins[longest] : ends[longest]]
        return len(part) * TICK_S, float(part.min())


@pytest.fixture
def night(tmp_path: Path, firmware_bundle: Path) -> Iterator[Night]:
    """From twenty past one on a Saturday in March; ready a quarter of an hour before the run begins."""
    house = WholeHouse(YearWeather.read(), RUN_AT_S - 2_400.0, 1)
    chosen = settings(house) | {"legionella_duration_maximum_s": 1_800}
    with contextlib.ExitStack() as stack:
        ports = Ports()
        stack.callback(ports.close)
        device = provision(
            tmp_path, firmware_bundle, "house", registers.SUBSTATION, ports.take(), seed=1, settings=chosen
        )
        fleet = HouseFleet(device.board, house, seed=1, heap=year.HEAP)
        clock = stack.enter_context(Lockstep(house, fleet, tick_ms=round(TICK_S * 1000)))
        clock.power_on()
        controller = Controller(device, 0)
        stack.callback(controller.disconnect)
        clock.run_for(year.SETTLE_S)
        year.tell_time(controller, house)
        clock.run_for(1_500.0 - house.time_s)
        yield Night(house, clock, controller)


@pytest.mark.slow
def test_legionella_are_killed_in_the_plant_and_the_proof_says_so(night: Night) -> None:
    night.clock.run_for(2_400.0 - night.house.time_s)
    assert min(night.loop_c) >= limit("dhw-loop")  # in ordinary service before it
    night.clock.run_until(lambda: night.result() in (PASSED, NOT_HELD), within_s=2_000)
    assert night.result() == PASSED
    # the record counts from half a kelvin below, for the sensor's sake; the water is hot for as long as it is
    night.clock.run_for(300.0)
    held_s, coldest_c = night.held()
    assert held_s >= limit("legionella-hold")
    assert night.controller.read("legionella_held_s") >= limit("legionella-hold")
    proof_c = night.controller.read("legionella_minimum_temp_c")
    assert abs(proof_c - coldest_c) <= limit("legionella-proof")


@pytest.mark.slow
def test_where_the_circulation_stands_no_proof_is_written(night: Night) -> None:
    """The heater's outlet is as hot as before; the loop is not, and nobody calls that passed."""
    night.house.loop_kg_s = 0.0
    night.clock.run_until(lambda: night.result() in (PASSED, NOT_HELD), within_s=3_600)
    assert max(night.outlet_c) >= limit("legionella-temp")
    assert night.held()[0] < limit("legionella-hold")
    assert night.result() == NOT_HELD
    assert int(night.controller.read("alarm_bits")) >> registers.ALARM_BITS.index("legionella_failed") & 1
