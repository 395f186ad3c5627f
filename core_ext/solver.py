"""Steady hydraulics of a network: flows and pressures for given valves, pumps, sources and consumers.

The symbolic work (ordering, fill pattern, elimination program) is done once per topology; a solve only
fills numbers and iterates. It never changes the network it was made from, never returns NaN, and does not
return at all when it did not converge: it raises, with the certificate.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import simd
from ._elements import (
    NOT_FILLED,
    RELAY,
    ConsumerLaws,
    NodeValues,
    OpenFlags,
    PumpLaws,
    SourceLaws,
    Ticker,
    ValveLaws,
    put_pipes,
)
from ._newton import REGULATOR as REGULATOR_RECORD
from ._newton import Newton, pipe_drop
from .batch import BatchResult, Limits, solve_batch
from .columns import BINDABLE, checked_change
from .layout import (
    CURVE,
    FIXED,
    HAZEN,
    IMPOSED,
    LIMITED,
    OTHERS,
    PINNED,
    PIPE,
    PIPES,
    POWER,
    QUADRATIC,
    QUADRATICS,
    REGULATOR,
    UNCOUPLED,
    Layout,
    make_layout,
)
from .network import (
    CONSUMER_MODES,
    LINK_ENDS,
    SCHEMA,
    SINGULAR,
    VALVE_KINDS,
    BadNetwork,
    FloatArray,
    HydraulicFluid,
    Network,
)
from .result import Certificate, HydraulicResult, NotConverged, SolverBusy
from .sensitivity import Linearised, Sensitivity, check_column, weights

if TYPE_CHECKING:
    from .balancing import Balance
    from .contingency import Contingencies
    from .flow_twin import FlowTwin

__all__ = ["BatchResult", "Certificate", "HydraulicResult", "HydraulicSolver", "NotConverged", "SolverBusy"]

REGULATORS = ("pressure_reducing", "pressure_sustaining", "dp_control")
# of every valve kind, in the order of SCHEMA: its law, its number in ValveLaws, whether a limit can act on it
VALVE_LAWS = np.array(
    [CURVE if k == "curve" else REGULATOR if k in REGULATORS else QUADRATIC for k in VALVE_KINDS], np.int8
)
VALVE_CODES = np.array(
    [
        4 if k in REGULATORS else {"throttle": 0, "check": 1, "flow_limit": 2, "curve": 3}[k]
        for k in VALVE_KINDS
    ],
    np.int8,
)
LIMITED_VALVES = np.array([k in ("check", "flow_limit") for k in VALVE_KINDS])
CONSUMER_LAWS = np.array([QUADRATIC if m == "valve" else IMPOSED for m in CONSUMER_MODES], np.int8)
FRICTION_FORMS = {
    "swamee-jain": 0,
    "epanet": 0,
    "colebrook": 1,
    "pandapipes": 2,
    "nikuradse": 3,
    "hazen-williams": 0,
}

# water at 75 degC, the temperature all reference measurements of this project were taken at
REFERENCE_TEMP_C = 75.0

FOOT_M = 0.3048
CUBIC_FOOT_M3 = 0.028316846592
EPANET_CUBIC_FOOT_M3 = 0.028317
EPANET_GRAVITY_M_S2 = 32.2 * FOOT_M
EPANET_MINOR_LOSS = 0.02517
EXACT_MINOR_LOSS = 8.0 / (32.2 * math.pi**2)
# slope below which EPANET takes a Hazen-Williams pipe as linear (its RQTOL), and slope of its open valves
# without loss (its CSMALL), ft per cubic foot per second
EPANET_LINEAR_SLOPE = 1e-6
HAZEN_EXPONENT = 1.852
# shut-off head over the head of a pump's only curve point: 4/3, and as EPANET rounds it
SHUT_OFF = 4.0 / 3.0
EPANET_SHUT_OFF = 1.33334

# certified accuracy: 1e-9 m of head and 1e-8 kg/s (reference/hydraulics.md section 4)
CERTIFIED_HEAD_M = 1e-9
CERTIFIED_MASS_KG_S = 1e-8
MOST_STEPS = 200
# what the kernel marks at a link
HELD, ACTING, REGULATING, OPEN = 1, 2, 4, 8
SHUT_BELOW = 1e-9  # opening below which a valve is shut
# where a cold solve begins: a quarter of the usual design loss of 100 Pa/m, at friction factor 0.02. Measured
# on districts of 1 000 to 100 000 links, starts of 1 ft/s or of the whole 100 Pa/m take up to one step more
COLD_GRADIENT_PA_M = 25.0
COLD_FRICTION = 0.02


def power_law(
    flow: FloatArray, gain: FloatArray, shut_off: float = SHUT_OFF
) -> tuple[float, float, float] | None:
    """Gain = a - b m^c through a one-point or three-point curve by EPANET's rules; None = use the points."""
    if len(flow) == 1:
        # shut-off head 4/3 of the design head, no head at twice the design flow
        q0, h0, q1, h1, h2 = float(flow[0]), shut_off * float(gain[0]), float(flow[0]), float(gain[0]), 0.0
        q2 = 2.0 * q0
    elif len(flow) == 3 and flow[0] == 0.0:
        h0, h1, h2 = (float(g) for g in gain)
        q1, q2 = float(flow[1]), float(flow[2])
    else:
        return None
    if q1 <= 0.0 or h0 - h1 <= 0.0 or h0 - h2 <= 0.0:
        return None
    exponent = math.log((h0 - h2) / (h0 - h1)) / math.log(q2 / q1)
    if not 0.0 < exponent <= 20.0:
        return None
    return h0, (h0 - h1) / q1**exponent, exponent


