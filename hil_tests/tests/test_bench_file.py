"""The bench file: what a laboratory may write, and each mistake told with file, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import bench_file
from ..bench.errors import WrongUse
from ..reading_yaml import BadFile

GOOD = """format: toplovod-bench/1
boards:
  - name: cellar-3
    board: w5500_evb_pico2
    serial: /dev/ttyACM0
    modbus: 10.0.3.17:502
    rtu: /dev/ttyUSB0
    keys: supervisor.json
    firmware: "1a2b3c4d"
    labgrid_power: main
targets:
  main:
    resources:
      NetworkPowerPort: {model: gude, host: !template $LG_PDU, index: 3}
"""
MISTAKES = [
    ("format: toplovod-bench/1", "format: toplovod-bench/2", 1, "its format is not toplovod-bench/1"),
    ("    modbus: 10", "    modbuss: 10", 6, "Write modbus"),
    ("    board: w5500_evb_pico2", "    board: arduino", 4, "one of w5500_evb_pico"),
    ("    board: w5500_evb_pico2\n", "", 3, "has no board"),
    ("modbus: 10.0.3.17:502", "modbus: 10.0.3.17:70000", 6, "HOST:PORT"),
    ("name: cellar-3", "name: vm", 3, "not vm or emulated"),
    ('firmware: "1a2b3c4d"', "firmware: newest", 9, "hexadecimal digits"),
    ("labgrid_power: main", "labgrid_power: mian", 10, "Add it under `targets`"),
    ("labgrid_power: main", "power_on: uhubctl -a on", 10, "power_on without power_off"),
    ("labgrid_power: main", "power_on: \"hub 'on\"\n    power_off: hub", 10, "No closing quotation"),
    ('firmware: "1a2b3c4d"', "firmware: 2024-13-45", 9, "words belong in quotes"),
    ("    modbus: 10.0.3.17:502", "    serial: /dev/ttyACM1", 6, "stands here a second time"),
    ("targets:", "target:", 11, "knows no target"),
    ("boards:\n", "boards: [\n", 3, "Mend this line"),
    ("    serial: /dev/ttyACM0", "    unit: 300", 5, "a whole number from 1 to 247"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "bench.yaml").write_text(GOOD)
    return tmp_path / "bench.yaml"


def test_a_whole_file_beside_a_labgrid_environment(file: Path):
    wiring = bench_file.read(file)["cellar-3"]
    assert (wiring.serial, wiring.modbus, wiring.firmware) == ("/dev/ttyACM0", "10.0.3.17:502", "1a2b3c4d")
    assert wiring.keys == file.parent / "supervisor.json"
    assert {"power.cut", "console.exec", "bus.rtu", "orders", "clock.wall"} <= wiring.capabilities
    assert not {"plant", "io.sensors", "clock.virtual", "power.voltage"} & wiring.capabilities


@pytest.mark.parametrize(("right", "wrong", "line", "remedy"), MISTAKES, ids=[row[3] for row in MISTAKES])
def test_a_mistake_is_told_by_file_line_and_remedy(
    file: Path, right: str, wrong: str, line: int, remedy: str
):
    assert GOOD.count(right) == 1
    file.write_text(GOOD.replace(right, wrong))
    with pytest.raises(BadFile) as caught:
        bench_file.read(file)
    assert str(caught.value).startswith(f"bench.yaml line {line}: ") and remedy in str(caught.value)
    assert "nothing was started" in str(caught.value)


def test_a_board_that_nobody_can_speak_to(file: Path):
    file.write_text(GOOD.replace("    serial: /dev/ttyACM0\n", "").replace("    modbus: 10.0.3.17:502\n", ""))
    with pytest.raises(BadFile, match=r"line 3: cellar-3 has neither serial nor modbus"):
        bench_file.read(file)


def test_two_boards_of_one_name(file: Path):
    rows = "  - {name: one, board: nucleo_h743, modbus: 10.0.0.1}\n" * 2
    file.write_text("format: toplovod-bench/1\nboards:\n" + rows)
    with pytest.raises(BadFile, match=r"line 4: one stands here a second time"):
        bench_file.read(file)


def test_what_a_target_on_the_command_line_means(file: Path):
    assert bench_file.wiring_of("board:/dev/ttyACM0", None).serial == "/dev/ttyACM0"
    assert bench_file.wiring_of("board:10.0.3.17", None).modbus == "10.0.3.17"
    assert bench_file.wiring_of("cellar-3", file).name == "cellar-3"
    for spec, of in (("cellar-3", None), ("cellar-4", file), ("board:10.0.3.17:x", None)):
        with pytest.raises(WrongUse):
            bench_file.wiring_of(spec, of)
