"""What a list may be asked for, and the cursors that lead from page to page."""

import base64
import datetime as dt
import hashlib
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from marshmallow import ValidationError

from cashman.ledger import Ledger
from cashman.limits import PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX
from cashman.model.filter import SORT_KEYS, Filter, FilterSchema
from cashman.model.income import Income
from cashman.model.transaction_type import TransactionType

ULID = "01K0A1B2C3D4E5F6G7H8J9KMNP"
KEYS: dict[str, tuple[Any, ...]] = {
    "date": (dt.date(2026, 11, 20), ULID),
    "amount": ("USD", -5000, ULID),
    "created_at": (dt.datetime(2026, 11, 20, 10, 18, 2, 890002, tzinfo=dt.UTC), ULID),
}


def load(type_: TransactionType | None = None, **query: str) -> Filter:
    """The filter that query parameters make; `from` is spelled `from_` here."""
    found: Filter = FilterSchema(type=type_).load({name.removesuffix("_"): value for name, value in query.items()})
    return found


def errors_of(**query: str) -> Any:
    """What the schema says against query parameters."""
    with pytest.raises(ValidationError) as refused:
        load(**query)
    return refused.value.messages


def forged(filter_: Filter, *key: Any) -> str:
    """A cursor with the right digest and a key of anybody's choosing."""
    return filter_.cursor(key)


def test_nothing_asked_for_is_the_newest_page_of_everything() -> None:
    assert load() == Filter()
    assert (Filter().sort, Filter().descending, Filter().limit, Filter().after) == (
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
        sort="amount",
        descending=True,
        limit=7,
    )


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
        ("cursor", ""), ("cursor", "a" * 501), ("limits", "5"), ("q_", "pizza"), ("id", ULID),
    ],
    ids=lambda value: ascii(value)[:20],
)  # fmt: skip
def test_a_bad_parameter_is_refused_by_name(name: str, value: str) -> None:
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
    query = load(sort=sort, category="Food")
    cursor = query.cursor(KEYS[sort])
    assert load(sort=sort, category="Food", cursor=cursor).after == KEYS[sort]


def test_the_page_size_may_change_on_the_way() -> None:
    assert load(limit="5", cursor=load().cursor(KEYS["date"])).after == KEYS["date"]


@pytest.mark.parametrize(
    "other",
    [
        {"sort": "date"}, {"sort": "created_at"}, {"sort": "-amount"}, {"from_": "2026-01-01"}, {"to": "2026-01-01"},
        {"min_amount": "1"}, {"max_amount": "1"}, {"currency": "USD"}, {"account": "main"}, {"category": "Food"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_cursor_of_another_query_is_refused(other: dict[str, str]) -> None:
    refused = {"cursor": ["Not a cursor that this query was answered with."]}
    assert errors_of(**other, cursor=load().cursor(KEYS["date"])) == refused


def test_a_cursor_of_another_type_is_refused() -> None:
    cursor = load(TransactionType.INCOME).cursor(KEYS["date"])
    assert load(TransactionType.INCOME, cursor=cursor).after == KEYS["date"]
    for type_ in (None, TransactionType.EXPENSE):
        with pytest.raises(ValidationError):
            load(type_, cursor=cursor)


@pytest.mark.parametrize("sort", list(SORT_KEYS))
def test_a_truncated_or_altered_cursor_is_refused(sort: str) -> None:
    cursor = load(sort=sort).cursor(KEYS[sort])
    altered = [cursor[:length] for length in range(1, len(cursor))]
    altered += [cursor + extra for extra in ("=", "==", "A", "AAAA", " ", "\n", "\u0665")]
    altered += [cursor.swapcase(), cursor[::-1], " " + cursor, "=" + cursor]
    altered += [cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(22)]
    for wrong in altered:
        assert list(errors_of(sort=sort, cursor=wrong)) == ["cursor"], wrong


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"null", b"5", b'"x"', b"[1]", b'["x"]', b"\xff", b"[" * 300, b'["a", "b", "c"]'],
    ids=lambda value: ascii(value)[:20],
)
def test_a_forged_cursor_is_refused(document: bytes) -> None:
    cursor = base64.urlsafe_b64encode(document).decode().rstrip("=") or "A"
    assert list(errors_of(cursor=cursor)) == ["cursor"]


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
    ("created_at", ("2026-11-20T10:18:02", ULID)),
    ("created_at", ("2026-11-20", ULID)),
    ("created_at", ("2026-11-20T10:18:02.890002Z", "\0")),
]


def test_a_cursor_forged_with_the_right_digest_reaches_no_database(ledger: Ledger) -> None:
    """Whoever reads this source can make such a cursor: what a column cannot hold is refused here."""
    ledger.record(Income("salary", 5000))
    for sort, key in IMPOSSIBLE_KEYS:
        cursor = forged(load(sort=sort), *key)
        with pytest.raises(ValidationError) as refused:
            ledger.find(load(sort=sort, cursor=cursor))
        assert list(refused.value.messages_dict) == ["cursor"], key


def test_a_cursor_forged_to_a_possible_place_is_only_a_place(ledger: Ledger) -> None:
    ledger.record(Income("salary", 5000, date=dt.date(2026, 11, 20)))
    after = load(cursor=forged(load(), "2026-11-21", ULID))
    assert [row.description for row in ledger.find(after).rows] == ["salary"]
    before = load(cursor=forged(load(), "2026-11-19", ULID))
    assert list(ledger.find(before).rows) == []


def test_a_cursor_says_nothing_in_plain_words() -> None:
    """It is a digest of the query and the key: the query itself is not in it."""
    cursor = load(category="Secret").cursor(KEYS["date"])
    document = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert b"Secret" not in document
    digest, *key = msgspec.json.decode(document)
    assert (len(digest), key) == (16, ["2026-11-20", ULID])
    assert digest != hashlib.sha256(b"").hexdigest()[:16]
