"""EPANET's input files, read and solved here and by EPANET 2.3 live: every flow to 1e-8 of the largest.

Net1 to Net3 are the examples that the US EPA gives away with EPANET, in the public domain; they lie in
`networks`. More are compared where a package that has some is installed (wntr, epyt).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from ..network import BadNetwork, Network

if sys.version_info >= (3, 13):
    pytest.skip("owa-epanet has wheels up to Python 3.12 only", allow_module_level=True)

from ..bench.epanet_files import AGREES, CONTRADICTS, EPANET_FAILS, NEAR, REFUSED, compare, main

SHIPPED = sorted((Path(__file__).parent / "networks").glob("*.inp"))
LARGEST_BYTES = 60_000  # of files found in packages, so that one takes a second at most

TOWN = """
[JUNCTIONS]
J1 10 2.0
J2 12 1.5
J3 11 1.0 day
J4 11 0.3
J5 9 0.1
[RESERVOIRS]
R1 60
[TANKS]
T1 50 8 0 10 15 0
T2 40 3 0 9 15 0
[PIPES]
P1 R1 J1 500 200 0.1 0
P2 J1 J2 300 150 0.1 2.5 Open
P3 J2 T1 200 150 0.1 0 CV
P4 J1 J3 400 100 0.1 0 Closed
P5 J4 J5 100 100 0.1 0
P6 J5 T2 150 80 0.2 1.0
[PUMPS]
U1 J2 J3 HEAD C1 SPEED 0.9
[VALVES]
V1 J3 J4 100 TCV 8 0
V2 J1 J4 100 FCV 2.4 1.5
[CURVES]
C1 5 20
C3 0 25
C3 4 20
C3 9 6
C4 0 25
C4 2 24
C4 5 19
C4 9 6
G 0 0
G 3 4
G 9 30
[PATTERNS]
1    1.0 0.2 0.7
day  0.5 3.0 1.5
pump 0.8 1.1
[CONTROLS]
LINK P4 OPEN IF NODE T1 ABOVE 7
LINK U1 CLOSED AT TIME 6
[TIMES]
DURATION 24
PATTERN TIMESTEP 2:00
PATTERN START 0
START CLOCKTIME 6 am
[OPTIONS]
UNITS LPS
HEADLOSS D-W
SPECIFIC GRAVITY 0.98
VISCOSITY 0.9
[END]
"""
VARIANTS = {
    "as it is": (),
    "Hazen-Williams": (("HEADLOSS D-W", "HEADLOSS H-W"), (" 0.1 ", " 120 "), (" 0.2 1.0", " 90 1.0")),
    "US units": (
        ("UNITS LPS", "UNITS GPM"), ("R1 60", "R1 200"), ("SPECIFIC GRAVITY 0.98", "SPECIFIC GRAVITY 1.1"),
        ("200 0.1", "8 .3"), ("150 0.1", "6 .3"), ("100 0.1", "4 .3"), ("80 0.2", "3 .3"), ("J4 100", "J4 4"),
    ),
    "MLD": (("UNITS LPS", "UNITS MLD"), ("[CURVES]\nC1 5 20", "[CURVES]\nC1 0.5 20"), ("FCV 2.4", "FCV .2")),
    "pattern start": (("PATTERN START 0", "PATTERN START 3:59"),),
    "pattern start in minutes": (("PATTERN START 0", "PATTERN START 120 min"),),
    "clock control acts": (("U1 CLOSED AT TIME 6", "U1 CLOSED AT CLOCKTIME 6:00 AM"),),
    "clock control does not": (("U1 CLOSED AT TIME 6", "U1 CLOSED AT CLOCKTIME 6 PM"),),
    "control at no time": (("U1 CLOSED AT TIME 6", "U1 CLOSED AT TIME 0:00"),),
    "status opens": (("[TIMES]", "[STATUS]\nU1 Open\nP6 Closed\n[TIMES]"),),
    "status sets a speed": (("[TIMES]", "[STATUS]\nU1 1.2\nV1 3\nV2 Open\n[TIMES]"),),
    "speed pattern": (("SPEED 0.9", "PATTERN pump"), ("PATTERN START 0", "PATTERN START 2")),
    "speed pattern over status": (("SPEED 0.9", "PATTERN pump"), ("[TIMES]", "[STATUS]\nU1 0\n[TIMES]")),
    "three points": (("HEAD C1", "HEAD C3"),),
    "four points": (("HEAD C1", "HEAD C4"),),
    "full tank": (("T2 40 3 0 9", "T2 10 9 0 9"),),
    "full tank gives": (("T2 40 3 0 9", "T2 60 9 0 9"),),
    "full tank overflows": (("T2 40 3 0 9 15 0", "T2 10 9 0 9 15 0 * YES"),),
    "empty tank": (("T2 40 3 0 9", "T2 80 0 0 9"),),
    "empty tank takes": (("T2 40 3 0 9", "T2 10 0 0 9"),),
    "full tank at a check valve": (("T1 50 8 0 10", "T1 10 10 0 10"),),
    "full tank before a pump": (("U1 J2 J3", "U1 J3 T2"), ("T2 40 3 0 9", "T2 10 9 0 9")),
    "empty tank behind a pump": (("U1 J2 J3", "U1 T2 J3"), ("T2 40 3 0 9", "T2 10 0 0 9")),
    "loss curve": (("TCV 8 0", "GPV G 0"),),
    "reducing": (("TCV 8 0", "PRV 20 0.5"),),
    "reducing in kPa": (("TCV 8 0", "PRV 200 0.5"), ("HEADLOSS D-W", "HEADLOSS D-W\nPRESSURE KPA")),
    "reducing, open": (("TCV 8 0", "PRV 90 0"),),
    "sustaining": (("TCV 8 0", "PSV 52 0.5"),),
    "flow limit without loss": (("FCV 2.4 1.5", "FCV 200 0"),),
    "pressure exponent": (("HEADLOSS D-W", "HEADLOSS D-W\nPRESSURE EXPONENT 0.6"),),
}  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_examples_agree(path: Path) -> None:
    found = compare(path)
    # Net3 has closed links, which EPANET lets 1e-8 of its head through
    assert found.outcome == (NEAR if path.stem == "Net3" else AGREES), found.words


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_rule_at_time_zero(variant: str, tmp_path: Path) -> None:
    text = TOWN
    for old, new in VARIANTS[variant]:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "town.inp"
    path.write_text(text)
    found = compare(path)
    assert found.outcome in (AGREES, NEAR), found.words
    # what EPANET lets through closed links is less than this of the flows here
    assert found.difference <= 1e-5, found.words


def test_variants_differ(tmp_path: Path) -> None:
    """Each rule matters: no two variants give the same network."""
    nets = []
    for changes in VARIANTS.values():
        text = TOWN
        for old, new in changes:
            text = text.replace(old, new)
        path = tmp_path / "town.inp"
        path.write_text(text)
        nets.append(Network.read(path))
    alike = {
        (a, b) for i, a in enumerate(VARIANTS) for j, b in enumerate(VARIANTS) if i < j and nets[i] == nets[j]
    }
    assert alike == {
        ("as it is", "clock control does not"),
        ("as it is", "pressure exponent"),
        ("clock control does not", "pressure exponent"),
        ("pattern start", "pattern start in minutes"),
        ("clock control acts", "control at no time"),
    }


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("PATTERN START 0", "PATTERN START soon", "not_a_time"),
        ("PATTERN START 0", "PATTERN START 1 fortnight", "not_a_time"),
        ("START CLOCKTIME 6 am", "START CLOCKTIME 13 pm", "not_a_time"),
        ("PATTERN TIMESTEP 2:00", "PATTERN TIMESTEP 0", "not_positive"),
        ("[TIMES]", "[STATUS]\nP1 P2 Closed\n[TIMES]", "bad_inp"),
        ("AT TIME 6", "AT TIME never", "not_a_time"),
    ],
)
def test_times_and_ranges_are_refused_by_line(old: str, new: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "town.inp"
    path.write_text(TOWN.replace(old, new))
    with pytest.raises(BadNetwork) as caught:
        Network.read(path)
    assert caught.value.code == code


def test_demands_that_nothing_can_meet_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "town.inp"
    text = TOWN.replace("P1 R1 J1 500 200 0.1 0", "P1 J1 R1 500 200 0.1 0 CV")
    path.write_text(text.replace("T2 40 3 0 9", "T2 40 0 0 9"))
    assert compare(path).outcome == CONTRADICTS


def test_the_program_counts_and_fails_on_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.inp").write_text(TOWN.replace("FCV 2.4", "TCV 2.4"))
    (tmp_path / "refused.INP").write_text(TOWN.replace("TCV 8", "PBV 8"))
    assert main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "2 files: 1 agrees, 1 refused"
    assert "pbv_refused" in out
    monkeypatch.setattr("core_ext.bench.epanet_files.EPANET_CUBIC_FOOT_M3", 0.0283168)
    assert main([str(tmp_path)]) == 1


def in_packages() -> list[Path]:
    found: list[Path] = []
    for name in ("wntr", "epyt"):
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            found += sorted(Path(folder).rglob("*.inp"))
    return [path for path in found if path.stat().st_size <= LARGEST_BYTES]


@pytest.mark.skipif(not in_packages(), reason="neither wntr nor epyt, which have networks, is installed")
def test_networks_of_installed_packages_are_never_answered_differently() -> None:
    for path in in_packages():
        found = compare(path)
        assert found.outcome in (AGREES, NEAR, REFUSED, CONTRADICTS, EPANET_FAILS), (path, found.words)
