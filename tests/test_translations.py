"""Every message has its translation in every language, with the same parameters and code, and no catalog has more."""

import copy
import importlib.util
import json
import pickle
import re
import shutil
from pathlib import Path

import messages
import pytest
from babel import Locale
from babel.messages.pofile import read_po
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Range

from cashman import index, translations
from cashman.errors import MalformedDocument
from cashman.translations import LANGUAGES, SOURCE, Message, catalog, message, translate
from cashman.wire import parse_json

OTHERS = [language for language in LANGUAGES if language != SOURCE]

assert index.app is not None, "every module with a message, and every schema, is imported"


# The catalogs.


def test_there_are_the_five_languages() -> None:
    assert LANGUAGES[0] == SOURCE == "en"
    assert set(LANGUAGES) >= {"en", "de", "es", "fr", "pt_BR"}


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_has_a_translation_and_nothing_else_has(language: str) -> None:
    expected, known = messages.expected(), set(catalog(language))
    assert {"missing": expected - known, "stale": known - expected} == {"missing": set(), "stale": set()}


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_parameters_and_the_code_of_its_english(language: str) -> None:
    for english, translated in catalog(language).items():
        for literal in (r"\{[^}]*\}", "`[^`]*`", "[A-Z]+_[A-Z_]+", r"/[a-z]+\b", r"\b[A-Z]{3,}\b", "…"):
            # More often is all right, where a language has to say it again; not at all, or another one, is not.
            assert set(re.findall(literal, translated)) == set(re.findall(literal, english)), translated
        assert translated.count("`") == english.count("`")


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_is_a_sentence_where_its_english_is_one(language: str) -> None:
    for english, translated in catalog(language).items():
        assert translated[-1] == english[-1] or not english.endswith((".", "?", ":")), translated
        assert translated == translated.strip()
        assert "  " not in translated


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalog_says_which_language_it_is_and_holds_nothing_unfinished(language: str) -> None:
    entries = []
    for path in sorted((Path(translations.__file__).parent / language).glob("*.po")):
        with path.open("rb") as file:
            read = read_po(file)
        assert read.locale == Locale.parse(language)
        assert not read.obsolete
        entries += [entry for entry in read if entry.id]
    assert [entry.id for entry in entries if entry.fuzzy or not entry.string] == []
    told = [entry.id for entry in entries]
    assert [text for text in told if told.count(text) > 1] == [], "each in one file only"


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_files(language: str) -> None:
    folder = Path(translations.__file__).parent
    first, own = ({path.name for path in (folder / name).glob("*.po")} for name in (OTHERS[0], language))
    assert own == first


def test_a_language_is_added_by_one_folder(tmp_path: Path) -> None:
    package = tmp_path / "translations"
    shutil.copytree(Path(translations.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "it").mkdir()
    (package / "it" / "messages.po").write_text(
        'msgid "At most {maximum} months."\nmsgstr "Al massimo {maximum} mesi."\n'
    )
    (package / "notes").mkdir()
    spec = importlib.util.spec_from_file_location("translations_with_one_more", package / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(module.LANGUAGES) == {*LANGUAGES, "it"}
    assert module.translate(module.message("At most {maximum} months.", maximum=12), "it") == "Al massimo 12 mesi."
    assert module.translate("There is nothing here.", "it") == "There is nothing here."


# What is found in the source.


def found(source: str) -> set[str]:
    return {text for text, _ in messages.in_source(source, "example.py")}


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('raise ValidationError("May not be.", "name")', {"May not be."}),
        ('raise Forbidden("A " "b.")', {"A b."}),
        ('raise errors.Forbidden(detail="A.")', {"A."}),
        ('raise Invalid(errors={"name": ["A.", "B."], "b": [message("C.")]})', {"A.", "B.", "C."}),
        ('raise Invalid(errors={name: ["A."] for name in names})', {"A."}),
        ('errors[name] = ["A."]', {"A."}),
        ('unavailable("A." if a else "B.")', {"A.", "B."}),
        ('x = message("At most {maximum}.", maximum=1)', {"At most {maximum}."}),
        ('class F: default_error_messages = {"a": "A.", "b": message("{b}")}', {"A.", "{b}"}),
        ('x = F(error_messages={"a": "A."}, validate=Range(1, error="B."))', {"A.", "B."}),
        ('x = ["plain", "words"]; y = ["word"]; log.info("A."); contract(answers={200: "A."})', set()),
        ("raise NotFound()", set()),
        ('raise UnsupportedMediaType(headers={"Accept-Post": ", ".join(types)})', set()),
    ],
)
def test_a_message_is_found_wherever_a_client_is_told_one(source: str, texts: set[str]) -> None:
    assert found(source) == texts


