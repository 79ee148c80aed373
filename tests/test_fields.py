"""The wire's own fields: each refuses what the database could not keep."""

import datetime as dt
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import ValidationError, fields

from cashman.limits import CATEGORY_BYTES_MAX
from cashman.model.fields import Amount, CategoryPath, CurrencyCode, Day, RecordedAt, ShortList, Text, Ulid, WholeNumber

ULID = "01K0A1B2C3D4E5F6G7H8J9KMNP"


def rules(field: fields.Field[Any], value: Any) -> list[Any]:
    """What a field says against a value."""
    with pytest.raises(ValidationError) as refused:
        field.deserialize(value)
    return list(refused.value.messages)


@pytest.mark.parametrize("value", ["a", "  padded  ", "Überweisung", "日本語", "🍕" * 5, "line\nline"])
def test_text_is_kept_as_it_is(value: str) -> None:
    assert Text(maximum=11).deserialize(value) == value


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (5, "Not a string."),
        (True, "Not a string."),
        (b"bytes", "Not a string."),
        (["a"], "Not a string."),
        ({}, "Not a string."),
        ("a\0b", "May not hold a NUL character."),
        ("\ud83c", "May not hold half of a surrogate pair."),
        ("a\udf55", "May not hold half of a surrogate pair."),
        ("", "May not be blank."),
        (" \t\n", "May not be blank."),
        ("\u3000", "May not be blank."),
        ("a" * 11, "At most 10 characters."),
        ("a" * 10_240, "At most 10 characters."),
        (None, "Field may not be null."),
    ],
)
def test_text_that_no_database_keeps_is_refused(value: Any, rule: str) -> None:
    assert rules(Text(maximum=10), value) == [rule]


def test_text_may_be_blank_where_it_says_so() -> None:
    assert Text(maximum=10, blank=True).deserialize("") == ""
    assert rules(Text(maximum=10), "") == ["May not be blank."]


def test_text_tells_openapi_what_it_takes() -> None:
    assert Text(maximum=10, blank=True).openapi == {"maxLength": 10}
    filled = Text(maximum=10).openapi
    assert (filled["maxLength"], filled["minLength"]) == (10, 1)
    assert re.search(filled["pattern"], "a b")
    assert not re.search(filled["pattern"], " ")


@pytest.mark.parametrize("path", ["Food", "Food:Restaurant", "a:b:c:d", "Food and drink:Coffee", "食:寿司", "a;b"])
def test_a_category_is_a_path_of_names(path: str) -> None:
    assert CategoryPath().deserialize(path) == path
    assert re.search(CategoryPath.openapi["pattern"], path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", [":", "Food:", ":Food", "Food::Coffee", " Food", "Food ", "Food: Coffee", "Food :Coffee"]
)
def test_a_category_with_an_empty_or_padded_name_is_refused(path: str) -> None:
    assert rules(CategoryPath(), path) == [CategoryPath.default_error_messages["parts"]]
    assert not re.search(CategoryPath.openapi["pattern"], path)  # type: ignore[arg-type]


