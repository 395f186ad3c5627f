"""A town is given back with new keys: nothing is sent on wrong files, nobody waits for who is silent."""

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import order_frame, registers
from tools.controller import Address, OrderInDoubt
from tools.errors import INTERRUPTED, UNREACHABLE, WRONG_USE, ToolError
from tools.key_file import KeyFile
from tools.restore import (
    AGAIN_S,
    AT_ONCE,
    BACK,
    FOLLOW_S,
    ON_THE_WAY,
    REFUSED,
    SILENT,
    Restoration,
    Row,
    exit_status,
    why_not_back,
)
from tools.restore_files import check_keys, read_record, targets_of
from tools.restore_page import summary
from tools.restore_visit import Proof, Seen, Target, Visits

from .processes import ROOT, toplovod
from .test_controller import identity

SUPERVISOR, STANDBY, TECHNICIAN, UTILITY = range(4)
ROOT_KEY = bytes(range(32))
SETPOINTS = {r.address for r in registers.BY_PROFILE["substation"] if r.access == registers.SETPOINT}
WARM = {
    "outdoor_temp_c": -5.0, "primary_supply_temp_c": 80.0, "primary_return_temp_c": 40.0,
    "secondary_supply_temp_c": 55.0, "secondary_supply_temp_effective_c": 56.0, "primary_dp_bar": 1.0,
    "primary_flow_m3_h": 0.3, "valve_position_out_pct": 40.0,
}  # fmt: skip
SILENCE = ToolError(
    "unreachable", "somewhere: no answer; nothing was changed. Check.", exit_status=UNREACHABLE
)


# on paper: a controller's side of the order frame


class PaperStation:
    """What a station answers. lose: how many orders go unanswered; taken: whether it took those."""

    def __init__(self, device_id: str, epoch: int = 1) -> None:
        self.device_id = device_id
        self.epoch = epoch
        self.nonce = order_frame.boot_nonce(7, b"abcdefgh")
        self.counter = 0
        self.receipt = order_frame.Receipt(SUPERVISOR, 0, order_frame.NONE, 0, 100, 0)
        self.released: list[set[int]] = []
        self.orders = self.challenges = 0
        self.lose, self.taken = 0, True
        self.held = 0  # a register that a technician holds
        self.mode = 0
        self.limits_hash, self.firmware_hash = 0x11111111, 0x22222222
        self.readings = dict(WARM)

    def key(self, epoch: int | None = None) -> bytes:
        return bytes(order_frame.slot_key(ROOT_KEY, SUPERVISOR, epoch or self.epoch))

    def answer(self, pdu: bytes) -> bytes | None:
        if pdu[0] == 4:
            address, count = struct.unpack(">HH", pdu[1:5])
            if address == 0:
                return self._read(self._identity())
            if address == registers.RECEIPTS:
                return bytes((4, 32)) + self._receipt()
            assert count == 1  # the pump, the limiter
            return self._read([1])
        assert pdu[0] == 23, pdu
        written = struct.unpack(">H", pdu[5:7])[0]
        return self._order(pdu[10:]) if written == registers.ORDER_MAILBOX else self._status(pdu[12:20])

    def _read(self, words: list[int]) -> bytes:
        return struct.pack(f">BB{len(words)}H", 4, 2 * len(words), *words)

    def _identity(self) -> list[int]:
        return identity(
            device_id_high_code=int(self.device_id[:8], 16), device_id_low_code=int(self.device_id[8:], 16),
            boot_count=7, boot_random_high_code=int.from_bytes(b"abcd"),
            boot_random_low_code=int.from_bytes(b"efgh"), uptime_s=100,
            supervisor_key_epoch_number=self.epoch,
        )  # fmt: skip

    def _receipt(self) -> bytes:
        who = bytes.fromhex(self.device_id)
        return bytes(order_frame.encode_receipt(self.key(), who, self.nonce, self.receipt))

    def _order(self, frame: bytes) -> bytes | None:
        self.orders += 1
        order = order_frame.decode_order(frame, lambda _: 1)
        if self.lose and not self.taken:
            self.lose -= 1
            return None
        who = bytes.fromhex(self.device_id)
        if order.epoch < self.epoch or not order_frame.order_verifies(
            self.key(order.epoch), who, registers.map_hash(), self.nonce, frame
        ):
            return bytes((23 | 0x80, 2))
        self.epoch = order.epoch
        points = {address for address, _ in order.pairs}
        held = self.held in points
        if not held:
            self.released.append(points)
        self.receipt = order_frame.Receipt(
            SUPERVISOR, order.counter,
            order_frame.REFUSED_LEASE if held else order_frame.ACCEPTED, self.held if held else 0, 100, 0,
        )  # fmt: skip
        if self.lose:
            self.lose -= 1
            return None
        return bytes((23, 32)) + self._receipt()

    def _status(self, challenge: bytes) -> bytes:
        self.challenges += 1
        words = [
            registers.to_raw(registers.BY_NAME[name], self.readings[name]) & 0xFFFF
            for name in registers.STATUS_POINTS["substation"]
        ]
        block = order_frame.encode_status(
            self.key(), bytes.fromhex(self.device_id),
            order_frame.Status(
                SUPERVISOR, challenge, 100, registers.map_hash(), self.limits_hash, self.firmware_hash,
                self.nonce, self.mode, 0, 0, words,
            ),
        )  # fmt: skip
        return bytes((23, len(block))) + bytes(block)


@contextmanager
def served(station: PaperStation) -> Iterator[int]:
    """Serve it; yields the port. An answer of None closes the connection."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                while header := line.recv(7, socket.MSG_WAITALL):
                    number, _, length, unit = struct.unpack(">HHHB", header)
                    answer = station.answer(line.recv(length - 1, socket.MSG_WAITALL))
                    if answer is None:
                        break
                    line.sendall(struct.pack(">HHHB", number, 0, len(answer) + 1, unit) + answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def device(number: int) -> str:
    return f"{number:016x}"


def site_file(folder: Path, ports: dict[int, int], more: str = "") -> Path:
    """Write a site of houses by number, each at its port."""
    text = '[site]\nname = "Town"\n[[area]]\nid = "north"\n[[area]]\nid = "south"\n'
    for number, port in ports.items():
        text += (
            f'[[substation]]\nid = "house-{number}"\nname = "House {number}"\naddress = "127.0.0.1:{port}"\n'
            f'node = "n{number}"\narea = "north"\ndevice_id = "{device(number)}"\n{more}'
        )
    (folder / "site.toml").write_text(text)
    return folder / "site.toml"


def key_file(folder: Path, numbers: range | list[int], *, slot: int = SUPERVISOR, epoch: int = 2) -> Path:
    key = order_frame.slot_key(ROOT_KEY, slot, epoch)
    KeyFile(slot, epoch, {device(number): key for number in numbers}).write(folder / "keys.json")
    return folder / "keys.json"


# wrong files


@pytest.fixture
def nobody() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port, and whether somebody has knocked there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def knocked() -> bool:
            listener.setblocking(False)
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield listener.getsockname()[1], knocked


def test_files_that_do_not_fit_are_told_before_anything_is_sent(tmp_path, nobody):
    port, knocked = nobody
    site, keys = site_file(tmp_path, {1: port, 2: port + 1}), key_file(tmp_path, [1, 2])
    (tmp_path / "broken.toml").write_text("[[substation]]\nid = 3\n")
    (tmp_path / "other.json").write_text('{"format": "toplovod-restore/2"}')
    (tmp_path / "odd.json").write_text('{"format": "toplovod-restore/1", "stations": {"house-1": 3}}')
    (tmp_path / "more").mkdir()
    lacking = key_file(tmp_path / "more", [2])
    (tmp_path / "wrong").mkdir()
    technician = key_file(tmp_path / "wrong", [1, 2], slot=TECHNICIAN)
    (tmp_path / "tls").mkdir()
    secure = site_file(tmp_path / "tls", {1: port}, "tls = true\n")

    def told(work: Callable[[], object]) -> tuple[str, str]:
        with pytest.raises(ToolError, match=r"[Nn]othing was (sent|started)") as refused:
            work()
        assert (refused.value.exit_status, refused.value.changed) == (WRONG_USE, False)
        return refused.value.code, refused.value.message

    def keys_told(path: Path) -> tuple[str, str]:
        return told(lambda: check_keys(KeyFile.read(path), path, targets_of(site)[1]))

    assert told(lambda: targets_of(tmp_path / "none.toml"))[0] == "site_mistakes"
    code, message = told(lambda: targets_of(tmp_path / "broken.toml"))
    assert code == "site_mistakes" and "broken.toml line" in message
    code, message = keys_told(technician)
    assert code == "wrong_slot" and "technician" in message and "keys recover" in message
    code, message = keys_told(lacking)
    assert code == "keys_lack" and "house-1" in message and "house-2" not in message
    assert told(lambda: targets_of(site, ["house-9"]))[0] == "unknown_station"
    assert told(lambda: targets_of(site, area="west"))[0] == "unknown_area"
    assert told(lambda: targets_of(site, area="south"))[0] == "no_station"
    for name in ("none", "other", "odd"):
        assert told(lambda: read_record(tmp_path / f"{name}.json"))[0] == "baseline_unreadable"  # noqa: B023
    assert told(lambda: targets_of(secure))[0] == "needs_tls"
    assert told(lambda: targets_of(secure, data=tmp_path))[0] == "no_certificate"

    for wrong, known, code in ((site, lacking, "keys_lack"), (tmp_path / "none.toml", keys, "site_mistakes")):
        said = toplovod("restore", "--site", wrong, "--keys", known, "--json")
        assert (said.status, said.json["code"], said.json["changed"]) == (2, code, False)
    assert not knocked()


@pytest.mark.parametrize(
    "options",
    [("--record", "a.json"), ("--check", "--record", "a.json", "--baseline", "a.json"),
     ("--over", "4", "--within", "3")],
)  # fmt: skip
def test_options_that_contradict_each_other_are_wrong_use(tmp_path, nobody, options):
    site, keys = site_file(tmp_path, {1: nobody[0]}), key_file(tmp_path, [1])
    said = toplovod("restore", "--site", site, "--keys", keys, *options, cwd=tmp_path)
    assert said.status == 2 and ("--record" in said.err or "--over" in said.err)
    assert not nobody[1]()


# the order of things, in a time of its own


class Instant:
    """Visits that take no time, on a clock that is only pushed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ended: list[tuple[Row, Seen]] = []
        self.most_at_once = 0

    def now_s(self) -> float:
        return self.now

    def begin(self, row: Row, visit: Callable[[], Seen]) -> None:
        self.ended.append((row, visit()))
        self.most_at_once = max(self.most_at_once, len(self.ended))

    def finished(self, until_s: float | None) -> list[tuple[Row, Seen]]:
        if self.ended:
            ended, self.ended = self.ended, []
            return ended
        if until_s is not None:
            self.now = max(self.now, until_s)
        return []


def target(number: int, line: int | None = None, profile: str = "substation") -> Target:
    address = Address("10.0.0.1", line or 1000 + number)
    return Target(f"house-{number}", f"House {number}", "north", profile, device(number), address, 1)


def proof(**changed: Any) -> Proof:
    return replace(Proof(device(1), 1, 2, 3, 0, 0, (), 100, 7, dict(WARM)), **changed)


class Town:
    """Plays the visits: what each house says when, and who was asked when, and whether by an order."""

    def __init__(self, says: Callable[[int, int, float], Seen] | None = None) -> None:
        self.clock = Instant()
        self.asked: dict[int, list[tuple[float, bool]]] = {}
        self.doubts: list[OrderInDoubt | None] = []
        self._says = says

    def visit(self, target: Target, *, order: bool, doubt: OrderInDoubt | None) -> Seen:
        number = int(target.id.rsplit("-", 1)[1])
        times = self.asked.setdefault(number, [])
        times.append((self.clock.now, order))
        self.doubts.append(doubt)
        if self._says is not None:
            return self._says(number, len(times), self.clock.now)
        return self.well(number, order)

    @staticmethod
    def well(number: int, order: bool = True) -> Seen:
        return Seen(answered=True, device_id=device(number), shut_out=order, released=order, proof=proof())

    def restore(self, targets: list[Target], **options: Any) -> Restoration:
        options = {"over_s": 180.0, "within_s": 900.0, **options}
        run = Restoration(targets, self.visit, workers=self.clock, **options)
        run.run()
        return run


def test_releases_are_spread_in_an_order_of_the_ids_and_pump_stations_are_first(tmp_path):
    site = site_file(tmp_path, {number: 4000 + number for number in range(1, 31)})
    with site.open("a") as file:
        file.write(
            f'[[pump_station]]\nid = "plant"\nname = "Plant"\naddress = "127.0.0.1:4999"\nnode = "p"\n'
            f'area = "south"\ndevice_id = "{device(99)}"\n'
        )
    targets = targets_of(site)[1]
    ids = [target.id for target in targets]
    assert ids[0] == "plant" and ids == [target.id for target in targets_of(site)[1]]
    houses = [int(name.split("-")[1]) for name in ids[1:]]
    assert sorted(houses) == list(range(1, 31)) and houses != sorted(houses)
    assert [t.id for t in targets_of(site, ["house-4"])[1]] == ["house-4"]
    assert [t.id for t in targets_of(site, area="south")[1]] == ["plant"]

    town = Town()
    run = town.restore(targets[1:])
    first = sorted(times[0][0] for times in town.asked.values())
    assert first == pytest.approx([6.0 * number for number in range(30)], abs=0.2)
    assert exit_status(run) == 0 and run.counts.back == 30
    assert all(len(times) == 1 for times in town.asked.values())


def test_who_is_silent_or_refuses_is_tried_again_and_holds_up_nobody():
    def says(number: int, time: int, now: float) -> Seen:
        if number == 1 or (number == 2 and now < 100):
            return Seen(error=SILENCE)
        if number == 3 and time < 3:
            return Seen(answered=True, error=ToolError("order_refused", "no"))
        if number == 4:
            return Seen(answered=True, error=ToolError("other_device", "no"))
        return Town.well(number)

    town = Town(says)
    run = town.restore([target(number) for number in range(1, 9)])
    rows = {row.target.id: row for row in run.rows}
    assert [rows[f"house-{n}"].state for n in range(1, 5)] == [SILENT, BACK, BACK, REFUSED]
    assert all(rows[f"house-{n}"].state == BACK for n in range(5, 9))
    assert max(rows[f"house-{n}"].back_s or 0 for n in range(5, 9)) <= 180.0
    assert len(town.asked[4]) == 1  # no later try can change that
    gaps = [b[0] - a[0] for a, b in zip(town.asked[1], town.asked[1][1:], strict=False)]
    assert gaps[: len(AGAIN_S)] == pytest.approx(AGAIN_S, abs=0.2) and set(gaps[3:]) == {AGAIN_S[-1]}
    assert run.passed_s == pytest.approx(900.0)  # as long as there is hope for one
    assert exit_status(run) == 1


def test_a_station_is_followed_until_it_is_warm_and_is_not_ordered_twice():
    def says(number: int, time: int, now: float) -> Seen:
        seen = Town.well(number)
        if now < 300:
            seen.proof = proof(control_mode=1)
        elif now < 400:
            seen.proof = proof(readings={**WARM, "secondary_supply_temp_c": 40.0})
        return seen

    town = Town(says)
    told: list[tuple[float, int, int]] = []
    run = town.restore([target(1)], tell=lambda s, counts: told.append((s, counts.released, counts.back)))
    row = run.rows[0]
    assert (row.state, row.released_s) == (BACK, 0.0) and 400 <= (row.back_s or 0) < 400 + FOLLOW_S + 1
    assert [order for _, order in town.asked[1]] == [True] + [False] * (len(town.asked[1]) - 1)
    assert len(town.asked[1]) == pytest.approx(400 / FOLLOW_S, abs=3)
    assert len(told) <= 3 and told[0][1:] == (1, 0)  # what does not change is not told


def test_within_ends_it_and_tells_why_each_is_not_back():
    def says(number: int, time: int, now: float) -> Seen:
        seen = Town.well(number)
        cold = {**WARM, "secondary_supply_temp_c": 40.0}
        seen.proof = proof(control_mode=1) if number == 1 else proof(readings=cold)
        seen.heats = number != 3
        return seen

    run = Town(says).restore([target(number) for number in (1, 2, 3)], within_s=240.0)
    rows = {row.target.id: row for row in run.rows}
    assert [rows[f"house-{n}"].state for n in (1, 2, 3)] == [ON_THE_WAY, ON_THE_WAY, BACK]
    assert [rows[f"house-{n}"].code for n in (1, 2)] == ["order", "cold"]
    assert "15.0 K below" not in rows["house-1"].what and "16.0 K below" in rows["house-2"].what
    assert run.passed_s == pytest.approx(240.0)


def test_an_order_in_doubt_is_looked_at_before_the_next(tmp_path):
    doubt = OrderInDoubt("?", 1, b"")

    def says(number: int, time: int, now: float) -> Seen:
        return Seen(answered=True, error=doubt, doubt=doubt) if time == 1 else Town.well(number)

    town = Town(says)
    run = town.restore([target(1)])
    assert town.doubts == [None, doubt] and run.rows[0].state == BACK


