"""The three-point valve: it knows where it stands, finds its end stops, and spares its relays."""

import pytest

from firmware.substation.valve import Valve

from .board_double import BoardDouble

STROKE_MS = 120_000
PERIOD_MS = 2_000


@pytest.fixture
def board(ticks):
    return BoardDouble(ticks)


@pytest.fixture
def valve(board):
    return Valve(board, STROKE_MS)


def drive(valve, ticks, target_bp, periods):
    """Let the loop's periods pass, holding when the valve asked for it."""
    for _ in range(periods):
        hold_ms = valve.move_to(target_bp, PERIOD_MS)
        assert 0 <= hold_ms < PERIOD_MS
        if hold_ms:
            ticks.now_ms += hold_ms
            valve.hold()
            ticks.now_ms += PERIOD_MS - hold_ms
        else:
            ticks.now_ms += PERIOD_MS


def test_it_arrives_and_stops(valve, board, ticks):
    drive(valve, ticks, 8_000, 60)
    assert valve.position_bp == pytest.approx(8_000, abs=1)
    assert board.direction == 0
    assert board.moved_ms == pytest.approx(0.3 * STROKE_MS, abs=PERIOD_MS * 0.01 + 20)


def test_small_moves_are_not_made(valve, board, ticks):
    drive(valve, ticks, 5_099, 10)
    assert board.switches == 0
    drive(valve, ticks, 5_101, 10)
    assert board.switches == 1


@pytest.mark.parametrize("target_bp", [0, 10_000])
def test_the_first_end_stop_is_made_sure_of_from_anywhere(valve, board, ticks, target_bp):
    """The start position is unknown: a stroke and a tenth are driven at first, a tenth beyond later."""
    drive(valve, ticks, target_bp, 200)
    assert valve.synced
    assert valve.position_bp == target_bp
    assert board.direction == 0
    assert abs(board.moved_ms) == STROKE_MS + STROKE_MS // 10
    drive(valve, ticks, 5_000, 100)
    at_middle = board.moved_ms
    drive(valve, ticks, target_bp, 200)
    assert abs(board.moved_ms - at_middle) == STROKE_MS // 2 + STROKE_MS // 10


def test_travel_to_and_fro_counts_as_seen(valve, board, ticks):
    """After closing by 0.3 stroke, opening by 1.1 stroke ends at the stop, wherever it began."""
    drive(valve, ticks, 2_000, 100)
    assert not valve.synced
    drive(valve, ticks, 10_000, 200)
    assert valve.synced
    assert valve.position_bp == 10_000
    assert board.moved_ms == pytest.approx(-0.3 * STROKE_MS + 1.1 * STROKE_MS, abs=25)


def test_a_wrong_guess_is_moved_to_the_middle(valve, board, ticks):
    drive(valve, ticks, 10_000, 30)  # half a stroke: the estimate is at its end, the valve maybe not
    valve.hold()
    assert (valve.position_bp, valve.synced) == (10_000, False)
    valve.recentre()
    assert (valve.position_bp, valve.synced) == (5_000, False)


def test_relays_rest_at_an_end_stop(valve, board, ticks):
    drive(valve, ticks, 0, 200)
    before = board.switches
    drive(valve, ticks, 0, 2_000)
    assert board.switches == before
    assert board.direction == 0


def test_an_end_stop_in_doubt_is_driven_to_once_more_over_the_whole_stroke(valve, board, ticks):
    drive(valve, ticks, 0, 200)
    before_ms = board.moved_ms
    valve.reassure()
    drive(valve, ticks, 0, 200)
    assert before_ms - board.moved_ms == pytest.approx(1.1 * STROKE_MS, abs=PERIOD_MS)
    assert board.direction == 0


def test_between_its_stops_a_position_is_not_doubted(valve, board, ticks):
    drive(valve, ticks, 0, 200)
    drive(valve, ticks, 5_000, 60)
    switches = board.switches
    valve.reassure()
    drive(valve, ticks, 5_000, 60)
    assert board.switches == switches


def test_reversing_goes_the_right_way(valve, board, ticks):
    drive(valve, ticks, 9_000, 5)
    assert board.direction == 1
    valve.move_to(1_000, PERIOD_MS)
    assert board.direction == -1


def test_the_estimate_survives_the_wrap_of_the_counter(valve, board, ticks):
    ticks.now_ms = (1 << 30) - 3_000
    valve.hold()
    board.valve(0)
    board.moved_ms = 0
    drive(valve, ticks, 9_000, 10)
    valve.hold()
    assert board.moved_ms == 10 * PERIOD_MS
    assert valve.position_bp == pytest.approx(5_000 + 10_000 * 10 * PERIOD_MS // STROKE_MS, abs=1)
