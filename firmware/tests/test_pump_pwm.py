"""Circulation pumps commanded by pulses: the duty, what they say, and what is done when one stands."""

import ast
import json

import pytest

from firmware import board_facts, boards
from firmware.substation import precedence, site
from firmware.substation.pump_feedback import BLOCKED, RUNS, STANDBY, STOPPED_FOR_MS, WARNING

from .loop_rig import LoopRig
from .order_rig import SITE, settings_of

POSITION = "valve_position_out_pct"
NO_SIGNAL = 6

DUTIES = """
import machine
from boards import pump_pwm
told = []
for profile in (pump_pwm.HEATING, pump_pwm.SOLAR):
    for speed_bp in (100, 5_000, 10_000):
        pump = pump_pwm.PwmPump(12, profile, speed_bp, None)
        told.append(machine.duties[12])
        pump.value(1)
        told.append(machine.duties[12])
        pump.value(0)
        told.append(machine.duties[12])
print([round(duty * 1000 / 65535) for duty in told])
"""


def test_each_profile_gets_the_duty_of_its_data_sheet(in_vm):
    heating = [980, 833, 980, 980, 470, 980, 980, 100, 980]  # above 95 it rests; 84 is slowest, 10 fastest
    solar = [0, 157, 0, 0, 525, 0, 0, 900, 0]  # below 5 it rests; 15 is slowest, 90 fastest
    assert json.loads(in_vm(DUTIES).splitlines()[-1]) == heating + solar


BOARD = """
import machine
from boards import emulated
from substation.settings import Settings
settings = Settings()
settings.circuits, settings.dhw, settings.pump_pwm = 1, "none", ((0, 0, 5_000, True),)
board = emulated.Board()
board.equip(settings)
told = [machine.duties[12]]
board.pump(True)
told.append(machine.duties[12])
board.pump(False)
told.append(machine.duties[12])
print(told + [board.pump_state(0), 14 in machine.edges])
"""


def test_the_board_puts_pulses_in_the_place_of_the_relay(in_vm):
    stop, half = 98 * 65_535 // 100, 47 * 65_535 // 100
    assert ast.literal_eval(in_vm(BOARD).splitlines()[-1]) == [stop, half, stop, NO_SIGNAL, True]


FEEDBACK = """
import machine
from boards import pump_pwm
now = [0]
pump_pwm.ticks_us = lambda: now[0]
pump_pwm.ticks_diff = lambda later, earlier: later - earlier
feedback = pump_pwm.Feedback(14)
edge = machine.edges[14]
told = [feedback.state()]
def pulses(period_us, per_mille, count=3):
    for _ in range(count):
        machine.pins[14] = 1
        edge(feedback._pin)
        now[0] += period_us * per_mille // 1000
        machine.pins[14] = 0
        edge(feedback._pin)
        now[0] += period_us - period_us * per_mille // 1000
for period_us, per_mille in %s:
    pulses(period_us, per_mille)
    told.append(feedback.state())
told.append(feedback.state())
print(told)
"""
SAID = [
    (13_333, 950, 2), (13_333, 930, 2), (13_333, 920, 5), (13_333, 900, 5), (13_333, 880, 5),
    (13_333, 870, 4), (13_333, 850, 4), (13_333, 770, 3), (13_333, 750, 3), (13_333, 730, 3),
    (13_333, 700, 1), (13_333, 30, 1), (12_700, 900, 5), (14_000, 900, 5), (10_000, 900, 6),
    (20_000, 900, 6), (1_000, 900, 6),
]  # fmt: skip


def test_what_the_pump_says_is_told_from_its_pulses(in_vm):
    printed = in_vm(FEEDBACK % [row[:2] for row in SAID]).splitlines()[-1]
    # nothing before the first pulse, and nothing again when none have come since
    assert json.loads(printed) == [NO_SIGNAL] + [row[2] for row in SAID] + [NO_SIGNAL]


class SpeakingRig(LoopRig):
    """A house whose pump says what the test has it say."""

    def __init__(self, ticks, **changes):
        super().__init__(ticks, pump_pwm={"profile": "heating", "feedback": True}, **changes)
        assert self.settings.mistakes == []
        self.says = RUNS
        self.board.pump_state = lambda which: self.says


@pytest.fixture
def rig(ticks):
    rig = SpeakingRig(ticks)
    rig.step(1_800)
    return rig


