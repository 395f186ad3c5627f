"""Local time and weeks: the calendar, the summer time of the European Union, periods and holidays."""

import datetime
import zoneinfo

import pytest

from firmware.substation import local_time, site_functions

VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")


class Fixed:
    def __init__(self, unix_s):
        self.now_s = unix_s

    def unix_s(self):
        return self.now_s


@pytest.mark.parametrize("year", range(2020, 2040))
def test_the_offset_is_that_of_the_tz_database_around_both_changes(year):
    for month in (3, 10):
        for day in range(20, 32):
            for hour in (0, 1, 2, 3, 12):
                for minute in (0, 30, 59):
                    utc = datetime.datetime(year, month, day, hour, minute, 59, tzinfo=datetime.UTC)
                    local = local_time.LocalTime(Fixed(int(utc.timestamp())), 60, "eu")
                    local.step()
                    there = utc.astimezone(VIENNA)
                    assert (local.weekday, local.minute) == (
                        there.weekday(),
                        there.hour * 60 + there.minute,
                    ), utc
                    assert local.day == (there.date() - datetime.date(1970, 1, 1)).days


def test_without_a_clock_or_a_time_there_is_none():
    for clock in (None, Fixed(None)):
        local = local_time.LocalTime(clock, 60, "eu")
        local.step()
        assert not local.valid


def test_a_clock_that_jumps_is_followed():
    clock = Fixed(1_767_571_200)  # 2026-01-05 00:00 UTC
    local = local_time.LocalTime(clock, 60, "eu")
    local.step()
    assert (local.weekday, local.minute) == (0, 60)
    clock.now_s -= 3600
    local.step()
    assert (local.weekday, local.minute) == (0, 0)
    clock.now_s = None
    local.step()
    assert not local.valid
    clock.now_s = 1_767_571_200 + 86_400
    local.step()
    assert local.valid
    assert local.weekday == 1


def test_day_numbers_are_those_of_the_calendar():
    for ordinal in range(datetime.date(2000, 1, 1).toordinal(), datetime.date(2099, 12, 31).toordinal(), 17):
        day = datetime.date.fromordinal(ordinal)
        assert (
            site_functions.day_number(day.year, day.month, day.day) == (day - datetime.date(1970, 1, 1)).days
        )


class At:
    def __init__(self, day, minute):
        self.day = 20_458 + day  # a Monday
        self.weekday = day % 7
        self.minute = minute


WEEK = site_functions.week(
    {"mon-thu": ["06:00-09:00", "16:00-22:00"], "fri": ["06:00-24:00"], "sat": ["00:00-01:30", "08:00-23:00"]}
)


@pytest.mark.parametrize(
    ("day", "minute", "left", "wait"),
    [
        (0, 359, 0, 1), (0, 360, 180, 600), (0, 539, 1, 421), (0, 540, 0, 420), (0, 1320, 0, 480),
        (4, 1000, 440 + 90, 440), (4, 1439, 1 + 90, 1), (5, 30, 60, 450), (5, 90, 0, 390),
        (6, 0, 0, 1440 + 360), (6, 600, 0, 840 + 360),
    ],
)  # fmt: skip
def test_periods(day, minute, left, wait):
    week = local_time.Week(WEEK, ())
    assert week.end_of_period(At(day, minute)) == left
    assert week.next_start(At(day, minute)) == wait


def test_holidays_have_no_period():
    week = local_time.Week(WEEK, (20_459, 20_460))
    assert week.end_of_period(At(0, 400)) > 0
    assert week.end_of_period(At(1, 400)) == 0
    assert week.next_start(At(0, 1400)) is None
    assert week.next_start(At(2, 1400)) == 1440 - 1400 + 360
    assert [week.holiday(day) for day in (20_458, 20_459, 20_460, 20_461)] == [False, True, True, False]


def test_the_vm_agrees(in_vm):
    script = (
        "from substation import local_time as l\n"
        "class C:\n    def unix_s(self): return self.now\n"
        "c = C(); out = []\n"
        "for k in range(200):\n"
        "    c.now = 1767571200 + k * 200003\n"
        "    t = l.LocalTime(c, 60, 'eu'); t.step(); out.append((t.day, t.weekday, t.minute))\n"
        "print(out)\n"
    )
    expected = []
    for k in range(200):
        local = local_time.LocalTime(Fixed(1_767_571_200 + k * 200_003), 60, "eu")
        local.step()
        expected.append((local.day, local.weekday, local.minute))
    assert in_vm(script).strip() == str(expected)
