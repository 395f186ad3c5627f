"""History: lossless chunks, thinned series, a killed process, a full disk, a changed layout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from firmware.substation import registers

from ..clock import LockstepClock
from ..database import open_connection
from ..errors import NotFound, Refused
from ..field.blocks import BLOCKS, FUNCTIONS
from ..field.poller import phase
from ..historian import Historian
from ..historian.chunk import HOUR_MS, BadChunk, pack, unpack
from ..historian.layout import Layout, current_layout
from ..historian.series import thin
from ..historian.store import HistoryStore
from ..latest import Latest
from ..site import Area, Device, Site

EPOCH = datetime(2026, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def site_of(*names: str) -> Site:
    devices = tuple(
        Device(name, name, "tcp", "127.0.0.1", 502, n, registers.SUBSTATION, "", "north")
        for n, name in enumerate(names, 1)
    )
    return Site("test", Path("site.toml"), (Area("north", "North"),), devices, ())


class Town:
    """A historian fed through `latest`, without a bus."""

    def __init__(self, folder: Path, *names: str, epoch: datetime = EPOCH, **options: int) -> None:
        self.clock = LockstepClock(epoch)
        self.site = site_of(*names)
        self.latest = Latest(self.site, self.clock)
        self.historian = Historian(
            folder / "history.sqlite", self.site, self.latest, self.clock, min_free_bytes=0, **options
        )

    async def poll(self, device_id: str, supply_c: float | None, energy_kwh: float = 0.0) -> None:
        block = BLOCKS[registers.SUBSTATION]["inputs"]
        words = [0] * block.count
        for name, value in (("primary_supply_temp_c", supply_c), ("primary_energy_kwh", energy_kwh)):
            row = registers.BY_NAME[name]
            at = row.address - block.address
            coded = registers.words_of_raw(row, registers.to_raw(row, value))
            words[at : at + len(coded)] = coded
        self.latest.store(device_id, "status", [0] * BLOCKS[registers.SUBSTATION]["status"].count)
        self.latest.store(device_id, "inputs", words)
        self.latest.answered(device_id)

    async def run(self, hours: float, value: Callable[[float], float | None], *names: str) -> None:
        """Poll every ten seconds; value gets the seconds since the start."""
        start = self.clock.monotonic()
        for step in range(1, round(hours * 360) + 1):
            t = start + 10.0 * step
            await self.clock.advance(t)
            for name in names:
                await self.poll(name, value(t), energy_kwh=t * 1000)


@given(
    arrays(np.uint16, st.tuples(st.integers(1, 40), st.integers(1, 12))),
    st.integers(0, HOUR_MS - 1),
)
@settings(max_examples=200)
def test_a_chunk_gives_back_exactly_what_went_in(words: np.ndarray, first: int) -> None:
    times = np.linspace(first, HOUR_MS - 1, len(words)).astype(np.int64)
    back_times, back = unpack(pack(times, words), len(words), words.shape[1])
    assert np.array_equal(back, words) and np.array_equal(back_times, times)


def test_a_damaged_chunk_is_refused_and_not_guessed_at() -> None:
    blob = pack(np.arange(10), np.zeros((10, 3), dtype=np.uint16))
    for damaged in (b"", b"\x02" + blob[1:], blob[:-4], blob[:3] + b"\xff\xff\xff" + blob[6:]):
        with pytest.raises(BadChunk):
            unpack(damaged, 10, 3)
    with pytest.raises(BadChunk):
        unpack(blob, 11, 3)


def test_typical_signals_cost_less_than_half_a_byte_a_point() -> None:
    """The reference's signals: 16-bit random walks of which a quarter move each cycle."""
    generator = np.random.default_rng(1)
    moves = generator.integers(-3, 4, (360, 20)) * (generator.random((360, 20)) < 0.25)
    words = (8000 + np.cumsum(moves, axis=0)).astype(np.uint16)
    assert len(pack(np.arange(360) * 10_000, words)) / words.size < 0.5


