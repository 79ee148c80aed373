"""How the words of a line are cut and compared."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_CUT: Final = re.compile(r'(?:"[^"]*"|\S)+')
_ALIKE: Final = str.maketrans({**dict.fromkeys("“”„«»", '"'), "−": "-", "’": "'"})
"""What keyboards make of quotes, a minus and an apostrophe; each is one character, so that places stay the same."""
_GROUPING_BLANK: Final = re.compile("(?<=[0-9])[\u00a0\u202f](?=[0-9]{3})")
_FRENCH_THOUSANDS: Final = re.compile(r"(?<!\S)[-+]?[0-9]{1,3}(?: [0-9]{3})+(?=[,\s]|\Z)")


@dataclass(frozen=True, slots=True)
class Word:
    """What stands between two blanks; blanks in quotes do not count."""

    text: str
    """As it was typed."""
    shown: str
    """The same without quotes."""
    plain: str
    """The same with a minus and apostrophes as programs write them."""
    key: str
    """What it is compared by: without accents and capitals."""
    quoted: bool
    """Whether it is in quotes as a whole: then it means nothing but itself."""


def fold(text: str) -> str:
    """A text without accents and capitals."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def cut(line: str, language: str) -> list[Word]:
    """The words of a line."""
    alike = _GROUPING_BLANK.sub("'", line.translate(_ALIKE))
    if language == "fr":  # 1 234,56 is one number there
        alike = _FRENCH_THOUSANDS.sub(lambda found: found[0].replace(" ", "'"), alike)
    return [_word(line[found.start() : found.end()], found[0]) for found in _CUT.finditer(alike)]


def _word(text: str, alike: str) -> Word:
    quotes = alike.count('"')
    quoted = quotes == 2 and len(alike) > 2 and alike[0] == alike[-1] == '"'
    shown, plain = text, alike
    if quotes > 1:
        shown = "".join(one for one, as_plain in zip(text, alike, strict=True) if as_plain != '"')
        plain = alike.replace('"', "")
    return Word(text, shown, plain, fold(plain), quoted)
