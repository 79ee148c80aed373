"""The page of the list: every filter in the URL, what hostile text becomes, and one transaction with its history."""

import datetime as dt
import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from flask.testing import FlaskClient
from people import another, first_user
from werkzeug.test import TestResponse

from cashman.dashboard.transactions import ROWS
from cashman.ledger import Ledger
from cashman.model.expense import Expense
from cashman.model.income import Income

HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(1)> {{ 7*7 }} &amp; ‮"

ULIDS = [f"01KA000000000000000000000{number}" for number in range(9)]


class Parsed(HTMLParser):
    """A page as a browser reads it: its elements with their attributes, and its text."""

    def __init__(self, answer: TestResponse) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def by_id(self, id_: str) -> dict[str, str | None] | None:
        return next((given for _, given in self.elements if given.get("id") == id_), None)

    def rows(self) -> list[dict[str, str | None]]:
        return [given for tag, given in self.elements if tag == "tr" and "data-id" in given]


def look(client: FlaskClient, path: str = "/pages/transactions", *, expect: int = 200, **query: str) -> Parsed:
    answer = client.get(path, query_string=query or None, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (expect, "text/html"), answer.text[:500]
    return Parsed(answer)


def described(page: Parsed) -> list[str]:
    """The descriptions of the rows: the links to each one's history."""
    places = [place for place, (tag, given) in enumerate(page.elements) if given.get("data-do") == "history"]
    return [str(page.elements[place][1]["href"]).rpartition("/")[2] for place in places]


def booked(ledger: Ledger, *items: Expense | Income) -> list[str]:
    return [ledger.record(item).state["id"] for item in items]


def test_an_empty_ledger_says_what_to_do_and_a_filter_that_finds_nothing_how_to_go_back(client: FlaskClient) -> None:
    empty = look(client)
    assert "Import a file" in empty.texts
    assert empty.rows() == []
    assert "Nothing matches these filters." in look(client, q="nowhere").texts


def test_each_filter_of_the_url_filters_and_stands_in_its_field(client: FlaskClient, ledger: Ledger) -> None:
    ledger.open_account({"name": "Card", "currency": "EUR"})
    pizza, wage, rent = booked(
        ledger,
        Expense(
            "pizza",
            50,
            category="Food:Restaurant",
            tags=["night out"],
            payee="Luigi",
            date=dt.date(2026, 1, 1),
            id=ULIDS[0],
        ),
        Income("wage", 2500, date=dt.date(2026, 1, 2), id=ULIDS[1]),
        Expense("rent", 700, account="Card", currency="EUR", status="pending", date=dt.date(2026, 1, 3), id=ULIDS[2]),
    )
    for query, found in [
        ({}, [rent, wage, pizza]),
        ({"q": "pizzas"}, [pizza]),
        ({"type": "INCOME"}, [wage]),
        ({"from": "2026-01-02"}, [rent, wage]),
        ({"to": "2026-01-01"}, [pizza]),
        ({"account": "Card"}, [rent]),
        ({"category": "Food"}, [pizza]),
        ({"tag": "night out"}, [pizza]),
        ({"payee": "Luigi"}, [pizza]),
        ({"min_amount": "100", "max_amount": "1000"}, [rent]),
        ({"currency": "EUR"}, [rent]),
        ({"status": "pending"}, [rent]),
        ({"sort": "date"}, [pizza, wage, rent]),
        ({"q": "", "from": " ", "tag": "", "type": "", "account": ""}, [rent, wage, pizza]),
    ]:
        page = look(client, **query)
        assert described(page) == found, query
        for name, value in query.items():
            if value.strip() and name not in ("type", "account", "status", "sort"):
                assert any(given.get("name") == name and given.get("value") == value for _, given in page.elements)


def test_a_filter_that_is_not_understood_is_told_beside_its_field(client: FlaskClient, ledger: Ledger) -> None:
    ledger.record(Expense("pizza", 5))
    for name, value in [
        ("from", "soon"), ("account", "nowhere"), ("min_amount", "-1"), ("currency", "XX"), ("type", "GIFT"),
        ("q", "x" * 201), ("sort", "size"), ("status", "void"), ("tag", "x" * 51),
    ]:  # fmt: skip
        page = look(client, expect=422, **{name: value})
        field = next(given for _, given in page.elements if given.get("name") == name)
        assert field["aria-invalid"] == "true"
        assert page.by_id(str(field["aria-describedby"])) is not None
        assert page.rows() == []
    assert "Kein Datum" in " ".join(
        Parsed(client.get("/pages/transactions?from=x", headers={"Accept-Language": "de"})).texts
    )


def test_an_unknown_parameter_is_an_error_as_everywhere(client: FlaskClient) -> None:
    assert client.get("/pages/transactions?colour=red").status_code == 422


def test_pages_follow_each_other_to_the_end(client: FlaskClient, ledger: Ledger) -> None:
    ledger.record(*[Expense(f"pizza {number}", 5, tags=["a&b"]) for number in range(2 * ROWS + 1)])
    seen: list[str] = []
    path: str | None = "/pages/transactions?tag=a%26b&q=&from="
    while path is not None:
        page = look(client, path)
        seen += described(page)
        more = page.by_id("more")
        path = None if more is None else str(more["href"])
        assert path is None or [name for name, _ in parse_qsl(urlsplit(path).query)] == ["tag", "cursor"]
    assert len(seen) == len(set(seen)) == 2 * ROWS + 1


def test_hostile_text_stays_text_wherever_it_is_shown(client: FlaskClient, ledger: Ledger) -> None:
    ledger.open_account({"name": HOSTILE[:90], "currency": "USD"})
    words = {"category": HOSTILE.replace(":", ""), "payee": HOSTILE, "tags": [HOSTILE[:50]], "notes": HOSTILE}
    id_ = ledger.record(Expense(HOSTILE, 5, account=HOSTILE[:90], **words)).state["id"]
    for path in (
        "/pages/transactions",
        f"/pages/transactions/{id_}",
        "/pages/import",
        "/pages/transactions?"
        + urlencode({"q": HOSTILE, "category": HOSTILE, "payee": HOSTILE, "account": HOSTILE[:90]}),
        "/pages/transactions?" + urlencode({"account": HOSTILE, "tag": HOSTILE, "group": HOSTILE, "cursor": HOSTILE}),
    ):
        answer = client.get(path)
        assert answer.mimetype == "text/html"
        page = Parsed(answer)
        assert "img" not in {tag for tag, given in page.elements if given.get("src") == "x"}
        assert not [name for _, given in page.elements for name in given if name.startswith("on")]
        assert [given for tag, given in page.elements if tag == "script" and not given.get("src")] == []
        assert "49" not in " ".join(page.texts).replace(HOSTILE, "")
    links = [str(given["href"]) for tag, given in Parsed(client.get("/pages/transactions")).elements if tag == "a"]
    shown = dict(parse_qsl(urlsplit(next(link for link in links if "category=" in link)).query))
    assert shown == {"category": words["category"]}


def test_what_is_pending_split_or_transferred_is_marked(client: FlaskClient, ledger: Ledger) -> None:
    ledger.open_account({"name": "Savings", "currency": "USD"})
    move = {"from": "main", "to": "Savings", "amount": 5, "description": "put by"}
    receipt = {
        "description": "shopping",
        "lines": [{"amount": 1, "category": "Food"}, {"amount": 2, "category": "Home"}],
    }
    waiting = {"description": "deposit", "amount": 9, "status": "pending", "expires_in": 3600}
    assert client.post("/transfers", json=move).status_code == 204
    assert client.post("/expenses", json=receipt).status_code == 204
    assert client.post("/expenses", json=waiting).status_code == 204
    page = look(client)
    assert page.texts.count("Transfer") == page.texts.count("Split receipt") == 2
    assert [given.get("class") for _, given in page.elements].count("badge pending") == 1
    assert any(re.match("until ", text) for text in page.texts)
    assert [given["data-do"] for _, given in page.elements if given.get("data-do") in ("book", "edit", "void")].count(
        "book"
    ) == 1
    group = next(given["data-group"] for given in page.rows() if given.get("data-group"))
    assert len(look(client, group=str(group)).rows()) == 2


def test_a_row_carries_the_tag_that_a_change_has_to_match(client: FlaskClient, ledger: Ledger) -> None:
    id_ = ledger.record(Expense("pizza", 5)).state["id"]
    tag = str(look(client).rows()[0]["data-etag"])
    assert client.patch(f"/transactions/{id_}", json={"payee": "Luigi"}, headers={"If-Match": tag}).status_code == 200
    assert client.patch(f"/transactions/{id_}", json={"payee": "Mario"}, headers={"If-Match": tag}).status_code == 412
    assert str(look(client).rows()[0]["data-etag"]) != tag


def test_one_transaction_is_shown_with_all_that_happened_to_it_also_when_it_is_void(
    client: FlaskClient, ledger: Ledger
) -> None:
    receipt = {
        "description": "shopping",
        "lines": [{"amount": 1, "category": "Food"}, {"amount": 2, "category": "Home"}],
    }
    location = client.post("/expenses", json=receipt).headers["Location"]
    id_ = location.rpartition("/")[2]
    client.patch(f"/transactions/{id_}", json={"amount": 1.5, "payee": "Market"})
    page = look(client, f"/pages/transactions/{id_}")
    text = " ".join(page.texts)
    assert "-$1.00" in text.replace("\N{MINUS SIGN}", "-")
    assert "-$1.50" in text.replace("\N{MINUS SIGN}", "-")
    assert "Booked together" in text
    client.delete(f"/transactions/{id_}")
    page = look(client, f"/pages/transactions/{id_}")
    assert {"Void", "Voided", "Changed", "Recorded"} <= set(page.texts)
    assert client.get(f"/pages/transactions/{ULIDS[0]}").status_code == 404


def test_a_viewer_is_offered_nothing_that_writes(client: FlaskClient) -> None:
    owner = first_user(client)
    viewer = another(owner, "viewer@example.com")
    owner.share(owner.ledger, viewer, "viewer")
    owner.post("/expenses", {"description": "pizza", "amount": 5})
    for person, may in ((owner, True), (viewer, False)):
        page = Parsed(person.ask("GET", f"/ledgers/{owner.ledger}/pages/transactions"))
        assert len(page.rows()) == 1
        assert (page.by_id("entry-text") is not None) is may
        assert any(given.get("data-do") == "void" for _, given in page.elements) is may
        assert str(page.elements[described_at(page)][1]["href"]).startswith(f"/ledgers/{owner.ledger}/pages/")
        page = Parsed(person.ask("GET", f"/ledgers/{owner.ledger}/pages/import"))
        assert (page.by_id("file") is not None) is may


def described_at(page: Parsed) -> int:
    return next(place for place, (_, given) in enumerate(page.elements) if given.get("data-do") == "history")


@pytest.mark.parametrize("language", ["de", "es", "fr", "pt-BR"])
def test_the_page_speaks_each_language_and_every_word_of_its_scripts_is_there(
    client: FlaskClient, ledger: Ledger, language: str
) -> None:
    ledger.record(Expense("pizza", 5))
    for path in ("/pages/transactions", "/pages/import"):
        answer = client.get(path, headers={"Accept-Language": language})
        assert answer.headers["Content-Language"] == language
        assert "Edit" not in Parsed(answer).texts
