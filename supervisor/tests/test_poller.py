"""Polling over real sockets: the living, the dead, the unknown, the restarted, and who goes first."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import uvloop
from pymodbus.constants import ExcCodes

from firmware.substation import registers

from ..clock import LockstepClock, WallClock
from ..field.blocks import BLOCKS, FUNCTIONS, OPTIONAL_SENSORS
from ..field.errors import DeviceLost, FieldRefused, FieldTimeout, UnknownMap
from ..field.line import Line, LineDown
from ..field.outbox import FieldOutbox
from ..field.poller import BACK_OFF_MAX_S, Poller, back_off_s, phase
from ..latest import Latest, Link, Quality
from ..site import Site
from .modbus_server import Controller, Server, write_site

EPOCH = datetime(2026, 1, 12, tzinfo=UTC)
FRAME = tuple(range(18))


class Town:
    """Servers, a site file and a poller in lockstep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[Server] = []
        self.clock = LockstepClock(EPOCH)

    async def start(self, *controllers: Controller, **poll: float) -> None:
        for controller in controllers:
            server = Server(controller)
            await server.start()
            self.servers.append(server)
        self.begin(write_site(self.folder, self.servers, **poll))

    def begin(self, site: Site) -> None:
        self.site = site
        self.latest = Latest(site, self.clock)
        self.poller = Poller(site, self.latest, self.clock)
        self.outbox = FieldOutbox(self.poller, self.clock)
        self.poller.start()

    async def run(self, seconds: float) -> None:
        await self.clock.advance(self.clock.monotonic() + seconds)

    async def stop(self) -> None:
        await self.clock.close()
        self.poller.close()
        for server in self.servers:
            await server.stop()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path)
    yield town
    await town.stop()


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_values_arrive_with_quality_and_age(town: Town) -> None:
    house = Controller("house-01")
    house.put("primary_supply_temp_c", 84.25)
    house.put("outdoor_temp_c", -7.5)
    house.put("primary_energy_kwh", 123456.7)
    house.put("room_temp_c", None)
    await town.start(house)
    assert town.latest.point("house-01", "primary_supply_temp_c").quality is Quality.unknown
    assert town.latest.device("house-01").link is Link.late

    await town.run(10.0)

    reading = town.latest.point("house-01", "primary_supply_temp_c")
    assert reading.value == pytest.approx(84.25)
    assert reading.quality is Quality.good
    assert 0 <= reading.age_s < 10
    assert town.latest.point("house-01", "outdoor_temp_c").value == pytest.approx(-7.5)
    assert town.latest.point("house-01", "primary_energy_kwh").value == pytest.approx(123456.7)
    room = town.latest.point("house-01", "room_temp_c")
    assert (room.value, room.quality) == (None, Quality.failed_sensor)
    lease = town.latest.point("house-01", "secondary_supply_temp_sp_c")
    assert (lease.value, lease.quality) == (None, Quality.good)  # nobody holds a lease: no fault
    state = town.latest.device("house-01")
    assert state.link is Link.ok and state.boots == 1
    assert state.identity is not None and state.identity.device_id == house.device_id


async def test_each_controller_is_read_once_a_cycle_at_its_own_phase(town: Town) -> None:
    houses = [Controller(f"house-{n:02d}") for n in range(1, 6)]
    await town.start(*houses)
    await town.run(100.0)

    for house in houses:
        counters = town.poller.counters(house.name)
        assert (counters.due, counters.ok, counters.lost, counters.missed) == (10, 10, 0, 0)
        assert counters.lateness_max_s == 0.0
        assert counters.connects == 1  # the connection persists
        clock = BLOCKS[registers.SUBSTATION]["clock"]
        reads = [request for request in house.requests if request[:2] == (4, clock.address)]
        assert len(reads) == 10  # clock, status, inputs and functions are neighbours: one transaction
        slow = [request for request in house.requests if request[1] == 300]
        assert len(slow) == 1  # configuration only on connecting, then every 15 minutes
    assert len({phase(house.name) for house in houses}) == 5


