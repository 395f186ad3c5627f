"""Signed limit bundles (S2): what is taken, what holds after which start, and what a fault leaves."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware import boards
from firmware.substation import bundled_limits, registers, site, update_orders
from firmware.substation.bundled_limits import TRIES
from firmware.substation.commands import ACTIVATE, DROP, OPEN, OPEN_LIMITS
from firmware.substation.incoming import (
    DEVICE,
    DIGEST,
    FAILED,
    MALFORMED,
    NO_KEY,
    READY,
    SETTINGS,
    SIGNATURE,
    VERIFYING,
    VERSION,
)
from firmware.substation.limit_bundle import CONTEXT, LimitBundle
from firmware.substation.limits_record import FILES, PROVED_S, Limits
from firmware.substation.persistence import Persistence
from firmware.substation.register_bank import RegisterBank
from firmware.substation.slots import Slots
from firmware.substation.updating import RESET_AFTER_S, Updating

from .order_rig import DEVICE_ID, SITE

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

# S5 and S6: what protects people or pumps by itself, and what belongs to the plant's hardware.
AT_THE_DEVICE_ALONE = {
    "frost_outdoor_temp_c", "frost_supply_temp_c", "dhw_floor_temp_c", "dhw_scald_limit_temp_c",
    "legionella_temp_c", "legionella_hold_s", "legionella_duration_maximum_s", "legionella_interval_s",
    "legionella_day_number", "legionella_start_number", "dry_run_pressure_bar",
    "suction_pressure_minimum_bar",
    "valve_stroke_s", "valve2_stroke_s", "dhw_valve_stroke_s", "dhw_valve_flow_m3_h", "dhw_hysteresis_k",
    "dhw_charging_excess_k", "valve_starts_hour_maximum_count", "primary_flow_minimum_m3_h",
    "plant_flow_minimum_m3_h", "pump_speed_minimum_pct", "pump_change_s",
}  # fmt: skip


def bundle(version=1, settings=None, key=KEY, device=DEVICE_ID, text=None):
    """A bundle made by hand, so that it may be wrong; and the digest that an order names."""
    if text is None:
        settings = {"contract_flow_limit_m3_h": 1.25} if settings is None else settings
        body = f"device {device}\nversion {version}\n{json.dumps(settings)}\n".encode()
        text = b"toplovod-limit/1 %05d\n" % (23 + len(body)) + body
    whole = text + key.sign(CONTEXT + hashlib.sha256(text).digest())
    return whole, hashlib.sha256(whole).digest()[:16]


WITH_DHW = {
    "dhw": "instantaneous", "inputs": {"dhw_supply_temp_c": {"channel": 8, "kind": "pt1000"}},
}  # fmt: skip


@pytest.fixture
def device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.json").write_text(json.dumps(SITE))
    (tmp_path / "release.pub").write_bytes(PUBLIC)
    return tmp_path


def opened(content, digest, key=PUBLIC):
    return LimitBundle(Persistence(), bytes.fromhex(DEVICE_ID), key, len(content), digest)


def send(incoming, content, piece=240):
    while incoming.next < len(content) and incoming.state not in (FAILED, READY):
        incoming.write(incoming.next, content[incoming.next : incoming.next + piece])
        while incoming.state == VERIFYING:
            incoming.step()
    return incoming


def taken(version=1, settings=None):
    """A bundle comes in and is ordered to be tried."""
    content, digest = bundle(version, settings)
    incoming = send(opened(content, digest), content)
    assert incoming.state == READY
    assert incoming.activate(Slots(Persistence()), None)


def start():
    """What the next start reads."""
    return site.read("site.json", bytes(8), boards, Persistence())


def proved(version=1, settings=None):
    taken(version, settings)
    assert start().limits == (version, True, 0)
    assert Limits(Persistence()).prove()


def flow_l_h():
    return start().fixed("contract_flow_limit_m3_h")


@pytest.mark.parametrize("piece", [1, 7, 240, 5_000])
def test_a_signed_bundle_holds_from_the_next_start_on(device, piece):
    before = start().limits_hash
    content, digest = bundle(7)
    incoming = send(opened(content, digest), content, piece)
    assert incoming.state == READY
    assert start().limits_hash == before  # nothing holds that was not ordered to
    incoming.activate(Slots(Persistence()), None)
    settings = start()
    assert settings.mistakes == []
    assert settings.fixed("contract_flow_limit_m3_h") == 1_250
    assert settings.limits == (7, True, 0)
    assert settings.limits_hash != before
    assert json.loads((device / "site.json").read_text()) == SITE  # never written


@pytest.mark.parametrize(
    ("cause", "made"),
    [
        (SIGNATURE, lambda: bundle(key=Ed25519PrivateKey.generate())),
        (DEVICE, lambda: bundle(device="ffeeddccbbaa9988")),
        (MALFORMED, lambda: bundle(text=b"toplovod-limit/1 00034\nverzion 1\n\n")),
        (MALFORMED, lambda: bundle(version="x")),
        (MALFORMED, lambda: bundle(version=0)),
        (MALFORMED, lambda: bundle(version=0xFFFFFFFF)),
        (MALFORMED, lambda: bundle(text=b"toplovod-image/1 00034\nversion 1\n\n")),
        (MALFORMED, lambda: bundle(settings={"holidays": ["x" * 4096]})),
    ],
)  # fmt: skip
def test_s2_what_may_not_be_changes_nothing(device, cause, made):
    content, digest = made()
    incoming = send(opened(content, digest), content)
    assert (incoming.state, incoming.cause) == (FAILED, cause)
    assert start().limits == (0, False, 0)
    assert flow_l_h() == 2_000


@pytest.mark.parametrize(
    "settings",
    [
        {"valve_stroke_s": 60}, {"epochs": [2, 2, 2, 2]}, {"inputs": {}}, {"schedule schedule2": {}}, {},
        {"dhw_scald_limit_temp_c": 90}, {"frost_supply_temp_c": 5, "contract_flow_limit_m3_h": 1},
    ],
)  # fmt: skip
def test_s5_what_no_bundle_may_set_is_refused_at_the_start(device, settings):
    (device / "site.json").write_text(json.dumps({**SITE, **WITH_DHW}))
    taken(1, settings)
    found = start()
    assert found.mistakes == []
    assert found.limits == (0, False, SETTINGS)
    assert found.fixed("contract_flow_limit_m3_h") == 2_000


def test_s2_the_signature_of_an_image_is_none_of_limits(device):
    """One key may sign both, so what is signed says what it is."""
    content, _ = bundle()
    text = content[:-64]
    whole = text + KEY.sign(b"toplovod image1" + hashlib.sha256(text).digest())
    incoming = send(opened(whole, hashlib.sha256(whole).digest()[:16]), whole)
    assert incoming.cause == SIGNATURE


def test_a_flipped_bit_anywhere_is_refused(device):
    content, digest = bundle()
    for at in range(len(content)):
        bad = content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]
        assert send(opened(bad, digest), bad).state != READY


def test_another_bundle_than_was_ordered_and_a_board_without_a_key(device):
    content, _ = bundle(1)
    _, other = bundle(2)
    assert send(opened(content, other), content).cause == DIGEST
    assert opened(content, other, key=None).cause == NO_KEY


def test_the_limits_key_goes_before_the_release_key(device):
    assert update_orders.read_limits_key() == PUBLIC
    (device / "limits.pub").write_bytes(bytes(32))
    assert update_orders.read_limits_key() == bytes(32)
    (device / "limits.pub").write_bytes(b"short")  # a damaged one opens no other door
    assert update_orders.read_limits_key() is None


def test_s2_the_version_only_rises(device):
    proved(5)
    for version in (1, 4, 5):
        content, digest = bundle(version, {"contract_flow_limit_m3_h": 3})
        assert send(opened(content, digest), content).cause == VERSION
    proved(6, {"contract_flow_limit_m3_h": 3})
    assert flow_l_h() == 3_000
    assert start().limits == (6, False, 0)


def test_settings_that_the_site_refuses_change_nothing(device):
    proved(1)
    taken(2, {"supply_temp_maximum_c": 20, "curve_points": [[20, 30], [-15, 70]]})
    settings = start()
    assert settings.mistakes == []
    assert settings.fixed("contract_flow_limit_m3_h") == 1_250
    assert settings.limits == (1, False, SETTINGS)
    proved(2, {"contract_flow_limit_m3_h": 1.5})  # its number is not used up


def test_a_bundle_that_the_controller_does_not_live_with_is_given_up(device):
    proved(1)
    taken(2, {"contract_flow_limit_m3_h": 3})
    for _ in range(TRIES):
        assert start().limits == (2, True, 0)
    assert start().limits == (1, False, SETTINGS)
    assert flow_l_h() == 1_250


def test_a_program_that_allows_less_says_so_and_heats_on(device, monkeypatch):
    proved(1)
    monkeypatch.setattr(bundled_limits, "NAMES", " schedule ")
    settings = start()
    assert [key for key, _ in settings.mistakes] == ["limits"]
    assert settings.fixed("contract_flow_limit_m3_h") == 2_000


def test_null_takes_a_setting_away(device):
    (device / "site.json").write_text(json.dumps({**SITE, "curve_slope": {"slope": 1.0}}))
    proved(1, {"curve_slope": None, "curve_points": [[-15, 60], [15, 30]]})
    assert start().curve(0) == (-15_000, 60_000, 15_000, 30_000)


def test_who_stands_at_the_device_has_the_last_word(device):
    proved(3)
    (device / "site.json").write_text(json.dumps({**SITE, "contract_flow_limit_m3_h": 1.8}))
    assert flow_l_h() == 1_800
    assert start().limits == (0, False, 0)
    content, digest = bundle(2)
    assert send(opened(content, digest), content).cause == VERSION
    proved(3)  # the same once more, for the site as it is now
    assert flow_l_h() == 1_250
    taken(4, {"contract_flow_limit_m3_h": 3})
    (device / "site.json").write_text(json.dumps(SITE))
    assert flow_l_h() == 2_000


def test_a_damaged_bundle_gives_way_to_the_one_before_and_says_so(device):
    proved(1)
    proved(2, {"contract_flow_limit_m3_h": 3})
    (device / FILES[Limits(Persistence()).active]).write_bytes(b"damaged")
    settings = start()
    assert [key for key, _ in settings.mistakes] == ["limits"]  # a safe start: no orders until it is mended
    assert settings.fixed("contract_flow_limit_m3_h") == 1_250
    for file in FILES[1:]:
        (device / file).write_bytes(b"damaged")
    assert [key for key, _ in start().mistakes] == ["limits"]
    assert flow_l_h() == 2_000


def test_one_that_was_never_proved_is_nothing_to_fall_back_on(device):
    proved(1)
    taken(2, {"contract_flow_limit_m3_h": 3})
    for _ in range(TRIES + 1):
        start()
    (device / FILES[Limits(Persistence()).active]).write_bytes(b"damaged")
    assert flow_l_h() == 2_000


def test_a_damaged_bundle_is_not_tried(device):
    taken(1)
    (device / FILES[1]).write_bytes(b"damaged")
    assert start().limits == (0, False, bundled_limits.CONTENT)


def test_every_setting_is_either_for_bundles_or_for_the_device_alone():
    config = {row.name for row in registers.REGISTERS if row.access == registers.CONFIG}
    allowed = set(bundled_limits.NAMES.split())
    assert len(allowed) == len(bundled_limits.NAMES.split())
    assert config - allowed == AT_THE_DEVICE_ALONE
    assert registers.UPDATE_CAUSES.index("content") == bundled_limits.CONTENT
    assert registers.UPDATE_CAUSES.index("flash") == bundled_limits.FLASH
    assert registers.UPDATE_CAUSES.index("settings") == bundled_limits.SETTINGS


class Rig:
    """Updating as a board runs it; resets are counted."""

    def __init__(self):
        self.bank = RegisterBank("substation")
        self.resets = 0
        self.now_s = 0
        limits = (bytes.fromhex(DEVICE_ID), *start().limits)
        self.updating = Updating(self.bank, Persistence(), "", self._restart, True, limits=limits)

    def _restart(self):
        self.resets += 1

    def read(self, name):
        return self.bank.raw(self.bank.point(name))

    def limits_version(self):
        out = bytearray(4)
        assert self.bank.read(4, registers.BY_NAME["limits_version_number"].address, 2, out, 0)
        return int.from_bytes(out)

    def run(self, seconds):
        for _ in range(0, seconds, 2):
            self.now_s += 2
            self.updating.control(self.now_s, 2)

    def send(self, content, digest):
        self.updating.open(len(content), digest, True)
        for at in range(0, len(content), 100):
            self.updating.write(at, content[at : at + 100])
        while self.updating.is_verifying:
            self.updating.step()

    def may(self):
        return [number for number in (OPEN, ACTIVATE, DROP, OPEN_LIMITS) if self.updating.may(number)]


def test_the_running_controller_takes_one_restarts_and_proves_it(device):
    rig = Rig()
    assert rig.may() == [OPEN, OPEN_LIMITS]
    rig.send(*bundle(4))
    assert rig.read("update_state_number") == READY
    assert not (device / "slot_a").exists()  # the way back of an image is not touched
    rig.updating.direct(ACTIVATE)
    assert rig.resets == 0  # the receipt gets out first
    rig.run(2 * RESET_AFTER_S)
    assert rig.resets >= 1
    assert Slots(Persistence()).planned
    again = Rig()
    assert again.limits_version() == 4
    again.run(PROVED_S - 2)
    assert Limits(Persistence()).floor == 0
    assert again.may() == [OPEN]  # one change at a time
    again.run(4)
    assert Limits(Persistence()).floor == 4
    assert again.may() == [OPEN, OPEN_LIMITS]


def test_why_the_last_one_was_given_up_stays_readable(device):
    taken(1, {"room_comfort_temp_c": 99})
    rig = Rig()
    assert (rig.read("update_state_number"), rig.read("update_cause_number")) == (0, SETTINGS)
    rig.send(*bundle(1))
    assert (rig.read("update_state_number"), rig.read("update_cause_number")) == (READY, 0)


def test_a_flash_that_refuses_changes_nothing(device, monkeypatch):
    rig = Rig()
    rig.send(*bundle(4))
    monkeypatch.setattr(Persistence, "save", lambda self, name, payload: False)
    rig.updating.direct(ACTIVATE)
    rig.run(20)
    assert rig.resets == 0
    assert flow_l_h() == 2_000
