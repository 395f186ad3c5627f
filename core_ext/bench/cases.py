"""The measured works, each for one district and the instruction level of this process.

Every engine meets the same network, in turns, and their answers are compared in the same run: a speed figure
of a wrong answer is worthless. A case returns plain rows; nothing here prints, plots or decides what is good.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import simd
from ..network import FloatArray, Network
from ..solver import HydraulicSolver, NotConverged
from ..thermal import ThermalTransport
from .districts import WATER_75, District, IntArray, make_district
from .epanet_peer import Epanet, NoEpanet, library, loss_coefficient, write_inp
from .pandapipes_peer import Pandapipes
from .pandapipes_peer import available as pandapipes_available
from .timing import interleave, timed

Row = dict[str, Any]
EQUAL_STOP, CERTIFIED = "equal stop", "certified"
FLOW_TOL = 1e-5  # sum of changes over sum of flows
ANY_PRESSURE_PA = 1e9  # with FLOW_TOL the flows alone decide
EPANET_CERTIFIED = 1e-8
DENSITY = WATER_75.density_kg_m3
MOST_PANDAPIPES_LINKS = 20_000


def epanet_available() -> bool:
    try:
        library()
    except NoEpanet:
        return False
    return True


def _row(district: District, work: str, links: int, **more: Any) -> Row:
    return {
        "work": work, "size": int(district.name.split()[1].split("/")[0]), "loops": district.loops,
        "links": links, "level": simd.LEVEL, "seed": district.seed, **more,
    }  # fmt: skip


def _stop(stop: str) -> dict[str, float]:
    return {"flow_tol": FLOW_TOL, "tol": ANY_PRESSURE_PA} if stop == EQUAL_STOP else {}


def _answers(net: Network, result: Any, links: int) -> FloatArray:
    flows: FloatArray = np.r_[result.mass_flow_kg_s["pipes"], result.mass_flow_kg_s["consumers"]][:links]
    return flows


def _difference(ours: FloatArray, theirs: FloatArray) -> float:
    """Largest difference, as a share of the largest flow."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def cold(district: District, seconds: float) -> list[Row]:
    """One solve from nothing, flows imposed and valves given, at both stops."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for variant, net, kind in (
            ("flows imposed", district.imposed(), "demand"),
            ("valves given", district.valves(), "TCV"),
        ):
            links = net.pipes.rows + (0 if kind == "demand" else net.consumers.rows)
            solver = HydraulicSolver(net, friction="epanet")
            out = solver.solve()
            epanet = None
            if epanet_available():
                write_inp(net, Path(folder) / f"{kind}.inp", kind)
                epanet = Epanet(Path(folder) / f"{kind}.inp", FLOW_TOL)
            panda = None
            if pandapipes_available() and links <= MOST_PANDAPIPES_LINKS:
                panda = Pandapipes(net, valve=kind == "TCV")
            for stop in (EQUAL_STOP, CERTIFIED):
                options = _stop(stop)
                steps: dict[str, Callable[[], float]] = {
                    "core": timed(partial(solver.solve, warm_start=False, out=out, **options))
                }
                if epanet is not None:
                    epanet.set_accuracy(FLOW_TOL if stop == EQUAL_STOP else EPANET_CERTIFIED)
                    steps["epanet"] = epanet.solve
                figures = interleave(steps, seconds)
                row = _row(district, f"cold, {variant}", links, stop=stop)
                row |= {name: figure.row() for name, figure in figures.items()}
                row["core_iterations"] = out.iterations
                ours = _answers(net, out, links)
                if epanet is not None:
                    row["epanet_iterations"] = epanet.iterations()
                    row["epanet_difference"] = _difference(ours, epanet.flows(links, DENSITY))
                if panda is not None and stop == CERTIFIED:
                    _beside_pandapipes(row, panda, net, links, seconds)
                rows.append(row)
            if epanet is not None:
                epanet.close()
    return rows


def _beside_pandapipes(row: Row, panda: Pandapipes, net: Network, links: int, seconds: float) -> None:
    """pandapipes has one stop of its own; the core takes its friction form and its full accuracy here."""
    solver = HydraulicSolver(net, friction="pandapipes")
    out = solver.solve()
    figures = interleave(
        {"ours": timed(lambda: solver.solve(warm_start=False, out=out)), "pandapipes": panda.solve},
        seconds,
        3,
    )
    row["pandapipes"] = figures["pandapipes"].row()
    row["core_beside_pandapipes"] = figures["ours"].row()
    row["pandapipes_difference"] = _difference(_answers(net, out, links), panda.flows())


def tick(district: District, seconds: float) -> list[Row]:
    """5 % of the consumers change by up to 10 %, warm, from the bound arrays; reading them in counts."""
    return [
        *_ticks(district, "flows imposed", district.imposed(), "consumers_mass_flow_kg_s", seconds),
        *_ticks(district, "valves given", district.valves(), "consumers_kv_m3_h", seconds),
    ]


def _ticks(district: District, variant: str, net: Network, column: str, seconds: float) -> list[Row]:
    kind = "TCV" if variant == "valves given" else "demand"
    links = net.pipes.rows + (net.consumers.rows if kind == "TCV" else 0)
    solver = HydraulicSolver(net, friction="epanet")
    (bound,) = solver.bind(column)
    base, rng = bound.copy(), np.random.default_rng(11)
    solver.tick()
    epanet, rows = None, []

    def ours(options: dict[str, float]) -> float:
        chosen = rng.choice(len(base), max(1, len(base) // 20), replace=False)
        bound[chosen] = base[chosen] * rng.uniform(0.9, 1.1, len(chosen))
        began = time.perf_counter()
        solver.tick(**options)
        return time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        if epanet_available():
            write_inp(net, Path(folder) / "tick.inp", kind)
            epanet = Epanet(Path(folder) / "tick.inp", FLOW_TOL)
        for stop in (EQUAL_STOP, CERTIFIED):
            options = _stop(stop)
            steps: dict[str, Callable[[], float]] = {"core": partial(ours, options)}
            if epanet is not None:
                epanet.set_accuracy(FLOW_TOL if stop == EQUAL_STOP else EPANET_CERTIFIED)
                epanet.solve()
                steps["epanet"] = partial(_epanet_tick, epanet, net, kind, bound)
            figures = interleave(steps, seconds)
            row = _row(district, f"tick, {variant}", links, stop=stop)
            row |= {name: figure.row() for name, figure in figures.items()}
            result = solver.tick(**options)
            if epanet is not None:
                row["epanet_difference"] = _difference(
                    _answers(net, result, links), epanet.flows(links, DENSITY)
                )
            rows.append(row)
        if epanet is not None:
            epanet.close()
    return rows


def _epanet_tick(epanet: Epanet, net: Network, kind: str, bound: FloatArray) -> float:
    """Give EPANET the state the core has just solved, then time its warm solve."""
    if kind == "demand":
        litres = bound / DENSITY * 1e3
        for end, sign in (("supply_node", 1.0), ("return_node", -1.0)):
            epanet.set_demands([epanet.index_of(n) for n in net.consumers[end]], sign * litres)
    else:
        epanet.set_settings(net.pipes.rows + 1, loss_coefficient(bound))
    return epanet.solve(warm=True)


def _seconds_of_attempt(epanet: Epanet) -> float:
    return epanet.attempt()[0]


def infeasible(district: District, seconds: float) -> list[Row]:
    """Flow limiters at every house, 3 % of the set-points out of reach; EPANET's are FCVs with the same K."""
    net = district.limited(0.03)
    links = net.pipes.rows + net.consumers.rows
    solver = HydraulicSolver(net, friction="epanet")
    out = solver.solve()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        epanet = None
        if epanet_available():
            write_inp(net, Path(folder) / "fcv.inp", "FCV")
            epanet = Epanet(Path(folder) / "fcv.inp", FLOW_TOL)
        for stop in (EQUAL_STOP, CERTIFIED):
            options = _stop(stop)
            steps: dict[str, Callable[[], float]] = {
                "core": timed(partial(solver.solve, warm_start=False, out=out, **options)),
                # the same without the certificate, which names every limit that holds
                "core_kernel": timed(
                    partial(
                        solver._run,
                        out,
                        solver._limits(options.get("tol"), options.get("flow_tol")),
                        False,
                    )
                ),
            }
            warnings = 0
            if epanet is not None:
                epanet.set_accuracy(FLOW_TOL if stop == EQUAL_STOP else EPANET_CERTIFIED)
                warnings = epanet.attempt()[1]
                steps["epanet"] = partial(_seconds_of_attempt, epanet)
            figures = interleave(steps, seconds)
            row = _row(district, "infeasible set-points", links, stop=stop)
            row |= {name: figure.row() for name, figure in figures.items()}
            solver.solve(warm_start=False, out=out, **options)
            row |= {
                "core_iterations": out.iterations, "at_limit": len(out.certificate.active_limits),
                "houses": net.consumers.rows,
            }  # fmt: skip
            if epanet is not None:
                row["epanet_iterations"] = epanet.iterations()
                row["epanet_warning"] = warnings
                row["epanet_difference"] = _difference(
                    _answers(net, out, links), epanet.flows(links, DENSITY)
                )
            rows.append(row)
        if epanet is not None:
            epanet.close()
    return rows


