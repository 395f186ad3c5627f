"""The network as an EPANET input file in LPS and D-W, or H-W where no pipe has a roughness.

Fixed pressures become reservoirs, consumers and sources of a given flow demands, consumers with a valve TCV,
check valves one-way pipes of no length (tagged, so that the reader knows them), flow limits FCV, regulators
PRV and PSV, loss curves GPV. A kv is written as the loss coefficient that EPANET's rounded 0.02517 turns into
the same drop. Elevations, and lengths of H-W pipes, are scaled by the ratio of the fluid's gravity to
EPANET's, so that pressures stay. What EPANET has no element for is refused by name: constant heads,
differential-pressure controllers, regulators that sense elsewhere, valves where EPANET allows none, networks
without a fixed pressure, nodes without a link.
"""

from __future__ import annotations

import math

import numpy as np

from ..network import BadNetwork, FloatArray, HydraulicFluid, Network
from ..solver import (
    CUBIC_FOOT_M3,
    EPANET_CUBIC_FOOT_M3,
    EPANET_GRAVITY_M_S2,
    EPANET_MINOR_LOSS,
    EXACT_MINOR_LOSS,
    FOOT_M,
    REFERENCE_TEMP_C,
    SHUT_BELOW,
    power_law,
)
from .epanet_inp import CHECK_SUFFIX, CHECK_TAG, PER_CFS, VISCOSITY_FT2_S
from .valve_loss import VALVE_DIAMETER_M, loss_of_kv, standing_loss

LONGEST_ID_BYTES = 31
# share of its minor loss that the friction of a check valve's pipe may have, at friction factor 1
CHECK_FRICTION = 1e-12
# what EPANET makes of a loss coefficient, over what it means
ROUNDED_LOSS = (CUBIC_FOOT_M3 / EPANET_CUBIC_FOOT_M3) ** 2 * EPANET_MINOR_LOSS / EXACT_MINOR_LOSS
# EPANET takes no pipe as smooth; this is 1e-15 m, which no friction factor can tell from it
LEAST_ROUGHNESS_MM = 1e-12
REGULATORS = {"flow_limit": "FCV", "pressure_reducing": "PRV", "pressure_sustaining": "PSV"}


def format_inp(net: Network) -> str:
    """The network as the text of an .inp file. Raises BadNetwork for what EPANET cannot express."""
    return _Writer(net).text()


def _refusal(element: str, reason: str, code: str) -> BadNetwork:
    return BadNetwork(element, f"EPANET has no {reason}", "Write toplovod-network/1 JSON instead.", code)


class _Writer:
    def __init__(self, net: Network) -> None:
        self.net = net
        self.fluid = net.fluid or HydraulicFluid.water(REFERENCE_TEMP_C)
        density = self.fluid.density_kg_m3
        self.head = 1.0 / (density * EPANET_GRAVITY_M_S2)
        self.litres = PER_CFS["LPS"] / (density * EPANET_CUBIC_FOOT_M3)
        self.shrink = self.fluid.gravity_m_s2 / EPANET_GRAVITY_M_S2
        missing = np.isnan(net.pipes["roughness_m"])
        self.hazen = bool(net.pipes.rows) and bool(missing.all())
        self.links: dict[str, str] = {}
        self.linked: set[str] = set()
        nodes = net.nodes
        self.injection = dict(zip(nodes.ids, nodes["mass_injection_kg_s"].tolist(), strict=True))
        self.fixed = dict(zip(nodes.ids, nodes["fixed_pressure_pa"].tolist(), strict=True))
        self.height = dict(zip(nodes.ids, nodes["elevation_m"].tolist(), strict=True))
        self.valves: list[str] = []
        self.status: list[str] = []
        self.tags: list[str] = []
        self.pipes: list[str] = []
        self.inner: set[str] = set()

    def text(self) -> str:
        self._sources()
        self._consumers()
        one_way = self._one_way_pipes()
        for row in range(self.net.valves.rows):
            if self.net.valves.ids[row] not in self.inner:
                self._valve(row)
        for row in range(self.net.pipes.rows):
            self._pipe(row, one_way)
        pumps = [self._pump(row) for row in range(self.net.pumps.rows)]
        junctions, reservoirs, coordinates = self._nodes()
        if not reservoirs:
            raise _refusal("nodes", "network in which nothing fixes a pressure", "no_fixed_pressure")
        viscosity = self.fluid.viscosity_pa_s / self.fluid.density_kg_m3 / FOOT_M**2 / VISCOSITY_FT2_S
        if viscosity <= 1e-3:
            raise _refusal("fluid", "fluid a thousand times thinner than water", "fluid_refused")
        sections = {
            "JUNCTIONS": junctions,
            "RESERVOIRS": reservoirs,
            "PIPES": self.pipes,
            "PUMPS": pumps,
            "VALVES": self.valves,
            "CURVES": self._curves(),
            "STATUS": self.status,
            "TAGS": self.tags,
            "COORDINATES": coordinates,
            "OPTIONS": [
                "UNITS LPS",
                f"HEADLOSS {'H-W' if self.hazen else 'D-W'}",
                f"VISCOSITY {viscosity!r}",
                f"SPECIFIC GRAVITY {self.fluid.density_kg_m3 / 1000.0!r}",
                "TRIALS 200",
                "ACCURACY 0.00001",
            ],
            "TIMES": ["DURATION 0"],
        }
        body = "".join(
            f"[{title}]\n" + "".join(f"{line}\n" for line in lines) + "\n"
            for title, lines in sections.items()
        )
        return body + "[END]\n"

    def _name(self, identifier: object) -> str:
        name = str(identifier)
        if (
            not name
            or any(c.isspace() or c in ';"' for c in name)
            or name.startswith("[")
            or len(name.encode()) > LONGEST_ID_BYTES
        ):
            raise _refusal(f"id {name!r}", "such ids: blanks, quotes, or more than 31 bytes", "id_refused")
        return name

    def _link(self, table: str, identifier: str, first: object, second: object) -> str:
        """The id and both ends of a link; EPANET keeps all links under one roof."""
        if identifier in self.links:
            raise _refusal(
                f"{table} {identifier}",
                f"second link of this id beside {self.links[identifier]}",
                "id_refused",
            )
        self.links[identifier] = f"{table} {identifier}"
        self.linked |= {str(first), str(second)}
        return f"{self._name(identifier)} {self._name(first)} {self._name(second)}"

    def _sources(self) -> None:
        sources = self.net.sources
        for row, source in enumerate(sources.ids):
            supply, back = str(sources["supply_node"][row]), str(sources["return_node"][row])
            held, lift = float(sources["return_pressure_pa"][row]), float(sources["dp_pa"][row])
            flow = float(sources["mass_flow_kg_s"][row])
            if not math.isnan(flow):
                self.injection[supply] += flow
                self.injection[back] -= flow
            elif math.isnan(lift):
                self.fixed[supply] = float(sources["supply_pressure_pa"][row])
            elif math.isnan(held):
                raise _refusal(f"source {source}", "pump of constant head", "source_refused")
            else:
                # a difference between gauge pressures counts without the difference in height
                rise_pa = (self.height[supply] - self.height[back]) * self.fluid.gravity_m_s2
                pressure = held + lift - rise_pa * self.fluid.density_kg_m3
                if not math.isnan(self.fixed[supply]) and self.fixed[supply] != pressure:
                    raise _refusal(f"source {source}", "pump of constant head", "source_refused")
                self.fixed[supply] = pressure
            if not math.isnan(held):
                self.fixed[back] = held

    def _consumers(self) -> None:
        consumers = self.net.consumers
        for row, consumer in enumerate(consumers.ids):
            supply, back = str(consumers["supply_node"][row]), str(consumers["return_node"][row])
            limit = float(consumers["max_flow_kg_s"][row])
            if consumers["mode"][row] == "valve":
                kv = float(consumers["kv_m3_h"][row])
                if not math.isnan(limit):
                    ends = self._link("consumer", consumer, supply, back)
                    loss = 0.0 if kv < SHUT_BELOW else loss_of_kv(kv, VALVE_DIAMETER_M) / ROUNDED_LOSS
                    self._put(ends, VALVE_DIAMETER_M, "FCV", repr(limit * self.litres), loss)
                    self._no_reservoir(f"consumer {consumer}", "FCV", supply, back)
                elif kv >= SHUT_BELOW:
                    ends = self._link("consumer", consumer, supply, back)
                    loss = loss_of_kv(kv, VALVE_DIAMETER_M) / ROUNDED_LOSS
                    self._put(ends, VALVE_DIAMETER_M, "TCV", repr(loss), 0.0)
                if kv < SHUT_BELOW and not math.isnan(limit):
                    self.status.append(f"{consumer} CLOSED")
                continue
            if consumers["mode"][row] == "flow":
                flow = float(consumers["mass_flow_kg_s"][row])
            else:
                drop = float(consumers["supply_temp_c"][row] - consumers["return_temp_c"][row])
                flow = float(consumers["heat_w"][row]) / (self.fluid.cp_j_kgk * drop)
            if not math.isnan(limit):
                flow = min(flow, limit)
            self.injection[supply] -= flow
            self.injection[back] += flow

    def _put(self, ends: str, width_m: float, kind: str, setting: str, loss: float) -> None:
        self.valves.append(f"{ends} {width_m * 1e3!r} {kind} {setting} {loss!r}")

    def _one_way_pipes(self) -> dict[str, tuple[str, str]]:
        """Pipes whose check valve the reader made of their status CV, or of a tank that was full or empty.

        They are written as one one-way pipe again, with its ends in the order in which it lets water through.
        """
        valves, pipes, found = self.net.valves, self.net.pipes, {}
        for row, valve in enumerate(valves.ids):
            pipe = valve.removesuffix(CHECK_SUFFIX)
            if (
                valves["kind"][row] != "check"
                or pipe == valve
                or pipe not in pipes.ids
                or valve not in self.fixed
                or standing_loss(valves, row)[::2] != (0.0, False)
                or self.injection[valve] != 0.0
                or not math.isnan(self.fixed[valve])
                or self._degree(valve) != 2
            ):
                continue
            at = pipes.row(pipe)
            if valve == pipes["from_node"][at] == valves["to_node"][row]:
                found[pipe] = (str(valves["from_node"][row]), str(pipes["to_node"][at]))
            elif valve == pipes["from_node"][at] == valves["from_node"][row]:
                found[pipe] = (str(pipes["to_node"][at]), str(valves["to_node"][row]))
            else:
                continue
            self.inner.add(valve)
        return found

    def _degree(self, node: str) -> int:
        return sum(
            int(np.count_nonzero(self.net.tables[table][column] == node))
            for table, columns in (
                ("pipes", ("from_node", "to_node")),
                ("valves", ("from_node", "to_node")),
                ("pumps", ("from_node", "to_node")),
                ("consumers", ("supply_node", "return_node")),
                ("sources", ("supply_node", "return_node")),
            )
            for column in columns
        )

    def _pipe(self, row: int, one_way: dict[str, tuple[str, str]]) -> None:
        pipes = self.net.pipes
        pipe = pipes.ids[row]
        start, end = str(pipes["from_node"][row]), str(pipes["to_node"][row])
        status = "Open" if pipes["open"][row] else "Closed"
        if pipe in one_way:
            start, end = one_way[pipe]
            status = "CV"
            if not pipes["open"][row]:
                raise _refusal(f"pipe {pipe}", "closed pipe with a check valve", "pipe_refused")
        if self.net.fluid is None and not math.isnan(pipes["temp_c"][row]):
            raise _refusal(f"pipe {pipe}", "water of its own temperature in a pipe", "temperature_refused")
        rough = float(pipes["hazen_williams_c" if self.hazen else "roughness_m"][row])
        if math.isnan(rough):
            raise _refusal(f"pipe {pipe}", "file with both roughness and hazen_williams_c", "pipe_refused")
        if not self.hazen:
            rough = max(rough * 1e3, LEAST_ROUGHNESS_MM)
        length = float(pipes["length_m"][row]) * (self.shrink if self.hazen else 1.0)
        self.pipes.append(
            f"{self._link('pipe', pipe, start, end)} {length!r} "
            f"{float(pipes['inner_diameter_m'][row]) * 1e3!r} {rough!r} "
            f"{float(pipes['loss_coefficient'][row])!r} {status}"
        )

    def _valve(self, row: int) -> None:
        valves = self.net.valves
        valve, kind = valves.ids[row], str(valves["kind"][row])
        start, end = str(valves["from_node"][row]), str(valves["to_node"][row])
        if kind == "curve":
            ends = self._link("valve", valve, start, end)
            self._put(ends, VALVE_DIAMETER_M, "GPV", self._name(valves["curve"][row]), 0.0)
            if valves["opening"][row] < SHUT_BELOW:
                self.status.append(f"{valve} CLOSED")
            return
        if kind == "dp_control":
            raise _refusal(f"valve {valve}", "valve of kind dp_control", "valve_refused")
        loss, width, shut = standing_loss(valves, row)
        if not math.isnan(valves["kv_m3_h"][row]):
            loss /= ROUNDED_LOSS
        ends = self._link("valve", valve, start, end)
        if kind == "check" and not shut:
            if loss <= 0.0:
                raise _refusal(f"valve {valve}", "check valve without a loss of its own", "valve_refused")
            length, rough = CHECK_FRICTION * loss * width, 100.0 if self.hazen else LEAST_ROUGHNESS_MM
            self.pipes.append(f"{ends} {length!r} {width * 1e3!r} {rough!r} {loss!r} CV")
            self.tags.append(f"LINK {valve} {CHECK_TAG}")
            return
        if kind in REGULATORS and not shut:
            setting = float(valves["setting"][row]) * (self.litres if kind == "flow_limit" else self.head)
            sensed, own = ("sense_to", end) if kind == "pressure_reducing" else ("sense_from", start)
            if kind != "flow_limit" and valves[sensed][row] not in ("", own):
                raise _refusal(f"valve {valve}", "regulator that senses elsewhere", "valve_refused")
            self._no_reservoir(f"valve {valve}", REGULATORS[kind], start, end)
            self._put(ends, width, REGULATORS[kind], repr(setting), loss)
            return
        self._put(ends, width, "TCV", repr(loss), 0.0)
        if shut:
            self.status.append(f"{valve} CLOSED")

    def _no_reservoir(self, element: str, kind: str, start: str, end: str) -> None:
        for node in (start, end):
            if not math.isnan(self.fixed[node]):
                raise _refusal(element, f"{kind} at a reservoir (node {node})", "valve_refused")

    def _pump(self, row: int) -> str:
        pumps = self.net.pumps
        pump, curve = pumps.ids[row], str(pumps["curve"][row])
        if curve == "":
            raise _refusal(f"pump {pump}", "pump of constant head", "pump_refused")
        flow, gain = self.net.curve_points()[curve]
        if np.any(np.diff(gain) >= 0.0) or (
            len(flow) == 3 and flow[0] == 0.0 and power_law(flow, gain) is None
        ):
            raise _refusal(f"pump {pump}", f"pump with a curve like {curve}", "pump_refused")
        ends = self._link("pump", pump, pumps["from_node"][row], pumps["to_node"][row])
        speed = float(pumps["speed"][row])
        if speed == 0.0:
            self.status.append(f"{pump} CLOSED")
            return f"{ends} HEAD {self._name(curve)}"
        return f"{ends} HEAD {self._name(curve)} SPEED {speed!r}"

    def _curves(self) -> list[str]:
        losses = set(self.net.valves["curve"])
        gains = set(self.net.pumps["curve"])
        out: list[str] = []
        for curve, (flow, drop) in self.net.curve_points().items():
            if curve in losses and flow[0] > 0.0:
                if curve in gains:
                    raise _refusal(f"curve {curve}", "curve of both a pump and a valve", "curve_refused")
                flow, drop = _from_origin(flow), _from_origin(drop)
            out += [
                f"{self._name(curve)} {float(x) * self.litres!r} {float(y) * self.head!r}"
                for x, y in zip(flow, drop, strict=True)
            ]
        return out

    def _nodes(self) -> tuple[list[str], list[str], list[str]]:
        nodes = self.net.nodes
        junctions, reservoirs, coordinates = [], [], []
        for row, node in enumerate(nodes.ids):
            if node in self.inner:
                continue
            elevation = self.height[node] * self.shrink
            if math.isnan(self.fixed[node]):
                # consumers and sources of a given flow are demands there, and tie their nodes to nothing
                if node not in self.linked:
                    raise _refusal(f"node {node}", "node that no pipe, valve or pump reaches", "node_refused")
                junctions.append(f"{self._name(node)} {elevation!r} {-self.injection[node] * self.litres!r}")
            else:
                reservoirs.append(f"{self._name(node)} {elevation + self.fixed[node] * self.head!r}")
            x, y = float(nodes["x_m"][row]), float(nodes["y_m"][row])
            if not math.isnan(x) and not math.isnan(y):
                coordinates.append(f"{node} {x!r} {y!r}")
        return junctions, reservoirs, coordinates


def _from_origin(values: FloatArray) -> FloatArray:
    return np.insert(values, 0, 0.0)
