"""`legacy` in site.json: who may write which setpoints without a proof, and for how long a write holds.

It refuses an address beside TLS: a master that can show a certificate needs no exception. A mistake leaves
every plain write refused.
"""

SERIAL_LINE = 1  # modbus_serial.SOURCE, which is loaded later
LEASE_S = (300, 1800)  # shortest and longest; a lease of an order may last twice as long
KEYS = ("from", "registers", "lease_s")


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


def _setting(value, site, registers):
    if not isinstance(value, dict) or not all(key in KEYS for key in value):
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
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                "%r is no setpoint of a %s; there are %s" % (name, site.profile, ", ".join(sorted(known)))
            )
    lease_s = value.get("lease_s", LEASE_S[1])
    if isinstance(lease_s, bool) or not isinstance(lease_s, int) or not LEASE_S[0] <= lease_s <= LEASE_S[1]:
        raise ValueError("lease_s %r must be a whole number between %d and %d" % ((lease_s,) + LEASE_S))
    return source, tuple(known[name] for name in names), lease_s


def read(site, registers):
    """Take the key into the site; told on the console, because it takes a protection away."""
    site.legacy = site.checked("legacy", _setting, site, registers)
    if site.legacy:
        print(
            "legacy: unauthenticated writes of %d registers for %d s" % (len(site.legacy[1]), site.legacy[2])
        )
