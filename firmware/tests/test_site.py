"""site.json: every mistake is named, none stops the heating."""

import json

import pytest

from firmware import boards
from firmware.substation import order_frame, registers, site, site_functions

from .order_rig import DEVICE_ID, SITE, settings_of

DEFAULTS = {**site.DEFAULTS, **site_functions.OPTION_DEFAULTS}


def test_a_right_file_is_taken_whole():
    settings = settings_of(curve_cold_supply_temp_c=70.5)
    assert settings.mistakes == []
    assert settings.device_id.hex() == DEVICE_ID
    assert settings.fixed("curve_cold_supply_temp_c") == 70_500
    assert settings.fixed("contract_flow_limit_m3_h") == 2_000
    assert settings.modbus_unit == 1


def test_every_config_register_has_a_default_inside_its_range():
    for row in registers.REGISTERS:
        if row.access == registers.CONFIG and row.name not in site_functions.SWITCHES:
            assert row.low <= DEFAULTS[row.name] <= row.high, row.name
    assert set(DEFAULTS) | set(site_functions.SWITCHES) == {
        r.name for r in registers.REGISTERS if r.access == registers.CONFIG
    }
    for profile in registers.PROFILES:
        assert settings_of(profile=profile).mistakes == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "toplovod-device/3"), ("profile", "boiler"), ("board", "toaster"), ("device_id", "0011"),
        ("device_id", "zz11223344556677"), ("device_id", None), ("modbus_port", 0), ("modbus_port", 65536),
        ("modbus_port", 502.5), ("modbus_port", "502"), ("modbus_unit", 0), ("modbus_unit", 248),
        ("epochs", [1, 1, 1, 1]), ("epochs", {"utility": -1}), ("epochs", {"utility": True}),
        ("epochs", {"utlity": 2}), ("epochs", {"standby": 65535}), ("epochs", "1111"),
        ("deficit_budget_kh", -1), ("deficit_budget_kh", 656), ("valve_stroke_s", 4),
        ("valve_stroke_s", True), ("curve_cold_supply_temp_c", None),
        ("curve_cold_supply_temp_c", 91), ("curve_cold_supply_temp_c", "70"),
        ("frost_supply_temp_c", 4.9), ("proportional_band_k", 4), ("integral_time_s", 0),
        ("rtu_baud", 4801), ("rtu_baud", "9600"), ("rtu_baud", True), ("rtu_baud", 0.5),
        ("rtu_parity", "mark"), ("rtu_parity", None), ("rtu_stop_bits", 3), ("rtu_stop_bits", True),
        ("rtu_unit", 0), ("rtu_unit", 248), ("rtu_unit", 1.5), ("rtu_tcp_port", -1),
        ("rtu_tcp_port", 65536), ("rtu_tcp_port", 15020), ("rtu_bauds", 9600),
        ("curve_cold_suply_temp_c", 70), ("own_plant_dp_bar", 1.5),
    ],
)  # fmt: skip
def test_every_mistake_is_named_with_its_key(key, value):
    settings = settings_of(**{key: value})
    assert [k for k, _ in settings.mistakes] == [key]
    assert settings.mistakes[0][1]
    for name in settings.names():
        row = registers.BY_NAME[name]
        assert (
            round(row.low * 1000)
            <= settings.fixed(name) * (1000 // site_scale(name))
            <= round(row.high * 1000)
        )


def test_without_a_word_about_it_there_is_no_serial_line():
    settings = settings_of()
    assert (settings.rtu_baud, settings.rtu_tcp_port) == (0, 0)


@pytest.mark.parametrize(("parity", "stop_bits"), [("even", 1), ("odd", 1), ("none", 2)])
def test_a_character_has_eleven_bits_whatever_the_parity(parity, stop_bits):
    settings = settings_of(rtu_baud=9600, rtu_parity=parity, modbus_unit=7)
    assert settings.mistakes == []
    assert (settings.rtu_parity, settings.rtu_stop_bits, settings.rtu_unit) == (parity, stop_bits, 7)


def site_scale(name):
    from firmware.substation.fixed_point import per_unit

    return per_unit(name)


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        ("curve_cold_outdoor_temp_c", "curve_warm_outdoor_temp_c", (15, 10)),
        ("curve_warm_supply_temp_c", "curve_cold_supply_temp_c", (60, 50)),
        ("supply_temp_minimum_c", "supply_temp_maximum_c", (60, 60)),
    ],
)
def test_limits_that_cross_are_named_and_replaced(low, high, values):
    settings = settings_of(**{low: values[0], high: values[1]})
    assert [k for k, _ in settings.mistakes] == [low]
    assert settings.fixed(low) < settings.fixed(high)


