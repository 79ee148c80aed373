"""Any sequence of requests, restarts included, against a plain Python model of the books."""

import json
import shutil
from decimal import Decimal
from typing import Any

import pytest
from conftest import _create_database, _drop_database
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from cashman import current
from cashman.index import create_app
from cashman.model.money import parse_json_number
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}
DAY = "2026-11-20"

amounts = st.integers(1, 99_999).map(lambda cents: Decimal(cents) / 100)
descriptions = st.text("abc é漢", min_size=1, max_size=5).filter(lambda words: words.strip() == words)
categories = st.sampled_from([None, "Food", "Food:Coffee"])
types = st.sampled_from(["INCOME", "EXPENSE"])
currencies = st.sampled_from(["USD", "EUR"])


class Model:
    """What one transaction has to be."""

    def __init__(self, kind: str, **fields: Any) -> None:
        self.kind = kind
        self.fields = {"category": None, "payee": None, "notes": None, "currency": "USD", **fields}
        self.version = 1
        self.void = False

    @property
    def amount(self) -> Decimal:
        """The amount with the sign of its type."""
        return self.fields["amount"] * (1 if self.kind == "INCOME" else -1)

    def change(self, values: dict[str, Any]) -> None:
        """Give some fields new values; what changes nothing is no revision."""
        if any(self.fields[name] != value for name, value in values.items()):
            self.fields |= values
            self.version += 1

    def matches(self, shown: dict[str, Any]) -> bool:
        """Whether it is what the wire shows."""
        fields = {name: shown[name] for name in self.fields if name != "amount"}
        own = {name: value for name, value in self.fields.items() if name != "amount"}
        return (shown["type"], shown["amount"], shown["version"], fields) == (
            self.kind,
            self.amount,
            self.version,
            own,
        )


