"""How the service is seen: metrics of all workers, a log that holds no secret, ids that lead from one to the other."""

import http.client
import json
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from people import another, first_user
from prometheus_client.parser import text_string_to_metric_families
from serving import SECONDS_MAX, Service

from cashman import current
from cashman.ledger import Books, Ledger
from cashman.observability import logs, requests

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """Every sample of an exposition."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: FlaskClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.content_type.startswith("text/plain; version=")
    return samples_of(answer.get_data(as_text=True))


def at(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


# What is counted.


def test_requests_are_counted_by_route_and_status_and_never_by_path(client: FlaskClient) -> None:
    before = scrape(client)
    assert client.post("/expenses", json={"description": "pizza", "amount": 5}).status_code == 204
    for id_ in ("01KAHBJ5V0000000000000P1ZZ", "01KAHBJ5V0000000000000P2ZZ"):
        assert client.get(f"/expenses/{id_}").status_code == 404
    ulid = client.get("/ledger").json["id"]
    assert client.get(f"/ledgers/{ulid}/expenses?q=secret").status_code == 200
    for path in ("/wp-login.php", "/etc/passwd", "/%F0%9F%8D%95"):
        assert client.get(path).status_code == 404
    assert client.open("/expenses", method="BREW").status_code == 405
    after = scrape(client)

    def more(**labels: str) -> float:
        return at(after, "cashman_http_requests_total", **labels) - at(before, "cashman_http_requests_total", **labels)

    assert more(method="POST", route="/expenses", status="204") == 1
    assert more(method="GET", route="/expenses/{id}", status="404") == 2
    assert more(method="GET", route="/ledgers/{ledger_ulid}/expenses", status="200") == 1
    assert more(method="GET", route="unmatched", status="404") == 3
    assert more(method="OTHER", route="unmatched", status="405") == 1
    labels = {"method": "POST", "route": "/expenses"}
    name = "cashman_http_request_duration_seconds"
    assert at(after, f"{name}_count", **labels) - at(before, f"{name}_count", **labels) == 1
    assert at(after, f"{name}_sum", **labels) > at(before, f"{name}_sum", **labels)


def test_commits_the_journal_and_the_pool_are_there(client: FlaskClient, books: Books) -> None:
    before = scrape(client)
    for _ in range(3):
        client.post("/expenses", json={"description": "pizza", "amount": 5})
    time.sleep(1.1)  # so long an answer of the database stands
    after = scrape(client)
    for name in ("cashman_commit_changes", "cashman_commit_duration_seconds"):
        assert at(after, f"{name}_count") - at(before, f"{name}_count") == 3
    assert at(after, "cashman_commit_changes_sum") - at(before, "cashman_commit_changes_sum") == 3
    assert at(after, "cashman_journal_head_sequence") == books.own_ledger().head().sequence
    assert at(after, "cashman_changes_waiting") == 0
    assert at(after, "cashman_database_up") == 1
    assert at(after, "cashman_database_connections", state="in_use") >= 1, "the writer keeps its own"
    assert at(after, "cashman_database_connections_max") >= 4
    assert at(after, "cashman_workers") == 1
    assert at(after, "cashman_process_resident_memory_bytes", pid=str(os.getpid())) > 10_000_000


def test_what_a_caller_may_not_do_is_no_failure_of_the_database(
    client: FlaskClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cashman.db import unavailable

    before = scrape(client)
    body = {"id": "01KAHBJ5V0000000000000P1ZZ", "description": "pizza", "amount": 5}
    assert client.post("/expenses", json=body).status_code == 204
    assert client.post("/expenses", json=body | {"amount": 6}).status_code == 409
    assert at(scrape(client), "cashman_commit_failures_total") == at(before, "cashman_commit_failures_total")

    def fail(_: Any) -> Any:
        raise unavailable()

    monkeypatch.setattr(books.database, "write", fail)
    assert client.post("/expenses", json=body | {"id": "01KAHBJ5V0000000000000P3ZZ"}).status_code == 503
    assert at(scrape(client), "cashman_commit_failures_total") - at(before, "cashman_commit_failures_total") == 1


def test_metrics_are_given_while_the_database_is_gone() -> None:
    from cashman.index import create_app

    app = create_app({"CASHMAN_DATABASE_URL": "postgresql://127.0.0.1:1/nothing"})
    samples = scrape(app.test_client())
    assert at(samples, "cashman_database_up") == 0
    assert not [name for name, _ in samples if name == "cashman_journal_head_sequence"]


# Who may read it.


def test_this_machine_and_administrators_read_metrics(client: FlaskClient) -> None:
    first = first_user(client)
    assert client.get("/metrics").status_code == 200
    for environ in (ELSEWHERE, {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}, {"HTTP_HOST": "books.example"}):
        assert client.get("/metrics", environ_overrides=environ).status_code == 401
        assert client.get("/metrics", environ_overrides=environ | _bearer(first.token)).status_code == 200
    key = first.post("/api-keys", json={"name": "prometheus", "scope": "read"}).json["key"]
    assert client.get("/metrics", environ_overrides=ELSEWHERE | _bearer(key)).status_code == 200
    other = another(first, "other@example.com")
    assert client.get("/metrics", environ_overrides=ELSEWHERE | _bearer(other.token)).status_code == 403


def _bearer(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def test_metrics_can_be_open_or_off(with_settings: Callable[..., FlaskClient]) -> None:
    assert with_settings(metrics="open").get("/metrics", environ_overrides=ELSEWHERE).status_code == 200
    client = with_settings(metrics="off")
    assert client.get("/metrics").status_code == 404
    assert client.post("/expenses", json={"description": "pizza", "amount": 5}).status_code == 204
    assert current.books(client.application).writer.around.__name__ == "_plainly", "nothing is counted"


# Ids.


@pytest.mark.parametrize("given", ["01KAHBJ5V0000000000000P1ZZ", "7b1f9a52-5c59-4d8e-9d63-6d0f0a9b6a3e", "a" * 64])
def test_a_request_id_that_is_one_is_given_back(client: FlaskClient, given: str) -> None:
    for path in ("/expenses", "/nowhere", "/healthz"):
        assert client.get(path, headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize(
    "given", ["", "short", "a" * 65, "a b c d e f g", "cashman_" + "a" * 43, "eyJhbGci.eyJzdWIi.x", "é" * 9]
)
def test_any_other_request_id_is_replaced_by_one_of_ours(client: FlaskClient, given: str) -> None:
    answers = [client.get("/expenses", headers={"X-Request-Id": given}) for _ in range(2)]
    made = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(made) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


# The log of this process.


@pytest.fixture
def log(app: Flask, tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Has requests written down; gives what is there."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        requests.watch(app).access_log = logs.AccessLog("json", file.fileno())
        yield lambda: [json.loads(line) for line in path.read_text().splitlines()]


def test_each_request_is_one_line(client: FlaskClient, log: Callable[[], list[dict[str, Any]]]) -> None:
    answer = client.post("/expenses", json={"description": "pizza", "amount": 5}, headers={"traceparent": TRACEPARENT})
    (line,) = log()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("duration_ms") > 0
    assert line == {
        "level": "info", "logger": "cashman.access", "message": "POST /expenses 204", "process": os.getpid(),
        "request_id": answer.headers["X-Request-Id"], "trace_id": TRACE, "actor": "owner", "ledger": 1,
        "method": "POST", "route": "/expenses", "status": 204, "bytes": 0,
    }  # fmt: skip


def test_the_line_of_the_readme_is_such_a_line(client: FlaskClient, log: Callable[[], list[dict[str, Any]]]) -> None:
    (told,) = re.findall(r'^\{"time":.*$', Path(__file__).parents[1].joinpath("README.md").read_text("utf-8"), re.M)
    client.post("/expenses", json={"description": "pizza", "amount": 5})
    (line,) = log()
    assert list(json.loads(told)) == list(line)


def test_probes_are_written_down_only_where_they_fail(
    client: FlaskClient, log: Callable[[], list[dict[str, Any]]]
) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    assert log() == []
    assert client.get("/readyz?verbose").status_code == 422
    assert [line["route"] for line in log()] == ["/readyz"]


def test_a_stream_is_written_down_when_it_is_over(client: FlaskClient, log: Callable[[], list[dict[str, Any]]]) -> None:
    client.post("/expenses", json={"description": "pizza", "amount": 5})
    answer = client.get("/export/csv")
    assert len(log()) == 1
    assert b"pizza" in answer.get_data()
    answer.close()
    (_, line) = log()
    assert (line["route"], line["status"], line["bytes"]) == ("/export/{format_name}", 200, None)


@pytest.mark.parametrize("header", ["", "x", TRACEPARENT.upper(), "00-" + "0" * 32 + "-b7ad6b7169203331-01", TRACE])
def test_a_trace_that_is_none_is_not_taken_for_one(
    client: FlaskClient, log: Callable[[], list[dict[str, Any]]], header: str
) -> None:
    client.get("/expenses", headers={"traceparent": header})
    assert [line["trace_id"] for line in log()] == [None]


def test_text_is_for_people(client: FlaskClient, app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        requests.watch(app).access_log = logs.AccessLog("text", file.fileno())
        client.get("/expenses", headers={"X-Request-Id": "abcdefgh"})
    assert re.fullmatch(
        r"\[[-\d]+ [:\d]+ \+0000\] \[\d+\] \[INFO\] GET /expenses 200 [\d.]+ ms actor=owner id=abcdefgh\n",
        path.read_text(),
    )


def test_a_fault_is_one_line_with_its_stack_and_the_request(app: Flask, client: FlaskClient, monkeypatch: Any) -> None:
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    handler = Kept()
    handler.setFormatter(logs.JsonFormatter())
    logging.getLogger("cashman").addHandler(handler)
    monkeypatch.setattr(Ledger, "balances", lambda *_, **__: 1 / 0)
    try:
        answer = client.get("/balances")
    finally:
        logging.getLogger("cashman").removeHandler(handler)
    assert answer.status_code == 500
    (line,) = said
    entry = json.loads(line)
    assert "\n" not in line
    assert (entry["level"], entry["route"]) == ("error", "/balances")
    assert entry["request_id"] == answer.headers["X-Request-Id"]
    assert entry["exception"].startswith("Traceback")
    assert entry["exception"].endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(("setting", "style"), [("json", "json"), ("text", "text"), ("off", "off"), (None, "json")])
def test_where_there_is_no_terminal_the_log_is_json(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, style: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert logs.style_of(setting) == style


# The workers of a service.


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("observed")
    service = Service(folder, f"sqlite:///{folder / 'cashman.db'}", CASHMAN_LOG="json")
    yield service
    service.remove()


def served_samples(service: Service) -> Samples:
    connection = service.connect()
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return samples_of(text)


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


COUNTED = {"method": "GET", "route": "/tags", "status": "200"}


def test_the_counts_of_all_workers_are_added_up_and_stay_when_one_dies(service: Service) -> None:
    """A connection stays with its worker, so many of them reach both."""
    for _ in range(20):
        assert service.request("GET", "/tags")[0] == 200
    assert until(lambda: at(served_samples(service), "cashman_workers") == 2)
    for _ in range(5):
        assert at(served_samples(service), "cashman_http_requests_total", **COUNTED) == 20
    victim = service.workers[0]
    os.kill(victim, signal.SIGKILL)
    assert until(
        lambda: (
            victim not in service.workers
            and len(service.workers) == 2
            and at(served_samples(service), "cashman_workers") == 2
        )
    )
    samples = served_samples(service)
    assert at(samples, "cashman_http_requests_total", **COUNTED) == 20
    pids = {dict(labels)["pid"] for name, labels in samples if name == "cashman_process_open_fds"}
    assert pids == {str(pid) for pid in service.workers}


def test_no_secret_gets_into_the_log_wherever_it_is_sent(service: Service) -> None:
    secret = "Hunter2Hunter2"
    headers = {
        "Authorization": f"Bearer {secret}",
        "Cookie": f"session={secret}",
        "X-Request-Id": f"cashman_{secret}",
        "Idempotency-Key": secret,
        "User-Agent": secret,
        "Referer": f"http://localhost/{secret}",
        "traceparent": secret,
        "Content-Type": "application/json",
    }
    body = json.dumps({"description": secret, "email": f"{secret}@example.com", "password": secret})
    for method, path in [
        ("GET", f"/expenses?q={secret}"),
        ("GET", f"/{secret}?token={secret}"),
        ("POST", "/expenses"),
        ("POST", "/tokens"),
        ("PUT", f"/import/mappings/{secret}"),
        ("GET", f"/problems/{secret}"),
        (secret.upper(), f"/{secret}"),
    ]:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=SECONDS_MAX)
        connection.request(method, path, body if method != "GET" else None, headers)
        assert connection.getresponse().status < 500
        connection.close()
    for broken in (
        f"GET /?token={secret} HTTP/9.9\r\n\r\n",
        f"GET /{secret} HTTP/1.1\r\nAuthorization Bearer {secret}\r\n\r\n",
        f"{secret}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", service.port), SECONDS_MAX) as raw:
            raw.sendall(broken.encode())
            while raw.recv(4096):
                pass
    service.request("GET", "/tags")
    assert until(lambda: "Invalid request" in service.log.read_text())
    log = service.log.read_text()
    assert secret.lower() not in log.lower()
    for line in log.splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line)), line


def test_the_folder_of_the_counts_goes_with_the_service_and_one_left_by_a_kill_with_the_next(tmp_path: Path) -> None:
    memory = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")

    def folder_of(service: Service) -> Path:
        found: list[Path] = []
        assert until(lambda: bool(found.extend(memory.glob(f"*/gauge_livesum_{service.workers[0]}.db")) or found))
        return found[0].parent

    service = Service(tmp_path, f"sqlite:///{tmp_path / 'cashman.db'}")
    left = folder_of(service)
    service.kill()
    assert left.exists()
    service.start()
    try:
        assert not left.exists()
        own = folder_of(service)
        assert service.stop() == 0
        assert not own.exists()
    finally:
        service.remove()
