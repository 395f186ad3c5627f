"""toplovod-network/1: the project's own JSON, one list per column, which loses nothing.

NaN is written as null; numbers are written with the shortest digits that read back the same. It refuses
other versions and unknown keys instead of guessing.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ..network import SCHEMA, BadNetwork, HydraulicFluid, Network

FORMAT = "toplovod-network/1"
FLUID_KEYS = ("density_kg_m3", "viscosity_pa_s", "cp_j_kgk", "gravity_m_s2")


def from_document(document: dict[str, Any], where: str) -> Network:
    """The network in a parsed document. Raises BadNetwork."""
    if document.get("format") != FORMAT:
        raise BadNetwork(
            f"file {where}",
            f"format {document.get('format')!r}",
            f"This version reads {FORMAT}.",
            "unknown_format",
        )
    extra = set(document) - {"format", "name", "fluid", "tables"}
    if extra:
        raise BadNetwork(
            f"file {where}",
            f"unknown key {sorted(extra)[0]!r}",
            "Known: format, name, fluid, tables.",
            "unknown_key",
        )
    tables = document.get("tables")
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise BadNetwork(
            f"file {where}", "no tables", "Give tables as an object of columns.", "missing_tables"
        )
    for table, columns in tables.items():
        for name, values in columns.items():
            if not isinstance(values, list):
                raise BadNetwork(
                    f"table {table}", f"column {name} is not a list", "Give one value per row.", "not_a_list"
                )
    fluid = document.get("fluid")
    if fluid is not None and (not isinstance(fluid, dict) or set(fluid) - set(FLUID_KEYS)):
        raise BadNetwork(
            f"file {where}", "fluid is not understood", f"Keys: {', '.join(FLUID_KEYS)}.", "bad_fluid"
        )
    try:
        made = (
            None if fluid is None else HydraulicFluid(**{key: float(value) for key, value in fluid.items()})
        )
    except (TypeError, ValueError) as error:
        if isinstance(error, BadNetwork):
            raise
        raise BadNetwork(
            f"file {where}", f"fluid: {error}", f"Keys: {', '.join(FLUID_KEYS)}.", "bad_fluid"
        ) from None
    return Network(tables, fluid=made, name=str(document.get("name", "")))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return value


def to_text(net: Network) -> str:
    """The document as text, one column per line."""
    fluid = None if net.fluid is None else {key: getattr(net.fluid, key) for key in FLUID_KEYS}
    tables = []
    for table in SCHEMA:
        columns = ",\n".join(
            f"   {json.dumps(name)}: "
            + json.dumps(
                [_plain(v) for v in net.tables[table][name].tolist()], ensure_ascii=False, allow_nan=False
            )
            for name in SCHEMA[table]
        )
        tables.append(f"  {json.dumps(table)}: {{\n{columns}\n  }}")
    return (
        f'{{\n "format": {json.dumps(FORMAT)},\n "name": {json.dumps(net.name, ensure_ascii=False)},\n'
        f' "fluid": {json.dumps(fluid)},\n "tables": {{\n' + ",\n".join(tables) + "\n }\n}\n"
    )
