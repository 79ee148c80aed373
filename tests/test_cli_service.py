"""How a command reaches the books: in this process, or over HTTP."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Run, runner, served
from flask import Flask
from flask.testing import FlaskClient
from people import Person, another, first_user
from serving import Service
from werkzeug import Request, Response

from cashman import __version__, config, door
from cashman.cli import books as book_commands
from cashman.cli import service, transactions
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from torture.service import REPOSITORY, settings

LOCAL_ONLY = [
    ("verify",),
    ("user", "list"),
    ("user", "add", "a@example.com", "--password", "correct horse battery"),
    ("keys", "rotate"),
    ("demo",),
]


@pytest.fixture
def run(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(transactions, "RETRY_SECONDS", 0)
    return runner(app, monkeypatch)


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """Where the books of the test are served."""
    with served(app) as url:
        yield url


@pytest.fixture
def person(client: FlaskClient) -> Person:
    return first_user(client)


def answering(*answers: Response) -> tuple[Any, list[Request]]:
    """A service that gives these answers, one after the other, and the requests that it has had."""
    left, seen = list(answers), []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        request.get_data()
        seen.append(request)
        return left.pop(0)(environ, start_response)

    return app, seen


# In this process.


def test_the_command_line_acts_as_the_owner_also_where_the_door_is_shut(
    run: Run, client: FlaskClient, person: Person
) -> None:
    assert client.get("/expenses").status_code == 401
    assert run("add", "expense", "50", "pizza").status == 0
    assert [row["description"] for row in json.loads(run("list", "--json").out)] == ["pizza"]
    assert person.get("/expenses").json[0]["description"] == "pizza"
    entry = json.loads(person.get("/journal").json[-1]["entry"])
    assert (entry["entity"], entry["actor"]) == ("transaction", "command line")


@pytest.mark.parametrize(
    "name",
    ["Cashman.caller", "cashman.caller", "Cashman-Caller", "cashman_caller", "HTTP_CASHMAN.CALLER", "X-Cashman.Caller"],
)
def test_no_header_makes_anybody_the_command_line(client: FlaskClient, person: Person, name: str) -> None:
    for value in ("command line", "Caller(principal='owner', actor='command line')", "owner"):
        answer = client.get("/expenses", headers={name: value})
        assert answer.status_code == 401
        answer = client.get("/expenses", headers={name: value, "Authorization": "Bearer nothing"})
        assert answer.status_code == 401


def test_only_a_caller_of_this_process_is_believed_and_no_text(client: FlaskClient, person: Person) -> None:
    for forged in ("owner", {"principal": "owner"}, None, True):
        assert client.get("/expenses", environ_overrides={door.CALLER_KEY: forged}).status_code == 401


def test_a_socket_cannot_name_the_caller_either(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    """gunicorn itself: whatever a header is called, it gets into the environment under HTTP_."""
    ledger.books.database.close()
    served = Service(tmp_path, database_url, CASHMAN_AUTH="auto")
    try:
        made = subprocess.run(
            [sys.executable, "-m", "cashman", "user", "add", "a@example.com", "--password", "correct horse battery"],
            cwd=REPOSITORY, env=settings(database_url), check=False, capture_output=True,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        for name in ("cashman.caller", "Cashman-Caller", "CASHMAN_CALLER"):
            connection = served.connect()
            connection.request("GET", "/expenses", headers={name: "owner"})
            assert connection.getresponse().status in (400, 401)
            connection.close()
    finally:
        served.remove()


def test_another_ledger_is_reached_by_its_id_whoever_owns_it(run: Run, person: Person) -> None:
    shared = person.new_ledger("Club", currency="EUR")
    other = another(person)
    for ledger in (shared, other.ledger):
        assert run("--ledger", ledger, "add", "expense", "7", "stamps").status == 0
        status, out, _ = run("list", "--json", CASHMAN_LEDGER=ledger.lower())
        assert (status, [row["description"] for row in json.loads(out)]) == (0, ["stamps"])
    assert json.loads(run("list", "--json").out) == []
    assert other.get("/expenses").json[0]["description"] == "stamps"
    assert [row["currency"] for row in person.get(f"/ledgers/{shared}/expenses").json] == ["EUR"]
    journal = run("--ledger", other.ledger, "journal").out.splitlines()
    assert json.loads(json.loads(journal[-1])["entry"])["ledger"] == other.ledger


def test_pages_of_another_ledger_are_followed(run: Run, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "PAGE_ROWS_MAX", 2)
    ledger = person.new_ledger("Club")
    for _ in range(5):
        person.post(f"/ledgers/{ledger}/expenses", {"description": "stamps", "amount": 7})
    assert len(json.loads(run("--ledger", ledger, "list", "--all", "--json").out)) == 5


def test_the_own_ledger_stays_the_first_one_after_its_user_is_gone(run: Run, person: Person) -> None:
    run("add", "expense", "50", "pizza")
    heir = another(person, admin=True)
    assert heir.delete(f"/users/{person.id}", json=None).status_code in (204, 422)
    assert [row["description"] for row in json.loads(run("list", "--json").out)] == ["pizza"]


def test_a_ledger_that_is_none_is_2(run: Run) -> None:
    status, out, err = run("--ledger", "01KAHBJ5V0000000000000P1ZZ", "list")
    assert (status, out) == (2, "")
    assert err == "cashman: there is no ledger 01KAHBJ5V0000000000000P1ZZ in these books\n"
    for text in ("7", "../users", "01KAHBJ5V0000000000000P1ZU", "81KAHBJ5V0000000000000P1ZZ"):
        assert run("--ledger", text, "list").status == 2


def test_reading_makes_no_books_and_recording_makes_them_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner(None, monkeypatch)
    path = tmp_path / "cashman.db"
    url = f"sqlite:///{path}"
    for command in (("list",), ("balance",), ("report",), ("export", "csv"), ("journal",), ("verify",)):
        status, out, err = run(*command, CASHMAN_DATABASE_URL=url)
        assert (status, out, err) == (2, "", "cashman: there are no books where CASHMAN_DATABASE_URL says\n")
    assert not path.exists()
    status, out, err = run("add", "expense", "50", "pizza", CASHMAN_DATABASE_URL=url)
    assert (status, err) == (0, "cashman: there were no books where CASHMAN_DATABASE_URL says; new ones are made\n")
    assert "pizza" in out
    assert run("list", CASHMAN_DATABASE_URL=url).status == 0
    assert run("verify", CASHMAN_DATABASE_URL=url).status == 0


def test_a_wrong_setting_is_2_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner(None, monkeypatch)
    for environment in ({"CASHMAN_DATABASE_URL": "mysql://x/y"}, {"CASHMAN_COLOUR": "red"}):
        status, out, err = run("list", **environment)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("cashman: CASHMAN_")


def test_a_database_out_of_reach_is_2(monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner(None, monkeypatch)
    status, out, err = run("list", CASHMAN_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert (status, out) == (2, "")
    assert err.startswith("cashman: ")


# Over HTTP.


def test_every_command_of_a_ledger_works_over_http_too(run: Run, url: str, person: Person, tmp_path: Path) -> None:
    far = {"CASHMAN_URL": url, "CASHMAN_KEY": person.key("write").token}
    assert run("add", "expense", "50", "pizza", "--date", "2026-01-05", **far).status == 0
    statement = tmp_path / "bank.csv"
    statement.write_text("date,amount,description\n2026-01-06,-4.50,coffee\n")
    assert run("import", str(statement), **far).status == 0
    for command in (
        ("list",),
        ("list", "--json"),
        ("balance",),
        ("report", "--by", "month"),
        ("report", "cashflow", "--json"),
        ("export", "csv"),
        ("journal",),
    ):
        there, here = run(*command, **far), run(*command)
        assert there == here
        assert (there.status, there.err) == (0, "")
        assert there.out
    actors = [json.loads(json.loads(line)["entry"])["actor"] for line in run("journal").out.splitlines()]
    assert actors[-1].startswith("key:")


def test_pages_and_another_ledger_over_http(
    run: Run, url: str, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PAGE_ROWS_MAX", 2)
    monkeypatch.setattr(book_commands, "FEED_ENTRIES_MAX", 2)
    ledger = person.new_ledger("Club")
    key = person.key("write").token
    far = ("--url", url, "--key", key, "--ledger", ledger)
    for number in range(5):
        assert run(*far, "add", "expense", str(number + 1), "stamps").status == 0
    assert len(json.loads(run(*far, "list", "--json", "--all").out)) == 5
    assert len(run(*far, "journal").out.splitlines()) == 7
    assert json.loads(run("--url", url, "--key", key, "list", "--json").out) == []


def test_without_a_key_or_with_a_wrong_one_it_is_2(run: Run, url: str, person: Person) -> None:
    status, out, err = run("list", CASHMAN_URL=url)
    assert (status, out) == (2, "")
    assert "access token" in err
    status, _, err = run("list", CASHMAN_URL=url, CASHMAN_KEY="cashman_wrong")
    assert (status, err) == (2, "cashman: The token is not valid.\n")


def test_what_a_key_may_not_do_is_2(run: Run, url: str, person: Person) -> None:
    status, _, err = run("add", "expense", "1", "gum", CASHMAN_URL=url, CASHMAN_KEY=person.key("read").token)
    assert status == 2
    assert "It takes the role editor." in err


def test_a_rule_that_is_broken_over_http_is_told_as_it_is_here(run: Run, url: str, person: Person) -> None:
    far = {"CASHMAN_URL": url, "CASHMAN_KEY": person.key("write").token}
    command = ("add", "expense", "12.345", "gum", "--date", "x")
    assert run(*command, **far) == run(*command)
    assert run(*command).status == 1


def test_a_base_path_and_who_asks_are_sent(run: Run) -> None:
    app, seen = answering(Response("[]", mimetype="application/json"))
    with served(app) as url:
        assert run("--url", f"{url}/books/", "--key", "secret", "list").status == 0
    (request,) = seen
    assert request.path == "/books/transactions"
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["User-Agent"] == f"cashman/{__version__}"
    assert "Accept-Language" not in request.headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_key_elsewhere(run: Run, status: int) -> None:
    elsewhere, seen_elsewhere = answering(*[Response("[]", mimetype="application/json")] * 3)
    with served(elsewhere) as there:
        app, _ = answering(*[Response(status=status, headers={"Location": f"{there}/transactions"})] * 4)
        with served(app) as url:
            said, out, err = run("--url", url, "--key", "secret", "list")
            assert run("--url", url, "--key", "secret", "add", "expense", "5", "x").status == 2
    assert (said, out) == (2, "")
    assert (
        err == f"cashman: the service sends us on to {there}/transactions, which is not followed: give that as --url\n"
    )
    assert seen_elsewhere == []


def test_a_write_is_repeated_once_after_a_503_and_never_more(run: Run) -> None:
    busy = Response(
        '{"type":"/problems/store-unavailable","title":"The database cannot take the request now."}', 503,
        mimetype="application/problem+json",
    )  # fmt: skip
    booked = Response(
        '{"id":"01KAHBJ5V0000000000000P1ZZ","date":"2026-01-05","description":"pizza","amount":-50.00,'
        '"currency":"USD","account":"main"}', 201, mimetype="application/json",
    )  # fmt: skip
    app, seen = answering(busy, booked, busy, busy)
    with served(app) as url:
        status, out, _ = run("--url", url, "add", "expense", "50", "pizza")
        assert (status, out) == (0, "2026-01-05  pizza  -50.00 USD  main  01KAHBJ5V0000000000000P1ZZ\n")
        assert run("--url", url, "add", "expense", "50", "pizza").status == 2
    keys = [request.headers["Idempotency-Key"] for request in seen]
    assert len(keys) == 4
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_nobody_at_the_other_end_is_2_and_one_line(run: Run) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        for command in (("list",), ("add", "expense", "5", "gum"), ("balance",)):
            status, out, err = run("--url", url, *command)
            assert (status, out, err.count("\n")) == (2, "", 1)
            assert err.startswith(f"cashman: {url} cannot be reached: ")


def test_a_connection_that_is_lost_is_made_once_more_for_a_write_and_not_for_a_read(run: Run) -> None:
    """A read can be asked again by whoever wants it; a write may have been booked, and nobody would know."""

    def hang_up(server: socket.socket, times: int) -> None:
        for _ in range(times):
            connection, _ = server.accept()
            connection.recv(10_000)
            connection.close()

    for command, times in ((("list",), 1), (("add", "expense", "5", "gum"), 2)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            thread = threading.Thread(target=hang_up, args=(server, times))
            thread.start()
            status, out, err = run("--url", url, *command)
            thread.join(30)
            assert not thread.is_alive()
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"cashman: {url} cannot be reached: ")


def test_a_service_that_says_nothing_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.Service.request, "__defaults__", ((), None, None, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, out, err = run("--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "list")
    assert (status, out) == (2, "")
    assert "timed out" in err


def test_what_is_no_cashman_is_2(run: Run) -> None:
    for answer, told in (
        (Response("<html>Welcome", mimetype="text/html"), "the answer is none of a Cashman"),
        (Response('{"a": 1}', mimetype="application/json"), "the answer is none of a Cashman"),
        (Response("<html>Bad", 502, mimetype="text/html"), "the service answers 502 Bad Gateway"),
        (Response("no", 404, mimetype="text/plain"), "the service answers 404 Not Found"),
        (Response("[]", 400, mimetype="application/problem+json"), "the service answers 400 Bad Request"),
        (Response("", 599), "the service answers 599"),
    ):
        app, _ = answering(answer)
        with served(app) as url:
            status, out, err = run("--url", url, "list")
        assert (status, out) == (1 if answer.status_code in (400, 404) else 2, ""), told
        assert err.startswith(f"cashman: {told}")


def test_an_answer_that_breaks_off_is_2(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "cashman", "--url", f"http://127.0.0.1:{server.getsockname()[1]}", "list"],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        connection, _ = server.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "breaks off" in err


def test_a_certificate_that_nobody_vouches_for_is_not_believed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    app, seen = answering(*[Response("[]", mimetype="application/json")] * 3)
    with served(app, context) as url:
        status, out, err = run("--url", url, "--key", "secret", "list")
        assert (status, out, seen) == (2, "", [])
        assert "CERTIFICATE_VERIFY_FAILED" in err or "certificate" in err
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        wrong_name = url.replace("localhost", "127.0.0.1")
        assert run("--url", wrong_name, "--key", "secret", "list").status == 2
        assert seen == []
        assert run("--url", url, "--key", "secret", "list").status == 0
    assert len(seen) == 1


@pytest.mark.parametrize(
    "url",
    ["localhost:5000", "ftp://x", "file:///etc/passwd", "http://", "http://a b", "http://u:p@x", "http://x?q", "http://x:y",
     "http://ü", "http://x#y", "http://[x"],
)  # fmt: skip
def test_a_url_that_is_none_is_2(run: Run, url: str) -> None:
    status, out, err = run("--url", url, "list")
    assert (status, out) == (2, "")
    assert "Usage: " in err


@pytest.mark.parametrize("key", ["with blank", "line\nbreak", "ümlaut"])
def test_a_key_that_no_header_can_hold_is_2_and_not_repeated(run: Run, key: str) -> None:
    status, out, err = run("--url", "http://localhost:1", "list", CASHMAN_KEY=key)
    assert (status, out) == (2, "")
    assert key not in err


def test_a_key_without_a_url_is_2_but_one_in_the_environment_means_nothing_here(run: Run) -> None:
    assert run("--key", "secret", "list").status == 2
    assert run("list", CASHMAN_KEY="secret").status == 0


@pytest.mark.parametrize("command", LOCAL_ONLY)
def test_what_works_on_the_database_itself_is_2_with_a_url(run: Run, ledger: Ledger, command: tuple[str, ...]) -> None:
    status, out, err = run(*command, CASHMAN_URL="http://localhost:1")
    assert (status, out) == (2, "")
    assert "not with --url" in err
    assert ledger.head().sequence == 2


@pytest.mark.parametrize("command", LOCAL_ONLY[:-1])
def test_what_is_about_all_ledgers_is_2_with_one(run: Run, ledger: Ledger, command: tuple[str, ...]) -> None:
    status, out, err = run("--ledger", "01KAHBJ5V0000000000000P1ZZ", *command)
    assert (status, out) == (2, "")
    assert "not with --ledger" in err


def test_what_the_service_does_not_read_is_left_alone_by_its_settings() -> None:
    assert config.load({"CASHMAN_URL": "x", "CASHMAN_KEY": "y", "CASHMAN_LEDGER": "z"}) == config.load({})


def test_it_answers_over_http_without_loading_what_only_a_service_needs() -> None:
    """A remote command starts in a fraction of the time."""
    script = (
        "import sys, cashman.cli, cashman.cli.transactions, cashman.cli.reports\n"
        "print([name for name in ('sqlalchemy', 'flask', 'marshmallow') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_gunicorn_is_asked_as_well(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    ledger.record(Expense("pizza", 50))
    ledger.books.database.close()
    server = Service(tmp_path, database_url)
    try:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CASHMAN_")}
        environment["CASHMAN_URL"] = server.url
        for command, told in ((("list",), "pizza"), (("balance",), "-50.00"), (("export", "ndjson"), '"pizza"')):
            said = subprocess.run(
                [sys.executable, "-m", "cashman", *command],
                cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (said.returncode, said.stderr) == (0, "")
            assert told in said.stdout
    finally:
        server.remove()
