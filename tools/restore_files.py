"""What `toplovod restore` reads before anything is sent, and its record of peace time.

It refuses a site file, a key file or a baseline that does not fit; all of that is wrong use.
"""

import json
import ssl
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from firmware.substation import order_frame
from supervisor.field import credentials
from supervisor.field.character import stop_bits
from supervisor.site import Device, Site, SiteMistakes

from .controller import Address, GatewayAddress, SecureAddress, SerialAddress
from .errors import WRONG_USE, ToolError
from .json_file import read_json
from .key_file import KeyFile
from .restore import Row
from .restore_visit import Target
from .whole_file import write_whole

FORMAT = "toplovod-restore/1"
SLOTS = (order_frame.SUPERVISOR, order_frame.STANDBY)  # the ones that may give every point back


def targets_of(
    site_path: Path, only: Sequence[str] = (), area: str | None = None, data: Path | None = None
) -> tuple[Site, list[Target]]:
    """Return the site and its stations in the order they are given back. ToolError, all wrong use.

    data: the supervisor's data folder, whose tls/ is shown to stations behind TLS.
    """
    try:
        site = Site.load(site_path)
    except SiteMistakes as mistakes:
        raise _wrong("site_mistakes", f"{mistakes.message}\nNothing was sent.") from mistakes
    if area is not None and area not in {known.id for known in site.areas}:
        raise _wrong(
            "unknown_area",
            f"{area!r} is no area of {site_path}; nothing was sent. Areas: "
            f"{', '.join(known.id for known in site.areas) or 'none'}",
        )
    unknown = [wanted for wanted in only if wanted not in {device.id for device in site.devices}]
    if unknown:
        raise _wrong(
            "unknown_station",
            f"{', '.join(unknown)}: not in {site_path}; nothing was sent. See its ids there.",
        )
    chosen = [
        device
        for device in site.devices
        if (area is None or device.area == area) and (not only or device.id in only)
    ]
    if not chosen:
        raise _wrong("no_station", f"no station of {site_path} is meant by that; nothing was sent")
    behind = [device.id for device in chosen if device.tls]
    if behind and data is None:
        raise _wrong(
            "needs_tls",
            f"{', '.join(behind)}: behind TLS; nothing was sent. Add --data DIR, in whose tls/ the "
            "supervisor's certificate is, or make one there: toplovod tls client",
        )
    shown = credentials.context(data) if behind and data is not None else None
    if shown is not None and not shown.get_ca_certs():
        raise _wrong(
            "no_certificate",
            f"{data}/{credentials.FOLDER}: no certificate there that can be used; nothing was sent. Make its "
            "files: toplovod tls client",
        )
    return site, sorted((_target(device, shown) for device in chosen), key=lambda target: target.turn)


def _target(device: Device, tls: ssl.SSLContext | None) -> Target:
    address: Address | SerialAddress | None
    if not device.assigned:
        address = None
    elif device.transport == "rtu":
        address = SerialAddress(device.host, device.baudrate, device.parity, stop_bits(device.parity))
    elif device.transport == "rtu-over-tcp":
        address = GatewayAddress(device.host, device.port)
    elif device.tls and tls is not None:
        address = SecureAddress(device.host, device.port, tls)
    else:
        address = Address(device.host, device.port)
    return Target(device.id, device.name, device.area, device.profile, device.device_id, address, device.unit)


def check_keys(keys: KeyFile, path: Path, targets: Sequence[Target]) -> None:
    """ToolError wrong_slot, keys_lack: before anything is sent."""
    if keys.slot not in SLOTS:
        raise _wrong(
            "wrong_slot",
            f"{path}: keys of slot {order_frame.SLOTS[keys.slot]}, which may not give every point back; "
            "nothing was sent. Take the supervisor's or the standby's: toplovod keys recover",
        )
    lacking = [target.id for target in targets if target.device_id and target.device_id not in keys.devices]
    if lacking:
        shown = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
        raise _wrong(
            "keys_lack",
            f"{path}: no key for {shown}; nothing was sent. Export the keys from the vault that knows them "
            "(toplovod keys export), correct device_id in the site file, or name the others with --only",
        )


def _wrong(code: str, message: str) -> ToolError:
    return ToolError(code, message, exit_status=WRONG_USE)


def write_record(path: Path, site: Site, rows: Sequence[Row]) -> int:
    """Write what was proved, whole or not at all, and return of how many stations. ToolError cannot_write."""
    stations = {
        row.target.id: {
            "device_id": row.proof.device_id,
            "profile": row.target.profile,
            **{name: row.proof.as_json()[name] for name in ("map_hash", "limits_hash", "firmware_hash")},
        }
        for row in sorted(rows, key=lambda row: row.target.id)
        if row.proof is not None
    }
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"format": FORMAT, "site": site.name, "taken": taken, "stations": stations}
    write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return len(stations)


def read_record(path: Path) -> dict[str, dict[str, str]]:
    """Return the stations of a record by id. ToolError baseline_unreadable."""
    content = read_json(path, "baseline_unreadable", "nothing was sent")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _wrong("baseline_unreadable", f"{path}: not of format {FORMAT}; nothing was sent")
    stations = content.get("stations")
    wanted = ("device_id", "limits_hash", "firmware_hash")
    if not isinstance(stations, dict) or not all(
        isinstance(row, dict) and all(isinstance(row.get(name), str) for name in wanted)
        for row in stations.values()
    ):
        raise _wrong("baseline_unreadable", f"{path}: its stations are malformed; nothing was sent")
    return stations


def compare(rows: Iterable[Row], baseline: dict[str, dict[str, str]]) -> None:
    """Note at each proven row what differs from the record."""
    for row in rows:
        then = baseline.get(row.target.id)
        if row.proof is None or then is None:
            continue
        now = row.proof.as_json() | {"device_id": row.proof.device_id}
        row.compared = True
        row.differs = [
            f"{what} {now[name]} instead of {then[name]}"
            for name, what in (
                ("device_id", "device"),
                ("firmware_hash", "firmware"),
                ("limits_hash", "limits"),
            )
            if now[name] != then[name]
        ]
