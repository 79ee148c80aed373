"""The one-line entry over HTTP: /one-line says what a line means before anything is booked."""

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response
from marshmallow import Schema

from cashman import current
from cashman.answers import encode_json
from cashman.chart import Chart
from cashman.contracts import JSON, contract
from cashman.current import ledger
from cashman.language import asked_for, day_first, spoken, told
from cashman.ledger import Ledger
from cashman.limits import ONE_LINE_CHARACTERS_MAX
from cashman.model.expense import ExpenseSchema
from cashman.model.fields import Text
from cashman.model.income import IncomeSchema
from cashman.model.transaction import NewTransactionFields
from cashman.model.transaction_type import TransactionType
from cashman.one_line import Known, Part, Reading, read
from cashman.wire import load_query

bp = Blueprint("entry", __name__, url_prefix="/one-line")

_RESOURCES: Final[Mapping[TransactionType, tuple[str, type[NewTransactionFields]]]] = {
    TransactionType.INCOME: ("/incomes", IncomeSchema),
    TransactionType.EXPENSE: ("/expenses", ExpenseSchema),
}
_PART: Final = {
    "type": "object",
    "required": ["text", "field", "value", "new"],
    "properties": {
        "text": {"type": ["string", "null"], "description": "As it was typed; null for what goes without saying."},
        "field": {"type": "string", "description": "What it was taken for: a field of the draft."},
        "value": {"description": "What that is; null where it is not understood."},
        "new": {"type": "boolean", "description": "Whether the ledger has no such category or tag yet."},
    },
}
_READING: Final = {
    JSON: {
        "schema": {
            "type": "object",
            "required": ["type", "post_to", "draft", "parts", "errors", "remarks"],
            "properties": {
                "type": {"type": "string", "enum": [type_.value for type_ in _RESOURCES]},
                "post_to": {
                    "type": ["string", "null"],
                    "description": "Where the draft can be POSTed as it is; null while there are errors.",
                },
                "draft": {
                    "type": "object",
                    "description": "The fields of a new transaction, as far as they are known.",
                },
                "parts": {"type": "array", "items": _PART},
                "errors": {"type": "object", "description": "What keeps it from being booked, keyed by field."},
                "remarks": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What could have been meant differently.",
                },
            },
        }
    }
}


class OneLineSchema(Schema):
    """The query parameters of a line to read."""

    text = Text(
        maximum=ONE_LINE_CHARACTERS_MAX,
        blank=True,
        required=True,
        metadata={"description": "`50 pizza #night-out @card Food:Restaurant yesterday`, in the language asked for."},
    )


@bp.get("")
@contract(query=OneLineSchema, gives=_READING, answers={200: "What each word was taken for."})
def get_reading() -> Response:
    """Tell what a line means, and the draft that can be POSTed; nothing is booked."""
    books, line = ledger(), load_query(OneLineSchema)["text"]
    chart, language = books.chart()[0], asked_for()
    reading = read(line, language, _known(books, chart, line), day_first=day_first(language))
    return spoken(Response(encode_json(_shown(reading, chart, language)), mimetype=JSON), language)


def _known(books: Ledger, chart: Chart, line: str) -> Known:
    """What the line may name; tags, which are not in memory, only where it has any."""
    return Known(
        books.today,
        chart.currency,
        {account["name"]: account["currency"] for account in chart.accounts.values() if not account["closed"]},
        list(chart.category_ids),
        books.tags()[0] if "#" in line else (),
    )


def _shown(reading: Reading, chart: Chart, language: str) -> dict[str, Any]:
    path, schema = _RESOURCES[reading.type]
    draft = {**reading.draft, "date": reading.draft["date"].isoformat()} if "date" in reading.draft else reading.draft
    errors = reading.errors or schema(currency_of=chart.currency_of).validate(draft)
    return {
        "type": reading.type.value,
        "post_to": None if errors else current.prefix() + path,
        "draft": draft,
        "parts": [_shown_part(part) for part in reading.parts],
        "errors": told(errors, language),
        "remarks": told(reading.remarks, language),
    }


def _shown_part(part: Part) -> dict[str, Any]:
    return {"text": part.text, "field": part.field, "value": part.value, "new": part.new}
