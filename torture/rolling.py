"""A rolling restart: three instances behind nginx are stopped and started one after the other, and no request fails.

The clients repeat nothing: nginx does. It asks another instance where one takes no connection, breaks off or says 503:
a read, and a write with an Idempotency-Key; never a write without one, of which nobody knows whether it was done.
With --control there is one instance only: then requests fail.
"""

import contextlib
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torture.cluster import one_server
from torture.crash import stored
from torture.failover import Instances
from torture.service import Broken, Caller, Impossible, arguments, free_port, judge, run, scratch, verify

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream cashman {{
        {servers}
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_connect_timeout 2s;
    proxy_next_upstream error timeout http_503;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            error_page 418 = @keyed;
            if ($http_idempotency_key) {{ return 418; }}
            proxy_pass http://cashman;
        }}
        location @keyed {{
            proxy_pass http://cashman;
            proxy_next_upstream error timeout http_503 non_idempotent;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, ports: list[int]) -> Iterator[int]:
    """nginx in front of some instances; gives its port."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Impossible("nginx is not installed")
    port = free_port()
    servers = "\n        ".join(f"server 127.0.0.1:{one} max_fails=0;" for one in ports)
    settings = folder / "nginx.conf"
    settings.write_text(CONFIGURATION.format(folder=folder, servers=servers, port=port))
    process = subprocess.Popen([program, "-e", folder / "nginx.log", "-c", settings], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        with Caller(port) as caller:
            while caller.ask("GET", "/healthz") is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Impossible(f"nginx does not start: {(folder / 'nginx.log').read_text()[-500:]}")
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


class Trusting(threading.Thread):
    """A client that repeats nothing."""

    def __init__(self, number: int, port: int, seed: int, ending: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.answers: Counter[int] = Counter()
        self.acknowledged: set[str] = set()
        self.failed: list[str] = []
        self._port = port
        self._chance = random.Random(f"{seed}/{number}")
        self._ending = ending

    def run(self) -> None:
        place = 0
        with Caller(self._port) as caller:
            while not self._ending.is_set():
                place += 1
                said = f"client {self.number} request {place}"
                if self._chance.random() < 0.5:
                    answer = caller.ask("GET", "/expenses?limit=5")
                else:
                    headers = {"Idempotency-Key": said.replace(" ", "-")}
                    answer = caller.ask("POST", "/expenses", {"description": said, "amount": 1}, headers)
                status = 0 if answer is None else answer.status
                self.answers[status] += 1
                if status == 204:
                    self.acknowledged.add(said)
                elif status != 200:
                    self.failed.append(f"{said}: {answer}")
                time.sleep(self._chance.uniform(0, 0.02))


def rolling(*, rounds: int = 1, clients: int = 6, seed: int = 1, control: bool = False) -> dict[str, Any]:
    """Restart each of three instances so many times; returns the figures."""
    ending = threading.Event()
    begun = time.monotonic()
    with scratch() as folder, one_server(folder) as node:
        # The harness is on this machine, but what comes through a proxy has no door that is open by itself.
        with Instances(node.url, folder, 1 if control else 3, CASHMAN_AUTH="open") as services:
            ports = [service.port for service in services]
            with nginx(folder, ports) as port:
                crowd = [Trusting(number, port, seed, ending) for number in range(clients)]
                for one in crowd:
                    one.start()
                try:
                    for _ in range(rounds):
                        for service in services:
                            service.stop()
                            service.start()
                            service.wait_until_up()
                            time.sleep(0.2)
                finally:
                    ending.set()
                for one in crowd:
                    one.join(60)
            found = [description for description, *_ in stored(ports[0]).values()]
        said = verify(node.url).split(":")[0]
    answers = sum((one.answers for one in crowd), Counter())
    failed = [one for client in crowd for one in client.failed]
    if failed:
        print(failed[0], file=sys.stderr)
    return {
        "restarts": rounds * len(services),
        "requests": answers.total(),
        "failed": len(failed),
        "lost": len(set().union(*(one.acknowledged for one in crowd)) - set(found)),
        "doubled": len(found) - len(set(found)),
        "cashman verify": said,
        "seconds": round(time.monotonic() - begun),
    }


def check(figures: dict[str, Any]) -> None:
    """Broken where a request failed, or something was lost or doubled."""
    if figures["failed"] or figures["lost"] or figures["doubled"]:
        raise Broken(str(figures))


def main() -> None:
    """Run it as the command line says."""
    parser = arguments(__doc__, control="one instance only: must break")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    given = vars(parser.parse_args())
    judge(rolling(**given), check, control=given["control"])


if __name__ == "__main__":
    sys.exit(run(main))
