"""A file that is too much for one request: imported into the books here, one commit after the other."""

from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec
from marshmallow import ValidationError

from cashman import mappings
from cashman.bookings import Line
from cashman.changes import Request
from cashman.cli.service import Local
from cashman.cli.tables import progress_bar
from cashman.errors import Invalid
from cashman.formats import Options, Source
from cashman.formats.mapping import MappingSchema
from cashman.importing import import_file
from cashman.model.money import to_decimal
from cashman.wire import parse_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is said of all the files."""

    format: str | None
    account: str | None
    kept_mapping: str | None
    own_mapping: bytes | None
    preview: bool
    partial: bool

    def query(self) -> list[tuple[str, str]]:
        """The same as the parameters of a request."""
        words = (("account", self.account), ("mapping", self.kept_mapping))
        switches = (("preview", self.preview), ("partial", self.partial))
        given = [(name, value) for name, value in words if value is not None]
        return given + [(name, "true") for name, on in switches if on]


def import_in_chunks(service: Local, file: BinaryIO, name: str, wanted: Wanted) -> bytes:
    """Import a file of any length into the books here, one commit after the other."""
    ledger = service.books.ledger(service.caller.home)
    mapping = None if wanted.kept_mapping is None else mappings.find(ledger, wanted.kept_mapping)
    if wanted.own_mapping is not None:
        try:
            mapping = MappingSchema().load(parse_json(wanted.own_mapping))
        except ValidationError as error:
            raise Invalid(errors=error.messages_dict) from None
    with progress_bar(f"Importing {name}", None) as bar:
        outcome = import_file(
            ledger,
            Source(file, name),
            wanted.format,
            Options(wanted.account, mapping),
            request=Request(service.caller.actor),
            partial=wanted.partial,
            preview=wanted.preview,
            in_chunks=True,
            progress=bar.update,
        )
    document = {
        "format": outcome.format,
        "encoding": outcome.encoding,
        "preview": wanted.preview,
        "booked": outcome.booked,
        "skipped": outcome.skipped,
        "refused": outcome.refused,
        "accounts": [{"name": name, "currency": currency} for name, currency in outcome.opened.items()],
        "sums": {currency: to_decimal(units, currency) for currency, units in sorted(outcome.sums.items())},
        "lines": [_told(line) for line in outcome.lines if line.outcome != "booked"],
    }
    return msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode(document)  # a message is text


def _told(line: Line) -> dict[str, Any]:
    told = {"line": line.line, "outcome": line.outcome, "reason": line.reason, "errors": line.errors}
    return {name: value for name, value in told.items() if value is not None}
