"""Any sequence of requests, restarts and hours included, against the same books in plain Python."""

import datetime as dt
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest
from conftest import _create_database, _drop_database
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run
from plain_books import PERIODS, Account, Movement, PlainBooks, is_below

from cashman import current, db
from cashman.index import create_app
from cashman.model.money import parse_json_number
from cashman.stems import stems_of
from cashman.verify import verify

SHOWN = {"Prefer": "return=representation"}
BEGINNING = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)
"""Later than any real clock, which founded the ledger."""
DAYS = ["2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01", "2026-11-20"]

amounts = st.integers(1, 9_999).map(lambda cents: Decimal(cents) / 100)
descriptions = st.sampled_from(["plays", "Playing cards", "Café", "漢字 coffee", "é", "'; --"])
days = st.sampled_from(DAYS).map(dt.date.fromisoformat)
paths = st.sampled_from([None, "Food", "Food:Coffee", "Foodstuff", "Home"])
some_paths = st.sampled_from(["Food", "Food:Coffee", "Home", "Meals", "Meals:Food"])
payees = st.sampled_from([None, "Luigi", "Café"])
tag_lists = st.lists(st.sampled_from(["a", "b", "night out"]), max_size=2, unique=True)
types = st.sampled_from(["INCOME", "EXPENSE"])
lives = st.sampled_from([None, 60, 3_600])
PATCHED = ["amount", "payee", "description", "category", "account", "date"]
picks = st.integers(0, 1_000_000)
"""Which of those that there are."""

TURNS = 9
"""Steps until each report has been looked at."""

HAS_EXPIRED, CLOSED, MISSING = 409, 409, 404


class Clock:
    """What time it is for the service."""

    def __init__(self) -> None:
        self.now = BEGINNING


def listed(answer: Any) -> Any:
    """A body with exact amounts."""
    assert answer.status_code == 200, answer.data
    return json.loads(answer.data, parse_float=parse_json_number, parse_int=lambda token: int(token))


