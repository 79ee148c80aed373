"""The real thing: gunicorn with two workers, real rows through HTTP, kill -9, a stop, and a disk that fills up."""

import csv
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from http.client import HTTPException, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from conftest import missing
from serving import ROOT, Service
from ulid import ULID

pytestmark = pytest.mark.alone

Row = dict[str, str]

SHARED = Path(os.environ.get("CASHMAN_TEST_SHARED", ROOT.parent / "shared")) / "data"
SAMPLE = Path(__file__).parent / "data" / "sample.csv"
CLIENTS = 8


@pytest.fixture
def service(empty_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service that begins with nothing."""
    service = Service(tmp_path, empty_url)
    yield service
    service.remove()


@pytest.fixture
def sqlite_service(tmp_path: Path) -> Iterator[Service]:
    """The same where the engine makes no difference."""
    service = Service(tmp_path, f"sqlite:///{tmp_path / 'cashman.db'}")
    yield service
    service.remove()


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file, as documents to post: amounts stay text, and there is no account column."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.pop("account", None)
        if not row["payee"]:
            del row["payee"]
    return rows


def add_up(rows: list[Row]) -> dict[str, Any]:
    """What rows come to by type, category and month."""
    sums: dict[str, dict[str, Decimal]] = {name: defaultdict(Decimal) for name in ("type", "category", "month")}
    for row in rows:
        for name, key in (("type", row["type"]), ("category", row["category"]), ("month", row["date"][:7])):
            sums[name][key] += Decimal(row["amount"])
    return {
        "rows": len(rows),
        "total": str(sum(Decimal(row["amount"]) for row in rows)),
        **{f"by_{name}": {key: str(amount) for key, amount in sorted(sums[name].items())} for name in sums},
    }


def in_parallel(work: Callable[[list[Row]], Any], rows: list[Row]) -> list[Any]:
    """Share rows out to the clients, each in a thread of its own."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, [rows[number::CLIENTS] for number in range(CLIENTS)]))


def post_all(service: Service, rows: list[Row]) -> None:
    """Book rows through several clients at once; every one has to be acknowledged."""

    def work(share: list[Row]) -> None:
        connection = service.connect()
        for row in share:
            status, _, problem = service.request("POST", "/transactions", row, connection)
            assert status == 204, problem
        connection.close()

    in_parallel(work, rows)


@pytest.mark.parametrize("source", ["sample", "household"])
def test_a_households_books_add_up_to_the_cent_also_after_kill_9(service: Service, source: str) -> None:
    if source == "household":
        if not (SHARED / "household.csv").exists():
            pytest.skip("the household's books are not here; CASHMAN_TEST_SHARED names their folder")
        rows = read_rows(SHARED / "household.csv")
        expected = json.loads((SHARED / "household-totals.json").read_text())
        assert expected["rows"] == 843
    else:
        rows = read_rows(SAMPLE)
        expected = add_up(rows)
        assert expected["rows"] > 90
    post_all(service, rows)
    found = service.transactions()
    assert add_up(found) == expected
    assert len(service.workers) == 2
    service.kill()
    service.start()
    assert service.transactions() == found
    for type_, resource_ in (("INCOME", "incomes"), ("EXPENSE", "expenses")):
        rows_of_type = service.transactions(resource_)
        assert {row["type"] for row in rows_of_type} == {type_}
        total = sum(Decimal(row["amount"]) for row in rows_of_type)
        assert str(total) == expected["by_type"][type_]


def test_adding_up_sees_one_cent(tmp_path: Path) -> None:
    """The control of the test above."""
    rows = read_rows(SAMPLE)
    assert add_up(rows) == add_up(list(reversed(rows)))
    assert add_up([*rows[:-1], rows[-1] | {"amount": str(Decimal(rows[-1]["amount"]) - Decimal("0.01"))}]) != add_up(
        rows
    )


def test_what_was_acknowledged_is_there_exactly_once_after_kill_9_in_the_middle(service: Service) -> None:
    """Clients choose their ids, and repeat after each restart whatever got no answer."""
    rows = [row | {"id": str(ULID())} for row in read_rows(SAMPLE) * 6]
    acknowledged: set[str] = set()
    kills = 0

    def work(share: list[Row]) -> list[Row]:
        """Book until the service dies; gives what got no answer."""
        with closing(service.connect()) as connection:
            for number, row in enumerate(share):
                try:
                    status, _, problem = service.request("POST", "/transactions", row, connection)
                except (OSError, HTTPException):
                    return share[number:]
                assert status == 204, problem
                acknowledged.add(row["id"])
        return []

    pending = rows
    while pending:
        killer = None
        if kills < 2:
            # In the middle of writing: when a third of what is left was acknowledged.
            count = len(acknowledged) + len(pending) // 3
            killer = threading.Thread(target=_when, args=(acknowledged, count, service.kill))
            killer.start()
        pending = [row for left in in_parallel(work, pending) for row in left]
        if killer is not None:
            killer.join()
            kills += 1
            assert pending, "the service was killed while nothing was under way"
            service.start()
            found = [row["id"] for row in service.transactions()]
            assert len(found) == len(set(found))
            assert acknowledged <= set(found)
            assert set(found) <= {row["id"] for row in rows}
    assert kills == 2
    found_rows = service.transactions()
    assert sorted(row["id"] for row in found_rows) == sorted(row["id"] for row in rows)
    assert add_up(found_rows) == add_up(rows)


def _when(acknowledged: Sized, count: int, act: Callable[[], Any]) -> None:
    """Do something once so many are acknowledged."""
    deadline = time.monotonic() + 60
    while len(acknowledged) < count and time.monotonic() < deadline:
        time.sleep(0.002)
    act()


def test_sigterm_finishes_what_is_in_flight(service: Service) -> None:
    """Every request that the service has taken gets its answer, and what is acknowledged is there."""
    acknowledged: list[str] = []
    lost: list[BaseException] = []

    def work(rows: list[Row]) -> None:
        for row in itertools.cycle(rows):
            try:
                connection = service.connect()
                connection.connect()
            except OSError:
                return  # nobody listens any more: nothing was sent
            id_ = str(ULID())
            try:
                status, _, problem = service.request("POST", "/transactions", row | {"id": id_}, connection)
            except (OSError, HTTPException) as error:
                # A reset comes from the kernel: the connection was never taken from its queue.
                reset = isinstance(error, (ConnectionResetError, BrokenPipeError))
                if isinstance(error, RemoteDisconnected) or not reset:
                    lost.append(error)
                return
            finally:
                connection.close()
            assert status == 204, problem
            acknowledged.append(id_)

    stopper = threading.Thread(target=_when, args=(acknowledged, 50, service.process.terminate))
    stopper.start()
    in_parallel(work, read_rows(SAMPLE))
    stopper.join()
    assert service.process.wait(15) == 0
    assert lost == []
    assert "Traceback" not in service.log.read_text()
    service.start()
    found = [row["id"] for row in service.transactions()]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)


