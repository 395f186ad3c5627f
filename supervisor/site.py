"""Read the site file: which substations and pump stations there are, where, and within which limits.

Every mistake in the file is found in one pass and named with its line, what is wrong and what to write
instead. This module refuses to guess: an unknown key, an unreachable node or a limit outside the
register's range is a mistake, never a silent default. It never writes to a device.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from firmware.substation import registers

from .errors import NotFound, Refused
from .field.character import PARITIES

FORMAT = "toplovod-site/1"
TRANSPORTS = ("tcp", "rtu-over-tcp", "rtu")
MODBUS_PORT = 502
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
HEX_ID = re.compile(r"[0-9a-f]{16}")

LEASE_OF = {lease.setpoint: lease for lease in registers.LEASES}


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing wrong in a site file; line counts from 1, 0 means the whole file."""

    line: int
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.what}. {self.remedy}{'' if self.remedy.endswith('?') else '.'}"


class SiteMistakes(Refused):
    """A site file that cannot be used; `mistakes` holds all of them, in the order of their lines."""

    def __init__(self, path: Path, mistakes: Iterable[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(sorted(mistakes))
        count = len(self.mistakes)
        text = "\n".join(f"  {path.name} {mistake}" for mistake in self.mistakes)
        super().__init__(
            "site_mistakes",
            f"{count} mistake{'s' if count != 1 else ''} in {path.name}; nothing was started:\n{text}",
            mistakes=[{"line": m.line, "what": m.what, "remedy": m.remedy} for m in self.mistakes],
        )


@dataclass(frozen=True)
class Area:
    """A part of the town that roles, coordinator modes and alarm groups are bound to."""

    id: str
    name: str


@dataclass(frozen=True)
class Device:
    """One controller as the site file describes it.

    `address` is HOST:PORT, or a serial port for transport rtu (then host is that port and port is 0).
    `limits` maps names of CONFIG registers to engineering values; `node` and `return_node` are ids of the
    network; `deficit_budget_kh` is in kelvin-hours below the own curve per 24 h.
    """

    id: str
    name: str
    transport: str
    host: str
    port: int
    unit: int
    profile: str
    node: str
    area: str
    priority: int = 1
    x_m: float = 0.0
    y_m: float = 0.0
    limits: Mapping[str, float] = field(default_factory=dict)
    deficit_budget_kh: float = 0.0
    return_node: str = ""
    source: str = ""
    device_id: str = ""
    baudrate: int = 19200
    parity: str = "even"
    tls: bool = False
    line: int = 0

    @property
    def address(self) -> str:
        """Return HOST:PORT for people and for the site file, or the serial port."""
        if self.transport == "rtu":
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def assigned(self) -> bool:
        """Say whether the address can be reached: port 0 stands for "filled in later"."""
        return self.transport == "rtu" or self.port != 0

    @property
    def setpoints(self) -> tuple[str, ...]:
        """Return the names of the setpoints this profile knows."""
        rows = registers.BY_PROFILE[self.profile]
        return tuple(r.name for r in rows if r.access == registers.SETPOINT)

    def setpoint_range(self, point: str) -> tuple[float, float]:
        """Return the lowest and highest value the site allows, in the point's unit.

        Raises NotFound for a point that is no setpoint of this profile.
        """
        if point not in self.setpoints:
            raise NotFound(
                "unknown_setpoint",
                f"{self.id} has no setpoint {point!r}; it has {', '.join(self.setpoints)}. Nothing was sent.",
            )
        register = registers.BY_NAME[point]
        low, high = float(register.low), float(register.high)
        lease = LEASE_OF[point]
        low = max(low, self.limits.get(lease.low_limit, low))
        high = min(high, self.limits.get(lease.high_limit, high))
        return low, high


Substation = Device
Station = Device


@dataclass(frozen=True)
class Polling:
    """Cycles of the poller in seconds."""

    cycle_s: float = 10.0
    fast_s: float = 2.0
    slow_s: float = 900.0


@dataclass(frozen=True)
class Site:
    """A town as configured: immutable, loaded once at start."""

    name: str
    path: Path
    areas: tuple[Area, ...]
    substations: tuple[Device, ...]
    stations: tuple[Device, ...]
    network_path: Path | None = None
    weather_path: Path | None = None
    timezone: str = "UTC"
    synthetic: bool = False
    design_outdoor_temp_c: float | None = None
    polling: Polling = field(default_factory=Polling)
    coordinator: Mapping[str, Any] = field(default_factory=dict)
    alarms: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | str) -> Site:
        """Read a site file. Raises SiteMistakes with every mistake in it."""
        return _Reader(Path(path)).site()

    @property
    def devices(self) -> tuple[Device, ...]:
        """Return all controllers, substations first, in the order of the file."""
        return self.substations + self.stations

    def device(self, device_id: str) -> Device:
        """Return one controller by its site id. Raises NotFound."""
        device = self._by_id.get(device_id)
        if device is None:
            raise NotFound(
                "unknown_device", f"{device_id!r} is not in {self.path.name}; nothing was sent or changed."
            )
        return device

    @cached_property
    def _by_id(self) -> dict[str, Device]:
        return {device.id: device for device in self.devices}

    def area(self, area_id: str) -> Area:
        """Return one area by its id. Raises NotFound."""
        for area in self.areas:
            if area.id == area_id:
                return area
        raise NotFound("unknown_area", f"{area_id!r} is no area of {self.path.name}; nothing was changed.")

    def to_toml(self) -> str:
        """Return the text of a site file that loads to this site; paths relative to its folder."""
        lines = ["[site]", f'format = "{FORMAT}"', f"name = {_text(self.name)}"]
        lines.append(f"timezone = {_text(self.timezone)}")
        for key, file in (("network", self.network_path), ("weather", self.weather_path)):
            if file is not None:
                lines.append(f"{key} = {_text(_relative(file, self.path.parent))}")
        lines.append(f"synthetic = {str(self.synthetic).lower()}")
        if self.design_outdoor_temp_c is not None:
            lines.append(f"design_outdoor_temp_c = {self.design_outdoor_temp_c!r}")
        if self.polling != Polling():
            lines += ["", "[poll]"]
            lines += [f"{key} = {getattr(self.polling, key)!r}" for key in ("cycle_s", "fast_s", "slow_s")]
        for area in self.areas:
            lines += ["", "[[area]]", f"id = {_text(area.id)}", f"name = {_text(area.name)}"]
        for table, devices in (("pump_station", self.stations), ("substation", self.substations)):
            for device in devices:
                lines += ["", f"[[{table}]]", *_device_lines(device)]
        for table, content in (("coordinator", self.coordinator), ("alarms", self.alarms)):
            if content:
                lines += ["", f"[{table}]", *(f"{key} = {_value(v)}" for key, v in content.items())]
        return "\n".join(lines) + "\n"


def device_fields(device: Device) -> dict[str, Any]:
    """Return the keys a site file gives this device, in the file's order, without defaults that are empty."""
    fields: dict[str, Any] = {
        "id": device.id,
        "name": device.name,
        "transport": device.transport,
        "address": device.address,
        "unit": device.unit,
        "profile": device.profile,
        "node": device.node,
        "return_node": device.return_node,
        "source": device.source,
        "area": device.area,
        "priority": device.priority,
        "x_m": device.x_m,
        "y_m": device.y_m,
        "deficit_budget_kh": device.deficit_budget_kh,
        "device_id": device.device_id,
        "limits": dict(device.limits),
    }
    if device.transport == "rtu":
        fields["baudrate"] = device.baudrate
        fields["parity"] = device.parity
    if device.tls:
        fields["tls"] = True
    optional = ("return_node", "source", "device_id", "limits", "deficit_budget_kh")
    return {key: value for key, value in fields.items() if value or key not in optional}


def _device_lines(device: Device) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in device_fields(device).items()]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key if _bare(key) else _text(key)} = {_value(v)}" for key, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return repr(value)


