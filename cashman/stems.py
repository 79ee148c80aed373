"""The stems that full text is found by: the same on every engine, because they are made here.

Text is decomposed (NFKD), its marks are stripped, its case is folded, it is cut into runs of letters and digits,
and each is reduced by Snowball's English rules: "plays" and "playing" are found by "play", "Café" by "cafe".
A word without end is cut into several, for the sake of the index.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import Stemmer

from cashman.limits import STEM_CHARACTERS_MAX

_WORD: Final = re.compile(rf"[^\W_]{{1,{STEM_CHARACTERS_MAX}}}")
_snowball: Final = Stemmer.Stemmer("english", 0)


@lru_cache(65_536)
def _stem(word: str) -> str:
    stem: str = _snowball.stemWord(word)
    return stem


def stems_of(texts: Iterable[str | None]) -> list[str]:
    """The distinct stems of some texts, sorted; none where there is no word."""
    return sorted(set(map(_stem, _WORD.findall(_folded("\n".join(filter(None, texts)))))))


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFKD", "".join(c for c in decomposed if not unicodedata.combining(c)).casefold())
