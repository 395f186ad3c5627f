"""Uptime: whole seconds across the wrap of the millisecond counter."""

from firmware.substation.uptime import Uptime


def test_s11_seconds_are_exact_over_months(ticks):
    uptime = Uptime()
    passed = 0
    for k in range(100_000):
        passed += 60_000 + k % 1999
        ticks.now_ms = passed
        assert uptime.advance() == passed // 1000
    assert passed > 5 * (1 << 30)


def test_asking_often_does_not_lose_the_rest(ticks):
    uptime = Uptime()
    for k in range(10_000):
        ticks.now_ms = k
        uptime.advance()
    assert uptime.advance() == 9
