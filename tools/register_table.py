"""The register map for people: as a table, as JSON and as the page docs/registers.md.

It refuses to know a register: everything comes from firmware/substation/registers.py.
"""

from typing import Any

from firmware.substation import order_frame, registers
from supervisor.field.units import unit_of

SECTIONS = (
    ("Identity, the same on every profile and in every version", registers.IDENTITY),
    ("The program and its updates, on every profile", registers.IMAGE),
    ("Status, on every profile", registers.STATUS),
    ("Beside the orders, on every profile", registers.BESIDE_ORDERS),
    ("Commands, on every profile; told by an order, read as no value", registers.COMMANDS),
    ("Substation: readings", registers.SUBSTATION_INPUTS),
    ("Substation: readings of optional functions", registers.SUBSTATION_FUNCTIONS),
    ("Substation: heat meters on the M-Bus", registers.HEAT_METERS),
    ("Substation: setpoints", registers.SUBSTATION_SETPOINTS),
    ("Substation: engineering values", registers.SUBSTATION_CONFIG),
    ("Substation: comfort", registers.COMFORT_CONFIG),
    ("Substation: second heating circuit", registers.CIRCUIT2_CONFIG),
    ("Substation: limiters", registers.LIMITER_CONFIG),
    ("Substation: DHW", registers.DHW_CONFIG),
    ("Pump station: readings", registers.PUMP_STATION_INPUTS),
    ("Pump station: readings of optional functions", registers.PUMP_STATION_FUNCTIONS),
    ("Pump station: setpoints", registers.PUMP_STATION_SETPOINTS),
    ("Pump station: engineering values", registers.PUMP_STATION_CONFIG),
    ("Pump station: optional functions", registers.PUMP_STATION_OPTIONS),
)


def as_rows(profile: str | None = None) -> list[dict[str, Any]]:
    """Return one dictionary for each register, in map order; profile None means all of them."""
    rows = registers.REGISTERS if profile is None else registers.BY_PROFILE[profile]
    return [{**row._asdict(), "unit": unit_of(row.name), "words": registers.words_of(row)} for row in rows]


def as_markdown() -> str:
    """Return the text of docs/registers.md."""
    lines = [
        "# Registers",
        "",
        "Made from `firmware/substation/registers.py` by `make docs`; edit that file, not this page.",
        "",
        f"Map version {registers.MAP_VERSION}, map hash `{registers.map_hash():08x}`. "
        "Addresses are zero-based. Input registers are read with function code 4, holding registers with 3. "
        "Two-register values are big-endian and read atomically. No valid reading: "
        + ", ".join(f"{kind} {value}" for kind, value in registers.NO_VALUE.items())
        + ".",
        "",
        "Nothing here can be written with a plain Modbus write. A setpoint changes only through an order "
        f"(holding {registers.ORDER_MAILBOX}, {registers.ORDER_MAILBOX_WORDS} words at most, function code "
        f"16 or 23), whose layout stands in `firmware/substation/order_frame.py`; its receipt is read at "
        f"input {registers.RECEIPTS} + {registers.RECEIPT_WORDS} × slot, the authenticated status block at "
        f"input {registers.STATUS_BLOCK} with a challenge in holding {registers.CHALLENGE_MAILBOX}. "
        f"Slots: {', '.join(f'{n} {name}' for n, name in enumerate(order_frame.SLOTS))}.",
    ]
    for title, rows in SECTIONS:
        lines += [
            "",
            f"## {title}",
            "",
            "| address | name | unit | type | step | low | high | access | meaning |",
            "|---:|---|---|---|---:|---:|---:|---|---|",
        ]
        for row in rows:
            last = f"–{row.address + 1}" if registers.words_of(row) == 2 else ""
            lines.append(
                f"| {row.space} {row.address}{last} | `{row.name}` | {unit_of(row.name)} | {row.type} | "
                f"{row.scale:g} | {_number(row.low)} | {_number(row.high)} | {row.access} | {row.text} |"
            )
    lines += [
        "",
        "## Numbers and bits",
        "",
        "Bits of `alarm_bits`, from bit 0: " + _list(registers.ALARM_BITS),
    ]
    lines += ["", "Bits of `meter1_status_bits` and the others, from bit 0: " + _list(registers.METER_BITS)]
    lines += ["", "Causes in `last_refusal_number`, from 0: " + _list(registers.REFUSALS)]
    lines += ["", "Results in a receipt, from 0: " + _list(order_frame.RESULTS)]
    lines += ["", "## Setpoints and their leases", ""]
    lines += ["The site's own bounds narrow those of the map; no order leaves either.", ""]
    lines += ["| setpoint | in force | owner | seconds left | site's lower bound | upper |"]
    lines += ["|---|---|---|---|---|---|"]
    for lease in registers.LEASES:
        lines.append("| " + " | ".join(f"`{name}`" if name else "" for name in lease) + " |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,}".replace(",", " ")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) + "."
