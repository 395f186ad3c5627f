"""Same seed, same build: the same digest of every output, with real firmware and a real plant."""

from __future__ import annotations

from pathlib import Path

from .bench.station import PUMP_STATION, SUBSTATION, Bench


def one_run(folder: Path, bundle: Path, seed: int) -> str:
    """Run four houses and their pump station for twenty minutes, with polls, an order and a power cut."""
    with Bench(folder, bundle=bundle, houses=4, seed=seed) as bench:
        bench.plant.outdoor_temp_c = -3.0
        names = bench.town.substations.id
        controllers = bench.start(
            [*((name, SUBSTATION, {}) for name in names), (bench.town.pump_station.id, PUMP_STATION, {})]
        )
        bench.run_for(400)
        for controller in controllers:
            controller.read_all()
        controllers[0].order(secondary_supply_temp_sp_c=40.0)
        bench.cut(controllers[1])
        bench.run_for(200)
        bench.power(controllers[1])
        bench.plant.outdoor_temp_c = -9.0
        bench.run_for(600)
        assert bench.plant.plant_flow_kg_s > 0.1  # the firmware turns the plant's pump
        return bench.sha256


def questioned(folder: Path, bundle: Path, *reads: str) -> tuple[str, str]:
    """Run a house for a minute, reading these registers; return the digests of all and of outputs."""
    with Bench(folder, bundle=bundle, seed=11) as bench:
        (controller,) = bench.start([(bench.town.substations.id[0], SUBSTATION, {})])
        bench.run_for(60)
        for name in reads:
            controller.read(name)
        return bench.sha256, bench.clock.outputs_sha256


def test_the_digest_takes_every_byte_on_the_bus(tmp_path: Path, firmware_bundle: Path) -> None:
    none, one, other, again = (
        questioned(tmp_path / str(i), firmware_bundle, *reads)
        for i, reads in enumerate(((), ("uptime_s",), ("boot_count",), ("uptime_s",)))
    )
    assert len({none[0], one[0], other[0]}) == 3 and one == again
    assert none[1] == one[1] == other[1]


def test_three_runs_give_one_digest_and_another_seed_another(tmp_path: Path, firmware_bundle: Path) -> None:
    first, second, third = (one_run(tmp_path / str(i), firmware_bundle, seed=11) for i in range(3))
    assert first == second == third
    assert one_run(tmp_path / "other", firmware_bundle, seed=12) != first