class HydraulicSolver:
    """Solves one topology again and again.

    friction: "swamee-jain" (laminar below Re 2000, cubic to 4000), "colebrook" (exact, same transition),
    "epanet" (as swamee-jain, or as hazen-williams where no pipe has a roughness, with EPANET's rounded
    constants), "pandapipes" (Swamee-Jain at every Re; linear
    below Re 64, where that formula is not monotone), "nikuradse" (64/Re plus the rough term: pandapipes'
    default), "hazen-williams" (needs pipes column hazen_williams_c).
    fluid: a HydraulicFluid valid everywhere; None takes the network's, else water: each pipe at its temp_c,
    everything else, and pipes without one, at 75 degC.
    """

    def __init__(
        self, net: Network, friction: str = "swamee-jain", fluid: HydraulicFluid | None = None
    ) -> None:
        if friction not in FRICTION_FORMS:
            raise BadNetwork(
                "friction",
                f"{friction!r} is not a friction form",
                f"Known: {', '.join(FRICTION_FORMS)}.",
                "unknown_friction",
            )
        self.net = net
        self.friction = friction
        # a file made for Hazen-Williams has no roughness: "epanet" then means EPANET's form of that formula
        self._hazen = friction == "hazen-williams" or (
            friction == "epanet" and net.pipes.rows > 0 and bool(np.isnan(net.pipes["roughness_m"]).all())
        )
        self._constant_fluid = fluid or net.fluid
        self.fluid = self._constant_fluid or HydraulicFluid.water(REFERENCE_TEMP_C)
        self._nodes = net.nodes.rows
        at = 0
        self._link_names: list[npt.NDArray[np.object_]] = []
        self._slices: dict[str, slice] = {}
        for table in LINK_ENDS:
            self._slices[table] = slice(at, at + net.tables[table].rows)
            at += net.tables[table].rows
        self._links = at
        self._by_heat: npt.NDArray[np.bool_] = net.consumers["mode"] == "heat"
        # the network's own arrays, until a change gives the solver one of its own
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._owned: set[str] = set()
        for table, spec in SCHEMA.items():
            for name, column in spec.items():
                if column.kind in ("float", "bool", "int"):
                    values = net.tables[table][name]
                    self._columns[f"{table}_{name}"] = (
                        values.view(np.int8) if column.kind == "bool" else values
                    )
        self._lock = threading.Lock()
        self._bound: dict[str, npt.NDArray[Any]] = {}
        self._bound_tables: tuple[str, ...] = ()
        self._tick_result: HydraulicResult | None = None
        self._ticker: Ticker | None = None
        self._flow_twin: FlowTwin | None = None
        self._dispatch_twins: dict[int, FlowTwin] = {}
        self._analyse()
        self._make_laws()
        self._refresh_all()

    # -- symbolic -------------------------------------------------------------------------

    def _end_rows(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Rows of the end nodes of every link, in the order flow counts positive."""
        tables = self.net.tables
        first, second = (
            np.concatenate([tables[table].numbers[ends[end]] for table, ends in LINK_ENDS.items()])
            for end in (0, 1)
        )
        return first, second

    def _analyse(self) -> None:
        net = self.net
        sources = net.sources
        fixed = np.isfinite(net.nodes["fixed_pressure_pa"])
        supply_rows, return_rows = sources.numbers["supply_node"], sources.numbers["return_node"]
        fixed[supply_rows[np.isfinite(sources["supply_pressure_pa"])]] = True
        fixed[return_rows[np.isfinite(sources["return_pressure_pa"])]] = True

        kind = np.empty(self._links, np.int8)
        kind[self._slices["pipes"]] = HAZEN if self._hazen else PIPE
        kind[self._slices["valves"]] = VALVE_LAWS[net.valves.numbers["kind"]]
        curves = net.curve_points()
        shut_off = EPANET_SHUT_OFF if self.friction == "epanet" else SHUT_OFF
        self._pump_laws = [
            None if c == "" else power_law(*curves[c], shut_off=shut_off) for c in net.pumps["curve"]
        ]
        kind[self._slices["pumps"]] = [
            FIXED if c == "" else POWER if law is not None else CURVE
            for c, law in zip(net.pumps["curve"], self._pump_laws, strict=True)
        ]
        kind[self._slices["consumers"]] = CONSUMER_LAWS[net.consumers.numbers["mode"]]
        self._source_code = np.where(
            np.isfinite(sources["dp_pa"]), 0, np.where(np.isfinite(sources["mass_flow_kg_s"]), 1, 2)
        ).astype(np.int8)
        kind[self._slices["sources"]] = np.array([FIXED, IMPOSED, PINNED], np.int8)[self._source_code]
        self._kind = kind

        self._classes = np.full(self._links, OTHERS, np.int8)
        self._classes[kind == PIPE] = PIPES
        self._classes[kind == QUADRATIC] = QUADRATICS
        self._classes[kind >= IMPOSED] = UNCOUPLED
        valves = self._classes[self._slices["valves"]]
        valves[LIMITED_VALVES[net.valves.numbers["kind"]]] = LIMITED
        self._can_stop = np.zeros(self._links, np.bool_)
        self._can_stop[self._slices["pumps"]] = net.pumps["curve"] != ""
        self._can_stop[kind == REGULATOR] = True
        self._regulators = self._regulator_rows()
        sensed = np.zeros(self._nodes, np.bool_)
        for _row, node_a, node_b, _weights in self._regulators:
            sensed[[node for node in (node_a, node_b) if node >= 0]] = True
        self._sensed = sensed
        self._rows = (supply_rows, return_rows)
        self._curve_tables(curves)
        self._fixed = fixed
        self._unique = self._has_one_solution()
        self._lay_out()

    @property
    def _ends(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        """Rows of both end nodes of every link (new arrays), and which nodes are fixed."""
        return (*self._end_rows(), self._fixed)

    def _lay_out(self) -> None:
        """Lay the topology out anew; limits that consumers have now decide what they are laid out as."""
        first, second, fixed = self._ends
        valve_mode = self._kind[self._slices["consumers"]] == QUADRATIC
        limited = np.isfinite(self._columns["consumers_max_flow_kg_s"])
        classes = self._classes[self._slices["consumers"]]
        classes[valve_mode] = QUADRATICS
        classes[valve_mode & limited] = LIMITED
        self._layout: Layout = make_layout(fixed, first, second, self._classes, self._can_stop, self._sensed)
        self._new_kernel()

    def _curve_tables(self, curves: Mapping[str, tuple[FloatArray, FloatArray]]) -> None:
        """Points of all curves behind each other; a valve's curve starts at the origin."""
        flows: list[float] = [0.0]
        drops: list[float] = [0.0]
        self._curve_at: dict[tuple[str, str], tuple[int, int]] = {}
        for table in ("pumps", "valves"):
            for name in dict.fromkeys(self.net.tables[table]["curve"]):
                if name == "":
                    continue
                flow, drop = curves[name]
                if table == "valves" and flow[0] > 0.0:
                    flow, drop = np.insert(flow, 0, 0.0), np.insert(drop, 0, 0.0)
                self._curve_at[table, name] = (len(flows), len(flow))
                flows += flow.tolist()
                drops += drop.tolist()
        self._curve_flow, self._curve_dp = np.array(flows), np.array(drops)

    def _regulator_rows(self) -> list[tuple[int, int, int, tuple[float, float, float]]]:
        """Of every regulator: its row among valves, the nodes it senses, weights of both and of the setting.

        All bring weight_a p_a + weight_b p_b down to a value: a pressure-sustaining valve the negative one.
        """
        valves, row_of = self.net.valves, self.net.nodes.row
        out: list[tuple[int, int, int, tuple[float, float, float]]] = []
        for row in np.flatnonzero(self._kind[self._slices["valves"]] == REGULATOR).tolist():
            kind, from_node, to_node = valves["kind"][row], valves["sense_from"][row], valves["sense_to"][row]
            if math.isnan(valves["setting"][row]):
                raise BadNetwork(
                    f"valve {valves['id'][row]}", f"kind {kind} has no setting", "Give a pressure, Pa.",
                    "missing_value",
                )  # fmt: skip
            if kind == "pressure_reducing":
                out.append((row, row_of(to_node or valves["to_node"][row]), -1, (1.0, 0.0, 1.0)))
            elif kind == "pressure_sustaining":
                out.append((row, row_of(from_node or valves["from_node"][row]), -1, (-1.0, 0.0, -1.0)))
            else:
                if not (from_node and to_node):
                    raise BadNetwork(
                        f"valve {valves['id'][row]}", "kind dp_control senses nothing",
                        "Name the nodes it measures between in sense_from and sense_to.", "missing_value",
                    )  # fmt: skip
                out.append((row, row_of(from_node), row_of(to_node), (1.0, -1.0, 1.0)))
        return out

    def _has_one_solution(self) -> bool:
        """Links with a fixed gain must not close a loop, else the flow around it is not determined.

        Nothing is known either where valves regulate pressures: their flows minimise no content.
        """
        if self._regulators:
            return False
        first, second, fixed = self._ends
        gains = np.flatnonzero(self._kind == FIXED).tolist()
        if not gains:
            return True
        root = list(range(self._nodes))
        fixed_rows = np.flatnonzero(fixed).tolist()
        for i in fixed_rows:
            root[i] = fixed_rows[0]

        def find(i: int) -> int:
            while root[i] != i:
                root[i] = root[root[i]]
                i = root[i]
            return i

        for e in gains:
            a, b = find(int(first[e])), find(int(second[e]))
            if a == b:
                return False
            root[a] = b
        return True

    def _new_kernel(self) -> None:
        layout = self._layout
        self._level_pa = self._levels()
        self._kernel = Newton(
            layout,
            FRICTION_FORMS[self.friction],
            simd.number(simd.LEVEL),
            self._kind,
            np.flatnonzero(self._kind == IMPOSED),
            np.flatnonzero(self._kind == PINNED),
            self._curve_flow,
            self._curve_dp,
            self._level_pa,
        )
        self._a: dict[str, npt.NDArray[Any]] = self._kernel.arrays
        self._ticker = None
        if self._regulators:
            records = np.zeros(len(self._regulators), REGULATOR_RECORD)
            for record, (row, node_a, node_b, weights) in zip(records, self._regulators, strict=True):
                record["link"] = self._slices["valves"].start + row
                record["place_a"] = layout.place[node_a]
                record["place_b"] = layout.place[node_b] if node_b >= 0 else -1
                record["weight_a"], record["weight_b"] = weights[:2]
            self._kernel.set_regulators(records)
        self._a["other"]["kind"] = PIPE
        alone = (self._classes == OTHERS) | (layout.slot >= 2 * 8 * layout.begin[5])
        for e in np.flatnonzero(alone).tolist():
            record = self._record(e)
            if record is not None:
                record["kind"] = self._kind[e]
                record["direction"] = -1 if layout.slot[e] & 1 else 1

    def _record(self, link: int) -> Any:
        """Record of a link whose law is evaluated alone; None for one that is evaluated in blocks."""
        begin = self._layout.begin
        slot = int(self._layout.slot[link]) >> 1
        if begin[3] * 8 <= slot < begin[4] * 8:
            return self._a["other"][slot - begin[3] * 8]
        if slot >= begin[5] * 8:
            return self._a["other"][slot - begin[5] * 8 + (begin[4] - begin[3]) * 8]
        return None

    def _levels(self) -> FloatArray | None:
        """Hydrostatic pressure of every place against height 0; None in a flat network.

        The kernel works with pressures reduced to height 0, so that height costs it nothing.
        """
        height = self._columns["nodes_elevation_m"]
        if not height.any():
            return None
        level = np.zeros(self._layout.places)
        level[self._layout.place] = self.fluid.density_kg_m3 * self.fluid.gravity_m_s2 * height
        return level

    def _make_laws(self) -> None:
        """Coefficients that no change can touch: pump laws and valve curves."""
        net = self.net
        self._valve_code = VALVE_CODES[net.valves.numbers["kind"]]
        # SCHEMA has these words in the order of the laws' own numbers
        self._percentage = net.valves.numbers["characteristic"]
        self._consumer_mode = net.consumers.numbers["mode"]
        for row in np.flatnonzero(self._valve_code == 3).tolist():
            e = self._slices["valves"].start + row
            at, count = self._curve_at["valves", net.valves["curve"][row]]
            self._record(e)["p"][:4] = at, count, 1.0, 1.0
            self._a["cold"][self._layout.slot[e] >> 1] = self._curve_flow[at + count - 1] / 2.0
        self._pump_code = np.array(
            [
                0 if c == "" else 1 if law is not None else 2
                for c, law in zip(net.pumps["curve"], self._pump_laws, strict=True)
            ],
            np.int8,
        )
        self._pump_law = np.zeros((net.pumps.rows, 4))
        for row, law in enumerate(self._pump_laws):
            name = net.pumps["curve"][row]
            if name == "":
                continue
            at, count = self._curve_at["pumps", name]
            flow, gain = self._curve_flow[at : at + count], self._curve_dp[at : at + count]
            if law is not None:
                self._pump_law[row] = (*law, float(flow[len(flow) // 2]))
            elif count < 2:
                raise BadNetwork(
                    f"pump {net.pumps['id'][row]}",
                    f"curve {name} has one point without flow",
                    "Give a design point or two points.",
                    "pump_curve_short",
                )
            elif gain[0] <= gain[-1]:
                raise BadNetwork(
                    f"pump {net.pumps['id'][row]}",
                    f"curve {name} does not fall",
                    "Use fixed_dp_pa for a constant head.",
                    "pump_curve_flat",
                )
            else:
                self._pump_law[row] = at, count, 0.0, float(flow[-1]) / 2.0
        self._make_refreshers()

    # -- numeric values -------------------------------------------------------------------

    def _bad_row(self, table: str, row: int) -> BadNetwork:
        values = ", ".join(
            f"{name} {self._columns[f'{table}_{name}'][row]:g}"
            for name, column in SCHEMA[table].items()
            if column.kind == "float" and f"{table}_{name}" in BINDABLE
        )
        return BadNetwork(
            f"{SINGULAR[table]} {self.net.tables[table]['id'][row]}",
            f"its values have no hydraulic meaning ({values})",
            "Give finite values within their range; nothing was solved.",
            "bad_value",
        )

    def _refresh_all(self) -> None:
        for table in ("nodes", *LINK_ENDS):
            self._refresh(table)
        self._refresh_pipes()
        self._refresh_offsets()

    def _refresh_pipes(self) -> None:
        """Everything about pipes but their open flag: may allocate."""
        c = {name: self._columns[f"pipes_{name}"] for name, k in SCHEMA["pipes"].items() if k.kind == "float"}
        self._put_pipes(*self._pipe_coefficients(c, *self._pipe_properties()))

    def _pipe_coefficients(
        self, c: Mapping[str, FloatArray], density: FloatArray, viscosity: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Four coefficients and the cold flow of pipes with these columns."""
        diameter, length = c["inner_diameter_m"], c["length_m"]
        area = math.pi * diameter**2 / 4.0
        par = np.zeros((len(length), 4))
        cold = area * np.sqrt(2.0 * COLD_GRADIENT_PA_M / COLD_FRICTION * density * diameter)
        scale, loss = self._epanet_factors()
        par[:, 2] = c["loss_coefficient"] * loss / (2.0 * density * area**2)
        if self._hazen:
            self._all_given("hazen_williams_c", c, "Friction hazen-williams needs it for every pipe.")
            # h = 4.727 L q^1.852 / (C^1.852 d^4.871) in feet, as EPANET has it
            cubic_feet = scale / (density * CUBIC_FOOT_M3)
            head_ft = (
                4.727
                * (length / FOOT_M)
                / c["hazen_williams_c"] ** HAZEN_EXPONENT
                / (diameter / FOOT_M) ** 4.871
                * cubic_feet**HAZEN_EXPONENT
            )
            par[:, 0] = head_ft * FOOT_M * density * self.fluid.gravity_m_s2
            par[:, 1] = HAZEN_EXPONENT
            par[:, 3] = (1e-6 / par[:, 0]) ** (1.0 / HAZEN_EXPONENT)
            if self.friction == "epanet":
                resistance = head_ft / cubic_feet**HAZEN_EXPONENT
                edge = (EPANET_LINEAR_SLOPE / (HAZEN_EXPONENT * resistance)) ** (1.0 / (HAZEN_EXPONENT - 1.0))
                par[:, 3] = edge / cubic_feet
            return par, cold
        self._all_given("roughness_m", c, "This network was made for friction hazen-williams.")
        par[:, 0] = scale * 4.0 / (math.pi * diameter * viscosity)
        par[:, 1] = scale**2 * length / diameter / (2.0 * density * area**2)
        par[:, 3] = c["roughness_m"] / (3.7 * diameter)
        if self.friction == "nikuradse":
            if (c["roughness_m"] <= 0.0).any():
                row = int(np.argmin(c["roughness_m"]))
                raise BadNetwork(
                    f"pipe {self.net.pipes['id'][row]}",
                    "roughness_m is 0",
                    "Friction nikuradse is for rough pipes.",
                    "not_positive",
                )
            par[:, 3] = 1.0 / (2.0 * np.log10(3.71 * diameter / c["roughness_m"])) ** 2
        return par, cold

    def _all_given(self, name: str, columns: Mapping[str, FloatArray], remedy: str) -> None:
        missing = np.isnan(columns[name])
        if missing.any():
            pipe = self.net.pipes["id"][int(np.argmax(missing))]
            raise BadNetwork(f"pipe {pipe}", f"{name} is not given", remedy, "missing_value")

    def _pipe_drop_with(self, row: int, column: str, value: float, flow: float) -> float:
        """What a pipe would drop at a flow if one of its columns had another value, Pa."""
        c = {
            name: self._columns[f"pipes_{name}"][row : row + 1]
            for name, k in SCHEMA["pipes"].items()
            if k.kind == "float"
        }
        c[column.partition("_")[2]] = np.array([value])
        density, viscosity = self._pipe_properties()
        par, _ = self._pipe_coefficients(c, density[row : row + 1], viscosity[row : row + 1])
        if self._hazen:
            size = abs(flow)
            return float(math.copysign(par[0, 0] * size ** par[0, 1] + par[0, 2] * size**2, flow))
        return pipe_drop(FRICTION_FORMS[self.friction], flow, par[0])

    def _pump_gain_by_speed(self, row: int, flow: float) -> float:
        """Derivative of a pump's pressure gain by its speed, at a flow, Pa."""
        code, speed = self._pump_code[row], float(self._columns["pumps_speed"][row])
        if code == 0:
            return 2.0 * speed * float(self._columns["pumps_fixed_dp_pa"][row])
        if code == 1:
            shut_off, factor, exponent, _ = self._pump_law[row]
            return float(
                2.0 * speed * shut_off
                - (2.0 - exponent) * factor * flow**exponent * speed ** (1.0 - exponent)
            )
        at, count = int(self._pump_law[row, 0]), int(self._pump_law[row, 1])
        points, gains = self._curve_flow[at : at + count], self._curve_dp[at : at + count]
        i = int(np.clip(np.searchsorted(points, flow / speed, side="left"), 1, count - 1))
        slope = (gains[i] - gains[i - 1]) / (points[i] - points[i - 1])
        gain = gains[i - 1] + slope * (flow / speed - points[i - 1])
        return float(2.0 * speed * gain - flow * slope)

    def _put_pipes(self, coefficients: FloatArray, cold: FloatArray) -> None:
        """Scatter coefficients (pipes, 4) and cold flows to the slots of the pipes."""
        if not self._hazen:
            put_pipes(self._slices["pipes"].start, self._kernel, coefficients, cold)
            return
        begin = self._layout.begin
        code = self._layout.slot[self._slices["pipes"]]
        slot = (code >> 1).astype(np.int64)
        self._a["cold"][slot] = np.where(code & 1, -cold, cold)
        other = np.where(
            slot >= 8 * begin[5], slot - 8 * (begin[5] - begin[4] + begin[3]), slot - 8 * begin[3]
        )
        self._a["other"]["p"][other, :4] = coefficients

    def _epanet_factors(self) -> tuple[float, float]:
        """Flow in EPANET's cubic feet over true ones, and the factor on loss coefficients."""
        if self.friction != "epanet":
            return 1.0, 1.0
        scale = CUBIC_FOOT_M3 / EPANET_CUBIC_FOOT_M3
        return scale, scale**2 * EPANET_MINOR_LOSS / EXACT_MINOR_LOSS

    def _open_valve_slope(self) -> float:
        """EPANET's slope of an open valve without loss, Pa s/kg; 0 for other friction forms."""
        if self.friction != "epanet":
            return 0.0
        return EPANET_LINEAR_SLOPE * FOOT_M * self.fluid.gravity_m_s2 / EPANET_CUBIC_FOOT_M3

    def _pipe_properties(self) -> tuple[FloatArray, FloatArray]:
        rows = self.net.pipes.rows
        density, viscosity = np.full(rows, self.fluid.density_kg_m3), np.full(rows, self.fluid.viscosity_pa_s)
        temp = self._columns["pipes_temp_c"]
        given = np.isfinite(temp)
        if self._constant_fluid is None and given.any():
            from .fluid import density_kg_m3, viscosity_pa_s

            density[given] = density_kg_m3(temp[given])
            viscosity[given] = viscosity_pa_s(temp[given])
        return density, viscosity

    def _refresh_offsets(self) -> None:
        """What is left of rho g dz when the reduction to height 0 has its own density."""
        height = self._columns["nodes_elevation_m"]
        offset = None
        if height.any():
            first, second, _ = self._ends
            pipes = self._slices["pipes"]
            surplus = self._pipe_properties()[0] - self.fluid.density_kg_m3
            rise = (height[second] - height[first])[pipes]
            own = self.fluid.gravity_m_s2 * surplus * rise
            if own.any():
                code = self._layout.slot[pipes]
                offset = np.zeros(8 * self._layout.begin[6])
                offset[code >> 1] = np.where(code & 1, -own, own)
        self._kernel.set_offset(offset)

    def _make_refreshers(self) -> None:
        """Bind the coefficient kernels to the columns as they are now."""
        self._refreshers: dict[str, Any] = {}
        for table in ("nodes", *LINK_ENDS):
            self._make_refresher(table)

    def _make_refresher(self, table: str) -> None:
        c = {
            name: self._columns[f"{table}_{name}"]
            for name in SCHEMA[table]
            if f"{table}_{name}" in self._columns
        }
        kernel, density, place = self._kernel, self.fluid.density_kg_m3, self._layout.place
        at = self._slices[table].start if table in self._slices else 0
        made: Any
        if table == "nodes":
            made = NodeValues(place, kernel, c["mass_injection_kg_s"], c["fixed_pressure_pa"])
        elif table == "pipes":
            made = OpenFlags(at, kernel, c["open"])
        elif table == "valves":
            made = ValveLaws(
                at, kernel, self._valve_code, self._percentage, c["kv_m3_h"], c["loss_coefficient"],
                c["diameter_m"], c["opening"], c["setting"], density, self._epanet_factors()[1],
                self._open_valve_slope(),
            )  # fmt: skip
        elif table == "pumps":
            made = PumpLaws(at, kernel, self._pump_code, self._pump_law, c["speed"], c["fixed_dp_pa"])
        elif table == "consumers":
            made = ConsumerLaws(
                at, kernel, self._consumer_mode, c["mass_flow_kg_s"], c["kv_m3_h"], c["heat_w"],
                c["supply_temp_c"], c["return_temp_c"], c["max_flow_kg_s"], density, self.fluid.cp_j_kgk,
            )  # fmt: skip
        else:
            supply, back = self._rows
            made = SourceLaws(
                at, kernel, self._source_code, c["dp_pa"], c["mass_flow_kg_s"], c["supply_pressure_pa"],
                c["return_pressure_pa"], place[supply], place[back],
            )  # fmt: skip
        self._refreshers[table] = made
        self._ticker = None

    def _refresh(self, table: str) -> None:
        """Fill the coefficients of one table from its columns; of pipes, the open flags."""
        bad = self._refreshers[table].refresh()
        if bad >= 0:
            raise self._bad_row(table, bad)
        if table == "valves" and self._regulators:
            rows = [row for row, *_ in self._regulators]
            sign = np.array([weights[2] for *_, weights in self._regulators])
            settings = self._columns["valves_setting"][rows]
            if not np.isfinite(settings).all():
                raise self._bad_row("valves", rows[int(np.argmin(np.isfinite(settings)))])
            self._a["regulator"]["setting_pa"] = sign * settings
            self._a["regulator"]["wanted"] = self._columns["valves_opening"][rows] >= SHUT_BELOW
        if bad == RELAY:
            # a limit where there was none: the link moves to those that can be stopped
            self._lay_out()
            self._make_laws()
            self._refresh_all()

    def _apply(self, changes: Mapping[str, Any]) -> None:
        """Check everything, then change; on a bad value the old columns stay."""
        if not changes:
            return
        checked = {
            key: checked_change(self.net, self._columns, key, values) for key, values in changes.items()
        }
        before = {key: self._columns[key].copy() for key in checked}
        try:
            self._write(checked)
        except BadNetwork:
            self._write(before)
            raise

    def _own(self, key: str) -> npt.NDArray[Any]:
        """A column that may be written to."""
        if key not in self._owned:
            self._columns[key] = self._columns[key].copy()
            self._owned.add(key)
            if not key.startswith("curves_"):
                self._make_refresher(key.partition("_")[0])
        return self._columns[key]

    def _write(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        for key, values in columns.items():
            self._own(key)[...] = values
        if "nodes_elevation_m" in columns:
            self._new_kernel()
            self._make_laws()
            self._refresh_all()
            return
        if "pipes_temp_c" in columns:
            self._refresh_offsets()
        if any(key.startswith("pipes_") and key != "pipes_open" for key in columns):
            self._refresh_pipes()
        for table in dict.fromkeys(key.partition("_")[0] for key in columns):
            self._refresh(table)

    # -- solving --------------------------------------------------------------------------

    @property
    def _default_tol_pa(self) -> float:
        return CERTIFIED_HEAD_M * self.fluid.density_kg_m3 * self.fluid.gravity_m_s2

    def _limits(self, tol: float | None, flow_tol: float | None) -> Limits:
        """Tolerances of pressure, mass and flow change, and most steps."""
        return (
            self._default_tol_pa if tol is None else tol,
            CERTIFIED_MASS_KG_S,
            flow_tol or 0.0,
            MOST_STEPS,
        )

    def _run(self, result: HydraulicResult, limits: Limits, warm: bool) -> int:
        kernel = self._kernel
        status: int = kernel.run(warm, *limits, False, *result._arrays)
        result._note(*kernel.outcome())
        return status

    def _failed(self, result: HydraulicResult) -> NotConverged:
        """The error for the run that just ended without an answer; its result says so too."""
        kernel = self._kernel
        known = self._a["known"][self._layout.place].astype(np.bool_)
        result._certificate = self._certify(False, kernel.marks(), known, kernel.robust)
        return self._not_converged(
            result._certificate,
            kernel.iterations,
            kernel.residual_pressure_pa,
            kernel.residual_mass_kg_s,
            hint=self._missed_settings(),
        )

    def _not_converged(
        self,
        certificate: Certificate,
        steps: int,
        residual_pa: float,
        residual_kg_s: float,
        *,
        hint: str = "",
    ) -> NotConverged:
        """The error for a solve that ended so; `hint`: a sentence on that very solve, after a blank."""
        if not hint and not self._unique:
            hint = " Fixed pressure gains stand in one loop or between fixed pressures; they may contradict."
        return NotConverged(
            f"no solution within {steps} Newton steps (residuals {residual_pa:.3g} Pa, {residual_kg_s:.3g} "
            f"kg/s).{hint} The network was not changed; look for contradicting pressures or extreme "
            "coefficients.",
            certificate,
        )

    def _missed_settings(self) -> str:
        """A sentence on the regulator whose setting was missed most where this solver's own search ended."""
        if not self._regulators:
            return ""
        a = self._a
        pressure = a["column"]["pressure"].copy()
        if self._level_pa is not None:
            pressure -= self._level_pa
        records = a["regulator"]
        excess = -records["setting_pa"]
        for end in "ab":
            place = records[f"place_{end}"]
            excess += np.where(place < 0, 0.0, records[f"weight_{end}"] * pressure[np.maximum(place, 0)])
        excess[records["wanted"] == 0] = 0.0
        above = np.where(np.isfinite(excess), excess, 0.0)
        worst = int(np.argmax(above))
        if above[worst] < 1.0:
            return ""
        name = self.net.valves["id"][self._regulators[worst][0]]
        return (
            f" Valve {name} did not come to its setting: what it senses stood {above[worst]:.3g} Pa beyond "
            "it, and may not answer to what the valve takes up."
        )

    def _labels(self) -> npt.NDArray[np.object_]:
        """What every link is called in a certificate; made at the first need, shared by all copies."""
        if not self._link_names:
            names = [f"{SINGULAR[table]} {i}" for table in self._slices for i in self.net.tables[table]["id"]]
            self._link_names.append(np.array([*names, ""], dtype=object)[:-1])
        return self._link_names[0]

    def _certificate_maker(self, known: npt.NDArray[np.bool_]) -> Callable[[], Certificate]:
        """What makes the certificate of the run that just ended, whatever runs in between."""
        kernel = self._kernel
        marks, robust = kernel.marks(), kernel.robust
        # what is known about pressures may be written to by whoever holds the result
        # (a regulator that shut may have parted nodes that the topology does not)
        kept = np.ones(0, np.bool_) if known.all() else known.copy()
        return lambda: self._certify(True, marks, kept, robust)

    def _certify(
        self, converged: bool, marks: npt.NDArray[np.uint8], known: npt.NDArray[np.bool_], robust: bool
    ) -> Certificate:
        """From what the kernel marked at every link, and where pressures are known."""
        acting = (marks & ACTING) != 0
        held = ((marks & HELD) != 0) & acting | ((marks & REGULATING) != 0)
        silent = (self._kind == IMPOSED) & ~acting & ((marks & OPEN) != 0)
        if self._regulators:
            method = "newton-active-set"
        else:
            method = "newton-content-penalty" if robust else "newton-content"
        return Certificate(
            converged=converged,
            method=method,
            unique="true" if self._unique else "unknown",
            islands=self._islands(known, acting & ((marks & HELD) == 0)),
            active_limits=tuple(self._labels()[held]) if held.any() else (),
            unserved=tuple(self._labels()[silent]) if silent.any() else (),
        )

    def _islands(
        self, known: npt.NDArray[np.bool_], coupling: npt.NDArray[np.bool_]
    ) -> tuple[tuple[str, ...], ...]:
        """Parts, connected by links that couple, of the nodes whose pressure is unknown, in node order."""
        lost = np.flatnonzero(~known)
        if not len(lost):
            return ()
        root = {int(i): int(i) for i in lost}

        def find(i: int) -> int:
            while root[i] != i:
                root[i] = root[root[i]]
                i = root[i]
            return i

        first, second, _ = self._ends
        for e in np.flatnonzero(coupling & (self._kind < IMPOSED)):
            a, b = int(first[e]), int(second[e])
            if a in root and b in root:
                a, b = find(a), find(b)
                root[max(a, b)] = min(a, b)
        parts: dict[int, list[str]] = {}
        for i in lost:
            parts.setdefault(find(int(i)), []).append(str(self.net.nodes["id"][i]))
        return tuple(tuple(part) for part in parts.values())

    def solve(
        self,
        *,
        tol: float | None = None,
        flow_tol: float | None = None,
        warm_start: bool = True,
        out: HydraulicResult | None = None,
        **changes: Any,
    ) -> HydraulicResult:
        """Solve with the network's values and all changes made so far.

        changes: full columns named `<table>_<column>`, kept until changed again; the network is not touched.
        tol: largest pressure residual of any element in Pa (default: 1e-9 m of head; rounding at absurd
        pressures, above some 10^9 Pa, is let through); mass balances to 1e-8 kg/s. flow_tol: stop already
        when a step changes the flows by less than this share of their sum (EPANET's ACCURACY); the residuals
        then say how exact the pressures are. warm_start: begin at the last solution. out: a result of this
        solver to overwrite.
        Raises BadNetwork (nothing changed), NotConverged, SolverBusy.
        """
        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            self._settle_tick()
            self._apply(changes)
            kernel = self._kernel
            result = HydraulicResult(self) if out is None else out
            if len(result._flow) != self._links or len(result.pressure_pa) != self._nodes:
                raise ValueError("out is a result of another network; nothing was solved")
            status = self._run(result, self._limits(tol, flow_tol), warm_start)
            if status:
                raise self._failed(result)
            if kernel.limited or kernel.unreferenced or self._regulators:
                # names are made when somebody looks: naming 3 112 limits would add a tenth to a solve
                result._make_certificate = self._certificate_maker(result.pressure_known)
            else:
                result._certificate = self._plain_certificate()
            return result
        finally:
            self._lock.release()

    def _drops_pa(self, table: str) -> FloatArray:
        """Pressure difference across every row of a table without the part of its height, last solve."""
        part, pressure = self._slices[table], self._a["column"]["pressure"]
        drop: FloatArray = pressure[self._layout.first[part]] - pressure[self._layout.second[part]]
        return drop

    def _plain_certificate(self) -> Certificate:
        return Certificate(True, "newton-content", "true" if self._unique else "unknown", (), ())

    def bind(self, *columns: str) -> tuple[npt.NDArray[Any], ...]:
        """Writable arrays of the named columns (`<table>_<column>`), read by every `tick()`.

        Flags are int8. Write into them, do not replace them. Columns whose change needs more than new numbers
        (geometry, temperatures) cannot be bound: give those to `solve`.
        """
        for key in columns:
            if key not in BINDABLE:
                raise BadNetwork(
                    key, "cannot be bound", f"Bindable: {', '.join(sorted(BINDABLE))}.", "not_bindable"
                )
        for key in columns:
            self._bound[key] = self._own(key)
        self._bound_tables = tuple(dict.fromkeys(key.partition("_")[0] for key in self._bound))
        if self._tick_result is None:
            self._tick_result = HydraulicResult(self)
        self._ticker = None
        return tuple(self._columns[key] for key in columns)

    def tick(self, tol: float | None = None, flow_tol: float | None = None) -> HydraulicResult:
        """Solve with the bound arrays as they are now; allocates nothing, always returns the same object.

        tol, flow_tol: as in `solve`. Raises what `solve` raises; a bad value then stays in the bound array
        for the caller to correct.
        """
        result = self._tick_result
        if result is None:
            raise RuntimeError("bind() columns before the first tick()")
        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            limits, status = self._limits(tol, flow_tol), NOT_FILLED
            # regulators take their settings up elsewhere
            if not (self._regulators and "valves" in self._bound_tables):
                if self._ticker is None:
                    laws = tuple(self._refreshers[table] for table in self._bound_tables)
                    self._ticker = Ticker(self._kernel, laws, *result._arrays)
                status = self._ticker.run(*limits)
            if status == NOT_FILLED:
                for table in self._bound_tables:
                    self._refresh(table)
                status = self._run(result, limits, True)
            else:
                result._note(*self._kernel.outcome())
            if status:
                raise self._failed(result)
            result._make_certificate = self._certify_tick
            return result
        finally:
            self._lock.release()

    def _settle_tick(self) -> None:
        """Make the certificate of the last tick before anything else runs in its kernel."""
        result = self._tick_result
        if result is not None and result._make_certificate is not None:
            assert result.certificate

    def _certify_tick(self) -> Certificate:
        assert self._tick_result is not None
        kernel = self._kernel
        return self._certify(True, kernel.marks(), self._tick_result.pressure_known, kernel.robust)

    def solve_batch(
        self,
        *,
        tol: float | None = None,
        flow_tol: float | None = None,
        warm_start: bool = True,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        **changes: Any,
    ) -> BatchResult:
        """Solve S scenarios on all cores: each change has shape (S, rows). The solver itself stays as it is.

        One outcome per scenario, in order: its result, or the error it ended with; a failure stops no other.
        Every scenario begins at the solution of the solver's own values (warm_start), so results do not
        depend on workers (None: one per core). progress(done, S) is called now and then. tol, flow_tol: as
        in `solve`. Raises BadNetwork where no scenario can have such changes, SolverBusy.
        """
        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            self._settle_tick()
            limits = self._limits(tol, flow_tol)
            return solve_batch(self, changes, limits, warm_start, workers, progress)
        finally:
            self._lock.release()

    def contingencies(
        self,
        tables: Sequence[str] = ("pipes", "pumps", "sources"),
        *,
        tol: float | None = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Contingencies:
        """N-1: what becomes of the consumers when each pipe, pump and plant in service fails, one at a time.

        One batch over all cores that keeps verdicts, not pressures; valves and set-points stay as they are.
        progress(done, of). The solver stays as it is. Raises BadNetwork for a table without outages,
        NotConverged when the network has no solution with everything in service, SolverBusy.
        """
        from .contingency import study

        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            self._settle_tick()
            return study(self, self._limits(tol, None), tables, workers, progress)
        finally:
            self._lock.release()

    def _linearised(self) -> Linearised:
        """The last solution's linearised network."""
        if not self._kernel.solved:
            raise RuntimeError("solve() before asking how the solution answers")
        return Linearised(self)

    def sensitivity(self, column: str, rows: Sequence[int] | None = None) -> Sensitivity:
        """Exact derivatives of all flows and pressures of the last solution by rows of one column.

        column: `<table>_<column>`, such as "consumers_kv_m3_h", "valves_opening", "pumps_speed",
        "sources_dp_pa", "nodes_mass_injection_kg_s" (all in `core_ext.sensitivity.COLUMNS`; of pipe geometry
        good to 1e-9); rows: which, None for all. One substitution for every eight rows. Raises BadNetwork,
        SolverBusy, and RuntimeError before the first solve.
        """
        check_column(column, self)
        table = column.partition("_")[0]
        chosen = tuple(range(self.net.tables[table].rows) if rows is None else (int(r) for r in rows))
        for row in chosen:
            if not 0 <= row < self.net.tables[table].rows:
                raise BadNetwork(column, f"has no row {row}", "Rows count from 0.", "unknown_row")
        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            flow, pressure = self._linearised().forward(column, chosen)
        finally:
            self._lock.release()
        return Sensitivity(column, chosen, {t: flow[s] for t, s in self._slices.items()}, pressure)

    def gradient(
        self,
        columns: Sequence[str],
        *,
        mass_flow: Mapping[str, FloatArray] | None = None,
        pressure: FloatArray | None = None,
    ) -> dict[str, FloatArray]:
        """Derivatives of one figure of the last solution by every row of the given columns.

        The figure is the sum of flows times `mass_flow` (weights by table) and pressures times `pressure` (by
        node). One substitution for all. Raises what `sensitivity` raises.
        """
        for column in columns:
            check_column(column, self)
        by_flow, by_pressure = weights(self, mass_flow, pressure)
        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            derivative = self._linearised().backward(by_flow, by_pressure)
            return {
                column: np.array(
                    [derivative(column, row) for row in range(len(self._columns[column]))], dtype=np.float64
                )
                for column in columns
            }
        finally:
            self._lock.release()

    def pump_power(self, result: HydraulicResult) -> float:
        """Hydraulic power of all pumps and sources of a result, W: gain times volume flow."""
        flow, gain = self._pumping(result)
        return float(flow @ gain) / self.fluid.density_kg_m3

    def pump_power_gradient(self, columns: Sequence[str], result: HydraulicResult) -> dict[str, FloatArray]:
        """Derivatives of `pump_power` of the last solution, given as `result`, by all rows of the columns."""
        flow, gain = self._pumping(result)
        links = np.r_[
            np.arange(self._links)[self._slices["pumps"]], np.arange(self._links)[self._slices["sources"]]
        ]
        density = self.fluid.density_kg_m3
        pressure = np.zeros(self._nodes)
        first, second, _ = self._ends
        np.add.at(pressure, second[links], flow / density)
        np.subtract.at(pressure, first[links], flow / density)
        pumps = self.net.pumps.rows
        by_flow = {"pumps": gain[:pumps] / density, "sources": gain[pumps:] / density}
        return self.gradient(columns, mass_flow=by_flow, pressure=pressure)

    def _pumping(self, result: HydraulicResult) -> tuple[FloatArray, FloatArray]:
        """Flow and pressure gain, height counted, of all pumps, then all sources."""
        flow = np.r_[result.mass_flow_kg_s["pumps"], result.mass_flow_kg_s["sources"]]
        links = np.r_[
            np.arange(self._links)[self._slices["pumps"]], np.arange(self._links)[self._slices["sources"]]
        ]
        first, second = (end[links] for end in self._end_rows())
        height = self._columns["nodes_elevation_m"]
        weight = self.fluid.density_kg_m3 * self.fluid.gravity_m_s2
        gain = (
            result.pressure_pa[second] - result.pressure_pa[first] + weight * (height[second] - height[first])
        )
        return flow, np.where(flow != 0.0, gain, 0.0)

    def balance(
        self,
        targets: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        objective: str | None = None,
    ) -> Balance:
        """Valve settings, flow limits, heads of sources and pumps that bring every consumer its target.

        targets (per consumer, a column or one value): mass_flow_kg_s, or heat_w with supply_temp_c and
        return_temp_c; min_dp_pa, max_flow_kg_s, priority (1 first); min_supply_temp_c, max_supply_temp_c to
        have the supply temperature chosen. What is missing comes from the consumers table. limits, per
        source: max_dp_pa, max_heat_w (default: the sources table), max_flow_kg_s, pump_efficiency; per pump
        pump_max_dp_pa; per consumer kvs_m3_h, the fully open valve; per node max_pressure_pa and
        min_pressure_pa, and boiling_margin_pa above saturation everywhere; for the choice of temperature
        ground_temp_c, electricity_per_mwh, heat_per_mwh. objective: "keep" (differences of the heads stay),
        "power" (least pump power), "cost" or "co2" (merit order of the plants, then least head); None takes
        "cost" where several plants all have a cost, else "keep". The solver's own columns stay as they are.
        Raises BadNetwork, NotConverged, SolverBusy.
        """
        from .balancing import find_balance

        if not self._lock.acquire(blocking=False):
            raise SolverBusy
        try:
            return find_balance(self, targets, limits, objective)
        finally:
            self._lock.release()

    def copy(self) -> HydraulicSolver:
        """An independent solver with the same values; the symbolic part is shared, so this is cheap."""
        twin = copy.copy(self)
        twin._columns = {
            key: column.copy() if key in self._owned else column for key, column in self._columns.items()
        }
        twin._owned = set(self._owned)
        twin._lock = threading.Lock()
        twin._bound, twin._bound_tables, twin._tick_result, twin._ticker = {}, (), None, None
        twin._flow_twin, twin._dispatch_twins = None, {}
        twin._new_kernel()
        twin._make_laws()
        twin._refresh_all()
        return twin

    def __copy__(self) -> HydraulicSolver:
        # copy.copy() is the raw field copy that copy() starts from
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin
