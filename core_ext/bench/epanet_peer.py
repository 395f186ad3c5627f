"""EPANET 2.3 on the benchmark's districts, through the shared library that owa-epanet ships.

The library is called with ctypes, so that the time of EN_initH and EN_runH is EPANET's alone. It writes one
.inp file into a folder it is given and solves nothing itself.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..network import FloatArray, Network
from ..solver import EPANET_CUBIC_FOOT_M3, EPANET_MINOR_LOSS, EXACT_MINOR_LOSS, FOOT_M

VISCOSITY_FT2_S = 1.1e-5  # EPANET's rounded kinematic viscosity of water at 20 degC
VALVE_DIAMETER_M = 0.05

NOSAVE, INITFLOW = 0, 10
ACCURACY, BASEDEMAND, HEAD, QUALITY_NOW, INITSETTING, FLOW, ITERATIONS = 1, 1, 10, 12, 5, 8, 0


class NoEpanet(RuntimeError):
    """owa-epanet is not installed; the rows beside it cannot run."""

    code = "no_epanet"


def library() -> ctypes.CDLL:
    """EPANET's shared library. Raises NoEpanet."""
    spec = importlib.util.find_spec("epanet")
    if spec is None or spec.origin is None:
        raise NoEpanet(
            "owa-epanet is not installed: rows beside EPANET are left out. It has wheels to Python 3.12"
        )
    return ctypes.CDLL(str(Path(spec.origin).parent / "libepanet2.so"))


def number(value: Any) -> str:
    return repr(float(value))


def write_inp(net: Network, path: Path, valve: str, quality: dict[str, Any] | None = None) -> None:
    """The network as an .inp: consumers as demands ("demand"), TCV with their K, or FCV with limit and K.

    Minor losses make up for EPANET's rounded 0.02517 and cubic foot, so that both engines solve the same
    network when the core takes friction form "epanet".
    """
    fluid = net.fluid
    assert fluid is not None
    weight = fluid.density_kg_m3 * fluid.gravity_m_s2
    pressure = dict.fromkeys(net.nodes.ids, np.nan)
    sources, consumers, pipes = net.sources, net.consumers, net.pipes
    for row in range(sources.rows):
        pressure[sources["supply_node"][row]] = sources["supply_pressure_pa"][row]
        pressure[sources["return_node"][row]] = sources["return_pressure_pa"][row]
    demand = dict.fromkeys(net.nodes.ids, 0.0)
    if valve == "demand":
        for row in range(consumers.rows):
            litres = consumers["mass_flow_kg_s"][row] / fluid.density_kg_m3 * 1000.0
            demand[consumers["supply_node"][row]] += litres
            demand[consumers["return_node"][row]] -= litres
    lines = ["[JUNCTIONS]"]
    lines += [f"{n} 0 {number(demand[n])}" for n, p in pressure.items() if not np.isfinite(p)]
    lines.append("[RESERVOIRS]")
    lines += [f"{n} {number(p / weight)}" for n, p in pressure.items() if np.isfinite(p)]
    lines.append("[PIPES]")
    for name, a, b, length, diameter, rough in zip(
        pipes.ids, pipes["from_node"], pipes["to_node"], pipes["length_m"], pipes["inner_diameter_m"],
        pipes["roughness_m"], strict=True,
    ):  # fmt: skip
        lines.append(f"{name} {a} {b} {number(length)} {number(diameter * 1e3)} {number(rough * 1e3)} 0 Open")
    if valve != "demand":
        lines.append("[VALVES]")
        for row in range(consumers.rows):
            k = number(loss_coefficient(consumers["kv_m3_h"][row]))
            ends = f"{consumers['id'][row]} {consumers['supply_node'][row]} {consumers['return_node'][row]}"
            most = consumers["max_flow_kg_s"][row] / fluid.density_kg_m3 * 1000.0
            setting = f"TCV {k} 0" if valve == "TCV" else f"FCV {number(most)} {k}"
            lines.append(f"{ends} {number(VALVE_DIAMETER_M * 1e3)} {setting}")
    ratio = fluid.viscosity_pa_s / fluid.density_kg_m3 / FOOT_M**2 / VISCOSITY_FT2_S
    lines += [
        "[OPTIONS]",
        "UNITS LPS",
        "HEADLOSS D-W",
        f"VISCOSITY {ratio!r}",
        "TRIALS 500",
        "UNBALANCED STOP",
    ]
    lines += ["[TIMES]"]
    if quality is None:
        lines.append("DURATION 0")
    else:
        lines += [f"DURATION {quality['hours']}:00", "HYDRAULIC TIMESTEP 1:00", "REPORT TIMESTEP 1:00"]
        lines += [f"QUALITY TIMESTEP 0:{quality['step_s'] // 60:02d}:{quality['step_s'] % 60:02d}"]
        lines += ["[QUALITY]"] + [
            f"{n} {number(quality['inlet'])}" for n, p in pressure.items() if np.isfinite(p)
        ]
        lines += ["[REACTIONS]"]
        lines += [
            f"BULK {name} {number(-k * 86400.0)}" for name, k in zip(pipes.ids, quality["rate"], strict=True)
        ]
        lines[lines.index("[TIMES]") : lines.index("[TIMES]")] = [
            "QUALITY Chemical mg/L", "DIFFUSIVITY 0", f"TOLERANCE {quality['tolerance']}",
        ]  # fmt: skip
    lines += ["[REPORT]", "STATUS NO", "MESSAGES NO", "[END]"]
    path.write_text("\n".join(lines), encoding="ascii")


def loss_coefficient(kv_m3_h: Any) -> Any:
    """K at VALVE_DIAMETER_M of a valve with this kv, as EPANET must be told it."""
    area = np.pi * VALVE_DIAMETER_M**2 / 4.0
    k = 2.0 * area**2 * 1e5 * 3600.0**2 / (1000.0 * np.asarray(kv_m3_h) ** 2)
    return k * EXACT_MINOR_LOSS / EPANET_MINOR_LOSS * (EPANET_CUBIC_FOOT_M3 / FOOT_M**3) ** 2


class Epanet:
    """One open project with its hydraulics open; close it, or use it in a `with`."""

    def __init__(self, inp: Path, accuracy: float) -> None:
        self._lib = library()
        self._handle = ctypes.c_void_p()
        self._call("EN_createproject", ctypes.byref(self._handle), bare=True)
        files = (inp, inp.with_suffix(".rpt"), inp.with_suffix(".out"))
        self._call("EN_open", *(str(f).encode() for f in files))
        self.set_accuracy(accuracy)
        self.open_s = 0.0
        self.open_hydraulics()

    def _call(self, name: str, *arguments: Any, bare: bool = False) -> int:
        code = int(getattr(self._lib, name)(*(() if bare else (self._handle,)), *arguments))
        if code > 6:  # up to 6 are warnings
            raise RuntimeError(f"EPANET: {name} returned error {code}; nothing was measured")
        return code

    def open_hydraulics(self) -> float:
        """EN_openH: EPANET's symbolic work; seconds."""
        began = time.perf_counter()
        self._call("EN_openH")
        self.open_s = time.perf_counter() - began
        return self.open_s

    def close_hydraulics(self) -> None:
        self._call("EN_closeH")

    def set_accuracy(self, accuracy: float) -> None:
        """Sum of flow changes over sum of flows at which EPANET stops; the file could not ask below 1e-5."""
        self._call("EN_setoption", ACCURACY, ctypes.c_double(accuracy))

    def solve(self, warm: bool = False) -> float:
        """Seconds of EN_initH and EN_runH. A warning is a RuntimeError: a wrong answer has no speed."""
        seconds, code = self.attempt(warm)
        if code:
            raise RuntimeError(f"EPANET warned ({code}): it did not balance")
        return seconds

    def attempt(self, warm: bool = False) -> tuple[float, int]:
        """Seconds, and the warning it ended with (0 for none)."""
        when, flag = ctypes.c_long(), INITFLOW if not warm else NOSAVE
        run, init, handle = self._lib.EN_runH, self._lib.EN_initH, self._handle
        began = time.perf_counter()
        init(handle, flag)
        code = run(handle, ctypes.byref(when))
        seconds = time.perf_counter() - began
        if code > 6:
            raise RuntimeError(f"EPANET: EN_runH returned error {code}")
        return seconds, int(code)

    def iterations(self) -> int:
        value = ctypes.c_double()
        self._call("EN_getstatistic", ITERATIONS, ctypes.byref(value))
        return int(value.value)

    def _values(self, what: str, count: int, prop: int) -> FloatArray:
        out, value = np.empty(count), ctypes.c_double()
        get = getattr(self._lib, what)
        for i in range(count):
            get(self._handle, i + 1, prop, ctypes.byref(value))
            out[i] = value.value
        return out

    def flows(self, links: int, density: float) -> FloatArray:
        """Mass flow of the first `links` links in file order, kg/s by EPANET's own litre."""
        # litres come out through EPANET's rounded cubic foot and go in the same way
        return self._values("EN_getlinkvalue", links, FLOW) * density / 1000.0

    def node_quality(self, nodes: int) -> FloatArray:
        return self._values("EN_getnodevalue", nodes, QUALITY_NOW)

    def index_of(self, node: str) -> int:
        value = ctypes.c_int()
        self._call("EN_getnodeindex", node.encode(), ctypes.byref(value))
        return value.value

    def set_demands(self, index: Any, litres_s: Any) -> None:
        put, handle = self._lib.EN_setnodevalue, self._handle
        for i, value in zip(np.asarray(index).tolist(), np.asarray(litres_s).tolist(), strict=True):
            put(handle, i, BASEDEMAND, ctypes.c_double(value))

    def set_settings(self, first: int, values: Any) -> None:
        """Settings of the links from index `first` on."""
        put, handle = self._lib.EN_setlinkvalue, self._handle
        for i, value in enumerate(np.asarray(values).tolist()):
            put(handle, first + i, INITSETTING, ctypes.c_double(value))

    def run_quality(self) -> float:
        """Solve the hydraulics of the whole period, then time the transport alone; seconds."""
        self.close_hydraulics()
        self._call("EN_solveH")
        self._call("EN_openQ")
        self._call("EN_initQ", 0)
        when, step = ctypes.c_long(), ctypes.c_long(1)
        run, following, handle = self._lib.EN_runQ, self._lib.EN_nextQ, self._handle
        began = time.perf_counter()
        while step.value > 0:
            run(handle, ctypes.byref(when))
            following(handle, ctypes.byref(step))
        return time.perf_counter() - began

    def close(self) -> None:
        if self._handle:
            self._lib.EN_close(self._handle)
            self._lib.EN_deleteproject(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> Epanet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
