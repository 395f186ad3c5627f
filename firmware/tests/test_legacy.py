"""Legacy mode: what one master may write without a proof, and everything that still holds for it."""

import ast
import json
import shutil
from pathlib import Path

import pytest

from firmware.substation import legacy, orders, registers, site_legacy
from firmware.substation.modbus_diagnostics import Diagnostics
from firmware.substation.modbus_server import RESPONSE_BYTES, ModbusServer
from firmware.substation.order_frame import ACCEPTED, SUPERVISOR, UTILITY

from .conftest import FIRMWARE
from .order_rig import SITE, OrderRig, settings_of

MASTER = 0x0A000305
STRANGER = 0x0A000306
SHIFT = registers.BY_NAME["curve_shift_sp_k"].address
FLOW = registers.BY_NAME["primary_flow_limit_sp_m3_h"].address
SUPPLY = registers.BY_NAME["secondary_supply_temp_sp_c"].address
SETTING = {
    "from": "10.0.3.5",
    "registers": ["primary_flow_limit_sp_m3_h", "primary_return_limit_sp_c", "curve_shift_sp_k"],
}


class LogDouble:
    """Keeps what it is told."""

    def __init__(self):
        self.orders = []

    def order(self, kind, slot, count, what, value, source):
        self.orders.append((kind, slot, count, what, value, source))

    def stranger(self, cause, source, times):
        pass


class LegacyRig(OrderRig):
    def __init__(self, ticks, setting=None, **changes):
        super().__init__(ticks, legacy=setting or SETTING, **changes)
        assert self.settings.mistakes == []
        self.log = self.mailbox.log = LogDouble()
        self.server = ModbusServer(
            self.bank, self.mailbox, self.refusals, 1, lambda: None, Diagnostics((), 1), None
        )
        self.server.legacy = legacy.Legacy(
            self.mailbox, self.bank, self.influences, self.settings.legacy, self.refusals, self.uptime
        )

    def write(self, address, *words, source=MASTER, unit=1, function=None):
        """Write by FC 6 or 16; return the exception, 0 for none."""
        head = address.to_bytes(2, "big")
        values = b"".join((word & 0xFFFF).to_bytes(2, "big") for word in words)
        function = function or (6 if len(words) == 1 else 16)
        if function == 16:
            head += len(words).to_bytes(2, "big") + bytes((len(values),))
        pdu = bytes((function,)) + head + values
        frame = bytes(4) + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu
        out = bytearray(RESPONSE_BYTES)
        size = self.server.answer(frame, 0, len(frame), out, source)
        if out[7] & 0x80:
            assert size == 9
            return out[8]
        assert bytes(out[7:size]) == pdu[:5]
        return 0


@pytest.fixture
def rig(ticks):
    return LegacyRig(ticks)


def test_the_named_master_sets_a_named_point_and_it_shows_as_unauthenticated(rig):
    assert rig.read("legacy_mode_number") == 2
    assert rig.write(SHIFT, -500) == 0
    assert rig.server.legacy.holds()
    assert rig.read("curve_shift_sp_k") == -5
    assert rig.read("curve_shift_lease_number") == orders.LEGACY + 1
    assert rig.read("legacy_write_count") == 1
    assert rig.read("accepted_order_count") == 0
    assert rig.log.orders == [(orders.ORDER, orders.LEGACY, 1, SHIFT, -500 & 0xFFFF, MASTER)]
    assert rig.write(SHIFT, -500) == 0  # renewed as it stands: no news
    assert len(rig.log.orders) == 1


@pytest.mark.parametrize("function", [6, 16])
def test_one_register_by_either_function(rig, function):
    assert rig.write(FLOW, 1_500, function=function) == 0
    assert rig.read("primary_flow_limit_sp_m3_h") == 1.5


def test_several_apply_all_or_none(rig):
    assert rig.write(FLOW, 1_500, 5_000, -100) == 0
    assert rig.read("primary_return_limit_sp_c") == 50
    assert rig.write(FLOW, 1_000, 5_000, -9_999) == legacy.ILLEGAL_VALUE
    assert rig.read("primary_flow_limit_sp_m3_h") == 1.5


def test_s7_nobody_else_and_nothing_else(rig):
    assert rig.write(SHIFT, -500, source=STRANGER) == 2
    assert rig.write(SUPPLY, 4_000) == 2  # a setpoint, but not a named one
    assert rig.write(SUPPLY, 4_000, 1_500, 5_000, -100) == 2  # one of them is not
    assert rig.write(300, 100) == 2  # a setting
    assert rig.write(133, 100) == 2  # a valve by hand
    assert rig.write(SHIFT, -500, unit=0) == 2  # a broadcast
    assert rig.write(SHIFT, 0xFF00, function=5) == 2
    assert rig.read("refused_function_count") == 6
    assert rig.read("broadcast_count") == 1
    assert rig.refusals.recent(rig.uptime.advance())  # and the alarm stands
    assert not rig.server.legacy.holds()
    assert rig.read("legacy_write_count") == 0


def test_s7_without_the_setting_nothing_is_taken(rig):
    rig.server.legacy = None
    assert rig.write(SHIFT, -500) == 2
    assert rig.read("curve_shift_lease_number") == 0


