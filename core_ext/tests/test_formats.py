"""Files: lossless round trips, foreign formats at face value, refusals with line and name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandapipes
import pytest

from ..network import BadNetwork, Network
from ..solver import EPANET_GRAVITY_M_S2, HydraulicSolver
from .made_networks import WATER_75, district, looped_mesh
from .test_solver import check_certified

PANDAPIPES_FILES = Path(pandapipes.__file__).parent / "networks" / "network_files"

INP = """
[TITLE]
a small one ; with a comment
[JUNCTIONS]
J1  10  2.0
J2  12
J3  11  1.0  day
J4  11  0
[DEMANDS]
J2  1.5  day
[RESERVOIRS]
R1  60
[TANKS]
T1  50 8 0 10 15 0
[PIPES]
P1 R1 J1 500 200 0.1 0
P2 J1 J2 300 150 0.1 2.5 Open
P3 J2 T1 200 150 0.1 0 CV
P4 J1 J3 400 100 0.1 0 Closed
[PUMPS]
U1 J2 J3 HEAD C1 SPEED 0.9
[VALVES]
V1 J3 J4 100 TCV 8 0
V2 J1 J4 100 FCV 0.4 1.5
[CURVES]
C1 5 20
[PATTERNS]
1    1.0 9
day  0.5 9
[CONTROLS]
LINK P4 OPEN IF NODE T1 ABOVE 7
LINK U1 CLOSED AT TIME 6
[OPTIONS]
UNITS LPS
HEADLOSS D-W
VISCOSITY 1.0
SPECIFIC GRAVITY 0.98
DEMAND MULTIPLIER 2
[COORDINATES]
J1 3 4
[END]
"""


def full_network() -> Network:
    """Every table and kind, ids that need quoting, NaN wherever it is legal."""
    net = district(2)
    tables: dict[str, dict[str, Any]] = {name: dict(table) for name, table in net.tables.items()}
    tables["nodes"]["x_m"] = np.arange(net.nodes.rows) / 3.0
    tables["nodes"]["y_m"] = np.where(np.arange(net.nodes.rows) == 4, np.nan, 1.0 / 7.0)
    tables["curves"] = {
        "id": ["č", "č", "loss", "loss"],
        "mass_flow_kg_s": [0, 3, 0, 5],
        "dp_pa": [2e5, 1e5, 0, 1e4],
    }
    tables["pumps"] = {"id": ["pump 1"], "from_node": ["s0"], "to_node": ["s1"], "curve": ["č"]}
    tables["valves"] = {
        "id": ["t", "g", "f"],
        "from_node": ["s1", "s2", "s3"],
        "to_node": ["s2", "s3", "s4"],
        "kind": ["throttle", "curve", "flow_limit"],
        "kv_m3_h": [1.0 / 3.0, math.nan, 2.0],
        "curve": ["", "loss", ""],
        "setting": [math.nan, math.nan, 0.1],
        "opening": [0.7, 1.0, 1.0],
        "characteristic": ["equal-percentage", "linear", "linear"],
    }
    return Network(tables, fluid=WATER_75, name='town "Š"')


@pytest.mark.parametrize("suffix", [".json", ".geojson"])
@pytest.mark.parametrize("make", [full_network, Network, lambda: looped_mesh(1)])
def test_round_trip_loses_nothing(tmp_path: Path, suffix: str, make: object) -> None:
    net = make()  # type: ignore[operator]
    path = tmp_path / f"net{suffix}"
    net.write(path)
    assert Network.read(path) == net
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_inp_is_read_at_time_zero(tmp_path: Path) -> None:
    path = tmp_path / "n.INP"
    path.write_text(INP)
    net = Network.read(path)
    assert net.fluid is not None
    assert net.fluid.density_kg_m3 == 980.0
    assert net.fluid.gravity_m_s2 == EPANET_GRAVITY_M_S2
    assert net.fluid.viscosity_pa_s == pytest.approx(1.1e-5 * 0.3048**2 * 980.0, rel=1e-14)
    demand = dict(zip(net.nodes.ids, -net.nodes["mass_injection_kg_s"] * 1000 / 980.0, strict=True))
    assert demand["J1"] == pytest.approx(4.0)  # default pattern 1 and the multiplier
    assert demand["J2"] == pytest.approx(1.5)
    assert demand["J3"] == pytest.approx(1.0)
    assert net.nodes["fixed_pressure_pa"][net.nodes.row("T1")] == pytest.approx(980 * EPANET_GRAVITY_M_S2 * 8)
    assert net.nodes["fixed_pressure_pa"][net.nodes.row("R1")] == 0.0
    assert net.nodes["elevation_m"][net.nodes.row("R1")] == 60.0
    assert net.pipes["open"].tolist() == [True, True, True, True]  # the tank's level opens P4
    assert net.valves["kind"][net.valves.row("P3:check")] == "check"
    assert net.valves["loss_coefficient"][net.valves.row("V1")] == 8.0
    assert net.valves["setting"][net.valves.row("V2")] == pytest.approx(0.4 * 0.98, rel=1e-12)
    assert net.pumps["speed"][0] == 0.9
    assert net.curves["dp_pa"][0] == pytest.approx(980 * EPANET_GRAVITY_M_S2 * 20)
    check_certified(net, HydraulicSolver(net, friction="epanet").solve())


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("V1 J3 J4 100 TCV 8 0", "V1 J3 J4 100 PBV 8 0", "pbv_refused"),
        ("V1 J3 J4 100 TCV 8 0", "V1 J3 J4 100 XXV 8 0", "unknown_kind"),
        ("U1 J2 J3 HEAD C1 SPEED 0.9", "U1 J2 J3 POWER 5", "constant_power_refused"),
        ("HEADLOSS D-W", "HEADLOSS C-M", "friction_refused"),
        ("DEMAND MULTIPLIER 2", "DEMAND MODEL PDA", "pda_refused"),
        ("[COORDINATES]", "[EMITTERS]\nJ1 0.3\n[COORDINATES]", "emitter_refused"),
        ("P1 R1 J1 500", "P1 R1 J9 500", "unknown_node"),
        ("P1 R1 J1 500", "P1 R1 J1 x", "not_a_number"),
        ("P1 R1 J1 500", "P1 R1 J1 0", "not_positive"),
        ("IF NODE T1 ABOVE 7", "IF NODE J1 ABOVE 7", "control_refused"),
        ("[TANKS]", "[TANKERS]\n[BOATS]", "bad_inp"),
    ],
)
def test_inp_refuses_by_name(tmp_path: Path, old: str, new: str, code: str) -> None:
    path = tmp_path / "n.inp"
    path.write_text(INP.replace(old, new))
    with pytest.raises(BadNetwork) as caught:
        Network.read(path)
    assert caught.value.code == code


def test_hazen_williams_files_say_so(tmp_path: Path) -> None:
    path = tmp_path / "n.inp"
    path.write_text(INP.replace("HEADLOSS D-W", "HEADLOSS H-W").replace(" 0.1 ", " 120 "))
    net = Network.read(path)
    with pytest.raises(BadNetwork, match="hazen-williams"):
        HydraulicSolver(net)
    check_certified(net, HydraulicSolver(net, friction="hazen-williams").solve())


def test_written_inp_gives_the_same_hydraulics(tmp_path: Path) -> None:
    for net in (
        looped_mesh(3),
        district(3).changed(sources_dp_pa=[np.nan], sources_supply_pressure_pa=[6e5]),
    ):
        path = tmp_path / "n.inp"
        net.write(path)
        again = Network.read(path)
        ours = HydraulicSolver(net, friction="epanet").solve()
        theirs = HydraulicSolver(again, friction="epanet").solve()
        flow = ours.mass_flow_kg_s["pipes"]
        assert np.abs(theirs.mass_flow_kg_s["pipes"] - flow).max() <= 1e-9 * np.abs(flow).max()


def test_inp_refuses_what_epanet_lacks_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadNetwork) as caught:
        district(1).changed(sources_return_pressure_pa=[math.nan]).write(tmp_path / "n.inp")
    assert caught.value.element == "source plant"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "not_json"),
        ("[]", "unknown_format"),
        ('{"format": "toplovod-network/9"}', "unknown_format"),
        ('{"format": "toplovod-network/1"}', "missing_tables"),
        ('{"format": "toplovod-network/1", "tables": {}, "more": 1}', "unknown_key"),
        ('{"format": "toplovod-network/1", "tables": {"nodes": {"id": 3}}}', "not_a_list"),
        ('{"format": "toplovod-network/1", "tables": {}, "fluid": {"density_kg_m3": "x"}}', "bad_fluid"),
        (
            '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"id": "p"}, '
            '"geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}}]}',
            "open_end",
        ),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "n.json"
    path.write_text(text)
    with pytest.raises(BadNetwork) as caught:
        Network.read(path)
    assert caught.value.code == code


def test_plain_geojson_joins_pipes_at_their_ends(tmp_path: Path) -> None:
    def point(name: str, x: float) -> dict[str, object]:
        return {
            "type": "Feature",
            "properties": {"id": name},
            "geometry": {"type": "Point", "coordinates": [x, 0]},
        }

    line = {
        "type": "Feature",
        "properties": {"id": "p", "inner_diameter_m": 0.1},
        "geometry": {"type": "LineString", "coordinates": [[0, 0], [3, 4], [10, 0]]},
    }
    path = tmp_path / "n.geojson"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": [point("a", 0), point("b", 10), line]})
    )
    net = Network.read(path)
    assert (net.pipes["from_node"][0], net.pipes["to_node"][0]) == ("a", "b")
    assert net.pipes["length_m"][0] == pytest.approx(5.0 + math.hypot(7, 4))


def test_pandapipes_pumps_are_refused_by_name() -> None:
    root = PANDAPIPES_FILES / "openmodelica_test_networks" / "water_cases_colebrook"
    with pytest.raises(BadNetwork) as caught:
        Network.read(root / "meshed_networks" / "pumps.json")
    assert caught.value.code == "pump_refused"


def test_schutterwald_is_refused_as_shipped_and_solved_when_mended(tmp_path: Path) -> None:
    """Its source has pipes of no length and wrong diameters: 0.1 m and 0.1 m here, sized elsewhere."""
    shipped = PANDAPIPES_FILES / "sw_heat.json"
    with pytest.raises(BadNetwork) as caught:
        Network.read(shipped)
    assert caught.value.code == "not_positive"
    document = json.loads(shipped.read_text())
    frame = document["_object"]["pipe"]
    parts = json.loads(frame["_object"])
    length, inner = parts["columns"].index("length_km"), parts["columns"].index("diameter_m")
    for row in parts["data"]:
        row[length] = max(row[length], 1e-4)
        row[inner] = 0.1
    frame["_object"] = json.dumps(parts)
    path = tmp_path / "mended.json"
    path.write_text(json.dumps(document))
    net = Network.read(path)
    assert (net.nodes.rows, net.pipes.rows, net.consumers.rows) == (488, 482, 44)
    result = HydraulicSolver(net).solve()
    check_certified(net, result)
    assert result.certificate.islands == ()
    assert result.mass_flow_kg_s["sources"][0] == pytest.approx(
        net.consumers["mass_flow_kg_s"].sum(), rel=1e-9
    )
    found = HydraulicSolver(net).balance(targets={"min_dp_pa": 5e4})
    assert found.feasible
    assert found.dp_margin_pa.min() == pytest.approx(0.0, abs=1e-3)
