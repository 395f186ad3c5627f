"""The heat meters in site.json: mbus_baud, and mbus_meters with at most five.

Each mistake is named, and the meter it stands at is left out. It refuses intervals that would wear a battery
beyond what its owner has been told: docs/mbus.md.
"""

BAUDS = (0, 300, 600, 1200, 2400)  # 0: no meters
METERS_HIGH = 5
KEYS = ("address", "number", "battery", "interval_s")
# Kamstrup 302: reading once an hour is free, every 5 min halves the battery's life; 603: from 10 s on it is
# free [firmware.md R16]
BATTERY_INTERVAL_S, BATTERY_INTERVAL_LOW_S = 3_600, 300
MAINS_INTERVAL_S = MAINS_INTERVAL_LOW_S = 10
INTERVAL_HIGH_S = 86_400
ANY = b"\xff\xff\xff\xff"  # manufacturer, version and medium of a meter selected by its number


def meters(value):
    """Return rows (address, identity or None, interval in s, whether it lives on a battery).

    value: [{"address": 1..250 | "number": "12345678", "battery": true, "interval_s": 3600}, ...].
    """
    if not isinstance(value, list) or not 1 <= len(value) <= METERS_HIGH:
        raise ValueError("must be a list of 1 to %d meters" % METERS_HIGH)
    rows = []
    for place in range(len(value)):
        row = _meter(value[place], "meter %d" % (place + 1))
        if any(row[:2] == other[:2] for other in rows):
            raise ValueError("meter %d is there twice" % (place + 1))
        rows.append(row)
    return tuple(rows)


def _meter(wiring, what):
    if not isinstance(wiring, dict) or set(wiring) - set(KEYS):
        raise ValueError("%s must have %s only" % (what, ", ".join(KEYS)))
    if ("address" in wiring) == ("number" in wiring):
        raise ValueError("%s must have either address or number" % what)
    address, identity = wiring.get("address", 0), None
    if "number" in wiring:
        identity = _identity(wiring["number"], what)
    elif isinstance(address, bool) or not isinstance(address, int) or not 1 <= address <= 250:
        raise ValueError("%s: address %r must be 1 to 250" % (what, address))
    # a meter of which nothing is said is treated as one on a battery: that wears nobody's out
    battery = wiring.get("battery", True)
    if not isinstance(battery, bool):
        raise ValueError("%s: battery %r must be true or false" % (what, battery))
    low_s = BATTERY_INTERVAL_LOW_S if battery else MAINS_INTERVAL_LOW_S
    interval_s = wiring.get("interval_s", BATTERY_INTERVAL_S if battery else MAINS_INTERVAL_S)
    if isinstance(interval_s, bool) or not isinstance(interval_s, int):
        raise ValueError("%s: interval_s %r must be a whole number" % (what, interval_s))
    if not low_s <= interval_s <= INTERVAL_HIGH_S:
        kind = "on a battery" if battery else "on mains"
        raise ValueError(
            "%s: interval_s %d must be %d to %d for a meter %s"
            % (what, interval_s, low_s, INTERVAL_HIGH_S, kind)
        )
    return (address, identity, interval_s, battery)


def _identity(number, what):
    """Return the eight bytes that select a meter by the eight digits on its label."""
    try:
        if len(number) == 8 and all(digit in "0123456789" for digit in number):
            return bytes(int(number[at : at + 2], 16) for at in (6, 4, 2, 0)) + ANY
    except TypeError:
        pass
    raise ValueError("%s: number %r must be the eight digits on its label" % (what, number))


def read(site):
    """Take the meters' settings into site."""
    site.mbus_baud = site.choice("mbus_baud", 2400, BAUDS)
    wired = site.checked("mbus_meters", meters)
    if site.mbus_baud:
        site.mbus_meters = wired or ()
