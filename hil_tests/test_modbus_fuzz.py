"""A million bent frames inside the VM: every byte of every answer judged, and nothing acts but an order.

The share over real sockets and over the serial line is in `test_modbus_lines`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench.modbus_cases import cases
from .bench.modbus_fuzz import Feeder, framed, fuzz_in_process, state_of, verdict
from .bench.modbus_oracle import Device, Oracle
from .bench.provisioning import Device as Provisioned
from .bench.provisioning import Ports, provision

FRAMES = int(os.environ.get("TOPLOVOD_FUZZ_FRAMES", "500_000"))  # for each of the two framings
SEED = int(os.environ.get("TOPLOVOD_FUZZ_SEED", "1"))
REVISION = "0.1"


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory, firmware_bundle: Path) -> Iterator[Provisioned]:
    folder = tmp_path_factory.mktemp("fuzz")
    ports = Ports()
    yield provision(folder, firmware_bundle, "fuzzed", "substation", ports.take(), seed=SEED,
                    settings={"rtu_tcp_port": ports.take()})  # fmt: skip
    ports.close()


@pytest.fixture
def feeder(controller: Provisioned, tmp_path: Path) -> Iterator[Feeder]:
    with Feeder(controller, tmp_path / "console") as made:
        yield made


@pytest.fixture
def device(feeder: Feeder, controller: Provisioned) -> Device:
    return state_of(controller, "emulated", REVISION, feeder.ask_pdu)


@pytest.mark.parametrize("kind", [b"T", b"R"], ids=["tcp", "rtu"])
def test_every_case_at_an_edge_is_answered_byte_for_byte(feeder: Feeder, device: Device, kind: bytes) -> None:
    oracle = Oracle(device)
    assert len(cases()) >= 400
    for name, pdu in cases():
        frame = framed(kind, pdu, device)
        expected = verdict(oracle, kind, frame)
        assert feeder.ask(kind, [frame])[0] == expected, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", [b"T", b"R"], ids=["tcp", "rtu"])
def test_s7_bent_frames_do_nothing_and_are_answered_byte_for_byte(
    feeder: Feeder, device: Device, controller: Provisioned, kind: bytes
) -> None:
    tally = fuzz_in_process(feeder, Oracle(device), controller, kind, FRAMES, SEED)
    print(f"{kind!r}: {tally}")
    assert tally.frames == FRAMES
    assert (tally.escaped, tally.wrong, tally.changed) == (0, 0, 0), feeder.console.read_text()[-2000:]
    assert tally.orders == device.acted > 0
    assert tally.answered_bytes > FRAMES