def test_a_category_is_limited_in_bytes() -> None:
    assert CategoryPath().deserialize("é" * (CATEGORY_BYTES_MAX // 2))
    assert rules(CategoryPath(), "é" * (CATEGORY_BYTES_MAX // 2) + "e") == [
        f"At most {CATEGORY_BYTES_MAX} bytes in UTF-8."
    ]
    assert rules(CategoryPath(), "a" * (CATEGORY_BYTES_MAX + 1)) == [f"At most {CATEGORY_BYTES_MAX} characters."]
    assert rules(CategoryPath(), "a\0") == ["May not hold a NUL character."]


@pytest.mark.parametrize("code", ["USD", "JPY", "DEM"])
def test_a_currency_is_a_code_of_the_standard(code: str) -> None:
    assert CurrencyCode().deserialize(code) == code


@pytest.mark.parametrize("code", ["usd", "US", "", "ZZZ", " USD", 840, ["USD"], {"USD": 1}, True], ids=repr)
def test_any_other_code_is_refused(code: Any) -> None:
    assert rules(CurrencyCode(), code) == [CurrencyCode.default_error_messages["invalid"]]


@pytest.mark.parametrize("id_", [ULID, "0" * 26, "7" + "Z" * 25])
def test_a_ulid_is_taken_in_its_canonical_form(id_: str) -> None:
    assert Ulid().deserialize(id_) == id_


@pytest.mark.parametrize(
    "id_",
    [ULID.lower(), ULID[:-1], ULID + "0", "8" + ULID[1:], ULID[:-1] + "U", ULID + "\n", "", 5, ["a"], "\u0660" * 26],
)
def test_any_other_id_is_refused(id_: Any) -> None:
    assert rules(Ulid(), id_) == [Ulid.default_error_messages["invalid"]]


@pytest.mark.parametrize("text", ["2026-11-20", "2024-02-29", "0001-01-01", "9999-12-31"])
def test_a_day_is_a_date_of_the_calendar(text: str) -> None:
    day = Day().deserialize(text)
    assert day.isoformat() == text
    assert Day().serialize("day", {"day": day}) == text


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30", "2025-02-29", "0000-01-01", "2026-13-01", "2026-1-1", "20261120", "2026-W47-5",
        "2026-11-20T00:00", "2026-11-20\n", " 2026-11-20",
        "\u0662\u0660\u0662\u0666-11-20", "", 20261120, ["2026-11-20"],
        dt.date(2026, 11, 20),
    ],
    ids=repr,
)  # fmt: skip
def test_any_other_day_is_refused(text: Any) -> None:
    assert rules(Day(), text) == [Day.default_error_messages["invalid"]]


def test_a_day_that_is_missing_comes_out_as_null() -> None:
    assert Day().serialize("day", {"day": None}) is None


def test_an_instant_comes_out_with_six_decimals_in_utc() -> None:
    instant = dt.datetime(2026, 11, 20, 10, 18, 2, tzinfo=dt.UTC)
    assert RecordedAt().serialize("at", {"at": instant}) == "2026-11-20T10:18:02.000000Z"
    assert RecordedAt().serialize("at", {"at": None}) is None
    assert RecordedAt().deserialize("2026-11-20T10:18:02.000000Z") == instant
    assert rules(RecordedAt(), "2026-11-20T10:18:02") == ["Not a valid aware datetime."]


@pytest.mark.parametrize(
    ("given", "amount"), [(5, "5"), (0.1, "0.1"), ("12.30", "12.30"), (Decimal("1E+3"), "1E+3"), ("-5", "-5")], ids=repr
)
def test_an_amount_is_read_exactly(given: Any, amount: str) -> None:
    assert str(Amount().deserialize(given)) == amount


@pytest.mark.parametrize(
    "given",
    [
        "1_000", " 5 ", "\u0665", "1e3", "", "abc", "9" * 41, True, False, [5], {"amount": 5}, b"5",
        float("nan"), float("inf"), -float("inf"), Decimal("NaN"), Decimal("Infinity"), "NaN", "Infinity",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_amount_is_refused_at_once(given: Any) -> None:
    begun = time.thread_time()
    (rule,) = rules(Amount(), given)
    assert rule.startswith("Not an amount")
    assert time.thread_time() - begun < 0.05


def test_a_whole_number_in_a_query_is_plain_digits_in_a_range() -> None:
    field = WholeNumber(minimum=1, maximum=1000)
    assert [field.deserialize(text) for text in ("1", "007", "1000")] == [1, 7, 1000]
    for text in ("0", "1001", "-1", "+1", "1.0", "1e2", "", " 1", "1_0", "\u0665", "9" * 19, "9" * 5_000):
        assert rules(field, text) == ["A whole number from 1 to 1000."]
    assert field.openapi == {"type": "integer", "minimum": 1, "maximum": 1000}


def test_a_list_that_is_too_long_is_refused_before_its_items_are_looked_at() -> None:
    field = ShortList(Text(maximum=5), maximum=2)
    assert field.deserialize(["a", "b"]) == ["a", "b"]
    assert rules(field, [5, "too long", None]) == ["Longer than maximum length 2."]
    assert rules(field, "ab") == ["Not a valid list."]
    assert rules(field, [5]) == [0]  # the place of the bad item
    assert field.openapi == {"maxItems": 2}
