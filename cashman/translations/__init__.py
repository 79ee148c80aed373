"""What clients are told, in their language: messages that remember how they were made, and catalogs of translations.

A message is made where a rule is broken, in English, and translated where an error becomes a response: another
request's greenlet may have made it. A language is one folder: a `messages.po`, and beside it a file for each page or
group of pages. English is the source itself.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Final

from babel.messages.pofile import read_po

SOURCE: Final = "en"

_FOLDER: Final = Path(__file__).parent

LANGUAGES: Final = (SOURCE, *sorted(path.parent.name for path in _FOLDER.glob("*/messages.po")))
"""The languages that there are, as Babel writes them: en, de, pt_BR."""


class Message(str):
    """An English text that knows its template and parameters, so that it can be said in another language."""

    template: str
    parameters: Mapping[str, Any]

    def __new__(cls, template: str, parameters: Mapping[str, Any] | None = None) -> "Message":
        """The template filled in; without parameters, as it is."""
        self = super().__new__(cls, template.format(**parameters) if parameters else template)
        self.template = template
        self.parameters = parameters or {}
        return self

    def format(self, *_: object, **parameters: Any) -> "Message":
        """The message with what its template names of the parameters: marshmallow fills in its messages so."""
        named = parameter_names(self.template)
        return Message(self.template, {**self.parameters, **{n: v for n, v in parameters.items() if n in named}})


def message(template: str, /, **parameters: Any) -> Message:
    """A message of a template, which is what the catalogs know, and its parameters."""
    return Message(template, parameters)


@cache
def parameter_names(template: str) -> frozenset[str]:
    """The parameters that a template names."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def translate(text: str, language: str) -> str:
    """A text in a language; as it is where the catalog does not know it."""
    if language == SOURCE:
        return str(text)
    if not isinstance(text, Message):
        return catalog(language).get(text, str(text))
    template = catalog(language).get(text.template, text.template)
    named = {n: translate(v, language) if isinstance(v, Message) else v for n, v in text.parameters.items()}
    return template.format(**named) if named else template


@cache
def catalog(language: str) -> dict[str, str]:
    """What there is in a language, by its English."""
    found = {}
    for path in sorted((_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            found.update({str(entry.id): str(entry.string) for entry in read_po(file) if entry.id and entry.string})
    return found