def test_the_tutorials_curl_commands_work(sqlite_service: Service) -> None:
    if shutil.which("curl") is None:
        missing("curl")

    def curl(*arguments: str) -> str:
        # The address is the only thing that differs from what the tutorial prints.
        said = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, check=True, timeout=20)
        return said.stdout

    root = sqlite_service.url
    assert curl(f"{root}/incomes") == "[]"
    lottery = '{"description": "lottery", "amount": 1000.0}'
    json_header = ("-H", "Content-Type: application/json")
    assert curl("-X", "POST", *json_header, "-d", lottery, f"{root}/incomes") == ""
    pizza = '{"description": "pizza", "amount": 50}'
    status = curl("-X", "POST", *json_header, "-d", pizza, "-w", "%{http_code}", f"{root}/expenses")
    assert status == "204"
    (income,) = json.loads(curl(f"{root}/incomes/"))
    assert (income["description"], income["amount"], income["type"]) == ("lottery", 1000.0, "INCOME")
    assert '"amount":-50.00,' in curl(f"{root}/expenses/")
    assert '"status":415' in curl("-d", lottery, f"{root}/incomes"), "a forgotten header is told"


def test_both_workers_share_one_ledger(service: Service) -> None:
    """A connection stays with one worker: several of them meet both, and all see every write at once."""
    connections = [service.connect() for _ in range(12)]
    for number, connection in enumerate(connections, 1):
        document = {"description": f"number {number}", "amount": number}
        assert service.request("POST", "/incomes", document, connection)[0] == 204
        for reader in connections:
            status, _, rows = service.request("GET", "/incomes?sort=created_at", connection=reader)
            assert (status, [row["amount"] for row in rows]) == (200, [f"{n}.00" for n in range(1, number + 1)])
    for connection in connections:
        connection.close()


def test_a_disk_that_fills_up_under_the_service_is_survived(sqlite_service: Service) -> None:
    """The workers may not make any file longer for a while (RLIMIT_FSIZE): reads go on, and no restart is needed."""
    rows = read_rows(SAMPLE)
    post_all(sqlite_service, rows[:20])
    database = Path(sqlite_service.database_url.removeprefix("sqlite:///"))
    workers = sqlite_service.workers
    size = database.with_name(database.name + "-wal").stat().st_size
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    refused = 0
    for row in rows[20:40]:
        status, headers, problem = sqlite_service.request("POST", "/transactions", row)
        assert status in (204, 503), problem
        if status == 503:
            refused += 1
            assert headers["Retry-After"]
    assert refused > 0
    before = sqlite_service.transactions()
    assert len(before) == 40 - refused
    for pid in workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    post_all(sqlite_service, rows[40:60])
    assert len(sqlite_service.transactions()) == len(before) + 20
    assert sqlite_service.workers == workers, "no worker was replaced"


def test_signing_keys_that_cannot_be_read_are_told_in_the_log_and_mended_without_a_restart(
    sqlite_service: Service, tmp_path: Path
) -> None:
    """What the service logs itself, and not gunicorn, reaches the same log."""
    keys = tmp_path / "cashman.db.keys"
    credentials = {"email": "ann@example.com", "password": "correct horse"}
    environment = {**os.environ, "CASHMAN_DATABASE_URL": sqlite_service.database_url}
    command = [sys.executable, "-m", "cashman", "user", "add", credentials["email"], "--password", "correct horse"]
    keys.chmod(0o640)
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert sqlite_service.request("POST", "/tokens", credentials)[0] == 503
    assert "tokens can be neither signed nor checked" in sqlite_service.log.read_text()
    keys.chmod(0o600)
    assert sqlite_service.request("POST", "/tokens", credentials)[0] == 200
