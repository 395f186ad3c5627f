"""site.json, the optional functions: every mistake is named with its key, and none stops the heating."""

import pytest

from firmware.substation import registers, site_functions

from .dhw_rig import INSTANTANEOUS, STORAGE, TWO_CIRCUITS
from .order_rig import settings_of

PERIOD = {"mon": ["06:00-09:00"]}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"heating_circuits": 3}, "heating_circuits"), ({"dhw": "boiler"}, "dhw"),
        ({"dhw_comfort_temp_c": 55}, "dhw_comfort_temp_c"), ({"curve2_cold_supply_temp_c": 40}, "curve2_cold_supply_temp_c"),
        ({"curve_points": [[0, 50]]}, "curve_points"), ({"curve_points": [[0, 50], [-5, 60]]}, "curve_points"),
        ({"curve_points": [[-10, 40], [10, 50]]}, "curve_points"), ({"curve_points": [[-10, 99], [10, 50]]}, "curve_points"),
        ({"curve_points": [[-10, 60], [-5, 55], [0, 50], [5, 45], [10, 40]]}, "curve_points"),
        ({"curve_points": "60"}, "curve_points"), ({"curve_points": [[-10, True], [0, 5]]}, "curve_points"),
        ({"curve_slope": {"slope": 3.3}}, "curve_slope"), ({"curve_slope": {"level_k": 3}}, "curve_slope"),
        ({"curve_slope": {"slope": 1, "level_k": 31}}, "curve_slope"), ({"curve_slope": 1.8}, "curve_slope"),
        ({"curve_slope": {"slope": 1}, "curve_points": [[-10, 60], [10, 30]]}, "curve_slope"),
        ({"schedule": {"mun": ["06:00-09:00"]}}, "schedule"), ({"schedule": {"fri-mon": ["06:00-09:00"]}}, "schedule"),
        ({"schedule": {"mon": ["09:00-06:00"]}}, "schedule"), ({"schedule": {"mon": ["6:00-09:00"]}}, "schedule"),
        ({"schedule": {"mon": ["06:00-09:00", "08:00-10:00"]}}, "schedule"), ({"schedule": []}, "schedule"),
        ({"schedule": {"mon": ["06:00-24:01"]}}, "schedule"), ({"schedule": {"mon": "06:00-09:00"}}, "schedule"),
        ({"schedule": {"mon": ["00:00-01:00"] * 7}}, "schedule"),
        ({"holidays": [["2026-12-24"]]}, "holidays"), ({"holidays": [["2026-12-24", "2026-12-20"]]}, "holidays"),
        ({"holidays": [["2026-13-24", "2026-12-25"]]}, "holidays"), ({"holidays": [["x", "y"]]}, "holidays"),
        ({"schedule2": PERIOD}, "schedule2"), ({"dhw_schedule": PERIOD}, "dhw_schedule"),
        ({"utc_offset_min": 900}, "utc_offset_min"), ({"summer_time": "us"}, "summer_time"),
        ({"return_difference_limit_k": 0.4}, "return_difference_limit_k"), ({"contract_heat_limit_kw": "9"}, "contract_heat_limit_kw"),
        ({"capacity_window_s": 900}, "capacity_window_s"), ({"room_influence_pct": 1001}, "room_influence_pct"),
        ({"valve_kind": "steam"}, "valve_kind"), ({"pumps": 2}, "pumps"),
        ({"inputs": {"moon_temp_c": None}}, "inputs"), ({"inputs": {"room_temp_c": {"channel": 15}}}, "inputs"),
        ({"inputs": {"room_temp_c": {"channel": 0}}}, "inputs"), ({"inputs": {"room_temp_c": {"kind": "4-20ma"}}}, "inputs"),
        ({"inputs": {"primary_dp_bar": {"kind": "pulses", "span": 1}}}, "inputs"),
        ({"inputs": {"dhw_flow_m3_h": {"channel": 9, "kind": "4-20ma"}}}, "inputs"),
        ({"inputs": {"room_temp_c": {"colour": 1}}}, "inputs"), ({"inputs": {"room_temp_c": 5}}, "inputs"),
        ({"inputs": {"room_temp_c": {"damping_s": -1}}}, "inputs"), ({"inputs": []}, "inputs"),
        ({"inputs": {"room_temp_c": {"channel": 12, "kind": "ds18b20", "rom": "10ff641e8216c3a1"}}}, "inputs"),
        ({"inputs": {"room_temp_c": {"channel": 12, "kind": "ds18b20", "rom": "28ff641e8216c3"}}}, "inputs"),
        ({"inputs": {"room_temp_c": {"channel": 12, "kind": "ds18b20", "rom": 5}}}, "inputs"),
        ({"inputs": {"dhw_flow_m3_h": {"channel": 12, "kind": "pulses", "span": 1}}}, "inputs"),
        ({"inputs": {"room_temp_c": {"rom": "28ff641e8216c3a1"}}}, "inputs"),
        ({"heating_circuits": 2}, "heating_circuits"), ({"dhw": "instantaneous"}, "dhw"),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_key(changes, key):
    settings = settings_of(**changes)
    assert key in [k for k, _ in settings.mistakes]
    for name, sentence in settings.mistakes:
        assert len(sentence) > 10, name
    assert settings.curve(0)[1] >= settings.curve(0)[3]


