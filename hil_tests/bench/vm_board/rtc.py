"""`machine.RTC`: the host's clock with an offset, which board.py keeps through soft resets."""

import time

import machine


class RTC:
    """Goes from the moment that it was set, or from where it stands at power-on."""

    def __init__(self, id=0):
        pass

    def datetime(self, when=None):
        """Return or set (year, month, day, weekday, hours, minutes, seconds, microseconds)."""
        now_us = time.time_ns() // 1000
        if when is None:
            seconds, us = divmod(now_us + machine.rtc_offset_us, 1_000_000)
            y, mo, d, h, mi, s, wd, _ = time.gmtime(seconds)[:8]
            return (y, mo, d, wd, h, mi, s, us)
        y, mo, d, _, h, mi, s, us = when
        # days since 1970 by the civil calendar; time.mktime goes by the host's time zone
        y, mo = (y, mo) if mo > 2 else (y - 1, mo + 12)
        days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * (mo - 3) + 2) // 5 + d - 1 - 719468
        seconds = ((days * 24 + h) * 60 + mi) * 60 + s
        machine.rtc_offset_us = seconds * 1_000_000 + us - now_us
        machine.tell(b"C%d." % machine.rtc_offset_us)
