"""Where one running supervisor keeps its files and listens, checked before anything starts.

It refuses to listen beyond this machine without TLS, to share a data folder with another server, and to
take a port that somebody else has.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import resource
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from .errors import Refused

DEFAULT_PORT = 8710
LOOPBACK = "127.0.0.1"


class StartRefused(Refused):
    """The server cannot start as asked; nothing was started. The command ends with `exit_status`."""

    def __init__(self, code: str, message: str, *, exit_status: int = 2) -> None:
        super().__init__(code, message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class Settings:
    """One server's data folder, address and certificates."""

    data: Path
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    tls_cert: Path | None = None
    tls_key: Path | None = None
    witness: Path | None = None
    """Second path of the audit: signed checkpoints and the emergency journal; DATA/witness when None."""
    history_quota_bytes: int | None = None
    history_min_free_bytes: int = field(default=256 * 2**20)

    @property
    def witness_folder(self) -> Path:
        """Return the folder of the audit's second path."""
        return self.witness or self.data / "witness"

    @property
    def tls(self) -> bool:
        """Say whether the server speaks TLS."""
        return self.tls_cert is not None

    def check(self) -> None:
        """Raise StartRefused where certificate, key and address do not go together."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise StartRefused(
                "tls_incomplete",
                "a certificate needs its key and a key its certificate; nothing was started. "
                "Give both --tls-cert and --tls-key.",
            )
        for file in (self.tls_cert, self.tls_key):
            if file is not None and not os.access(file, os.R_OK):
                raise StartRefused(
                    "tls_unreadable",
                    f"{file} cannot be read; nothing was started. Check its path and rights.",
                )
        if self.tls_cert is not None and self.tls_key is not None:
            _try_certificate(self.tls_cert, self.tls_key)
        if not self.tls and not is_loopback(self.host):
            raise StartRefused(
                "tls_needed",
                f"{self.host} can be reached from other machines, and without TLS passwords and orders would "
                f"cross the network readably; nothing was started. Give --tls-cert and --tls-key, or leave "
                f"out --host to serve this machine only.",
            )


def _try_certificate(cert: Path, key: Path) -> None:
    try:
        # a key under a passphrase would be asked for at the terminal, on every restart
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, ValueError, OSError) as error:
        reason = f" ({error.reason})" if isinstance(error, ssl.SSLError) and error.reason else ""
        raise StartRefused(
            "tls_unusable",
            f"{cert} and {key} are no certificate chain with its key in PEM{reason}; nothing was started. "
            "The key must be without a passphrase and readable by this user alone.",
        ) from error


def is_loopback(host: str) -> bool:
    """Say whether an address reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 lets the system choose. Raises StartRefused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise StartRefused(
            "port_in_use" if getattr(error, "errno", None) == 98 else "cannot_listen",
            f"{host}:{port} cannot be taken: {reason}; nothing was started. "
            f"Stop what listens there, or choose another port with --port (0 = any free one).",
        ) from error
    listener.setblocking(False)
    return listener


class DataFolder:
    """The lock of one data folder: while it is held, no other process writes there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def lock(self) -> DataFolder:
        """Make and lock the folder. Raises StartRefused naming the process that has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartRefused(
                "data_folder",
                f"{self.path} cannot be used: {error.strerror}; nothing was started. "
                f"Check its path and rights.",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise StartRefused(
                "data_folder_locked",
                f"{self.path} belongs to a running server (process {owner}); nothing was started. "
                f"Stop that one, or choose another folder with --data.",
            ) from error
        try:
            # written over, not truncated first: on a full disk the old bytes are all the space there is
            os.ftruncate(handle, os.pwrite(handle, f"{os.getpid()}\n".encode(), 0))
        except OSError as error:
            os.close(handle)
            raise StartRefused(
                "data_folder",
                f"{self.path} cannot be written: {error.strerror}; nothing was started. Free space there.",
            ) from error
        self._handle = handle
        return self

    def unlock(self) -> None:
        """Give the folder back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> DataFolder:
        return self.lock()

    def __exit__(self, *_: object) -> None:
        self.unlock()


def raise_open_files(needed: int) -> None:
    """Raise this process's limit of open files to what the lines need. Raises StartRefused when it cannot."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise StartRefused(
            "open_files",
            f"{needed} open files are needed for this site and {hard} are allowed; nothing was started. "
            f"Raise it, for example with LimitNOFILE={needed} in the service file.",
            exit_status=1,
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