class Books(RuleBasedStateMachine):
    """The service, driven over HTTP, beside the same in Python."""

    fresh_url: Callable[[], str]
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.clock.now = BEGINNING
        self.plain = PlainBooks(stems_of)
        self.cells: list[list[str]] = []
        """The categories, oldest first; after a merge two of them have one path."""
        self.closed_until: dt.date | None = None
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.steps = 0
        self.names = 0

    @initialize()
    def begin(self) -> None:
        self.url = self.fresh_url()
        self.open()
        for name, currency in (("card", "USD"), ("euro", "EUR")):
            self.open_account(name, currency, Decimal(0), dt.date(2026, 1, 1))

    def open(self) -> None:
        self.app = create_app({"CASHMAN_DATABASE_URL": self.url})
        self.client: FlaskClient = self.app.test_client()
        current.books(self.app).database.open()

    def teardown(self) -> None:
        if hasattr(self, "app"):
            for _ in range(TURNS):
                self.every_report_is_what_plain_python_makes_of_the_movements()
            verify(current.books(self.app).database)
            current.books(self.app).database.close()

    # How it is asked, and what it has to answer.

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        document = json.dumps(body, default=str) if body is not None else None
        return self.client.open(
            path, method=method, data=document, content_type="application/json", headers={**SHOWN, **named}
        )

    def account(self, pick: int) -> Account:
        return list(self.plain.accounts.values())[pick % len(self.plain.accounts)]

    def movement(self, pick: int) -> Movement:
        return list(self.plain.movements.values())[pick % len(self.plain.movements)]

    def members(self, one: Movement) -> list[Movement]:
        if one.group is None:
            return [one]
        return [one, *(o for o in self.plain.movements.values() if o.group == one.group and o is not one)]

    def cell(self, path: str | None) -> list[str] | None:
        return next((cell for cell in self.cells if cell[0] == path), None)

    def opened(self, path: str | None) -> list[str] | None:
        if path is not None and self.cell(path) is None:
            self.cells.append([path])
        return self.cell(path)

    def shut(self, *places: tuple[int, dt.date]) -> bool:
        """Whether one of some accounts, or of some days, is closed."""
        return any(
            self.plain.accounts[account].closed or (self.closed_until is not None and day <= self.closed_until)
            for account, day in places
        )

    def expired(self, one: Movement) -> bool:
        return one.expires_at is not None and one.expires_at <= self.clock.now

    def change(self, changes: Sequence[tuple[Movement, dict[str, Any]]], path: str | None = None) -> bool:
        """Make changes of movements that belong together, where neither an account nor a day is closed.

        `path` is the category that the first of them gets, which is opened only with them.
        """
        changed = [
            (one, values)
            for one, values in changes
            if any(getattr(one, name) is not value if name == "category" else getattr(one, name) != value
                   for name, value in values.items())
            or (path is not None and one is changes[0][0]
                and (one.category is None or one.category is not self.cell(path)))
        ]  # fmt: skip
        places = [(one.account, one.date) for one, _ in changed]
        places += [(values.get("account", one.account), values.get("date", one.date)) for one, values in changed]
        if self.shut(*places):
            return False
        for one, values in changed:
            if path is not None and one is changes[0][0]:
                values = {**values, "category": self.opened(path)}
            for name, value in values.items():
                setattr(one, name, value)
            one.version += 1
        return True

    def add(self, shown: dict[str, Any], **fields: Any) -> None:
        self.plain.movements[shown["id"]] = Movement(shown["id"], group=shown["group"], **fields)

    # Transactions.

    @rule(
        type_=types, description=descriptions, amount=amounts, day=days, pick=picks, path=paths, tags=tag_lists,
        payee=payees, pending=st.booleans(), life=lives,
    )  # fmt: skip
    def create(self, type_: str, description: str, amount: Decimal, day: dt.date, pick: int, path: str | None,
               tags: list[str], payee: str | None, pending: bool, life: int | None) -> None:  # fmt: skip
        account = self.account(pick)
        body: dict[str, Any] = {"type": type_, "description": description, "amount": amount, "date": day}
        body |= {"account": account.name, "category": path, "tags": tags, "payee": payee}
        if pending:
            body |= {"status": "pending"} | ({"expires_in": life} if life else {})
        self.names += 1
        answer = self.ask("POST", "/transactions", body, Idempotency_Key=f"key {self.names}")
        if self.shut((account.id, day)):
            assert answer.status_code == CLOSED
            return
        assert answer.status_code == 201, answer.json
        self.answers[f"key {self.names}"], self.bodies[f"key {self.names}"] = (201, answer.data), body
        self.add(
            answer.json, type=type_, description=description, amount=amount * (1 if type_ == "INCOME" else -1),
            date=day, account=account.id, status=body.get("status", "posted"), category=self.opened(path), tags=tags,
            payee=payee, expires_at=self.clock.now + dt.timedelta(seconds=life) if pending and life else None,
        )  # fmt: skip

    @precondition(lambda self: self.answers)
    @rule(pick=picks)
    def create_again_with_the_same_key(self, pick: int) -> None:
        key = list(self.answers)[pick % len(self.answers)]
        answer = self.ask("POST", "/transactions", self.bodies[key], Idempotency_Key=key)
        if self.answers[key][0] == 410:
            assert answer.status_code == 410
        else:
            assert (answer.status_code, answer.data) == self.answers[key]
            assert answer.headers["Idempotency-Replayed"] == "true"

    @rule(description=descriptions, amount=amounts, day=days, pick=picks)
    def create_with_an_id_twice(self, description: str, amount: Decimal, day: dt.date, pick: int) -> None:
        account = self.account(pick)
        self.names += 1
        body = {"id": f"01K{self.names:023d}", "description": description, "amount": amount, "date": day}
        body["account"] = account.name
        answers = [self.ask("POST", "/expenses", body) for _ in range(2)]
        if self.shut((account.id, day)):
            assert [answer.status_code for answer in answers] == [CLOSED, CLOSED]
            return
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].data == answers[1].data
        assert self.ask("POST", "/expenses", {**body, "description": "other"}).status_code == 409
        self.add(answers[0].json, type="EXPENSE", description=description, amount=-amount, date=day, account=account.id)

    @rule(lines=st.lists(st.tuples(types, descriptions, amounts, days), min_size=1, max_size=3), bad=st.booleans())
    def create_in_a_batch(self, lines: list[tuple[str, str, Decimal, dt.date]], bad: bool) -> None:
        batch: list[dict[str, Any]] = [
            {"type": type_, "description": description, "amount": amount, "date": day}
            for type_, description, amount, day in lines
        ]
        answer = self.ask("POST", "/transactions/batch", [*batch, *([{**batch[0], "account": "nowhere"}] * bad)])
        shut = self.shut(*((1, day) for *_, day in lines))
        if bad or shut:
            assert answer.status_code == (CLOSED if shut and len(batch) == 1 and not bad else 422), answer.json
            return
        assert answer.status_code == 201, answer.json
        for shown, (type_, description, amount, day) in zip(answer.json, lines, strict=True):
            signed = amount if type_ == "INCOME" else -amount
            self.add(shown, type=type_, description=description, amount=signed, date=day)

    @rule(lines=st.lists(st.tuples(amounts, paths, tag_lists), min_size=1, max_size=3), day=days, pick=picks,
          payee=payees, life=lives)  # fmt: skip
    def split(
        self, lines: list[tuple[Decimal, Any, list[str]]], day: dt.date, pick: int, payee: str | None, life: Any
    ) -> None:
        account = self.account(pick)
        parts = [{"amount": amount, "category": path, "tags": tags} for amount, path, tags in lines]
        body = {"description": "receipt", "date": day, "account": account.name, "payee": payee, "lines": parts}
        if life:
            body |= {"status": "pending", "expires_in": life}
        answer = self.ask("POST", "/expenses", body)
        if self.shut((account.id, day)):
            assert answer.status_code == CLOSED
            return
        assert answer.status_code == 201, answer.json
        assert {shown["group"] for shown in answer.json} == {answer.json[0]["id"]}
        for shown, (amount, path, tags) in zip(answer.json, lines, strict=True):
            self.add(
                shown, type="EXPENSE", description="receipt", amount=-amount, date=day, account=account.id,
                category=self.opened(path), tags=tags, payee=payee, status="pending" if life else "posted",
                expires_at=self.clock.now + dt.timedelta(seconds=life) if life else None,
            )  # fmt: skip

    @precondition(lambda self: self.plain.movements)
    @rule(pick=picks, to=picks, description=descriptions, amount=amounts, day=days, path=paths, stale=st.booleans())
    def replace(
        self, pick: int, to: int, description: str, amount: Decimal, day: dt.date, path: str | None, stale: bool
    ) -> None:
        one, account = self.movement(pick), self.account(to)
        if one.type == "TRANSFER":
            return
        url = f"/transactions/{one.id}"
        tag = self.client.get(url).headers.get("ETag", '"1"') if not stale else '"999"'
        body = {"description": description, "amount": amount, "date": day, "category": path, "account": account.name}
        answer = self.ask("PUT", url, body, If_Match=tag)
        if one.status == "void":
            assert answer.status_code == (HAS_EXPIRED if self.expired(one) else MISSING)
        elif stale:
            assert answer.status_code == 412
        else:
            shared = {"date": day, "account": account.id, "payee": None}
            own = {"description": description, "tags": [], "notes": None, "category": self.cell(path)}
            own["amount"] = amount if one.type == "INCOME" else -amount
            done = self.change([(one, {**shared, **own}), *((other, shared) for other in self.members(one)[1:])], path)
            assert answer.status_code == (200 if done else CLOSED), answer.json

    @precondition(lambda self: self.plain.movements)
    @rule(pick=picks, to=picks, which=st.sampled_from(PATCHED),
          amount=amounts, payee=payees, path=paths, day=days)  # fmt: skip
    def patch_one_field(self, pick: int, to: int, which: str, amount: Decimal, payee: str | None, path: str | None,
                        day: dt.date) -> None:  # fmt: skip
        one, account = self.movement(pick), self.account(to)
        value = {"amount": amount, "payee": payee, "description": "song", "category": path, "date": day,
                 "account": account.name}[which]  # fmt: skip
        answer = self.ask("PATCH", f"/transactions/{one.id}", {which: value})
        if one.status == "void":
            assert answer.status_code == (HAS_EXPIRED if self.expired(one) else MISSING)
            return
        if which == "account" and account.currency != self.plain.currency(one):
            assert answer.status_code == 422
            return
        stored: dict[str, Any] = {
            "amount": amount if one.type != "EXPENSE" else -amount, "account": account.id, "category": self.cell(path)
        }  # fmt: skip
        changes = [(one, {which: stored.get(which, value)})]
        shared = ["date", "payee", "account"]
        if one.type == "TRANSFER":
            if which in stored and (getattr(one, which) != changes[0][1][which] or (which == "category" and path)):
                assert answer.status_code == 409
                return
            shared = ["date", "payee", "description"]
        if which in shared:
            changes += [(other, changes[0][1]) for other in self.members(one)[1:]]
        done = self.change(changes, path if which == "category" else None)
        assert answer.status_code == (200 if done else CLOSED), answer.json

    @precondition(lambda self: any(one.status == "pending" for one in self.plain.movements.values()))
    @rule(pick=picks, life=st.sampled_from([None, 60, 7_200]))
    def book_or_prolong(self, pick: int, life: int | None) -> None:
        pending = [one for one in self.plain.movements.values() if one.status == "pending"]
        one = pending[pick % len(pending)]
        answer = self.ask(
            "PATCH", f"/transactions/{one.id}", {"status": "posted"} if life is None else {"expires_in": life}
        )
        new: dict[str, Any] = {"status": "posted", "expires_at": None}
        if life is not None:
            # The service's clock is never before the newest entry of its journal, which may be microseconds ahead.
            if self.shut(*((other.account, other.date) for other in self.members(one))):
                assert answer.status_code == CLOSED
                return
            assert answer.status_code == 200, answer.json
            new = {"expires_at": dt.datetime.fromisoformat(answer.json["expires_at"])}
            ahead = new["expires_at"] - self.clock.now - dt.timedelta(seconds=life)
            assert dt.timedelta(0) <= ahead < dt.timedelta(milliseconds=10)
        done = self.change([(other, dict(new)) for other in self.members(one)])
        assert answer.status_code == (200 if done else CLOSED), answer.json

    @precondition(lambda self: self.plain.movements)
    @rule(pick=picks)
    def void(self, pick: int) -> None:
        one = self.movement(pick)
        path = "transfers" if one.type == "TRANSFER" and one.group == one.id else "transactions"
        answer = self.ask("DELETE", f"/{path}/{one.id}")
        before = [(other, other.status) for other in self.members(one)]
        if one.status == "void":
            assert answer.status_code == 204
            return
        done = self.change([(other, {"status": "void"}) for other in self.members(one)])
        assert answer.status_code == (204 if done else CLOSED)
        for other, status in before if done else []:
            other.before_void = status

    @precondition(lambda self: any(one.status == "void" for one in self.plain.movements.values()))
    @rule(pick=picks)
    def restore(self, pick: int) -> None:
        void = [one for one in self.plain.movements.values() if one.status == "void"]
        one = void[pick % len(void)]
        path = "transfers" if one.type == "TRANSFER" and one.group == one.id else "transactions"
        answer = self.ask("POST", f"/{path}/{one.id}/restore")
        if self.expired(one):
            assert answer.status_code == HAS_EXPIRED
            assert answer.json["type"] == "/problems/expired"
            return
        done = self.change([(other, {"status": other.before_void}) for other in self.members(one)])
        assert answer.status_code == (200 if done else CLOSED), answer.json

    @precondition(lambda self: self.plain.movements)
    @rule(pick=picks)
    def redact(self, pick: int) -> None:
        one = self.movement(pick)
        assert self.ask("POST", f"/transactions/{one.id}/redact").status_code == 204
        for other in self.members(one) if one.type == "TRANSFER" else [one]:
            other.description, other.payee, other.notes, other.tags = "[redacted]", None, None, []
            other.version += 1
        self.answers = dict.fromkeys(self.answers, (410, b""))

    # Transfers.

    def leg(self, shown: dict[str, Any], incoming: bool) -> str:
        """The id of a leg of a transfer, as its list shows it."""
        rows = self.client.get(f"/transactions?group={shown['id']}&limit=1000").json
        return next(row["id"] for row in rows if (row["id"] != shown["id"]) is incoming)

    @rule(source=picks, sink=picks, amount=amounts, to_amount=amounts, day=days, life=lives, tags=tag_lists)
    def transfer(
        self, source: int, sink: int, amount: Decimal, to_amount: Decimal, day: dt.date, life: Any, tags: list[str]
    ) -> None:
        ends = self.account(source), self.account(sink)
        same = ends[0].currency == ends[1].currency
        body = {"from": ends[0].name, "to": ends[1].name, "amount": amount, "date": day, "tags": tags}
        if not same or to_amount > 50:
            body["to_amount"] = to_amount
        if life:
            body |= {"status": "pending", "expires_in": life}
        answer = self.ask("POST", "/transfers", body)
        if ends[0] is ends[1] or (same and body.get("to_amount", amount) != amount):
            assert answer.status_code == 422
            assert list(answer.json["errors"]) == ["to" if ends[0] is ends[1] else "to_amount"]
            return
        if self.shut(*((end.id, day) for end in ends)):
            assert answer.status_code == CLOSED
            return
        assert answer.status_code == 201, answer.json
        expires_at = self.clock.now + dt.timedelta(seconds=life) if life else None
        for place, end in enumerate(ends):
            own = amount if same or place == 0 else to_amount
            self.add(
                {"id": self.leg(answer.json, place == 1), "group": answer.json["id"]}, type="TRANSFER",
                description="Transfer", amount=-own if place == 0 else own, date=day, account=end.id, tags=tags,
                status="pending" if life else "posted", expires_at=expires_at,
            )  # fmt: skip

    @precondition(lambda self: any(one.type == "TRANSFER" for one in self.plain.movements.values()))
    @rule(pick=picks, ends=st.tuples(picks, picks), amount=amounts, to_amount=st.none() | amounts, day=days,
          whole=st.booleans())  # fmt: skip
    def change_transfer(self, pick: int, ends: tuple[int, int], amount: Decimal, to_amount: Decimal | None,
                        day: dt.date, whole: bool) -> None:  # fmt: skip
        transfers = [one for one in self.plain.movements.values() if one.group == one.id and one.type == "TRANSFER"]
        out = transfers[pick % len(transfers)]
        into = self.members(out)[1]
        source, sink = self.account(ends[0]), self.account(ends[1])
        body: dict[str, Any] = {"from": source.name, "to": sink.name, "amount": amount, "date": day}
        if not whole:
            body = {"to": sink.name, "amount": amount}
            source = self.plain.accounts[out.account]
        if to_amount is not None:
            body["to_amount"] = to_amount
        answer = self.ask("PUT" if whole else "PATCH", f"/transfers/{out.id}", body)
        if out.status == "void":
            assert answer.status_code == (HAS_EXPIRED if self.expired(out) else MISSING)
            return
        same = source.currency == sink.currency
        had = self.plain.currency(out), self.plain.currency(into)
        unsaid = not same and to_amount is None and (sink.currency != had[1] or had[0] == had[1])
        if source is sink or unsaid or (same and to_amount not in (None, amount)):
            assert answer.status_code == 422, answer.json
            assert list(answer.json["errors"]) == ["to" if source is sink else "to_amount"]
            return
        arrives = amount if same else to_amount or into.amount
        words = {"date": day, "description": "Transfer", "payee": None, "notes": None, "tags": []} if whole else {}
        done = self.change(
            [(out, {"account": source.id, "amount": -amount, **words}),
             (into, {"account": sink.id, "amount": arrives, **words})]
        )  # fmt: skip
        assert answer.status_code == (200 if done else CLOSED), answer.json

    # Accounts, categories, days.

    @rule(currency=st.sampled_from(["USD", "EUR"]), opening=amounts | st.just(Decimal(0)), day=days)
    def open_one_more(self, currency: str, opening: Decimal, day: dt.date) -> None:
        self.names += 1
        self.open_account(f"account {self.names}", currency, opening, day)

    def open_account(self, name: str, currency: str, opening: Decimal, day: dt.date) -> None:
        body: dict[str, Any] = {"name": name, "currency": currency, "opening_balance": opening}
        body |= {"opening_date": day} if opening else {}
        answer = self.ask("POST", "/accounts", body)
        if opening and self.closed_until is not None and day <= self.closed_until:
            assert answer.status_code == CLOSED
            return
        assert answer.status_code == 201, answer.json
        id_ = answer.json["id"]
        self.plain.accounts[id_] = Account(id_, name, currency, opening, day if opening else None)

    @rule(pick=picks, opening=amounts | amounts.map(lambda amount: -amount) | st.just(Decimal(0)), day=days)
    def change_an_opening_balance(self, pick: int, opening: Decimal, day: dt.date) -> None:
        account = self.account(pick)
        body = {"opening_balance": opening, "opening_date": day if opening else None}
        answer = self.ask("PATCH", f"/accounts/{account.id}", body)
        new = opening, day if opening else None
        if new != (account.opening, account.opening_date) and account.closed:
            assert answer.status_code == CLOSED
            return
        if new != (account.opening, account.opening_date):
            touched = [date for date in (account.opening_date, new[1]) if date is not None]
            if self.closed_until is not None and any(date <= self.closed_until for date in touched):
                assert answer.status_code == CLOSED
                return
            account.opening, account.opening_date = new
            account.version += 1
        assert answer.status_code == 200, answer.json
        assert answer.json["version"] == account.version

    @rule(pick=picks, taken=st.booleans())
    def rename_an_account(self, pick: int, taken: bool) -> None:
        account = self.account(pick)
        self.names += 1
        name = self.account(pick + 1).name if taken else f"renamed {self.names}"
        answer = self.ask("PATCH", f"/accounts/{account.id}", {"name": name})
        if account.id == 1:
            assert answer.status_code == 409
        elif taken:
            assert answer.json["type"] == "/problems/name-taken"
        else:
            assert answer.status_code == 200
            account.name = name
            account.version += 1

    @rule(pick=picks, closed=st.booleans())
    def close_or_reopen_an_account(self, pick: int, closed: bool) -> None:
        account = self.account(pick)
        answer = self.ask("PATCH", f"/accounts/{account.id}", {"closed": closed})
        if account.id == 1 and closed:
            assert answer.json["type"] == "/problems/account-needed"
            return
        assert answer.status_code == 200
        account.version += account.closed is not closed
        account.closed = closed

    @rule(pick=picks)
    def delete_an_account(self, pick: int) -> None:
        account = self.account(pick)
        if account.name in ("card", "euro"):
            return
        answer = self.ask("DELETE", f"/accounts/{account.id}")
        day = account.opening_date
        used = any(one.account == account.id for one in self.plain.movements.values())
        shut = day is not None and self.closed_until is not None and day <= self.closed_until
        if account.id == 1 or used or shut:
            assert answer.status_code == 409
        else:
            assert answer.status_code == 204
            del self.plain.accounts[account.id]

    @rule(source=some_paths, sink=some_paths, merge=st.booleans())
    def move_categories(self, source: str, sink: str, merge: bool) -> None:
        answer = self.ask("POST", f"/categories/{'merge' if merge else 'rename'}", {"from": source, "to": sink})
        moved = [cell for cell in self.cells if is_below(cell[0], source)]
        after = [sink + cell[0].removeprefix(source) for cell in moved]
        stays = {cell[0] for cell in self.cells if all(cell is not other for other in moved)}
        if not moved:
            assert answer.status_code == 422
            assert list(answer.json["errors"]) == ["from"]
        elif source != sink and not merge and stays & set(after):
            assert answer.json["type"] == "/problems/category-exists"
        else:
            assert answer.status_code == 200
            for cell, path in zip(moved, after, strict=True):
                cell[0] = path

    @rule(day=st.none() | st.sampled_from(DAYS[:3]).map(dt.date.fromisoformat))
    def close_the_books(self, day: dt.date | None) -> None:
        answer = self.ask("PATCH", "/ledger", {"closed_until": day})
        assert answer.status_code == 200
        self.closed_until = day

    @rule(seconds=st.sampled_from([31, 61, 3_601]))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += dt.timedelta(seconds=seconds)
        for one in self.plain.movements.values():
            if one.status == "pending" and self.expired(one):
                one.status, one.before_void = "void", "pending"
                one.version += 1

    @rule()
    def restart(self) -> None:
        current.books(self.app).database.close()
        self.open()

    # What has to be true at any time.

    @precondition(lambda self: hasattr(self, "client"))
    @invariant()
    def the_list_is_what_plain_python_keeps(self) -> None:
        rows = listed(self.client.get("/transactions?limit=1000"))
        assert [row["id"] for row in rows] == self.plain.found()
        for row in rows:
            one = self.plain.movements[row["id"]]
            expected = {
                "type": one.type, "status": one.status, "description": one.description, "amount": one.amount,
                "currency": self.plain.currency(one), "date": one.date.isoformat(), "category": one.path,
                "account": self.plain.accounts[one.account].name, "tags": one.tags, "payee": one.payee,
                "notes": one.notes, "group": one.group, "version": one.version,
                "expires_at": None if one.expires_at is None else db.rfc3339(one.expires_at),
            }  # fmt: skip
            assert {name: row[name] for name in expected} == expected

    @precondition(lambda self: hasattr(self, "client"))
    @invariant()
    def the_newest_and_their_histories_are_as_they_should_be(self) -> None:
        for one in list(self.plain.movements.values())[-1:]:
            answer = self.client.get(f"/transactions/{one.id}")
            assert answer.status_code == (404 if one.status == "void" else 200)
            history = self.client.get(f"/transactions/{one.id}/history").json
            assert len(history) == one.version
            if self.expired(one) and one.before_void == "pending" and history[-1]["kind"] == "void":
                assert history[-1]["actor"] in ("cashman", "owner")

    @precondition(lambda self: hasattr(self, "client"))
    @invariant()
    def every_report_is_what_plain_python_makes_of_the_movements(self) -> None:
        """Some of the reports and lists after each step, in turn; all of them at the end."""
        for url, expected in self.checks()[self.steps % TURNS :: TURNS]:
            found = listed(self.client.get(url))
            assert found == expected, url
        self.steps += 1

    def checks(self) -> list[tuple[str, Any]]:
        """Each report and list with what it has to be."""
        plain, found = self.plain, []
        for as_of in DAYS:
            found.append((f"/balances?as_of={as_of}", plain.balances(dt.date.fromisoformat(as_of))))
        found.append(("/categories", plain.categories()))
        found.append(("/tags", plain.tags()))
        for first, last in ((None, None), ("2026-01-15", "2026-11-19"), ("2026-01-01", None)):
            query = "&".join(f"{name}={day}" for name, day in (("from", first), ("to", last)) if day)
            low, high = (day and dt.date.fromisoformat(day) for day in (first, last))
            found.append((f"/reports/cashflow?{query}", plain.cashflow(low, high)))
        found += [(f"/reports/summary?{query}", expected) for query, expected in self.summaries()]
        for account in plain.accounts.values():
            found.append((f"/accounts/{account.id}/transactions", _Balanced(plain.on_account(account.id))))
        account_name = self.account(self.steps).name
        for query in FILTERS:
            if query.get("account") == "":
                query = {**query, "account": account_name}
            text = "&".join(f"{name}={value}" for name, value in query.items())
            found.append((f"/transactions?{text}&limit=1000", _Ids(plain.found(**query))))
        outgoing = [id_ for id_ in plain.found(type="TRANSFER") if plain.movements[id_].group == id_]
        found.append(("/transfers?limit=1000", _Ids(outgoing)))
        return found

    def summaries(self) -> Iterable[tuple[str, Any]]:
        """Summaries by each dimension and some pairs, over all days and some."""
        names = [*PERIODS, "category", "account", "payee", "tag", "currency"]
        pairs = [
            ("month", "category"),
            ("account", "category"),
            ("week", "tag"),
            ("category", "day"),
            ("year", "payee"),
        ]
        first, last = dt.date(2026, 1, 15), dt.date(2026, 11, 19)
        for by in [(), *((name,) for name in names), *pairs]:
            query = "".join(f"by={name}&" for name in by)
            yield query, self.plain.summary(by)
            yield f"{query}from={first}&to={last}", self.plain.summary(by, first, last)
        compared = f"from={first}&to={last}&compare=previous"
        for by in (("month",), ("quarter", "category"), ("account",)):
            query = "".join(f"by={name}&" for name in by)
            yield query + compared, self.plain.summary(by, first, last, compare=True)
        yield "by=category&depth=1", self.plain.summary(["category"], depth=1)
        yield "by=month&category=Food", self.plain.summary(["month"], category="Food")
        yield "by=category&account=main", self.plain.summary(["category"], account="main")


