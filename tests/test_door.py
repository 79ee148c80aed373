"""The door: who gets in without a token, what everybody else is told, and what the log says of it."""

import contextlib
import json
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from people import PASSWORD, another, first_user
from serving import Service
from werkzeug.test import TestResponse

from cashman import current, door
from cashman.index import create_app

BOOTSTRAP = "Zk3-bootstrap-key-of-a-machine-77x"
SECRET = "qLw8-secret-that-signs-all-tokens-91"
STRANGER = "192.0.2.7"
GATEWAY = "172.17.0.1"
ROUTE = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DOCKER = (
    "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
)

WithSettings = Callable[..., FlaskClient]


def knock(
    client: FlaskClient, peer: str = "127.0.0.1", headers: dict[str, str] | None = None, **environ: Any
) -> TestResponse:
    """Ask for something without a token."""
    return client.get("/expenses", headers=headers or {}, environ_overrides={"REMOTE_ADDR": peer, **environ})


def told(answer: TestResponse) -> str:
    """The one line that a caller is told who is not let in."""
    assert answer.status_code == 401, (answer.status_code, answer.text)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"] == "/problems/unauthenticated"
    detail: str = answer.json["detail"]
    assert detail
    assert "\n" not in detail
    return detail


# Nobody yet, CASHMAN_AUTH=auto.


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.53", "127.255.255.254", "::1", "::ffff:127.0.0.1"])
def test_until_there_is_a_user_this_machine_gets_in(client: FlaskClient, peer: str) -> None:
    assert knock(client, peer).status_code == 200
    added = client.post(
        "/expenses", json={"description": "pizza", "amount": 50}, environ_overrides={"REMOTE_ADDR": peer}
    )
    assert added.status_code == 204


@pytest.mark.parametrize(
    "peer",
    [
        STRANGER,
        "10.0.0.1",
        "192.168.1.20",
        GATEWAY,
        "0.0.0.0",
        "128.0.0.1",
        "2001:db8::1",
        "fe80::1",
        "::",
        "::127.0.0.1",
        "::ffff:192.0.2.7",
        "64:ff9b::7f00:1",
        "localhost",
        "2130706433",
        "127.1",
        "",
    ],
)
def test_nobody_else_does_and_is_told_what_would_help(client: FlaskClient, peer: str) -> None:
    detail = told(knock(client, peer))
    assert "comes from another" in detail
    for help_ in ("`./bootstrap.sh cli user add E-MAIL`", "CASHMAN_AUTH=open", "CASHMAN_BOOTSTRAP_KEY"):
        assert help_ in detail


def test_a_request_that_was_refused_has_done_nothing(client: FlaskClient) -> None:
    pizza = {"description": "pizza", "amount": 50}
    told(client.post("/expenses", json=pizza, environ_overrides={"REMOTE_ADDR": STRANGER}))
    assert client.get("/expenses").json == []
    assert client.post("/expenses", json=pizza).status_code == 204
    assert len(client.get("/expenses").json) == 1


FORWARDING = {
    "Forwarded": "for=127.0.0.1",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "localhost",
    "X-Forwarded-Port": "5000",
    "X-Forwarded-Prefix": "/",
    "X-Forwarded-Server": "localhost",
    "X-Forwarded-Ssl": "off",
    "X-Forwarded": "for=127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "Via": "1.1 localhost",
}


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("value", ["as it would be", ""])
def test_what_a_proxy_has_passed_on_is_not_this_machines_own(client: FlaskClient, name: str, value: str) -> None:
    detail = told(knock(client, headers={name: value and FORWARDING[name]}))
    assert "proxy" in detail
    assert "`./bootstrap.sh cli user add E-MAIL`" in detail


def test_headers_that_only_resemble_those_of_a_proxy_keep_nobody_out(client: FlaskClient) -> None:
    """The control of the test above."""
    for name in ("X-Request-Id", "X-Forward", "X-Real", "Viaduct", "Forwarder", "User-Agent"):
        assert knock(client, headers={name: "127.0.0.1"}).status_code == 200, name


