"""Generated districts for the benchmark: street points, Delaunay, a spanning tree and extra loops.

Supply and return are mirrored, two to nine plants hold pressures, one consumer stands at every street node
but the plants', steel pipes are sized to 100 Pa/m at design flow. The same seed gives the same district. One
pressure zone without booster pumps: the pressures of the largest are a numerical case, not a town.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..network import FloatArray, HydraulicFluid, Network
from ..solver import EPANET_GRAVITY_M_S2, HydraulicSolver

# inner diameters of pre-insulated steel pipe DN 20 to DN 1000 (EN 253 sizes), m
DN_INNER_M = (
    0.0217, 0.0273, 0.0360, 0.0419, 0.0539, 0.0697, 0.0825, 0.1071, 0.1325, 0.1603, 0.2101, 0.2630, 0.3127,
    0.3444, 0.3938, 0.4446, 0.4954, 0.5958, 0.6950, 0.7954, 0.8940, 0.9940,
)  # fmt: skip
ROUGHNESS_M = 1e-4
GRADIENT_PA_M = 100.0
LEAST_DP_PA = 0.6e5  # at the index consumer
RETURN_PA = 2e5
# EPANET's own gravity, so that both engines speak of the same heads
WATER_75 = HydraulicFluid(974.8, 3.8e-4, 4193.0, EPANET_GRAVITY_M_S2)
LINKS_PER_STREET = 3.1  # two pipes for each street and extra loop, one consumer

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class District:
    """Design of one district; networks of it are made by `imposed`, `valves` and `limited`."""

    name: str
    seed: int
    loops: float
    begin: IntArray  # street node pairs of every street
    end: IntArray
    length_m: FloatArray
    diameter_m: FloatArray
    plants: IntArray
    houses: IntArray
    flow_kg_s: FloatArray  # design flow of every house
    dp_pa: float  # head of every plant
    kv_m3_h: FloatArray  # valve that passes the design flow, by the solved design
    streets: int

    def network(self, mode: str, **consumer: Any) -> Network:
        """Consumers in one mode; the columns given replace the design's."""
        count, streets = len(self.begin), self.streets
        return Network(
            nodes={"id": [f"s{i}" for i in range(streets)] + [f"r{i}" for i in range(streets)]},
            pipes={
                "id": [f"ps{i}" for i in range(count)] + [f"pr{i}" for i in range(count)],
                "from_node": [f"s{a}" for a in self.begin] + [f"r{b}" for b in self.end],
                "to_node": [f"s{b}" for b in self.end] + [f"r{a}" for a in self.begin],
                "length_m": np.tile(self.length_m, 2),
                "inner_diameter_m": np.tile(self.diameter_m, 2),
                "roughness_m": ROUGHNESS_M,
            },
            consumers={
                "id": [f"c{i}" for i in self.houses],
                "supply_node": [f"s{i}" for i in self.houses],
                "return_node": [f"r{i}" for i in self.houses],
                "mode": mode,
                "mass_flow_kg_s": self.flow_kg_s,
                "kv_m3_h": self.kv_m3_h,
                "min_dp_pa": LEAST_DP_PA,
                **consumer,
            },
            sources={
                "id": [f"plant{i}" for i in self.plants],
                "return_node": [f"r{i}" for i in self.plants],
                "supply_node": [f"s{i}" for i in self.plants],
                "supply_pressure_pa": RETURN_PA + self.dp_pa,
                "return_pressure_pa": RETURN_PA,
            },
            fluid=WATER_75,
            name=self.name,
        )

    def imposed(self) -> Network:
        """Every house holds its flow."""
        return self.network("flow")

    def valves(self) -> Network:
        """Every house has a valve that passes just its design flow."""
        return self.network("valve")

    def limited(self, infeasible: float, seed: int = 3) -> Network:
        """Limiters set to the design flow behind valves four times as wide; a share of the set-points is ten
        times the design flow, which no valve reaches: those take what they can and starve some neighbours."""
        rng = np.random.default_rng(seed)
        most = self.flow_kg_s.copy()
        most[rng.choice(len(most), max(1, round(infeasible * len(most))), replace=False)] *= 10.0
        return self.network("valve", kv_m3_h=4.0 * self.kv_m3_h, max_flow_kg_s=most)