FILTERS: list[dict[str, str]] = [
    {"q": "play"}, {"q": "cafe", "sort": "amount"}, {"q": "song redacted"}, {"category": "Food"}, {"tag": "a"},
    {"category": "Meals", "sort": "created_at"}, {"tag": "night out", "q": "play"}, {"payee": "Luigi"},
    {"status": "pending"}, {"status": "posted", "sort": "-created_at"}, {"account": ""}, {"currency": "EUR"},
    {"from": "2026-01-01", "to": "2026-01-31", "sort": "date"}, {"min_amount": "10", "max_amount": "50.5"},
    {"min_amount": "20", "category": "Food", "sort": "-amount"}, {"q": "漢字"}, {"q": "transfer"}, {"q": "luigi"},
]  # fmt: skip


class _Ids(list[str]):
    """Equal to rows of these ids in this order."""

    def __eq__(self, rows: object) -> bool:
        return isinstance(rows, list) and [row["id"] for row in rows] == list(self)


class _Balanced(list[tuple[str, Decimal]]):
    """Equal to rows of these ids with these balances."""

    def __eq__(self, rows: object) -> bool:
        return isinstance(rows, list) and [(row["id"], row["balance"]) for row in rows] == list(self)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "examples"), [("sqlite", 10), ("postgresql", 5)])
def test_any_sequence_of_requests_leaves_the_books_as_plain_python_does(
    engine: str, examples: int, tmp_path: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    if engine == "sqlite":
        template = request.getfixturevalue("sqlite_template")
    else:
        request.getfixturevalue("postgresql_template")
        server = request.getfixturevalue("postgresql_server")
    the_clock = Clock()
    for module in [module for name, module in sys.modules.items() if name.startswith("cashman")]:
        if hasattr(module, "utc_now"):
            monkeypatch.setattr(module, "utc_now", lambda: the_clock.now)

    class Fresh(Books):
        """Each run has a database of its own."""

        clock = the_clock

        def fresh_url(self) -> str:
            if engine == "sqlite":
                url = f"sqlite:///{shutil.copy(template, tmp_path / f'{len(made)}.db')}"
            else:
                url = _create_database(server, f"cashman_machine_{len(made)}", "cashman_template")
            made.append(url)
            return url

    try:
        run(
            Fresh,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                phases=[Phase.generate],  # making a failure smaller takes many minutes
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        if engine == "postgresql":
            for number in range(len(made)):
                _drop_database(server, f"cashman_machine_{number}")
    assert len(made) >= examples
