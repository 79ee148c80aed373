"""Files of other programs, in and out: `cashman import`, `cashman export`."""

import contextlib
import io
import os
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import click
import msgspec

from cashman.cli.chunks import Wanted, import_in_chunks
from cashman.cli.filters import filters, query_of
from cashman.cli.problems import BROKEN, fields, status_of, tell
from cashman.cli.service import IMPORT_SECONDS_MAX, Answer, Local, Refused, Service, Unreachable, open_service
from cashman.cli.tables import Column, as_json, plain, progress_bar, show_table, text_of
from cashman.errors import Problem
from cashman.limits import IMPORT_BYTES_MAX, IMPORT_FAULTS_MAX, IMPORT_ROWS_MAX

_FORM_BYTES_MAX: Final = 65_536
"""What a form may take beside the file."""

SKIPPED_SHOWN_MAX: Final = 5
"""So many lines are shown one by one that are skipped for one reason."""

FORMATS_IN: Final = ("csv", "ofx", "qif", "camt053", "mt940", "beancount", "hledger", "json", "ndjson")
FORMATS_OUT: Final = ("csv", "json", "ndjson", "beancount", "hledger", "ofx", "qif")

LINES: Final = (
    Column("line", number=True),
    Column("outcome"),
    Column("why", shrinks=True),
    Column("date"),
    Column("description", shrinks=True),
    Column("category", shrinks=True),
    Column("amount", number=True),
    Column("currency", ""),
    Column("account", shrinks=True),
)


# In.


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.File("rb"), metavar="FILE…")
@click.option("--format", "format_", type=click.Choice(FORMATS_IN), help="What it is; found out without it.")
@click.option("--account", metavar="NAME", help="Where movements go that name no account; main without it.")
@click.option("--preview", is_flag=True, help="Show what would be booked, and book nothing.")
@click.option("--partial", is_flag=True, help="Book what can be booked, also where other lines are refused.")
@click.option("--mapping", metavar="NAME|FILE.json", help="What the columns of a CSV file mean: saved, or in a file.")
@as_json
def import_files(
    files: Sequence[BinaryIO],
    format_: str | None,
    account: str | None,
    preview: bool,
    partial: bool,
    mapping: str | None,
    json: bool,
) -> None:
    """Import statements and other books: CSV, OFX, QIF, CAMT.053, MT940, beancount, hledger, JSON, NDJSON.

    Each file is booked as a whole or not at all, unless it is --partial. What was imported before is skipped, so the
    same file can be imported again. `-` is standard input.
    """
    format_ = "csv" if format_ is None and mapping is not None else format_
    wanted = Wanted(format=format_, account=account, preview=preview, partial=partial, **_mapping(mapping))
    service = open_service(makes=not preview)
    told: list[bytes] = []
    status = 0
    for file in files:
        name = Path(getattr(file, "name", "-")).name
        try:
            told.append(_import(service, file, name, wanted))
            status = max(status, _tell_outcome(name, told[-1], quiet=json))
        except (Refused, Unreachable) as error:
            document = error.document if isinstance(error, Refused) else {"detail": str(error)}
            told.append(msgspec.json.encode(document, enc_hook=str))
            status = max(status, _tell_refused(name, error))
    if json:
        click.echo(told[0] if len(told) == 1 else b"[" + b",".join(told) + b"]")
    sys.exit(status)


def _mapping(given: str | None) -> dict[str, Any]:
    """A mapping by its name, or the one that a file holds."""
    if given is None or not given.lower().endswith(".json"):
        return {"kept_mapping": given, "own_mapping": None}
    try:
        return {"kept_mapping": None, "own_mapping": Path(given).read_bytes()}
    except OSError as error:
        raise click.BadParameter(f"{given}: {error.strerror}", param_hint="--mapping") from None


def _import(service: Service, file: BinaryIO, name: str, wanted: Wanted) -> bytes:
    """Import a file, and give what became of it: what is too much for one request goes in chunks, where that can be."""
    content = file.read(IMPORT_BYTES_MAX + 1)
    if len(content) > IMPORT_BYTES_MAX and not isinstance(service, Local):  # it would hang up amid the file
        title = f"At most {IMPORT_BYTES_MAX} bytes over HTTP: where the books are, the command line imports more."
        raise Refused(413, {"type": "/problems/too-large", "title": title, "status": 413})
    too_much = len(content) > IMPORT_BYTES_MAX - _FORM_BYTES_MAX
    # So many lines are more than one request takes, as a rule: asking would cost a good part of the import itself.
    too_much = too_much or (content.count(b"\n") > IMPORT_ROWS_MAX and not wanted.preview)
    if not (too_much and isinstance(service, Local)):
        try:
            return _send(service, content, name, wanted)
        except Refused as refused:
            if "file" not in refused.errors or not isinstance(service, Local):
                raise
    whole = file if file.seekable() else io.BytesIO(content + file.read())
    del content
    try:
        return import_in_chunks(service, whole, name, wanted)
    except Problem as problem:  # as it would be told over HTTP
        document = {"type": f"/problems/{problem.slug}", "title": problem.title, "status": problem.status}
        told = {"detail": problem.detail, "errors": problem.errors}
        given = {key: value for key, value in told.items() if value is not None}
        raise Refused(problem.status, {**document, **given}) from None


