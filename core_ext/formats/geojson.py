"""GeoJSON: nodes as Points, pipes (and every other element) as LineStrings, columns as properties.

Coordinates are x_m and y_m, metres of a local plane, as the network has them: nothing is projected. Reading
accepts pipes without from_node and to_node when their ends meet Points exactly; it refuses geometry it would
have to guess.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..network import LINK_ENDS, SCHEMA, BadNetwork, HydraulicFluid, Network
from .toplovod_json import FLUID_KEYS


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def to_feature_collection(net: Network) -> dict[str, Any]:
    """The network as a FeatureCollection; what has no place on a map stands in member `toplovod`."""
    columns = {t: {c: net.tables[t][c].tolist() for c in SCHEMA[t]} for t in SCHEMA}
    nodes = columns["nodes"]
    place: dict[str, list[float] | None] = {
        identifier: None if math.isnan(x) or math.isnan(y) else [x, y]
        for identifier, x, y in zip(nodes["id"], nodes["x_m"], nodes["y_m"], strict=True)
    }
    features: list[dict[str, Any]] = []
    for table in ("nodes", *LINK_ENDS):
        for row in range(net.tables[table].rows):
            properties = {"table": table}
            for name, values in columns[table].items():
                # half a position is no Point, but still the network's
                if name in ("x_m", "y_m") and (place[nodes["id"][row]] or math.isnan(values[row])):
                    continue
                properties[name] = _plain(values[row])
            if table == "nodes":
                spot = place[nodes["id"][row]]
                geometry = None if spot is None else {"type": "Point", "coordinates": spot}
            else:
                a, b = (place[columns[table][end][row]] for end in LINK_ENDS[table])
                geometry = None if a is None or b is None else {"type": "LineString", "coordinates": [a, b]}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    fluid = None if net.fluid is None else {key: getattr(net.fluid, key) for key in FLUID_KEYS}
    own = {"format": "toplovod-network/1", "name": net.name, "fluid": fluid, "curves": columns["curves"]}
    return {"type": "FeatureCollection", "toplovod": own, "features": features}


def from_feature_collection(document: dict[str, Any], where: str) -> Network:
    """Network of Points (nodes) and LineStrings (property `table`, default pipes). Raises BadNetwork."""
    rows: dict[str, list[dict[str, Any]]] = {t: [] for t in ("nodes", *LINK_ENDS)}
    pipes: list[tuple[dict[str, Any], str, list[list[float]]]] = []
    for number, feature in enumerate(document.get("features", [])):
        properties = dict(feature.get("properties") or {})
        geometry = feature.get("geometry") or {}
        kind = geometry.get("type")
        table = properties.pop("table", "nodes" if kind == "Point" else "pipes")
        label = f"file {where} feature {properties.get('id', number)}"
        if table not in rows:
            raise BadNetwork(label, f"table {table!r}", f"Known: {', '.join(rows)}.", "unknown_table")
        if kind not in (None, "Point", "LineString") or (
            kind is not None and (kind == "Point") != (table == "nodes")
        ):
            raise BadNetwork(
                label,
                f"geometry {kind} in table {table}",
                "Nodes are Points, elements LineStrings.",
                "geometry",
            )
        if kind == "Point":
            properties["x_m"], properties["y_m"] = (float(v) for v in geometry["coordinates"][:2])
        elif kind == "LineString" and table == "pipes":
            pipes.append((properties, label, geometry["coordinates"]))
        rows[table].append(properties)
    spot: dict[tuple[float, float], str] = {}
    for node in rows["nodes"]:
        if "x_m" in node and "y_m" in node and "id" in node:
            spot.setdefault((node["x_m"], node["y_m"]), str(node["id"]))
    for properties, label, points in pipes:
        if "from_node" not in properties:
            for end, point in (("from_node", points[0]), ("to_node", points[-1])):
                node_id = spot.get((float(point[0]), float(point[1])))
                if node_id is None:
                    raise BadNetwork(
                        label, f"no Point at its end {point[:2]}", "Add from_node and to_node.", "open_end"
                    )
                properties[end] = node_id
        if "length_m" not in properties:
            properties["length_m"] = sum(math.dist(a[:2], b[:2]) for a, b in itertools.pairwise(points))
    own = document.get("toplovod") or {}
    tables: dict[str, dict[str, Any]] = {}
    for table, members in rows.items():
        # keep the schema's order first, so that unknown properties are named by the network's own check
        names = dict.fromkeys(name for member in members for name in member)
        tables[table] = {
            name: [
                member.get(name, SCHEMA[table][name].default if name in SCHEMA[table] else None)
                if member.get(name) is not None
                else (SCHEMA[table][name].default if name in SCHEMA[table] and name not in member else None)
                for member in members
            ]
            for name in names
        }
    if own.get("curves"):
        tables["curves"] = own["curves"]
    fluid = own.get("fluid")
    return Network(
        tables, fluid=None if fluid is None else HydraulicFluid(**fluid), name=str(own.get("name", ""))
    )
