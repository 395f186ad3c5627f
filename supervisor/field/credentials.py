"""What the supervisor shows controllers behind TLS, and whose certificates it takes.

Three files in DATA/tls: authority.pem, client.pem, client.key, as `toplovod tls client` writes them. No
key is in the site file. It refuses a key that others may read, and to poll a controller without TLS that
the site wants behind it: then that controller is not reached, and the rest of the town is.
"""

from __future__ import annotations

import logging
import ssl
import stat
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER = "tls"
AUTHORITY, CERTIFICATE, KEY = "authority.pem", "client.pem", "client.key"


def nobody() -> ssl.SSLContext:
    """Return a context that trusts no authority: no connection can be made with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = (
        False  # a controller has a number in its certificate, and an address that may change
    )
    return context


def context(data: Path) -> ssl.SSLContext:
    """Return the context for every controller behind TLS; one that trusts nobody when a file is not right."""
    folder = data / FOLDER
    made = nobody()
    try:
        mode = stat.S_IMODE((folder / KEY).stat().st_mode)
        if mode & 0o077:
            raise OSError(f"{KEY} may be read by others (mode {mode:04o}); set chmod 600")
        made.load_verify_locations(folder / AUTHORITY)
        made.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except OSError as error:  # ssl.SSLError is one
        log.error(
            "controllers behind TLS cannot be reached: %s: %s. The others are polled. "
            "Make the files: toplovod tls client NAME %s --role supervisor --authority FOLDER",
            folder, error, folder,
        )  # fmt: skip
        return nobody()
    return made