def balance(district: District, seconds: float) -> list[Row]:
    """Valves of all consumers from their flows, of which 5 % are others than the time before, by up to 10 %;
    then the valves must give the flows back.
    """
    net = district.imposed()
    solver = HydraulicSolver(net)
    rng = np.random.default_rng(11)
    targets = {"mass_flow_kg_s": district.flow_kg_s, "min_dp_pa": 0.6e5}

    def changed() -> float:
        flow = district.flow_kg_s.copy()
        chosen = rng.choice(len(flow), max(1, len(flow) // 20), replace=False)
        flow[chosen] *= rng.uniform(0.9, 1.1, len(chosen))
        others = {**targets, "mass_flow_kg_s": flow}
        began = time.perf_counter()
        solver.balance(others)
        return time.perf_counter() - began

    figures = interleave({"core": changed}, seconds)
    found = solver.balance(targets)
    from ..balancing import balanced_network

    back = HydraulicSolver(balanced_network(net, found)).solve().mass_flow_kg_s["consumers"]
    error = float(np.abs(back / district.flow_kg_s - 1.0).max())
    row = _row(district, "balance of all consumers", net.pipes.rows, core=figures["core"].row())
    return [row | {"houses": net.consumers.rows, "round_trip": error, "feasible": found.feasible}]


def batch(district: District, seconds: float) -> list[Row]:
    """All kv varied by 0.8 to 1.25, per scenario: from nothing, and from the solver's own solution.

    EPANET solves one scenario, from nothing and from its last flows.
    """
    net = district.valves()
    links = net.pipes.rows + net.consumers.rows
    scenarios = 256 if links < 3000 else 64
    kv = district.kv_m3_h * np.random.default_rng(5).uniform(0.8, 1.25, (scenarios, net.consumers.rows))
    solver = HydraulicSolver(net, friction="epanet")
    solver.solve()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        epanet = None
        if epanet_available():
            write_inp(net, Path(folder) / "batch.inp", "TCV")
            epanet = Epanet(Path(folder) / "batch.inp", FLOW_TOL)
        for stop, warm in ((EQUAL_STOP, False), (CERTIFIED, False), (EQUAL_STOP, True), (CERTIFIED, True)):
            last: list[Any] = []
            options: dict[str, Any] = _stop(stop)
            run = partial(solver.solve_batch, warm_start=warm, consumers_kv_m3_h=kv, **options)

            def ours(workers: int | None, run: Any = run, keep: list[Any] = last) -> float:
                began = time.perf_counter()
                keep[:] = run(workers=workers)
                return (time.perf_counter() - began) / scenarios

            steps: dict[str, Callable[[], float]] = {
                "core": partial(ours, None), "core_one_worker": partial(ours, 1), "two_cores": two_cores,
            }  # fmt: skip
            if epanet is not None:
                epanet.set_accuracy(FLOW_TOL if stop == EQUAL_STOP else EPANET_CERTIFIED)
                epanet.set_settings(net.pipes.rows + 1, loss_coefficient(kv[-1]))
                steps["epanet"] = partial(_epanet_scenario, epanet, net, kv, [0]) if warm else epanet.solve
            figures = interleave(steps, seconds, 3)
            name = "scenario batch, per scenario" + (", from a solution" if warm else "")
            row = _row(district, name, links, stop=stop, scenarios=scenarios)
            row |= {name: figure.row() for name, figure in figures.items()}
            if isinstance(last[-1], NotConverged):
                raise last[-1]
            if epanet is not None:
                epanet.set_settings(net.pipes.rows + 1, loss_coefficient(kv[-1]))
                epanet.solve()
                row["epanet_difference"] = _difference(
                    _answers(net, last[-1], links), epanet.flows(links, DENSITY)
                )
            rows.append(row)
        if epanet is not None:
            epanet.close()
    return rows


def _epanet_scenario(epanet: Epanet, net: Network, kv: FloatArray, turn: list[int]) -> float:
    """Seconds of the next scenario, begun at the flows of the one before."""
    turn[0] = (turn[0] + 1) % len(kv)
    epanet.set_settings(net.pipes.rows + 1, loss_coefficient(kv[turn[0]]))
    return epanet.solve(warm=True)


def two_cores() -> float:
    """How much more two threads do than one when they share nothing: SHA-256 without the GIL."""
    block = bytes(1 << 20)

    def digest() -> None:
        for _ in range(20):
            hashlib.sha256(block).digest()

    def seconds(count: int) -> float:
        threads = [threading.Thread(target=digest) for _ in range(count)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    return 2.0 * seconds(1) / seconds(2)


def set_up(district: District, seconds: float) -> list[Row]:
    """What a new topology costs before its first solve: the whole solver, beside EPANET's EN_openH."""
    net = district.valves()
    links = net.pipes.rows + net.consumers.rows
    from ..layout import make_layout

    made = HydraulicSolver(net, friction="epanet")
    first, second, fixed = made._ends
    steps: dict[str, Callable[[], float]] = {
        "core": timed(lambda: HydraulicSolver(net, friction="epanet")),
        "core_ordering": timed(
            lambda: make_layout(fixed, first, second, made._classes, made._can_stop, made._sensed)
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        epanet = None
        if epanet_available():
            write_inp(net, Path(folder) / "open.inp", "TCV")
            epanet = Epanet(Path(folder) / "open.inp", FLOW_TOL)

            def theirs(e: Epanet = epanet) -> float:
                e.close_hydraulics()
                return e.open_hydraulics()

            steps["epanet"] = theirs
        figures = interleave(steps, seconds, 3)
        if epanet is not None:
            epanet.close()
    return [_row(district, "set-up of a topology", links) | {n: f.row() for n, f in figures.items()}]


# -- heat -------------------------------------------------------------------------------------------------

INLET_C, GROUND_C, LOSS_W_MK = 90.0, 8.0, 0.3


def _supply_half(district: District) -> tuple[Network, FloatArray]:
    """Supply pipes with demands at the houses, one pressure at every plant; steady flow of every pipe."""
    count, streets = len(district.begin), district.streets
    demand = np.zeros(streets)
    demand[district.houses] = -district.flow_kg_s
    pressure = np.full(streets, np.nan)
    pressure[district.plants] = 5e5 + district.dp_pa
    net = Network(
        nodes={
            "id": [f"s{i}" for i in range(streets)],
            "mass_injection_kg_s": demand,
            "fixed_pressure_pa": pressure,
        },
        pipes={
            "id": [f"ps{i}" for i in range(count)],
            "from_node": [f"s{a}" for a in district.begin],
            "to_node": [f"s{b}" for b in district.end],
            "length_m": district.length_m,
            "inner_diameter_m": district.diameter_m,
            "linear_loss_w_mk": LOSS_W_MK,
        },
        fluid=WATER_75,
    )
    return net, HydraulicSolver(net, friction="epanet").solve().mass_flow_kg_s["pipes"]


def _steady_temps(net: Network, flow: FloatArray, rate_kg_s: FloatArray, plants: IntArray) -> FloatArray:
    """Exact steady node temperatures above ground: exponential cooling along pipes, mixing at nodes.

    rate_kg_s: loss over heat capacity, U L / cp, of every pipe. Nodes are taken in the order of the flow.
    """
    row_of = {n: i for i, n in enumerate(net.nodes.ids)}
    a = np.array([row_of[n] for n in net.pipes["from_node"]])
    b = np.array([row_of[n] for n in net.pipes["to_node"]])
    up, down = np.where(flow >= 0.0, a, b), np.where(flow >= 0.0, b, a)
    m = np.abs(flow)
    keeps = np.where(m > 0.0, np.exp(-rate_kg_s / np.maximum(m, 1e-300)), 0.0)
    temp = np.zeros(net.nodes.rows)
    temp[plants] = INLET_C - GROUND_C
    fixed = np.zeros(net.nodes.rows, np.bool_)
    fixed[plants] = True
    # a fixed point reached in as many rounds as the longest way has pipes
    for _ in range(net.nodes.rows):
        heat, mass = np.zeros(net.nodes.rows), np.zeros(net.nodes.rows)
        np.add.at(heat, down, m * keeps * temp[up])
        np.add.at(mass, down, m)
        new = np.where(fixed, temp, heat / np.maximum(mass, 1e-300))
        if np.array_equal(new, temp):
            break
        temp = new
    return temp


def thermal(district: District, seconds: float, hours: int = 24, step_s: int = 60) -> list[Row]:
    """Constant flow through the supply half from cold; seconds of one pipe in one step, errors in the end.

    The plug flow has no wall here, for EPANET's quality engine knows none.
    """
    del seconds  # one run is long enough
    net, flow = _supply_half(district)
    pipes, steps = net.pipes.rows, hours * 3600 // step_s
    transport = ThermalTransport(
        net,
        initial_temp_c=GROUND_C,
        ground_temp_c=GROUND_C,
        wall_heat_capacity_j_mk=0.0,
        reference_temp_c=75.0,
    )
    inflow = np.full(net.nodes.rows, np.nan)
    inflow[district.plants] = INLET_C
    area = np.pi * net.pipes["inner_diameter_m"] ** 2 / 4.0
    began = time.perf_counter()
    for _ in range(steps):
        temps = transport.step(float(step_s), flow, inflow)
    ours = time.perf_counter() - began
    cp, rho = transport.heat_capacity_j_kgk, transport.density_kg_m3
    exact = _steady_temps(net, flow, LOSS_W_MK * net.pipes["length_m"] / cp, district.plants)
    # the front must have passed long ago: within half the time that was simulated
    warm = _reached(net, flow, rho * area * net.pipes["length_m"], district.plants, 0.5 * hours * 3600.0)
    row = _row(district, f"heat, {step_s} s steps", pipes, hours=hours, nodes_compared=int(warm.sum()))
    row["core"] = {
        "median": ours / pipes / steps,
        "low": ours / pipes / steps,
        "high": ours / pipes / steps,
        "rounds": 1,
    }
    row["parcels_per_pipe"] = float(np.mean([len(transport.parcels(i)[0]) for i in range(pipes)]))
    row["core_error_k"] = _percentiles(np.abs(temps - GROUND_C - exact)[warm])
    if epanet_available():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quality.inp"
            # both engines carry the same volumes: EPANET's litres of water at rho, one decay per second
            rate = LOSS_W_MK / (rho * cp * area)
            quality = {
                "hours": hours,
                "step_s": step_s,
                "inlet": INLET_C - GROUND_C,
                "tolerance": 1e-3,
                "rate": rate,
            }
            demands = _as_demands(net, rho)
            write_inp(demands, path, "demand", quality)
            with Epanet(path, 1e-8) as epanet:
                theirs = epanet.run_quality()
                index = np.array([epanet.index_of(n) for n in net.nodes.ids])
                got = epanet.node_quality(net.nodes.rows)[index - 1]
        row["epanet"] = dict.fromkeys(("median", "low", "high"), theirs / pipes / steps) | {"rounds": 1}
        row["epanet_error_k"] = _percentiles(np.abs(got - exact)[warm])
    return [row]


def _percentiles(error: FloatArray) -> dict[str, float]:
    median, p99, most = (float(x) for x in np.percentile(error, [50, 99, 100]))
    return {"median": median, "p99": p99, "max": most}


def _reached(net: Network, flow: FloatArray, mass: FloatArray, plants: IntArray, within_s: float) -> Any:
    """Nodes all of whose water comes from the plants within the time."""
    row_of = {n: i for i, n in enumerate(net.nodes.ids)}
    a = np.array([row_of[n] for n in net.pipes["from_node"]])
    b = np.array([row_of[n] for n in net.pipes["to_node"]])
    moving = np.abs(flow) > 1e-12
    up, down = np.where(flow >= 0.0, a, b)[moving], np.where(flow >= 0.0, b, a)[moving]
    delay = mass[moving] / np.abs(flow)[moving]
    latest = np.full(net.nodes.rows, 0.0)
    for _ in range(net.nodes.rows):
        new = np.zeros(net.nodes.rows)
        np.maximum.at(new, down, np.minimum(latest[up] + delay, 1e12))
        new[plants] = 0.0
        if np.array_equal(new, latest):
            break
        latest = new
    fed = np.zeros(net.nodes.rows, np.bool_)
    fed[down] = True
    fed[plants] = True
    return fed & (latest <= within_s)


def _as_demands(net: Network, density: float) -> Network:
    """The same zone as sources and consumers cannot say it: demands become consumers into a plant's node."""
    fixed = np.isfinite(net.nodes["fixed_pressure_pa"])
    takers = np.flatnonzero(~fixed & (net.nodes["mass_injection_kg_s"] < 0.0))
    ids, sink = net.nodes["id"], "outside"
    plants = np.flatnonzero(fixed)
    return Network(
        nodes={"id": [*ids, sink]},
        pipes={
            k: net.pipes[k]
            for k in ("id", "from_node", "to_node", "length_m", "inner_diameter_m", "roughness_m")
        },
        consumers={
            "id": [f"c{i}" for i in takers],
            "supply_node": ids[takers],
            "return_node": [sink] * len(takers),
            "mass_flow_kg_s": -net.nodes["mass_injection_kg_s"][takers] * WATER_75.density_kg_m3 / density,
        },
        sources={
            "id": [f"plant{i}" for i in plants],
            "return_node": [sink] * len(plants),
            "supply_node": ids[plants],
            "supply_pressure_pa": net.nodes["fixed_pressure_pa"][plants],
            "return_pressure_pa": 0.0,
        },
        fluid=WATER_75,
    )


# -- memory -----------------------------------------------------------------------------------------------

MEMORY_ENGINES = ("core", "epanet", "pandapipes")


def memory(district: District, seconds: float) -> list[Row]:
    """Resident growth of holding and solving in a fresh process, without ids and results, bytes per link."""
    del seconds
    size = int(district.name.split()[1].split("/")[0])
    row = _row(district, "memory per link, valves given", 0)
    for engine in MEMORY_ENGINES:
        if (engine == "epanet" and not epanet_available()) or (
            engine == "pandapipes" and (not pandapipes_available() or size > MOST_PANDAPIPES_LINKS)
        ):
            continue
        command = [
            sys.executable,
            "-m",
            "core_ext.bench.memory",
            engine,
            str(size),
            str(district.loops),
            str(district.seed),
        ]
        text = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "MALLOC_ARENA_MAX": "1"}
        ).stdout
        row["links"], row[f"{engine}_bytes"] = int(text.split()[0]), float(text.split()[1])
        if engine == "core":
            row["core_columns_bytes"] = float(text.split()[2])
    return [row]


WORKS: dict[str, Callable[[District, float], list[Row]]] = {
    "cold": cold,
    "tick": tick,
    "infeasible": infeasible,
    "balance": balance,
    "batch": batch,
    "set-up": set_up,
    "thermal": thermal,
    "memory": memory,
}


def measure(work: str, size: int, loops: float, seconds: float, seed: int = 1) -> list[Row]:
    """All rows of one work on one district."""
    return WORKS[work](make_district(size, loops, seed), seconds)
