"""What the files of banks have in common."""

import datetime as dt
import io
import re
from decimal import Decimal

import pytest

from cashman.errors import UnreadableFile
from cashman.formats import statements
from cashman.formats.records import Account, Options
from cashman.formats.source import Source
from cashman.formats.statements import Accounts, Errors, References, chunks, fitting, follow, one_line, shown


@pytest.mark.parametrize(
    ("text", "line"),
    [("", ""), (" a ", "a"), ("a  b", "a  b"), ("a\nb", "a b"), (" a \r\n b\rc ", "a b c"), ("a\u2028b", "a b")],
)
def test_one_line_has_no_line_ends_and_no_space_around_it(text: str, line: str) -> None:
    assert one_line(text) == line


def test_what_is_shown_is_short() -> None:
    assert shown("x" * 40) == "x" * 40
    assert shown("x" * 41) == "x" * 39 + "…"


def test_a_description_that_fits_stays_and_a_longer_one_is_whole_in_the_notes() -> None:
    assert fitting("d" * 500, []) == ("d" * 500, None)
    assert fitting("d", ["n", "m"]) == ("d", "n\nm")
    assert fitting("d" * 501, ["n"]) == ("d" * 499 + "…", "d" * 501 + "\nn")
    assert fitting("d" * 6_000, ["n"]) == ("d" * 499 + "…", "d" * 5_000)


def test_the_text_comes_in_parts_with_line_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"a\r\nb\rc\n\r\r\n\r"
    for size in (1, 2, 3, 100):
        monkeypatch.setattr(statements, "CHUNK_CHARACTERS", size)
        parts = list(chunks(Source(io.BytesIO(data))))
        assert "".join(parts) == "a\nb\nc\n\n\n\n"
        assert max(map(len, parts)) <= size + 1


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("ISO-8859-2", "iso8859-2"), ("iso8859-15", "iso8859-15"), ("windows-1251", "cp1251"), ("1250", "cp1250"),
        ("ISO-8859-1", "cp1252"), ("ISO-8859-12", "cp1252"), ("utf-8", "cp1252"), ("zip", "cp1252"), ("", "cp1252"),
    ],
)  # fmt: skip
def test_a_declared_encoding_is_followed_where_bytes_do_not_tell(declared: str, encoding: str) -> None:
    source = Source(io.BytesIO(b"\xe9"))
    follow(source, declared)
    assert source.encoding == encoding
    assert "".join(chunks(source)) == b"\xe9".decode(encoding)
    source = Source(io.BytesIO("é".encode()))
    follow(source, declared)
    assert source.encoding == "utf-8"


def test_bytes_that_an_encoding_does_not_have_are_unreadable() -> None:
    source = Source(io.BytesIO(b"\xd2\xe9"))
    follow(source, "1253")
    with pytest.raises(UnreadableFile):
        list(chunks(source))


def test_a_value_is_read_or_its_rule_is_noted() -> None:
    errors: Errors = {}
    assert statements.read_amount("1,5", re.compile("[0-9,]+"), errors) == Decimal("1.5")
    assert statements.read_day("31 Jan", "20240131", errors) == dt.date(2024, 1, 31)
    statements.check_currency("EUR", "EUR", errors)
    statements.check_currency("EUR", None, errors)
    statements.check_currency(None, "EUR", errors)
    assert errors == {}
    assert statements.read_amount("x", re.compile("[0-9,]+"), errors) is None
    assert statements.read_day("31 Feb", "20240231", errors) is None
    statements.check_currency("EUR", "USD", errors)
    assert list(errors) == ["amount", "date", "currency"]


def test_an_account_is_told_once_with_its_first_currency() -> None:
    accounts = Accounts(Options())
    assert list(accounts.meet(1, "a", "EUR", "bank")) == [Account(line=1, name="a", currency="EUR", kind="bank")]
    assert list(accounts.meet(2, "a", "USD", "bank")) == []
    assert accounts.currency_of("a") == "EUR"
    assert accounts.currency_of("b") is None
    assert accounts.booked_on("a") == "a"
    assert list(accounts.meet(3, None, "EUR", "bank")) == []


def test_an_account_that_is_chosen_takes_the_place_of_the_only_one() -> None:
    accounts = Accounts(Options(account="Giro"))
    assert list(accounts.meet(1, "a", "EUR", "bank")) == list(accounts.meet(2, "a", "EUR", "bank")) == []
    assert accounts.booked_on("a") == "Giro"
    with pytest.raises(UnreadableFile) as raised:
        list(accounts.meet(3, "b", "EUR", "bank"))
    assert list(raised.value.errors or ()) == [3]


def test_references_are_counted_by_their_contents() -> None:
    references, reference = References(), ("account", "r")
    assert [references.meet(reference, content) for content in ("a", "b", "a")] == [0, 1, None]
    assert references.meet(("account", "s"), "a") == 0
    assert references.meet((None, "r"), "a") == 0


def test_contents_that_share_a_hash_are_told_apart() -> None:
    one, other = Decimal("-1.00"), Decimal("-2.00")
    assert hash(("r", one)) == hash(("r", other))  # as Python has it
    references = References()
    assert [references.meet((None, "r"), content) for content in (one, other)] == [0, 1]
