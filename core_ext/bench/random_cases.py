"""Random networks for the proof: one seed, one network, whatever order they are asked for in.

Trees, meshes, districts, parts without pressure reference, no demand at all, shut elements, diameters of
10 mm to 1.2 m beside lengths of 0.1 m to 10 km, reversed flows, many plants, every kind of pump and valve.
It leaves out only what is known to have no solution by construction: loops of constant gains, and regulators
that sense somewhere they cannot act on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..network import HydraulicFluid, Network

FAMILIES = ("tree", "mesh", "district", "parts", "many fixed", "elements")
FRICTIONS = ("swamee-jain", "colebrook", "epanet", "pandapipes", "nikuradse", "hazen-williams")
FRICTION_SHARES = (0.5, 0.2, 0.1, 0.08, 0.06, 0.06)
BAR = 1e5
MOST_DIAMETER_M, LEAST_DIAMETER_M = 1.2, 0.01
NAN = float("nan")


@dataclass
class Case:
    """A network, how to solve it, and columns to change for a second, warm solve (may be empty)."""

    seed: int
    family: str
    net: Network
    friction: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def regulated(self) -> bool:
        kinds = set(self.net.valves["kind"])
        return bool(kinds & {"pressure_reducing", "pressure_sustaining", "dp_control"})


def random_case(seed: int) -> Case:
    """The case of a seed, always the same."""
    rng = np.random.default_rng([20261, seed])
    family = str(rng.choice(FAMILIES))
    friction = str(rng.choice(FRICTIONS, p=FRICTION_SHARES))
    draft = _Draft(rng)
    if family == "district":
        _district(draft)
    else:
        _zone(draft, family)
    net = draft.network(friction)
    changes = draft.changes(net) if rng.random() < 0.5 else {}
    return Case(seed, family, net, friction, changes)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class _Draft:
    """Rows of all tables while a network is being drawn."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.extreme = rng.random() < 0.5
        self.height_m = float(rng.choice([0.0, 0.0, 30.0, 500.0]))
        self.rows: dict[str, list[dict[str, Any]]] = {
            t: [] for t in ("nodes", "pipes", "valves", "pumps", "curves", "consumers", "sources")
        }

    # -- elements -------------------------------------------------------------------------

    def node(self, **more: Any) -> str:
        name = f"n{len(self.rows['nodes'])}"
        row = {
            "id": name, "elevation_m": float(self.rng.uniform(0.0, 1.0)) * self.height_m,
            "mass_injection_kg_s": 0.0, "fixed_pressure_pa": NAN, **more,
        }  # fmt: skip
        self.rows["nodes"].append(row)
        return name

    def height_of(self, node: str) -> float:
        return float(self.rows["nodes"][int(node[1:])]["elevation_m"])

    def swap(self, a: str, b: str) -> tuple[str, str]:
        return (b, a) if self.rng.random() < 0.5 else (a, b)

    def pipe(self, a: str, b: str) -> None:
        rng = self.rng
        if self.extreme:
            diameter = log_uniform(rng, LEAST_DIAMETER_M, MOST_DIAMETER_M)
            length, rough = log_uniform(rng, 0.1, 1e4), min(log_uniform(rng, 1e-7, 3e-3), 0.05 * diameter)
        else:
            diameter, length = (
                float(rng.choice([0.0285, 0.0431, 0.0703, 0.1071, 0.2101, 0.4])),
                rng.uniform(5, 400),
            )
            rough = 1e-4
        first, second = self.swap(a, b)
        self.rows["pipes"].append({
            "id": f"p{len(self.rows['pipes'])}", "from_node": first, "to_node": second,
            "length_m": float(length), "inner_diameter_m": diameter, "roughness_m": rough,
            "loss_coefficient": float(rng.choice([0.0, 0.0, 0.5, 20.0, 1e4])) if self.extreme else 0.0,
            "hazen_williams_c": float(rng.uniform(60.0, 150.0)),
        })  # fmt: skip

    def valve(self, kind: str, a: str, b: str, **more: Any) -> None:
        rng = self.rng
        row: dict[str, Any] = {
            "id": f"v{len(self.rows['valves'])}", "from_node": a, "to_node": b, "kind": kind, "setting": NAN,
            "kv_m3_h": NAN, "loss_coefficient": NAN, "diameter_m": NAN, "opening": 1.0, "curve": "",
            "characteristic": str(rng.choice(["linear", "equal-percentage"])), "sense_from": "",
            "sense_to": "",
        }  # fmt: skip
        if kind != "curve":
            if rng.random() < 0.5:
                row["kv_m3_h"] = log_uniform(rng, 0.05, 2000.0)
            else:
                row["loss_coefficient"] = float(rng.choice([0.0, 2.0, 100.0, 1e5]))
                row["diameter_m"] = log_uniform(rng, LEAST_DIAMETER_M, MOST_DIAMETER_M)
        if kind == "throttle":
            row["opening"] = float(rng.choice([0.0, 1e-3, 0.1, 0.6, 1.0], p=[0.1, 0.1, 0.2, 0.3, 0.3]))
        elif kind != "curve" and rng.random() < 0.1:
            row["opening"] = float(rng.choice([0.0, 0.5]))
        self.rows["valves"].append(row | more)

    def curve(self, points: list[tuple[float, float]]) -> str:
        name = f"k{len({row['id'] for row in self.rows['curves']})}"
        self.rows["curves"] += [{"id": name, "mass_flow_kg_s": m, "dp_pa": dp} for m, dp in points]
        return name

    def pump(self, a: str, b: str) -> None:
        rng = self.rng
        flow, gain = log_uniform(rng, 0.05, 200.0), log_uniform(rng, 1e3, 2e6)
        kind = int(rng.integers(0, 4))
        if kind == 0:
            # behind a pipe of its own, so that constant gains never close a loop
            middle = self.node(elevation_m=self.height_of(a))
            self.pipe(a, middle)
            fields = {"curve": "", "fixed_dp_pa": gain}
            a = middle
        else:
            if kind == 1:
                points = [(flow, gain)]
            elif kind == 2:
                points = [
                    (0.0, 1.33 * gain),
                    (flow, gain),
                    (flow * rng.uniform(1.3, 2.0), gain * rng.uniform(0, 0.8)),
                ]
            else:
                at = np.r_[0.0, np.sort(rng.uniform(0.1, 2.0, 5))] * flow
                points = list(zip(at.tolist(), (gain * (1.3 - 0.3 * (at / flow) ** 2)).tolist(), strict=True))
            fields = {"curve": self.curve(points), "fixed_dp_pa": NAN}
        speed = float(rng.choice([0.0, 0.3, 0.8, 1.0, 1.2], p=[0.1, 0.1, 0.2, 0.5, 0.1]))
        self.rows["pumps"].append(
            {"id": f"u{len(self.rows['pumps'])}", "from_node": a, "to_node": b, "speed": speed, **fields}
        )

    def loss_curve(self) -> str:
        rng = self.rng
        flow = np.cumsum(rng.uniform(0.1, 5.0, int(rng.integers(2, 6))))
        drop = np.cumsum(rng.uniform(10.0, 1e5, len(flow)))
        return self.curve(list(zip(flow.tolist(), drop.tolist(), strict=True)))

    def element(self, a: str, b: str, regulators: bool) -> None:
        """Some element from a to b, alone or with a pipe in series."""
        rng = self.rng
        kinds = ["throttle", "check", "flow_limit", "curve", "pump", "pump"]
        if regulators:
            kinds += ["pressure_reducing", "pressure_sustaining"]
        kind = str(rng.choice(kinds))
        if kind in ("pressure_reducing", "pressure_sustaining") or rng.random() < 0.6:
            middle = self.node()
            self.pipe(a, middle)
            a = middle
        a, b = self.swap(a, b) if kind not in ("pressure_reducing", "pressure_sustaining") else (a, b)
        if kind == "pump":
            self.pump(a, b)
        elif kind == "flow_limit":
            self.valve(
                kind, a, b, setting=float(rng.choice([0.0, log_uniform(rng, 1e-4, 100.0)], p=[0.05, 0.95]))
            )
        elif kind == "curve":
            self.valve(kind, a, b, curve=self.loss_curve())
        elif kind in ("pressure_reducing", "pressure_sustaining"):
            self.valve(kind, a, b, setting=rng.uniform(0.0, 10.0) * BAR)
        else:
            self.valve(kind, a, b)

    # -- the whole ------------------------------------------------------------------------

    def network(self, friction: str) -> Network:
        tables: dict[str, dict[str, Any]] = {
            table: {name: [row[name] for row in rows] for name in rows[0]}
            for table, rows in self.rows.items()
            if rows
        }
        rng = self.rng
        if self.rng.random() < 0.2 and "pipes" in tables:
            tables["pipes"]["open"] = (
                rng.random(len(tables["pipes"]["id"])) > rng.uniform(0.02, 0.4)
            ).tolist()
        fluid: HydraulicFluid | None = HydraulicFluid.water(float(rng.uniform(10.0, 130.0)))
        if rng.random() < 0.2 and "pipes" in tables:
            fluid = None
            temp = rng.uniform(10.0, 130.0, len(tables["pipes"]["id"]))
            temp[rng.random(len(temp)) < 0.2] = NAN
            tables["pipes"]["temp_c"] = temp
        return Network(tables, fluid=fluid)

    def changes(self, net: Network) -> dict[str, Any]:
        """A tick: some columns get new values."""
        rng = self.rng
        out: dict[str, Any] = {}
        if rng.random() < 0.6:
            injection = net.nodes["mass_injection_kg_s"] * rng.uniform(0.8, 1.25, net.nodes.rows)
            out["nodes_mass_injection_kg_s"] = np.where(rng.random(net.nodes.rows) < 0.1, 0.0, injection)
        if net.pipes.rows and rng.random() < 0.3:
            out["pipes_open"] = net.pipes["open"] ^ (rng.random(net.pipes.rows) < 0.1)
        if net.valves.rows and rng.random() < 0.6:
            opening = np.where(
                rng.random(net.valves.rows) < 0.15, 0.0, rng.uniform(0.05, 1.0, net.valves.rows)
            )
            out["valves_opening"] = opening
        if net.pumps.rows and rng.random() < 0.6:
            out["pumps_speed"] = rng.choice([0.0, 0.7, 1.0, 1.1], net.pumps.rows)
        if net.consumers.rows and rng.random() < 0.7:
            scale = rng.uniform(0.5, 1.5, net.consumers.rows)
            out["consumers_kv_m3_h"] = net.consumers["kv_m3_h"] * scale
            out["consumers_mass_flow_kg_s"] = net.consumers["mass_flow_kg_s"] * scale
        if net.consumers.rows and rng.random() < 0.3:
            most = np.exp(rng.uniform(np.log(1e-3), np.log(10.0), net.consumers.rows))
            out["consumers_max_flow_kg_s"] = np.where(rng.random(net.consumers.rows) < 0.5, NAN, most)
        return out


