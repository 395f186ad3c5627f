"""The technician's commands: what `toplovod` can do to firmware, keys and controllers.

It refuses to do the work itself: each command reads its arguments, calls one module and prints.
Modules are imported when their command runs, so that `toplovod --help` stays quick.
"""

import json as json_format
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import WRONG_USE

app = typer.Typer(no_args_is_help=True)
keys_app = typer.Typer(
    no_args_is_help=True, help="The vault of root keys, and the key files that are made from it."
)
app.add_typer(keys_app, name="keys")
limits_app = typer.Typer(
    no_args_is_help=True,
    help="Signed bundles of limits, curves and schedules: the way they change from afar.",
)
app.add_typer(limits_app, name="limits")
tls_app = typer.Typer(
    no_args_is_help=True, help="Certificates for Modbus behind TLS, made offline by the town's own authority."
)
app.add_typer(tls_app, name="tls")

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Host = Annotated[
    str,
    typer.Argument(
        help="Address of the controller: HOST, HOST:PORT (502 when left out), or an RS-485 line, "
        "serial:/dev/ttyUSB0,baud=19200,parity=even."
    ),
]
Unit = Annotated[int, typer.Option(min=0, max=255, help="Modbus unit id of the controller.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")]
Port = Annotated[str, typer.Argument(help="Serial port of the board, for example /dev/ttyACM0.")]
VaultFile = Annotated[Path, typer.Option("--vault", help="The vault file.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        envvar="TOPLOVOD_PASSPHRASE_FILE",
        help="File whose first line is the vault's passphrase; asked at the terminal when left out.",
    ),
]


