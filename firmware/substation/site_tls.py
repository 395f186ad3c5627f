"""Modbus behind TLS in site.json: `tls_port`, and `tls_alone` for a controller that answers to nothing else.

It refuses TLS on boards that cannot carry it: a session takes some 25 to 30 kB of a microcontroller's
heap [firmware.md 3], and the arithmetic of a handshake holds up the control loop.
"""

# RP2040 and RP2350 have neither the memory for six sessions nor the speed [estimate]; on the ESP32 the 166 kB
# left beside its own network are too little for them. The H743 has 460 kB [firmware.md 6].
BOARDS = ("emulated", "nucleo_h743")


def read(site):
    """Take the two keys into the site; a mistake leaves the port closed."""
    port = int(site.number("tls_port", 0, 0, 65535, whole=True))
    alone = site.choice("tls_alone", "no", ("no", "yes")) == "yes"
    if port and site.board not in BOARDS:
        site._mistake(
            "tls_port", "%s cannot carry TLS, only %s; left closed" % (site.board, ", ".join(BOARDS))
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
