"""The network as column tables: what the solver, the balancing and the file formats share.

It checks every value once, when the network is built, and refuses what has no hydraulic meaning
by naming the element, the reason and the remedy. It does not solve anything, and a network that
nothing fixes the pressure of is legal here: the solver reports such a part as an island.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class BadNetwork(ValueError):
    """A network, or a change to one, that cannot be given a hydraulic meaning. Nothing was changed.

    `element` names the culprit ("pipe P7"), `reason` what is wrong, `remedy` what to do; `code` is
    stable and meant for scripts.
    """

    exit_status = 2

    def __init__(self, element: str, reason: str, remedy: str, code: str = "bad_network") -> None:
        super().__init__(f"{element}: {reason}. {remedy}")
        self.element = element
        self.reason = reason
        self.remedy = remedy
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.element, self.reason, self.remedy, self.code)


@dataclass(frozen=True, slots=True)
class HydraulicFluid:
    """A fluid frozen for one solve: constant density, dynamic viscosity, heat capacity and gravity."""

    density_kg_m3: float
    viscosity_pa_s: float
    cp_j_kgk: float = 4186.0
    gravity_m_s2: float = 9.80665

    def __post_init__(self) -> None:
        for name in ("density_kg_m3", "viscosity_pa_s", "cp_j_kgk", "gravity_m_s2"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise BadNetwork("fluid", f"{name} is {value}", "Give a positive number.", "bad_fluid")

    @classmethod
    def water(cls, temp_c: float) -> HydraulicFluid:
        """Liquid water at one temperature, degC (fits of `core_ext.fluid`)."""
        from .fluid import density_kg_m3, heat_capacity_j_kgk, viscosity_pa_s

        return cls(
            float(density_kg_m3(temp_c)), float(viscosity_pa_s(temp_c)), float(heat_capacity_j_kgk(temp_c))
        )


VALVE_KINDS = (
    "throttle",
    "check",
    "flow_limit",
    "pressure_reducing",
    "pressure_sustaining",
    "dp_control",
    "curve",
)
CHARACTERISTICS = ("linear", "equal-percentage")
CONSUMER_MODES = ("flow", "valve", "heat")

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `kind`: id, node, node_or_empty, curve, float, int, bool or a tuple of words."""

    kind: str | tuple[str, ...]
    default: Any = _REQUIRED
    nan_ok: bool = False
    low: float | None = None
    above: float | None = None  # strictly greater than this
    high: float | None = None


_NAN = float("nan")