@pytest.mark.parametrize("state", [BLOCKED, STANDBY])
def test_s5_a_pump_that_stands_closes_the_valve_and_gives_it_back(rig, state):
    assert rig.read("pump_feedback_number") == RUNS
    assert rig.read(POSITION) > 10
    rig.says = state
    rig.step(STOPPED_FOR_MS // 1000 - 4)
    assert rig.read("active_limiter_number") == precedence.NO_LIMITER
    rig.step(200)
    assert rig.read("active_limiter_number") == precedence.PUMP_STANDS
    assert rig.read(POSITION) == pytest.approx(0, abs=1)
    assert rig.board.pump_is_on  # it tries again by itself
    rig.says = RUNS
    rig.step(1_200)
    assert rig.read("active_limiter_number") == precedence.NO_LIMITER
    assert rig.read(POSITION) > 10


def test_in_frost_the_exchanger_keeps_a_little(rig):
    rig.says = BLOCKED
    rig.step(60)
    rig.house.supply_c = 8.0
    rig.house.return_c = 6.0
    rig.step(2)
    assert rig.loop.circuits[0].frost
    assert rig.loop.circuits[0]._target_bp == 500


@pytest.mark.parametrize("state", [NO_SIGNAL, WARNING])
def test_a_cut_line_or_a_warning_costs_no_heat(rig, state):
    before = rig.read(POSITION)
    rig.says = state
    rig.step(600)
    assert rig.read("pump_feedback_number") == state
    assert rig.read(POSITION) == pytest.approx(before, abs=5)


def test_a_pump_at_rest_may_say_so(ticks):
    rig = SpeakingRig(ticks)
    rig.house.outdoor_c = 25.0
    rig.says = STANDBY
    rig.step(1_200)
    assert not rig.board.pump_is_on
    assert not rig.loop.circuits[0].pump.stands


def test_without_feedback_nobody_asks(ticks):
    rig = LoopRig(ticks, pump_pwm={"profile": "solar", "speed_pct": 60})
    assert rig.settings.pump_pwm == ((0, 1, 6_000, False),)
    rig.step(60)  # the board's double has no pump_state
    assert rig.read("pump_feedback_number") == 0


HEATING = {"profile": "heating"}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("pump_pwm", "heating", "must be"),
        ("pump_pwm", {"profile": "heating", "hz": 1}, "must be"),
        ("pump_pwm", {}, "must be heating or solar"),
        ("pump_pwm", {**HEATING, "speed_pct": 0}, "between 1 and 100"),
        ("pump_pwm", {**HEATING, "speed_pct": True}, "between 1 and 100"),
        ("pump_pwm", {**HEATING, "feedback": 1}, "true or false"),
        ("pump2_pwm", HEATING, "does not have"),
    ],
)
def test_a_mistake_is_named_and_leaves_the_pump_to_its_relay(key, value, told):
    settings = settings_of(**{key: value})
    assert settings.pump_pwm == ()
    assert [name for name, _ in settings.mistakes] == [key]
    assert told in settings.mistakes[0][1]


@pytest.mark.parametrize(
    ("board", "value", "told"),
    [
        ("nucleo_h743", HEATING, "has no pulses for this pump"),
        ("olimex_esp32_poe", {**HEATING, "feedback": True}, None),
        ("w5500_evb_pico", {**HEATING, "feedback": True}, None),
    ],
)
def test_the_board_must_have_the_pins(board, value, told):
    made = site.Site(
        {**SITE, "board": board, "pump_pwm": value}, bytes(8), boards.NAMES, board, boards.pin_map
    )
    assert [told in sentence for _, sentence in made.mistakes] == ([True] if told else [])


def test_the_second_pump_of_the_small_carrier_has_no_feedback():
    changes = {
        "board": "w5500_evb_pico", "heating_circuits": 2, "pump2_pwm": {**HEATING, "feedback": True},
        "inputs": {"secondary2_supply_temp_c": {"channel": 8, "kind": "pt1000"}},
    }  # fmt: skip
    made = site.Site({**SITE, **changes}, bytes(8), boards.NAMES, "w5500_evb_pico", boards.pin_map)
    assert ["pin for this pump's feedback" in sentence for _, sentence in made.mistakes] == [True]


@pytest.mark.parametrize("name", board_facts.BOARDS)
def test_a_timer_reaches_every_pump_that_may_have_pulses(name):
    pins = boards.pin_map(name)
    assert set(pins.PUMPS[: pins.PWM_PUMPS]) <= board_facts.BOARDS[name].pwm
    assert len(pins.PUMP_FEEDBACK) <= pins.PWM_PUMPS <= len(pins.PUMPS)
