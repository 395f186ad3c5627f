"""The device invariants broken on purpose, and the story of the bench that catches each.

A mutation is a small edit of the shipped sources, built by `toplovod build` from a copy of them. Its story
passes on the shipped firmware and fails on the mutated one, by an assertion. It refuses to guess: an edit
whose text is no longer there builds nothing. `python -m hil_tests.mutations` prints the stories, for pytest,
and `--table` the table of docs/bench.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
INVARIANTS = tuple(f"S{number}" for number in range(1, 14))
# What a story cannot judge here, and why: told beside the table rather than claimed.
NOT_JUDGED = {
    "S5": "The thermostat of EN 14597 is a part of the wiring plan, not of the firmware.",
    "S8": "Real time: back within a tick of virtual time is shown, the 2 s of a booting chip are not.",
    "S9": "The wear of a chip (operations are counted, erases in the cells are not), programs that a chip "
    "carries out in another order than they were asked for, and more than thirty brown-outs in a row.",
    "S11": "Residues of integrators move less in hours than a sensor resolves; unit tests judge them.",
    "S12": "What a flood costs in milliseconds: the clock of lockstep stands while sockets are served. Shown "
    "is that everybody else is served and that the tick ends.",
}


@dataclass(frozen=True)
class Mutation:
    """changes: (module of firmware/substation, right, broken). said: a pattern of the line that fails."""

    invariant: str
    broken: str
    changes: Sequence[tuple[str, str, str]]
    story: str
    said: str
    slow: bool = False

    @property
    def name(self) -> str:
        return f"{self.invariant} {self.broken}"

    @property
    def node_id(self) -> str:
        """Where pytest finds the story."""
        return str(HERE / self.story)


_POKE = (
    "register_bank.py",
    "    def put_receipt(self, slot, block):\n",
    "    def poke(self, address, content):\n"
    "        for function in (3, 4):\n"
    "            for start, end, offset in self._blocks[function]:\n"
    "                if start <= address and address + len(content) // 2 <= end:\n"
    "                    first = offset + 2 * (address - start)\n"
    "                    self._image[first : first + len(content)] = content\n\n"
    "    def put_receipt(self, slot, block):\n",
)

MUTATIONS = (
    Mutation(
        "S1",
        "a lost supply sensor shuts the valve",
        [("fallbacks.py", "SUPPLY_LOST_POSITION_BP = 3_000", "SUPPLY_LOST_POSITION_BP = 0")],
        "test_sensor_lost.py::test_without_supply_sensor_the_valve_stands_at_30_percent[open]",
        r"valve_position\[0\]",
    ),
    Mutation(
        "S1",
        "a lost outdoor sensor lowers the supply",
        [("fallbacks.py", "OUTDOOR_LOST_SUPPLY_MC = 50_000", "OUTDOOR_LOST_SUPPLY_MC = 20_000")],
        "test_sensor_lost.py::test_without_outdoor_sensor_the_supply_is_held_at_50[open]",
        r"approx\(50\.0",
        slow=True,
    ),
    Mutation(
        "S1",
        "a shorted sensor passes for a reading",
        [
            ("sensors.py", "if mohm <= _knots[0] or", "if"),
            ("sensors.py", "TEMPERATURE_LOW_MC = -40_000", "TEMPERATURE_LOW_MC = -400_000"),
        ],
        "test_sensor_lost.py::test_without_supply_sensor_the_valve_stands_at_30_percent[short]",
        r'"secondary_supply_temp_c"\) is None',
        slow=True,
    ),
    Mutation(
        "S2",
        "orders go beyond the engineering limits",
        [("orders.py", "if not influence.low <= value <= influence.high:", "if False:")],
        "test_only_orders_act.py::test_an_authentic_order_beyond_the_limits_is_refused_whole[vm-beyond-the-limit]",
        "refused_limit",
    ),
    Mutation(
        "S2",
        "orders move a known time as far as they like",
        [("commands.py", "if order.slot != TECHNICIAN and not self.clock.may(time_s):", "if False:")],
        "test_worst_case_orders.py::test_who_tells_the_time_again_and_again_keeps_no_house_in_its_night",
        "REFUSED_STATE",
        slow=True,
    ),
    Mutation(
        "S2",
        "a spent deficit budget ends nothing",
        [("leases.py", "if only_raise and target < own:", "if False:")],
        "test_order_bounds.py::test_a_spent_budget_gives_the_house_its_own_curve_back",
        "still not so after 2400 s",
        slow=True,
    ),
    Mutation(
        "S2",
        "a restart gives the budget back",
        [("deficit.py", "        saved = persistence.load(RECORD)\n", "        saved = None\n")],
        "test_power_cut.py::test_energy_and_deficit_survive_a_power_cut",
        "deficit_used_kh",
        slow=True,
    ),
    Mutation(
        "S2",
        "limits need no signature",
        [("incoming.py", "if not end.value:", "if end.value is None:")],
        "test_limit_bundles.py::test_a_bundle_of_another_key_or_house_changes_nothing",
        "FAILED",
        slow=True,
    ),
    Mutation(
        "S3",
        "set-points jump",
        [("leases.py", "reach = budget // 60_000", "reach = budget // 600")],
        "test_order_bounds.py::test_an_order_moves_the_setpoint_no_faster_than_the_slew_limit",
        "SLEW_K_PER_MIN",
    ),
    Mutation(
        "S4",
        "a lease never ends",
        [("leases.py", "            if left_s <= -self._delay_s:\n", "            if False:\n")],
        "test_supervisor_silent.py::test_the_house_returns_to_its_own_curve",
        r'"secondary_supply_temp_sp_c"\) is None',
    ),
    Mutation(
        "S4",
        "all leases of a street end in one moment",
        [("leases.py", "    return spread % EXPIRY_SPREAD_S\n", "    return 300\n")],
        "test_supervisor_silent.py::test_a_silent_supervisor_lets_twenty_houses_go_one_by_one_and_gently",
        "the town moved in step",
        slow=True,
    ),
    Mutation(
        "S5",
        "orders go before frost protection",
        [
            (
                "heating_circuit.py",
                "        if not self.frost:\n            return None\n        self._go_on",
                "        return None\n        self._go_on",
            )
        ],
        "test_protection_stays.py::test_a_house_near_frost_is_heated_whatever_is_ordered",
        "FROST",
    ),
    Mutation(
        "S5",
        "no maximum of the supply",
        [
            (
                "heating_circuit.py",
                "        if supply_mc is not None and supply_mc > self._maximum_mc + OVERSHOOT_MK:\n",
                "        if False:\n",
            )
        ],
        "test_protection_stays.py::test_far_above_its_maximum_the_supply_is_shut_off_whatever_is_ordered",
        "MAXIMUM",
        slow=True,
    ),
    Mutation(
        "S5",
        "no scald limit",
        [("dhw.py", "        elif supply_mc > limit_mc:\n            self._scalding = True\n", "")],
        "test_protection_stays.py::test_above_the_scald_limit_hot_water_is_shut_off_while_it_is_drawn",
        "SCALD",
        slow=True,
    ),
    Mutation(
        "S6",
        "an authentic order writes settings",
        [
            _POKE,
            (
                "orders.py",
                "            if influence is None or address in seen:\n",
                "            if influence is None:\n                continue\n"
                "            if address in seen:\n",
            ),
            (
                "orders.py",
                "            influence = self._by_address[address]\n",
                "            influence = self._by_address.get(address)\n"
                "            if influence is None:\n"
                "                self._bank.poke(address, words[0].to_bytes(2, 'big'))\n"
                "                continue\n",
            ),
        ],
        "test_order_bounds.py::test_neither_a_write_nor_an_order_reaches_a_measurement_or_a_setting",
        "REFUSED_REGISTER",
    ),
    Mutation(
        "S6",
        "a write is refused and done all the same",
        [
            _POKE,
            (
                "modbus_server.py",
                "        if answer < 0:\n            return self._refused_write(broadcast, source)\n",
                "        if answer < 0:\n"
                "            at = pdu + values\n"
                "            self._bank.poke(address, bytes(frame[at : at + 2 * count]))\n"
                "            return self._refused_write(broadcast, source)\n",
            ),
        ],
        "test_order_bounds.py::test_neither_a_write_nor_an_order_reaches_a_measurement_or_a_setting",
        "== before",
        slow=True,
    ),
    Mutation(
        "S7",
        "the MAC is not looked at",
        [("orders.py", "if not order_verifies(", "if False and not order_verifies(")],
        "test_only_orders_act.py::test_an_order_that_is_not_ours_fresh_and_timely_is_refused[vm-wrong-key]",
        "DID NOT RAISE",
    ),
    Mutation(
        "S7",
        "an order to everybody acts",
        [
            (
                "modbus_server.py",
                "        if address != self._order_mailbox or count > self._order_words or broadcast:\n",
                "        if address != self._order_mailbox or count > self._order_words:\n",
            )
        ],
        "test_only_orders_act.py::test_an_honest_order_sent_as_a_broadcast_never_acts[vm]",
        "influence",
        slow=True,
    ),
    Mutation(
        "S7",
        "a counter is not used up",
        [("orders.py", "        self._counter[slot] = order.counter\n", "")],
        "test_only_orders_act.py::test_a_replay_in_the_same_boot_is_refused[vm]",
        "DID NOT RAISE",
        slow=True,
    ),
    Mutation(
        "S7",
        "an order holds for ever",
        [
            (
                "orders.py",
                "        if not now_s <= order.not_after_s <= now_s + NOT_AFTER_AHEAD_S:\n",
                "        if False:\n",
            )
        ],
        "test_orders_kept_back.py::test_an_order_held_back_for_a_minute_is_refused",
        "DID NOT RAISE",
        slow=True,
    ),
    Mutation(
        "S8",
        "the watchdog is fed whatever stands",
        [("app.py", "            if standing < 0:\n", "            if True:\n")],
        "test_tasks_that_stop.py::test_a_control_task_that_stands_starves_the_watchdog",
        "resets",
    ),
    Mutation(
        "S8",
        "a dead control task resets nothing",
        [
            (
                "app.py",
                "        finally:\n            self._board.reset()\n",
                "        finally:\n            pass\n",
            )
        ],
        "test_tasks_that_stop.py::test_a_dead_control_task_resets_the_board_at_once",
        "nothing reset it",
        slow=True,
    ),
    Mutation(
        "S8",
        "a dead server stays dead",
        [
            (
                "app.py",
                "                self._log.task(0, error)\n            self._progress.restarted()\n"
                "            await asyncio.sleep_ms(SERVER_PAUSE_MS)\n",
                "                self._log.task(0, error)\n            return\n",
            )
        ],
        "test_tasks_that_stop.py::test_a_dead_communication_task_begins_anew_and_control_goes_on",
        "modbus: listening",
        slow=True,
    ),
    Mutation(
        "S9",
        "a record is removed before the next one is written",
        # LittleFS keeps a file that is written over whole, so that alone would break nothing
        [
            (
                "persistence.py",
                '            with open(draft, "wb") as file:\n',
                "            for ending in (0, 1):\n"
                "                try:\n"
                "                    os.remove(self._path(name, ending))\n"
                "                except OSError:\n"
                "                    pass\n"
                '            with open(draft, "wb") as file:\n',
            )
        ],
        "test_power_cuts.py::test_s9_a_cut_at_every_flash_operation_leaves_old_or_new[limits]",
        "cut in operation",
    ),
    Mutation(
        "S9",
        "every refusal is written to flash",
        [("refusals.py", "now_s - self._saved_s >= SAVE_EVERY_S", "True")],
        "test_attack_is_logged.py::test_the_attack_moves_nothing_wears_nothing_and_is_noted_once",
        r'saves\("refusals"\)',
        slow=True,
    ),
    Mutation(
        "S10",
        "an image needs no signature",
        [("incoming.py", "if not end.value:", "if end.value is None:")],
        "test_update.py::test_an_image_of_another_key_changes_nothing",
        "FAILED",
    ),
    Mutation(
        "S10",
        "older images are taken as well",
        [("update.py", "self.version < max(1, Slots(self._persistence).floor)", "self.version < 1")],
        "test_update.py::test_an_image_is_taken_proved_and_confirmed_while_the_house_is_heated",
        "FAILED",
        slow=True,
    ),
    Mutation(
        "S11",
        "without the time a schedule saves",
        [("comfort.py", "            return NO_TIME\n", "            return SET_BACK\n")],
        "test_without_time.py::test_without_the_time_a_schedule_saves_nothing",
        "NO_TIME",
    ),
    Mutation(
        "S11",
        "the tick counter must not wrap",
        [("uptime.py", "ticks_diff(now, self._at)", "now - self._at")],
        "test_without_time.py::test_seconds_and_a_lease_run_on_where_the_tick_counter_wraps",
        "== 120",
        slow=True,
    ),
    Mutation(
        "S12",
        "a silent crowd pushes masters out",
        [
            (
                "modbus_tcp.py",
                "self._longest_idle(False) or self._longest_idle(True)",
                "self._longest_idle(True) or self._longest_idle(False)",
            )
        ],
        "test_modbus_malformed.py::test_twenty_idle_clients_and_the_twenty_first",
        r"answered\(",
    ),
    Mutation(
        "S12",
        "a client that does not read is waited for",
        [("modbus_tcp.py", "        sock.setblocking(False)\n        try:", "        try:")],
        "test_modbus_malformed.py::test_a_flooder_that_never_reads",
        r"answered\(",
        slow=True,
    ),
    Mutation(
        "S13",
        "manual raises no alarm",
        [("app.py", "self._alarms.set(MANUAL_ALARM, by_hand)", "self._alarms.set(MANUAL_ALARM, False)")],
        "test_manual.py::test_a_valve_put_by_hand_stands_out_and_goes_back_to_the_house_by_itself",
        "ALARM",
    ),
    Mutation(
        "S13",
        "manual never ends",
        [("manual.py", "elif self.active and now_s >= self._ends_s:", "elif False:")],
        "test_manual.py::test_a_valve_put_by_hand_stands_out_and_goes_back_to_the_house_by_itself",
        "!= MANUAL",
        slow=True,
    ),
)


def table() -> str:
    """Return the table of docs/bench.md, as Markdown."""
    lines = ["| invariant | broken on purpose | story that catches it (`hil_tests/`) |", "|---|---|---|"]
    for row in MUTATIONS:
        lines.append(f"| {row.invariant} | {row.broken} | `{row.story}` |")
    lines += ["", "Not judged on the bench:", ""]
    lines += [f"- **{invariant}** {why}" for invariant, why in NOT_JUDGED.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the stories that catch a broken invariant.")
    parser.add_argument("--table", action="store_true", help="the table of docs/bench.md instead")
    if parser.parse_args().table:
        print(table(), end="")
    else:
        print("\n".join(dict.fromkeys(row.node_id for row in MUTATIONS)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