def _print_json(result: Any) -> None:
    typer.echo(json_format.dumps(result, ensure_ascii=False))


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def build(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the bundle; a bundle that is there is replaced.")
    ] = None,
    board: Annotated[
        str | None, typer.Option(help="Compile for this board, and refuse when it does not fit there.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="Compile for this architecture, as mpy-cross calls it: armv6m, …")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Show what the firmware needs of each board, and what each has.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="With --report: write docs/boards.md to this file.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Compile the firmware into a bundle of portable bytecode with a SHA-256 for every file.

    It holds no machine code, so that the bundle for any board is the same one.
    """
    if report:
        _report_boards(page, json)
        if out is None:
            return
    if out is None:
        raise typer.BadParameter("is needed, unless --report is given", param_hint="--out")
    if board is not None and arch is not None:
        raise typer.BadParameter("is the board's; give one of the two", param_hint="--arch")
    from .build import write_bundle

    if board is not None:
        from .board_report import architecture_of, check_fit

        arch = architecture_of(board)
        check_fit(board)
    bundle = write_bundle(out, architecture=arch)
    if report:
        return
    if json:
        _print_json({"folder": str(bundle.folder), **bundle.manifest()})
        return
    size = sum(file.bytes for file in bundle.files)
    typer.echo(f"{bundle.folder}: {len(bundle.files)} files, {size} bytes, sha256 {bundle.sha256}")


def _report_boards(page: Path | None, json: bool) -> None:
    from dataclasses import asdict

    from .board_report import report

    bundle, heaps, needs = report()
    if page is not None:
        from .board_pages import page as page_of
        from .whole_file import write_whole

        write_whole(page, page_of(bundle, heaps, needs).encode())
    if json:
        _print_json(
            {"sha256": bundle.sha256,
             "sites": [asdict(h) | {"in_use_32_b": h.in_use_32_b, "peak_32_b": h.peak_32_b} for h in heaps],
             "boards": [asdict(n) | {"flash_verdict": n.flash_verdict, "fits": n.fits} for n in needs]}
        )  # fmt: skip
    elif page is None:
        words = {
            "all": "program and both slots", "first": "program and one slot", "one": "program, no slots",
            "none": "not as shipped",
        }  # fmt: skip
        _table(
            [("board", "architecture", "program", "with slots", "file system", "fits",
              "heap needed [estimate]", "heap there", "site")]
            + [(n.board, n.architecture, str(n.one_copy_b), str(n.all_copies_b), str(n.flash_b),
                words[n.flash_verdict], str(n.heap_need_b), str(n.heap_b), n.site) for n in needs]
        )  # fmt: skip
        _table(
            [("site", "in use, 64 bits", "peak, 64 bits", "bytecode", "peak, 32 bits [estimate]")]
            + [(h.site, str(h.in_use_64_b), str(h.peak_64_b), str(h.bytecode_b), str(h.peak_32_b))
               for h in heaps]
        )  # fmt: skip


@app.command()
def sign(
    out: Annotated[Path, typer.Option(help="File for the signed image; one that is there is replaced.")],
    version: Annotated[
        int, typer.Option("--image-version", min=1, help="Number of this release; controllers never go back.")
    ],
    key: Annotated[Path, typer.Option(help="Private release key, from toplovod keys release.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to sign; this release's own when left out.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Make the signed image of a bundle: what a controller takes over a network, and nothing else."""
    from .build import build_bundle, read_bundle
    from .sign import make_image, read_release_key
    from .whole_file import write_whole

    private = read_release_key(key)
    image = make_image(build_bundle() if bundle is None else read_bundle(bundle), version, private)
    write_whole(out, image.content)
    if json:
        _print_json(
            {"file": str(out), "version": version, "bytes": len(image.content), "files": image.files,
             "map_hash": image.map_hash, "firmware_hash": image.firmware_hash, "digest": image.digest.hex()}
        )  # fmt: skip
        return
    typer.echo(
        f"{out}: version {version}, {image.files} files, {len(image.content)} bytes, register map "
        f"{image.map_hash}, firmware hash {image.firmware_hash} where it runs"
    )


@app.command()
def doctor(json: AsJson = False) -> None:
    """Say what is missing on this machine and the remedy. Exit status: 0 nothing, 1 something."""
    from dataclasses import asdict

    from .doctor import MISSING, OK, examine

    findings = examine()
    good = all(finding.state != MISSING for finding in findings)
    if json:
        _print_json({"ok": good, "findings": [asdict(finding) for finding in findings]})
    else:
        _table([(f.state, f.name, f.found) for f in findings])
        for finding in findings:
            if finding.state != OK:
                typer.echo(f"{finding.name}: {finding.found}. Remedy: {finding.remedy}", err=True)
    raise typer.Exit(0 if good else 1)


@app.command()
def registers(
    profile: Annotated[str, typer.Option(help="substation or pump_station; both when left out.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/registers.md.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write that page to this file instead.")] = None,
    json: AsJson = False,
) -> None:
    """Show the register map: every value a controller serves, with unit, range and meaning."""
    from firmware.substation.registers import MAP_VERSION, PROFILES, map_hash

    from .register_table import as_markdown, as_rows

    if profile and profile not in PROFILES:
        raise typer.BadParameter(f"{profile!r} is no profile: {', '.join(PROFILES)}", param_hint="--profile")
    if out is not None:
        from .whole_file import write_whole

        write_whole(out, as_markdown().encode())
        return
    if markdown:
        typer.echo(as_markdown(), nl=False)
        return
    rows = as_rows(profile or None)
    if json:
        _print_json({"map_version": MAP_VERSION, "map_hash": f"{map_hash():08x}", "registers": rows})
        return
    _table(
        [("space", "address", "name", "unit", "low", "high", "access", "meaning")]
        + [
            (r["space"], str(r["address"]), r["name"], r["unit"], f"{r['low']:g}", f"{r['high']:.10g}",
             r["access"], r["text"])
            for r in rows
        ]
    )  # fmt: skip


@app.command()
def read(host: Host, unit: Unit = 1, timeout: Timeout = 3.0, json: AsJson = False) -> None:
    """Read who the controller at HOST is and every value it serves. Changes nothing.

    Exit status: 0 read, 1 not ours or an unknown register map, 3 the controller did not answer.
    """
    from supervisor.field.units import unit_of

    from .controller import Address, Controller

    with Controller(Address.parse(host), unit, timeout) as controller:
        identity = controller.identity()
        points = controller.points()
    if json:
        _print_json(
            {
                "address": str(controller.address),
                "unit": unit,
                "device_id": identity.device_id_hex,
                "profile": identity.profile,
                "map_hash": f"{identity.map_hash:08x}",
                "firmware_hash": f"{identity.firmware_hash:08x}",
                "boot_count": identity.boot_count,
                "uptime_s": identity.uptime_s,
                "values": {name: point.value for name, point in points.items()},
            }
        )
        return
    typer.echo(
        f"{identity.device_id_hex} {identity.profile} at {controller.address} unit {unit}, "
        f"map {identity.map_hash:08x}, firmware {identity.firmware_hash:08x}, up {identity.uptime_s} s"
    )
    _table(
        [
            (
                name,
                "no reading" if point.value is None else f"{point.value:.10g}",
                unit_of(name),
                point.row.text,
            )
            for name, point in points.items()
        ]
    )


@app.command("log")
def event_log(
    host: Host,
    keys: Annotated[
        Path | None, typer.Option(help="Key file of any slot: proves that the log is the controller's own.")
    ] = None,
    since: Annotated[int, typer.Option(min=0, help="Show records from this number on.")] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Say only whether the log is whole.")] = False,
    unit: Unit = 1,
    timeout: Timeout = 3.0,
    json: AsJson = False,
) -> None:
    """Show what the controller at HOST has noted: who changed what, and why not. Changes nothing.

    Every record's place in the hash chain is verified. Exit status: 0 whole, 1 broken or not genuine, 2 wrong
    use, 3 the controller did not answer.
    """
    from .controller import Address, Controller
    from .event_log import named, read_log
    from .key_file import KeyFile

    key_file = None if keys is None else KeyFile.read(keys)
    with Controller(Address.parse(host), unit, timeout) as controller:
        log = read_log(controller, key_file)
    seal = log.seal
    if json:
        _print_json(log.as_json(seal.next if verify else since))
        raise typer.Exit(0 if log.whole else 1)
    shown = [named(event) for event in log.events if event.sequence >= since]
    if shown and not verify:
        _table([("number", "when", "who", "what"), *shown])
    kept = f"{log.device_id} at {log.address}: {seal.next - seal.oldest} records from {seal.oldest} on"
    if seal.next > seal.kept and not verify:
        kept += f", {seal.next - seal.kept} of them (*) not in flash yet"
    if log.broken:
        typer.echo(
            f"{kept}; the chain is BROKEN: {log.broken}. Damage, or somebody answers in the controller's "
            "place. Keep this output; read it again at the device.",
            err=True,
        )
    elif seal.genuine is False:
        typer.echo(
            f"{kept}; the seal is NOT GENUINE: another key or epoch, or somebody answers in the controller's "
            "place. Export the keys again (toplovod keys export), then read it at the device.",
            err=True,
        )
    elif seal.genuine:
        typer.echo(f"{kept}; the chain is whole and sealed by this controller")
    else:
        typer.echo(f"{kept}; the chain is whole. --keys FILE proves that it is this controller's.")
    raise typer.Exit(0 if log.whole else 1)


@app.command()
def order(
    host: Host,
    assignments: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="Setpoints; a release takes names alone.")
    ],
    keys: Annotated[Path, typer.Option(help="Key file of the slot that gives the order.")],
    lease: Annotated[int, typer.Option(min=300, max=3600, help="Seconds until the order expires.")] = 1800,
    release: Annotated[bool, typer.Option("--release", help="Give the named setpoints back.")] = False,
    unit: Unit = 1,
    timeout: Timeout = 3.0,
    json: AsJson = False,
) -> None:
    """Sign and send one order to the controller at HOST, and prove by its receipt what became of it.

    Exit status: 0 accepted, 1 refused, 2 wrong use, 3 the controller did not answer.
    """
    from dataclasses import asdict

    from .controller import REMEDIES, Address, Controller
    from .key_file import KeyFile

    values: dict[str, float | None] = {}
    for text in assignments:
        name, equals, number = text.partition("=")
        if name in values:
            raise typer.BadParameter(f"{name} stands here twice; nothing was sent")
        if release and equals:
            raise typer.BadParameter(f"a release takes names alone, not {text!r}; nothing was sent")
        try:
            values[name] = None if release else float(number)
        except ValueError as reason:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE; nothing was sent") from reason
    key_file = KeyFile.read(keys)
    with Controller(Address.parse(host), unit, timeout) as controller:
        result = controller.order(key_file, values, lease, release=release)
    if json:
        _print_json({**asdict(result), "address": str(controller.address), "values": values})
    elif result.accepted:
        what = "released" if release else f"lease {result.lease_s} s"
        by_hand = f"; {result.detail}: a technician has put it by hand" if result.detail else ""
        typer.echo(
            f"{controller.address}: accepted, {', '.join(assignments)}, {what} (receipt verified){by_hand}"
        )
    else:
        where = f" ({result.detail})" if result.detail else ""
        typer.echo(
            f"{controller.address}: {result.result}{where}; nothing was changed (receipt verified). "
            f"{REMEDIES.get(result.result, '')}".rstrip(),
            err=True,
        )
    raise typer.Exit(0 if result.accepted else 1)


