"""Requests per second of one emulated controller with the whole firmware running. It judges nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from firmware.substation import registers

from ..bench.modbus import ModbusTcp

TEN_REGISTERS = 10  # as in the anchors that other implementations were measured with


@pytest.fixture(scope="module")
def controller() -> Iterator[ModbusTcp]:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "emulate"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        host, port = json.loads(process.stdout.readline())["address"].split(":")
        with ModbusTcp(host, int(port)) as client:
            yield client
        process.terminate()


def test_read_ten_registers(benchmark: Any, controller: ModbusTcp) -> None:
    first = registers.BY_NAME["outdoor_temp_c"].address
    assert len(benchmark(controller.read_input, first, TEN_REGISTERS)) == TEN_REGISTERS


def test_read_a_whole_poll(benchmark: Any, controller: ModbusTcp) -> None:
    first, last = registers.SUBSTATION_INPUTS[0], registers.SUBSTATION_INPUTS[-1]
    count = last.address + registers.words_of(last) - first.address
    assert len(benchmark(controller.read_input, first.address, count)) == count
