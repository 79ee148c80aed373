"""The elements of OFX, whether SGML or XML: gone through once, and without entities but those of XML itself."""

import re
from collections.abc import Iterator
from typing import Final

from cashman.formats.records import unreadable
from cashman.formats.source import Source
from cashman.formats.statements import VALUE_CHARACTERS_MAX, chunks
from cashman.translations import message

_ENTITY: Final = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));", re.ASCII)
_NAMES_MAX: Final = 1_000
_NAMED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}


def _character(entity: re.Match[str]) -> str:
    decimal, hexadecimal, name = entity.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    is_text = code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0x110000
    return chr(code) if is_text else entity[0]


def _unescaped(text: str) -> str:
    return _ENTITY.sub(_character, text) if "&" in text else text


def _pieces(source: Source) -> Iterator[str]:
    """The text, cut at each "<", which is left out; of what is too long for a piece at least its beginning."""
    rest = ""
    for chunk in chunks(source):
        *pieces, rest = (rest + chunk).split("<")
        yield from pieces
        if len(rest) > VALUE_CHARACTERS_MAX:
            break
    yield rest


class Elements:
    """Every tag with its line, its name ("/NAME" where it closes), and the text that follows it.

    The tag that closes a value is left out: in SGML there is none.
    """

    def __init__(self, source: Source) -> None:
        self._pieces = _pieces(source)
        self._texts: list[str] = []  # what else follows the tag than the piece that it is in
        self._length = 0  # of the value so far
        self._until = ""  # what ends a comment or a CDATA section that is open
        self.line = 1
        """The last one that was read."""

    def __iter__(self) -> Iterator[tuple[int, str, str]]:
        names: dict[str, str] = {}  # of tags, by how they are written
        at, tag, value = 1, "", ""
        for place, piece in enumerate(self._pieces):
            begins = self.line
            self.line += piece.count("\n")
            written, end, text = piece.partition(">")
            name = names.get(written) or (_tag(written, names) if end else "")
            if name and end and not self._until:
                if self._texts:
                    value += "".join(self._texts)
                    self._texts = []
                self._length = 0
                if not (name[0] == "/" and name[1:] == tag and value and not value.isspace()):
                    yield at, tag, value
                    at, tag, value = begins, name, _unescaped(text) if "&" in text else text
            elif place:
                self._add(piece, begins)
            self._length += 1 + len(piece)
            if self._length > VALUE_CHARACTERS_MAX:
                told = message("At most {maximum} characters in one value.", maximum=VALUE_CHARACTERS_MAX)
                raise unreadable(told, begins)
        yield at, tag, value + "".join(self._texts)

    def _add(self, piece: str, line: int) -> None:
        """Add what is no tag to the text that follows one."""
        if self._until:
            self._add_until_end(piece)
        elif piece.startswith("![CDATA["):
            self._until = "]]>"
            self._add_until_end(piece[8:])
        elif piece.startswith("!--"):
            self._until = "-->"
            self._add_until_end(piece[3:])
        elif piece[:8].upper() == "!DOCTYPE":
            raise unreadable(message("A document type (DOCTYPE) is not taken."), line)
        elif piece[:1] == "?":
            self._texts.append(_unescaped(piece.partition("?>")[2]))
        else:  # a "<" that begins no tag is one that nobody has escaped
            self._texts.append(_unescaped(f"<{piece}"))

    def _add_until_end(self, piece: str) -> None:
        content, end, after = piece.partition(self._until)
        if self._until == "]]>":
            self._texts.append(content if end else f"{content}<")
        if end:
            self._until = ""
            self._texts.append(_unescaped(after))


def _tag(written: str, names: dict[str, str]) -> str:
    """The name of a tag, without attributes and a closing slash, kept for the next of its kind; empty for no tag."""
    if not (written[:1].isalpha() or written[:1] == "/"):
        return ""
    name = written.upper()
    name = name if name.isalnum() else name.rstrip("/ ").partition(" ")[0] or "/"
    if len(names) < _NAMES_MAX:
        names[written] = name
    return name
