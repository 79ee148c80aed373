"""What a request may say and how an answer says it: JSON in and out, preferences, versions."""

import datetime as dt
import io
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from people import another, first_user
from sqlalchemy.orm import Session

from cashman import current, wire
from cashman.answers import encode_json, encode_row, etag
from cashman.chart import Chart
from cashman.errors import MalformedDocument, UnsupportedMediaType
from cashman.ledger import Ledger
from cashman.limits import JSON_DEPTH_MAX, MINOR_UNITS_MAX
from cashman.model.account import MAIN_ACCOUNT_ID
from cashman.model.currency import CURRENCIES
from cashman.model.expense import Expense
from cashman.model.filter import Filter
from cashman.model.income import Income
from cashman.model.transaction import Transaction, TransactionFields
from cashman.queries import COLUMN_NAMES
from cashman.wire import expected_versions, parse_json, preferred_return, read_body

# JSON in


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.345678901234567890", Decimal("12.345678901234567890")),
        ("1e2", Decimal("1e2")),
        ("1E-400", Decimal("1e-400")),
        ("-0.0", Decimal("-0.0")),
        ("0.1", Decimal("0.1")),
        ("12345678901234567890123", 12345678901234567890123),
        ("-7", -7),
        ('"\\u00e9\\ud83c\\udf55"', "é🍕"),
        ('"\\u0000"', "\0"),
        (" [1 , null, true]\r\n", [1, None, True]),
        ('{"a": {"a": 1}, "b": {"a": 2}}', {"a": {"a": 1}, "b": {"a": 2}}),
    ],
)
def test_numbers_and_text_come_in_exactly(text: str, value: Any) -> None:
    found = parse_json(text.encode())
    assert found == value
    assert str(found) == str(value)


def test_a_number_longer_than_any_amount_costs_nothing_and_is_none() -> None:
    for text in ("1e999999999999999999999", "9" * 100_000, "0." + "9" * 100_000, "-" + "9" * 41):
        assert not parse_json(text.encode()).is_finite()


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "Expecting value at line 1, column 1."),
        (b"{", "Expecting property name enclosed in double quotes at line 1, column 2."),
        (b"{'a': 1}", "Expecting property name enclosed in double quotes at line 1, column 2."),
        (b'{"a": 1,}', None),
        (b'{"a": 1}\n{"a": 1}', "Extra data at line 2, column 1."),
        (b"[1, 2", None),
        (b"01", None),
        (b"1.", None),
        (b"+1", None),
        (b".5", None),
        (b"0x10", None),
        (b"1_000", None),
        ("٣".encode(), None),
        (b'"\n"', None),
        (b'"\\x41"', None),
        (b'"\\u12"', None),
        (b"nul", None),
        (b"NaN", "NaN is not JSON."),
        (b'{"amount": Infinity}', "Infinity is not JSON."),
        (b"[-Infinity]", "-Infinity is not JSON."),
        (b'"\xff"', "Not UTF-8 at byte 1."),
        (b'"\xed\xa0\x80"', "Not UTF-8 at byte 1."),
        (b'"\xc0\x80"', "Not UTF-8 at byte 1."),
        ('{"a": 1}'.encode("utf-16"), "Not UTF-8 at byte 0."),
        (b"\xef\xbb\xbf{}", None),
        (b'{"a": 1, "b": 2, "a": 1}', 'The member "a" stands twice in one object.'),
        (b'[{"x": {"a": 1, "\\u0061": 2}}]', 'The member "a" stands twice in one object.'),
        (b"[" * 33 + b"]" * 33, "Nested deeper than 32 levels."),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "Nested deeper than 32 levels."),
        (b"[1," * 33 + b"1" + b"]" * 33, "Nested deeper than 32 levels."),
        (b"[" * 200_000, "Nested deeper than 32 levels."),
        (b"[" * 200_000 + b"]" * 200_000, "Nested deeper than 32 levels."),
        (b'{"a":' * 200_000, "Nested deeper than 32 levels."),
    ],
)
def test_what_is_not_json_is_refused_with_the_reason(data: bytes, detail: str | None) -> None:
    with pytest.raises(MalformedDocument) as refused:
        parse_json(data)
    assert refused.value.detail
    if detail is not None:
        assert refused.value.detail == detail


