"""The supervisor's commands: serve, site, user, audit.

Each reads its arguments, calls one module and prints. It refuses to change a data folder that a running
server holds, and never shows or takes a password on the command line.
"""

from __future__ import annotations

import asyncio
import csv
import getpass
import io
import json as json_format
import logging
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import Refused
from .site import Area, Device, Site, SiteMistakes, device_fields

if TYPE_CHECKING:
    from .access import Access, User

app = typer.Typer(no_args_is_help=True)
site_app = typer.Typer(no_args_is_help=True, help="Check, start, exchange site files.")
user_app = typer.Typer(no_args_is_help=True, help="People who may log in.")
audit_app = typer.Typer(no_args_is_help=True, help="The record of everything ordered.")
app.add_typer(site_app, name="site")
app.add_typer(user_app, name="user")
app.add_typer(audit_app, name="audit")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
SitePath = Annotated[Path, typer.Argument(metavar="SITE", help="The site file, site.toml.")]
DataPath = Annotated[Path, typer.Option("--data", help="Folder of the databases and keys.")]
WitnessPath = Annotated[
    Path | None, typer.Option("--witness", help="Second path of the audit; DATA/witness when left out.")
]


class WrongUse(Refused):
    """Arguments that make no sense together; nothing was done."""

    exit_status = 2


class CheckFailed(Refused):
    """A check was done and did not pass."""

    exit_status = 1


# -- serve ---------------------------------------------------------------------------------------------


@app.command()
def serve(
    site: SitePath,
    data: DataPath = Path("data"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = chosen by the system.")] = 8710,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine only with TLS.")
    ] = "127.0.0.1",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    witness: WitnessPath = None,
    json: Json = False,
) -> None:
    """Poll, record, alarm and show the town of SITE until Ctrl-C or SIGTERM.

    Exit status: 0 ended on request, 1 a part failed, 2 wrong use: mistakes in the site file, port taken,
    data folder in use, no TLS beyond this machine.
    """
    import uvloop

    from .app import serve as answer
    from .clock import WallClock
    from .settings import Settings, bind
    from .station import Station

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings(data, host, port, tls_cert, tls_key, witness)
    settings.check()
    town = _load(site)
    listener = bind(host, port)
    bound = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"{'https' if settings.tls else 'http'}://{shown}:{bound}"

    async def run() -> None:
        station = Station(town, settings, WallClock())
        await station.start()

        def announce() -> None:
            facts = {
                "address": address,
                "site": town.name,
                "substations": len(town.substations),
                "stations": len(town.stations),
                "data": str(data),
                "people": len(station.access.users()),
            }
            if json:
                typer.echo(json_format.dumps(facts))
            else:
                typer.echo(f"{town.name}: {len(town.devices)} controllers, screens at {address}")
                if station.keys_missing:
                    typer.echo(f"No orders: {station.keys_missing}")
                if not facts["people"]:
                    typer.echo(
                        "Nobody can log in yet. Stop, then: toplovod user add NAME --role AREA=operator "
                        f"--site {site} --data {data}"
                    )
            sys.stdout.flush()

        try:
            await answer(station, listener, settings, when_up=announce)
        finally:
            await station.stop()

    uvloop.run(run())


# -- site ----------------------------------------------------------------------------------------------


@site_app.command("check")
def check(site: SitePath, json: Json = False) -> None:
    """Explain every mistake in SITE with its line and remedy. Exit status: 0 none, 1 mistakes."""
    try:
        town = Site.load(site)
    except SiteMistakes as mistakes:
        if json:
            typer.echo(
                json_format.dumps(
                    {"site": str(site), "passed": False, "mistakes": mistakes.facts["mistakes"]},
                    ensure_ascii=False,
                )
            )
        else:
            typer.echo(mistakes.message)
        raise typer.Exit(1) from None
    unassigned = sum(not device.assigned for device in town.devices)
    if json:
        typer.echo(
            json_format.dumps(
                {
                    "site": str(site),
                    "passed": True,
                    "mistakes": [],
                    "substations": len(town.substations),
                    "stations": len(town.stations),
                    "unassigned": unassigned,
                }
            )
        )
        return
    typer.echo(
        f"{town.name}: no mistakes, {len(town.substations)} substations, {len(town.stations)} pump stations, "
        f"{len(town.areas)} areas"
    )
    if unassigned:
        typer.echo(f"{unassigned} controllers have no address yet (port 0)")


@site_app.command("new")
def new(
    site: SitePath,
    name: Annotated[str, typer.Option(help="Name of the town.")] = "My town",
    force: Annotated[bool, typer.Option("--force", help="Overwrite SITE.")] = False,
) -> None:
    """Write a small site file to start from. Exit status: 0 written, 2 SITE is there already."""
    town = Site(
        name=name,
        path=site,
        areas=(Area("town", name),),
        substations=(
            Device(
                "house-01", "First house", "tcp", "192.0.2.11", 502, 1, "substation", "", "town",
                priority=2, deficit_budget_kh=30.0,
                limits={
                    "supply_temp_minimum_c": 20.0,
                    "supply_temp_maximum_c": 70.0,
                    "contract_flow_limit_m3_h": 1.2,
                },
            ),
        ),
        stations=(
            Device(
                "plant", "Heat plant and network pump", "tcp", "192.0.2.10", 502, 1, "pump_station", "",
                "town", limits={"plant_dp_minimum_bar": 0.4, "plant_dp_maximum_bar": 4.0},
            ),
        ),
    )  # fmt: skip
    _write(site, town.to_toml(), force)
    typer.echo(f"{site} written; check it with: toplovod site check {site}")


@site_app.command("export")
def export(
    site: SitePath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; standard output when left out.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write the controllers of SITE as a table, one row each. Exit status: 0 done, 2 wrong use."""
    town = _load(site)
    rows = [{"table": _table(device), **device_fields(device)} for device in town.devices]
    if form == "json":
        text = json_format.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    elif form == "csv":
        buffer = io.StringIO()
        columns = list(dict.fromkeys(key for row in rows for key in row if key != "limits"))
        limits = sorted({name for row in rows for name in row.get("limits", {})})
        writer = csv.DictWriter(buffer, [*columns, *(f"limits.{name}" for name in limits)])
        writer.writeheader()
        for row in rows:
            flat = {key: value for key, value in row.items() if key != "limits"}
            flat.update({f"limits.{name}": value for name, value in row.get("limits", {}).items()})
            writer.writerow(flat)
        text = buffer.getvalue()
    else:
        raise WrongUse("wrong_format", f"{form!r} is not csv or json; nothing was written.")
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text, force)


@site_app.command("import")
def import_(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or JSON as written by export.")],
    site: SitePath,
    base: Annotated[
        Path | None,
        typer.Option(help="Site file that gives name, areas and network; SITE itself when it exists."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite SITE.")] = False,
) -> None:
    """Write SITE with the controllers of TABLE. Nothing is written when a row has a mistake.

    Exit status: 0 written, 1 mistakes, 2 wrong use.
    """
    source = base or (site if site.exists() else None)
    rows = _rows(table)
    if source is not None:
        town = replace(_load(source), path=site)
    else:
        areas = dict.fromkeys(str(row.get("area", "town")) for row in rows)
        town = Site(site.stem, site, tuple(Area(area, area) for area in areas), (), ())
    head = replace(town, substations=(), stations=()).to_toml()
    tables = []
    for row in rows:
        kind = row.pop("table", "substation")
        tables.append(f"\n[[{kind}]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in row.items()))
    if site.exists() and not force:
        raise WrongUse(
            "file_exists", f"{site} is there already; nothing was written. Overwrite it with --force."
        )
    draft = site.with_name(site.name + ".import")
    _write(draft, head + "\n".join(tables) + "\n", force=True)
    try:
        checked = Site.load(draft)
    except SiteMistakes as mistakes:
        text = "\n".join(f"  {mistake}" for mistake in mistakes.mistakes)
        raise CheckFailed(
            "import_mistakes",
            f"{table} would make a site file with {_counted(len(mistakes.mistakes), 'mistake')}; "
            f"{site} was not changed. Lines are those of {draft}, kept for you:\n{text}",
        ) from mistakes
    draft.replace(site)
    typer.echo(
        f"{site} written: {len(checked.substations)} substations, {len(checked.stations)} pump stations"
    )


# -- people --------------------------------------------------------------------------------------------


Name = Annotated[str, typer.Argument(metavar="NAME", help="Who: 2 to 32 of a-z, 0-9, dot, dash.")]
Roles = Annotated[
    list[str],
    typer.Option("--role", help="AREA=viewer or AREA=operator; * for every area. Repeatable."),
]
PeopleSite = Annotated[Path, typer.Option("--site", help="The site file, for its areas.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
CONSOLE = "console"  # who did it, in the audit


@user_app.command("add")
def user_add(
    name: Name,
    role: Roles,
    site: PeopleSite,
    data: DataPath = Path("data"),
    witness: WitnessPath = None,
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Add a person to the data folder. The server must not be running.

    Exit status: 0 added, 1 refused, 2 wrong use.
    """
    roles = _roles(role)
    town = _load(site)
    password = _new_password(password_stdin)

    async def add(access: Access) -> Any:
        return await access.add_user(name, password, roles, by=CONSOLE)

    user = asyncio.run(_with_people(data, witness, town.areas, add))
    typer.echo(json_format.dumps(user.as_dict()) if json else f"{user.name} may log in: {_said(user)}")


@user_app.command("list")
def user_list(data: DataPath = Path("data"), witness: WitnessPath = None, json: Json = False) -> None:
    """Show everybody with their roles. The server must not be running. Exit status: 0 done, 2 wrong use."""
    _audit_file(data)  # a folder with people has one; a mistyped folder must not be made

    async def show(access: Access) -> Any:
        return access.users()

    users = asyncio.run(_with_people(data, witness, (), show))
    if json:
        typer.echo(json_format.dumps([user.as_dict() for user in users]))
        return
    for user in users:
        typer.echo(f"{user.name}: {_said(user)}")
    if not users:
        typer.echo("nobody")


@user_app.command("password")
def user_password(
    name: Name,
    data: DataPath = Path("data"),
    witness: WitnessPath = None,
    password_stdin: PasswordStdin = False,
    json: Json = False,
) -> None:
    """Give NAME a new password and end all sessions of that person. The server must not be running.

    Exit status: 0 changed, 1 refused, 2 wrong use.
    """
    _audit_file(data)
    password = _new_password(password_stdin)

    async def change(access: Access) -> Any:
        await access.set_password(name, password, by=CONSOLE)
        return access.user(name)

    user = asyncio.run(_with_people(data, witness, (), change))
    typer.echo(json_format.dumps(user.as_dict()) if json else f"{user.name} has a new password")


@user_app.command("roles")
def user_roles(
    name: Name,
    role: Roles,
    site: PeopleSite,
    data: DataPath = Path("data"),
    witness: WitnessPath = None,
    json: Json = False,
) -> None:
    """Give NAME these roles in place of the present ones. The server must not be running.

    Exit status: 0 changed, 1 refused, 2 wrong use.
    """
    _audit_file(data)
    roles = _roles(role)
    town = _load(site)

    async def change(access: Access) -> Any:
        return await access.set_roles(name, roles, by=CONSOLE)

    user = asyncio.run(_with_people(data, witness, town.areas, change))
    typer.echo(json_format.dumps(user.as_dict()) if json else f"{user.name}: {_said(user)}")


@user_app.command("disable")
def user_disable(
    name: Name, site: PeopleSite, data: DataPath = Path("data"), witness: WitnessPath = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Take NAME's access away and end all sessions of that person. The server must not be running.

    Exit status: 0 done, 1 refused: unknown, or the last operator of an area; 2 wrong use.
    """
    _switch(name, site, data, witness, json, disabled=True)


@user_app.command("enable")
def user_enable(
    name: Name, site: PeopleSite, data: DataPath = Path("data"), witness: WitnessPath = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Let NAME log in again. The server must not be running. Exit status: 0 done, 1 unknown, 2 wrong use."""
    _switch(name, site, data, witness, json, disabled=False)


def _switch(name: str, site: Path, data: Path, witness: Path | None, json: bool, *, disabled: bool) -> None:
    _audit_file(data)
    town = _load(site)

    async def switch(access: Access) -> Any:
        return await access.set_disabled(name, disabled, by=CONSOLE)

    user = asyncio.run(_with_people(data, witness, town.areas, switch))
    typer.echo(json_format.dumps(user.as_dict()) if json else f"{user.name}: {_said(user)}")


async def _with_people(
    data: Path, witness: Path | None, areas: Iterable[Area], do: Callable[[Access], Awaitable[Any]]
) -> Any:
    """Do something with the people of a data folder that no server holds, and close it again."""
    from .access import Access
    from .audit import Audit
    from .clock import WallClock
    from .settings import DataFolder
    from .state import open_state

    with DataFolder(data):
        audit = Audit(data, witness or data / "witness", WallClock())
        await audit.open()
        try:
            state = open_state(data)
            try:
                return await do(Access(state, audit, areas))
            finally:
                state.close()
        finally:
            await audit.close()


def _roles(given: list[str]) -> dict[str, str]:
    roles = {}
    for item in given:
        area, equals, kind = item.partition("=")
        if not equals:
            raise WrongUse("wrong_role", f"--role {item!r} is not AREA=ROLE; nothing was changed.")
        roles[area] = kind
    return roles


def _new_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would be echoed
            return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    except (getpass.GetPassWarning, EOFError) as error:
        typer.echo(err=True)  # ends the line of the prompt
        raise WrongUse(
            "no_terminal",
            "there is no terminal to ask for the password; nothing was changed. Give it on standard input "
            "with --password-stdin.",
        ) from error


def _said(user: User) -> str:
    roles = ", ".join(f"{area}={role}" for area, role in user.roles.items())
    return f"{roles}, disabled" if user.disabled else roles


# -- audit ---------------------------------------------------------------------------------------------


@audit_app.command("verify")
def audit_verify(
    data: DataPath = Path("data"),
    witness: WitnessPath = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Copy of the audit's public key kept elsewhere.")
    ] = None,
    json: Json = False,
) -> None:
    """Check the chain of the audit and its signed checkpoints.

    Exit status: 0 sound, 1 findings, 2 no audit.
    """
    from .audit import verify

    path = _audit_file(data)
    verdict = verify(path, witness or data / "witness", public_key)
    if json:
        typer.echo(json_format.dumps(verdict.as_dict()))
    else:
        for finding in verdict.findings:
            one = finding.first == finding.last
            where = f"row {finding.first}" if one else f"rows {finding.first} to {finding.last}"
            typer.echo(f"{where}: {finding.kind}: {finding.text}")
        what = "sound" if verdict.sound else _counted(len(verdict.findings), "finding")
        rows, checkpoints = _counted(verdict.rows, "row"), _counted(verdict.checkpoints, "checkpoint")
        typer.echo(f"{rows}, {checkpoints}: {what}")
    if not verdict.sound:
        raise typer.Exit(1)


@audit_app.command("export")
def audit_export(
    data: DataPath = Path("data"),
    after: Annotated[int, typer.Option(min=0, help="Only rows after this number.")] = 0,
) -> None:
    """Print every row of the audit as one JSON line. Exit status: 0 done, 1 damaged, 2 no audit."""
    from .audit import export as lines
    from .database import sqlite3

    path = _audit_file(data)
    try:
        for line in lines(path, after):
            typer.echo(line)
    except sqlite3.DatabaseError as error:
        raise CheckFailed(
            "audit_damaged",
            f"{path} cannot be read on: {error}; nothing more can be printed, nothing was changed. "
            "See how far it is sound: toplovod audit verify",
        ) from error


# -- inside --------------------------------------------------------------------------------------------


def _audit_file(data: Path) -> Path:
    path = data / "audit.sqlite"
    if not path.is_file():
        raise WrongUse(
            "no_audit", f"there is no audit in {data}; nothing was read. Name the folder with --data."
        )
    return path


def _load(path: Path) -> Site:
    try:
        return Site.load(path)
    except SiteMistakes as mistakes:
        raise WrongUse(mistakes.code, mistakes.message) from mistakes


def _write(path: Path, text: str, force: bool) -> None:
    if path.exists() and not force:
        raise WrongUse(
            "file_exists", f"{path} is there already; nothing was written. Overwrite it with --force."
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise WrongUse(
            "cannot_write", f"{path} cannot be written: {error.strerror}; nothing was written."
        ) from error


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _table(device: Device) -> str:
    return "substation" if device.profile == "substation" else "pump_station"


def _rows(table: Path) -> list[dict[str, Any]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise WrongUse("cannot_read", f"{table} cannot be read: {why}; nothing was written.") from error
    if table.suffix == ".json":
        try:
            content = json_format.loads(text)
        except ValueError as error:
            raise WrongUse("not_json", f"{table} is not JSON: {error}; nothing was written.") from error
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            raise WrongUse("not_rows", f"{table} is not a list of objects; nothing was written.")
        return [dict(row) for row in content]
    rows = []
    for flat in csv.DictReader(io.StringIO(text)):
        row: dict[str, Any] = {}
        for key, value in flat.items():
            if not value or key is None:
                continue
            if key.startswith("limits."):
                row.setdefault("limits", {})[key.removeprefix("limits.")] = _number(value)
            else:
                row[key] = _number(value) if key in _NUMBERS else value
        rows.append(row)
    return rows


_NUMBERS = ("unit", "priority", "x_m", "y_m", "deficit_budget_kh", "baudrate")


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json_format.dumps(value, ensure_ascii=False)