@pytest.mark.parametrize(
    "source",
    [
        'raise ValidationError(f"At most {maximum}.")',
        'raise AmountError("At most %d." % maximum)',
        'raise ValidationError("At most " + maximum)',
        'raise ValidationError("At most {}.".format(maximum))',
        "raise ValidationError(str(error))",
        'raise Forbidden(f"{name} may not.")',
        'raise errors.Forbidden(detail=f"{name} may not.")',
        'raise Invalid(errors={"name": [f"{name}."]})',
        "raise Invalid(errors={name: [str(error)] for name in names})",
        'errors[name] = [f"At most {maximum}."]',
        'Range(1, error=f"At most {maximum}.")',
        'class F: default_error_messages = {"a": f"{a}"}',
        'x = message(f"At most {maximum}.")',
        "x = message(template)",
        'x = message("At most {maximum}.", minimum=1)',
        'x = message("At most {maximum}.", maximum=1, minimum=1)',
    ],
)
def test_a_message_that_no_catalog_can_know_is_refused(source: str) -> None:
    with pytest.raises(messages.Untranslatable):
        found(source)


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('<p>{{ say("A.") }} {{ say("Until {day}", day=day(last)) }}</p>', ["A.", "Until {day}"]),
        ('<p data-x="{{ say("A.") }}">{{ say(problem.title) }}</p>', ["A."]),
        ("{{ essay(1) }}", []),
    ],
)
def test_what_a_template_says_is_found(source: str, texts: list[str]) -> None:
    assert list(messages.in_template(source, "example.html")) == texts


@pytest.mark.parametrize(
    "source", ["{{ say('A.') }}", '{{ say("A" ~ b) }}', '{{ say("Until {day}") }}', '{{ say("{a} {b}", a=1) }} b=1']
)
def test_what_a_template_puts_together_is_refused(source: str) -> None:
    with pytest.raises(messages.Untranslatable):
        list(messages.in_template(source, "example.html"))


def test_a_field_that_marshmallow_speaks_for_is_held_to_the_catalogs_too() -> None:
    assert "Missing data for required field." in messages.expected()
    assert "Must be one of: {choices}." in messages.expected()
    for field in (
        fields.DateTime(),
        fields.Integer(validate=Range(1)),
        fields.String(validate=Range(1, error="{min}")),
    ):
        with pytest.raises(messages.Untranslatable):
            list(messages._of_field(field))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[1 2]",
        b'{"a" 1}',
        b"{1}",
        b"1 2",
        b'"\\x"',
        b'"\\u12"',
        b'"\x01"',
        b'"a',
        b"[1,]",
        b'{"a":1,}',
        b"nul",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_wrong_with_a_json_document_is_told_in_every_language(document: bytes) -> None:
    with pytest.raises(json.JSONDecodeError) as fault:
        json.JSONDecoder().decode(document.decode())
    assert fault.value.msg.removesuffix(" at") in messages.FAULTS_OF_JSON
    with pytest.raises(MalformedDocument, match=r" at line 1, column [0-9]+\.$") as refused:
        parse_json(document)
    detail = refused.value.detail
    assert detail is not None
    assert " at at " not in detail
    told = {translate(detail, language) for language in LANGUAGES}
    assert len(told) == len(LANGUAGES)
    assert "in Zeile 1, Spalte" in translate(detail, "de")
    assert messages.unknown(detail) == []