@app.command()
def update(
    host: Host,
    keys: Annotated[Path, typer.Option(help="Key file of the slot that orders it.")],
    image: Annotated[Path | None, typer.Option(help="Signed image, from toplovod sign.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Run the program before again, instead.")] = False,
    no_start: Annotated[bool, typer.Option("--no-start", help="Send and verify only.")] = False,
    unit: Unit = 1,
    timeout: Timeout = 3.0,
    json: AsJson = False,
) -> None:
    """Send a signed image to the controller at HOST, have it verified there, start it on trial. Resumable.

    Exit status: 0 done, 1 refused or given up, 2 wrong use, 3 the controller did not answer.
    """
    from dataclasses import asdict

    from . import update as updating
    from .controller import Address, Controller
    from .key_file import KeyFile
    from .sign import read_image

    if (image is None) != back:
        raise typer.BadParameter("give either --image FILE or --back; nothing was sent")
    key_file = KeyFile.read(keys)
    content = None if image is None else read_image(image)
    with Controller(Address.parse(host), unit, timeout) as controller:
        if content is None:
            updating.go_back(controller, key_file)
            if json:
                _print_json({"address": str(controller.address), "back": True})
            else:
                typer.echo(f"{controller.address}: goes back to the program before, restarting now")
            return
        result = updating.update(
            controller, key_file, content, activate=not no_start,
            progress=lambda have, whole: None if json else typer.echo(f"{have}/{whole} bytes", err=True),
        )  # fmt: skip
    if json:
        _print_json(asdict(result))
        return
    then = "starts on trial now" if result.activated else "is verified and waits"
    typer.echo(
        f"{result.address}: version {result.version} {then}; {result.sent_bytes} bytes sent, "
        f"{result.kept_bytes} were there. toplovod read shows image_state_number: 0 is confirmed."
    )


