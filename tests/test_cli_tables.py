"""Tables that fit the terminal, and say nothing to it."""

import os
import pty
import sys
from decimal import Decimal

import msgspec
import pytest

from cashman.cli import tables
from cashman.cli.tables import Column, JsonArray, laid_out, plain, text_of

NAME = Column("name", shrinks=True)
SIZE = Column("size", number=True)
ID = Column("id", dropped=True)


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    rows = [{"name": "a", "size": Decimal("-1.50")}, {"name": "bcd", "size": Decimal("1000.00")}]
    assert laid_out(rows, [NAME, SIZE], None).splitlines() == [
        "name     size",
        "----  -------",
        "a       -1.50",
        "bcd   1000.00",
    ]


def test_a_column_without_anything_in_it_is_left_out() -> None:
    rows = [{"name": "a", "size": None, "id": ""}, {"name": "b", "id": []}]
    assert laid_out(rows, [NAME, SIZE, ID], None).splitlines() == ["name", "----", "a", "b"]
    assert "0" in laid_out([{"name": "a", "size": 0}], [NAME, SIZE], None)


def test_what_may_be_dropped_goes_before_anything_is_cut() -> None:
    rows = [{"name": "n" * 20, "id": "i" * 20}]
    assert laid_out(rows, [NAME, ID], 42).splitlines()[2] == f"{'n' * 20}  {'i' * 20}"
    assert laid_out(rows, [NAME, ID], 41).splitlines()[2] == "n" * 20
    assert laid_out(rows, [NAME, ID], 19).splitlines()[2] == f"{'n' * 18}…"


def test_the_widest_is_cut_first_and_numbers_never() -> None:
    rows = [{"name": "short", "other": "o" * 30, "size": Decimal("123456789.00")}]
    columns = [NAME, Column("other", shrinks=True), SIZE]
    assert laid_out(rows, columns, 30).splitlines()[2] == f"short  {'o' * 8}…  123456789.00"
    narrow = laid_out(rows, columns, 5).splitlines()[2]
    assert narrow == "short  ooooo…  123456789.00"


def test_a_heading_is_a_name_in_words_or_another() -> None:
    rows = [{"as_of": "x", "currency": "USD"}]
    assert laid_out(rows, [Column("as_of"), Column("currency", "")], None).splitlines()[0] == "as of"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.50"), "-0.50"),
        (-50, "-50"),
        (["a", "b"], "a, b"),
        ([], ""),
        ("two\nlines\tand\xa0more", "two lines and more"),
        ("\x1b[31mred\x1b[0m", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}[0m"),
        ("\x9b31m\x07\x7f", "\N{REPLACEMENT CHARACTER}31m" + "\N{REPLACEMENT CHARACTER}" * 2),
        ("abc\u202edef\u2066", "abcdef"),
        ("👩\u200d🚀 é", "👩\u200d🚀 é"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_value_is_shown_in_one_line_that_tells_a_terminal_nothing(value: object, text: str) -> None:
    assert text_of(value) == text


def test_what_is_printed_is_left_alone() -> None:
    text = "Überweisung 日本 – 50 €"
    assert plain(text) is text


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours):
        monkeypatch.setattr(sys, "stdout", terminal)
        assert tables.terminal_width() is None  # a terminal that does not know its width
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((123, 40)))
        assert tables.terminal_width() == 123
        monkeypatch.setenv("COLUMNS", "77")
        assert tables.terminal_width() == 77
        for wrong in ("", "x", "0", "-5", "٧"):
            monkeypatch.setenv("COLUMNS", wrong)
            assert tables.terminal_width() == 123


def test_a_pipe_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe, os.fdopen(read):
        monkeypatch.setattr(sys, "stdout", pipe)
        assert tables.terminal_width() is None


def test_an_array_is_written_part_by_part(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    array = JsonArray()
    array.add([msgspec.Raw(b'{"a":1.50}')])
    array.add([])
    array.add([msgspec.Raw(b"2"), msgspec.Raw(b"3")])
    array.end()
    assert capsysbinary.readouterr().out == b'[{"a":1.50},2,3]\n'
    JsonArray().end()
    assert capsysbinary.readouterr().out == b"[]\n"