def _send(service: Service, content: bytes, name: str, wanted: Wanted) -> bytes:
    parts = {} if wanted.own_mapping is None else {"mapping": wanted.own_mapping}
    body, media_type = _multipart({**parts, "file": content}, name)
    headers = {"Content-Type": media_type, "Content-Length": str(len(body))}
    path = "/import" if wanted.format is None else f"/import/{wanted.format}"
    with progress_bar(f"Importing {name}", len(body)) as bar:
        answer = service.request("POST", path, wanted.query(), _Watched(body, bar), headers, IMPORT_SECONDS_MAX)
        return answer.body()


def _multipart(parts: Mapping[str, bytes], name: str) -> tuple[bytes, str]:
    """A form with some parts, the last of which is the file, and its media type."""
    boundary = uuid.uuid4().hex
    safe = "".join(one if one.isascii() and one.isprintable() and one not in '"\\' else "_" for one in name)
    body = bytearray()
    for part, content in parts.items():
        file_name = f'; filename="{safe}"' if part == "file" else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"{file_name}\r\n\r\n'.encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), f"multipart/form-data; boundary={boundary}"


class _Watched(io.BytesIO):
    """What is sent; a bar follows how much of it is gone."""

    def __init__(self, content: bytes, bar: Any) -> None:
        super().__init__(content)
        self._bar = bar

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self._bar.update(len(part))
        return part


def _tell_outcome(name: str, body: bytes, *, quiet: bool) -> int:
    """Say what became of a file; gives the exit status."""
    outcome = msgspec.json.Decoder(float_hook=Decimal).decode(body)
    if not quiet:
        would = "would be " if outcome["preview"] else ""
        sums = ", ".join(f"{text_of(amount)} {currency}" for currency, amount in outcome["sums"].items())
        click.echo(
            f"{plain(name)} ({outcome['format']}, {outcome['encoding']}): {outcome['booked']} {would}booked"
            f"{f' ({sums})' if sums else ''}, {outcome['skipped']} skipped, {outcome['refused']} refused"
        )
        for account in outcome["accounts"]:
            click.echo(f"account {would}opened: {plain(account['name'])} ({account['currency']})")
        show_table([row for line in _gathered(outcome["lines"]) for row in _rows(line)], LINES)
    return BROKEN if outcome["refused"] else 0


def _gathered(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of a file; where many are skipped for one reason, that is one line."""
    skipped = Counter(line["reason"] for line in lines if line["outcome"] == "skipped")
    many = {reason: count for reason, count in skipped.items() if count > SKIPPED_SHOWN_MAX}
    shown = [line for line in lines if line["outcome"] != "skipped" or line["reason"] not in many]
    told = []
    for reason, count in many.items():
        more = ", and more" if count >= IMPORT_FAULTS_MAX else ""
        told.append({"line": None, "outcome": "skipped", "reason": f"{count}{more} × {reason}"})
    return [*shown, *told]


def _rows(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line of a file in the table: what is wrong with it, or what it is booked as."""
    why = line.get("reason") or "; ".join(f"{name}: {rule}" for name, rule in fields(line.get("errors") or {}))
    shown = {"line": line["line"], "outcome": line["outcome"], "why": why}
    return [{**transaction, **shown} for transaction in line.get("transactions") or [{}]]


def _tell_refused(name: str, error: Exception) -> int:
    """Say why nothing of a file is booked; gives the exit status."""
    errors = getattr(error, "errors", None) or {}
    if not errors or not all(str(line).isdecimal() for line in errors):
        return tell(error, f"{plain(name)}: ")
    click.echo(
        f"cashman: {plain(name)}: nothing is booked, for these lines are refused (--partial books the others)", err=True
    )
    refused = [{"line": int(line), "outcome": "refused", "errors": told} for line, told in errors.items()]
    show_table([row for line in refused for row in _rows(line)], LINES, err=True)
    return status_of(error)


# Out.


@click.command()
@click.argument("format_", metavar="FORMAT", type=click.Choice(FORMATS_OUT))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, instead of the output.")
@click.option("--form", type=click.Choice(["safe", "lossless"]), help="Of CSV: for a spreadsheet, or to be read back.")
@click.option("--type", type=click.Choice(["income", "expense"], case_sensitive=False), help="Only these.")
@filters
def export(format_: str, output: Path | None, type: str | None, **given: Any) -> None:
    """Export transactions: csv, json, ndjson, beancount, hledger, ofx, qif; filtered by the options."""
    query = query_of({**given, "type": None if type is None else type.upper()})
    answer = open_service().request("GET", f"/export/{format_}", query)
    if output is None:
        for part in answer.parts:
            click.echo(part, nl=False)
        return
    with _whole(output) as file, progress_bar(f"Exporting to {output}", _length(answer)) as bar:
        for part in answer.parts:
            file.write(part)
            bar.update(len(part))


def _length(answer: Answer) -> int | None:
    told = answer.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that is there when all of it is written, and as it was before where that fails; a device is written to."""
    path = path.resolve()  # a link stays one
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as device:
                yield device
            return
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield file
            except BaseException:
                Path(file.name).unlink()
                raise
        mask = os.umask(0)
        os.umask(mask)
        Path(file.name).chmod(0o666 & ~mask)
        Path(file.name).replace(path)
    except OSError as error:
        raise Unreachable(f"{path} cannot be written: {error.strerror or error}") from None
