"""What a list may be asked for, and the cursors that lead from page to page."""

import base64
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from marshmallow import ValidationError
from sqlalchemy import text

from cashman.errors import Invalid
from cashman.ledger import Ledger, found_ledger
from cashman.limits import INT64_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, SEARCH_CHARACTERS_MAX
from cashman.model.filter import SORT_KEYS, Filter, FilterSchema
from cashman.model.income import Income
from cashman.model.transaction_type import TransactionType

ULID = "01K0A1B2C3D4E5F6G7H8J9KMNP"
KEYS: dict[str, tuple[Any, ...]] = {
    "date": (dt.date(2026, 11, 20), ULID),
    "amount": ("USD", -5000, ULID),
    "created_at": (17,),
}
SECRET = bytes(range(32))
"""What one ledger seals its cursors with."""
REFUSED = {"cursor": ["Not a cursor that this query was answered with."]}


def load(type_: TransactionType | None = None, **query: Any) -> Filter:
    """The filter that query parameters make; `from` is spelled `from_` here."""
    found: Filter = FilterSchema(type=type_).load({name.removesuffix("_"): value for name, value in query.items()})
    return found


def errors_of(**query: str) -> Any:
    """What the schema says against query parameters."""
    with pytest.raises(ValidationError) as refused:
        load(**query)
    return refused.value.messages


def refusal(filter_: Filter, secret: bytes = SECRET) -> Any:
    """What is said against the cursor of a filter."""
    with pytest.raises(Invalid) as refused:
        filter_.after(secret)
    return refused.value.errors


def forged(filter_: Filter, document: bytes) -> str:
    """A cursor with the right seal, and behind it whatever whoever knew the secret would put there."""
    sealed = filter_._seal(document, SECRET) + document
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def test_nothing_asked_for_is_the_newest_page_of_everything() -> None:
    assert load() == Filter()
    assert (Filter().sort, Filter().descending, Filter().limit, Filter().after(SECRET)) == (
        "date",
        True,
        PAGE_ROWS_DEFAULT,
        None,
    )


def test_every_parameter_is_typed() -> None:
    assert load(
        TransactionType.EXPENSE,
        from_="2026-01-01",
        to="2026-01-31",
        min_amount="1.50",
        max_amount="20",
        currency="JPY",
        account="main",
        category="Food:Coffee",
        tag=["night out", "amber"],
        payee="Luigi",
        status="pending",
        group=ULID,
        q="Playing the café",
        sort="-amount",
        limit="7",
    ) == Filter(
        type=TransactionType.EXPENSE,
        first_day=dt.date(2026, 1, 1),
        last_day=dt.date(2026, 1, 31),
        min_amount=Decimal("1.50"),
        max_amount=Decimal("20"),
        currency="JPY",
        account="main",
        category="Food:Coffee",
        tags=("amber", "night out"),
        payee="Luigi",
        status="pending",
        group=ULID,
        stems=("cafe", "play", "the"),
        sort="amount",
        descending=True,
        limit=7,
    )


def test_a_tag_named_twice_is_one_and_their_order_is_nothing() -> None:
    assert load(tag=["b", "a", "b"]) == load(tag=["a", "b"])


def test_words_without_a_letter_find_nothing_and_no_words_everything() -> None:
    assert load(q="!?").stems == ()
    assert load(q="").stems == ()
    assert load().stems is None
    assert load(q="w" * SEARCH_CHARACTERS_MAX).stems == ("w" * SEARCH_CHARACTERS_MAX,)