def test_what_a_trusted_proxy_passes_on_is_not_this_machines_own_either(app: Flask, database_url: str) -> None:
    """However it hides that it is one: it may send no such header at all."""
    behind = create_app({"CASHMAN_DATABASE_URL": database_url, "CASHMAN_TRUSTED_PROXIES": "127.0.0.1"})
    try:
        assert "proxy" in told(knock(behind.test_client()))
        assert knock(behind.test_client(), "::1").status_code == 200
    finally:
        current.books(behind).database.close()


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/0.9", ""])
def test_http_1_0_is_what_proxies_speak(client: FlaskClient, protocol: str) -> None:
    detail = told(knock(client, SERVER_PROTOCOL=protocol))
    assert "HTTP/1.0" in detail
    assert "`./bootstrap.sh cli user add E-MAIL`" in detail


LOCAL = ["localhost", "localhost:5000", "LocalHost:80", "127.0.0.1", "127.0.0.1:5000", "[::1]", "[::1]:5000"]
FOREIGN = [
    "",
    " ",
    ":5000",
    "evil.example",
    "evil.example:5000",
    "localhost.evil.example",
    "evil.localhost",
    "localhost.",
    "localhost.:5000",
    "localhost:",
    "localhost:port",
    "localhost:80:80",
    "localhost:\u00b2",
    "localhost:-1",
    "localhost:+1",
    "localhost: 80",
    "user@localhost",
    "localhost@evil.example",
    "localhost:80@evil.example",
    "localhost#evil.example",
    "localhost/evil.example",
    "localhost,evil.example",
    "localhost evil.example",
    "http://localhost",
    "127.0.0.1.",
    "127.0.0.1.evil.example",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0177.0.0.1",
    "017700000001",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "127.0.0.1%00",
    "0.0.0.0",
    "0.0.0.0:5000",
    "0",
    "192.0.2.7",
    "::1",
    "[::1",
    "::1]",
    "[::1]]",
    "[[::1]]",
    "[::1]:",
    "[::1].",
    "[::1%25lo]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::]",
    "[]",
    "[localhost]",
    "localhost\u00ad",
    "l\u00f6calhost",
]


@pytest.mark.parametrize("host", LOCAL)
def test_whoever_asks_for_this_machine_by_name_gets_in(client: FlaskClient, host: str) -> None:
    assert knock(client, HTTP_HOST=host).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_whoever_asks_for_another_host_does_not(client: FlaskClient, host: str) -> None:
    """Such as a page in this machine's browser whose name was made to point here."""
    detail = told(knock(client, HTTP_HOST=host))
    assert "`Host`" in detail
    assert "localhost" in detail


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:5000", "localhost:5000"),
        ("http://LOCALHOST:5000", "localhost:5000"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("http://[::1]:5000", "[::1]:5000"),
        ("http://localhost", "localhost"),
    ],
)
def test_a_page_of_its_own_gets_in(client: FlaskClient, origin: str, host: str) -> None:
    assert knock(client, HTTP_ORIGIN=origin, HTTP_HOST=host).status_code == 200
    assert knock(client, HTTP_ORIGIN=origin, HTTP_HOST=host, HTTP_SEC_FETCH_SITE="same-origin").status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        "https://localhost:5000",
        "http://localhost",
        "http://localhost:5001",
        "http://127.0.0.1:5000",
        "http://localhost:5000/",
        "http://localhost:5000.evil.example",
        "http://user@localhost:5000",
        "http://localhost:5000 http://evil.example",
        "http://localhost:5000, http://evil.example",
        "localhost:5000",
        "//localhost:5000",
        "file://",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_a_page_from_elsewhere_does_not(client: FlaskClient, origin: str) -> None:
    assert "`Origin`" in told(knock(client, HTTP_ORIGIN=origin, HTTP_HOST="localhost:5000"))


@pytest.mark.parametrize(
    ("site", "status"),
    [("none", 200), ("same-origin", 200), ("same-site", 401), ("cross-site", 401), ("", 401), ("NONE", 401)],
)
def test_a_browser_tells_who_made_it_ask(client: FlaskClient, site: str, status: int) -> None:
    """It also does so where it sends no Origin: for an image, a link, a script of another page."""
    assert knock(client, HTTP_SEC_FETCH_SITE=site).status_code == status