def test_thinning_keeps_every_peak_and_never_invents_a_sample() -> None:
    utc = np.arange(0, 10_000, 1.0)
    values = np.sin(utc / 100)
    values[4321] = 55.0
    values[100:200] = np.nan
    series = thin(utc, values, 0.0, 10_000.0, 200)
    assert len(series.utc_s) <= 200
    assert series.maximum.max() == 55.0
    assert np.all(series.minimum <= series.mean) and np.all(series.mean <= series.maximum)
    assert not np.any((series.utc_s > 101) & (series.utc_s < 199))  # the gap stays a gap
    assert not np.isnan(series.mean).any()


async def test_what_a_sensor_measures_that_a_station_may_have_is_kept(tmp_path: Path) -> None:
    town = Town(tmp_path, "house-01")
    block = BLOCKS[registers.SUBSTATION][FUNCTIONS]
    words = [0] * block.count
    for row in block.rows:
        at = row.address - block.address
        coded = registers.words_of_raw(row, registers.to_raw(row, None))
        words[at : at + len(coded)] = coded
    row = registers.BY_NAME["dhw_supply_temp_c"]
    (words[row.address - block.address],) = registers.words_of_raw(row, registers.to_raw(row, 55.25))
    town.latest.store("house-01", FUNCTIONS, words)
    await town.run(0.1, lambda t: 60.0, "house-01")
    await town.historian.flush()

    hot = await town.historian.series("house-01", "dhw_supply_temp_c", EPOCH, EPOCH + HOUR)
    assert len(hot.mean) == 36 and np.allclose(hot.mean, 55.25)
    none = await town.historian.series("house-01", "dhw_tank_top_temp_c", EPOCH, EPOCH + HOUR)
    assert len(none.mean) == 0  # nothing there, nothing drawn
    with pytest.raises(NotFound):  # worked out from what is kept, or told by the controller itself
        await town.historian.series("house-01", "dhw_state_number", EPOCH, EPOCH + HOUR)


async def test_hours_of_samples_come_back_from_chunks_and_from_the_open_hour(tmp_path: Path) -> None:
    town = Town(tmp_path, "house-01", "house-02")
    for _ in range(8):
        await town.run(0.5, lambda t: 60 + t / 1000, "house-01", "house-02")
        await town.historian.flush()
    assert town.historian.state.recorded == 2 * 4 * 360
    assert town.historian.state.chunks >= 4

    series = await town.historian.series(
        "house-01", "primary_supply_temp_c", EPOCH, EPOCH + 5 * HOUR, max_points=5000
    )
    assert len(series.utc_s) == 4 * 360
    expected = 60 + (series.utc_s - EPOCH.timestamp()) / 1000
    assert np.abs(series.mean - expected).max() <= 0.005 + 1e-9  # one register step is 0.01
    energy = await town.historian.series("house-02", "primary_energy_kwh", EPOCH, EPOCH + 5 * HOUR, 5000)
    assert energy.mean[-1] == pytest.approx(14_400_000)  # both words of a wide register
    part = await town.historian.series(
        "house-01", "primary_supply_temp_c", EPOCH + HOUR, EPOCH + 1.5 * HOUR, 5000
    )
    assert len(part.utc_s) == 180
    thinned = await town.historian.series(
        "house-01", "primary_supply_temp_c", EPOCH, EPOCH + 4 * HOUR, max_points=48
    )
    assert 40 <= len(thinned.utc_s) <= 48 and thinned.maximum.max() == pytest.approx(
        74.39
    )  # the end is not included
    await town.historian.close()