async def test_a_pump_station_and_an_open_faceplate_are_read_faster(town: Town) -> None:
    plant = Controller("plant", registers.PUMP_STATION)
    house = Controller("house-01")
    await town.start(plant, house)
    await town.run(20.0)
    inputs = [request for request in plant.requests if request[1] == 200 and request[0] == 4]
    status = [request for request in plant.requests if request[1] == 36]
    assert len(inputs) == 10 and len(status) == 2

    house.requests.clear()
    town.poller.watch("house-01", seconds=20.0)
    await town.run(20.0)
    assert len(reads_of_inputs(house)) == 10
    house.requests.clear()
    await town.run(40.0)
    # four slots of ten seconds, and the fast slot that was chosen before the faceplate was closed
    assert len(reads_of_inputs(house)) in (4, 5)


def reads_of_inputs(house: Controller) -> list[tuple[int, int, int]]:
    """The reads that cover the inputs and the functions behind them, with or without the status before."""
    blocks = BLOCKS[registers.SUBSTATION]
    inputs, functions = blocks["inputs"], blocks[FUNCTIONS]
    end = functions.address + functions.count
    return [r for r in house.requests if r[0] == 4 and r[1] <= inputs.address and r[1] + r[2] == end]


async def test_what_a_station_has_besides_comes_with_its_inputs_and_what_it_has_not_is_unknown(
    town: Town,
) -> None:
    house = Controller("house-01")
    for row in registers.SUBSTATION_FUNCTIONS:
        house.put(row.name, None)
    house.put("dhw_supply_temp_c", 55.5)
    house.put("dhw_state_number", 1)
    await town.start(house)
    await town.run(10.0)

    latest = town.latest
    assert latest.point("house-01", "dhw_supply_temp_c").value == pytest.approx(55.5)
    assert latest.point("house-01", "dhw_supply_temp_c").quality is Quality.good
    assert latest.point("house-01", "dhw_tank_top_temp_c").quality is Quality.unknown  # never wired: no fault
    assert latest.point("house-01", "legionella_result_number").quality is Quality.unknown

    house.put("dhw_supply_temp_c", None)  # a sensor that has measured is lost
    house.put("dhw_state_number", None)  # nothing was worked out: no fault
    await town.run(10.0)
    assert latest.point("house-01", "dhw_supply_temp_c").quality is Quality.failed_sensor
    assert latest.point("house-01", "dhw_state_number").quality is Quality.unknown

    house.boot(2, uptime_s=1)  # provisioned anew, without DHW
    await town.run(80.0)
    assert latest.point("house-01", "dhw_supply_temp_c").quality is Quality.unknown


async def test_heat_meters_come_seldom_and_what_a_silent_one_told_does_not_look_live(town: Town) -> None:
    house = Controller("house-01")
    for row in registers.HEAT_METERS:
        house.put(row.name, None)
    house.put("meter1_energy_kwh", 12_345.6)
    house.put("meter1_status_bits", 0)
    house.put("meter1_number_code", 12_345_678)
    house.put("meter1_question_count", 3)
    house.put("meter2_question_count", 1)  # asked, and has not answered yet
    await town.start(house)
    await town.run(100.0)

    latest = town.latest
    energy = latest.point("house-01", "meter1_energy_kwh")
    assert energy.value == pytest.approx(12_345.6)
    assert energy.quality is Quality.good
    assert latest.point("house-01", "meter1_number_code").value == 12_345_678
    assert latest.point("house-01", "meter1_volume_m3").quality is Quality.unknown  # it does not tell
    assert latest.point("house-01", "meter2_question_count").quality is Quality.good
    assert latest.point("house-01", "meter2_energy_kwh").quality is Quality.unknown
    for point in ("meter3_question_count", "meter3_number_code", "meter3_energy_kwh"):
        assert latest.point("house-01", point).quality is Quality.unknown, point  # there is none
    reads = [request for request in house.requests if request[1] == 400]
    assert len(reads) == 1  # on connecting, then every 15 minutes

    house.put("meter1_status_bits", 1 << registers.METER_BITS.index("silent"))
    town.poller.watch("house-01", seconds=20.0)  # somebody looks
    await town.run(20.0)
    assert latest.point("house-01", "meter1_energy_kwh").quality is Quality.stale
    assert latest.point("house-01", "meter1_status_bits").quality is Quality.good
    assert [p for p in latest.points(registers.PUMP_STATION) if p.startswith("meter")] == []


