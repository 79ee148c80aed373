"""TLS to PostgreSQL: a real server that takes nothing else, and whose certificate is checked."""

import contextlib
import datetime as dt
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import missing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from serving import SECONDS_MAX

from cashman import db
from cashman.errors import StoreUnavailable
from cashman.ledger import Books
from cashman.model.income import Income
from cashman.verify import verify

USER = "nobody"
"""PostgreSQL refuses to run as root."""


def certificate(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, beside its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    private.chmod(0o600)
    return path


def built_with_tls() -> Path:
    """Where a PostgreSQL is that knows TLS: the one of the tests' own package does not."""
    for initdb in [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), shutil.which("initdb")]:
        folder = Path(initdb).resolve().parent if initdb else None
        if folder is not None and b"libssl" in (folder / "postgres").read_bytes():
            return folder
    missing("a PostgreSQL with TLS (Debian's package postgresql)")
    raise AssertionError("missing() never returns")


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    """A server that lets nobody in without TLS: its address, and certificates, its own and a stranger's."""
    binaries = built_with_tls()
    folder = Path(tempfile.mkdtemp(prefix="cashman-tls-"))
    data = folder / "data"
    data.mkdir(mode=0o700)
    own, strange = (certificate(folder, name) for name in ("own", "strange"))
    run_as: dict[str, Any] = {}
    if os.geteuid() == 0:
        run_as = {"user": USER}
        folder.chmod(0o755)
        for path in (data, own, own.with_suffix(".key")):
            shutil.chown(path, USER)
    command = [binaries / "initdb", "--pgdata", data, "--username", "cashman", "--auth", "trust", "--no-sync"]
    subprocess.run([*command, "--encoding", "utf8"], check=True, capture_output=True, cwd="/", **run_as)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": own,
        "ssl_key_file": own.with_suffix(".key"),
        "lc_messages": "C",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd="/", **run_as
        )
    try:
        _wait_for(port, own, folder / "log")
        yield {"port": port, "own": own, "strange": strange}
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(SECONDS_MAX)
        shutil.rmtree(folder)


def _wait_for(port: int, own: Path, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"host=127.0.0.1 port={port} user=cashman dbname=postgres sslrootcert={own}").close()
            return
        time.sleep(0.1)
    pytest.fail(log.read_text())


def url(server: dict[str, Any], host: str = "127.0.0.1", **parameters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"postgresql://cashman@{host}:{server['port']}/postgres?{query}"


def test_books_are_kept_by_tls_with_a_certificate_that_is_checked(server: dict[str, Any]) -> None:
    books = Books(db.connect(url(server, sslmode="verify-full", sslrootcert=str(server["own"]))))
    try:
        books.own_ledger().record(Income("lottery", 1000))
        assert [found.transactions for found in verify(books.database)] == [1]
        encrypted = (
            "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE client_addr IS NOT NULL"
        )
        with_tls, all_ = books.database.read(lambda connection: connection.exec_driver_sql(encrypted).one())
        assert with_tls == all_ >= 1
    finally:
        books.database.close()


@pytest.mark.parametrize(
    "parameters",
    [
        {"sslmode": "disable"},
        {"sslmode": "verify-full", "sslrootcert": "strange"},
        {"sslmode": "verify-full", "sslrootcert": "own", "host": "localhost"},
    ],
    ids=["without_it", "another_certificate", "a_certificate_of_another_name"],
)
def test_nothing_is_said_to_whom_it_is_not_safe_to_say_it(server: dict[str, Any], parameters: dict[str, str]) -> None:
    given = {name: str(server.get(value, value)) for name, value in parameters.items()}
    database = db.connect(url(server, **given))
    with pytest.raises(StoreUnavailable):
        database.open()
    database.close()
