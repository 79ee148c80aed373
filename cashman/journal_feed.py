"""The journal over HTTP: a feed that resumes exactly where it was left."""

from typing import Any

import msgspec
from flask import Blueprint, Response, request
from marshmallow import Schema

from cashman import current
from cashman.answers import encode_json
from cashman.contracts import JSON, NDJSON, contract
from cashman.limits import FEED_ENTRIES_DEFAULT, FEED_ENTRIES_MAX
from cashman.model.fields import WholeNumber
from cashman.wire import load_query

bp = Blueprint("journal", __name__, url_prefix="/journal")


class FeedSchema(Schema):
    """The query parameters of the feed."""

    after = WholeNumber(
        minimum=0,
        maximum=2**63 - 1,
        load_default=0,
        metadata={"description": "The sequence number of the last entry that the client has."},
    )
    limit = WholeNumber(minimum=1, maximum=FEED_ENTRIES_MAX, load_default=FEED_ENTRIES_DEFAULT)


ENTRY = {
    "type": "object",
    "required": ["entry", "hash", "words"],
    "properties": {
        "entry": {"type": "string", "description": "The stored JSON line, byte for byte what was hashed."},
        "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "words": {"type": ["object", "null"], "description": "What words_sha256 is the hash of; null where none are."},
    },
}


@bp.get("")
@contract(
    query=FeedSchema,
    gives={JSON: {"schema": {"type": "array", "items": ENTRY}}, NDJSON: {"schema": {"type": "string"}}},
    answers={200: "The entries after `after`, oldest first."},
    headers=("Cashman-Head", "Link"),
)
def get_journal() -> Response:
    """Read the journal on from an entry; as NDJSON where Accept asks for application/x-ndjson."""
    wanted = load_query(FeedSchema)
    books = current.ledger()
    rows, head = books.journal(wanted["after"], wanted["limit"])
    if request.accept_mimetypes.best_match([JSON, NDJSON]) == NDJSON:
        response = Response(b"".join(encode_json(_entry(row)) + b"\n" for row in rows), mimetype=NDJSON)
    else:
        response = Response(encode_json([_entry(row) for row in rows]), mimetype=JSON)
    response.headers["Cashman-Head"] = str(head)
    if rows and rows[-1].sequence < head.sequence:
        path = f"{current.prefix()}/journal"
        response.headers["Link"] = f'<{path}?after={rows[-1].sequence}&limit={wanted["limit"]}>; rel="next"'
    return response


def _entry(row: Any) -> dict[str, Any]:
    words = None if row.words is None else msgspec.Raw(row.words.encode())
    return {"entry": row.entry, "hash": row.hash.hex(), "words": words}
