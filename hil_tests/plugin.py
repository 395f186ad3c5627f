"""pytest fixtures of the bench, for this project's tests and for others'.

`target` is one controller with the hands around it: `power`, `console`, `bus`, `io`, `clock`, `controller`.
It is an emulated VM unless --bench-target names another. `bench` is a street of VMs with its plant. They run
the shipped firmware unless --bench-bundle names another bundle.

It imports nothing of the bench until a test asks for one, because it is loaded by every pytest run of
an environment that has the product installed. It refuses to pretend: a test that needs what the target
cannot do is skipped under the name of what is missing, and a run record names the gap.
"""

from __future__ import annotations

import shlex
import signal
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .bench.controller import Controller
    from .bench.station import Bench
    from .bench.target import IO, Bus, Clock, Console, Power, Target
    from .run_record import RunRecord
    from .run_record_page import RecordPage

VM, EMULATED = "vm", "emulated"
_RECORD: pytest.StashKey[RunRecord] = pytest.StashKey()
_PAGE: pytest.StashKey[RecordPage] = pytest.StashKey()
_UNUSABLE = pytest.StashKey[tuple[str, int]]()
_RUN_ID = pytest.StashKey[str]()
_BUNDLE = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("toplovod", "controllers on the bench")
    group.addoption(
        "--bench-target", default=None, metavar="TARGET",
        help="vm (the default), emulated, board:/dev/ttyACM0, board:10.0.3.17, or a name of the bench file",
    )  # fmt: skip
    group.addoption(
        "--bench-file",
        type=Path,
        default=None,
        metavar="YAML",
        help="the boards of a laboratory: docs/bench.md",
    )
    group.addoption(
        "--bench-bundle",
        type=Path,
        default=None,
        metavar="DIR",
        help="the firmware that emulated controllers run, from `toplovod build`; shipped when left out",
    )
    group.addoption(
        "--bench-record", type=Path, default=None, metavar="JSON",
        help="write the run record, and its page as .html beside it: docs/bench.md",
    )  # fmt: skip


def _option(config: pytest.Config, name: str) -> Any:
    """Return an option; None where the plugin was loaded by conftest.py, after the command line was read."""
    return config.getoption(name, default=None)


def pytest_configure(config: pytest.Config) -> None:
    # A shell lets what it starts in the background ignore Ctrl-C, and so would every process of a test.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for marker in (
        "needs(capability): skipped, by that name, on a target that cannot do it",
        "street(houses=1, seed=1, heap='192k', tick_ms=2000, rtu=False): the bench a test gets",
        "on_targets(name, ...): runs on each, unless the command line names one",
    ):
        config.addinivalue_line("markers", marker)
    config.stash[_RUN_ID] = uuid.uuid4().hex[:12]
    spec = _option(config, "--bench-target")
    record = _option(config, "--bench-record")
    if spec or record:
        # asked to end by anybody, it ends its boards and keeps its record, as with Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if spec not in (None, VM, EMULATED):
        from .bench.errors import WrongUse
        from .bench_file import wiring_of

        try:
            wiring_of(spec, _option(config, "--bench-file"))
        except WrongUse as error:
            raise pytest.UsageError(f"{error.code}: {error}") from None
    bundle = _option(config, "--bench-bundle")
    if bundle is not None:
        config.stash[_BUNDLE] = _checked(Path(bundle), spec)
    if record is not None and not hasattr(config, "workerinput"):
        from .bench.errors import WrongUse
        from .run_record import RunRecord
        from .run_record_page import RecordPage

        try:
            command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
            config.stash[_RECORD] = made = RunRecord(record, config.stash[_RUN_ID], command)
            config.stash[_PAGE] = RecordPage(made)
            if _BUNDLE in config.stash:
                made.of_bundle(_digest(config.stash[_BUNDLE]), given=True)
        except WrongUse as error:
            raise pytest.UsageError(f"{error.code}: {error}") from None


def _checked(bundle: Path, spec: str | None) -> Path:
    from .bench.errors import WrongUse
    from .bench.provisioning import checked_bundle

    if spec not in (None, VM, EMULATED):
        raise pytest.UsageError(
            f"{WrongUse.code}: --bench-bundle {bundle}: {spec} runs what was flashed on it; nothing was run. "
            "Flash the bundle with toplovod flash, and leave the option out"
        )
    try:
        return checked_bundle(bundle.resolve())
    except WrongUse as error:
        raise pytest.UsageError(f"{error.code}: --bench-bundle: {error}") from None


def _digest(bundle: Path) -> str:
    from .bench.provisioning import firmware_sha256

    return firmware_sha256(bundle)


def pytest_report_header(config: pytest.Config) -> str | None:
    if _BUNDLE not in config.stash:
        return None
    bundle = config.stash[_BUNDLE]
    return f"bench bundle: {_digest(bundle)} in {bundle}, not the shipped one"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("on_targets")
    if mark is not None and _option(metafunc.config, "--bench-target") is None:
        metafunc.parametrize("target", mark.args, indirect=True, scope="function")


def _spec(item: pytest.Item) -> str:
    """Return the target that this test runs on."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "target" in callspec.params:
        return str(callspec.params["target"])
    if "bench" in getattr(item, "fixturenames", ()):
        return VM
    return _option(item.config, "--bench-target") or VM


def _capabilities(spec: str, bench_file: Path | None) -> tuple[str, frozenset[str]]:
    if spec == VM:
        from .bench.vm_target import NAME as vm_name
        from .bench.vm_target import VM_CAPABILITIES

        return vm_name, VM_CAPABILITIES
    if spec == EMULATED:
        from .bench.emulated_target import EMULATED_CAPABILITIES
        from .bench.emulated_target import NAME as board_name

        return board_name, EMULATED_CAPABILITIES
    from .bench_file import wiring_of

    wiring = wiring_of(spec, bench_file)
    return wiring.label, wiring.capabilities


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = [capability for mark in item.iter_markers("needs") for capability in mark.args]
    asked = _option(item.config, "--bench-target")
    if "bench" in getattr(item, "fixturenames", ()) and asked not in (None, VM):
        item.user_properties.append(("gap", "plant"))
        pytest.skip(f"needs plant, which {asked} has not")
    if not needed:
        return
    from .bench.target import CAPABILITIES

    name, able = _capabilities(_spec(item), _option(item.config, "--bench-file"))
    for capability in needed:
        if capability not in CAPABILITIES:
            pytest.fail(
                f"needs({capability!r}): there is no such capability. Known: {', '.join(CAPABILITIES)}"
            )
        if capability not in able:
            item.user_properties.append(("gap", capability))
            pytest.skip(f"needs {capability}, which {name} has not")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        bench = getattr(item, "funcargs", {}).get("bench")
        if report.failed and bench is not None:
            for controller in bench.controllers:
                text = bench.fleet.console(controller.position)
                report.sections.append((f"console of {controller.name}", text))
    return report


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    config = _Session.config
    if config is None:
        return
    record, page = config.stash.get(_RECORD, None), config.stash.get(_PAGE, None)
    if record is None or page is None or (report.when != "call" and report.passed):
        return
    properties = dict(report.user_properties)
    outcome = report.outcome if report.when == "call" or report.skipped else "error"
    why = "" if report.passed else report.longreprtext
    if report.skipped and isinstance(report.longrepr, tuple):
        why = report.longrepr[2]
    record.add(report.nodeid, outcome, report.duration, properties, why)
    page.update()


class _Session:
    """pytest tells a report without its session."""

    config: pytest.Config | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    _Session.config = session.config


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    record = session.config.stash.get(_RECORD, None)
    _Session.config = None
    why, status = session.config.stash.get(_UNUSABLE, ("", 0))
    if status:
        session.exitstatus = status
    if record is None:
        return
    if not why and exitstatus == pytest.ExitCode.INTERRUPTED:
        why = "interrupted"
    elif not why and exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        why = f"pytest ended with {int(exitstatus)}"
    elif not why and (session.shouldstop or session.shouldfail):
        why = str(session.shouldstop or session.shouldfail)
    record.finish(why)
    session.config.stash[_PAGE].update(at_once=True)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    record = config.stash.get(_RECORD, None)
    if record is None:
        return
    from .run_record import evidence

    terminalreporter.section("run record")
    for capability, tests in record.content["gaps"].items():
        terminalreporter.line(f"gap: {capability}, {len(tests)} tests not run")
    if _BUNDLE in config.stash:
        terminalreporter.line(f"not the shipped firmware: bundle {record.content['bundle']['sha256']}")
    terminalreporter.line(f"{record.path}: {evidence(record.content)}")
    terminalreporter.line(f"page: {config.stash[_PAGE].path}")


@pytest.fixture(scope="session")
def firmware_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle under test: that of --bench-bundle, else the shipped one, built once by `toplovod build`."""
    config = request.config
    if _BUNDLE in config.stash:
        given = config.stash[_BUNDLE]
        if config.pluginmanager.hasplugin("junitxml"):
            request.getfixturevalue("record_testsuite_property")("bench_bundle_sha256", _digest(given))
        return given
    from .bench.provisioning import firmware_bundle as build

    made = build(tmp_path_factory.mktemp("firmware") / "bundle")
    if _RECORD in config.stash:
        config.stash[_RECORD].of_bundle(_digest(made), given=False)
    return made


def _street(request: pytest.FixtureRequest) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for mark in request.node.iter_markers("street"):
        options = {**mark.kwargs, **options}
    return options


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, firmware_bundle: Path) -> Iterator[Bench]:
    """A street with its plant; controllers start at the test's word. Configured by `street`."""
    from .bench.station import Bench

    with Bench(tmp_path, bundle=firmware_bundle, **_street(request)) as made:
        yield made


class _Boards:
    """The boards that this session has opened; each stays open until the session ends."""

    def __init__(self, config: pytest.Config, folders: pytest.TempPathFactory) -> None:
        self._config = config
        self._folders = folders
        self._open: dict[str, Any] = {}

    def get(self, spec: str, request: pytest.FixtureRequest) -> Any:
        if spec not in self._open:
            from .bench.errors import BenchError

            try:
                self._open[spec] = self._opened(spec, request)
            except BenchError as error:
                # every other test would say the same; nothing is left running
                why = f"{error.code}: {error}"
                self._config.stash[_UNUSABLE] = (why, getattr(error, "exit_status", 1))
                request.session.shouldstop = why
                pytest.fail(why, pytrace=False)
        return self._open[spec]

    def _opened(self, spec: str, request: pytest.FixtureRequest) -> Any:
        if spec == EMULATED:
            from .bench.emulated_target import EmulatedBoard

            return EmulatedBoard(self._folders.mktemp("board"), request.getfixturevalue("firmware_bundle"))
        from .bench.board_target import BoardTarget
        from .bench_file import wiring_of

        return BoardTarget(wiring_of(spec, _option(self._config, "--bench-file")))

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


@pytest.fixture(scope="session")
def _boards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Boards]:
    made = _Boards(request.config, tmp_path_factory)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    """One controller under power, with its terminals as they are wired, and the hands around it."""
    run_id = f"{request.config.stash[_RUN_ID]}-{uuid.uuid4().hex[:6]}"
    spec = _spec(request.node)
    if spec == VM:
        from .bench.station import Bench
        from .bench.vm_target import VmTarget

        options = _street(request)
        needed = {capability for mark in request.node.iter_markers("needs") for capability in mark.args}
        if "bus.slow" in needed:
            from .bench.slow_wire import TICK_MS

            options = {"tick_ms": TICK_MS, **options}
        if "bus.rtu" in needed:
            from .bench.emulation import RTU_TICK_MS

            options = {"rtu": True, "tick_ms": RTU_TICK_MS, **options}
        with Bench(tmp_path, bundle=request.getfixturevalue("firmware_bundle"), **options) as bench:
            vm = VmTarget(bench)
            try:
                vm.begin(run_id)
                request.node.user_properties.append(("target", vm.describe()))
                yield vm
            finally:
                vm.close()
        return
    board = request.getfixturevalue("_boards").get(spec, request)
    board.begin(run_id)
    request.node.user_properties.append(("target", board.describe()))
    yield board
    board.io.restore()


@pytest.fixture
def power(target: Target) -> Power:
    """The supply of `target`."""
    return target.power


@pytest.fixture
def console(target: Target) -> Console:
    """What `target` prints, and its REPL."""
    return target.console


@pytest.fixture
def bus(target: Target) -> Bus:
    """The ways to the Modbus of `target`."""
    return target.bus


@pytest.fixture
def io(target: Target) -> IO:
    """The terminals of `target`."""
    return target.io


@pytest.fixture
def clock(target: Target) -> Clock:
    """The time that `target` goes by."""
    return target.clock


@pytest.fixture
def controller(target: Target) -> Controller:
    """The controller of `target` as the world sees it: registers by name, signed orders."""
    return target.controller