STATION = {"profile": "pump_station"}
SUCTION_WIRED = {"suction_pressure_bar": {"channel": 8, "kind": "4-20ma", "span": 10}}
INDEX_WIRED = {"index_dp_bar": {"channel": 9, "kind": "4-20ma", "span": 16}}


@pytest.mark.parametrize(
    ("changes", "key", "needed", "wired"),
    [
        ({"dry_run_pressure_bar": 0.3}, "dry_run_pressure_bar", "suction_pressure_bar", SUCTION_WIRED),
        ({"suction_pressure_minimum_bar": 1}, "suction_pressure_minimum_bar", "suction_pressure_bar", SUCTION_WIRED),
        ({"index_dp_own_bar": 0.8}, "index_dp_own_bar", "index_dp_bar", INDEX_WIRED),
        ({"plant_flow_minimum_m3_h": 20, "inputs": {"plant_flow_m3_h": None}}, "plant_flow_minimum_m3_h",
         "plant_flow_m3_h", {}),
        ({"inputs": {"plant_dp_bar": None}}, "inputs", "plant_dp_bar", {}),
        ({"profile": "substation", "inputs": {"secondary_supply_temp_c": None}}, "inputs", "secondary_supply_temp_c", {}),
    ],
)  # fmt: skip
def test_s1_nothing_is_taken_without_the_sensor_that_it_goes_by(changes, key, needed, wired):
    """A protection that rests without a word is worse than none; the safe start tells of it."""
    settings = settings_of(**{**STATION, **changes})
    assert settings.mistakes == [(key, f"needs the input {needed}; it counts as lost")]
    assert settings_of(**{**STATION, **changes, "inputs": wired}).mistakes == []


@pytest.mark.parametrize(
    ("wiring", "register"),
    [
        ({"kind": "ds18b20"}, "room_temp_c"),  # channels below 8 have terminals of their own
        ({"channel": 6}, "room_temp_c"),
        ({"channel": 5, "kind": "4-20ma"}, "primary_dp_bar"),
        ({"channel": 7, "kind": "0-10v", "span": 4}, "primary_flow_m3_h"),
        ({"channel": 13, "kind": "pulses", "span": 1}, "primary_flow_m3_h"),
        ({"kind": "pulses", "span": 1}, "primary_flow_m3_h"),
    ],
)
def test_wiring_that_cannot_work_is_named(wiring, register):
    # the usual input of the channel is taken off, so that only the wiring itself can be wrong
    off = {"room_temp_c": None, "primary_dp_bar": None, "primary_flow_m3_h": None}
    mistakes = settings_of(inputs={**off, register: wiring}).mistakes
    assert len(mistakes) == 1
    assert "channel" in mistakes[0][1]


