"""Day and minute at the house, from the clock's UTC: offset and the summer time of the European Union.

It refuses a calendar it does not need: weekday, day number, minute and nothing else. Summer time holds from
the last Sunday of March to the last Sunday of October, both at 01:00 UTC (Directive 2000/84/EC).
"""

DAY_S = 86_400
LOOK_EVERY_S = 10
MARCH, OCTOBER = 59, 273  # days before the month's last week can be counted from, in a common year
THURSDAY = 3  # 1970-01-01


def year_of(day):
    """Return (year, day of the year from 0, leap) of a number of days since 1970, until 2099."""
    year = 1970 + day // 366
    while True:
        first = (year - 1970) * 365 + (year - 1969) // 4
        leap = 1 if year % 4 == 0 else 0
        if day < first + 365 + leap:
            return year, day - first, leap
        year += 1


def summer(unix_s):
    """Say whether the European Union's summer time holds."""
    day = unix_s // DAY_S
    _, of_year, leap = year_of(day)
    second = unix_s - day * DAY_S
    first = day - of_year  # 1 January
    begins = first + MARCH + leap + 30  # 31 March
    ends = first + OCTOBER + leap + 30  # 31 October
    begins -= (begins + THURSDAY + 1) % 7  # back to the Sunday
    ends -= (ends + THURSDAY + 1) % 7
    after_begin = day > begins or (day == begins and second >= 3600)
    before_end = day < ends or (day == ends and second < 3600)
    return after_begin and before_end


class LocalTime:
    """clock: an object whose unix_s() gives whole seconds or None; None for a device without one."""

    def __init__(self, clock, utc_offset_min, summer_time):
        self._clock = clock
        self._offset_s = utc_offset_min * 60
        self._summer = summer_time == "eu"
        self._looked_s = None
        self.valid = False
        self.day = 0  # since 1970
        self.weekday = 0  # Monday
        self.minute = 0

    def step(self):
        """Bring the time up to date; call it in every period."""
        unix_s = None if self._clock is None else self._clock.unix_s()
        if unix_s is None or unix_s < 0:
            self.valid = False
            self._looked_s = None
            return
        if self._looked_s is not None and 0 <= unix_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = unix_s
        local_s = unix_s + self._offset_s
        if self._summer and summer(unix_s):
            local_s += 3600
        self.day = local_s // DAY_S
        self.weekday = (self.day + THURSDAY) % 7
        self.minute = (local_s - self.day * DAY_S) // 60
        self.valid = True


class Week:
    """A weekly schedule with holidays; days: seven tuples start, end, ... in minutes of the day."""

    def __init__(self, days, holidays):
        self._days = days
        self._holidays = holidays

    def holiday(self, day):
        """Say whether the day, since 1970, lies in a stretch of holidays."""
        dates = self._holidays
        return any(dates[i] <= day <= dates[i + 1] for i in range(0, len(dates), 2))

    def end_of_period(self, local):
        """Return the minutes left of the period that runs now, or 0 outside the periods."""
        if self.holiday(local.day):
            return 0
        periods = self._days[local.weekday]
        for i in range(0, len(periods), 2):
            if periods[i] <= local.minute < periods[i + 1]:
                left = periods[i + 1] - local.minute
                if periods[i + 1] == 1440:  # it may go on past midnight
                    left += self._until_gap(local)
                return left
        return 0

    def _until_gap(self, local):
        following = self._days[(local.weekday + 1) % 7]
        if following and following[0] == 0 and not self.holiday(local.day + 1):
            return following[1]
        return 0

    def next_start(self, local):
        """Return the minutes until the next period begins, looking to the end of tomorrow, or None."""
        for ahead in range(2):
            if self.holiday(local.day + ahead):
                continue
            periods = self._days[(local.weekday + ahead) % 7]
            for i in range(0, len(periods), 2):
                wait = periods[i] + 1440 * ahead - local.minute
                if wait > 0:
                    return wait
        return None
