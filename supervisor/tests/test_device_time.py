"""The supervisor keeps the controllers' clocks: in turn, by audited orders, never from a doubtful clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from firmware.substation import order_frame, registers

from ..device_time import AGAIN_S, EARLIEST_S, LIMIT_S, SPREAD_CYCLES, STEADY_S, DeviceTime, OwnTime
from ..errors import Refused, Unavailable
from ..field.poller import phase
from ..orders import CLOCK, CLOCK_USER, DONE, FAILED, TIME_POINT, UNKNOWN
from ..signer import Wish
from .paper_town import EPOCH, POINT, Town

HOUSES = 4
CYCLE_S = 10.0  # of the paper town


class Hands:
    """A clock whose UTC somebody can set."""

    def __init__(self, utc: datetime) -> None:
        self.now_s = 0.0
        self._offset = utc

    def set(self, utc: datetime) -> None:
        self._offset = utc - timedelta(seconds=self.now_s)

    def utc(self) -> datetime:
        return self._offset + timedelta(seconds=self.now_s)

    def monotonic(self) -> float:
        return self.now_s


class KeptTown(Town):
    """The paper town with its clocks kept."""

    async def open(self) -> None:
        await super().open()
        self.own = OwnTime(self.clock, self.audit.newest_utc())
        self.time = DeviceTime(self.site, self.latest, self.desk, self.clock, self.own)
        self.clock.spawn("device time", self.time.run())

    def orders_of_time(self) -> list[tuple[str, str, float]]:
        orders = [order for order in self.desk.orders() if order.command]
        return [(o.device_id, o.state, (o.executed_utc - EPOCH).total_seconds()) for o in reversed(orders)]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[KeptTown]:
    town = KeptTown(tmp_path)
    for number in range(1, HOUSES + 1):
        town.add(f"house-{number:02d}").put("unix_time_s", None)
    town.add("plant", registers.PUMP_STATION).put("unix_time_s", None)
    await town.start()
    yield town
    await town.stop()


async def test_a_town_without_time_is_told_in_turn_each_once_with_intent_and_receipt(town: KeptTown) -> None:
    await town.run(SPREAD_CYCLES * CYCLE_S + 2 * CYCLE_S)
    orders = town.orders_of_time()
    assert {device for device, _, _ in orders} == set(town.controllers)
    assert len(orders) == len(town.controllers)
    assert {state for _, state, _ in orders} == {DONE}
    # not in step: each at its own share of six cycles, as its id has it
    for device, _, at_s in orders:
        turn_s = phase(device) * SPREAD_CYCLES * CYCLE_S
        assert turn_s <= at_s <= turn_s + CYCLE_S + 4
    for controller in town.controllers.values():
        assert controller.unix_s() == int(town.clock.utc().timestamp())
    order = next(order for order in town.desk.orders("house-01") if order.command)
    assert (order.owner, order.user, order.proof, order.old) == (CLOCK, CLOCK_USER, "receipt", None)
    rows = town.audit.rows(after=order.audit_seq - 1, limit=1000, device="house-01")
    assert (rows[0].kind, rows[0].actor, rows[0].body["what"]) == ("intent", CLOCK_USER, "time")
    assert rows[0].body["points"][0]["point"] == TIME_POINT
    result = next(row for row in rows if row.about == order.audit_seq)
    assert (result.kind, result.body["state"]) == ("result", DONE)

    await town.run(CYCLE_S)
    assert town.time.of("house-01") | {"told_utc": ""} == {
        "state": "right", "off_s": 0, "limit_s": LIMIT_S, "told_utc": "", "withheld": None,
    }  # fmt: skip
    await town.run(300)
    assert len(town.orders_of_time()) == len(orders), "a clock that is right is left alone"


async def test_a_clock_is_set_when_it_is_off_by_more_than_the_limit_and_after_a_restart(
    town: KeptTown,
) -> None:
    await town.run(100)
    house, other = town.controllers["house-01"], town.controllers["house-02"]
    house.shift_clock(LIMIT_S - 2)
    other.shift_clock(-(LIMIT_S + 2))
    before = len(town.orders_of_time())
    await town.run(100)
    assert [device for device, _, _ in town.orders_of_time()[before:]] == ["house-02"]
    told = next(order for order in town.desk.orders("house-02") if order.command)
    assert told.reason in (f"off by -{LIMIT_S + 2} s", f"off by -{LIMIT_S + 3} s")  # it shows whole seconds
    assert other.unix_s() == int(town.clock.utc().timestamp())

    house.boot(2)
    house.put("unix_time_s", None)
    await town.run(60)  # until the identity is read again
    assert town.time.of("house-01")["state"] in ("unknown", "right")
    await town.run(SPREAD_CYCLES * CYCLE_S + 2 * CYCLE_S)
    assert house.unix_s() == int(town.clock.utc().timestamp())


async def test_a_controller_that_refuses_is_asked_ever_more_rarely_and_named(town: KeptTown) -> None:
    house = town.controllers["house-01"]
    house.refuse_with = order_frame.REFUSED_STATE
    await town.run(1000)
    mine = [at_s for device, state, at_s in town.orders_of_time() if device == "house-01"]
    gaps = [later - earlier for earlier, later in pairwise(mine)]
    assert 4 <= len(mine) <= 5
    assert gaps[0] >= AGAIN_S and all(b >= 1.9 * a for a, b in pairwise(gaps))
    assert set(town.time.without_time()) == {"house-01"}
    assert town.time.of("house-01")["state"] == "unknown"


async def test_no_time_goes_out_while_an_order_is_in_doubt_for_it_would_cover_its_receipt(
    town: KeptTown,
) -> None:
    await town.run(100)
    house = town.controllers["house-01"]
    house.swallow_next_answers = 1
    order = await town.order("house-01", 60.0)
    assert order.state == UNKNOWN
    assert await town.desk.tell_time("house-01", None, "test") is None
    await town.run(30)
    assert town.desk.order(order.id).state != UNKNOWN
    assert await town.desk.tell_time("house-01", None, "test") is not None


async def test_without_an_audit_no_time_goes_out(town: KeptTown) -> None:
    await town.run(60)
    house = town.controllers["house-01"]
    house.shift_clock(3600)
    shown, counter = town.time.of("house-01")["told_utc"], house.counter

    async def full(row: object, *, emergency: bool = False) -> int:
        assert not emergency, "the journal is for what makes the town less dependent on us"
        raise Unavailable("audit_unavailable", "the disk is full")

    town.audit.intent = full  # type: ignore[method-assign]
    await town.run(100)
    assert house.counter == counter
    assert {state for device, state, at_s in town.orders_of_time() if device == "house-01" and at_s > 90} == {
        FAILED
    }
    assert town.time.of("house-01")["told_utc"] == shown


async def test_the_signer_orders_no_other_command_and_no_time_before_its_making(town: KeptTown) -> None:
    identity = await town.outbox.identity("house-01")
    for values, lease_s in (
        ((("update_command_number", 2.0),), 0),
        (((TIME_POINT, float(EARLIEST_S)), (POINT, 60.0)), 0),
        (((TIME_POINT, float(EARLIEST_S)),), 600),
        (((TIME_POINT, EARLIEST_S - 1.0),), 0),
    ):
        with pytest.raises(Refused) as refused:
            await town.signer.sign(Wish("house-01", values, lease_s, CLOCK_USER, CLOCK), identity)
        assert refused.value.code in ("not_our_command", "time_implausible")


def test_a_clock_from_before_the_making_of_all_this_is_believed_by_nobody() -> None:
    own = OwnTime(hands := Hands(datetime(1970, 1, 1, tzinfo=UTC)))  # type: ignore[arg-type]
    hands.now_s = 2 * STEADY_S
    assert own.doubt() == "1970-01-03 00:00:00 < 2026-01-01 00:00:00"
    hands.set(EPOCH)
    assert own.doubt() is None


def test_a_clock_that_jumped_back_is_doubted_until_it_is_set_right_or_steady_for_a_day() -> None:
    hands = Hands(EPOCH)
    own = OwnTime(hands)  # type: ignore[arg-type]
    assert own.doubt() is None
    hands.now_s = 3600.0
    assert own.doubt() is None
    hands.set(EPOCH)
    assert own.doubt() == "2026-01-12 00:00:00 < 2026-01-12 01:00:00"
    hands.now_s += STEADY_S - 1
    assert own.doubt()
    hands.set(EPOCH - timedelta(hours=1))  # again: the day begins anew
    assert own.doubt()
    hands.now_s += STEADY_S - 1
    assert own.doubt()
    hands.now_s += 2
    assert own.doubt() is None


def test_a_start_before_the_newest_record_is_doubted_and_a_small_step_back_is_not() -> None:
    record = EPOCH + timedelta(days=30)
    assert OwnTime(Hands(EPOCH), record).doubt() == "2026-01-12 00:00:00 < 2026-02-11 00:00:00"  # type: ignore[arg-type]
    assert OwnTime(Hands(record - timedelta(seconds=LIMIT_S - 1)), record).doubt() is None  # type: ignore[arg-type]


async def test_a_doubtful_clock_sets_no_clock_and_judges_none(town: KeptTown) -> None:
    await town.run(100)
    before = len(town.orders_of_time())
    town.own.doubt = lambda: "in doubt"  # type: ignore[method-assign]
    town.controllers["house-01"].shift_clock(3600)
    town.controllers["house-02"].boot(2)
    town.controllers["house-02"].put("unix_time_s", None)
    await town.run(200)
    assert len(town.orders_of_time()) == before
    assert set(town.time.without_time()) == {"house-02"}
    assert not town.time.with_wrong_time()
    assert town.time.of("house-01")["withheld"] == "in doubt"
