"""The rarer settings in site.json: TLS, legacy mode, pumps by pulses, heat meters. Loaded where one is named.

One file for all, because every file takes a block of the flash three times. TLS: `tls_port`, and `tls_alone`
for a controller that answers to nothing else. It refuses TLS on boards that cannot carry it: a session takes
some 25 to 30 kB of a microcontroller's heap [firmware.md 3], and the arithmetic of a handshake holds up the
control loop. `legacy`: who may write which setpoints without a proof, and for how long a write holds. It
refuses an address beside TLS: a master that can show a certificate needs no exception. `pump_pwm` and
`pump2_pwm`: circulation pumps that take their speed as the duty of pulses. It refuses a pump whose pin no
timer reaches, and feedback where the board has no pin for it. `mbus_baud` and `mbus_meters`: at most five
heat meters; each mistake leaves out the meter it stands at. It refuses intervals that would wear a battery
beyond what its owner has been told: docs/mbus.md.
"""

# RP2040 and RP2350 have neither the memory for six sessions nor the speed [estimate]; on the ESP32 the 166 kB
# left beside its own network are too little for them. The H743 has 460 kB [firmware.md 6].
TLS_BOARDS = ("emulated", "nucleo_h743")
SERIAL_LINE = 1  # modbus_serial.SOURCE, which is loaded later
LEGACY_LEASE_S = (300, 1800)  # shortest and longest; a lease of an order may last twice as long
LEGACY_KEYS = ("from", "registers", "lease_s")
PUMP_PROFILES = ("heating", "solar")  # as boards.pump_pwm counts them
PUMP_KEYS = ("profile", "speed_pct", "feedback")
METER_BAUDS = (0, 300, 600, 1200, 2400)  # 0: no meters
METERS_HIGH = 5
METER_KEYS = ("address", "number", "battery", "interval_s")
# Kamstrup 302: reading once an hour is free, every 5 min halves the battery's life; 603: from 10 s on it is
# free [firmware.md R16]
BATTERY_INTERVAL_S, BATTERY_INTERVAL_LOW_S = 3_600, 300
MAINS_INTERVAL_S = MAINS_INTERVAL_LOW_S = 10
INTERVAL_HIGH_S = 86_400
ANY_METER = b"\xff\xff\xff\xff"  # manufacturer, version and medium of a meter selected by its number


def read_tls(site):
    """Take tls_port and tls_alone into the site; a mistake leaves the port closed."""
    port = int(site.number("tls_port", 0, 0, 65535, whole=True))
    alone = site.choice("tls_alone", "no", ("no", "yes")) == "yes"
    if port and site.board not in TLS_BOARDS:
        site._mistake(
            "tls_port", "%s cannot carry TLS, only %s; left closed" % (site.board, ", ".join(TLS_BOARDS))
        )
        port = 0
    if port and port in (site.modbus_port, site.rtu_tcp_port):
        site._mistake("tls_port", "%d is another port's already; left closed" % port)
        port = 0
    if alone and not port:
        site._mistake("tls_alone", "needs a tls_port; the plain port stays open")
        alone = False
    if alone and site.rtu_tcp_port:
        site._mistake("rtu_tcp_port", "stays closed: tls_alone is set")
        site.rtu_tcp_port = 0
    site.tls_port, site.tls_alone = port, alone


def _source(site, master):
    """Return the source that a write must come from, as the server counts sources."""
    if master == "rtu":
        if not site.rtu_baud:
            raise ValueError("from rtu needs a rtu_baud")
        return SERIAL_LINE
    parts = master.split(".") if isinstance(master, str) else ()
    if len(parts) != 4 or not all(part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts):
        raise ValueError("from %r must be rtu or one IPv4 address such as 10.0.3.5" % (master,))
    if not 1 <= int(parts[0]) <= 223:
        raise ValueError("from %r is no address of one master" % master)
    if site.tls_port:
        raise ValueError(
            "from an address is not beside tls_port: let the master show a certificate, or use rtu"
        )
    value = 0
    for part in parts:
        value = (value << 8) | int(part)
    return value


