"""Errors and pages speak the language that Accept-Language prefers; machine-readable parts never change."""

import re
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cashman import language, problems
from cashman.language import preferred, tag
from cashman.limits import LANGUAGE_RANGES_MAX
from cashman.translations import LANGUAGES, catalog, translate

TAGS = [tag(known) for known in LANGUAGES]


# What a header prefers.


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("es", "es"),
        ("fr", "fr"),
        ("pt-BR", "pt_BR"),
        ("en", "en"),
        # Letters of either case, blanks, and what HTTP allows of a quality.
        ("DE", "de"),
        ("Pt-bR", "pt_BR"),
        ("  de  ", "de"),
        ("de ; q=0.5", "de"),
        ("de;Q=1.000", "de"),
        ("de,,fr", "de"),
        # By quality, and at the same quality by order.
        ("fr-CA;q=0.8,en;q=0.5", "fr"),
        ("en;q=0.5, fr-CA;q=0.8", "fr"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("de;q=0.7, es;q=0.7", "de"),
        ("es;q=0.7, de;q=0.7", "es"),
        ("de;q=0.001, fr;q=0.002", "fr"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        # A kind of a language gets the language, and a language gets the kind that there is.
        ("de-AT", "de"),
        ("de-Latn-CH-1996", "de"),
        ("de-1-2-3-4-5-6-7-8-9", "de"),
        ("de-1-2-3-4-5-6-7-8-9-10, fr;q=0.1", "fr"),
        ("es-419", "es"),
        ("pt", "pt_BR"),
        ("pt-PT", "pt_BR"),
        ("pt-PT, en;q=0.9", "pt_BR"),
        # What there is none of counts for nothing.
        ("zh", "en"),
        ("zh, nl;q=0.9", "en"),
        ("zh, de;q=0.1", "de"),
        ("d", "en"),
        ("deu", "en"),
        ("des", "en"),
        # Anything at all.
        ("*", "en"),
        ("zh, *", "en"),
        ("*, de;q=0.1", "en"),
        ("de;q=0.5, *;q=0.1", "de"),
        ("en;q=0.1, *;q=0.9", "de"),
        # Nothing of it.
        ("de;q=0", "en"),
        ("de;q=0, fr;q=0.1", "fr"),
        ("de;q=0.000, *", "en"),
        ("en;q=0, *", "de"),
        ("en;q=0, de;q=0, *", "es"),
        ("de;q=0, de-AT", "en"),
        ("pt;q=0, pt-BR", "pt_BR"),
        ("pt-BR;q=0, pt, es;q=0.5", "es"),
        ("de-AT;q=0, de", "de"),
        ("*;q=0", "en"),
        ("fr;q=0.1, *;q=0", "fr"),
        # What is malformed is passed over, and the rest counts.
        ("de;q=1.5, fr;q=0.1", "fr"),
        ("de;q=-1, fr;q=0.1", "fr"),
        ("de;q=0.1234, fr;q=0.1", "fr"),
        ("de;q=, fr;q=0.1", "fr"),
        ("de;q=٠, fr;q=0.1", "fr"),
        ("de;level=1, fr;q=0.1", "fr"),
        ("de_DE, fr;q=0.1", "fr"),
        ("deutschlandsprache, fr;q=0.1", "fr"),
        ("dé, fr;q=0.1", "fr"),
        ("-de, de-, fr;q=0.1", "fr"),
        ("../de, fr;q=0.1", "fr"),
        (";q=1, fr;q=0.1", "fr"),
        ("**, fr;q=0.1", "fr"),
        (",;,;,", "en"),
        # The first of two of the same counts.
        ("de, de;q=0", "de"),
        ("de;q=0, de", "en"),
    ],
)
def test_the_best_language_that_there_is_is_taken(header: str, language: str) -> None:
    assert preferred(header) == language


def test_a_new_language_is_negotiated_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "LANGUAGES", (*LANGUAGES, "pt_PT", "zh_Hant"))
    assert preferred("pt-PT") == "pt_PT"
    assert preferred("pt-BR") == "pt_BR"
    assert preferred("pt") in ("pt_BR", "pt_PT")
    assert preferred("zh-Hant-TW, de;q=0.5") == "zh_Hant"
    assert tag("zh_Hant") == "zh-Hant"


