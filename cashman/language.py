"""In which language a response speaks: `Accept-Language` (RFC 9110, 12.5.4) against the languages that there are.

It is asked for only where a response has words for people, an error or a page; no other pays for it.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from babel import Locale, UnknownLocaleError
from flask import Response, current_app, has_request_context, render_template, request
from marshmallow.exceptions import SCHEMA

from cashman import assets, current
from cashman.limits import LANGUAGE_RANGES_MAX
from cashman.translations import LANGUAGES, SOURCE, Message, translate

_RANGE: Final = re.compile(
    r"\s*(\*|[a-z]{1,8}(?:-[a-z0-9]{1,8}){0,9})\s*(?:;\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.ASCII | re.IGNORECASE,
)

_NAMES: Final = [(language.replace("_", "-"), Locale.parse(language).get_display_name()) for language in LANGUAGES]
"""Each language by its tag, as those who speak it call it."""
COOKIE: Final = "cashman-language"
"""The tag of the language that somebody has chosen for the pages; what is no page does not look at it."""


def asked_for() -> str:
    """The language that this request prefers."""
    return preferred(request.headers.get("Accept-Language", "")) if has_request_context() else SOURCE


def of_page() -> str:
    """The language of a page: the one that was chosen on a page, or that this request prefers."""
    chosen = request.cookies.get(COOKIE, "") if has_request_context() else ""
    return next((language for language in LANGUAGES if tag(language) == chosen), None) or asked_for()


def preferred(header: str) -> str:
    """The language that an Accept-Language prefers; English where it asks for none that there is."""
    if not header:
        return SOURCE
    asked: dict[str, float] = {}
    for item in header.split(",", LANGUAGE_RANGES_MAX)[:LANGUAGE_RANGES_MAX]:
        if found := _RANGE.fullmatch(item):
            asked.setdefault(found[1].lower(), float(found[2] or 1))
    offered = [language for language in LANGUAGES if not _is_refused(tag(language).lower(), asked)]
    served = {range_: _look_up(range_, offered) for range_ in asked if range_ != "*"}
    served["*"] = next((language for language in offered if language not in served.values()), None)
    for range_, quality in sorted(asked.items(), key=lambda item: -item[1]):
        language = served[range_]
        if quality > 0 and language is not None:
            return language
    return SOURCE


def day_first(language: str) -> bool:
    """Whether the day stands before the month in 3/4, as this request's first kind of a language has it."""
    header = request.headers.get("Accept-Language", "") if has_request_context() else ""
    for item in header.split(",", LANGUAGE_RANGES_MAX)[:LANGUAGE_RANGES_MAX]:
        found = _RANGE.fullmatch(item)
        if found and found[1].partition("-")[0].lower() == language.partition("_")[0]:
            return not _in_america(found[1]) if language == SOURCE else True
    return language != SOURCE


def _in_america(range_: str) -> bool:
    """Whether English, as a range names it, puts the month first."""
    with suppress(UnknownLocaleError, ValueError):
        pattern = Locale.parse(range_, sep="-").date_formats["short"].pattern
        return bool(pattern.index("M") < pattern.index("d"))
    return True


def _is_refused(language: str, asked: Mapping[str, float]) -> bool:
    """Whether the most exact range that covers a language gives it the quality 0."""
    covering = [range_ for range_ in asked if range_ == "*" or f"{language}-".startswith(f"{range_}-")]
    return bool(covering) and asked[max(covering, key=len)] == 0


def _look_up(range_: str, offered: Sequence[str]) -> str | None:
    """The offered language that is nearest to a range: itself, or what it is a kind of, or another kind of that."""
    by_tag = {tag(language).lower(): language for language in offered}
    wanted = range_
    while wanted:  # RFC 4647, 3.4: fr-CA gets fr
        if wanted in by_tag:
            return by_tag[wanted]
        wanted = wanted.rpartition("-")[0]
    primary = range_.partition("-")[0]  # and pt, which there is none of, gets pt-BR
    return next((language for known, language in by_tag.items() if known.partition("-")[0] == primary), None)


def tag(language: str) -> str:
    """A language as HTTP and HTML write it (BCP 47): pt-BR."""
    return language.replace("_", "-")


def spoken(response: Response, language: str) -> Response:
    """A response that says which language it speaks, and that another would have been asked for differently."""
    response.headers["Content-Language"] = tag(language)
    response.vary.add("Accept-Language")
    return response


def told(messages: Any, language: str) -> Any:
    """Messages keyed by field, translated; the places of list items, numbers in marshmallow, become text."""
    if isinstance(messages, Mapping):
        return {"document" if key == SCHEMA else _shown(key): told(rules, language) for key, rules in messages.items()}
    if isinstance(messages, list):
        return [told(rules, language) for rules in messages]
    return translate(messages, language)


def _shown(key: Any) -> str:
    """A name as it can be written: half of a surrogate pair, which JSON can spell and UTF-8 cannot, as its escape."""
    return str(key).encode(errors="backslashreplace").decode()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page in the language of this request.

    In the template `say("… {name} …", name=…)` translates, `language` is its tag, `static("page.css")` where a file is,
    `link("/pages/…")` where a page about the same ledger is, and `here` the path that is marked in the navigation.
    """
    language = of_page()

    def say(text: str, **parameters: Any) -> str:
        return translate(Message(text, parameters) if parameters else text, language)

    frame = {"static": assets.url, "link": link, "prefix": current.prefix(), "here": here(), "languages": _NAMES}
    text = render_template(template, say=say, language=tag(language), **frame, **values)
    response = spoken(assets.compressible(Response(text, status)), language)
    response.vary.add("Cookie")
    return response


def link(path: str) -> str:
    """The path of a page, about the ledger that this request is about where it is about one."""
    prefix = current.prefix()
    if not prefix:
        return path
    named = f"{prefix}/pages/overview" if path == "/" else f"{prefix}{path}"
    return named if current_app.url_map.bind("").test(named, "GET") else path


def here() -> str:
    """The path of this request without the ledger that it names; the overview has two."""
    path = request.path.removeprefix(current.prefix()).rstrip("/")
    return "/" if path in ("", "/pages/overview") else path
