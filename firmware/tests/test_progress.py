"""Progress: one task that stands still is enough to starve the watchdog."""

from firmware.substation.progress import Progress


def test_s8_every_task_must_make_progress(ticks):
    progress = Progress(("control", "other"), (6_000, 9_000))
    assert progress.standing() == -1
    ticks.now_ms = 6_000
    assert progress.standing() == -1
    ticks.now_ms = 6_001
    assert progress.standing() == 0
    progress.mark(0)
    ticks.now_ms = 9_001
    assert progress.standing() == 1
    progress.mark(1)
    assert progress.standing() == -1


def test_the_wrap_of_the_counter_is_no_standstill(ticks):
    ticks.now_ms = (1 << 30) - 1_000
    progress = Progress(("control",), (6_000,))
    ticks.now_ms += 5_000
    assert progress.standing() == -1
    ticks.now_ms += 5_000
    assert progress.standing() == 0
