"""JUnit of any run of the bench: suites of cases, for the machines that read nothing else.

A limit that was not kept is a failure, what the bench could not judge is an error. It refuses to let a run
that was broken off look whole: that is an error of its own.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .report import Check, replace_file

FILE = "junit.xml"


@dataclass(frozen=True)
class Case:
    """One testcase; at most one of failure, error and skipped says something."""

    classname: str
    name: str
    failure: str = ""
    error: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Suite:
    """Cases that belong together. time_s: of this machine, None where nobody took it."""

    name: str
    cases: Sequence[Case]
    time_s: float | None = None


def case_of(classname: str, check: Check) -> Case:
    """Return a judgement as a case."""
    said = ""
    if not check.passed:
        wanted = f"{check.relation} {check.limit:g} {check.unit}"
        said = f"measured {check.value}, limit {wanted}; {check.source}"
    return Case(classname, check.name, failure=said)


def broken_off(classname: str, why: str) -> Case:
    """Return the case that says that the run is not whole."""
    return Case(classname, "the run is whole", error=f"broken off: {why}")


def write_checks(folder: Path, name: str, checks: Sequence[Check], not_whole: str = "") -> Path:
    """Write the junit.xml of a run with one list of checks; not_whole: why it is partial, "" for whole."""
    cases = [case_of(name, check) for check in checks]
    if not_whole:
        cases.append(broken_off(name, not_whole))
    return write(folder, name, [Suite(name, cases)])


def write(folder: Path, name: str, suites: Sequence[Suite]) -> Path:
    """Write junit.xml into folder, whole or not at all, and return its path."""
    root = ET.Element("testsuites", name=name)
    for suite in suites:
        counts = {
            "tests": len(suite.cases),
            "failures": sum(bool(case.failure) for case in suite.cases),
            "errors": sum(bool(case.error) for case in suite.cases),
            "skipped": sum(bool(case.skipped) for case in suite.cases),
        }
        numbers = {name: str(count) for name, count in counts.items()}
        element = ET.SubElement(root, "testsuite", {"name": suite.name, **numbers})
        if suite.time_s is not None:
            element.set("time", f"{suite.time_s:.1f}")
        for case in suite.cases:
            row = ET.SubElement(element, "testcase", classname=case.classname, name=case.name)
            for kind in ("failure", "error", "skipped"):
                if said := getattr(case, kind):
                    ET.SubElement(row, kind, message=said)
    ET.indent(root)
    path = folder / FILE
    replace_file(path, ET.tostring(root, encoding="utf-8", xml_declaration=True).decode() + "\n")
    return path
