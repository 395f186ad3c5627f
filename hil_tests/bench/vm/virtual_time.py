"""MicroPython's `time`, counted by the bench instead of a crystal.

Ticks wrap at 2**30 as they do on a 32-bit board, so a year of virtual weather meets the wrap every
12.4 days. It refuses to show the host's clock: `time()` is the board's own unset clock until set.
"""

from bench_link import link
from utime import gmtime as gmtime
from utime import localtime as localtime
from utime import mktime as mktime

_PERIOD = 1 << 30
_MASK = _PERIOD - 1
_HALF = _PERIOD >> 1
_UNSET_S = 1_609_459_200  # 2021-01-01: where an RP2040 without a battery wakes up [K]

_offset_s = _UNSET_S


def ticks_ms():
    return (link.now_ms - link.boot_ms + link.first_tick) & _MASK


def ticks_us():
    return ((link.now_ms - link.boot_ms) * 1000) & _MASK


ticks_cpu = ticks_us


def ticks_add(ticks, delta):
    return (ticks + delta) & _MASK


def ticks_diff(later, earlier):
    return ((later - earlier + _HALF) & _MASK) - _HALF


def sleep_ms(ms):
    if ms > 0:
        link.block_until(link.now_ms + ms)


def sleep(seconds):
    sleep_ms(int(seconds * 1000))


def sleep_us(us):
    sleep_ms(us // 1000)  # shorter than a tick of virtual time: no time at all


def time():
    return _offset_s + (link.now_ms - link.boot_ms) // 1000


def time_ns():
    return (_offset_s * 1000 + link.now_ms - link.boot_ms) * 1_000_000


def set_clock(unix_s):
    """Set the board's clock, as RTC.datetime() does."""
    global _offset_s
    _offset_s = unix_s - (link.now_ms - link.boot_ms) // 1000