def _size(rng: np.random.Generator) -> int:
    return int(log_uniform(rng, 2.0, 60.0)) if rng.random() < 0.98 else int(log_uniform(rng, 60.0, 600.0))


def _graph(draft: _Draft, names: list[str], loops: int) -> list[tuple[str, str]]:
    """A random tree over the nodes plus extra edges, double ones among them."""
    rng = draft.rng
    window = int(rng.choice([1, 3, 8, 1000]))
    edges = [(names[int(rng.integers(max(0, i - window), i))], names[i]) for i in range(1, len(names))]
    while loops > 0 and len(names) > 1:
        a, b = rng.integers(0, len(names), 2).tolist()
        if a != b:
            edges.append((names[a], names[b]))
            loops -= 1
    return edges


def _zone(draft: _Draft, family: str) -> None:
    """One net of water without return: nodes that take or give, some of fixed pressure."""
    rng = draft.rng
    n = _size(rng)
    loops = 0 if family == "tree" else int(rng.integers(0, 1 + n // 2))
    names = [draft.node() for _ in range(n)]
    edges = _graph(draft, names, loops)
    if family == "parts" and len(edges) > 2:
        edges = [edge for edge in edges if rng.random() > 0.25]
    scale = log_uniform(rng, 1e-5, 30.0) if draft.extreme else log_uniform(rng, 0.01, 2.0)
    kind = str(rng.choice(["none", "demands", "both ways", "few"], p=[0.12, 0.5, 0.25, 0.13]))
    for row in draft.rows["nodes"]:
        take = float(rng.uniform(0.0, scale))
        if kind == "demands" and rng.random() < 0.8:
            row["mass_injection_kg_s"] = -take
        elif kind == "both ways":
            row["mass_injection_kg_s"] = float(rng.choice([-1.0, 1.0])) * take
        elif kind == "few" and rng.random() < 0.1:
            row["mass_injection_kg_s"] = -take
    many = family == "many fixed"
    fixed = (
        int(rng.integers(2, 2 + max(1, n // 4))) if many else int(rng.choice([0, 1, 2], p=[0.04, 0.7, 0.26]))
    )
    spread = float(rng.choice([0.0, 0.2, 5.0])) * BAR
    head_pa = rng.uniform(2.0, 16.0) * BAR + 9550.0 * draft.height_m
    for row in rng.permutation(n)[:fixed].tolist():
        at = draft.rows["nodes"][row]
        at["fixed_pressure_pa"] = float(head_pa - 9550.0 * at["elevation_m"] + rng.uniform(0.0, 1.0) * spread)
    share = float(rng.choice([0.05, 0.2, 0.5])) if family in ("elements", "parts", "many fixed") else 0.0
    regulators = family == "elements" and rng.random() < 0.5
    for a, b in edges:
        if rng.random() < share:
            draft.element(a, b, regulators)
        else:
            draft.pipe(a, b)


def _consumer(draft: _Draft, supply: str, back: str) -> None:
    rng = draft.rng
    mode = str(rng.choice(["valve", "flow", "heat"], p=[0.7, 0.15, 0.15]))
    kv = log_uniform(rng, 1e-3, 100.0) if draft.extreme else log_uniform(rng, 0.3, 5.0)
    most = log_uniform(rng, 1e-3, 5.0) if rng.random() < 0.3 else NAN
    sign = -1.0 if rng.random() < 0.05 else 1.0
    draft.rows["consumers"].append({
        "id": f"c{len(draft.rows['consumers'])}", "supply_node": supply, "return_node": back, "mode": mode,
        "kv_m3_h": 0.0 if rng.random() < 0.04 else kv, "mass_flow_kg_s": sign * log_uniform(rng, 1e-3, 1.0),
        "heat_w": sign * log_uniform(rng, 10.0, 1e5), "supply_temp_c": 80.0, "return_temp_c": 45.0,
        "max_flow_kg_s": most,
    })  # fmt: skip


def _district(draft: _Draft) -> None:
    """Supply and return, not always mirrored; plants of all three kinds; houses, bypasses, dp controllers."""
    rng = draft.rng
    n = max(2, _size(rng) // 2)
    heights = rng.uniform(0.0, 1.0, n) * draft.height_m
    supply = [draft.node(elevation_m=float(z)) for z in heights]
    back = [draft.node(elevation_m=float(z)) for z in heights]
    edges = _graph(draft, list(map(str, range(n))), int(rng.integers(0, 1 + n // 4)))
    for a, b in edges:
        draft.pipe(supply[int(a)], supply[int(b)])
        if rng.random() < 0.97:
            draft.pipe(back[int(a)], back[int(b)])
    plants = min(n, int(rng.choice([1, 2, 4])))
    for k, at in enumerate(rng.permutation(n)[:plants].tolist()):
        kind = "dp" if k == 0 else str(rng.choice(["dp", "flow", "both"]))
        holds = k == 0 and rng.random() < 0.95
        held = 2 * BAR + 9550.0 * draft.height_m
        draft.rows["sources"].append({
            "id": f"s{k}", "return_node": back[at], "supply_node": supply[at],
            "dp_pa": rng.uniform(0.3, 10.0) * BAR if kind == "dp" else NAN,
            "mass_flow_kg_s": log_uniform(rng, 0.01, 10.0) if kind == "flow" else NAN,
            "supply_pressure_pa": held + rng.uniform(0.3, 10.0) * BAR if kind == "both" else NAN,
            "return_pressure_pa": held if holds or kind == "both" else NAN,
        })  # fmt: skip
    controllers = rng.random() < 0.3
    for i in range(n):
        if rng.random() < 0.15:
            continue
        at = supply[i]
        if controllers and rng.random() < 0.4:
            behind = draft.node(elevation_m=float(heights[i]))
            draft.valve(
                "dp_control", at, behind, setting=rng.uniform(0.05, 2.0) * BAR, sense_from=behind,
                sense_to=back[i],
            )  # fmt: skip
            at = behind
        _consumer(draft, at, back[i])
        if rng.random() < 0.05:
            draft.valve("throttle", supply[i], back[i], kv_m3_h=0.1, loss_coefficient=NAN, diameter_m=NAN)