@app.command()
def restore(
    site: Annotated[Path, typer.Option(help="Site file: the stations, and where they are.")],
    keys: Annotated[Path, typer.Option(help="Key file of the new epoch, from toplovod keys recover.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="This station alone; may stand several times.")
    ] = None,
    area: Annotated[str | None, typer.Option(help="The stations of this area alone.")] = None,
    over: Annotated[float, typer.Option(min=0, help="Minutes over which the releases are spread.")] = 3.0,
    within: Annotated[float, typer.Option(min=0.1, help="Minutes until those not back are reported.")] = 15.0,
    baseline: Annotated[
        Path | None, typer.Option(help="Record of peace time: proven hashes must be the same.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing, send no order: ask each for its proof.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help="With --check: write the proven hashes here, for --baseline.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data folder of the supervisor, for stations behind TLS: its tls/.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Give a town back to its own curves with keys of a new epoch; older keys are worth nothing from then on.

    Each station's receipt and a challenged status prove it, then it is followed until it is warm.

    Exit status: 0 all are back (with --check: proven), 1 some are not or differ from the baseline, 2 wrong
    use, 3 none answered, 130 stopped by Ctrl-C.
    """
    if record is not None and not check:
        raise typer.BadParameter("goes with --check: peace time is when it is taken", param_hint="--record")
    if record is not None and baseline is not None and record.resolve() == baseline.resolve():
        raise typer.BadParameter("is the baseline itself, which it would replace", param_hint="--record")
    if over > within and not check:
        raise typer.BadParameter(f"{over:g} min are more than --within has", param_hint="--over")
    from . import restore as restoring
    from . import restore_files as files
    from . import restore_page as page
    from .key_file import KeyFile
    from .restore_visit import Visits

    key_file = KeyFile.read(keys)
    then = None if baseline is None else files.read_record(baseline)
    town, targets = files.targets_of(site, only or (), area, data)
    files.check_keys(key_file, keys, targets)

    def tell(passed_s: float, counts: restoring.Counts) -> None:
        if not json:
            typer.echo(page.progress(passed_s, counts, check), err=True)

    run = restoring.Restoration(
        targets, Visits(key_file), over_s=60 * over, within_s=60 * within, check=check, tell=tell
    )
    run.run()
    if then is not None:
        files.compare(run.rows, then)
    status = restoring.exit_status(run)
    if json:
        _print_json(page.as_json(run, town, key_file, check, then is not None, status == 0))
    else:
        if check and run.counts.proven:
            _table(page.proven(run.rows))
            typer.echo("")
        if wrong := page.attention(run.rows):
            _table(wrong)
            typer.echo("")
        for note in page.notes(run, key_file, then is not None):
            typer.echo(note)
        typer.echo(page.summary(run, key_file, check))
    if record is not None:
        count = files.write_record(record, town, run.rows)
        if not json:
            typer.echo(f"{record}: what {count} of {len(run.rows)} stations proved")
    raise typer.Exit(status)


@app.command()
def commission(
    host: Host,
    unit: Unit = 1,
    timeout: Timeout = 3.0,
    device_id: Annotated[str | None, typer.Option(help="The identity that the papers name.")] = None,
    outdoor: Annotated[float | None, typer.Option(help="Your own outdoor thermometer, degC.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle that ought to run; this release's own when left out.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="File for the record; named by device and time if not.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Read every sensor of the controller at HOST and judge it. Never moves the valve.

    Exit status: 0 all checks passed, 1 a check failed, 3 the controller did not answer.
    """
    from .build import build_bundle, read_bundle
    from .commission import FAILED, commission
    from .controller import Address, Controller
    from .errors import ToolError
    from .vault import checked_id
    from .whole_file import PRIVATE, write_whole

    if outdoor is not None and not math.isfinite(outdoor):
        raise typer.BadParameter(f"{outdoor} is no temperature; nothing was read", param_hint="--outdoor")
    if device_id is not None:
        device_id = checked_id(device_id)
    expected = build_bundle() if bundle is None else read_bundle(bundle)
    with Controller(Address.parse(host), unit, timeout) as controller:
        result = commission(
            controller, device_id=device_id, outdoor_temp_c=outdoor, firmware_sha256=expected.sha256
        )
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = Path(f"commissioning-{result['device_id']}-{moment}.json") if record is None else record
    failed = sum(check["verdict"] == FAILED for check in result["checks"])
    verdict = "passed" if result["passed"] else f"{failed} check{'s' * (failed != 1)} FAILED"
    if not json:
        # before the record is written: a full disk must not cost the visit
        _table([(check["verdict"], check["name"], check["what"]) for check in result["checks"]])
    try:
        content = json_format.dumps(result, indent=1, ensure_ascii=False) + "\n"
        write_whole(file, content.encode(), mode=PRIVATE)
    except ToolError as reason:
        if json:
            _print_json({**result, "record": None})
        raise ToolError(
            "no_record",
            f"{result['device_id']} at {result['address']}: {verdict}, but there is no record. {reason}",
            exit_status=WRONG_USE,
        ) from reason
    if json:
        _print_json({**result, "record": str(file)})
    else:
        typer.echo(f"{result['device_id']} at {result['address']}: {verdict}; record in {file}")
    raise typer.Exit(0 if result["passed"] else 1)


@app.command()
def flash(
    port: Port,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to copy; this release's own when left out.")
    ] = None,
    no_reset: Annotated[bool, typer.Option("--no-reset", help="Leave the board in its REPL.")] = False,
    json: AsJson = False,
) -> None:
    """Copy the firmware onto the board at PORT, verify every file there, and start it. Resumable.

    Exit status: 0 verified, 1 it could not be verified, 3 the board did not answer, 4 verified, and not in
    use: the board goes on running a signed image, which only toplovod update replaces.
    """
    from dataclasses import asdict

    from .build import build_bundle, read_bundle
    from .errors import NOT_IN_USE
    from .flash import flash

    chosen = build_bundle() if bundle is None else read_bundle(bundle)
    report = flash(
        port, chosen, tell=lambda text: None if json else typer.echo(text, err=True), reset=not no_reset
    )
    if json:
        _print_json({**asdict(report), "in_use": report.in_use})
    else:
        typer.echo(
            f"{port}: verified, {len(report.copied)} files copied, {report.unchanged} unchanged, "
            f"{len(report.removed)} removed, sha256 {report.sha256}"
        )
    if report.in_use:
        return
    if not json:
        slot = " AB"[report.image_slot_number]
        typer.echo(
            f"{port}: NOT IN USE: the signed image in slot {slot}, version {report.image_version_number}, "
            "goes on running; what was copied is the program to fall back to. To bring this release into "
            "use: toplovod sign with a higher --image-version, then toplovod update",
            err=True,
        )
    raise typer.Exit(NOT_IN_USE)


@app.command()
def provision(
    port: Port,
    settings: Annotated[
        Path, typer.Option(help="Settings of this device, JSON of format toplovod-device/2.")
    ],
    vault: VaultFile,
    passphrase_file: PassphraseFile = None,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Replace another root key on the board; hold its service button.")
    ] = False,
    release_key: Annotated[
        Path | None, typer.Option(help="Public release key; without one the board takes no update.")
    ] = None,
    limits_key: Annotated[
        Path | None, typer.Option(help="Public key for limit bundles; the release key where there is none.")
    ] = None,
    tls: Annotated[Path | None, typer.Option(help="Folder that toplovod tls device wrote.")] = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="Take the writes without a proof that the settings name.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write identity, settings and keys onto the flashed board at PORT, and restart it.

    The root key comes from the vault; for a new device one is made and kept there first.
    """
    from dataclasses import asdict

    from .provision import provision, read_settings
    from .vault import Vault, passphrase_from

    content = read_settings(settings)
    passphrase = passphrase_from(passphrase_file)
    opened = Vault.open(vault, passphrase)
    result = provision(
        port, content, opened, lambda: opened.save(vault, passphrase), rekey=rekey, release_key=release_key,
        limits_key=limits_key, tls=tls, legacy=legacy,
    )  # fmt: skip
    if json:
        _print_json(asdict(result))
        return
    key = "a new root key, kept in the vault" if result.new_key else "its root key from the vault"
    key += ", in place of another; the floors of its epochs begin anew" if result.rekeyed else ""
    typer.echo(f"{port}: {result.name} {result.device_id} ({result.profile}) has its settings and {key}")
    if legacy:
        typer.echo(f"{port}: it takes writes without a proof, as its settings name them (docs/security.md)")


@app.command()
def factory(
    port: Port,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; for scripts.")] = False,
    json: AsJson = False,
) -> None:
    """Clear the board at PORT of settings, keys, records, event log and images. Hold its service button.

    The program that was flashed stays and starts unprovisioned. There is no such thing over a network.

    Exit status: 0 cleared, 1 the button was not held or it could not be proved, 2 not confirmed, 3 the board
    did not answer.
    """
    import sys
    from dataclasses import asdict

    from .errors import ToolError
    from .factory import clear

    if not yes and (
        json
        or not sys.stdin.isatty()
        or not typer.confirm(
            f"Settings, keys, limits, counters, event log and images on {port} will be gone; what is worth "
            "keeping is read before (toplovod log). The house is then heated by defaults. Hold the service "
            "button until the command has ended. Clear it?"
        )
    ):
        raise ToolError(
            "not_confirmed", f"{port}: not confirmed; nothing was changed. Scripts add --yes.",
            exit_status=WRONG_USE,
        )  # fmt: skip
    result = clear(port)
    if json:
        _print_json(asdict(result))
        return
    whose = f"it was {result.device_id}" if result.device_id else "it had no settings that could be read"
    typer.echo(f"{port}: factory state ({result.board}); {whose}. Removed:")
    _table(
        [(name, f"{count} file{'s' * (count != 1)}") for name, count in result.removed.items()] or [("-",)]
    )
    typer.echo(f"Next: toplovod provision {port}, with the same vault or another.", err=True)


@limits_app.command("sign")
def limits_sign(
    settings: Annotated[Path, typer.Argument(help="JSON object of settings, named as in site.json.")],
    device_id: Annotated[str, typer.Option(help="The controller they are for, 16 hexadecimal digits.")],
    version: Annotated[
        int,
        typer.Option("--limits-version", min=1, help="Number of these limits; a controller's only rises."),
    ],
    key: Annotated[Path, typer.Option(help="Private key, from toplovod keys release. Keep it offline.")],
    out: Annotated[Path, typer.Option(help="File for the bundle; one that is there is replaced.")],
    json: AsJson = False,
) -> None:
    """Sign limits, curves and schedules for one controller. Nothing else can be in a bundle."""
    from .limits import make_bundle, read_changes
    from .sign import read_release_key
    from .whole_file import write_whole

    bundle = make_bundle(device_id, version, read_changes(settings), read_release_key(key))
    write_whole(out, bundle.content)
    if json:
        _print_json(
            {"file": str(out), "device_id": bundle.device_id, "version": version,
             "bytes": len(bundle.content), "digest": bundle.digest.hex(), "settings": bundle.settings}
        )  # fmt: skip
    else:
        typer.echo(f"{out}: version {version} for {bundle.device_id}, {len(bundle.settings)} settings")


@limits_app.command("show")
def limits_show(
    bundle: Annotated[Path, typer.Argument(help="Signed bundle, from toplovod limits sign.")],
    public: Annotated[
        Path | None, typer.Option(help="Public key to check the signature by; unchecked when left out.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show what a bundle holds. Exit status: 0 shown, 1 signed by another key, 2 no bundle."""
    from .limits import read_limits
    from .sign import read_public_key

    key = None if public is None else read_public_key(public)
    found = read_limits(bundle, key)
    verified = "unchecked" if key is None else "genuine"
    if json:
        _print_json(
            {"device_id": found.device_id, "version": found.version, "signature": verified,
             "settings": found.settings}
        )  # fmt: skip
        return
    typer.echo(f"{bundle}: version {found.version} for {found.device_id}, signature {verified}")
    _table([(name, json_format.dumps(value)) for name, value in found.settings.items()])


@limits_app.command("send")
def limits_send(
    host: Host,
    bundle: Annotated[Path, typer.Option(help="Signed bundle, from toplovod limits sign.")],
    keys: Annotated[Path, typer.Option(help="Key file of the slot that orders it.")],
    unit: Unit = 1,
    timeout: Timeout = 3.0,
    json: AsJson = False,
) -> None:
    """Send a signed bundle to the controller at HOST, have it verified there, restart into it.

    Exit status: 0 taken, 1 refused, 2 wrong use, 3 the controller did not answer.
    """
    from dataclasses import asdict

    from .controller import Address, Controller
    from .errors import ToolError
    from .key_file import KeyFile
    from .limits import read_limits
    from .update import update

    content = read_limits(bundle)
    key_file = KeyFile.read(keys)
    with Controller(Address.parse(host), unit, timeout) as controller:
        found = controller.identity().device_id_hex
        if found != content.device_id:
            raise ToolError(
                "other_device", f"{host} is {found}, the bundle is for {content.device_id}; nothing was sent"
            )
        result = update(
            controller, key_file, content, activate=True,
            progress=lambda have, whole: None if json else typer.echo(f"{have}/{whole} bytes", err=True),
        )  # fmt: skip
    if json:
        _print_json(asdict(result))
        return
    typer.echo(
        f"{result.address}: version {result.version} is verified; the controller restarts into it. toplovod "
        "read shows limits_version_number, and update_cause_number 10 where the site refuses it."
    )


AuthorityFolder = Annotated[Path, typer.Option("--authority", help="Folder of the authority.")]
TlsFolder = Annotated[Path, typer.Argument(help="Folder for the files; keys in it are never replaced.")]


def _tell_files(paths: list[Path], as_json: bool) -> None:
    if as_json:
        _print_json({"files": [str(path) for path in paths]})
        return
    for path in paths:
        typer.echo(path)


@tls_app.command("authority")
def tls_authority(
    folder: TlsFolder,
    name: Annotated[str, typer.Option(help="Name in the certificate.")] = "Toplovod",
    json: AsJson = False,
) -> None:
    """Make the authority that controllers and clients trust. Keep its key where the vault is kept."""
    from .certificates import new_authority

    _tell_files(new_authority(folder, name), json)


@tls_app.command("device")
def tls_device(
    device_id: Annotated[str, typer.Argument(help="The controller, 16 hexadecimal digits.")],
    folder: TlsFolder,
    authority: AuthorityFolder,
    json: AsJson = False,
) -> None:
    """Make a controller's certificate and key; toplovod provision --tls FOLDER brings them there."""
    from .certificates import new_device

    _tell_files(new_device(folder, authority, device_id), json)


@tls_app.command("client")
def tls_client(
    name: Annotated[str, typer.Argument(help="Who it is for; stands in the certificate.")],
    folder: TlsFolder,
    authority: AuthorityFolder,
    role: Annotated[str, typer.Option(help="supervisor, standby, technician, utility or reader.")],
    days: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 825,
    json: AsJson = False,
) -> None:
    """Make a client's certificate with its role, for DATA/tls of a supervisor or for another master."""
    from .certificates import new_client

    _tell_files(new_client(folder, authority, name, role, days), json)


@keys_app.command("new")
def keys_new(
    vault: VaultFile,
    device_ids: Annotated[list[str] | None, typer.Argument(help="Identities, 16 hexadecimal digits.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Make this many random identities as well.")] = 0,
    passphrase_file: PassphraseFile = None,
    json: AsJson = False,
) -> None:
    """Make root keys for devices, and the vault itself when there is none."""
    from .vault import Vault, passphrase_from

    exists = vault.exists()
    passphrase = passphrase_from(passphrase_file, confirm=not exists)
    opened = Vault.open(vault, passphrase) if exists else Vault()
    made = [opened.add(device_id) for device_id in device_ids or []]
    made += [opened.add() for _ in range(count)]
    opened.save(vault, passphrase)
    if json:
        _print_json({"vault": str(vault), "devices": made, "total": len(opened.root_keys)})
        return
    for device_id in made:
        typer.echo(device_id)
    typer.echo(f"{vault}: {len(opened.root_keys)} devices", err=True)


@keys_app.command("release")
def keys_release(
    out: Annotated[Path, typer.Argument(help="File for the private key, readable by you alone.")],
    public: Annotated[Path, typer.Option(help="File for the public key, for toplovod provision.")],
    json: AsJson = False,
) -> None:
    """Make a key pair to sign images, or limit bundles, with. One for all controllers; keep it offline."""
    from .sign import new_release_key
    from .whole_file import write_whole

    key = new_release_key(out)
    write_whole(public, key)
    if json:
        _print_json({"private": str(out), "public": str(public), "key": key.hex()})
    else:
        typer.echo(f"{out}: the private key, for toplovod sign. {public}: the public one, for every board.")


@keys_app.command("rotate")
def keys_rotate(
    slot: Annotated[str, typer.Argument(help="supervisor, standby, technician or utility.")],
    vault: VaultFile,
    passphrase_file: PassphraseFile = None,
    json: AsJson = False,
) -> None:
    """Raise a slot's epoch: keys exported before lose their force at each device's next order."""
    from .vault import Vault, passphrase_from

    passphrase = passphrase_from(passphrase_file)
    opened = Vault.open(vault, passphrase)
    epoch = opened.rotate(slot)
    opened.save(vault, passphrase)
    if json:
        _print_json({"slot": slot, "epoch": epoch})
    else:
        typer.echo(f"{slot}: epoch {epoch}; now export its key file and send one order to every device")


@keys_app.command("export")
def keys_export(
    slot: Annotated[str, typer.Argument(help="supervisor, standby, technician or utility.")],
    vault: VaultFile,
    out: Annotated[Path, typer.Option(help="Key file to write, readable by you alone.")],
    passphrase_file: PassphraseFile = None,
    json: AsJson = False,
) -> None:
    """Write the slot's key file at its present epoch. Root keys never leave the vault."""
    from .vault import Vault, passphrase_from

    keys = Vault.open(vault, passphrase_from(passphrase_file)).slot_keys(slot)
    keys.write(out)
    if json:
        _print_json({"file": str(out), "slot": slot, "epoch": keys.epoch, "devices": len(keys.devices)})
    else:
        typer.echo(f"{out}: {len(keys.devices)} keys of slot {slot}, epoch {keys.epoch}")


@keys_app.command("recover")
def keys_recover(
    vault: VaultFile,
    out: Annotated[Path, typer.Option(help="Key file of the new supervisor: DATA/keys.json.")],
    slot: Annotated[str, typer.Argument(help="The slot that was lost.")] = "supervisor",
    passphrase_file: PassphraseFile = None,
    json: AsJson = False,
) -> None:
    """After a slot's holder was lost or stolen: raise its epoch and write the key file of its successor."""
    from .errors import ToolError
    from .vault import Vault, passphrase_from

    passphrase = passphrase_from(passphrase_file)
    opened = Vault.open(vault, passphrase)
    opened.rotate(slot)
    keys = opened.slot_keys(slot)
    opened.save(vault, passphrase)  # first: an epoch that is in use must be in the vault
    try:
        keys.write(out)
    except ToolError as reason:
        raise ToolError(
            "keys_not_written",
            f"the vault holds epoch {keys.epoch} of slot {slot} now, but its keys are nowhere else: {reason} "
            f"Repeat only this: toplovod keys export {slot} --vault {vault} --out …",
            exit_status=WRONG_USE,
            changed=True,
        ) from reason
    if json:
        _print_json({"file": str(out), "slot": slot, "epoch": keys.epoch, "devices": len(keys.devices)})
    else:
        typer.echo(
            f"{out}: {len(keys.devices)} keys of slot {slot}, epoch {keys.epoch}. Each device shuts the old "
            "keys out when the first order with the new ones reaches it. To all of them: toplovod restore "
            f"--site SITE --keys {out}"
        )