def test_only_so_many_ranges_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    filling = ", ".join(["xx"] * (LANGUAGE_RANGES_MAX - 1))
    assert preferred(f"{filling}, de") == "de"
    assert preferred(f"{filling}, xx, de") == "en"
    matched = []

    class Counting:
        @staticmethod
        def fullmatch(item: str) -> re.Match[str] | None:
            matched.append(item)
            return pattern.fullmatch(item)

    pattern = language._RANGE
    monkeypatch.setattr(language, "_RANGE", Counting)
    assert preferred(",".join(f"x{number:06}" for number in range(100_000))) == "en"
    assert len(matched) == LANGUAGE_RANGES_MAX


@pytest.mark.parametrize("part", ["a-", " ", "a", "0", "de;q=0.", "*", ";"])
def test_a_huge_range_is_passed_over(part: str) -> None:
    """A pattern that goes back and forth over it would not come to an end."""
    huge = part * 500_000
    assert preferred(huge) == preferred(f"{huge}x") == "en"
    assert preferred(f"de{huge}x, {huge}, fr") == "fr"
    assert preferred(f"de;q={huge}, fr") == "fr"


# What is told.


def ask(client: FlaskClient, header: str | None, path: str = "/nothing", **options: Any) -> TestResponse:
    headers = {} if header is None else {"Accept-Language": header}
    return client.open(path, headers={**headers, **options.pop("headers", {})}, **options)


MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("/nothing", {}),
    ("/expenses", {"method": "DELETE"}),
    ("/expenses", {"method": "POST", "data": b"{"}),
    ("/expenses", {"method": "POST", "json": {"descripton": 1, "amount": "x", "date": None, "type": "INCOME"}}),
    ("/expenses", {"method": "POST", "json": {"description": "x" * 501, "amount": 1.234, "tags": ["a", "a"]}}),
    ("/expenses", {"method": "POST", "json": {"description": "a", "amount": 1, "account": "nowhere"}}),
    ("/expenses", {"method": "POST", "json": [1]}),
    ("/expenses", {"method": "POST", "data": b"a=1"}),
    ("/transactions/batch", {"method": "POST", "json": [{"type": "NONE"}, {"amount": 1}]}),
    ("/transactions?limit=0&sort=size&status=done&nope=1", {}),
    ("/reports/summary?by=mont&depth=1", {}),
    ("/accounts/1", {"method": "PATCH", "json": {"name": "other", "kind": "x", "version": 9}}),
    ("/accounts/1", {"method": "PATCH", "json": {"name": "b"}, "headers": {"If-Match": '"9"'}}),
]
"""Of marshmallow's own, of ours, and of the kernel's."""


@pytest.mark.parametrize(("path", "options"), MISTAKES, ids=[f"{number}" for number in range(len(MISTAKES))])
def test_only_what_people_read_differs_between_languages(
    client: FlaskClient, path: str, options: dict[str, Any]
) -> None:
    if options.get("data") is not None:
        options = {**options, "content_type": "application/json" if options["data"] == b"{" else "text/plain"}
    answers = {name: ask(client, name, path, **options) for name in TAGS}
    documents = {name: answer.json for name, answer in answers.items()}
    english = documents["en"]
    assert english["status"] >= 400
    assert english == ask(client, None, path, **options).json
    for name, answer in answers.items():
        document = documents[name]
        assert answer.status_code == english["status"]
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Content-Language"] == name
        assert "Accept-Language" in [each.strip() for each in answer.headers["Vary"].split(",")]
        assert list(document) == list(english)
        assert (document["type"], document["status"]) == (english["type"], english["status"])
        assert keys(document.get("errors")) == keys(english.get("errors"))
        assert dict(answer.headers).keys() == dict(answers["en"].headers).keys()
        if name != "en":
            assert document["title"] != english["title"]
            assert not set(texts(document.get("errors"))) & set(texts(english.get("errors")))


def keys(told: Any) -> Any:
    """Errors without their texts."""
    if isinstance(told, dict):
        return {name: keys(value) for name, value in told.items()}
    return [keys(value) for value in told] if isinstance(told, list) else None


def texts(told: Any) -> list[str]:
    """The texts of errors."""
    if isinstance(told, str):
        return [told]
    values = told.values() if isinstance(told, dict) else told or []
    return [text for value in values for text in texts(value)]