def test_a_few_are_spoken_to_at_a_time_and_one_behind_each_gateway():
    town = Town()
    town.restore([target(number) for number in range(50)], over_s=0.0)
    assert town.clock.most_at_once == AT_ONCE
    town = Town()
    run = town.restore([target(number, line=7) for number in range(5)], over_s=0.0)
    assert town.clock.most_at_once == 1 and run.counts.back == 5


def test_two_addresses_with_one_device_behind_them_are_told():
    town = Town(lambda number, time, now: Town.well(1))
    run = town.restore([replace(target(number), device_id="") for number in (1, 2)])
    assert sorted(row.state for row in run.rows) == [BACK, REFUSED]
    assert {row.code for row in run.rows} == {"", "same_device"}


def test_ctrl_c_ends_with_what_is_known():
    class Hit(Instant):
        def finished(self, until_s: float | None) -> list[tuple[Row, Seen]]:
            if self.now > 60 and until_s is not None:
                raise KeyboardInterrupt
            return super().finished(until_s)

    town = Town()
    town.clock = Hit()
    run = town.restore([target(number) for number in range(10)])
    assert run.interrupted and exit_status(run) == INTERRUPTED
    assert 3 <= run.counts.released <= 5 and run.counts.back == run.counts.released
    line = summary(run, KeyFile(SUPERVISOR, 2, {}), False)
    assert line.startswith(f"Stopped: {run.counts.back} of 10") and "Running it again goes on safely" in line


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, ""),
        ({"control_mode": 1}, "order"),
        ({"control_mode": 2}, "manual"),
        ({"control_mode": 3}, "service"),
        ({"control_mode": 4}, "safe_start"),
        ({"control_mode": 5}, "unauthenticated"),
        ({"control_mode": 9}, "unknown_mode"),
        ({"readings": {**WARM, "secondary_supply_temp_c": 52.0}}, "cold"),
        # the network gives no more
        ({"readings": {**WARM, "secondary_supply_temp_c": 52.0, "primary_supply_temp_c": 54.0}}, ""),
        ({"readings": {**WARM, "primary_supply_temp_c": None}}, ""),
        ({"readings": {**WARM, "secondary_supply_temp_c": None}}, "no_reading"),
        ({"readings": {"plant_dp_bar": 1.0}}, ""),  # a pump station
    ],
)
def test_back_is_who_runs_the_own_curve_and_is_warm(changed, code):
    assert why_not_back(proof(**changed))[0] == code


# against a station on paper


def visits(epoch: int = 2, number: int = 1) -> Visits:
    return Visits(KeyFile(SUPERVISOR, epoch, {device(number): order_frame.slot_key(ROOT_KEY, 0, epoch)}))


@contextmanager
def standing(station: PaperStation) -> Iterator[Target]:
    with served(station) as port:
        yield replace(target(1), address=Address("127.0.0.1", port))


def test_every_point_is_given_back_and_the_proof_is_the_stations_own():
    station = PaperStation(device(1))
    with standing(station) as there:
        seen = visits()(there, order=True, doubt=None)
        again = visits()(there, order=False, doubt=None)
        forged = visits(epoch=3)(there, order=False, doubt=None)
    assert (seen.error, seen.released, seen.shut_out, seen.epoch) == (None, True, True, 1)
    assert station.released == [SETPOINTS] and station.orders == 1
    assert again.proof is not None and again.proof.firmware_hash == 0x22222222
    assert again.proof.readings == WARM and again.proof.missing_k == 1.0
    assert forged.error is not None and forged.error.code == "status_not_genuine"


@pytest.mark.parametrize("taken", [True, False])
def test_an_answer_that_was_lost_costs_no_second_order_where_the_first_was_taken(taken):
    station = PaperStation(device(1))
    station.lose, station.taken = 1, taken
    with standing(station) as there:
        lost = visits()(there, order=True, doubt=None)
        assert lost.doubt is not None and lost.error is not None and lost.error.code == "order_in_doubt"
        seen = visits()(there, order=True, doubt=lost.doubt)
    assert seen.released and seen.doubt is None
    assert station.orders == (1 if taken else 2) and len(station.released) == 1


def test_what_a_technician_holds_does_not_keep_the_rest_from_being_given_back():
    station = PaperStation(device(1))
    station.held = registers.BY_NAME["curve_shift_sp_k"].address
    with standing(station) as there:
        seen = visits()(there, order=True, doubt=None)
    assert seen.released and seen.held == ("curve_shift_sp_k",)
    assert station.released == [SETPOINTS - {station.held}]


def test_another_device_and_keys_of_another_time_are_told_apart():
    with standing(PaperStation(device(2))) as there:
        seen = visits()(there, order=True, doubt=None)
    assert (
        seen.error is not None and seen.error.code == "other_device" and "nothing was sent" in str(seen.error)
    )
    for epoch, code in ((5, "keys_older"), (2, "order_refused")):
        station = PaperStation(device(1), epoch)
        with standing(station) as there:
            keys = {device(1): order_frame.slot_key(bytes(32) if epoch == 2 else ROOT_KEY, 0, 2)}
            seen = Visits(KeyFile(SUPERVISOR, 2, keys))(there, order=True, doubt=None)
        assert seen.error is not None and seen.error.code == code and not seen.shut_out


def test_the_whole_command_tells_only_what_needs_attention(tmp_path):
    stations = {number: PaperStation(device(number)) for number in (1, 2, 3)}
    with ExitStack() as stack:
        ports = {number: stack.enter_context(served(station)) for number, station in stations.items()}
        with socket.create_server(("127.0.0.1", 0)) as gone:
            ports[4] = gone.getsockname()[1]
        site, old = site_file(tmp_path, ports), key_file(tmp_path, [1, 2, 3, 4], epoch=1)
        common = ("restore", "--site", site, "--keys", old)

        three = [word for number in stations for word in ("--only", f"house-{number}")]
        peace = toplovod(*common, *three, "--check", "--record", "peace.json", cwd=tmp_path)
        assert peace.status == 0, peace.out + peace.err
        assert "3 of 3 stations proven" in peace.out and "NOT compared" in peace.out
        record = json.loads((tmp_path / "peace.json").read_text())
        assert record["format"] == "toplovod-restore/1" and len(record["stations"]) == 3
        assert sum(station.orders for station in stations.values()) == 0

        new = key_file(tmp_path, [1, 2, 3, 4], epoch=2)
        stations[2].firmware_hash = 0x33333333
        later = ("restore", "--site", site, "--keys", new, "--baseline", "peace.json")
        early = toplovod(*later, *three, "--check", cwd=tmp_path)
        assert early.status == 1 and "0 of 3 stations proven" in early.out and "3 not proven" in early.out
        assert early.out.count("keys of epoch 1") == 3 and "without --check brings these" in early.out
        assert sum(station.orders for station in stations.values()) == 0
        run = toplovod(*later, "--over", "0", "--within", "0.1", cwd=tmp_path)
        assert run.status == 1
        lines = run.out.splitlines()
        assert lines[0].split() == ["station", "name", "state", "what"]
        assert "differs" in lines[1] and "firmware 33333333 instead of 22222222" in lines[1]
        assert "silent" in lines[2] and "house-4" in lines[2] and "refused: nothing listens" in lines[2]
        assert not any(line.startswith(("house-1 ", "house-3 ")) for line in lines)
        assert "toplovod log" in run.out and "toplovod read" in run.out
        assert "3 of 4 stations back" in lines[-1] and "1 silent, 1 differing from the baseline" in lines[-1]
        assert "released 3, proven 3, back 3, silent 1" in run.err
        assert "took epoch" not in run.out

        said = toplovod(*later, "--only", "house-1", "--json", cwd=tmp_path)
        assert (said.status, said.err, said.json["passed"]) == (0, "", True)
        assert said.json["counts"]["old_keys_shut_out"] == 1 and said.json["baseline_compared"]
        row = said.json["stations"][0]
        assert (row["state"], row["released_s"] is not None, row["differs"]) == ("back", True, [])
        assert row["proof"]["firmware_hash"] == "22222222" and row["epoch_before"] == 2
        again = toplovod(*later, "--only", "house-1", cwd=tmp_path)
        assert "1 of them took epoch 2 before this already" in again.out

        none = toplovod(*later, "--only", "house-4", "--within", "0.1", "--over", "0", cwd=tmp_path)
        assert none.status == 3 and "0 of 1 stations back" in none.out


def test_ctrl_c_at_the_terminal_leaves_a_summary(tmp_path):
    station = PaperStation(device(1))
    station.mode = 1
    with served(station) as port:
        site, keys = site_file(tmp_path, {1: port}), key_file(tmp_path, [1])
        words = [sys.executable, "-m", "tools.cli", "restore", "--site", str(site), "--keys", str(keys)]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process:  # fmt: skip
            assert process.stderr is not None
            assert "released 1" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (INTERRUPTED, "")
    assert "Stopped: 0 of 1" in out and "1 released" in out and "goes on safely" in out
