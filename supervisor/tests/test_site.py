"""Site files: the example loads, every mistake is named with line and remedy, and text goes round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..errors import NotFound
from ..site import Mistake, Polling, Site, SiteMistakes

EXAMPLE = Path(__file__).parents[2] / "examples" / "schutterwald" / "site.toml"

GOOD = """\
[site]
name = "Šentjanž"
timezone = "Europe/Ljubljana"

[[area]]
id = "north"
name = "North"

[[pump_station]]
id = "plant"
address = "10.0.0.1:502"
area = "north"
limits = { plant_dp_minimum_bar = 0.4, plant_dp_maximum_bar = 4.0 }

[[substation]]
id = "house-01"
address = "[fd00::17]:1502"
area = "north"
priority = 2
deficit_budget_kh = 40.0
limits = { supply_temp_minimum_c = 20.0, supply_temp_maximum_c = 65.0, contract_flow_limit_m3_h = 1.2 }

[[substation]]
id = "house-02"
transport = "rtu"
address = "/dev/ttyUSB0"
baudrate = 9600
parity = "odd"
unit = 17
area = "north"
"""


def load(folder: Path, text: str) -> Site:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return Site.load(path)


def mistakes_of(folder: Path, text: str) -> list[Mistake]:
    with pytest.raises(SiteMistakes) as caught:
        load(folder, text)
    assert caught.value.code == "site_mistakes" and not caught.value.changed
    assert all(str(mistake) in caught.value.message for mistake in caught.value.mistakes)
    return list(caught.value.mistakes)


def test_the_example_town_has_no_mistakes() -> None:
    town = Site.load(EXAMPLE)
    assert (len(town.substations), len(town.stations)) == (44, 1)
    assert {area.id for area in town.areas} == {"north", "south"}
    assert not any(device.assigned for device in town.devices)
    for house in town.substations:  # as the controller does: a preview never promises what it would refuse
        assert house.setpoint_range("primary_return_limit_sp_c") == (
            20.0,
            house.limits["return_limit_temp_c"],
        )


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    town = load(tmp_path, GOOD)
    house, cellar = town.substations
    assert (house.host, house.port, house.unit, house.address) == ("fd00::17", 1502, 1, "[fd00::17]:1502")
    assert (cellar.host, cellar.transport, cellar.unit) == ("/dev/ttyUSB0", "rtu", 17)
    assert (cellar.baudrate, cellar.parity, house.parity) == (9600, "odd", "even")
    assert town.stations[0].profile == "pump_station" and town.stations[0].name == "plant"
    assert town.polling == Polling(10.0, 2.0, 900.0)
    assert house.setpoint_range("secondary_supply_temp_sp_c") == (20.0, 65.0)
    assert house.setpoint_range("primary_flow_limit_sp_m3_h") == (0.0, 1.2)
    assert house.setpoint_range("curve_shift_sp_k") == (-15.0, 15.0)
    assert town.stations[0].setpoint_range("plant_dp_sp_bar") == (0.4, 4.0)
    with pytest.raises(NotFound):
        house.setpoint_range("plant_dp_sp_bar")
    with pytest.raises(NotFound):
        town.device("house-99")


@pytest.mark.parametrize("path", [EXAMPLE, None])
def test_a_site_written_and_read_again_is_the_same(tmp_path: Path, path: Path | None) -> None:
    town = Site.load(path) if path else load(tmp_path, GOOD)
    copy = tmp_path / "copy.toml"
    copy.write_text(town.to_toml(), encoding="utf-8")
    again = Site.load(path.parent / "site.toml") if path else Site.load(copy)
    if path:  # the copy lies in another folder: give it the network beside it
        text = town.to_toml().replace('"network.json"', f'"{path.parent / "network.json"}"')
        copy.write_text(text.replace('"weather.csv"', f'"{path.parent / "weather.csv"}"'), encoding="utf-8")
        again = Site.load(copy)

    def plain(site: Site) -> list[dict[str, object]]:
        return [{**vars(device), "line": 0} for device in site.devices]

    assert plain(again) == plain(town)
    assert (again.areas, again.timezone, again.name) == (town.areas, town.timezone, town.name)
    assert (dict(again.coordinator), dict(again.alarms)) == (dict(town.coordinator), dict(town.alarms))


MISTAKES = [
    ('unit = 17', 'unit = "17"', 29, "not a whole number", "no quotes"),
    ('unit = 17', 'unit = 0', 29, "outside 1 to 255", "inside"),
    ('priority = 2', 'prioritty = 2', 19, "unknown key 'prioritty'", "Did you mean 'priority'?"),
    ('id = "house-02"', 'id = "House 02"', 24, "characters", "lower-case"),
    ('id = "house-02"', 'id = "house-01"', 23, "used on line 15 too", "Rename"),
    ('[fd00::17]:1502', 'fd00::17', 17, "not HOST:PORT", "10.0.3.17:502"),
    ('[fd00::17]:1502', '10.0.0.1:502', 15, "belongs to plant", "own address"),
    ('[fd00::17]:1502', '10.0.0.1:99999', 17, "not HOST:PORT", "Write"),
    ('transport = "rtu"', 'tls = true\ntransport = "rtu"', 25, "tls = True with transport 'rtu'", "tls_port"),
    ('parity = "odd"', 'parity = "mark"', 28, "parity 'mark' is not known", "even, odd, none"),
    ('[fd00::17]:1502"', '/dev/ttyUSB0"\ntransport = "rtu"', 24, "where house-01 on the", "same baudrate"),
    ('transport = "rtu"', 'transport = "serial"', 25, "'serial' is not known", "rtu-over-tcp"),
    ('area = "north"\npriority', 'area = "nort"\npriority', 18, "not declared", "Did you mean 'north'?"),
    ('supply_temp_maximum_c = 65.0', 'supply_temp_maximum_c = 650', 21, "outside 20 to 95", "docs"),
    ('supply_temp_maximum_c = 65.0', 'supply_temp_maximum_c = 20.0', 21, "is not below", "Swap"),
    ('supply_temp_maximum_c', 'plant_dp_maximum_bar', 21, "no engineering value", "Did you"),
    ('deficit_budget_kh = 40.0', 'deficit_budget_kh = nan', 20, "outside 0 to 655", "inside"),
    ('"Europe/Ljubljana"', '"Europe/Lublana"', 3, "time zone", "Europe/Ljubljana"),
    ('timezone = "Europe/Ljubljana"', 'network = "n.json"', 3, "is not there", "beside"),
    ('[[pump_station]]', '[[pumpstation]]', 9, "unknown table 'pumpstation'", "Did you mean 'pump_station'?"),
    ('name = "Šentjanž"', '', 1, "has no name", "Add a line"),
    ('[[area]]\nid = "north"\nname = "North"\n', '', 0, "there is no [[area]]", "Add one"),
    ('limits = { plant_dp', 'device_id = "ABC"\nlimits = { plant_dp', 13, "16 hexadecimal", "label"),
    ('limits = { plant_dp', 'profile = "substation"\nlimits = { plant_dp', 13, "does not belong", "own"),
    ('limits = { plant_dp', 'limits = { plant_dp = ', 13, "not TOML", "brackets"),
    ('[[area]]', '[alarms]\nlow_dp = 3\n[[area]]', 6, "[alarms] low_dp is not known", "low_dp_bar"),
    ('[[area]]', '[coordinator]\nmode = "fast"\n[[area]]', 6, "[coordinator] mode = 'fast'", "default"),
    ('[[area]]', '[poll]\ncycle_s = 0.1\n[[area]]', 6, "outside 2 to 3600", "inside"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "what", "remedy"), MISTAKES, ids=[m[3] for m in MISTAKES])
def test_each_mistake_is_named_with_line_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, what: str, remedy: str
) -> None:
    assert old in GOOD
    found = mistakes_of(tmp_path, GOOD.replace(old, new, 1))
    assert any(m.line == line and what in m.what and remedy in m.remedy for m in found), found


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = GOOD.replace("unit = 17", "unit = 400").replace("priority = 2", "priority = 0")
    text = text.replace('"Europe/Ljubljana"', '"Mars"').replace("baudrate = 9600", "baudrate = 3")
    found = mistakes_of(tmp_path, text)
    assert [mistake.line for mistake in found] == [3, 19, 27, 29]


def test_lines_are_right_behind_long_values_and_comments(tmp_path: Path) -> None:
    text = GOOD.replace(
        "priority = 2",
        'name = """\n[[substation]]\nunit = 99\n"""\n# [[substation]]\npriority = 2\nlimits.x = 1 # ]',
    ).replace(
        "limits = { supply_temp_minimum_c = 20.0, supply_temp_maximum_c = 65.0, contract_flow", "x = 3 #"
    )
    text = text.replace("unit = 17", "unit = 400")
    found = mistakes_of(tmp_path, text)
    lines = text.splitlines()
    for mistake in found:
        key = {"limit 'x'": "limits.x", "unknown key 'x'": "x = 3", "unit = 400": "unit = 400"}
        wanted = next(value for start, value in key.items() if mistake.what.startswith(start))
        assert lines[mistake.line - 1].startswith(wanted), mistake


def test_a_file_that_is_not_there_or_not_text_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SiteMistakes, match="cannot be read"):
        Site.load(tmp_path / "nothing.toml")
    (tmp_path / "site.toml").write_bytes(b'[site]\nname = "\xff"\n')
    with pytest.raises(SiteMistakes, match="line 2: this is not UTF-8"):
        Site.load(tmp_path / "site.toml")


def test_nodes_are_looked_up_in_the_network(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace('node = "s0001"', 'node = "s001"', 1)
    network = EXAMPLE.parent / "network.json"
    text = text.replace('"network.json"', f'"{network}"').replace(
        '"weather.csv"', f'"{EXAMPLE.parent / "weather.csv"}"'
    )
    found = mistakes_of(tmp_path, text)
    assert len(found) == 1
    assert found[0].line == 1 + text.splitlines().index('node = "s001"')
    assert "'s001' is not in network.json" in found[0].what and "Did you mean 's0" in found[0].remedy


def test_tls_is_kept_when_a_site_is_written(tmp_path: Path) -> None:
    town = load(tmp_path, GOOD.replace('id = "house-01"', 'id = "house-01"\ntls = true', 1))
    assert [device.tls for device in town.substations] == [True, False]
    copy = tmp_path / "copy.toml"
    copy.write_text(town.to_toml(), encoding="utf-8")
    assert [device.tls for device in Site.load(copy).substations] == [True, False]


def test_a_broken_network_is_explained_by_the_core(tmp_path: Path) -> None:
    network = json.loads((EXAMPLE.parent / "network.json").read_text(encoding="utf-8"))
    network["tables"]["pipes"]["length_m"][0] = 0.0
    (tmp_path / "n.json").write_text(json.dumps(network), encoding="utf-8")
    found = mistakes_of(tmp_path, GOOD.replace('timezone = "Europe/Ljubljana"', 'network = "n.json"'))
    assert len(found) == 1 and found[0].line == 3
    assert "network file 'n.json'" in found[0].what and "pipe" in found[0].what


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Some editors begin every UTF-8 file with one, and nobody sees it."""
    assert load(tmp_path, "\ufeff" + GOOD).name == "Šentjanž"


@pytest.mark.parametrize("line", ['name = "Šentjanž"', 'name = "North"'])
def test_an_empty_name_is_a_mistake(tmp_path: Path, line: str) -> None:
    found = mistakes_of(tmp_path, GOOD.replace(line, 'name = " "'))
    assert [(m.line, m.what) for m in found] == [(GOOD[: GOOD.index(line)].count("\n") + 1, "name is empty")]


def test_a_mistake_ends_with_one_mark() -> None:
    assert str(Mistake(3, "it is wrong", "Did you mean 'right'?")).endswith("'right'?")
    assert str(Mistake(3, "it is wrong", "Write it right")).endswith("right.")
