"""Which account or category of the books a word means.

The books may have tens of thousands of names, so they are gone through once for a line, and not once for each word.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final

from cashman.one_line.words import Word, fold

COMPARED_MAX: Final = 2_000
"""Names that a misspelt one is compared with: more would take too long."""
_CLOSE: Final = 0.75
WORDS_MAX: Final = 6


class Names:
    """The names that the books know."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    @cached_property
    def by_key(self) -> dict[str, list[str]]:
        """The names by what they are compared by: two may differ in a capital only."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(fold(name), []).append(name)
        return found

    def known(self, typed: str) -> str | None:
        """The name that is typed, in the spelling of the books; None where there is none, or it could be several."""
        names = self.by_key.get(fold(typed), [])
        return typed if typed in names else names[0] if len(names) == 1 else None

    def longest(self, words: Sequence[Word], place: int, first: str | None = None) -> tuple[int, str] | None:
        """The name with the most words that stands from a word on, and how many words that takes.

        `first` stands for the first of the words, where that has a mark before it.
        """
        typed = [word.plain for word in words[place : place + WORDS_MAX]]
        if first is not None:
            typed[0] = first
        for length in range(len(typed), 0, -1):
            if any(word.quoted for word in words[place + 1 : place + length]):
                continue
            name = self.known(" ".join(typed[:length]))
            if name is not None:
                return length, name
        return None

    def nearest(self, typed: str) -> list[str]:
        """The names that a typed one can mean: one if that is clear, several if it is not, none if there is none.

        By itself; then by its beginning; then by the beginning of any of its words; then misspelt.
        """
        wanted = tuple({fold(typed), fold(typed).replace("-", " ")} - {""})
        steps: tuple[Callable[[str], bool], ...] = (
            lambda key: key in wanted,
            lambda key: key.startswith(wanted),
            lambda key: any(word.startswith(wanted) for word in key.replace("-", " ").split()),
        )
        for is_meant in steps:
            found = [name for key, names in self.by_key.items() if is_meant(key) for name in names]
            if found:
                return found
        close = difflib.get_close_matches(fold(typed), list(self.by_key)[:COMPARED_MAX], 2, _CLOSE)
        return [name for key in close for name in self.by_key[key]]


class Paths(Names):
    """The categories that the books know."""

    @cached_property
    def _parts(self) -> dict[str, str]:
        """Each category, and each above one, by what it is compared by."""
        found: dict[str, str] = {}
        for path in self.names:
            for part in _and_above(path):
                found.setdefault(fold(part), part)
        return found

    @cached_property
    def _by_last_name(self) -> dict[str, str | None]:
        """Each category by its last name; None where several have it."""
        found: dict[str, str | None] = {}
        for path in self.names:
            last = fold(path.rpartition(":")[2])
            found[last] = None if last in found else path
        return found

    def spelt(self, typed: str) -> str:
        """A path, as far as the books know it in their spelling."""
        for part in reversed(list(_and_above(typed))):
            if (known := self._parts.get(fold(part))) is not None:
                return known + typed[len(part) :]
        return typed

    def of_word(self, typed: str) -> str | None:
        """The category that one word means: of this path, or the only one whose last name it is."""
        return self.known(typed) or self._by_last_name.get(fold(typed))


def _and_above(path: str) -> Iterator[str]:
    parts = path.split(":")
    return (":".join(parts[:length]) for length in range(1, len(parts) + 1))