@pytest.mark.parametrize("sort", list(SORT_KEYS))
def test_a_minus_turns_an_order_round(sort: str) -> None:
    assert (load(sort=sort).sort, load(sort=sort).descending) == (sort, False)
    assert (load(sort=f"-{sort}").sort, load(sort=f"-{sort}").descending) == (sort, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from_", "2026-02-30"), ("from_", "yesterday"), ("to", ""), ("to", "2026-1-1"),
        ("min_amount", "-1"), ("min_amount", "-0"), ("min_amount", "1e3"), ("min_amount", "x"), ("max_amount", "1_000"),
        ("max_amount", " 5 "), ("max_amount", "\u0665"), ("max_amount", "9" * 41), ("max_amount", "NaN"),
        ("currency", "usd"), ("currency", ""), ("account", ""), ("account", "\0"), ("account", "a" * 101),
        ("category", "Food:"), ("category", ""), ("category", "\ud800"),
        ("sort", "id"), ("sort", "--date"), ("sort", "+date"), ("sort", ""), ("sort", "DATE"),
        ("limit", "0"), ("limit", "-1"), ("limit", str(PAGE_ROWS_MAX + 1)), ("limit", "1.0"), ("limit", ""),
        ("limit", "\u0665"), ("limit", "1_0"), ("limit", "9" * 5_000), ("limit", " 5"),
        ("cursor", ""), ("cursor", "a" * 501), ("limits", "5"), ("words", "pizza"), ("id", ULID),
        ("payee", ""), ("payee", "\0"), ("payee", "p" * 201), ("status", "void"), ("status", ""), ("status", "POSTED"),
        ("group", ""), ("group", ULID.lower()), ("group", ULID + "\n"), ("group", "1"),
        ("tag", ["a", ""]), ("tag", ["a\0"]), ("tag", ["t" * 51]), ("tag", [f"tag {number}" for number in range(21)]),
        ("q", "\0"), ("q", "\ud800"), ("q", "w" * (SEARCH_CHARACTERS_MAX + 1)),
    ],
    ids=lambda value: ascii(value)[:20],
)  # fmt: skip
def test_a_bad_parameter_is_refused_by_name(name: str, value: Any) -> None:
    messages = errors_of(**{name: value})
    assert list(messages) == [name.removesuffix("_")]


@pytest.mark.parametrize("limit", ["1", "007", str(PAGE_ROWS_MAX)])
def test_the_ends_of_the_page_size_are_taken(limit: str) -> None:
    assert load(limit=limit).limit == int(limit)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    assert errors_of(from_="2026-01-02", to="2026-01-01") == {"from": ["May not be after `to`."]}
    assert errors_of(min_amount="2", max_amount="1.99") == {"min_amount": ["May not be above `max_amount`."]}
    assert load(from_="2026-01-01", to="2026-01-01", min_amount="2", max_amount="2.00").limit == PAGE_ROWS_DEFAULT


# Cursors.


@pytest.mark.parametrize("sort", list(SORT_KEYS))
def test_a_cursor_brings_its_key_back(sort: str) -> None:
    cursor = load(sort=sort, category="Food").cursor_after(KEYS[sort], SECRET)
    assert load(sort=sort, category="Food", cursor=cursor).after(SECRET) == KEYS[sort]


def test_the_page_size_may_change_on_the_way() -> None:
    assert load(limit="5", cursor=load().cursor_after(KEYS["date"], SECRET)).after(SECRET) == KEYS["date"]


@pytest.mark.parametrize(
    "other",
    [
        {"sort": "date"}, {"sort": "created_at"}, {"sort": "-amount"}, {"from_": "2026-01-01"}, {"to": "2026-01-01"},
        {"min_amount": "1"}, {"max_amount": "1"}, {"currency": "USD"}, {"account": "main"}, {"category": "Food"},
        {"tag": ["a"]}, {"payee": "Luigi"}, {"status": "posted"}, {"group": ULID}, {"q": "pizza"}, {"q": ""},
    ],
    ids=repr,
)  # fmt: skip
def test_a_cursor_of_another_query_is_refused(other: dict[str, Any]) -> None:
    assert refusal(load(**other, cursor=load().cursor_after(KEYS["date"], SECRET))) == REFUSED


def test_a_cursor_of_another_type_is_refused() -> None:
    cursor = load(TransactionType.INCOME).cursor_after(KEYS["date"], SECRET)
    assert load(TransactionType.INCOME, cursor=cursor).after(SECRET) == KEYS["date"]
    for type_ in (None, TransactionType.EXPENSE):
        assert refusal(load(type_, cursor=cursor)) == REFUSED


def test_a_cursor_of_another_ledger_is_refused() -> None:
    cursor = load().cursor_after(KEYS["date"], SECRET)
    assert refusal(load(cursor=cursor), bytes(32)) == REFUSED


@pytest.mark.parametrize("sort", list(SORT_KEYS))
def test_a_truncated_or_altered_cursor_is_refused(sort: str) -> None:
    cursor = load(sort=sort).cursor_after(KEYS[sort], SECRET)
    altered = [cursor[:length] for length in range(1, len(cursor))]
    altered += [cursor + extra for extra in ("=", "==", "A", "AAAA", " ", "\n", "\u0665")]
    altered += [cursor.swapcase(), cursor[::-1], " " + cursor, "=" + cursor]
    altered += [
        cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(len(cursor))
    ]
    for wrong in altered:
        assert refusal(replace(load(sort=sort), cursor=wrong)) == REFUSED, wrong