def _bare(key: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]+", key) is not None


def _relative(file: Path, folder: Path) -> str:
    try:
        return file.relative_to(folder).as_posix()
    except ValueError:
        return file.as_posix()


class _Lines:
    """Finds the line of a table or key, because tomllib keeps none."""

    _HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
    _KEY = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*(\.\s*[^=]+)?=")

    def __init__(self, text: str) -> None:
        self._table: dict[tuple[str, int], int] = {}
        self._key: dict[tuple[str, int, str], int] = {}
        counts: dict[str, int] = {}
        table, index, inside = "", 0, ""
        depth = 0
        fence = ""
        for number, line in enumerate(text.splitlines(), 1):
            if fence:  # inside a multi-line string
                if fence in line:
                    fence = ""
                continue
            if depth == 0:
                if header := self._HEADER.match(line):
                    name = header.group(2).strip()
                    table, _, inside = name.partition(".")
                    if header.group(1) == "[[" and not inside:
                        counts[table] = counts.get(table, -1) + 1
                    index = counts.get(table, 0)
                    if inside:
                        self._key.setdefault((table, index, inside.split(".")[0].strip()), number)
                    else:
                        self._table[table, index] = number
                    continue
                if key := self._KEY.match(line):
                    name = inside or key.group(1).strip("\"'")
                    self._key.setdefault((table, index, name), number)
            bare = re.sub(r"\"(\\.|[^\"\\])*\"|'[^']*'", "", line)
            for mark in ('"""', "'''"):
                if line.count(mark) % 2:
                    fence = mark
            bare = bare.split("#", 1)[0]
            if "=" in bare or depth:
                value = bare.split("=", 1)[1] if depth == 0 else bare
                depth = max(0, depth + value.count("[") - value.count("]"))

    def of(self, table: str, index: int = 0, key: str = "") -> int:
        """Return the line of the key, else of its table, else 0."""
        return self._key.get((table, index, key)) or self._table.get((table, index), 0)