def test_the_optional_sensors_are_those_that_the_controller_may_have() -> None:
    source = (Path(registers.__file__).parent / "site_functions.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    (told,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MORE_INPUTS"
    )
    assert {name for names in told.values() for name in names} == OPTIONAL_SENSORS
    for profile, names in told.items():
        assert set(names) <= set(BLOCKS[profile][FUNCTIONS].points)


async def test_the_dead_cost_the_living_nothing(tmp_path: Path) -> None:
    """Nine of ten controllers accept the connection and never answer; the tenth misses no slot."""
    clock = WallClock(on_death=lambda name, error: pytest.fail(f"{name}: {error}"))
    living = Controller("living")
    dead = [Controller(f"dead-{n}") for n in range(9)]
    for controller in dead:
        controller.silent = True
    servers = [Server(controller) for controller in (living, *dead)]
    for server in servers:
        await server.start()
    site = write_site(tmp_path, servers, cycle_s=2.0, fast_s=1.0)
    latest = Latest(site, clock)
    poller = Poller(site, latest, clock)
    poller.start()

    await until(lambda: poller.counters("living").due >= 4)
    await until(lambda: all(poller.counters(c.name).lost >= 2 for c in dead))

    alive = poller.counters("living")
    assert alive.missed == alive.lost == alive.held == 0
    assert latest.device("living").link is Link.ok
    assert all(latest.device(c.name).link in (Link.late, Link.lost) for c in dead)
    await clock.close()
    poller.close()
    for server in servers:
        await server.stop()


async def test_a_refused_connection_is_backed_off_and_the_slots_are_counted(town: Town) -> None:
    living = Controller("living")
    await town.start(living)
    site_text = (town.folder / "site.toml").read_text()
    site_text += f'\n[[substation]]\nid = "dead"\naddress = "127.0.0.1:{free_port()}"\narea = "north"\n'
    (town.folder / "site.toml").write_text(site_text)
    await town.stop()
    await town.servers[0].start()
    town.clock = LockstepClock(EPOCH)
    town.begin(Site.load(town.folder / "site.toml"))

    await town.run(600.0)

    dead = town.poller.counters("dead")
    assert dead.due == 60 and dead.ok == 0
    assert dead.lost + dead.held == 60
    assert 5 <= dead.lost <= 20  # asked about once a minute, not every ten seconds
    assert town.latest.device("dead").link is Link.lost
    assert "cannot be reached" in town.latest.device("dead").error
    assert town.poller.counters("living").ok == 60