DOCUMENTS = [b"", b"[]", b"{}", b"null", b"5", b'"x"', b"[1]", b'["x"]', b"\xff", b"[" * 300, b'["a", "b", "c"]']


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda value: ascii(value)[:20])
def test_a_forged_cursor_is_refused(document: bytes) -> None:
    cursor = base64.urlsafe_b64encode(document).decode().rstrip("=") or "A"
    assert refusal(load(cursor=cursor)) == REFUSED
    assert refusal(load(cursor=forged(load(), document))) == REFUSED


IMPOSSIBLE_KEYS: list[tuple[str, tuple[Any, ...]]] = [
    ("date", ("2026-02-30", ULID)),
    ("date", ("2026-11-20", "")),
    ("date", ("2026-11-20", "a\0b")),
    ("date", ("2026-11-20", ULID + "\n")),
    ("date", ("2026-11-20", 5)),
    ("date", ("2026-11-20",)),
    ("date", ("2026-11-20", ULID, ULID)),
    ("amount", ("USD", 2**63, ULID)),
    ("amount", ("USD", -(2**63) - 1, ULID)),
    ("amount", ("USD", 10**100, ULID)),
    ("amount", ("USD", 1.5, ULID)),
    ("amount", ("US\0", 1, ULID)),
    ("amount", (None, 1, ULID)),
    ("created_at", (INT64_MAX + 1,)),
    ("created_at", (-1,)),
    ("created_at", (10**100,)),
    ("created_at", (1.5,)),
    ("created_at", ("1",)),
    ("created_at", (1, ULID)),
]


@pytest.mark.parametrize(("sort", "key"), IMPOSSIBLE_KEYS, ids=repr)
def test_a_cursor_sealed_around_what_no_column_holds_is_refused(sort: str, key: tuple[Any, ...]) -> None:
    """Whoever has got hold of the secret can make such a cursor; it reaches no database."""
    cursor = forged(load(sort=sort), msgspec.json.encode(key))
    assert refusal(load(sort=sort, cursor=cursor)) == REFUSED


def test_a_refused_cursor_reaches_no_database(ledger: Ledger) -> None:
    ledger.record(Income("salary", 5000))
    for sort in SORT_KEYS:
        cursor = load(sort=sort).cursor_after(KEYS[sort], SECRET)
        with pytest.raises(Invalid) as refused:
            ledger.find(load(sort=sort, cursor=cursor))
        assert refused.value.errors == REFUSED, "it is sealed with what no ledger has"


def test_a_cursor_to_where_nothing_stands_is_only_a_place(ledger: Ledger) -> None:
    ledger.record(Income("salary", 5000, date=dt.date(2026, 11, 20)))
    secret = ledger.chart()[0].cursor_secret
    after = load(cursor=load().cursor_after((dt.date(2026, 11, 21), ULID), secret))
    assert [row.description for row in ledger.find(after).rows] == ["salary"]
    before = load(cursor=load().cursor_after((dt.date(2026, 11, 19), ULID), secret))
    assert list(ledger.find(before).rows) == []


def test_every_ledger_seals_with_a_secret_of_its_own(ledger: Ledger) -> None:
    with ledger.books.database.engine.connect().execution_options(cashman_writing=True) as connection:
        found_ledger(connection, 2, "USD", "owner", "owner")
        secrets = list(connection.execute(text("SELECT cursor_secret FROM ledgers ORDER BY id")).scalars())
        connection.rollback()
    assert [len(secret) for secret in secrets] == [32, 32]
    assert secrets[0] != secrets[1]


def test_a_cursor_says_nothing_in_plain_words() -> None:
    """It is a seal and the key: the query itself is not in it, only in what is sealed."""
    cursor = load(category="Secret").cursor_after(KEYS["date"], SECRET)
    sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert b"Secret" not in sealed
    assert msgspec.json.decode(sealed[12:]) == ["2026-11-20", ULID]
    other = load(category="Other").cursor_after(KEYS["date"], SECRET)
    assert cursor[:16] != other[:16], "another query has another seal"
    assert cursor[16:] == other[16:]
