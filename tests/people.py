"""People for the tests of who may: users with their tokens, API keys, and the ledgers that they share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cashman import current
from cashman.index import create_app
from cashman.verify import verify

PASSWORD = "correct horse battery"


@dataclass
class Holder:
    """Whoever asks with a token, or with nothing."""

    client: FlaskClient
    token: str | None = None

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        """Make a request with the token."""
        known = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return self.client.open(path, method=method, headers={**known, **(headers or {})}, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET a path with the token."""
        return self.ask("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        """POST to a path with the token."""
        return self.ask("POST", path, json=json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        """PUT to a path with the token."""
        return self.ask("PUT", path, json=json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        """PATCH a path with the token."""
        return self.ask("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        """DELETE a path with the token."""
        return self.ask("DELETE", path, **options)


@dataclass
class Person(Holder):
    """A user who is signed in."""

    email: str = ""
    password: str = PASSWORD
    refresh_token: str = ""
    user: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The user's id."""
        return str(self.user["id"])

    @property
    def ledger(self) -> str:
        """The ULID of the user's own ledger."""
        return str(self.user["ledger"])

    def key(self, scope: str, **fields: Any) -> Holder:
        """Make an API key of this user, and give whoever asks with it."""
        answer = self.post("/api-keys", {"name": f"a key to {scope}", "scope": scope, **fields})
        assert answer.status_code == 201, answer.text
        return Holder(self.client, answer.json["key"])

    def share(self, ledger: str, other: "Person", role: str) -> None:
        """Give another user a role in a ledger of this one."""
        answer = self.put(f"/ledgers/{ledger}/members/{other.id}", {"role": role})
        assert answer.status_code in (201, 204), answer.text

    def new_ledger(self, name: str = "Shared", **fields: Any) -> str:
        """Make a ledger, and give its ULID."""
        answer = self.post("/ledgers", {"name": name, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])


@dataclass
class Page(Holder):
    """A page of the service in a browser, with the cookie of a session."""

    cookie: str = ""

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        """Make a request as a script of the page does."""
        own = {"Cashman-Page": "1", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Cookie": self.cookie}
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        return self.client.open(path, method=method, headers=sent, **options)

    def sign_in(self, email: str, password: str = PASSWORD) -> TestResponse:
        """Sign in, and keep the cookie."""
        answer = self.post("/pages/session", {"email": email, "password": password})
        self.keep(answer)
        return answer

    def keep(self, answer: TestResponse) -> None:
        """Keep the cookie of an answer, as a browser does."""
        for line in answer.headers.getlist("Set-Cookie"):
            self.cookie = line.partition(";")[0]


def page_of(client: FlaskClient, email: str, password: str = PASSWORD) -> Page:
    """A page on which a user is signed in; nothing else than what it is given is kept between its requests."""
    page = Page(client.application.test_client(use_cookies=False))
    answer = page.sign_in(email, password)
    assert answer.status_code == 204, answer.text
    return page


def nobody(client: FlaskClient) -> Holder:
    """Whoever asks without a token."""
    return Holder(client)


def setup_code(client: FlaskClient) -> str:
    """What the first user of the service has to know."""
    return current.access(client.application).setup_code()


def first_user(client: FlaskClient, email: str = "first@example.com", **fields: Any) -> Person:
    """Make the first user, who is an administrator and takes over the books, and sign in."""
    given = {"email": email, "password": PASSWORD, "setup_code": setup_code(client), **fields}
    answer = client.post("/users", json=given)
    assert answer.status_code == 201, answer.text
    return signed_in(client, answer.json, given["password"])


def another(maker: Holder, /, email: str = "other@example.com", **fields: Any) -> Person:
    """Have an administrator make another user, and sign in."""
    given = {"email": email, "password": PASSWORD, **fields}
    answer = maker.post("/users", given)
    assert answer.status_code == 201, answer.text
    return signed_in(maker.client, answer.json, given["password"])


def sign_in(client: FlaskClient, email: str, password: str = PASSWORD) -> TestResponse:
    """Ask for tokens with an e-mail and a password."""
    return client.post("/tokens", json={"email": email, "password": password})


def signed_in(client: FlaskClient, user: dict[str, Any], password: str = PASSWORD) -> Person:
    """Begin another session of a user."""
    answer = sign_in(client, user["email"], password)
    assert answer.status_code == 200, answer.text
    tokens = answer.json
    return Person(
        client, tokens["access_token"], user["email"], password, refresh_token=tokens["refresh_token"], user=user
    )


def problem(answer: TestResponse) -> tuple[int, str]:
    """The status of a refusal, and its slug."""
    assert answer.mimetype == "application/problem+json", answer.text
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return answer.status_code, answer.json["type"].removeprefix("/problems/")


def told(answer: TestResponse) -> list[tuple[str, str]]:
    """The headers of an answer, but for how many more there may be, and which request it is."""
    return [(name, value) for name, value in answer.headers if name not in ("RateLimit", "X-Request-Id")]


# Fixtures; conftest.py makes them known.


@pytest.fixture
def proved(app: Flask) -> Iterator[None]:
    """After each test every ledger has to be what its journal says."""
    yield
    verify(current.books(app).database)


@pytest.fixture
def admin(client: FlaskClient) -> Person:
    """The first user, whose ledger is the one that was there before."""
    return first_user(client)


@pytest.fixture
def worker(app: Flask, database_url: str) -> Iterator[FlaskClient]:
    """Another worker on the same database."""
    other = create_app({"CASHMAN_DATABASE_URL": database_url})
    yield other.test_client()
    current.books(other).database.close()
