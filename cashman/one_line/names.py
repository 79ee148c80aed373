"""Which account or category of the books a word means."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from cashman.one_line.words import Word, fold

COMPARED_MAX: Final = 2_000
"""Names that a misspelt one is compared with: more would take too long."""
_CLOSE: Final = 0.75
WORDS_MAX: Final = 6


def longest(
    words: Sequence[Word], place: int, known: Iterable[str], first: str | None = None
) -> tuple[int, str] | None:
    """The known name with the most words that stands from a word on, and how many words that takes."""
    by_key = {fold(name): name for name in known}
    keys = [word.key for word in words[place : place + WORDS_MAX]]
    if first is not None:
        keys[0] = fold(first)
    for length in range(len(keys), 0, -1):
        if any(word.quoted for word in words[place + 1 : place + length]):
            continue
        name = by_key.get(" ".join(keys[:length]))
        if name is not None:
            return length, name
    return None


def nearest(typed: str, known: Sequence[str]) -> list[str]:
    """The known names that a typed one can mean: one if that is clear, several if it is not, none if there is none.

    By itself; then by its beginning; then by the beginning of any of its words; then misspelt.
    """
    if typed in known:
        return [typed]
    wanted = {fold(typed), fold(typed).replace("-", " ")} - {""}
    keys = {name: fold(name) for name in known}
    steps: tuple[Callable[[str], bool], ...] = (
        lambda key: key in wanted,
        lambda key: key.startswith(tuple(wanted)),
        lambda key: any(word.startswith(tuple(wanted)) for word in key.replace("-", " ").split()),
    )
    for is_meant in steps:
        found = [name for name, key in keys.items() if is_meant(key)]
        if found:
            return found
    close = difflib.get_close_matches(fold(typed), list(keys.values())[:COMPARED_MAX], 2, _CLOSE)
    return [name for name, key in keys.items() if key in close]


def category(typed: str, known: Iterable[str]) -> str:
    """A path, as far as the books know it in their spelling."""
    by_key: dict[str, str] = {}
    for path in known:
        for part in _and_above(path):
            by_key.setdefault(fold(part), part)
    for part in reversed(list(_and_above(typed))):
        if fold(part) in by_key:
            return by_key[fold(part)] + typed[len(part) :]
    return typed


def category_of_word(key: str, known: Iterable[str]) -> str | None:
    """The category that one word means: of this path, or the only one whose last name it is."""
    ends = []
    for path in known:
        if fold(path) == key:
            return path
        if fold(path.rpartition(":")[2]) == key:
            ends.append(path)
    return ends[0] if len(ends) == 1 else None


def _and_above(path: str) -> Iterator[str]:
    parts = path.split(":")
    return (":".join(parts[:length]) for length in range(1, len(parts) + 1))
