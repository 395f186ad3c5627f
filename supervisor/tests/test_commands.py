"""The supervisor's commands as a person runs them: exit status, one clear sentence, nothing half done."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.slow  # each test starts processes of its own

EXAMPLE = Path(__file__).parents[2] / "examples" / "schutterwald" / "site.toml"
PASSWORD = "cevovod-pod-ulico-7"


def toplovod(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )


def small_site(folder: Path) -> Path:
    """A site of one controller that nobody answers for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = folder / "site.toml"
    path.write_text(
        f'[site]\nname = "Small"\n[[area]]\nid = "north"\n[[substation]]\nid = "house-01"\n'
        f'area = "north"\naddress = "127.0.0.1:{port}"\n',
        encoding="utf-8",
    )
    return path


class Served:
    """A running `toplovod serve --json`."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "serve", *map(str, arguments), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.facts = json.loads(line) if line else {}

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def test_check_passes_the_example_and_names_mistakes(tmp_path: Path) -> None:
    good = toplovod("site", "check", EXAMPLE, "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["substations"] == 44

    bad = tmp_path / "site.toml"
    bad.write_text(small_site(tmp_path).read_text().replace('area = "north"', 'area = "nort"'))
    told = toplovod("site", "check", bad)
    assert told.returncode == 1
    assert "line 7: area 'nort' is not declared. Did you mean 'north'?" in told.stdout
    rows = json.loads(toplovod("site", "check", bad, "--json").stdout)
    assert rows["passed"] is False and rows["mistakes"][0]["line"] == 7


def test_a_new_site_passes_its_check_and_is_not_overwritten(tmp_path: Path) -> None:
    site = tmp_path / "town.toml"
    assert toplovod("site", "new", site, "--name", "Nova Gorica").returncode == 0
    assert toplovod("site", "check", site).returncode == 0
    before = site.read_bytes()
    again = toplovod("site", "new", site)
    assert again.returncode == 2 and "already" in again.stderr and site.read_bytes() == before


def test_export_and_import_go_round_and_a_mistake_changes_nothing(tmp_path: Path) -> None:
    for form in ("csv", "json"):
        table, site = tmp_path / f"t.{form}", tmp_path / f"{form}.toml"
        assert toplovod("site", "export", EXAMPLE, "-o", table, "--format", form).returncode == 0
        done = toplovod("site", "import", table, site, "--base", EXAMPLE)
        assert done.returncode == 0, done.stderr
        exported = toplovod("site", "export", site, "--format", form)
        assert exported.stdout == table.read_text()

    table.write_text(table.read_text().replace('"north"', '"nowhere"', 1))
    before = site.read_bytes()
    refused = toplovod("site", "import", table, site, "--force")
    assert refused.returncode == 1 and "nowhere" in refused.stderr
    assert site.read_bytes() == before


def test_serve_answers_until_it_is_told_to_end_and_holds_its_folder(tmp_path: Path) -> None:
    site, data = small_site(tmp_path), tmp_path / "data"
    served = Served(site, "--data", data, "--port", "0")
    try:
        assert served.facts["address"].startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{served.facts['address']}/login", timeout=20) as answer:
            assert answer.status == 200

        second = toplovod("serve", site, "--data", data, "--port", "0")
        assert second.returncode == 2 and f"process {served.process.pid}" in second.stderr
        port = served.facts["address"].rpartition(":")[2]
        taken = toplovod("serve", site, "--data", tmp_path / "other", "--port", port)
        assert taken.returncode == 2 and "port_in_use" in taken.stderr and "--port" in taken.stderr
        assert not (tmp_path / "other").exists()  # nothing was started
        adding = toplovod(
            "user", "add", "ana", "--role", "north=operator", "--site", site, "--data", data,
            "--password-stdin", stdin=PASSWORD + "\n",
        )  # fmt: skip
        assert adding.returncode == 2 and "running server" in adding.stderr
    finally:
        status, errors = served.stop()
    assert status == 0, errors


def test_beyond_this_machine_nothing_is_served_without_tls(tmp_path: Path) -> None:
    refused = toplovod(
        "serve", small_site(tmp_path), "--data", tmp_path / "data", "--host", "0.0.0.0", "--port", "0"
    )
    assert refused.returncode == 2 and "tls_needed" in refused.stderr
    assert not (tmp_path / "data").exists()
    half = toplovod("serve", small_site(tmp_path), "--tls-cert", tmp_path / "c.pem")
    assert half.returncode == 2 and "tls_incomplete" in half.stderr


def test_with_a_certificate_it_serves_tls_beyond_this_machine(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "c.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k.pem").write_bytes(plain)
    served = Served(
        small_site(tmp_path), "--data", tmp_path / "data", "--host", "0.0.0.0", "--port", "0",
        "--tls-cert", tmp_path / "c.pem", "--tls-key", tmp_path / "k.pem",
    )  # fmt: skip
    try:
        assert served.facts["address"].startswith("https://")
        port = served.facts["address"].rpartition(":")[2]
        trust = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        with urllib.request.urlopen(f"https://localhost:{port}/healthz", timeout=30, context=trust) as answer:
            assert json.load(answer)["devices"] == 1
    finally:
        assert served.stop()[0] == 0


def test_a_site_with_mistakes_or_without_addresses_is_not_served(tmp_path: Path) -> None:
    site = small_site(tmp_path)
    site.write_text(site.read_text() + "priority = 99\nunit = 999\n")
    refused = toplovod("serve", site, "--data", tmp_path / "data", "--port", "0")
    assert refused.returncode == 2
    assert "line 9" in refused.stderr and "line 10" in refused.stderr
    template = toplovod("serve", EXAMPLE, "--data", tmp_path / "data", "--port", "0")
    assert template.returncode == 2 and "no address yet" in template.stderr


def test_a_person_is_added_audited_and_can_log_in(tmp_path: Path) -> None:
    site, data = small_site(tmp_path), tmp_path / "data"
    added = toplovod(
        "user", "add", "ana", "--role", "north=operator", "--site", site, "--data", data,
        "--password-stdin", "--json", stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["name"] == "ana"
    assert PASSWORD.encode() not in b"".join(f.read_bytes() for f in data.rglob("*") if f.is_file())
    weak = toplovod(
        "user", "add", "bor", "--role", "nowhere=operator", "--site", site, "--data", data,
        "--password-stdin", stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert weak.returncode == 1 and "nowhere" in weak.stderr

    verified = toplovod("audit", "verify", "--data", data, "--json")
    assert verified.returncode == 0 and json.loads(verified.stdout)["sound"]
    rows = [json.loads(line) for line in toplovod("audit", "export", "--data", data).stdout.splitlines()]
    assert any(row["body"].get("what") == "user_added" and row["body"].get("user") == "ana" for row in rows)
    assert toplovod("audit", "verify", "--data", tmp_path / "nothing").returncode == 2

    served = Served(site, "--data", data, "--port", "0")
    try:
        request = urllib.request.Request(
            f"{served.facts['address']}/api/v1/login",
            json.dumps({"name": "ana", "password": PASSWORD}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["user"]["name"] == "ana"
    finally:
        assert served.stop()[0] == 0


def test_a_flipped_byte_in_the_audit_is_found(tmp_path: Path) -> None:
    site, data = small_site(tmp_path), tmp_path / "data"
    for name in ("ana", "bor"):
        toplovod(
            "user", "add", name, "--role", "*=operator", "--site", site, "--data", data,
            "--password-stdin", stdin=PASSWORD + "\n",
        )  # fmt: skip
    path = data / "audit.sqlite"
    content = path.read_bytes()
    assert content.count(b'"bor"') >= 1
    path.write_bytes(content.replace(b'"bor"', b'"bob"'))
    told = toplovod("audit", "verify", "--data", data)
    assert told.returncode == 1 and "checkpoints: 1 finding\n" in told.stdout


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_person_can_be_shut_out_let_in_and_given_a_new_password(tmp_path: Path) -> None:
    site, data = small_site(tmp_path), tmp_path / "data"
    folder = ("--data", data)
    for name in ("ana", "bor"):
        assert toplovod(
            "user", "add", name, "--role", "north=operator", "--site", site, *folder, "--password-stdin",
            stdin=PASSWORD + "\n",
        ).returncode == 0  # fmt: skip
    for private in ("state.sqlite", "audit.sqlite"):
        assert mode_of(data / private) == 0o600  # hashes of passwords, and who did what

    shut = toplovod("user", "disable", "bor", "--site", site, *folder, "--json")
    assert shut.returncode == 0 and json.loads(shut.stdout)["disabled"] is True
    last = toplovod("user", "disable", "ana", "--site", site, *folder)
    assert last.returncode == 1 and last.stderr.startswith("last_operator: ")
    listed = json.loads(toplovod("user", "list", *folder, "--json").stdout)
    assert [(user["name"], user["disabled"]) for user in listed] == [("ana", False), ("bor", True)]
    assert toplovod("user", "enable", "bor", "--site", site, *folder).returncode == 0
    lower = toplovod("user", "roles", "bor", "--role", "north=viewer", "--site", site, *folder)
    assert lower.returncode == 0 and lower.stdout == "bor: north=viewer\n"
    fresh = toplovod("user", "password", "bor", *folder, "--password-stdin", stdin="drug-cevovod-9\n")
    assert fresh.returncode == 0, fresh.stderr
    unknown = toplovod("user", "disable", "nobody", "--site", site, *folder)
    assert unknown.returncode == 1 and unknown.stderr.startswith("unknown_user: ")
    done = [json.loads(line)["body"] for line in toplovod("audit", "export", *folder).stdout.splitlines()]
    assert [row["what"] for row in done if row.get("user") == "bor"] == [
        "user_added", "user_disabled", "user_enabled", "roles_changed", "password_changed",
    ]  # fmt: skip


def test_people_are_not_looked_for_in_a_mistyped_folder(tmp_path: Path) -> None:
    site = small_site(tmp_path)
    for command in (("list",), ("password", "ana"), ("disable", "ana", "--site", site)):
        refused = toplovod("user", *command, "--data", tmp_path / "dta")
        assert refused.returncode == 2 and refused.stderr.startswith("no_audit: ")
    assert not (tmp_path / "dta").exists()


def test_without_a_terminal_no_password_is_asked_for(tmp_path: Path) -> None:
    command = ["user", "add", "ana", "--role", "*=viewer", "--site", small_site(tmp_path), "--data", "d"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", *map(str, command)],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert done.returncode == 2 and "no_terminal: " in done.stderr and "Traceback" not in done.stderr


def test_a_certificate_that_is_none_starts_nothing(tmp_path: Path) -> None:
    site = small_site(tmp_path)
    refused = toplovod(
        "serve", site, "--data", tmp_path / "data", "--port", "0", "--tls-cert", site, "--tls-key", site
    )
    assert refused.returncode == 2 and refused.stderr.startswith("tls_unusable: ")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("state.sqlite", "database_unavailable"),
        ("audit.sqlite", "audit_unavailable"),
        ("history.sqlite", "database_unavailable"),
    ],
)
def test_a_damaged_database_is_named_and_kept(tmp_path: Path, name: str, code: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / name).write_text("no database at all, not a single page of one")
    refused = toplovod("serve", small_site(tmp_path), "--data", data, "--port", "0")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{code}: {data / name} cannot be opened")
    assert refused.stderr.count("nothing was started") == 1
    assert (data / name).read_text().startswith("no database")


def test_a_damaged_audit_is_told_by_its_export(tmp_path: Path) -> None:
    (tmp_path / "audit.sqlite").write_text("no database at all, not a single page of one")
    told = toplovod("audit", "export", "--data", tmp_path)
    assert told.returncode == 1 and told.stderr.startswith("audit_damaged: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device on this system")
def test_a_lock_on_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "lock").symlink_to("/dev/full")
    refused = toplovod("serve", small_site(tmp_path), "--data", data, "--port", "0")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"data_folder: {data} cannot be written: No space left on device")


def test_a_site_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()  # a folder stands where the file should go: the last step fails
    refused = toplovod("site", "new", target, "--force")
    assert refused.returncode == 2 and refused.stderr.startswith("cannot_write: ")
    assert list(tmp_path.iterdir()) == [target] and not list(target.iterdir())