def test_marshmallows_messages_and_ours_are_told_in_the_same_language(client: FlaskClient) -> None:
    asked = {"description": "", "amount": "1,5", "descriptoin": "a", "status": "x", "expires_at": "now"}
    answer = ask(client, "de-CH", "/incomes", method="POST", json=asked)
    assert answer.json == {
        "type": "/problems/invalid",
        "title": "Einige Felder verletzen eine Regel.",
        "status": 422,
        "errors": {
            "description": ["Darf nicht leer sein."],
            "amount": ["Kein Betrag: Schreiben Sie Ziffern, mit einem Punkt vor den Nachkommastellen."],
            "descriptoin": ["Unbekanntes Feld; war description gemeint?"],
            "status": ["Keines von posted, pending."],
            "expires_at": ["Kein gültiger Zeitpunkt."],
        },
    }
    missing = ask(client, "pt", "/incomes", method="POST", json={}).json["errors"]
    assert missing["description"] == ["Faltam os dados de um campo obrigatório."]


def test_what_the_kernel_refuses_is_told_with_what_the_client_wrote(client: FlaskClient) -> None:
    name = "{0} {account} %s <b>"
    account = client.post("/accounts", json={"name": name, "currency": "EUR"})
    assert account.status_code == 201
    assert client.patch(account.headers["Location"], json={"closed": True}).status_code == 200
    asked = {"description": "a", "amount": 1, "account": name}
    assert ask(client, "fr", "/expenses", method="POST", json=asked).json["detail"] == f"Le compte {name} est clôturé."
    near = ask(client, "es", "/expenses", method="POST", json={**asked, "account": "mian"}).json["errors"]
    assert near == {"account": ["No hay ninguna cuenta con este nombre; ¿quiso decir main?"]}


def test_a_success_names_no_language_and_does_not_ask_for_one(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(header: str) -> str:
        raise AssertionError(f"{header} was read for an answer without words")

    monkeypatch.setattr(language, "preferred", refuse)
    made = ask(client, "de", "/expenses", method="POST", json={"description": "a", "amount": 1})
    listed = ask(client, "de", "/expenses")
    unchanged = ask(client, "de", "/expenses", headers={"If-None-Match": listed.headers["ETag"]})
    for answer, status in ((made, 204), (listed, 200), (unchanged, 304), (ask(client, "de", "/healthz"), 200)):
        assert answer.status_code == status
        assert "Content-Language" not in answer.headers
        assert "Accept-Language" not in answer.headers.get("Vary", "")


# The pages.


@pytest.mark.parametrize("known", LANGUAGES)
def test_the_pages_of_problems_are_told_in_every_language(client: FlaskClient, known: str) -> None:
    page = ask(client, tag(known), "/problems/grouped")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert page.headers["Content-Language"] == tag(known)
    assert "Accept-Language" in page.headers["Vary"]
    assert f'<html lang="{tag(known)}" ' in page.text
    problem = problems.BY_SLUG["grouped"]
    for text in (problem.title, problem.explanation):
        shown = str(problems._code(translate(text, known)))
        assert shown in page.text
    assert "/transfers/{group}</code>" in page.text
    overview = ask(client, tag(known), "/problems").text
    for problem in problems.BY_SLUG.values():
        assert f'<a href="/problems/{problem.slug}">' in overview
        assert str(problems.escape(translate(problem.title, known))) in overview
    assert f"<h1>{translate('Problems', known)}</h1>" in overview


def test_a_page_that_is_none_is_an_error_in_the_same_language(client: FlaskClient) -> None:
    answer = ask(client, "es", "/problems/nothing")
    assert (answer.status_code, answer.json["title"]) == (404, catalog("es")["There is nothing here."])
    assert ask(client, "es", "/problems/nothing", method="HEAD").headers["Content-Language"] == "es"


# Many at once.


def test_requests_at_once_are_each_told_in_their_own_language(app: Flask) -> None:
    """Whoever leads a commit decides for the others, and so makes the messages that they are told."""
    asked = {"description": "a", "amount": 1, "account": "nowhere"}
    told = "There is no account of this name."
    mixed: list[Any] = []
    together = threading.Barrier(10)

    def tell(known: str) -> None:
        client = app.test_client()
        together.wait()
        for _ in range(15):
            answer = ask(client, tag(known), "/expenses", method="POST", json=asked)
            right = {"account": [translate(told, known)]}
            if answer.json.get("errors") != right or answer.headers["Content-Language"] != tag(known):
                mixed.append((known, answer.json))

    threads = [threading.Thread(target=tell, args=(known,)) for known in LANGUAGES for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []
