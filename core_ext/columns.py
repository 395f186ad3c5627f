"""Which columns of a network may change between solves, and the check of what they are changed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .network import LINK_ENDS, SCHEMA, SINGULAR, BadNetwork, FloatArray, Network, check_range, out_of_range

UNCHANGEABLE = {"id", "kind", "characteristic", "mode", "curve", "sense_from", "sense_to"} | {
    name for ends in LINK_ENDS.values() for name in ends
}
# columns the solver may be bound to: refreshing them allocates nothing
BINDABLE = {
    "nodes_mass_injection_kg_s",
    "nodes_fixed_pressure_pa",
    "pipes_open",
    "valves_kv_m3_h",
    "valves_loss_coefficient",
    "valves_opening",
    "valves_setting",
    "pumps_speed",
    "pumps_fixed_dp_pa",
    "consumers_mass_flow_kg_s",
    "consumers_kv_m3_h",
    "consumers_heat_w",
    "consumers_supply_temp_c",
    "consumers_return_temp_c",
    "consumers_max_flow_kg_s",
    "sources_dp_pa",
    "sources_mass_flow_kg_s",
    "sources_supply_pressure_pa",
    "sources_return_pressure_pa",
}
# columns of these names may be NaN in some rows (open, not given); which rows is part of the topology
FIXED_PATTERN = {
    "nodes_fixed_pressure_pa",
    "sources_dp_pa",
    "sources_mass_flow_kg_s",
    "sources_supply_pressure_pa",
    "sources_return_pressure_pa",
    "pumps_fixed_dp_pa",
    "valves_kv_m3_h",
    "valves_loss_coefficient",
    "valves_diameter_m",
}


def checked_change(
    net: Network, columns: Mapping[str, npt.NDArray[Any]], key: str, values: Any
) -> npt.NDArray[Any]:
    """A new value of a solver's column, in its type; raises BadNetwork for what cannot become one."""
    table, _, name = key.partition("_")
    spec = SCHEMA.get(table, {}).get(name)
    if spec is None or key not in columns or table == "curves":
        fixed = spec is not None and (name in UNCHANGEABLE or table == "curves")
        raise BadNetwork(
            key,
            "this column cannot change between solves" if fixed else "there is no such column",
            "Make a new solver for a new topology." if fixed else "Columns are named <table>_<column>.",
            "unchangeable_column" if fixed else "unknown_column",
        )
    old = columns[key]
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadNetwork(key, "not a column of numbers", "Give one number per row.", "not_a_number") from None
    if array.shape != old.shape:
        raise BadNetwork(
            key,
            f"shape {array.shape} for {len(old)} rows",
            "Give the full column, one value per row.",
            "wrong_length",
        )
    if spec.kind == "bool":
        if not np.isin(array, (0.0, 1.0)).all():
            raise BadNetwork(key, "not all values are true or false", "Give booleans.", "not_a_flag")
        return array.astype(np.int8)
    ids = net.tables[table]["id"]
    check_range(table, name, array, ids)
    if spec.kind == "float" and (key in FIXED_PATTERN) and (np.isnan(array) != np.isnan(old)).any():
        row = int(np.argmax(np.isnan(array) != np.isnan(old)))
        raise BadNetwork(
            f"{SINGULAR[table]} {ids[row]}",
            f"{name} may not appear or vanish between solves",
            "Which values are given is part of the topology; make a new solver.",
            "pattern_changed",
        )
    return array if spec.kind == "float" else array.astype(old.dtype)


def suspect_rows(
    net: Network, columns: Mapping[str, npt.NDArray[Any]], key: str, stack: FloatArray
) -> npt.NDArray[np.bool_]:
    """Rows of a stack, (scenarios, rows of the column), that `checked_change` would refuse.

    Raises BadNetwork where no row can be the column.
    """
    table, _, name = key.partition("_")
    if len(stack) == 0:
        return np.zeros(0, np.bool_)
    if (
        key not in columns
        or stack.shape[1:] != columns[key].shape
        or name in UNCHANGEABLE
        or table == "curves"
    ):
        checked_change(net, columns, key, stack[0])
    if SCHEMA[table][name].kind == "bool":
        bad = (stack != 0.0) & (stack != 1.0)
    else:
        bad = out_of_range(table, name, stack)
        if key in FIXED_PATTERN:
            bad |= np.isnan(stack) != np.isnan(columns[key])
    suspect: npt.NDArray[np.bool_] = bad.any(axis=1)
    return suspect
