"""XML as a stream of elements: no document type, no entities of its own, nothing read from elsewhere, bounded depth."""

import re
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

import msgspec

from cashman.formats.records import unreadable
from cashman.formats.source import Source
from cashman.formats.statements import VALUE_CHARACTERS_MAX, chunks, follow
from cashman.translations import message

DEPTH_MAX: Final = 100
_NAME_CHARACTERS_MAX: Final = 100
_TAG_BYTES_MAX: Final = 4 * 1_048_576  # the parser holds a tag until it ends, and reads a few chunks ahead
_PATHS_MAX: Final = 1_000

_DECLARATION: Final = re.compile(r"""\s*<\?xml\b[^<>]{0,200}\bencoding\s*=\s*["']([\w.-]{1,40})["']""", re.ASCII)


class Element(msgspec.Struct, gc=False):
    """An element that begins or ends; names are without their namespace."""

    line: int
    path: str
    """Its name after those of the elements around it, from the root on: "/Stmt/Ntry"."""
    text: str | None
    """What stands in it after the last element in it, so all of it where there is none; None where it begins."""
    attributes: dict[str, str]


def walk(source: Source, root: str, wholes: frozenset[str]) -> Iterator[Element]:
    """The elements within those called `root`: `wholes` where they begin and end, others where they end with text.

    UnreadableFile where it is not well-formed, more than plain elements, or without a `root`.
    """
    declared = _DECLARATION.match(source.head)
    if declared:
        follow(source, declared[1])
    builder, fed = _Builder(root, wholes), 0
    parser = builder.parser
    try:
        for chunk in chunks(source):
            data = chunk.encode()
            fed += len(data)
            parser.Parse(data)
            yield from builder.take()
            if fed - parser.CurrentByteIndex > _TAG_BYTES_MAX:
                raise unreadable(message("A tag is too long."), parser.CurrentLineNumber)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise unreadable(message("The XML is damaged here, or breaks off."), error.lineno) from None
    yield from builder.take()
    if not builder.has_root:
        raise unreadable(message("There is no {element} in it.", element=root), 1)


class _Builder:
    """Gathers what the parser finds in one part of the text."""

    def __init__(self, root: str, wholes: frozenset[str]) -> None:
        # What the text is decoded from was found out before, whatever the file declares.
        self.parser = expat.ParserCreate("utf-8")
        # Text is handed over in parts of bounded length, however long it is.
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._add
        self.parser.StartDoctypeDeclHandler = self._refuse_document_type
        self.has_root = False
        self._root = root
        self._wholes = wholes
        self._found: list[Element] = []
        self._paths: list[str | None] = [None]  # of what is open; None outside the root
        self._known: dict[str | None, dict[str, str | None]] = {}  # the path by the parent's and the name
        self._attributes: dict[str, str] = {}  # of what began last
        self._texts: list[str] = []
        self._length = 0

    def take(self) -> list[Element]:
        """What was found since the last time."""
        found, self._found = self._found, []
        return found

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        parent = self._paths[-1]
        try:
            path = self._known[parent][name]
        except KeyError:
            path = self._learn(parent, name)
        if len(self._paths) > DEPTH_MAX:
            self._refuse(message("At most {maximum} elements within one another.", maximum=DEPTH_MAX))
        self._paths.append(path)
        self._texts.clear()
        self._length = 0
        self._attributes = attributes
        if path in self._wholes:
            self._found.append(Element(self.parser.CurrentLineNumber, path, None, attributes))

    def _learn(self, parent: str | None, name: str) -> str | None:
        """The path of an element, kept for the next of its kind."""
        if len(name) > _NAME_CHARACTERS_MAX:
            self._refuse(message("A tag is too long."))
        local = name.rpartition(":")[2]
        path = f"{parent}/{local}" if parent is not None else "" if local == self._root else None
        self.has_root = self.has_root or path == ""
        if len(self._known) > _PATHS_MAX:
            self._known.clear()
        paths = self._known.setdefault(parent, {})
        if len(paths) < _PATHS_MAX:
            paths[name] = path
        return path

    def _end(self, name: str) -> None:
        path = self._paths.pop()
        text = "".join(self._texts)
        self._texts.clear()
        self._length = 0
        if path is not None and (path in self._wholes or (text and not text.isspace())):
            self._found.append(Element(self.parser.CurrentLineNumber, path, text, self._attributes))

    def _add(self, text: str) -> None:
        self._length += len(text)
        if self._length > VALUE_CHARACTERS_MAX:
            self._refuse(message("At most {maximum} characters in one value.", maximum=VALUE_CHARACTERS_MAX))
        self._texts.append(text)

    def _refuse_document_type(self, *_: object) -> None:
        self._refuse(message("A document type (DOCTYPE) is not taken."))

    def _refuse(self, told: str) -> None:
        raise unreadable(told, self.parser.CurrentLineNumber)