SCHEMA: dict[str, dict[str, Column]] = {
    "nodes": {
        "id": Column("id"),
        "elevation_m": Column("float", 0.0),
        "x_m": Column("float", _NAN, nan_ok=True),
        "y_m": Column("float", _NAN, nan_ok=True),
        "mass_injection_kg_s": Column("float", 0.0),
        "fixed_pressure_pa": Column("float", _NAN, nan_ok=True),
    },
    "pipes": {
        "id": Column("id"),
        "from_node": Column("node"),
        "to_node": Column("node"),
        "length_m": Column("float", above=0.0),
        "inner_diameter_m": Column("float", above=0.0),
        # 0.1 mm: the roughness all reference measurements of this project were taken with
        # NaN only beside hazen_williams_c
        "roughness_m": Column("float", 1e-4, nan_ok=True, low=0.0),
        "loss_coefficient": Column("float", 0.0, low=0.0),
        "linear_loss_w_mk": Column("float", 0.0, low=0.0),
        "temp_c": Column("float", _NAN, nan_ok=True, low=-50.0, high=250.0),
        "open": Column("bool", True),
        "hazen_williams_c": Column("float", _NAN, nan_ok=True, above=0.0),
    },
    "valves": {
        "id": Column("id"),
        "from_node": Column("node"),
        "to_node": Column("node"),
        "kind": Column(VALVE_KINDS, "throttle"),
        "kv_m3_h": Column("float", _NAN, nan_ok=True, low=0.0),
        "loss_coefficient": Column("float", _NAN, nan_ok=True, low=0.0),
        "diameter_m": Column("float", _NAN, nan_ok=True, above=0.0),
        "characteristic": Column(CHARACTERISTICS, "linear"),
        "opening": Column("float", 1.0, low=0.0, high=1.0),
        "setting": Column("float", _NAN, nan_ok=True),
        "sense_from": Column("node_or_empty", ""),
        "sense_to": Column("node_or_empty", ""),
        "curve": Column("curve", ""),
    },
    "pumps": {
        "id": Column("id"),
        "from_node": Column("node"),
        "to_node": Column("node"),
        "curve": Column("curve", ""),
        "speed": Column("float", 1.0, low=0.0),
        "fixed_dp_pa": Column("float", _NAN, nan_ok=True),
    },
    "curves": {
        "id": Column("id"),
        "mass_flow_kg_s": Column("float", low=0.0),
        "dp_pa": Column("float"),
    },
    "consumers": {
        "id": Column("id"),
        "supply_node": Column("node"),
        "return_node": Column("node"),
        "mode": Column(CONSUMER_MODES, "flow"),
        "mass_flow_kg_s": Column("float", _NAN, nan_ok=True),
        "kv_m3_h": Column("float", _NAN, nan_ok=True, low=0.0),
        "heat_w": Column("float", _NAN, nan_ok=True),
        "supply_temp_c": Column("float", _NAN, nan_ok=True, low=-50.0, high=250.0),
        "return_temp_c": Column("float", _NAN, nan_ok=True, low=-50.0, high=250.0),
        "priority": Column("int", 1),
        "min_dp_pa": Column("float", 0.0, low=0.0),
        "max_flow_kg_s": Column("float", _NAN, nan_ok=True, low=0.0),
    },
    "sources": {
        "id": Column("id"),
        "return_node": Column("node"),
        "supply_node": Column("node"),
        "dp_pa": Column("float", _NAN, nan_ok=True),
        "mass_flow_kg_s": Column("float", _NAN, nan_ok=True),
        "supply_pressure_pa": Column("float", _NAN, nan_ok=True),
        "return_pressure_pa": Column("float", _NAN, nan_ok=True),
        "supply_temp_c": Column("float", _NAN, nan_ok=True, low=-50.0, high=250.0),
        "max_heat_w": Column("float", _NAN, nan_ok=True, low=0.0),
        "cost_per_mwh": Column("float", _NAN, nan_ok=True),
        "co2_per_mwh": Column("float", _NAN, nan_ok=True),
    },
}

SINGULAR = {
    "nodes": "node",
    "pipes": "pipe",
    "valves": "valve",
    "pumps": "pump",
    "curves": "curve",
    "consumers": "consumer",
    "sources": "source",
}

# tables whose rows carry flow, with their two node columns in the order flow counts positive
LINK_ENDS = {
    "pipes": ("from_node", "to_node"),
    "valves": ("from_node", "to_node"),
    "pumps": ("from_node", "to_node"),
    "consumers": ("supply_node", "return_node"),
    "sources": ("return_node", "supply_node"),
}


