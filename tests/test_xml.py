"""XML: elements as a stream, and nothing else that XML can do."""

import io

import pytest

from cashman.errors import UnreadableFile
from cashman.formats import xml
from cashman.formats.source import Source
from cashman.formats.xml import DEPTH_MAX, Element, walk

WHOLES = frozenset(["/a"])


def elements(text: str | bytes) -> list[Element]:
    data = text.encode() if isinstance(text, str) else text
    return list(walk(Source(io.BytesIO(data)), "r", WHOLES))


def fault(text: str | bytes) -> tuple[str, int]:
    """What is told of a file, and of which line."""
    with pytest.raises(UnreadableFile) as raised:
        elements(text)
    assert raised.value.errors is not None
    (line,) = raised.value.errors
    return str(raised.value.detail), line


def test_elements_come_with_lines_paths_texts_and_attributes() -> None:
    assert elements('<r>\n<a x="1">\n<b y="2">t&amp;&#252;<![CDATA[<u>]]></b><c/></a></r>') == [
        Element(2, "/a", None, {"x": "1"}),
        Element(3, "/a/b", "t&ü<u>", {"y": "2"}),
        Element(3, "/a", "", {}),
    ]


def test_what_stands_around_the_root_is_left_out_and_namespaces_do_not_matter() -> None:
    found = elements('<e xmlns:n="urn:n"><z>0</z><n:r><n:a>1</n:a></n:r><r><b>2</b></r><y>3</y></e>')
    assert [(one.path, one.text) for one in found] == [("/a", None), ("/a", "1"), ("/b", "2")]


def test_an_element_of_the_roots_name_within_it_is_one_like_others() -> None:
    assert [one.path for one in elements("<r><r>1</r></r>")] == ["/r"]


def test_a_file_without_the_root_is_unreadable() -> None:
    assert fault("<x>\n<a/></x>") == ("There is no r in it.", 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<r>\n<a>", 2),
        ("<r>\n<a>x", 2),
        ("<r>\n<a></b></r>", 2),
        ("<r>\n\n&nbsp;</r>", 3),
        ("<r/>\n<r/>", 2),
        ("<r>\n<a x='1' x='2'/></r>", 2),
        ("<r>\n<a\n", 2),
        ("<r>\x01</r>", 1),
    ],
)
def test_damaged_xml_is_unreadable_with_its_line(text: str, line: int) -> None:
    assert fault(text) == ("The XML is damaged here, or breaks off.", line)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "document_type",
    [
        f'<!DOCTYPE r [<!ENTITY l0 "ha">{LAUGHS}]>',
        '<!DOCTYPE r [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/r.dtd">',
        '<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p.dtd"> %p;]>',
        "<!DOCTYPE r>",
    ],
)
def test_a_document_type_is_refused_whatever_it_says(document_type: str) -> None:
    assert fault(f"\n{document_type}<r><a>&l9;</a></r>") == ("A document type (DOCTYPE) is not taken.", 2)


def test_the_same_without_a_document_type_is_read() -> None:
    assert [one.text for one in elements("\n<r><a>&lt;</a></r>")] == [None, "<"]


def nested(depth: int) -> str:
    return "<r>" + "<b>" * (depth - 1) + "1" + "</b>" * (depth - 1) + "</r>"


def test_depth_has_a_limit_and_what_keeps_it_is_read() -> None:
    assert len(elements(nested(DEPTH_MAX))) == 1
    for depth in (DEPTH_MAX + 1, 100_000):
        assert fault(nested(depth)) == ("At most 100 elements within one another.", 1)


def test_a_value_has_a_limit_and_what_keeps_it_is_read() -> None:
    assert elements(f"<r><b>{'x' * 100_000}</b></r>")[0].text == "x" * 100_000
    assert fault(f"<r><b>{'x' * 100_001}</b></r>") == ("At most 100000 characters in one value.", 1)
    assert fault("<r><b>" + "x" * 50_000_000) == ("At most 100000 characters in one value.", 1)


def test_a_tag_has_a_limit() -> None:
    assert fault(f"<r><{'b' * 101}/></r>") == ("A tag is too long.", 1)
    assert fault("<r>\n<b x='" + "y" * 50_000_000) == ("A tag is too long.", 2)
    assert elements(f"<r><{'b' * 100}>1</{'b' * 100}></r>")[0].text == "1"


def test_many_different_names_are_read_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "_PATHS_MAX", 3)
    wide = "".join(f"<b{n}>{n}</b{n}>" for n in range(20))
    deep = "".join(f"<d{n}><e>{n}</e>" for n in range(20)) + "".join(f"</d{n}>" for n in reversed(range(20)))
    found = [one.text for one in elements(f"<r>{wide}{deep}</r>")]
    assert found == [str(n) for n in (*range(20), *range(20))]


def test_a_declared_encoding_of_one_byte_a_character_is_followed() -> None:
    text = '<?xml version="1.0" encoding="{}"?><r><b>Łódź</b></r>'
    assert elements(text.format("ISO-8859-2").encode("iso-8859-2"))[0].text == "Łódź"
    assert elements(text.format("windows-1250").encode("cp1250"))[0].text == "Łódź"
    # UTF-8 tells of itself, whatever is declared.
    assert elements(text.format("ISO-8859-2").encode())[0].text == "Łódź"
    assert elements(text.format("utf-16").encode("utf-16"))[0].text == "Łódź"


def test_windows_1252_is_read_where_its_subset_is_declared() -> None:
    assert elements('<?xml version="1.0" encoding="ISO-8859-1"?><r><b>5 €</b></r>'.encode("cp1252"))[0].text == "5 €"


def test_bytes_that_the_declared_encoding_does_not_have_are_unreadable() -> None:
    with pytest.raises(UnreadableFile, match=r"^The file is not in cp1253, as it says itself\.$"):
        elements(b'<?xml version="1.0" encoding="windows-1253"?><r><b>\xd2</b></r>')


def test_an_encoding_that_is_none_is_passed_over() -> None:
    assert elements(b'<?xml version="1.0" encoding="rot13"?><r><b>\xe9</b></r>')[0].text == "é"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(end: str) -> None:
    assert [one.line for one in elements(f"<r>{end}<a>{end}</a>{end}</r>")] == [2, 3]


def test_a_line_end_may_be_cut_between_two_parts_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cashman.formats.statements.CHUNK_CHARACTERS", 1)
    assert [one.line for one in elements("<r>\r\n<a>\r\n</a>\r\r</r>\r")] == [2, 3]
