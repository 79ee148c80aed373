"""Lists by every filter: full text, tags, payee, status, group, amounts, alone and together, page by page."""

import base64
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from plain_books import Account, Movement, PlainBooks

from cashman import current
from cashman.index import create_app
from cashman.ledger import Ledger
from cashman.limits import NOTES_CHARACTERS_MAX, SEARCH_CHARACTERS_MAX
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.stems import stems_of

SHOWN = {"Prefer": "return=representation"}
DAY = "2026-11-20"

once = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def book(client: FlaskClient, path: str = "/expenses", **fields: Any) -> Any:
    """Book one and give back what is shown of it."""
    answer = client.post(path, json={"description": "pizza", "amount": 5, "date": DAY, **fields}, headers=SHOWN)
    assert answer.status_code == 201, answer.json
    return answer.json


def found(client: FlaskClient, path: str = "/transactions", **query: Any) -> list[str]:
    """The descriptions that a list has."""
    answer = client.get(path, query_string=query)
    assert answer.status_code == 200, answer.json
    return [row["description"] for row in answer.json]


def errors_of(client: FlaskClient, path: str = "/transactions", **query: Any) -> Any:
    """What is said against a query."""
    answer = client.get(path, query_string=query)
    assert answer.status_code == 422, answer.data
    assert answer.mimetype == "application/problem+json"
    return answer.json["errors"]


# Full text.


def test_every_form_of_a_word_finds_every_other(client: FlaskClient) -> None:
    for description in ("plays", "playing", "We PLAY tonight", "pláyed", "pray", "display"):
        book(client, description=description)
    for q in ("play", "plays", "playing", "Played", "PLAY", "plây"):
        assert sorted(found(client, q=q)) == ["We PLAY tonight", "playing", "plays", "pláyed"]


SPELLINGS = [
        ("Café Zürich", "cafe zurich"), ("cafe", "CAFÉ"), ("Straße", "strasse"), ("Ωμέγα", "ΩΜΕΓΑ"), ("Ёлка", "елка"),
        ("漢字 かな", "漢字"), ("קפה שחור", "שחור"), ("قهوة", "قهوة"), ("🍕 pizza", "pizza 🍕"), ("ﬁne", "FINE"),
        ("room 101", "101"), ("it's", "it's"), ("O'Brien", "o'brien"), ("rock-n-roll", "roll rock"),
]  # fmt: skip


def test_case_accents_and_scripts_make_no_difference(client: FlaskClient) -> None:
    for text, _ in SPELLINGS:
        book(client, description=text)
    for text, q in SPELLINGS:
        same = {other for other, _ in SPELLINGS if set(stems_of([q])) <= set(stems_of([other]))}
        assert text in same
        assert set(found(client, q=q)) == same


def test_all_words_have_to_be_there_in_whichever_field(client: FlaskClient) -> None:
    book(client, description="dinner", payee="Luigi", notes="with Ann", tags=["night out"])
    book(client, description="dinner", payee="Luigi")
    assert len(found(client, q="dinner luigi")) == 2
    for q in ("dinner ann", "ann luigi night", "out", "dinner dinners ANN"):
        assert found(client, q=q) == ["dinner"]
    assert found(client, q="dinner bob") == []


def test_part_of_a_word_finds_nothing(client: FlaskClient) -> None:
    book(client, description="foodstuff")
    assert [found(client, q=q) for q in ("food", "stuff", "foo*", "foodst", "foodstuff*")] == [[], [], [], [], [
        "foodstuff"
    ]]  # fmt: skip


