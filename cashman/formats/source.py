"""A file that is imported: bytes that are gone through more than once, and the encoding that they are in."""

import codecs
import io
from typing import IO, Final

from cashman.formats.records import unreadable
from cashman.limits import IMPORT_WHOLE_BYTES_MAX
from cashman.translations import message

_HEAD_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 1_048_576
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NOT_IN_CP1252: Final = b"\x81\x8d\x8f\x90\x9d"
_BINARY: Final = (
    (b"%PDF-", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"\x1f\x8b", "gzip"),
    (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"SQLite format 3\0", "SQLite"),
)  # fmt: skip
"""How files begin that are often taken for a statement."""


class Source:
    """A file that can be read again and again from its start; raises UnreadableFile where it is no text."""

    def __init__(self, file: IO[bytes], name: str = "") -> None:
        self.name = name
        self._file = file
        file.seek(0)
        start = file.read(_HEAD_BYTES)
        for mark, what in _BINARY:
            if start.startswith(mark):
                raise unreadable(message("This is a {what} file, and no text.", what=what))
        self.encoding = self._find_encoding(start)
        with self.open() as text:
            self.head = text.read(_HEAD_BYTES)
            """Its beginning, to recognize it by."""
        if not self.head.strip():
            raise unreadable(message("The file is empty."))
        if "\0" in self.head:
            raise unreadable(message("The file holds NUL characters: it is no text."))

    def _find_encoding(self, start: bytes) -> str:
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                self._check(encoding)
                return encoding
        # ASCII in UTF-16 without a mark has a zero byte in every second place.
        for encoding, place in (("utf-16-le", 1), ("utf-16-be", 0)):
            zeros = start[place:2_000:2].count(0)
            if (
                len(start) >= 4
                and zeros > 0.4 * len(start[place:2_000:2])
                and not start[1 - place : 2_000 : 2].count(0)
            ):
                self._check(encoding)
                return encoding
        return self._find_narrow_encoding()

    def _check(self, encoding: str) -> None:
        """Refuse what says that it is in an encoding, and is not."""
        decoder = codecs.getincrementaldecoder(encoding)()
        self._file.seek(0)
        try:
            while chunk := self._file.read(_CHUNK_BYTES):
                if "\0" in decoder.decode(chunk):
                    raise unreadable(message("The file holds NUL characters: it is no text."))
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise unreadable(
                message("The file is not in {encoding}, as its first bytes say.", encoding=encoding)
            ) from None

    def _find_narrow_encoding(self) -> str:
        """UTF-8 where it is; else Windows-1252, or Latin-1 where a byte has no meaning in that."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        is_utf8, is_cp1252 = True, True
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            if b"\0" in chunk:
                raise unreadable(message("The file holds NUL characters: it is no text."))
            is_cp1252 = is_cp1252 and not any(byte in chunk for byte in _NOT_IN_CP1252)
            is_utf8 = is_utf8 and _decodes(decoder, chunk)
        if is_utf8 and _decodes(decoder, b"", final=True):
            return "utf-8"
        return "cp1252" if is_cp1252 else "latin-1"

    def count_lines(self) -> int:
        """How many lines it has, at the cost of reading it."""
        self._file.seek(0)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: self._file.read(_CHUNK_BYTES), b""))

    def open(self) -> io.TextIOWrapper:
        """Its text from the start, with line ends as they are; closing that leaves the file open."""
        self._file.seek(0)
        return io.TextIOWrapper(_Kept(self._file), encoding=self.encoding, newline="")  # type: ignore[arg-type]

    def text(self) -> str:
        """All of it; UnreadableFile where that is more than a format that needs all of it at once may take."""
        self._file.seek(0, io.SEEK_END)
        if self._file.tell() > IMPORT_WHOLE_BYTES_MAX:
            raise unreadable(message("At most {maximum} bytes in this format.", maximum=IMPORT_WHOLE_BYTES_MAX))
        with self.open() as text:
            return text.read().replace("\r\n", "\n").replace("\r", "\n")


def _decodes(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(data, final)
    except UnicodeDecodeError:
        return False
    return True


class _Kept(io.RawIOBase):
    """A file that is not closed together with the text over it."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