def make_district(links: int, loops: float, seed: int = 1) -> District:
    """About `links` links with valves given; loops: extra streets as a share of the tree's."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
    from scipy.spatial import Delaunay

    rng = np.random.default_rng([seed, links, round(100 * loops)])
    per_street = 1.0 + 2.0 * (1.0 + loops)
    streets = max(8, round(links / per_street))
    side = 60.0 * np.sqrt(streets)
    at = rng.uniform(0.0, side, (streets, 2))
    triangles = Delaunay(at).simplices
    pairs = np.unique(
        np.sort(np.vstack([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]]), 1), axis=0
    )
    length = np.hypot(*(at[pairs[:, 0]] - at[pairs[:, 1]]).T)
    # a random weight beside the length keeps the tree from being the same in every town
    weight = length * rng.uniform(0.7, 1.3, len(length))
    graph = coo_array((weight, (pairs[:, 0], pairs[:, 1])), shape=(streets, streets))
    tree = minimum_spanning_tree(graph).tocoo()
    number = {(int(a), int(b)): i for i, (a, b) in enumerate(pairs)}
    in_tree = np.zeros(len(pairs), np.bool_)
    in_tree[
        [number[min(a, b), max(a, b)] for a, b in zip(tree.row.tolist(), tree.col.tolist(), strict=True)]
    ] = True
    rest = np.flatnonzero(~in_tree)
    short = rest[np.argsort(length[rest], kind="stable")][: len(rest) // 2]
    extra = rng.choice(short, min(len(short), max(1, round(loops * (streets - 1)))), replace=False)
    chosen = np.sort(np.r_[np.flatnonzero(in_tree), extra])
    begin, end, length = pairs[chosen, 0], pairs[chosen, 1], np.maximum(length[chosen], 5.0)
    plants = np.sort(rng.choice(streets, int(np.clip(round(np.log10(links) * 2 - 2), 2, 9)), replace=False))
    houses = np.setdiff1d(np.arange(streets), plants)
    flow = rng.lognormal(np.log(0.15), 0.6, len(houses))

    # first sizes from the shortest ways to the nearest plant, then up until the solved design keeps 100 Pa/m
    street = coo_array((length, (begin, end)), shape=(streets, streets))
    far, before, _ = dijkstra(street, directed=False, indices=plants, min_only=True, return_predecessors=True)
    carried = np.zeros(streets)
    carried[houses] = flow
    for node in np.argsort(-far).tolist():
        if before[node] >= 0:
            carried[before[node]] += carried[node]
    through = np.where(
        before[end] == begin, carried[end], np.where(before[begin] == end, carried[begin], 0.0)
    )
    sizes = np.array(DN_INNER_M)
    size = np.searchsorted(sizes[:-1], _diameter_for(through))
    design = District(
        f"district {links}/{round(100 * loops)}",
        seed,
        loops,
        begin,
        end,
        length,
        sizes[size],
        plants,
        houses,
        flow,
        1e5,
        np.ones(len(houses)),
        streets,
    )
    for _ in range(4):
        result = HydraulicSolver(design.imposed()).solve()
        now = np.abs(result.mass_flow_kg_s["pipes"][: len(begin)])
        wanted = np.searchsorted(sizes[:-1], _diameter_for(now))
        if (wanted <= size).all():
            break
        size = np.maximum(size, wanted)
        design = _with(design, diameter_m=sizes[size])
    result = HydraulicSolver(design.imposed()).solve()
    dp = result.pressure_pa[houses] - result.pressure_pa[streets + houses]
    head = float(1e5 + LEAST_DP_PA - dp.min())
    dp = dp + head - 1e5
    kv = flow * 3600.0 * np.sqrt(1e5 / (1000.0 * WATER_75.density_kg_m3 * dp))
    return _with(design, dp_pa=head, kv_m3_h=kv)


def _with(design: District, **fields: Any) -> District:
    return District(**{**design.__dict__, **fields})


def _diameter_for(flow: FloatArray) -> FloatArray:
    """Diameter that loses GRADIENT_PA_M at this flow with friction factor 0.02 (a little too wide)."""
    wide: FloatArray = (0.02 * 8.0 * flow**2 / (np.pi**2 * WATER_75.density_kg_m3 * GRADIENT_PA_M)) ** 0.2
    return wide
