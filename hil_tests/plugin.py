"""pytest fixtures of the bench: `bench` and what it needs, for this project's tests and for others'.

It imports nothing of the bench until a test asks for one, because it is loaded by every pytest run of
an environment that has the product installed. It refuses to pretend: a test that needs what the target
cannot do is skipped under the name of what is missing.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .bench.station import Bench

# What the emulated controllers (the unix VM in lockstep) can do.
CAPABILITIES = frozenset(
    {"clock.virtual", "power.cut", "bus.tcp", "bus.rtu", "plant", "entropy.seeded", "heap.measured"}
)
TARGET = "the emulated VM"

_REPORT = pytest.StashKey[pytest.TestReport]()


def pytest_configure(config: pytest.Config) -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and so would every process of a test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "needs(capability): skipped, by that name, on a target that cannot do it"
    )
    config.addinivalue_line(
        "markers", "street(houses=1, seed=1, heap='192k', tick_ms=2000, rtu=False): the bench a test gets"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for capability in mark.args:
            if capability not in CAPABILITIES:
                pytest.skip(f"needs {capability}, which {TARGET} has not")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
        bench = getattr(item, "funcargs", {}).get("bench")
        if report.failed and bench is not None:
            for controller in bench.controllers:
                text = bench.fleet.console(controller.position)
                report.sections.append((f"console of {controller.name}", text))
    return report


@pytest.fixture(scope="session")
def firmware_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped bundle, built once by `toplovod build`."""
    from .bench.provisioning import firmware_bundle as build

    return build(tmp_path_factory.mktemp("firmware") / "bundle")


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, firmware_bundle: Path) -> Iterator[Bench]:
    """A street with its plant; controllers start at the test's word. Configured by `street`."""
    from .bench.station import Bench

    options: dict[str, Any] = {}
    for mark in request.node.iter_markers("street"):
        options = {**mark.kwargs, **options}
    with Bench(tmp_path, bundle=firmware_bundle, **options) as made:
        yield made
