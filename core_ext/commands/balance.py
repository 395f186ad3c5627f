"""`toplovod balance`: valves, flow limits, heads and supply temperature that serve every consumer."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .. import svg_plot
from ..balancing import OBJECTIVES, Balance, balanced_network
from ..formats import network_text, write_whole
from ..network import FloatArray, Network
from ..pressure_path import path_to
from ..solver import HydraulicSolver
from .arguments import (
    VACUUM_BAR,
    ForceOption,
    FrictionOption,
    JsonOption,
    NetworkFile,
    PlotOption,
    RowsOption,
    check_out,
    check_picture,
    per_row,
    solver_of,
)
from .balance_words import print_balance, source_heat_w, source_power_w, verdict
from .printing import FAILED, certificate_body, explained, print_json, say

BAR = 1e5
Objective = StrEnum("Objective", {name: name for name in OBJECTIVES})  # type: ignore[misc]


def _values(text: str, whose: str) -> Any:
    return typer.Option(metavar=f"[{whose}=]VALUE", help=text)


Values = list[str] | None


def balance(
    network: NetworkFile,
    objective: Annotated[
        Objective | None,
        typer.Option(
            help="keep: heads keep their differences; power: least pump power; cost, co2: merit order of the "
            "plants. Default: cost where several plants all have one, else keep."
        ),
    ] = None,
    min_dp_bar: Annotated[
        Values, _values("Least dp at a consumer, bar; default from the file.", "CONSUMER")
    ] = None,
    kvs_m3_h: Annotated[Values, _values("The fully open valve, m3/h: shows openings.", "CONSUMER")] = None,
    max_flow_kg_s: Annotated[
        Values, _values("Most flow of a consumer, kg/s; default from the file.", "CONSUMER")
    ] = None,
    priority: Annotated[
        Values, _values("Who is curtailed last: 1 first; default from the file.", "CONSUMER")
    ] = None,
    max_dp_bar: Annotated[Values, _values("Most head of a source, bar.", "SOURCE")] = None,
    max_heat_kw: Annotated[
        Values, _values("Most heat of a source, kW; default from the file.", "SOURCE")
    ] = None,
    max_source_flow_kg_s: Annotated[Values, _values("Most flow of a source, kg/s.", "SOURCE")] = None,
    pump_efficiency: Annotated[
        Values, _values("Share of a source's electric power that lifts water, above 0 to 1.", "SOURCE")
    ] = None,
    pump_max_dp_bar: Annotated[Values, _values("Most gain of a pump, bar.", "PUMP")] = None,
    max_pressure_bar: Annotated[
        Values, _values("Highest gauge pressure at a node (PN), bar.", "NODE")
    ] = None,
    min_pressure_bar: Annotated[
        Values, _values("Lowest gauge pressure at a node (static minimum), bar.", "NODE")
    ] = None,
    boiling_margin_bar: Annotated[
        float | None, typer.Option(min=0.0, help="Every node stays this far above boiling, bar.")
    ] = None,
    supply_temp_c: Annotated[
        float | None,
        typer.Option(help="Supply temperature, degC; flows then follow from the file's heat_w."),
    ] = None,
    return_temp_c: Annotated[
        float | None,
        typer.Option(help="Return temperature, degC; flows then follow from the file's heat_w."),
    ] = None,
    min_supply_temp_c: Annotated[
        Values, _values("Choose the supply temperature: what a consumer needs at least, degC.", "CONSUMER")
    ] = None,
    max_supply_temp_c: Annotated[
        Values, _values("What a consumer bears at most, degC; default 150.", "CONSUMER")
    ] = None,
    ground_temp_c: Annotated[
        float | None, typer.Option(help="Ground around the pipes, degC, for that choice.")
    ] = None,
    electricity_per_mwh: Annotated[
        float | None, typer.Option(min=0.0, help="Price of electricity, for that choice.")
    ] = None,
    heat_per_mwh: Annotated[
        float | None, typer.Option(min=0.0, help="Price of heat, for that choice.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the network with the settings found: valves, heads, pumps."),
    ] = None,
    force: ForceOption = False,
    friction: FrictionOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    rows: RowsOption = 20,
) -> None:
    """Balance NETWORK: kv and flow limit per consumer, head of the sources, index consumer.

    [ID=]VALUE: a value for all, or for one; give the option again for others. When not everybody can get
    all, the smallest share is made as large as possible within each priority, and what stands in the way is
    named with the value of relieving it.
    Exit status: 0 every consumer gets its target, 1 some are curtailed, a node leaves its pressure limits or
    there is no solution, 2 wrong use or a bad network.
    """
    check_picture(plot)
    if max_supply_temp_c and not min_supply_temp_c:
        raise typer.BadParameter("needs --min-supply-temp-c as well", param_hint="--max-supply-temp-c")
    if min_supply_temp_c and supply_temp_c is not None:
        raise typer.BadParameter("give the temperature or have it chosen", param_hint="--supply-temp-c")
    with explained(json):
        if out is not None:
            check_out(out, force, network)
        net = Network.read(network)
        consumers, sources = net.consumers, net.sources
        nan = math.nan
        targets: dict[str, Any] = {
            "min_dp_pa": per_row("--min-dp-bar", min_dp_bar or (), consumers, consumers["min_dp_pa"], BAR),
            "max_flow_kg_s": per_row(
                "--max-flow-kg-s", max_flow_kg_s or (), consumers, consumers["max_flow_kg_s"]
            ),
            "priority": per_row("--priority", priority or (), consumers, consumers["priority"]),
            "min_supply_temp_c": per_row("--min-supply-temp-c", min_supply_temp_c or (), consumers, nan),
            "max_supply_temp_c": per_row("--max-supply-temp-c", max_supply_temp_c or (), consumers, 150.0),
            "supply_temp_c": supply_temp_c,
            "return_temp_c": return_temp_c,
        }
        if supply_temp_c is not None or return_temp_c is not None:
            targets["heat_w"] = consumers["heat_w"]
        limits: dict[str, Any] = {
            "max_dp_pa": per_row("--max-dp-bar", max_dp_bar or (), sources, nan, BAR),
            "max_heat_w": per_row("--max-heat-kw", max_heat_kw or (), sources, sources["max_heat_w"], 1e3),
            "max_flow_kg_s": per_row("--max-source-flow-kg-s", max_source_flow_kg_s or (), sources, nan),
            "pump_efficiency": per_row("--pump-efficiency", pump_efficiency or (), sources, 1.0),
            "pump_max_dp_pa": per_row("--pump-max-dp-bar", pump_max_dp_bar or (), net.pumps, nan, BAR),
            "kvs_m3_h": per_row("--kvs-m3-h", kvs_m3_h or (), consumers, nan),
            "max_pressure_pa": per_row(
                "--max-pressure-bar", max_pressure_bar or (), net.nodes, nan, BAR, VACUUM_BAR
            ),
            "min_pressure_pa": per_row(
                "--min-pressure-bar", min_pressure_bar or (), net.nodes, nan, BAR, VACUUM_BAR
            ),
            "boiling_margin_pa": None if boiling_margin_bar is None else boiling_margin_bar * BAR,
            "ground_temp_c": ground_temp_c,
            "electricity_per_mwh": electricity_per_mwh,
            "heat_per_mwh": heat_per_mwh,
        }
        targets = {key: value for key, value in targets.items() if value is not None}
        limits = {key: value for key, value in limits.items() if value is not None}
        solver = solver_of(net, friction)
        found = solver.balance(targets, limits, None if objective is None else str(objective.value))
        texts: dict[Path, str] = {}
        if plot is not None:
            highest = limits.get("max_pressure_pa", np.full(net.nodes.rows, nan))
            texts[plot] = _picture(net, solver, found, network.name, highest)
        if out is not None:
            texts[out] = network_text(_with_settings(net, found, supply_temp_c, return_temp_c), out)
        write_whole(texts)
    efficiency = limits.get("pump_efficiency", np.ones(sources.rows))
    heat = source_heat_w(net, found, return_temp_c)
    if json:
        print_json(_document(net, str(network), solver, found, heat, efficiency))
    else:
        print_balance(net, solver, found, heat, efficiency, rows)
        if out is not None:
            say(f"{out}: the network with these settings")
    if not found.feasible:
        raise typer.Exit(FAILED)


def _with_settings(
    net: Network, found: Balance, supply_temp_c: float | None, return_temp_c: float | None
) -> Network:
    """The network as balanced, at the temperatures that were chosen or asked for, if any."""
    temp = found.supply_temp_c if math.isfinite(found.supply_temp_c) else supply_temp_c
    temps: dict[str, FloatArray] = {}
    if temp is not None:
        temps["consumers_supply_temp_c"] = np.full(net.consumers.rows, temp)
        temps["sources_supply_temp_c"] = np.full(net.sources.rows, temp)
    if return_temp_c is not None:
        temps["consumers_return_temp_c"] = np.full(net.consumers.rows, return_temp_c)
    # balanced first: a consumer in mode "heat" would not bear one of the two without the other
    return balanced_network(net, found).changed(**temps)


def _picture(net: Network, solver: HydraulicSolver, found: Balance, name: str, highest_pa: FloatArray) -> str:
    path = None
    if found.index_consumer:
        path = path_to(net, found.result, net.consumers.row(found.index_consumer), solver.fluid)
    margin = np.where(found.mass_flow_kg_s > 0.0, found.dp_margin_pa, math.nan)
    lowest_limit = math.nan
    if path is not None:
        # the limit of a node elsewhere says nothing about the pressures that are drawn
        shown = highest_pa[[net.nodes.row(node) for node in (*path.supply.nodes, *path.back.nodes)]]
        lowest_limit = float(np.nanmin(shown)) if np.isfinite(shown).any() else math.nan
    title = f"{net.name or name}, balanced"
    return svg_plot.picture(net, path, margin, title, verdict(net, found), lowest_limit)


def _document(
    net: Network,
    name: str,
    solver: HydraulicSolver,
    found: Balance,
    heat_w: FloatArray,
    efficiency: FloatArray,
) -> dict[str, Any]:
    power = source_power_w(found, solver.fluid.density_kg_m3)
    return {
        "format": "toplovod-balance/1",
        "network": net.name or name,
        "feasible": found.feasible,
        "verdict": verdict(net, found),
        "index_consumer": found.index_consumer,
        "pump_power_w": found.pump_power_w,
        "electric_power_w": found.electric_power_w,
        "method": found.method,
        "supply_temp_c": found.supply_temp_c,
        "static_shift_pa": found.static_shift_pa,
        "fraction_bound": found.fraction_bound,
        "obstacles": [{"consumer": o.consumer, "limit": o.limit, "code": o.code} for o in found.obstacles],
        "relief": [
            {
                "element": r.element,
                "limit": r.limit,
                "value": r.value,
                "fraction_per_unit": r.fraction_per_unit,
                "heat_w_per_unit": r.heat_w_per_unit,
            }
            for r in found.relief
        ],
        "consumers": {
            "id": net.consumers.ids,
            "kv_m3_h": found.kv_m3_h,
            "opening": found.opening,
            "flow_limit_kg_s": found.flow_limit_kg_s,
            "mass_flow_kg_s": found.mass_flow_kg_s,
            "dp_pa": found.dp_pa,
            "dp_margin_pa": found.dp_margin_pa,
            "delivered_fraction": found.delivered_fraction,
            "heat_w": found.heat_w,
        },
        "sources": {
            "id": net.sources.ids,
            "dp_pa": found.source_dp_pa,
            "mass_flow_kg_s": found.source_mass_flow_kg_s,
            "supply_temp_c": found.source_supply_temp_c,
            "heat_w": heat_w,
            "pump_power_w": power,
            "electric_power_w": power / efficiency,
        },
        "pumps": {
            "id": net.pumps.ids,
            "dp_pa": found.pump_dp_pa,
            "speed": found.pump_speed,
            "fixed_dp_pa": found.pump_fixed_dp_pa,
        },
        "certificate": certificate_body(found.result),
    }
