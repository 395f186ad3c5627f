"""The desk over real Modbus sockets: from preview to expiry, and everything that may go wrong between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from ..errors import Conflict, NotAllowed, NotFound, Refused, Unavailable
from ..orders import ACCEPTED, EFFECTIVE, EXPIRED, FAILED, PENDING, REFUSED, RELEASED, UNKNOWN, Order
from ..setpoints import HOLD_S, PREVIEW_S, Wanted
from ..signer import FLEET_DEVICES, KeyFile
from .paper_controller import write_keys
from .paper_town import DP, LIMIT, POINT, Town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path)
    for number in range(1, 5):
        town.add(f"house-{number:02d}")
    town.add("plant", registers.PUMP_STATION)
    await town.start()
    yield town
    await town.stop()


async def test_an_order_goes_from_preview_to_proven_effect(town: Town) -> None:
    house = town.controllers["house-01"]
    preview = town.desk.preview("ana", "house-01", POINT, 60.0)
    assert (preview.old, preview.new, preview.unit) == (55.0, 60.0, "°C")
    assert (preview.low, preview.high) == (20.0, 80.0)
    assert preview.effect["estimate"] is True
    order = await town.desk.execute("ana", preview.hash, "cold on the third floor")
    assert order.state in ("executed", "sent")
    order = await town.settle(order)
    assert (order.state, order.proof) == (ACCEPTED, "receipt")
    assert house.values[POINT] == 60.0
    await town.run(20)
    assert (order.state, order.proof) == (EFFECTIVE, "status_block")
    lease = next(lease for lease in town.desk.leases("house-01") if lease.point == POINT)
    assert (lease.owner, lease.value, lease.effective) == ("operator", 60.0, 60.0)
    assert lease.seconds_left is not None and 1700 < lease.seconds_left <= 1800

    whats = [(row.kind, row.body.get("what") or row.body.get("state")) for row in town.audit.rows()]
    start = whats.index(("note", "executed"))
    assert whats[start : start + 3] == [("note", "executed"), ("intent", "order"), ("result", "accepted")]
    intent = town.audit.rows(after=order.audit_seq - 1, limit=1)[0]
    assert intent.body["points"] == [{"point": POINT, "register": 100, "words": [6000]}]
    assert intent.body["reason"] == "cold on the third floor"
    assert (await town.audit.verify()).sound

    await town.run(1800)
    assert order.state == EXPIRED
    assert house.owner[POINT] == 0
    assert [lease_s for _, _, _, lease_s in house.accepted] == [1800]  # one lease, not renewed


async def test_a_point_without_status_word_is_effective_by_the_poll_and_says_so(town: Town) -> None:
    order = await town.order("house-01", 1.5, point=LIMIT)
    await town.run(20)
    assert (order.state, order.proof) == (EFFECTIVE, "poll")


async def test_a_ramp_reads_pending_until_it_arrives(town: Town) -> None:
    town.controllers["house-01"].ramp_s = 120.0
    order = await town.order("house-01", 62.0)
    await town.run(30)
    assert order.state == PENDING
    await town.run(120)
    assert order.state == EFFECTIVE


async def test_a_wish_that_lasts_is_renewed_at_half_and_ends_with_its_time(town: Town) -> None:
    house = town.controllers["house-01"]
    order = await town.order("house-01", 60.0, lease_s=600, valid_s=2000)
    begin = town.now()
    for _ in range(190):
        await town.run(10)
        assert house.owner[POINT] == 1, f"the lease was lost after {town.now() - begin:.0f} s"
        assert order.state == EFFECTIVE or town.now() - begin < 30
    assert [value for _, _, value, _ in house.accepted] == [60.0] * len(house.accepted)
    assert 5 <= len(house.accepted) <= 8
    counters = [counter for counter, *_ in house.accepted]
    assert counters == sorted(set(counters))
    await town.run(1200)
    assert order.state == EXPIRED
    assert house.owner[POINT] == 0
    batches = [row for row in town.audit.rows(limit=500) if row.body.get("what") == "renewals"]
    intents = [row for row in batches if row.kind == "intent"]
    results = [row for row in batches if row.kind == "result"]
    assert len(intents) == len(results) == len(house.accepted) - 1
    assert all(row.body["results"] == {order.id: "accepted"} for row in results)


async def test_renewals_of_many_go_under_one_row(town: Town) -> None:
    houses = ["house-01", "house-02", "house-03", "house-04"]
    for house in houses:
        await town.order(house, 60.0, user="bor", lease_s=3600, valid_s=7200)
    await town.run(10)
    orders = town.desk.orders(active_only=True)
    await town.desk.courier.renew(orders)
    intent = next(row for row in town.audit.rows(limit=500) if row.body.get("what") == "renewals")
    assert sorted(entry["device"] for entry in intent.body["batch"]) == houses
    for house in houses:
        assert len(town.controllers[house].accepted) == 2


async def test_renewals_are_spread_by_device(town: Town) -> None:
    orders = [await town.order(f"house-{n:02d}", 60.0, user="bor", valid_s=86400.0) for n in range(1, 5)]
    moments = {round(town.desk.courier.renew_at(order) - order.lease_end_s) for order in orders}
    assert len(moments) == 4
    assert all(-0.625 * 1800 <= moment <= -0.5 * 1800 for moment in moments)


async def test_release_gives_the_point_back_at_once(town: Town) -> None:
    order = await town.order("house-01", 60.0)
    released = await town.settle(await town.desk.release("ana", "house-01", POINT))
    assert released.state == RELEASED
    assert order.state == RELEASED
    assert town.controllers["house-01"].owner[POINT] == 0


@pytest.mark.parametrize(
    ("value", "more", "code"),
    [
        (80.01, {}, "beyond_limits"),  # the site allows 80, the register 90
        (19.0, {}, "beyond_limits"),
        (float("nan"), {}, "beyond_limits"),
        (60.0, {"lease_s": 299}, "lease_out_of_range"),
        (60.0, {"lease_s": 3601}, "lease_out_of_range"),
        (60.0, {"valid_s": 8 * 86400.0}, "valid_out_of_range"),
    ],
)
async def test_what_is_beyond_limits_is_not_even_previewed(
    town: Town, value: float, more: dict[str, float], code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        town.desk.preview("ana", "house-01", POINT, value, **more)  # type: ignore[arg-type]
    assert refusal.value.code == code
    assert "nothing was sent" in refusal.value.message
    assert not refusal.value.changed


async def test_roles_bind_in_the_desk(town: Town) -> None:
    with pytest.raises(NotAllowed):
        town.desk.preview("ana", "house-02", POINT, 60.0)  # south: viewer
    with pytest.raises(NotAllowed):
        await town.desk.release("ana", "house-02", POINT)
    preview = town.desk.preview("bor", "house-02", POINT, 60.0)
    with pytest.raises(NotAllowed):
        await town.desk.execute("ana", preview.hash)
    with pytest.raises(NotFound):
        town.desk.preview("ana", "house-99", POINT, 60.0)
    with pytest.raises(NotFound):
        town.desk.preview("ana", "house-01", DP, 1.0)
    assert town.controllers["house-02"].accepted == []


async def test_a_right_taken_away_after_the_preview_counts(town: Town) -> None:
    preview = town.desk.preview("bor", "house-01", POINT, 60.0)
    await town.access.add_user("cene", "copper kettle window six", {"*": "operator"}, by="setup")
    await town.access.set_disabled("bor", True, by="cene")
    with pytest.raises(NotAllowed):
        await town.desk.execute("bor", preview.hash)
    assert town.controllers["house-01"].accepted == []


async def test_a_preview_works_once_for_its_maker_and_for_two_minutes(town: Town) -> None:
    preview = town.desk.preview("ana", "house-01", POINT, 60.0)
    with pytest.raises(Conflict) as refusal:
        await town.desk.execute("bor", preview.hash)
    assert refusal.value.code == "not_your_preview"
    await town.settle(await town.desk.execute("ana", preview.hash))
    with pytest.raises(Conflict) as refusal:
        await town.desk.execute("ana", preview.hash)
    assert refusal.value.code == "preview_expired"
    late = town.desk.preview("ana", "house-01", POINT, 61.0)
    town.people_s += PREVIEW_S + 1
    with pytest.raises(Conflict) as refusal:
        await town.desk.execute("ana", late.hash)
    assert refusal.value.code == "preview_expired"
    assert len(town.controllers["house-01"].accepted) == 1


async def test_a_state_that_changed_since_the_preview_is_refused(town: Town) -> None:
    first = town.desk.preview("ana", "house-01", POINT, 60.0)
    second = town.desk.preview("bor", "house-01", POINT, 50.0)
    await town.settle(await town.desk.execute("ana", first.hash))
    with pytest.raises(Conflict) as refusal:
        await town.desk.execute("bor", second.hash)
    assert refusal.value.code == "state_changed"
    assert town.controllers["house-01"].values[POINT] == 60.0


async def test_the_plant_needs_two_people_on_one_preview(town: Town) -> None:
    preview = town.desk.preview("ana", "plant", DP, 2.0)
    assert preview.needs_second_person
    with pytest.raises(Conflict) as refusal:
        await town.desk.execute("ana", preview.hash)
    assert refusal.value.code == "second_person_needed"
    with pytest.raises(Conflict) as refusal:
        await town.desk.approve("ana", preview.hash)
    assert refusal.value.code == "same_person"
    await town.desk.approve("bor", preview.hash)
    order = await town.settle(await town.desk.execute("ana", preview.hash))
    assert (order.state, order.approved_by) == (ACCEPTED, "bor")
    intent = town.audit.rows(after=order.audit_seq - 1, limit=1)[0]
    assert (intent.actor, intent.body["approved_by"]) == ("ana", "bor")
    # giving it back takes one
    assert (await town.settle(await town.desk.release("ana", "plant", DP))).state == RELEASED


async def test_what_two_people_ordered_is_in_one_of_the_lists_at_every_moment(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between agreement and disk as well: a page that looks just then would take it for lapsed."""
    preview = town.desk.preview("ana", "plant", DP, 2.0)
    await town.desk.approve("bor", preview.hash)
    seen: list[tuple[bool, bool]] = []
    note = town.audit.note

    def look() -> None:
        listed = [(p.hash, p.approved_by) for p in town.desk.for_second_person()]
        seen.append(((preview.hash, "bor") in listed, any(o.point == DP for o in town.desk.courier.kept())))

    async def looked_at(*told: Any) -> Any:
        look()
        return await note(*told)

    look()
    monkeypatch.setattr(town.audit, "note", looked_at)
    await town.desk.execute("bor", preview.hash)
    look()
    assert seen == [(True, False), (True, False), (False, True)]


async def test_the_controllers_no_is_told(town: Town) -> None:
    town.controllers["house-01"].refuse_with = order_frame.REFUSED_BUDGET
    order = await town.order("house-01", 40.0)
    assert (order.state, order.code) == (REFUSED, "refused_budget")
    assert not order.active


async def test_a_forged_receipt_proves_nothing(town: Town) -> None:
    town.controllers["house-01"].forge_receipts = True
    order = await town.order("house-01", 60.0)
    assert (order.state, order.code) == (UNKNOWN, "no_proof")
    await town.run(60)
    assert order.state == UNKNOWN
    await town.run(1800)
    assert order.state == EXPIRED


async def _in_doubt(town: Town) -> Order:
    preview = town.desk.preview("ana", "house-01", POINT, 60.0)
    order = await town.desk.execute("ana", preview.hash)
    for _ in range(20):
        await town.run(1)
        if order.state == UNKNOWN:
            return order
    raise AssertionError(f"order is {order.state}")


async def test_an_order_whose_answer_was_lost_is_unknown_until_the_receipt_is_read(town: Town) -> None:
    town.controllers["house-01"].swallow_next_answers = 1
    order = await _in_doubt(town)
    assert town.controllers["house-01"].values[POINT] == 60.0
    await town.run(60)
    assert order.state == EFFECTIVE
    assert len(town.controllers["house-01"].accepted) == 1  # never sent twice


async def test_an_order_that_never_arrived_fails_once_it_no_longer_can(town: Town) -> None:
    town.controllers["house-01"].lose_next_orders = 1
    order = await _in_doubt(town)
    await town.run(90)
    assert (order.state, order.code) == (FAILED, "never_arrived")
    assert town.controllers["house-01"].accepted == []


async def test_a_dead_controller_fails_the_order_and_hinders_nobody(town: Town) -> None:
    preview = town.desk.preview("ana", "house-01", POINT, 60.0)
    other = town.desk.preview("ana", "house-03", POINT, 60.0)
    await town.servers[0].stop()
    town.controllers["house-01"].silent = True
    dead = await town.desk.execute("ana", preview.hash)
    alive = await town.settle(await town.desk.execute("ana", other.hash))
    assert alive.state == ACCEPTED
    await town.run(15)
    assert dead.state == FAILED
    assert "Nothing was sent" in dead.message or "nothing was sent" in dead.message


async def test_a_restart_between_identity_and_order_is_caught_by_a_new_signature(town: Town) -> None:
    house = town.controllers["house-01"]
    identity = town.outbox.identity
    restarted = False

    async def restart_after(device_id: str) -> object:
        nonlocal restarted
        answer = await identity(device_id)
        if not restarted:
            restarted = True
            house.boot(2)
        return answer

    town.outbox.identity = restart_after  # type: ignore[method-assign,assignment]
    order = await town.order("house-01", 60.0)
    assert order.state == ACCEPTED
    assert house.refused_frames == 1
    assert len(house.accepted) == 1


async def test_a_restarted_controller_loses_its_lease_and_nothing_is_renewed_into_it(town: Town) -> None:
    house = town.controllers["house-01"]
    order = await town.order("house-01", 60.0, valid_s=7200.0)
    await town.run(20)
    house.boot(2)
    await town.run(30)
    assert (order.state, order.code) == (FAILED, "lease_lost")
    await town.run(3600)
    assert len(house.accepted) == 1


async def test_state_older_than_the_controller_learns_its_counter(town: Town) -> None:
    """After a restore from a backup the file knows a lower counter than the controller."""
    await town.order("house-01", 60.0)
    house = town.controllers["house-01"]
    house.counter = 5000
    house._file_receipt(order_frame.Receipt(0, 5000, order_frame.ACCEPTED, 0, house.uptime_s, 1800))
    order = await town.order("house-01", 61.0)
    assert order.state == ACCEPTED
    assert house.accepted[-1][0] == 5001


async def test_a_new_epoch_of_the_keys_counts_anew(town: Town) -> None:
    """The controller does so too: whoever had the old keys may have counted to the end."""
    order = await town.order("house-01", 60.0)
    identity = await town.outbox.identity(order.device_id)
    await town.signer.learn_counter(identity.device_id_hex, identity.boot_nonce, 4_000_000_000)
    town.signer._keys = replace(town.signer._keys, epoch=town.signer._keys.epoch + 1)
    assert await town.signer._next_counter(identity) == 1
    assert await town.signer._next_counter(identity) == 2


async def test_after_a_restart_counters_go_on_and_evaluated_wishes_are_renewed(town: Town) -> None:
    house = town.controllers["house-01"]
    order = await town.order("house-01", 60.0, lease_s=600, valid_s=3000.0)
    await town.run(20)
    await town.restart_supervisor()
    again = town.desk.order(order.id)
    assert again.state == EFFECTIVE
    assert not again.evaluated
    assert not town.desk.courier.renewal_due(again, again.lease_end_s - 1)
    await town.run(30)
    assert again.evaluated
    await town.run(800)
    assert house.owner[POINT] == 1
    counters = [counter for counter, *_ in house.accepted]
    assert counters == sorted(set(counters))
    assert house.refused_frames == 0


async def test_nothing_is_renewed_after_a_restart_while_the_controller_is_not_seen(town: Town) -> None:
    house = town.controllers["house-01"]
    order = await town.order("house-01", 60.0, lease_s=600, valid_s=6000.0)
    await town.run(20)
    await town.servers[0].stop()
    await town.restart_supervisor()
    await town.run(700)
    assert town.desk.order(order.id).state == EXPIRED
    assert len(house.accepted) == 1


async def test_an_order_under_way_at_the_end_reads_unknown_then_is_resolved(town: Town) -> None:
    house = town.controllers["house-01"]
    house.swallow_next_answers = 1
    preview = town.desk.preview("ana", "house-01", POINT, 60.0)
    order = await town.desk.execute("ana", preview.hash)
    for _ in range(1000):
        if house.accepted:
            break
        await asyncio.sleep(0.01)  # real time: the frame crosses a real socket
    assert order.state == "sent"
    await town.restart_supervisor()
    again = town.desk.order(order.id)
    assert (again.state, again.code) == (UNKNOWN, "restarted")
    await town.run(60)
    assert again.state == EFFECTIVE
    assert len(house.accepted) == 1
    assert (await town.audit.verify()).sound


async def test_a_disabled_person_is_not_renewed(town: Town) -> None:
    order = await town.order("house-01", 60.0, lease_s=600, valid_s=6000.0)
    await town.run(20)
    await town.access.set_disabled("ana", True, by="bor")
    await town.run(700)
    assert order.state == EXPIRED
    assert len(town.controllers["house-01"].accepted) == 1


@pytest.mark.slow
async def test_the_operator_outranks_the_coordinator_and_can_take_a_point_back(town: Town) -> None:
    house = town.controllers["house-01"]
    wish = Wanted("house-01", LIMIT, 2.0, 1800, "share of the feeder")
    (first,) = await town.desk.coordinate("north", [wish])
    assert (first.state, first.owner) == (ACCEPTED, "coordinator")
    # a person takes over, and the coordinator stays away as long as that order lives
    preview = town.desk.preview("ana", "house-01", LIMIT, 2.5)
    assert "takes_over" in [warning["code"] for warning in preview.warnings]
    person = await town.settle(await town.desk.execute("ana", preview.hash))
    assert (person.state, first.state, first.code) == (ACCEPTED, RELEASED, "superseded")
    assert await town.desk.coordinate("north", [wish]) == []
    assert town.desk.held_by("house-01", LIMIT) == "ana"
    await town.settle(await town.desk.release("ana", "house-01", LIMIT))
    # back to the coordinator, then taken back with one act
    (again,) = await town.desk.coordinate("north", [wish])
    assert again.state == ACCEPTED
    await town.settle(await town.desk.release("ana", "house-01", LIMIT))
    assert house.owner[LIMIT] == 0
    assert await town.desk.coordinate("north", [wish]) == []
    await town.restart_supervisor()
    assert town.desk.held_by("house-01", LIMIT) == "ana"
    await town.run(HOLD_S + 60)
    (later,) = await town.desk.coordinate("north", [wish])
    assert later.state == ACCEPTED


async def test_the_coordinators_wish_is_renewed_by_being_wished_again_only(town: Town) -> None:
    house = town.controllers["house-01"]
    wish = Wanted("house-01", LIMIT, 2.0, 600, "share")
    (order,) = await town.desk.coordinate("north", [wish])
    await town.run(60)
    assert await town.desk.coordinate("north", [wish]) == [order]
    assert len(house.accepted) == 1  # first half of the lease
    await town.run(320)
    await town.desk.coordinate("north", [wish])
    assert len(house.accepted) == 2
    await town.run(700)
    assert order.state == EXPIRED