# Messages.


def test_a_message_is_its_english_text_and_knows_how_it_was_made() -> None:
    made = message("From 1 to {maximum} transactions.", maximum=10_000)
    assert made == "From 1 to 10000 transactions."
    assert type(str(made)) is str
    assert (made.template, dict(made.parameters)) == ("From 1 to {maximum} transactions.", {"maximum": 10_000})
    assert translate(made, "de") == "1 bis 10000 Buchungen."
    assert translate(made, "pt_BR") == "De 1 a 10000 lançamentos."
    assert translate(made, "en") == made
    assert {type(translate(made, language)) for language in LANGUAGES} == {str}


def test_a_message_stays_one_where_marshmallow_fills_it_in() -> None:
    class Example(Schema):
        a = fields.Integer(validate=Range(1, 5, error=message("A whole number from {min} to {max}.")))
        b = fields.Integer(validate=Range(1, 5, error=message("At most {maximum} months.", maximum=5)))
        c = fields.Integer(error_messages={"invalid": message("The {input} is nothing.")})

    with pytest.raises(ValidationError) as refused:
        Example().load({"a": 9, "b": 9, "c": "x"})
    told = refused.value.messages_dict
    assert told == {
        "a": ["A whole number from 1 to 5."],
        "b": ["At most 5 months."],
        "c": ["The x is nothing."],
    }
    assert dict(told["a"][0].parameters) == {"min": 1, "max": 5}
    assert translate(told["b"][0], "fr") == "Au plus 5 mois."


def test_a_message_survives_being_copied() -> None:
    made = message("At most {maximum} months.", maximum=12)
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert copied == made
        assert translate(copied, "es") == "Como máximo 12 meses."


def test_braces_in_what_a_client_wrote_are_text() -> None:
    wild = "{0} {account.__class__} {account!r} {{x}} %s"
    made = message("The account {account} is closed.", account=wild)
    assert made == f"The account {wild} is closed."
    assert translate(made, "de") == f"Das Konto {wild} ist geschlossen."
    assert translate(wild, "de") == wild


def test_a_text_with_braces_that_is_no_template_stays_as_it_is() -> None:
    for text in (text for text in messages.expected() if '{"closed"' in text):
        assert translate(text, "fr").count('{"closed"') == 1
        assert translate(message(text), "fr") == translate(text, "fr")


def test_a_message_within_a_message_is_translated_too() -> None:
    made = message("{fault} at line {line}, column {column}.", fault=Message("Extra data"), line=1, column=2)
    assert made == "Extra data at line 1, column 2."
    assert translate(made, "es") == "Datos sobrantes en la línea 1, columna 2."


def test_what_no_catalog_knows_stays_english() -> None:
    assert translate("Nobody says this.", "de") == "Nobody says this."
    assert translate(message("Nobody says {this}.", this=1), "de") == "Nobody says 1."


def test_the_hook_of_all_tests_sees_what_lacks_a_translation() -> None:
    others = len(OTHERS)
    assert messages.unknown("There is nothing here.") == []
    assert messages.unknown(message("At most {maximum} months.", maximum=1)) == []
    assert len(messages.unknown("Nobody says this.")) == others
    assert len(messages.unknown(message("At most {it} months.", it=1))) == others
    nested = message("{fault} at line {line}, column {column}.", fault=Message("Nobody"), line=1, column=1)
    assert len(messages.unknown(nested)) == others


def test_no_text_of_ours_bypasses_the_catalogs_in_the_templates() -> None:
    words = re.compile(r"(?<!/)\b[A-Za-z]{3,}")
    for path in messages.templates():
        bare = re.sub(r"(?s)\{#.*?#\}|\{[{%].*?[%}]\}", " ", path.read_text(encoding="utf-8"))
        bare = re.sub(r"<code>[^<]*</code>|<[^>]+>", " ", bare)
        assert set(words.findall(bare)) <= {"Cashman"}, path.name