async def test_the_tail_is_emptied_of_hours_that_are_chunks(tmp_path: Path) -> None:
    town = Town(tmp_path, "house-01")
    for _ in range(5):
        await town.run(1.0, lambda t: 60.0, "house-01")
        await town.historian.flush()
    await town.historian.close()
    connection = open_connection(tmp_path / "history.sqlite", read_only=True)
    assert (
        connection.execute("SELECT count(*) FROM tail").fetchone()[0] <= 2 * 360 + 1
    )  # the open hour, and one that waits for its minute
    assert connection.execute("SELECT count(*) FROM chunk").fetchone()[0] >= 3
    connection.close()


async def test_a_restart_in_mid_hour_continues_the_hour(tmp_path: Path) -> None:
    town = Town(tmp_path, "house-01")
    await town.run(0.5, lambda t: 60.0, "house-01")
    await town.historian.close()

    later = Town(tmp_path, "house-01", epoch=EPOCH + 0.5 * HOUR)
    await later.run(2.5, lambda t: 70.0, "house-01")
    await later.historian.flush()
    series = await later.historian.series("house-01", "primary_supply_temp_c", EPOCH, EPOCH + 4 * HOUR, 5000)
    assert len(series.utc_s) == 3 * 360
    assert series.mean[179] == pytest.approx(60.0) and series.mean[180] == pytest.approx(70.0)
    await later.historian.close()


async def test_a_lost_poll_and_a_failed_sensor_leave_a_gap(tmp_path: Path) -> None:
    town = Town(tmp_path, "house-01")
    await town.run(0.1, lambda t: None if 100 < t <= 200 else 60.0, "house-01")
    town.latest.missed("house-01", "no answer")
    await town.historian.flush()
    assert town.historian.state.recorded == 36  # the lost poll is no sample
    series = await town.historian.series("house-01", "primary_supply_temp_c", EPOCH, EPOCH + HOUR, 5000)
    assert len(series.utc_s) == 26
    await town.historian.close()


async def test_a_question_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    town = Town(tmp_path, "house-01")
    with pytest.raises(NotFound, match="house-99"):
        await town.historian.series("house-99", "room_temp_c", EPOCH, EPOCH + HOUR)
    with pytest.raises(NotFound, match="keeps no"):
        await town.historian.series("house-01", "heap_free_b", EPOCH, EPOCH + HOUR)
    with pytest.raises(Refused):
        await town.historian.series("house-01", "room_temp_c", EPOCH, EPOCH)
    with pytest.raises(Refused):
        await town.historian.series("house-01", "room_temp_c", EPOCH, EPOCH + HOUR, max_points=0)
    await town.historian.close()


async def test_a_full_disk_stops_history_says_so_and_lets_everything_else_go_on(tmp_path: Path) -> None:
    """The quota makes SQLite itself answer SQLITE_FULL, as a full file system does."""
    names = [f"house-{n:02d}" for n in range(20)]
    town = Town(tmp_path, *names, quota_bytes=120_000)
    for _ in range(10):
        await town.run(0.05, lambda t: 60.0 + t % 7, *names)
        await town.historian.flush()

    state = town.historian.state
    assert state.state == "disk_full" and not state.recording
    assert "history stopped" in state.message and state.dropped > 0
    kept = state.recorded
    await town.poll(names[0], 61.0)  # reading goes on
    assert town.latest.point(names[0], "primary_supply_temp_c").value == pytest.approx(61.0)
    series = await town.historian.series(names[0], "primary_supply_temp_c", EPOCH, EPOCH + HOUR, 5000)
    assert len(series.utc_s) > 0  # what was recorded is still there
    await town.historian.close()

    again = Town(tmp_path, *names, epoch=EPOCH + HOUR)  # space was freed: no quota
    await again.run(0.1, lambda t: 62.0, *names)
    await again.historian.flush()
    assert again.historian.state.recording and again.historian.state.recorded == 20 * 36
    series = await again.historian.series(names[0], "primary_supply_temp_c", EPOCH, EPOCH + 2 * HOUR, 5000)
    assert len(series.utc_s) == 36 + sum(1 for t in series.utc_s if t < (EPOCH + HOUR).timestamp())
    rows = open_connection(tmp_path / "history.sqlite", read_only=True)
    assert rows.execute("SELECT count(*) FROM tail").fetchone()[0] == kept + 20 * 36  # nothing half done
    rows.close()
    await again.historian.close()


async def test_low_disk_stops_history_before_audit_and_state_run_out(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "history.sqlite", ["house-01"], phase, min_free_bytes=2**60)
    layout = store.layout_id(current_layout(registers.SUBSTATION))
    words = np.zeros(current_layout(registers.SUBSTATION).word_count, dtype=np.uint16)
    store.add("house-01", 1_000, layout, words)
    store.flush()
    assert store.state.state == "low_disk" and store.state.dropped == 1
    assert "Free some space" in store.state.message
    store.close()


def test_a_later_register_map_leaves_old_samples_readable(tmp_path: Path) -> None:
    now = current_layout(registers.SUBSTATION)
    older = Layout(now.profile, 0x1234, tuple(row for row in now.rows if row.name != "room_temp_c")[::-1])
    path = tmp_path / "history.sqlite"
    t0 = int(EPOCH.timestamp() * 1000)

    store = HistoryStore(path, ["house-01"], phase, min_free_bytes=0)
    words = np.arange(older.word_count, dtype=np.uint16)
    assert store.add("house-01", t0, store.layout_id(older), words)
    store.close()
    store = HistoryStore(path, ["house-01"], phase, min_free_bytes=0)
    number = store.layout_id(now)
    for step in range(1, 800):  # the same hour continues in the new layout, and is packed later
        store.add("house-01", t0 + 10_000 * step, number, np.full(now.word_count, step, dtype=np.uint16))
        if step % 100 == 0:
            store.flush()
    store.flush()
    assert store.state.chunks == 2
    utc_ms, values = store.samples("house-01", "primary_dp_bar", t0, t0 + 3 * HOUR_MS)
    assert len(utc_ms) == 800
    position = [row.name for row in older.rows].index("primary_dp_bar")
    at = sum(registers.words_of(row) for row in older.rows[:position])
    assert values[0] == pytest.approx(at * 0.001) and values[1] == pytest.approx(0.001)
    utc_ms, _ = store.samples("house-01", "room_temp_c", t0, t0 + 3 * HOUR_MS)
    assert len(utc_ms) == 799  # the old layout did not have it
    store.close()


def test_a_killed_process_loses_at_most_a_second_of_samples(tmp_path: Path) -> None:
    """kill -9 while samples arrive every 10 ms: what was added more than a second before is in the file."""
    program = f"""
import sys, time
import numpy as np
from pathlib import Path
from supervisor.field.poller import phase
from supervisor.historian.layout import current_layout
from supervisor.historian.store import HistoryStore
store = HistoryStore(Path({str(tmp_path / "history.sqlite")!r}), ["house-01"], phase, min_free_bytes=0)
layout = current_layout("substation")
number = store.layout_id(layout)
n = 0
while True:
    n += 1
    store.add("house-01", n, number, np.full(layout.word_count, n % 65536, dtype=np.uint16))
    sys.stdout.write(f"{{n}} {{time.monotonic()}}\\n")
    sys.stdout.flush()
    time.sleep(0.01)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    added: list[tuple[int, float]] = []
    started = None
    for line in process.stdout:
        number, at = line.split()
        added.append((int(number), float(at)))
        started = started or float(at)
        if float(at) - started > 2.5:
            break
    killed = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait(timeout=30)

    store = HistoryStore(tmp_path / "history.sqlite", ["house-01"], phase, min_free_bytes=0)
    kept, values = store.samples("house-01", "primary_dp_bar", 0, HOUR_MS)
    due = [number for number, at in added if at < killed - 1.0]
    assert len(due) > 50
    assert list(kept[: len(due)]) == due
    assert values[9] == pytest.approx(0.010)
    store.close()