def test_an_authorization_that_is_none_does_not_count_as_no_authorization(client: FlaskClient) -> None:
    for header in ("", "Basic b3duZXI6cGFzc3dvcmQ=", "Bearer", "Bearer ", "bearer x", "owner", "Bearer null"):
        answer = knock(client, HTTP_AUTHORIZATION=header)
        assert (answer.status_code, answer.json["type"]) == (401, "/problems/invalid-token"), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), header
    assert knock(client).status_code == 200


# In a container.


@pytest.fixture
def in_container(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the service believe that it is in a container, with such a table of routes."""

    def believe(routes: str | None = ROUTE + DOCKER, mark: str | None = "/.dockerenv") -> None:
        exists, read_text = Path.exists, Path.read_text

        def read(path: Path, *arguments: Any, **options: Any) -> str:
            if str(path) != "/proc/net/route":
                return read_text(path, *arguments, **options)
            if routes is None:
                raise FileNotFoundError(path)
            return routes

        def is_there(path: Path, **options: Any) -> bool:
            marks = ("/.dockerenv", "/run/.containerenv")
            return str(path) == mark if str(path) in marks else exists(path, **options)

        monkeypatch.setattr(Path, "exists", is_there)
        monkeypatch.setattr(Path, "read_text", read)

    return believe


@pytest.mark.parametrize("mark", ["/.dockerenv", "/run/.containerenv"])
def test_in_a_container_exactly_the_default_gateway_gets_in_too(
    with_settings: WithSettings, in_container: Callable[..., None], mark: str
) -> None:
    in_container(mark=mark)
    client = with_settings()
    for peer in (GATEWAY, f"::ffff:{GATEWAY}", "127.0.0.1", "::1"):
        assert knock(client, peer, HTTP_HOST="localhost:5000").status_code == 200, peer
    for peer in ("172.17.0.2", "172.17.0.0", "172.17.0.10", "1.0.17.172", "172.18.0.1", "0.0.0.0", STRANGER, ""):
        assert "comes from another" in told(knock(client, peer, HTTP_HOST="localhost:5000")), peer
    assert "`Host`" in told(knock(client, GATEWAY, HTTP_HOST=f"{GATEWAY}:5000"))
    assert "proxy" in told(knock(client, GATEWAY, headers={"X-Forwarded-For": "127.0.0.1"}))


def test_outside_of_a_container_the_gateway_is_a_stranger(
    with_settings: WithSettings, in_container: Callable[..., None]
) -> None:
    in_container(mark=None)
    client = with_settings()
    told(knock(client, GATEWAY))
    assert knock(client).status_code == 200


@pytest.mark.parametrize(
    "table",
    [
        None,
        "",
        ROUTE,
        ROUTE + "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
        ROUTE + "eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n",
        ROUTE + "eth0\t000011AC\t010011AC\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n",
    ],
)
def test_a_container_without_a_default_gateway_lets_in_itself_alone(
    with_settings: WithSettings, in_container: Callable[..., None], table: str | None
) -> None:
    in_container(routes=table)
    client = with_settings()
    for peer in (GATEWAY, "0.0.0.0", "None", ""):
        told(knock(client, peer))
    assert knock(client).status_code == 200


# The other two.


def test_where_a_user_is_required_nobody_gets_in_without_a_token(with_settings: WithSettings) -> None:
    client = with_settings(auth="required")
    detail = told(knock(client))
    assert "`./bootstrap.sh cli user add E-MAIL`" in detail
    assert "setup code" in detail
    first = first_user(client)
    assert first.get("/expenses").status_code == 200
    assert "POST /tokens" in told(knock(client))


def test_the_open_door_lets_everybody_in_whoever_passed_them_on(with_settings: WithSettings) -> None:
    client = with_settings(auth="open")
    for peer in ("127.0.0.1", STRANGER, "2001:db8::1", ""):
        answer = knock(client, peer, FORWARDING, HTTP_HOST="evil.example", SERVER_PROTOCOL="HTTP/1.0")
        assert answer.status_code == 200, peer
    assert knock(client, HTTP_ORIGIN="http://evil.example").status_code == 200


def test_the_open_door_stays_open_when_there_are_users_and_leads_to_the_books_alone(
    with_settings: WithSettings,
) -> None:
    client = with_settings(auth="open")
    first = first_user(client)
    other = another(first)
    first.post("/expenses", {"description": "the first user's", "amount": 1})
    other.post("/expenses", {"description": "another's", "amount": 1})
    answer = knock(client, STRANGER)
    assert [row["description"] for row in answer.json] == ["the first user's"]
    assert client.get(f"/ledgers/{other.ledger}").status_code == 404
    assert client.get("/users").status_code == 403
    assert client.post("/users", json={"email": "a@example.com", "password": PASSWORD}).status_code == 403
    assert client.get("/users/me").status_code == 403
    assert client.get("/api-keys").status_code == 403


def test_a_token_that_is_wrong_keeps_out_also_where_the_door_is_open(with_settings: WithSettings) -> None:
    client = with_settings(auth="open")
    assert knock(client).status_code == 200
    answer = knock(client, headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.json["type"]) == (401, "/problems/invalid-token")


# Shut.


def test_the_first_user_shuts_the_door_for_good_and_every_app_sees_it(app: Flask, database_url: str) -> None:
    client = app.test_client()
    second_app = create_app({"CASHMAN_DATABASE_URL": database_url})
    second = second_app.test_client()
    try:
        assert (knock(client).status_code, knock(second).status_code) == (200, 200)
        first = first_user(client)
        for door_ in (client, second):
            detail = told(knock(door_))
            assert "Authorization: Bearer" in detail
            assert "POST /tokens" in detail
            assert "API key" in detail
        assert knock(second, headers={"Authorization": f"Bearer {first.token}"}).status_code == 200
        _erase_all_users(app)
        for door_ in (client, second, create_app({"CASHMAN_DATABASE_URL": database_url}).test_client()):
            told(knock(door_))
            if door_.application not in (app, second_app):
                current.books(door_.application).database.close()
    finally:
        current.books(second_app).database.close()


def _erase_all_users(app: Flask) -> None:
    """As no request can, since the last administrator stays: by hand, in the database."""
    from sqlalchemy import delete, update

    from cashman.db import table
    from cashman.model.access import AccessHead, ApiKey, Session, User

    def erase(connection: Any) -> None:
        for model in (Session, ApiKey, User):
            connection.execute(delete(table(model)))
        connection.execute(update(table(AccessHead)).values(version=AccessHead.version + 1))

    current.books(app).database.write(erase)
    assert current.access(app).users("", 10) == []


def test_the_first_user_needs_the_setup_code_and_has_what_the_open_door_did(client: FlaskClient) -> None:
    pizza = {"description": "pizza", "amount": 50}
    key = {"Idempotency-Key": "once"}
    before = client.post("/expenses", json=pizza, headers=key)
    given = {"email": "first@example.com", "password": PASSWORD}
    without = client.post("/users", json=given)
    assert (without.status_code, without.json["type"]) == (403, "/problems/forbidden")
    assert "setup_code" in without.json["detail"]
    wrong = client.post("/users", json={**given, "setup_code": "ABCD-ABCD-ABCD-ABCD-ABCD"})
    assert (wrong.status_code, wrong.json["type"]) == (403, "/problems/forbidden")
    assert knock(client).status_code == 200
    first = first_user(client)
    assert first.user["admin"] is True
    assert [row["description"] for row in first.get("/expenses").json] == ["pizza"]
    again = first.post("/expenses", pizza, headers=key)
    assert (again.status_code, again.headers["Location"]) == (before.status_code, before.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"


def test_the_setup_code_is_good_once_and_from_anywhere(app: Flask, client: FlaskClient) -> None:
    code = current.access(app).setup_code()
    given = {"email": "first@example.com", "password": PASSWORD, "setup_code": code}
    stranger = {"REMOTE_ADDR": STRANGER, "HTTP_HOST": "cashman.example"}
    assert client.post("/users", json=given, environ_overrides=stranger).status_code == 201
    again = client.post("/users", json={**given, "email": "second@example.com"})
    assert (again.status_code, again.json["type"]) == (403, "/problems/forbidden")


def test_the_setup_code_cannot_be_guessed(client: FlaskClient) -> None:
    """Ten tries in a quarter of an hour, from wherever they come; then the right one has to wait, too."""
    code = current.access(client.application).setup_code()
    assert re.fullmatch("([A-Z2-7]{4}-){4}[A-Z2-7]{4}", code)
    given = {"email": "first@example.com", "password": PASSWORD}
    for number in range(10):
        peer = {"REMOTE_ADDR": f"192.0.2.{number}"}
        answer = client.post("/users", json={**given, "setup_code": "AAAA"}, environ_overrides=peer)
        assert answer.status_code == 403, number
    answer = client.post("/users", json={**given, "setup_code": code})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 900


# The key that the settings give.


def test_the_bootstrap_key_acts_as_the_owner_of_the_books_from_anywhere(with_settings: WithSettings) -> None:
    client = with_settings(auth="required", bootstrap_key=BOOTSTRAP)
    bearer = {"Authorization": f"Bearer {BOOTSTRAP}"}
    assert knock(client, STRANGER, bearer).status_code == 200
    added = client.post("/expenses", json={"description": "pizza", "amount": 50}, headers=bearer)
    assert added.status_code == 204
    assert json.loads(client.get("/journal", headers=bearer).json[-1]["entry"])["actor"] == "bootstrap"
    for wrong in (BOOTSTRAP[:-1], BOOTSTRAP + "x", BOOTSTRAP.upper(), "", BOOTSTRAP[::-1]):
        assert knock(client, headers={"Authorization": f"Bearer {wrong}"}).status_code == 401, wrong
    first = client.post("/users", json={"email": "first@example.com", "password": PASSWORD}, headers=bearer)
    assert (first.status_code, first.json["admin"]) == (201, True)
    assert knock(client, STRANGER, bearer).status_code == 200


def test_with_a_bootstrap_key_this_machine_still_gets_in_without_until_there_is_a_user(
    with_settings: WithSettings,
) -> None:
    client = with_settings(bootstrap_key=BOOTSTRAP)
    assert knock(client).status_code == 200
    first_user(client)
    told(knock(client))
    assert knock(client, headers={"Authorization": f"Bearer {BOOTSTRAP}"}).status_code == 200


def test_without_one_no_bootstrap_key_is_any_good(client: FlaskClient) -> None:
    for token in (BOOTSTRAP, "None", "null", "bootstrap", "owner"):
        assert knock(client, headers={"Authorization": f"Bearer {token}"}).status_code == 401


# What everybody may.


def test_whoever_is_kept_out_may_still_read_what_is_for_everybody(with_settings: WithSettings) -> None:
    client = with_settings(auth="required")
    for path in ("/", "/healthz", "/openapi.json", "/problems", "/problems/unauthenticated"):
        assert client.get(path, environ_overrides={"REMOTE_ADDR": STRANGER}).status_code == 200, path
    assert client.get("/nowhere").status_code == 404
    assert client.options("/expenses").status_code == 200


# What the log says.


def test_the_announcement_says_which_door_is_open_and_what_the_first_user_has_to_know(
    with_settings: WithSettings,
) -> None:
    beginnings = {
        "auto": "The door is open to this machine alone, until there is a user. ",
        "required": "The door is shut, and there is no user yet. ",
        "open": "The door is open to everybody, as CASHMAN_AUTH says. ",
    }
    for auth, beginning in beginnings.items():
        app = with_settings(auth=auth).application
        code = current.access(app).setup_code()
        line = door.announcement(app)
        assert line.startswith(beginning), auth
        assert code in line
        assert "`./bootstrap.sh cli user add E-MAIL`" in line
        assert "\n" not in line
    first_user(with_settings())
    for auth, line in {
        "auto": "The door is shut: every request needs a token.",
        "required": "The door is shut: every request needs a token.",
        "open": beginnings["open"].strip(),
    }.items():
        assert door.announcement(with_settings(auth=auth).application) == line


def test_the_setup_code_is_the_same_after_a_restart_and_another_in_other_books(
    with_settings: WithSettings, tmp_path: Path
) -> None:
    code = current.access(with_settings().application).setup_code()
    assert current.access(with_settings().application).setup_code() == code
    other = create_app({"CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}"})
    assert current.access(other).setup_code() != code
    current.books(other).database.close()


# A real server.


class Browser:
    """Asks a real server, and remembers every secret that came by."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.secrets: list[str] = []

    def ask(self, method: str, path: str, document: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Make a request; status and document."""
        headers = {"Content-Type": "application/json"} if document is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = self.service.connect()
        try:
            connection.request(method, path, None if document is None else json.dumps(document), headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        found = json.loads(body) if body else None
        if isinstance(found, dict):
            self.secrets += [found[name] for name in ("access_token", "refresh_token", "key") if name in found]
        return answer.status, found

    def sign_in(self, email: str, password: str) -> dict[str, Any]:
        """Begin a session."""
        status, found = self.ask("POST", "/tokens", {"email": email, "password": password})
        assert status == 200, found
        return dict(found)


@pytest.fixture
def serve(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services, which end with the test."""
    services: list[Service] = []

    def start(**environment: str) -> Service:
        folder = tmp_path / f"service-{len(services)}"
        folder.mkdir()
        # As text, in which a line ends where what it says ends.
        services.append(Service(folder, database_url, **{"CASHMAN_LOG": "text", **environment}))
        return services[-1]

    yield start
    for service in services:
        service.remove()


def wait_for(service: Service, line: str) -> str:
    """What the log says in a line: the first worker writes it, and perhaps another answers sooner."""
    for _ in range(300):
        found = re.search(line, service.log.read_text())
        if found is not None:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(service.log.read_text())


def told_code(service: Service) -> str:
    """The setup code in the log."""
    return wait_for(service, "setup_code ([A-Z2-7-]{24})\n")


def raw(service: Service, *lines: str) -> int:
    """The status of a request that is sent as it is written."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1"))
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return int(answer.split(b" ", 2)[1])


def test_a_session_with_a_real_server_logs_no_secret_but_the_setup_code(serve: Callable[..., Service]) -> None:
    verbose = {"GUNICORN_CMD_ARGS": "--access-logfile=- --log-level=debug"}
    service = serve(CASHMAN_BOOTSTRAP_KEY=BOOTSTRAP, CASHMAN_SECRET_KEY=SECRET, **verbose)
    browser = Browser(service)
    _knock_as_curl_and_as_others_do(service)
    code = told_code(service)
    secrets = [BOOTSTRAP, SECRET, *_live_a_session(browser, code)]
    assert service.stop() == 0

    log = service.log.read_text()
    assert log.count(code) == 1, "the setup code is told once, whatever number of workers there are"
    assert "GET /expenses" in log, "the control: the log says something"
    assert len(browser.secrets) == 7
    for secret in (*secrets, *browser.secrets):
        assert secret not in log
        assert secret.rpartition(".")[2] not in log, "nor its signature"
    assert "argon2" not in log


def _knock_as_curl_and_as_others_do(service: Service) -> None:
    """The tutorial's own request, and what is none of this machine's own."""
    host = f"Host: localhost:{service.port}"
    assert raw(service, "GET /expenses HTTP/1.1", host) == 200
    assert raw(service, "GET /expenses HTTP/1.1", host, f"Origin: http://localhost:{service.port}") == 200
    for refused in (
        ("GET /expenses HTTP/1.1", "Host: evil.example"),
        ("GET /expenses HTTP/1.0", host),
        ("GET /expenses HTTP/1.1", host, "Origin: http://evil.example"),
        ("GET /expenses HTTP/1.1", host, "Origin: null"),
        ("GET /expenses HTTP/1.1", host, "Via: 1.1 proxy"),
        ("GET /expenses HTTP/1.1", host, "X-Forwarded-For: 127.0.0.1"),
        ("GET /expenses HTTP/1.1", host, "X-Real-IP: 127.0.0.1"),
        ("GET /expenses HTTP/1.1", host, "Forwarded: for=127.0.0.1"),
        ("GET /expenses HTTP/1.1", host, "Sec-Fetch-Site: cross-site"),
    ):
        assert raw(service, *refused) == 401, refused
    assert raw(service, "GET /expenses HTTP/1.1", host, "Host: evil.example") in (400, 401)
    assert raw(service, "GET http://evil.example/expenses HTTP/1.1", "Host: evil.example") == 401
    assert raw(service, "GET /expenses HTTP/1.1") in (400, 401)


def _live_a_session(browser: Browser, code: str) -> tuple[str, ...]:
    """All that can be asked with a secret; gives the passwords, and what was no secret and might have been."""
    password, new_password = "a password of the first", "another password of hers"
    user = {"email": "first@example.com", "password": password}
    assert browser.ask("POST", "/users", {**user, "setup_code": "WRONG-CODE-OF-A-STRANGER"})[0] == 403
    status, made = browser.ask("POST", "/users", {**user, "setup_code": code})
    assert status == 201
    tokens = browser.sign_in(**user)
    token = tokens["access_token"]
    assert browser.ask("GET", "/expenses")[0] == 401
    assert browser.ask("GET", "/expenses", token=token)[0] == 200
    assert browser.ask("POST", "/expenses", {"description": "pizza", "amount": 50}, token)[0] == 204
    assert browser.ask("POST", "/api-keys", {"name": "machine", "scope": "write"}, token)[0] == 201
    key = browser.secrets[-1]
    assert key.startswith("cashman_")
    assert browser.ask("GET", "/expenses", token=key)[0] == 200
    assert browser.ask("GET", "/expenses", token=BOOTSTRAP)[0] == 200
    assert browser.ask("POST", "/tokens/refresh", {"refresh_token": tokens["refresh_token"]})[0] == 200
    wrong = "a password that is wrong"
    assert browser.ask("POST", "/tokens", {**user, "password": wrong})[0] == 401
    assert browser.ask("GET", "/expenses", token=token[:-2] + "AA")[0] == 401
    assert browser.ask("GET", f"/expenses?token={'x' * 10}", token=token)[0] == 422
    change = {"password": new_password, "current_password": password}
    assert browser.ask("PATCH", f"/users/{made['id']}", change, token)[0] == 200
    assert browser.ask("GET", "/expenses", token=token)[0] == 401
    token = browser.sign_in("first@example.com", new_password)["access_token"]
    assert browser.ask("DELETE", "/tokens", token=token)[0] == 204
    assert browser.ask("GET", "/expenses", token=token)[0] == 401
    return password, new_password, wrong, "WRONG-CODE-OF-A-STRANGER"


def test_the_log_of_a_real_server_says_at_the_start_which_door_is_open(serve: Callable[..., Service]) -> None:
    service = serve(CASHMAN_AUTH="open")
    code = told_code(service)
    assert "The door is open to everybody, as CASHMAN_AUTH says. " in service.log.read_text()
    assert raw(service, "GET /expenses HTTP/1.0", "X-Forwarded-For: 192.0.2.7") == 200
    made = {"email": "first@example.com", "password": PASSWORD, "setup_code": code.lower()}
    assert Browser(service).ask("POST", "/users", made)[0] == 201
    service.stop()
    service.start()
    assert wait_for(service, "The door is open to everybody, as CASHMAN_AUTH says.(.*)") == ""


@pytest.mark.parametrize("engine_name", ["sqlite"], indirect=True)
def test_what_nobody_foresaw_is_told_in_the_log_without_any_secret(
    serve: Callable[..., Service], database_url: str
) -> None:
    """Such as a column that somebody has renamed: what was to be written there is not told."""
    service = serve()
    code = told_code(service)
    with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as database:
        database.execute("ALTER TABLE users RENAME COLUMN name TO somewhere_else")
    given = {"email": "first@example.com", "password": PASSWORD, "setup_code": code}
    assert Browser(service).ask("POST", "/users", given)[0] == 500
    service.stop()
    log = service.log.read_text()
    assert "an unforeseen error" in log
    assert "Traceback" in log
    assert "users" in log
    for secret in (PASSWORD, "argon2", "first@example.com"):
        assert secret not in log, secret
