"""Every device invariant is broken on purpose in a copy of the firmware, and its test must notice.

A test that cannot fail proves nothing; this one keeps the others honest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parent.parent
PROJECT = FIRMWARE.parent

# (invariant, file, [(right, broken)], the test that must fail)
BREAKS = [
    ("S1 a lost supply sensor opens the valve", "substation/fallbacks.py",
     [("SUPPLY_LOST_POSITION_BP = 3_000", "SUPPLY_LOST_POSITION_BP = 0")],
     "test_supply_loop.py::test_s1_supply_lost_puts_the_valve_to_30_percent"),
    ("S1 a lost outdoor sensor fixes the setpoint", "substation/fallbacks.py",
     [("OUTDOOR_LOST_SUPPLY_MC = 50_000", "OUTDOOR_LOST_SUPPLY_MC = 20_000")],
     "test_supply_loop.py::test_s1_outdoor_lost_fixes_the_setpoint"),
    ("S1 a shorted sensor is no reading", "substation/sensors.py",
     [("if mohm <= _knots[0] or", "if"), ("TEMPERATURE_LOW_MC = -40_000", "TEMPERATURE_LOW_MC = -400_000")],
     "test_sensors.py::test_open_short_or_out_of_range_is_no_reading"),
    ("S1 a dead converter is no zero", "boards/converters.py",
     [("LOST_UV = REFERENCE_UV", "LOST_UV = 0")],
     "test_boards.py::test_s1_what_a_converter_does_not_answer_is_lost_whatever_the_kind_of_input[nucleo_h743]"),
    ("S1 a lost DHW sensor closes its valve", "substation/dhw.py",
     [("if self.supply_mc is not None and not self._blind():", "if True:")],
     "test_dhw.py::test_s1_without_both_there_is_no_charging"),
    ("S1 a lost index gives its pressure back", "substation/pump_station.py",
     [("                self._index_mbar = max(0, self._index_mbar - step)", "                pass")],
     "test_pump_station.py::test_s1_index_lost_walks_to_the_own_pressure_and_back"),
    ("S1 a sensor is trusted again after a while only", "substation/sensors.py",
     [("RECOVERY = 5", "RECOVERY = 1")],
     "test_fallbacks.py::test_s1_each_is_lost_told_and_taken_up_again"),
    ("S1 a lost heat meter limits nothing", "substation/meter_doubt.py",
     [("LOST = 1 << SILENT | 1 << REFUSED", "LOST = 0")],
     "test_heat_meters.py::test_every_bit_has_its_row_and_the_row_says_what_happens"),
    ("S1 an old flow limits nothing", "substation/heat_meters.py",
     [("FRESH_MS = 60_000", "FRESH_MS = 600_000_000"),
      ("first.bits & (LOST | DOUBTFUL)", "first.bits & DOUBTFUL")],
     "test_heat_meters.py::test_the_flow_limit_goes_by_the_meter_where_there_is_no_sensor"),
    ("a battery meter is spared", "substation/mbus.py",
     [("        if not meter.battery and meter.interval_ms < SILENT_AGAIN_MS:", "        if True:")],
     "test_mbus.py::test_a_battery_meter_is_asked_once_an_hour_silent_or_not"),
    ("S2 the owner's comfort band", "substation/registers.py",
     [('"curve_shift_lease_s", "curve_shift_minimum_k", "curve_shift_maximum_k")',
       '"curve_shift_lease_s", None, None)')],
     "test_limiters.py::test_s2_the_owners_comfort_band_bounds_the_shift"),
    ("a return that nothing lowers keeps no house cold", "substation/limiters.py",
     [("            bp = max(bp, LEAST_OPEN_BP)\n            if bp", "            if bp")],
     "test_limiters.py::test_a_return_that_nothing_lowers_does_not_shut_the_valve_for_good"),
    ("S2 the second circuit is counted", "substation/supply_loop.py",
     [("            worst_mk = max(worst_mk, below_mk)", "            worst_mk = 0")],
     "test_second_circuit.py::test_an_ordered_shift_moves_both_and_the_deprived_one_is_counted"),
    ("S2 limits", "substation/orders.py",
     [("if not influence.low <= value <= influence.high:", "if False:")],
     "test_orders.py::test_s2_limits_are_the_devices_own"),
    ("S2 all or none", "substation/orders.py",
     [("            seen.add(address)\n", "            seen.add(address)\n"
       "            influence.grant(1, self._value(influence, words), 9999)\n")],
     "test_orders.py::test_all_pairs_apply_or_none"),
    ("S2 a spent budget lets nothing be taken", "substation/leases.py",
     [("if only_raise and target < own:", "if False:")],
     "test_leases.py::test_s2_with_the_budget_spent_an_order_can_only_raise"),
    ("S2 restarts give nothing back", "substation/deficit.py",
     [("        saved = persistence.load(RECORD)\n", "        saved = None\n")],
     "test_deficit.py::test_s2_restarts_give_nothing_back"),
    ("S2 tighter when colder", "substation/deficit.py",
     [("COLDEST_SHARE_PCT = 50", "COLDEST_SHARE_PCT = 100")],
     "test_deficit.py::test_s2_the_budget_is_tighter_when_it_is_colder"),
    ("S2 the signature of limits", "substation/incoming.py",
     [("if not end.value:", "if end.value is None:")],
     "test_limit_bundle.py::test_s2_what_may_not_be_changes_nothing"),
    ("S2 limits of this device alone", "substation/limit_bundle.py",
     [('if device != b"device %s\\n" % self._device_id:', "if False:")],
     "test_limit_bundle.py::test_s2_what_may_not_be_changes_nothing"),
    ("S2 the version of limits rises", "substation/limits_record.py",
     [("return version > self.floor or", "return version or")],
     "test_limit_bundle.py::test_s2_the_version_only_rises"),
    ("S2 limits that are signed are no image", "substation/limit_bundle.py",
     [('b"toplovod limit1"', 'b"toplovod image1"')],
     "test_limit_bundle.py::test_s2_the_signature_of_an_image_is_none_of_limits"),
    ("S2 limits are checked as site.json is", "substation/bundled_limits.py",
     [("if fault is not None:", "if False:")],
     "test_limit_bundle.py::test_settings_that_the_site_refuses_change_nothing"),
    ("S2 limits that the controller does not live with", "substation/bundled_limits.py",
     [("elif limits.tries >= TRIES:", "elif False:")],
     "test_limit_bundle.py::test_a_bundle_that_the_controller_does_not_live_with_is_given_up"),
    ("S5 protection changes at the device alone", "substation/bundled_limits.py",
     [(" dhw_priority_maximum_s ", " dhw_priority_maximum_s dhw_scald_limit_temp_c ")],
     "test_limit_bundle.py::test_s5_what_no_bundle_may_set_is_refused_at_the_start"),
    ("S10 the program before finds its own settings", "substation/site_migrations.py",
     [("            os.rename(draft, place)\n", "            os.rename(draft, path)\n")],
     "test_site_migrations.py::test_steps_lead_from_format_to_format_and_leave_site_json_alone"),
    ("S10 the epochs of format 1 keep their slots", "substation/site_migrations.py",
     [("{SLOTS[i]: epochs[i]", "{SLOTS[i]: epochs[0]")],
     "test_site_migrations.py::test_the_epochs_of_format_one_get_the_names_of_their_slots"),
    ("S3 slew", "substation/leases.py",
     [("reach = budget // 60_000", "reach = budget // 600")],
     "test_leases.py::test_s3_the_effective_value_moves_by_the_slew_limit"),
    ("S4 a lease ends", "substation/leases.py",
     [("if left_s <= -self._delay_s:", "if False:")],
     "test_leases.py::test_s4_expiry_is_bumpless_delayed_and_ends_at_the_own_curve"),
    ("S4 not all together", "substation/leases.py",
     [("return spread % EXPIRY_SPREAD_S", "return 300")],
     "test_leases.py::test_v10_a_town_does_not_move_in_step"),
    ("S5 frost beats limiters", "substation/heating_circuit.py",
     [("        if not self.frost:\n            return None\n        self._go_on",
       "        return None\n        self._go_on")],
     "test_supply_loop.py::test_s5_frost_protection_beats_every_order"),
    ("S5 the pump in frost", "substation/heating_circuit.py",
     [("cold = outdoor_mc is None or outdoor_mc < self._frost_outdoor_mc", "cold = False"),
      ("outdoor_mc is None or outdoor_mc < self._summer_mc or", "")],
     "test_supply_loop.py::test_s5_the_pump_never_rests_in_frost"),
    ("S5 the supply maximum", "substation/heating_circuit.py",
     [("if supply_mc is not None and supply_mc > self._maximum_mc + OVERSHOOT_MK:", "if False:")],
     "test_supply_loop.py::test_s5_far_above_the_maximum_the_valve_closes_whatever_is_ordered"),
    ("S5 the second maximum", "substation/heating_circuit.py",
     [("if supply_mc is not None and supply_mc > self._maximum_mc + OVERSHOOT_MK:", "if False:")],
     "test_second_circuit.py::test_s5_the_second_maximum_closes_the_second_valve"),
    ("S7 a role narrows", "substation/modbus_tls.py",
     [("frame[pdu + head + 1] == self._slot", "True")],
     "test_modbus_tls.py::test_another_role_or_none_only_reads"),
    ("S7 TLS asks for a certificate", "substation/modbus_tls.py",
     [("made.verify_mode = tls.CERT_REQUIRED", "made.verify_mode = tls.CERT_NONE")],
     "test_modbus_tls.py::test_no_certificate_of_the_authority_gets_in"),
    ("S5 a cold exchanger is filled from below", "substation/dhw_instantaneous.py",
     [("            self._filling_ms = FILLING_MS\n", "            self._filling_ms = 0\n")],
     "test_dhw.py::test_s5_a_draw_off_right_after_power_on_fills_a_cold_exchanger_without_scalding"),
    ("a tap's cold start is no cold exchanger", "substation/dhw_instantaneous.py",
     [("FILLING_MK = 15_000", "FILLING_MK = 6_000")],
     "test_dhw.py::test_the_cold_start_of_a_tap_is_no_cold_exchanger"),
    ("S5 the scald limit", "substation/dhw.py",
     [("        elif supply_mc > limit_mc:\n            self._scalding = True\n", "")],
     "test_dhw.py::test_s5_above_the_scald_limit_the_valve_closes_whatever_is_drawn"),
    ("S5 no order reaches DHW", "substation/limiters.py",
     [("limit_l_h = limits.own_flow_l_h if self._own else limits.flow_l_h", "limit_l_h = limits.flow_l_h")],
     "test_dhw.py::test_s5_no_order_takes_hot_water_away"),
    ("S5 the DHW floor", "substation/dhw.py",
     [("        wanted_mc = max(wanted_mc, self._floor_mc)\n", "")],
     "test_dhw.py::test_a_schedule_lowers_dhw_to_the_floor_at_most"),
    ("S5 frost beats the priority of DHW", "substation/precedence.py",
     [('"supply_lost", "frost", "manual",', '"supply_lost", "manual",'),
      ('    "controlled",\n)', '    "controlled", "frost",\n)')],
     "test_dhw.py::test_priority_absolute_yields_to_frost"),
    ("S5 a room near frost", "substation/heating_circuit.py",
     [("room_mc is not None and room_mc < ROOM_FROST_MC", "False")],
     "test_comfort.py::test_s5_a_room_near_frost_is_heated_whatever_the_season_or_hour"),
    ("S5 a pump that would run dry", "substation/pump_station.py",
     [("if self._dry_ms >= DRY_FOR_MS:", "if False:")],
     "test_pump_station.py::test_a_pump_that_would_run_dry_stops_and_waits_for_water"),
    ("S5 a stopped pump has no enable", "substation/plant_pumps.py",
     [("            self._enable(False)\n", "            pass\n")],
     "test_pump_station.py::test_s5_the_pumps_have_their_enable_while_they_turn_and_only_then"),
    ("a pump that shall turn has its enable", "substation/plant_pumps.py",
     [("            self._board.pump(on, 0)\n", "            pass\n")],
     "test_boards.py::test_s5_the_pumps_relay_closes_before_a_speed_and_opens_with_the_last[nucleo_h743]"),
    ("S1 no protection without its sensor", "substation/site_functions.py",
     [("needed = [row for row in NEEDS if row[0] in used]", "needed = []")],
     "test_site_functions.py::test_s1_nothing_is_taken_without_the_sensor_that_it_goes_by"),
    ("S5 a pump that would cavitate", "substation/pump_station.py",
     [("self._holding_back = most_bp < speed_bp", "self._holding_back = False")],
     "test_pump_station.py::test_low_suction_pressure_holds_the_speed_back"),
    ("S6 settings are no setpoints", "substation/registers.py",
     [("SUBSTATION_CONFIG = rows_of(HOLDING, CONFIG,", "SUBSTATION_CONFIG = rows_of(HOLDING, SETPOINT,")],
     "test_registers.py::test_s6_no_measurement_or_setting_is_a_setpoint"),
    ("S5 without flow the valve closes", "substation/heating_circuit.py",
     [("        if not self.pump.stands:\n            return None\n", "        return None\n")],
     "test_pump_pwm.py::test_s5_a_pump_that_stands_closes_the_valve_and_gives_it_back"),
    ("S1 a cut line of a pump's feedback costs no heat", "substation/pump_feedback.py",
     [("state in (STANDBY, ELECTRICAL, BLOCKED)", "state != RUNS")],
     "test_pump_pwm.py::test_a_cut_line_or_a_warning_costs_no_heat"),
    ("S7 legacy mode is for one master", "substation/legacy.py",
     [("        if source != self._source:\n            return OTHERS\n", "")],
     "test_legacy.py::test_s7_nobody_else_and_nothing_else"),
    ("S7 legacy mode is for named registers", "substation/legacy.py",
     [("            if place not in self._addresses:", "            if place < 0:")],
     "test_legacy.py::test_s7_nobody_else_and_nothing_else"),
    ("S7 legacy mode takes no broadcast", "substation/modbus_server.py",
     [("if self.legacy is not None and not broadcast:", "if self.legacy is not None:")],
     "test_legacy.py::test_s7_nobody_else_and_nothing_else"),
    ("S7 keys go before legacy mode", "substation/orders.py",
     [("UTILITY: 1, LEGACY: 0}", "UTILITY: 1, LEGACY: 3}")],
     "test_legacy.py::test_s7_every_key_goes_before_it"),
    ("S2 limits of legacy mode", "substation/legacy.py",
     [("result, detail = mailbox._judge(order)", "result, detail = ACCEPTED, 0")],
     "test_legacy.py::test_s2_limits_hold"),
    ("S2 the budget of legacy mode", "substation/legacy.py",
     [("        if result == ACCEPTED:", "        if result in (ACCEPTED, 5, 3, 4):")],
     "test_legacy.py::test_s2_the_deficit_budget_holds"),
    ("S4 a lease of legacy mode is half an hour at most", "substation/site_legacy.py",
     [("LEASE_S = (300, 1800)", "LEASE_S = (300, 3600)")],
     "test_legacy.py::test_s4_the_lease_ends_and_is_never_longer_than_half_an_hour"),
    ("S7 the MAC", "substation/orders.py",
     [("if not order_verifies(", "if False and not order_verifies(")],
     "test_orders.py::test_s7_what_does_not_authenticate_changes_nothing"),
    ("S7 the counter", "substation/orders.py",
     [("        self._counter[slot] = order.counter\n", "")],
     "test_orders.py::test_a_replay_is_refused"),
    ("S7 the time", "substation/orders.py",
     [("if not now_s <= order.not_after_s <= now_s + NOT_AFTER_AHEAD_S:", "if False:")],
     "test_orders.py::test_s7_what_does_not_authenticate_changes_nothing"),
    ("S7 a counter is used up by a frame too early", "substation/orders.py",
     [("        self._counter[slot] = order.counter\n", ""),
      ("        result, detail = self._judge(order)\n",
       "        self._counter[slot] = order.counter\n        result, detail = self._judge(order)\n")],
     "test_orders.py::test_an_order_too_early_cannot_be_delivered_when_its_time_has_come"),
    ("S7 the epoch is kept", "substation/keys.py",
     [("if not self._persistence.save(", "if False and not self._persistence.save(")],
     "test_orders.py::test_a_later_epoch_proves_itself_and_shuts_out_the_earlier_for_good"),
    ("S7 broadcast", "substation/modbus_server.py",
     [("count > self._order_words or broadcast:", "count > self._order_words:")],
     "test_modbus_server.py::test_s7_broadcast_acts_on_nothing"),
    ("S7 broadcast on a serial line", "substation/modbus_rtu.py",
     [("        if unit == 0:\n", "        if False:\n"),
      ("if unit != self._unit:", "if unit != self._unit and unit:")],
     "test_modbus_rtu.py::test_s7_a_broadcast_is_counted_and_goes_no_further"),
    ("S7 a frame's length", "substation/modbus_rtu.py",
     [("        if free and have <=", "        if have <=")],
     "test_modbus_rtu.py::test_s7_a_matching_crc_is_not_enough"),
    ("S10 the signature", "substation/incoming.py",
     (("if not end.value:", "if end.value is None:"),),
     "test_update.py::test_no_program_is_written_before_the_signature_is_verified"),
    ("S10 the version floor", "substation/update.py",
     (("self.version < max(1, Slots(self._persistence).floor)", "self.version < 1"),),
     "test_update.py::test_s10_the_version_floor_rises_at_confirmation_and_not_before"),
    ("S10 a damaged image", "substation/slots.py",
     (("if not file_is(folder + path, size, wanted):", "if False:"),),
     "test_update.py::test_a_damaged_image_gives_way_to_the_one_before"),
    ("S10 an image that dies", "substation/slots.py",
     (("slots.deaths >= TRIES", "False"),),
     "test_update.py::test_an_image_on_trial_runs_until_it_has_died_three_times"),
    ("S10 an image that does not heat", "substation/trial.py",
     (("if self._off_s >= OFF_S:", "if False:"),),
     "test_trial.py::test_an_image_that_does_not_heat_where_the_one_before_did_is_given_up"),
    ("S10 a lost sensor decides nothing", "substation/trial.py",
     (("if performance.faults & ~self._before_faults:", "if False:"),),
     "test_trial.py::test_a_lost_sensor_stops_the_count_of_what_stands_and_does_not_begin_it_anew"),
    ("S10 a lost flow is no standing pump", "substation/performance.py",
     (("self.stands = running == 0", "self.stands = running in (0, 0xFFFF)"),),
     "test_trial.py::test_a_flow_sensor_lost_on_trial_is_no_standing_pump"),
    ("S10 no way back below the floor", "substation/updating.py",
     (("return self._trial is not None", "return bool(self._running)"),),
     "test_updating.py::test_s10_there_is_no_way_back_by_order_once_it_is_confirmed"),
    ("S10 worse control", "substation/trial.py",
     (("performance.last_mk <= self._allowed_mk", "True"),),
     "test_trial.py::test_the_bound_is_a_quarter_and_half_a_kelvin_above_what_was"),
    ("S10 a cold network", "substation/performance.py",
     (("10 * (source - wanted) >= HEAD_MK", "True"),),
     "test_trial.py::test_a_cold_network_is_not_the_images_doing"),
    ("S5 a closed valve that lets water through is driven shut", "substation/following.py",
     [("                    valve.reassure()\n", "                    pass\n")],
     "test_supply_loop.py::test_a_closed_valve_that_lets_water_through_is_driven_shut_again"),
    ("a valve that no longer moves is told", "substation/following.py",
     [("supply_mc - return_mc > CARRIED_MK", "False")],
     "test_following.py::test_a_valve_jammed_open_is_told_and_taken_back_when_it_follows"),
    ("a valve jammed shut is told", "substation/following.py",
     [("            return True\n        steady_l_h", "            return None\n        steady_l_h")],
     "test_following.py::test_a_valve_jammed_shut_is_told"),
    ("a valve jammed half-way is told", "substation/following.py",
     [("7 * steady_l_h <= 10 * flow_l_h <= 11 * steady_l_h", "False")],
     "test_following.py::test_a_valve_jammed_half_way_is_told_when_opening_brings_nothing"),
    ("a valve left elsewhere by a welded relay comes back", "substation/following.py",
     [("            self._wrong_ms = 0\n            valve.reassure()", "            self._wrong_ms = 0")],
     "test_following.py::test_a_valve_left_elsewhere_is_driven_to_its_stop_and_control_goes_on"),
    ("S5 a valve that was driven on is driven back", "substation/following.py",
     [("                self._driven_on = False\n                valve.reassure()", "                pass")],
     "test_dhw.py::test_s5_a_valve_that_was_driven_on_is_driven_back_as_far"),
    ("a slow motor leaves no tap cold", "substation/dhw_instantaneous.py",
     [("hurry = SHORT_TIMES if self._short_ms > SHORT_MS else 1", "hurry = 1")],
     "test_dhw.py::test_a_motor_four_times_too_slow_leaves_no_tap_cold"),
    ("no limiter hurries with the correction", "substation/dhw_instantaneous.py",
     [("self._limited(within_bp, error_mk, dt_ms)", "self._limited(within_bp, error_mk, dt_ms * hurry)")],
     "test_dhw.py::test_no_limiter_hurries_with_the_correction"),
    ("what cannot be given is no fault of the valve", "substation/following.py",
     [("if dp_mbar is not None and dp_mbar <= LOW_DP_MBAR:", "if False:")],
     "test_following.py::test_what_the_valve_has_not_made_is_not_told"),
    ("a return warmer than the supply keeps no house cold", "substation/limiters.py",
     [("return None if self.contradicted else", "return")],
     "test_following.py::test_exchanged_network_sensors_are_told_and_keep_no_house_cold"),
    ("S8 the watchdog", "substation/app.py",
     [("            if standing < 0:\n", "            if True:\n")],
     "test_app.py::test_s8_the_watchdog_is_fed_only_by_progress"),
    ("S8 a dead control task", "substation/app.py",
     [("            self._board.reset()\n", "            return\n")],
     "test_app.py::test_s8_a_dead_control_task_resets_the_board_with_the_valve_held"),
    ("S8 a dead monitor", "substation/app.py",
     [('        controller.died("monitor", error)\n', "        raise\n")],
     "test_app.py::test_s8_a_dead_monitor_resets_the_board_with_the_valve_held"),
    ("a program that a tool ends leaves no motor running", "main.py",
     [("        app.controller.end()\n", "        pass\n")],
     "test_app.py::test_whoever_takes_over_by_cable_finds_the_valves_held_and_raises_no_alarm_by_the_reset"),
    ("S8 a dead server", "substation/app.py",
     [("            await asyncio.sleep_ms(SERVER_PAUSE_MS)\n", "            return\n")],
     "test_app.py::test_s8_a_dead_server_is_begun_again_and_control_goes_on"),
    ("S9 a power cut", "substation/persistence.py",
     [('self._path(name, "new")', "self._path(name, 0)"), ("self._path(name, generation & 1)", "draft")],
     "test_persistence.py::test_s9_a_power_cut_at_any_operation_leaves_old_or_new"),
    ("S9 a flooder hides nobody", "substation/refusals.py",
     [("if entry[0] == source:", "if False:")],
     "test_refusals.py::test_s9_a_flooder_fills_one_entry"),
    ("S9 wear", "substation/refusals.py",
     [("now_s - self._saved_s >= SAVE_EVERY_S", "True")],
     "test_refusals.py::test_s9_a_flood_writes_flash_once_an_hour"),
    ("S9 strangers do not fill the event log", "substation/event_log.py",
     [("self._told[cause] < STRANGERS", "True")],
     "test_event_log.py::test_s9_strangers_never_turn_the_log_over"),
    ("S9 a restart gives strangers nothing back", "substation/log_opening.py",
     [("            self.told[record[KIND + 3]] += 1\n", "            pass\n")],
     "test_event_log.py::test_s9_strangers_never_turn_the_log_over"),
    ("S9 who holds a key does not fill it", "substation/event_log.py",
     [("        if due_s - now_s > (BURST - 1) * EVERY_S:\n", "        if False:\n")],
     "test_event_log.py::test_s9_who_holds_a_key_is_coalesced_as_well"),
    ("S9 the event log's wear", "substation/event_log.py",
     [("        if self._allowance_s < COST_S:\n", "        if False:\n")],
     "test_event_log.py::test_s9_whatever_is_told_the_flash_is_written_so_often_a_day_and_no_oftener"),
    ("S9 no record behind a torn one", "substation/log_segments.py",
     [("                    self._closed = True\n                    break", "                    break")],
     "test_event_log.py::test_s9_a_torn_or_altered_end_costs_that_record_alone"),
    ("S9 the chain goes through every record", "substation/event_log.py",
     [("self._head = link(self._head,", "self._head = link(b'',")],
     "test_event_log.py::test_a_log_begins_with_the_boot_and_goes_on_behind_what_is_kept"),
    ("S9 a refusing flash stops nothing", "substation/event_log.py",
     [("except (OSError, MemoryError) as error:", "except KeyError as error:")],
     "test_event_log.py::test_s9_a_flash_that_refuses_costs_the_log_and_nothing_else"),
    ("S9 a log that cannot be read stops no boot", "substation/log_segments.py",
     [("            except OSError as error:  # what cannot",
       "            except KeyError as error:  # what cannot")],
     "test_event_log.py::test_a_flash_that_cannot_be_read_stops_no_boot"),
    ("S9 a crash loop wears nothing", "substation/event_log.py",
     [("if self._last_kind != DIED or", "if True or")],
     "test_event_log.py::test_a_crash_loop_is_kept_once"),
    ("S11 the integrator's residue", "substation/pi_controller.py",
     [("self._residue = gathered - steps * self._per_bp", "self._residue = 0")],
     "test_pi_controller.py::test_s11_the_smallest_lasting_error_moves_the_output_in_the_end"),
    ("S11 without the time it is comfort", "substation/comfort.py",
     [("            return NO_TIME\n", "            return SET_BACK\n")],
     "test_comfort.py::test_s11_without_valid_time_it_is_comfort"),
    ("S11 legionella by elapsed time", "substation/legionella.py",
     [("            return self._started_age_s >= self._interval_s\n", "            return False\n")],
     "test_legionella.py::test_s11_without_valid_time_it_goes_by_elapsed_time"),
    ("S5 legionella die at the far end of the loop", "substation/dhw_instantaneous.py",
     [("min(LOOP_MK, self.supply_mc - coldest_mc)", "0")],
     "test_legionella.py::test_what_circulation_loses_on_its_way_is_made_up_for"),
    ("S9 a run that a power cut ended is no proof", "substation/legionella.py",
     [("NOT_HELD if saved[0] == RUNNING else saved[0]", "saved[0]")],
     "test_legionella.py::test_s9_the_proof_outlives_a_power_cut_and_a_run_cut_short_is_none"),
    ("S11 adaptation's residue", "substation/room.py",
     [("self._residue = gathered - whole * ADAPT_MS", "self._residue = 0")],
     "test_comfort.py::test_adaptation_learns_slowly_within_its_bound_and_is_kept"),
    ("S11 damping loses nothing", "substation/damping.py",
     [("            state += value - state // lag\n",
       "            state += (value - state // lag) // 2 * 2\n")],
     "test_sensor_kinds.py::test_damping_is_first_order_loses_nothing_and_lets_none_through"),
    ("S11 the clock's residue", "substation/uptime.py",
     [("self._residue_ms = passed % 1000", "self._residue_ms = 0")],
     "test_uptime.py::test_s11_seconds_are_exact_over_months"),
    ("S13 manual raises a standing alarm", "substation/app.py",
     [("self._alarms.set(MANUAL_ALARM, by_hand)", "self._alarms.set(MANUAL_ALARM, False)")],
     "test_manual.py::test_s13_in_the_vm_manual_raises_its_alarm_and_ends_at_a_restart"),
    ("S13 manual ends by itself", "substation/manual.py",
     [("elif self.active and now_s >= self._ends_s:", "elif False:")],
     "test_manual.py::test_s13_it_ends_by_itself_and_leases_have_run_on"),
    ("S13 manual is for who stands there", "substation/manual.py",
     [("if order.slot != TECHNICIAN:", "if False:")],
     "test_manual.py::test_s13_only_a_technician_in_service_mode"),
    ("S13 protection stands above manual", "substation/precedence.py",
     [('"over_maximum", "pump_stands", "supply_lost", "frost", "manual",',
       '"manual", "over_maximum", "pump_stands", "supply_lost", "frost",')],
     "test_manual.py::test_s5_protection_stands_above_manual"),
    ("S13 the scald limit stands above manual", "substation/precedence.py",
     [('("scald", "lost", "end_stop", "manual",', '("manual", "scald", "lost", "end_stop",')],
     "test_manual.py::test_s5_the_scald_limit_stands_above_manual"),
    ("S12 a silent crowd", "substation/modbus_tcp.py",
     [("self._longest_idle(False) or self._longest_idle(True)",
       "self._longest_idle(True) or self._longest_idle(False)")],
     "test_modbus_tcp.py::test_s12_a_silent_crowd_pushes_out_only_itself"),
    ("S12 a flood", "substation/modbus_tcp.py",
     [("        sock.setblocking(False)\n        try:", "        try:")],
     "test_modbus_tcp.py::test_s12_a_flood_costs_no_control_cycle"),
    ("S11 the tick counter wraps", "substation/uptime.py",
     [("ticks_diff(now, self._at)", "now - self._at")],
     "test_tick_wrap.py::test_the_wrap_changes_nothing[one circuit-after an hour]"),
    ("S11 a position stays a small integer", "substation/valve.py",
     [("percent = hundred // self._stroke_ms",
       "percent = self._estimate_ms * FULL_BP // self._stroke_ms // 100")],
     "test_small_integers.py::test_a_control_step_leaves_31_bits_at_known_places_only"),
    ("a board refuses what it has no pins for", "substation/site_functions.py",
     [("    if fits:\n        return wanted\n", "    if True:\n        return wanted\n")],
     "test_boards.py::test_a_second_pump_needs_a_second_speed"),
    ("a relay on a pin that is high at the start", "boards/olimex_esp32_poe_pins.py",
     [("PUMPS = (4,)", "PUMPS = (15,)"), ("PULSES = 15", "PULSES = 4")],
     "test_boards.py::test_no_function_of_a_board_is_on_a_pin_that_cannot_have_it"),
]  # fmt: skip


class Forge:
    """Runs tests of copies of the firmware. Plugins that no test of it needs are not loaded."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, str(FIRMWARE / "tests" / "forked_pytest.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )  # fmt: skip

    def run(self, folder, *tests):
        """Run tests of a copy; return pytest's exit status and what it printed."""
        output = folder / "printed.txt"
        arguments = ["-q", "-x", "-p", "no:cacheprovider", "-p", "pytest_timeout",
                     "-p", "pytest_asyncio.plugin", "--timeout=60", *tests]  # fmt: skip
        request = {"folder": str(folder), "arguments": arguments, "output": str(output)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return int(answer), output.read_text()

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def forge():
    made = Forge()
    yield made
    made.close()


def copied(folder):
    """A copy of the firmware in a place of its own, with the project's settings for pytest."""
    shutil.copytree(FIRMWARE, folder / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)
    return folder


def break_and_run(forge, folder, file, changes, test):
    """Run a test in a copy that is broken in one place."""
    copied(folder)
    path = folder / "firmware" / file
    text = path.read_text()
    for right, broken in changes:
        if right not in text:
            return None, f"{file} has no {right!r} any more: bring this row up to date"
        text = text.replace(right, broken)
    path.write_text(text)
    return forge.run(folder, f"firmware/tests/{test}")


def run_unbroken(forge, folder):
    """Run the first test that a row names of each file, in a sound copy; in the tree all of them run."""
    first = {}
    for *_, test in BREAKS:
        first.setdefault(test.split("::")[0], test)
    return forge.run(copied(folder), *(f"firmware/tests/{test}" for test in first.values()))


ROWS = {name: row for name, *row in BREAKS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_broken_invariant_is_noticed(forge, tmp_path, name):
    status, printed = break_and_run(forge, tmp_path, *ROWS[name])
    assert status == 1, printed
    assert re.search(r"^FAILED ", printed, re.M), printed


@pytest.mark.slow
def test_an_unbroken_copy_passes(forge, tmp_path):
    """The copy itself is sound: what fails above fails because of the break."""
    status, printed = run_unbroken(forge, tmp_path)
    assert status == 0, printed
    assert "skipped" not in printed, printed