def test_an_epoch_is_given_by_its_slot_and_one_left_out_is_the_first():
    assert site.SLOTS == order_frame.SLOTS
    assert settings_of(epochs={"technician": 7, "standby": 2}).epochs == [1, 2, 7, 1]


def test_damaged_epochs_shut_everybody_out():
    assert settings_of(epochs=None).epochs == [65534] * 4


@pytest.mark.parametrize("content", ["", "{", "[1]", '"site"', "null", '{"format": 1e999}'])
def test_a_file_that_is_no_site_still_heats(tmp_path, content, capsys):
    path = tmp_path / "site.json"
    path.write_text(content)
    settings = site.read(str(path), b"12345678", boards)
    assert settings.mistakes
    assert settings.board == "emulated"
    assert settings.fixed("curve_cold_supply_temp_c") == 75_000
    assert "safe start" in capsys.readouterr().out


def test_a_missing_file_is_told(tmp_path, capsys):
    settings = site.read(str(tmp_path / "site.json"), b"12345678", boards)
    assert settings.mistakes
    assert settings.device_id == b"12345678"
    assert "cannot be read" in capsys.readouterr().out


def test_the_limits_hash_follows_every_limit():
    hashes = {settings_of().limits_hash}
    for name, value in (
        ("supply_temp_maximum_c", 80), ("contract_flow_limit_m3_h", 1.9), ("deficit_budget_kh", 21),
        ("curve_cold_supply_temp_c", 70.01),
    ):  # fmt: skip
        hashes.add(settings_of(**{name: value}).limits_hash)
    assert len(hashes) == 5
    assert settings_of(name="other").limits_hash in hashes


def test_the_vm_reads_the_same_site(in_vm, tmp_path):
    (tmp_path / "site.json").write_text(json.dumps({**SITE, "curve_cold_supply_temp_c": 70.55}))
    printed = in_vm(
        "import boards\nfrom substation import site\n"
        "s = site.read('site.json', bytes(8), boards)\n"
        "print(s.mistakes, s.limits_hash, s.fixed('curve_cold_supply_temp_c'))\n"
    )
    expected = settings_of(curve_cold_supply_temp_c=70.55)
    assert printed.strip() == f"[] {expected.limits_hash} 70550"


@pytest.mark.parametrize(
    "settings",
    [
        {"device_id": {}},
        {"rtu_baud": 9600, "legacy": {"from": "rtu", "registers": [["curve_shift_sp_k"]]}},
        {"board": "nucleo_h743"},
        {"mbus_baud": 2400, "mbus_meters": [{"number": {str(k): k for k in range(8)}}]},
        {"epochs": [1], "schedule": {"mon-fri": {}}, "inputs": {"room_temp_c": {"channel": {}, "kind": []}}},
    ],
    ids=["device_id", "legacy", "board", "meters", "inputs"],
)
def test_no_file_that_json_takes_leaves_a_house_without_a_program(in_vm, tmp_path, settings):
    (tmp_path / "site.json").write_text(json.dumps({**SITE, **settings}))
    printed = in_vm(
        "import boards\nfrom substation import app, image\n"
        "image.digest = lambda running: bytes(32)  # of a folder that is not here\n"
        "c = app.Controller(boards)\n"
        "c.step()\n"
        "print('mode', c._bank.raw(c._mode_point))\n",
        heap="400k",
    )
    assert "safe start on defaults" in printed
    assert "mode 4" in printed