ANY_TEXT = [
        '"', '""', '"play', "'", "*", "pizza*", "NEAR(", "NEAR(pizza cake, 2)", "AND", "pizza AND", "OR", "NOT pizza",
        "words:pizza", "stems:x", "-pizza", "+pizza", "^pizza", "(pizza", "pizza)", "{pizza}", "pizza & cake",
        "pizza | cake", "!pizza", "pizza <-> cake", "pizza:*", "%", "_", "pizza%", "\\", "\\'", "';--", "🍕", "…",
        "x" * SEARCH_CHARACTERS_MAX, "🍕" * SEARCH_CHARACTERS_MAX, "a " * (SEARCH_CHARACTERS_MAX // 2),
        "\ufdfa" * SEARCH_CHARACTERS_MAX, "\u3316" * SEARCH_CHARACTERS_MAX, "\n",
        "\r\n\t", "\x01", "\x7f", "\u2028", "\ufffe",
]  # fmt: skip


def test_any_text_is_a_search_and_none_is_a_query_language(client: FlaskClient) -> None:
    book(client, description="pizza cake")
    for q in ANY_TEXT:
        wanted = set(stems_of([q]))
        assert found(client, q=q) == (["pizza cake"] if wanted and wanted <= {"pizza", "cake"} else []), ascii(q)


def test_a_word_that_means_something_elsewhere_is_a_word(client: FlaskClient) -> None:
    reserved = ("AND", "NOT", "OR", "NEAR", "words", "stems", "rowid", "null", "0")
    for q in reserved:
        book(client, description=f"this {q} that")
    assert [found(client, q=q) for q in reserved] == [[f"this {q} that"] for q in reserved]


def test_a_search_without_a_word_finds_nothing(client: FlaskClient) -> None:
    book(client, description="pizza 🍕 ' ---")
    for q in ("", " ", "\t", "---", "🍕", "'", "\u0301"):
        assert found(client, q=q) == []
        assert found(client, q=q, sort="amount", category="Food", tag="x") == []


def test_a_search_is_at_most_200_characters_without_nul(client: FlaskClient) -> None:
    assert errors_of(client, q="x" * (SEARCH_CHARACTERS_MAX + 1)) == {"q": ["At most 200 characters."]}
    assert list(errors_of(client, q="a\0b")) == ["q"]
    assert client.get("/transactions?q=%ED%A0%80").status_code in (200, 422)
    assert errors_of(client, q=["a", "b"]) == {"q": ["Once at most."]}


def test_a_word_without_end_can_be_booked_and_is_found(client: FlaskClient) -> None:
    letters = "".join(chr(0x4E00 + number) for number in range(NOTES_CHARACTERS_MAX))
    book(client, description="long", notes=letters)
    book(client, description="words", notes=" ".join(letters[:2_500]))
    assert found(client, q=letters[0]) == ["words"]
    word = letters[:SEARCH_CHARACTERS_MAX]
    book(client, description="exactly", payee=word)
    assert found(client, q=word) == ["exactly"]


def test_the_index_follows_every_change(client: FlaskClient) -> None:
    one = f"/transactions/{book(client, description='plays')['id']}"
    assert found(client, q="play") == ["plays"]
    assert client.patch(one, json={"description": "sings", "tags": ["choir"]}).status_code == 200
    assert [found(client, q=q) for q in ("play", "song", "sing", "choir")] == [[], [], ["sings"], ["sings"]]
    client.delete(one)
    assert (found(client, q="sing"), found(client, tag="choir"), client.get("/tags").json) == ([], [], [])
    client.post(f"{one}/restore")
    assert (found(client, q="sing"), found(client, tag="choir")) == (["sings"], ["sings"])
    assert client.patch(one, json={"date": "2026-01-01"}).status_code == 200
    assert (found(client, q="sing"), found(client, tag="choir")) == (["sings"], ["sings"])
    client.post(f"{one}/redact")
    assert (found(client, q="sing"), found(client, tag="choir"), client.get("/tags").json) == ([], [], [])
    assert found(client, q="redacted") == ["[redacted]"]


texts = st.text(st.sampled_from("aesply ÀéßﬁΣσςİı漢字१ा\u0301'\"*-_()&|:!\\%🍕\t1²"), max_size=12)


@pytest.fixture
def searched(ledger: Ledger) -> tuple[Ledger, list[str]]:
    """A ledger of many odd texts."""
    alphabet = "aesply ÀéßﬁΣσςİı漢字१ा\u0301'\"*-_()&|:!\\%🍕\t1²"
    words = [
        "".join(alphabet[(number * 7 + place * place * (number % 11 + 1)) % len(alphabet)] for place in range(9))
        for number in range(150)
    ]
    words = [word for word in words if word.strip()] + ["plays", "Playing, éa", "s s", "ﬁ", "Σίσυφος ΣΊΣΥΦΟΣ", "İı"]
    ledger.record(*(Expense(word, 1, date=dt.date(2026, 1, 1)) for word in words))
    return ledger, words


@once
@given(q=texts)
@example(q="fi")
@example(q="ss")
@example(q="σισυφος")
def test_both_engines_find_what_the_stems_say(searched: tuple[Ledger, list[str]], q: str) -> None:
    ledger, words = searched
    wanted = set(stems_of([q]))
    expected = [word for word in words if wanted and wanted <= set(stems_of([word]))]
    page = ledger.find(Filter(stems=tuple(stems_of([q])), limit=1000))
    assert sorted(row.description for row in page.rows) == sorted(expected)


# The other filters.


def test_all_of_the_tags_have_to_be_there(client: FlaskClient) -> None:
    book(client, description="both", tags=["a", "b"])
    book(client, description="one", tags=["a"])
    book(client, description="none")
    assert sorted(found(client, tag="a")) == ["both", "one"]
    assert found(client, tag=["a", "b"]) == found(client, tag=["b", "a", "a"]) == ["both"]
    assert found(client, tag=["a", "c"]) == found(client, tag="A") == []
    assert list(errors_of(client, tag=[str(number) for number in range(21)])) == ["tag"]
    assert list(errors_of(client, tag="")) == ["tag"]


def test_a_payee_is_found_exactly(client: FlaskClient) -> None:
    for payee in ("Luigi", "luigi", "Luigi's", None):
        book(client, description=str(payee), payee=payee)
    assert found(client, payee="Luigi") == ["Luigi"]
    assert found(client, payee="Lu%") == []


def test_a_status_and_a_group_are_found(client: FlaskClient) -> None:
    book(client, description="open", status="pending")
    lines = book(client, amount=9, lines=[{"amount": 4, "category": "Food"}, {"amount": 5, "category": "Home"}])
    assert found(client, status="pending") == ["open"]
    assert found(client, status="posted") == ["pizza", "pizza"]
    assert sorted(row["id"] for row in client.get(f"/expenses?group={lines[0]['group']}").json) == sorted(
        line["id"] for line in lines
    )
    assert found(client, group=lines[1]["id"]) == []
    assert list(errors_of(client, status="void")) == ["status"]
    assert list(errors_of(client, group="x")) == ["group"]


def test_a_category_covers_what_is_below_and_no_namesake(client: FlaskClient) -> None:
    for path in ("Food", "Food:Coffee", "Foodstuff", "Fo%", None):
        book(client, description=str(path), category=path)
    assert sorted(found(client, category="Food")) == ["Food", "Food:Coffee"]
    assert found(client, category="Food:Coffee") == ["Food:Coffee"]
    assert found(client, category="Fo%") == ["Fo%"]
    assert found(client, category="Unheard") == []
    for bad in ("Food:", ":Food", "Food::Coffee", " Food", ":"):
        assert list(errors_of(client, category=bad)) == ["category"]


def test_an_unknown_account_is_refused_with_the_nearest_name(client: FlaskClient) -> None:
    assert client.post("/accounts", json={"name": "savings"}).status_code == 201
    assert errors_of(client, account="saving") == {
        "account": ["There is no account of this name; did you mean savings?"]
    }
    assert errors_of(client, account="9") == {"account": ["There is no account of this name."]}


def test_amounts_are_magnitudes_in_each_currencys_own_units(client: FlaskClient) -> None:
    client.post("/accounts", json={"name": "yen", "currency": "JPY"})
    client.post("/accounts", json={"name": "dinar", "currency": "KWD"})
    book(client, description="yen", amount=5, account="yen")
    book(client, description="dinar", amount="4.999", account="dinar")
    book(client, "/incomes", description="dollar", amount="5.00")
    book(client, description="more", amount="5.01")
    assert sorted(found(client, min_amount="5", max_amount="5")) == ["dollar", "yen"]
    assert sorted(found(client, max_amount="4.999")) == ["dinar"]
    assert sorted(found(client, min_amount="4.9991", max_amount="5.009")) == ["dollar", "yen"]
    assert found(client, min_amount="5", max_amount="5", currency="JPY") == ["yen"]
    for extreme in ("9" * 40, "0." + "0" * 37 + "1", "999999999999999.999"):
        assert len(found(client, min_amount=extreme)) in (0, 4)
        assert len(found(client, max_amount=extreme)) == 4 - len(found(client, min_amount=extreme))


def test_nothing_in_the_books_is_in_no_range_of_amounts(client: FlaskClient) -> None:
    assert found(client, min_amount="0") == []


def test_a_range_that_ends_before_it_begins_is_refused(client: FlaskClient) -> None:
    backwards = {"from": "2026-01-02", "to": "2026-01-01"}
    for path in ("/transactions", "/expenses", "/incomes", "/transfers"):
        assert errors_of(client, path, **backwards) == {"from": ["May not be after `to`."]}
        assert list(errors_of(client, path, min_amount="2", max_amount="1")) == ["min_amount"]
        assert list(errors_of(client, path, colour="red")) == ["colour"]


# Cursors.


def next_of(answer: Any) -> str:
    """The cursor of the next page."""
    query = dict(parse_qsl(urlsplit(answer.headers["Link"].split(">")[0].lstrip("<")).query))
    return query["cursor"]


@pytest.fixture
def paged(client: FlaskClient) -> FlaskClient:
    """Some pages of pizza."""
    for number in range(4):
        book(client, amount=number + 1, tags=["t"], payee="Luigi", category="Food")
    return client


QUERIES: list[dict[str, str]] = [
    {}, {"sort": "date"}, {"sort": "amount"}, {"sort": "-amount"}, {"sort": "created_at"}, {"q": "pizza"},
    {"q": "pizza luigi"}, {"q": "pizzas pizza"}, {"tag": "t"}, {"payee": "Luigi"}, {"status": "posted"},
    {"category": "Food"}, {"account": "main"}, {"from": DAY}, {"to": DAY}, {"min_amount": "1"}, {"max_amount": "9"},
    {"currency": "USD"},
]  # fmt: skip


def asks_the_same(query: dict[str, str], other: dict[str, str]) -> bool:
    """Whether two queries are one, also where they spell the words of `q` in two ways."""
    return {**query, "q": stems_of([query.get("q")])} == {**other, "q": stems_of([other.get("q")])}


def test_a_cursor_goes_with_its_own_query_only(paged: FlaskClient) -> None:
    for query in QUERIES:
        first = paged.get("/transactions", query_string={**query, "limit": 2})
        cursor = next_of(first)
        second = paged.get("/transactions", query_string={**query, "limit": 3, "cursor": cursor})
        assert len(second.json) == 2
        assert not {row["id"] for row in first.json} & {row["id"] for row in second.json}
        for other in QUERIES:
            if not asks_the_same(query, other):
                assert list(errors_of(paged, **other, cursor=cursor)) == ["cursor"], other
        for path in ("/expenses", "/incomes", "/transfers"):
            assert list(errors_of(paged, path, **query, cursor=cursor)) == ["cursor"]


def forgeries(cursor: str) -> Iterator[str]:
    """A cursor with each bit of it turned, cut, lengthened, or made of something else."""
    sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for place in range(len(sealed)):
        forged = sealed[:place] + bytes([sealed[place] ^ 1 << place % 8]) + sealed[place + 1 :]
        yield base64.urlsafe_b64encode(forged).decode().rstrip("=")
    yield from (cursor[:-1], cursor + "A", cursor + "=", cursor[1:], cursor * 2, "A" * len(cursor), "x", "é", "🍕", ".")
    yield base64.b64encode(b'["9999-12-31","7ZZZZZZZZZZZZZZZZZZZZZZZZZ"]').decode().rstrip("=")


def test_a_forged_cursor_is_refused(paged: FlaskClient) -> None:
    for sort in ("date", "-amount", "created_at"):
        cursor = next_of(paged.get("/transactions", query_string={"sort": sort, "limit": 1}))
        for forged in forgeries(cursor):
            assert list(errors_of(paged, sort=sort, cursor=forged)) == ["cursor"], forged


def test_a_cursor_of_another_ledger_is_refused(
    paged: FlaskClient, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    cursor = next_of(paged.get("/transactions?limit=1"))
    other = create_app({"CASHMAN_DATABASE_URL": f"sqlite:///{tmp_path / 'other.db'}"})
    assert list(errors_of(other.test_client(), cursor=cursor)) == ["cursor"]
    current.books(other).database.close()


# All of it together, against plain Python.

NAMES = ["plays", "Playing cards", "pray", "Café", "cafe au lait", "coffee", "漢字 coffee"]
PATHS = [None, "Food", "Food:Coffee", "Foodstuff", "Home"]
PAYEES = [None, "Luigi", "Café Luigi"]
TAGS = ["a", "b", "night out"]
ACCOUNTS = {"main": "USD", "card": "USD", "yen": "JPY"}


@pytest.fixture
def mixed(client: FlaskClient) -> tuple[FlaskClient, PlainBooks]:
    """Three hundred transactions of every kind, booked in one order and dated in another, and the same in Python."""
    plain = PlainBooks(stems_of)
    cells = {path: [path] for path in PATHS if path}
    for name in ("card", "yen"):
        id_ = client.post("/accounts", json={"name": name, "currency": ACCOUNTS[name]}).json["id"]
        plain.accounts[id_] = Account(id_, name, ACCOUNTS[name])
    ids = {account.name: account.id for account in plain.accounts.values()}
    documents = []
    for number in range(300):
        account = list(ACCOUNTS)[number * 5 % 7 % 3]
        documents.append(
            {
                "type": "INCOME" if number % 5 == 0 else "EXPENSE",
                "description": NAMES[number % 7],
                "amount": str(number % 13 + 1) if account == "yen" else str(Decimal(number % 17 * 25 + 25) / 100),
                "date": (dt.date(2026, 1, 1) + dt.timedelta(days=number * 37 % 60)).isoformat(),
                "account": account,
                "category": PATHS[number * 3 % 5],
                "payee": PAYEES[number % 3],
                "tags": [tag for place, tag in enumerate(TAGS) if number >> place & 1],
                "notes": "out of lait" if number % 11 == 0 else None,
                "status": "pending" if number % 9 == 0 else "posted",
            }
        )
    answer = client.post("/transactions/batch", json=documents, headers=SHOWN)
    assert answer.status_code == 201, answer.json
    for shown, given_ in zip(answer.json, documents, strict=True):
        plain.movements[shown["id"]] = Movement(
            shown["id"], given_["type"], given_["description"],
            Decimal(given_["amount"]) * (1 if given_["type"] == "INCOME" else -1),
            dt.date.fromisoformat(given_["date"]),
            ids[given_["account"]], given_["status"], cells.get(given_["category"]), given_["tags"], given_["payee"],
            given_["notes"],
        )  # fmt: skip
    for place, id_ in enumerate(list(plain.movements)):
        if place % 10 == 3:
            assert client.delete(f"/transactions/{id_}").status_code == 204
            plain.movements[id_].status = "void"
    return client, plain


days = st.dates(dt.date(2025, 12, 30), dt.date(2026, 3, 3)).map(dt.date.isoformat)
magnitudes = st.integers(0, 500).map(lambda cents: str(Decimal(cents) / 100))
filters = st.fixed_dictionaries(
    {},
    optional={
        "from": days,
        "to": days,
        "min_amount": magnitudes,
        "max_amount": magnitudes,
        "currency": st.sampled_from(["USD", "JPY", "EUR"]),
        "account": st.sampled_from(list(ACCOUNTS)),
        "category": st.sampled_from(["Food", "Food:Coffee", "Foodstuff", "Home", "Nowhere"]),
        "tag": st.lists(st.sampled_from([*TAGS, "c"]), min_size=1, max_size=3),
        "payee": st.sampled_from(["Luigi", "Café Luigi", "Nobody"]),
        "status": st.sampled_from(["posted", "pending"]),
        "q": st.sampled_from(["play", "cafe", "Lait out", "luigi coffee", "漢字", "night", "xyz", "--"]),
    },
)


@once
@given(
    query=filters,
    sort=st.sampled_from(["date", "-date", "amount", "-amount", "created_at", "-created_at"]),
    type_=st.sampled_from([None, "INCOME", "EXPENSE"]),
    limit=st.integers(1, 3),
)
@example(query={}, sort="date", type_=None, limit=1)
@example(query={"category": "Food", "tag": ["a"], "q": "play", "min_amount": "1"}, sort="amount", type_=None, limit=1)
def test_every_combination_of_filters_finds_what_plain_python_finds_page_by_page(
    mixed: tuple[FlaskClient, PlainBooks], query: dict[str, Any], sort: str, type_: str | None, limit: int
) -> None:
    client, plain = mixed
    assume(query.get("from", "") <= query.get("to", "9"))
    assume(Decimal(query.get("min_amount", 0)) <= Decimal(query.get("max_amount", 9)))
    expected = plain.found(sort, **query, **({} if type_ is None else {"type": type_}))
    path = {None: "/transactions", "INCOME": "/incomes", "EXPENSE": "/expenses"}[type_]
    whole = client.get(path, query_string={**query, "sort": sort, "limit": 1000})
    assert [row["id"] for row in whole.json] == expected
    assert "Link" not in whole.headers
    paged_ids, pages = [], 0
    answer = client.get(path, query_string={**query, "sort": sort, "limit": limit})
    while True:
        paged_ids += [row["id"] for row in answer.json]
        pages += 1
        if "Link" not in answer.headers or pages == 12:
            break
        answer = client.get(answer.headers["Link"].split(">")[0].lstrip("<"))
        assert answer.status_code == 200, answer.json
    assert paged_ids == expected[: limit * pages]
    assert pages == 12 or len(paged_ids) == len(expected)


def ids_of_all_pages(client: FlaskClient, path: str, **query: Any) -> list[str]:
    """The ids of a list, walked from link to link."""
    answer, ids = client.get(path, query_string=query), []
    while True:
        assert answer.status_code == 200, answer.json
        ids += [row["id"] for row in answer.json]
        if "Link" not in answer.headers:
            return ids
        answer = client.get(answer.headers["Link"].split(">")[0].lstrip("<"))


def test_small_pages_reach_every_row_once_in_every_order(mixed: tuple[FlaskClient, PlainBooks]) -> None:
    client, plain = mixed
    for sort in ("date", "-date", "amount", "-amount", "created_at", "-created_at"):
        assert ids_of_all_pages(client, "/transactions", sort=sort, limit=17) == plain.found(sort)
        for query in ({"category": "Food"}, {"tag": "a", "q": "play"}, {"tag": ["a", "b"]}):
            assert ids_of_all_pages(client, "/transactions", sort=sort, limit=3, **query) == plain.found(sort, **query)


def test_transfers_are_filtered_by_either_account_and_shown_whole(client: FlaskClient) -> None:
    for name in ("card", "savings"):
        client.post("/accounts", json={"name": name})
    ends = [("main", "card"), ("card", "main"), ("main", "savings"), ("savings", "card")]
    for place, (source, sink) in enumerate(ends):
        book(
            client,
            "/transfers",
            description=f"{source} to {sink}",
            **{"from": source},
            to=sink,
            tags=["t"][place % 2 :],
        )
    everything = sorted(f"{source} to {sink}" for source, sink in ends)
    assert sorted(found(client, "/transfers")) == everything
    assert sorted(found(client, "/transfers", account="card")) == [one for one in everything if "card" in one]
    assert len(found(client, "/transfers", tag="t")) == 2
    assert sorted(found(client, "/transfers", q="savings", sort="amount")) == [
        one for one in everything if "savings" in one
    ]
    with_main = [row["id"] for row in client.get("/transfers?account=main").json]
    assert ids_of_all_pages(client, "/transfers", account="main", limit=1) == with_main
    assert len(with_main) == 3
    assert len(found(client, "/transactions")) == 8
    assert found(client, "/expenses") == found(client, "/incomes") == []
