"""What `toplovod restore` shows: a line on its way, and at the end what needs somebody's attention.

It refuses to list what is in order, and to call hashes compared that were only shown.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from firmware.substation import order_frame
from supervisor.site import Site

from .key_file import KeyFile
from .restore import BACK, ON_THE_WAY, PROVEN, REFUSED, SILENT, WAITING, Counts, Restoration, Row

WORDS = {
    BACK: "back", PROVEN: "proven", ON_THE_WAY: "not back", SILENT: "silent", REFUSED: "refused",
    WAITING: "not tried",
}  # fmt: skip
UNPROVEN = ("status_not_genuine", "no_root_key")
MOST_HASHES = 4


def minutes(seconds: float) -> str:
    """Return m:ss."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def progress(passed_s: float, counts: Counts, check: bool) -> str:
    """Return the line that tells how far it is."""
    done = (
        f"proven {counts.proven}"
        if check
        else f"released {counts.released}, proven {counts.proven}, back {counts.back}"
    )
    word = "not proven" if check else "refused"
    return (
        f"{minutes(passed_s)}  {done}, silent {counts.silent}, {word} {counts.refused} of {counts.stations}"
    )


def attention(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return a table of the stations that are not as they should be, [] when there is none."""
    found = [row for row in rows if row.state not in (BACK, PROVEN) or row.differs]
    found.sort(key=lambda row: (row.state, row.target.id))
    named = any(row.target.name != row.target.id for row in found)  # for whoever drives there
    table = [
        (row.target.id, *((row.target.name,) if named else ()), _state(row), _told(row)) for row in found
    ]
    return [("station", *(("name",) if named else ()), "state", "what"), *table] if found else []


def _state(row: Row) -> str:
    if row.differs and row.state in (BACK, PROVEN):
        return "differs"
    return "not proven" if row.code in UNPROVEN else WORDS[row.state]


def _told(row: Row) -> str:
    parts = [f"DIFFERS from the baseline: {', '.join(row.differs)}"] if row.differs else []
    if row.what:
        before = (
            "was given back, then: " if row.released_s is not None and row.state in (SILENT, REFUSED) else ""
        )
        # what to do about silence is said once, below
        parts.append(
            before + (row.what.split("; nothing was changed")[0] if row.state == SILENT else row.what)
        )
    return "; ".join(parts)


def proven(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return a table of what every station proved."""
    return [
        ("station", "device", "firmware", "limits", "mode", "alarms", "up"),
        *(
            (
                row.target.id, row.proof.device_id, f"{row.proof.firmware_hash:08x}",
                f"{row.proof.limits_hash:08x}", row.proof.mode, ", ".join(row.proof.alarms) or "none",
                f"{row.proof.uptime_s // 3600} h",
            )
            for row in sorted(rows, key=lambda row: row.target.id)
            if row.proof is not None
        ),
    ]  # fmt: skip


def hashes(rows: Sequence[Row]) -> str:
    """Return which firmware is proven at how many: one that differs from all others stands out."""
    found = Counter(f"{row.proof.firmware_hash:08x}" for row in rows if row.proof is not None).most_common()
    shown = ", ".join(f"{name} at {count}" for name, count in found[:MOST_HASHES])
    return f"Firmware as proved: {shown or 'none'}" + (", and others" if len(found) > MOST_HASHES else "")


def notes(restoration: Restoration, keys: KeyFile, compared: bool) -> Iterator[str]:
    """Yield what is to be known beside the table."""
    rows = restoration.rows
    if any(row.state == SILENT for row in rows):
        yield (
            "Silent: see to power and network in the cellar and to the address in the site file, then "
            "toplovod read HOST"
        )
    if any(row.code == "status_not_genuine" and (row.epoch_before or 0) < keys.epoch for row in rows):
        yield "Not proven, with keys of an older epoch: toplovod restore without --check brings these there"
    if any(row.proof is not None for row in rows):
        if not compared:
            yield (
                f"{hashes(rows)}. The hashes of firmware and limits are shown and NOT compared: there is no "
                "--baseline. In peace time: toplovod restore --check --record FILE"
            )
        elif missing := [row.target.id for row in rows if row.proof is not None and not row.compared]:
            yield f"Not in the baseline, so not compared: {', '.join(sorted(missing))}"
    changed = [row for row in rows if row.proof is not None and row.differs]
    if changed:
        yield (
            "A difference is either a change that somebody knows of (an update, a limit bundle) or one that "
            "nobody should have made: toplovod log HOST --keys FILE tells when; toplovod flash or update and "
            "toplovod limits send bring back what should run."
        )
    same = sum(row.shut_out and row.epoch_before == keys.epoch for row in rows)
    if same:
        yield (
            f"{same} of them took epoch {keys.epoch} before this already: after an earlier run that is as it "
            "should be. If it is the epoch that was stolen, nobody is shut out: toplovod keys recover, then "
            "this again."
        )
    idle = sum(row.state == BACK and not row.heats for row in rows)
    if idle:
        yield f"{idle} of those back heat nothing now, by their own decision: it is warm enough there."


def summary(restoration: Restoration, keys: KeyFile, check: bool) -> str:
    """Return the last line."""
    counts = restoration.counts
    whose = f"slot {order_frame.SLOTS[keys.slot]}, epoch {keys.epoch}"
    differing = sum(bool(row.differs) for row in restoration.rows)
    unproven = sum(row.code in UNPROVEN for row in restoration.rows)
    rest = "".join(
        f", {number} {word}"
        for number, word in (
            (sum(row.state == ON_THE_WAY for row in restoration.rows), "not back"),
            (counts.silent, "silent"),
            (unproven, "not proven"),
            (counts.refused - unproven, "refused"),
            (sum(row.state == WAITING for row in restoration.rows), "not tried"),
            (differing, "differing from the baseline"),
        )
        if number
    )
    if check:
        return f"{counts.proven} of {counts.stations} stations proven ({whose}){rest}; nothing was changed"
    last_s = max((row.back_s or 0.0 for row in restoration.rows), default=0.0)
    when = f", the last after {minutes(last_s)}" if counts.back else ""
    done = (
        f"{counts.back} of {counts.stations} stations back on their own curves{when}{rest}; "
        f"{counts.released} released, older keys shut out at {counts.shut_out} ({whose})"
    )
    if restoration.interrupted:
        return f"Stopped: {done}. Running it again goes on safely."
    if counts.back < counts.stations:
        return f"{done}. See to them, then run it again: --only takes their names."
    return done


def as_json(
    restoration: Restoration, site: Site, keys: KeyFile, check: bool, compared: bool, passed: bool
) -> dict[str, Any]:
    """Return all of it."""
    counts = restoration.counts
    return {
        "site": site.name, "check": check, "slot": order_frame.SLOTS[keys.slot], "epoch": keys.epoch,
        "passed": passed, "interrupted": restoration.interrupted,
        "seconds": round(restoration.passed_s, 1), "baseline_compared": compared,
        "counts": {
            "stations": counts.stations, "released": counts.released, "old_keys_shut_out": counts.shut_out,
            "proven": counts.proven, "back": counts.back, "silent": counts.silent,
            "refused": counts.refused,
        },
        "stations": [row.as_json() for row in sorted(restoration.rows, key=lambda row: row.target.id)],
    }  # fmt: skip
