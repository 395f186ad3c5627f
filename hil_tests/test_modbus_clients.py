"""Other people's Modbus clients talk to the controller: mbpoll, libmodbus and pymodbus, over TCP and RTU.

They read the clock of nobody: the controller is the one that `toplovod emulate --rtu` starts, in real time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest

from firmware.substation import registers

UNIT = 1
DEADLINE_S = 10
CONFIG = registers.BY_NAME["curve_cold_outdoor_temp_c"]
SETPOINT = registers.BY_NAME["secondary_supply_temp_sp_c"]
ILLEGAL_ADDRESS = 2
needs_mbpoll = pytest.mark.skipif(shutil.which("mbpoll") is None, reason="needs mbpoll (apt: mbpoll)")
LIBMODBUS = ctypes.util.find_library("modbus")
needs_libmodbus = pytest.mark.skipif(LIBMODBUS is None, reason="needs libmodbus (apt: libmodbus5)")


@dataclass(frozen=True)
class Emulated:
    host: str
    port: int
    serial: str
    baud: int


@pytest.fixture(scope="module")
def controller() -> Iterator[Emulated]:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "emulate", "--rtu"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        host, port = line["address"].split(":")
        yield Emulated(host, int(port), line["serial"], int(line["baud"]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


# mbpoll


def mbpoll(controller: Emulated, over: str, *options: str, values: tuple[str, ...] = ()) -> str:
    """Return what mbpoll printed."""
    if over == "tcp":
        line, where = ["-m", "tcp", "-p", str(controller.port)], controller.host
    else:
        line, where = ["-m", "rtu", "-b", str(controller.baud), "-P", "even"], controller.serial
    done = subprocess.run(
        ["mbpoll", *line, "-a", str(UNIT), "-o", str(DEADLINE_S), "-1", "-0", *options, where, *values],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@needs_mbpoll
@pytest.mark.parametrize("over", ["tcp", "rtu"])
def test_mbpoll_reads(controller: Emulated, over: str) -> None:
    told = mbpoll(controller, over, "-t", "3:hex", "-r", "0", "-c", "8")
    assert f"[0]: \t0x{registers.IDENTITY_MAGIC:04X}" in told
    told = mbpoll(controller, over, "-t", "4", "-r", str(CONFIG.address), "-c", "4")
    assert len(re.findall(r"^\[30[0-3]\]:", told, re.MULTILINE)) == 4


@needs_mbpoll
@pytest.mark.parametrize("over", ["tcp", "rtu"])
def test_mbpoll_is_refused_what_would_act(controller: Emulated, over: str) -> None:
    told = mbpoll(controller, over, "-t", "4", "-r", str(SETPOINT.address), values=("4500",))
    assert "Illegal data address" in told


# libmodbus, through ctypes


class Libmodbus:
    """As much of libmodbus as the tests need. Raises OSError with its own text."""

    def __init__(self, controller: Emulated, over: str) -> None:
        self._lib = ctypes.CDLL(LIBMODBUS, use_errno=True)
        for name in ("modbus_new_tcp", "modbus_new_rtu"):
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.modbus_strerror.restype = ctypes.c_char_p
        if over == "tcp":
            made = self._lib.modbus_new_tcp(controller.host.encode(), controller.port)
        else:
            made = self._lib.modbus_new_rtu(
                controller.serial.encode(), controller.baud, ctypes.c_char(b"E"), 8, 1
            )
        self._context = ctypes.c_void_p(made)
        self._call("modbus_set_slave", UNIT)
        self._call("modbus_set_response_timeout", ctypes.c_uint32(DEADLINE_S), ctypes.c_uint32(0))
        self._call("modbus_connect")

    def _call(self, name: str, *arguments: object) -> int:
        result = int(getattr(self._lib, name)(self._context, *arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, self._lib.modbus_strerror(number).decode())
        return result

    def read(self, function: str, address: int, count: int) -> list[int]:
        words = (ctypes.c_uint16 * count)()
        assert self._call(function, address, count, words) == count
        return list(words)

    def server_id(self) -> bytes:
        told = (ctypes.c_uint8 * 256)()
        return bytes(told[: self._call("modbus_report_slave_id", 256, told)])

    def write(self, function: str, *arguments: object) -> None:
        self._call(function, *arguments)

    def close(self) -> None:
        self._lib.modbus_close(self._context)
        self._lib.modbus_free(self._context)


@pytest.fixture(params=["tcp", "rtu"])
def libmodbus(request: pytest.FixtureRequest, controller: Emulated) -> Iterator[Libmodbus]:
    made = Libmodbus(controller, request.param)
    yield made
    made.close()


@needs_libmodbus
def test_libmodbus_reads(libmodbus: Libmodbus) -> None:
    identity = libmodbus.read("modbus_read_input_registers", 0, registers.IDENTITY_WORDS)
    assert identity[0] == registers.IDENTITY_MAGIC
    assert identity[2] << 16 | identity[3] == registers.map_hash()
    assert len(libmodbus.read("modbus_read_registers", CONFIG.address, 11)) == 11
    assert libmodbus.server_id() == b"\x01\xfftoplovod-substation 0.1"


@needs_libmodbus
def test_libmodbus_is_refused_what_would_act(libmodbus: Libmodbus) -> None:
    two = (ctypes.c_uint16 * 2)(4500, 4500)
    bits = (ctypes.c_uint8 * 8)(*[1] * 8)
    for function, *arguments in (
        ("modbus_write_register", SETPOINT.address, 4500),
        ("modbus_write_registers", SETPOINT.address, 2, two),
        ("modbus_write_bit", 0, 1),
        ("modbus_write_bits", 0, 8, bits),
        ("modbus_mask_write_register", SETPOINT.address, 0, 4500),
        ("modbus_write_and_read_registers", SETPOINT.address, 2, two, SETPOINT.address, 2, two),
        ("modbus_read_bits", 0, 8, bits),
    ):
        with pytest.raises(OSError, match="Illegal data address"):
            libmodbus.write(str(function), *arguments)
    identity = libmodbus.read("modbus_read_input_registers", 0, 1)
    assert identity == [registers.IDENTITY_MAGIC]


# pymodbus


@pytest.fixture(params=["tcp", "rtu"])
def pymodbus(
    request: pytest.FixtureRequest, controller: Emulated
) -> Iterator[ModbusTcpClient | ModbusSerialClient]:
    # pyserial refuses a pty with parity; the bytes on a pty have none anyhow
    client: ModbusTcpClient | ModbusSerialClient = (
        ModbusTcpClient(controller.host, port=controller.port, timeout=DEADLINE_S)
        if request.param == "tcp"
        else ModbusSerialClient(controller.serial, baudrate=controller.baud, timeout=DEADLINE_S)
    )
    with client:
        assert client.connected
        yield client


def test_pymodbus_reads(pymodbus: ModbusTcpClient | ModbusSerialClient) -> None:
    identity = pymodbus.read_input_registers(0, count=registers.IDENTITY_WORDS, device_id=UNIT)
    assert identity.registers[0] == registers.IDENTITY_MAGIC
    assert len(pymodbus.read_holding_registers(CONFIG.address, count=11, device_id=UNIT).registers) == 11
    told: Any = pymodbus.execute(False, ReadDeviceInformationRequest(read_code=2, object_id=0, dev_id=UNIT))
    assert told.information == {
        0: b"Toplovod", 1: b"toplovod-substation", 2: b"0.1", 4: b"District heating substation controller",
        5: b"emulated",
    }  # fmt: skip
    echo: Any = pymodbus.diag_query_data(b"\xa5\x37", device_id=UNIT)
    assert echo.message in (b"\xa5\x37", [0xA537], 0xA537)


def test_pymodbus_is_refused_what_would_act(pymodbus: ModbusTcpClient | ModbusSerialClient) -> None:
    for answer in (
        pymodbus.write_register(SETPOINT.address, 4500, device_id=UNIT),
        pymodbus.write_registers(SETPOINT.address, [4500, 4500], device_id=UNIT),
        pymodbus.write_coil(0, True, device_id=UNIT),
        pymodbus.write_coils(0, [True] * 8, device_id=UNIT),
        pymodbus.mask_write_register(address=SETPOINT.address, and_mask=0, or_mask=4500, device_id=UNIT),
        pymodbus.readwrite_registers(
            read_address=SETPOINT.address, read_count=1, write_address=SETPOINT.address, values=[4500],
            device_id=UNIT,
        ),
        pymodbus.read_coils(0, count=8, device_id=UNIT),
        pymodbus.read_discrete_inputs(0, count=8, device_id=UNIT),
        pymodbus.read_fifo_queue(address=0, device_id=UNIT),
        pymodbus.diag_clear_counters(device_id=UNIT),
    ):  # fmt: skip
        assert answer.isError()
        assert answer.exception_code == ILLEGAL_ADDRESS