class Books(RuleBasedStateMachine):
    """The service, driven over HTTP, beside the model."""

    url: str
    ids = Bundle("ids")
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Model] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.number = 0

    def fresh_url(self) -> str:
        """The URL of a new database."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.url = self.fresh_url()
        self.open()

    def open(self) -> None:
        self.app = create_app({"CASHMAN_DATABASE_URL": self.url})
        self.client: FlaskClient = self.app.test_client()
        current.books(self.app).database.open()

    def teardown(self) -> None:
        if hasattr(self, "app"):
            verify(current.books(self.app).database)
            current.books(self.app).database.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        document = None if body is None else {**body}
        if document is not None and "amount" in document:
            document["amount"] = str(document["amount"])
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, json=document, headers={**SHOWN, **named})

    def shown(self, answer: Any) -> Any:
        """A body with exact amounts."""
        return json.loads(answer.data, parse_float=parse_json_number, parse_int=lambda token: int(token))

    # What can happen.

    @rule(target=ids, kind=types, description=descriptions, amount=amounts, category=categories, currency=currencies)
    def create(self, kind: str, **fields: Any) -> str:
        answer = self.ask("POST", "/transactions", {"type": kind, "date": DAY, **fields})
        assert answer.status_code == 201
        self.model[answer.json["id"]] = Model(kind, **fields)
        return answer.json["id"]

    @rule(target=ids, description=descriptions, amount=amounts)
    def create_with_an_id_twice(self, description: str, amount: Decimal) -> str:
        self.number += 1
        id_ = f"01K{self.number:023d}"
        body = {"id": id_, "description": description, "amount": amount, "date": DAY}
        answers = [self.ask("POST", "/expenses", body) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].data == answers[1].data
        assert self.ask("POST", "/expenses", {**body, "description": description + "!"}).status_code == 409
        self.model[id_] = Model("EXPENSE", description=description, amount=amount)
        return id_

    @rule(target=sent, description=descriptions, amount=amounts)
    def create_with_a_key(self, description: str, amount: Decimal) -> tuple[str, dict[str, Any]]:
        self.number += 1
        key, body = f"key {self.number}", {"description": description, "amount": amount, "date": DAY}
        answer = self.ask("POST", "/incomes", body, Idempotency_Key=key)
        assert answer.status_code == 201
        self.model[answer.json["id"]] = Model("INCOME", description=description, amount=amount)
        self.answers[key] = (201, answer.data)
        return key, body

    @rule(which=sent)
    def retry(self, which: tuple[str, dict[str, Any]]) -> None:
        key, body = which
        answer = self.ask("POST", "/incomes", body, Idempotency_Key=key)
        if self.answers[key][0] == 410:
            assert answer.status_code == 410
        else:
            assert (answer.status_code, answer.data) == self.answers[key]
            assert answer.headers["Idempotency-Replayed"] == "true"
        assert self.ask("POST", "/expenses", body, Idempotency_Key=key).status_code == 422

    @rule(lines=st.lists(st.tuples(types, descriptions, amounts), min_size=1, max_size=3), bad=st.booleans())
    def record_batch(self, lines: list[tuple[str, str, Decimal]], bad: bool) -> None:
        batch = [
            {"type": kind, "description": description, "amount": str(amount), "date": DAY}
            for kind, description, amount in lines
        ]
        if bad:
            batch.append({**batch[0], "account": "nowhere"})
        answer = self.client.post("/transactions/batch", json=batch, headers=SHOWN)
        assert answer.status_code == (422 if bad else 201)
        for shown, (kind, description, amount) in zip([] if bad else answer.json, lines, strict=False):
            self.model[shown["id"]] = Model(kind, description=description, amount=amount)

    @rule(id_=ids, description=descriptions, amount=amounts, category=categories)
    def replace(self, id_: str, **fields: Any) -> None:
        one = self.model[id_]
        answer = self.ask("PUT", f"/transactions/{id_}", {"date": DAY, **fields}, If_Match=f'"{one.version}"')
        if one.void:
            assert answer.status_code == 404
        else:
            assert answer.status_code == 200
            one.change({"payee": None, "notes": None, "currency": "USD", **fields})

    @rule(id_=ids, payee=st.sampled_from([None, "Luigi"]), amount=amounts, stale=st.booleans())
    def patch(self, id_: str, stale: bool, **fields: Any) -> None:
        one = self.model[id_]
        answer = self.ask("PATCH", f"/transactions/{id_}", fields, If_Match=f'"{one.version + stale}"')
        if one.void or stale:
            assert answer.status_code == (404 if one.void else 412)
        else:
            assert answer.status_code == 200
            one.change(fields)

    @rule(id_=ids)
    def void(self, id_: str) -> None:
        assert self.ask("DELETE", f"/transactions/{id_}").status_code == 204
        self.model[id_].version += not self.model[id_].void
        self.model[id_].void = True

    @rule(id_=ids)
    def restore(self, id_: str) -> None:
        assert self.ask("POST", f"/transactions/{id_}/restore").status_code == 200
        self.model[id_].version += self.model[id_].void
        self.model[id_].void = False

    @rule(id_=ids)
    def redact(self, id_: str) -> None:
        assert self.ask("POST", f"/transactions/{id_}/redact").status_code == 204
        one = self.model[id_]
        one.fields |= {"description": "[redacted]", "payee": None, "notes": None}
        one.version += 1
        self.answers = dict.fromkeys(self.answers, (410, b""))

    @rule()
    def restart(self) -> None:
        current.books(self.app).database.close()
        self.open()

    # What has to be true at any time.

    @invariant()
    def the_list_is_the_model(self) -> None:
        if not hasattr(self, "client"):
            return
        listed = {row["id"]: row for row in self.shown(self.client.get("/transactions?limit=1000"))}
        standing = {id_: one for id_, one in self.model.items() if not one.void}
        assert listed.keys() == standing.keys()
        assert [id_ for id_, one in standing.items() if not one.matches(listed[id_])] == []

    @invariant()
    def one_of_them_alone_and_its_history_are_as_the_model_says(self) -> None:
        for id_, one in list(self.model.items())[-2:]:
            answer = self.client.get(f"/transactions/{id_}")
            assert answer.status_code == (404 if one.void else 200)
            assert one.void or one.matches(self.shown(answer))
            assert len(self.client.get(f"/transactions/{id_}/history").json) == one.version

    @invariant()
    def the_totals_are_those_of_the_model(self) -> None:
        if not hasattr(self, "client"):
            return
        query = text("SELECT currency, minor_units, count FROM account_totals WHERE count > 0 OR minor_units <> 0")
        stored = current.books(self.app).database.read(lambda c: {row[0]: tuple(row[1:]) for row in c.execute(query)})
        expected: dict[str, tuple[int, int]] = {}
        for one in self.model.values():
            if not one.void:
                total, count = expected.get(one.fields["currency"], (0, 0))
                expected[one.fields["currency"]] = total + int(one.amount * 100), count + 1
        assert stored == expected


@pytest.mark.parametrize(("engine", "examples"), [("sqlite", 12), ("postgresql", 5)])
def test_any_sequence_of_requests_leaves_the_books_as_the_model_says(
    engine: str, examples: int, tmp_path: Any, request: pytest.FixtureRequest
) -> None:
    made: list[str] = []
    if engine == "sqlite":
        template = request.getfixturevalue("sqlite_template")
    else:
        request.getfixturevalue("postgresql_template")
        server = request.getfixturevalue("postgresql_server")

    class Fresh(Books):
        """Each run has a database of its own."""

        def fresh_url(self) -> str:
            if engine == "sqlite":
                url = f"sqlite:///{shutil.copy(template, tmp_path / f'{len(made)}.db')}"
            else:
                url = _create_database(server, f"cashman_machine_{len(made)}", "cashman_template")
            made.append(url)
            return url

    try:
        run_state_machine_as_test(
            Fresh,
            settings=settings(
                max_examples=examples,
                stateful_step_count=20,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        if engine == "postgresql":
            for number in range(len(made)):
                _drop_database(server, f"cashman_machine_{number}")
    assert len(made) >= examples