def test_32_levels_are_not_too_deep() -> None:
    parse_json(b"[" * 32 + b"]" * 32)
    parse_json(b'{"a":' * 32 + b"1" + b"}" * 32)
    assert parse_json(b'["' + b"[" * 100 + b'"]') == ["[" * 100], "brackets in text are no levels"
    assert len(parse_json(b"[" + b"[]," * 50_000 + b"[]]")) == 50_001, "many are not deep"


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_what_json_writes_is_read_back(document: Any, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    assert parse_json(data) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_malformed_document(data: bytes) -> None:
    try:
        parse_json(data)
    except MalformedDocument:
        return
    json.loads(data)


# JSON out

CHART = Chart(
    sequence=2,
    version=1,
    ulid="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    currency="USD",
    created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    closed_until=None,
    cursor_secret=bytes(32),
    renamed_sequence=0,
    accounts={MAIN_ACCOUNT_ID: {"id": MAIN_ACCOUNT_ID, "name": "main", "currency": "USD"}},
    categories={},
    account_ids={"main": MAIN_ACCOUNT_ID},
    category_ids={},
)
"""That of a new ledger."""


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """Any transaction that can be recorded."""
    currency = draw(st.sampled_from(sorted(CURRENCIES)))
    units = draw(st.integers(1, MINOR_UNITS_MAX))
    words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
    return draw(st.sampled_from([Income, Expense]))(
        draw(words),
        Decimal(units).scaleb(-CURRENCIES[currency]),
        currency=currency,
        date=draw(st.dates()),
        category=draw(st.none() | st.sampled_from(["Food", "Food:Coffee", "Ätna:ж"])),
        tags=draw(st.lists(words, max_size=3, unique=True)),
        payee=draw(st.none() | words),
        notes=draw(st.none() | words),
    )


@given(st.lists(transactions(), max_size=5), st.datetimes(timezones=st.just(dt.UTC)))
def test_rows_are_encoded_as_the_schema_dumps_them(found: list[Transaction], created_at: dt.datetime) -> None:
    for transaction in found:
        transaction.created_at = created_at
    paths = sorted({transaction.category for transaction in found if transaction.category is not None})
    chart = CHART.with_categories(dict(enumerate(paths, 1)))
    for transaction in found:
        transaction.account_id = MAIN_ACCOUNT_ID
        transaction.category_id = chart.category_ids.get(transaction.category or "")
        transaction.sequence = 7
    rows = [tuple(getattr(transaction, name) for name in COLUMN_NAMES) for transaction in found]
    dumped = encode_json(TransactionFields(many=True).dump(found))
    assert encode_json([encode_row(row, chart) for row in rows]) == dumped


def test_a_row_of_an_account_that_was_deleted_since_has_none() -> None:
    transaction = Expense("pizza", 50)
    transaction.account_id, transaction.category_id, transaction.sequence = 2, None, 7
    row = [getattr(transaction, name) for name in COLUMN_NAMES]
    assert msgspec.json.decode(encode_json(encode_row(row, CHART)))["account"] is None


def test_stored_rows_are_encoded_as_the_schema_dumps_what_the_orm_loads(ledger: Ledger) -> None:
    ledger.open_account({"name": "yen", "currency": "JPY"})
    for amount, type_, more in (
        ("12.50", Expense, {"category": "Food:Coffee", "tags": ["a", "ж"], "date": dt.date(1, 1, 1)}),
        ("9999999999999.99", Income, {"payee": "p", "notes": "n\n\"'\\", "date": dt.date(9999, 12, 31)}),
        ("999999999999999", Expense, {"account": "yen", "currency": "JPY"}),
        ("1", Expense, {"status": "pending", "expires_at": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)}),
    ):
        ledger.record(type_("d\u2028 é🍕", amount, **more))
    page = ledger.find(Filter(sort="date", descending=False))
    with Session(ledger.books.database.engine) as session:
        loaded = sorted(session.query(Transaction), key=lambda transaction: (transaction.date, transaction.id))
        assert {type(transaction) for transaction in loaded} == {Income, Expense}
        dumped = encode_json(TransactionFields(many=True).dump(loaded))
    assert len(page.rows) == 4
    assert encode_json([encode_row(row, page.chart) for row in page.rows]) == dumped


def test_amounts_go_out_as_plain_numbers_with_all_their_decimals() -> None:
    for value, text in (("-50.00", b"-50.00"), ("9999999999999.99", b"9999999999999.99"), ("1000", b"1000")):
        assert encode_json(Decimal(value)) == text
        assert msgspec.json.decode(text) == float(value)


# Headers


@pytest.fixture
def bare() -> Flask:
    """Something to hold a request."""
    return Flask(__name__)


@pytest.mark.parametrize(
    ("header", "preference"),
    [
        ("return=representation", "representation"),
        ("return=minimal", "minimal"),
        ('return="representation"', "representation"),
        ("return = minimal", "minimal"),
        ("respond-async, return=minimal", "minimal"),
        ("handling=lenient, wait=10,return=representation", "representation"),
        ('x="return=minimal, y", return=representation', "representation"),
        ("Return=minimal", "minimal"),
        ('return=representation; why="a, b"', "representation"),
        ("return=minimal, return=representation", "minimal"),
        ("", None),
        ("return", None),
        ("return=", None),
        ("return=everything", None),
        ("returns=minimal", None),
        ("minimal", None),
        ("=,;", None),
    ],
)
def test_a_preference_is_read_as_rfc_7240_writes_it(bare: Flask, header: str, preference: str | None) -> None:
    """Names are compared without case, parameters may follow, and of two the first counts (RFC 7240, 2)."""
    with bare.test_request_context(headers={"Prefer": header}):
        assert preferred_return() == preference


def test_preferences_may_stand_in_several_headers(bare: Flask) -> None:
    with bare.test_request_context(headers=[("Prefer", "respond-async"), ("Prefer", "return=minimal")]):
        assert preferred_return() == "minimal"
    with bare.test_request_context():
        assert preferred_return() is None


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"1"', {(1, 0)}),
        ('"1", "12"', {(1, 0), (12, 0)}),
        ('"1.7"', {(1, 7)}),
        ('"1.7", "1"', {(1, 7), (1, 0)}),
        ('W/"1"', set()),
        ('W/"1", "2"', {(2, 0)}),
        ('"x"', set()),
        ("", set()),
        ('"-1"', set()),
        ('""', set()),
        ('"", "2"', {(2, 0)}),
        ('"1.0"', set()),
        ('"01"', set()),
        ('"1.07"', set()),
        ('"1."', set()),
        ('".7"', set()),
        ('"1.7.7"', set()),
        ('"1.99999999999999999999"', set()),
        ('"\N{ARABIC-INDIC DIGIT ONE}"', set()),
        ('"9999999999999999999999"', set()),
    ],
)
def test_if_match_names_versions(bare: Flask, header: str, versions: set[tuple[int, int]]) -> None:
    with bare.test_request_context(headers={"If-Match": header}):
        assert expected_versions() == versions


def test_without_if_match_any_version_will_do(bare: Flask) -> None:
    with bare.test_request_context():
        assert expected_versions() is None
    with bare.test_request_context(headers={"If-Match": "*"}):
        assert expected_versions() is None
    assert etag(12, CHART) == '"12"'
    assert etag(12, replace(CHART, renamed_sequence=7)) == '"12.7"', "names are shown, so a rename is another state"


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_in_utf8_is_taken(bare: Flask, media_type: str) -> None:
    with bare.test_request_context(method="POST", data=b"{}", headers={"Content-Type": media_type}):
        assert read_body() == b"{}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_nothing_else_is_taken(bare: Flask, headers: dict[str, str]) -> None:
    with bare.test_request_context(method="POST", data=b"{}", headers=headers), pytest.raises(UnsupportedMediaType):
        read_body()


def test_a_document_of_many_brackets_may_be_just_as_deep_as_allowed() -> None:
    document = parse_json(b"[" * JSON_DEPTH_MAX + b"1" + b"]" * (JSON_DEPTH_MAX - 1) + b", []]")
    assert document[1] == []


# A body that is held back.


class HeldBack(io.RawIOBase):
    """A body whose sender is revoked before it comes."""

    def __init__(self, body: bytes, meanwhile: Callable[[], None]) -> None:
        self._body = io.BytesIO(body)
        self._meanwhile = meanwhile

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._meanwhile()
        return self._body.readinto(buffer)


@pytest.mark.parametrize("slow", [True, False])
def test_who_holds_a_body_back_is_asked_for_again(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    monkeypatch.setattr(wire, "BODY_SECONDS", -1.0 if slow else 1e9)  # the latter is the control
    admin = first_user(client)
    person = another(admin)

    def revoke() -> None:
        current.access(client.application).change_user(person.id, {"revoked": True})

    body = b'{"description": "pizza", "amount": 5}'
    answer = client.post(
        "/expenses",
        headers={"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"},
        environ_overrides={"wsgi.input": HeldBack(body, revoke), "CONTENT_LENGTH": str(len(body))},
    )
    assert answer.status_code == (401 if slow else 204)
    assert admin.get(f"/users/{person.id}").json["revoked"] is True


# A key where none is kept.


@pytest.mark.parametrize(("path", "body"), [("/ledgers", {"name": "x"}), ("/api-keys", {"name": "x", "scope": "read"})])
def test_a_key_is_refused_where_no_answer_is_kept_under_it(client: FlaskClient, path: str, body: Any) -> None:
    admin = first_user(client)
    refused = admin.post(path, body, headers={"Idempotency-Key": "k"})
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["Idempotency-Key"])
    assert admin.post(path, body).status_code == 201


def test_a_key_stands_for_one_path_so_that_a_location_is_never_anothers(client: FlaskClient) -> None:
    admin = first_user(client)
    pizza = {"description": "pizza", "amount": 5}
    assert admin.post("/expenses", pizza, headers={"Idempotency-Key": "k"}).status_code == 204
    named = admin.post(f"/ledgers/{admin.ledger}/expenses", pizza, headers={"Idempotency-Key": "k"})
    assert (named.status_code, named.json["type"]) == (422, "/problems/key-reused")


def test_a_query_that_is_no_utf_8_is_a_bad_request(client: FlaskClient) -> None:
    for path in ("/expenses", "/ledger", "/healthz"):
        refused = client.get(path, environ_overrides={"QUERY_STRING": "q=\xff"})
        assert (refused.status_code, refused.json["type"]) == (400, "/problems/bad-request")
    assert client.get("/expenses", environ_overrides={"QUERY_STRING": "q=f\xc3\xbcr"}).status_code == 200