def _legacy(value, site, registers):
    if not isinstance(value, dict) or not all(key in LEGACY_KEYS for key in value):
        raise ValueError('must be {"from": "rtu" or an address, "registers": [...], "lease_s": 300 to 1800}')
    source = _source(site, value.get("from"))
    names = value.get("registers")
    if not isinstance(names, list) or not names:
        raise ValueError("registers must name the setpoints that may be written")
    known = {
        row.name: row.address
        for row in registers.BY_PROFILE[site.profile]
        if row.access == registers.SETPOINT
    }
    for name in names:
        if name not in known:
            raise ValueError(
                "%r is no setpoint of a %s; there are %s" % (name, site.profile, ", ".join(sorted(known)))
            )
    lease_s = value.get("lease_s", LEGACY_LEASE_S[1])
    if (
        isinstance(lease_s, bool)
        or not isinstance(lease_s, int)
        or not LEGACY_LEASE_S[0] <= lease_s <= LEGACY_LEASE_S[1]
    ):
        raise ValueError(
            "lease_s %r must be a whole number between %d and %d" % ((lease_s,) + LEGACY_LEASE_S)
        )
    return source, tuple(known[name] for name in names), lease_s


def read_legacy(site, registers):
    """Take the key into the site; told on the console, because it takes a protection away."""
    site.legacy = site.checked("legacy", _legacy, site, registers)
    if site.legacy:
        print(
            "legacy: unauthenticated writes of %d registers for %d s" % (len(site.legacy[1]), site.legacy[2])
        )


def _pump(value, site, number, pins):
    if not isinstance(value, dict) or any(key not in PUMP_KEYS for key in value):
        raise ValueError(
            'must be {"profile": "heating" or "solar", "speed_pct": 1 to 100, "feedback": true or false}'
        )
    profile, speed_pct, feedback = (
        value.get("profile"),
        value.get("speed_pct", 100),
        value.get("feedback", False),
    )
    if profile not in PUMP_PROFILES:
        raise ValueError("profile %r must be heating or solar: see the pump's plate" % (profile,))
    if isinstance(speed_pct, bool) or not isinstance(speed_pct, int) or not 1 <= speed_pct <= 100:
        raise ValueError("speed_pct %r must be a whole number between 1 and 100" % (speed_pct,))
    if not isinstance(feedback, bool):
        raise ValueError("feedback %r must be true or false" % (feedback,))
    if number >= site.circuits:
        raise ValueError("is a pump of a circuit that this site does not have")
    if pins is not None and number >= pins.PWM_PUMPS:
        raise ValueError("the board %s has no pulses for this pump" % site.board)
    if pins is not None and feedback and number >= len(pins.PUMP_FEEDBACK):
        raise ValueError("the board %s has no pin for this pump's feedback" % site.board)
    return number, PUMP_PROFILES.index(profile), speed_pct * 100, feedback


def read_pumps(site, pins):
    """Take the keys into the site. A mistake leaves the pump to its relay."""
    rows = []
    for number, key in enumerate(("pump_pwm", "pump2_pwm")):
        row = site.checked(key, _pump, site, number, pins)
        if row is not None:
            rows.append(row)
    site.pump_pwm = tuple(rows)


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
    if not isinstance(wiring, dict) or set(wiring) - set(METER_KEYS):
        raise ValueError("%s must have %s only" % (what, ", ".join(METER_KEYS)))
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
            return bytes(int(number[at : at + 2], 16) for at in (6, 4, 2, 0)) + ANY_METER
    except TypeError:
        pass
    raise ValueError("%s: number %r must be the eight digits on its label" % (what, number))


def read_meters(site):
    """Take the meters' settings into site."""
    site.mbus_baud = site.choice("mbus_baud", 2400, METER_BAUDS)
    wired = site.checked("mbus_meters", meters)
    if site.mbus_baud:
        site.mbus_meters = wired or ()
