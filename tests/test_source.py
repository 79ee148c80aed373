"""Files as bytes: their encoding, and what is no text."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cashman.errors import UnreadableFile
from cashman.formats import source
from cashman.formats.source import Source

TEXT = "Größe;Preis\r\nCafé €;5\r\n"


def read(data: bytes) -> str:
    with Source(io.BytesIO(data)).open() as text:
        return text.read()


def fault(data: bytes) -> str:
    with pytest.raises(UnreadableFile) as raised:
        Source(io.BytesIO(data)).text()
    return str(raised.value.detail)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"), ("cp1252", "cp1252"),
    ],
)  # fmt: skip
def test_each_encoding_is_told_and_read(written: str, told: str) -> None:
    file = Source(io.BytesIO(TEXT.encode(written)))
    assert file.encoding == told
    assert read(TEXT.encode(written)) == TEXT
    assert file.text() == TEXT.replace("\r\n", "\n")
    assert file.head == TEXT


def test_utf_16_of_big_end_with_a_mark_is_read() -> None:
    assert read(b"\xfe\xff" + TEXT.encode("utf-16-be")) == TEXT


def test_ascii_is_utf_8() -> None:
    assert Source(io.BytesIO(b"a,b")).encoding == "utf-8"


def test_what_has_no_meaning_in_windows_1252_is_latin_1() -> None:
    assert Source(io.BytesIO(b"caf\xe9 \x81")).encoding == "latin-1"
    assert read(b"caf\xe9 \x81") == "café \x81"


@pytest.mark.parametrize("filling", [0, 10, 3 * 1_048_576 - 1, 3 * 1_048_576])
@pytest.mark.parametrize("end", [b"", b"\xc3", b"\xe2\x82", b"\xff", b"\xff\x81"])
def test_a_long_file_is_read_in_the_encoding_that_was_told(filling: int, end: bytes) -> None:
    data = "Á".encode() + b"x" * filling + end
    text = read(data)
    if not end:
        assert text == "Á" + "x" * filling
    else:  # no UTF-8; and the second byte of Á has no meaning in Windows-1252
        assert Source(io.BytesIO(data)).encoding == "latin-1"
        assert text == data.decode("latin-1")


@given(st.binary(max_size=200))
@example(b"\xc3\x81\xc3")
@example(b"\xef\xbb\xbf\xff")
@example(b"\xff\xfe\x00\xd8")
@example(b"a\x00")
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        text = Source(io.BytesIO(data)).text()
    except UnreadableFile:
        return
    assert "\0" not in text
    assert text.encode()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip))
def test_any_text_in_utf_8_is_read_as_it_is(text: str) -> None:
    data = text.encode()
    if not data.startswith((b"%PDF-", b"PK\x03\x04", b"SQLite format 3")):
        assert read(b"\xef\xbb\xbf" + data) == text


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"\x1f\x8b\x08", "gzip"),
        (b"\x89PNG\r\n", "PNG"), (b"\xff\xd8\xff\xe0", "JPEG"), (b"SQLite format 3\0", "SQLite"),
    ],
)  # fmt: skip
def test_what_is_often_taken_for_a_statement_is_called_by_its_name(data: bytes, what: str) -> None:
    assert fault(data) == f"This is a {what} file, and no text."


@pytest.mark.parametrize("data", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xff\xfe", "  ".encode("utf-16")])
def test_nothing_is_no_file(data: bytes) -> None:
    assert fault(data) == "The file is empty."


@pytest.mark.parametrize(
    "data",
    [
        b"a\0b", b"date,amount\n" * 200_000 + b"\0", b"\xef\xbb\xbfa\0", "a\0b".encode("utf-16"),
        "date;amount\0".encode("utf-16-le"), b"\xff\xfe\0\0a\0\0\0",
    ],
)  # fmt: skip
def test_nul_characters_are_refused_wherever_they_stand(data: bytes) -> None:
    assert fault(data) == "The file holds NUL characters: it is no text."


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfa\xff", b"\xff\xfea", b"\xff\xfe\x00\xd8", b"\xef\xbb\xbf" + b"a" * 2_000_000 + b"\xc3"]
)
def test_a_mark_that_lies_is_told(data: bytes) -> None:
    assert "as its first bytes say" in fault(data)


def test_a_file_can_be_read_again_and_stays_open() -> None:
    file = io.BytesIO(b"a\nb")
    found = Source(file)
    for _ in range(2):
        with found.open() as text:
            assert list(text) == ["a\n", "b"]
    assert not file.closed


def test_more_than_a_whole_file_may_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "IMPORT_WHOLE_BYTES_MAX", 3)
    assert Source(io.BytesIO(b"abc")).text() == "abc"
    assert fault(b"abcd") == "At most 3 bytes in this format."


def test_every_line_end_is_a_line_feed_in_the_whole_text() -> None:
    assert Source(io.BytesIO(b"a\r\nb\rc\nd")).text() == "a\nb\nc\nd"
