"""Two circuits, hot water, four masters: the whole application lives in its heap and does not grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from .whole_application import LEEWAY_B, Soak, soak


@pytest.mark.slow
@pytest.mark.needs("heap.measured")
def test_the_whole_application_keeps_its_heap(tmp_path: Path) -> None:
    hours: list[int] = []
    result = soak(tmp_path, 0.125, told=lambda so_far: hours.append(len(so_far.live_b)))
    assert result.faults == []
    assert hours == [1, 2, 3] and len(result.live_b) == 3
    assert min(result.free_block_b) > 0 and result.polls > 5_000 and result.orders == 12


def test_a_heap_that_grows_a_reset_and_a_task_that_began_again_are_faults() -> None:
    steady = Soak(2.0, live_b=[150_000] * 48, free_block_b=[9_000] * 48)
    assert steady.faults == []
    steady.live_b[40] += round(LEEWAY_B) + 1
    steady.free_block_b[41] -= round(LEEWAY_B) + 1
    steady.resets = 2
    steady.task_restarts = 1
    assert [fault.split()[1] for fault in steady.faults] == ["heap", "largest", "board", "tasks"]
