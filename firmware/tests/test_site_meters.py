"""Heat meters in site.json: defaults that spare batteries, and every mistake named."""

import pytest

from firmware.substation import registers, site_meters

from .order_rig import settings_of


def test_a_meter_of_which_nothing_is_said_is_asked_once_an_hour():
    settings = settings_of(mbus_meters=[{"address": 7}])
    assert settings.mistakes == []
    assert settings.mbus_baud == 2400
    assert settings.mbus_meters == ((7, None, 3600, True),)


def test_a_mains_meter_is_asked_every_10_s_and_a_number_selects():
    wired = [{"address": 250, "battery": False}, {"number": "12345678", "interval_s": 900}]
    settings = settings_of(mbus_baud=300, mbus_meters=wired)
    assert settings.mistakes == []
    assert settings.mbus_baud == 300
    assert settings.mbus_meters == (
        (250, None, 10, False),
        (0, bytes.fromhex("78563412 FFFFFFFF"), 900, True),
    )


def test_without_a_line_there_are_no_meters():
    assert settings_of(mbus_baud=0, mbus_meters=[{"address": 7}]).mbus_meters == ()
    assert settings_of(mbus_baud=2400).mbus_meters == ()
    assert settings_of().mbus_meters == ()


def test_as_many_as_the_registers_show():
    assert site_meters.METERS_HIGH == registers.METERS
    settings = settings_of(mbus_meters=[{"address": place + 1} for place in range(registers.METERS)])
    assert len(settings.mbus_meters) == registers.METERS


@pytest.mark.parametrize(
    ("wired", "says"),
    [
        ({}, "list of 1 to 5"),
        ([], "list of 1 to 5"),
        ([{"address": place + 1} for place in range(6)], "list of 1 to 5"),
        ([7], "meter 1 must have"),
        ([{"address": 7, "baud": 300}], "meter 1 must have"),
        ([{}], "either address or number"),
        ([{"address": 7, "number": "12345678"}], "either address or number"),
        ([{"address": 0}], "address 0 must be 1 to 250"),
        ([{"address": 251}], "address 251"),
        ([{"address": True}], "address True"),
        ([{"address": "7"}], "address '7'"),
        ([{"address": 7}, {"address": 7, "battery": False}], "meter 2 is there twice"),
        ([{"number": "1234567"}], "eight digits"),
        ([{"number": "1234567A"}], "eight digits"),
        ([{"number": 12345678}], "eight digits"),
        ([{"address": 7, "battery": "yes"}], "battery 'yes'"),
        ([{"address": 7, "interval_s": 299}], "300 to 86400 for a meter on a battery"),
        ([{"address": 7, "interval_s": 60.5}], "whole number"),
        ([{"address": 7, "interval_s": True}], "whole number"),
        ([{"address": 7, "battery": False, "interval_s": 9}], "10 to 86400 for a meter on mains"),
        ([{"address": 7, "interval_s": 86_401}], "86400"),
    ],
)
def test_every_mistake_is_named_and_heating_goes_on_without_meters(wired, says):
    settings = settings_of(mbus_meters=wired)
    assert [key for key, _ in settings.mistakes] == ["mbus_meters"]
    assert says in settings.mistakes[0][1]
    assert settings.mbus_meters == ()


def test_a_wrong_speed_is_named():
    settings = settings_of(mbus_baud=9600, mbus_meters=[{"address": 7}])
    assert settings.mistakes == [("mbus_baud", "9600 is none of 0, 300, 600, 1200, 2400; 2400 used")]


def test_a_pump_station_has_none():
    settings = settings_of(profile="pump_station", mbus_meters=[{"address": 7}])
    assert settings.mistakes == [("mbus_meters", "is not a setting of a pump_station")]
