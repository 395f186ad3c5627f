"""The `toplovod` command: gathers what every room registered and runs it.

It refuses to know any command by name. Each room offers a Typer app in the entry-point group
`toplovod.commands`; the apps' commands appear side by side at the top level. A room that cannot be
imported costs only its own commands: the rest work, and asking for an unknown command says why. Where a
command is asked for, rooms are loaded until one has it.

An exception that carries a `code` (text) is shown as one sentence without a traceback; its
`exit_status` (default 1) becomes the exit status and `changed` says whether anything was changed.
What the system refused (a full disk, a missing right) and no command foresaw is one sentence too;
TOPLOVOD_TRACEBACK=1 shows where. Any other exception is a bug and keeps its traceback.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated

import typer

GROUP = "toplovod.commands"
DISTRIBUTION = "toplovod"


def rooms() -> list[EntryPoint]:
    """Return our rooms' entry points by name; other distributions may not add commands."""
    return sorted(
        (e for e in entry_points(group=GROUP) if e.dist is not None and e.dist.name == DISTRIBUTION),
        key=lambda entry: entry.name,
    )


def assemble(wanted: str | None = None) -> tuple[typer.Typer, dict[str, str]]:
    """Return the whole command and, for each room that did not load, the reason.

    wanted: a command at the top level; rooms that come after the one that has it are left out.
    """
    app = typer.Typer(
        name=DISTRIBUTION,
        help="Open control stack for district heating.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    broken: dict[str, str] = {}
    # the last first: a wish for keys or a controller need not wait for numpy to load
    for room in rooms() if wanted is None else reversed(rooms()):
        try:
            room_app = room.load()
            # reads every signature: a bad one is this room's fault alone
            command = typer.main.get_command(room_app)
        # a room's import may fail in any way; the others must still work
        except Exception as reason:
            broken[room.name] = f"{type(reason).__name__}: {reason}"
            continue
        app.registered_commands += room_app.registered_commands
        app.registered_groups += room_app.registered_groups
        if wanted in getattr(command, "commands", {}):
            break

    # a callback keeps Typer from collapsing a lone command into the root
    app.callback(no_args_is_help=True)(_root)
    return app, broken


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(metadata.version(DISTRIBUTION))
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Open control stack for district heating."""


def command_names(app: typer.Typer) -> set[str]:
    """Return the names at the top level."""
    return set(getattr(typer.main.get_command(app), "commands", {}))


class _SystemRefused(Exception):
    """An OSError on its way to the user: `changed` is None, because nobody foresaw it."""

    code = "system_refused"
    changed = None

    def __init__(self, reason: OSError) -> None:
        if isinstance(reason, shutil.Error) and reason.args and isinstance(reason.args[0], list):
            # a tree that could not be copied: one of its files tells as much as all of them
            _, target, why = reason.args[0][0]
            what = f"{target}: {str(why).split(': ')[0].rpartition('] ')[2]}"
        else:
            what = reason.strerror or str(reason)
            if reason.filename is not None:
                what = f"{reason.filename}: {what}"
        super().__init__(
            f"{what}. The command stopped there; a file it was writing may be missing or incomplete. "
            "See to space and rights, then repeat; TOPLOVOD_TRACEBACK=1 shows where it happened."
        )


def _explain(reason: Exception, as_json: bool) -> int:
    changed = getattr(reason, "changed", False)
    code = str(getattr(reason, "code", "failed"))
    if as_json:
        print(json.dumps({"code": code, "message": str(reason), "changed": changed}, ensure_ascii=False))
    else:
        print(f"{code}: {reason}", file=sys.stderr)
    status = getattr(reason, "exit_status", 1)
    return status if isinstance(status, int) else 1


def _wanted(arguments: list[str]) -> str | None:
    return next((a for a in arguments if not a.startswith("-")), None)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed check, 2 wrong use, 3 unreachable."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as reason:
        if isinstance(getattr(reason, "code", None), str):
            sys.exit(_explain(reason, "--json" in arguments))
        if isinstance(reason, OSError) and not os.environ.get("TOPLOVOD_TRACEBACK"):
            sys.exit(_explain(_SystemRefused(reason), "--json" in arguments))
        traceback.print_exc()
        sys.exit(1)


@contextmanager
def _signals_later() -> Iterator[None]:
    """Hold signals back until the rooms are loaded, then let them act.

    A compiled module that is being initialised may swallow a KeyboardInterrupt.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(arguments: list[str]) -> None:
    wanted = _wanted(arguments)
    with _signals_later():
        app, broken = assemble(wanted)
    if broken and wanted is not None and wanted not in command_names(app):
        for room, reason in broken.items():
            print(
                f"room_not_loaded: the commands of {room} are missing, because of {reason}.", file=sys.stderr
            )
        print(
            f"`toplovod {wanted}` may be one of them. Nothing was changed. Repair the installation with "
            "`make setup`, then see `toplovod doctor`.",
            file=sys.stderr,
        )
        sys.exit(1)
    app(args=arguments, prog_name=DISTRIBUTION)


if __name__ == "__main__":
    main()