def test_the_back_off_grows_is_spread_and_has_a_limit() -> None:
    assert back_off_s("a", 1, 10.0) == 0.0
    pauses = [back_off_s("house-17", n, 10.0) for n in range(2, 12)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert all(0.75 * 10.0 <= pause <= 1.25 * BACK_OFF_MAX_S for pause in pauses)
    many = {round(back_off_s(f"house-{n}", 9, 10.0), 1) for n in range(200)}
    assert len(many) > 100


async def test_silence_turns_good_into_stale_and_lost_and_back(town: Town) -> None:
    house = Controller("house-01")
    house.put("primary_supply_temp_c", 80.0)
    await town.start(house)
    await town.run(10.0)
    await town.servers[0].stop()

    await town.run(10.0)
    assert town.latest.device("house-01").link is Link.late
    await town.run(60.0)
    reading = town.latest.point("house-01", "primary_supply_temp_c")
    assert reading.value == pytest.approx(80.0)
    assert reading.quality is Quality.lost
    assert town.latest.snapshot(registers.SUBSTATION).quality[0, 0] == Quality.lost

    await town.servers[0].start()
    house.put("primary_supply_temp_c", 81.0)
    await town.run(BACK_OFF_MAX_S * 1.25 + 10.0)
    reading = town.latest.point("house-01", "primary_supply_temp_c")
    assert reading.value == pytest.approx(81.0)
    assert reading.quality is Quality.good
    assert town.latest.device("house-01").link is Link.ok


async def test_an_unknown_register_map_is_read_by_its_identity_alone_and_never_written(town: Town) -> None:
    house = Controller("house-01")
    house.put("map_hash_code", 0xDEADBEEF)
    house.put("map_version_number", 7)
    await town.start(house)
    await town.run(60.0)

    state = town.latest.device("house-01")
    assert state.link is Link.unknown_map
    assert "version 7" in state.error and "deadbeef" in state.error
    assert {request[1:] for request in house.requests} == {(0, registers.IDENTITY_WORDS)}
    assert town.latest.point("house-01", "primary_supply_temp_c").quality is Quality.unknown

    with pytest.raises(UnknownMap, match="nothing was sent"):
        await town.outbox.send("house-01", FRAME, 0)
    assert {request[0] for request in house.requests} == {4}

    house.boot(2)  # the controller is updated to a map we know
    await town.run(10.0)
    assert town.latest.device("house-01").link is Link.ok


async def test_another_device_at_the_address_is_not_taken_for_ours(town: Town) -> None:
    house = Controller("house-01")
    await town.start(house)
    text = (town.folder / "site.toml").read_text() + 'device_id = "00112233aabbccdd"\n'
    (town.folder / "site.toml").write_text(text)
    await town.clock.close()
    town.poller.close()
    house.requests.clear()
    town.clock = LockstepClock(EPOCH)
    town.begin(Site.load(town.folder / "site.toml"))
    await town.run(20.0)

    assert town.latest.device("house-01").link is Link.wrong_device
    assert {request[1] for request in house.requests} == {0}
    with pytest.raises(UnknownMap):
        await town.outbox.send("house-01", FRAME, 0)


async def test_a_restart_is_noticed_and_the_configuration_read_again(town: Town) -> None:
    house = Controller("house-01")
    await town.start(house)
    await town.run(20.0)
    assert town.latest.device("house-01").restarts_seen == 0
    house.requests.clear()

    house.boot(2, uptime_s=3)
    await town.run(70.0)  # behind a gateway no connection breaks; the identity is read once a minute
    state = town.latest.device("house-01")
    assert state.restarts_seen == 1 and state.boots == 2
    assert any(request[1] == 300 for request in house.requests)


async def test_an_order_passes_every_poll_but_the_one_in_flight(town: Town) -> None:
    """Three reads are wanted on the line; the order goes after the first, before the other two."""
    house = Controller("house-01")
    await town.start(house)
    await town.run(10.0)
    line = town.poller.line("house-01")
    house.requests.clear()
    first_arrived = asyncio.Event()
    go_on = asyncio.Event()

    async def hold() -> None:
        first_arrived.set()
        await go_on.wait()

    house.before_answer = hold
    reads = [asyncio.create_task(line.read(1, registers.INPUT, a, 1)) for a in (40, 41, 42)]
    await first_arrived.wait()
    order = asyncio.create_task(town.outbox.send("house-01", FRAME, 0))
    await asyncio.sleep(0)
    assert len(house.requests) == 1
    go_on.set()
    receipt = await order
    await asyncio.gather(*reads)

    assert [request[0] for request in house.requests[:3]] == [4, 23, 23]  # FC23 writes, then reads
    assert [request[1] for request in house.requests if request[1] in (40, 41, 42)] == [40, 41, 42]
    assert receipt.words[: len(FRAME)] == tuple(house.holding[900 : 900 + 16])


async def test_an_order_without_an_answer_is_in_doubt_and_is_not_repeated(tmp_path: Path) -> None:
    clock = WallClock(on_death=lambda name, error: pytest.fail(f"{name}: {error}"))
    house = Controller("house-01")
    server = Server(house)
    await server.start()
    site = write_site(tmp_path, [server], cycle_s=2.0)
    poller = Poller(site, Latest(site, clock), clock)
    outbox = FieldOutbox(poller, clock)
    await outbox.identity("house-01")
    house.requests.clear()
    house.silent = True

    with pytest.raises(FieldTimeout) as caught:
        await outbox.send("house-01", FRAME, 0)
    assert caught.value.in_doubt
    assert [request[0] for request in house.requests] == [23]

    await server.stop()
    await until(lambda: not poller.line("house-01").connected)
    with pytest.raises(DeviceLost, match="nothing was sent"):
        await outbox.send("house-01", FRAME, 0)
    assert poller.counters("house-01").orders_in_doubt == 1
    poller.close()


async def test_a_refusal_by_the_device_is_told_with_its_exception_code(town: Town) -> None:
    house = Controller("house-01")
    await town.start(house)
    await town.run(10.0)
    house.exception = ExcCodes.ILLEGAL_ADDRESS
    with pytest.raises(FieldRefused) as caught:
        await town.outbox.send("house-01", FRAME, 0)
    assert caught.value.exception_code == 2


async def test_a_dropped_connection_is_told_at_once_not_after_the_deadline(town: Town) -> None:
    house = Controller("house-01")
    await town.start(house)
    await town.run(10.0)
    house.silent = True
    order = asyncio.create_task(town.outbox.send("house-01", FRAME, 0))
    await until(lambda: house.requests[-1][0] == 23)
    started = time.monotonic()
    await town.servers[0].stop()
    with pytest.raises(FieldTimeout) as caught:
        await order
    assert caught.value.in_doubt  # it was sent
    assert "closed the connection" in str(caught.value)
    assert time.monotonic() - started < 2.5  # the deadline is 3 s


def test_a_gateway_that_hangs_up_at_once_is_a_line_that_is_down() -> None:
    """Under the loop the product runs on, whose transports know of the end before pymodbus does."""

    async def knock(port: int) -> list[str]:
        line, ends = Line("tcp", "127.0.0.1", port), []
        for _ in range(200):
            try:
                await line.connect()
                await line.read(1, registers.INPUT, 0, registers.IDENTITY_WORDS)
            except LineDown as error:
                ends.append(str(error))
        line.close()
        return ends

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                gateway.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as gateway:
        hangs_up = threading.Thread(target=hang_up)
        hangs_up.start()
        try:
            ends = uvloop.run(knock(gateway.getsockname()[1]))
        finally:
            gateway.shutdown(socket.SHUT_RDWR)
            hangs_up.join()
    assert len(ends) == 200


async def test_the_connection_sends_without_delay(town: Town) -> None:
    await town.start(Controller("house-01"))
    await town.run(10.0)
    found = town.poller.line("house-01").socket
    assert found is not None
    assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(("parity", "sent"), [("even", ("E", 1)), ("odd", ("O", 1)), ("none", ("N", 2))])
async def test_a_serial_line_has_the_parity_of_the_site_file_and_eleven_bits(
    parity: str, sent: tuple[str, int]
) -> None:
    """Controllers have even parity where nobody sets another (rtu_parity); pymodbus has none."""
    told = Line("rtu", "/dev/ttyUSB0", 0, parity=parity)._new_client().comm_params
    assert (told.parity, told.stopbits) == sent


async def test_units_behind_one_gateway_share_its_connection(tmp_path: Path) -> None:
    units = [Controller(f"unit-{n}", unit=n) for n in (1, 2, 3)]
    server = Server(*units)
    await server.start()
    clock = LockstepClock(EPOCH)
    site = write_site(tmp_path, [server])
    latest = Latest(site, clock)
    poller = Poller(site, latest, clock)
    poller.start()
    await clock.advance(30.0)
    assert all(latest.device(unit.name).link is Link.ok for unit in units)
    assert len({id(poller.line(unit.name)) for unit in units}) == 1
    assert sum(poller.counters(unit.name).connects for unit in units) == 1
    await clock.close()
    poller.close()
    await server.stop()


async def test_the_same_run_puts_the_same_bytes_on_the_bus(tmp_path: Path) -> None:
    async def run(extra: float = 0.0) -> str:
        town = Town(tmp_path)
        house = Controller("house-01")
        house.put("primary_supply_temp_c", 80.0 + extra)
        await town.start(house, Controller("house-02"), Controller("plant", registers.PUMP_STATION))
        for _ in range(20):
            await town.run(2.0)
        digest = town.poller.bus_sha256()
        await town.stop()
        return digest

    first = await run()
    assert await run() == first
    assert await run(extra=0.01) != first


async def test_manual_and_substituted_values_never_look_live(town: Town) -> None:
    house = Controller("house-01")
    house.put("control_mode_number", 2)
    house.put("valve_position_out_pct", 40.0)
    await town.start(house)
    await town.run(10.0)
    assert town.latest.point("house-01", "valve_position_out_pct").quality is Quality.manual
    assert town.latest.point("house-01", "primary_supply_temp_c").quality is Quality.good
    house.put("manual_seconds_left_s", 1_200)
    await town.run(15.0)
    assert town.latest.point("house-01", "manual_seconds_left_s").value == 1_200
    snapshot = town.latest.snapshot(registers.SUBSTATION)
    assert snapshot.quality[0, snapshot.column("valve_position_out_pct")] == Quality.manual
    places = [
        snapshot.column(name) for name in ("valve_position_out_pct", "curve_shift_sp_k", "outdoor_temp_c")
    ]
    some = town.latest.snapshot(registers.SUBSTATION, places)
    assert some.points == ("valve_position_out_pct", "curve_shift_sp_k", "outdoor_temp_c")
    assert np.array_equal(some.values, snapshot.values[:, places], equal_nan=True)
    assert np.array_equal(some.quality, snapshot.quality[:, places])

    town.latest.substitute("house-01", "room_temp_c", 20.5)
    await town.run(10.0)
    room = town.latest.point("house-01", "room_temp_c")
    assert (room.value, room.quality) == (20.5, Quality.substituted)
    town.latest.substitute("house-01", "room_temp_c", None)
    await town.run(10.0)
    assert town.latest.point("house-01", "room_temp_c").quality is Quality.good


async def test_what_acts_beside_orders_is_read_while_it_acts_and_once_more(town: Town) -> None:
    house = Controller("house-01")
    await town.start(house)
    await town.run(30.0)
    house.put("manual_seconds_left_s", 7)  # nothing is by hand: nobody looks before the slow tier does
    await town.run(30.0)
    assert town.latest.point("house-01", "manual_seconds_left_s").value == 0
    house.put("control_mode_number", 2)
    await town.run(30.0)
    assert town.latest.point("house-01", "manual_seconds_left_s").value == 7
    house.put("control_mode_number", 0)
    house.put("manual_seconds_left_s", 0)
    await town.run(30.0)
    assert town.latest.point("house-01", "manual_seconds_left_s").value == 0


async def test_a_slow_device_misses_slots_and_is_never_asked_in_a_burst(tmp_path: Path) -> None:
    clock = WallClock(on_death=lambda name, error: pytest.fail(f"{name}: {error}"))
    house = Controller("house-01")
    server = Server(house)
    await server.start()
    site = write_site(tmp_path, [server], cycle_s=6.0, fast_s=1.0)
    latest = Latest(site, clock)
    poller = Poller(site, latest, clock)
    poller.watch("house-01", seconds=60.0)
    poller.start()
    await until(lambda: poller.counters("house-01").ok >= 1)

    async def slow() -> None:
        await asyncio.sleep(2.3)  # one read takes longer than two slots

    house.before_answer = slow
    await until(lambda: poller.counters("house-01").missed >= 2)
    counters = poller.counters("house-01")
    finished = counters.ok + counters.lost + counters.missed + counters.held
    assert counters.due - 1 <= finished <= counters.due  # one poll may be under way
    await clock.close()
    poller.close()
    await server.stop()
