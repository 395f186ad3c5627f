"""Settings of an older format: taken by a newer program, and left for the program before, byte for byte."""

import json

import pytest

from firmware import boards
from firmware.substation import order_frame, site, site_migrations
from firmware.substation.persistence import Persistence

from .order_rig import SITE

NEWER = "toplovod-device/3"


def to_two(content):
    content["deficit_kelvin_hours"] = content.pop("deficit_budget_kh")
    return content


def to_three(content):
    content["steps"] = 2
    return content


STEPS = (
    ("toplovod-device/1", "toplovod-device/2", to_two),
    ("toplovod-device/2", NEWER, to_three),
)
OLD = {**SITE, "format": "toplovod-device/1", "deficit_budget_kh": 21}
NEW = {**SITE, "format": NEWER, "deficit_kelvin_hours": 21, "steps": 2}
NEW.pop("deficit_budget_kh", None)


@pytest.fixture
def device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.json").write_text(json.dumps(OLD, indent=3))
    return tmp_path


def taken(keep=True, content=OLD, steps=STEPS):
    return site_migrations.taken("site.json", dict(content), NEWER, keep, steps)


def test_steps_lead_from_format_to_format_and_leave_site_json_alone(device):
    before = (device / "site.json").read_bytes()
    assert taken() == NEW
    assert (device / "site.json").read_bytes() == before
    kept = json.loads((device / "site.3.json").read_text())
    assert kept.pop("migrated_from") and kept == NEW


def test_the_next_start_takes_what_was_kept_and_follows_a_change_at_the_device(device):
    taken()
    assert taken(steps=()) == NEW  # no step is gone again
    changed = {**OLD, "deficit_budget_kh": 30}
    (device / "site.json").write_text(json.dumps(changed))
    assert taken(content=changed)["deficit_kelvin_hours"] == 30
    assert json.loads((device / "site.3.json").read_text())["deficit_kelvin_hours"] == 30


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": "toplovod-device/3"}'])
def test_a_damaged_second_file_is_made_anew(device, damage):
    (device / "site.3.json").write_bytes(damage)
    assert taken() == NEW
    assert taken(steps=()) == NEW


def test_where_no_steps_lead_it_stands_as_it_is(device):
    assert taken(steps=STEPS[1:]) == OLD
    assert taken(steps=STEPS[:1]) == OLD
    without = {key: value for key, value in OLD.items() if key != "deficit_budget_kh"}
    assert taken(content=without) == without  # a step that fails
    assert not (device / "site.3.json").exists()


def test_asked_without_keeping_nothing_is_written(device):
    assert taken(keep=False) == NEW
    assert sorted(path.name for path in device.iterdir()) == ["site.json"]


def test_a_flash_that_refuses_costs_only_the_second_file(device):
    (device / "site.3.json.new").mkdir()
    assert taken() == NEW
    assert not (device / "site.3.json").exists()


def test_the_controller_goes_by_it(device, monkeypatch):
    (device / "site.json").write_text(json.dumps({**OLD, "format": "toplovod-device/0"}))
    monkeypatch.setattr(
        site_migrations.taken,
        "__defaults__",
        ((("toplovod-device/0", site.FORMAT, lambda content: content),),),
    )
    settings = site.read("site.json", bytes(8), boards, Persistence())
    assert settings.mistakes == []
    assert settings.deficit_budget_mkh == 21_000
    assert (device / "site.2.json").exists()


def of_format_one(device, epochs):
    (device / "site.json").write_text(json.dumps({**OLD, "epochs": epochs}, indent=3))
    before = (device / "site.json").read_bytes()
    settings = site.read("site.json", bytes(8), boards, Persistence())
    assert (device / "site.json").read_bytes() == before
    return settings


def test_the_epochs_of_format_one_get_the_names_of_their_slots(device):
    settings = of_format_one(device, [4, 3, 2, 1])
    assert (settings.mistakes, settings.epochs) == ([], [4, 3, 2, 1])
    kept = json.loads((device / "site.2.json").read_text())
    assert kept["epochs"] == {"supervisor": 4, "standby": 3, "technician": 2, "utility": 1}
    assert site_migrations.SLOTS == order_frame.SLOTS


@pytest.mark.parametrize("epochs", [[1, 1, 1], [1, 1, 1, -1], [1, 1, 1, True], "1111"])
def test_damaged_epochs_of_format_one_still_shut_everybody_out(device, epochs):
    settings = of_format_one(device, epochs)
    assert [key for key, _ in settings.mistakes] == ["epochs"]
    assert settings.epochs == [65534] * 4


def test_settings_of_format_one_without_epochs_get_none(device):
    content = {key: value for key, value in OLD.items() if key != "epochs"}
    made = site_migrations.migrated(content, site.FORMAT, site_migrations.STEPS)
    assert made == {**content, "format": site.FORMAT}


def test_a_format_that_nobody_knows_is_still_a_mistake(device):
    (device / "site.json").write_text(json.dumps({**OLD, "format": "toplovod-device/9"}))
    settings = site.read("site.json", bytes(8), boards, Persistence())
    assert [key for key, _ in settings.mistakes] == ["format"]