def test_s2_limits_hold(rig):
    assert rig.write(SHIFT, -1_501) == legacy.ILLEGAL_VALUE
    assert rig.write(FLOW, 2_001) == legacy.ILLEGAL_VALUE  # above the contract
    assert rig.read("refused_order_count") == 2
    assert [entry[:2] for entry in rig.log.orders] == [(legacy.REFUSED, orders.LEGACY)] * 2
    assert not rig.server.legacy.holds()


def test_s2_the_deficit_budget_holds(rig):
    rig.deficit.spent = True
    assert rig.write(SHIFT, -100) == legacy.BUSY
    assert rig.write(SHIFT, 100) == 0  # more heat may be asked for


def test_s3_slew_holds(rig):
    rig.step(4)
    assert rig.write(SHIFT, -500) == 0
    rig.step(60)
    assert rig.read("curve_shift_effective_k") == pytest.approx(-2, abs=0.1)


def test_s4_the_lease_ends_and_is_never_longer_than_half_an_hour(rig):
    assert rig.settings.legacy[2] == 1_800
    assert rig.write(SHIFT, -500) == 0
    rig.step(4)
    assert 1_790 <= rig.read("curve_shift_lease_s") <= 1_800
    rig.step(1_800 + 600 + 4)  # and the delay that follows from the id
    assert rig.read("curve_shift_lease_number") == 0
    rig.step(200)
    assert rig.read("curve_shift_effective_k") == 0
    assert not rig.server.legacy.holds()


@pytest.mark.parametrize("slot", [SUPERVISOR, UTILITY])
def test_s7_every_key_goes_before_it(rig, slot):
    assert rig.write(SHIFT, -500) == 0
    assert rig.order({"curve_shift_sp_k": 1.0}, slot=slot).result == ACCEPTED
    assert rig.read("curve_shift_lease_number") == slot + 1
    assert rig.write(SHIFT, -500) == legacy.BUSY
    assert rig.read("curve_shift_sp_k") == 1


def test_in_a_safe_start_nothing_is_taken(rig):
    rig.mailbox._safe_start = True
    assert rig.write(SHIFT, 100) == legacy.BUSY


def test_the_serial_line_counts_as_one_master(ticks):
    serial = (Path(site_legacy.__file__).parent / "modbus_serial.py").read_text()
    assert f"\nSOURCE = {site_legacy.SERIAL_LINE} " in serial
    rig = LegacyRig(ticks, {**SETTING, "from": "rtu", "lease_s": 600}, rtu_baud=9600)
    assert rig.read("legacy_mode_number") == 1
    assert rig.write(SHIFT, -100, source=site_legacy.SERIAL_LINE) == 0
    assert rig.write(SHIFT, -100) == 2


@pytest.mark.parametrize(
    ("setting", "more", "told"),
    [
        ([], {}, "must be"),
        ({**SETTING, "for": 3}, {}, "must be"),
        ({**SETTING, "from": "rtu"}, {}, "needs a rtu_baud"),
        ({**SETTING, "from": "10.0.3"}, {}, "one IPv4 address"),
        ({**SETTING, "from": "10.0.3.256"}, {}, "one IPv4 address"),
        ({**SETTING, "from": "0.0.0.1"}, {}, "no address of one master"),
        ({**SETTING, "from": "224.0.0.1"}, {}, "no address of one master"),
        (SETTING, {"tls_port": 802}, "not beside tls_port"),
        ({**SETTING, "registers": []}, {}, "must name the setpoints"),
        ({**SETTING, "registers": ["manual_valve_pct"]}, {}, "is no setpoint of a substation"),
        ({**SETTING, "registers": ["plant_dp_sp_bar"]}, {}, "is no setpoint of a substation"),
        ({**SETTING, "lease_s": 1_801}, {}, "between 300 and 1800"),
        ({**SETTING, "lease_s": True}, {}, "between 300 and 1800"),
    ],
)
def test_a_mistake_is_named_and_leaves_everything_refused(setting, more, told):
    settings = settings_of(legacy=setting, **more)
    assert settings.legacy is None
    assert [key for key, _ in settings.mistakes] == ["legacy"]
    assert told in settings.mistakes[0][1]


SCRIPT = """
import boards, json, machine
from substation import app
c = app.Controller(boards)
server = c._tcp._ports[0][1]
out = bytearray(262)
frame = bytes((0, 0, 0, 0, 0, 6, 1, 6, 0, %d, 0, 100))
size = server.answer(frame, 0, len(frame), out, 0x0A000305)
c.step()
c.step()
loaded = ["substation." + name in sys.modules for name in ("legacy", "site_legacy")]
print([out[7], c._bank.raw(c._mode_point)] + loaded)
"""


@pytest.mark.parametrize(
    ("more", "seen"),
    [({"legacy": SETTING}, [6, 5, True, False]), ({}, [0x86, 0, False, False])],
    ids=["set", "not set"],
)
def test_in_the_vm_it_is_loaded_only_where_it_is_set(in_vm, tmp_path, more, seen):
    (tmp_path / "site.json").write_text(json.dumps({**SITE, **more}))
    (tmp_path / "state").mkdir()
    for part in ("boards", "substation"):  # what the digest of the program goes over
        shutil.copytree(FIRMWARE / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    printed = in_vm(SCRIPT % SHIFT, heap="512k").splitlines()
    assert ast.literal_eval(printed[-1]) == seen
