"""Who may what: every route and method of the URL map beside everybody who could ask, cell by cell.

What a route needs is written down here by hand. What each cell has to come to follows from that by `expected`, which
knows nothing of the door.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from people import PASSWORD, Holder, Page, Person, another, first_user, nobody, page_of, signed_in
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from cashman import current, door, mappings
from cashman.formats import EXPORTS, IMPORTS
from cashman.index import create_app
from cashman.ledger import Ledger
from cashman.model.access import AccessHead, ApiKey, Member, Session, User
from cashman.model.expense import Expense
from cashman.model.ledger import JournalHead
from cashman.verify import verify

ROLES = ("viewer", "editor", "owner")
LEDGER, ID, ACCOUNT, NAME = "<ulid:ledger_ulid>", "<ulid:id>", "<number:account_id>", "<mapping_name:name>"
IMPORT_AS = f"/import/<any({','.join(IMPORTS)}):format_name>"
EXPORT_AS = f"/export/<any({','.join(EXPORTS)}):format_name>"


def _of_transactions(name: str) -> dict[tuple[str, str], str]:
    one = f"/{name}/{ID}"
    return {
        ("GET", f"/{name}"): "viewer",
        ("POST", f"/{name}"): "editor",
        ("GET", one): "viewer",
        ("PUT", one): "editor",
        ("PATCH", one): "editor",
        ("DELETE", one): "editor",
        ("GET", f"{one}/history"): "viewer",
        ("POST", f"{one}/restore"): "editor",
        ("POST", f"{one}/redact"): "owner",
    }


OF_A_LEDGER = {
    **_of_transactions("incomes"),
    **_of_transactions("expenses"),
    **_of_transactions("transactions"),
    **_of_transactions("transfers"),
    ("POST", "/transactions/batch"): "editor",
    ("GET", "/accounts"): "viewer",
    ("POST", "/accounts"): "editor",
    ("GET", f"/accounts/{ACCOUNT}"): "viewer",
    ("PUT", f"/accounts/{ACCOUNT}"): "editor",
    ("PATCH", f"/accounts/{ACCOUNT}"): "editor",
    ("DELETE", f"/accounts/{ACCOUNT}"): "editor",
    ("GET", f"/accounts/{ACCOUNT}/transactions"): "viewer",
    ("GET", "/categories"): "viewer",
    ("POST", "/categories/rename"): "editor",
    ("POST", "/categories/merge"): "editor",
    ("GET", "/tags"): "viewer",
    ("GET", "/balances"): "viewer",
    ("GET", "/reports/summary"): "viewer",
    ("GET", "/reports/cashflow"): "viewer",
    ("POST", "/import"): "editor",
    ("POST", IMPORT_AS): "editor",
    ("GET", "/import/mappings"): "viewer",
    ("GET", f"/import/mappings/{NAME}"): "viewer",
    ("PUT", f"/import/mappings/{NAME}"): "editor",
    ("DELETE", f"/import/mappings/{NAME}"): "editor",
    ("GET", EXPORT_AS): "viewer",
    ("GET", "/one-line"): "viewer",
    ("GET", "/journal"): "viewer",
    ("GET", "/ledger"): "viewer",
    ("PATCH", "/ledger"): "owner",
    ("GET", "/pages/overview"): "viewer",
    ("GET", "/pages/transactions"): "viewer",
    ("GET", f"/pages/transactions/{ID}"): "viewer",
    ("GET", "/pages/import"): "viewer",
    ("GET", "/pages/ledger"): "viewer",
}
"""What is asked of one's own ledger as it stands here, and of any behind /ledgers/<its ULID>."""

NEEDS = {
    **OF_A_LEDGER,
    **{(method, f"/ledgers/{LEDGER}{rule}"): needs for (method, rule), needs in OF_A_LEDGER.items()},
    ("GET", "/"): "anyone",
    ("GET", "/docs"): "anyone",
    ("GET", "/healthz"): "anyone",
    ("GET", "/readyz"): "anyone",
    ("GET", "/metrics"): "anyone",
    ("GET", "/openapi.json"): "anyone",
    ("GET", "/problems"): "anyone",
    ("GET", "/problems/<slug>"): "anyone",
    ("GET", "/static/<release>/<path:file>"): "anyone",
    ("POST", "/tokens"): "anyone",
    ("POST", "/tokens/refresh"): "anyone",
    ("DELETE", "/tokens"): "session",
    ("GET", "/pages/sign-in"): "anyone",
    ("GET", "/pages/set-up"): "anyone",
    ("GET", "/pages/people"): "account",
    ("GET", "/pages/keys"): "account",
    ("GET", "/pages/ledgers"): "somebody",
    ("POST", "/pages/session"): "page",
    ("DELETE", "/pages/session"): "page",
    ("GET", "/users"): "administrator",
    ("POST", "/users"): "administrator",
    ("GET", "/users/me"): "account",
    ("GET", f"/users/{ID}"): "oneself",
    ("PUT", f"/users/{ID}"): "oneself",
    ("PATCH", f"/users/{ID}"): "oneself",
    ("DELETE", f"/users/{ID}"): "oneself",
    ("DELETE", f"/users/{ID}/sessions"): "oneself",
    ("GET", "/api-keys"): "account",
    ("POST", "/api-keys"): "person",
    ("GET", f"/api-keys/{ID}"): "whose it is",
    ("DELETE", f"/api-keys/{ID}"): "whose it is",
    ("GET", "/ledgers"): "somebody",
    ("POST", "/ledgers"): "account",
    ("GET", f"/ledgers/{LEDGER}"): "viewer",
    ("PATCH", f"/ledgers/{LEDGER}"): "owner",
    ("GET", f"/ledgers/{LEDGER}/members"): "viewer",
    ("PUT", f"/ledgers/{LEDGER}/members/{ID}"): "owner",
    ("DELETE", f"/ledgers/{LEDGER}/members/{ID}"): "owner",
}

REFUSED_BY_A_RULE = {("DELETE", f"/users/{ID}"): 409}
"""What oneself may ask for, and is told that it cannot be: the owner of the ledger is its only one."""


@dataclass
class Asker:
    """Whoever asks, and what is true of them."""

    name: str
    holder: Holder
    home: int | None = None
    """The number of the ledger that unprefixed routes mean."""
    role: str | None = None
    """In the ledger of the owner, which is the one that everybody asks for."""
    scope: int = 2
    """Of a key: 0 reads, 1 writes, 2 is as good as its user."""
    is_owner: bool = False
    """Whether it is the owner, or a key of the owner."""
    key: bool = False
    page: bool = False
    """Whether it is a page of the service, with a cookie in place of a token."""
    one_ledger: bool = False
    admin: bool = False


def expected(asker: Asker, needs: str, method: str, rule: str) -> str | int:
    """What a cell has to come to: "in", or the status of the refusal."""
    if needs == "anyone" or method == "OPTIONS":
        return "in"
    if needs == "page":
        return "in" if asker.page else 403
    if asker.home is None:
        return 401
    if needs in ROLES:
        named = LEDGER in rule
        role = asker.role if named else "owner"
        if role is None:
            return 404
        if min(ROLES.index(role), asker.scope) < ROLES.index(needs):
            return 403
        names_what_is_the_owners = ID in rule or ACCOUNT in rule
        return 404 if names_what_is_the_owners and not (named or asker.role == "owner") else "in"
    if needs == "somebody":
        return "in"
    if asker.one_ledger or asker.scope < (0 if method in ("GET", "HEAD") else 2):
        return 403
    return {
        "account": "in",
        "session": 403 if asker.key else "in",
        "person": 403 if asker.key else "in",
        "administrator": "in" if asker.admin else 403,
        "oneself": "in" if asker.is_owner or asker.admin else 404,
        "whose it is": "in" if asker.is_owner else 404,
    }[needs]


PIZZA = {"description": "pizza", "amount": 5}
MOVE = {"from": "main", "to": "savings", "amount": 5}
DATED = {"date": "2026-01-31"}
FRESH = {"DELETE", "redact", "restore"}
"""What is done once to a thing, so that the next who does it needs another."""


class World:
    """A service with an administrator, the owner of a ledger, and everybody who asks for what is the owner's."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.numbers = itertools.count(1)
        self.admin = first_user(client)
        self.owner = another(self.admin, "owner@example.com")
        self.guest = another(self.admin, "guest@example.com")
        self.ledger = self.home_of(self.owner)
        self.owner.share(self.owner.ledger, another(self.admin, "constant@example.com"), "viewer")
        for _ in range(2):  # so many that nobody else has one of the same number
            self.account = self.made("accounts")
        self.known = {name: self.made(name) for name in ("expenses", "incomes", "transactions", "transfers")}

    def home_of(self, person: Person) -> Ledger:
        """A person's own ledger, with an account beside the main one."""
        access = current.access(self.client.application)
        access.catch_up()
        ledger = current.books(self.client.application).ledger(access.caller_with(person.token or "").home)
        ledger.open_account({"name": "savings", "currency": "USD"})
        return ledger

    def made(self, collection: str) -> str:
        """The id of something new in the owner's ledger, or of the owner."""
        body = self.body("POST", f"/{collection}", self.ledger)
        answer = self.owner.post(f"/{collection}", body)
        assert answer.status_code in (201, 204), answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def asker(self, name: str) -> Asker:
        """Whoever asks, by name."""
        owner = Asker(name, self.owner, self.ledger.id, "owner", is_owner=True)
        if name.startswith("key"):
            scope = ("read", "write", "admin").index(name.split()[1])
            key = replace(owner, key=True, scope=scope)
            if name.endswith("of the ledger"):
                return replace(key, one_ledger=True, holder=self.owner.key("admin", ledger=self.owner.ledger))
            if name.endswith("of another ledger"):
                other = self.owner.new_ledger()
                current.access(self.client.application).catch_up()
                holder = self.owner.key("admin", ledger=other)
                home = current.access(self.client.application).caller_with(holder.token or "").home
                ledger = current.books(self.client.application).ledger(home)
                ledger.open_account({"name": "savings", "currency": "USD"})
                return replace(key, one_ledger=True, holder=holder, home=home, role=None)
            return replace(key, holder=self.owner.key(name.split()[1]))
        if name == "the owner's page":
            return replace(owner, page=True, holder=page_of(self.client, self.owner.email))
        if name == "owner":
            return owner
        if name == "nobody":
            return Asker(name, nobody(self.client))
        if name == "a wrong token":
            return Asker(name, Holder(self.client, f"cashman_{'A' * 43}"))
        if name == "admin":
            return Asker(name, self.admin, self.home_of(self.admin).id, admin=True)
        person = another(self.admin, f"{name}@example.com")
        if name != "stranger":
            self.owner.share(self.owner.ledger, person, name)
        return Asker(name, person, self.home_of(person).id, None if name == "stranger" else name)

    def path(self, asker: Asker, method: str, rule: str, *, happens: bool) -> str:
        """The path of a route about what is the owner's, and of something new where it happens and uses that up."""
        of_the_ledger = rule.removeprefix(f"/ledgers/{LEDGER}").removeprefix("/pages")
        collection = of_the_ledger.split("/")[1] if of_the_ledger else ""
        fresh = happens and bool(FRESH & {method, rule.rpartition("/")[2]})
        id_, account = "", self.account
        if ID in rule:
            if collection == "users":
                # An administrator would succeed, and there would be no owner any more.
                id_ = (
                    another(self.admin, f"{next(self.numbers)}@example.com").id
                    if fresh and asker.admin
                    else self.owner.id
                )
            elif collection == "members":
                id_ = self.guest.id
                if fresh:
                    self.owner.share(self.owner.ledger, self.guest, "viewer")
            else:
                id_ = self.made(collection) if fresh or collection not in self.known else self.known[collection]
        elif ACCOUNT in rule and fresh:
            account = self.made("accounts")
        filled = rule.replace(LEDGER, self.owner.ledger).replace(ID, id_).replace(ACCOUNT, account)
        if fresh and rule.endswith("/restore"):
            assert self.owner.delete(filled.removesuffix("/restore")).status_code == 204
        filled = filled.replace(IMPORT_AS, "/import/json").replace(EXPORT_AS, "/export/json").replace(NAME, "my bank")
        filled = f"{filled}?text=50+pizza" if filled.endswith("/one-line") else filled
        return filled.replace("<slug>", "not-found").replace("<release>/<path:file>", "1/page.css")

    def body(self, method: str, rule: str, ledger: Ledger) -> Any:
        """A body that the route takes, where it is about that ledger."""
        number = next(self.numbers)
        if NAME in rule:
            mappings.save(ledger, "my bank", {})
        if rule in ("/import", IMPORT_AS) and method == "POST":
            return f'[{{"description": "pizza", "amount": {number}, "date": "2026-01-31"}}]'.encode()
        if rule.startswith("/categories/") and method == "POST":
            ledger.record(Expense("pizza", 5, category=f"old {number}"))
            return {"from": f"old {number}", "to": f"new {number}"}
        if rule == "/tokens/refresh":
            return {"refresh_token": signed_in(self.client, self.guest.user).refresh_token}
        bodies: dict[tuple[str, str], Any] = {
            ("POST", "/incomes"): PIZZA,
            ("PUT", f"/incomes/{ID}"): {**PIZZA, **DATED},
            ("PATCH", f"/incomes/{ID}"): {"description": "other"},
            ("POST", "/expenses"): PIZZA,
            ("PUT", f"/expenses/{ID}"): {**PIZZA, **DATED},
            ("PATCH", f"/expenses/{ID}"): {"description": "other"},
            ("POST", "/transactions"): {**PIZZA, "type": "EXPENSE"},
            ("PUT", f"/transactions/{ID}"): {**PIZZA, **DATED},
            ("PATCH", f"/transactions/{ID}"): {"description": "other"},
            ("POST", "/transactions/batch"): [{**PIZZA, "type": "EXPENSE"}],
            ("POST", "/transfers"): MOVE,
            ("PUT", f"/transfers/{ID}"): {**MOVE, **DATED},
            ("PATCH", f"/transfers/{ID}"): {"description": "other"},
            ("POST", "/accounts"): {"name": f"account {number}"},
            ("PUT", f"/accounts/{ACCOUNT}"): {"name": f"account {number}"},
            ("PATCH", f"/accounts/{ACCOUNT}"): {"kind": "bank"},
            ("PATCH", "/ledger"): {"closed_until": None},
            ("POST", "/tokens"): {"email": self.guest.email, "password": PASSWORD},
            ("POST", "/pages/session"): {"email": self.guest.email, "password": PASSWORD},
            ("POST", "/users"): {"email": f"{number}@example.com", "password": PASSWORD},
            ("PUT", f"/users/{ID}"): {"email": "owner@example.com"},
            ("PATCH", f"/users/{ID}"): {"name": "Olivia"},
            ("POST", "/api-keys"): {"name": "a key", "scope": "read"},
            ("POST", "/ledgers"): {"name": "another"},
            ("PATCH", f"/ledgers/{LEDGER}"): {"name": "ours"},
            ("PUT", f"/import/mappings/{NAME}"): {"separator": ";"},
            ("PUT", f"/ledgers/{LEDGER}/members/{ID}"): {"role": "viewer"},
        }
        return bodies.get((method, rule))

    def ask(self, asker: Asker, method: str, rule: str, due: str | int) -> TestResponse:
        """Ask for what a cell is about, and see that nothing is left of what is refused."""
        named = LEDGER in rule
        books = current.books(self.client.application)
        ledger = self.ledger if named or asker.home is None else books.ledger(asker.home)
        own_rule = rule.removeprefix(f"/ledgers/{LEDGER}")
        kept = rule if (method, own_rule) not in OF_A_LEDGER else own_rule
        path, body = self.path(asker, method, rule, happens=due == "in"), self.body(method, kept, ledger)
        holder = asker.holder
        if due == "in" and method != "OPTIONS" and NEEDS.get((method, rule)) in ("session", "page"):
            holder = self.again(holder)
        before = None if method in ("GET", "HEAD", "OPTIONS") else self.footprint()
        sent = {} if body is None else {"data": body} if isinstance(body, bytes) else {"json": body}
        answer = holder.ask(method, path, **sent)
        answer.get_data()
        answer.close()  # as a server does: an export goes on until then
        if rule.endswith("/sessions") and answer.status_code == 204 and not asker.admin:
            self.owner.token = signed_in(self.client, self.owner.user).token
            if asker.page:
                asker.holder = self.again(holder)
        if before is not None and due != "in":
            assert self.footprint() == before, f"{asker.name} was refused {method} {rule}, and it left something"
        return answer

    def again(self, holder: Holder) -> Holder:
        """The same in a session of its own, which may end."""
        if isinstance(holder, Page):
            return page_of(self.client, self.owner.email)
        return signed_in(self.client, holder.user) if isinstance(holder, Person) else holder

    def footprint(self) -> Any:
        """What there is, in numbers that move with whatever is written."""
        counts = [select(func.count()).select_from(kind).scalar_subquery() for kind in (User, Session, ApiKey, Member)]
        entries = select(func.sum(JournalHead.sequence)).scalar_subquery()
        asked = select(AccessHead.version, entries, *counts)
        return current.books(self.client.application).database.read(
            lambda connection: tuple(connection.execute(asked).one())
        )


ASKERS = (
    "nobody",
    "a wrong token",
    "stranger",
    "viewer",
    "editor",
    "owner",
    "admin",
    "the owner's page",
    "key read",
    "key write",
    "key admin",
    "key admin of the ledger",
    "key admin of another ledger",
)
SLUGS = {401: ("unauthenticated", "invalid-token"), 403: ("forbidden",), 404: ("not-found",)}


def rows_of(app: Flask) -> set[tuple[str, str]]:
    """Every method and rule of the URL map; HEAD and OPTIONS follow from the others."""
    rules = app.url_map.iter_rules()
    return {(method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}


def test_every_route_has_a_row_and_every_row_a_route(routes: Flask) -> None:
    assert rows_of(routes) ^ set(NEEDS) == set()


def test_a_route_without_a_row_is_found() -> None:
    app = create_app({})
    app.add_url_rule("/unguarded", view_func=lambda: "")
    assert rows_of(app) - set(NEEDS) == {("GET", "/unguarded")}


@pytest.mark.parametrize("names", [ASKERS[:8], ASKERS[8:]], ids=["people", "keys"])
def test_each_cell_is_as_the_table_says(with_settings: Callable[..., FlaskClient], names: tuple[str, ...]) -> None:
    client = with_settings(auth="required")
    world = World(client)
    wrong = []
    for asker in map(world.asker, names):  # each begins its session after those before may have ended all of them
        for method, rule in sorted(cells()):
            due = expected(asker, NEEDS["GET" if method in ("HEAD", "OPTIONS") else method, rule], method, rule)
            answer = world.ask(asker, method, rule, due)
            if not is_due(asker, answer, due, method, rule):
                wrong.append(f"{asker.name}: {method} {rule}: {answer.status_code}, and not {due}: {answer.text}")
    assert not wrong, "\n".join(wrong)
    verify(current.books(client.application).database)


def cells() -> set[tuple[str, str]]:
    """What each of the askers asks for."""
    reads = {rule for method, rule in NEEDS if method == "GET"}
    return set(NEEDS) | {("HEAD", rule) for rule in reads} | {("OPTIONS", rule) for rule in reads}


def is_due(asker: Asker, answer: TestResponse, due: str | int, method: str, rule: str) -> bool:
    """Whether an answer is what a cell has to come to."""
    if due == "in":
        wanted = REFUSED_BY_A_RULE.get((method, rule)) if asker.is_owner else None
        return answer.status_code == wanted if wanted else 200 <= answer.status_code < 300
    told = method == "HEAD" or answer.json.get("type", "").removeprefix("/problems/") in SLUGS[int(due)]
    asked = answer.headers.get("WWW-Authenticate", "").startswith("Bearer") == (due == 401)
    return answer.status_code == due and told and asked


def test_a_door_that_asks_for_too_little_is_found(
    with_settings: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(with_settings(auth="required"))
    viewer, cell = world.asker("viewer"), ("PATCH", f"/ledgers/{LEDGER}/ledger")
    due = expected(viewer, NEEDS[cell], *cell)
    assert is_due(viewer, world.ask(viewer, *cell, due), due, *cell)
    monkeypatch.setattr(door, "needs_of", lambda view, method: "viewer")
    answer = viewer.holder.patch(f"/ledgers/{world.owner.ledger}/ledger", {"closed_until": None})
    assert not is_due(viewer, answer, due, *cell)


def test_a_view_that_says_nothing_of_what_it_needs_is_about_a_ledger(database_url: str) -> None:
    app = create_app({"CASHMAN_DATABASE_URL": database_url, "CASHMAN_AUTH": "required"})
    for rule in ("/unguarded", f"/ledgers/{LEDGER}/unguarded"):
        app.add_url_rule(rule, rule, lambda: "in", methods=["GET", "POST"])
    admin = first_user(app.test_client())
    viewer, stranger = another(admin, "viewer@example.com"), another(admin, "stranger@example.com")
    admin.share(admin.ledger, viewer, "viewer")
    for method in ("GET", "HEAD", "POST"):
        assert nobody(admin.client).ask(method, "/unguarded").status_code == 401
        assert nobody(admin.client).ask(method, f"/ledgers/{admin.ledger}/unguarded").status_code == 401
        assert stranger.ask(method, f"/ledgers/{admin.ledger}/unguarded").status_code == 404
        assert viewer.ask(method, f"/ledgers/{admin.ledger}/unguarded").status_code == (
            403 if method == "POST" else 200
        )
        assert admin.ask(method, "/unguarded").status_code == 200
        assert admin.key("read").ask(method, "/unguarded").status_code == (403 if method == "POST" else 200)
    current.books(app).database.close()


@pytest.mark.parametrize("path", ["/nothing", "/ledgers/01ARZ3NDEKTSV4RRFFQ69G5FAV/nothing", "/expenses/x"])
def test_what_is_no_route_is_404_to_everybody(with_settings: Callable[..., FlaskClient], path: str) -> None:
    client = with_settings(auth="required")
    assert nobody(client).get(path).status_code == 404
    assert first_user(client).get(path).status_code == 404


def test_a_method_that_a_route_does_not_take_is_405_to_everybody(with_settings: Callable[..., FlaskClient]) -> None:
    client = with_settings(auth="required")
    for holder in (nobody(client), first_user(client)):
        for method in ("PUT", "TRACE", "CONNECT", "PROPFIND"):
            answer = holder.ask(method, "/expenses")
            assert answer.status_code == 405
            assert {*answer.headers["Allow"].split(", ")} == {"GET", "HEAD", "OPTIONS", "POST"}
