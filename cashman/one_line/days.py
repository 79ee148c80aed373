"""Days as people say them, in each language: today, last Friday, 3 days ago, 24.12."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from cashman.one_line.words import Word

WORDS_MAX: Final = 6
"""How many words a day may have: "the day before yesterday", "am letzten Freitag", "il y a 3 jours"."""
AHEAD_DAYS_MAX: Final = 31
"""A day without its year is the last one that is no further ahead than this."""

# Patterns of folded words. Alternatives stand in brackets; N is a number, WEEKDAY one of the seven.
_RELATIVE: Final = {
    "en": ("today", "yesterday", "(?:the )?day before yesterday"),
    "de": ("heute", "gestern", "vorgestern"),
    "es": ("hoy", "ayer", "anteayer|antier|antes de ayer"),
    "fr": ("aujourd'hui", "hier", "avant-hier|avant hier"),
    "pt_BR": ("hoje", "ontem", "anteontem|antes de ontem"),
}
_WEEKDAYS: Final = {
    "en": "monday tuesday wednesday thursday friday saturday sunday",
    "de": "montag dienstag mittwoch donnerstag freitag samstag|sonnabend sonntag",
    "es": "lunes martes miercoles jueves viernes sabado domingo",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "pt_BR": "segunda(?:-feira)? terca(?:-feira)? quarta(?:-feira)? quinta(?:-feira)? sexta(?:-feira)? sabado domingo",
}
_ON: Final = {"en": "(?:on )?", "de": "(?:am )?", "es": "(?:el )?", "fr": "(?:le )?", "pt_BR": "(?:na |no )?"}
"""What may stand before the latest day of a name, today among them."""
_LAST: Final = {
    "en": "(?:on )?(?:the )?last WEEKDAY",
    "de": "(?:am )?(?:letzten|letzter|vorigen|vergangenen) WEEKDAY",
    "es": "(?:el )?WEEKDAY pasado|(?:el )?pasado WEEKDAY",
    "fr": "(?:le )?WEEKDAY (?:dernier|passe)",
    "pt_BR": "(?:na |no )?(?:ultima|ultimo) WEEKDAY|(?:na |no )?WEEKDAY (?:passada|passado)",
}
"""The latest day of a name that is over."""
_AGO: Final = {
    "en": "(N|a|an|one) (days?|weeks?) ago",
    "de": "vor (N|einem|einer) (tag|tage|tagen|woche|wochen)",
    "es": "hace (N|un|una) (dias?|semanas?)",
    "fr": "il y a (N|un|une) (jours?|semaines?)",
    "pt_BR": "(?:ha|faz) (N|um|uma) (dias?|semanas?)(?: atras)?|(N|um|uma) (dias?|semanas?) atras",
}
_WEEK: Final = ("week", "woche", "semana", "semaine")
_ORDINAL: Final = re.compile("segunda|terca|quarta|quinta|sexta")
"""These also mean second to sixth, so that alone they are a day only where no word follows: "segunda parcela"."""

_ISO: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_DOTTED: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4}|[0-9]{2})?", re.ASCII)
_SLASHED: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})(?:/([0-9]{4}|[0-9]{2}))?", re.ASCII)

Meaning = Callable[[re.Match[str], dt.date], dt.date | None]


def day_at(
    words: Sequence[Word], place: int, language: str, today: dt.date, *, day_first: bool
) -> tuple[int, dt.date] | None:
    """The day that is said from a word on, and how many words that takes; the longest reading wins."""
    for length in range(min(WORDS_MAX, len(words) - place), 0, -1):
        # A comma or the like after a day is nobody's.
        said = " ".join(word.key for word in words[place : place + length]).rstrip(",;!")
        followed = place + length < len(words) and words[place + length].plain[:1].isalpha()
        day = None if followed and _ORDINAL.fullmatch(said) else _said(said, language, today)
        if day is None and length == 1:
            day = _written(said, today, day_first=day_first)
        if day is not None:
            return length, day
    return None


def _said(said: str, language: str, today: dt.date) -> dt.date | None:
    """A day in words."""
    for known in dict.fromkeys((language, "en")):  # what is English is understood everywhere
        for pattern, meaning in _meanings(known):
            if found := pattern.fullmatch(said):
                return meaning(found, today)
    return None


@cache
def _meanings(language: str) -> tuple[tuple[re.Pattern[str], Meaning], ...]:
    found: list[tuple[str, Meaning]] = [(said, _days_back(days)) for days, said in enumerate(_RELATIVE[language])]
    for weekday, name in enumerate(_WEEKDAYS[language].split()):
        found.append((f"{_ON[language]}(?:{name})", _latest(weekday)))
        found.append((_LAST[language].replace("WEEKDAY", f"(?:{name})"), _latest(weekday, over=True)))
    found.append((_AGO[language].replace("N", "[0-9]{1,5}"), _ago))
    return tuple((re.compile(pattern, re.ASCII), meaning) for pattern, meaning in found)


def _days_back(days: int) -> Meaning:
    return lambda _, today: _before(today, days)


def _latest(weekday: int, *, over: bool = False) -> Meaning:
    """The latest day of a week, today or, where that has to be over, before it."""
    return lambda _, today: _before(today, (today.weekday() - weekday - over) % 7 + over)


def _ago(found: re.Match[str], today: dt.date) -> dt.date | None:
    number, unit = (part for part in found.groups() if part is not None)
    days = 7 if unit.startswith(_WEEK) else 1
    return _before(today, days * (int(number) if number.isdigit() else 1))


def _before(today: dt.date, days: int) -> dt.date | None:
    try:
        return today - dt.timedelta(days=days)
    except OverflowError:
        return None


def _written(text: str, today: dt.date, *, day_first: bool) -> dt.date | None:
    """A day in figures: 2026-12-24; 24.12. or 24.12.2026; 24/12, or where the month comes first 12/24."""
    if found := _ISO.fullmatch(text):
        return _date(int(found[1]), int(found[2]), int(found[3]))
    if found := _DOTTED.fullmatch(text):
        return _in_year(found[3], int(found[2]), int(found[1]), today)
    if found := _SLASHED.fullmatch(text):
        one, two = int(found[1]), int(found[2])
        orders = ((two, one), (one, two)) if day_first else ((one, two), (two, one))
        for month, day in orders:  # 24/12 is one day only, whoever writes it
            if written := _in_year(found[3], month, day, today):
                return written
    return None


def _in_year(year: str | None, month: int, day: int, today: dt.date) -> dt.date | None:
    if year is not None:
        return _date(int(year) if len(year) == 4 else 2000 + int(year), month, day)
    last = today.toordinal() + AHEAD_DAYS_MAX
    for candidate in range(today.year + 1, today.year - 9, -1):  # the 29th of February may be eight years away
        written = _date(candidate, month, day)
        if written is not None and written.toordinal() <= last:
            return written
    return None


def _date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None
