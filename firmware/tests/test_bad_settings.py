"""Every setting of site.json with a value that is none: the loop is built all the same, and it runs."""

import pytest

from firmware.substation import registers, sensors
from firmware.substation.alarms import Alarms
from firmware.substation.leases import build
from firmware.substation.pump_station import PumpStation
from firmware.substation.supply_loop import SupplyLoop

from .board_double import BoardDouble
from .dhw_rig import INSTANTANEOUS, MONDAY, STORAGE, TWO_CIRCUITS, Clock
from .loop_rig import STATION_INPUTS
from .order_rig import SITE, OrderRig, settings_of

WEEK = {"mon-sun": ["06:00-22:00"]}
METERS = {"mbus_baud": 2400, "mbus_meters": [{"address": 1}]}
LIMITED = {
    "contract_heat_limit_kw": 20, "capacity_heat_limit_kw": 15, "return_difference_limit_k": 5,
    "primary_flow_minimum_m3_h": 0.1, "valve_starts_hour_maximum_count": 100, "schedule": WEEK,
    "room_influence_pct": 50, "summer_outdoor_temp_c": 20,
}  # fmt: skip
STATION = {
    "profile": "pump_station", "pumps": 2, "index_dp_own_bar": 0.8, "suction_pressure_minimum_bar": 1.0,
    "dry_run_pressure_bar": 0.3, "plant_flow_minimum_m3_h": 20, "inputs": STATION_INPUTS,
}  # fmt: skip
SITES = {
    "plain": {},
    "limited": {**LIMITED, **METERS},
    "two circuits": {**TWO_CIRCUITS, **LIMITED, "schedule2": WEEK, "room2_influence_pct": 50},
    "tap": {**INSTANTANEOUS, "dhw_return_limit_temp_c": 60, "dhw_schedule": WEEK},
    "tank": {**STORAGE, "dhw_priority": "absolute", "circulation_schedule": WEEK},
    "station": STATION,
}
FAR = 1e9
NO_VALUES = (None, True, "x", "", [], {}, [[]], [None], [{}], {"x": "y"}, FAR, -FAR, 1e999, float("nan"), 0.5)
BAD_WIRINGS = (
    {"channel": "8"}, {"channel": FAR}, {"kind": []}, {"kind": "steam"}, {"span": "x"}, {"span": 1e999},
    {"damping_s": None}, {"damping_s": 1e999}, {"damping_s": []},
)  # fmt: skip


class Asked(dict):
    """A site file that takes note of the keys it is asked for."""

    def __init__(self, content, keys):
        super().__init__(content)
        self.keys_asked = keys

    def get(self, key, default=None):
        self.keys_asked.add(key)
        return super().get(key, default)


def keys_of(changes):
    """Return every key that is asked of a site file with these changes, and the optional ones beside it."""
    from firmware.substation import site

    asked = set()
    content = {**SITE, **changes}
    if content["profile"] == "pump_station":
        content.pop("contract_flow_limit_m3_h")
    site.Site(Asked(content, asked), bytes(8), ("emulated",), "emulated")
    settings = {
        row.name for row in registers.BY_PROFILE[content["profile"]] if row.access == registers.CONFIG
    }
    return sorted((asked | settings | set(content)) - {"format"})


class Rig(OrderRig):
    """The loop of whatever the settings came to, with every sensor at a usual value."""

    def __init__(self, ticks, **changes):
        self.loop = None
        super().__init__(ticks, **changes)
        board = BoardDouble(ticks)
        board.others = {1: BoardDouble(ticks), 2: BoardDouble(ticks)}
        for channel, temp_c in enumerate((-5.0, 90.0, 50.0, 55.0, 45.0, 20.0)):
            board.set_temp(channel, temp_c)
        for channel in range(8, 15):
            board.set_temp(channel, 50.0)
            board.ua[channel] = 8_000
        board.set_loop(6, 1.0)
        board.set_loop(7, 0.5)
        settings = self.settings
        read = sensors.Sensors(board, self.bank, settings.inputs, settings.damping)
        alarms = Alarms(self.bank)
        if settings.circuits:
            self.loop = SupplyLoop(
                board, self.bank, settings, read, self.influences, self.deficit, alarms, self.flash, 0,
                Clock(ticks, MONDAY),
            )  # fmt: skip
        else:
            self.loop = PumpStation(
                board, self.bank, settings, read, build(self.bank, settings), alarms, self.flash
            )

    def step(self, seconds, only_raise=False):
        if self.loop is None:
            return
        for _ in range(seconds // 2):
            self.loop.step(self.uptime.advance(), 2_000)
            self.ticks.now_ms += 2_000


def still_runs(ticks, changes):
    rig = Rig(ticks, **changes)
    rig.step(6)
    return rig


@pytest.mark.parametrize("name", SITES)
def test_a_right_file_is_the_ground_of_this(ticks, name):
    assert still_runs(ticks, SITES[name]).settings.mistakes == []


@pytest.mark.parametrize("name", SITES)
def test_no_bad_value_of_any_setting_stops_the_heating(ticks, name):
    keys = keys_of(SITES[name])
    if SITES[name]:  # what every house has is tried in the plain one
        keys = [key for key in keys if key in SITES[name] or key not in keys_of({})]
    assert len(keys) > 10
    told = 0
    for key in keys:
        for value in NO_VALUES:
            rig = still_runs(ticks, {**SITES[name], key: value})
            told += key in [k for k, _ in rig.settings.mistakes]
    assert told > 9 * len(keys)  # nearly every one of them is no value of this setting


@pytest.mark.parametrize("name", ["plain", "tank", "station"])
def test_no_bad_wiring_of_any_input_stops_the_heating(ticks, name):
    right = settings_of(**SITES[name])
    for register in [row[0] for row in right.inputs]:
        for bad in (*NO_VALUES, *BAD_WIRINGS):
            inputs = {**SITES[name].get("inputs", {}), register: bad}
            settings = still_runs(ticks, {**SITES[name], "inputs": inputs}).settings
            assert bad in (None, {}) or "inputs" in [k for k, _ in settings.mistakes], (register, bad)


def test_a_refused_limit_of_the_tariff_is_no_limit(ticks):
    rig = still_runs(ticks, {"capacity_heat_limit_kw": "much"})
    assert [key for key, _ in rig.settings.mistakes] == ["capacity_heat_limit_kw"]
    assert rig.read("primary_heat_limit_effective_kw") is None