class Table(Mapping[str, Array]):
    """Read-only columns of equal length; `table["length_m"]`, `len(table)` is the number of rows' columns.

    `rows` is the number of rows, `ids` the identifiers, `row(id)` the position of one; `numbers[column]` a
    column of words by their place in SCHEMA, or of nodes by their row (-1 where none is named).
    """

    __slots__ = ("_columns", "_index", "name", "numbers", "rows")

    def __init__(self, name: str, columns: dict[str, Array], numbers: dict[str, Array]) -> None:
        self.name = name
        self._columns = columns
        self.numbers = numbers
        self.rows = len(columns["id"])
        self._index: dict[str, int] | None = None
        for column in columns.values():
            column.setflags(write=False)

    def __getitem__(self, column: str) -> Array:
        return self._columns[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def ids(self) -> list[str]:
        return [str(i) for i in self._columns["id"]]

    def row(self, identifier: str) -> int:
        """Position of the row called `identifier`; KeyError if there is none."""
        if self._index is None:
            self._index = {str(name): row for row, name in enumerate(self._columns["id"])}
        return self._index[identifier]

    def __repr__(self) -> str:
        return f"<{self.name}: {self.rows} rows>"


def _label(table: str, identifier: object) -> str:
    return f"{SINGULAR[table]} {identifier}"


def _text_column(values: Any) -> Array:
    out = np.empty(len(values), dtype=object)
    out[:] = ["" if v is None else str(v) for v in values]
    return out


def _number(value: Any) -> float:
    return _NAN if value is None else float(value)


def _float_column(table: str, name: str, values: Any, ids: Sequence[object] | Array) -> FloatArray:
    try:
        column = np.array(values, dtype=np.float64)
        if column.ndim == 1:
            return column
    except (TypeError, ValueError, OverflowError):
        pass
    out = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            out[row] = _number(value)
        except (TypeError, ValueError, OverflowError):
            raise BadNetwork(
                _label(table, ids[row]), f"{name} is {_short(value)}", "Give a number.", "not_a_number"
            ) from None
    return out


def _short(value: object) -> str:
    """A value as it was given, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _expand_curves(columns: dict[str, Any]) -> dict[str, Any]:
    """One row per curve with lists of points becomes one row per point."""
    flows, drops = columns.get("mass_flow_kg_s"), columns.get("dp_pa")
    if flows is None or drops is None or len(flows) == 0 or np.ndim(flows[0]) == 0:
        return columns
    ids: list[Any] = []
    flow_points: list[float] = []
    drop_points: list[float] = []
    for identifier, flow, drop in zip(columns["id"], flows, drops, strict=True):
        if len(flow) != len(drop):
            raise BadNetwork(
                f"curve {identifier}",
                f"{len(flow)} flows but {len(drop)} pressures",
                "Give pairs.",
                "wrong_length",
            )
        ids += [identifier] * len(flow)
        flow_points += [float(f) for f in flow]
        drop_points += [float(d) for d in drop]
    return {**columns, "id": ids, "mass_flow_kg_s": flow_points, "dp_pa": drop_points}


def check_range(table: str, name: str, values: FloatArray, ids: Sequence[object] | Array) -> None:
    """Raise BadNetwork for the first value of a float column outside what SCHEMA allows."""
    bad = out_of_range(table, name, values)
    if not bad.any():
        return
    column, row = SCHEMA[table][name], int(np.argmax(bad))
    value = float(values[row])
    code, words = "not_a_number", "Give a finite number."
    if np.isfinite(value):
        if column.above is not None and value <= column.above:
            code, words = "not_positive", f"It must be greater than {column.above:g}."
        elif column.low is not None and value < column.low:
            code, words = "too_low", f"It must be at least {column.low:g}."
        else:
            code, words = "too_high", f"It must be at most {column.high:g}."
    raise BadNetwork(_label(table, ids[row]), f"{name} is {value:g}", words, code)


def out_of_range(table: str, name: str, values: FloatArray) -> npt.NDArray[np.bool_]:
    """Which values of a float column, in any shape, are outside what SCHEMA allows."""
    column = SCHEMA[table][name]
    bad = np.isinf(values) if column.nan_ok else ~np.isfinite(values)
    if column.above is not None:
        bad |= values <= column.above
    if column.low is not None:
        bad |= values < column.low
    if column.high is not None:
        bad |= values > column.high
    return bad


def _build_table(table: str, given: Mapping[str, Any]) -> Table:
    schema = SCHEMA[table]
    columns = {str(name): values for name, values in given.items()}
    for name in columns:
        if name not in schema:
            raise BadNetwork(
                f"table {table}",
                f"unknown column {name!r}",
                f"Known columns: {', '.join(schema)}.",
                "unknown_column",
            )
    if columns and "id" not in columns:
        raise BadNetwork(f"table {table}", "no id column", "Give every row an id.", "missing_column")
    if table == "curves":
        columns = _expand_curves(columns)
    ids = _text_column(list(columns.get("id", [])))
    rows = len(ids)
    if table != "curves":
        seen: set[str] = set()
        for row, identifier in enumerate(ids):
            if identifier == "":
                raise BadNetwork(f"table {table} row {row}", "empty id", "Give the row an id.", "empty_id")
            if identifier in seen:
                raise BadNetwork(
                    _label(table, identifier),
                    "this id stands twice",
                    "Ids must be unique in a table.",
                    "duplicate_id",
                )
            seen.add(identifier)
    out: dict[str, Array] = {"id": ids}
    places: dict[str, Array] = {}
    for name, spec in schema.items():
        if name == "id":
            continue
        values = columns.get(name)
        if values is None:
            if spec.default is _REQUIRED and rows:
                raise BadNetwork(
                    f"table {table}", f"column {name} is missing", f"Add {name}.", "missing_column"
                )
            values = [0.0 if spec.default is _REQUIRED else spec.default] * rows
        elif not hasattr(values, "__len__") or isinstance(values, str):
            values = [values] * rows
        if len(values) != rows:
            raise BadNetwork(
                f"table {table}",
                f"column {name} has {len(values)} values for {rows} rows",
                "Give one value per row.",
                "wrong_length",
            )
        if spec.kind == "float":
            floats = _float_column(table, name, values, ids)
            if name not in ("id",):
                check_range(table, name, floats, ids)
            out[name] = floats
        elif spec.kind == "int":
            numbers = _float_column(table, name, values, ids)
            whole = (numbers == np.rint(numbers)) & (np.abs(numbers) < 2.0**53)
            if not whole.all():
                row = int(np.argmin(whole))
                raise BadNetwork(
                    _label(table, ids[row]),
                    f"{name} is {numbers[row]:g}",
                    "Give a whole number.",
                    "not_whole",
                )
            out[name] = numbers.astype(np.int64)
        elif spec.kind == "bool":
            flags = _float_column(table, name, values, ids)
            if not np.isin(flags, (0.0, 1.0)).all():
                row = int(np.argmax(~np.isin(flags, (0.0, 1.0))))
                raise BadNetwork(
                    _label(table, ids[row]), f"{name} is {values[row]!r}", "Give true or false.", "not_a_flag"
                )
            out[name] = flags.astype(np.bool_)
        else:
            out[name] = _text_column(list(values))
            if isinstance(spec.kind, tuple):
                places[name] = _looked_up(out[name], {word: i for i, word in enumerate(spec.kind)}, np.int8)
                if rows and places[name].min() < 0:
                    row = int(np.argmin(places[name]))
                    raise BadNetwork(
                        _label(table, ids[row]),
                        f"{name} is {out[name][row]!r}",
                        f"Known: {', '.join(spec.kind)}.",
                        f"unknown_{name}",
                    )
    return Table(table, out, places)


def _looked_up(texts: Array, number_of: Mapping[str, int], dtype: type[np.signedinteger[Any]]) -> Array:
    """Every text's number, -1 where it has none (read-only)."""
    out = np.array([number_of.get(text, -1) for text in texts.tolist()], dtype)
    out.setflags(write=False)
    return out


class Network:
    """A district heating (or water) network: seven column tables and, optionally, the fluid it was made for.

    `Network({"nodes": {"id": [...], ...}, "pipes": {...}})` or `Network(nodes={...}, pipes={...})`.
    Columns are those of design §3.4, SI units, pressures in Pa gauge; missing optional columns take the
    defaults in SCHEMA, a scalar stands for every row. `curves` has one row per point, or one row per curve
    with lists of points. Raises BadNetwork.
    """

    nodes: Table
    pipes: Table
    valves: Table
    pumps: Table
    curves: Table
    consumers: Table
    sources: Table

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]] | None = None,
        /,
        *,
        fluid: HydraulicFluid | None = None,
        name: str = "",
        **more: Mapping[str, Any],
    ) -> None:
        given: dict[str, Mapping[str, Any]] = {**(tables or {}), **more}
        for table in given:
            if table not in SCHEMA:
                raise BadNetwork(
                    f"table {table}", "unknown table", f"Known tables: {', '.join(SCHEMA)}.", "unknown_table"
                )
        self.name = name
        self.fluid = fluid
        self.tables: dict[str, Table] = {t: _build_table(t, given.get(t, {})) for t in SCHEMA}
        for table_name, built in self.tables.items():
            setattr(self, table_name, built)
        self._check_references()
        self._check_elements()

    # -- checks across columns and tables -------------------------------------------------

    def _check_references(self) -> None:
        row_of = {node: row for row, node in enumerate(self.nodes["id"].tolist())}
        curves = set(self.curves["id"])
        for table, spec in SCHEMA.items():
            ids = self.tables[table]["id"]
            for name, column in spec.items():
                if column.kind in ("node", "node_or_empty"):
                    nodes = self.tables[table][name]
                    rows = _looked_up(nodes, row_of, np.int32)
                    self.tables[table].numbers[name] = rows
                    lost = rows < 0
                    if column.kind == "node_or_empty":
                        lost &= nodes != ""
                    if lost.any():
                        row = int(np.argmax(lost))
                        raise BadNetwork(
                            _label(table, ids[row]),
                            f"{name} {nodes[row]!r} is not a node of this network",
                            "Add the node or correct the name.",
                            "unknown_node",
                        )
                elif column.kind == "curve":
                    for row, curve in enumerate(self.tables[table][name]):
                        if curve != "" and curve not in curves:
                            raise BadNetwork(
                                _label(table, ids[row]),
                                f"{name} {curve!r} is not a curve of this network",
                                "Add it to the curves table.",
                                "unknown_curve",
                            )
        for table, (first, second) in LINK_ENDS.items():
            columns = self.tables[table]
            same = columns.numbers[first] == columns.numbers[second]
            if columns.rows and same.any():
                row = int(np.argmax(same))
                raise BadNetwork(
                    _label(table, columns["id"][row]),
                    f"starts and ends at node {columns[first][row]}",
                    "Connect it to two different nodes.",
                    "self_loop",
                )

    def _need(self, table: str, row: int, names: Sequence[str], why: str) -> None:
        columns = self.tables[table]
        for name in names:
            if np.isnan(columns[name][row]):
                raise BadNetwork(
                    _label(table, columns["id"][row]),
                    f"{name} is not given",
                    f"{why} needs {' and '.join(names)}.",
                    "missing_value",
                )

    def _check_elements(self) -> None:
        pipes = self.pipes
        smooth = np.isnan(pipes["roughness_m"]) & np.isnan(pipes["hazen_williams_c"])
        if smooth.any():
            self._need("pipes", int(np.argmax(smooth)), ("roughness_m",), "A pipe without hazen_williams_c")
        valves = self.valves
        for row in range(valves.rows):
            kind = valves["kind"][row]
            label = _label("valves", valves["id"][row])
            if kind == "curve":
                if valves["curve"][row] == "":
                    raise BadNetwork(
                        label, "kind curve without a curve", "Name one in column curve.", "missing_curve"
                    )
                continue
            if np.isnan(valves["kv_m3_h"][row]):
                self._need("valves", row, ("loss_coefficient", "diameter_m"), "A valve without kv_m3_h")
            if kind in ("flow_limit", "pressure_reducing", "pressure_sustaining", "dp_control"):
                self._need("valves", row, ("setting",), f"Kind {kind}")
            if kind == "flow_limit" and valves["setting"][row] < 0.0:
                raise BadNetwork(
                    label,
                    f"setting is {valves['setting'][row]:g} kg/s",
                    "A flow limit is not negative.",
                    "too_low",
                )
        pumps = self.pumps
        for row in range(pumps.rows):
            has_curve = pumps["curve"][row] != ""
            if has_curve == bool(np.isfinite(pumps["fixed_dp_pa"][row])):
                raise BadNetwork(
                    _label("pumps", pumps["id"][row]),
                    "needs either a curve or fixed_dp_pa" + (", not both" if has_curve else ""),
                    "Give one of them.",
                    "pump_without_head" if not has_curve else "pump_overdetermined",
                )
        consumers = self.consumers
        needed = {
            "flow": ("mass_flow_kg_s",),
            "valve": ("kv_m3_h",),
            "heat": ("heat_w", "supply_temp_c", "return_temp_c"),
        }
        for row in range(consumers.rows):
            mode = consumers["mode"][row]
            self._need("consumers", row, needed[mode], f"Mode {mode}")
            if mode == "heat" and consumers["supply_temp_c"][row] <= consumers["return_temp_c"][row]:
                raise BadNetwork(
                    _label("consumers", consumers["id"][row]),
                    "supply_temp_c is not above return_temp_c",
                    "Heat mode divides by their difference.",
                    "no_temperature_drop",
                )
        sources = self.sources
        pinned: dict[str, tuple[str, float]] = {
            str(node): (f"node {node}", float(value))
            for node, value in zip(self.nodes["id"], self.nodes["fixed_pressure_pa"], strict=True)
            if np.isfinite(value)
        }
        for row in range(sources.rows):
            label = _label("sources", sources["id"][row])
            dp, flow = np.isfinite(sources["dp_pa"][row]), np.isfinite(sources["mass_flow_kg_s"][row])
            supply, ret = (
                np.isfinite(sources["supply_pressure_pa"][row]),
                np.isfinite(sources["return_pressure_pa"][row]),
            )
            if int(dp) + int(flow) + int(supply and ret) != 1 or (supply and not ret):
                raise BadNetwork(
                    label,
                    "needs exactly one of dp_pa, mass_flow_kg_s, supply_pressure_pa with return_pressure_pa",
                    "dp_pa and mass_flow_kg_s may come with return_pressure_pa (pressure holding there).",
                    "source_not_determined",
                )
            for column, node_column in (
                ("supply_pressure_pa", "supply_node"),
                ("return_pressure_pa", "return_node"),
            ):
                value = float(sources[column][row])
                if np.isnan(value):
                    continue
                node = str(sources[node_column][row])
                holder, held = pinned.setdefault(node, (label, value))
                if held != value:
                    raise BadNetwork(
                        label,
                        f"fixes node {node} at {value:g} Pa, but {holder} fixes it at {held:g} Pa",
                        "Let one of them hold the pressure.",
                        "pressure_fixed_twice",
                    )
        self._check_curves()

    def _check_curves(self) -> None:
        for identifier, (flow, drop) in self.curve_points().items():
            label = f"curve {identifier}"
            if np.any(np.diff(flow) <= 0.0):
                raise BadNetwork(
                    label, "mass_flow_kg_s does not rise", "Sort the points by flow.", "curve_order"
                )
            for row in range(self.pumps.rows):
                if self.pumps["curve"][row] == identifier and (np.any(np.diff(drop) > 0.0) or drop[0] <= 0.0):
                    raise BadNetwork(
                        label,
                        f"pump {self.pumps['id'][row]} needs a positive head that does not rise with flow",
                        "A rising pump curve has no unique working point.",
                        "pump_curve_rises",
                    )
            for row in range(self.valves.rows):
                if self.valves["curve"][row] == identifier and (
                    np.any(np.diff(drop) < 0.0) or drop[0] < 0.0 or len(flow) < 2
                ):
                    raise BadNetwork(
                        label,
                        f"valve {self.valves['id'][row]} needs at least two points with a rising loss",
                        "Give the pressure loss over flow.",
                        "valve_curve_falls",
                    )

    # -- access ---------------------------------------------------------------------------

    def curve_points(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Points of every curve in table order: id -> (mass_flow_kg_s, dp_pa)."""
        ids = self.curves["id"]
        return {
            str(identifier): (
                self.curves["mass_flow_kg_s"][ids == identifier],
                self.curves["dp_pa"][ids == identifier],
            )
            for identifier in dict.fromkeys(ids)
        }

    def changed(self, **columns: Any) -> Network:
        """A new checked network with whole columns replaced, named `<table>_<column>`; this one stays."""
        tables: dict[str, dict[str, Any]] = {t: dict(self.tables[t]) for t in SCHEMA}
        for key, values in columns.items():
            table, _, column = key.partition("_")
            if table not in SCHEMA or column not in SCHEMA[table]:
                raise BadNetwork(
                    key, "no such column", "Columns are named <table>_<column>.", "unknown_column"
                )
            tables[table][column] = values
        return Network(tables, fluid=self.fluid, name=self.name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return (
            self.fluid == other.fluid
            and self.name == other.name
            and all(
                self.tables[t].rows == other.tables[t].rows
                and np.array_equal(
                    self.tables[t][c], other.tables[t][c], equal_nan=self.tables[t][c].dtype.kind == "f"
                )
                for t, spec in SCHEMA.items()
                for c in spec
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows = ", ".join(f"{t.rows} {name}" for name, t in self.tables.items() if t.rows)
        return f"<Network {self.name or 'unnamed'}: {rows or 'empty'}>"

    # -- files ----------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | Path) -> Network:
        """Read a network file: toplovod-network/1 JSON, GeoJSON, EPANET .inp or pandapipes JSON.

        The format is told by the content (`.inp` by its name). Raises BadNetwork and OSError.
        """
        from .formats import read_network

        return read_network(Path(path))

    def write(self, path: str | Path) -> None:
        """Write the network: `.inp`, `.geojson`, `.pandapipes.json`, else toplovod-network/1 JSON.

        The last, and GeoJSON, lose nothing. Formats that cannot hold an element refuse it by name; no file is
        left half written.
        """
        from .formats import write_network

        write_network(self, Path(path))
