"""An attack as FrostyGoop made it on a heating network, on a house: all is noted, nothing moves.

A list of targets is walked by Modbus TCP: registers are read (FC 3), single ones written (FC 6) and many (FC
16), with values that falsify what is measured, with pauses in between; an image of older firmware comes as
well. The event log has the cause and the source, once; the counters have every frame; thousands of frames
write the flash no oftener than a few.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware.substation import order_frame, registers

from .bench.controller import Controller
from .bench.station import Bench
from .test_only_orders_act import ILLEGAL_ADDRESS, influence, words

SETPOINT = registers.BY_NAME["secondary_supply_temp_sp_c"].address
FALSIFIED = ("outdoor_temp_c", "primary_supply_temp_c", "secondary_supply_temp_c", "primary_return_temp_c")
ORDERED_C = 45.0
SPARED = 1


def targets() -> Iterator[bytes]:
    """Yield the writes of one walk: what is measured, wanted and set, by FC 6 and FC 16."""
    for name in FALSIFIED:
        yield b"\x06" + words(registers.BY_NAME[name].address, 9_000)
    for value in (500, 9_000, 0xFFFF):
        yield b"\x06" + words(SETPOINT, value)
        yield b"\x10" + words(SETPOINT, 2) + b"\x04" + words(value, value)
    for row in registers.BY_PROFILE["substation"]:
        if row.access == registers.CONFIG:
            yield b"\x06" + words(row.address, 1)


def downgrade() -> Iterator[bytes]:
    """Yield the pieces of an image of older firmware, as an update carries them."""
    for record in range(0, 400, 100):
        yield b"\x15\xcf\x06" + words(1, record, 100) + b"toplovod-image/1 " + bytes(183)


def walk(house: Controller) -> int:
    """Walk the list once; return how many writes were sent. Each is refused."""
    sent = 0
    for pdu in (*targets(), *downgrade()):
        assert house.client().exchange(b"\x03" + words(SETPOINT, 4))[0] == 3
        assert house.client().exchange(pdu) == bytes((pdu[0] | 0x80, ILLEGAL_ADDRESS))
        sent += 1
    return sent


def log_of(house: Controller) -> Any:
    """Return what `toplovod log` says."""
    said = subprocess.run(
        [sys.executable, "-m", "tools.cli", "log", f"127.0.0.1:{house.device.port}", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(said.stdout)


class FlashWrites:
    """Counts the writes to a controller's flash: a record's by its generation, the log's by its growth."""

    def __init__(self, house: Controller) -> None:
        self._state: Path = house.device.board.flash / "state"
        self.appends = 0
        self._log = self._log_now()
        self._begun = self._saves()

    def _log_now(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self._state.glob("log.[0-9]")}

    def _saves(self) -> dict[str, int]:
        newest: dict[str, int] = {}
        for file in self._state.glob("*.[01]"):
            if not file.name.startswith("log."):
                generation = struct.unpack(">I", file.read_bytes()[:4])[0]
                newest[file.stem] = max(newest.get(file.stem, -1), generation)
        return newest

    def look(self) -> None:
        """Take notice, at least once in each period of control."""
        now = self._log_now()
        self.appends += now != self._log
        self._log = now

    def saves(self, name: str) -> int:
        return self._saves().get(name, -1) - self._begun.get(name, -1)

    def all(self) -> int:
        return self.appends + sum(self.saves(name) for name in self._saves())


@pytest.mark.street(houses=2)
def test_the_attack_moves_nothing_wears_nothing_and_is_noted_once(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    houses = bench.start_controllers()
    attacked = houses[0]
    for house in houses:
        receipt = house.order(secondary_supply_temp_sp_c=ORDERED_C, lease_s=3600)
        assert receipt.result == order_frame.ACCEPTED
    bench.run_for(1_200)

    sent = 0
    written: list[list[int]] = []
    for walks in (1, 30):  # a few frames in one hour, thousands in the next
        flash = [FlashWrites(house) for house in houses]
        for period in range(1_800):
            if period % 60 == 0 and period // 60 < walks:
                before = influence(attacked)
                sent += walk(attacked)
                assert influence(attacked) == before
            bench.run_for(2)
            for one in flash:
                one.look()
            if period % 600 == 0:
                for house in houses:
                    assert house.order(secondary_supply_temp_sp_c=ORDERED_C, lease_s=3600).result == 1
        written.append([one.all() for one in flash])
        assert flash[0].saves("refusals") <= 1
        assert flash[0].appends <= flash[SPARED].appends + 1

    few, many = written
    assert sent > 2_000
    assert many[0] <= few[0]
    assert many[0] <= many[SPARED] + 2  # of each: the ring of refusals and the log, once an hour at most

    assert attacked.read("secondary_supply_temp_effective_c") == pytest.approx(ORDERED_C)
    assert attacked.read("refused_function_count") == sent

    log = log_of(attacked)
    assert log["whole"]
    told = [record for record in log["records"] if record["kind"] == "refused"]
    assert [(record["who"], record["source"]) for record in told] == [("nobody", "127.0.0.1")] * len(told)
    assert 1 <= len(told) <= 2 and "function, 1 since the start" in told[0]["text"]
    orders = [record for record in log["records"] if record["kind"] == "order"]
    assert len(orders) == 1 and "secondary_supply_temp_sp_c = 45" in orders[0]["text"]
    assert not [record for record in log_of(houses[SPARED])["records"] if record["kind"] == "refused"]


@pytest.mark.needs("power.cut")
def test_what_was_noted_outlives_a_power_cut_and_says_what_became_of_it(bench: Bench) -> None:
    bench.plant.outdoor_temp_c = -5.0
    house = bench.start_controller()
    bench.run_for(120)
    assert house.order(curve_shift_sp_k=-2.0, lease_s=300).result == order_frame.ACCEPTED
    walk(house)
    bench.press_button(house)
    bench.run_for(2)
    bench.press_button(house, down=False)
    bench.run_for(8)  # service mode is kept at once, and what waited with it
    noted = log_of(house)["records"]
    assert all(record["in_flash"] for record in noted)
    bench.cut(house)
    bench.power(house)
    again = log_of(house)
    assert again["whole"] and again["records"][: len(noted)] == noted
    assert [record["kind"] for record in again["records"]] == [
        "boot", "program", "order", "refused", "service", "boot", "program",
    ]  # fmt: skip
    assert [record["boot"] for record in again["records"]] == [1] * 5 + [2] * 2