@pytest.mark.slow
async def test_one_person_cannot_change_a_whole_area_alone(tmp_path: Path) -> None:
    town = Town(tmp_path)
    for number in range(1, 2 * FLEET_DEVICES + 4):
        town.add(f"house-{number:02d}")
    await town.start()
    try:
        names = [device.id for device in town.site.substations if device.area == "north"]
        for name in names[:FLEET_DEVICES]:
            assert (await town.order(name, 60.0)).state == ACCEPTED
        last = names[FLEET_DEVICES]
        order = await town.order(last, 60.0)
        assert (order.state, order.code) == (REFUSED, "area_rate_limit")
        assert (await town.settle(await town.desk.release("ana", last, POINT))).state == RELEASED
        preview = town.desk.preview("ana", last, POINT, 60.0)
        await town.desk.approve("bor", preview.hash)
        assert (await town.settle(await town.desk.execute("ana", preview.hash))).state == ACCEPTED
    finally:
        await town.stop()


async def test_another_controller_at_the_address_gets_no_order(town: Town) -> None:
    assert (await town.order("house-01", 60.0)).state == ACCEPTED
    house = town.controllers["house-01"]
    house.device_id = b"\x01" * 8
    house.boot(9)
    preview = town.desk.preview("ana", "house-01", POINT, 61.0)
    order = await town.settle(await town.desk.execute("ana", preview.hash))
    assert (order.state, order.code) in [(REFUSED, "wrong_controller"), (FAILED, "unknown_map")]
    assert len(house.accepted) == 1


async def test_restore_last_good_orders_the_value_before(town: Town) -> None:
    with pytest.raises(NotFound):
        await town.desk.restore_last_good("ana", "house-01", POINT)
    await town.order("house-01", 60.0)
    await town.run(20)
    await town.order("house-01", 40.0)
    await town.run(20)
    order = await town.settle(await town.desk.restore_last_good("ana", "house-01", POINT))
    assert order.state == ACCEPTED
    assert town.controllers["house-01"].values[POINT] == 60.0


async def test_without_audit_nothing_is_written_but_release_works(town: Town) -> None:
    order = await town.order("house-01", 60.0)
    preview = town.desk.preview("ana", "house-01", POINT, 61.0)
    agreed = town.desk.preview("ana", "plant", DP, 2.0)
    await town.desk.approve("bor", agreed.hash)
    database = town.audit._database
    assert database is not None
    database.write_now(lambda connection: connection.execute("PRAGMA max_page_count=1"))
    for padding in (3000, 300, 1):  # until not even the shortest row fits
        with pytest.raises(Unavailable):
            while True:
                await town.audit.note({"actor": "ana", "padding": "x" * padding})
    with pytest.raises(Unavailable) as refusal:
        await town.desk.execute("ana", preview.hash)
    assert refusal.value.code == "audit_unavailable"
    assert "nothing was sent" in refusal.value.message
    with pytest.raises(Unavailable):
        await town.desk.execute("bor", agreed.hash)
    assert town.desk.for_second_person() == []  # used up, and on its way no longer
    assert len(town.controllers["house-01"].accepted) == 1
    released = await town.settle(await town.desk.release("ana", "house-01", POINT))
    assert released.state == RELEASED
    assert order.state == RELEASED
    assert released.audit_seq < 0
    database.write_now(lambda connection: connection.execute("PRAGMA max_page_count=100000"))
    await town.audit.note({"actor": "ana", "what": "disk freed"})
    journal = [row for row in town.audit.rows(limit=1000) if row.body.get("what") == "journal"]
    assert len(journal) >= 2
    assert (await town.audit.verify()).sound


def test_a_key_file_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, [])
    KeyFile.load(path)
    path.chmod(0o640)
    with pytest.raises(Unavailable) as refusal:
        KeyFile.load(path)
    assert refusal.value.code == "key_file_exposed"
    path.chmod(0o600)
    for content in (
        "{}",
        "nonsense",
        '{"format":"toplovod-keys/1","slot":"x","epoch":1,"devices":{}}',
        '{"format":"toplovod-keys/1","slot":"supervisor","epoch":1,"devices":{"00":"ff"}}',
    ):
        path.write_text(content)
        with pytest.raises(Unavailable) as refusal:
            KeyFile.load(path)
        assert refusal.value.code == "key_file_broken"
    with pytest.raises(Unavailable) as refusal:
        KeyFile.load(tmp_path / "absent.json")
    assert refusal.value.code == "key_file_missing"