@pytest.mark.parametrize(
    ("register", "damping_s", "right"),
    [
        ("outdoor_temp_c", 86_400, True), ("room_temp_c", 86_400, True), ("outdoor_temp_c", 86_401, False),
        ("secondary_supply_temp_c", 10, True), ("secondary_supply_temp_c", 11, False),
        ("primary_flow_m3_h", 60, False), ("primary_return_temp_c", 3_600, False),
    ],
)  # fmt: skip
def test_only_what_changes_slowly_may_be_damped_for_long(register, damping_s, right):
    settings = settings_of(inputs={register: {"damping_s": damping_s}})
    assert (settings.mistakes == []) == right
    assert settings.damping == ({register: damping_s * 1000} if right else {})


def test_sensors_on_one_wire_are_told_apart_by_their_number():
    def ds18b20(channel, **rom):
        return {"channel": channel, "kind": "ds18b20", **rom}

    both = settings_of(
        inputs={
            "outdoor_temp_c": ds18b20(8, rom="28FF641e8216c3a1"),
            "room_temp_c": ds18b20(9, rom="28ff641e8216c3a2"),
        }
    )
    assert both.mistakes == []
    assert [row[3] for row in both.inputs if row[0] in ("outdoor_temp_c", "room_temp_c")] == [
        0x28FF641E8216C3A1, 0x28FF641E8216C3A2,
    ]  # fmt: skip
    assert settings_of(inputs={"room_temp_c": ds18b20(8)}).mistakes == []  # alone it needs no name
    for outdoor, room in (({}, {}), ({"rom": "28ff641e8216c3a1"}, {}), ({"rom": "28ff641e8216c3a1"},) * 2):
        inputs = {"outdoor_temp_c": ds18b20(8, **outdoor), "room_temp_c": ds18b20(9, **room)}
        (mistake,) = settings_of(inputs=inputs).mistakes
        assert "rom" in mistake[1]


@pytest.mark.parametrize("changes", [INSTANTANEOUS, STORAGE, TWO_CIRCUITS, {"schedule": PERIOD}])
def test_a_right_file_is_taken_whole(changes):
    assert settings_of(**changes).mistakes == []


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        ("dhw_comfort_temp_c", "dhw_scald_limit_temp_c", (65, 60)),
        ("dhw_floor_temp_c", "dhw_scald_limit_temp_c", (60, 58)),
        ("legionella_hold_s", "legionella_duration_maximum_s", (3600, 1800)),
    ],
)
def test_limits_that_cross_are_named_and_replaced(low, high, values):
    settings = settings_of(**STORAGE, **{low: values[0], high: values[1]})
    assert low in [k for k, _ in settings.mistakes]
    assert settings.fixed(low) < settings.fixed(high)


def test_the_limits_hash_follows_every_limit_and_no_schedule():
    hashes = {settings_of(**STORAGE).limits_hash}
    for changes in (
        {"dhw_scald_limit_temp_c": 62}, {"legionella_temp_c": 65}, {"return_limit_points": [[0, 50], [5, 45]]},
        {"return_limit_points": [[0, 50], [5, 46]]}, {"flow_limit_points": [[0, 2], [5, 1]]},
        {"contract_heat_limit_kw": 9}, {"curve_slope": {"slope": 1.5}}, {"legionella_interval_s": 100_000},
        {"legionella_interval_s": 200_000},
    ):  # fmt: skip
        hashes.add(settings_of(**STORAGE, **changes).limits_hash)
    assert len(hashes) == 10
    assert settings_of(**STORAGE, dhw_schedule=PERIOD).limits_hash in hashes


def test_what_is_not_used_shows_no_value():
    used = set(settings_of().names())
    assert used == {row.name for row in registers.SUBSTATION_CONFIG}
    both = set(settings_of(**TWO_CIRCUITS).names())
    assert {row.name for row in registers.CIRCUIT2_CONFIG} - both <= set(site_functions.SWITCHES)


def test_a_week_names_its_days():
    days = site_functions.week({"mon-wed": ["06:00-09:00"], "sun": ["00:00-24:00"]})
    assert days == ((360, 540), (360, 540), (360, 540), (), (), (), (0, 1440))


def test_periods_that_touch_are_one():
    days = site_functions.week({"mon": ["00:00-06:00", "06:00-12:00", "12:00-18:00", "19:00-20:00"]})
    assert days[0] == (0, 1080, 1140, 1200)
