"""31-bit small integers: what a 32-bit chip would put on its heap in a control step, found and named."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware.substation.energy import DIVISOR, W_MS_PER_WH, Energy, heat_w
from firmware.substation.limiters import ValveLimiter
from firmware.substation.sensors import loop_value
from firmware.substation.valve import Valve

from .board_double import BoardDouble
from .whole_numbers import HIGH, LOW, SITES

PROJECT = Path(__file__).parent.parent.parent
HOURS = int(os.environ.get("TOPLOVOD_SMALL_INTEGER_HOURS", "6"))  # a whole day: `make small-integers`

# The places that are known, and why they may be. A new one is told here; one that is no more is struck out.
KNOWN = {
    "local_time.py": "Unix time has not fitted since 2004; looked at every 10 s, three objects of 16 B",
    "capacity.py": "heat of a window in Ws: above 298 kW x 1 h, with a capacity tariff only",
}


def watched(hours, *sites):
    """What control steps of so many hours put on the heap of a 32-bit chip: {site: {file: largest}}."""
    done = subprocess.run(
        [sys.executable, "-m", "firmware.tests.whole_numbers", str(hours), *sites],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def unknown(found):
    return {
        site: {place: largest for place, largest in places.items() if place.split(":")[0] not in KNOWN}
        for site, places in found.items()
    }


def test_a_control_step_leaves_31_bits_at_known_places_only():
    found = watched(1)
    assert unknown(found) == {site: {} for site in SITES}
    met = {place.split(":")[0] for places in found.values() for place in places}
    assert met == set(KNOWN)  # so the watch sees something, and nothing known is out of date


@pytest.mark.slow
@pytest.mark.parametrize("site", SITES)
def test_hours_of_control_leave_31_bits_at_known_places_only(site):
    assert unknown(watched(HOURS, site)) == {site: {}}


def test_the_watch_sees_operations_calls_constants_and_sums():
    from .whole_numbers import Wrapped, ast, met, stepping

    tree = Wrapped("f.py").visit(
        ast.parse(
            "a = 40000\nb = a * a // 50000\nc = int('9999999999')\nd = 1 << 29\nd += d\ne = -2000000000\n"
        )
    )
    met.clear()
    stepping[0] = True
    exec(compile(tree, "f.py", "exec"), {})
    stepping[0] = False
    assert met == {
        "f.py:2": 1_600_000_000,
        "f.py:3": 9_999_999_999,
        "f.py:5": 1 << 30,
        "f.py:6": 2_000_000_000,
    }
    assert (LOW, HIGH) == (-(2**30), 2**30 - 1)
    met.clear()


def test_the_parts_come_to_the_same_as_the_whole(ticks):
    """What was split so that it stays small is the same number to the last digit, up to the largest site."""
    chance = random.Random(5)
    for _ in range(5_000):
        flow, supply, back = (
            chance.randint(0, 600_000),
            chance.randint(50_000, 150_000),
            chance.randint(0, 49_999),
        )
        assert heat_w(flow, supply, back) == flow * ((supply - back) // 10) * 100 // DIVISOR
        ua, span = chance.randint(4_000, 20_500), chance.randint(1, 600_000)
        assert loop_value(ua, span) == (ua - 4_000) * span // 16_000
        limiter = SimpleNamespace(_valve=SimpleNamespace(position_bp=chance.randint(500, 10_000)))
        limit, passes = chance.randint(1, 6_000_000), chance.randint(0, 9_000_000)
        travel_bp = (limit - passes) * limiter._valve.position_bp // max(passes, limit // 8, 1)
        assert ValveLimiter._travel_bp(limiter, limit, passes) == travel_bp
        stroke_ms, bp = chance.randint(5_000, 600_000), chance.randint(0, 10_000)
        valve = Valve(BoardDouble(ticks), stroke_ms, bp)
        assert valve._estimate_ms == stroke_ms * bp // 10_000
        assert valve.position_bp == valve._estimate_ms * 10_000 // stroke_ms


class Nothing:
    def load(self, name):
        return None

    def put(self, point, value):
        pass


def test_energy_by_parts_loses_nothing():
    chance = random.Random(6)
    energy, total = Energy(Nothing(), Nothing(), 0, 1), 0
    for _ in range(20_000):
        power_w, dt_ms = chance.randint(0, 120_000_000), chance.choice((2_000, 2_000, 1_999, 60_000))
        energy.step(power_w, dt_ms)
        total += power_w * dt_ms
        assert divmod(total, W_MS_PER_WH) == (energy._wh, energy._residue)