_SITE_KEYS = ("format", "name", "timezone", "network", "weather", "synthetic", "design_outdoor_temp_c")
_POLL_KEYS = {"cycle_s": (2.0, 3600.0), "fast_s": (1.0, 60.0), "slow_s": (60.0, 86400.0)}
_AREA_KEYS = ("id", "name")
_DEVICE_KEYS = (
    "id", "name", "transport", "address", "unit", "profile", "node", "return_node", "source", "area",
    "priority", "x_m", "y_m", "deficit_budget_kh", "limits", "device_id", "baudrate", "parity", "tls",
)  # fmt: skip
_TABLES = ("site", "poll", "area", "pump_station", "substation", "coordinator", "alarms")


class _Reader:
    """One pass over one file; collects mistakes instead of stopping at the first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
        except OSError as error:
            raise SiteMistakes(
                path, [Mistake(0, f"cannot be read: {error.strerror}", "Check its path and rights")]
            ) from error
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            raise SiteMistakes(
                path, [Mistake(line, "this is not UTF-8 text", "Save the file as UTF-8")]
            ) from error
        self.lines = _Lines(text)
        try:
            self.document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            line = int(found.group(1)) if found else text.count("\n") + 1
            what = re.sub(r"\s*\(at [^)]*\)", "", str(error))
            raise SiteMistakes(
                path, [Mistake(line, f"this is not TOML: {what}", "Check quotes, brackets and commas there")]
            ) from error

    def site(self) -> Site:
        self._tables()
        head = self._head()
        polling = self._polling()
        areas = self._areas()
        stations = self._devices("pump_station", registers.PUMP_STATION, areas)
        substations = self._devices("substation", registers.SUBSTATION, areas)
        self._unique(stations + substations)
        if not stations and not substations and not self.mistakes:
            self._wrong(
                0, "there is no [[substation]] and no [[pump_station]]", "Add at least one controller"
            )
        self._alarms()
        self._coordinator()
        network = self._file("network")
        weather = self._file("weather")
        if network is not None:
            self._nodes(network, stations + substations)
        if self.mistakes:
            raise SiteMistakes(self.path, self.mistakes)
        return Site(
            name=head["name"],
            path=self.path,
            areas=areas,
            substations=substations,
            stations=stations,
            network_path=network,
            weather_path=weather,
            timezone=head["timezone"],
            synthetic=head["synthetic"],
            design_outdoor_temp_c=head["design_outdoor_temp_c"],
            polling=polling,
            coordinator=self.document.get("coordinator", {}),
            alarms=self.document.get("alarms", {}),
        )

    # -- mistakes ----------------------------------------------------------------------------------
    def _wrong(self, line: int, what: str, remedy: str) -> None:
        self.mistakes.append(Mistake(line, what, remedy))

    def _unknown_keys(self, content: Mapping[str, Any], known: Iterable[str], table: str, index: int) -> None:
        known = list(known)
        for key in content:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                remedy = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}"
                self._wrong(self.lines.of(table, index, key), f"unknown key {key!r} in [{table}]", remedy)

    # -- parts -------------------------------------------------------------------------------------
    def _tables(self) -> None:
        for name, content in self.document.items():
            if name not in _TABLES:
                near = difflib.get_close_matches(name, _TABLES, n=1)
                remedy = f"Did you mean {near[0]!r}?" if near else f"Known tables: {', '.join(_TABLES)}"
                kind = "table" if isinstance(content, (dict, list)) else "key"
                line = self.lines.of(name) or self.lines.of("", 0, name)
                self._wrong(line, f"unknown {kind} {name!r}", remedy)
        for name in ("area", "pump_station", "substation"):
            content = self.document.get(name, [])
            if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
                self._wrong(self.lines.of(name), f"{name} is not a list of tables", f"Write [[{name}]]")
                self.document[name] = []
        for name in ("site", "poll", "coordinator", "alarms"):
            if not isinstance(self.document.get(name, {}), dict):
                self._wrong(self.lines.of(name), f"{name} is not a table", f"Write [{name}]")
                self.document[name] = {}

    def _head(self) -> dict[str, Any]:
        head = self.document.get("site")
        if head is None:
            self._wrong(0, "the table [site] is missing", 'Begin with [site] and name = "…"')
            head = {}
        self._unknown_keys(head, _SITE_KEYS, "site", 0)
        if head.get("format", FORMAT) != FORMAT:
            self._wrong(
                self.lines.of("site", 0, "format"),
                f"format {head['format']!r} is not known here",
                f'Write format = "{FORMAT}", or use the toplovod that wrote this file',
            )
        timezone = self._string(head, "site", 0, "timezone", default="UTC")
        try:
            ZoneInfo(timezone)
        except (ValueError, OSError, KeyError):
            self._wrong(
                self.lines.of("site", 0, "timezone"),
                f"timezone {timezone!r} is not in the time zone database",
                'Write a name such as "Europe/Ljubljana"',
            )
        synthetic = head.get("synthetic", False)
        if not isinstance(synthetic, bool):
            self._wrong(
                self.lines.of("site", 0, "synthetic"), "synthetic is not true or false", "Write true or false"
            )
        outdoor = None
        if "design_outdoor_temp_c" in head:
            outdoor = self._number(head, "site", 0, "design_outdoor_temp_c", -60, 20)
        return {
            "name": self._string(head, "site", 0, "name"),
            "timezone": timezone,
            "synthetic": bool(synthetic),
            "design_outdoor_temp_c": outdoor,
        }

    def _polling(self) -> Polling:
        content = self.document.get("poll", {})
        self._unknown_keys(content, _POLL_KEYS, "poll", 0)
        values = {}
        for key, (low, high) in _POLL_KEYS.items():
            default = getattr(Polling(), key)
            values[key] = self._number(content, "poll", 0, key, low, high, default=default)
        if not values["fast_s"] <= values["cycle_s"] <= values["slow_s"]:
            self._wrong(
                self.lines.of("poll"),
                "the cycles are not fast_s <= cycle_s <= slow_s",
                "Put them in that order",
            )
        return Polling(**values)

    def _alarms(self) -> None:
        from .alarms.records import records_of  # the alarms know their keys, and build on this module

        for key, value in self.document.get("alarms", {}).items():
            try:
                records_of({key: value})
            except Refused as refusal:
                what, _, remedy = refusal.message.partition(". Nothing was started. ")
                what = what.removeprefix("[alarms] of the site file: ")
                self._wrong(self.lines.of("alarms", 0, key), f"[alarms] {what}", remedy.rstrip("."))

    def _coordinator(self) -> None:
        if not self.document.get("coordinator"):
            return
        from .coordinator.coordinator import settings_of

        for key, value in self.document["coordinator"].items():
            try:
                settings_of({key: value})
            except Refused as refusal:
                what = refusal.message.removeprefix("[coordinator] of the site file: ")
                what = what.removesuffix(". Nothing was started.")
                remedy = "Correct it, or leave the key out for its default"
                self._wrong(self.lines.of("coordinator", 0, key), f"[coordinator] {what}", remedy)

    def _areas(self) -> tuple[Area, ...]:
        areas: list[Area] = []
        for index, row in enumerate(self.document.get("area", [])):
            self._unknown_keys(row, _AREA_KEYS, "area", index)
            area_id = self._id(row, "area", index)
            if area_id and any(area.id == area_id for area in areas):
                self._wrong(
                    self.lines.of("area", index, "id"), f"area {area_id!r} stands here twice", "Rename one"
                )
            areas.append(Area(area_id, self._string(row, "area", index, "name", default=area_id)))
        if not areas:
            self._wrong(
                0, "there is no [[area]]", "Add one, for example id = 'town'; roles are given per area"
            )
        return tuple(areas)

    def _devices(self, table: str, profile: str, areas: tuple[Area, ...]) -> tuple[Device, ...]:
        return tuple(
            self._device(row, table, index, profile, areas)
            for index, row in enumerate(self.document.get(table, []))
        )

    def _device(
        self, row: dict[str, Any], table: str, index: int, default_profile: str, areas: tuple[Area, ...]
    ) -> Device:
        def at(key: str) -> int:
            return self.lines.of(table, index, key)

        self._unknown_keys(row, _DEVICE_KEYS, table, index)
        device_id = self._id(row, table, index)
        transport = self._string(row, table, index, "transport", default="tcp")
        if transport not in TRANSPORTS:
            self._wrong(
                at("transport"),
                f"transport {transport!r} is not known",
                f"Write one of {', '.join(TRANSPORTS)}",
            )
        parity = self._string(row, table, index, "parity", default="even")
        if parity not in PARITIES:
            self._wrong(
                at("parity"), f"parity {parity!r} is not known", f"Write one of {', '.join(PARITIES)}"
            )
        address = self._string(row, table, index, "address")
        host, port = self._address(address, transport, at("address"))
        profile = self._string(row, table, index, "profile", default=default_profile)
        if profile != default_profile:
            self._wrong(
                at("profile"),
                f"profile {profile!r} does not belong in [[{table}]]",
                f"Write profile = {default_profile!r}, or move the controller to its own table",
            )
            profile = default_profile
        area = self._string(row, table, index, "area")
        known = list(dict.fromkeys(known.id for known in areas))
        if area and area not in known:
            near = difflib.get_close_matches(area, known, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Areas here: {', '.join(known) or 'none'}"
            self._wrong(at("area"), f"area {area!r} is not declared", remedy)
        pinned = self._string(row, table, index, "device_id", default="")
        if pinned and not HEX_ID.fullmatch(pinned):
            self._wrong(
                at("device_id"),
                f"device_id {pinned!r} is not 16 hexadecimal digits in lower case",
                "Copy it from the label or from toplovod read",
            )
        budget = registers.BY_NAME["deficit_budget_kh"]
        tls = row.get("tls", False)
        if not isinstance(tls, bool) or (tls and transport != "tcp"):
            self._wrong(
                at("tls"),
                f"tls = {tls!r} with transport {transport!r} is not possible",
                "Write tls = true for a controller with transport tcp and its tls_port as the address, or "
                "leave it out",
            )
            tls = False
        return Device(
            id=device_id,
            name=self._string(row, table, index, "name", default=device_id),
            transport=transport,
            host=host,
            port=port,
            unit=int(self._number(row, table, index, "unit", 1, 255, default=1, whole=True)),
            profile=profile,
            node=self._string(row, table, index, "node", default=""),
            area=area,
            priority=int(self._number(row, table, index, "priority", 1, 9, default=1, whole=True)),
            x_m=self._number(row, table, index, "x_m", -1e6, 1e6, default=0.0),
            y_m=self._number(row, table, index, "y_m", -1e6, 1e6, default=0.0),
            limits=self._limits(row, table, index, profile),
            deficit_budget_kh=self._number(
                row, table, index, "deficit_budget_kh", budget.low, budget.high, default=0.0
            ),
            return_node=self._string(row, table, index, "return_node", default=""),
            source=self._string(row, table, index, "source", default=""),
            device_id=pinned,
            baudrate=int(self._number(row, table, index, "baudrate", 300, 921600, default=19200, whole=True)),
            parity=parity,
            tls=tls,
            line=self.lines.of(table, index),
        )

    def _limits(self, row: dict[str, Any], table: str, index: int, profile: str) -> dict[str, float]:
        content = row.get("limits", {})
        line = self.lines.of(table, index, "limits")
        if not isinstance(content, dict):
            self._wrong(line, "limits is not a table", "Write limits = { register_name = value }")
            return {}
        rows = {r.name: r for r in registers.BY_PROFILE[profile] if r.access == registers.CONFIG}
        limits: dict[str, float] = {}
        for name, value in content.items():
            register = rows.get(name)
            if register is None:
                near = difflib.get_close_matches(name, list(rows), n=1)
                remedy = f"Did you mean {near[0]!r}?" if near else f"Known limits: {', '.join(rows)}"
                self._wrong(line, f"limit {name!r} is no engineering value of a {profile}", remedy)
            elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                self._wrong(line, f"limit {name} = {value!r} is not a number", "Write a number")
            elif not register.low <= value <= register.high:
                self._wrong(
                    line,
                    f"limit {name} = {value:g} is outside {register.low:g} to {register.high:g}",
                    "Write a value the controller accepts, see docs/registers.md",
                )
            else:
                limits[name] = float(value)
        for low_name, high_name in ((lease.low_limit, lease.high_limit) for lease in registers.LEASES):
            if low_name in limits and high_name in limits and limits[low_name] >= limits[high_name]:
                self._wrong(
                    line,
                    f"{low_name} = {limits[low_name]:g} is not below {high_name} = {limits[high_name]:g}",
                    "Swap or correct them",
                )
        return limits

    def _unique(self, devices: tuple[Device, ...]) -> None:
        ids: dict[str, int] = {}
        addresses: dict[tuple[str, int], Device] = {}
        pinned: dict[str, Device] = {}
        lines: dict[str, Device] = {}
        for device in devices:
            if device.id and device.id in ids:
                self._wrong(
                    device.line,
                    f"id {device.id!r} is used on line {ids[device.id]} too",
                    "Rename one of them",
                )
            ids.setdefault(device.id, device.line)
            if device.assigned and device.host:
                other = addresses.setdefault((device.address, device.unit), device)
                if other is not device:
                    self._wrong(
                        device.line,
                        f"{device.id}: {device.address} unit {device.unit} belongs to {other.id} "
                        f"(line {other.line}) too",
                        "Give each controller its own address or unit",
                    )
            if device.transport == "rtu":
                first = lines.setdefault(device.host, device)
                if (first.baudrate, first.parity) != (device.baudrate, device.parity):
                    self._wrong(
                        device.line,
                        f"{device.id}: {device.baudrate} Bd, parity {device.parity}, where {first.id} on "
                        f"the same {device.host} (line {first.line}) has {first.baudrate} Bd, {first.parity}",
                        "Controllers on one line speak alike: write the same baudrate and parity",
                    )
            if device.device_id:
                other = pinned.setdefault(device.device_id, device)
                if other is not device:
                    self._wrong(
                        device.line,
                        f"{device.id}: device_id {device.device_id} belongs to {other.id} too "
                        f"(line {other.line})",
                        "Copy the identity of this controller from its label",
                    )

    def _file(self, key: str) -> Path | None:
        head = self.document.get("site", {})
        if key not in head:
            return None
        name = self._string(head, "site", 0, key)
        if not name:
            return None
        file = self.path.parent / name
        if not file.is_file():
            self._wrong(
                self.lines.of("site", 0, key),
                f"{key} file {name!r} is not there",
                f"Put it beside {self.path.name}",
            )
            return None
        return file

    def _nodes(self, network: Path, devices: tuple[Device, ...]) -> None:
        from core_ext import BadNetwork, Network  # half a second: only where a site has a network

        line = self.lines.of("site", 0, "network")
        try:
            nodes = [str(node) for node in Network.read(network).nodes["id"]]
        except BadNetwork as error:
            what = f"network file {network.name!r}: {error.element}: {error.reason}"
            self._wrong(line, what, error.remedy.rstrip("."))
            return
        except (OSError, ValueError) as error:
            self._wrong(line, f"network file {network.name!r} cannot be read: {error}", "Write it again")
            return
        for device in devices:
            for key in ("node", "return_node"):
                node = getattr(device, key)
                if node and node not in nodes:
                    near = difflib.get_close_matches(node, nodes, n=1)
                    remedy = f"Did you mean {near[0]!r}?" if near else f"Take an id from {network.name}"
                    table = "substation" if device.profile == registers.SUBSTATION else "pump_station"
                    index = [d.line for d in devices if d.profile == device.profile].index(device.line)
                    self._wrong(
                        self.lines.of(table, index, key),
                        f"{device.id}: {key} {node!r} is not in {network.name}",
                        remedy,
                    )

    # -- values ------------------------------------------------------------------------------------
    def _id(self, row: dict[str, Any], table: str, index: int) -> str:
        value = self._string(row, table, index, "id")
        if value and not ID_PATTERN.fullmatch(value):
            self._wrong(
                self.lines.of(table, index, "id"),
                f"id {value!r} has characters that ids may not have",
                "Use up to 40 lower-case letters, digits and hyphens, for example 'house-01'",
            )
        return value

    def _string(
        self, row: Mapping[str, Any], table: str, index: int, key: str, default: str | None = None
    ) -> str:
        if key not in row:
            if default is None:
                self._wrong(
                    self.lines.of(table, index), f"[{table}] has no {key}", f'Add a line {key} = "…" to it'
                )
                return ""
            return default
        value = row[key]
        if not isinstance(value, str):
            self._wrong(
                self.lines.of(table, index, key), f"{key} = {value!r} is not a text", "Write it in quotes"
            )
            return default or ""
        if not value.strip() and (default is None or key == "name"):
            self._wrong(self.lines.of(table, index, key), f"{key} is empty", "Write it out")
            return default or ""
        return value

    def _number(
        self,
        row: Mapping[str, Any],
        table: str,
        index: int,
        key: str,
        low: float,
        high: float,
        *,
        default: float = math.nan,
        whole: bool = False,
    ) -> float:
        value = row.get(key, default)
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            kind = "a whole number" if whole else "a number"
            self._wrong(
                self.lines.of(table, index, key),
                f"{key} = {value!r} is not {kind}",
                f"Write {kind}, no quotes",
            )
            return low if math.isnan(default) else default
        if not low <= value <= high:
            self._wrong(
                self.lines.of(table, index, key),
                f"{key} = {value:g} is outside {low:g} to {high:g}",
                "Write a value inside",
            )
            return low if math.isnan(default) else default
        return float(value) if not whole else value

    def _address(self, address: str, transport: str, line: int) -> tuple[str, int]:
        if not address or transport == "rtu":
            return address, 0
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", address)
        if found is None or int(found.group(2) or 0) > 65535:
            self._wrong(
                line,
                f"address {address!r} is not HOST:PORT",
                "Write for example '10.0.3.17:502' or '[fd00::17]:502'",
            )
            return "", 0
        port = MODBUS_PORT if found.group(2) is None else int(found.group(2))
        return found.group(1).strip("[]"), port
